/* What a pool is asked by, as a value. */
#include "scaler/source/source.h"

void source_login_copy(const struct source_login *from, struct source_login *to)
{
	*to = *from;
	to->host = from->host ? xstrdup(from->host) : NULL;
	to->user = from->user ? xstrdup(from->user) : NULL;
	to->user_file = from->user_file ? xstrdup(from->user_file) : NULL;
	to->password_file = from->password_file ? xstrdup(from->password_file) : NULL;
	to->password = from->password ? xstrdup(from->password) : NULL;
	to->secret = from->secret ? xstrdup(from->secret) : NULL;
	to->secret_key = from->secret_key ? xstrdup(from->secret_key) : NULL;
	to->tls_name = from->tls_name ? xstrdup(from->tls_name) : NULL;
	to->ca_secret = from->ca_secret ? xstrdup(from->ca_secret) : NULL;
	to->ca_file = from->ca_file ? xstrdup(from->ca_file) : NULL;
	to->ca = from->ca ? xstrdup(from->ca) : NULL;
}

void source_login_free(struct source_login *l)
{
	free(l->host);
	free(l->user);
	free(l->user_file);
	free(l->password_file);
	mem_free_secret(l->password);
	free(l->secret);
	free(l->secret_key);
	free(l->tls_name);
	free(l->ca_secret);
	free(l->ca_file);
	free(l->ca);
	*l = (struct source_login){ 0 };
}

void source_target_free(struct source_target *t)
{
	free(t->ns);
	free(t->cluster);
	free(t->pool);
	free(t->house);
	free(t->fe_ns);
	free(t->uid);
	free(t->url);
	free(t->token_file);
	source_login_free(&t->login);
	*t = (struct source_target){ 0 };
}
