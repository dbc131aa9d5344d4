/* roost-scaler: answers KEDA, Prometheus and the operator with the number of compute nodes wanted. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "scaler/policy/log.h"
#include "scaler/serve/replica.h"
#include "scaler/serve/serve.h"
#include "scaler/sim/sim.h"
#include "scaler/source/config.h"
#include "scaler/source/discover.h"

#ifndef ROOST_VERSION
#define ROOST_VERSION "dev"
#endif

enum { EXIT_USAGE = 2, END_MS = 5000 };

struct flags {
	const char *config, *listen, *tls_cert, *tls_key, *client_ca;
	const char *kubeconfig, *namespaces, *token_file, *decision_log;
	const char *lease, *advertise, *dns_suffix;
};

static const char usage[] =
	"usage: roost-scaler [flags], or roost-scaler sim [flags]\n"
	"  --config FILE        clusters to ask, tokenFile, maxAge (YAML)\n"
	"  --kubeconfig FILE    find clusters from StarRocksClusters (in a "
	"pod: without this flag)\n"
	"  --namespace A,B      only in these namespaces (all)\n"
	"  --dns-domain-suffix S  of FE Services, for the name in their certificates "
	"(cluster.local)\n"
	"  --listen HOST:PORT   where to answer (127.0.0.1:9091)\n"
	"  --token-file FILE    bearer token that callers must send; needed "
	"but on a loopback address\n"
	"  --tls-cert FILE --tls-key FILE    answer over TLS\n"
	"  --client-ca FILE     callers must have a certificate of this CA\n"
	"  --decision-log FILE  append each change of mind, with all that it was "
	"made from; \"-\": stderr\n"
	"  --lease NS/NAME      of several replicas the holder decides, the others say the same\n"
	"  --advertise HOST:PORT  where other replicas reach this one (POD_IP, or --listen)\n"
	"  --help\n"
	"       roost-scaler replay FILE    make the decisions of a log anew\n"
	"On SIGTERM or SIGINT it ends within 5 s, whoever does not answer: the lease is given up "
	"and\n"
	"histories are written as far as 3 s allow.\n";

/* What the log's lines give with this program; 1 when a line came out otherwise. */
static int replay(int argc, char **argv)
{
	struct err err = ERR_INIT;
	size_t lines = 0;
	if (argc != 3) {
		fprintf(stderr, "usage: roost-scaler replay FILE\n");
		return EXIT_USAGE;
	}
	int rc = policy_log_replay(argv[2], stdout, &lines, &err);
	if (rc < 0)
		fprintf(stderr, "roost-scaler: %s\n", err.msg);
	else
		fprintf(stderr, "replayed %zu decisions, %d differ\n", lines, rc);
	return rc ? 1 : 0;
}

/* 0, or what to exit with + 1. */
static int parse_flags(int argc, char **argv, struct flags *f)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "listen", required_argument, NULL, 'l' },
		{ "tls-cert", required_argument, NULL, 'e' },
		{ "tls-key", required_argument, NULL, 'k' },
		{ "client-ca", required_argument, NULL, 'a' },
		{ "kubeconfig", required_argument, NULL, 'u' },
		{ "namespace", required_argument, NULL, 'n' },
		{ "token-file", required_argument, NULL, 't' },
		{ "decision-log", required_argument, NULL, 'd' },
		{ "lease", required_argument, NULL, 'i' },
		{ "advertise", required_argument, NULL, 'r' },
		{ "dns-domain-suffix", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	const char **const to[] = { &f->config,     &f->listen,     &f->tls_cert,
		                    &f->tls_key,    &f->client_ca,  &f->kubeconfig,
		                    &f->namespaces, &f->token_file, &f->decision_log,
		                    &f->lease,      &f->advertise,  &f->dns_suffix };
	int which = 0;
	for (int c; (c = getopt_long(argc, argv, "", options, &which)) != -1;) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 1;
		}
		if (c == 'v') {
			puts("roost-scaler " ROOST_VERSION);
			return 1;
		}
		if (c == '?')
			return EXIT_USAGE + 1; /* getopt named the flag */
		*to[which] = optarg;
	}
	if (optind == argc)
		return 0;
	fprintf(stderr, "roost-scaler: unexpected argument \"%s\"; see --help\n", argv[optind]);
	return EXIT_USAGE + 1;
}

static int check_flags(const struct flags *f, struct err *err)
{
	if (!f->tls_cert != !f->tls_key)
		return err_set(err, -EINVAL, "--tls-cert and --tls-key go together");
	if (f->client_ca && !f->tls_cert)
		return err_set(err, -EINVAL, "--client-ca needs --tls-cert and --tls-key");
	const char *slash = f->lease ? strchr(f->lease, '/') : NULL;
	if (f->lease && (!slash || slash == f->lease || !slash[1]))
		return err_set(err, -EINVAL, "--lease must be NAMESPACE/NAME");
	if (!f->config && !f->kubeconfig && !getenv("KUBERNETES_SERVICE_HOST") &&
	    !getenv("KUBECONFIG"))
		return err_set(err, -EINVAL,
		               "nothing to scale: give --config FILE, or --kubeconfig FILE, or run "
		               "in a pod");
	return 0;
}

struct program {
	struct source_config config;
	struct http_tls fe_tls;
	struct kube_config *kube;
	struct serve_pools *pools;
	struct source *source;
	struct source_discover *discover;
	struct serve *serve;
	struct serve_replica *replica;
	char *dns_suffix;
};

static void program_stop(struct program *p)
{
	source_end(p->source);
	source_discover_end(p->discover);
	serve_replica_end(p->replica, deadline_in(SERVE_REPLICA_END_MS));
	serve_replica_stop(p->replica);
	serve_stop(p->serve);
	source_discover_stop(p->discover);
	source_stop(p->source);
	serve_pools_free(p->pools);
	kube_config_free(p->kube);
	source_config_free(&p->config);
	free(p->dns_suffix);
}

static void pools_known(void *arg)
{
	serve_pools_complete(arg, true);
	log_info("clusters read");
}

/* A file that lists clusters is all there is, unless a kubeconfig is named too. */
static bool wants_kube(const struct flags *f, const struct source_config *config)
{
	return f->kubeconfig || !f->config ||
	       ((config->n == 0 || f->lease) && getenv("KUBERNETES_SERVICE_HOST"));
}

/* Where other replicas reach us: as told, else the pod's address, else where we listen. */
static char *own_address(const struct flags *f, const char *listen, int port)
{
	const char *pod = getenv("POD_IP");
	const char *colon = strrchr(listen, ':');
	if (f->advertise)
		return xstrdup(f->advertise);
	if (pod && *pod)
		return xasprintf(strchr(pod, ':') ? "[%s]:%d" : "%s:%d", pod, port);
	return xasprintf("%.*s:%d", (int)(colon - listen), listen, port);
}

static int start_replica(struct program *p, const struct flags *f, const struct serve_config *sc,
                         struct err *err)
{
	const char *slash = f->lease ? strchr(f->lease, '/') : NULL;
	autofree char *ns = f->lease ? xstrndup(f->lease, (size_t)(slash - f->lease)) : NULL;
	autofree char *address = own_address(f, sc->listen, serve_port(p->serve));
	struct serve_replica_config c = { .kube = p->kube,
		                          .pools = p->pools,
		                          .ns = ns,
		                          .lease = f->lease ? slash + 1 : NULL,
		                          .address = address,
		                          .token_file = sc->token_file,
		                          .ca_file = sc->client_ca ? sc->client_ca : sc->tls_cert,
		                          .cert_file = sc->tls_cert,
		                          .key_file = sc->tls_key };
	return serve_replica_start(&c, &p->replica, err);
}

/* As the operator's flag: with "svc." or without. */
static char *dns_suffix(const char *text)
{
	if (!text)
		return NULL;
	return str_starts(str_of(text), "svc.") ? xstrdup(text) : xasprintf("svc.%s", text);
}

static int start(struct program *p, const struct flags *f, struct err *err)
{
	int rc = f->config ? source_config_read(f->config, &p->config, err) : 0;
	if (rc == 0 && wants_kube(f, &p->config))
		rc = kube_config_load(f->kubeconfig, &p->kube, err);
	if (rc == 0 && f->lease && !p->kube) /* two that each decide would look like one */
		rc = err_set(
			err, -EINVAL,
			"--lease is kept in a cluster: give --kubeconfig, too, or leave it out");
	if (rc < 0)
		return rc;
	p->pools = serve_pools_new(f->config ? p->config.max_age_ms : SOURCE_MAX_AGE_MS);
	rc = serve_pools_log(p->pools, f->decision_log, err);
	if (rc < 0)
		return rc;
	struct serve_config sc = { .listen = f->listen ? f->listen : "127.0.0.1:9091",
		                   .token_file =
		                           f->token_file ? f->token_file : p->config.token_file,
		                   .tls_cert = f->tls_cert,
		                   .tls_key = f->tls_key,
		                   .client_ca = f->client_ca,
		                   .pools = p->pools };
	/* Before anything is asked: a wrong address or token file ends the start at once. */
	rc = serve_start(&sc, &p->serve, err);
	if (rc < 0)
		return rc;
	struct source_events events = serve_pools_events(p->pools);
	p->fe_tls.ca_file = p->config.fe_ca;
	rc = source_start(&events, &p->fe_tls, &p->source, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < p->config.n; i++)
		source_put(p->source, &p->config.targets[i]);
	/* The source has copies; what a long file took to read goes back to the machine. */
	source_config_free_targets(&p->config);
	(void)malloc_trim(0);
	if (!p->kube) {
		serve_pools_complete(p->pools, true);
		return 0;
	}
	p->dns_suffix = dns_suffix(f->dns_suffix);
	struct source_discover_config dc = { .kube = p->kube,
		                             .namespaces = f->namespaces,
		                             .dns_suffix = p->dns_suffix,
		                             .source = p->source,
		                             .on_complete = pools_known,
		                             .arg = p->pools };
	rc = source_discover_start(&dc, &p->discover, err);
	return rc < 0 ? rc : start_replica(p, f, &sc, err);
}

/* ---- the end ---------------------------------------------------------------------------------- */

static sigset_t ends;
static sem_t told_to_end;

/* Whoever reads our log may hang, too. */
static bool log_is_read(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	return poll(&p, 1, 0) == 1;
}

/* Takes the signal, be it during the start, and sees that the program is over END_MS later: a library may wait for a name
 * or a handshake for as long as it likes. */
static void *end_by(void *arg)
{
	(void)arg;
	int caught = 0;
	(void)sigwait(&ends, &caught);
	struct deadline by = deadline_in(END_MS);
	(void)sem_post(&told_to_end);
	if (log_is_read())
		log_info("stopping on %s", caught == SIGTERM ? "SIGTERM" : "SIGINT");
	clock_sleep_ms(deadline_left_ms(by));
	if (log_is_read())
		log_warn("something still waits after %d ms and is left as it is", END_MS);
	_exit(0);
}

/* The signals are blocked before any thread starts, so that only that one takes them. */
static int watch_for_end(struct err *err)
{
	pthread_t thread;
	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &ends, NULL);
	(void)sem_init(&told_to_end, 0, 0);
	if ((errno = pthread_create(&thread, NULL, end_by, NULL)) != 0)
		return err_errno(err, "cannot start a thread");
	(void)pthread_detach(thread);
	return 0;
}

int main(int argc, char **argv)
{
	struct flags f = { 0 };
	_cleanup_(program_stop) struct program p = { 0 };
	struct err err = ERR_INIT;
	log_init("roost-scaler");
	if (argc > 1 && strcmp(argv[1], "sim") == 0)
		return sim_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "replay") == 0)
		return replay(argc, argv);
	int exit_code = parse_flags(argc, argv, &f);
	if (exit_code)
		return exit_code - 1;
	(void)signal(SIGPIPE, SIG_IGN);
	if (check_flags(&f, &err) < 0) {
		fprintf(stderr, "roost-scaler: %s\n", err.msg);
		return EXIT_USAGE;
	}
	if (watch_for_end(&err) < 0 || start(&p, &f, &err) < 0) {
		fprintf(stderr, "roost-scaler: %s\n", err.msg);
		return 1;
	}
	log_info("listening port=%d pools=%zu", serve_port(p.serve), p.config.n);
	while (sem_wait(&told_to_end) < 0 && errno == EINTR)
		continue;
	return 0;
}
