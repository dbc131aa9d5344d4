#include "engine/meta/log_format.h"

#include <endian.h>
#include <errno.h>

#include "engine/meta/log.h"
#include "lib/base/crc.h"

enum { PAGE = 4096 };

static uint32_t le32(const char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t le64(const char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

void meta_log_segment_header(char out[META_LOG_SEGMENT_HEADER])
{
	uint32_t version = htole32(META_LOG_VERSION);
	memcpy(out, "RLOG", 4);
	memcpy(out + 4, &version, 4);
}

static uint32_t checksum(uint64_t index, struct str bytes)
{
	uint64_t stored = htole64(index);
	return crc32c(crc32c(0, &stored, sizeof(stored)), bytes.p, bytes.len);
}

void meta_log_encode(uint64_t index, struct str bytes, struct buf *out)
{
	(void)buf_addle(out, bytes.len, 4);
	(void)buf_addle(out, checksum(index, bytes), 4);
	(void)buf_addle(out, index, 8);
	(void)buf_add(out, bytes.p, bytes.len);
}

void meta_log_reader_init(struct meta_log_reader *r, struct str file, bool may_be_torn)
{
	*r = (struct meta_log_reader){ .file = file, .may_be_torn = may_be_torn };
}

/* Whether a whole, good record stands at the offset. */
static bool record_at(struct str file, size_t at, struct meta_log_record *ret)
{
	if (file.len - at < META_LOG_RECORD_HEADER)
		return false;
	uint32_t len = le32(file.p + at);
	if (len > META_LOG_RECORD_MAX || len > file.len - at - META_LOG_RECORD_HEADER)
		return false;
	ret->index = le64(file.p + at + 8);
	ret->bytes = (struct str){ file.p + at + META_LOG_RECORD_HEADER, len };
	return checksum(ret->index, ret->bytes) == le32(file.p + at + 4);
}

/* Whether a later record is whole: then what is bad here was once good, and no crash made it. Records are looked for
 * by the index they must have, so that text in a payload does not pass for one. */
static bool good_record_follows(struct str file, size_t at, uint64_t index)
{
	struct meta_log_record r;
	for (size_t i = at + 1; i + META_LOG_RECORD_HEADER <= file.len; i++) {
		uint64_t found = le64(file.p + i + 8);
		if (found > index && found - index < file.len && record_at(file, i, &r))
			return true;
	}
	return false;
}

/* Whether the bytes from at to the end look like an append that a crash cut short: too short for what the header
 * says, or with a page that was never written (files grow by zeros). */
static bool looks_torn(struct str file, size_t at)
{
	size_t left = file.len - at;
	if (left < META_LOG_RECORD_HEADER || le32(file.p + at) > left - META_LOG_RECORD_HEADER)
		return true;
	for (size_t from = at; from < file.len;) {
		size_t to = (from / PAGE + 1) * PAGE;
		to = to < file.len ? to : file.len;
		bool zero = true;
		for (size_t i = from; zero && i < to; i++)
			zero = file.p[i] == 0;
		if (zero)
			return true;
		from = to;
	}
	return false;
}

static int check_header(struct meta_log_reader *r, struct err *err)
{
	if (r->may_be_torn && r->file.len < META_LOG_SEGMENT_HEADER) {
		r->at = r->file.len;
		return META_LOG_END;
	}
	if (r->file.len < META_LOG_SEGMENT_HEADER || memcmp(r->file.p, "RLOG", 4) != 0)
		return err_set(err, -EBADMSG, "not a log segment");
	uint32_t version = le32(r->file.p + 4);
	if (version < 1 || version > META_LOG_VERSION)
		return err_set(err, -EBADMSG, "log format %u; this program reads 1 to %d", version,
		               META_LOG_VERSION);
	r->at = META_LOG_SEGMENT_HEADER;
	return META_LOG_RECORD;
}

int meta_log_reader_next(struct meta_log_reader *r, struct meta_log_record *ret, struct err *err)
{
	if (r->at == 0) {
		int rc = check_header(r, err);
		if (rc != META_LOG_RECORD)
			return rc;
	}
	if (r->at == r->file.len)
		return META_LOG_END;
	if (record_at(r->file, r->at, ret)) {
		r->at += META_LOG_RECORD_HEADER + ret->bytes.len;
		r->last = ret->index;
		return META_LOG_RECORD;
	}
	uint64_t index =
		r->file.len - r->at >= META_LOG_RECORD_HEADER ? le64(r->file.p + r->at + 8) : 0;
	if (r->may_be_torn && looks_torn(r->file, r->at) &&
	    !good_record_follows(r->file, r->at, r->last))
		return META_LOG_END;
	return err_set(err, -EBADMSG, "damaged record at byte %zu (index reads %llu)", r->at,
	               (unsigned long long)index);
}

int meta_log_snapshot_encode(uint64_t index, struct str bytes, struct buf *out, struct err *err)
{
	(void)buf_add(out, "RSNP", 4);
	(void)buf_addle(out, META_LOG_VERSION, 4);
	(void)buf_addle(out, index, 8);
	(void)buf_addle(out, bytes.len, 8);
	(void)buf_addle(out, checksum(index, bytes), 4);
	(void)buf_add(out, bytes.p, bytes.len);
	return out->overflow ? err_set(err, -E2BIG, "a snapshot of %zu bytes; at most %d",
	                               bytes.len, META_LOG_SNAPSHOT_MAX)
	                     : 0;
}

int meta_log_snapshot_check(struct str file, uint64_t index, struct str *ret_bytes, struct err *err)
{
	if (file.len < META_LOG_SNAPSHOT_HEADER || memcmp(file.p, "RSNP", 4) != 0)
		return err_set(err, -EBADMSG, "not a snapshot");
	uint32_t version = le32(file.p + 4);
	if (version < 1 || version > META_LOG_VERSION)
		return err_set(err, -EBADMSG, "snapshot format %u; this program reads 1 to %d",
		               version, META_LOG_VERSION);
	struct str bytes = { file.p + META_LOG_SNAPSHOT_HEADER,
		             file.len - META_LOG_SNAPSHOT_HEADER };
	if (le64(file.p + 8) != index || le64(file.p + 16) != bytes.len ||
	    le32(file.p + 24) != checksum(index, bytes))
		return err_set(err, -EBADMSG, "damaged snapshot");
	*ret_bytes = bytes;
	return 0;
}
