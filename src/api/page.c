/* "/": the console, a page for people with a browser: SQL, tables, events and what the server does;
 * a short JSON text for everybody else. Its files (src/console) stand under /console/ and are part
 * of the program. They are the same for everybody and know no secret: what the page may do is
 * decided by the endpoints that it calls.
 *
 * Two of them are its own, /console/metrics and /console/ready: what the admin port says, which no
 * page of another port may read. They are for who has the admin token, and for everybody where
 * everybody may do everything (sql-access = open). */
#include "api/admin.h"
#include "api/routes.h"
#include "app.h"
#include "console_data.h"
#include "http/negotiate.h"
#include "json/writer.h"

#define HTML STR("text/html; charset=utf-8")
#define JSON STR("application/json; charset=utf-8")

/* Nobody else's files, no inline script or style. */
#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "                    \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void page_headers(struct http_req *r)
{
    http_set_header(r, STR("X-Content-Type-Options"), STR("nosniff"));
    http_set_header(r, STR("Referrer-Policy"), STR("no-referrer"));
    http_set_header(r, STR("Cross-Origin-Resource-Policy"), STR("same-origin"));
}

static struct str page_type(struct str name)
{
    static const struct {
        struct str end, type;
    } types[] = {
        {{".html", 5}, {"text/html; charset=utf-8", 24}},
        {{".js", 3}, {"text/javascript; charset=utf-8", 30}},
        {{".css", 4}, {"text/css; charset=utf-8", 23}},
        {{".svg", 4}, {"image/svg+xml", 13}},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (name.n > types[i].end.n &&
            str_eq(str_from(name, name.n - types[i].end.n), types[i].end))
            return types[i].type;
    return STR("application/octet-stream");
}

static void page_send(struct http_req *r, const struct console_file *f)
{
    struct str etag = str_of(f->etag);
    page_headers(r);
    http_set_header(r, STR("Cache-Control"), STR("no-cache")); /* asked for again, by its ETag */
    http_set_header(r, STR("ETag"), etag);
    if (str_eq(http_header(r, "If-None-Match"), etag)) {
        http_reply(r, 304, (struct str){NULL, 0}, NULL);
        return;
    }
    http_reply_static(r, 200, page_type(str_of(f->name)),
                      (struct str){f->from, (size_t)(f->to - f->from)});
}

static const struct console_file *page_file(struct str name)
{
    for (size_t i = 0; i < sizeof console_files / sizeof *console_files; i++)
        if (str_eq(name, str_of(console_files[i].name)))
            return &console_files[i];
    return NULL;
}

static void run_page(struct worker *w, struct http_req *r)
{
    static const struct str offers[] = {{"application/json", 16}, {"text/html", 9}};
    struct str accept = http_header(r, "Accept");
    http_set_header(r, STR("Vary"), STR("Accept"));
    if (!w->conf->console || negotiate_type(accept, offers, 2) != 1) {
        page_headers(r);
        http_set_header(r, STR("Cache-Control"), STR("no-cache"));
        http_reply_static(r, 200, JSON,
                          STR("{\"name\":\"pghttpd\",\"version\":\"" PGHTTPD_VERSION "\"}\n"));
        return;
    }
    http_set_header(r, STR("Content-Security-Policy"), STR(POLICY));
    page_send(r, page_file(STR("index.html")));
}

static void page_fail(struct http_req *r, int status, const char *code, const char *message,
                      const char *hint)
{
    struct err err;
    err_set(&err, status, code, "%s", message);
    err.hint = hint;
    http_fail_json(r, &err);
}

static bool page_on(struct worker *w, struct http_req *r)
{
    if (!w->conf->console)
        page_fail(r, 404, "PGH404", "the console is switched off here", "console = on");
    return w->conf->console;
}

static void page_database(struct buf *out, const struct conf_database *d, bool first)
{
    buf_adds(out, first ? STR("{\"name\":") : STR(",{\"name\":"));
    json_write_string(out, str_of(d->name ? d->name : ""));
    BUF_LIT(out, ",\"schemas\":[");
    for (size_t i = 0; i < d->db_schemas.n; i++) {
        if (i > 0)
            buf_char(out, ',');
        json_write_string(out, str_of(d->db_schemas.v[i]));
    }
    BUF_LIT(out, "]}");
}

/* What the page has to know of this server before it asks anything; the endpoints would tell each
 * of these by their answers, too. */
static void page_config(struct worker *w, struct http_req *r)
{
    static const char *const words[] = {
        [CONF_OFF] = "off", [CONF_LOGIN] = "login", [CONF_JWT] = "jwt", [CONF_OPEN] = "open"};
    const struct conf *c = w->conf;
    struct buf body;
    buf_init(&body, 1 << 16);
    BUF_LIT(&body, "{\"version\":\"" PGHTTPD_VERSION "\",\"rest\":");
    json_write_string(&body, str_of(c->rest_path));
    buf_printf(&body,
               ",\"sql\":\"%s\",\"listen\":\"%s\",\"notify\":\"%s\",\"anonymous\":%s,"
               "\"plan\":%s,\"databases\":[",
               words[c->sql_access], words[c->listen_access], words[c->notify_access],
               c->databases[0].db_anon_role ? "true" : "false",
               c->db_plan_enabled ? "true" : "false");
    for (size_t i = 0; i < c->n_databases; i++)
        page_database(&body, &c->databases[i], i == 0);
    BUF_LIT(&body, "]}\n");
    page_headers(r);
    http_set_header(r, STR("Cache-Control"), STR("no-store"));
    http_reply(r, 200, JSON, &body);
}

static void run_file(struct worker *w, struct http_req *r)
{
    const struct console_file *f = page_file(r->rest);
    if (!page_on(w, r))
        return;
    if (str_eq(r->rest, STR("config.json")))
        page_config(w, r);
    else if (f)
        page_send(r, f);
    else
        page_fail(r, 404, "PGH404", "there is nothing at this path", NULL);
}

static bool page_may_see(struct worker *w, struct http_req *r)
{
    if (!page_on(w, r))
        return false;
    if (w->conf->sql_access == CONF_OPEN || http_has_admin_token(r))
        return true;
    bool given = http_header(r, "Authorization").p != NULL;
    page_fail(r, given ? 403 : 401, given ? "PGH403" : "PGH401",
              w->conf->admin_token
                  ? "what the server does is shown to who has the admin token"
                  : "what the server does is shown to nobody: no admin token is set",
              "Authorization: Bearer with the value of admin-token");
    return false;
}

static void run_page_metrics(struct worker *w, struct http_req *r)
{
    if (page_may_see(w, r))
        admin_metrics(w, r);
}

static void run_page_ready(struct worker *w, struct http_req *r)
{
    if (page_may_see(w, r))
        admin_ready(w, r);
}

/* Where everybody may see it, only under a name of this server, as /sql does. */
static enum conf_access page_access(const struct conf *c)
{
    return c->sql_access;
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
const struct route console_metrics_route = {.name = "console_metrics",
                                            .methods = "GET",
                                            .path = "/console/metrics",
                                            .flags = ROUTE_GUARDED | ROUTE_STRICT_ORIGIN |
                                                     ROUTE_NO_BODY | ROUTE_HEAD_LENGTH,
                                            .access = page_access,
                                            .run = run_page_metrics};
const struct route console_ready_route = {.name = "console_ready",
                                          .methods = "GET",
                                          .path = "/console/ready",
                                          .flags = ROUTE_GUARDED | ROUTE_STRICT_ORIGIN |
                                                   ROUTE_NO_BODY | ROUTE_HEAD_LENGTH,
                                          .access = page_access,
                                          .run = run_page_ready};
