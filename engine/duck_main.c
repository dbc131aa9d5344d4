/* roost-duck: the only program that links DuckDB. Started by roost-fe and roost-be, never by a person. */
#include <string.h>
#include <unistd.h>

#include "engine/duck/sandbox.h"
#include "engine/duck/serve.h"
#include "engine/exec/request.h"
#include "lib/base/log.h"

int main(int argc, char **argv)
{
	bool parser = argc == 2 && strcmp(argv[1], "--parse") == 0;
	bool executor = argc == 2 && strcmp(argv[1], "--exec") == 0;
	if (!parser && !executor) {
		fputs("roost-duck is started by roost-fe (--parse) and roost-be (--exec), with a "
		      "socket as descriptor 3\n",
		      stderr);
		return 2;
	}
	log_init(parser ? "roost-duck-parse" : "roost-duck-exec");
	duck_sandbox_begin();
	struct err err = ERR_INIT;
	int rc = parser ? duck_serve_parser(EXEC_CHILD_FD, true, &err)
	                : duck_serve_executor(EXEC_CHILD_FD, true, &err);
	if (rc < 0)
		log_error("%s", err.msg);
	/* Not exit(): nobody waits for destructors of a library whose threads may still run. */
	_exit(rc < 0 ? 1 : 0);
}
