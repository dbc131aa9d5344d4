/* What this process may use and what it uses: memory and processors, of the control group or the host.
 *
 * Thread: safe. Reads cgroup v2 and v1; where neither limits, the host counts. */
#ifndef ROOST_ENGINE_NODE_MACHINE_H
#define ROOST_ENGINE_NODE_MACHINE_H

#include <stdint.h>

int64_t node_machine_memory(void); /* bytes */
int node_machine_cores(void);      /* at least 1; a quota of 1.5 processors counts as 2 */
int64_t node_machine_rss(void);    /* resident bytes of this process */

/* The same over a folder that stands for "/": for tests. */
int64_t node_machine_memory_at(const char *root);
int node_machine_quota_at(const char *root); /* processors; 0: no quota */

#endif
