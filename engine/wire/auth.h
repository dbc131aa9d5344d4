/* mysql_native_password: SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password))), checked without the password.
 *
 * Thread: safe. Nothing here logs or keeps what a client sent. */
#ifndef ROOST_ENGINE_WIRE_AUTH_H
#define ROOST_ENGINE_WIRE_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

enum { WIRE_SCRAMBLE_LEN = 20 };
#define WIRE_NATIVE "mysql_native_password"

/* Random printable bytes without NUL, as the protocol wants. */
void wire_scramble(char out[WIRE_SCRAMBLE_LEN + 1]);
/* hash: "*" and 40 hexadecimal digits, or "" for a user without a password. Constant in time for a given hash. */
bool wire_auth_check(const char *hash, const char scramble[WIRE_SCRAMBLE_LEN + 1],
                     struct str response);

#endif
