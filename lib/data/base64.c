#include "lib/data/base64.h"

#include <errno.h>

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int data_base64_decode(struct str text, struct buf *out)
{
	unsigned acc = 0, bits = 0;
	for (int padding = 0; padding < 2 && text.len && text.p[text.len - 1] == '='; padding++)
		text.len--;
	if (text.len % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		int d = digit(text.p[i]);
		if (d < 0)
			return -EINVAL;
		acc = (acc << 6 | (unsigned)d) & 0xffff;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		int rc = buf_addc(out, (char)(acc >> bits & 0xff));
		if (rc < 0)
			return rc;
	}
	return 0;
}
