/* Runs a fuzz target over its corpus without a fuzzing engine: every file of every folder given.
 *
 * `make check` links it with each foo_fuzz.c, so that a corpus is an ordinary test under the
 * sanitizers; `make fuzz` links the same target with libFuzzer instead. */
#include <dirent.h>
#include <stdint.h>

#include "lib/base/fd.h"
#include "lib/base/mem.h"

enum { INPUT_MAX = 16 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_dir(const char *path)
{
	DIR *dir = opendir(path);
	if (!dir) {
		fprintf(stderr, "no corpus folder %s\n", path);
		return -1;
	}
	int ran = 0;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (e->d_name[0] == '.')
			continue;
		autofree char *file = xasprintf("%s/%s", path, e->d_name);
		_cleanup_buf_ struct buf input = BUF_INIT(INPUT_MAX);
		struct err err = ERR_INIT;
		if (fd_read_file(file, &input, &err) < 0) {
			fprintf(stderr, "%s\n", err.msg);
			ran = -1;
			break;
		}
		/* A copy of exactly this size, so that the sanitizer sees a read past the end. */
		autofree uint8_t *exact = xmalloc(input.len);
		if (input.len)
			memcpy(exact, input.p, input.len);
		(void)LLVMFuzzerTestOneInput(exact, input.len);
		ran++;
	}
	closedir(dir);
	return ran;
}

int main(int argc, char **argv)
{
	int total = 0;
	for (int i = 1; i < argc; i++) {
		int n = replay_dir(argv[i]);
		if (n < 0)
			return 1;
		total += n;
	}
	printf("%d inputs\n", total);
	return total > 0 ? 0 : 1;
}
