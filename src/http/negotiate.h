/* negotiate: Accept and Accept-Encoding (RFC 9110, section 12.5). Pure parsers over borrowed bytes;
 * what they cannot read they skip. */
#ifndef PGH_HTTP_NEGOTIATE_H
#define PGH_HTTP_NEGOTIATE_H

#include "util/str.h"

struct accept_item {
    struct str range; /* "text/csv", "text / *", "* / *", without parameters; or a coding */
    struct str
        params; /* raw, between the range and q, without the leading semicolon; may be empty */
    unsigned q; /* 0 to 1000 */
};

/* The next item of a list header; moves *rest. False at the end. Items that cannot be read are
 * skipped. Commas and semicolons inside quoted strings do not count. */
bool accept_next(struct str *rest, struct accept_item *out);

/* Which of the offered types the client likes best: by q, then by how exactly the range names it,
 * then by the order offered. n when none will do. An absent header (p == NULL) takes the first. */
size_t negotiate_type(struct str accept, const struct str *offers, size_t n);

/* Does Accept-Encoding take gzip (by name or by *, q above 0)? */
bool negotiate_gzip(struct str accept_encoding);

#endif
