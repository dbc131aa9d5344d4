/* What a start finds on the disk: whole rowsets go into the index, torn ones aside. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/store/store_priv.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

/* "BYTES CRC\n" */
static int read_sum(const char *path, struct store_rowset *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT(64);
	if (fd_read_file(path, &text, NULL) < 0)
		return -EBADMSG;
	struct str rest = str_trim(str_of(buf_cstr(&text))), bytes;
	if (!str_split(&rest, ' ', &bytes) || !rest.p || str_to_i64(bytes, &ret->bytes) < 0)
		return -EBADMSG;
	autofree char *crc = str_dup(rest);
	return store_crc_parse(crc, &ret->crc) < 0 ? -EBADMSG : 0;
}

static void quarantine(struct store *s, const char *path, const char *name, const char *why)
{
	autofree char *to =
		xasprintf("%s/quarantine/%" PRId64 "-%s", s->root, clock_real_ms(), name);
	log_warn("file=%s %s: moved to quarantine", path, why);
	if (rename(path, to) < 0)
		log_error("file=%s cannot be moved to quarantine: %s", path, strerror(errno));
	s->quarantined++;
}

static void scan_file(struct store *s, int64_t tablet, const char *dir, const char *name)
{
	struct str n = { name, strlen(name) };
	struct store_rowset rowset = { .tablet = tablet };
	struct stat st;
	autofree char *path = xasprintf("%s/%s", dir, name);
	if (n.len == RPC_ID_LEN + sizeof("." STORE_SUM) - 1 && str_ends(n, "." STORE_SUM)) {
		(void)snprintf(rowset.id, sizeof(rowset.id), "%.*s", RPC_ID_LEN, name);
		autofree char *data = store_file(s, tablet, rowset.id, STORE_DATA);
		if (!fd_exists(data)) /* left behind by a crash before or after its file */
			(void)unlink(path);
		return;
	}
	if (n.len != RPC_ID_LEN + sizeof("." STORE_DATA) - 1 || !str_ends(n, "." STORE_DATA)) {
		quarantine(s, path, name, "is no rowset");
		return;
	}
	(void)snprintf(rowset.id, sizeof(rowset.id), "%.*s", RPC_ID_LEN, name);
	autofree char *sum = store_file(s, tablet, rowset.id, STORE_SUM);
	if (!store_id_valid(rowset.id) || read_sum(sum, &rowset) < 0)
		quarantine(s, path, name, "has no checksum beside it");
	else if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != rowset.bytes)
		quarantine(s, path, name, "has not the length that was written");
	else
		store_index_add(s, &rowset, (int64_t)st.st_mtim.tv_sec * 1000);
}

static int scan_tablet(struct store *s, int64_t tablet, struct err *err)
{
	autofree char *dir = xasprintf("%s/data/%" PRId64, s->root, tablet);
	DIR *d = opendir(dir);
	const struct dirent *e;
	if (!d)
		return err_errno(err, "%s", dir);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			scan_file(s, tablet, dir, e->d_name);
	(void)closedir(d);
	return 0;
}

int store_scan(struct store *s, struct err *err)
{
	autofree char *dir = xasprintf("%s/data", s->root);
	DIR *d = opendir(dir);
	const struct dirent *e;
	int rc = d ? 0 : err_errno(err, "%s", dir);
	while (rc == 0 && (e = readdir(d)) != NULL) {
		int64_t tablet;
		if (e->d_name[0] == '.')
			continue;
		if (str_to_i64(str_of(e->d_name), &tablet) < 0)
			log_warn("file=%s/%s is no tablet: left alone", dir, e->d_name);
		else
			rc = scan_tablet(s, tablet, err);
	}
	if (d)
		(void)closedir(d);
	return rc;
}
