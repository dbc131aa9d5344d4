#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/wire/packet.h"
#include "lib/base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Packets off a stream until it is refused or ends; each payload read as numbers and strings. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[2];
	if (size > 64 * 1024 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return 0;
	(void)fd_write_all(fds[0], data, size, NULL);
	(void)shutdown(fds[0], SHUT_WR);
	struct wire_io io;
	wire_io_init(&io, fds[1]);
	_cleanup_buf_ struct buf in = BUF_INIT(64 * 1024);
	while (wire_read(&io, deadline_in(1000), true, &in, NULL) == 0) {
		struct wire_cursor c = wire_cursor_of((struct str){ buf_cstr(&in), in.len });
		while (!c.bad && wire_left(&c)) {
			size_t before = c.at;
			(void)wire_get_int(&c, 1);
			(void)wire_get_lenstr(&c);
			(void)wire_get_cstr(&c);
			if (c.at > c.len || (!c.bad && c.at <= before))
				abort();
		}
	}
	wire_io_free(&io);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
