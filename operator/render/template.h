/* YAML templates with typed substitution; the language is four rules and stays so.
 *
 * 1. A scalar that is one whole "${path}" becomes the value at path, with its JSON type.
 * 2. Absent (or null) drops the key or list item; a mapping that thereby loses its last key goes too.
 * 3. Inside longer text a "${path}" is replaced by the string or integer; absence is an error.
 * 4. A list item that is one whole "${path}" to a list is spliced in.
 * Values are put into the parsed tree, so that no value can change the shape of an object, and a "${" in a
 * value stays as it is. Thread: pure; templates and contexts are only read. */
#ifndef ROOST_OPERATOR_RENDER_TEMPLATE_H
#define ROOST_OPERATOR_RENDER_TEMPLATE_H

#include <jansson.h>

#include "lib/base/err.h"

/* *ret is new and shares nothing with the template or the context. */
int render_expand(const json_t *template, const json_t *context, json_t **ret, struct err *err);

/* Calls fn for each ${path} of a template: for the test that checks them against the CRDs. */
int render_paths(const json_t *template, int (*fn)(void *arg, const char *path), void *arg);

#endif
