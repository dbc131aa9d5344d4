/* What a step must be told of KEDA, and the one write of it that holds a secret. */
#include <errno.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/data/json.h"
#include "operator/observe/metrics.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step.h"

enum { TOKEN_MAX = 4096 };

/* The scaler's token as callers show it; NULL when there is none. */
static char *token_of(const struct worker *w)
{
	_cleanup_buf_ struct buf text = BUF_INIT(TOKEN_MAX);
	const char *file = w->r->config.scaler_token_file;
	if (!file || fd_read_file(file, &text, NULL) < 0)
		return NULL;
	struct str rest = { text.p, text.len }, line;
	if (!str_split(&rest, '\n', &line) || str_trim(line).len == 0)
		return NULL;
	return str_dup(str_trim(line));
}

/* Named after the token: a new token is a new Secret, and none is ever written twice. */
static char *secret_name(const struct model_cluster *m, const char *token)
{
	char digest[17];
	_cleanup_json_ json_t *text = json_string(token);
	if (!text)
		return NULL;
	reconcile_digest(text, digest);
	return xasprintf("%s-cn-scaler-%.8s", m->name, digest);
}

json_t *reconcile_keda_world(const struct worker *w, const struct record *rec,
                             const struct model_cluster *m)
{
	const char *url = w->r->config.scaler_url;
	unsigned watch = observe_watch_of(w->r->config.watches, &KUBE_SCALED_OBJECT, m->ns);
	if (!url || !*url || !observe_store_present(w->r->config.store, watch))
		return NULL;
	char *token = token_of(w);
	autofree char *name = token ? secret_name(m, token) : NULL;
	mem_free_secret(token);
	bool have = name && rec->scaler_secret && strcmp(name, rec->scaler_secret) == 0;
	return json_pack("{s:s, s:s*, s:b}", "url", url, "token", name, "have", have);
}

int reconcile_create_scaler_secret(struct worker *w, struct record *rec, const struct kube_ref *ref,
                                   const json_t *world, struct err *err)
{
	const json_t *cr = json_object_get(world, "cr");
	const char *name = data_get_str(cr, "metadata.name");
	bool house = model_is_warehouse(cr);
	const struct kube_kind *owner = house ? &KUBE_WAREHOUSE : &KUBE_CLUSTER;
	autofree char *as = xasprintf(house ? "%s-warehouse" : "%s", name);
	char *token = token_of(w);
	if (!token)
		return err_set(err, -ENOENT, "the scaler's token is gone");
	_cleanup_json_ json_t *secret = json_pack(
		"{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s}, s:[{s:s, s:s, s:s, s:s, s:b}]}, s:s, s:b, "
		"s:{s:s}}",
		"apiVersion", "v1", "kind", "Secret", "metadata", "name", ref->name, "namespace",
		ref->ns, "labels", "app.kubernetes.io/component", "autoscaler",
		"app.starrocks.ownerreference/name", as, "ownerReferences", "apiVersion",
		owner->api, "kind", owner->kind, "name", name, "uid",
		data_get_str(cr, "metadata.uid"), "controller", 1, "type", "Opaque", "immutable", 1,
		"stringData", "token", token);
	mem_free_secret(token);
	int rc = secret ? kube_create(w->kube, ref, secret, NULL, err) : KUBE_INVALID;
	if (rc == 0)
		observe_metric_add(OBSERVE_WRITES_CREATE, 1);
	if (rc != 0 && rc != KUBE_EXISTS)
		return rc;
	free(rec->scaler_secret);
	rec->scaler_secret = xstrdup(ref->name);
	return 0;
}
