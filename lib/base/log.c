#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"

static const char *program_name = "roost";
static enum log_level threshold = LOG_INFO_;

static const char *const level_name[] = { "DEBUG", "INFO", "WARN", "ERROR" };

void log_init(const char *program)
{
	program_name = program;
	const char *want = getenv("ROOST_LOG");
	static const char *const word[] = { "debug", "info", "warn", "error" };
	for (unsigned i = 0; want && i < sizeof(word) / sizeof(word[0]); i++)
		if (strcmp(want, word[i]) == 0)
			threshold = (enum log_level)i;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	if (level < threshold)
		return;
	char line[4096];
	char when[CLOCK_RFC3339_MAX];
	clock_rfc3339(clock_real_ms(), when);
	int head = snprintf(line, sizeof(line), "%s %s %s ", when, level_name[level], program_name);
	size_t at = (size_t)head;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line + at, sizeof(line) - at - 1, fmt, ap);
	va_end(ap);
	size_t room = sizeof(line) - at - 2;
	size_t len = at + (n < 0 ? 0 : (size_t)n < room ? (size_t)n : room);
	for (size_t i = at; i < len; i++)
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	line[len++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, len);
	(void)written; /* nowhere left to report it */
}
