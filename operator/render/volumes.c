/* Volumes, mounts and claims of a pod, in upstream's order and with upstream's names. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/data/json.h"
#include "operator/render/render.h"

#define TOKEN_MOUNT "/etc/roost/token"

struct lists {
	json_t *volumes, *mounts, *claims;
};

/* Upstream names a volume after Go's fmt of its MountInfo, hashed by FNV-1a in 32 bits; the first four
 * decimal digits count. Another name would restart every pod at adoption. */
char *render_volume_name(const char *name, const char *mount, const char *sub, bool hash)
{
	if (!hash)
		return xstrdup(name);
	autofree char *text = xasprintf("(v1.MountInfo){Name:(string)%s MountPath:(string)%s "
	                                "SubPath:(string)%s}",
	                                name, mount, sub);
	uint32_t h = 2166136261U;
	for (const char *p = text; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619U;
	autofree char *digits = xasprintf("%u", h);
	return xasprintf("%s-%.4s", name, digits);
}

static void add(struct lists *l, const char *name, const char *mount, const char *sub,
                json_t *source)
{
	json_object_set_new(source, "name", json_string(name));
	json_array_append_new(l->volumes, source);
	json_t *m = json_pack("{s:s, s:s}", "name", name, "mountPath", mount);
	if (sub && *sub)
		json_object_set_new(m, "subPath", json_string(sub));
	json_array_append_new(l->mounts, m);
}

static void add_empty_dir(struct lists *l, const char *name, const char *mount, const char *sub)
{
	add(l, name, mount, sub, json_pack("{s:{}}", "emptyDir"));
}

static json_t *claim_spec(const json_t *v)
{
	const char *class = data_get_str(v, "storageClassName");
	const char *size = data_get_str(v, "storageSize");
	json_t *spec = json_pack("{s:[s]}", "accessModes", "ReadWriteOnce");
	if (class)
		json_object_set_new(spec, "storageClassName", json_string(class));
	if (size && *size)
		json_object_set_new(spec, "resources",
		                    json_pack("{s:{s:s}}", "requests", "storage", size));
	return spec;
}

/* A StatefulSet claims by template; a Deployment's pod has a claim that lives and dies with it. */
static void add_claim(struct lists *l, const json_t *v, bool ephemeral)
{
	const char *name = data_get_str(v, "name");
	json_t *source = NULL;
	if (ephemeral) {
		source = json_pack("{s:{s:{s:o}}}", "ephemeral", "volumeClaimTemplate", "spec",
		                   claim_spec(v));
	} else {
		source = json_pack("{s:{s:s}}", "persistentVolumeClaim", "claimName", name);
		json_array_append_new(l->claims,
		                      json_pack("{s:s, s:s, s:{s:s}, s:o}", "apiVersion", "v1",
		                                "kind", "PersistentVolumeClaim", "metadata", "name",
		                                name, "spec", claim_spec(v)));
	}
	add(l, name, data_get_str(v, "mountPath"), data_get_str(v, "subPath"), source);
}

static void add_storage(struct lists *l, const struct model_part *p, bool ephemeral)
{
	size_t i;
	const json_t *v;
	json_array_foreach(p->volumes, i, v)
	{
		const char *class = data_get_str(v, "storageClassName");
		const char *size = data_get_str(v, "storageSize");
		const json_t *host = data_get(v, "hostPath");
		if (size && *size == '0')
			continue;
		if (class && strcasecmp(class, "emptyDir") == 0)
			add_empty_dir(l, data_get_str(v, "name"), data_get_str(v, "mountPath"),
			              data_get_str(v, "subPath"));
		else if ((class && strcasecmp(class, "hostPath") == 0) ||
		         (!class && json_is_object(host)))
			add(l, data_get_str(v, "name"), data_get_str(v, "mountPath"),
			    data_get_str(v, "subPath"),
			    json_pack("{s:o}", "hostPath",
			              host ? json_deep_copy(host) : json_object()));
		else
			add_claim(l, v, ephemeral);
	}
}

static const char *last_part(const char *name)
{
	const char *dash = strrchr(name, '-');
	return dash ? dash + 1 : NULL;
}

/* A default volume is left out when a volume of the user's has its name or ends like it ("be0-data"), or is
 * mounted below its path. */
static bool covered(const struct lists *l, const char *name, const char *path)
{
	size_t i;
	const json_t *v;
	json_array_foreach(l->volumes, i, v)
	{
		const char *n = data_get_str(v, "name");
		const char *part = last_part(n);
		if (strcmp(n, name) == 0 || (part && strcmp(part, last_part(name)) == 0))
			return true;
	}
	json_array_foreach(l->mounts, i, v)
	{
		if (strstr(data_get_str(v, "mountPath"), path))
			return true;
	}
	return false;
}

static void add_default(struct lists *l, const struct model_part *p, enum model_role role,
                        const char *suffix, const char *folder)
{
	const char *r = MODEL_ROLE_NAME[role];
	autofree char *name = xasprintf("%s-%s", r, suffix);
	autofree char *path = xasprintf("%s/%s/%s", p->root, r, folder);
	if (!covered(l, name, path))
		add_empty_dir(l, name, path, NULL);
}

static int add_references(struct lists *l, const struct model_part *p, const json_t *references,
                          bool secret, bool hash, struct err *err)
{
	size_t i;
	const json_t *r;
	json_array_foreach((json_t *)(uintptr_t)references, i, r)
	{
		const char *name = data_get_str(r, "name");
		const char *mount = data_get_str(r, "mountPath");
		const char *sub = data_get_str(r, "subPath");
		if (!name || !mount)
			return err_set(err, -EINVAL, "%s[%zu] needs a name and a mountPath",
			               secret ? "secrets" : "configMaps", i);
		autofree char *volume = render_volume_name(name, mount, sub ? sub : "", hash);
		json_t *source = secret ? json_pack("{s:{s:s}}", "secret", "secretName", name)
		                        : json_pack("{s:{s:s}}", "configMap", "name", name);
		if (!secret && sub && *sub && (p->command || p->args))
			data_set(source, "configMap.defaultMode", json_integer(0755));
		add(l, volume, mount, sub, source);
	}
	return 0;
}

/* What only Roost's own image gets: the token between nodes, and places to write when its root is
 * read-only. */
static void add_engine(struct lists *l, const struct model_cluster *m, enum model_role role)
{
	autofree char *secret = render_object_name(m->fe_name ? m->fe_name : m->name, RENDER_TOKEN);
	if (role == MODEL_CN)
		add_default(l, &m->part[role], role, "data", "storage");
	if (m->part[role].read_only_root && !covered(l, "roost-tmp", "/tmp"))
		add_empty_dir(l, "roost-tmp", "/tmp", NULL);
	add(l, "roost-token", TOKEN_MOUNT, NULL,
	    json_pack("{s:{s:s}}", "secret", "secretName", secret));
	json_object_set_new(json_array_get(l->mounts, json_array_size(l->mounts) - 1), "readOnly",
	                    json_true());
}

static int check_unique(const json_t *list, const char *key, const char *what, struct err *err)
{
	_cleanup_json_ json_t *seen = json_object();
	size_t i;
	const json_t *v;
	json_array_foreach((json_t *)(uintptr_t)list, i, v)
	{
		const char *name = data_get_str(v, key);
		if (json_object_get(seen, name))
			return err_set(err, -EINVAL, "%s %s is used twice", what, name);
		json_object_set_new(seen, name, json_true());
	}
	return 0;
}

int render_volumes(const struct model_cluster *m, enum model_role role,
                   const struct render_options *options, json_t *pod, struct err *err)
{
	const struct model_part *p = &m->part[role];
	struct lists l = { json_array(), json_array(), json_array() };
	json_object_set_new(pod, "volumes", l.volumes);
	json_object_set_new(pod, "mounts", l.mounts);
	json_object_set_new(pod, "claims", l.claims);
	add_storage(&l, p, role == MODEL_CN);
	if (role == MODEL_FE)
		add_default(&l, p, role, "meta", "meta");
	if (role == MODEL_BE)
		add_default(&l, p, role, "data", "storage");
	add_default(&l, p, role, "log", "log");
	if (p->info_map && *p->info_map && p->info_key && *p->info_key) {
		autofree char *mount = xasprintf("/etc/starrocks/%s/conf", MODEL_ROLE_NAME[role]);
		add(&l, p->info_map, mount, NULL,
		    json_pack("{s:{s:s}}", "configMap", "name", p->info_map));
	}
	int rc = add_references(&l, p, p->config_maps, false, options->volume_hash, err);
	if (rc == 0)
		rc = add_references(&l, p, p->secrets, true, options->volume_hash, err);
	if (rc < 0)
		return rc;
	if (m->engine)
		add_engine(&l, m, role);
	rc = check_unique(l.mounts, "mountPath", "mount path", err);
	if (rc == 0)
		rc = check_unique(l.volumes, "name", "volume name", err);
	if (json_array_size(l.claims) == 0)
		json_object_del(pod, "claims");
	return rc;
}

int render_proxy_volumes(const struct model_cluster *m, const struct render_options *options,
                         json_t *pod, struct err *err)
{
	const struct model_part *p = &m->proxy;
	struct lists l = { json_array(), json_array(), json_array() };
	autofree char *own = xasprintf("%s-fe-proxy", m->name);
	autofree char *volume = render_volume_name(own, "/etc/nginx", "", options->volume_hash);
	json_object_set_new(pod, "volumes", l.volumes);
	json_object_set_new(pod, "mounts", l.mounts);
	add_storage(&l, p, true);
	json_decref(l.claims);
	if (p->info_map && *p->info_map && p->info_key && *p->info_key)
		add(&l, volume, "/etc/nginx", NULL,
		    json_pack("{s:{s:s, s:[{s:s, s:s}]}}", "configMap", "name", p->info_map,
		              "items", "key", p->info_key, "path", "nginx.conf"));
	else
		add(&l, volume, "/etc/nginx", NULL,
		    json_pack("{s:{s:s}}", "configMap", "name", own));
	int rc = check_unique(l.mounts, "mountPath", "mount path", err);
	return rc < 0 ? rc : check_unique(l.volumes, "name", "volume name", err);
}
