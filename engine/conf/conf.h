/* StarRocks' configuration files (fe.conf, be.conf, cn.conf): "key = value" lines.
 *
 * Thread: plain values; read-only after conf_load(). Ownership: results are borrowed from the conf.
 * Form: '#' starts a comment line; white space around key and value is dropped; ${NAME} in a value is the
 * environment's NAME ("" when unset); a key that comes twice has its last value. Keys that nobody asks for are
 * fine: a file written for StarRocks works.
 * Limits: CONF_FILE_MAX bytes, CONF_LINE_MAX bytes a value after interpolation. */
#ifndef ROOST_ENGINE_CONF_CONF_H
#define ROOST_ENGINE_CONF_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum { CONF_FILE_MAX = 1024 * 1024, CONF_LINE_MAX = 16 * 1024 };

struct conf;

int conf_load(const char *path, struct conf **ret, struct err *err);
/* The same from text; name stands for the path in messages. */
int conf_parse(struct str text, const char *name, struct conf **ret, struct err *err);
void conf_free(struct conf *c);

bool conf_has(const struct conf *c, const char *key);
/* value, or fallback when the key is absent or empty. c may be NULL: all fallbacks. */
const char *conf_str(const struct conf *c, const char *key, const char *fallback);
/* -EINVAL names file, key and the range allowed. Every base-10 integer in [min, max]. */
int conf_int(const struct conf *c, const char *key, int64_t fallback, int64_t min, int64_t max,
             int64_t *ret, struct err *err);
int conf_bool(const struct conf *c, const char *key, bool fallback, bool *ret, struct err *err);
/* Bytes: "10737418240", "10G", "512M", or "90%" of whole (the machine's or container's memory). */
int conf_bytes(const struct conf *c, const char *key, const char *fallback, uint64_t whole,
               uint64_t *ret, struct err *err);
/* A secret: the value of key, or the content (trimmed) of the file that key_file names; NULL in *ret when neither is
 * set. *ret is malloc'd: mem_free_secret(). */
int conf_secret(const struct conf *c, const char *key, char **ret, struct err *err);
/* One debug line for each key of the file that is not in known (NULL-terminated). */
void conf_log_unknown(const struct conf *c, const char *const *known);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct conf, conf_free)

#endif
