#include "engine/exec/frame.h"

#include <errno.h>

#include "engine/exec/exec.h"
#include "lib/base/fd.h"

enum { HEAD = 4 };

int exec_frame_add_text(struct buf *out, const char *text, size_t len, struct err *err)
{
	if (len > EXEC_MESSAGE_MAX)
		return err_set(err, -E2BIG, "message of %zu bytes, at most %d", len,
		               EXEC_MESSAGE_MAX);
	if (buf_addle(out, len, HEAD) < 0 || buf_add(out, text, len) < 0)
		return err_set(err, -E2BIG, "message of %zu bytes does not fit", len);
	return 0;
}

int exec_frame_add(struct buf *out, const json_t *j, struct err *err)
{
	autofree char *text = json_dumps(j, JSON_COMPACT);
	if (!text)
		return err_set(err, -EINVAL, "message is not JSON");
	return exec_frame_add_text(out, text, strlen(text), err);
}

static size_t head_len(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;
	return b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16 | (size_t)b[3] << 24;
}

static int parse(const char *text, size_t len, json_t **ret, struct err *err)
{
	json_error_t why;
	json_t *j = json_loadb(text, len, JSON_ALLOW_NUL, &why);
	if (!j)
		return err_set(err, -EBADMSG, "malformed message: %s", why.text);
	if (!json_is_object(j)) {
		json_decref(j);
		return err_set(err, -EBADMSG, "malformed message: not an object");
	}
	*ret = j;
	return 0;
}

int exec_frame_take(struct buf *in, json_t **ret, struct err *err)
{
	if (in->len < HEAD)
		return EXEC_FRAME_MORE;
	size_t len = head_len(in->p);
	if (len > EXEC_MESSAGE_MAX)
		return err_set(err, -EBADMSG, "message of %zu bytes, at most %d", len,
		               EXEC_MESSAGE_MAX);
	if (in->len - HEAD < len)
		return EXEC_FRAME_MORE;
	int rc = parse(in->p + HEAD, len, ret, err);
	buf_consume(in, HEAD + len);
	return rc;
}

int exec_frame_read(int fd, json_t **ret, struct err *err)
{
	char head[HEAD];
	int rc = fd_read_exact(fd, head, sizeof(head), err);
	if (rc == -ENODATA)
		return EXEC_FRAME_END;
	if (rc < 0)
		return rc;
	size_t len = head_len(head);
	if (len > EXEC_MESSAGE_MAX)
		return err_set(err, -EBADMSG, "message of %zu bytes, at most %d", len,
		               EXEC_MESSAGE_MAX);
	autofree char *text = xmalloc(len);
	rc = fd_read_exact(fd, text, len, err);
	return rc < 0 ? rc : parse(text, len, ret, err);
}
