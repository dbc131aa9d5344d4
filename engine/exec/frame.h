/* Length-prefixed JSON on a stream socket: how exec/ and its child talk (request.h).
 *
 * Thread: one reader and one writer a descriptor; writers lock among themselves. Limits: EXEC_MESSAGE_MAX. */
#ifndef ROOST_ENGINE_EXEC_FRAME_H
#define ROOST_ENGINE_EXEC_FRAME_H

#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Appends the frame of j, or of that JSON text; -E2BIG. */
int exec_frame_add(struct buf *out, const json_t *j, struct err *err);
int exec_frame_add_text(struct buf *out, const char *text, size_t len, struct err *err);

/* Takes the first frame off `in`, when it is there in whole: 0, or EXEC_FRAME_MORE; -EBADMSG. */
enum { EXEC_FRAME_MORE = 1, EXEC_FRAME_END = 2 };
int exec_frame_take(struct buf *in, json_t **ret, struct err *err);

/* Blocks for one frame; EXEC_FRAME_END when the peer has closed. */
int exec_frame_read(int fd, json_t **ret, struct err *err);

#endif
