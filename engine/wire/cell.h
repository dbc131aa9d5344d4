/* Column definitions, and cells in the binary protocol's form.
 *
 * Thread: pure functions. */
#ifndef ROOST_ENGINE_WIRE_CELL_H
#define ROOST_ENGINE_WIRE_CELL_H

#include "engine/sql/sink.h"
#include "lib/base/buf.h"

/* The definition of one column; field_list adds the default of COM_FIELD_LIST's form. */
void wire_put_column(struct buf *out, const struct sql_column *column, bool field_list);
/* A text cell in the binary protocol's form of its type; -EINVAL when the text is none of that type. */
int wire_put_binary(struct buf *out, enum sql_type type, struct sql_cell cell, struct err *err);

#endif
