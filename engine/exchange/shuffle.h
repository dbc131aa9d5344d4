/* Rows in any order of partitions, written as one exchange file: what a hash repartition needs.
 *
 * Thread: one thread's. Limits: at most XCHG_SHUFFLE_BYTES of rows are held in memory, whatever the number of
 * partitions; what does not fit goes to a spill file as finished blocks and is copied in order at the end.
 * The hash is the same in every executor of one format version: equal values of integer types of any width, of
 * FLOAT and DOUBLE (0 and -0), and of DECIMALs of any scale meet in one partition; NULLs meet in one, too. */
#ifndef ROOST_ENGINE_EXCHANGE_SHUFFLE_H
#define ROOST_ENGINE_EXCHANGE_SHUFFLE_H

#include "engine/exchange/format.h"

enum { XCHG_SHUFFLE_BYTES = 32 * 1024 * 1024 };

/* Mixes column c's values into hash[0..rows), which the caller set to 0 before the first key. */
void xchg_hash(const struct xchg_column *c, const struct xchg_vector *v, uint32_t rows,
               uint64_t *hash);

struct xchg_shuffle;
/* fd: the exchange file, borrowed and empty; spill_fd: an empty scratch file, taken over (also on failure). */
int xchg_shuffle_new(int fd, int spill_fd, const struct xchg_column *columns, size_t n,
                     enum xchg_codec codec, uint32_t partitions, struct xchg_shuffle **ret,
                     struct err *err);
/* Row i goes to partition[i]. */
int xchg_shuffle_add(struct xchg_shuffle *s, const struct xchg_block *b, const uint32_t *partition,
                     struct err *err);
/* As xchg_writer_finish(). */
int xchg_shuffle_finish(struct xchg_shuffle *s, const uint64_t **ret_rows,
                        const uint64_t **ret_bytes, struct err *err);
void xchg_shuffle_free(struct xchg_shuffle *s);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct xchg_shuffle, xchg_shuffle_free)

#endif
