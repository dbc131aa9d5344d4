/* Where values lie in JSON text, found without parsing it: for text of which only a little is looked at now.
 *
 * Finds by brackets and quotes and checks no more than those: what it hands out is a value only if the text is JSON, and
 * whoever needs to know parses it. Thread: safe. Ownership: results point into the text. */
#ifndef ROOST_DATA_SPAN_H
#define ROOST_DATA_SPAN_H

#include <stdbool.h>

#include "lib/base/str.h"

/* The value called key among the members of an object; .p NULL: none is, or the text is no object that ends. Keys are compared
 * as they are written, so one with escapes is not found. */
struct str data_span_member(struct str object, const char *key);

/* Walks the values of an array; *at is 0 at first. false: no more; *at is then the text's length, or SIZE_MAX where the text is no
 * array that ends there. */
bool data_span_next(struct str array, size_t *at, struct str *ret);

#endif
