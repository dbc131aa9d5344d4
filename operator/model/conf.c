#include "operator/model/conf.h"

#include <string.h>

const char *const MODEL_ROLE_NAME[MODEL_ROLES] = { "fe", "be", "cn" };

static struct str unquote(struct str s)
{
	if (s.len >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.len - 1] == s.p[0])
		return (struct str){ s.p + 1, s.len - 2 };
	return s;
}

static bool split_pair(struct str line, struct str *ret_key, struct str *ret_value)
{
	line = str_trim(line);
	if (line.len == 0 || line.p[0] == '#')
		return false;
	for (size_t i = 0; i < line.len; i++) {
		if (line.p[i] != '=' && line.p[i] != ':')
			continue;
		*ret_key = str_trim((struct str){ line.p, i });
		*ret_value = unquote(str_trim((struct str){ line.p + i + 1, line.len - i - 1 }));
		return true;
	}
	return false;
}

struct str model_conf_value(struct str text, const char *key)
{
	struct str found = { NULL, 0 };
	struct str line, k, v;
	while (str_split(&text, '\n', &line))
		if (split_pair(line, &k, &v) && str_caseeqs(k, key))
			found = v;
	return found;
}

static int port_of(struct str text, const char *key, int absent)
{
	int64_t n = 0;
	struct str v = model_conf_value(text, key);
	if (!v.p || str_to_i64(v, &n) < 0 || n <= 0 || n > 65535)
		return absent;
	return (int)n;
}

void model_ports_from_conf(enum model_role role, struct str text, struct model_ports *ret)
{
	*ret = (struct model_ports){ .arrow_flight = port_of(text, "arrow_flight_port", 0) };
	if (role == MODEL_FE) {
		struct str mode = model_conf_value(text, "run_mode");
		ret->http = port_of(text, "http_port", 8030);
		ret->rpc = port_of(text, "rpc_port", 9020);
		ret->query = port_of(text, "query_port", 9030);
		ret->edit_log = port_of(text, "edit_log_port", 9010);
		ret->shared_data = mode.p && memmem(mode.p, mode.len, "shared_data", 11) != NULL;
		return;
	}
	ret->thrift = port_of(text, "be_port", 9060);
	if (role == MODEL_CN)
		ret->thrift = port_of(text, "thrift_port", ret->thrift);
	ret->web = port_of(text, "webserver_port", port_of(text, "be_http_port", 8040));
	ret->heartbeat = port_of(text, "heartbeat_service_port", 9050);
	ret->brpc = port_of(text, "brpc_port", 8060);
}
