/* roost-be: a worker of the engine, as back end (keeps tablets) or compute node (keeps none). */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

#include "engine/node/node.h"
#include "lib/base/log.h"

enum { EXIT_USAGE = 2 };

static int usage(const char *what, const char *arg)
{
	fprintf(stderr, "roost-be: %s%s; usage: roost-be --role be|cn --conf FILE, or --version\n",
	        arg, what);
	return EXIT_USAGE;
}

static bool stop_pending(void *arg)
{
	const struct timespec now = { 0 };
	return sigtimedwait(arg, NULL, &now) > 0;
}

static int run(struct node_config *config)
{
	struct err err = ERR_INIT;
	struct node *node = NULL;
	sigset_t stops;
	(void)sigemptyset(&stops);
	(void)sigaddset(&stops, SIGTERM);
	(void)sigaddset(&stops, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &stops, NULL); /* every thread inherits it */
	(void)signal(SIGPIPE, SIG_IGN);
	int rc = node_start(config, &node, &err);
	if (rc < 0) {
		fprintf(stderr, "roost-be: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	log_info("role=%s heartbeat_port=%d brpc_port=%d http_port=%d slots=%d mem_limit=%lld "
	         "storage=%s ready",
	         config->role == NODE_BE ? "be" : "cn", node_heartbeat_port(node),
	         node_brpc_port(node), node_http_port(node), config->slots,
	         (long long)config->mem_limit, config->storage_path);
	int signo = 0;
	while (sigwait(&stops, &signo) != 0)
		;
	if (signo == SIGTERM)
		node_drain(node, stop_pending, &stops);
	node_stop(node);
	log_info("ended");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "role", required_argument, NULL, 'r' },
		                                 { "conf", required_argument, NULL, 'c' },
		                                 { "version", no_argument, NULL, 'v' },
		                                 { NULL, 0, NULL, 0 } };
	const char *role = NULL, *conf = NULL;
	struct node_config config;
	struct err err = ERR_INIT;
	int c;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'v') {
			printf("roost-be %s\n", NODE_VERSION);
			return EXIT_SUCCESS;
		}
		if (c == '?')
			return usage(" is no option, or lacks its value", argv[optind - 1]);
		*(c == 'r' ? &role : &conf) = optarg;
	}
	if (optind != argc)
		return usage(": an argument without an option", argv[optind]);
	if (!role || (strcmp(role, "be") != 0 && strcmp(role, "cn") != 0))
		return usage("--role must be be or cn", "");
	if (!conf)
		return usage("--conf must name a file", "");
	log_init(role[0] == 'b' ? "roost-be" : "roost-cn");
	int rc = node_config_load(conf, role[0] == 'b' ? NODE_BE : NODE_CN, &config, &err);
	if (rc < 0) {
		fprintf(stderr, "roost-be: %s\n", err.msg);
		return EXIT_USAGE;
	}
	(void)curl_global_init(CURL_GLOBAL_DEFAULT); /* before threads */
	rc = run(&config);
	node_config_free(&config);
	return rc;
}
