/* StarRocks' answers as tables: what is read, and what makes the whole reading unknown. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/mysql/fake.h"
#include "scaler/source/starrocks.h"

enum { COLUMNS = 8, ROWS = 4 };

/* A result that borrows text: "A,B\n1,2" with "~" for NULL; cells are separated by commas. */
struct table {
	struct mysqlc_result r;
	char *columns[COLUMNS], *cells[COLUMNS * ROWS], text[512];
};

static struct mysqlc_result *table(struct table *t, const char *text)
{
	*t = (struct table){ .r = { .columns = t->columns, .cells = t->cells } };
	(void)snprintf(t->text, sizeof(t->text), "%s", text);
	char **to = t->columns;
	for (char *line = t->text, *next = NULL; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		for (char *cell = line, *more = NULL; cell; cell = more) {
			more = strchr(cell, ',');
			if (more)
				*more++ = '\0';
			*to++ = strcmp(cell, "~") == 0 ? NULL : cell;
		}
		if (!t->r.n_columns) {
			t->r.n_columns = (size_t)(to - t->columns);
			to = t->cells;
		} else {
			t->r.n_rows++;
		}
	}
	return &t->r;
}

#define NOW INT64_C(1764352800000) /* 2025-11-28 18:00:00 */
#define QUERIES "StartTime,State,Slots\n"

static void queries(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
		int64_t pending, running, slots, wait_s;
	} cases[] = {
		{ "StartTime,State,Slots", 0, 0, 0, 0, 0 },
		{ QUERIES "2025-11-28 17:59:50,PENDING,2\n2025-11-28 17:59:57,pending,0\n"
		          "2025-11-28 17:00:00,RUNNING,4",
		  0, 2, 1, 7, 10 },
		{ QUERIES "2025-11-28 18:00:09,PENDING,1", 0, 1, 0, 1,
		  0 }, /* clocks differ a little */
		{ QUERIES "2025-11-28 17:59:50,PENDING,~", -EINVAL, 0, 0, 0, 0 },
		{ QUERIES "2025-11-28 17:59:50,PENDING,-1", -EINVAL, 0, 0, 0, 0 },
		{ QUERIES "2025-11-28 17:59:50,PENDING,NaN", -EINVAL, 0, 0, 0, 0 },
		{ QUERIES "2025-11-28 17:59:50,PENDING,1e308", -EINVAL, 0, 0, 0, 0 },
		{ QUERIES "2025-11-28 17:59:50,LOST,1", -EINVAL, 0, 0, 0, 0 },
		{ QUERIES "yesterday,PENDING,1", -EINVAL, 0, 0, 0, 0 },
		{ QUERIES "~,PENDING,1", -EINVAL, 0, 0, 0, 0 },
		{ "State,Slots\nPENDING,1", -EINVAL, 0, 0, 0, 0 },
		{ "StartTime,Slots\n2025-11-28 17:59:50,1", -EINVAL, 0, 0, 0, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct table t;
		struct source_snapshot s = { 0 };
		struct err err = ERR_INIT;
		int rc = source_starrocks_queries(table(&t, cases[i].text), NOW, &s, &err);
		if (rc != cases[i].rc)
			fail_msg("case %zu: %d %s", i, rc, err.msg);
		if (rc < 0)
			continue;
		assert_int_equal(s.pending, cases[i].pending);
		assert_int_equal(s.running, cases[i].running);
		assert_int_equal(s.slots_asked, cases[i].slots);
		assert_int_equal((int64_t)s.oldest_wait_s, cases[i].wait_s);
	}
}

#define NODES "Alive,SystemDecommissioned,ClusterDecommissioned,CpuCores,NumRunningQueries\n"

static void nodes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
		int64_t nodes, draining, idle, tasks, slots;
	} cases[] = {
		{ "Alive", 0, 0, 0, 0, 0, 0 },
		{ NODES "true,false,false,8,3\ntrue,false,false,0,0\ntrue,true,false,8,1\n"
		        "false,false,false,8,9",
		  0, 2, 1, 1, 4, 9 },
		{ NODES "true,false,true,8,0", 0, 0, 1, 0, 0, 0 },
		{ NODES "yes,false,false,8,0", -EINVAL, 0, 0, 0, 0, 0 },
		{ NODES "true,false,false,~,0", -EINVAL, 0, 0, 0, 0, 0 },
		{ NODES "true,false,false,8,-1", -EINVAL, 0, 0, 0, 0, 0 },
		{ "Alive,CpuCores\ntrue,8", -EINVAL, 0, 0, 0, 0, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct table t;
		struct source_snapshot s = { 0 };
		struct err err = ERR_INIT;
		int rc = source_starrocks_nodes(table(&t, cases[i].text), NULL, &s, &err);
		if (rc != cases[i].rc)
			fail_msg("case %zu: %d %s", i, rc, err.msg);
		if (rc < 0)
			continue;
		assert_int_equal(s.nodes, cases[i].nodes);
		assert_int_equal(s.draining, cases[i].draining);
		assert_int_equal(s.idle_nodes, cases[i].idle);
		assert_int_equal(s.tasks, cases[i].tasks);
		assert_int_equal(s.slots, cases[i].slots);
	}
}

#define PENDING(n) "starrocks_fe_query_queue_pending " n "\n"

static void metrics(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
		int64_t pending, slots;
	} cases[] = {
		{ PENDING("3"), 0, 3,
		  12 }, /* 2 with 11 slots by SQL, and one that waits for none */
		{ PENDING("1"), 0, 2, 11 },
		{ PENDING("0") "starrocks_fe_query_latency_ms{quantile=\"0.75\"} 1500\n", 0, 2,
		  11 },
		{ "", -EINVAL, 0, 0 },
		{ "x 1\n", -EINVAL, 0, 0 },
		{ "starrocks_fe_query_queue_pending 3", -EINVAL, 0,
		  0 }, /* a cut line may be a 30 */
		{ PENDING("NaN"), -EINVAL, 0, 0 },
		{ PENDING("+Inf"), -EINVAL, 0, 0 },
		{ PENDING("-1"), -EINVAL, 0, 0 },
		{ PENDING("1e308"), -EINVAL, 0, 0 },
		{ PENDING("1") "starrocks_fe_query_latency_ms{quantile=\"0.75\"} NaN\n", -EINVAL, 0,
		  0 },
		{ "<html>\n", -EINVAL, 0, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct source_snapshot s = { .pending = 2, .slots_asked = 11 };
		struct err err = ERR_INIT;
		int rc = source_starrocks_metrics(str_of(cases[i].text), &s, &err);
		if (rc != cases[i].rc)
			fail_msg("case %zu: %d %s", i, rc, err.msg);
		if (rc < 0)
			continue;
		assert_int_equal(s.pending, cases[i].pending);
		assert_int_equal(s.slots_asked, cases[i].slots);
	}
}

/* ---- the leader ------------------------------------------------------------------------------- */

static const char *leader_ip;

static bool answer_frontends(void *arg, int fd, const char *sql)
{
	const struct mysqlc_fake *f = arg;
	static const char *const names[] = { "IP", "HttpPort", "QueryPort", "Role", "Alive" };
	char port[8];
	(void)snprintf(port, sizeof(port), "%d", f->port);
	const char *const cells[] = { "127.0.0.1", "1", port, "FOLLOWER", "true",
		                      leader_ip,   "1", port, "LEADER",   "true" };
	if (strcmp(sql, "SHOW FRONTENDS") != 0)
		return false;
	mysqlc_fake_rows(fd, names, 5, cells, 2);
	return true;
}

/* An FE cannot lead us to addresses that are the machine's own or the cloud's. */
static void a_leader_is_not_followed_anywhere(void **state)
{
	(void)state;
	static const char *const bad[] = { "169.254.169.254", "0.0.0.0",          "::1",
		                           "fe80::1",         "::ffff:127.0.0.1", "localhost" };
	struct mysqlc_fake fake = { .on_statement = answer_frontends };
	fake.arg = &fake;
	assert_int_equal(mysqlc_fake_start(&fake), 0);
	char host[] = "127.0.0.1";
	struct source_login login = { .host = host, .query_port = fake.port, .http_port = 1 };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(source_starrocks_freep) struct source_starrocks *c = NULL;
		struct source_load s;
		struct err err = ERR_INIT;
		leader_ip = bad[i];
		assert_int_equal(source_starrocks_new(&login, NULL, &c, NULL), 0);
		assert_int_equal(source_starrocks_ask(c, false, deadline_in(5000), &s, &err),
		                 -EINVAL);
		if (!strstr(err.msg, "no usable address"))
			fail_msg("%s: %s", bad[i], err.msg);
	}
	mysqlc_fake_stop(&fake);
}

/* ---- as whom, and over what ------------------------------------------------------------------- */

static atomic_int statements;

static bool count_statement(void *arg, int fd, const char *sql)
{
	(void)arg;
	(void)fd;
	(void)sql;
	atomic_fetch_add(&statements, 1);
	return false;
}

/* The FE speaks in the clear only, and refuses the user "nobody" (fake.h). */
static void nothing_is_said_but_as_the_cluster_wants(void **state)
{
	(void)state;
	char host[] = "127.0.0.1", nobody[] = "nobody", ca[] = MYSQLC_FAKE_CA, none[] = "",
	     junk[] = "junk";
	char file[] = "/tmp/roost-ca-XXXXXX", empty[] = "/dev/null";
	int fd = mkstemp(file);
	assert_int_equal(fd_write_file(file, ca, strlen(ca), 0600, NULL), 0);
	static const char not_trusted[] = "certificate must be for 127.0.0.1";
	struct mysqlc_fake fake = { .on_statement = count_statement };
	assert_int_equal(mysqlc_fake_start(&fake), 0);
	const struct {
		struct source_login login;
		int rc;
		const char *says;
	} cases[] = {
		{ { .user = nobody }, -EACCES, "Access denied" },
		{ { .tls_name = host, .ca = ca }, -EKEYREJECTED, not_trusted },
		{ { .tls_name = host, .ca = junk }, -EKEYREJECTED, not_trusted },
		{ { .tls_name = host, .ca = none }, -EKEYREJECTED, "no ca.crt" },
		{ { .tls_name = host }, -EKEYREJECTED, "no ca.crt" },
		{ { .tls_name = host, .ca_file = file }, -EKEYREJECTED, not_trusted },
		{ { .tls_name = host, .ca_file = empty }, -EKEYREJECTED, "no ca.crt" },
		{ { .tls_name = host, .ca_file = junk }, -ENOENT, "junk" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(source_starrocks_freep) struct source_starrocks *c = NULL;
		struct source_login login = cases[i].login;
		struct source_load s;
		struct err err = ERR_INIT;
		login.host = host;
		login.query_port = fake.port;
		login.http_port = 1;
		assert_int_equal(source_starrocks_new(&login, NULL, &c, NULL), 0);
		int rc = source_starrocks_ask(c, false, deadline_in(5000), &s, &err);
		if (rc != cases[i].rc || !strstr(err.msg, cases[i].says))
			fail_msg("case %zu: %d %s", i, rc, err.msg);
		assert_int_equal(atomic_load(&statements), 0);
	}
	(void)close(fd);
	(void)unlink(file);
	mysqlc_fake_stop(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queries),
		cmocka_unit_test(nodes),
		cmocka_unit_test(metrics),
		cmocka_unit_test(a_leader_is_not_followed_anywhere),
		cmocka_unit_test(nothing_is_said_but_as_the_cluster_wants),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
