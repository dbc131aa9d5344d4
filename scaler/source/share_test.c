/* One call serves all pools of an FE; a password that comes later, is refused, and is changed (pthread_create in fake.h). */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/mysql/fake.h"
#include "lib/net/http_server.h"
#include "scaler/source/source.h"

enum { POOLS = 200, WAIT_MS = 60000 };

/* ---- an FE ------------------------------------------------------------------------------------ */

static atomic_int asked, in_flight, most_in_flight;

#define NODE(role)                                                                           \
	"{\"id\":1,\"address\":\"a\",\"slots\":4,\"running\":0,\"draining\":false,\"role\":" \
	"\"" role "\"}"

static void load(void *arg, struct http_req *r)
{
	(void)arg;
	int now = atomic_fetch_add(&in_flight, 1) + 1;
	if (now > atomic_load(&most_in_flight))
		atomic_store(&most_in_flight, now);
	atomic_fetch_add(&asked, 1);
	clock_sleep_ms(30);
	atomic_fetch_sub(&in_flight, 1);
	http_answer_json(
		r, 200,
		"{\"v\":1,\"ts\":1,\"epoch\":5,\"pending\":7,\"oldest_wait_s\":1,"
		"\"required_slots\":9,\"running\":2,\"nodes\":[" NODE(
			"cn") "],"
			      "\"be\":{\"pending\":3,\"oldest_wait_s\":1,\"required_slots\":4,"
			      "\"running\":1,"
			      "\"nodes\":[" NODE("be") "," NODE(
				      "be") "]},\"service_time_s\":{\"p50\":1,\"p95\":2}}");
}

/* ---- the source's owner ----------------------------------------------------------------------- */

static struct {
	atomic_int snapshots, failures;
	_Atomic int64_t pending, nodes;
} seen[2]; /* of the pool "p0", and of the pool "be" */
static atomic_int all;

static void on_target(void *arg, const char *key, const struct source_target *t)
{
	(void)arg;
	(void)key;
	(void)t;
}

static void on_gone(void *arg, const char *key)
{
	(void)arg;
	(void)key;
}

static int which(const char *key)
{
	return strcmp(key, "ns/c0/cn") == 0 ? 0 : strcmp(key, "ns/c0/be") == 0 ? 1 : -1;
}

static void on_snapshot(void *arg, const char *key, const struct source_snapshot *s)
{
	(void)arg;
	int i = which(key);
	atomic_fetch_add(&all, 1);
	if (i < 0)
		return;
	atomic_store(&seen[i].pending, s->pending);
	atomic_store(&seen[i].nodes, s->nodes);
	atomic_fetch_add(&seen[i].snapshots, 1);
}

static void on_failure(void *arg, const char *key, const struct err *err)
{
	(void)arg;
	(void)err;
	int i = which(key);
	if (i >= 0)
		atomic_fetch_add(&seen[i].failures, 1);
}

static struct source *start(void)
{
	struct source_events events = { on_target, on_gone, on_snapshot, on_failure, NULL };
	struct source *s = NULL;
	memset(seen, 0, sizeof(seen));
	atomic_store(&all, 0);
	assert_int_equal(source_start(&events, NULL, &s, NULL), 0);
	return s;
}

static void wait_for(atomic_int *what, int n)
{
	struct deadline by = deadline_in(WAIT_MS);
	while (atomic_load(what) < n && !deadline_passed(by))
		clock_sleep_ms(10);
	if (atomic_load(what) < n)
		fail_msg("%d of %d", atomic_load(what), n);
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void one_call_serves_all_pools_of_an_fe(void **state)
{
	(void)state;
	static const struct http_route routes[] = {
		{ .method = "GET", .path = "/api/roost/load", .handler = load },
	};
	struct http_server_config sc = {
		.listen = "127.0.0.1:0", .routes = routes, .n_routes = 1, .limits = { .threads = 4 }
	};
	struct http_server *fe = NULL;
	assert_int_equal(http_server_start(&sc, &fe, NULL), 0);
	autofree char *url = xasprintf("http://127.0.0.1:%d/api/roost/load", http_server_port(fe));
	struct source *s = start();
	char ns[] = "ns", cn[] = "cn", be[] = "be", name[16];
	for (int i = 0; i < POOLS; i++) {
		(void)snprintf(name, sizeof(name), "c%d", i);
		struct source_target t = {
			.ns = ns, .cluster = name, .pool = cn, .url = url, .limits = { .max = 9 }
		};
		source_put(s, &t);
	}
	(void)snprintf(name, sizeof(name), "c0");
	struct source_target backends = { .ns = ns,
		                          .cluster = name,
		                          .pool = be,
		                          .role = SOURCE_BE,
		                          .url = url,
		                          .limits = { .max = 9 } };
	source_put(s, &backends);
	wait_for(&all, 5 * POOLS);
	/* Some were asked for before all pools were there; then one for all. */
	assert_in_range(atomic_load(&asked), 5, 20);
	assert_int_equal(atomic_load(&most_in_flight), 1);
	/* Each pool has what is said of its kind. */
	assert_int_equal(atomic_load(&seen[0].pending), 7);
	assert_int_equal(atomic_load(&seen[0].nodes), 1);
	assert_int_equal(atomic_load(&seen[1].pending), 3);
	assert_int_equal(atomic_load(&seen[1].nodes), 2);
	/* Whoever leaves takes nothing from the others. */
	for (int i = 1; i < POOLS; i++) {
		autofree char *key = xasprintf("ns/c%d/cn", i);
		source_remove(s, key);
	}
	source_remove(s, "ns/c0/be");
	int before = atomic_load(&seen[0].snapshots);
	wait_for(&seen[0].snapshots, before + 3);
	source_remove(s, "ns/c0/cn");
	source_stop(s);
	http_server_stop(fe, 0);
}

static void answer_at_once(void *arg, struct http_req *r)
{
	(void)arg;
	http_answer_json(r, 200,
	                 "{\"v\":1,\"ts\":1,\"epoch\":5,\"pending\":7,\"oldest_wait_s\":1,"
	                 "\"required_slots\":9,\"running\":2,\"nodes\":[" NODE(
				 "cn") "],\"service_time_s\":{\"p50\":1,\"p95\":2}}");
}

enum { MANY_FES = SOURCE_POLLER_FES + 100 };
static atomic_int known_of[MANY_FES];

static void count_each(void *arg, const char *key, const struct source_snapshot *s)
{
	(void)arg;
	const char *number = key + strlen("ns/c");
	uint64_t i = MANY_FES;
	assert_int_equal(str_to_u64((struct str){ number, strcspn(number, "/") }, &i), 0);
	assert_true(i < MANY_FES);
	assert_int_equal(s->pending, 7);
	atomic_fetch_add(&known_of[i], 1);
}

/* Two threads ask; FEs that leave take nobody along, and those that come fill the gaps. */
static void thousands_of_fes_are_shared_out(void **state)
{
	(void)state;
	static const struct http_route routes[] = {
		{ .method = "GET", .path = "/api/roost/load", .handler = answer_at_once },
	};
	struct http_server_config sc = {
		.listen = "127.0.0.1:0", .routes = routes, .n_routes = 1, .limits = { .threads = 2 }
	};
	struct source_events events = { on_target, on_gone, count_each, on_failure, NULL };
	struct http_server *fe = NULL;
	struct source *s = NULL;
	assert_int_equal(http_server_start(&sc, &fe, NULL), 0);
	assert_int_equal(source_start(&events, NULL, &s, NULL), 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < MANY_FES; i++) {
			char ns[] = "ns", cn[] = "cn", name[16];
			(void)snprintf(name, sizeof(name), "c%d", i);
			autofree char *url = xasprintf("http://127.0.0.1:%d/api/roost/load?%d",
			                               http_server_port(fe), i);
			struct source_target t = { .ns = ns,
				                   .cluster = name,
				                   .pool = cn,
				                   .url = url,
				                   .limits = { .max = 9 } };
			source_put(s, &t);
		}
		for (int i = 0; i < MANY_FES; i++)
			atomic_store(&known_of[i], 0);
		for (int i = 0; i < MANY_FES; i++)
			wait_for(&known_of[i], 1);
		for (int i = 0; i < MANY_FES; i++) {
			autofree char *key = xasprintf("ns/c%d/cn", i);
			if (i % 7)
				source_remove(s, key);
		}
		for (int i = 0; i < MANY_FES; i++)
			atomic_store(&known_of[i], 0);
		for (int i = 0; i < MANY_FES; i += 7)
			wait_for(&known_of[i], 2);
	}
	source_stop(s);
	http_server_stop(fe, 0);
}

static bool on_statement(void *arg, int fd, const char *sql)
{
	(void)arg;
	(void)fd;
	(void)sql;
	return false;
}

static atomic_int wanted;
static void note(void *arg, const char *key, const struct source_target *t, enum source_secret what,
                 const char *secret, const char *secret_key)
{
	(void)arg;
	assert_int_equal(what, SOURCE_PASSWORD);
	assert_string_equal(key, "ns/c0/cn");
	assert_string_equal(t->ns, "ns");
	assert_string_equal(secret, "s");
	assert_string_equal(secret_key, "k");
	atomic_fetch_add(&wanted, 1);
}

/* The FE refuses this user (fake.h), whatever the password. */
static void a_password_comes_later_and_is_not_tried_again_and_again(void **state)
{
	(void)state;
	struct mysqlc_fake fake = { .on_statement = on_statement };
	char ns[] = "ns", cluster[] = "c0", cn[] = "cn", host[] = "127.0.0.1", secret[] = "s",
	     key[] = "k", url[] = "-", user[] = "/tmp/roost-user-XXXXXX";
	int fd = mkstemp(user);
	assert_int_equal(mysqlc_fake_start(&fake), 0);
	assert_int_equal(fd_write_file(user, "nobody", 6, 0600, NULL), 0);
	struct source *s = start();
	struct source_target t = { .ns = ns,
		                   .cluster = cluster,
		                   .pool = cn,
		                   .url = url,
		                   .login = { .host = host,
		                              .query_port = fake.port,
		                              .http_port = 1,
		                              .user_file = user,
		                              .secret = secret,
		                              .secret_key = key } };
	source_put(s, &t);
	/* Nobody is asked without it. */
	clock_sleep_ms(300);
	assert_int_equal(atomic_load(&seen[0].failures), 0);
	source_secrets_wanted(s, note, NULL);
	assert_int_equal(atomic_load(&wanted), 1);
	source_set_secret(s, "ns/c0/cn", SOURCE_PASSWORD, STR_LIT("one"));
	wait_for(&seen[0].failures, 1);
	/* The same again is no reason to try: no account gets locked by us. Another one is. */
	source_set_secret(s, "ns/c0/cn", SOURCE_PASSWORD, STR_LIT("one"));
	clock_sleep_ms(1000);
	assert_int_equal(atomic_load(&seen[0].failures), 1);
	source_set_secret(s, "ns/c0/cn", SOURCE_PASSWORD, STR_LIT("two"));
	wait_for(&seen[0].failures, 2);
	/* Refused, it is looked for again. */
	struct deadline by = deadline_in(WAIT_MS);
	while (atomic_load(&wanted) < 2 && !deadline_passed(by)) {
		source_secrets_wanted(s, note, NULL);
		clock_sleep_ms(50);
	}
	assert_int_equal(atomic_load(&wanted), 2);
	assert_int_equal(atomic_load(&all), 0);
	source_stop(s);
	mysqlc_fake_stop(&fake);
	(void)unlink(user);
	(void)close(fd);
}

/* MYSQL_PWD without a Secret stands in the CR: each other one is tried at once, not at the end of a pause that doubles. */
static void a_plain_password_that_changes_is_tried(void **state)
{
	(void)state;
	struct mysqlc_fake fake = { .on_statement = on_statement };
	char ns[] = "ns", cluster[] = "c0", cn[] = "cn", host[] = "127.0.0.1", url[] = "-",
	     user[] = "nobody", password[16];
	assert_int_equal(mysqlc_fake_start(&fake), 0);
	struct source *s = start();
	struct source_target t = { .ns = ns,
		                   .cluster = cluster,
		                   .pool = cn,
		                   .url = url,
		                   .login = { .host = host,
		                              .query_port = fake.port,
		                              .http_port = 1,
		                              .user = user,
		                              .password = password } };
	for (int i = 1; i <= 6; i++) {
		(void)snprintf(password, sizeof(password), "p%d", i);
		source_put(s, &t);
		wait_for(&seen[0].failures, i);
		source_put(s, &t);
	}
	t.login.password = NULL;
	source_put(s, &t);
	wait_for(&seen[0].failures, 7);
	assert_in_range(atomic_load(&seen[0].failures), 7, 9); /* the same again is no reason */
	source_stop(s);
	mysqlc_fake_stop(&fake);
}

static void note_ca(void *arg, const char *key, const struct source_target *t,
                    enum source_secret what, const char *secret, const char *secret_key)
{
	(void)key;
	(void)t;
	assert_int_equal(what, SOURCE_CA);
	assert_string_equal(secret, "ca");
	assert_string_equal(secret_key, "ca.crt");
	(*(int *)arg)++;
}

static int cas_wanted(struct source *s)
{
	int n = 0;
	source_secrets_wanted(s, note_ca, &n);
	return n;
}

/* With spec.tls nobody is asked before there is a CA, nor after it is gone. */
static void without_a_ca_nobody_is_asked(void **state)
{
	(void)state;
	struct mysqlc_fake fake = { .on_statement = on_statement };
	char ns[] = "ns", cluster[] = "c0", cn[] = "cn", host[] = "127.0.0.1", ca[] = "ca",
	     url[] = "-";
	struct err err = ERR_INIT;
	assert_int_equal(mysqlc_fake_start(&fake), 0);
	struct source *s = start();
	struct source_target t = { .ns = ns,
		                   .cluster = cluster,
		                   .pool = cn,
		                   .url = url,
		                   .login = { .host = host,
		                              .query_port = fake.port,
		                              .http_port = 1,
		                              .tls_name = host,
		                              .ca_secret = ca } };
	source_put(s, &t);
	clock_sleep_ms(300);
	assert_int_equal(atomic_load(&seen[0].failures), 0);
	assert_int_equal(cas_wanted(s), 1);
	(void)err_set(&err, -ENOENT, "Secret ca is not there");
	source_no_secret(s, "ns/c0/cn", SOURCE_CA, true, &err);
	assert_int_equal(atomic_load(&seen[0].failures), 1); /* and why */
	assert_int_equal(cas_wanted(s), 1);
	/* One that cannot be used: refused again and again, and looked at again. */
	source_set_secret(s, "ns/c0/cn", SOURCE_CA, STR_LIT("junk"));
	wait_for(&seen[0].failures, 3);
	struct deadline by = deadline_in(WAIT_MS);
	while (cas_wanted(s) == 0 && !deadline_passed(by))
		clock_sleep_ms(50);
	assert_false(deadline_passed(by));
	/* An API server that cannot be reached takes nothing away; a Secret that is gone does. */
	int before = atomic_load(&seen[0].failures);
	source_no_secret(s, "ns/c0/cn", SOURCE_CA, false, &err);
	wait_for(&seen[0].failures, before + 2);
	source_no_secret(s, "ns/c0/cn", SOURCE_CA, true, &err);
	before = atomic_load(&seen[0].failures);
	clock_sleep_ms(1200);
	assert_int_equal(atomic_load(&seen[0].failures), before);
	source_stop(s);
	mysqlc_fake_stop(&fake);
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	/* Threads are started by what is tested: pthread_create is in there. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_call_serves_all_pools_of_an_fe),
		cmocka_unit_test(thousands_of_fes_are_shared_out),
		cmocka_unit_test(a_password_comes_later_and_is_not_tried_again_and_again),
		cmocka_unit_test(a_plain_password_that_changes_is_tried),
		cmocka_unit_test(without_a_ca_nobody_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
