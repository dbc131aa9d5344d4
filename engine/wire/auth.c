#include "engine/wire/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "lib/base/fd.h"

void wire_scramble(char out[WIRE_SCRAMBLE_LEN + 1])
{
	fd_random_hex(out, WIRE_SCRAMBLE_LEN / 2);
	/* Hexadecimal halves the entropy of a byte: 80 bits are left, for a value that is used once. */
	out[WIRE_SCRAMBLE_LEN] = '\0';
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unhex(struct str hex, unsigned char out[SHA_DIGEST_LENGTH])
{
	if (hex.len != 2 * SHA_DIGEST_LENGTH)
		return false;
	for (size_t i = 0; i < SHA_DIGEST_LENGTH; i++) {
		int hi = nibble(hex.p[2 * i]), lo = nibble(hex.p[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		out[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

bool wire_auth_check(const char *hash, const char scramble[WIRE_SCRAMBLE_LEN + 1],
                     struct str response)
{
	if (!hash[0])
		return response.len == 0;
	unsigned char stage2[SHA_DIGEST_LENGTH], mask[SHA_DIGEST_LENGTH], seen[SHA_DIGEST_LENGTH];
	unsigned char both[WIRE_SCRAMBLE_LEN + SHA_DIGEST_LENGTH], stage1[SHA_DIGEST_LENGTH];
	if (hash[0] != '*' || !unhex(str_of(hash + 1), stage2) || response.len != SHA_DIGEST_LENGTH)
		return false;
	memcpy(both, scramble, WIRE_SCRAMBLE_LEN);
	memcpy(both + WIRE_SCRAMBLE_LEN, stage2, sizeof(stage2));
	SHA1(both, sizeof(both), mask);
	for (size_t i = 0; i < sizeof(stage1); i++)
		stage1[i] = (unsigned char)(mask[i] ^ (unsigned char)response.p[i]);
	SHA1(stage1, sizeof(stage1), seen);
	OPENSSL_cleanse(stage1, sizeof(stage1));
	return CRYPTO_memcmp(seen, stage2, sizeof(seen)) == 0;
}
