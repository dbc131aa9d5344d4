/* TLS both ways: verification, reload without restart, client certificates. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/net/http_client.h"
#include "lib/net/http_server.h"

/* ---- certificates ----------------------------------------------------------------------------- */

struct pem {
	struct buf cert, key;
};

static void take_bio(BIO *bio, struct buf *out)
{
	char *p = NULL;
	long n = BIO_get_mem_data(bio, &p);
	*out = (struct buf)BUF_INIT(100000);
	assert_int_equal(buf_add(out, p, (size_t)n), 0);
	BIO_free(bio);
}

/* Self-signed for 127.0.0.1, so that it is its own CA. */
static struct pem make_pem(void)
{
	static long serial = 1;
	struct pem ret;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	char name[32];
	(void)snprintf(name, sizeof(name), "roost test %ld", serial);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	                           (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	X509_EXTENSION *ca =
		X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
	X509_add_ext(x, san, -1);
	X509_add_ext(x, ca, -1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(cert_bio, x);
	PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL);
	take_bio(cert_bio, &ret.cert);
	take_bio(key_bio, &ret.key);
	X509_EXTENSION_free(san);
	X509_EXTENSION_free(ca);
	X509_free(x);
	EVP_PKEY_free(key);
	return ret;
}

static void free_pem(struct pem *p)
{
	buf_free(&p->cert);
	buf_free(&p->key);
}

static void write_text(const char *path, const struct buf *b)
{
	assert_int_equal(fd_write_file(path, b->p, b->len, 0600, NULL), 0);
}

/* ---- the server ------------------------------------------------------------------------------- */

static void hello(void *arg, struct http_req *r)
{
	(void)arg;
	http_answer(r, 200, NULL, STR_LIT("hello"));
}

static void up_head(void *arg, struct http_req *r, void **state)
{
	(void)arg;
	(void)r;
	*state = NULL;
}

static int up_piece(void *arg, struct http_req *r, void *state, const char *data, size_t len)
{
	(void)arg;
	(void)state;
	(void)data;
	(void)len;
	http_answer_error(r, 400, "not this");
	return 1;
}

static void up_end(void *arg, struct http_req *r, void *state)
{
	(void)state;
	hello(arg, r);
}

static void up_free(void *arg, void *state)
{
	(void)arg;
	(void)state;
}
static const struct http_stream refusing = { up_head, up_piece, up_end, up_free };

static char dir[32];
static char cert_path[64], key_path[64], ca_path[64];

static struct http_server *start(bool mutual)
{
	static const struct http_route routes[] = {
		{ .method = "GET", .path = "/", .handler = hello },
		{ .method = "PUT", .path = "/up", .body = HTTP_BODY_STREAM, .stream = &refusing },
	};
	struct http_server *s = NULL;
	struct err err = ERR_INIT;
	struct http_server_config c = { .listen = "127.0.0.1:0",
		                        .routes = routes,
		                        .n_routes = 2,
		                        .tls_cert = cert_path,
		                        .tls_key = key_path,
		                        .client_ca = mutual ? ca_path : NULL };
	if (http_server_start(&c, &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static struct str pem_str(const struct buf *b)
{
	return (struct str){ b->p, b->len };
}

/* A fresh client each time: a fresh handshake. */
static int try_get(const struct http_server *s, const struct http_tls *tls, const char *scheme)
{
	_cleanup_(http_client_freep) struct http_client *c = NULL;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	struct err err = ERR_INIT;
	autofree char *url = xasprintf("%s://127.0.0.1:%d/", scheme, http_server_port(s));
	struct http_call call = { .url = url, .by = deadline_in(30000) };
	assert_int_equal(http_client_new(tls, &c, NULL), 0);
	int rc = http_call(c, &call, &r, &err);
	return rc < 0 ? rc : r.status;
}

static void certificates_are_verified_and_reloaded(void **state)
{
	(void)state;
	struct pem a = make_pem(), b = make_pem();
	write_text(cert_path, &a.cert);
	write_text(key_path, &a.key);
	struct http_server *s = start(false);
	struct http_tls trust_a = { .ca_pem = pem_str(&a.cert) },
			trust_b = { .ca_pem = pem_str(&b.cert) };
	struct http_tls none = { .insecure = true };
	assert_int_equal(try_get(s, &trust_a, "https"), 200);
	assert_int_equal(try_get(s, &trust_b, "https"), -EPROTO);
	assert_int_equal(try_get(s, &none, "https"), 200);
	assert_true(try_get(s, NULL, "http") < 0);

	/* Half of a new pair, then rubbish: the old one goes on. */
	write_text(cert_path, &b.cert);
	assert_int_equal(try_get(s, &trust_a, "https"), 200);
	write_text(key_path, &b.cert);
	assert_int_equal(try_get(s, &trust_a, "https"), 200);
	write_text(key_path, &b.key);
	assert_int_equal(try_get(s, &trust_b, "https"), 200);
	assert_int_equal(try_get(s, &trust_a, "https"), -EPROTO);
	assert_int_equal(unlink(key_path), 0);
	assert_int_equal(try_get(s, &trust_b, "https"), 200);
	http_server_stop(s, 100);
	free_pem(&a);
	free_pem(&b);
}

static void clients_need_a_certificate(void **state)
{
	(void)state;
	struct pem a = make_pem(), good = make_pem(), other = make_pem();
	write_text(cert_path, &a.cert);
	write_text(key_path, &a.key);
	write_text(ca_path, &good.cert);
	struct http_server *s = start(true);
	struct http_tls none = { .ca_pem = pem_str(&a.cert) };
	struct http_tls with = none, wrong = none;
	with.cert_pem = pem_str(&good.cert);
	with.key_pem = pem_str(&good.key);
	wrong.cert_pem = pem_str(&other.cert);
	wrong.key_pem = pem_str(&other.key);
	assert_int_equal(try_get(s, &with, "https"), 200);
	assert_true(try_get(s, &none, "https") < 0);
	assert_true(try_get(s, &wrong, "https") < 0);
	write_text(ca_path, &other.cert);
	assert_int_equal(try_get(s, &wrong, "https"), 200);
	assert_true(try_get(s, &with, "https") < 0);
	http_server_stop(s, 100);
	free_pem(&a);
	free_pem(&good);
	free_pem(&other);
}

static void a_body_is_refused_over_tls_too(void **state)
{
	(void)state;
	struct pem a = make_pem();
	write_text(cert_path, &a.cert);
	write_text(key_path, &a.key);
	struct http_server *s = start(false);
	struct http_tls trust = { .ca_pem = pem_str(&a.cert) };
	_cleanup_(http_client_freep) struct http_client *c = NULL;
	assert_int_equal(http_client_new(&trust, &c, NULL), 0);
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	autofree char *url = xasprintf("https://127.0.0.1:%d/up", http_server_port(s));
	char body[200000];
	memset(body, 'x', sizeof(body));
	struct http_call call = { .method = "PUT",
		                  .url = url,
		                  .by = deadline_in(30000),
		                  .body = { body, sizeof(body) } };
	assert_int_equal(http_call(c, &call, &r, NULL), 0);
	assert_int_equal(r.status, 400);
	assert_non_null(strstr(buf_cstr(&r.body), "not this"));
	http_server_stop(s, 100);
	free_pem(&a);
}

static void a_bad_pair_does_not_start(void **state)
{
	(void)state;
	struct pem a = make_pem(), b = make_pem();
	write_text(cert_path, &a.cert);
	write_text(key_path, &b.key);
	struct http_server *s = NULL;
	struct err err = ERR_INIT;
	struct http_server_config c = { .listen = "127.0.0.1:0",
		                        .tls_cert = cert_path,
		                        .tls_key = key_path };
	assert_int_equal(http_server_start(&c, &s, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "do not belong together"));
	c.tls_key = "/nonexistent";
	assert_int_equal(http_server_start(&c, &s, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "/nonexistent"));
	free_pem(&a);
	free_pem(&b);
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	memcpy(dir, "/tmp/roost-tls-XXXXXX", 22);
	if (!mkdtemp(dir))
		return 1;
	(void)snprintf(cert_path, sizeof(cert_path), "%s/tls.crt", dir);
	(void)snprintf(key_path, sizeof(key_path), "%s/tls.key", dir);
	(void)snprintf(ca_path, sizeof(ca_path), "%s/ca.crt", dir);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates_are_verified_and_reloaded),
		cmocka_unit_test(clients_need_a_certificate),
		cmocka_unit_test(a_body_is_refused_over_tls_too),
		cmocka_unit_test(a_bad_pair_does_not_start),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	(void)fd_rm_rf(dir, NULL);
	return rc;
}
