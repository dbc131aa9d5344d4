/* Reading the XML that S3 answers with: a pull parser for plain documents, and the two documents we read.
 *
 * Thread: plain values. Ownership: views point into the caller's text. Limits: S3_XML_DEPTH_MAX levels,
 * the text's own length. A DOCTYPE is refused, so no entity but the five of XML and numbers exists. */
#ifndef ROOST_ENGINE_S3_XML_H
#define ROOST_ENGINE_S3_XML_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum { S3_XML_DEPTH_MAX = 16 };

enum s3_xml_event { S3_XML_START, S3_XML_TEXT, S3_XML_CLOSE, S3_XML_EOF };

struct s3_xml {
	struct str rest;
	struct str open[S3_XML_DEPTH_MAX]; /* names of the open elements */
	unsigned depth;
	bool closing; /* the element just started was <empty/> */
};

void s3_xml_init(struct s3_xml *x, struct str text);
/* The next event: the element's name without a namespace prefix, or raw text (entities still encoded;
 * white space only is skipped). -EBADMSG says what is wrong and where the text stood. */
int s3_xml_next(struct s3_xml *x, enum s3_xml_event *ret_event, struct str *ret, struct err *err);
/* Appends text with its entities replaced; -EBADMSG for an unknown one. */
int s3_xml_unescape(struct str text, struct buf *out, struct err *err);

/* <Error><Code/><Message/></Error>: empty strings when it is something else. */
struct s3_xml_error {
	char code[64];
	char message[256];
};
void s3_xml_error(struct str text, struct s3_xml_error *ret);

/* <ListBucketResult>, asked for with encoding-type=url. */
struct s3_xml_entry {
	const char *key; /* decoded; borrowed for the time of the call */
	const char *etag;
	int64_t bytes;
};
typedef int (*s3_xml_entry_fn)(void *arg, const struct s3_xml_entry *entry);
/* Calls fn for each entry (non-zero ends and is returned) and appends the continuation token, which is
 * left empty on the last page. */
int s3_xml_list(struct str text, s3_xml_entry_fn fn, void *arg, struct buf *ret_token,
                struct err *err);

#endif
