/* What a cluster may have besides FE, BE and CN: the FE proxy, FE observers, disaster recovery. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/model/cluster_priv.h"

/* Of observers the label controller-revision-hash: the set's name and ten characters in 63. */
enum { PROXY_NAME_MAX = 46, OBSERVER_NAME_MAX = 40 };

static bool has_snapshot(const json_t *config_maps)
{
	size_t i;
	const json_t *c;
	json_array_foreach((json_t *)(uintptr_t)config_maps, i, c)
	{
		const char *sub = data_get_str(c, "subPath");
		const char *mount = data_get_str(c, "mountPath");
		if ((sub && strstr(sub, "cluster_snapshot.yaml")) ||
		    (mount &&
		     (str_ends(str_of(mount), "fe/conf") || str_ends(str_of(mount), "fe/conf/"))))
			return true;
	}
	return false;
}

/* Upstream keeps what it did in the status; only a generation that is not done there is still to do. */
static void decode_recovery(struct model_cluster *m)
{
	const json_t *done = data_get(m->cr, "status.disasterRecoveryStatus");
	const char *phase = data_get_str(done, "phase");
	int64_t seen = data_get_int(done, "observedGeneration", -1);
	m->dr.snapshot = has_snapshot(m->part[MODEL_FE].config_maps);
	m->dr.generation = data_get_int(m->cr, "spec.disasterRecovery.generation", 0);
	m->dr.enabled = data_get_bool(m->cr, "spec.disasterRecovery.enabled", false) &&
	                m->part[MODEL_FE].ports.shared_data;
	m->dr.running = m->dr.enabled &&
	                (!json_is_object(done) || m->dr.generation > seen ||
	                 (m->dr.generation == seen && !(phase && strcmp(phase, "done") == 0)));
}

static int check_observers(const struct model_cluster *m, struct err *err)
{
	int64_t n = m->part[MODEL_FE].observers;
	if (n < 0 || n > MODEL_OBSERVERS_MAX)
		return err_set(err, -EINVAL,
		               "spec.starRocksFeSpec.observers is %lld; it must be from 0 to %d",
		               (long long)n, MODEL_OBSERVERS_MAX);
	if (n > 0 && strlen(m->name) > OBSERVER_NAME_MAX)
		return err_set(err, -EINVAL,
		               "metadata.name has %zu characters; the observers' StatefulSet is "
		               "named after it and allows %d",
		               strlen(m->name), OBSERVER_NAME_MAX);
	return 0;
}

int model_extras_decode(struct model_cluster *m, struct err *err)
{
	if (check_observers(m, err) < 0)
		return -EINVAL;
	int rc = model_part_decode(m->cr, "spec.starRocksFeProxySpec", "envVars", MODEL_ROLES,
	                           &m->proxy, err);
	if (rc < 0)
		return rc;
	if (m->proxy.present && strlen(m->name) > PROXY_NAME_MAX)
		return err_set(err, -EINVAL,
		               "metadata.name has %zu characters; the Service of the FE proxy is "
		               "named after it and allows %d",
		               strlen(m->name), PROXY_NAME_MAX);
	decode_recovery(m);
	return 0;
}

void model_extras_conf(struct model_cluster *m)
{
	decode_recovery(m);
}
