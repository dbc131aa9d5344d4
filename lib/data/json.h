/* JSON for the whole tree, over jansson: bounded parsing, dotted paths, decode tables.
 *
 * Thread: jansson's rules (a value belongs to one thread at a time; incref is not atomic across
 * threads here, so hand over deep copies). Ownership: "borrowed" results live as long as their root.
 * Limits: JSON_TEXT_MAX bytes of text and JSON_DEPTH_MAX levels unless a call says otherwise. */
#ifndef ROOST_DATA_JSON_H
#define ROOST_DATA_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum { JSON_TEXT_MAX = 64 * 1024 * 1024, JSON_DEPTH_MAX = 512 };

/* `_cleanup_json_ json_t *j = NULL;` drops the reference at the end of the scope. */
void data_json_decrefp(json_t **j);
#define _cleanup_json_ __attribute__((cleanup(data_json_decrefp)))

/* Parses one value; trailing text, duplicate keys and NUL bytes are errors that name line and column. */
int data_json_parse(struct str text, json_t **ret, struct err *err);
/* Compact text, keys sorted: the same value always gives the same bytes (digests rely on it). */
int data_json_dump(const json_t *j, struct buf *out);
char *data_json_text(const json_t *j); /* the same, malloc'd */

/* Dotted paths: "spec.template.containers.0.name"; a part of digits indexes an array; "a\\.b" is the
 * key "a.b". Borrowed, or NULL when any step is missing. */
json_t *data_get(const json_t *root, const char *path);
const char *data_get_str(const json_t *root, const char *path); /* NULL unless a string */
int64_t data_get_int(const json_t *root, const char *path,
                     int64_t absent); /* absent unless an integer */
bool data_get_bool(const json_t *root, const char *path, bool absent);
double data_get_num(const json_t *root, const char *path, double absent);
bool data_has(const json_t *array, const char *text); /* whether one of its strings is text */
/* Sets, making objects on the way; steals value, also on failure. Parts of digits step into array
 * elements that exist. -EINVAL when another step is not an object. */
int data_set(json_t *root, const char *path, json_t *value);

/* A decode table: one row a field; see systemd's json-dispatch for the idea.
 * DATA_STR duplicates into char * (what was there is freed), others write int64_t, bool, double, or
 * borrow const json_t *. null counts as absent. */
enum data_type { DATA_STR, DATA_INT, DATA_BOOL, DATA_NUM, DATA_JSON };
struct data_field {
	const char *path;
	enum data_type type;
	size_t offset;
	bool required;
};
/* Fills *object by the table (count rows). The first wrong field gives -EINVAL and a message that
 * names its path, the type found and the type wanted. Absent optional fields are left alone. */
int data_decode(const json_t *root, const struct data_field *table, size_t count, void *object,
                struct err *err);

#endif
