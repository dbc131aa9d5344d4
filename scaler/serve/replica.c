#include "scaler/serve/replica.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"
#include "lib/kube/lease.h"
#include "scaler/serve/keep.h"

enum {
	TICK_MS = 400,
	LEASE_EVERY_MS = 1000,
	KEEP_MS = 1000, /* spent on histories between two looks at the lease */
	LEASE_MS = 6000,
	RENEW_MS = 4000,
	KUBE_CALL_MS = 2000,
	PEER_CALL_MS = 700,
	PEER_BODY_MAX = 4 * 1024 * 1024,
	SECRET_MAX = 4096,
};

struct serve_replica {
	struct serve_replica_config config;
	char *address, *token_file, *ca_file, *cert_file, *key_file;
	struct kube_client *kube;
	struct kube_lease *lease;
	struct http_client *peer;
	pthread_t thread;
	_Atomic bool stop;
	struct deadline end; /* before stop */
	bool leads, troubled;
	bool ending;             /* the last calls */
	int64_t keep_ms;         /* histories are written that were not since then */
	struct deadline keep_at; /* when they are due */
};

/* ---- the leader's numbers --------------------------------------------------------------------- */

static char *read_token(const char *path)
{
	_cleanup_buf_ struct buf text = BUF_INIT(SECRET_MAX);
	struct str line = { "", 0 };
	if (!path || fd_read_file(path, &text, NULL) < 0)
		return NULL;
	struct str rest = { buf_cstr(&text), text.len };
	(void)str_split(&rest, '\n', &line);
	char *token = str_dup(str_trim(line));
	explicit_bzero(text.p, text.cap);
	return token;
}

static int adopt_all(struct serve_replica *r, struct str body, struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	const char *key;
	json_t *desired;
	int rc = data_json_parse(body, &j, err);
	if (rc < 0)
		return rc;
	json_object_foreach(data_get(j, "pools"), key, desired)
	{
		if (json_is_integer(desired))
			serve_pools_adopt(r->config.pools, key, json_integer_value(desired));
	}
	return 0;
}

static void follow(struct serve_replica *r, const char *leader)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	struct err err = ERR_INIT;
	char *token = read_token(r->token_file);
	autofree char *url =
		xasprintf("%s://%s/v1/decisions", r->ca_file ? "https" : "http", leader);
	struct http_call call = { .url = url,
		                  .bearer = token,
		                  .by = deadline_in(PEER_CALL_MS),
		                  .body_max = PEER_BODY_MAX };
	int rc = http_call(r->peer, &call, &reply, &err);
	if (rc == 0 && reply.status != 200)
		rc = err_set(&err, -EACCES, "%s answered %d", url, reply.status);
	if (rc == 0)
		rc = adopt_all(r, (struct str){ buf_cstr(&reply.body), reply.body.len }, &err);
	if (rc < 0 && !r->troubled)
		log_warn("the leader %s cannot be asked: %s", leader, err.msg);
	r->troubled = rc < 0;
	mem_free_secret(token);
}

/* ---- the lease -------------------------------------------------------------------------------- */

static void renew(struct serve_replica *r)
{
	struct err err = ERR_INIT;
	int rc = kube_lease_try(r->lease, r->kube, clock_mono_ms(), &err);
	if (rc != 0)
		log_debug("lease: %s (%d)", err.msg, rc);
}

static void take_role(struct serve_replica *r)
{
	bool leads = !r->lease || kube_lease_held(r->lease, clock_mono_ms());
	int64_t epoch = r->lease ? kube_lease_epoch(r->lease) : 0;
	if (leads != r->leads)
		log_info("%s epoch=%lld", leads ? "leading" : "following", (long long)epoch);
	r->leads = leads;
	serve_pools_role(r->config.pools, leads, epoch);
}

static void keep(struct serve_replica *r)
{
	struct err err = ERR_INIT;
	struct deadline by = deadline_in(KEEP_MS);
	if (deadline_passed(r->keep_at)) {
		r->keep_at = deadline_in(SERVE_KEEP_EVERY_MS);
		r->keep_ms = clock_mono_ms();
	}
	while (r->keep_ms && !deadline_passed(by) && !atomic_load(&r->stop))
		if (serve_keep_write(r->config.pools, r->kube, r->keep_ms, &err) != 1)
			r->keep_ms = 0;
}

/* Others wait for the lease; a history is a gift. */
static void finish(struct serve_replica *r)
{
	struct err err = ERR_INIT;
	int64_t now = clock_mono_ms();
	r->ending = true;
	kube_client_by(r->kube, r->end);
	if (r->lease && kube_lease_release(r->lease, r->kube, &err) != 0)
		log_warn("the lease is not given up and runs out by itself: %s", err.msg);
	while (r->leads && serve_keep_write(r->config.pools, r->kube, now, &err) == 1)
		continue;
}

static bool cut_short(void *arg)
{
	const struct serve_replica *r = arg;
	return atomic_load(&r->stop) && !r->ending;
}

static void *work(void *arg)
{
	struct serve_replica *r = arg;
	struct deadline lease = deadline_in(0);
	r->keep_at = deadline_in(SERVE_KEEP_EVERY_MS);
	while (!atomic_load(&r->stop)) {
		if (r->lease && deadline_passed(lease)) {
			lease = deadline_in(LEASE_EVERY_MS);
			renew(r);
		}
		take_role(r);
		const char *leader = r->lease && !r->leads ? kube_lease_holder(r->lease) : "";
		if (*leader && strcmp(leader, r->address) != 0)
			follow(r, leader);
		serve_keep_read(r->config.pools, r->kube, deadline_in(KEEP_MS));
		if (r->leads)
			keep(r);
		for (int ms = 0; ms < TICK_MS && !atomic_load(&r->stop); ms += 50)
			clock_sleep_ms(50);
	}
	finish(r);
	return NULL;
}

/* ---- start and stop --------------------------------------------------------------------------- */

static char *copy(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

static void replica_free(struct serve_replica *r)
{
	kube_lease_free(r->lease);
	kube_client_free(r->kube);
	http_client_free(r->peer);
	free(r->address);
	free(r->token_file);
	free(r->ca_file);
	free(r->cert_file);
	free(r->key_file);
	free(r);
}

int serve_replica_start(const struct serve_replica_config *config, struct serve_replica **ret,
                        struct err *err)
{
	struct serve_replica *r = xcalloc(1, sizeof(*r));
	r->config = *config;
	r->address = copy(config->address);
	r->token_file = copy(config->token_file);
	r->ca_file = copy(config->ca_file);
	r->cert_file = copy(config->cert_file);
	r->key_file = copy(config->key_file);
	struct http_tls tls = { .ca_file = r->ca_file,
		                .cert_file = r->cert_file,
		                .key_file = r->key_file };
	int rc = kube_client_new(config->kube, &r->kube, err);
	if (rc == 0)
		rc = http_client_new(r->ca_file ? &tls : NULL, &r->peer, err);
	if (rc == 0) {
		kube_client_timeout(r->kube, KUBE_CALL_MS);
		kube_client_stop_when(r->kube, cut_short, r);
	}
	if (rc == 0 && config->lease) {
		struct kube_lease_config lc = { .ns = config->ns,
			                        .name = config->lease,
			                        .identity = r->address,
			                        .duration_ms = LEASE_MS,
			                        .renew_ms = RENEW_MS };
		r->lease = kube_lease_new(&lc);
		serve_pools_role(config->pools, false, 0);
	}
	if (rc == 0 && (errno = pthread_create(&r->thread, NULL, work, r)) != 0)
		rc = err_errno(err, "cannot start a thread");
	if (rc < 0) {
		replica_free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void serve_replica_end(struct serve_replica *r, struct deadline by)
{
	if (!r)
		return;
	r->end = by;
	atomic_store(&r->stop, true);
}

void serve_replica_stop(struct serve_replica *r)
{
	if (!r)
		return;
	if (!atomic_load(&r->stop))
		serve_replica_end(r, deadline_in(SERVE_REPLICA_END_MS));
	(void)pthread_join(r->thread, NULL);
	replica_free(r);
}
