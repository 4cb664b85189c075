#include "http/cors.h"

#include "http/route.h"

#define EXPOSED                                                                                    \
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, "    \
    "Transfer-Encoding, Range-Unit"
#define METHODS "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD"

enum cors_pages cors_pages_of(unsigned route_flags, bool admin, bool open)
{
    if (admin || route_flags & ROUTE_ADMIN)
        return CORS_NONE;
    if (route_flags & ROUTE_REST)
        return CORS_ANY;
    return open && route_flags & ROUTE_STRICT_ORIGIN ? CORS_LISTED_BY_NAME : CORS_LISTED;
}

bool cors_listed(const struct conf_list *allowed, struct str origin, bool strict, bool *exact)
{
    bool star = false;
    *exact = false;
    for (size_t i = 0; i < allowed->n; i++) {
        struct str one = str_of(allowed->v[i]);
        if (str_ieq(one, origin)) {
            *exact = true;
            return true;
        }
        star = star || str_eq(one, STR("*"));
    }
    return star && !strict;
}

/* Value of Access-Control-Allow-Origin, empty for none. */
static struct str allow_origin(const struct cors_request *q, const struct conf_list *allowed,
                               bool *exact)
{
    *exact = false;
    if (!q->origin.p)
        return q->options && q->pages == CORS_ANY ? STR("*") : (struct str){0};
    if (allowed->n == 0 && q->pages == CORS_ANY)
        return STR("*");
    if (!cors_listed(allowed, q->origin, q->pages == CORS_LISTED_BY_NAME, exact))
        return (struct str){0};
    return *exact ? q->origin : STR("*");
}

/* What a preflight may ask for must be header names, nothing that could end our header line. */
static bool header_list_ok(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < ' ' || c >= 0x7f)
            return false;
    }
    return s.n <= 4096;
}

static const char *text(struct buf *scratch, size_t from)
{
    buf_char(scratch, '\0');
    return buf_broken(scratch) ? NULL : scratch->p + from;
}

void cors_headers(const struct cors_request *q, const struct conf_list *allowed,
                  struct buf *scratch, void (*add)(void *arg, const char *name, const char *value),
                  void *arg)
{
    bool exact;
    if (q->pages == CORS_NONE)
        return;
    struct str origin = allow_origin(q, allowed, &exact);
    /* One reservation, so that the values made below stay where they are. */
    if (!buf_reserve(scratch, q->origin.n + q->requested_headers.n + 1024))
        return;
    if (origin.n) {
        size_t at = scratch->n;
        buf_adds(scratch, origin);
        add(arg, "Access-Control-Allow-Origin", text(scratch, at));
    }
    if (exact)
        add(arg, "Access-Control-Allow-Credentials", "true");
    if (allowed->n && q->origin.p)
        add(arg, "Vary", "Origin");
    if (!q->options) {
        if (!origin.n || !q->origin.p)
            return;
        size_t at = scratch->n;
        BUF_LIT(scratch, EXPOSED);
        if (q->own_exposed) {
            BUF_LIT(scratch, ", ");
            buf_adds(scratch, str_of(q->own_exposed));
        }
        add(arg, "Access-Control-Expose-Headers", text(scratch, at));
        return;
    }
    if (!q->preflight && !q->own_headers)
        return;
    size_t at = scratch->n;
    BUF_LIT(scratch, "Authorization, ");
    if (q->requested_headers.n && header_list_ok(q->requested_headers)) {
        buf_adds(scratch, q->requested_headers);
        BUF_LIT(scratch, ", ");
    }
    if (q->own_headers) {
        buf_adds(scratch, str_of(q->own_headers));
        BUF_LIT(scratch, ", ");
    }
    BUF_LIT(scratch, "Accept, Accept-Language, Content-Language");
    add(arg, "Access-Control-Allow-Headers", text(scratch, at));
    add(arg, "Access-Control-Allow-Methods", METHODS);
    add(arg, "Access-Control-Max-Age", "86400");
}
