#include "lib/net/http_client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/mem.h"

enum {
	BODY_MAX_DEFAULT = 1024 * 1024,
	HEADERS_MAX = 64 * 1024,
	REDIRECTS_MAX = 3,
	ASK_EVERY_MS = 500,
	RETRY_AFTER_CAP_MS = 60 * 1000,
	RETRY_AFTER_ABSURD_S = 24 * 3600,
};

static void init_curl(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
}

void http_client_init_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, init_curl);
}

/* ---- TLS -------------------------------------------------------------------------------------- */

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static char *dup_pem(struct str s, size_t *ret_len)
{
	*ret_len = s.len;
	return s.len ? str_dup(s) : NULL;
}

void http_tls_copy(const struct http_tls *from, struct http_tls_copy *to)
{
	*to = (struct http_tls_copy){ 0 };
	if (!from)
		return;
	to->ca_file = dup_or_null(from->ca_file);
	to->cert_file = dup_or_null(from->cert_file);
	to->key_file = dup_or_null(from->key_file);
	to->ca_pem = dup_pem(from->ca_pem, &to->ca_pem_len);
	to->cert_pem = dup_pem(from->cert_pem, &to->cert_pem_len);
	to->key_pem = dup_pem(from->key_pem, &to->key_pem_len);
	to->insecure = from->insecure;
}

void http_tls_copy_free(struct http_tls_copy *t)
{
	free(t->ca_file);
	free(t->cert_file);
	free(t->key_file);
	free(t->ca_pem);
	free(t->cert_pem);
	mem_free_secret(t->key_pem);
	*t = (struct http_tls_copy){ 0 };
}

static void set_blob(CURL *easy, CURLoption option, char *pem, size_t len)
{
	struct curl_blob blob = { .data = pem, .len = len, .flags = CURL_BLOB_NOCOPY };
	curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct http_tls_copy *t)
{
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* curl keeps a parsed CA file for a day by default: a rotated one must count at once. */
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, t->insecure ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, t->insecure ? 0L : 2L);
	if (t->ca_pem)
		set_blob(easy, CURLOPT_CAINFO_BLOB, t->ca_pem, t->ca_pem_len);
	else if (t->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, t->ca_file);
	if (t->cert_pem)
		set_blob(easy, CURLOPT_SSLCERT_BLOB, t->cert_pem, t->cert_pem_len);
	else if (t->cert_file)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, t->cert_file);
	if (t->key_pem)
		set_blob(easy, CURLOPT_SSLKEY_BLOB, t->key_pem, t->key_pem_len);
	else if (t->key_file)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, t->key_file);
}

/* ---- what arrives ----------------------------------------------------------------------------- */

static int64_t parse_retry_after(struct str value)
{
	uint64_t s = 0;
	int64_t ms = 0;
	if (str_to_u64(value, &s) == 0) {
		if (s > RETRY_AFTER_ABSURD_S)
			return -1;
		ms = (int64_t)s * 1000;
	} else {
		autofree char *text = str_dup(value);
		time_t at = curl_getdate(text, NULL);
		if (at < 0)
			return -1;
		ms = (int64_t)at * 1000 - clock_real_ms();
		if (ms > RETRY_AFTER_ABSURD_S * INT64_C(1000))
			return -1;
	}
	return ms < 0 ? 0 : ms > RETRY_AFTER_CAP_MS ? RETRY_AFTER_CAP_MS : ms;
}

static void keep(char *to, size_t size, struct str value)
{
	(void)snprintf(to, size, "%.*s", STR_ARG(value));
}

static void take_header(struct http_reply *r, struct str name, struct str value)
{
	int64_t n = 0;
	if (str_caseeqs(name, "content-type"))
		keep(r->content_type, sizeof(r->content_type), value);
	else if (str_caseeqs(name, "etag"))
		keep(r->etag, sizeof(r->etag), value);
	else if (str_caseeqs(name, "location"))
		keep(r->location, sizeof(r->location), value);
	else if (str_caseeqs(name, "x-roost-crc"))
		keep(r->crc, sizeof(r->crc), value);
	else if (str_caseeqs(name, "retry-after"))
		r->retry_after_ms = parse_retry_after(value);
	else if (str_caseeqs(name, "content-length") && str_to_i64(value, &n) == 0 && n >= 0)
		r->content_length = n;
}

static void forget_headers(struct http_reply *r)
{
	r->content_type[0] = r->etag[0] = r->location[0] = r->crc[0] = '\0';
	r->retry_after_ms = r->content_length = -1;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_xfer *x = arg;
	struct str line = { data, size * n }, name;
	x->header_bytes += line.len;
	if (x->header_bytes > HEADERS_MAX) {
		x->why = -E2BIG;
		return 0;
	}
	if (str_starts(line, "HTTP/")) { /* also after 100 Continue and after a redirect */
		forget_headers(x->reply);
		buf_reset(&x->reply->body);
	} else {
		struct str value = line;
		if (str_split(&value, ':', &name) && value.p)
			take_header(x->reply, name, str_trim(value));
	}
	return line.len;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_xfer *x = arg;
	size_t len = size * n;
	if (x->call.on_body) {
		long status = 0;
		curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
		x->reply->status = (int)status;
		if (x->call.on_body(x->call.arg, (int)status, data, len) != 0)
			x->why = -ECANCELED;
	} else if (buf_add(&x->reply->body, data, len) < 0) {
		x->why = -E2BIG;
	}
	return x->why ? CURL_WRITEFUNC_ERROR : len;
}

static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
                       curl_off_t ulnow)
{
	(void)dltotal;
	(void)ultotal;
	struct http_xfer *x = arg;
	int64_t now = clock_mono_ms();
	if (dlnow + ulnow != x->moved_bytes) {
		x->moved_bytes = dlnow + ulnow;
		x->moved_ms = now;
	}
	if (x->call.idle_timeout_ms && now - x->moved_ms >= x->call.idle_timeout_ms)
		x->why = -ETIMEDOUT;
	if (x->call.should_stop && now - x->asked_ms >= ASK_EVERY_MS) {
		x->asked_ms = now;
		if (x->call.should_stop(x->call.arg))
			x->why = -ECANCELED;
	}
	return x->why ? 1 : 0;
}

/* ---- what is sent ----------------------------------------------------------------------------- */

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
	struct http_xfer *x = arg;
	ssize_t got = 0;
	do
		got = read(x->body_fd, to, size * n);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		x->why = -errno;
		return CURL_READFUNC_ABORT;
	}
	return (size_t)got;
}

/* A redirect or a kept-alive connection that turns out dead starts the body again. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct http_xfer *x = arg;
	return lseek(x->body_fd, offset, origin) < 0 ? CURL_SEEKFUNC_CANTSEEK : CURL_SEEKFUNC_OK;
}

static int set_body_file(struct http_xfer *x, struct err *err)
{
	struct stat st;
	x->body_fd = open(x->call.body_file, O_RDONLY | O_CLOEXEC);
	if (x->body_fd < 0 || fstat(x->body_fd, &st) < 0)
		return err_errno(err, "cannot open %s", x->call.body_file);
	curl_easy_setopt(x->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(x->easy, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(x->easy, CURLOPT_READDATA, x);
	curl_easy_setopt(x->easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(x->easy, CURLOPT_SEEKDATA, x);
	curl_easy_setopt(x->easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
	if (S_ISREG(st.st_mode))
		curl_easy_setopt(x->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)st.st_size);
	return 0;
}

static int set_method_and_body(struct http_xfer *x, struct err *err)
{
	const char *method = x->call.method ? x->call.method : "GET";
	if (!*method || strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method))
		return err_set(err, -EINVAL, "HTTP method must be capital letters");
	if (x->call.body_file) {
		curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, method);
		return set_body_file(x, err);
	}
	if (strcmp(method, "HEAD") == 0) {
		curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L);
		return 0;
	}
	if (x->call.body.len || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	    strcmp(method, "PATCH") == 0) {
		curl_easy_setopt(x->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS,
		                 x->call.body.len ? x->call.body.p : "");
		curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE,
		                 (curl_off_t)x->call.body.len);
	}
	if (strcmp(method, "GET") != 0 || x->call.body.len)
		curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, method);
	return 0;
}

static int add_header(struct http_xfer *x, const char *line, struct err *err)
{
	if (strpbrk(line, "\r\n"))
		return err_set(err, -EINVAL, "an HTTP header must be one line");
	struct curl_slist *more = curl_slist_append(x->headers, line);
	if (!more)
		abort();
	x->headers = more;
	return 0;
}

static bool has_header(const struct http_call *call, const char *name)
{
	size_t n = strlen(name);
	for (const char *const *h = call->headers; h && *h; h++)
		if (strncasecmp(*h, name, n) == 0 && (*h)[n] == ':')
			return true;
	return false;
}

static int set_headers(struct http_xfer *x, struct err *err)
{
	int rc = 0;
	for (const char *const *h = x->call.headers; h && *h && rc == 0; h++)
		rc = add_header(x, *h, err);
	if (rc == 0 && x->call.bearer) {
		char *line = xasprintf("Authorization: Bearer %s", x->call.bearer);
		rc = add_header(x, line, err);
		mem_free_secret(line);
	}
	if (rc == 0 && !has_header(&x->call, "Content-Type")) {
		/* Without a type of ours curl would name a form. */
		autofree char *line =
			xasprintf("Content-Type:%s%s", x->call.content_type ? " " : "",
		                  x->call.content_type ? x->call.content_type : "");
		rc = add_header(x, line, err);
	}
	/* A file waits for "100 Continue", so that a refusal or a redirect costs no upload. */
	if (rc == 0 && !has_header(&x->call, "Expect"))
		rc = add_header(x, x->call.body_file ? "Expect: 100-continue" : "Expect:", err);
	if (rc == 0)
		curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
	return rc;
}

static void set_common(struct http_xfer *x, bool https)
{
	CURL *e = x->easy;
	long left = (long)deadline_left_ms(x->call.by);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->curl_says);
	curl_easy_setopt(e, CURLOPT_URL, x->call.url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, x);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "roost");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, left);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, left);
	/* Else a call whose name lookup hangs would wait for it past its deadline. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, x->call.fresh ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 30L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, 10L);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(e, CURLOPT_XFERINFODATA, x);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
	if (x->call.chunk)
		curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)x->call.chunk);
	if (!x->call.follow_redirects)
		return;
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(e, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
	curl_easy_setopt(e, CURLOPT_UNRESTRICTED_AUTH, 1L);
	/* Credentials go along, so never from TLS to clear text. */
	curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http,https");
}

int http_xfer_begin(struct http_xfer *x, CURL *easy, const struct http_tls_copy *tls,
                    const struct http_call *call, struct http_reply *reply, struct err *err)
{
	int64_t now = clock_mono_ms();
	*x = (struct http_xfer){ .easy = easy,
		                 .call = *call,
		                 .reply = reply,
		                 .body_fd = -1,
		                 .asked_ms = now,
		                 .moved_ms = now };
	struct str url = str_of(call->url);
	bool https = str_starts(url, "https://");
	if (!https && !str_starts(url, "http://"))
		return err_set(err, -EINVAL, "URL must start with http:// or https://");
	if (deadline_passed(call->by))
		return err_set(err, -ETIMEDOUT, "the deadline had passed before the call");
	buf_reset(&reply->body);
	reply->body.max = call->body_max ? call->body_max : BODY_MAX_DEFAULT;
	reply->status = 0;
	forget_headers(reply);
	set_common(x, https);
	set_tls(easy, tls);
	int rc = set_method_and_body(x, err);
	if (rc == 0)
		rc = set_headers(x, err);
	if (rc < 0)
		http_xfer_drop(x);
	return rc;
}

/* ---- the end ---------------------------------------------------------------------------------- */

static int connect_error(CURL *easy)
{
	long e = 0;
	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &e);
	if (e == EHOSTUNREACH || e == ENETUNREACH || e == EADDRNOTAVAIL)
		return -EHOSTUNREACH;
	return e == ETIMEDOUT ? -ETIMEDOUT : -ECONNREFUSED;
}

static int map_code(const struct http_xfer *x, CURLcode code)
{
	if (x->why)
		return x->why;
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return connect_error(x->easy);
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		return -ECONNRESET;
	case CURLE_URL_MALFORMAT:
		return -EINVAL;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

static const char *why_text(int why)
{
	switch (why) {
	case -E2BIG:
		return "the answer is larger than allowed";
	case -ETIMEDOUT:
		return "no byte came or went for too long";
	case -ECANCELED:
		return "cancelled";
	default:
		return "the body could not be read";
	}
}

/* Where a call went, for messages: no credentials, no query (it may be signed). */
static struct str place(const char *url)
{
	struct str s = str_of(url);
	s.len = strcspn(url, "?#");
	size_t scheme = str_starts(s, "https://") ? 8 : 7;
	size_t authority = strcspn(url + scheme, "/?#");
	const char *at = memrchr(url + scheme, '@', authority);
	size_t skip = at ? (size_t)(at + 1 - url) : 0;
	return (struct str){ url + skip, s.len - skip };
}

int http_xfer_end(struct http_xfer *x, CURLcode code, struct err *err)
{
	int rc = 0;
	long status = 0;
	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	x->reply->status = (int)status;
	if (code != CURLE_OK || x->why) {
		const char *text = x->why            ? why_text(x->why)
		                   : x->curl_says[0] ? x->curl_says
		                                     : curl_easy_strerror(code);
		struct str where = place(x->call.url);
		rc = err_set(err, map_code(x, code), "%s %.*s: %s",
		             x->call.method ? x->call.method : "GET",
		             (int)(where.len > 200 ? 200 : where.len), where.p, text);
	}
	http_xfer_drop(x);
	return rc;
}

void http_xfer_drop(struct http_xfer *x)
{
	curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, NULL);
	for (struct curl_slist *h = x->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(x->headers);
	x->headers = NULL;
	fd_closep(&x->body_fd);
}
