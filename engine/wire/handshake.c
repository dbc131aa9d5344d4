#include "engine/wire/handshake.h"

#include <errno.h>

#include "engine/sql/sink.h"
#include "engine/wire/packet.h"

enum { NAME_MAX_ = 255 };

void wire_put_greeting(struct buf *out, const char *version, uint32_t connection_id,
                       const char scramble[WIRE_SCRAMBLE_LEN + 1])
{
	(void)buf_addle(out, 10, 1);
	(void)buf_add(out, version, strlen(version) + 1);
	(void)buf_addle(out, connection_id, 4);
	(void)buf_add(out, scramble, 8);
	(void)buf_addle(out, 0, 1);
	(void)buf_addle(out, WIRE_CAPS & 0xffff, 2);
	(void)buf_addle(out, WIRE_CHARSET, 1);
	(void)buf_addle(out, WIRE_STATUS_AUTOCOMMIT, 2);
	(void)buf_addle(out, (uint32_t)WIRE_CAPS >> 16, 2);
	(void)buf_addle(out, WIRE_SCRAMBLE_LEN + 1, 1);
	(void)buf_add(out, "\0\0\0\0\0\0\0\0\0", 10);
	(void)buf_add(out, scramble + 8, WIRE_SCRAMBLE_LEN - 8 + 1);
	(void)buf_add(out, WIRE_NATIVE, sizeof(WIRE_NATIVE));
}

static int check_names(const struct wire_hello *h, struct err *err)
{
	if (h->user.len > NAME_MAX_ || h->db.len > NAME_MAX_)
		return err_set(err, -EPROTO, "Bad handshake: a name of more than %d bytes",
		               NAME_MAX_);
	return 0;
}

int wire_parse_hello(struct str payload, struct wire_hello *ret, struct err *err)
{
	struct wire_cursor c = wire_cursor_of(payload);
	struct wire_hello h = { .db = { "", 0 }, .plugin = { "", 0 } };
	uint32_t caps = (uint32_t)wire_get_int(&c, 4);
	if (!(caps & WIRE_CAP_PROTOCOL_41))
		return err_set(err, -EPROTO,
		               "Bad handshake: only clients of protocol 4.1 or newer");
	if (caps & WIRE_CAP_SSL && payload.len <= 32)
		return err_set(err, -EPROTO, "Bad handshake: TLS was not offered on this port");
	(void)wire_get_int(&c, 4); /* the client's maximum packet */
	(void)wire_get_int(&c, 1); /* its character set: ours is always utf8mb4 */
	(void)wire_get_bytes(&c, 23);
	h.user = wire_get_cstr(&c);
	if (caps & WIRE_CAP_PLUGIN_AUTH_LENENC)
		h.auth = wire_get_lenstr(&c);
	else if (caps & WIRE_CAP_SECURE_CONNECTION)
		h.auth = wire_get_bytes(&c, wire_get_int(&c, 1));
	else
		h.auth = wire_get_cstr(&c);
	/* What follows may be missing altogether; old drivers leave the last NUL out. */
	if (caps & WIRE_CAP_CONNECT_WITH_DB && wire_left(&c))
		h.db = wire_get_cstr(&c);
	if (caps & WIRE_CAP_PLUGIN_AUTH && wire_left(&c)) {
		size_t at = c.at;
		h.plugin = wire_get_cstr(&c);
		if (c.bad) {
			c.bad = false;
			c.at = at;
			h.plugin = wire_get_bytes(&c, wire_left(&c));
		}
	}
	if (c.bad)
		return err_set(err, -EPROTO, "Bad handshake: the packet is cut short");
	h.caps = caps & (uint32_t)WIRE_CAPS;
	*ret = h;
	return check_names(ret, err);
}

int wire_parse_change_user(struct str payload, uint32_t caps, struct wire_hello *ret,
                           struct err *err)
{
	struct wire_cursor c = wire_cursor_of(payload);
	struct wire_hello h = { .caps = caps, .plugin = { "", 0 } };
	h.user = wire_get_cstr(&c);
	h.auth = wire_get_bytes(&c, wire_get_int(&c, 1));
	h.db = wire_get_cstr(&c);
	if (c.bad)
		return err_set(err, -EPROTO, "COM_CHANGE_USER: the packet is cut short");
	*ret = h;
	return check_names(ret, err);
}

void wire_put_auth_switch(struct buf *out, const char scramble[WIRE_SCRAMBLE_LEN + 1])
{
	(void)buf_addle(out, 0xfe, 1);
	(void)buf_add(out, WIRE_NATIVE, sizeof(WIRE_NATIVE));
	(void)buf_add(out, scramble, WIRE_SCRAMBLE_LEN + 1);
}

void wire_put_ok(struct buf *out, uint8_t header, uint64_t affected, uint16_t status,
                 const char *info)
{
	(void)buf_addle(out, header, 1);
	wire_put_lenenc(out, affected);
	wire_put_lenenc(out, 0); /* no AUTO_INCREMENT, so no last id */
	(void)buf_addle(out, status, 2);
	(void)buf_addle(out, 0, 2);
	/* With its length, whatever the manual says: that is what clients read. */
	if (info)
		wire_put_lenstr(out, info, strlen(info));
}

void wire_put_eof(struct buf *out, uint16_t status)
{
	(void)buf_addle(out, 0xfe, 1);
	(void)buf_addle(out, 0, 2);
	(void)buf_addle(out, status, 2);
}

static const char *sqlstate(int mysql_errno)
{
	static const struct {
		int no;
		const char *state;
	} states[] = {
		{ 1040, "08004" }, { 1043, "08S01" }, { 1044, "42000" }, { 1045, "28000" },
		{ 1046, "3D000" }, { 1047, "08S01" }, { 1049, "42000" }, { 1050, "42S01" },
		{ 1051, "42S02" }, { 1054, "42S22" }, { 1060, "42S21" }, { 1064, "42000" },
		{ 1065, "42000" }, { 1102, "42000" }, { 1103, "42000" }, { 1109, "42S02" },
		{ 1115, "42000" }, { 1136, "21S01" }, { 1146, "42S02" }, { 1149, "42000" },
		{ 1153, "08S01" }, { 1156, "08S01" }, { 1227, "42000" }, { 1231, "42000" },
		{ 1232, "42000" }, { 1235, "42000" }, { 1305, "42000" }, { 1317, "70100" },
		{ 1461, "42000" }, { 5905, "42000" },
	};
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (states[i].no == mysql_errno)
			return states[i].state;
	}
	return "HY000";
}

void wire_put_err(struct buf *out, int mysql_errno, const char *message)
{
	(void)buf_addle(out, 0xff, 1);
	(void)buf_addle(out, (uint64_t)mysql_errno, 2);
	(void)buf_addc(out, '#');
	(void)buf_adds(out, sqlstate(mysql_errno));
	(void)buf_adds(out, message);
}

void wire_put_failure(struct buf *out, const struct err *err)
{
	wire_put_err(out, sql_err_no(err->code), err->msg[0] ? err->msg : "Unknown error");
}
