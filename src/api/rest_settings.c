/* rest_settings: the first statements of a request's group: what PostgreSQL is told about the
 * request (role, claims, headers, cookies, search_path, timeouts), and the pre-request function. */
#include "api/rest_run.h"
#include "api/sql_access.h"

#include "json/scan.h"
#include "json/writer.h"

#define HEADERS_USUAL 1024u /* bytes; most it is a few times server-header-memory */

struct header_json {
    struct buf out;
    bool any;
};

/* Clients may send bytes that are no UTF-8, JSON must be: each of them becomes U+FFFD. To drop such
 * headers would let a client hide what a pre-request function looks for. */
static void write_text(struct buf *out, struct str s)
{
    buf_char(out, '"');
    while (!str_utf8(s)) {
        size_t good = 0, n = 1;
        for (; n > 0 && good < s.n; good += n)
            n = (unsigned char)s.p[good] < 0x80
                    ? 1
                    : json_scan_utf8((const unsigned char *)s.p + good, s.n - good);
        json_write_escaped(out, (struct str){s.p, good});
        BUF_LIT(out, "\xef\xbf\xbd");
        s = str_from(s, good + 1);
    }
    json_write_escaped(out, s);
    buf_char(out, '"');
}

static void header_member(struct header_json *j, struct str name, struct str value, bool lower)
{
    if (j->any)
        buf_char(&j->out, ',');
    j->any = true;
    size_t from = j->out.n;
    write_text(&j->out, name);
    for (size_t i = from; lower && i < j->out.n && !j->out.broken; i++)
        if (j->out.p[i] >= 'A' && j->out.p[i] <= 'Z')
            j->out.p[i] = (char)(j->out.p[i] + ('a' - 'A'));
    buf_char(&j->out, ':');
    write_text(&j->out, value);
}

static void on_header(void *arg, struct str name, struct str value)
{
    struct header_json *j = arg;
    if (!str_ieq(name, STR("Cookie")))
        header_member(j, name, value, true);
}

static struct str json_object(struct rest_run *run, struct header_json *j)
{
    struct str text = STR("{}");
    buf_char(&j->out, '}');
    if (!buf_broken(&j->out))
        text = arena_str(run->arena, buf_str(&j->out));
    buf_fini(&j->out);
    return text;
}

static struct str headers_json(struct rest_run *run)
{
    struct header_json j = {0};
    buf_init(&j.out, BUF_NO_CEILING);
    (void)buf_reserve(&j.out, HEADERS_USUAL);
    buf_char(&j.out, '{');
    http_headers(run->req, on_header, &j);
    return json_object(run, &j);
}

static struct str cookies_json(struct rest_run *run)
{
    struct str rest = http_header(run->req, "Cookie"), part;
    struct header_json j = {0};
    if (!rest.p)
        return STR("{}");
    buf_init(&j.out, BUF_NO_CEILING);
    buf_char(&j.out, '{');
    while (str_next(&rest, ';', &part)) {
        part = str_trim(part);
        size_t eq = str_find(part, '=', 0);
        struct str value = str_from(part, eq + 1);
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
            value = (struct str){value.p + 1, value.n - 2};
        if (part.n > 0)
            header_member(&j, (struct str){part.p, eq}, value, false);
    }
    return json_object(run, &j);
}

static enum db_isolation isolation(enum catalog_isolation wanted)
{
    switch (wanted) {
    case CATALOG_READ_COMMITTED: return DB_READ_COMMITTED;
    case CATALOG_REPEATABLE_READ: return DB_REPEATABLE_READ;
    case CATALOG_SERIALIZABLE: return DB_SERIALIZABLE;
    case CATALOG_ISOLATION_DEFAULT: break;
    }
    return DB_ISOLATION_DEFAULT;
}

static uint64_t deadline(const struct rest_run *run)
{
    uint64_t ceiling = run->conf->statement_timeout_us;
    const struct rest_prefs *prefs = &run->request.prefs;
    if (!prefs->has_timeout || (ceiling > 0 && prefs->timeout_us > ceiling))
        return ceiling;
    return prefs->timeout_us;
}

static bool pre_request(struct rest_run *run, struct err *err)
{
    struct str name = str_of(run->db->db_pre_request);
    struct sql sql;
    if (name.n == 0)
        return true;
    size_t dot = str_find(name, '.', 0);
    struct catalog_name function = {.name = name};
    if (dot < name.n)
        function = (struct catalog_name){{name.p, dot}, str_from(name, dot + 1)};
    rest_run_sql(run, &sql);
    sql_lit(&sql, "select ");
    sql_name(&sql, function);
    sql_lit(&sql, "()");
    return rest_run_add(run, &sql, false, err);
}

bool rest_run_settings(struct rest_run *run, const struct rest_run_mode *mode, struct err *err)
{
    const struct rest_prefs *prefs = &run->request.prefs;
    const struct catalog_role *role = catalog_role(run->catalog, run->who.role);
    bool hooked = run->db->db_pre_request && run->db->db_pre_request[0];
    struct sql sql;
    enum db_isolation level = isolation(role ? role->isolation : CATALOG_ISOLATION_DEFAULT);
    if (mode->routine && mode->routine->isolation != CATALOG_ISOLATION_DEFAULT)
        level = isolation(mode->routine->isolation);
    run->spec = (struct db_job_spec){
        .travel = DB_SHARED,
        .isolation = level,
        .in_transaction = level != DB_ISOLATION_DEFAULT && level != DB_READ_COMMITTED,
        .read_only = mode->read_only,
        .rollback = rest_tx_rollback(run->conf, prefs),
        .can_write = !mode->read_only,
        .leaves_state = run->conf->db_reset_after_rpc && (mode->leaves_state || hooked),
        .yields = !(mode->leaves_state || hooked),
        .timeout_us = deadline(run),
        .application_name = sql_access_name(run->req, NULL)};
    struct sqlgen_settings settings = {
        .conf = run->conf,
        .db = run->db,
        .schema = run->request.schema,
        .role = run->who.role,
        .claims = run->who.claims,
        .method = run->request.method_name,
        .path = str_of(arena_printf(run->arena, "/%.*s", STR_ARG(run->req->rest))),
        .headers = headers_json(run),
        .cookies = cookies_json(run),
        .timezone = prefs->timezone,
        .role_info = role,
        .function_settings = mode->routine ? &mode->routine->settings : NULL,
        .read_only = mode->read_only,
        .response = mode->response || hooked,
        .timeout_us = prefs->has_timeout ? run->spec.timeout_us : 0};
    rest_run_sql(run, &sql);
    sqlgen_settings(&sql, &settings);
    return rest_run_add(run, &sql, false, err) && pre_request(run, err);
}
