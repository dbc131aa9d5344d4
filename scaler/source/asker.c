#include "scaler/source/asker.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "scaler/source/starrocks.h"

enum { NAP_MS = 50, STACK_BYTES = 512 * 1024 };

struct source_asker {
	struct source_starrocks *talk;
	char *password_file;
	source_told fn;
	void *arg;
	pthread_t thread;
	_Atomic bool stop, be;
};

static int64_t changed_ns(const char *path)
{
	struct stat st;
	if (!path || stat(path, &st) < 0)
		return 0;
	return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec + (int64_t)st.st_ino;
}

static void wait_until(struct source_asker *a, int64_t until, bool refused)
{
	int64_t was = changed_ns(a->password_file);
	while (!atomic_load(&a->stop) && clock_mono_ms() < until) {
		if (refused && changed_ns(a->password_file) != was)
			return;
		int64_t left = until - clock_mono_ms();
		clock_sleep_ms(left < NAP_MS ? left : NAP_MS);
	}
}

static void *ask_on(void *arg)
{
	struct source_asker *a = arg;
	int64_t refused_ms = SOURCE_REFUSED_MS;
	while (!atomic_load(&a->stop)) {
		struct source_load load = { 0 };
		struct err err = ERR_INIT;
		int64_t begun = clock_mono_ms(), pause = SOURCE_PERIOD_MS;
		int rc = source_starrocks_ask(a->talk, atomic_load(&a->be),
		                              deadline_in(SOURCE_CALL_MS), &load, &err);
		if (rc == -EACCES) {
			pause = refused_ms;
			refused_ms = refused_ms * 2 < SOURCE_REFUSED_MAX_MS ? refused_ms * 2
			                                                    : SOURCE_REFUSED_MAX_MS;
		} else if (rc == 0) {
			refused_ms = SOURCE_REFUSED_MS;
		}
		if (!atomic_load(&a->stop)) /* else it was cut, which says nothing of the FE */
			a->fn(a->arg, a, rc, &load, &err);
		source_load_free(&load);
		wait_until(a, begun + pause, rc == -EACCES);
	}
	return NULL;
}

int source_asker_start(const struct source_login *login, const struct http_tls *tls, source_told fn,
                       void *arg, struct source_asker **ret, struct err *err)
{
	struct source_asker *a = xcalloc(1, sizeof(*a));
	pthread_attr_t attr;
	a->fn = fn;
	a->arg = arg;
	a->password_file = login->password_file ? xstrdup(login->password_file) : NULL;
	int rc = source_starrocks_new(login, tls, &a->talk, err);
	if (rc == 0)
		source_starrocks_stop_when(a->talk, &a->stop);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	*ret = a; /* before the thread tells anything of it */
	if (rc == 0 && (errno = pthread_create(&a->thread, &attr, ask_on, a)) != 0)
		rc = err_errno(err, "cannot start a thread");
	(void)pthread_attr_destroy(&attr);
	if (rc < 0) {
		*ret = NULL;
		source_starrocks_free(a->talk);
		free(a->password_file);
		free(a);
	}
	return rc;
}

void source_asker_want(struct source_asker *a, bool be)
{
	atomic_store(&a->be, be);
}

void source_asker_stop(struct source_asker *a)
{
	atomic_store(&a->stop, true);
}

void source_asker_join(struct source_asker *a)
{
	if (!a)
		return;
	source_asker_stop(a);
	(void)pthread_join(a->thread, NULL);
	source_starrocks_free(a->talk);
	free(a->password_file);
	free(a);
}
