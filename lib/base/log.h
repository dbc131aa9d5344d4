/* One line per event on stderr: time, level, program, text.
 *
 * Thread: safe; a line is one write(2). Libraries log at debug only; programs log what an operator
 * acts on. Text is key=value words first, prose last; newlines in it are written as spaces.
 * ROOST_LOG=debug|info|warn|error sets the level (info by default). Never log a secret. */
#ifndef ROOST_BASE_LOG_H
#define ROOST_BASE_LOG_H

enum log_level { LOG_DEBUG_, LOG_INFO_, LOG_WARN_, LOG_ERROR_ };

void log_init(const char *program); /* program: borrowed for ever */
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_at(LOG_DEBUG_, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO_, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN_, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR_, __VA_ARGS__)

#endif
