#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/crc32c.h"

/* Vectors of RFC 3720 B.4, and the check value of the CRC catalogue. */
static void known_values(void **state)
{
	(void)state;
	uint8_t block[32];
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
	assert_int_equal(crc32c(0, "", 0), 0);
	memset(block, 0, sizeof(block));
	assert_int_equal(crc32c(0, block, sizeof(block)), 0x8a9136aau);
	memset(block, 0xff, sizeof(block));
	assert_int_equal(crc32c(0, block, sizeof(block)), 0x62a8ab43u);
	for (uint8_t i = 0; i < sizeof(block); i++)
		block[i] = i;
	assert_int_equal(crc32c(0, block, sizeof(block)), 0x46dd794eu);
}

/* Any cut in two gives the same, at every length and so at every alignment. */
static void pieces_chain(void **state)
{
	(void)state;
	uint8_t data[67];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 37 + 11);
	for (size_t len = 0; len <= sizeof(data); len++) {
		uint32_t whole = crc32c(0, data, len);
		for (size_t cut = 0; cut <= len; cut++)
			assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, len - cut),
			                 whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(pieces_chain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
