#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/meta/log.h"
#include "engine/meta/meta.h"
#include "engine/meta/meta_priv.h"
#include "engine/meta/state.h"
#include "engine/meta/txn.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { KILLS = 24 };

static int make_dir(void **state)
{
	char dir[] = "/tmp/roost-meta-XXXXXX";
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

static struct meta *open_meta(const char *dir)
{
	struct meta *m = NULL;
	struct err err = ERR_INIT;
	int rc = meta_open(dir, &m, &err);
	if (rc < 0)
		fprintf(stderr, "%s\n", err.msg);
	assert_int_equal(rc, 0);
	return m;
}

/* Submits JSON written with ' for ". Returns the code; the result's `field` in *ret. */
static int run(struct meta *m, enum meta_command command, const char *text, const char *field,
               int64_t *ret)
{
	autofree char *quoted = xstrdup(text);
	for (char *c = quoted; *c; c++)
		if (*c == '\'')
			*c = '"';
	struct err err = ERR_INIT;
	json_t *p = NULL;
	assert_int_equal(data_json_parse(str_of(quoted), &p, &err), 0);
	_cleanup_json_ json_t *result = NULL;
	int rc = meta_submit(m, command, p, &result, &err);
	if (rc == 0)
		assert_true(json_is_object(result));
	else
		assert_true(err.code == rc && err.msg[0]);
	if (field)
		*ret = data_get_int(result, field, -1);
	return rc;
}

#define TABLE_HEAD                                                                               \
	"{'db':'d','name':'%s','columns':[{'name':'k','type':'BIGINT','declared':'bigint',"      \
	"'nullable':false,'key':true},{'name':'V','type':'VARCHAR','declared':'varchar(20)',"    \
	"'nullable':true,'key':false,'default':'x'}],'keys_type':'DUPLICATE','keys':['k'],"      \
	"'distribution':['K'],'buckets':2,'replication_num':1,'storage':'%s','properties':{'p':" \
	"'q'},'comment':'two\\nlines'%s}"

/* Database d with two BEs, table t (local, two tablets on BE 1 and 2) and table b (bucket). */
static void populate(struct meta *m, int64_t be[2])
{
	assert_int_equal(run(m, META_CREATE_DATABASE, "{'name':'d'}", NULL, NULL), 0);
	assert_int_equal(run(m, META_ADD_NODE,
	                     "{'role':'be','host':'be-0','heartbeat_port':9050,'ts':1}", "id",
	                     &be[0]),
	                 0);
	assert_int_equal(run(m, META_ADD_NODE,
	                     "{'role':'be','host':'be-1','heartbeat_port':9050,'ts':2}", "id",
	                     &be[1]),
	                 0);
	autofree char *places =
		xasprintf(",'replicas':[[%lld],[%lld]]", (long long)be[0], (long long)be[1]);
	autofree char *local = xasprintf(TABLE_HEAD, "t", "local", places);
	autofree char *bucket = xasprintf(TABLE_HEAD, "b", "bucket", "");
	assert_int_equal(run(m, META_CREATE_TABLE, local, NULL, NULL), 0);
	assert_int_equal(run(m, META_CREATE_TABLE, bucket, NULL, NULL), 0);
}

static void a_cluster_is_founded_once(void **state)
{
	struct meta *m = open_meta(*state);
	int64_t id = meta_cluster_id(m);
	assert_true(id > 0);
	assert_int_equal(meta_last_applied(m), 1);
	meta_close(m);
	m = open_meta(*state);
	assert_int_equal(meta_cluster_id(m), id);
	assert_string_equal(meta_password_hash(m, "root"), "");
	assert_null(meta_password_hash(m, "nobody"));
	meta_close(m);
}

static void refusals_carry_mysqls_numbers(void **state)
{
	struct meta *m = open_meta(*state);
	int64_t be[2];
	populate(m, be);
	autofree char *same = xasprintf(TABLE_HEAD, "t", "bucket", "");
	autofree char *unplaced = xasprintf(TABLE_HEAD, "u", "local", "");
	autofree char *nowhere = xasprintf(TABLE_HEAD, "u", "local", ",'replicas':[[1],[2]]");
	const struct {
		enum meta_command command;
		const char *payload;
		int want;
	} cases[] = {
		{ META_CREATE_DATABASE, "{'name':'d'}", 1007 },
		{ META_CREATE_DATABASE, "{'name':''}", 1064 },
		{ META_CREATE_DATABASE, "{'name':'a\\u0001b'}", 1064 },
		{ META_CREATE_DATABASE, "{'name':7}", 1064 },
		{ META_DROP_DATABASE, "{'name':'x'}", 1008 },
		{ META_DROP_TABLE, "{'db':'d','name':'x'}", 1051 },
		{ META_DROP_TABLE, "{'db':'x','name':'x'}", 1049 },
		{ META_TRUNCATE_TABLE, "{'db':'d','name':'x'}", 1051 },
		{ META_CREATE_TABLE, same, 1050 },
		{ META_CREATE_TABLE, unplaced, 1064 },
		{ META_CREATE_TABLE, nowhere, 1064 },
		{ META_CREATE_TABLE, "{}", 1064 },
		{ META_ADD_NODE, "{'role':'be','host':'BE-0','heartbeat_port':9050,'ts':1}", 1064 },
		{ META_ADD_NODE, "{'role':'cn','host':'be-0','heartbeat_port':9050,'ts':1}", 1064 },
		{ META_ADD_NODE, "{'role':'be','host':'be-2','heartbeat_port':0,'ts':1}", 1064 },
		{ META_ADD_NODE, "{'role':'fe','host':'be-2','heartbeat_port':1,'ts':1}", 1064 },
		{ META_DROP_NODE, "{'role':'be','host':'be-0','heartbeat_port':9050}", 1064 },
		{ META_DROP_NODE, "{'role':'cn','host':'be-0','heartbeat_port':9050}", 1064 },
		{ META_SET_NODE, "{'id':1,'decommissioned':true}", 1064 },
		{ META_SET_REPLICAS, "{'tablet':1,'replicas':[1]}", 1105 },
		{ META_SET_PASSWORD, "{'user':'x','hash':''}", 1133 },
		{ META_SET_PASSWORD, "{'user':'root','hash':'secret'}", 1372 },
		{ META_SET_VARIABLE, "{'name':'v'}", 1231 },
		{ META_FOUND, "{'cluster_id':5,'ts':1}", 1105 },
		{ META_RESERVE_TXNS, "{'n':0}", 1064 },
		{ META_COMMIT_LOAD,
		  "{'txn':1,'ts':1,'db':'d','label':'l','table':1,'rows':1,"
		  "'bytes':1}",
		  1146 },
		{ META_ABORT_LOAD, "{'txn':1,'ts':1}", 1064 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int rc = run(m, cases[i].command, cases[i].payload, NULL, NULL);
		if (rc != SQL_ERR(cases[i].want))
			fail_msg("%s gave %d", cases[i].payload, rc);
	}
	meta_close(m);
}

/* The state as text: two states are the same when their snapshots are. */
static char *text_of(struct meta *m)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 24);
	meta_snapshot_encode(&m->state, &out);
	return buf_take(&out);
}

static void load_into_t(struct meta *m, const char *label, int64_t *ret_txn)
{
	struct err err = ERR_INIT;
	_cleanup_meta_txn_ struct meta_txn_begun b;
	struct meta_txn_request rq = { .db = "d", .table = "t", .label = label, .user = "root" };
	assert_int_equal(meta_txn_begin(m, &rq, &b, &err), 0);
	_cleanup_json_ json_t *rowsets =
		json_pack("[{s:I, s:s, s:i, s:i, s:s}]", "tablet",
	                  (json_int_t)data_get_int(b.output, "tablets.1.id", 0), "id", b.query,
	                  "rows", 3, "bytes", 100, "crc", "0123abcd");
	int64_t version = 0;
	assert_int_equal(meta_txn_commit(m, b.txn, 3, 100, rowsets, &version, &err), 0);
	assert_true(version > 1);
	*ret_txn = b.txn;
}

static void everything_survives_a_restart_and_a_snapshot(void **state)
{
	struct meta *m = open_meta(*state);
	int64_t be[2], txn = 0, again = 0;
	populate(m, be);
	load_into_t(m, "one", &txn);
	load_into_t(m, "two", &txn);
	assert_int_equal(run(m, META_SET_VARIABLE, "{'name':'a','value':'1'}", NULL, NULL), 0);
	assert_int_equal(run(m, META_ADD_NODE,
	                     "{'role':'cn','host':'::1','heartbeat_port':9050,'ts':3}", NULL, NULL),
	                 0);
	autofree char *p = xasprintf("{'id':%lld,'decommissioned':true}", (long long)be[0]);
	assert_int_equal(run(m, META_SET_NODE, p, NULL, NULL), 0);
	meta_rdlock(m);
	const struct meta_table *t = meta_table(m, "d", "t");
	assert_int_equal(t->n_tablets, 2);
	assert_int_equal(t->tablets[1].n_rowsets, 2);
	assert_int_equal(t->tablets[1].rowsets[1].crc, 0x0123abcd);
	assert_int_equal(t->version, 3);
	assert_int_equal(t->rows, 6);
	assert_string_equal(meta_table_column(t, "v")->default_text, "x");
	assert_int_equal(meta_tablets_on(m, be[1]), 1);
	meta_rdunlock(m);
	autofree char *before = text_of(m);
	meta_close(m);
	m = open_meta(*state);
	autofree char *replayed = text_of(m);
	assert_string_equal(before, replayed);
	struct err err = ERR_INIT;
	assert_int_equal(meta_log_snapshot(m->log, str_of(before), &err), 0);
	meta_close(m);
	m = open_meta(*state);
	autofree char *decoded = text_of(m);
	assert_string_equal(before, decoded);
	load_into_t(m, "three", &again);
	assert_true(again > txn); /* ids of transactions are not used twice */
	assert_int_equal(run(m, META_DROP_DATABASE, "{'name':'d'}", NULL, NULL), 0);
	meta_rdlock(m);
	assert_null(meta_table(m, "d", "t"));
	assert_false(meta_has_db(m, "d"));
	meta_rdunlock(m);
	meta_close(m);
}

static void tables_are_emptied_and_nodes_forced_out(void **state)
{
	struct meta *m = open_meta(*state);
	int64_t be[2], txn = 0;
	populate(m, be);
	load_into_t(m, "one", &txn);
	assert_int_equal(run(m, META_TRUNCATE_TABLE, "{'db':'d','name':'t'}", NULL, NULL), 0);
	assert_int_equal(run(m, META_DROP_NODE,
	                     "{'role':'be','host':'be-1','heartbeat_port':9050,'force':true}", NULL,
	                     NULL),
	                 0);
	meta_rdlock(m);
	const struct meta_table *t = meta_table(m, "d", "t");
	assert_int_equal(t->tablets[1].n_rowsets, 0);
	assert_int_equal(t->tablets[1].n_replicas, 0);
	assert_int_equal(t->rows, 0);
	assert_int_equal(t->version, 3);
	meta_rdunlock(m);
	autofree char *before = text_of(m);
	meta_close(m);
	m = open_meta(*state);
	autofree char *after = text_of(m);
	assert_string_equal(before, after);
	meta_close(m);
}

/* The sample of format 1 that every later version must read. */
static void the_sample_of_version_1_is_read(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf sample = BUF_INIT(1 << 20);
	assert_int_equal(fd_read_file("engine/meta/corpus/snapshot/version_1", &sample, &err), 0);
	struct meta_state s;
	meta_state_init(&s);
	assert_int_equal(meta_snapshot_decode((struct str){ sample.p, sample.len }, &s, &err), 0);
	assert_int_equal(s.cluster_id, 5);
	assert_int_equal(meta_state_table(&s, "d", "t")->tablets[0].rowsets[0].crc, 0xdeadbeef);
	assert_string_equal(meta_state_load(&s, "d", "l")->state, "FINISHED");
	assert_string_equal(map_get(s.variables, "v"), "1");
	meta_state_free(&s);
}

/* What a restart could not read must not get into the log. */
static void unreadable_payloads_stay_out(void **state)
{
	struct meta *m = open_meta(*state);
	struct err err = ERR_INIT;
	json_t *deep = json_object();
	for (int i = 0; i < 2000; i++)
		deep = json_pack("{s:o}", "x", deep);
	json_t *p = json_pack("{s:s, s:o}", "name", "d", "deep", deep);
	assert_int_equal(meta_submit(m, META_CREATE_DATABASE, p, NULL, &err), SQL_ERR(1105));
	assert_int_equal(meta_submit(m, META_CREATE_DATABASE, NULL, NULL, &err), SQL_ERR(1105));
	assert_int_equal(meta_last_applied(m), 1);
	meta_close(m);
	meta_close(open_meta(*state));
}

/* The child writes one byte for each command that was acknowledged, until it is killed. */
static void submit_until_killed(const char *dir, int fd, int round)
{
	struct meta *m = NULL;
	struct err err = ERR_INIT;
	if (meta_open(dir, &m, &err) < 0)
		_exit(2);
	for (int i = 0;; i++) {
		autofree char *name = xasprintf("r%d_%d", round, i);
		json_t *p = json_pack("{s:s, s:{s:s}}", "name", name, "pad", "pad",
		                      "0123456789012345678901234567890123456789");
		if (meta_submit(m, META_CREATE_DATABASE, p, NULL, &err) < 0)
			_exit(3);
		if (i % 50 == 49) { /* the window of the snapshot's renames and deletions, too */
			_cleanup_buf_ struct buf out = BUF_INIT(1 << 24);
			meta_snapshot_encode(&m->state, &out);
			if (meta_log_snapshot(m->log, (struct str){ out.p, out.len }, &err) < 0)
				_exit(4);
		}
		if (write(fd, "x", 1) != 1)
			_exit(5);
	}
}

/* At least `least` of them, then a while longer: a busy machine gives the child its turn late. */
static int count_until_killed(int fd, pid_t child, int least, int64_t ms)
{
	char chunk[4096];
	int total = 0;
	ssize_t n = 1;
	while (total < least && (n = read(fd, chunk, sizeof(chunk))) > 0)
		total += (int)n;
	clock_sleep_ms(ms);
	assert_int_equal(kill(child, SIGKILL), 0);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		total += (int)n;
	return total;
}

static void kill_9_loses_nothing_acknowledged(void **state)
{
	uint64_t seed = 20261121;
	int acknowledged = 0;
	for (int round = 0; round < KILLS; round++) {
		int fds[2];
		assert_int_equal(pipe(fds), 0);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			close(fds[0]);
			submit_until_killed(*state, fds[1], round);
		}
		close(fds[1]);
		seed = seed * 6364136223846793005U + 1442695040888963407U;
		/* Every third while it opens, perhaps. */
		int acked = count_until_killed(fds[0], child, round % 3 * 2,
		                               20 + (int64_t)(seed >> 33) % 60);
		close(fds[0]);
		int status = 0;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		acknowledged += acked;
		struct meta *m = open_meta(*state);
		meta_rdlock(m);
		for (int i = 0; i < acked; i++) {
			autofree char *name = xasprintf("r%d_%d", round, i);
			if (!meta_has_db(m, name))
				fail_msg("round %d: %s was acknowledged and is gone", round, name);
		}
		meta_rdunlock(m);
		meta_close(m);
	}
	assert_true(acknowledged > KILLS);
	print_message("%d kills, %d acknowledged, 0 lost\n", KILLS, acknowledged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_cluster_is_founded_once, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(refusals_carry_mysqls_numbers, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(everything_survives_a_restart_and_a_snapshot,
		                                make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(tables_are_emptied_and_nodes_forced_out, make_dir,
		                                drop_dir),
		cmocka_unit_test(the_sample_of_version_1_is_read),
		cmocka_unit_test_setup_teardown(unreadable_payloads_stay_out, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(kill_9_loses_nothing_acknowledged, make_dir,
		                                drop_dir),
	};
	(void)setenv("ROOST_LOG", "error", 1);
	log_init("test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
