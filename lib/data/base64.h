/* Base64 (RFC 4648 section 4) to bytes: Secrets, kubeconfig data, Basic credentials.
 *
 * Thread: safe, no state. Limits: the buffer's own maximum. */
#ifndef ROOST_DATA_BASE64_H
#define ROOST_DATA_BASE64_H

#include "lib/base/buf.h"
#include "lib/base/str.h"

/* Appends the bytes; padding may be missing, white space is refused. -EINVAL (out may then hold a part),
 * -E2BIG. */
int data_base64_decode(struct str text, struct buf *out);

#endif
