/* writer: JSON text appended to a buf, piece by piece; nothing is built in memory first.
 *
 * The bytes of strings must be valid UTF-8 (they come from PostgreSQL with client_encoding UTF8, or
 * were checked by the reader): only '"', '\\' and control characters are escaped, the way
 * PostgreSQL's own json functions do. Commas and brackets are the caller's. */
#ifndef PGH_JSON_WRITER_H
#define PGH_JSON_WRITER_H

#include "util/buf.h"

void json_write_string(struct buf *, struct str);    /* "..." */
void json_write_escaped(struct buf *, struct str);   /* the same without the quotes */
void json_write_cstring(struct buf *, const char *); /* NULL writes null */
void json_write_key(struct buf *, struct str);       /* "key": */

#endif
