/* "/": a page for people with a browser, to try SQL, REST and events; a short JSON text for
 * everybody else. The page's files stand under /console/ and are part of the program. */
#include "api/routes.h"
#include "console_data.h"
#include "http/negotiate.h"

#define HTML STR("text/html; charset=utf-8")

static void page_headers(struct http_req *r)
{
    http_set_header(r, STR("X-Content-Type-Options"), STR("nosniff"));
    http_set_header(r, STR("Cache-Control"), STR("public, max-age=300"));
}

static void run_page(struct worker *w, struct http_req *r)
{
    static const struct str offers[] = {{"application/json", 16}, {"text/html", 9}};
    struct str accept = http_header(r, "Accept");
    (void)w;
    page_headers(r);
    http_set_header(r, STR("Vary"), STR("Accept"));
    if (negotiate_type(accept, offers, 2) != 1) {
        http_reply_static(r, 200, STR("application/json; charset=utf-8"),
                          STR("{\"name\":\"pghttpd\",\"version\":\"" PGHTTPD_VERSION "\"}\n"));
        return;
    }
    http_set_header(r, STR("Content-Security-Policy"),
                    STR("default-src 'none'; script-src 'self'; style-src 'self'; "
                        "connect-src 'self'; base-uri 'none'; form-action 'none'; "
                        "frame-ancestors 'none'"));
    http_set_header(r, STR("Referrer-Policy"), STR("no-referrer"));
    struct str html = {console_index_html, (size_t)(console_index_html_end - console_index_html)};
    http_reply_static(r, 200, HTML, html);
}

static void run_file(struct worker *w, struct http_req *r)
{
    const struct {
        struct str name, type;
        const char *from, *to;
    } files[] = {
        {STR("app.js"), STR("text/javascript; charset=utf-8"), console_app_js, console_app_js_end},
        {STR("style.css"), STR("text/css; charset=utf-8"), console_style_css,
         console_style_css_end},
    };
    (void)w;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!str_eq(r->rest, files[i].name))
            continue;
        page_headers(r);
        http_reply_static(r, 200, files[i].type,
                          (struct str){files[i].from, (size_t)(files[i].to - files[i].from)});
        return;
    }
    struct err err;
    err_set(&err, 404, "PGH404", "there is nothing at this path");
    http_fail_json(r, &err);
}

const struct route page_route = {.name = "page",
                                 .methods = "GET",
                                 .path = "/",
                                 .flags = ROUTE_NO_BODY | ROUTE_HEAD_LENGTH,
                                 .run = run_page};
const struct route console_route = {.name = "console",
                                    .methods = "GET",
                                    .path = "/console/",
                                    .flags = ROUTE_NO_BODY | ROUTE_HEAD_LENGTH,
                                    .run = run_file};
