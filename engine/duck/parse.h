/* The parser's requests: text to tree, tree to text, the types that a statement gives.
 *
 * Thread: one; a request at a time. Nothing is ever executed but these three functions' own statements. */
#ifndef ROOST_ENGINE_DUCK_PARSE_H
#define ROOST_ENGINE_DUCK_PARSE_H

#include "engine/duck/db.h"

/* Appends the answer to request (serialize, deserialize or types) to out as JSON text. */
void duck_parse(struct duck *d, const json_t *request, struct buf *out);
/* A tree's unset positions are 2^64 - 1, which readers of 64-bit signed JSON refuse: they become 0, in place. */
void duck_parse_mend(char *json);

#endif
