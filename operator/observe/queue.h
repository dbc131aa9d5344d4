/* Keys with a time at which each is due; a key is in it once, and with one taker at a time.
 *
 * A key rests a moment after its taker is done, so that a burst of events is one look; the more keys there are, the longer one
 * rests whose objects changed in no hurry. A key that was only touched is
 * taken as such: its taker may find that nothing it reads has changed.
 * Thread: safe. A key that is added while its taker works comes again afterwards, so that nothing is missed
 * and no key is worked on twice at once. Limits: QUEUE_KEYS_MAX keys. */
#ifndef ROOST_OPERATOR_OBSERVE_QUEUE_H
#define ROOST_OPERATOR_OBSERVE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"

enum { QUEUE_KEYS_MAX = 100000 };

struct observe_queue;
struct observe_queue *observe_queue_new(void);
void observe_queue_free(struct observe_queue *q);

/* Due in delay_ms, or earlier when it already is. */
void observe_queue_add(struct observe_queue *q, const char *key, int64_t delay_ms);
/* The same for a key whose objects changed. With a delay it is in no hurry: it also rests longer after the last taker. */
void observe_queue_touch(struct observe_queue *q, const char *key, int64_t delay_ms);
/* Waits for a due key (malloc'd); NULL once closed. The taker ends with observe_queue_done(). */
char *observe_queue_take(struct observe_queue *q);
/* The same; *ret_touched: nothing but touches made it due. */
char *observe_queue_take_any(struct observe_queue *q, bool *ret_touched);
void observe_queue_done(struct observe_queue *q, const char *key);
/* Instead of done, when a touched key needed no work: it does not rest, and keeps the time it was added for. */
void observe_queue_skipped(struct observe_queue *q, const char *key);
/* Keys that are due or waiting for their time within a second: the depth a person cares for. */
size_t observe_queue_depth(struct observe_queue *q);
void observe_queue_close(struct observe_queue *q); /* wakes every taker */

DEFINE_CLEANUP(struct observe_queue, observe_queue_free)

#endif
