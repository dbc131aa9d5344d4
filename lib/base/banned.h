/* Functions that nobody may call here, because a safer one exists; a call does not compile.
 *
 * Included into every file by the Makefile (-include). The headers that declare them come first,
 * so that only calls break. */
#ifndef ROOST_BASE_BANNED_H
#define ROOST_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef sprintf /* clang with _FORTIFY_SOURCE has them as macros */
#undef vsprintf
#define BANNED(func) banned_##func##_is_not_allowed_here
#define strcpy(...) BANNED(strcpy)   /* struct buf, snprintf */
#define strcat(...) BANNED(strcat)   /* struct buf */
#define strncpy(...) BANNED(strncpy) /* snprintf, memcpy */
#define strncat(...) BANNED(strncat) /* struct buf */
#define sprintf(...) BANNED(sprintf) /* snprintf, buf_addf */
#define vsprintf(...) BANNED(vsprintf)
#define strtok(...) BANNED(strtok) /* str_split */
#define atoi(...) BANNED(atoi)     /* str_to_i64 */
#define atol(...) BANNED(atol)
#define atof(...) BANNED(atof)     /* str_to_double */
#define gmtime(...) BANNED(gmtime) /* clock_rfc3339 */
#define localtime(...) BANNED(localtime)
#define ctime(...) BANNED(ctime)
#define asctime(...) BANNED(asctime)
#define tmpnam(...) BANNED(tmpnam) /* mkstemp */
#define tempnam(...) BANNED(tempnam)
#define system(...) BANNED(system) /* posix_spawn with an argument list */
#define popen(...) BANNED(popen)
#define rand(...) BANNED(rand) /* getrandom, or a seeded generator of our own */

#endif
