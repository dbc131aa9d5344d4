#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/data/json.h"
#include "operator/observe/nodes.h"

static int told;

static void changed(void *arg, const char *key)
{
	(void)arg;
	assert_string_equal(key, "n/c");
	told++;
}

static void put(struct observe_nodes *n, enum observe_nodes_source source, enum kube_change change,
                const char *text)
{
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *o = NULL;
	if (data_json_parse(str_of(text), &o, &err) < 0)
		fail_msg("%s", err.msg);
	observe_nodes_event(n, source, change, o);
}

static const char *notice_of(struct observe_nodes *n, struct observe_store *s, char text[128])
{
	_cleanup_json_ json_t *w = observe_store_world(s, "n/c");
	observe_nodes_add(n, w);
	assert_int_equal(json_object_size(json_object_get(w, "nodes")), 1);
	const char *why = data_get_str(w, "nodes.m.notice");
	(void)snprintf(text, 128, "%s", why ? why : "");
	return text;
}

#define NODE(more)                                                                       \
	"{\"metadata\":{\"name\":\"m\",\"resourceVersion\":\"7\",\"creationTimestamp\":" \
	"\"2026-01-01T10:00:00Z\",\"labels\":{\"karpenter.sh/nodepool\":\"p\"}" more
#define EVENT(at)                                                                               \
	"{\"involvedObject\":{\"kind\":\"Node\",\"name\":\"m\"},\"reason\":\"SpotInterrupted\"" \
	",\"lastTimestamp\":\"2026-01-01T" at "Z\"}"

static void each_way_to_hear_of_an_end(void **state)
{
	(void)state;
	char text[128];
	struct err err = ERR_INIT;
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(changed, NULL);
	struct observe_nodes_config config = { .store = s };
	_cleanup_(observe_nodes_freep) struct observe_nodes *n = observe_nodes_new(&config);
	static const char *const objects[] = {
		"{\"kind\":\"StarRocksCluster\",\"metadata\":{\"name\":\"c\",\"namespace\":\"n\"}}",
		"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"c-cn-0\",\"namespace\":\"n\","
		"\"labels\":"
		"{\"app.starrocks.ownerreference/name\":\"c-cn\",\"app.kubernetes.io/component\":"
		"\"cn\"}},\"spec\":{\"nodeName\":\"m\"}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		_cleanup_json_ json_t *o = NULL;
		assert_int_equal(data_json_parse(str_of(objects[i]), &o, &err), 0);
		observe_store_event(s, 0, KUBE_PUT, o);
	}
	told = 0;
	put(n, OBSERVE_NODES_NODE, KUBE_PUT, NODE("}}"));
	assert_int_equal(told, 1);
	assert_string_equal(notice_of(n, s, text), "");
	/* Of another machine; and of an older one of this name. */
	put(n, OBSERVE_NODES_NODE, KUBE_PUT, "{\"metadata\":{\"name\":\"other\"}}");
	put(n, OBSERVE_NODES_EVENT, KUBE_PUT, EVENT("09:59:59"));
	assert_string_equal(notice_of(n, s, text), "");
	put(n, OBSERVE_NODES_EVENT, KUBE_PUT, EVENT("10:00:01"));
	assert_string_equal(notice_of(n, s, text), "SpotInterrupted");
	put(n, OBSERVE_NODES_EVENT, KUBE_DELETED, EVENT("10:00:01"));
	put(n, OBSERVE_NODES_CLAIM, KUBE_PUT, "{\"status\":{\"nodeName\":\"m\"}}");
	assert_string_equal(notice_of(n, s, text), "");
	put(n, OBSERVE_NODES_CLAIM, KUBE_PUT,
	    "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T10:05:00Z\"},\"status\":{"
	    "\"nodeName\":"
	    "\"m\"}}");
	assert_string_equal(notice_of(n, s, text), "its NodeClaim is being deleted");
	/* That it went was not seen (a cut of the watch): a later machine of this name is another. */
	put(n, OBSERVE_NODES_NODE, KUBE_PUT,
	    "{\"metadata\":{\"name\":\"m\",\"creationTimestamp\":\"2026-01-01T10:07:00Z\"}}");
	assert_string_equal(notice_of(n, s, text), "");
	put(n, OBSERVE_NODES_CLAIM, KUBE_DELETED, "{\"status\":{\"nodeName\":\"m\"}}");
	put(n, OBSERVE_NODES_NODE, KUBE_PUT,
	    NODE("},\"spec\":{\"taints\":[{\"key\":\"karpenter.sh/disrupted\"}]}}"));
	assert_string_equal(notice_of(n, s, text), "karpenter.sh/disrupted");
	put(n, OBSERVE_NODES_NODE, KUBE_PUT, NODE(",\"deletionTimestamp\":\"t\"}}"));
	assert_string_equal(notice_of(n, s, text), "the node is being deleted");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_way_to_hear_of_an_end) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
