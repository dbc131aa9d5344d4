#include "lib/net/http_client.h"

#include <errno.h>

#include "lib/base/mem.h"
#include "lib/net/http_client_priv.h"

struct http_client {
	struct http_tls_copy tls;
	CURL *easy; /* keeps its connections between calls */
};

int http_client_new(const struct http_tls *tls, struct http_client **ret, struct err *err)
{
	http_client_init_once();
	struct http_client *c = xcalloc(1, sizeof(*c));
	http_tls_copy(tls, &c->tls);
	c->easy = curl_easy_init();
	if (!c->easy) {
		http_client_free(c);
		return err_set(err, -ENOMEM, "cannot make an HTTP client");
	}
	*ret = c;
	return 0;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	http_tls_copy_free(&c->tls);
	free(c);
}

void http_reply_free(struct http_reply *r)
{
	buf_free(&r->body);
}

int http_call(struct http_client *c, const struct http_call *call, struct http_reply *ret,
              struct err *err)
{
	struct http_xfer x;
	curl_easy_reset(c->easy);
	int rc = http_xfer_begin(&x, c->easy, &c->tls, call, ret, err);
	if (rc < 0)
		return rc;
	CURLcode code = curl_easy_perform(c->easy);
	return http_xfer_end(&x, code, err);
}
