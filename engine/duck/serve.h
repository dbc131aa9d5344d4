/* The loops of roost-duck's two modes: messages of engine/exec/request.h on one socket until it closes.
 *
 * Thread: the caller's for reading; an executor adds one thread per task it may run at once. */
#ifndef ROOST_ENGINE_DUCK_SERVE_H
#define ROOST_ENGINE_DUCK_SERVE_H

#include <stdbool.h>

#include "lib/base/err.h"

/* 0 when the other side has closed. sandbox false: for tests inside a process that has other things to do. */
int duck_serve_parser(int fd, bool sandbox, struct err *err);
int duck_serve_executor(int fd, bool sandbox, struct err *err);

#endif
