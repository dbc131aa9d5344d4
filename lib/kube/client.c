#include "lib/kube/client.h"

#include <errno.h>

#include "lib/base/fd.h"
#include "lib/data/cut.h"
#include "lib/data/json.h"
#include "lib/data/span.h"
#include "lib/kube/config.h"
#include "lib/kube/request.h"

enum { TOKEN_MAX = 64 * 1024, TOKEN_AGE_MS = 10000, PATH_TEXT_MAX = 8192 };

const struct kube_kind KUBE_POD = { "v1", "Pod", "pods" };
const struct kube_kind KUBE_SERVICE = { "v1", "Service", "services" };
const struct kube_kind KUBE_SECRET = { "v1", "Secret", "secrets" };
const struct kube_kind KUBE_CONFIG_MAP = { "v1", "ConfigMap", "configmaps" };
const struct kube_kind KUBE_PVC = { "v1", "PersistentVolumeClaim", "persistentvolumeclaims" };
const struct kube_kind KUBE_EVENT = { "v1", "Event", "events" };
const struct kube_kind KUBE_NAMESPACE = { "v1", "Namespace", "namespaces" };
const struct kube_kind KUBE_STATEFUL_SET = { "apps/v1", "StatefulSet", "statefulsets" };
const struct kube_kind KUBE_DEPLOYMENT = { "apps/v1", "Deployment", "deployments" };
const struct kube_kind KUBE_HPA = { "autoscaling/v2", "HorizontalPodAutoscaler",
	                            "horizontalpodautoscalers" };
const struct kube_kind KUBE_INGRESS = { "networking.k8s.io/v1", "Ingress", "ingresses" };
const struct kube_kind KUBE_PDB = { "policy/v1", "PodDisruptionBudget", "poddisruptionbudgets" };
const struct kube_kind KUBE_LEASE = { "coordination.k8s.io/v1", "Lease", "leases" };
const struct kube_kind KUBE_CLUSTER = { "starrocks.com/v1", "StarRocksCluster",
	                                "starrocksclusters" };
const struct kube_kind KUBE_WAREHOUSE = { "starrocks.com/v1", "StarRocksWarehouse",
	                                  "starrockswarehouses" };
const struct kube_kind KUBE_NODE = { "v1", "Node", "nodes" };
const struct kube_kind KUBE_NODE_CLAIM = { "karpenter.sh/v1", "NodeClaim", "nodeclaims" };
const struct kube_kind KUBE_SCALED_OBJECT = { "keda.sh/v1alpha1", "ScaledObject", "scaledobjects" };
const struct kube_kind KUBE_TRIGGER_AUTH = { "keda.sh/v1alpha1", "TriggerAuthentication",
	                                     "triggerauthentications" };

struct kube_client {
	const struct kube_config *config;
	struct http_client *http;
	int64_t timeout_ms;
	struct deadline by; /* of all calls together; at_ms 0: none */
	bool (*should_stop)(void *arg);
	void *arg;
	int64_t retry_ms;
	const char *const *slim; /* words; NULL: answers are taken whole */
	char *token;             /* from the token file */
	int64_t token_at_ms;
};

int kube_client_new(const struct kube_config *k, struct kube_client **ret, struct err *err)
{
	_cleanup_(kube_client_freep) struct kube_client *c = xcalloc(1, sizeof(*c));
	struct http_tls tls = {
		.ca_file = k->ca_file,
		.cert_file = k->cert_file,
		.key_file = k->key_file,
		.ca_pem = str_of(k->ca_pem),
		.cert_pem = str_of(k->cert_pem),
		.key_pem = str_of(k->key_pem),
		.insecure = k->insecure,
	};
	c->config = k;
	c->timeout_ms = KUBE_TIMEOUT_MS;
	c->retry_ms = -1;
	int rc = http_client_new(&tls, &c->http, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(c);
	return 0;
}

void kube_client_free(struct kube_client *c)
{
	if (!c)
		return;
	if (c->http)
		http_client_free(c->http);
	mem_free_secret(c->token);
	free(c);
}

void kube_client_timeout(struct kube_client *c, int64_t ms)
{
	c->timeout_ms = ms;
}

void kube_client_by(struct kube_client *c, struct deadline by)
{
	c->by = by;
}

void kube_client_stop_when(struct kube_client *c, bool (*should_stop)(void *arg), void *arg)
{
	c->should_stop = should_stop;
	c->arg = arg;
}

void kube_client_slim(struct kube_client *c, const char *const *words)
{
	c->slim = words;
}

int64_t kube_client_retry_ms(const struct kube_client *c)
{
	return c->retry_ms;
}

/* ---- credentials ---- */
static const char *bearer_of(struct kube_client *c)
{
	int64_t now = clock_mono_ms();
	if (!c->config->token_file)
		return c->config->token;
	if (c->token && now - c->token_at_ms < TOKEN_AGE_MS)
		return c->token;
	_cleanup_buf_ struct buf text = BUF_INIT(TOKEN_MAX);
	/* A file that cannot be read for a moment (it is being replaced) keeps the old token. */
	if (fd_read_file(c->config->token_file, &text, NULL) == 0) {
		mem_free_secret(c->token);
		c->token = str_dup(str_trim((struct str){ text.p, text.len }));
		c->token_at_ms = now;
		explicit_bzero(text.p, text.len);
	}
	return c->token;
}

/* ---- outcomes ---- */
static int outcome_of(int status, const char *reason)
{
	switch (status) {
	case 400:
	case 405:
	case 406:
	case 415:
	case 422:
		return KUBE_INVALID;
	case 401:
		return KUBE_UNAUTHORIZED;
	case 403:
		return KUBE_FORBIDDEN;
	case 404:
		return KUBE_NOT_FOUND;
	case 409:
		return reason && strcmp(reason, "AlreadyExists") == 0 ? KUBE_EXISTS : KUBE_CONFLICT;
	case 410:
		return KUBE_GONE;
	default:
		return status == 429 || status >= 500 ? KUBE_BUSY : -EPROTO;
	}
}

int kube_refusal(struct kube_client *c, int status, struct str body, int64_t retry_ms,
                 struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	const char *message = NULL, *reason = NULL;
	if (data_json_parse(body, &j, NULL) == 0) {
		message = data_get_str(j, "message");
		reason = data_get_str(j, "reason");
	}
	int rc = outcome_of(status, reason);
	c->retry_ms = retry_ms;
	if (rc == KUBE_UNAUTHORIZED)
		c->token_at_ms = INT64_MIN / 2;
	err_set(err, -EPROTO, "the API server answered %d: %.400s", status,
	        message ? message : (reason ? reason : "no message"));
	return rc;
}

/* ---- one request ---- */
void kube_slim(const struct kube_client *c, struct buf *text)
{
	if (!c->slim)
		return;
	text->len = data_json_cut(text->p, text->len, "managedFields", c->slim);
	text->p[text->len] = '\0';
}

int kube_call(struct kube_client *c, struct http_call *call, const char *path,
              struct http_reply *reply, struct err *err)
{
	autofree char *url = xasprintf("%s%s", c->config->server, path);
	call->url = url;
	call->bearer = bearer_of(c);
	c->retry_ms = -1;
	int rc = http_call(c->http, call, reply, err);
	call->url = NULL;
	call->bearer = NULL;
	return rc < 0 ? err_wrap(err, "API server") : 0;
}

struct request {
	const char *method, *path, *accept, *content_type;
	const json_t *body;
	bool whole; /* with managedFields, whatever the client wants */
};

/* The answer's text, slim unless it is to be whole; empty with a failure. */
static int request_text(struct kube_client *c, const struct request *r, struct http_reply *reply,
                        struct err *err)
{
	_cleanup_buf_ struct buf body = BUF_INIT(KUBE_BODY_MAX);
	const char *headers[] = { r->accept ? r->accept : "Accept: application/json", NULL };
	if (c->should_stop && c->should_stop(c->arg))
		return err_set(err, -ECANCELED, "the program ends");
	if (r->body && data_json_dump(r->body, &body) < 0)
		return err_set(err, -E2BIG, "the object passes %d bytes", KUBE_BODY_MAX);
	struct http_call call = {
		.method = r->method,
		.headers = headers,
		.body = { body.p, body.len },
		.content_type = r->body ? r->content_type : NULL,
		.by = deadline_in(c->timeout_ms),
		.body_max = KUBE_BODY_MAX,
		.should_stop = c->should_stop,
		.arg = c->arg,
	};
	if (c->by.at_ms)
		call.by = deadline_min(call.by, c->by);
	int rc = kube_call(c, &call, r->path, reply, err);
	if (rc < 0)
		return rc;
	if (!r->whole && reply->body.len > 0)
		kube_slim(c, &reply->body);
	if (reply->status < 200 || reply->status > 299)
		return kube_refusal(c, reply->status,
		                    (struct str){ buf_cstr(&reply->body), reply->body.len },
		                    reply->retry_after_ms, err);
	return 0;
}

static int parse_answer(const struct http_reply *reply, json_t **ret, struct err *err)
{
	struct str text = { buf_cstr(&reply->body), reply->body.len };
	if (data_json_parse(text, ret, err) < 0) {
		err_wrap(err, "the API server's answer");
		return -EPROTO;
	}
	return 0;
}

static int request(struct kube_client *c, const struct request *r, json_t **ret, struct err *err)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	int rc = request_text(c, r, &reply, err);
	return rc == 0 && ret ? parse_answer(&reply, ret, err) : rc;
}

/* ---- paths ---- */
static void add_collection(struct buf *out, const struct kube_kind *kind, const char *ns)
{
	buf_addf(out, "%s/%s", strchr(kind->api, '/') ? "/apis" : "/api", kind->api);
	if (ns) {
		buf_adds(out, "/namespaces/");
		http_url_encode(str_of(ns), false, out);
	}
	buf_addf(out, "/%s", kind->plural);
}

int kube_path(const struct kube_ref *r, struct buf *out)
{
	add_collection(out, r->kind, r->ns);
	if (r->name) {
		buf_addc(out, '/');
		http_url_encode(str_of(r->name), false, out);
	}
	if (r->sub)
		buf_addf(out, "/%s", r->sub);
	return out->overflow ? -E2BIG : 0;
}

static void add_parameter(struct buf *out, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	buf_addf(out, "%c%s=", memchr(out->p, '?', out->len) ? '&' : '?', key);
	http_url_encode(str_of(value), false, out);
}

void kube_query_path(const struct kube_list_query *q, struct buf *out)
{
	add_collection(out, q->kind, q->ns);
	add_parameter(out, "labelSelector", q->labels);
	add_parameter(out, "fieldSelector", q->fields);
}

/* ---- the verbs ---- */
static int on_object(struct kube_client *c, const char *method, const struct kube_ref *r,
                     const char *parameters, const char *content_type, const json_t *body,
                     json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT(PATH_TEXT_MAX);
	kube_path(r, &path);
	buf_adds(&path, parameters);
	if (path.overflow)
		return err_set(err, -E2BIG, "the name of a %s is too long", r->kind->kind);
	struct request q = { method, path.p, NULL, content_type, body, strcmp(method, "GET") == 0 };
	int rc = request(c, &q, ret, err);
	if (rc != 0)
		err_wrap(err, "%s %s %s%s%s", method, r->kind->kind, r->ns ? r->ns : "",
		         r->ns ? "/" : "", r->name ? r->name : "");
	return rc;
}

int kube_get(struct kube_client *c, const struct kube_ref *r, json_t **ret, struct err *err)
{
	return on_object(c, "GET", r, "", NULL, NULL, ret, err);
}

int kube_create(struct kube_client *c, const struct kube_ref *r, const json_t *object, json_t **ret,
                struct err *err)
{
	struct kube_ref collection = { r->kind, r->ns, NULL, NULL };
	return on_object(c, "POST", &collection, "", "application/json", object, ret, err);
}

int kube_replace(struct kube_client *c, const struct kube_ref *r, const json_t *object,
                 json_t **ret, struct err *err)
{
	return on_object(c, "PUT", r, "", "application/json", object, ret, err);
}

int kube_apply(struct kube_client *c, const struct kube_ref *r, const char *manager,
               const json_t *object, json_t **ret, struct err *err)
{
	autofree char *parameters = xasprintf("?force=true&fieldManager=%s", manager);
	/* JSON is YAML: the server takes application/apply-patch+yaml for both. */
	return on_object(c, "PATCH", r, parameters, "application/apply-patch+yaml", object, ret,
	                 err);
}

int kube_apply_gently(struct kube_client *c, const struct kube_ref *r, const char *manager,
                      const json_t *object, json_t **ret, struct err *err)
{
	autofree char *parameters = xasprintf("?fieldManager=%s", manager);
	return on_object(c, "PATCH", r, parameters, "application/apply-patch+yaml", object, ret,
	                 err);
}

int kube_merge_patch(struct kube_client *c, const struct kube_ref *r, const json_t *patch,
                     json_t **ret, struct err *err)
{
	return on_object(c, "PATCH", r, "", "application/merge-patch+json", patch, ret, err);
}

int kube_merge_patch_as(struct kube_client *c, const struct kube_ref *r, const char *manager,
                        const json_t *patch, json_t **ret, struct err *err)
{
	autofree char *parameters = xasprintf("?fieldManager=%s", manager);
	return on_object(c, "PATCH", r, parameters, "application/merge-patch+json", patch, ret,
	                 err);
}

static int delete_with(struct kube_client *c, const struct kube_ref *r, const char *policy,
                       const char *uid, const char *version, struct err *err)
{
	_cleanup_json_ json_t *options = json_pack("{s:s, s:s, s:s}", "apiVersion", "v1", "kind",
	                                           "DeleteOptions", "propagationPolicy", policy);
	if (uid || version)
		json_object_set_new(
			options, "preconditions",
			json_pack("{s:s*, s:s*}", "uid", uid, "resourceVersion", version));
	return on_object(c, "DELETE", r, "", "application/json", options, NULL, err);
}

int kube_delete(struct kube_client *c, const struct kube_ref *r, const char *uid,
                const char *version, struct err *err)
{
	return delete_with(c, r, "Background", uid, version, err);
}

int kube_delete_orphan(struct kube_client *c, const struct kube_ref *r, const char *uid,
                       const char *version, struct err *err)
{
	return delete_with(c, r, "Orphan", uid, version, err);
}

int kube_delete_in(struct kube_client *c, const struct kube_ref *r, const char *uid,
                   int64_t grace_s, struct err *err)
{
	_cleanup_json_ json_t *options = json_pack(
		"{s:s, s:s, s:s, s:I}", "apiVersion", "v1", "kind", "DeleteOptions",
		"propagationPolicy", "Background", "gracePeriodSeconds", (json_int_t)grace_s);
	if (uid)
		json_object_set_new(options, "preconditions", json_pack("{s:s}", "uid", uid));
	return on_object(c, "DELETE", r, "", "application/json", options, NULL, err);
}

/* ---- lists ---- */
struct page {
	const struct kube_kind *kind;
	kube_item_fn fn;   /* or */
	kube_text_fn text; /* gets them unparsed */
	void *arg;
	char *next, *version; /* malloc'd; next: NULL after the last page */
};

static int each_item(const json_t *page, const struct page *p)
{
	size_t i;
	json_t *item;
	json_array_foreach(json_object_get(page, "items"), i, item)
	{
		if (!json_is_object(item))
			continue;
		json_object_set_new(item, "apiVersion", json_string(p->kind->api));
		json_object_set_new(item, "kind", json_string(p->kind->kind));
		autofree char *text = p->text ? data_json_text(item) : NULL;
		int rc = p->text ? p->text(p->arg, str_of(text)) : p->fn(p->arg, item);
		if (rc)
			return rc;
	}
	return 0;
}

/* Whether the page's brackets match as far as its items go: otherwise the parser shall say what is wrong. */
static bool walkable(struct str items)
{
	size_t at = 0;
	struct str one;
	while (data_span_next(items, &at, &one))
		if (one.p[0] != '{')
			return false;
	return items.p && at == items.len;
}

static int each_text(struct str items, const struct page *p)
{
	_cleanup_buf_ struct buf named = BUF_INIT(KUBE_BODY_MAX);
	size_t at = 0;
	struct str one;
	while (data_span_next(items, &at, &one)) {
		/* Built-in kinds leave out of a list what its head says. */
		bool bare = !data_span_member(one, "kind").p;
		buf_reset(&named);
		buf_addf(&named, "{\"apiVersion\":\"%s\",\"kind\":\"%s\"%s", p->kind->api,
		         p->kind->kind, one.p[1] == '}' ? "" : ",");
		buf_add(&named, one.p + 1, one.len - 1);
		int rc = p->text(p->arg, bare ? (struct str){ buf_cstr(&named), named.len } : one);
		if (rc)
			return rc;
	}
	return 0;
}

static void note_rest(const json_t *metadata, struct page *p)
{
	const char *more = data_get_str(metadata, "continue");
	const char *version = data_get_str(metadata, "resourceVersion");
	p->next = more && *more ? xstrdup(more) : NULL;
	p->version = xstrdup(version ? version : "");
}

/* One answer, as text where that is wanted and can be. */
static int take_page(const struct http_reply *reply, struct page *p, struct err *err)
{
	_cleanup_json_ json_t *page = NULL;
	struct str text = { buf_cstr(&reply->body), reply->body.len };
	struct str items = p->text ? data_span_member(text, "items") : (struct str){ NULL, 0 };
	struct str metadata = data_span_member(text, "metadata");
	if (metadata.p && walkable(items) && data_json_parse(metadata, &page, NULL) == 0) {
		note_rest(page, p);
		return each_text(items, p);
	}
	int rc = parse_answer(reply, &page, err);
	if (rc != 0)
		return rc;
	note_rest(json_object_get(page, "metadata"), p);
	return each_item(page, p);
}

static int list(struct kube_client *c, const struct kube_list_query *q, struct page *p,
                char **ret_version, struct err *err)
{
	autofree char *next = NULL;
	do {
		_cleanup_buf_ struct buf path = BUF_INIT(PATH_TEXT_MAX);
		_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
		kube_query_path(q, &path);
		buf_addf(&path, "%climit=%d", memchr(path.p, '?', path.len) ? '&' : '?', KUBE_PAGE);
		add_parameter(&path, "continue", next);
		struct request r = {
			.method = "GET",
			.path = path.p,
			.accept = q->metadata_only
			                  ? "Accept: application/json;as=PartialObjectMetadataList;"
			                    "g=meta.k8s.io;v=v1"
			                  : NULL,
		};
		if (path.overflow)
			return err_set(err, -E2BIG, "list of %s: the query is too long",
			               q->kind->plural);
		int rc = request_text(c, &r, &reply, err);
		if (rc == 0)
			rc = take_page(&reply, p, err);
		autofree char *version = p->version;
		free(next);
		next = p->next;
		p->next = p->version = NULL;
		if (rc != 0) {
			err_wrap(err, "list of %s", q->kind->plural);
			return rc;
		}
		if (!next && ret_version)
			*ret_version = TAKE_PTR(version);
	} while (next);
	return 0;
}

int kube_list(struct kube_client *c, const struct kube_list_query *q, kube_item_fn fn, void *arg,
              char **ret_version, struct err *err)
{
	struct page p = { .kind = q->kind, .fn = fn, .arg = arg };
	return list(c, q, &p, ret_version, err);
}

int kube_list_text(struct kube_client *c, const struct kube_list_query *q, kube_text_fn fn,
                   void *arg, char **ret_version, struct err *err)
{
	struct page p = { .kind = q->kind, .text = fn, .arg = arg };
	return list(c, q, &p, ret_version, err);
}
