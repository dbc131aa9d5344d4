#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/duck/sandbox.h"
#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/data/json.h"

enum { SKIPPED = 99 };

/* What is tried behind the walls; the numbers come back as exit status. */
static int opens(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0 ? 0 : errno;
}

static int inside(const char *readable, const char *writable, bool read_only)
{
	struct err err = ERR_INIT;
	int abi = 0;
	_cleanup_json_ json_t *read_dirs = json_pack("[s]", readable);
	_cleanup_json_ json_t *write_dirs = json_pack("[s]", writable);
	autofree char *in = xasprintf("%s/file", readable), *out = xasprintf("%s/new", writable),
		      *no = xasprintf("%s/new", readable);
	struct duck_sandbox box = { read_dirs, write_dirs, 0, read_only };
	duck_sandbox_begin();
	if (duck_sandbox_enter(&box, &abi, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM)
		return 2;
	char *const argv[] = { NULL };
	if (execve("/bin/true", argv, argv) == 0 || (errno != EPERM && errno != EACCES))
		return 3;
	if (kill(getppid(), 0) == 0 || errno != EPERM)
		return 4;
	if (opens(in, O_RDONLY) != 0)
		return 5;
	if (opens(out, O_RDWR | O_CREAT) != (read_only ? EPERM : 0))
		return 6;
	if (abi == 0)
		return SKIPPED;
	if (opens(no, O_RDWR | O_CREAT) == 0)
		return 7;
	if (opens("/etc/passwd", O_RDONLY) != EACCES || opens("/proc/self/environ", O_RDONLY) == 0)
		return 8;
	return 0;
}

static void walls_hold(bool read_only)
{
	struct err err = ERR_INIT;
	char readable[] = "/tmp/roost-box-XXXXXX", writable[] = "/tmp/roost-box-XXXXXX";
	assert_non_null(mkdtemp(readable));
	assert_non_null(mkdtemp(writable));
	autofree char *in = xasprintf("%s/file", readable);
	assert_int_equal(fd_write_file(in, "x", 1, 0600, &err), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(inside(readable, writable, read_only));
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	(void)fd_rm_rf(readable, &err);
	(void)fd_rm_rf(writable, &err);
	if (WEXITSTATUS(status) == SKIPPED)
		print_message("no Landlock here: folders were not tried\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

static void an_executor_reaches_its_folders_only(void **state)
{
	(void)state;
	walls_hold(false);
}

static void a_parser_writes_nothing(void **state)
{
	(void)state;
	walls_hold(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_executor_reaches_its_folders_only),
		cmocka_unit_test(a_parser_writes_nothing),
	};
	return cmocka_run_group_tests_name("engine/duck/sandbox", tests, NULL, NULL);
}
