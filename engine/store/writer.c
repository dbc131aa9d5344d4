/* How a rowset comes into being: written and synced under tmp/, its sum put in place, then renamed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/store/store_priv.h"
#include "lib/base/clock.h"
#include "lib/base/crc.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"

struct store_writer {
	struct store *store;
	struct store_rowset rowset; /* bytes and crc of what was written so far */
	char *path;
	int fd;
};

static int check_names(int64_t tablet, const char *rowset, struct err *err)
{
	if (tablet <= 0)
		return err_set(err, -EINVAL, "tablet id: must be positive");
	if (!store_id_valid(rowset))
		return err_set(err, -EINVAL, "rowset id: must be %d hexadecimal digits",
		               RPC_ID_LEN);
	return 0;
}

int store_writer_new(struct store *s, int64_t tablet, const char *rowset, struct store_writer **ret,
                     struct err *err)
{
	int rc = check_names(tablet, rowset, err);
	if (rc < 0)
		return rc;
	_cleanup_(store_writer_freep) struct store_writer *w = xcalloc(1, sizeof(*w));
	w->store = s;
	w->rowset.tablet = tablet;
	(void)snprintf(w->rowset.id, sizeof(w->rowset.id), "%s", rowset);
	(void)pthread_mutex_lock(&s->lock);
	w->path = xasprintf("%s/tmp/%s-%" PRIu64, s->root, rowset, s->next_tmp++);
	(void)pthread_mutex_unlock(&s->lock);
	w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return err_errno(err, "%s", w->path);
	*ret = TAKE_PTR(w);
	return 0;
}

int store_writer_add(struct store_writer *w, const void *data, size_t len, struct err *err)
{
	int rc = fd_write_all(w->fd, data, len, err);
	if (rc < 0)
		return err_wrap(err, "%s", w->path);
	w->rowset.crc = crc32c(w->rowset.crc, data, len);
	w->rowset.bytes += (int64_t)len;
	return 0;
}

void store_writer_free(struct store_writer *w)
{
	if (!w)
		return;
	if (w->path && w->fd >= 0)
		(void)unlink(w->path);
	fd_closep(&w->fd);
	free(w->path);
	free(w);
}

/* STORE_PRESENT, -EEXIST, or 0 when it is not there. */
static int already(struct store *s, const struct store_rowset *r, struct err *err)
{
	autofree char *key = store_key(r->tablet, r->id);
	(void)pthread_mutex_lock(&s->lock);
	const struct store_entry *e = map_get(s->rowsets, key);
	int rc = !e                                                       ? 0
	         : e->rowset.bytes == r->bytes && e->rowset.crc == r->crc ? STORE_PRESENT
	                                                                  : -EEXIST;
	(void)pthread_mutex_unlock(&s->lock);
	if (rc == -EEXIST)
		return err_set(err, rc, "rowset %s of tablet %" PRId64 " is here with other bytes",
		               r->id, r->tablet);
	return rc;
}

/* Renames the synced file at path into place. Two that install the same rowset at once both succeed: their
 * bytes are the same, checked by crc, so that either may be the last to rename. */
static int place(struct store *s, const char *path, const struct store_rowset *r, struct err *err)
{
	autofree char *dir = xasprintf("%s/data/%" PRId64, s->root, r->tablet);
	autofree char *data_dir = xasprintf("%s/data", s->root);
	autofree char *data = store_file(s, r->tablet, r->id, STORE_DATA);
	autofree char *sum = store_file(s, r->tablet, r->id, STORE_SUM);
	char line[64], crc[STORE_CRC_MAX];
	store_crc_text(r->crc, crc);
	int len = snprintf(line, sizeof(line), "%" PRId64 " %s\n", r->bytes, crc);
	bool fresh = !fd_exists(dir);
	int rc = fd_mkdir_p(dir, 0700, err);
	if (rc == 0 && fresh)
		rc = fd_sync_dir(data_dir, err);
	if (rc == 0)
		rc = fd_write_file(sum, line, (size_t)len, 0600, err);
	if (rc == 0 && rename(path, data) < 0)
		rc = err_errno(err, "%s", data);
	if (rc == 0)
		rc = fd_sync_dir(dir, err);
	if (rc < 0)
		return rc;
	autofree char *key = store_key(r->tablet, r->id);
	(void)pthread_mutex_lock(&s->lock);
	if (!map_get(s->rowsets, key))
		store_index_add(s, r, clock_real_ms());
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_writer_commit(struct store_writer *w, uint32_t crc, struct store_rowset *ret,
                        struct err *err)
{
	if (w->rowset.crc != crc) {
		char is[STORE_CRC_MAX], want[STORE_CRC_MAX];
		store_crc_text(w->rowset.crc, is);
		store_crc_text(crc, want);
		return err_set(err, -EBADMSG, "rowset %s: checksum %s, not %s", w->rowset.id, is,
		               want);
	}
	int rc = already(w->store, &w->rowset, err);
	if (rc == 0) {
		if (fsync(w->fd) < 0)
			return err_errno(err, "%s", w->path);
		rc = place(w->store, w->path, &w->rowset, err);
		if (rc == 0)
			fd_closep(&w->fd);
	}
	if (rc >= 0)
		*ret = w->rowset;
	return rc;
}

static int file_crc(int fd, struct store_rowset *ret, struct err *err)
{
	enum { CHUNK = 1024 * 1024 };
	autofree char *chunk = xmalloc(CHUNK);
	ssize_t n;
	while ((n = read(fd, chunk, CHUNK)) > 0) {
		ret->crc = crc32c(ret->crc, chunk, (size_t)n);
		ret->bytes += n;
	}
	return n < 0 ? err_errno(err, "rowset %s", ret->id) : 0;
}

int store_install(struct store *s, const char *path, const struct store_rowset *rowset,
                  struct err *err)
{
	struct store_rowset is = { .tablet = rowset->tablet };
	int rc = check_names(rowset->tablet, rowset->id, err);
	if (rc < 0)
		return rc;
	memcpy(is.id, rowset->id, sizeof(is.id));
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "%s", path);
	rc = file_crc(fd, &is, err);
	if (rc < 0)
		return rc;
	if (is.bytes != rowset->bytes || is.crc != rowset->crc)
		return err_set(err, -EBADMSG, "%s: not the bytes that its writer reported", path);
	rc = already(s, rowset, err);
	if (rc != 0)
		return rc;
	if (fsync(fd) < 0)
		return err_errno(err, "%s", path);
	return place(s, path, rowset, err);
}
