/* The operator's own database user (spec.sqlUser, decision 0124): its Secret, and what is told of it. */
#include <errno.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/data/json.h"
#include "operator/observe/metrics.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step.h"
#include "operator/reconcile/step_priv.h"

#define DEFAULT_NAME "roost_operator"
enum { PASSWORD_BYTES = 24, ASK_SOON_MS = 1000 };

static bool wanted(const struct model_cluster *m)
{
	return data_get_bool(m->cr, "spec.sqlUser.enabled", false);
}

static char *secret_name(const char *cluster)
{
	return xasprintf("%s-roost-sql", cluster);
}

json_t *reconcile_sql_user_target(const struct model_cluster *m)
{
	const char *name = data_get_str(m->cr, "spec.sqlUser.name");
	autofree char *secret = secret_name(m->name);
	return wanted(m) ? json_pack("{s:s, s:s}", "name", name ? name : DEFAULT_NAME, "secret",
	                             secret)
	                 : NULL;
}

/* What the FE's answer says of it: no Secret yet, or that the FE refuses such a user. */
void reconcile_sql_user(struct step *s)
{
	const json_t *fe = json_object_get(s->world, "fe");
	const char *state = data_get_str(fe, "sql_user");
	if (!wanted(s->m) || !state)
		return;
	if (strcmp(state, "no_secret") == 0) {
		autofree char *name = secret_name(s->m->name);
		json_array_append_new(s->writes, json_pack("{s:s, s:s, s:s}", "verb", "sql_secret",
		                                           "kind", "Secret", "name", name));
		reconcile_ask(s, ASK_SOON_MS);
	} else if (strcmp(state, "refused") == 0) {
		const char *why = data_get_str(fe, "sql_user_error");
		reconcile_event(s, "Warning", "SqlUserRefused",
		                "statements go as root: the operator's own SQL user is refused: %s",
		                why ? why : "");
	}
}

/* NULL unless root has to do what the user should. */
char *reconcile_root_sql(const struct step *s)
{
	const json_t *fe = reconcile_fe(s);
	const char *state = data_get_str(fe, "sql_user");
	const char *why = data_get_str(fe, "sql_user_error");
	if (!wanted(s->m) || !state || strcmp(state, "refused") != 0)
		return NULL;
	return xasprintf("statements go as root: the operator's own SQL user is refused: %s",
	                 why ? why : "");
}

/* Made once; whoever deletes it gets a new password, which root gives to the user. */
int reconcile_create_sql_secret(struct worker *w, const struct kube_ref *ref, const json_t *world,
                                struct err *err)
{
	const json_t *cr = json_object_get(world, "cr");
	const char *cluster = data_get_str(cr, "metadata.name");
	const char *user = data_get_str(cr, "spec.sqlUser.name");
	char password[2 * PASSWORD_BYTES + 1];
	fd_random_hex(password, PASSWORD_BYTES);
	_cleanup_json_ json_t *secret = json_pack(
		"{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s}, s:[{s:s, s:s, s:s, s:s, s:b}]}, s:s, "
		"s:{s:s, s:s}}",
		"apiVersion", "v1", "kind", "Secret", "metadata", "name", ref->name, "namespace",
		ref->ns, "labels", "app.kubernetes.io/component", "fe",
		"app.starrocks.ownerreference/name", cluster, "ownerReferences", "apiVersion",
		KUBE_CLUSTER.api, "kind", KUBE_CLUSTER.kind, "name", cluster, "uid",
		data_get_str(cr, "metadata.uid"), "controller", 1, "type", "Opaque", "stringData",
		"username", user ? user : DEFAULT_NAME, "password", password);
	explicit_bzero(password, sizeof(password));
	int rc = secret ? kube_create(w->kube, ref, secret, NULL, err) : KUBE_INVALID;
	if (rc == 0)
		observe_metric_add(OBSERVE_WRITES_CREATE, 1);
	return rc == KUBE_EXISTS ? 0 : rc;
}
