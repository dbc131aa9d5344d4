#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *fmt, ...)
{
	if (code >= 0)
		code = -EIO;
	if (!err)
		return code;
	char text[ERR_MSG_MAX]; /* an argument may be err->msg itself */
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err->code = code;
	memcpy(err->msg, text, sizeof(text));
	return code;
}

int err_errno(struct err *err, const char *fmt, ...)
{
	int saved = errno ? errno : EIO;
	if (!err)
		return -saved;
	char text[ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	char reason[128];
	return err_set(err, -saved, "%s: %s", text, strerror_r(saved, reason, sizeof(reason)));
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	if (!err)
		return -EIO;
	char context[ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	char inner[ERR_MSG_MAX];
	memcpy(inner, err->msg, sizeof(inner));
	return err_set(err, err->code, "%s: %s", context, inner);
}
