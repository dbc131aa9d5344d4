#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "engine/sql/sink.h"
#include "engine/wire/auth.h"
#include "engine/wire/handshake.h"
#include "engine/wire/packet.h"
#include "lib/base/mem.h"

/* A client's side of mysql_native_password. */
static void answer(const char *password, const char *scramble, unsigned char out[20])
{
	unsigned char one[20], two[20], both[40], mask[20];
	SHA1((const unsigned char *)password, strlen(password), one);
	SHA1(one, 20, two);
	memcpy(both, scramble, 20);
	memcpy(both + 20, two, 20);
	SHA1(both, 40, mask);
	for (int i = 0; i < 20; i++)
		out[i] = one[i] ^ mask[i];
}

static void passwords(void **state)
{
	(void)state;
	const char *mypass = "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4";
	char scramble[WIRE_SCRAMBLE_LEN + 1], other[WIRE_SCRAMBLE_LEN + 1];
	wire_scramble(scramble);
	wire_scramble(other);
	assert_string_not_equal(scramble, other);
	assert_int_equal(strlen(scramble), WIRE_SCRAMBLE_LEN);
	unsigned char good[20], bad[20];
	answer("mypass", scramble, good);
	answer("mypasS", scramble, bad);
	struct str right = { (const char *)good, 20 }, wrong = { (const char *)bad, 20 };
	assert_true(wire_auth_check(mypass, scramble, right));
	assert_false(wire_auth_check(mypass, scramble, wrong));
	assert_false(wire_auth_check(mypass, other, right));
	assert_false(wire_auth_check(mypass, scramble, (struct str){ (const char *)good, 19 }));
	assert_false(wire_auth_check(mypass, scramble, STR_LIT("")));
	assert_true(wire_auth_check("", scramble, STR_LIT("")));
	assert_false(wire_auth_check("", scramble, right));
	assert_false(wire_auth_check("*6C89", scramble, right));
	assert_false(wire_auth_check(mypass + 1, scramble, right));
}

static void put_hello(struct buf *b, uint32_t caps, const char *user, const char *auth,
                      const char *db, const char *plugin)
{
	(void)buf_addle(b, caps, 4);
	(void)buf_addle(b, 1 << 24, 4);
	(void)buf_addle(b, 45, 1);
	for (int i = 0; i < 23; i++)
		(void)buf_addc(b, '\0');
	(void)buf_add(b, user, strlen(user) + 1);
	wire_put_lenstr(b, auth, strlen(auth));
	if (db)
		(void)buf_add(b, db, strlen(db) + 1);
	if (plugin)
		(void)buf_add(b, plugin, strlen(plugin) + 1);
}

static void answers_of_clients(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = BUF_INIT(1024);
	struct wire_hello h;
	uint32_t base = WIRE_CAP_PROTOCOL_41 | WIRE_CAP_SECURE_CONNECTION;
	put_hello(&b,
	          base | WIRE_CAP_CONNECT_WITH_DB | WIRE_CAP_PLUGIN_AUTH | 0x40 /* not ours */ |
	                  WIRE_CAP_PLUGIN_AUTH_LENENC,
	          "root", "12345678901234567890", "ssb", "caching_sha2_password");
	struct str all = { b.p, b.len };
	assert_int_equal(wire_parse_hello(all, &h, NULL), 0);
	assert_true(str_eqs(h.user, "root") && str_eqs(h.db, "ssb"));
	assert_true(str_eqs(h.plugin, "caching_sha2_password") && h.auth.len == 20);
	assert_int_equal(h.caps & 0x40, 0);
	/* Cut anywhere it is refused or read shorter, never read beyond; the last NUL may be missing. */
	for (size_t n = 0; n < all.len; n++) {
		autofree char *exact = xmalloc(n + 1);
		memcpy(exact, all.p, n);
		(void)wire_parse_hello((struct str){ exact, n }, &h, NULL);
	}
	all.len--;
	assert_int_equal(wire_parse_hello(all, &h, NULL), 0);
	assert_true(str_eqs(h.plugin, "caching_sha2_password"));

	buf_reset(&b);
	put_hello(&b, base, "u", "", NULL, NULL);
	assert_int_equal(wire_parse_hello((struct str){ b.p, b.len }, &h, NULL), 0);
	assert_true(h.db.len == 0 && h.plugin.len == 0 && h.auth.len == 0);
	buf_reset(&b);
	put_hello(&b, 0x8000, "u", "", NULL, NULL);
	assert_int_equal(wire_parse_hello((struct str){ b.p, b.len }, &h, NULL), -EPROTO);
	struct err err = ERR_INIT;
	buf_reset(&b);
	(void)buf_addle(&b, base | WIRE_CAP_SSL, 4);
	(void)buf_add(&b, (char[28]){ 0 }, 28);
	assert_int_equal(wire_parse_hello((struct str){ b.p, b.len }, &h, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "TLS"));
}

static void change_user(void **state)
{
	(void)state;
	struct wire_hello h;
	assert_int_equal(
		wire_parse_change_user((struct str){ "root\0\x02xxssb\0\x2d\0", 14 }, 7, &h, NULL),
		0);
	assert_true(str_eqs(h.user, "root") && str_eqs(h.db, "ssb") && h.caps == 7);
	assert_int_equal(
		wire_parse_change_user((struct str){ "root\0\x09xxssb\0", 12 }, 7, &h, NULL),
		-EPROTO);
}

static void errors_have_a_state(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = BUF_INIT(1024);
	struct err err = ERR_INIT;
	(void)err_set(&err, SQL_ERR(1146), "Unknown table 't'");
	wire_put_failure(&b, &err);
	assert_memory_equal(b.p, "\xff\x7a\x04#42S02Unknown table 't'", b.len);
	buf_reset(&b);
	(void)err_set(&err, -EIO, "disk");
	wire_put_failure(&b, &err);
	assert_memory_equal(b.p, "\xff\x51\x04#HY000disk", b.len);
}

static void the_greeting(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = BUF_INIT(1024);
	wire_put_greeting(&b, "8.0.33", 7, "abcdefghijklmnopqrst");
	struct wire_cursor c = wire_cursor_of((struct str){ b.p, b.len });
	assert_int_equal(wire_get_int(&c, 1), 10);
	assert_true(str_eqs(wire_get_cstr(&c), "8.0.33"));
	assert_int_equal(wire_get_int(&c, 4), 7);
	assert_true(str_eqs(wire_get_cstr(&c), "abcdefgh"));
	uint64_t low = wire_get_int(&c, 2);
	(void)wire_get_bytes(&c, 3);
	uint64_t caps = low | wire_get_int(&c, 2) << 16;
	assert_int_equal(caps, WIRE_CAPS);
	assert_int_equal(wire_get_int(&c, 1), 21);
	(void)wire_get_bytes(&c, 10);
	assert_true(str_eqs(wire_get_cstr(&c), "ijklmnopqrst"));
	assert_true(str_eqs(wire_get_cstr(&c), WIRE_NATIVE));
	assert_true(!c.bad && wire_left(&c) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passwords),    cmocka_unit_test(answers_of_clients),
		cmocka_unit_test(change_user),  cmocka_unit_test(errors_have_a_state),
		cmocka_unit_test(the_greeting),
	};
	return cmocka_run_group_tests_name("engine/wire/handshake", tests, NULL, NULL);
}
