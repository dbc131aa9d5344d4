/* YAML text to JSON values, by libyaml: only what JSON can say.
 *
 * Thread: safe. Ownership: the caller owns what is returned. Typed as the Kubernetes core schema
 * but narrower: true/false/null/integers/floats in JSON's spelling are typed, everything else is
 * text (no yes/no/on/off, no ~, no octal); a value left empty is null. Anchors, aliases, tags and merge keys are refused by name.
 * Limits: data/json.h's text size and depth. */
#ifndef ROOST_DATA_YAML_H
#define ROOST_DATA_YAML_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* One document; -EINVAL names line and column. */
int data_yaml_parse(struct str text, json_t **ret, struct err *err);
/* All documents of a stream as a JSON array; empty documents are skipped. */
int data_yaml_parse_all(struct str text, json_t **ret_array, struct err *err);

#endif
