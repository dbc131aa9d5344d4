#include "engine/meta/log.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/meta/log_format.h"
#include "lib/base/buf.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/vec.h"

struct meta_log {
	char *dir;
	int lock_fd;
	int fd; /* of the segment that is appended to */
	char *segment;
	uint64_t size;  /* of that segment */
	uint64_t last;  /* index of the last record */
	uint64_t bytes; /* of records since the last snapshot */
	bool broken;    /* a sync failed: what is on disk is unknown until it is read again */
};

/* One of log-%020llu and snapshot-%020llu in the folder. */
struct entry {
	uint64_t index;
};
typedef VEC(struct entry) entries;

static int by_index(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int list(const char *dir, const char *prefix, entries *out, struct err *err)
{
	DIR *d = opendir(dir);
	if (!d)
		return err_errno(err, "%s", dir);
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		uint64_t index = 0;
		if (str_starts(str_of(e->d_name), prefix) &&
		    str_to_u64(str_of(e->d_name + strlen(prefix)), &index) == 0)
			vec_push(out, (struct entry){ index });
	}
	closedir(d);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_index);
	return 0;
}

static char *path_of(const char *dir, const char *prefix, uint64_t index)
{
	return xasprintf("%s/%s%020llu", dir, prefix, (unsigned long long)index);
}

/* Deletes the files of that kind with an index below the limit; a left-over is deleted at the next chance. */
static void delete_below(const char *dir, const char *prefix, uint64_t limit)
{
	entries found = { 0 };
	struct err err = ERR_INIT;
	if (list(dir, prefix, &found, &err) == 0) {
		for (size_t i = 0; i < found.n && found.v[i].index < limit; i++) {
			autofree char *path = path_of(dir, prefix, found.v[i].index);
			(void)unlink(path);
		}
	}
	vec_free(&found);
}

/* Opens segment log-<first>; a new one gets its header and its name synced into the folder. */
static int open_segment(struct meta_log *l, uint64_t first, struct err *err)
{
	autofree char *path = path_of(l->dir, META_LOG_SEGMENT, first);
	_cleanup_(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "%s", path);
	if (st.st_size < META_LOG_SEGMENT_HEADER) {
		char header[META_LOG_SEGMENT_HEADER];
		meta_log_segment_header(header);
		if (ftruncate(fd, 0) < 0 ||
		    pwrite(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
		    fdatasync(fd) < 0)
			return err_errno(err, "%s", path);
		int rc = fd_sync_dir(l->dir, err);
		if (rc < 0)
			return rc;
		st.st_size = META_LOG_SEGMENT_HEADER;
	}
	fd_closep(&l->fd);
	free(l->segment);
	l->fd = TAKE_FD(fd);
	l->segment = TAKE_PTR(path);
	l->size = (uint64_t)st.st_size;
	return 0;
}

static int load_snapshot(struct meta_log *l, uint64_t index, const struct meta_log_replay *replay,
                         struct err *err)
{
	autofree char *path = path_of(l->dir, META_LOG_SNAPSHOT, index);
	_cleanup_buf_ struct buf file = BUF_INIT(META_LOG_SNAPSHOT_MAX);
	int rc = fd_read_file(path, &file, err);
	if (rc < 0)
		return rc;
	struct str bytes;
	rc = meta_log_snapshot_check((struct str){ buf_cstr(&file), file.len }, index, &bytes, err);
	if (rc == 0)
		rc = replay->snapshot(replay->arg, index, bytes, err);
	if (rc < 0)
		return err_wrap(err, "%s", path);
	l->last = index;
	return 0;
}

/* Replays one segment; the last one may end in a torn record, which is cut off. */
static int load_segment(struct meta_log *l, uint64_t first, bool is_last,
                        const struct meta_log_replay *replay, struct err *err)
{
	autofree char *path = path_of(l->dir, META_LOG_SEGMENT, first);
	_cleanup_buf_ struct buf file = BUF_INIT(META_LOG_SEGMENT_MAX);
	int rc = fd_read_file(path, &file, err);
	if (rc < 0)
		return rc;
	struct meta_log_reader r;
	meta_log_reader_init(&r, (struct str){ buf_cstr(&file), file.len }, is_last);
	struct meta_log_record record;
	while ((rc = meta_log_reader_next(&r, &record, err)) == META_LOG_RECORD) {
		if (record.index <=
		    l->last) /* the snapshot has it: a crash came before the deletion */
			continue;
		if (record.index != l->last + 1)
			return err_set(err, -EBADMSG, "%s: record %llu follows %llu", path,
			               (unsigned long long)record.index,
			               (unsigned long long)l->last);
		rc = replay->record(replay->arg, record.index, record.bytes, err);
		if (rc < 0)
			break;
		l->last = record.index;
		l->bytes += record.bytes.len;
	}
	if (rc < 0)
		return err_wrap(err, "%s", path);
	if (r.at < file.len) {
		log_warn("file=%s cut off a record that a crash left unfinished, bytes=%zu", path,
		         file.len - r.at);
		if (truncate(path, (off_t)r.at) < 0)
			return err_errno(err, "%s", path);
	}
	return 0;
}

static int load_segments(struct meta_log *l, const struct meta_log_replay *replay, struct err *err)
{
	entries segments = { 0 };
	int rc = list(l->dir, META_LOG_SEGMENT, &segments, err);
	for (size_t i = 0; rc == 0 && i < segments.n; i++)
		rc = load_segment(l, segments.v[i].index, i + 1 == segments.n, replay, err);
	if (rc == 0)
		rc = open_segment(l, segments.n ? segments.v[segments.n - 1].index : l->last + 1,
		                  err);
	vec_free(&segments);
	return rc;
}

static int lock_dir(struct meta_log *l, struct err *err)
{
	autofree char *path = xasprintf("%s/LOCK", l->dir);
	l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (l->lock_fd < 0)
		return err_errno(err, "%s", path);
	if (flock(l->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, -EBUSY, "%s is in use by another roost-fe", l->dir);
	return 0;
}

static int load(struct meta_log *l, const struct meta_log_replay *replay, struct err *err)
{
	int rc = fd_mkdir_p(l->dir, 0700, err);
	if (rc == 0)
		rc = lock_dir(l, err);
	if (rc < 0)
		return rc;
	entries snapshots = { 0 };
	rc = list(l->dir, META_LOG_SNAPSHOT, &snapshots, err);
	if (rc == 0 && snapshots.n)
		rc = load_snapshot(l, snapshots.v[snapshots.n - 1].index, replay, err);
	vec_free(&snapshots);
	return rc < 0 ? rc : load_segments(l, replay, err);
}

int meta_log_open(const char *dir, const struct meta_log_replay *replay, struct meta_log **ret,
                  struct err *err)
{
	struct meta_log *l = xcalloc(1, sizeof(*l));
	l->dir = xstrdup(dir);
	l->lock_fd = l->fd = -1;
	int rc = load(l, replay, err);
	if (rc < 0)
		meta_log_close(l);
	else
		*ret = l;
	return rc;
}

void meta_log_close(struct meta_log *l)
{
	if (!l)
		return;
	fd_closep(&l->fd);
	fd_closep(&l->lock_fd);
	free(l->segment);
	free(l->dir);
	free(l);
}

int meta_log_append(struct meta_log *l, struct str bytes, uint64_t *ret_index, struct err *err)
{
	if (bytes.len > META_LOG_RECORD_MAX)
		return err_set(err, -E2BIG, "a change of %zu bytes; at most %d", bytes.len,
		               META_LOG_RECORD_MAX);
	if (l->broken)
		return err_set(err, -EIO, "%s: an earlier write failed; restart to recover",
		               l->segment);
	_cleanup_buf_ struct buf record = BUF_INIT(META_LOG_RECORD_MAX + 64);
	meta_log_encode(l->last + 1, bytes, &record);
	if (lseek(l->fd, (off_t)l->size, SEEK_SET) < 0)
		return err_errno(err, "%s", l->segment);
	if (fd_write_all(l->fd, record.p, record.len, err) < 0) {
		/* Nothing was promised: take the piece back and stay usable (a full disk is freed again). */
		l->broken = ftruncate(l->fd, (off_t)l->size) < 0;
		return err_wrap(err, "%s", l->segment);
	}
	if (fdatasync(l->fd) < 0) {
		l->broken = true;
		return err_errno(err, "%s", l->segment);
	}
	l->size += record.len;
	l->bytes += bytes.len;
	*ret_index = ++l->last;
	return 0;
}

int meta_log_snapshot(struct meta_log *l, struct str bytes, struct err *err)
{
	autofree char *path = path_of(l->dir, META_LOG_SNAPSHOT, l->last);
	_cleanup_buf_ struct buf file = BUF_INIT(META_LOG_SNAPSHOT_MAX);
	int rc = meta_log_snapshot_encode(l->last, bytes, &file, err);
	if (rc == 0)
		rc = fd_write_file(path, file.p, file.len, 0600, err);
	if (rc == 0)
		rc = open_segment(l, l->last + 1, err);
	if (rc < 0)
		return rc;
	l->bytes = 0;
	delete_below(l->dir, META_LOG_SEGMENT, l->last + 1);
	delete_below(l->dir, META_LOG_SNAPSHOT, l->last);
	return 0;
}

uint64_t meta_log_bytes(const struct meta_log *l)
{
	return l->bytes;
}
