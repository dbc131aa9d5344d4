/* CRC-32C (Castagnoli), as files, exchange blocks and replicas carry it.
 *
 * Thread: safe. Uses the processor's instruction where it has one; both ways give the same sums. */
#ifndef ROOST_BASE_CRC_H
#define ROOST_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, the sum of what came before; 0 to begin. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The same by table, for the machine without the instruction (and the test that compares them). */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
