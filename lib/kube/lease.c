#include "lib/kube/lease.h"

#include <errno.h>
#include <stdatomic.h>

#include "lib/data/json.h"

struct kube_lease {
	char *ns, *name, *identity;
	int64_t duration_ms, renew_ms;
	_Atomic int64_t
		renewed_ms; /* when the last renewal that succeeded was sent; 0: not the holder */
	/* The record as another holder last wrote it, and when we first saw it so. */
	char *seen;
	int64_t seen_ms;
	char *holder; /* as last found */
	int64_t epoch;
};

struct kube_lease *kube_lease_new(const struct kube_lease_config *config)
{
	struct kube_lease *l = xcalloc(1, sizeof(*l));
	l->ns = xstrdup(config->ns);
	l->name = xstrdup(config->name);
	l->identity = xstrdup(config->identity);
	l->duration_ms = config->duration_ms ? config->duration_ms : 15000;
	l->renew_ms = config->renew_ms ? config->renew_ms : 10000;
	return l;
}

void kube_lease_free(struct kube_lease *l)
{
	if (!l)
		return;
	free(l->ns);
	free(l->name);
	free(l->identity);
	free(l->seen);
	free(l->holder);
	free(l);
}

bool kube_lease_held(const struct kube_lease *l, int64_t now_mono_ms)
{
	int64_t at = atomic_load(&l->renewed_ms);
	return at != 0 && now_mono_ms - at < l->renew_ms;
}

const char *kube_lease_holder(const struct kube_lease *l)
{
	return l->holder ? l->holder : "";
}

int64_t kube_lease_epoch(const struct kube_lease *l)
{
	return l->epoch;
}

static void found(struct kube_lease *l, const char *holder, int64_t transitions)
{
	char *is = xstrdup(holder ? holder : "");
	free(l->holder);
	l->holder = is;
	l->epoch = transitions + 1;
}

static void now_micro(char out[CLOCK_RFC3339_MAX])
{
	char text[CLOCK_RFC3339_MAX];
	clock_rfc3339(clock_real_ms(), text);
	/* MicroTime wants six digits: "…:23.456Z" becomes "…:23.456000Z". */
	snprintf(out, CLOCK_RFC3339_MAX, "%.*s000Z", (int)strlen(text) - 1, text);
}

static json_t *record(const struct kube_lease *l, const char *version, const char *acquired,
                      int64_t transitions)
{
	char now[CLOCK_RFC3339_MAX];
	now_micro(now);
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:s*}, s:{s:s, s:I, s:s, s:s, s:I}}",
	                 "apiVersion", KUBE_LEASE.api, "kind", KUBE_LEASE.kind, "metadata",
	                 "namespace", l->ns, "name", l->name, "resourceVersion", version, "spec",
	                 "holderIdentity", l->identity, "leaseDurationSeconds",
	                 (json_int_t)(l->duration_ms / 1000), "acquireTime",
	                 acquired ? acquired : now, "renewTime", now, "leaseTransitions",
	                 (json_int_t)transitions);
}

/* Whether the record was left alone for its whole duration, by our own clock. */
static bool expired(struct kube_lease *l, const json_t *lease, int64_t now)
{
	const char *holder = data_get_str(lease, "spec.holderIdentity");
	const char *version = data_get_str(lease, "metadata.resourceVersion");
	int64_t duration = data_get_int(lease, "spec.leaseDurationSeconds", 15) * 1000;
	if (!holder || !*holder)
		return true;
	if (!l->seen || !version || strcmp(l->seen, version) != 0) {
		free(l->seen);
		l->seen = xstrdup(version ? version : "");
		l->seen_ms = now;
		return false;
	}
	return now - l->seen_ms >= duration;
}

static int settle(struct kube_lease *l, int rc, int64_t now)
{
	if (rc == 0)
		atomic_store(&l->renewed_ms, now);
	else if (rc == KUBE_CONFLICT || rc == KUBE_EXISTS)
		/* Somebody else wrote: whoever it was, we do not know to be the holder. */
		atomic_store(&l->renewed_ms, 0);
	return rc;
}

int kube_lease_try(struct kube_lease *l, struct kube_client *c, int64_t now_mono_ms,
                   struct err *err)
{
	struct kube_ref ref = { &KUBE_LEASE, l->ns, l->name, NULL };
	_cleanup_json_ json_t *old = NULL;
	int rc = kube_get(c, &ref, &old, err);
	if (rc == KUBE_NOT_FOUND) {
		_cleanup_json_ json_t *fresh = record(l, NULL, NULL, 0);
		rc = settle(l, kube_create(c, &ref, fresh, NULL, err), now_mono_ms);
		if (rc == 0)
			found(l, l->identity, 0);
		return rc;
	}
	if (rc != 0)
		return rc;
	const char *holder = data_get_str(old, "spec.holderIdentity");
	int64_t transitions = data_get_int(old, "spec.leaseTransitions", 0);
	found(l, holder, transitions);
	bool ours = holder && strcmp(holder, l->identity) == 0;
	if (!ours) {
		atomic_store(&l->renewed_ms, 0);
		if (!expired(l, old, now_mono_ms))
			return 0;
	}
	_cleanup_json_ json_t *next = record(l, data_get_str(old, "metadata.resourceVersion"),
	                                     ours ? data_get_str(old, "spec.acquireTime") : NULL,
	                                     transitions + (ours ? 0 : 1));
	rc = settle(l, kube_replace(c, &ref, next, NULL, err), now_mono_ms);
	if (rc == 0)
		found(l, l->identity, transitions + (ours ? 0 : 1));
	return rc;
}

int kube_lease_release(struct kube_lease *l, struct kube_client *c, struct err *err)
{
	struct kube_ref ref = { &KUBE_LEASE, l->ns, l->name, NULL };
	_cleanup_json_ json_t *old = NULL;
	if (atomic_exchange(&l->renewed_ms, 0) == 0)
		return 0;
	int rc = kube_get(c, &ref, &old, err);
	const char *holder = rc == 0 ? data_get_str(old, "spec.holderIdentity") : NULL;
	if (rc != 0 || !holder || strcmp(holder, l->identity) != 0)
		return rc;
	data_set(old, "spec.holderIdentity", json_string(""));
	data_set(old, "spec.leaseDurationSeconds", json_integer(1));
	return kube_replace(c, &ref, old, NULL, err);
}
