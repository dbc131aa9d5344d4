#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/crc.h"

static void known_sums(void **state)
{
	(void)state;
	static const char zeros[32];
	/* RFC 3720, appendix B.4 */
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283U);
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aaU);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void both_ways_agree_in_pieces(void **state)
{
	(void)state;
	unsigned char data[257];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 31 + 7);
	for (size_t cut = 0; cut <= sizeof(data); cut++) {
		uint32_t whole = crc32c_portable(0, data, sizeof(data));
		uint32_t pieces = crc32c(crc32c(0, data, cut), data + cut, sizeof(data) - cut);
		assert_int_equal(whole, pieces);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sums),
		cmocka_unit_test(both_ways_agree_in_pieces),
	};
	return cmocka_run_group_tests_name("lib/base/crc", tests, NULL, NULL);
}
