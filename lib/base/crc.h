/* CRC-32C (Castagnoli): the checksum of log records, rowsets and exchange blocks.
 *
 * Thread: safe. crc is the result for what came before, 0 at the start, so that pieces chain. */
#ifndef ROOST_BASE_CRC_H
#define ROOST_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc_crc32c(uint32_t crc, const void *data, size_t len);

#endif
