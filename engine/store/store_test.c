#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/store/spill.h"
#include "engine/store/store.h"
#include "lib/base/crc.h"
#include "lib/base/fd.h"

#define R1 "00000000000000000000000000000001"
#define R2 "00000000000000000000000000000002"
#define Q1 "000000000000000000000000000000a1"

struct place {
	char root[64];
	struct store *store;
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));
	(void)snprintf(p->root, sizeof(p->root), "/tmp/roost_store_XXXXXX");
	assert_non_null(mkdtemp(p->root));
	assert_int_equal(store_open(p->root, &p->store, NULL), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	store_close(p->store);
	(void)fd_rm_rf(p->root, NULL);
	free(p);
	return 0;
}

static void reopen(struct place *p)
{
	store_close(p->store);
	p->store = NULL;
	assert_int_equal(store_open(p->root, &p->store, NULL), 0);
}

static int put(struct place *p, int64_t tablet, const char *id, const char *text, uint32_t crc)
{
	_cleanup_(store_writer_freep) struct store_writer *w = NULL;
	struct store_rowset r;
	size_t half = strlen(text) / 2;
	assert_int_equal(store_writer_new(p->store, tablet, id, &w, NULL), 0);
	assert_int_equal(store_writer_add(w, text, half, NULL), 0);
	assert_int_equal(store_writer_add(w, text + half, strlen(text) - half, NULL), 0);
	return store_writer_commit(w, crc, &r, NULL);
}

static struct store_rowset named(int64_t tablet, const char *id, const char *text)
{
	struct store_rowset r = { .tablet = tablet, .bytes = (int64_t)strlen(text) };
	(void)snprintf(r.id, sizeof(r.id), "%s", id);
	r.crc = crc32c(0, text, strlen(text));
	return r;
}

static void rowsets_survive_a_restart(void **state)
{
	struct place *p = *state;
	struct store_rowset want = named(7, R1, "rows"), got;
	struct store_usage usage;
	assert_int_equal(put(p, 7, R1, "rows", want.crc), 0);
	assert_int_equal(put(p, 7, R1, "rows", want.crc), STORE_PRESENT);
	for (int i = 0; i < 2; i++) {
		autofree char *path = NULL;
		_cleanup_(fd_closep) int fd = -1;
		char bytes[4];
		assert_true(store_has(p->store, &want));
		assert_int_equal(store_read(p->store, 7, R1, &fd, &got, NULL), 0);
		assert_int_equal(fd_read_exact(fd, bytes, 4, NULL), 0);
		assert_memory_equal(bytes, "rows", 4);
		assert_int_equal(got.crc, want.crc);
		assert_int_equal(store_pin(p->store, &want, &path, NULL), 0);
		assert_true(fd_exists(path));
		store_unpin(p->store, 7, R1);
		store_usage(p->store, &usage);
		assert_int_equal(usage.bytes, 4);
		assert_int_equal(usage.tablets, 1);
		assert_true(usage.disk_total > 0);
		reopen(p);
	}
}

static void wrong_bytes_are_not_installed(void **state)
{
	struct place *p = *state;
	struct store_rowset want = named(7, R1, "rows"), other = named(7, R1, "ROWS");
	autofree char *path = NULL;
	struct store_usage usage;
	assert_int_equal(put(p, 7, R1, "rowz", want.crc), -EBADMSG);
	assert_false(store_has(p->store, &want));
	assert_int_equal(put(p, 7, R1, "rows", want.crc), 0);
	assert_int_equal(put(p, 7, R1, "ROWS", other.crc), -EEXIST);
	assert_int_equal(store_pin(p->store, &other, &path, NULL), STORE_ABSENT);
	reopen(p); /* and nothing is left in tmp/ or quarantine/ */
	store_usage(p->store, &usage);
	assert_int_equal(usage.rowsets, 1);
	assert_int_equal(usage.quarantined, 0);
}

static void names_are_checked(void **state)
{
	struct place *p = *state;
	static const char *const bad[] = { "",
		                           "..",
		                           "../../etc/passwd",
		                           R1 "0",
		                           R1 "/",
		                           "0000000000000000000000000000000G",
		                           "0000000000000000000000000000000A" };
	struct store_writer *w = NULL;
	int fd;
	struct store_rowset r;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(store_id_valid(bad[i]));
		assert_int_equal(store_writer_new(p->store, 1, bad[i], &w, NULL), -EINVAL);
		assert_int_equal(store_read(p->store, 1, bad[i], &fd, &r, NULL), STORE_ABSENT);
	}
	assert_int_equal(store_writer_new(p->store, 0, R1, &w, NULL), -EINVAL);
	assert_int_equal(store_writer_new(p->store, -1, R1, &w, NULL), -EINVAL);
}

static void torn_files_go_aside(void **state)
{
	struct place *p = *state;
	struct store_rowset whole = named(7, R1, "rows");
	struct store_usage usage;
	assert_int_equal(put(p, 7, R1, "rows", whole.crc), 0);
	assert_int_equal(put(p, 8, R2, "more", crc32c(0, "more", 4)), 0);
	autofree char *cut = xasprintf("%s/data/8/%s.duckdb", p->root, R2);
	autofree char *bare = xasprintf("%s/data/7/%s.duckdb", p->root, R2);
	autofree char *stray = xasprintf("%s/data/7/%s.sum", p->root, R2);
	autofree char *half = xasprintf("%s/tmp/x", p->root);
	assert_int_equal(truncate(cut, 3), 0);
	assert_int_equal(fd_write_file(bare, "x", 1, 0600, NULL), 0);
	assert_int_equal(fd_write_file(half, "x", 1, 0600, NULL), 0);
	reopen(p);
	store_usage(p->store, &usage);
	assert_int_equal(usage.rowsets, 1);
	assert_int_equal(usage.quarantined, 2);
	assert_true(store_has(p->store, &whole));
	assert_false(fd_exists(cut));
	assert_false(fd_exists(bare));
	assert_false(fd_exists(half));
	assert_int_equal(fd_write_file(stray, "x", 1, 0600, NULL), 0);
	reopen(p);
	assert_false(fd_exists(stray));
}

static bool keep_r1(void *arg, int64_t tablet, const char *rowset)
{
	(void)arg;
	return tablet == 7 && strcmp(rowset, R1) == 0;
}

static void keep_deletes_what_is_not_named(void **state)
{
	struct place *p = *state;
	struct store_rowset other = named(7, R2, "two"), kept = named(7, R1, "one");
	struct store_usage usage;
	autofree char *path = NULL;
	assert_int_equal(put(p, 7, R1, "one", kept.crc), 0);
	assert_int_equal(put(p, 7, R2, "two", other.crc), 0);
	assert_int_equal(put(p, 9, R1, "one", kept.crc), 0);
	assert_int_equal(store_keep(p->store, keep_r1, NULL, 60000), 0);
	assert_int_equal(store_pin(p->store, &other, &path, NULL), 0);
	assert_int_equal(store_keep(p->store, keep_r1, NULL, 0), 1);
	store_unpin(p->store, 7, R2);
	assert_int_equal(store_keep(p->store, keep_r1, NULL, 0), 1);
	assert_true(store_has(p->store, &kept));
	assert_false(fd_exists(path));
	store_usage(p->store, &usage);
	assert_int_equal(usage.tablets, 1);
	assert_int_equal(usage.bytes, 3);
}

static void files_are_installed_by_name(void **state)
{
	struct place *p = *state;
	struct store_rowset r = named(3, R1, "made by a task");
	autofree char *path = xasprintf("%s/made", p->root);
	assert_int_equal(fd_write_file(path, "made by a tasK", 14, 0600, NULL), 0);
	assert_int_equal(store_install(p->store, path, &r, NULL), -EBADMSG);
	assert_int_equal(fd_write_file(path, "made by a task", 14, 0600, NULL), 0);
	assert_int_equal(store_install(p->store, path, &r, NULL), 0);
	assert_false(fd_exists(path));
	assert_true(store_has(p->store, &r));
}

static void one_process_a_root(void **state)
{
	struct place *p = *state;
	struct store *second = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(store_open(p->root, &second, &err), -EBUSY);
	assert_non_null(strstr(err.msg, p->root));
}

static void spill_comes_and_goes(void **state)
{
	struct place *p = *state;
	_cleanup_(store_spill_closep) struct store_spill *s = NULL;
	struct store_attempt a = { .query = Q1, .stage = 1, .task = 2, .attempt = 0 };
	struct store_attempt b = a;
	autofree char *found = NULL;
	char *scratch = NULL, *other = NULL;
	assert_int_equal(store_spill_open(p->root, &s, NULL), 0);
	assert_int_equal(store_spill_find(s, &a, &found), STORE_ABSENT);
	assert_int_equal(store_spill_scratch(s, &a, &scratch, NULL), 0);
	assert_int_equal(store_spill_scratch(s, &a, &other, NULL), 0);
	assert_string_not_equal(scratch, other);
	autofree char *out = xasprintf("%s/out", scratch);
	assert_int_equal(fd_write_file(out, "x", 1, 0600, NULL), 0);
	assert_int_equal(store_spill_commit(s, &a, out, NULL), 0);
	b.attempt = 1;
	assert_int_equal(store_spill_find(s, &b, &found), STORE_ABSENT);
	assert_int_equal(store_spill_find(s, &a, &found), 0);
	assert_int_equal(store_spill_queries(s), 1);
	assert_int_equal(store_spill_expire(s, 60000), 0);
	assert_true(fd_exists(found));
	store_spill_drop(s, Q1);
	assert_false(fd_exists(found));
	assert_int_equal(fd_write_file(out, "x", 1, 0600, NULL), 0);
	assert_int_equal(store_spill_commit(s, &a, out, NULL), 0);
	assert_int_equal(store_spill_expire(s, 0), 1);
	assert_int_equal(store_spill_queries(s), 0);
	assert_true(fd_exists(scratch));
	store_spill_scratch_free(scratch);
	store_spill_close(TAKE_PTR(s));
	assert_int_equal(store_spill_open(p->root, &s, NULL), 0);
	assert_false(fd_exists(other)); /* a start removes all of it */
	free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rowsets_survive_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_bytes_are_not_installed, setup, teardown),
		cmocka_unit_test_setup_teardown(names_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(torn_files_go_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(keep_deletes_what_is_not_named, setup, teardown),
		cmocka_unit_test_setup_teardown(files_are_installed_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(one_process_a_root, setup, teardown),
		cmocka_unit_test_setup_teardown(spill_comes_and_goes, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
