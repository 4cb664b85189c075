/* guard: what keeps web pages from using pghttpd behind the back of the person at the browser.
 *
 * foreign_page: the request was made by a page of another origin that is not allowed. A browser
 * says so by Origin (all requests with side effects, all CORS ones) or by Sec-Fetch-Site (also
 * links, images, scripts). Programs send neither.
 * host: in open mode anybody who reaches the port may use it, so a page that made its own name
 * point at this address (DNS rebinding) is found by the name it used. */
#ifndef PGH_HTTP_GUARD_H
#define PGH_HTTP_GUARD_H

#include "conf/conf.h"

struct guard_request {
    struct str host, origin, sec_fetch_site; /* p == NULL: absent */
    bool guarded;                            /* foreign pages are refused */
    bool strict;                             /* "*" among the allowed origins does not count */
    bool open;                               /* anybody may use it: Host must be one of ours */
};

/* False with 403 or 421 in err. */
MUSTCHECK bool guard_check(const struct guard_request *, const struct conf_list *allowed_origins,
                           const struct conf_list *server_names, struct err *);

/* Host without its port; false when it is not a host (RFC 9110, section 7.2). */
MUSTCHECK bool guard_host_parse(struct str host, struct str *name, struct str *port);

#endif
