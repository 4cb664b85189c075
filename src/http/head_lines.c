/* The lines of a head, more strictly than libmicrohttpd reads them (RFC 9112, section 5). What it
 * takes for a header of another name, or of another value, or for the end of the head, a proxy in
 * front may have read as a Content-Length: "Content-Length : 5", a bare CR, and up to 0.9.76
 *   - a NUL, where it ends the value;
 *   - a line that goes on in the next (obs-fold): that is joined to the name, in a copy of it;
 *   - a line without a name, which ends the head: what follows would be the next request.
 * These it leaves no trace of but in its buffer. There name and value stand one behind the other,
 * colon and line end overwritten by NUL, and nothing else may be between them. */
#include "http/mhd.h"
#include "http/priv.h"

#define COLON 1u    /* NULs of it, */
#define LINE_END 2u /* of CR LF, */
#define HEAD_END 4u /* and of two of them */

#if MHD_VERSION < 0x00097701
static bool blank(const struct request *q, const char *from, const char *to, size_t nuls)
{
    /* Numbers: a copy of a name stands before its value's line. */
    if ((uintptr_t)to < (uintptr_t)from ||
        (uintptr_t)to - (uintptr_t)from > q->server->conf->server_header_memory)
        return false;
    for (; from < to; from++) {
        if (*from == '\0' && nuls-- == 0)
            return false;
        if (*from != '\0' && *from != ' ' && *from != '\t')
            return false;
    }
    return true;
}

static void follow(struct request *q, const char *to, size_t nuls)
{
    q->bad_line = q->bad_line || (q->line_end && !blank(q, q->line_end, to, nuls));
}

void head_lines_end(struct request *q, const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(q->mc, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (info)
        follow(q, method + info->header_size, HEAD_END);
}
#else
static void follow(struct request *q, const char *to, size_t nuls)
{
    (void)q, (void)to, (void)nuls;
}

void head_lines_end(struct request *q, const char *method)
{
    (void)q, (void)method;
}
#endif

void head_line(struct request *q, struct str name, struct str value)
{
    bool known = reply_token(name) && !(value.n && memchr(value.p, '\r', value.n));
    q->bad_line = q->bad_line || !known;
    follow(q, name.p, LINE_END);
    q->line_end = name.p + name.n;
    if (value.p) {
        follow(q, value.p, COLON);
        q->line_end = value.p + value.n;
    }
}
