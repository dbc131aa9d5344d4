#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/exec/exec_priv.h"
#include "engine/exec/request.h"
#include "lib/base/fd.h"
#include "lib/base/str.h"

char *exec_child_program(void)
{
	const char *named = getenv("ROOST_DUCK");
	if (named && *named)
		return xstrdup(named);
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return xstrdup("roost-duck");
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	return xasprintf("%s/roost-duck", self);
}

/* Nothing of ours but what it needs to run: an environment may hold secrets. */
static void child_env(char *out[], size_t n)
{
	static const char *const kept[] = { "ROOST_LOG", "LD_LIBRARY_PATH" };
	size_t at = 0;
	out[at++] = xstrdup("LANG=C.UTF-8");
	out[at++] = xstrdup("TZ=UTC");
	for (size_t i = 0; i < ARRAY_LEN(kept) && at + 1 < n; i++) {
		const char *value = getenv(kept[i]);
		if (value)
			out[at++] = xasprintf("%s=%s", kept[i], value);
	}
	out[at] = NULL;
}

static int spawn(const char *program, enum exec_mode mode, int fd, char *const env[],
                 pid_t *ret_pid)
{
	char option[8] = "--exec", name[] = "roost-duck";
	if (mode == EXEC_PARSER)
		(void)snprintf(option, sizeof(option), "--parse");
	char *const argv[] = { name, option, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attr);
	sigset_t none, all;
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, 2, 1);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, fd, EXEC_CHILD_FD);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(&actions, EXEC_CHILD_FD + 1);
	if (rc == 0)
		rc = posix_spawn(ret_pid, program, &actions, &attr, argv, env);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	return rc;
}

int exec_child_spawn(const char *program, enum exec_mode mode, pid_t *ret_pid, int *ret_fd,
                     struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "socketpair");
	_cleanup_(fd_closep) int ours = pair[0];
	_cleanup_(fd_closep) int theirs = pair[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, "socketpair");
	char *env[8] = { 0 };
	child_env(env, ARRAY_LEN(env));
	int rc = spawn(program, mode, theirs, env, ret_pid);
	for (size_t i = 0; env[i]; i++)
		free(env[i]);
	if (rc != 0) {
		errno = rc;
		return err_errno(err, "cannot start %s", program);
	}
	*ret_fd = TAKE_FD(ours);
	return 0;
}

int exec_child_send(int fd, const void *data, size_t len, struct deadline by, struct err *err)
{
	const char *p = data;
	while (len) {
		struct pollfd wait = { .fd = fd, .events = POLLOUT, .revents = 0 };
		int64_t left = deadline_left_ms(by);
		if (left == 0)
			return err_set(err, -ETIMEDOUT, "the executor takes no bytes");
		if (poll(&wait, 1, left > 1000 ? 1000 : (int)left) <= 0)
			continue;
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_errno(err, "the executor takes no bytes");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

void exec_child_end(pid_t pid, char *text, size_t size)
{
	int status = 0;
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		(void)snprintf(text, size, "signal %d", WTERMSIG(status));
	else
		(void)snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}

int64_t exec_child_rss(pid_t pid)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	_cleanup_buf_ struct buf text = BUF_INIT(4096);
	struct err err = ERR_INIT;
	if (fd_read_file(path, &text, &err) < 0)
		return 0;
	struct str rest = { buf_cstr(&text), text.len }, word = { 0 };
	int64_t pages[3] = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (!str_split(&rest, ' ', &word) || str_to_i64(word, &pages[i]) < 0)
			return 0;
	/* Resident without what is shared with files: the library's own code does not count. */
	return (pages[1] - pages[2]) * sysconf(_SC_PAGESIZE);
}

int64_t exec_child_cpu_ms(pid_t pid)
{
	clockid_t clock;
	struct timespec used;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
		return -1;
	return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}
