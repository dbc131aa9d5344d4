/* Tokens, passwords and CAs that come later, from Secrets: who wants one, and what it changes. */
#include <errno.h>

#include "lib/base/clock.h"
#include "scaler/source/source_priv.h"

bool source_has_secrets(const struct fe *f)
{
	const struct source_login *l = &f->login;
	/* Without its password there is no use in asking; without a CA it would be in the clear. */
	return l->host && (!l->secret || l->password) && (!l->tls_name || l->ca || l->ca_file);
}

static char **place(struct fe *f, enum source_secret what)
{
	if (!f)
		return NULL;
	if (what == SOURCE_TOKEN)
		return f->login.host ? NULL : &f->token;
	if (!f->login.host)
		return NULL;
	return what == SOURCE_CA ? &f->login.ca : &f->login.password;
}

static struct fe *fe_of(struct source *s, const char *key)
{
	struct entry *e = map_get(s->entries, key);
	return e ? e->fe : NULL;
}

void source_set_secret(struct source *s, const char *key, enum source_secret what,
                       struct str secret)
{
	(void)pthread_mutex_lock(&s->lock);
	struct fe *f = fe_of(s, key);
	char **to = place(f, what);
	/* One that was refused is tried again at the asker's own, growing pauses. */
	bool same = to && f->asker && *to && str_eqs(secret, *to);
	if (to && !same) {
		mem_free_secret(*to);
		*to = str_dup(secret);
		f->wanted &= ~(unsigned)what;
		f->next_ms = 0;
		if (source_has_secrets(f))
			source_start_asker(s, f);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void source_no_secret(struct source *s, const char *key, enum source_secret what, bool gone,
                      const struct err *err)
{
	(void)pthread_mutex_lock(&s->lock);
	struct fe *f = fe_of(s, key);
	char **to = place(f, what);
	/* Nobody is trusted any more: also whom a kept connection leads to. */
	if (to && what == SOURCE_CA && gone) {
		mem_free_secret(*to);
		*to = NULL;
		f->wanted |= SOURCE_CA;
		source_stop_asker(s, f);
	}
	if (to && what != SOURCE_TOKEN && !f->asker)
		source_failed(s, f, err);
	(void)pthread_mutex_unlock(&s->lock);
}

/* A password that is refused is looked at now and then, for it may have been changed; so is a CA while it holds, since
 * a kept connection asks for none. */
static unsigned wanted_now(const struct fe *f, int64_t now)
{
	int64_t ago = now - f->secret_asked_ms;
	unsigned wanted = f->wanted;
	if (!f->asker)
		return wanted;
	if (f->login.ca_secret && ago >= SOURCE_CA_EVERY_MS)
		wanted |= SOURCE_CA;
	return ago < SOURCE_REFUSED_MS ? 0 : wanted;
}

/* For the time of a call; all but the names is empty. */
static struct source_target who(const struct entry *e)
{
	return (struct source_target){ .ns = (char *)(uintptr_t)e->ns,
		                       .cluster = (char *)(uintptr_t)e->cluster,
		                       .pool = (char *)(uintptr_t)e->pool,
		                       .house = (char *)(uintptr_t)e->house,
		                       .fe_ns = (char *)(uintptr_t)e->fe_ns,
		                       .uid = (char *)(uintptr_t)e->uid,
		                       .role = e->role };
}

void source_secrets_wanted(struct source *s, source_wanted fn, void *arg)
{
	size_t at = 0;
	const char *key;
	void *value;
	int64_t now = clock_mono_ms();
	(void)pthread_mutex_lock(&s->lock);
	while (map_next(s->fes, &at, &key, &value)) {
		struct fe *f = value;
		const struct source_login *l = &f->login;
		unsigned wanted = wanted_now(f, now);
		if (!wanted)
			continue;
		const struct entry *e = f->pools.v[0];
		const struct source_target t = who(e);
		f->secret_asked_ms = now;
		if (wanted & SOURCE_TOKEN)
			fn(arg, e->key, &t, SOURCE_TOKEN, NULL, NULL);
		if (wanted & SOURCE_PASSWORD)
			fn(arg, e->key, &t, SOURCE_PASSWORD, l->secret, l->secret_key);
		if (wanted & SOURCE_CA)
			fn(arg, e->key, &t, SOURCE_CA, l->ca_secret, "ca.crt");
	}
	(void)pthread_mutex_unlock(&s->lock);
}
