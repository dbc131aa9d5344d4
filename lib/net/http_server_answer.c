/* The answers: building libmicrohttpd's responses and handing them to the request's thread. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/http_server_priv.h"

enum { RANGES_BLOCK = 256 * 1024, ERROR_TEXT_MAX = 1024 };

void http_answer_header(struct http_req *r, const char *name, const char *value)
{
	vec_push(&r->headers_out, (struct http_pair){ xstrdup(name), xstrdup(value) });
}

/* Takes the response over. */
static void deliver(struct http_req *r, int status, struct MHD_Response *response)
{
	if (!response)
		abort(); /* memory, or a range that is no length */
	for (size_t i = 0; i < r->headers_out.n; i++)
		if (MHD_add_response_header(response, r->headers_out.v[i].name,
		                            r->headers_out.v[i].value) != MHD_YES)
			log_error("answer header %s refused", r->headers_out.v[i].name);
	(void)pthread_mutex_lock(&r->lock);
	bool twice = r->answered, held = r->held;
	if (!twice) {
		r->answered = true;
		r->status = status;
		r->response = response;
		if (r->suspended && !r->cut)
			MHD_resume_connection(r->mhd);
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (twice) {
		log_error("a second answer to one request was dropped");
		MHD_destroy_response(response);
	} else if (held) {
		http_req_unref(r);
	}
}

static void set_type(struct MHD_Response *response, const char *content_type)
{
	if (response && content_type)
		(void)MHD_add_response_header(response, "Content-Type", content_type);
}

/* In the middle of a body: the text for the socket. */
static void answer_raw(struct http_req *r, int status, const char *content_type, struct str body)
{
	struct buf *b = &r->raw_answer;
	(void)buf_addf(b, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n", status,
	               MHD_get_reason_phrase_for((unsigned)status), body.len);
	if (content_type)
		(void)buf_addf(b, "Content-Type: %s\r\n", content_type);
	for (size_t i = 0; i < r->headers_out.n; i++)
		(void)buf_addf(b, "%s: %s\r\n", r->headers_out.v[i].name,
		               r->headers_out.v[i].value);
	(void)buf_adds(b, "\r\n");
	(void)buf_add(b, body.p, body.len);
	r->answered = true;
}

void http_answer(struct http_req *r, int status, const char *content_type, struct str body)
{
	if (r->stage == HTTP_STAGE_BODY && r->has_body) {
		answer_raw(r, status, content_type, body);
		return;
	}
	/* libmicrohttpd copies; its parameter is not const. */
	struct MHD_Response *response = MHD_create_response_from_buffer(
		body.len, (void *)(uintptr_t)(body.len ? body.p : ""), MHD_RESPMEM_MUST_COPY);
	set_type(response, content_type);
	deliver(r, status, response);
}

void http_answer_json(struct http_req *r, int status, const char *json)
{
	http_answer(r, status, "application/json", str_of(json));
}

void http_answer_error(struct http_req *r, int status, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A text that is not UTF-8 (or was cut inside a character) is no JSON string. */
	json_t *message = json_string(text);
	json_t *j = json_pack("{s:{s:o}}", "error", "message",
	                      message ? message : json_string("the request was refused"));
	autofree char *json = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (status == 401)
		http_answer_header(r, "WWW-Authenticate", "Bearer");
	http_answer_json(r, status, json ? json : "{}");
}

void http_answer_file(struct http_req *r, const char *content_type, int fd, uint64_t offset,
                      uint64_t len)
{
	if (r->stage == HTTP_STAGE_BODY && r->has_body) {
		(void)close(fd);
		http_answer_error(r, 500, "a file cannot be the answer before the body is read");
		return;
	}
	struct MHD_Response *response = MHD_create_response_from_fd_at_offset64(len, fd, offset);
	set_type(response, content_type);
	deliver(r, 200, response);
}

struct ranges {
	int fd;
	char *prefix;
	size_t prefix_len, n;
	struct http_range v[];
};

/* Bytes of the body from pos; libmicrohttpd asks in order. */
static ssize_t read_ranges(void *cls, uint64_t pos, char *to, size_t max)
{
	const struct ranges *s = cls;
	if (pos < s->prefix_len) {
		size_t n = s->prefix_len - (size_t)pos;
		n = n < max ? n : max;
		memcpy(to, s->prefix + pos, n);
		return (ssize_t)n;
	}
	pos -= s->prefix_len;
	for (size_t i = 0; i < s->n; i++) {
		if (pos >= s->v[i].len) {
			pos -= s->v[i].len;
			continue;
		}
		uint64_t left = s->v[i].len - pos;
		ssize_t n = pread(s->fd, to, left < max ? (size_t)left : max,
		                  (off_t)(s->v[i].offset + pos));
		/* A file shorter than promised breaks the answer off: the peer sees it. */
		return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
	}
	return MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_ranges(void *cls)
{
	struct ranges *s = cls;
	(void)close(s->fd);
	free(s->prefix);
	free(s);
}

void http_answer_ranges(struct http_req *r, const char *content_type, struct str prefix, int fd,
                        const struct http_range *ranges, size_t n)
{
	if (r->stage == HTTP_STAGE_BODY && r->has_body) {
		(void)close(fd);
		http_answer_error(r, 500, "a file cannot be the answer before the body is read");
		return;
	}
	struct ranges *s = xcalloc(1, sizeof(*s) + n * sizeof(s->v[0]));
	s->fd = fd;
	s->prefix = str_dup(prefix);
	s->prefix_len = prefix.len;
	s->n = n;
	uint64_t total = prefix.len;
	for (size_t i = 0; i < n; i++) {
		s->v[i] = ranges[i];
		total += ranges[i].len;
	}
	struct MHD_Response *response =
		MHD_create_response_from_callback(total, RANGES_BLOCK, read_ranges, s, free_ranges);
	set_type(response, content_type);
	deliver(r, 200, response);
}
