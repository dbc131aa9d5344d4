#include "scaler/source/starrocks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "lib/base/fd.h"
#include "scaler/source/starrocks_priv.h"

enum { SECRET_MAX = 4096, CA_MAX = 256 * 1024, METRICS_MAX = 8 * 1024 * 1024 };

struct source_starrocks {
	struct source_login login;
	struct http_client *http;
	struct mysqlc *sql;
	char *host;               /* whom sql leads to */
	struct stat trusted;      /* of ca_file, when sql was opened */
	char *web;                /* "host:http_port" of the leader */
	const _Atomic bool *stop; /* may be NULL */
};

int source_starrocks_new(const struct source_login *login, const struct http_tls *tls,
                         struct source_starrocks **ret, struct err *err)
{
	struct source_starrocks *c = xcalloc(1, sizeof(*c));
	source_login_copy(login, &c->login);
	int rc = http_client_new(tls, &c->http, err);
	if (rc < 0)
		source_starrocks_free(c);
	else
		*ret = c;
	return rc;
}

static void hang_up(struct source_starrocks *c)
{
	mysqlc_close(c->sql);
	c->sql = NULL;
}

void source_starrocks_free(struct source_starrocks *c)
{
	if (!c)
		return;
	hang_up(c);
	http_client_free(c->http);
	source_login_free(&c->login);
	free(c->host);
	free(c->web);
	free(c);
}

void source_starrocks_stop_when(struct source_starrocks *c, const _Atomic bool *stop)
{
	c->stop = stop;
}

static bool should_stop(void *arg)
{
	const struct source_starrocks *c = arg;
	return c->stop && atomic_load(c->stop);
}

/* ---- the leader ------------------------------------------------------------------------------- */

static int read_file(const char *path, size_t max, char **ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(max);
	int rc = fd_read_file(path, &text, err);
	if (rc < 0)
		return rc;
	*ret = str_dup(str_trim((struct str){ buf_cstr(&text), text.len }));
	if (text.p)
		explicit_bzero(text.p, text.cap);
	return 0;
}

static int read_secret(const char *path, const char *absent, char **ret, struct err *err)
{
	if (!path) {
		*ret = xstrdup(absent);
		return 0;
	}
	return read_file(path, SECRET_MAX, ret, err);
}

static void stat_ca(const struct source_starrocks *c, struct stat *ret)
{
	*ret = (struct stat){ 0 };
	if (c->login.ca_file)
		(void)stat(c->login.ca_file, ret);
}

/* A connection that is kept asks for no certificate, so a CA file that has changed ends it. */
static bool trusts_others(const struct source_starrocks *c)
{
	struct stat now;
	stat_ca(c, &now);
	return now.st_ino != c->trusted.st_ino || now.st_mtim.tv_sec != c->trusted.st_mtim.tv_sec ||
	       now.st_mtim.tv_nsec != c->trusted.st_mtim.tv_nsec;
}

static int read_ca(const struct source_starrocks *c, char **ret, struct err *err)
{
	const char *name = c->login.tls_name;
	int rc = 0;
	if (!name)
		return 0;
	if (c->login.ca)
		*ret = xstrdup(c->login.ca);
	else if (c->login.ca_file)
		rc = read_file(c->login.ca_file, CA_MAX, ret, err);
	if (rc == 0 && (!*ret || !**ret))
		rc = err_set(err, -EKEYREJECTED, "no ca.crt to trust %s by", name);
	return rc;
}

static int dial(struct source_starrocks *c, const char *host, int port, struct deadline by,
                struct err *err)
{
	autofree char *user = NULL, *ca = NULL;
	char *password = NULL;
	const char *name = c->login.tls_name;
	hang_up(c);
	stat_ca(c, &c->trusted);
	int rc = read_ca(c, &ca, err);
	if (rc < 0)
		return rc;
	if (c->login.user)
		user = xstrdup(c->login.user);
	else
		rc = read_secret(c->login.user_file, "root", &user, err);
	if (rc == 0 && c->login.password)
		password = xstrdup(c->login.password);
	else if (rc == 0)
		rc = read_secret(c->login.password_file, "", &password, err);
	/* The certificate is for one name, so that is where all SQL goes. */
	struct mysqlc_address a = { .host = name ? name : host,
		                    .port = port,
		                    .user = user,
		                    .password = password,
		                    .tls_ca = ca,
		                    .should_stop = should_stop,
		                    .arg = c };
	if (rc == 0)
		rc = mysqlc_open(&a, by, &c->sql, err);
	if (rc == -EKEYREJECTED)
		err_wrap(err, "TLS to the FE, whose certificate must be for %s", name);
	mem_free_secret(password);
	if (rc < 0)
		return rc;
	char *at = xstrdup(host);
	free(c->host);
	c->host = at;
	return 0;
}

/* An FE may name its leader, but not lead us to the machine's own or the cloud's metadata addresses. */
static bool may_be_led_to(const char *host, const char *configured)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (strcmp(host, configured) == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1) {
		uint32_t a = ntohl(v4.s_addr);
		bool loop_to_loop = a >> 24 == 127 && str_starts(str_of(configured), "127.");
		return loop_to_loop || (a >> 24 != 127 && a >> 24 != 0 && a >> 16 != 0xa9fe);
	}
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_LINKLOCAL(&v6) &&
		       !IN6_IS_ADDR_V4MAPPED(&v6) && !IN6_IS_ADDR_UNSPECIFIED(&v6);
	return strcasecmp(host, "localhost") != 0;
}

static int ask_sql(struct source_starrocks *c, const char *sql, struct deadline by,
                   struct mysqlc_result *ret, struct err *err)
{
	int rc = mysqlc_query(c->sql, sql, by, ret, err);
	return rc == 0 ? 0 : err_set(err, rc < 0 ? rc : -EINVAL, "%s: %s", sql, err->msg);
}

/* Where the leader is; 1 when we talk to another FE and can change to it. Over TLS we stay, since the certificate is not
 * for the leader's address: an FE that follows hands SHOW RUNNING QUERIES on to its leader. */
static int read_frontends(struct source_starrocks *c, struct deadline by, char **ret_host,
                          int *ret_port, int64_t *ret_epoch, struct err *err)
{
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
	int rc = ask_sql(c, "SHOW FRONTENDS", by, &r, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < r.n_rows; i++) {
		const char *role = mysqlc_cell(&r, i, "Role"), *ip = mysqlc_cell(&r, i, "IP");
		const char *alive = mysqlc_cell(&r, i, "Alive");
		int64_t query = 0, http = 0;
		if (!role || strcasecmp(role, "LEADER") != 0 || !alive ||
		    strcasecmp(alive, "true") != 0)
			continue;
		if (!ip || !may_be_led_to(ip, c->login.host) ||
		    str_to_i64(str_of(mysqlc_cell(&r, i, "QueryPort")), &query) < 0 ||
		    str_to_i64(str_of(mysqlc_cell(&r, i, "HttpPort")), &http) < 0 || query < 1 ||
		    query > 65535 || http < 1 || http > 65535)
			return err_set(err, -EINVAL,
			               "SHOW FRONTENDS: no usable address of the leader");
		_cleanup_buf_ struct buf web = BUF_INIT(1024);
		(void)http_host_port(r.n_rows == 1 ? c->login.host : ip,
		                     r.n_rows == 1 ? c->login.http_port : (int)http, &web);
		free(c->web);
		c->web = buf_take(&web);
		*ret_epoch = 0;
		(void)source_starrocks_time(mysqlc_cell(&r, i, "StartTime"), ret_epoch);
		*ret_port = (int)query;
		*ret_host = xstrdup(ip);
		return r.n_rows > 1 && !c->login.tls_name && strcmp(ip, c->host) != 0;
	}
	return err_set(err, -EAGAIN, "SHOW FRONTENDS names no leader that is alive");
}

static int find_leader(struct source_starrocks *c, struct deadline by, int64_t *ret_epoch,
                       struct err *err)
{
	if (c->sql && trusts_others(c))
		hang_up(c);
	int rc = c->sql ? 0 : dial(c, c->login.host, c->login.query_port, by, err);
	for (int hops = 0; rc == 0 && hops < 3; hops++) {
		autofree char *host = NULL;
		int port = 0;
		rc = read_frontends(c, by, &host, &port, ret_epoch, err);
		if (rc <= 0)
			return rc;
		rc = dial(c, host, port, by, err);
	}
	return rc < 0 ? rc : err_set(err, -EAGAIN, "each FE names another one as the leader");
}

/* ---- a reading -------------------------------------------------------------------------------- */

static int read_backends(struct source_starrocks *c, struct deadline by, struct source_snapshot *s,
                         struct err *err)
{
	_cleanup_mysqlc_result_ struct mysqlc_result nodes = { 0 };
	int rc = ask_sql(c, "SHOW BACKENDS", by, &nodes, err);
	if (rc == 0)
		rc = source_starrocks_nodes(&nodes, NULL, s, err);
	return rc;
}

static int read_sql(struct source_starrocks *c, bool be, struct deadline by, struct source_load *l,
                    struct mysqlc_result *nodes, struct err *err)
{
	_cleanup_mysqlc_result_ struct mysqlc_result now = { 0 }, queries = { 0 };
	struct source_snapshot *s = &l->of[SOURCE_CN];
	int64_t now_ms = 0;
	int rc = ask_sql(c, "SELECT NOW() AS now", by, &now, err);
	if (rc == 0 &&
	    (now.n_rows != 1 || source_starrocks_time(mysqlc_cell(&now, 0, "now"), &now_ms) < 0))
		rc = err_set(err, -EINVAL, "SELECT NOW() gave no time");
	if (rc == 0)
		rc = ask_sql(c, "SHOW RUNNING QUERIES", by, &queries, err);
	if (rc == 0)
		rc = source_starrocks_queries(&queries, now_ms, s, err);
	s->ts = (double)now_ms;
	l->of[SOURCE_BE] = *s; /* there is one queue */
	if (rc == 0)
		rc = ask_sql(c, "SHOW COMPUTE NODES", by, nodes, err);
	if (rc == 0)
		rc = source_starrocks_nodes(nodes, NULL, s, err);
	if (rc == 0 && be)
		rc = read_backends(c, by, &l->of[SOURCE_BE], err);
	return rc;
}

static int read_metrics(struct source_starrocks *c, struct deadline by,
                        const struct mysqlc_result *nodes, struct source_load *l, struct err *err)
{
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	autofree char *url =
		xasprintf("%s://%s/metrics", c->login.https ? "https" : "http", c->web);
	struct http_call call = {
		.url = url, .by = by, .body_max = METRICS_MAX, .should_stop = should_stop, .arg = c
	};
	int rc = http_call(c->http, &call, &r, err);
	if (rc == 0 && r.status != 200)
		rc = err_set(err, -EPROTO, "%s answered %d", url, r.status);
	for (int i = 0; i < SOURCE_ROLES && rc == 0; i++)
		rc = source_starrocks_metrics((struct str){ buf_cstr(&r.body), r.body.len },
		                              &l->of[i], err);
	if (rc == 0)
		rc = source_starrocks_houses((struct str){ buf_cstr(&r.body), r.body.len }, nodes,
		                             l, err);
	return rc;
}

int source_starrocks_ask(struct source_starrocks *c, bool be, struct deadline by,
                         struct source_load *ret, struct err *err)
{
	struct source_load l = { 0 };
	_cleanup_mysqlc_result_ struct mysqlc_result nodes = { 0 };
	int rc = find_leader(c, by, &l.of[SOURCE_CN].epoch, err);
	if (rc == 0)
		rc = read_sql(c, be, by, &l, &nodes, err);
	if (rc == 0)
		rc = read_metrics(c, by, &nodes, &l, err);
	if (rc < 0) {
		hang_up(c); /* what was half read, or whoever led us wrong, is not asked again */
		source_load_free(&l);
		return rc;
	}
	if (!be)
		l.rc[SOURCE_BE] =
			err_set(&l.err[SOURCE_BE], -EAGAIN, "the backends were not asked for yet");
	*ret = l;
	return 0;
}
