#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cmocka.h>
#include <mariadb/mysql.h>

#include "engine/sql/connections.h"
#include "engine/sql/lex.h"
#include "engine/sql/sink.h"
#include "engine/wire/wire.h"
#include "lib/base/fd.h"

/* Sessions of canned answers stand in for sql/: the protocol alone is under test. */
struct sql_session {
	uint32_t id;
	struct sql_server *server;
	char db[64];
	atomic_bool killed, gone;
	void (*on_kill)(void *arg);
	void *arg;
};
static char root_hash[SQL_PASSWORD_HASH_MAX];
static atomic_int wait_timeout = 600, sleeping;

int sql_session_new(struct sql_server *server, uint32_t id, const char *user, const char *peer,
                    struct sql_session **ret, struct err *err)
{
	(void)err;
	struct sql_session *s = xcalloc(1, sizeof(*s));
	s->id = id;
	s->server = server;
	sql_connections_add(server->connections, id, s, user, peer);
	*ret = s;
	return 0;
}

void sql_session_free(struct sql_session *s)
{
	if (!s)
		return;
	sql_connections_del(s->server->connections, s->id, s);
	free(s);
}

int sql_session_use(struct sql_session *s, const char *db, struct err *err)
{
	if (strcmp(db, "none") == 0)
		return err_set(err, SQL_ERR(1049), "Unknown database 'none'");
	(void)snprintf(s->db, sizeof(s->db), "%s", db);
	return 0;
}

void sql_session_kill(struct sql_session *s, bool connection)
{
	if (connection)
		s->gone = true;
	s->killed = true;
	if (connection)
		s->on_kill(s->arg);
}

bool sql_session_killed(struct sql_session *s, bool connection)
{
	return connection ? s->gone : s->killed;
}

void sql_session_on_kill(struct sql_session *s, void (*fn)(void *arg), void *arg)
{
	s->on_kill = fn;
	s->arg = arg;
}

void sql_session_reset(struct sql_session *s)
{
	s->killed = false;
}

int64_t sql_session_int(struct sql_session *s, const char *variable, int64_t absent)
{
	(void)s;
	return strcmp(variable, "wait_timeout") == 0 ? wait_timeout : absent;
}

bool sql_server_password(struct sql_server *server, const char *user,
                         char out[SQL_PASSWORD_HASH_MAX])
{
	(void)server;
	memcpy(out, root_hash, sizeof(root_hash));
	return strcmp(user, "root") == 0;
}

static int one_text(struct sql_sink *sink, const char *name, struct sql_cell cell, struct err *err)
{
	struct sql_column column = { .name = name, .type = SQL_TYPE_VARCHAR };
	int rc = sink->columns(sink, &column, 1, err);
	if (rc == 0)
		rc = sink->row(sink, &cell, 1, err);
	return rc < 0 ? rc : sink->done(sink, err);
}

static int all_types(struct sql_sink *sink, struct err *err)
{
	static const struct sql_column columns[] = {
		{ "b", SQL_TYPE_BOOL, 0, 0 },      { "i", SQL_TYPE_INT, 0, 0 },
		{ "l", SQL_TYPE_BIGINT, 0, 0 },    { "h", SQL_TYPE_LARGEINT, 0, 0 },
		{ "d", SQL_TYPE_DOUBLE, 0, 0 },    { "e", SQL_TYPE_DECIMAL, 10, 2 },
		{ "t", SQL_TYPE_DATE, 0, 0 },      { "m", SQL_TYPE_DATETIME, 0, 0 },
		{ "v", SQL_TYPE_VARCHAR, 0, 0 },   { "n", SQL_TYPE_VARCHAR, 0, 0 },
		{ "y", SQL_TYPE_VARBINARY, 0, 0 },
	};
	static const char *const texts[] = { "1",
		                             "-7",
		                             "9223372036854775807",
		                             "170141183460469231731687303715884105727",
		                             "0.5",
		                             "12.50",
		                             "2024-02-29",
		                             "2024-02-29 12:00:01",
		                             "h\xc3\xa9",
		                             NULL,
		                             "raw" };
	struct sql_cell cells[ARRAY_LEN(texts)];
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		cells[i] = (struct sql_cell){ texts[i], texts[i] ? strlen(texts[i]) : 0 };
	int rc = sink->columns(sink, columns, ARRAY_LEN(columns), err);
	if (rc == 0)
		rc = sink->row(sink, cells, ARRAY_LEN(cells), err);
	return rc < 0 ? rc : sink->done(sink, err);
}

static int many_rows(struct sql_sink *sink, int n, struct err *err)
{
	struct sql_column column = { "n", SQL_TYPE_INT, 0, 0 };
	int rc = sink->columns(sink, &column, 1, err);
	for (int i = 0; rc == 0 && i < n; i++) {
		char text[16];
		struct sql_cell cell = { text, (size_t)snprintf(text, sizeof(text), "%d", i) };
		rc = sink->row(sink, &cell, 1, err);
	}
	return rc < 0 ? rc : sink->done(sink, err);
}

static int sleep_until_killed(struct sql_sink *sink, struct err *err)
{
	atomic_store(&sleeping, 1);
	for (int i = 0; i < 1000; i++) {
		if (sink->cancelled(sink))
			return err_set(err, SQL_ERR(1317), "Query execution was interrupted");
		clock_sleep_ms(10);
	}
	return sink->ok(sink, 0, NULL, err);
}

int sql_session_run(struct sql_session *s, struct str sql, struct sql_sink *sink, struct err *err)
{
	s->killed = false;
	if (str_eqs(sql, "types"))
		return all_types(sink, err);
	if (str_eqs(sql, "many"))
		return many_rows(sink, 100000, err);
	if (str_eqs(sql, "sleep"))
		return sleep_until_killed(sink, err);
	if (str_eqs(sql, "ok"))
		return sink->ok(sink, 3, "info", err);
	if (str_eqs(sql, "nothing"))
		return 0;
	if (str_eqs(sql, "late")) {
		struct sql_column column = { "n", SQL_TYPE_INT, 0, 0 };
		int rc = sink->columns(sink, &column, 1, err);
		return rc < 0 ? rc : err_set(err, SQL_ERR(1105), "a worker was lost");
	}
	if (str_starts(sql, "error"))
		return err_set(err, SQL_ERR(1146), "Unknown table 'x'");
	if (str_starts(sql, "KILL ")) {
		int64_t id = 0;
		(void)str_to_i64((struct str){ sql.p + 5, sql.len - 5 }, &id);
		if (!sql_connections_kill(s->server->connections, (uint32_t)id, true))
			return err_set(err, SQL_ERR(1094), "Unknown thread id: %d", (int)id);
		return sink->ok(sink, 0, NULL, err);
	}
	if (str_starts(sql, "length")) {
		char text[32];
		return one_text(sink, "length",
		                (struct sql_cell){ text, (size_t)snprintf(text, sizeof(text), "%zu",
		                                                          sql.len) },
		                err);
	}
	if (str_eqs(sql, "big")) {
		autofree char *big = xmalloc(20u << 20);
		memset(big, 'x', 20u << 20);
		return one_text(sink, "big", (struct sql_cell){ big, 20u << 20 }, err);
	}
	if (str_eqs(sql, "db"))
		return one_text(sink, "db", (struct sql_cell){ s->db, strlen(s->db) }, err);
	return one_text(sink, "sql", (struct sql_cell){ sql.p, sql.len }, err);
}

struct fixture {
	struct sql_server server;
	struct wire *wire;
};

static void start(struct fixture *f, unsigned max)
{
	struct wire_config config = { .listen_address = "127.0.0.1",
		                      .max_connections = max,
		                      .server = &f->server,
		                      .version = "8.0.33-roost-test" };
	struct err err = ERR_INIT;
	*f = (struct fixture){ 0 };
	config.server = &f->server;
	root_hash[0] = '\0';
	if (wire_start(&config, &f->wire, &err) < 0)
		fail_msg("%s", err.msg);
}

static void stop(struct fixture *f)
{
	assert_int_equal(wire_stop(f->wire, 1000), 0);
	sql_connections_free(f->server.connections);
}

static MYSQL *try_connect(struct fixture *f, const char *user, const char *password, const char *db,
                          unsigned long flags)
{
	MYSQL *m = mysql_init(NULL);
	unsigned seconds = 10;
	mysql_options(m, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	if (mysql_real_connect(m, "127.0.0.1", user, password, db, (unsigned)wire_port(f->wire),
	                       NULL, flags))
		return m;
	mysql_close(m);
	return NULL;
}

static MYSQL *must_connect(struct fixture *f)
{
	MYSQL *m = try_connect(f, "root", "", NULL, CLIENT_MULTI_STATEMENTS);
	assert_non_null(m);
	return m;
}

static void check_text(MYSQL *m, const char *sql, const char *want)
{
	if (mysql_query(m, sql))
		fail_msg("%s: %s", sql, mysql_error(m));
	MYSQL_RES *r = mysql_store_result(m);
	assert_non_null(r);
	assert_string_equal(mysql_fetch_row(r)[0], want);
	mysql_free_result(r);
}

static void logins(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 0);
	MYSQL *m = must_connect(&f);
	assert_string_equal(mysql_get_server_info(m), "8.0.33-roost-test");
	assert_int_equal(mysql_ping(m), 0);
	assert_int_equal(wire_connections(f.wire), 1);
	mysql_close(m);
	assert_null(try_connect(&f, "root", "x", NULL, 0));
	assert_null(try_connect(&f, "nobody", "", NULL, 0));
	(void)snprintf(root_hash, sizeof(root_hash), "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4");
	assert_null(try_connect(&f, "root", "", NULL, 0));
	assert_null(try_connect(&f, "root", "wrong", NULL, 0));
	assert_null(try_connect(&f, "root", "mypass", "none", 0));
	m = try_connect(&f, "root", "mypass", "ssb", 0);
	assert_non_null(m);
	check_text(m, "db", "ssb");
	assert_int_equal(mysql_select_db(m, "other"), 0);
	check_text(m, "db", "other");
	assert_int_equal(mysql_select_db(m, "none"), 1);
	assert_int_equal(mysql_errno(m), 1049);
	if (mysql_change_user(m, "root", "mypass", "third"))
		fail_msg("%s", mysql_error(m));
	check_text(m, "db", "third");
	assert_int_not_equal(mysql_change_user(m, "root", "wrong", NULL), 0);
	mysql_close(m);

	/* A client that opens with MySQL 8's default method is switched. */
	m = mysql_init(NULL);
	mysql_options(m, MYSQL_DEFAULT_AUTH, "caching_sha2_password");
	assert_non_null(mysql_real_connect(m, "127.0.0.1", "root", "mypass", NULL,
	                                   (unsigned)wire_port(f.wire), NULL, 0));
	mysql_close(m);
	stop(&f);
}

static void results(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 0);
	MYSQL *m = must_connect(&f);
	assert_int_equal(mysql_query(m, "ok"), 0);
	assert_int_equal(mysql_affected_rows(m), 3);
	assert_int_equal(mysql_query(m, "types"), 0);
	MYSQL_RES *r = mysql_store_result(m);
	MYSQL_ROW row = mysql_fetch_row(r);
	assert_string_equal(row[2], "9223372036854775807");
	assert_null(row[9]);
	assert_int_equal(mysql_fetch_field_direct(r, 5)->type, MYSQL_TYPE_NEWDECIMAL);
	assert_int_equal(mysql_fetch_field_direct(r, 5)->decimals, 2);
	assert_int_equal(mysql_fetch_field_direct(r, 7)->type, MYSQL_TYPE_DATETIME);
	mysql_free_result(r);
	assert_int_equal(mysql_query(m, "many"), 0);
	r = mysql_store_result(m);
	assert_int_equal(mysql_num_rows(r), 100000);
	mysql_free_result(r);
	assert_int_equal(mysql_query(m, "error"), 1);
	assert_int_equal(mysql_errno(m), 1146);
	assert_string_equal(mysql_sqlstate(m), "42S02");
	assert_int_equal(mysql_query(m, "nothing"), 1);
	assert_int_equal(mysql_query(m, " -- empty"), 1);
	assert_int_equal(mysql_errno(m), 1065);
	assert_int_equal(mysql_query(m, "late"), 0);
	assert_null(mysql_store_result(m));
	assert_string_equal(mysql_error(m), "a worker was lost");
	assert_int_equal(mysql_query(m, "big"), 0);
	r = mysql_store_result(m);
	(void)mysql_fetch_row(r);
	assert_int_equal(mysql_fetch_lengths(r)[0], 20u << 20);
	mysql_free_result(r);
	autofree char *huge = xmalloc(SQL_TEXT_MAX + 1u);
	memset(huge, ' ', SQL_TEXT_MAX);
	memcpy(huge, "length", 6);
	huge[SQL_TEXT_MAX - 1] = 'x';
	huge[SQL_TEXT_MAX] = '\0';
	check_text(m, huge, "16777216");
	mysql_close(m);
	stop(&f);
}

static void several_statements(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 0);
	MYSQL *m = must_connect(&f);
	assert_int_equal(mysql_query(m, "a ';' x; ok; error 1; never"), 0);
	MYSQL_RES *r = mysql_store_result(m);
	assert_string_equal(mysql_fetch_row(r)[0], "a ';' x");
	mysql_free_result(r);
	assert_int_equal(mysql_next_result(m), 0);
	assert_int_equal(mysql_affected_rows(m), 3);
	assert_int_equal(mysql_next_result(m), 1);
	assert_int_equal(mysql_errno(m), 1146);
	assert_int_equal(mysql_more_results(m), 0);
	check_text(m, "again;", "again");
	assert_int_equal(mysql_query(m, "ok; 'open"), 0);
	assert_int_equal(mysql_next_result(m), 1);
	assert_int_equal(mysql_errno(m), 1064);
	mysql_set_server_option(m, MYSQL_OPTION_MULTI_STATEMENTS_OFF);
	assert_int_equal(mysql_query(m, "ok; ok"), 1);
	assert_int_equal(mysql_errno(m), 1064);
	check_text(m, "one; -- comment", "one");
	mysql_close(m);
	stop(&f);
}

static void prepared_statements(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 0);
	MYSQL *m = must_connect(&f);
	MYSQL_STMT *s = mysql_stmt_init(m);
	const char *sql = "a ? b ?";
	assert_int_equal(mysql_stmt_prepare(s, sql, strlen(sql)), 0);
	assert_int_equal(mysql_stmt_param_count(s), 2);
	int64_t number = -5;
	char text[] = "it's", got[64] = "";
	unsigned long text_len = 4, got_len = 0;
	MYSQL_BIND in[2] = { { .buffer_type = MYSQL_TYPE_LONGLONG, .buffer = &number },
		             { .buffer_type = MYSQL_TYPE_STRING,
		               .buffer = text,
		               .buffer_length = 4,
		               .length = &text_len } };
	MYSQL_BIND out = { .buffer_type = MYSQL_TYPE_STRING,
		           .buffer = got,
		           .buffer_length = sizeof(got),
		           .length = &got_len };
	assert_int_equal(mysql_stmt_bind_param(s, in), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mysql_stmt_execute(s), 0);
		assert_int_equal(mysql_stmt_bind_result(s, &out), 0);
		assert_int_equal(mysql_stmt_fetch(s), 0);
		assert_string_equal(got, "a  -5 b 'it\\'s'");
		assert_int_equal(mysql_stmt_fetch(s), MYSQL_NO_DATA);
		mysql_stmt_free_result(s);
		memset(got, 0, sizeof(got));
	}
	mysql_stmt_close(s);

	s = mysql_stmt_init(m);
	assert_int_equal(mysql_stmt_prepare(s, "types", 5), 0);
	assert_int_equal(mysql_stmt_execute(s), 0);
	int64_t big = 0;
	double d = 0;
	MYSQL_TIME t = { 0 };
	my_bool is_null = 0;
	MYSQL_BIND outs[11];
	memset(outs, 0, sizeof(outs));
	for (int i = 0; i < 11; i++)
		outs[i].buffer_type = MYSQL_TYPE_NULL;
	outs[2] = (MYSQL_BIND){ .buffer_type = MYSQL_TYPE_LONGLONG, .buffer = &big };
	outs[4] = (MYSQL_BIND){ .buffer_type = MYSQL_TYPE_DOUBLE, .buffer = &d };
	outs[7] = (MYSQL_BIND){ .buffer_type = MYSQL_TYPE_DATETIME, .buffer = &t };
	outs[9].is_null = &is_null;
	assert_int_equal(mysql_stmt_bind_result(s, outs), 0);
	assert_int_equal(mysql_stmt_fetch(s),
	                 MYSQL_DATA_TRUNCATED); /* the columns bound to nothing */
	assert_true(big == INT64_MAX && d > 0.49 && d < 0.51 && is_null);
	assert_true(t.year == 2024 && t.month == 2 && t.day == 29 && t.hour == 12);
	mysql_stmt_close(s);
	mysql_close(m);
	stop(&f);
}

struct sleeper {
	MYSQL *m;
	unsigned no;
};

static void *sleep_main(void *arg)
{
	struct sleeper *s = arg;
	mysql_thread_init();
	s->no = mysql_query(s->m, "sleep") ? mysql_errno(s->m) : 0;
	mysql_thread_end();
	return NULL;
}

/* Returns when its statement runs. */
static void start_sleeper(struct sleeper *s, pthread_t *ret)
{
	atomic_store(&sleeping, 0);
	assert_int_equal(pthread_create(ret, NULL, sleep_main, s), 0);
	for (int i = 0; i < 3000 && !atomic_load(&sleeping); i++)
		clock_sleep_ms(10);
	assert_int_equal(atomic_load(&sleeping), 1);
}

static void kill_and_stop(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 0);
	struct sleeper s = { .m = must_connect(&f) };
	MYSQL *killer = must_connect(&f), *idle = must_connect(&f);
	pthread_t thread;
	start_sleeper(&s, &thread);
	assert_int_equal(mysql_kill(killer, mysql_thread_id(s.m)), 0);
	pthread_join(thread, NULL);
	assert_int_equal(s.no, 1317);
	assert_int_not_equal(mysql_ping(s.m), 0);
	mysql_close(s.m);
	assert_int_equal(mysql_kill(killer, mysql_thread_id(idle)), 0);
	assert_int_not_equal(mysql_ping(idle), 0);
	mysql_close(idle);
	assert_int_equal(mysql_kill(killer, 9999), 1);
	assert_int_equal(mysql_errno(killer), 1094);

	/* Stopping: the idle one is closed at once, the running one after the grace. */
	s.m = must_connect(&f);
	start_sleeper(&s, &thread);
	int64_t from = clock_mono_ms();
	assert_int_equal(wire_stop(f.wire, 200), 1);
	assert_true(clock_mono_ms() - from >= 190);
	sql_connections_free(f.server.connections);
	pthread_join(thread, NULL);
	assert_int_not_equal(s.no, 0);
	mysql_close(s.m);
	assert_int_not_equal(mysql_ping(killer), 0);
	mysql_close(killer);
}

static void limits(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 2);
	MYSQL *a = must_connect(&f), *b = must_connect(&f);
	MYSQL *m = mysql_init(NULL);
	assert_null(mysql_real_connect(m, "127.0.0.1", "root", "", NULL,
	                               (unsigned)wire_port(f.wire), NULL, 0));
	assert_int_equal(mysql_errno(m), 1040);
	mysql_close(m);
	mysql_close(a);
	for (int i = 0; i < 500 && wire_connections(f.wire) > 1; i++)
		clock_sleep_ms(10);
	a = must_connect(&f);
	wait_timeout = 1; /* from the next statement on */
	check_text(a, "x", "x");
	clock_sleep_ms(1500);
	assert_int_not_equal(mysql_ping(a), 0);
	wait_timeout = 600;
	mysql_close(a);
	mysql_close(b);
	stop(&f);
}

/* Bytes that are no MySQL client end the connection and nothing else. */
static void strangers(void **state)
{
	(void)state;
	static const struct str said[] = {
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "\x01\x00\x00\x01\x00", 5 },
		{ "\x00\x00\x00\x01", 4 },
		{ "\xff\xff\xff\x01", 4 },
		{ "", 0 },
	};
	struct fixture f;
	start(&f, 0);
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		struct sockaddr_in sa = { .sin_family = AF_INET,
			                  .sin_port = htons((uint16_t)wire_port(f.wire)),
			                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		_cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
		assert_int_equal(fd_write_all(fd, said[i].p, said[i].len, NULL), 0);
		shutdown(fd, SHUT_WR);
		char rest[4096];
		struct deadline by = deadline_in(30000);
		while (fd_read_by(fd, rest, 1, by, NULL) == 0)
			;
		assert_false(deadline_passed(by));
	}
	MYSQL *m = must_connect(&f);
	mysql_close(m);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logins),
		cmocka_unit_test(results),
		cmocka_unit_test(several_statements),
		cmocka_unit_test(prepared_statements),
		cmocka_unit_test(kill_and_stop),
		cmocka_unit_test(limits),
		cmocka_unit_test(strangers),
	};
	int rc = cmocka_run_group_tests_name("engine/wire", tests, NULL, NULL);
	mysql_library_end();
	return rc;
}
