/* One transfer of the HTTP client: what http_call() and a batch share. Private to lib/net.
 *
 * Thread: as http_client.h. Ownership: a struct http_xfer owns its header list, its body file and the
 * copies of nothing else; the call and the reply are the caller's. */
#ifndef ROOST_NET_HTTP_CLIENT_PRIV_H
#define ROOST_NET_HTTP_CLIENT_PRIV_H

#include <curl/curl.h>

#include "lib/net/http_client.h"

struct http_tls_copy {
	char *ca_file, *cert_file, *key_file;
	char *ca_pem, *cert_pem, *key_pem;
	size_t ca_pem_len, cert_pem_len, key_pem_len;
	bool insecure;
};
void http_tls_copy(const struct http_tls *from, struct http_tls_copy *to);
void http_tls_copy_free(struct http_tls_copy *t);

struct http_xfer {
	CURL *easy; /* borrowed */
	struct http_call call;
	struct http_reply *reply;
	struct curl_slist *headers;
	int body_fd;
	int why; /* set when a callback ended the call */
	size_t header_bytes;
	int64_t asked_ms;       /* when should_stop was last asked */
	int64_t moved_ms;       /* when a byte last went either way */
	curl_off_t moved_bytes; /* how many had then */
	char curl_says[CURL_ERROR_SIZE];
};

void http_client_init_once(void);
/* Prepares easy (fresh or reset) for the call. On failure the xfer is clean again. */
int http_xfer_begin(struct http_xfer *x, CURL *easy, const struct http_tls_copy *tls,
                    const struct http_call *call, struct http_reply *reply, struct err *err);
/* Turns curl's result into ours and lets go of everything the xfer owned. */
int http_xfer_end(struct http_xfer *x, CURLcode code, struct err *err);
void http_xfer_drop(struct http_xfer *x);

#endif
