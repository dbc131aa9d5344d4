/* The server's certificate, reloaded when its files change, and the check of client certificates.
 *
 * libmicrohttpd only knows fixed certificates, so GnuTLS is asked per handshake: the retrieve callback
 * hands out the current pair, the verify callback checks the peer against the current CA. A pair in use
 * by a handshake must stay, so replaced ones are freed minutes later. */
#include <errno.h>
#include <string.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/http_server_priv.h"

enum { CHAIN_MAX = 8, RETIRE_MS = 5 * 60 * 1000, KEY_ID_MAX = 64 };

struct pair {
	struct pair *older;
	gnutls_pcert_st chain[CHAIN_MAX];
	unsigned n;
	gnutls_privkey_t key;
	gnutls_x509_trust_list_t ca; /* NULL: clients need no certificate */
	int64_t retired_ms;
};

struct http_tls_server {
	char *cert, *key, *ca;
	pthread_mutex_t lock;
	struct http_mark cert_mark, key_mark, ca_mark;
	struct pair *current;
};

static void pair_free(struct pair *p)
{
	for (unsigned i = 0; i < p->n; i++)
		gnutls_pcert_deinit(&p->chain[i]);
	if (p->key)
		gnutls_privkey_deinit(p->key);
	if (p->ca)
		gnutls_x509_trust_list_deinit(p->ca, 1);
	free(p);
}
DEFINE_CLEANUP(struct pair, pair_free)

static void datum_free(gnutls_datum_t *d)
{
	if (d->data)
		explicit_bzero(d->data, d->size);
	gnutls_free(d->data);
}

static int load_chain(struct pair *p, const char *path, struct err *err)
{
	_cleanup_(datum_free) gnutls_datum_t text = { NULL, 0 };
	unsigned n = CHAIN_MAX;
	int rc = gnutls_load_file(path, &text);
	if (rc == 0)
		rc = gnutls_pcert_list_import_x509_raw(p->chain, &n, &text, GNUTLS_X509_FMT_PEM, 0);
	if (rc < 0 || n == 0)
		return err_set(err, -EINVAL, "certificate %s: %s", path,
		               rc < 0 ? gnutls_strerror(rc) : "empty");
	p->n = n;
	return 0;
}

static int load_key(struct pair *p, const char *path, struct err *err)
{
	_cleanup_(datum_free) gnutls_datum_t text = { NULL, 0 };
	int rc = gnutls_load_file(path, &text);
	if (rc == 0)
		rc = gnutls_privkey_init(&p->key);
	if (rc == 0)
		rc = gnutls_privkey_import_x509_raw(p->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
	return rc < 0 ? err_set(err, -EINVAL, "key %s: %s", path, gnutls_strerror(rc)) : 0;
}

static int load_ca(struct pair *p, const char *path, struct err *err)
{
	int rc = gnutls_x509_trust_list_init(&p->ca, 0);
	if (rc == 0)
		rc = gnutls_x509_trust_list_add_trust_file(p->ca, path, NULL, GNUTLS_X509_FMT_PEM,
		                                           0, 0);
	if (rc <= 0)
		return err_set(err, -EINVAL, "client CA %s: %s", path,
		               rc < 0 ? gnutls_strerror(rc) : "no certificate in it");
	return 0;
}

/* During a rotation one file is new and the other is not: such a pair must not be served. */
static int check_match(const struct pair *p, struct err *err)
{
	unsigned char of_cert[KEY_ID_MAX], of_key[KEY_ID_MAX];
	size_t n_cert = sizeof(of_cert), n_key = sizeof(of_key);
	gnutls_pubkey_t pub = NULL;
	int rc = gnutls_pubkey_init(&pub);
	if (rc == 0)
		rc = gnutls_pubkey_import_privkey(pub, p->key, 0, 0);
	if (rc == 0)
		rc = gnutls_pubkey_get_key_id(pub, 0, of_key, &n_key);
	if (rc == 0)
		rc = gnutls_pubkey_get_key_id(p->chain[0].pubkey, 0, of_cert, &n_cert);
	if (pub)
		gnutls_pubkey_deinit(pub);
	if (rc < 0)
		return err_set(err, -EINVAL, "certificate and key: %s", gnutls_strerror(rc));
	if (n_cert != n_key || memcmp(of_cert, of_key, n_key) != 0)
		return err_set(err, -EINVAL, "certificate and key do not belong together");
	return 0;
}

static int load(struct http_tls_server *t, struct err *err)
{
	_cleanup_(pair_freep) struct pair *p = xcalloc(1, sizeof(*p));
	int rc = load_chain(p, t->cert, err);
	if (rc == 0)
		rc = load_key(p, t->key, err);
	if (rc == 0 && t->ca)
		rc = load_ca(p, t->ca, err);
	if (rc == 0)
		rc = check_match(p, err);
	if (rc < 0)
		return rc;
	int64_t now = clock_mono_ms();
	if (t->current)
		t->current->retired_ms = now;
	p->older = t->current;
	t->current = TAKE_PTR(p);
	for (struct pair **at = &t->current->older; *at;) {
		struct pair *old = *at;
		if (now - old->retired_ms < RETIRE_MS) {
			at = &old->older;
			continue;
		}
		*at = old->older;
		pair_free(old);
	}
	return 0;
}

/* All marks, so that none is forgotten when the first differs. */
static bool changed(struct http_tls_server *t)
{
	bool cert = http_mark_changed(t->cert, &t->cert_mark);
	bool key = http_mark_changed(t->key, &t->key_mark);
	bool ca = t->ca && http_mark_changed(t->ca, &t->ca_mark);
	return cert || key || ca;
}

int http_tls_server_new(const char *cert, const char *key, const char *ca,
                        struct http_tls_server **ret, struct err *err)
{
	if (!cert || !key)
		return err_set(err, -EINVAL, "TLS needs both a certificate and a key");
	struct http_tls_server *t = xcalloc(1, sizeof(*t));
	t->cert = xstrdup(cert);
	t->key = xstrdup(key);
	t->ca = ca ? xstrdup(ca) : NULL;
	(void)pthread_mutex_init(&t->lock, NULL);
	(void)changed(t);
	int rc = load(t, err);
	if (rc < 0) {
		http_tls_server_free(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void http_tls_server_free(struct http_tls_server *t)
{
	if (!t)
		return;
	for (struct pair *p = t->current, *older = NULL; p; p = older) {
		older = p->older;
		pair_free(p);
	}
	(void)pthread_mutex_destroy(&t->lock);
	free(t->cert);
	free(t->key);
	free(t->ca);
	free(t);
}

static struct http_tls_server *server_of(gnutls_session_t session)
{
	struct MHD_Connection *mhd = gnutls_session_get_ptr(session);
	const union MHD_ConnectionInfo *info =
		mhd ? MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT) : NULL;
	const struct http_conn *conn = info ? info->socket_context : NULL;
	return conn ? conn->server->tls : NULL;
}

/* GnuTLS asks when the client's chain arrived; non-zero breaks the handshake off. */
static int verify_client(gnutls_session_t session)
{
	struct http_tls_server *t = server_of(session);
	unsigned n = 0, status = GNUTLS_CERT_INVALID;
	const gnutls_datum_t *der = gnutls_certificate_get_peers(session, &n);
	if (!t || !der || n == 0 || n > CHAIN_MAX)
		return -1;
	gnutls_x509_crt_t chain[CHAIN_MAX];
	unsigned have = 0;
	int rc = 0;
	while (rc == 0 && have < n && (rc = gnutls_x509_crt_init(&chain[have])) == 0) {
		rc = gnutls_x509_crt_import(chain[have], &der[have], GNUTLS_X509_FMT_DER);
		have++;
	}
	if (rc == 0) {
		char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
		gnutls_typed_vdata_st want = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
			                       .data = (unsigned char *)purpose };
		(void)pthread_mutex_lock(&t->lock);
		rc = gnutls_x509_trust_list_verify_crt2(t->current->ca, chain, have, &want, 1, 0,
		                                        &status, NULL);
		(void)pthread_mutex_unlock(&t->lock);
	}
	while (have)
		gnutls_x509_crt_deinit(chain[--have]);
	return rc < 0 || status ? -1 : 0;
}

int http_tls_retrieve(gnutls_session_t session, const gnutls_datum_t *req_ca_rdn, int nreqs,
                      const gnutls_pk_algorithm_t *pk_algos, int pk_algos_length,
                      gnutls_pcert_st **pcert, unsigned int *pcert_length,
                      gnutls_privkey_t *privkey)
{
	(void)req_ca_rdn;
	(void)nreqs;
	(void)pk_algos;
	(void)pk_algos_length;
	struct err err = ERR_INIT;
	struct http_tls_server *t = server_of(session);
	if (!t)
		return -1;
	(void)pthread_mutex_lock(&t->lock);
	if (changed(t) && load(t, &err) < 0)
		log_warn("TLS certificate kept as it was: %s", err.msg);
	struct pair *p = t->current;
	*pcert = p->chain;
	*pcert_length = p->n;
	*privkey = p->key;
	bool mutual = p->ca != NULL;
	(void)pthread_mutex_unlock(&t->lock);
	if (mutual) {
		gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
		gnutls_session_set_verify_function(session, verify_client);
	}
	return 0;
}
