/* roost-fe: the front end. Reads fe.conf, opens the catalog, and runs what
 * serves SQL, HTTP and the workers until a signal ends it: SIGTERM and SIGINT
 * stop at once but in order, SIGUSR1 lets running statements finish. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "engine/admit/admit.h"
#include "engine/cluster/cluster.h"
#include "engine/conf/fe.h"
#include "engine/coord/coord.h"
#include "engine/exec/exec.h"
#include "engine/front/front.h"
#include "engine/meta/meta.h"
#include "engine/sql/connections.h"
#include "engine/sql/session.h"
#include "engine/wire/wire.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"

#define ROOST_VERSION "0.1.0"
#define SERVER_VERSION "8.0.33-roost-" ROOST_VERSION

enum { STOP_MS = 2000, TOKEN_BYTES = 32 };

struct fe {
	struct conf_fe conf;
	char *token_file, *fe_rpc, *spool_dir;
	struct meta *meta;
	struct admit *admit;
	struct cluster *cluster;
	struct front *front;
	struct exec *parser;
	struct coord *coord;
	struct sql_server sql;
	struct wire *wire;
};

/* Called by cluster's threads, the first time perhaps before cluster_start()
 * has returned. */
static void on_change(void *arg)
{
	struct fe *fe = arg;
	size_t n = 0, n_slots = 0;
	int sum[2] = { 0, 0 };
	autofree struct cluster_node *all =
		cluster_list(fe->cluster, 1u << META_BE | 1u << META_CN, &n);
	autofree struct admit_node *nodes = xcalloc(n + 1, sizeof(*nodes));
	for (size_t i = 0; i < n; i++) {
		if (!all[i].alive || all[i].draining)
			continue;
		bool cn = all[i].role == META_CN;
		nodes[n_slots++] = (struct admit_node){ all[i].id, cn, all[i].slots };
		sum[cn] += all[i].slots;
	}
	log_info("slots be=%d cn=%d", sum[0], sum[1]);
	admit_set_nodes(fe->admit, nodes, n_slots);
}

static void get_stats(void *arg, struct front_stats *ret)
{
	struct fe *fe = arg;
	struct sql_stats s = { 0 };
	if (fe->sql.connections)
		sql_connections_stats(fe->sql.connections, &s);
	*ret = (struct front_stats){ .connections = s.connections,
		                     .queries = s.queries,
		                     .query_errors = s.query_errors,
		                     .query_seconds = s.query_seconds };
}

/* Later it is read for each use, since a Secret rotates; here so that a wrong path is one clear line. */
static int check_token(const char *path, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(64 * 1024);
	int rc = fd_read_file(path, &text, err);
	if (rc == 0 && str_trim((struct str){ text.p, text.len }).len == 0)
		rc = err_set(err, -EINVAL, "%s is empty", path);
	explicit_bzero(text.p, text.p ? text.len : 0);
	return rc < 0 ? err_wrap(err, "roost_token_file") : 0;
}

/* The token between the nodes: the configured file, or, on loopback only, one
 * that is made beside the catalog. */
static int find_token(struct fe *fe, struct err *err)
{
	char token[2 * TOKEN_BYTES + 2];
	if (fe->conf.token_file) {
		fe->token_file = xstrdup(fe->conf.token_file);
		return check_token(fe->token_file, err);
	}
	fe->token_file = xasprintf("%s/token", fe->conf.meta_dir);
	if (fd_exists(fe->token_file))
		return 0;
	fd_random_hex(token, TOKEN_BYTES);
	memcpy(token + (size_t)2 * TOKEN_BYTES, "\n", 2);
	int rc = fd_mkdir_p(fe->conf.meta_dir, 0700, err);
	return rc < 0 ? rc : fd_write_file(fe->token_file, token, strlen(token), 0600, err);
}

/* What fe.conf says of a global variable holds from each start on, as if it
 * were SET GLOBAL. */
static int set_variable(struct fe *fe, const char *name, int64_t value, struct err *err)
{
	autofree char *text = xasprintf("%lld", (long long)value);
	if (value == 0)
		return 0;
	meta_rdlock(fe->meta);
	const char *now = meta_variable(fe->meta, name);
	bool same = now && strcmp(now, text) == 0;
	meta_rdunlock(fe->meta);
	if (same)
		return 0;
	return meta_submit(fe->meta, META_SET_VARIABLE,
	                   json_pack("{s:s, s:s}", "name", name, "value", text), NULL, err);
}

static int start_ground(struct fe *fe, struct err *err)
{
	int rc = find_token(fe, err);
	if (rc == 0)
		rc = meta_open(fe->conf.meta_dir, &fe->meta, err);
	if (rc == 0)
		rc = set_variable(fe, "query_timeout", fe->conf.query_timeout_s, err);
	if (rc == 0)
		rc = set_variable(fe, "query_queue_pending_timeout_second",
		                  fe->conf.pending_timeout_s, err);
	if (rc == 0)
		rc = admit_new(&fe->admit, err);
	if (rc < 0)
		return rc;
	bool v6 = strchr(fe->conf.fe_host, ':') != NULL;
	fe->fe_rpc = xasprintf("%s%s%s:%lld", v6 ? "[" : "", fe->conf.fe_host, v6 ? "]" : "",
	                       (long long)fe->conf.rpc_port);
	struct cluster_config cluster = { .meta = fe->meta,
		                          .token_file = fe->token_file,
		                          .fe_rpc = fe->fe_rpc,
		                          .on_change = on_change,
		                          .arg = fe };
	return cluster_start(&cluster, &fe->cluster, err);
}

static int start_sql(struct fe *fe, struct err *err)
{
	struct exec_config parser = { .mode = EXEC_PARSER };
	fe->spool_dir = xasprintf("%s/spool", fe->conf.meta_dir);
	int rc = fd_rm_rf(fe->spool_dir, err); /* of a process before this one */
	if (rc == 0)
		rc = fd_mkdir_p(fe->spool_dir, 0700, err);
	if (rc == 0)
		rc = exec_open(&parser, &fe->parser, err);
	struct coord_config coord = { .meta = fe->meta,
		                      .cluster = fe->cluster,
		                      .admit = fe->admit,
		                      .token_file = fe->token_file,
		                      .self = fe->fe_rpc,
		                      .spool_dir = fe->spool_dir };
	if (rc == 0)
		rc = coord_new(&coord, &fe->coord, err);
	if (rc < 0)
		return rc;
	fe->sql = (struct sql_server){ .meta = fe->meta,
		                       .cluster = fe->cluster,
		                       .admit = fe->admit,
		                       .parser = fe->parser,
		                       .coord = fe->coord,
		                       .fe_host = fe->conf.fe_host,
		                       .http_port = (int)fe->conf.http_port,
		                       .rpc_port = (int)fe->conf.rpc_port,
		                       .query_port = (int)fe->conf.query_port,
		                       .edit_log_port = (int)fe->conf.edit_log_port,
		                       .start_ts = clock_real_ms(),
		                       .version = SERVER_VERSION,
		                       .s3_json = fe->conf.s3_json,
		                       .s3_path = fe->conf.s3_path };
	struct wire_config wire = { .listen_address = fe->conf.bind_address,
		                    .port = (int)fe->conf.query_port,
		                    .max_connections = (unsigned)fe->conf.max_connections,
		                    .server = &fe->sql,
		                    .version = SERVER_VERSION };
	rc = wire_start(&wire, &fe->wire, err);
	return rc < 0 ? err_wrap(err, "query_port") : 0;
}

static int start_front(struct fe *fe, struct err *err)
{
	struct front_config front = { .meta = fe->meta,
		                      .cluster = fe->cluster,
		                      .admit = fe->admit,
		                      .listen_address = fe->conf.bind_address,
		                      .http_port = (int)fe->conf.http_port,
		                      .rpc_port = (int)fe->conf.rpc_port,
		                      .query_port = (int)fe->conf.query_port,
		                      .token_file = fe->token_file,
		                      .load_needs_token = fe->conf.load_needs_token,
		                      .version = SERVER_VERSION,
		                      .name = fe->conf.cluster_name ? fe->conf.cluster_name
		                                                    : fe->conf.fe_host,
		                      .s3_json = fe->conf.s3_json,
		                      .s3_path = fe->conf.s3_path,
		                      .stats = get_stats,
		                      .arg = fe };
	return front_start(&front, &fe->front, err);
}

/* Statements that still run get grace_ms; everything is ended in the order in
 * which it leans on the next. */
static void stop(struct fe *fe, int64_t grace_ms)
{
	size_t killed = fe->wire ? wire_stop(fe->wire, grace_ms) : 0;
	if (killed)
		log_warn("%zu statements were killed", killed);
	front_stop(fe->front, STOP_MS);
	coord_free(fe->coord);
	cluster_stop(fe->cluster);
	exec_close(fe->parser);
	admit_free(fe->admit);
	meta_close(fe->meta);
	free(fe->token_file);
	free(fe->fe_rpc);
	free(fe->spool_dir);
	conf_fe_free(&fe->conf);
}

/* True when SIGTERM or SIGINT came within the time. */
static bool told_to_stop(const sigset_t *signals, int64_t ms)
{
	struct deadline by = deadline_in(ms);
	while (!deadline_passed(by)) {
		int64_t left = deadline_left_ms(by);
		struct timespec wait = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };
		int got = sigtimedwait(signals, NULL, &wait);
		if (got == SIGTERM || got == SIGINT)
			return true;
	}
	return false;
}

/* Waits for the end; returns how long running statements may still take. */
static int64_t wait_for_end(struct fe *fe, const sigset_t *signals)
{
	int got = 0;
	do {
		got = sigwaitinfo(signals, NULL);
	} while (got < 0 && errno == EINTR);
	if (got != SIGUSR1) {
		log_info("signal=%d stopping", got);
		return STOP_MS;
	}
	int64_t started = clock_mono_ms();
	log_info("signal=SIGUSR1 leaving: health is 500, connections are taken for "
	         "%lld s more",
	         (long long)fe->conf.min_grace_s);
	front_set_draining(fe->front);
	if (told_to_stop(signals, fe->conf.min_grace_s * 1000))
		return STOP_MS;
	int64_t left = fe->conf.max_grace_s * 1000 - (clock_mono_ms() - started);
	return left > 0 ? left : 0;
}

static int run(struct fe *fe, const sigset_t *signals)
{
	struct err err = ERR_INIT;
	int rc = start_ground(fe, &err);
	if (rc == 0)
		rc = start_sql(fe, &err);
	if (rc == 0)
		rc = start_front(fe, &err);
	if (rc < 0) {
		log_error("%s", err.msg);
		stop(fe, 0);
		return 1;
	}
	log_info("version=%s cluster_id=%lld http_port=%d rpc_port=%d query_port=%d ready",
	         ROOST_VERSION, (long long)meta_cluster_id(fe->meta), front_http_port(fe->front),
	         front_rpc_port(fe->front), wire_port(fe->wire));
	stop(fe, wait_for_end(fe, signals));
	log_info("stopped");
	return 0;
}

static int usage(FILE *to)
{
	fprintf(to, "usage: roost-fe --conf FILE [--host_type FQDN|IP]\n"
	            "       roost-fe --version\n"
	            "FILE is StarRocks' fe.conf; unknown keys are ignored.\n");
	return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "conf", required_argument, NULL, 'c' },
		{ "host_type", required_argument, NULL, 't' },
		{ "helper", required_argument, NULL, 'r' },
		{ "logconsole", no_argument, NULL, 'l' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *path = NULL, *host_type = NULL;
	for (int o = getopt_long(argc, argv, "", options, NULL); o != -1;
	     o = getopt_long(argc, argv, "", options, NULL)) {
		if (o == 'c') {
			path = optarg;
		} else if (o == 't') {
			host_type = optarg;
		} else if (o == 'r') {
			fprintf(stderr, "roost-fe: --helper: more than one front end is not "
			                "supported by this version\n");
			return 2;
		} else if (o == 'v') {
			printf("roost-fe %s\n", ROOST_VERSION);
			return 0;
		} else if (o != 'l') { /* logs go to stderr anyway */
			return usage(o == 'h' ? stdout : stderr);
		}
	}
	if (!path || optind != argc)
		return usage(stderr);
	/* Blocked before the first thread: only the main thread takes them, when it
   * waits for them. */
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR1);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	log_init("roost-fe");
	struct fe fe = { 0 };
	struct err err = ERR_INIT;
	if (conf_fe_load(path, host_type, &fe.conf, &err) < 0) {
		log_error("%s", err.msg);
		return 1;
	}
	return run(&fe, &signals);
}
