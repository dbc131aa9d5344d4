#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/crc.h"
#include "lib/base/mem.h"

/* RFC 3720 B.4 and the check value of the polynomial. */
static void known_values(void **state)
{
	(void)state;
	unsigned char zeros[32] = { 0 }, ones[32], up[32];
	for (size_t i = 0; i < 32; i++) {
		ones[i] = 0xff;
		up[i] = (unsigned char)i;
	}
	assert_int_equal(crc_crc32c(0, "123456789", 9), 0xE3069283U);
	assert_int_equal(crc_crc32c(0, zeros, 32), 0x8A9136AAU);
	assert_int_equal(crc_crc32c(0, ones, 32), 0x62A8AB43U);
	assert_int_equal(crc_crc32c(0, up, 32), 0x46DD794EU);
	assert_int_equal(crc_crc32c(0, "", 0), 0);
}

static void pieces_chain(void **state)
{
	(void)state;
	static const char text[] = "the quick brown fox jumps over the lazy dog";
	uint32_t whole = crc_crc32c(0, text, sizeof(text));
	for (size_t cut = 0; cut <= sizeof(text); cut++)
		assert_int_equal(
			crc_crc32c(crc_crc32c(0, text, cut), text + cut, sizeof(text) - cut),
			whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(pieces_chain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
