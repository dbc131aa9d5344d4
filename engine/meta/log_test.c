#include <errno.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/meta/log.h"
#include "engine/meta/log_format.h"
#include "lib/base/buf.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

/* What a replay saw: the snapshot's text, then "|" and each record's. */
struct seen {
	struct buf text;
	uint64_t last;
};

static int see_snapshot(void *arg, uint64_t index, struct str bytes, struct err *err)
{
	struct seen *s = arg;
	(void)err;
	s->last = index;
	return buf_addf(&s->text, "[%.*s]", STR_ARG(bytes));
}

static int see_record(void *arg, uint64_t index, struct str bytes, struct err *err)
{
	struct seen *s = arg;
	(void)err;
	s->last = index;
	return buf_addf(&s->text, "|%.*s", STR_ARG(bytes));
}

static struct meta_log *open_log(const char *dir, const char *want, struct err *err)
{
	struct seen seen = { .text = BUF_INIT(1 << 20) };
	struct meta_log_replay replay = { see_snapshot, see_record, &seen };
	struct meta_log *l = NULL;
	int rc = meta_log_open(dir, &replay, &l, err);
	if (rc == 0)
		assert_string_equal(buf_cstr(&seen.text), want);
	buf_free(&seen.text);
	return l;
}

static void append(struct meta_log *l, const char *text, uint64_t want_index)
{
	struct err err = ERR_INIT;
	uint64_t index = 0;
	assert_int_equal(meta_log_append(l, str_of(text), &index, &err), 0);
	assert_int_equal(index, want_index);
}

static int make_dir(void **state)
{
	char dir[] = "/tmp/roost-log-XXXXXX";
	if (!mkdtemp(dir))
		return -1;
	*state = xstrdup(dir);
	return 0;
}

static int drop_dir(void **state)
{
	struct err err = ERR_INIT;
	int rc = fd_rm_rf(*state, &err);
	free(*state);
	return rc;
}

static void records_and_snapshots_come_back(void **state)
{
	struct err err = ERR_INIT;
	struct meta_log *l = open_log(*state, "", &err);
	append(l, "a", 1);
	append(l, "bb", 2);
	assert_int_equal(meta_log_bytes(l), 3);
	assert_null(open_log(*state, "", &err)); /* two at once: refused */
	assert_int_equal(err.code, -EBUSY);
	meta_log_close(l);
	l = open_log(*state, "|a|bb", &err);
	assert_int_equal(meta_log_snapshot(l, STR_LIT("AB"), &err), 0);
	assert_int_equal(meta_log_bytes(l), 0);
	append(l, "c", 3);
	meta_log_close(l);
	l = open_log(*state, "[AB]|c", &err);
	append(l, "d", 4);
	assert_int_equal(meta_log_snapshot(l, STR_LIT("ABCD"), &err), 0);
	assert_int_equal(meta_log_snapshot(l, STR_LIT("ABCD'"), &err), 0);
	meta_log_close(l);
	meta_log_close(open_log(*state, "[ABCD']", &err));
}

static char *segment(const char *dir, unsigned long long first)
{
	return xasprintf("%s/log-%020llu", dir, first);
}

/* A crash between the snapshot and the deletion of what it replaces leaves both. */
static void old_segments_beside_a_snapshot(void **state)
{
	struct err err = ERR_INIT;
	struct meta_log *l = open_log(*state, "", &err);
	append(l, "a", 1);
	append(l, "b", 2);
	autofree char *path = segment(*state, 1);
	_cleanup_buf_ struct buf old = BUF_INIT(1000);
	assert_int_equal(fd_read_file(path, &old, &err), 0);
	assert_int_equal(meta_log_snapshot(l, STR_LIT("S"), &err), 0);
	append(l, "c", 3);
	meta_log_close(l);
	assert_int_equal(fd_write_file(path, old.p, old.len, 0600, &err), 0);
	meta_log_close(open_log(*state, "[S]|c", &err));
}

static void a_torn_tail_is_cut_at_every_byte(void **state)
{
	struct err err = ERR_INIT;
	struct meta_log *l = open_log(*state, "", &err);
	append(l, "first", 1);
	append(l, "second", 2);
	meta_log_close(l);
	autofree char *path = segment(*state, 1);
	_cleanup_buf_ struct buf whole = BUF_INIT(1000);
	assert_int_equal(fd_read_file(path, &whole, &err), 0);
	size_t first_end = META_LOG_SEGMENT_HEADER + META_LOG_RECORD_HEADER + 5;
	for (size_t cut = 0; cut < whole.len; cut++) {
		assert_int_equal(fd_write_file(path, whole.p, cut, 0600, &err), 0);
		l = open_log(*state, cut >= first_end ? "|first" : "", &err);
		assert_non_null(l);
		append(l, "again", cut >= first_end ? 2 : 1);
		meta_log_close(l);
		meta_log_close(
			open_log(*state, cut >= first_end ? "|first|again" : "|again", &err));
	}
	/* The file had grown, but the data never came: zeros. */
	_cleanup_buf_ struct buf zeros = BUF_INIT(20000);
	(void)buf_add(&zeros, whole.p, whole.len);
	for (int i = 0; i < 9000; i++)
		(void)buf_addc(&zeros, '\0');
	assert_int_equal(fd_write_file(path, zeros.p, zeros.len, 0600, &err), 0);
	meta_log_close(open_log(*state, "|first|second", &err));
}

static void other_damage_is_refused_by_name(void **state)
{
	struct err err = ERR_INIT;
	struct meta_log *l = open_log(*state, "", &err);
	append(l, "first", 1);
	append(l, "second", 2);
	append(l, "third", 3);
	meta_log_close(l);
	autofree char *path = segment(*state, 1);
	_cleanup_buf_ struct buf whole = BUF_INIT(1000);
	assert_int_equal(fd_read_file(path, &whole, &err), 0);
	/* Every flipped bit before the last record: magic, version, lengths, checksums, indexes, payloads. */
	size_t last = whole.len - META_LOG_RECORD_HEADER - 5;
	for (size_t bit = 0; bit < last * 8; bit++) {
		whole.p[bit / 8] = (char)(whole.p[bit / 8] ^ (1 << bit % 8));
		assert_int_equal(fd_write_file(path, whole.p, whole.len, 0600, &err), 0);
		assert_null(open_log(*state, "never", &err));
		assert_int_equal(err.code, -EBADMSG);
		assert_non_null(strstr(err.msg, path));
		whole.p[bit / 8] = (char)(whole.p[bit / 8] ^ (1 << bit % 8));
	}
	/* A missing record. */
	_cleanup_buf_ struct buf hole = BUF_INIT(1000);
	(void)buf_add(&hole, whole.p, META_LOG_SEGMENT_HEADER);
	(void)buf_add(&hole, whole.p + last, whole.len - last);
	assert_int_equal(fd_write_file(path, hole.p, hole.len, 0600, &err), 0);
	assert_null(open_log(*state, "never", &err));
}

static void a_damaged_snapshot_is_refused(void **state)
{
	struct err err = ERR_INIT;
	struct meta_log *l = open_log(*state, "", &err);
	append(l, "a", 1);
	assert_int_equal(meta_log_snapshot(l, STR_LIT("STATE"), &err), 0);
	meta_log_close(l);
	autofree char *path = xasprintf("%s/snapshot-%020d", (char *)*state, 1);
	_cleanup_buf_ struct buf whole = BUF_INIT(1000);
	assert_int_equal(fd_read_file(path, &whole, &err), 0);
	for (size_t bit = 0; bit < whole.len * 8; bit++) {
		whole.p[bit / 8] = (char)(whole.p[bit / 8] ^ (1 << bit % 8));
		assert_int_equal(fd_write_file(path, whole.p, whole.len, 0600, &err), 0);
		assert_null(open_log(*state, "never", &err));
		assert_int_equal(err.code, -EBADMSG);
		whole.p[bit / 8] = (char)(whole.p[bit / 8] ^ (1 << bit % 8));
	}
}

/* RLIMIT_FSIZE stands in for a full disk: the append fails, nothing of it stays, and with room again all goes on. */
static void a_full_disk_is_survived(void **state)
{
	struct err err = ERR_INIT;
	struct meta_log *l = open_log(*state, "", &err);
	append(l, "a", 1);
	struct rlimit before;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	struct rlimit small = { 60, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	static const char big[] = "0123456789012345678901234567890123456789";
	uint64_t index = 0;
	int rc = meta_log_append(l, STR_LIT(big), &index, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(rc < 0);
	append(l, "b", 2);
	meta_log_close(l);
	meta_log_close(open_log(*state, "|a|b", &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records_and_snapshots_come_back, make_dir,
		                                drop_dir),
		cmocka_unit_test_setup_teardown(old_segments_beside_a_snapshot, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_torn_tail_is_cut_at_every_byte, make_dir,
		                                drop_dir),
		cmocka_unit_test_setup_teardown(other_damage_is_refused_by_name, make_dir,
		                                drop_dir),
		cmocka_unit_test_setup_teardown(a_damaged_snapshot_is_refused, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_full_disk_is_survived, make_dir, drop_dir),
	};
	(void)setenv("ROOST_LOG", "error", 1);
	log_init("test");
	(void)signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
