/* Leaves out of JSON text, before it is parsed, what nobody will read.
 *
 * Thread: safe. */
#ifndef ROOST_DATA_CUT_H
#define ROOST_DATA_CUT_H

#include <stddef.h>

/* Each array that is called key, in compact text ("key":[…), becomes an empty one, in place; one that contains one of
 * the words (NULL-terminated) is kept whole. Returns the new length. Text that is not JSON stays not JSON: an array
 * without an end is left as it is. */
size_t data_json_cut(char *text, size_t len, const char *key, const char *const *words);

#endif
