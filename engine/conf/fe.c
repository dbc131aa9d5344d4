#include "engine/conf/fe.h"

#include <errno.h>
#include <unistd.h>

#include "lib/data/json.h"

enum { HOST_NAME_MAX_LEN = 256 };

static const char *const known[] = { "http_port",
	                             "rpc_port",
	                             "query_port",
	                             "edit_log_port",
	                             "meta_dir",
	                             "qe_max_connection",
	                             "query_timeout",
	                             "query_queue_pending_timeout_second",
	                             "min_graceful_exit_time_second",
	                             "max_graceful_exit_time_second",
	                             "run_mode",
	                             "aws_s3_path",
	                             "aws_s3_endpoint",
	                             "aws_s3_region",
	                             "aws_s3_access_key",
	                             "aws_s3_access_key_file",
	                             "aws_s3_secret_key",
	                             "aws_s3_secret_key_file",
	                             "aws_s3_path_style",
	                             "aws_s3_use_instance_profile",
	                             "roost_bind_address",
	                             "roost_fe_host",
	                             "self_host",
	                             "roost_token_file",
	                             "roost_load_needs_token",
	                             "roost_cluster_name",
	                             NULL };

void conf_fe_free(struct conf_fe *c)
{
	conf_free(c->raw);
	free(c->fe_host);
	mem_free_secret(c->s3_json);
	free(c->s3_path);
	memset(c, 0, sizeof(*c));
}

static int read_numbers(struct conf_fe *c, struct err *err)
{
	const struct {
		const char *key;
		int64_t fallback, min, max;
		int64_t *ret;
	} numbers[] = {
		{ "http_port", 8030, 0, 65535, &c->http_port },
		{ "rpc_port", 9020, 0, 65535, &c->rpc_port },
		{ "query_port", 9030, 0, 65535, &c->query_port },
		{ "edit_log_port", 9010, 0, 65535, &c->edit_log_port },
		{ "qe_max_connection", 4096, 1, 100000, &c->max_connections },
		{ "query_timeout", 0, 1, 259200, &c->query_timeout_s },
		{ "query_queue_pending_timeout_second", 0, 1, 259200, &c->pending_timeout_s },
		{ "min_graceful_exit_time_second", 15, 0, 3600, &c->min_grace_s },
		{ "max_graceful_exit_time_second", 60, 0, 86400, &c->max_grace_s },
	};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(numbers); i++)
		rc = conf_int(c->raw, numbers[i].key, numbers[i].fallback, numbers[i].min,
		              numbers[i].max, numbers[i].ret, err);
	if (rc < 0)
		return rc;
	if (c->max_grace_s < c->min_grace_s)
		return err_set(err, -EINVAL,
		               "max_graceful_exit_time_second = %lld: not below "
		               "min_graceful_exit_time_second (%lld)",
		               (long long)c->max_grace_s, (long long)c->min_grace_s);
	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < i; k++)
			if (*numbers[i].ret && *numbers[i].ret == *numbers[k].ret)
				return err_set(err, -EINVAL, "%s and %s are both %lld",
				               numbers[k].key, numbers[i].key,
				               (long long)*numbers[i].ret);
	return 0;
}

static bool is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
	       strcmp(address, "localhost") == 0;
}

static int read_trust(struct conf_fe *c, struct err *err)
{
	c->bind_address = conf_str(c->raw, "roost_bind_address", "0.0.0.0");
	c->token_file = conf_str(c->raw, "roost_token_file", NULL);
	if (!c->token_file)
		c->token_file = getenv("ROOST_TOKEN_FILE");
	if (c->token_file && !*c->token_file)
		c->token_file = NULL;
	if (!c->token_file && !is_loopback(c->bind_address))
		return err_set(err, -EINVAL,
		               "no node-to-node token: set roost_token_file (or the environment's "
		               "ROOST_TOKEN_FILE), or bind to loopback with roost_bind_address = "
		               "127.0.0.1");
	return conf_bool(c->raw, "roost_load_needs_token", false, &c->load_needs_token, err);
}

static int read_host(struct conf_fe *c, const char *host_type, struct err *err)
{
	const char *type = host_type ? host_type : getenv("HOST_TYPE");
	const char *pod_ip = getenv("POD_IP");
	const char *host = conf_str(c->raw, "roost_fe_host", conf_str(c->raw, "self_host", NULL));
	if (type && *type && strcmp(type, "FQDN") != 0 && strcmp(type, "IP") != 0)
		return err_set(err, -EINVAL, "host type %.32s: FQDN or IP", type);
	bool by_name = type && strcmp(type, "FQDN") == 0;
	if (!host && !by_name && pod_ip && *pod_ip)
		host = pod_ip;
	if (!host && is_loopback(c->bind_address))
		host = c->bind_address;
	char name[HOST_NAME_MAX_LEN] = "";
	if (!host && gethostname(name, sizeof(name) - 1) == 0)
		host = name;
	if (!host || !*host || strlen(host) >= HOST_NAME_MAX_LEN)
		return err_set(err, -EINVAL,
		               "roost_fe_host: 1 to %d bytes: the name that workers use for this "
		               "front end",
		               HOST_NAME_MAX_LEN - 1);
	c->fe_host = xstrdup(host);
	return 0;
}

/* "s3://bucket/prefix/", "bucket/prefix" or "bucket". */
static int split_path(const char *path, char **ret_bucket, char **ret_prefix, struct err *err)
{
	struct str rest = str_of(path), bucket;
	if (str_starts(rest, "s3://"))
		rest = (struct str){ rest.p + 5, rest.len - 5 };
	while (rest.len && rest.p[rest.len - 1] == '/')
		rest.len--;
	if (!str_split(&rest, '/', &bucket) || bucket.len < 3 || bucket.len > 63)
		return err_set(err, -EINVAL,
		               "aws_s3_path = %.64s: bucket or bucket/prefix, the bucket with 3 to "
		               "63 characters",
		               path);
	*ret_bucket = str_dup(bucket);
	*ret_prefix = str_dup(rest.p ? rest : (struct str){ "", 0 });
	return 0;
}

static int read_s3(struct conf_fe *c, struct err *err)
{
	const char *path = conf_str(c->raw, "aws_s3_path", NULL);
	const char *region = conf_str(c->raw, "aws_s3_region", "us-east-1");
	const char *endpoint = conf_str(c->raw, "aws_s3_endpoint", NULL);
	bool profile = false, path_style = false;
	int rc = conf_bool(c->raw, "aws_s3_use_instance_profile", false, &profile, err);
	if (rc == 0)
		rc = conf_bool(c->raw, "aws_s3_path_style", endpoint != NULL, &path_style, err);
	if (rc < 0 || !path)
		return rc;
	if (profile)
		return err_set(err, -EINVAL,
		               "aws_s3_use_instance_profile = true: not supported yet; give "
		               "aws_s3_access_key_file and aws_s3_secret_key_file");
	autofree char *bucket = NULL;
	char *access = NULL, *secret = NULL;
	rc = split_path(path, &bucket, &c->s3_path, err);
	if (rc == 0)
		rc = conf_secret(c->raw, "aws_s3_access_key", &access, err);
	if (rc == 0)
		rc = conf_secret(c->raw, "aws_s3_secret_key", &secret, err);
	if (rc == 0 && (!access || !secret))
		rc = err_set(err, -EINVAL,
		             "aws_s3_path needs aws_s3_access_key(_file) and "
		             "aws_s3_secret_key(_file)");
	if (rc == 0) {
		autofree char *url = !endpoint ? xasprintf("https://s3.%s.amazonaws.com", region)
		                     : strstr(endpoint, "://") ? xstrdup(endpoint)
		                                               : xasprintf("https://%s", endpoint);
		_cleanup_json_ json_t *j =
			json_pack("{s:s, s:s, s:s, s:b, s:s, s:s}", "endpoint", url, "region",
		                  region, "bucket", bucket, "path_style", path_style, "access_key",
		                  access, "secret_key", secret);
		c->s3_json = j ? data_json_text(j) : NULL;
		if (!j)
			rc = err_set(err, -EINVAL, "aws_s3_*: a value is not UTF-8");
	}
	mem_free_secret(access);
	mem_free_secret(secret);
	return rc;
}

static int read_all(struct conf_fe *c, const char *host_type, struct err *err)
{
	const char *mode = conf_str(c->raw, "run_mode", "shared_nothing");
	c->meta_dir = conf_str(c->raw, "meta_dir", NULL);
	c->cluster_name = conf_str(c->raw, "roost_cluster_name", NULL);
	if (!c->meta_dir)
		return err_set(err, -EINVAL, "meta_dir is not set: the folder of the catalog");
	if (strcmp(mode, "shared_nothing") != 0 && strcmp(mode, "shared_data") != 0)
		return err_set(err, -EINVAL, "run_mode = %.32s: shared_nothing or shared_data",
		               mode);
	int rc = read_numbers(c, err);
	if (rc == 0)
		rc = read_trust(c, err);
	if (rc == 0)
		rc = read_host(c, host_type, err);
	if (rc == 0)
		rc = read_s3(c, err);
	if (rc == 0)
		conf_log_unknown(c->raw, known);
	return rc;
}

static int finish(struct conf *raw, const char *host_type, struct conf_fe *ret, struct err *err)
{
	struct conf_fe c = { .raw = raw };
	int rc = read_all(&c, host_type, err);
	if (rc < 0)
		conf_fe_free(&c);
	else
		*ret = c;
	return rc;
}

int conf_fe_parse(struct str text, const char *name, const char *host_type, struct conf_fe *ret,
                  struct err *err)
{
	struct conf *raw = NULL;
	int rc = conf_parse(text, name, &raw, err);
	return rc < 0 ? rc : finish(raw, host_type, ret, err);
}

int conf_fe_load(const char *path, const char *host_type, struct conf_fe *ret, struct err *err)
{
	struct conf *raw = NULL;
	int rc = conf_load(path, &raw, err);
	return rc < 0 ? rc : finish(raw, host_type, ret, err);
}
