/* Worlds for `roost-operator replay`: ROOST_RECORD=DIR keeps the last one of each cluster. For whoever looks into something: a
 * file holds what the CR and its configuration say, passwords in them included, and is the operator's own to read. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"

void reconcile_record(const json_t *world)
{
	const char *folder = getenv("ROOST_RECORD");
	const json_t *cr = json_object_get(world, "cr");
	const char *ns = data_get_str(cr, "metadata.namespace");
	const char *name = data_get_str(cr, "metadata.name");
	struct err err = ERR_INIT;
	if (!folder || !*folder || !ns || !name || strchr(ns, '/') || strchr(name, '/'))
		return;
	autofree char *path = xasprintf("%s/%s.%s%s.json", folder, ns, name,
	                                model_is_warehouse(cr) ? ".warehouse" : "");
	autofree char *text = data_json_text(world);
	if (fd_write_file(path, text, strlen(text), 0600, &err) < 0)
		log_warn("cluster=%s/%s record: %s", ns, name, err.msg);
}
