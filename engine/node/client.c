#include "engine/node/node_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/data/json.h"

struct http_client *node_client_take(struct node *n, struct err *err)
{
	struct http_client *c = NULL;
	(void)pthread_mutex_lock(&n->lock);
	if (n->n_clients)
		c = n->clients[--n->n_clients];
	(void)pthread_mutex_unlock(&n->lock);
	if (!c)
		(void)http_client_new(NULL, &c, err);
	return c;
}

void node_client_give(struct node *n, struct http_client *c)
{
	(void)pthread_mutex_lock(&n->lock);
	if (c && n->n_clients < NODE_CLIENTS_KEPT) {
		n->clients[n->n_clients++] = c;
		c = NULL;
	}
	(void)pthread_mutex_unlock(&n->lock);
	http_client_free(c);
}

struct s3_client *node_s3_take(struct node *n, struct err *err)
{
	struct s3_client *c = NULL;
	(void)pthread_mutex_lock(&n->lock);
	if (n->n_s3_clients)
		c = n->s3_clients[--n->n_s3_clients];
	(void)pthread_mutex_unlock(&n->lock);
	if (!c)
		(void)s3_client_new(&c, err);
	return c;
}

void node_s3_give(struct node *n, struct s3_client *c)
{
	(void)pthread_mutex_lock(&n->lock);
	if (c && n->n_s3_clients < NODE_CLIENTS_KEPT) {
		n->s3_clients[n->n_s3_clients++] = c;
		c = NULL;
	}
	(void)pthread_mutex_unlock(&n->lock);
	s3_client_free(c);
}

/* Read for each call, since a Secret rotates; the first line is the one that this node sends. */
char *node_token(const struct node *n)
{
	struct buf text = BUF_INIT(64 * 1024);
	struct str rest, line = { "", 0 };
	if (fd_read_file(n->config.token_file, &text, NULL) == 0) {
		rest = str_of(buf_cstr(&text));
		(void)str_split(&rest, '\n', &line);
		line = str_trim(line);
	}
	char *token = str_dup(line);
	if (text.p)
		explicit_bzero(text.p, text.len);
	buf_free(&text);
	return token;
}

void node_self(struct node *n, char out[NODE_ADDR_MAX])
{
	(void)pthread_mutex_lock(&n->lock);
	memcpy(out, n->self, NODE_ADDR_MAX);
	(void)pthread_mutex_unlock(&n->lock);
}

bool node_is_self(struct node *n, const char *addr)
{
	char self[NODE_ADDR_MAX];
	node_self(n, self);
	return *self && strcmp(self, addr) == 0;
}

static int fe_url(struct node *n, const char *path, struct buf *out, struct err *err)
{
	char fe[NODE_ADDR_MAX];
	(void)pthread_mutex_lock(&n->lock);
	memcpy(fe, n->fe, sizeof(fe));
	(void)pthread_mutex_unlock(&n->lock);
	if (!*fe)
		return err_set(err, -EAGAIN, "no front end has called yet");
	(void)buf_addf(out, "http://%s%s", fe, path);
	return 0;
}

int node_fe_call(struct node *n, const char *path, const json_t *message, struct deadline by,
                 int *ret_status, json_t **ret_reply, struct err *err)
{
	_cleanup_buf_ struct buf url = BUF_INIT(1024);
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	int rc = fe_url(n, path, &url, err);
	if (rc < 0)
		return rc;
	struct http_client *client = node_client_take(n, err);
	if (!client)
		return -EIO;
	autofree char *body = data_json_text(message);
	char *token = node_token(n);
	const struct http_call call = { .method = "POST",
		                        .url = buf_cstr(&url),
		                        .bearer = token,
		                        .body = str_of(body),
		                        .content_type = "application/json",
		                        .by = by,
		                        .body_max = RPC_BODY_MAX };
	rc = http_call(client, &call, &reply, err);
	mem_free_secret(token);
	node_client_give(n, client);
	explicit_bzero(body, strlen(body)); /* load/begin carries a password */
	if (rc < 0)
		return err_wrap(err, "front end %s", buf_cstr(&url));
	*ret_status = reply.status;
	*ret_reply = NULL;
	(void)data_json_parse((struct str){ buf_cstr(&reply.body), reply.body.len }, ret_reply,
	                      NULL);
	return 0;
}
