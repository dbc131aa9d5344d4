#include "lib/kube/config.h"

#include <errno.h>

#include "lib/base/buf.h"
#include "lib/base/fd.h"
#include "lib/data/base64.h"
#include "lib/data/json.h"
#include "lib/data/yaml.h"

enum { FILE_MAX_ = 4 * 1024 * 1024 };
#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

void kube_config_free(struct kube_config *k)
{
	if (!k)
		return;
	free(k->server);
	free(k->ns);
	mem_free_secret(k->token);
	free(k->token_file);
	free(k->ca_file);
	free(k->cert_file);
	free(k->key_file);
	free(k->ca_pem);
	free(k->cert_pem);
	mem_free_secret(k->key_pem);
	free(k);
}

const char *kube_config_server(const struct kube_config *k)
{
	return k->server;
}

const char *kube_config_namespace(const struct kube_config *k)
{
	return k->ns;
}

/* ---- kubeconfig ---- */
static int decode_base64(const char *text, const char *what, char **ret, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(FILE_MAX_);
	if (data_base64_decode(str_trim(str_of(text)), &out) < 0 || out.len == 0)
		return err_set(err, -EINVAL, "%s is not base64", what);
	*ret = buf_take(&out);
	return 0;
}

static char *in_folder(const char *folder, const char *path)
{
	return *path == '/' || !folder ? xstrdup(path) : xasprintf("%s/%s", folder, path);
}

/* A pair of fields: the text itself ("…-data", base64) wins over a file. */
static int take_pem(const json_t *from, const char *key, const char *folder, char **ret_pem,
                    char **ret_file, struct err *err)
{
	autofree char *data_key = xasprintf("%s-data", key);
	const char *data = json_string_value(json_object_get(from, data_key));
	const char *file = json_string_value(json_object_get(from, key));
	if (data && *data)
		return decode_base64(data, data_key, ret_pem, err);
	if (file && *file)
		*ret_file = in_folder(folder, file);
	return 0;
}

static const json_t *named(const json_t *root, const char *list, const char *item, const char *name,
                           struct err *err)
{
	size_t i;
	const json_t *e;
	json_array_foreach(json_object_get(root, list), i, e)
	{
		const char *n = data_get_str(e, "name");
		if (n && name && strcmp(n, name) == 0)
			return json_object_get(e, item);
	}
	err_set(err, -EINVAL, "the kubeconfig has no entry \"%.64s\" in %s", name ? name : "",
	        list);
	return NULL;
}

static int take_cluster(struct kube_config *k, const json_t *cluster, const char *folder,
                        struct err *err)
{
	const char *server = data_get_str(cluster, "server");
	if (!server || (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0))
		return err_set(err, -EINVAL, "the kubeconfig's cluster has no server URL");
	k->server = xstrdup(server);
	for (size_t n = strlen(k->server); n > 0 && k->server[n - 1] == '/'; n--)
		k->server[n - 1] = '\0';
	k->insecure = data_get_bool(cluster, "insecure-skip-tls-verify", false);
	return take_pem(cluster, "certificate-authority", folder, &k->ca_pem, &k->ca_file, err);
}

static int take_user(struct kube_config *k, const json_t *user, const char *folder, struct err *err)
{
	const char *token = data_get_str(user, "token");
	const char *file = data_get_str(user, "tokenFile");
	if (json_object_get(user, "exec") || json_object_get(user, "auth-provider"))
		return err_set(
			err, -ENOTSUP,
			"the kubeconfig's user asks for an exec or auth-provider plugin, which "
			"is not supported; use a token or a client certificate");
	if (file && *file)
		k->token_file = in_folder(folder, file);
	else if (token && *token)
		k->token = xstrdup(token);
	int rc = take_pem(user, "client-certificate", folder, &k->cert_pem, &k->cert_file, err);
	return rc < 0 ? rc : take_pem(user, "client-key", folder, &k->key_pem, &k->key_file, err);
}

int kube_config_parse(struct str text, const char *folder, struct kube_config **ret,
                      struct err *err)
{
	_cleanup_(kube_config_freep) struct kube_config *k = xcalloc(1, sizeof(*k));
	_cleanup_json_ json_t *root = NULL;
	if (data_yaml_parse(text, &root, err) < 0)
		return err_wrap(err, "kubeconfig");
	const char *current = data_get_str(root, "current-context");
	const json_t *context = named(root, "contexts", "context", current, err);
	if (!context)
		return -EINVAL;
	const json_t *cluster =
		named(root, "clusters", "cluster", data_get_str(context, "cluster"), err);
	if (!cluster)
		return -EINVAL;
	const char *user_name = data_get_str(context, "user");
	const json_t *user = user_name ? named(root, "users", "user", user_name, err) : NULL;
	const char *ns = data_get_str(context, "namespace");
	if (user_name && !user)
		return -EINVAL;
	k->ns = xstrdup(ns && *ns ? ns : "default");
	int rc = take_cluster(k, cluster, folder, err);
	if (rc == 0 && user)
		rc = take_user(k, user, folder, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(k);
	return 0;
}

/* ---- loading ---- */
static int load_file(const char *path, struct kube_config **ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(FILE_MAX_);
	autofree char *folder = xstrdup(path);
	char *slash = strrchr(folder, '/');
	if (fd_read_file(path, &text, err) < 0)
		return err_wrap(err, "kubeconfig");
	if (slash)
		*slash = '\0';
	if (kube_config_parse((struct str){ text.p, text.len }, slash ? folder : ".", ret, err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}

static int load_account(const char *host, const char *port, struct kube_config **ret,
                        struct err *err)
{
	_cleanup_(kube_config_freep) struct kube_config *k = xcalloc(1, sizeof(*k));
	_cleanup_buf_ struct buf ns = BUF_INIT(256);
	bool v6 = strchr(host, ':') != NULL;
	if (!fd_exists(ACCOUNT "/token"))
		return err_set(err, -ENOENT,
		               "the pod has no service account token (%s/token); set "
		               "automountServiceAccountToken or give --kubeconfig",
		               ACCOUNT);
	k->server = xasprintf(v6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
	k->token_file = xstrdup(ACCOUNT "/token");
	k->ca_file = xstrdup(ACCOUNT "/ca.crt");
	if (fd_read_file(ACCOUNT "/namespace", &ns, NULL) == 0 && ns.len > 0)
		k->ns = str_dup(str_trim((struct str){ ns.p, ns.len }));
	else
		k->ns = xstrdup("default");
	*ret = TAKE_PTR(k);
	return 0;
}

int kube_config_load(const char *file, struct kube_config **ret, struct err *err)
{
	const char *env = getenv("KUBECONFIG");
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	if (file && *file)
		return load_file(file, ret, err);
	if (env && *env)
		return load_file(env, ret, err);
	if (host && *host && port && *port)
		return load_account(host, port, ret, err);
	return err_set(err, -ENOENT,
	               "no way to a Kubernetes API server: give --kubeconfig FILE, set KUBECONFIG, "
	               "or run in a pod");
}
