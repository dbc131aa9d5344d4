/* CRC-32C (Castagnoli), the checksum of rowsets, exchange blocks and log records.
 *
 * Thread: safe. Pieces chain: crc32c(crc32c(0, a, n), b, m) is the checksum of a followed by b. */
#ifndef ROOST_BASE_CRC32C_H
#define ROOST_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
