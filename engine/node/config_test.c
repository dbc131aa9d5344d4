#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/node/machine.h"
#include "engine/node/node.h"
#include "engine/rpc.h"
#include "lib/base/fd.h"

struct place {
	char root[64];
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));
	(void)snprintf(p->root, sizeof(p->root), "/tmp/roost_config_XXXXXX");
	assert_non_null(mkdtemp(p->root));
	(void)unsetenv(RPC_TOKEN_ENV);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	(void)fd_rm_rf(p->root, NULL);
	free(p);
	return 0;
}

static void put(struct place *p, const char *name, const char *text)
{
	autofree char *path = xasprintf("%s/%s", p->root, name);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(fd_mkdir_p(path, 0700, NULL), 0);
	*slash = '/';
	assert_int_equal(fd_write_file(path, text, strlen(text), 0600, NULL), 0);
}

static int load(struct place *p, enum node_role role, const char *text, struct node_config *ret,
                struct err *err)
{
	autofree char *path = xasprintf("%s/be.conf", p->root);
	put(p, "token", "t\n");
	put(p, "be.conf", text);
	return node_config_load(path, role, ret, err);
}

static void a_file_of_starrocks_works(void **state)
{
	struct place *p = *state;
	struct node_config c;
	struct err err = ERR_INIT;
	autofree char *text = xasprintf("# comment\nJAVA_OPTS = \"-Xmx1g\"\nsys_log_level = INFO\n"
	                                "be_http_port = 8041\nstorage_root_path = %s/s,medium:ssd\n"
	                                "mem_limit = 1G\nroost_token_file = %s/token\n"
	                                "loop_count_wait_fragments_finish = 2\n",
	                                p->root, p->root);
	int rc = load(p, NODE_BE, text, &c, &err);
	assert_string_equal(err.msg, "");
	assert_int_equal(rc, 0);
	assert_int_equal(c.http_port, 8041);
	assert_int_equal(c.heartbeat_port, 9050);
	assert_int_equal(c.be_port, 9060);
	assert_int_equal(c.brpc_port, 8060);
	assert_int_equal(c.mem_limit, 1 << 30);
	assert_int_equal(c.load_max_bytes, 10240LL << 20);
	assert_string_equal(c.bind_address, "0.0.0.0");
	assert_true(fd_exists(c.storage_path));
	assert_true(c.slots >= 1);
	assert_true(c.cache_bytes > 0);
	node_config_free(&c);
	/* A CN's own names, and the other's where its own is missing. */
	autofree char *cn =
		xasprintf("webserver_port = 8141\nheartbeat_port = 9150\nbe_port = 9160\n"
	                  "storage_root_path = %s/s\nroost_token_file = %s/token\n",
	                  p->root, p->root);
	assert_int_equal(load(p, NODE_CN, cn, &c, &err), 0);
	assert_int_equal(c.http_port, 8141);
	assert_int_equal(c.heartbeat_port, 9150);
	assert_int_equal(c.be_port, 9160);
	node_config_free(&c);
}

static void bad_values_are_named(void **state)
{
	struct place *p = *state;
	static const char *const cases[][2] = {
		{ "brpc_port = 70000", "brpc_port" },
		{ "brpc_port = x", "brpc_port" },
		{ "brpc_port = 8040", "brpc_port 8040" },
		{ "mem_limit = 10M", "mem_limit" },
		{ "mem_limit = 200%", "mem_limit" },
		{ "roost_slots = 0", "roost_slots" },
		{ "storage_root_path = relative", "storage_root_path" },
		{ "storage_root_path = /tmp/a;/tmp/b", "storage_root_path" },
		{ "datacache_disk_path = x", "datacache_disk_path" },
		{ "streaming_load_max_mb = 0", "streaming_load_max_mb" },
		{ "roost_drain_timeout_s = -1", "roost_drain_timeout_s" },
		{ "roost_token_file = /nowhere", "roost_token_file" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct node_config c;
		struct err err = ERR_INIT;
		autofree char *text =
			xasprintf("storage_root_path = %s/s\nroost_token_file = %s/token\n%s\n",
		                  p->root, p->root, cases[i][0]);
		assert_int_equal(load(p, NODE_BE, text, &c, &err), -EINVAL);
		if (!strstr(err.msg, cases[i][1]))
			fail_msg("%s: %s", cases[i][0], err.msg);
	}
	struct node_config c;
	struct err err = ERR_INIT;
	autofree char *none = xasprintf("storage_root_path = %s/s\n", p->root);
	assert_int_equal(load(p, NODE_BE, none, &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "roost_token_file"));
}

static void memory_is_the_lowest_limit(void **state)
{
	struct place *p = *state;
	put(p, "proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\n");
	assert_int_equal(node_machine_memory_at(p->root), 1000 * 1024);
	put(p, "proc/self/cgroup", "0::/a/b\n");
	put(p, "sys/fs/cgroup/memory.max", "max\n");
	put(p, "sys/fs/cgroup/a/memory.max", "500000\n");
	put(p, "sys/fs/cgroup/a/b/memory.max", "max\n");
	assert_int_equal(node_machine_memory_at(p->root), 500000);
	put(p, "sys/fs/cgroup/a/b/memory.max", "400000\n");
	assert_int_equal(node_machine_memory_at(p->root), 400000);
	put(p, "proc/self/cgroup", "4:cpu,cpuacct:/k\n3:memory:/k/pod\n");
	put(p, "sys/fs/cgroup/memory/k/memory.limit_in_bytes", "300000\n");
	put(p, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(node_machine_memory_at(p->root), 300000);
	assert_true(node_machine_memory() > 0);
	assert_true(node_machine_rss() > 0);
}

static void quotas_round_up(void **state)
{
	struct place *p = *state;
	assert_int_equal(node_machine_quota_at(p->root), 0);
	put(p, "proc/self/cgroup", "0::/a\n");
	put(p, "sys/fs/cgroup/a/cpu.max", "max 100000\n");
	assert_int_equal(node_machine_quota_at(p->root), 0);
	put(p, "sys/fs/cgroup/a/cpu.max", "150000 100000\n");
	assert_int_equal(node_machine_quota_at(p->root), 2);
	put(p, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
	put(p, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
	assert_int_equal(node_machine_quota_at(p->root), 1);
	assert_true(node_machine_cores() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_of_starrocks_works, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_values_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_the_lowest_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(quotas_round_up, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
