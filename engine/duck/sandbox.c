#include "engine/duck/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/data/json.h"

void duck_sandbox_begin(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0);
	struct rlimit none = { 0, 0 };
	(void)setrlimit(RLIMIT_CORE, &none);
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	/* Deep expressions overflow the stacks of 2 MB that threads have elsewhere. */
	pthread_attr_t attr;
	if (pthread_attr_init(&attr) == 0) {
		(void)pthread_attr_setstacksize(&attr, 8 * 1024 * 1024);
		(void)pthread_setattr_default_np(&attr);
		(void)pthread_attr_destroy(&attr);
	}
}

/* Landlock's interface, of which the distribution's header knows an older part only. */
enum {
	LL_EXECUTE = 1 << 0,
	LL_READ_FILE = 1 << 2,
	LL_READ_DIR = 1 << 3,
	LL_ABI1 = (1 << 13) - 1, /* all that ABI 1 governs; then refer, truncate, ioctl */
	LL_REFER = 1 << 13,
	LL_TRUNCATE = 1 << 14,
	LL_IOCTL = 1 << 15,
	LL_NET = 3,   /* bind and connect of TCP, ABI 4 */
	LL_SCOPE = 3, /* abstract sockets and signals, ABI 6 */
	LL_VERSION = 1,
	LL_PATH_BENEATH = 1,
};

struct ll_ruleset {
	uint64_t fs, net, scoped;
};

struct ll_path {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

static struct ll_ruleset ll_governed(long abi)
{
	struct ll_ruleset r = { LL_ABI1, 0, 0 };
	if (abi >= 2)
		r.fs |= LL_REFER;
	if (abi >= 3)
		r.fs |= LL_TRUNCATE;
	if (abi >= 5)
		r.fs |= LL_IOCTL;
	if (abi >= 4)
		r.net = LL_NET;
	if (abi >= 6)
		r.scoped = LL_SCOPE;
	return r;
}

static int ll_allow(int ruleset, const json_t *dirs, uint64_t rights, struct err *err)
{
	size_t i = 0;
	json_t *dir = NULL;
	json_array_foreach(dirs, i, dir)
	{
		const char *path = json_string_value(dir);
		_cleanup_(fd_closep) int fd = open(path ? path : "", O_PATH | O_CLOEXEC);
		if (fd < 0)
			return err_errno(err, "folder %s", path ? path : "?");
		struct ll_path rule = { rights, fd };
		if (syscall(SYS_landlock_add_rule, ruleset, LL_PATH_BENEATH, &rule, 0) < 0)
			return err_errno(err, "landlock rule for %s", path);
	}
	return 0;
}

static void ll_allow_one(int ruleset, const char *path, uint64_t rights)
{
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *list = json_pack("[s]", path);
	if (ll_allow(ruleset, list, rights, &err) < 0)
		log_debug("landlock: %s", err.msg); /* not every machine has it */
}

static int landlock(const struct duck_sandbox *s, int *ret_abi, struct err *err)
{
	*ret_abi = 0;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION);
	if (abi < 1) {
		log_warn("landlock=none files are guarded by DuckDB's own settings only");
		return 0;
	}
	struct ll_ruleset governed = ll_governed(abi);
	/* An older kernel refuses a longer struct unless the rest is zero, which it is then. */
	_cleanup_(fd_closep) int ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &governed, sizeof(governed), 0);
	if (ruleset < 0)
		return err_errno(err, "landlock");
	uint64_t all = governed.fs & ~(uint64_t)(LL_EXECUTE | LL_IOCTL);
	/* DuckDB looks at its limits whenever it starts threads, and dies when it sees the files but may not read. */
	ll_allow_one(ruleset, "/proc/self/cgroup", LL_READ_FILE);
	ll_allow_one(ruleset, "/sys/fs/cgroup", LL_READ_FILE | LL_READ_DIR);
	int rc = ll_allow(ruleset, s->read_dirs, LL_READ_FILE | LL_READ_DIR, err);
	if (rc == 0)
		rc = ll_allow(ruleset, s->write_dirs, all, err);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		rc = err_errno(err, "landlock");
	if (rc == 0)
		*ret_abi = (int)abi;
	return rc;
}

/* What a DuckDB that reads and writes files, our own loop and glibc ask for; all else gives EPERM. */
static const int allowed[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwritev),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(getdents),
	SCMP_SYS(getdents64),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getcwd),
	SCMP_SYS(fcntl),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(fadvise64),
	SCMP_SYS(readahead),
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(mincore),
	SCMP_SYS(brk),
	SCMP_SYS(mlock),
	SCMP_SYS(munlock),
	SCMP_SYS(membarrier),
	SCMP_SYS(get_mempolicy),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(futex),
	SCMP_SYS(futex_waitv),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(get_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_setaffinity),
	SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(getcpu),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(times),
	SCMP_SYS(getrusage),
	SCMP_SYS(getrlimit),
	SCMP_SYS(setrlimit),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(prctl),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(ioctl),
};

/* And of those that write, an executor only. */
static const int allowed_writing[] = {
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(creat),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(ftruncate),
	SCMP_SYS(truncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(rmdir),
	SCMP_SYS(flock),
	SCMP_SYS(copy_file_range),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(umask),
};

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t n)
{
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
		if (rc == -EDOM || rc == -EFAULT)
			rc = 0; /* a call that this architecture or libseccomp does not have */
	}
	return rc;
}

static int add_rules(scmp_filter_ctx filter, bool read_only)
{
	uint64_t self = (uint64_t)getpid();
	int rc = allow_all(filter, allowed, sizeof(allowed) / sizeof(allowed[0]));
	if (rc == 0 && !read_only)
		rc = allow_all(filter, allowed_writing,
		               sizeof(allowed_writing) / sizeof(allowed_writing[0]));
	if (rc == 0 && read_only)
		rc = seccomp_rule_add(
			filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
	/* Threads, not processes; clone3 hides its flags from a filter, glibc then takes clone. */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		                      SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* abort() and friends reach this process only. */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
		                      SCMP_A0(SCMP_CMP_EQ, self, 0));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
		                      SCMP_A0(SCMP_CMP_EQ, 0, 0));
	return rc;
}

static int filter_calls(bool read_only, struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return err_set(err, -ENOMEM, "seccomp");
	int rc = add_rules(filter, read_only);
	if (rc < 0) {
		seccomp_release(filter);
		return err_set(err, rc, "seccomp rules: %d", rc);
	}
	rc = seccomp_load(filter);
	seccomp_release(filter);
	if (rc < 0)
		log_warn("seccomp=none rc=%d system calls are not filtered", rc);
	return 0;
}

/* Walls hold the calling thread and those it starts; one that exists already would stand outside. */
static int only_thread(struct err *err)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/task");
	if (!dir)
		return 0; /* no /proc, nothing to count */
	for (struct dirent *e = readdir(dir); e; e = readdir(dir))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n == 1 ? 0 : err_set(err, -EBUSY, "%d threads before the walls are up", n);
}

int duck_sandbox_enter(const struct duck_sandbox *s, int *ret_landlock, struct err *err)
{
	int rc = only_thread(err);
	if (rc < 0)
		return rc;
	if (s->data_limit > 0) {
		struct rlimit data = { (rlim_t)s->data_limit, (rlim_t)s->data_limit };
		(void)setrlimit(RLIMIT_DATA, &data);
	}
	rc = landlock(s, ret_landlock, err);
	return rc < 0 ? rc : filter_calls(s->read_only, err);
}

void duck_sandbox_cpu(unsigned seconds)
{
	struct rlimit limit;
	struct rusage used;
	if (getrlimit(RLIMIT_CPU, &limit) < 0 || getrusage(RUSAGE_SELF, &used) < 0)
		return;
	rlim_t now = (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec);
	limit.rlim_cur = seconds ? now + seconds : limit.rlim_max;
	(void)setrlimit(RLIMIT_CPU, &limit);
}
