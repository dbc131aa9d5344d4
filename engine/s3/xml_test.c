#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/s3/xml.h"
#include "lib/base/mem.h"

static int collect(void *arg, const struct s3_xml_entry *entry)
{
	(void)buf_addf(arg, "%s|%s|%lld\n", entry->key, entry->etag, (long long)entry->bytes);
	return 0;
}

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static void list_pages(void **state)
{
	(void)state;
	static const struct {
		const char *text, *entries, *token;
	} cases[] = {
		{ HEAD "<ListBucketResult" NS
		       "><Name>b</Name><KeyCount>0</KeyCount></ListBucketResult>",
		  "", "" },
		{ HEAD
		  "<ListBucketResult><Contents><Key>a%2Fb+c</Key><ETag>&quot;1&quot;</ETag>"
		  "<Size>12</Size><Owner><ID>x</ID></Owner></Contents><!-- > -->"
		  "<s3:Contents><s3:Key>d</s3:Key><Size> 0 </Size><ETag/></s3:Contents>"
		  "<NextContinuationToken>1&#x2f;&#50;</NextContinuationToken></ListBucketResult>",
		  "a/b c|\"1\"|12\nd||0\n", "1/2" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf entries = BUF_INIT(4096);
		_cleanup_buf_ struct buf token = BUF_INIT(64);
		struct err err = ERR_INIT;
		int rc = s3_xml_list(str_of(cases[i].text), collect, &entries, &token, &err);
		assert_string_equal(err.msg, "");
		assert_int_equal(rc, 0);
		assert_string_equal(buf_cstr(&entries), cases[i].entries);
		assert_string_equal(buf_cstr(&token), cases[i].token);
	}
}

static void bad_documents_are_refused(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		"no markup",
		"<Error><Code>NoSuchKey</Code></Error>",
		"<ListBucketResult>",
		"<ListBucketResult></Other>",
		"<ListBucketResult><a></b></ListBucketResult>",
		"</ListBucketResult>",
		"<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a&b;</Key></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>%4</Key></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>%00</Key></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Size>-1</Size></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>&#xd800;</Key></Contents></ListBucketResult>",
		"<ListBucketResult><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf entries = BUF_INIT(4096);
		_cleanup_buf_ struct buf token = BUF_INIT(64);
		struct err err = ERR_INIT;
		assert_int_equal(s3_xml_list(str_of(cases[i]), collect, &entries, &token, &err),
		                 -EBADMSG);
		assert_true(err.msg[0]);
	}
}

static int stop_at_once(void *arg, const struct s3_xml_entry *entry)
{
	(void)arg;
	(void)entry;
	return 7;
}

static void callback_ends_the_walk(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf token = BUF_INIT(64);
	assert_int_equal(s3_xml_list(STR_LIT("<ListBucketResult><Contents><Key>a</Key></Contents>"
	                                     "</ListBucketResult>"),
	                             stop_at_once, NULL, &token, NULL),
	                 7);
}

static void errors_are_named(void **state)
{
	(void)state;
	struct s3_xml_error e;
	s3_xml_error(STR_LIT(HEAD "<Error><Code>AccessDenied</Code><Message>Access &lt;Denied&gt;"
	                          "</Message><RequestId>1</RequestId></Error>"),
	             &e);
	assert_string_equal(e.code, "AccessDenied");
	assert_string_equal(e.message, "Access <Denied>");
	s3_xml_error(STR_LIT("<html><body>502 Bad Gateway</body></html>"), &e);
	assert_string_equal(e.code, "");
	s3_xml_error(STR_LIT(""), &e);
	assert_string_equal(e.code, "");
}

static void utf8(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf out = BUF_INIT(64);
	assert_int_equal(s3_xml_unescape(STR_LIT("&#36;&#xa2;&#x20ac;&#x10348;"), &out, NULL), 0);
	assert_string_equal(buf_cstr(&out), "$\xc2\xa2\xe2\x82\xac\xf0\x90\x8d\x88");
	assert_int_equal(s3_xml_unescape(STR_LIT("&#x110000;"), &out, NULL), -EBADMSG);
	assert_int_equal(s3_xml_unescape(STR_LIT("&#0;"), &out, NULL), -EBADMSG);
	assert_int_equal(s3_xml_unescape(STR_LIT("&amp"), &out, NULL), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_pages),
		cmocka_unit_test(bad_documents_are_refused),
		cmocka_unit_test(callback_ends_the_walk),
		cmocka_unit_test(errors_are_named),
		cmocka_unit_test(utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
