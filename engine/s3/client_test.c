#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "engine/s3/request.h"
#include "engine/s3/s3.h"
#include "engine/s3/sign.h"
#include "lib/base/fd.h"
#include "lib/base/map.h"
#include "lib/data/json.h"
#include "lib/net/http_client.h"
#include "lib/net/http_server.h"

/* A bucket in memory that checks every signature, and fails when told to. */
#define ACCESS "AKIDEXAMPLE"
#define SECRET "a/secret+key"
#define BUCKET "facts"

struct object {
	char *bytes;
	size_t len;
	char etag[40];
};

struct bucket {
	pthread_mutex_t lock;
	struct map *objects;
	struct http_server *server;
	struct s3_target target;
	struct s3_client *client;
	char file[64];
	atomic_int slow_down; /* so many answers are 503 SlowDown */
	atomic_int lose_put;  /* so many PUTs are done but answered 500 */
	atomic_int requests, ranges, bad_signatures;
	atomic_int ignore_range;
};

static void object_free(void *p)
{
	struct object *o = p;
	free(o->bytes);
	free(o);
}

static void refuse(struct http_req *req, int status, const char *code)
{
	autofree char *xml = xasprintf("<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>no: "
	                               "%s</Message></Error>",
	                               code, code);
	http_answer(req, status, "application/xml", str_of(xml));
}

/* The canonical query is rebuilt from the names that the client may send. */
static void query_of(struct http_req *req, struct buf *out)
{
	static const char *const names[] = { "continuation-token", "encoding-type", "list-type",
		                             "prefix" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = http_req_query(req, names[i]);
		if (!value)
			continue;
		(void)buf_addf(out, "%s%s=", out->len ? "&" : "", names[i]);
		(void)http_url_encode(str_of(value), false, out);
	}
}

static bool signature_holds(struct http_req *req, struct str body)
{
	const char *got = http_req_header(req, "Authorization");
	const char *names = got ? strstr(got, "SignedHeaders=") : NULL;
	const char *hash = http_req_header(req, "x-amz-content-sha256");
	char actual[S3_HASH_HEX];
	struct s3_sign_header headers[16];
	size_t n = 0;
	_cleanup_buf_ struct buf path = BUF_INIT(4096);
	_cleanup_buf_ struct buf query = BUF_INIT(4096);
	_cleanup_buf_ struct buf want = BUF_INIT(2048);
	if (!names || !hash)
		return false;
	names += strlen("SignedHeaders=");
	autofree char *list = xstrndup(names, strcspn(names, ","));
	for (char *p = list; p && *p && n < ARRAY_LEN(headers); n++) {
		char *semi = strchr(p, ';');
		if (semi)
			*semi = '\0';
		headers[n] = (struct s3_sign_header){ p, http_req_header(req, p) };
		if (!headers[n].value)
			return false;
		p = semi ? semi + 1 : NULL;
	}
	s3_sign_hash(body, actual);
	(void)http_url_encode(http_req_path(req), true, &path);
	query_of(req, &query);
	autofree char *method = str_dup(http_req_method(req));
	const struct s3_sign sign = { method,
		                      buf_cstr(&path),
		                      buf_cstr(&query),
		                      headers,
		                      n,
		                      actual,
		                      http_req_header(req, "x-amz-date"),
		                      "local",
		                      "s3",
		                      ACCESS,
		                      SECRET };
	return s3_sign(&sign, &want, NULL) == 0 && strcmp(hash, actual) == 0 &&
	       strcmp(buf_cstr(&want), got) == 0;
}

static void answer_list(struct bucket *b, struct http_req *req)
{
	_cleanup_buf_ struct buf out = BUF_INIT(65536);
	const char *token = http_req_query(req, "continuation-token");
	int page = token ? token[0] - '0' : 0;
	(void)buf_adds(&out, "<ListBucketResult>");
	if (page < 2) {
		(void)buf_addf(&out,
		               "<Contents><Key>%s%d</Key><ETag>&quot;e&quot;</ETag><Size>%d</Size>"
		               "</Contents><NextContinuationToken>%d/=</NextContinuationToken>",
		               http_req_query(req, "prefix"), page, page, page + 1);
	}
	(void)buf_adds(&out, "</ListBucketResult>");
	(void)b;
	http_answer(req, 200, "application/xml", (struct str){ out.p, out.len });
}

static void answer_get(struct bucket *b, struct http_req *req, const char *key)
{
	const struct object *o = map_get(b->objects, key);
	const char *range = http_req_header(req, "Range");
	const char *match = http_req_header(req, "If-Match");
	unsigned long long from, to;
	if (!o) {
		refuse(req, 404, "NoSuchKey");
		return;
	}
	if (match && strncmp(match + 1, o->etag, strlen(o->etag)) != 0) {
		refuse(req, 412, "PreconditionFailed");
		return;
	}
	autofree char *etag = xasprintf("\"%s\"", o->etag);
	http_answer_header(req, "ETag", etag);
	if (!range || atomic_load(&b->ignore_range) ||
	    sscanf(range, "bytes=%llu-%llu", &from, &to) != 2 || to >= o->len) {
		http_answer(req, 200, "binary/octet-stream", (struct str){ o->bytes, o->len });
		return;
	}
	atomic_fetch_add(&b->ranges, 1);
	http_answer(req, 206, "binary/octet-stream",
	            (struct str){ o->bytes + from, (size_t)(to - from + 1) });
}

static void answer_put(struct bucket *b, struct http_req *req, const char *key)
{
	struct str body = http_req_body(req);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (http_req_header(req, "If-None-Match") && map_get(b->objects, key)) {
		refuse(req, 412, "PreconditionFailed");
		return;
	}
	struct object *o = xcalloc(1, sizeof(*o));
	o->bytes = xmalloc(body.len + 1);
	if (body.len)
		memcpy(o->bytes, body.p, body.len);
	o->len = body.len;
	(void)EVP_Digest(body.p ? body.p : "", body.len, digest, &len, EVP_md5(), NULL);
	for (unsigned i = 0; i < len; i++)
		(void)snprintf(o->etag + (size_t)2 * i, 3, "%02x", digest[i]);
	map_put(b->objects, key, o);
	if (atomic_fetch_sub(&b->lose_put, 1) > 0) {
		refuse(req, 500, "InternalError");
		return;
	}
	autofree char *etag = xasprintf("\"%s\"", o->etag);
	http_answer_header(req, "ETag", etag);
	http_answer(req, 200, "", str_of(""));
}

static void serve(void *arg, struct http_req *req)
{
	struct bucket *b = arg;
	struct str path = http_req_path(req), first;
	atomic_fetch_add(&b->requests, 1);
	if (!signature_holds(req, http_req_body(req))) {
		atomic_fetch_add(&b->bad_signatures, 1);
		refuse(req, 403, "SignatureDoesNotMatch");
		return;
	}
	if (atomic_fetch_sub(&b->slow_down, 1) > 0) {
		refuse(req, 503, "SlowDown");
		return;
	}
	path.p++;
	path.len--;
	(void)str_split(&path, '/', &first);
	autofree char *key = str_dup(path.p ? path : (struct str){ "", 0 });
	(void)pthread_mutex_lock(&b->lock);
	if (str_eqs(http_req_method(req), "PUT")) {
		answer_put(b, req, key);
	} else if (str_eqs(http_req_method(req), "DELETE")) {
		if (map_del(b->objects, key))
			http_answer(req, 204, "", str_of(""));
		else
			refuse(req, 404, "NoSuchKey");
	} else if (!*key) {
		answer_list(b, req);
	} else {
		answer_get(b, req, key);
	}
	(void)pthread_mutex_unlock(&b->lock);
}

static void target_make(struct s3_target *t, int port, const char *secret)
{
	autofree char *endpoint = xasprintf("http://127.0.0.1:%d/", port);
	_cleanup_json_ json_t *j = json_pack("{s:s, s:s, s:s, s:b, s:s, s:s}", "endpoint", endpoint,
	                                     "region", "local", "bucket", BUCKET, "path_style", 1,
	                                     "access_key", ACCESS, "secret_key", secret);
	assert_int_equal(s3_target_decode(j, t, NULL), 0);
}

static struct http_route routes[] = { { .path = "/*", .handler = serve } };

static int setup(void **state)
{
	struct bucket *b = xcalloc(1, sizeof(*b));
	(void)pthread_mutex_init(&b->lock, NULL);
	b->objects = map_new(object_free);
	routes[0].arg = b;
	const struct http_server_config config = { .listen = "127.0.0.1:0",
		                                   .routes = routes,
		                                   .n_routes = 1,
		                                   .limits = { .body_bytes = 64 << 20,
		                                               .threads = 2 } };
	struct err err = ERR_INIT;
	if (http_server_start(&config, &b->server, &err) < 0)
		fail_msg("%s", err.msg);
	target_make(&b->target, http_server_port(b->server), SECRET);
	assert_int_equal(s3_client_new(&b->client, NULL), 0);
	(void)snprintf(b->file, sizeof(b->file), "/tmp/roost_s3_XXXXXX");
	int fd = mkstemp(b->file);
	assert_true(fd >= 0);
	(void)close(fd);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bucket *b = *state;
	s3_client_free(b->client);
	http_server_stop(b->server, 1000);
	s3_target_free(&b->target);
	map_free(b->objects);
	(void)pthread_mutex_destroy(&b->lock);
	(void)unlink(b->file);
	free(b);
	return 0;
}

static struct s3_wait soon(void)
{
	return (struct s3_wait){ .by = deadline_in(120000) };
}

static void fill(const struct bucket *b, size_t bytes)
{
	autofree char *data = xmalloc(bytes + 1);
	for (size_t i = 0; i < bytes; i++)
		data[i] = (char)(i * 31 + i / 4096);
	assert_int_equal(fd_write_file(b->file, data, bytes, 0600, NULL), 0);
}

static int put(struct bucket *b, const char *key, size_t bytes, struct s3_object *ret)
{
	const struct s3_wait wait = soon();
	fill(b, bytes);
	return s3_put_file(b->client, &b->target, key, b->file, true, &wait, ret, NULL);
}

static int get(struct bucket *b, const char *key, const struct s3_object *known, struct err *err)
{
	const struct s3_wait wait = soon();
	_cleanup_(fd_closep) int fd = open(b->file, O_RDWR | O_TRUNC | O_CLOEXEC);
	return s3_get_file(b->client, &b->target, key, known, fd, &wait, err);
}

static void same_bytes(struct bucket *b, const char *key)
{
	_cleanup_buf_ struct buf got = BUF_INIT(64 << 20);
	assert_int_equal(fd_read_file(b->file, &got, NULL), 0);
	const struct object *o = map_get(b->objects, key);
	assert_non_null(o);
	assert_int_equal(got.len, o->len);
	if (got.len)
		assert_memory_equal(got.p, o->bytes, got.len);
}

static void objects_round_trip(void **state)
{
	struct bucket *b = *state;
	static const struct {
		const char *key;
		size_t bytes;
		int ranges;
	} cases[] = {
		{ "empty", 0, 0 },
		{ "small/a b+c&d=\xc3\xa4.parquet", 1000, 0 },
		{ "one-part", 8 << 20, 0 },
		{ "three-parts", (16 << 20) + 5, 3 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct s3_object made, seen;
		const struct s3_wait wait = soon();
		struct err err = ERR_INIT;
		atomic_store(&b->ranges, 0);
		assert_int_equal(put(b, cases[i].key, cases[i].bytes, &made), 0);
		assert_int_equal(made.bytes, cases[i].bytes);
		assert_int_equal(s3_head(b->client, &b->target, cases[i].key, &wait, &seen, NULL),
		                 0);
		assert_int_equal(seen.bytes, made.bytes);
		assert_string_equal(seen.etag, made.etag);
		int rc = get(b, cases[i].key, &made, &err);
		assert_string_equal(err.msg, "");
		assert_int_equal(rc, 0);
		same_bytes(b, cases[i].key);
		assert_int_equal(atomic_load(&b->ranges), cases[i].ranges);
	}
	assert_int_equal(atomic_load(&b->bad_signatures), 0);
}

static void throttling_is_waited_out(void **state)
{
	struct bucket *b = *state;
	struct s3_object made;
	struct err err = ERR_INIT;
	atomic_store(&b->slow_down, 2);
	assert_int_equal(put(b, "k", (16 << 20) + 5, &made), 0);
	atomic_store(&b->slow_down, 3);
	assert_int_equal(get(b, "k", &made, &err), 0);
	same_bytes(b, "k");
}

static void a_server_that_starts_is_asked_again_soon(void **state)
{
	(void)state;
	struct http_reply reply = HTTP_REPLY_INIT;
	reply.status = 503;
	const struct {
		unsigned attempt;
		int64_t asked, left, least, most;
	} cases[] = {
		{ 0, -1, 60000, 0, 100 },           { 0, 60000, 600000, 5000, 5000 },
		{ 0, 700, 60000, 700, 700 },        { S3_TRIES - 2, 1, 600000, 0, 5000 },
		{ 0, 60000, 3000, -1, -1 }, /* no time for it */
		{ S3_TRIES - 1, 1, 60000, -1, -1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		reply.retry_after_ms = cases[i].asked;
		int64_t ms =
			s3_request_pause(cases[i].attempt, 0, &reply, deadline_in(cases[i].left));
		assert_in_range(ms + 1, cases[i].least + 1, cases[i].most + 1);
	}
}

static void a_lost_answer_of_a_put_is_no_conflict(void **state)
{
	struct bucket *b = *state;
	struct s3_object made;
	atomic_store(&b->lose_put, 1);
	assert_int_equal(put(b, "k", 100, &made), 0);
	assert_int_equal(put(b, "k", 100, &made), S3_EXISTS); /* somebody else's: not our repeat */
	assert_int_equal(put(b, "k", 101, &made), S3_EXISTS);
}

static void errors_say_what_s3_said(void **state)
{
	struct bucket *b = *state;
	struct s3_object made, none = { .bytes = 10 };
	struct err err = ERR_INIT;
	const struct s3_wait wait = soon();
	struct s3_target wrong = { .endpoint = NULL };
	assert_int_equal(get(b, "nothing", &none, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "s3://facts/nothing: NoSuchKey"));
	assert_int_equal(s3_head(b->client, &b->target, "nothing", &wait, &made, &err),
	                 S3_NOT_FOUND);
	assert_int_equal(put(b, "k", 100, &made), 0);
	(void)snprintf(made.etag, sizeof(made.etag), "%s", "older");
	assert_int_equal(get(b, "k", &made, &err), -ESTALE);
	target_make(&wrong, http_server_port(b->server), "another secret");
	assert_int_equal(s3_head(b->client, &wrong, "k", &wait, &made, &err), -EACCES);
	assert_int_equal(s3_delete(b->client, &wrong, "k", &wait, &err), -EACCES);
	assert_non_null(strstr(err.msg, "SignatureDoesNotMatch"));
	assert_null(strstr(err.msg, "another secret"));
	s3_target_free(&wrong);
}

static void wrong_sizes_are_noticed(void **state)
{
	struct bucket *b = *state;
	struct s3_object made, less, more;
	struct err err = ERR_INIT;
	assert_int_equal(put(b, "k", 100, &made), 0);
	less = more = made;
	less.bytes = 50;
	more.bytes = 200;
	assert_true(get(b, "k", &less, &err) < 0);
	assert_true(err.msg[0]);
	/* A body that is shorter than known is tried again, then given up. */
	const struct s3_wait wait = { .by = deadline_in(300) };
	_cleanup_(fd_closep) int fd = open(b->file, O_RDWR | O_CLOEXEC);
	assert_true(s3_get_file(b->client, &b->target, "k", &more, fd, &wait, &err) < 0);
	/* And the client still works after calls were broken off. */
	assert_int_equal(get(b, "k", &made, &err), 0);
}

static bool always(void *arg)
{
	(void)arg;
	return true;
}

static void calls_can_be_stopped(void **state)
{
	struct bucket *b = *state;
	struct s3_object made;
	struct err err = ERR_INIT;
	const struct s3_wait stop = { .by = deadline_in(120000), .should_stop = always };
	assert_int_equal(put(b, "k", 100, &made), 0);
	_cleanup_(fd_closep) int fd = open(b->file, O_RDWR | O_CLOEXEC);
	assert_int_equal(s3_get_file(b->client, &b->target, "k", &made, fd, &stop, &err),
	                 -ECANCELED);
}

static int collect(void *arg, const struct s3_xml_entry *e)
{
	(void)buf_addf(arg, "%s=%lld ", e->key, (long long)e->bytes);
	return 0;
}

static void lists_come_page_by_page(void **state)
{
	struct bucket *b = *state;
	const struct s3_wait wait = soon();
	_cleanup_buf_ struct buf seen = BUF_INIT(1024);
	assert_int_equal(s3_list(b->client, &b->target, "t/a b", &wait, collect, &seen, NULL), 0);
	assert_string_equal(buf_cstr(&seen), "t/a b0=0 t/a b1=1 ");
	assert_int_equal(atomic_load(&b->bad_signatures), 0);
}

static void deletes_are_idempotent(void **state)
{
	struct bucket *b = *state;
	const struct s3_wait wait = soon();
	struct s3_object made;
	assert_int_equal(put(b, "k", 1, &made), 0);
	assert_int_equal(s3_delete(b->client, &b->target, "k", &wait, NULL), 0);
	assert_int_equal(s3_delete(b->client, &b->target, "k", &wait, NULL), 0);
}

static void targets_are_checked(void **state)
{
	(void)state;
	static const struct {
		const char *endpoint, *region, *bucket, *names;
	} cases[] = {
		{ "ftp://x", "r", "bucket", "s3.endpoint" },
		{ "http://x/path", "r", "bucket", "s3.endpoint" },
		{ "http://a\r\nb", "r", "bucket", "s3.endpoint" },
		{ "http://x", "r/../", "bucket", "s3.region" },
		{ "http://x", "r", "b", "s3.bucket" },
		{ "http://x", "r", "bucket/x", "s3.bucket" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct s3_target t;
		struct err err = ERR_INIT;
		_cleanup_json_ json_t *j =
			json_pack("{s:s, s:s, s:s, s:s, s:s}", "endpoint", cases[i].endpoint,
		                  "region", cases[i].region, "bucket", cases[i].bucket,
		                  "access_key", "a", "secret_key", "s");
		assert_int_equal(s3_target_decode(j, &t, &err), -EINVAL);
		assert_non_null(strstr(err.msg, cases[i].names));
	}
}

/* The server of the suite runs threads of its own; TSan looks at this test for that (pthread_create). */
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(objects_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(throttling_is_waited_out, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lost_answer_of_a_put_is_no_conflict, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(errors_say_what_s3_said, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_sizes_are_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(calls_can_be_stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(lists_come_page_by_page, setup, teardown),
		cmocka_unit_test_setup_teardown(deletes_are_idempotent, setup, teardown),
		cmocka_unit_test(a_server_that_starts_is_asked_again_soon),
		cmocka_unit_test(targets_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
