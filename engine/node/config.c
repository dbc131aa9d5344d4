#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "engine/conf/conf.h"
#include "engine/node/machine.h"
#include "engine/node/node.h"
#include "engine/rpc.h"
#include "lib/base/fd.h"
#include "lib/base/str.h"

enum { MB = 1024 * 1024, LOAD_MAX_MB = 10240, DRAIN_S = 110, DRAIN_ACCEPT_MS = 2000 };

static const char *const known[] = { "be_port",
	                             "thrift_port",
	                             "be_http_port",
	                             "webserver_port",
	                             "heartbeat_service_port",
	                             "heartbeat_port",
	                             "brpc_port",
	                             "storage_root_path",
	                             "mem_limit",
	                             "priority_networks",
	                             "datacache_disk_path",
	                             "datacache_disk_size",
	                             "streaming_load_max_mb",
	                             "roost_slots",
	                             "roost_bind_address",
	                             "roost_token_file",
	                             "roost_drain_timeout_s",
	                             "roost_drain_accept_ms",
	                             "self_host",
	                             "sys_log_dir",
	                             NULL };

/* A port under the name of BE's configuration or CN's; the first that is set counts. */
static int port(const struct conf *c, const char *key, const char *other, int fallback, int *ret,
                struct err *err)
{
	int64_t n;
	int rc = conf_int(c, conf_has(c, key) || !conf_has(c, other) ? key : other, fallback, 1,
	                  65535, &n, err);
	if (rc == 0)
		*ret = (int)n;
	return rc;
}

static int ports(const struct conf *c, struct node_config *to, struct err *err)
{
	bool cn = to->role == NODE_CN;
	int rc = port(c, cn ? "thrift_port" : "be_port", cn ? "be_port" : "thrift_port", 9060,
	              &to->be_port, err);
	if (rc == 0)
		rc = port(c, cn ? "webserver_port" : "be_http_port",
		          cn ? "be_http_port" : "webserver_port", 8040, &to->http_port, err);
	if (rc == 0)
		rc = port(c, "heartbeat_service_port", "heartbeat_port", 9050, &to->heartbeat_port,
		          err);
	if (rc == 0)
		rc = port(c, "brpc_port", "brpc_port", 8060, &to->brpc_port, err);
	if (rc == 0 && (to->http_port == to->heartbeat_port || to->http_port == to->brpc_port ||
	                to->heartbeat_port == to->brpc_port))
		rc = err_set(err, -EINVAL,
		             "be_http_port %d, heartbeat_service_port %d and brpc_port %d must "
		             "differ",
		             to->http_port, to->heartbeat_port, to->brpc_port);
	return rc;
}

/* "path[,medium:ssd][,capacity:…]"; a second path after ";" would need a choice that is not made yet. */
static int storage(const struct conf *c, struct node_config *to, struct err *err)
{
	struct str rest = str_of(conf_str(c, "storage_root_path", "")), path, attributes;
	(void)str_split(&rest, ';', &attributes);
	if (rest.p && str_trim(rest).len)
		return err_set(err, -EINVAL, "storage_root_path: one path is allowed, not several");
	(void)str_split(&attributes, ',', &path);
	path = str_trim(path);
	if (!path.len || path.p[0] != '/')
		return err_set(err, -EINVAL, "storage_root_path: must be an absolute path");
	to->storage_path = str_dup(path);
	return fd_mkdir_p(to->storage_path, 0700, err) < 0 ? err_wrap(err, "storage_root_path") : 0;
}

static int cache(const struct conf *c, struct node_config *to, struct err *err)
{
	const char *path = conf_str(c, "datacache_disk_path", NULL);
	struct statvfs fs;
	uint64_t bytes;
	if (path && path[0] != '/')
		return err_set(err, -EINVAL, "datacache_disk_path: must be an absolute path");
	to->cache_path = path ? xstrdup(path) : xasprintf("%s/datacache", to->storage_path);
	int rc = fd_mkdir_p(to->cache_path, 0700, err);
	if (rc < 0)
		return err_wrap(err, "datacache_disk_path");
	if (statvfs(to->cache_path, &fs) < 0)
		return err_errno(err, "datacache_disk_path: %s", to->cache_path);
	rc = conf_bytes(c, "datacache_disk_size", "80%", (uint64_t)fs.f_bavail * fs.f_frsize,
	                &bytes, err);
	if (rc == 0)
		to->cache_bytes = (int64_t)bytes;
	return rc;
}

static int memory(const struct conf *c, struct node_config *to, struct err *err)
{
	enum { LEAST_MB = 256 };
	uint64_t bytes;
	int rc = conf_bytes(c, "mem_limit", "90%", (uint64_t)node_machine_memory(), &bytes, err);
	if (rc < 0)
		return rc;
	if (bytes < (uint64_t)LEAST_MB * MB || bytes > INT64_MAX)
		return err_set(err, -EINVAL,
		               "mem_limit: %" PRIu64 " bytes; at least %dM are needed", bytes,
		               LEAST_MB);
	to->mem_limit = (int64_t)bytes;
	return 0;
}

static int token(const struct conf *c, struct node_config *to, struct err *err)
{
	const char *path = conf_str(c, "roost_token_file", getenv(RPC_TOKEN_ENV));
	_cleanup_buf_ struct buf text = BUF_INIT(64 * 1024);
	if (!path || !*path)
		return err_set(err, -EINVAL,
		               "roost_token_file: must name a file with the node-to-node token (or "
		               "set " RPC_TOKEN_ENV ")");
	if (fd_read_file(path, &text, err) < 0) {
		err->code = -EINVAL;
		return err_wrap(err, "roost_token_file");
	}
	size_t n = str_trim(str_of(buf_cstr(&text))).len;
	explicit_bzero(text.p, text.p ? text.len : 0);
	if (!n)
		return err_set(err, -EINVAL, "roost_token_file: %s is empty", path);
	to->token_file = xstrdup(path);
	return 0;
}

static int numbers(const struct conf *c, struct node_config *to, struct err *err)
{
	int64_t slots, megabytes, seconds;
	int rc = conf_int(c, "roost_slots", node_machine_cores(), 1, 1024, &slots, err);
	if (rc == 0)
		rc = conf_int(c, "streaming_load_max_mb", LOAD_MAX_MB, 1, 1024 * 1024, &megabytes,
		              err);
	if (rc == 0)
		rc = conf_int(c, "roost_drain_timeout_s", DRAIN_S, 0, 86400, &seconds, err);
	if (rc == 0)
		rc = conf_int(c, "roost_drain_accept_ms", DRAIN_ACCEPT_MS, 0, 60000,
		              &to->drain_accept_ms, err);
	if (rc < 0)
		return rc;
	to->slots = (int)slots;
	to->load_max_bytes = megabytes * MB;
	to->drain_timeout_ms = seconds * 1000;
	to->bind_address = xstrdup(conf_str(c, "roost_bind_address", "0.0.0.0"));
	return 0;
}

int node_config_load(const char *path, enum node_role role, struct node_config *ret,
                     struct err *err)
{
	_cleanup_(conf_freep) struct conf *c = NULL;
	struct node_config to = { .role = role };
	int rc = conf_load(path, &c, err);
	if (rc == 0)
		rc = ports(c, &to, err);
	if (rc == 0)
		rc = numbers(c, &to, err);
	if (rc == 0)
		rc = token(c, &to, err);
	if (rc == 0)
		rc = memory(c, &to, err);
	if (rc == 0)
		rc = storage(c, &to, err);
	if (rc == 0)
		rc = cache(c, &to, err);
	if (rc < 0) {
		node_config_free(&to);
		return rc;
	}
	conf_log_unknown(c, known);
	*ret = to;
	return 0;
}

void node_config_free(struct node_config *c)
{
	free(c->bind_address);
	free(c->storage_path);
	free(c->cache_path);
	free(c->token_file);
	free(c->duck);
	*c = (struct node_config){ .bind_address = NULL };
}
