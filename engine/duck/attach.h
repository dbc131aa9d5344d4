/* Rowset files, attached read-only and kept so between tasks.
 *
 * Thread: any. A file is known by path, inode, size and time, so a path that is used again is another file.
 * Limits: DUCK_ATTACH_IDLE databases stay attached without a user; the one that was used longest ago goes first. */
#ifndef ROOST_ENGINE_DUCK_ATTACH_H
#define ROOST_ENGINE_DUCK_ATTACH_H

#include "engine/duck/db.h"

enum { DUCK_ATTACH_IDLE = 1024 };

struct duck_attach;
struct duck_attached; /* one use of a database */

struct duck_attach *duck_attach_new(void);
void duck_attach_free(struct duck_attach *a);
/* -ENOENT when the file is not there. */
int duck_attach_use(struct duck_session *s, const char *path, struct duck_attached **ret,
                    struct err *err);
const char *duck_attached_name(const struct duck_attached *d);
void duck_attach_drop(struct duck_session *s, struct duck_attached *d);
size_t duck_attach_count(struct duck_attach *a);

#endif
