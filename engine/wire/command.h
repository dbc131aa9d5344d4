/* Every command of the protocol that we answer, one row each (X-macro); others get error 1047.
 *
 * Adding a command: one row here, one function wire_do_<name> in command.c, one test. */
#ifndef ROOST_ENGINE_WIRE_COMMAND_H
#define ROOST_ENGINE_WIRE_COMMAND_H

#include "engine/wire/conn.h"

/* X(code, name) */
#define WIRE_COMMANDS(X)             \
	X(0x01, quit)                \
	X(0x02, init_db)             \
	X(0x03, query)               \
	X(0x04, field_list)          \
	X(0x09, statistics)          \
	X(0x0c, process_kill)        \
	X(0x0e, ping)                \
	X(0x11, change_user)         \
	X(0x16, stmt_prepare)        \
	X(0x17, stmt_execute)        \
	X(0x18, stmt_send_long_data) \
	X(0x19, stmt_close)          \
	X(0x1a, stmt_reset)          \
	X(0x1b, set_option)          \
	X(0x1f, reset_connection)

/* payload: without the command's byte. 0: go on; negative: the connection ends. */
#define X(code, name) int wire_do_##name(struct wire_conn *c, struct str payload);
WIRE_COMMANDS(X)
#undef X

int wire_dispatch(struct wire_conn *c, struct str packet);

#endif
