#include "engine/s3/xml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 128, KEY_MAX_BYTES = 4096 };

void s3_xml_init(struct s3_xml *x, struct str text)
{
	*x = (struct s3_xml){ .rest = text };
}

static bool starts(const struct s3_xml *x, const char *with)
{
	return str_starts(x->rest, with);
}

static void skip(struct s3_xml *x, size_t n)
{
	x->rest.p += n;
	x->rest.len -= n;
}

static int bad(const struct s3_xml *x, struct err *err, const char *what)
{
	size_t shown = x->rest.len < 24 ? x->rest.len : 24;
	return err_set(err, -EBADMSG, "S3 answered bad XML: %s near '%.*s'", what, (int)shown,
	               shown ? x->rest.p : "");
}

/* Moves past the next occurrence of end; the text before it goes to ret. */
static int until(struct s3_xml *x, const char *end, struct str *ret, struct err *err)
{
	const char *at = x->rest.len ? memmem(x->rest.p, x->rest.len, end, strlen(end)) : NULL;
	if (!at)
		return bad(x, err, "unfinished markup");
	*ret = (struct str){ x->rest.p, (size_t)(at - x->rest.p) };
	skip(x, ret->len + strlen(end));
	return 0;
}

static struct str local_name(struct str tag)
{
	size_t n = 0;
	while (n < tag.len && !strchr(" \t\r\n/", tag.p[n]))
		n++;
	tag.len = n;
	const char *colon = n ? memchr(tag.p, ':', n) : NULL;
	if (colon) {
		tag.len -= (size_t)(colon + 1 - tag.p);
		tag.p = colon + 1;
	}
	return tag;
}

static int start_tag(struct s3_xml *x, struct str *ret, struct err *err)
{
	struct str tag;
	skip(x, 1);
	int rc = until(x, ">", &tag, err);
	if (rc < 0)
		return rc;
	x->closing = str_ends(tag, "/");
	*ret = local_name(tag);
	if (!ret->len || ret->len > NAME_MAX_BYTES || memchr(tag.p, '<', tag.len))
		return bad(x, err, "a tag without a name");
	if (x->depth == S3_XML_DEPTH_MAX)
		return bad(x, err, "too many levels");
	x->open[x->depth++] = *ret;
	return 0;
}

static int close_tag(struct s3_xml *x, struct str *ret, struct err *err)
{
	struct str tag;
	if (!x->depth)
		return bad(x, err, "a closing tag without its opening one");
	*ret = x->open[x->depth - 1];
	if (!x->closing) {
		skip(x, 2);
		int rc = until(x, ">", &tag, err);
		if (rc < 0)
			return rc;
		if (!str_eq(local_name(str_trim(tag)), *ret))
			return bad(x, err, "a closing tag of another name");
	}
	x->closing = false;
	x->depth--;
	return 0;
}

/* Comments, declarations and processing instructions are nothing; CDATA is refused with DOCTYPE, since S3
 * sends neither and both change what text means. */
static int skip_markup(struct s3_xml *x, struct err *err)
{
	struct str ignored;
	if (starts(x, "<?"))
		return until(x, "?>", &ignored, err);
	if (starts(x, "<!--"))
		return until(x, "-->", &ignored, err);
	return bad(x, err, "a declaration");
}

int s3_xml_next(struct s3_xml *x, enum s3_xml_event *ret_event, struct str *ret, struct err *err)
{
	for (;;) {
		if (x->closing || starts(x, "</")) {
			*ret_event = S3_XML_CLOSE;
			return close_tag(x, ret, err);
		}
		if (!x->rest.len) {
			*ret_event = S3_XML_EOF;
			*ret = x->rest;
			return x->depth ? bad(x, err, "the text ends inside an element") : 0;
		}
		if (starts(x, "<?") || starts(x, "<!")) {
			int rc = skip_markup(x, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (x->rest.p[0] == '<') {
			*ret_event = S3_XML_START;
			return start_tag(x, ret, err);
		}
		const char *next = memchr(x->rest.p, '<', x->rest.len);
		*ret = (struct str){ x->rest.p, next ? (size_t)(next - x->rest.p) : x->rest.len };
		skip(x, ret->len);
		if (!str_trim(*ret).len)
			continue;
		if (!x->depth)
			return bad(x, err, "text outside of elements");
		*ret_event = S3_XML_TEXT;
		return 0;
	}
}

static int add_utf8(struct buf *out, uint64_t c)
{
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return -EBADMSG;
	if (c < 0x80)
		return buf_addc(out, (char)c);
	if (c >= 0x10000) {
		(void)buf_addc(out, (char)(0xf0 | c >> 18));
		(void)buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
	} else if (c >= 0x800) {
		(void)buf_addc(out, (char)(0xe0 | c >> 12));
	}
	(void)buf_addc(out, (char)(c >= 0x800 ? (0x80 | (c >> 6 & 0x3f)) : (0xc0 | c >> 6)));
	return buf_addc(out, (char)(0x80 | (c & 0x3f)));
}

static int from_hex(struct str s, uint64_t *ret)
{
	*ret = 0;
	if (!s.len || s.len > 6)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		static const char digits[] = "0123456789abcdef";
		char lower = (char)(s.p[i] | 0x20);
		const char *at = s.p[i] ? strchr(digits, s.p[i] >= 'A' ? lower : s.p[i]) : NULL;
		if (!at || !*at)
			return -EINVAL;
		*ret = *ret << 4 | (uint64_t)(at - digits);
	}
	return 0;
}

static int entity(struct str name, struct buf *out)
{
	static const struct {
		const char *name;
		char c;
	} known[] = {
		{ "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' },
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_eqs(name, known[i].name))
			return buf_addc(out, known[i].c);
	uint64_t c;
	if (str_starts(name, "#x")) {
		if (from_hex((struct str){ name.p + 2, name.len - 2 }, &c) < 0)
			return -EBADMSG;
		return add_utf8(out, c);
	}
	if (!str_starts(name, "#") || str_to_u64((struct str){ name.p + 1, name.len - 1 }, &c) < 0)
		return -EBADMSG;
	return add_utf8(out, c);
}

int s3_xml_unescape(struct str text, struct buf *out, struct err *err)
{
	while (text.len) {
		const char *amp = memchr(text.p, '&', text.len);
		size_t plain = amp ? (size_t)(amp - text.p) : text.len;
		(void)buf_add(out, text.p, plain);
		text.p += plain;
		text.len -= plain;
		if (!text.len)
			break;
		const char *end = memchr(text.p, ';', text.len);
		struct str name = { text.p + 1, end ? (size_t)(end - text.p - 1) : 0 };
		if (!end || name.len > 10 || entity(name, out) < 0)
			return err_set(err, -EBADMSG, "S3 answered bad XML: an unknown entity");
		text.len -= name.len + 2;
		text.p += name.len + 2;
	}
	return out->overflow ? err_set(err, -EBADMSG, "S3 answered bad XML: text too long") : 0;
}

static void copy_text(struct str text, char *to, size_t size)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4096);
	if (s3_xml_unescape(str_trim(text), &b, NULL) == 0)
		(void)snprintf(to, size, "%s", buf_cstr(&b));
}

void s3_xml_error(struct str text, struct s3_xml_error *ret)
{
	struct s3_xml x;
	enum s3_xml_event event;
	struct str s;
	*ret = (struct s3_xml_error){ .code = "" };
	s3_xml_init(&x, text);
	while (s3_xml_next(&x, &event, &s, NULL) == 0 && event != S3_XML_EOF) {
		if (event != S3_XML_TEXT || x.depth != 2 || !str_eqs(x.open[0], "Error"))
			continue;
		if (str_eqs(x.open[1], "Code"))
			copy_text(s, ret->code, sizeof(ret->code));
		else if (str_eqs(x.open[1], "Message"))
			copy_text(s, ret->message, sizeof(ret->message));
	}
}

static int percent_decode(const char *text, struct buf *out)
{
	for (const char *p = text; *p; p++) {
		uint64_t c;
		if (*p != '%') {
			(void)buf_addc(out, *p == '+' ? ' ' : *p);
			continue;
		}
		if (strlen(p) < 3 || from_hex((struct str){ p + 1, 2 }, &c) < 0 || c == 0)
			return -EBADMSG;
		(void)buf_addc(out, (char)c);
		p += 2;
	}
	return out->overflow ? -EBADMSG : 0;
}

struct list {
	struct buf key, etag, scratch;
	int64_t bytes;
	s3_xml_entry_fn fn;
	void *arg;
};

static int list_field(struct list *l, struct str name, struct str text, struct err *err)
{
	buf_reset(&l->scratch);
	int rc = s3_xml_unescape(text, &l->scratch, err);
	if (rc < 0)
		return rc;
	if (str_eqs(name, "Key")) {
		buf_reset(&l->key);
		if (percent_decode(buf_cstr(&l->scratch), &l->key) < 0)
			return err_set(err, -EBADMSG, "S3 answered a bad Key in its list");
	} else if (str_eqs(name, "ETag")) {
		buf_reset(&l->etag);
		(void)buf_adds(&l->etag, buf_cstr(&l->scratch));
	} else if (str_eqs(name, "Size") &&
	           (str_to_i64(str_trim(str_of(buf_cstr(&l->scratch))), &l->bytes) < 0 ||
	            l->bytes < 0)) {
		return err_set(err, -EBADMSG, "S3 answered a bad Size in its list");
	}
	return 0;
}

static int list_entry(struct list *l)
{
	struct s3_xml_entry entry = { buf_cstr(&l->key), buf_cstr(&l->etag), l->bytes };
	int rc = l->key.len ? l->fn(l->arg, &entry) : 0;
	buf_reset(&l->key);
	buf_reset(&l->etag);
	l->bytes = 0;
	return rc;
}

static int list_walk(struct s3_xml *x, struct list *l, struct buf *ret_token, struct err *err)
{
	enum s3_xml_event event;
	struct str s;
	bool seen = false;
	for (;;) {
		int rc = s3_xml_next(x, &event, &s, err);
		if (rc < 0)
			return rc;
		if (event == S3_XML_EOF)
			return seen ? 0 : bad(x, err, "not a ListBucketResult");
		if (event == S3_XML_START && x->depth == 1) {
			if (!str_eqs(s, "ListBucketResult"))
				return bad(x, err, "not a ListBucketResult");
			seen = true;
		} else if (event == S3_XML_TEXT && x->depth == 3 &&
		           str_eqs(x->open[1], "Contents")) {
			rc = list_field(l, x->open[2], s, err);
		} else if (event == S3_XML_TEXT && x->depth == 2 &&
		           str_eqs(x->open[1], "NextContinuationToken")) {
			buf_reset(ret_token);
			rc = s3_xml_unescape(s, ret_token, err);
		} else if (event == S3_XML_CLOSE && x->depth == 1 && str_eqs(s, "Contents")) {
			rc = list_entry(l);
		}
		if (rc)
			return rc;
	}
}

int s3_xml_list(struct str text, s3_xml_entry_fn fn, void *arg, struct buf *ret_token,
                struct err *err)
{
	struct s3_xml x;
	struct list l = { .key = BUF_INIT(KEY_MAX_BYTES),
		          .etag = BUF_INIT(256),
		          .scratch = BUF_INIT(KEY_MAX_BYTES),
		          .fn = fn,
		          .arg = arg };
	s3_xml_init(&x, text);
	int rc = list_walk(&x, &l, ret_token, err);
	buf_free(&l.key);
	buf_free(&l.etag);
	buf_free(&l.scratch);
	return rc;
}
