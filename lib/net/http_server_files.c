/* Watched files of the server: what changed, and the bearer tokens. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/http_server_priv.h"

enum { TOKEN_FILE_MAX = 64 * 1024, TOKENS_MAX = 64 };

bool http_mark_changed(const char *path, struct http_mark *seen)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return false; /* gone for the moment: what was read stays valid */
	if (st.st_dev == seen->dev && st.st_ino == seen->ino && st.st_size == seen->size &&
	    st.st_mtim.tv_sec == seen->mtime.tv_sec && st.st_mtim.tv_nsec == seen->mtime.tv_nsec)
		return false;
	*seen = (struct http_mark){ st.st_dev, st.st_ino, st.st_size, st.st_mtim };
	return true;
}

struct http_tokens {
	char *path;
	pthread_mutex_t lock;
	struct http_mark mark;
	char *text;
	struct str tokens[TOKENS_MAX];
	size_t n;
};

static int read_tokens(struct http_tokens *t, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(TOKEN_FILE_MAX);
	int rc = fd_read_file(t->path, &text, err);
	if (rc < 0)
		return rc;
	char *owned = buf_take(&text);
	struct str rest = str_of(owned), line, tokens[TOKENS_MAX];
	size_t n = 0;
	while (n < TOKENS_MAX && str_split(&rest, '\n', &line))
		if (str_trim(line).len)
			tokens[n++] = str_trim(line);
	if (n == 0) {
		mem_free_secret(owned);
		return err_set(err, -EINVAL, "%s holds no token", t->path);
	}
	mem_free_secret(t->text);
	t->text = owned;
	t->n = n;
	memcpy(t->tokens, tokens, n * sizeof(tokens[0]));
	return 0;
}

int http_tokens_new(const char *path, struct http_tokens **ret, struct err *err)
{
	struct http_tokens *t = xcalloc(1, sizeof(*t));
	t->path = xstrdup(path);
	(void)pthread_mutex_init(&t->lock, NULL);
	(void)http_mark_changed(path, &t->mark);
	int rc = read_tokens(t, err);
	if (rc < 0) {
		http_tokens_free(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void http_tokens_free(struct http_tokens *t)
{
	if (!t)
		return;
	mem_free_secret(t->text);
	(void)pthread_mutex_destroy(&t->lock);
	free(t->path);
	free(t);
}

bool http_tokens_match(struct http_tokens *t, const char *authorization)
{
	struct str given = authorization ? str_trim(str_of(authorization)) : str_of(NULL);
	if (given.len < 7 || strncasecmp(given.p, "bearer ", 7) != 0)
		return false;
	given = str_trim((struct str){ given.p + 7, given.len - 7 });
	struct err err = ERR_INIT;
	bool match = false;
	(void)pthread_mutex_lock(&t->lock);
	if (http_mark_changed(t->path, &t->mark) && read_tokens(t, &err) < 0)
		log_warn("token file kept as it was: %s", err.msg);
	for (size_t i = 0; i < t->n; i++) /* all of them, whichever matches */
		match = str_eq_secret(given, t->tokens[i]) || match;
	(void)pthread_mutex_unlock(&t->lock);
	return match;
}
