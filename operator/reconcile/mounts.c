/* What the pods of a role mount besides their conf file, as one digest: ConfigMaps by the watch, Secrets by
 * reading them now and then (they are not watched). Nothing of a Secret but the digest is kept. */
#include <errno.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step.h"
#include "operator/reconcile/step_priv.h"

enum { SECRETS_MS = 60000 };

static int of_maps(struct worker *w, const char *key, const struct model_cluster *m,
                   const struct model_part *p, json_t *out, struct err *err)
{
	size_t i;
	const json_t *c;
	json_array_foreach(p->config_maps, i, c)
	{
		const char *name = data_get_str(c, "name");
		char digest[17];
		if (!name || !model_name_ok(name))
			continue;
		const char *but = p->conf_map && strcmp(p->conf_map, name) == 0 ? p->conf_key : "";
		int rc = observe_conf_digest(w->r->config.conf, w->kube, key, m->ns, name, but,
		                             digest, err);
		if (rc != 0)
			return rc;
		json_array_append_new(out, json_sprintf("%s=%s", name, digest));
	}
	return 0;
}

/* A Secret that cannot be read now counts as it did before. */
static void of_secrets(struct worker *w, struct record *rec, const struct model_cluster *m,
                       const struct model_part *p, json_t *out)
{
	size_t i;
	const json_t *c;
	bool again = clock_mono_ms() - rec->mounts_at_ms >= SECRETS_MS;
	json_array_foreach(p->secrets, i, c)
	{
		const char *name = data_get_str(c, "name");
		struct kube_ref ref = { &KUBE_SECRET, m->ns, name, NULL };
		_cleanup_json_ json_t *secret = NULL;
		char digest[17];
		if (!name)
			continue;
		if ((again || !json_object_get(rec->mounts, name)) &&
		    kube_get(w->kube, &ref, &secret, NULL) == 0) {
			reconcile_digest(json_object_get(secret, "data"), digest);
			json_object_set_new(rec->mounts, name, json_string(digest));
		}
		json_array_append_new(out, json_sprintf("%s=%s", name,
		                                        data_get_str(rec->mounts, name)
		                                                ? data_get_str(rec->mounts, name)
		                                                : ""));
	}
}

int reconcile_add_mounts(struct worker *w, const char *key, struct record *rec,
                         const struct model_cluster *m, json_t *world, struct err *err)
{
	json_t *mounts = json_object();
	bool secrets = false;
	json_object_set_new(world, "mounts", mounts);
	if (!rec->mounts)
		rec->mounts = json_object();
	for (int r = 0; r < MODEL_ROLES; r++) {
		const struct model_part *p = &m->part[r];
		_cleanup_json_ json_t *list = json_array();
		char digest[17];
		if (!p->present || !reconcile_restarts_on_change(m, (enum model_role)r))
			continue;
		int rc = of_maps(w, key, m, p, list, err);
		if (rc != 0)
			return rc;
		of_secrets(w, rec, m, p, list);
		secrets = secrets || json_array_size(p->secrets) > 0;
		if (json_array_size(list) == 0)
			continue;
		reconcile_digest(list, digest);
		json_object_set_new(mounts, MODEL_ROLE_NAME[r], json_string(digest));
	}
	if (!secrets)
		return 0;
	if (clock_mono_ms() - rec->mounts_at_ms >= SECRETS_MS)
		rec->mounts_at_ms = clock_mono_ms();
	observe_queue_add(w->r->config.queue, key, SECRETS_MS);
	return 0;
}
