#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/s3/sign.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

/* The worked examples of AWS' "Signature Calculations for the Authorization Header" (S3), and get-vanilla
 * with two of its relatives from the SigV4 test suite. */
#define S3_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SUITE_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

static const struct s3_sign_header get_headers[] = {
	{ "host", "examplebucket.s3.amazonaws.com" },
	{ "range", "bytes=0-9" },
	{ "x-amz-content-sha256", S3_HASH_EMPTY },
	{ "x-amz-date", "20130524T000000Z" },
};
#define PUT_HASH "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
static const struct s3_sign_header put_headers[] = {
	{ "date", "Fri, 24 May 2013 00:00:00 GMT" },
	{ "host", "examplebucket.s3.amazonaws.com" },
	{ "x-amz-content-sha256", PUT_HASH },
	{ "x-amz-date", "20130524T000000Z" },
	{ "x-amz-storage-class", "REDUCED_REDUNDANCY" },
};
static const struct s3_sign_header list_headers[] = {
	{ "host", "examplebucket.s3.amazonaws.com" },
	{ "x-amz-content-sha256", S3_HASH_EMPTY },
	{ "x-amz-date", "20130524T000000Z" },
};
static const struct s3_sign_header suite_headers[] = {
	{ "host", "example.amazonaws.com" },
	{ "x-amz-date", "20150830T123600Z" },
};

#define S3_REQ(m, p, q, h, hash)  \
	{ m,                      \
	  p,                      \
	  q,                      \
	  h,                      \
	  ARRAY_LEN(h),           \
	  hash,                   \
	  "20130524T000000Z",     \
	  "us-east-1",            \
	  "s3",                   \
	  "AKIAIOSFODNN7EXAMPLE", \
	  S3_SECRET }
#define SUITE_REQ(m, p, q)          \
	{ m,                        \
	  p,                        \
	  q,                        \
	  suite_headers,            \
	  ARRAY_LEN(suite_headers), \
	  S3_HASH_EMPTY,            \
	  "20150830T123600Z",       \
	  "us-east-1",              \
	  "service",                \
	  "AKIDEXAMPLE",            \
	  SUITE_SECRET }

static void published_vectors(void **state)
{
	(void)state;
	static const struct {
		struct s3_sign request;
		const char *signature;
	} cases[] = {
		{ S3_REQ("GET", "/test.txt", "", get_headers, S3_HASH_EMPTY),
		  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
		{ S3_REQ("PUT", "/test%24file.text", "", put_headers, PUT_HASH),
		  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
		{ S3_REQ("GET", "/", "lifecycle=", list_headers, S3_HASH_EMPTY),
		  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
		{ S3_REQ("GET", "/", "max-keys=2&prefix=J", list_headers, S3_HASH_EMPTY),
		  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
		{ SUITE_REQ("GET", "/", ""),
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ SUITE_REQ("POST", "/", ""),
		  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
		{ SUITE_REQ("GET", "/", "Param1=value1&Param2=value2"),
		  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(2048);
		struct err err = ERR_INIT;
		assert_int_equal(s3_sign(&cases[i].request, &out, &err), 0);
		const char *at = strstr(buf_cstr(&out), "Signature=");
		assert_non_null(at);
		assert_string_equal(at + strlen("Signature="), cases[i].signature);
	}
}

static void header_form(void **state)
{
	(void)state;
	const struct s3_sign request = S3_REQ("GET", "/test.txt", "", get_headers, S3_HASH_EMPTY);
	_cleanup_buf_ struct buf out = BUF_INIT(2048);
	assert_int_equal(s3_sign(&request, &out, NULL), 0);
	assert_non_null(
		strstr(buf_cstr(&out),
	               "AWS4-HMAC-SHA256 "
	               "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
	               "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature="));
}

static void long_secrets_are_refused(void **state)
{
	(void)state;
	char secret[1100];
	memset(secret, 'x', sizeof(secret) - 1);
	secret[sizeof(secret) - 1] = '\0';
	struct s3_sign request = S3_REQ("GET", "/", "", list_headers, S3_HASH_EMPTY);
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf out = BUF_INIT(2048);
	request.secret_key = secret;
	assert_true(s3_sign(&request, &out, &err) < 0);
	assert_null(strstr(err.msg, "xxx"));
}

static void dates(void **state)
{
	(void)state;
	char out[S3_DATE_MAX];
	s3_sign_date(1369353600000, out);
	assert_string_equal(out, "20130524T000000Z");
	s3_sign_date(1440938160999, out);
	assert_string_equal(out, "20150830T123600Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(header_form),
		cmocka_unit_test(long_secrets_are_refused),
		cmocka_unit_test(dates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
