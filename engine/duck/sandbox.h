/* The second wall around DuckDB: what this process may still ask of the kernel.
 *
 * Thread: call once, while the process has one thread (-EBUSY otherwise: others would stay outside).
 * Limits: what cannot be had (an old kernel, a seccomp
 * profile that forbids it) is said in one log line and goes without. */
#ifndef ROOST_ENGINE_DUCK_SANDBOX_H
#define ROOST_ENGINE_DUCK_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "lib/base/err.h"

struct duck_sandbox {
	const json_t *read_dirs, *write_dirs; /* arrays of folders; both empty for a parser */
	int64_t data_limit;                   /* bytes of private memory (RLIMIT_DATA); 0: none */
	bool read_only;                       /* no file is ever opened for writing */
};

/* Dies with the parent, no core files, no new privileges, 8 MB stacks for threads; first thing in main(). */
void duck_sandbox_begin(void);
/* No network, no programs, no files but those named. *ret_landlock: the kernel's version, 0 without. */
int duck_sandbox_enter(const struct duck_sandbox *s, int *ret_landlock, struct err *err);
/* The process is killed when it uses this much more processor time (0: no limit again). */
void duck_sandbox_cpu(unsigned seconds);

#endif
