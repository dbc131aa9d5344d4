#include "engine/node/machine.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { SMALL_FILE = 64 * 1024 };

/* The first number of a small file; -1 when there is none ("max", no file). */
static int64_t number_in(const char *path)
{
	_cleanup_buf_ struct buf text = BUF_INIT(SMALL_FILE);
	int64_t n;
	if (fd_read_file(path, &text, NULL) < 0)
		return -1;
	struct str s = str_trim(str_of(buf_cstr(&text))), first;
	if (!str_split(&s, ' ', &first) || str_to_i64(first, &n) < 0)
		return -1;
	return n;
}

/* This process' folder of a hierarchy: "0::/path" of cgroup v2 (name ""), "n:memory:/path" of v1. */
static char *group_path(const char *root, const char *controller)
{
	autofree char *path = xasprintf("%s/proc/self/cgroup", root);
	_cleanup_buf_ struct buf text = BUF_INIT(SMALL_FILE);
	struct str rest, line;
	if (fd_read_file(path, &text, NULL) < 0)
		return xstrdup("");
	rest = str_of(buf_cstr(&text));
	while (str_split(&rest, '\n', &line)) {
		struct str id, names, name;
		if (!str_split(&line, ':', &id) || !str_split(&line, ':', &names) || !line.p)
			continue;
		if (!*controller && !names.len)
			return str_dup(line);
		while (*controller && str_split(&names, ',', &name))
			if (str_eqs(name, controller))
				return str_dup(line);
	}
	return xstrdup("");
}

typedef void (*level_fn)(const char *folder, void *arg);

/* Calls fn for the group's folder and each above it: every level limits. In a container the path of the host is not
 * visible, so the root of the mount comes last in any case. */
static void each_level(const char *mount, const char *group, level_fn fn, void *arg)
{
	autofree char *path = xstrdup(group);
	for (;;) {
		autofree char *folder = xasprintf("%s%s", mount, path);
		fn(folder, arg);
		char *slash = strrchr(path, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

struct lowest {
	const char *file;
	int64_t value;
};

static void lower(const char *folder, void *arg)
{
	struct lowest *l = arg;
	autofree char *path = xasprintf("%s/%s", folder, l->file);
	int64_t n = number_in(path);
	if (n > 0 && n < l->value)
		l->value = n;
}

static int64_t host_memory(const char *root)
{
	autofree char *path = xasprintf("%s/proc/meminfo", root);
	_cleanup_buf_ struct buf text = BUF_INIT(SMALL_FILE);
	int64_t kib;
	if (fd_read_file(path, &text, NULL) < 0)
		return INT64_MAX;
	const char *at = strstr(buf_cstr(&text), "MemTotal:");
	struct str s = str_of(at ? at + strlen("MemTotal:") : ""), word;
	s = str_trim(s);
	if (!str_split(&s, ' ', &word) || str_to_i64(word, &kib) < 0 || kib <= 0)
		return INT64_MAX;
	return kib * 1024;
}

int64_t node_machine_memory_at(const char *root)
{
	struct lowest v2 = { "memory.max", host_memory(root) };
	autofree char *mount2 = xasprintf("%s/sys/fs/cgroup", root);
	autofree char *group2 = group_path(root, "");
	each_level(mount2, group2, lower, &v2);
	struct lowest v1 = { "memory.limit_in_bytes", v2.value };
	autofree char *mount1 = xasprintf("%s/sys/fs/cgroup/memory", root);
	autofree char *group1 = group_path(root, "memory");
	each_level(mount1, group1, lower, &v1);
	return v1.value;
}

static void quota_v2(const char *folder, void *arg)
{
	int64_t *cores = arg;
	autofree char *path = xasprintf("%s/cpu.max", folder);
	_cleanup_buf_ struct buf text = BUF_INIT(SMALL_FILE);
	if (fd_read_file(path, &text, NULL) < 0)
		return;
	struct str rest = str_trim(str_of(buf_cstr(&text))), first;
	int64_t quota, period;
	if (!str_split(&rest, ' ', &first) || !rest.p || str_to_i64(first, &quota) < 0 ||
	    str_to_i64(rest, &period) < 0 || quota <= 0 || period <= 0)
		return;
	int64_t n = (quota + period - 1) / period;
	if (!*cores || n < *cores)
		*cores = n;
}

static void quota_v1(const char *folder, void *arg)
{
	int64_t *cores = arg;
	autofree char *quota_path = xasprintf("%s/cpu.cfs_quota_us", folder);
	autofree char *period_path = xasprintf("%s/cpu.cfs_period_us", folder);
	int64_t quota = number_in(quota_path), period = number_in(period_path);
	if (quota <= 0 || period <= 0)
		return;
	int64_t n = (quota + period - 1) / period;
	if (!*cores || n < *cores)
		*cores = n;
}

int node_machine_quota_at(const char *root)
{
	int64_t cores = 0;
	autofree char *mount2 = xasprintf("%s/sys/fs/cgroup", root);
	autofree char *group2 = group_path(root, "");
	autofree char *mount1 = xasprintf("%s/sys/fs/cgroup/cpu", root);
	autofree char *group1 = group_path(root, "cpu");
	each_level(mount2, group2, quota_v2, &cores);
	each_level(mount1, group1, quota_v1, &cores);
	return cores > INT_MAX ? INT_MAX : (int)cores;
}

int64_t node_machine_memory(void)
{
	return node_machine_memory_at("");
}

int node_machine_cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
	int quota = node_machine_quota_at("");
	if (n < 1)
		n = 1;
	return quota > 0 && quota < n ? quota : n;
}

int64_t node_machine_rss(void)
{
	_cleanup_buf_ struct buf text = BUF_INIT(256);
	struct str rest, size, resident;
	int64_t pages;
	if (fd_read_file("/proc/self/statm", &text, NULL) < 0)
		return 0;
	rest = str_of(buf_cstr(&text));
	if (!str_split(&rest, ' ', &size) || !str_split(&rest, ' ', &resident) ||
	    str_to_i64(resident, &pages) < 0)
		return 0;
	return pages * sysconf(_SC_PAGESIZE);
}
