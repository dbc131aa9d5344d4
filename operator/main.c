/* roost-operator: flags, leadership, health; the work is in reconcile/ and observe/. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"
#include "lib/data/pool.h"
#include "lib/kube/lease.h"
#include "lib/net/http_server.h"
#include "operator/observe/metrics.h"
#include "operator/observe/scale.h"
#include "operator/reconcile/release.h"
#include "operator/reconcile/run.h"
#include "operator/reconcile/step.h"

#ifndef ROOST_VERSION
#define ROOST_VERSION "dev"
#endif

enum { TRIM_EVERY_MS = 10000 };
enum { SOON_MS = 100 };
enum { LEASE_EVERY_MS = 2000, TICK_MS = 100, WORKERS = 4, FE_THREADS = 8, FE_SLOW_THREADS = 2 };
enum { REPLAY_MAX = 64 * 1024 * 1024, STUCK_MS = 180000 };

typedef VEC(const char *) names_t;

struct flags {
	const char *watch_nodes, *kubeconfig, *metrics, *probes, *scaler_url, *scaler_token;
	char *dns_suffix;
	int64_t watch_idle_s;
	names_t namespaces, denied;
	bool volume_hash, leader_elect;
};

struct program {
	struct flags flags;
	struct kube_config *kube;
	struct kube_lease *lease;
	struct observe_store *store;
	struct observe_conf *conf;
	struct observe_queue *queue;
	struct observe_fe *fe;
	struct observe_watches *watches;
	struct observe_nodes *nodes;
	struct observe_scale *scale;
	struct reconcile *reconcile;
	atomic_bool ready, writing; /* writing: reconcile is set and stays */
	_Atomic int64_t beat_ms;    /* the main loop's last round */
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

/* ---- flags ---- */
static void usage(FILE *to)
{
	fputs("usage: roost-operator [flags] | roost-operator replay FILE | roost-operator "
	      "version\n"
	      "       roost-operator release NAMESPACE/NAME   gives a cluster back to upstream's "
	      "operator\n"
	      "  --kubeconfig FILE               else $KUBECONFIG, else the pod's own account\n"
	      "  --namespace A,B                 serve these namespaces only (default: all)\n"
	      "  --deny-list A,B                 never serve these namespaces\n"
	      "  --leader-elect                  one at a time, by a lease that upstream's "
	      "operator shares\n"
	      "  --dns-domain-suffix S           (cluster.local)\n"
	      "  --volume-name-with-hash=BOOL    (true)\n"
	      "  --metrics-bind-address ADDR     (:8080; 0: none)\n"
	      "  --health-probe-bind-address A   (:8081; 0: none)\n"
	      "  --scaler-url URL                (http://roost-scaler.<own namespace>.svc:9091; "
	      "empty: none)\n"
	      "  --scaler-token-file FILE        bearer token for the scaler\n"
	      "  --watch-idle-seconds N          a watch without a byte for so long is dead (90)\n"
	      "  --watch-nodes SELECTOR          machines below compute nodes, for instance "
	      "karpenter.sh/nodepool (none)\n"
	      "  --zap-…                         upstream's, of its log: taken and without "
	      "effect (see ROOST_LOG)\n"
	      "ROOST_RECORD=DIR in the environment: each cluster's last state, for replay\n"
	      "replay and release take --kubeconfig, --dns-domain-suffix and "
	      "--volume-name-with-hash after what they are given\n",
	      to);
}

static void split_names(char *text, names_t *out)
{
	for (char *p = text; p && *p;) {
		char *comma = strchr(p, ',');
		if (comma)
			*comma = '\0';
		p += strspn(p, " ");
		p[strcspn(p, " ")] = '\0';
		if (*p)
			vec_push(out, p);
		p = comma ? comma + 1 : NULL;
	}
}

static bool one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

/* The words that Go's flags take. */
static int take_bool(const char *text, const char *flag, bool *ret)
{
	static const char *const yes[] = { "true", "1", "t", "T", "TRUE", "True", NULL };
	static const char *const no[] = { "false", "0", "f", "F", "FALSE", "False", NULL };
	if (!text || one_of(text, yes))
		*ret = true;
	else if (one_of(text, no))
		*ret = false;
	else {
		fprintf(stderr, "--%s is \"%s\"; it must be true or false\n", flag, text);
		return -EINVAL;
	}
	return 0;
}

static int take_seconds(const char *text, const char *flag, int64_t *ret)
{
	if (str_to_i64(str_of(text), ret) == 0 && *ret > 0 && *ret <= 3600)
		return 0;
	fprintf(stderr, "--%s is \"%s\"; it must be 1 to 3600\n", flag, text);
	return -EINVAL;
}

static char *dns_suffix_of(const char *text)
{
	text = *text ? text : "cluster.local";
	return strncmp(text, "svc.", 4) == 0 ? xstrdup(text) : xasprintf("svc.%s", text);
}

static int take_flag(struct flags *f, int which, const char *name)
{
	switch (which) {
	case 'k':
		f->kubeconfig = optarg;
		return 0;
	case 'n':
		split_names(optarg, &f->namespaces);
		return 0;
	case 'd':
		split_names(optarg, &f->denied);
		return 0;
	case 's':
		free(f->dns_suffix);
		f->dns_suffix = dns_suffix_of(optarg);
		return 0;
	case 'v':
		return take_bool(optarg, name, &f->volume_hash);
	case 'l':
		return take_bool(optarg, name, &f->leader_elect);
	case 'm':
		f->metrics = optarg;
		return 0;
	case 'p':
		f->probes = optarg;
		return 0;
	case 'u':
		f->scaler_url = optarg;
		return 0;
	case 't':
		f->scaler_token = optarg;
		return 0;
	case 'i':
		return take_seconds(optarg, name, &f->watch_idle_s);
	case 'w':
		f->watch_nodes = optarg;
		return 0;
	case 'z':
		return 0;
	default:
		usage(stderr);
		return -EINVAL;
	}
}

/* 0, or positive: an exit code less one. */
static int parse_flags(int argc, char **argv, struct flags *f)
{
	static const struct option options[] = {
		{ "kubeconfig", required_argument, NULL, 'k' },
		{ "namespace", required_argument, NULL, 'n' },
		{ "deny-list", required_argument, NULL, 'd' },
		{ "dns-domain-suffix", required_argument, NULL, 's' },
		{ "volume-name-with-hash", optional_argument, NULL, 'v' },
		{ "leader-elect", optional_argument, NULL, 'l' },
		{ "metrics-bind-address", required_argument, NULL, 'm' },
		{ "health-probe-bind-address", required_argument, NULL, 'p' },
		{ "scaler-url", required_argument, NULL, 'u' },
		{ "scaler-token-file", required_argument, NULL, 't' },
		{ "watch-idle-seconds", required_argument, NULL, 'i' },
		{ "watch-nodes", required_argument, NULL, 'w' },
		/* Upstream's manifest and chart give them: its Deployment runs ours with another image. */
		{ "zap-devel", optional_argument, NULL, 'z' },
		{ "zap-encoder", required_argument, NULL, 'z' },
		{ "zap-log-level", required_argument, NULL, 'z' },
		{ "zap-stacktrace-level", required_argument, NULL, 'z' },
		{ "zap-time-encoding", required_argument, NULL, 'z' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int at = 0, which;
	*f = (struct flags){ .metrics = ":8080", .probes = ":8081", .volume_hash = true };
	f->dns_suffix = dns_suffix_of("cluster.local");
	/* As Go's flags: one dash or two. */
	while ((which = getopt_long_only(argc, argv, "", options, &at)) != -1) {
		if (which == 'h') {
			usage(stdout);
			return 1;
		}
		if (take_flag(f, which, options[at].name) < 0)
			return 2;
	}
	if (optind < argc) {
		fprintf(stderr, "%s is not a flag of roost-operator\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	return 0;
}

/* ---- what the rooms ask of us ---- */
static bool may_write(void *arg)
{
	const struct program *p = arg;
	return !p->lease || kube_lease_held(p->lease, clock_mono_ms());
}

static bool serves(void *arg, const char *ns)
{
	const struct program *p = arg;
	for (size_t i = 0; i < p->flags.denied.n; i++)
		if (strcmp(p->flags.denied.v[i], ns) == 0)
			return false;
	return true;
}

static void changed(void *arg, const char *key)
{
	struct program *p = arg;
	observe_queue_add(p->queue, key, 0);
}

/* An FE said something new. */
static void answered(void *arg, const char *key)
{
	struct program *p = arg;
	observe_queue_add(p->queue, key, SOON_MS);
}

/* A moment in which the rest of a burst arrives. */
static void touched(void *arg, const char *key, bool soon)
{
	struct program *p = arg;
	observe_queue_touch(p->queue, key, soon ? SOON_MS : 0);
}

/* ---- health and metrics ---- */
static void on_metrics(void *arg, struct http_req *req)
{
	_cleanup_buf_ struct buf text = BUF_INIT(256 * 1024);
	const struct program *p = arg;
	if (atomic_load(&p->ready))
		observe_metric_set(OBSERVE_QUEUE_DEPTH, (int64_t)observe_queue_depth(p->queue));
	observe_metrics_text(&text);
	http_answer(req, 200, "text/plain; version=0.0.4", (struct str){ text.p, text.len });
}

/* Every call a worker or the main loop makes has a deadline: one that is at it for so long does not come back. */
static void on_health(void *arg, struct http_req *req)
{
	struct program *p = arg;
	int64_t now = clock_mono_ms(), beat = atomic_load(&p->beat_ms);
	int64_t busy = atomic_load(&p->writing) ? reconcile_busy_ms(p->reconcile, now) : 0;
	if (busy > STUCK_MS)
		http_answer(req, 500, "text/plain", STR_LIT("a worker is stuck\n"));
	else if (beat && now - beat > STUCK_MS)
		http_answer(req, 500, "text/plain", STR_LIT("the main loop is stuck\n"));
	else
		http_answer(req, 200, "text/plain", STR_LIT("ok\n"));
}

static void on_ready(void *arg, struct http_req *req)
{
	struct program *p = arg;
	bool ready = atomic_load(&p->ready);
	http_answer(req, ready ? 200 : 503, "text/plain",
	            ready ? STR_LIT("ok\n") : STR_LIT("the first lists are not complete yet\n"));
}

static int serve(const char *address, const struct http_route *routes, size_t n,
                 struct http_server **ret, struct err *err)
{
	struct http_server_config config = { .routes = routes, .n_routes = n };
	if (!*address || strcmp(address, "0") == 0)
		return 0;
	if (*address != ':') {
		config.listen = address;
		return http_server_start(&config, ret, err);
	}
	autofree char *any6 = xasprintf("[::]%s", address);
	autofree char *any4 = xasprintf("0.0.0.0%s", address);
	config.listen = any6;
	int rc = http_server_start(&config, ret, err);
	if (rc == 0 || rc == -EADDRINUSE)
		return rc;
	config.listen = any4; /* a host without IPv6 */
	return http_server_start(&config, ret, err);
}

/* ---- life ---- */
static char *own_namespace(const struct program *p)
{
	const char *env = getenv("POD_NAMESPACE");
	return xstrdup(env && *env ? env : kube_config_namespace(p->kube));
}

static struct kube_lease *new_lease(const struct program *p)
{
	char host[256] = "roost-operator", unique[17];
	const char *pod = getenv("POD_NAME");
	autofree char *ns = own_namespace(p);
	gethostname(host, sizeof(host) - 1);
	fd_random_hex(unique, 8);
	autofree char *identity = xasprintf("%s_%s", pod && *pod ? pod : host, unique);
	struct kube_lease_config config = { .ns = ns,
		                            .name = "c6c79638.starrocks.com",
		                            .identity = identity };
	return kube_lease_new(&config);
}

/* Watches and those who ask; they read only, so that a new leader starts with a full picture. */
static int start_observing(struct program *p, struct err *err)
{
	struct observe_fe_config fe = { .kube = p->kube,
		                        .threads = FE_THREADS,
		                        .slow_threads = FE_SLOW_THREADS,
		                        .changed = answered,
		                        .may_write = may_write,
		                        .arg = p };
	struct observe_watches_config watches = { .kube = p->kube,
		                                  .namespaces = p->flags.namespaces.v,
		                                  .n = p->flags.namespaces.n,
		                                  .idle_ms = p->flags.watch_idle_s * 1000 };
	p->queue = observe_queue_new();
	p->store = observe_store_new(changed, p);
	observe_store_on_touch(p->store, touched);
	p->conf = observe_conf_new(changed, p);
	watches.store = p->store;
	watches.conf = p->conf;
	struct observe_nodes_config nodes = { .kube = p->kube,
		                              .selector = p->flags.watch_nodes,
		                              .store = p->store };
	int rc = observe_fe_new(&fe, &p->fe, err);
	if (rc == 0 && nodes.selector && *nodes.selector)
		rc = observe_nodes_start(&nodes, &p->nodes, err);
	return rc < 0 ? rc : observe_watches_start(&watches, &p->watches, err);
}

static struct render_options options_of(const struct flags *f)
{
	return (struct render_options){ .volume_hash = f->volume_hash,
		                        .unsupported_envs =
		                                getenv("KUBE_STARROCKS_UNSUPPORTED_ENVS"),
		                        .dns_suffix = f->dns_suffix };
}

static int start_writing(struct program *p, struct err *err)
{
	struct reconcile_config config = {
		.kube = p->kube,
		.options = options_of(&p->flags),
		.dns_suffix = p->flags.dns_suffix,
		.workers = WORKERS,
		.scaler_url = p->flags.scaler_url,
		.scaler_token_file = p->flags.scaler_token,
		.store = p->store,
		.conf = p->conf,
		.fe = p->fe,
		.watches = p->watches,
		.nodes = p->nodes,
		.queue = p->queue,
		.may_write = may_write,
		.serves = serves,
		.arg = p,
	};
	struct observe_scale_config scale = { .kube = p->kube,
		                              .url = p->flags.scaler_url,
		                              .token_file = p->flags.scaler_token,
		                              .store = p->store,
		                              .may_write = may_write,
		                              .serves = serves,
		                              .arg = p };
	int rc = reconcile_start(&config, &p->reconcile, err);
	if (rc == 0 && scale.url && *scale.url)
		rc = observe_scale_start(&scale, &p->scale, err);
	observe_metric_set(OBSERVE_LEADER, 1);
	atomic_store(&p->writing, rc == 0);
	return rc;
}

static void stop_all(struct program *p)
{
	if (p->queue)
		observe_queue_close(p->queue);
	observe_scale_free(p->scale);
	reconcile_free(p->reconcile);
	observe_watches_free(p->watches);
	observe_nodes_free(p->nodes);
	observe_fe_free(p->fe);
	observe_conf_free(p->conf);
	observe_store_free(p->store);
	observe_queue_free(p->queue);
}

/* One look at the lease; whether we may act, and -ESTALE when we no longer may. */
static int lead(struct program *p, struct kube_client *kube, bool led, struct err *err)
{
	struct err why = ERR_INIT;
	if (!p->lease)
		return 1;
	int rc = kube_lease_try(p->lease, kube, clock_mono_ms(), &why);
	bool held = kube_lease_held(p->lease, clock_mono_ms());
	if (rc != 0)
		log_debug("lease: %s", why.msg);
	if (led && !held)
		return err_set(err, -ESTALE, "the lease is lost: %s",
		               why.msg[0] ? why.msg : "another operator holds it");
	return held;
}

static int run(struct program *p, struct kube_client *kube, struct err *err)
{
	int64_t began = clock_mono_ms();
	struct deadline next = deadline_in(0), trim = deadline_in(TRIM_EVERY_MS);
	bool led = false;
	int rc = start_observing(p, err);
	while (rc == 0 && !stopping) {
		atomic_store(&p->beat_ms, clock_mono_ms());
		if (deadline_passed(next)) {
			next = deadline_in(LEASE_EVERY_MS);
			rc = lead(p, kube, led, err);
			if (rc < 0)
				return rc;
			if (rc == 1 && !led && p->lease)
				log_info("leader=true");
			led = led || rc == 1;
			rc = 0;
		}
		if (!atomic_load(&p->ready) && observe_watches_synced(p->watches)) {
			atomic_store(&p->ready, true);
			log_info("lists=complete after_ms=%lld",
			         (long long)(clock_mono_ms() - began));
		}
		if (led && !p->reconcile && atomic_load(&p->ready))
			rc = start_writing(p, err);
		/* What a burst of events took goes back to the system. */
		if (deadline_passed(trim)) {
			trim = deadline_in(TRIM_EVERY_MS);
			malloc_trim(0);
		}
		clock_sleep_ms(p->reconcile ? TICK_MS : 10);
	}
	return rc;
}

static int operate(struct program *p, struct err *err)
{
	_cleanup_(kube_client_freep) struct kube_client *kube = NULL;
	struct http_server *metrics = NULL, *probes = NULL;
	const struct http_route metrics_routes[] = {
		{ .method = "GET", .path = "/metrics", .handler = on_metrics, .arg = p },
	};
	const struct http_route probe_routes[] = {
		{ .method = "GET", .path = "/healthz", .handler = on_health, .arg = p },
		{ .method = "GET", .path = "/readyz", .handler = on_ready, .arg = p },
	};
	int rc = kube_client_new(p->kube, &kube, err);
	if (rc == 0)
		rc = serve(p->flags.metrics, metrics_routes, 1, &metrics, err);
	if (rc == 0)
		rc = serve(p->flags.probes, probe_routes, 2, &probes, err);
	if (rc == 0)
		rc = run(p, kube, err);
	/* Their handlers look at what is taken down next. */
	if (metrics)
		http_server_stop(metrics, 0);
	if (probes)
		http_server_stop(probes, 0);
	stop_all(p);
	if (p->lease)
		kube_lease_release(p->lease, kube, &(struct err)ERR_INIT);
	return rc;
}

/* ---- replay: a recorded world in, the plan out ---- */
static int replay(const struct flags *f, const char *file)
{
	_cleanup_buf_ struct buf text = BUF_INIT(REPLAY_MAX);
	_cleanup_json_ json_t *world = NULL, *plan = NULL;
	struct render_options options = options_of(f);
	struct err err = ERR_INIT;
	if (fd_read_file(file, &text, &err) < 0 || render_init(&err) < 0 ||
	    data_json_parse((struct str){ text.p, text.len }, &world, &err) < 0 ||
	    reconcile_step(world, &options, &plan, &err) < 0) {
		fprintf(stderr, "replay %s: %s\n", file, err.msg);
		return 1;
	}
	autofree char *out = data_json_text(plan);
	puts(out);
	return 0;
}

/* ---- release: a cluster's objects back to upstream's operator ---- */
static int release(const struct flags *f, const char *key)
{
	_cleanup_(kube_config_freep) struct kube_config *kube = NULL;
	struct render_options options = options_of(f);
	struct err err = ERR_INIT;
	if (render_init(&err) < 0 || kube_config_load(f->kubeconfig, &kube, &err) < 0 ||
	    reconcile_release(kube, key, &options, stdout, &err) != 0) {
		fprintf(stderr, "release %s: %s\n", key, err.msg);
		return 1;
	}
	return 0;
}

/* What is done once, for the word after it: flags may follow. */
static int (*command_of(const char *name))(const struct flags *, const char *)
{
	if (strcmp(name, "replay") == 0)
		return replay;
	return strcmp(name, "release") == 0 ? release : NULL;
}

int main(int argc, char **argv)
{
	struct program p = { 0 };
	struct err err = ERR_INIT;
	struct sigaction action = { .sa_handler = on_signal };
	if (argc == 2 && strcmp(argv[1], "version") == 0) {
		puts("roost-operator " ROOST_VERSION);
		return 0;
	}
	int (*once)(const struct flags *, const char *) = argc > 2 ? command_of(argv[1]) : NULL;
	int skip = once ? 2 : 0;
	int rc = parse_flags(argc - skip, argv + skip, &p.flags);
	if (rc > 0)
		return rc - 1;
	if (once)
		return once(&p.flags, argv[2]);
	log_init("roost-operator");
	data_pool_init();
	/* Threads mostly wait: an arena for each would only cost memory. */
	mallopt(M_ARENA_MAX, 2);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (render_init(&err) < 0 || kube_config_load(p.flags.kubeconfig, &p.kube, &err) < 0) {
		log_error("%s", err.msg);
		return 1;
	}
	autofree char *ns = own_namespace(&p);
	autofree char *scaler = xasprintf("http://roost-scaler.%s.svc:9091", ns);
	if (!p.flags.scaler_url)
		p.flags.scaler_url = scaler;
	if (p.flags.leader_elect)
		p.lease = new_lease(&p);
	rc = operate(&p, &err);
	if (rc < 0)
		log_error("%s", err.msg);
	kube_lease_free(p.lease);
	kube_config_free(p.kube);
	free(p.flags.dns_suffix);
	vec_free(&p.flags.namespaces);
	vec_free(&p.flags.denied);
	return rc < 0 ? 1 : 0;
}
