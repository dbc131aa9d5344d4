#include "engine/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/store/store_priv.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

bool store_id_valid(const char *id)
{
	size_t n = strspn(id, "0123456789abcdef");
	return n == RPC_ID_LEN && !id[n];
}

void store_crc_text(uint32_t crc, char out[STORE_CRC_MAX])
{
	(void)snprintf(out, STORE_CRC_MAX, "%08" PRIx32, crc);
}

int store_crc_parse(const char *text, uint32_t *ret)
{
	if (!text || strspn(text, "0123456789abcdefABCDEF") != 8 || text[8])
		return -EINVAL;
	*ret = (uint32_t)strtoul(text, NULL, 16);
	return 0;
}

char *store_key(int64_t tablet, const char *rowset)
{
	return xasprintf("%" PRId64 "/%s", tablet, rowset);
}

char *store_file(const struct store *s, int64_t tablet, const char *rowset, const char *ending)
{
	return xasprintf("%s/data/%" PRId64 "/%s.%s", s->root, tablet, rowset, ending);
}

/* Under the lock. */
void store_index_add(struct store *s, const struct store_rowset *rowset, int64_t installed_ms)
{
	struct store_entry *e = xcalloc(1, sizeof(*e));
	autofree char *key = store_key(rowset->tablet, rowset->id);
	char tablet[24];
	(void)snprintf(tablet, sizeof(tablet), "%" PRId64, rowset->tablet);
	e->rowset = *rowset;
	e->installed_ms = installed_ms;
	map_put(s->rowsets, key, e);
	size_t *count = map_get(s->tablets, tablet);
	if (!count) {
		count = xcalloc(1, sizeof(*count));
		map_put(s->tablets, tablet, count);
	}
	++*count;
	s->bytes += rowset->bytes;
}

static void index_drop(struct store *s, const struct store_entry *e)
{
	autofree char *key = store_key(e->rowset.tablet, e->rowset.id);
	char tablet[24];
	(void)snprintf(tablet, sizeof(tablet), "%" PRId64, e->rowset.tablet);
	size_t *count = map_get(s->tablets, tablet);
	if (count && --*count == 0)
		(void)map_del(s->tablets, tablet);
	s->bytes -= e->rowset.bytes;
	(void)map_del(s->rowsets, key);
}

static int lock_root(struct store *s, struct err *err)
{
	autofree char *path = xasprintf("%s/roost.lock", s->root);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_errno(err, "%s", path);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, -EBUSY, "%s: another process uses this storage path", s->root);
	return 0;
}

static int make_folders(struct store *s, struct err *err)
{
	static const char *const names[] = { "data", "tmp", "quarantine" };
	autofree char *tmp = xasprintf("%s/tmp", s->root);
	int rc = fd_rm_rf(tmp, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(names); i++) {
		autofree char *path = xasprintf("%s/%s", s->root, names[i]);
		rc = fd_mkdir_p(path, 0700, err);
	}
	return rc;
}

int store_open(const char *root, struct store **ret, struct err *err)
{
	_cleanup_(store_closep) struct store *s = xcalloc(1, sizeof(*s));
	s->lock_fd = -1;
	(void)pthread_mutex_init(&s->lock, NULL);
	s->rowsets = map_new(free);
	s->tablets = map_new(free);
	s->root = xstrdup(root);
	if (strlen(root) > STORE_PATH_MAX)
		return err_set(err, -EINVAL, "storage_root_path: at most %d characters",
		               STORE_PATH_MAX);
	int rc = fd_mkdir_p(root, 0700, err);
	if (rc == 0)
		rc = lock_root(s, err);
	if (rc == 0)
		rc = make_folders(s, err);
	if (rc == 0)
		rc = store_scan(s, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(s);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	map_free(s->rowsets);
	map_free(s->tablets);
	fd_closep(&s->lock_fd);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->root);
	free(s);
}

static struct store_entry *find(struct store *s, int64_t tablet, const char *rowset)
{
	autofree char *key = store_key(tablet, rowset);
	return map_get(s->rowsets, key);
}

static bool same(const struct store_entry *e, const struct store_rowset *rowset)
{
	return e && e->rowset.bytes == rowset->bytes && e->rowset.crc == rowset->crc;
}

int store_pin(struct store *s, const struct store_rowset *rowset, char **ret_path, struct err *err)
{
	if (!store_id_valid(rowset->id))
		return err_set(err, -EINVAL, "rowset id: must be %d hexadecimal digits",
		               RPC_ID_LEN);
	(void)pthread_mutex_lock(&s->lock);
	struct store_entry *e = find(s, rowset->tablet, rowset->id);
	bool found = same(e, rowset);
	if (found)
		e->pins++;
	(void)pthread_mutex_unlock(&s->lock);
	if (!found)
		return STORE_ABSENT;
	*ret_path = store_file(s, rowset->tablet, rowset->id, STORE_DATA);
	return 0;
}

void store_unpin(struct store *s, int64_t tablet, const char *rowset)
{
	(void)pthread_mutex_lock(&s->lock);
	struct store_entry *e = find(s, tablet, rowset);
	if (e && e->pins > 0)
		e->pins--;
	(void)pthread_mutex_unlock(&s->lock);
}

bool store_has(struct store *s, const struct store_rowset *rowset)
{
	(void)pthread_mutex_lock(&s->lock);
	bool found = same(find(s, rowset->tablet, rowset->id), rowset);
	(void)pthread_mutex_unlock(&s->lock);
	return found;
}

int store_read(struct store *s, int64_t tablet, const char *rowset, int *ret_fd,
               struct store_rowset *ret, struct err *err)
{
	if (!store_id_valid(rowset))
		return STORE_ABSENT;
	autofree char *path = store_file(s, tablet, rowset, STORE_DATA);
	(void)pthread_mutex_lock(&s->lock);
	const struct store_entry *e = find(s, tablet, rowset);
	int fd = -1, rc = STORE_ABSENT;
	if (e) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		rc = fd < 0 ? err_errno(err, "%s", path) : 0;
		*ret = e->rowset;
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (rc == 0)
		*ret_fd = fd;
	return rc;
}

/* The file goes first: a sum without a file is swept at start, a file without a sum is taken for torn. */
static bool remove_files(const struct store *s, const struct store_entry *e)
{
	autofree char *data = store_file(s, e->rowset.tablet, e->rowset.id, STORE_DATA);
	autofree char *sum = store_file(s, e->rowset.tablet, e->rowset.id, STORE_SUM);
	if (unlink(data) < 0 && errno != ENOENT) {
		log_warn("file=%s cannot be deleted: %s", data, strerror(errno));
		return false;
	}
	(void)unlink(sum);
	return true;
}

size_t store_keep(struct store *s, store_keep_fn keep, void *arg, int64_t grace_ms)
{
	int64_t before = clock_real_ms() - grace_ms;
	size_t deleted = 0, at = 0, n = 0;
	void *value;
	(void)pthread_mutex_lock(&s->lock);
	struct store_entry **go = xcalloc(map_count(s->rowsets) + 1, sizeof(struct store_entry *));
	while (map_next(s->rowsets, &at, NULL, &value)) {
		struct store_entry *e = value;
		if (!e->pins && e->installed_ms <= before &&
		    !keep(arg, e->rowset.tablet, e->rowset.id))
			go[n++] = e;
	}
	for (size_t i = 0; i < n; i++)
		if (remove_files(s, go[i])) {
			index_drop(s, go[i]);
			deleted++;
		}
	(void)pthread_mutex_unlock(&s->lock);
	free(go);
	return deleted;
}

void store_usage(struct store *s, struct store_usage *ret)
{
	struct statvfs fs;
	*ret = (struct store_usage){ .bytes = 0 };
	(void)pthread_mutex_lock(&s->lock);
	ret->tablets = map_count(s->tablets);
	ret->rowsets = map_count(s->rowsets);
	ret->bytes = s->bytes;
	ret->quarantined = s->quarantined;
	(void)pthread_mutex_unlock(&s->lock);
	if (statvfs(s->root, &fs) == 0) {
		ret->disk_total = (int64_t)(fs.f_blocks * fs.f_frsize);
		ret->disk_avail = (int64_t)(fs.f_bavail * fs.f_frsize);
	}
}
