#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/exchange/block.h"
#include "lib/base/crc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that a reader yields must be safe to look at: the text of every cell is. */
static void look(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	_cleanup_(xchg_reader_freep) struct xchg_reader *r = NULL;
	if (xchg_reader_open_mem(data, size, &r, &err) < 0)
		return;
	size_t n = 0;
	const struct xchg_column *columns = xchg_reader_columns(r, &n);
	_cleanup_buf_ struct buf text = BUF_INIT(1024 * 1024);
	struct xchg_block b;
	while (xchg_reader_next(r, &b, &err) == 0)
		for (size_t c = 0; c < n; c++)
			for (uint32_t row = 0; row < b.rows; row++) {
				buf_reset(&text);
				(void)xchg_cell_text(&columns[c], &b.columns[c], row, &text);
			}
}

/* Gives the header and each block the checksum that it should have, so that changed bytes get past it. */
static void mend(uint8_t *p, size_t size)
{
	if (size < XCHG_FILE_HEAD)
		return;
	size_t len = XCHG_FILE_HEAD + (size_t)xchg_get_le(p + 8, 4);
	if (len > size || len < XCHG_FILE_HEAD + 4)
		return;
	xchg_put_le(p + len - 4, crc32c(0, p, len - 4), 4);
	for (p += len, size -= len; size >= XCHG_FRAME_HEAD;) {
		size_t stored = (size_t)xchg_get_le(p + 4, 4);
		if (stored > size - XCHG_FRAME_HEAD)
			return;
		uint32_t crc = crc32c(crc32c(0, p, 13), p + XCHG_FRAME_HEAD, stored);
		xchg_put_le(p + 13, crc, 4);
		p += XCHG_FRAME_HEAD + stored;
		size -= XCHG_FRAME_HEAD + stored;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	look(data, size);
	autofree uint8_t *mended = xmalloc(size);
	if (size)
		memcpy(mended, data, size);
	mend(mended, size);
	look(mended, size);
	return 0;
}
