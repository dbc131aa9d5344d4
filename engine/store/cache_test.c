#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/store/cache.h"
#include "lib/base/fd.h"

struct place {
	char dir[64];
	struct store_cache *cache;
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/roost_cache_XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(store_cache_open(p->dir, 100, &p->cache, NULL), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	store_cache_close(p->cache);
	(void)fd_rm_rf(p->dir, NULL);
	free(p);
	return 0;
}

struct source {
	atomic_int loads;
	int rc;          /* what a load answers */
	int64_t bytes;   /* that it writes */
	int64_t wait_ms; /* before it does */
	atomic_bool stop;
};

static int load(void *arg, int fd, struct err *err)
{
	struct source *s = arg;
	char data[128];
	memset(data, 'x', sizeof(data));
	atomic_fetch_add(&s->loads, 1);
	clock_sleep_ms(s->wait_ms);
	if (s->rc < 0)
		return err_set(err, s->rc, "the bucket said no");
	return fd_write_all(fd, data, (size_t)s->bytes, err);
}

static bool should_stop(void *arg)
{
	return atomic_load(&((struct source *)arg)->stop);
}

static int get(struct place *p, const char *name, int64_t bytes, struct source *s,
               struct store_cached **ret)
{
	const struct store_cache_ask ask = { .name = name,
		                             .bytes = bytes,
		                             .load = load,
		                             .should_stop = should_stop,
		                             .arg = s,
		                             .by = deadline_in(10000) };
	return store_cache_get(p->cache, &ask, ret, NULL);
}

static void touch(struct place *p, const char *name, int64_t bytes)
{
	struct source s = { .bytes = bytes };
	struct store_cached *o = NULL;
	assert_int_equal(get(p, name, bytes, &s, &o), 0);
	assert_true(fd_exists(store_cached_path(o)));
	store_cache_release(p->cache, o);
}

static void second_time_is_a_hit_also_after_a_restart(void **state)
{
	struct place *p = *state;
	struct store_cache_stats stats;
	touch(p, "a", 40);
	touch(p, "a", 40);
	store_cache_stats(p->cache, &stats);
	assert_int_equal(stats.misses, 1);
	assert_int_equal(stats.hits, 1);
	assert_int_equal(stats.used, 40);
	autofree char *part = xasprintf("%s/tmp-9", p->dir);
	assert_int_equal(fd_write_file(part, "x", 1, 0600, NULL), 0);
	store_cache_close(p->cache);
	assert_int_equal(store_cache_open(p->dir, 100, &p->cache, NULL), 0);
	assert_false(fd_exists(part));
	touch(p, "a", 40);
	store_cache_stats(p->cache, &stats);
	assert_int_equal(stats.hits, 1);
	assert_int_equal(stats.misses, 0);
}

static void the_least_recently_used_goes_first(void **state)
{
	struct place *p = *state;
	struct store_cache_stats stats;
	touch(p, "a", 40);
	touch(p, "b", 40);
	touch(p, "a", 40);
	touch(p, "c", 40); /* b goes */
	touch(p, "a", 40);
	store_cache_stats(p->cache, &stats);
	assert_int_equal(stats.evictions, 1);
	assert_int_equal(stats.hits, 2);
	touch(p, "b", 40);
	store_cache_stats(p->cache, &stats);
	assert_int_equal(stats.misses, 4);
	assert_int_equal(stats.used, 80);
}

static void pinned_objects_stay_and_may_pass_the_size(void **state)
{
	struct place *p = *state;
	struct source s = { .bytes = 70 };
	struct store_cache_stats stats;
	struct store_cached *a = NULL, *b = NULL;
	assert_int_equal(get(p, "a", 70, &s, &a), 0);
	assert_int_equal(get(p, "b", 70, &s, &b), 0);
	store_cache_stats(p->cache, &stats);
	assert_int_equal(stats.used, 140);
	assert_int_equal(stats.pinned, 2);
	assert_true(fd_exists(store_cached_path(a)));
	store_cache_release(p->cache, a);
	store_cache_stats(p->cache, &stats);
	assert_int_equal(stats.used, 70);
	assert_true(fd_exists(store_cached_path(b)));
	store_cache_release(p->cache, b);
}

static void failures_leave_nothing(void **state)
{
	struct place *p = *state;
	struct source no = { .rc = -EACCES }, part = { .bytes = 10 };
	struct store_cached *o = NULL;
	struct store_cache_stats stats;
	assert_int_equal(get(p, "a", 40, &no, &o), -EACCES);
	assert_int_equal(get(p, "a", 40, &part, &o), -EIO);
	store_cache_stats(p->cache, &stats);
	assert_int_equal(stats.objects, 0);
	assert_int_equal(stats.used, 0);
	touch(p, "a", 40);
}

struct caller {
	struct place *place;
	struct source *source;
	int rc;
};

static void *call(void *arg)
{
	struct caller *c = arg;
	struct store_cached *o = NULL;
	c->rc = get(c->place, "shared", 40, c->source, &o);
	if (c->rc == 0)
		store_cache_release(c->place->cache, o);
	return NULL;
}

static void many_share_one_download(void **state)
{
	struct place *p = *state;
	struct source s = { .bytes = 40, .wait_ms = 100 };
	struct caller callers[8];
	pthread_t threads[8];
	for (size_t i = 0; i < 8; i++) {
		callers[i] = (struct caller){ p, &s, -1 };
		assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
	}
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(callers[i].rc, 0);
	}
	assert_int_equal(atomic_load(&s.loads), 1);
}

static void waiting_ends_when_cancelled(void **state)
{
	struct place *p = *state;
	struct source slow = { .bytes = 40, .wait_ms = 6000 }, stopped = { .bytes = 40 };
	struct caller caller = { p, &slow, -1 };
	struct store_cached *o = NULL;
	pthread_t thread;
	atomic_store(&stopped.stop, true);
	assert_int_equal(pthread_create(&thread, NULL, call, &caller), 0);
	while (!atomic_load(&slow.loads))
		clock_sleep_ms(5);
	int64_t before = clock_mono_ms();
	assert_int_equal(get(p, "shared", 40, &stopped, &o), -ECANCELED);
	assert_true(clock_mono_ms() - before < 5000);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(caller.rc, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(second_time_is_a_hit_also_after_a_restart, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(the_least_recently_used_goes_first, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(pinned_objects_stay_and_may_pass_the_size, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(failures_leave_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(many_share_one_download, setup, teardown),
		cmocka_unit_test_setup_teardown(waiting_ends_when_cancelled, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
