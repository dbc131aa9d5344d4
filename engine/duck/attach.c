#include "engine/duck/attach.h"

#include <errno.h>
#include <sys/stat.h>

#include "engine/duck/types.h"
#include "lib/base/map.h"

struct duck_attached {
	char *key, *name;
	unsigned users;
	struct duck_attached *prev, *next; /* in the list of the unused, oldest first */
};

struct duck_attach {
	pthread_mutex_t lock;
	struct map *by_key;
	struct duck_attached idle; /* head of the ring */
	size_t n_idle;
	uint64_t counter;
};

static void attached_free(void *p)
{
	struct duck_attached *d = p;
	free(d->key);
	free(d->name);
	free(d);
}

struct duck_attach *duck_attach_new(void)
{
	struct duck_attach *a = xcalloc(1, sizeof(*a));
	(void)pthread_mutex_init(&a->lock, NULL);
	a->by_key = map_new(attached_free);
	a->idle.prev = a->idle.next = &a->idle;
	return a;
}

void duck_attach_free(struct duck_attach *a)
{
	if (!a)
		return;
	map_free(a->by_key);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

static void unlink_idle(struct duck_attach *a, struct duck_attached *d)
{
	d->prev->next = d->next;
	d->next->prev = d->prev;
	d->prev = d->next = NULL;
	a->n_idle--;
}

static int attach(struct duck_session *s, const char *path, struct duck_attached *d,
                  struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_adds(&sql, "ATTACH ");
	duck_literal(&sql, path);
	(void)buf_addf(&sql, " AS %s (READ_ONLY, TYPE duckdb)", d->name);
	int rc = duck_run(s, buf_cstr(&sql), err);
	return rc == 0 ? 0 : err_wrap(err, "rowset %s", path);
}

int duck_attach_use(struct duck_session *s, const char *path, struct duck_attached **ret,
                    struct err *err)
{
	struct duck_attach *a = s->duck->attach;
	struct stat st;
	if (stat(path, &st) < 0)
		return err_errno(err, "rowset %s", path);
	autofree char *key =
		xasprintf("%s %lu %ld %ld.%ld", path, (unsigned long)st.st_ino, (long)st.st_size,
	                  (long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
	int rc = 0;
	(void)pthread_mutex_lock(&a->lock);
	struct duck_attached *d = map_get(a->by_key, key);
	if (d && d->users == 0)
		unlink_idle(a, d);
	if (!d) {
		d = xcalloc(1, sizeof(*d));
		d->name = xasprintf("rs%lu", (unsigned long)++a->counter);
		rc = attach(s, path, d, err);
		if (rc == 0) {
			d->key = TAKE_PTR(key);
			map_put(a->by_key, d->key, d);
		} else {
			attached_free(d);
		}
	}
	if (rc == 0) {
		d->users++;
		*ret = d;
	}
	(void)pthread_mutex_unlock(&a->lock);
	return rc;
}

const char *duck_attached_name(const struct duck_attached *d)
{
	return d->name;
}

static void detach_oldest(struct duck_session *s, struct duck_attach *a)
{
	struct duck_attached *d = a->idle.next;
	unlink_idle(a, d);
	autofree char *sql = xasprintf("DETACH %s", d->name);
	duckdb_result result;
	/* Whatever it says, no task will name it again; not duck_run(): a cancelled task cleans up, too. */
	(void)duckdb_query(s->con, sql, &result);
	duckdb_destroy_result(&result);
	(void)map_del(a->by_key, d->key);
}

void duck_attach_drop(struct duck_session *s, struct duck_attached *d)
{
	struct duck_attach *a = s->duck->attach;
	(void)pthread_mutex_lock(&a->lock);
	if (--d->users == 0) {
		d->prev = a->idle.prev;
		d->next = &a->idle;
		d->prev->next = d->next->prev = d;
		a->n_idle++;
	}
	while (a->n_idle > DUCK_ATTACH_IDLE)
		detach_oldest(s, a);
	(void)pthread_mutex_unlock(&a->lock);
}

size_t duck_attach_count(struct duck_attach *a)
{
	(void)pthread_mutex_lock(&a->lock);
	size_t n = map_count(a->by_key);
	(void)pthread_mutex_unlock(&a->lock);
	return n;
}
