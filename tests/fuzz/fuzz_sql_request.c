/* fuzz_sql_request: any bytes as a body of /sql, as a URL, as a connection string and as SQL text.
 *
 * Properties: tokens are in order and inside the text; binding changes nothing but the :names it
 * replaces; whatever is accepted is whole (terminated texts, as many values as it says). */
#include "sql/login.h"
#include "sql/request.h"
#include "sql/scan.h"
#include "util/buf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_scan(struct str sql, bool plain)
{
    struct sql_scan s;
    size_t before = 0;
    sql_scan_init(&s, sql, plain);
    while (sql_scan_next(&s) != SQL_END) {
        require(s.text.n > 0 && s.text.p >= sql.p + before && s.text.p + s.text.n == sql.p + s.at);
        before = s.at;
    }
    require(s.at == sql.n);
}

/* With every name known, the bound text scanned again has a $n where the :name was, and the same
 * tokens everywhere else. */
static void check_bind(struct arena *arena, struct str sql, bool plain)
{
    struct sql_named named[] = {{STR("a"), "1", 0}, {STR("b"), NULL, 0}};
    struct sql_binding b = {.named = named, .n_named = 2, .plain_backslash = plain};
    struct sql_scan was, is;
    struct err err;
    if (!sql_statement_bind(arena, sql, &b, &err))
        return;
    require(b.sql.p[b.sql.n] == '\0' && b.n_values <= 2);
    sql_scan_init(&was, sql, plain);
    sql_scan_init(&is, b.sql, plain);
    while (sql_scan_next(&was) != SQL_END) {
        sql_scan_next(&is);
        if (was.token == SQL_NAMED)
            require(is.token == SQL_PARAM || memchr(is.text.p, '$', is.text.n));
        else if (is.token != was.token || !str_eq(is.text, was.text))
            return; /* "$1" may touch what follows ("$1e5"): PostgreSQL refuses that, too */
    }
}

static void check_body(struct arena *arena, const uint8_t *data, size_t size, bool text)
{
    struct sql_options options = {.content_type = text ? STR("application/sql") : STR("x")};
    struct sql_request q;
    struct err err = {0};
    struct sql_body body = {.p = malloc(size + 1), .n = size, .plain_backslash = true};
    require(body.p != NULL);
    memcpy(body.p, data, size);
    if (sql_request_read(arena, &options, &body, &q, &err)) {
        for (size_t i = 0; i < q.n; i++) {
            require(strlen(q.stmts[i].sql) == q.stmts[i].sql_len);
            for (int k = 0; k < q.stmts[i].nparams; k++)
                require(!q.stmts[i].values[k] || strlen(q.stmts[i].values[k]) < size * 3 + 16);
        }
    } else {
        require(err.status >= 400 && err.message[0]);
    }
    free(body.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct arena arena;
    struct err err;
    struct db_login login = {.user = {NULL, 0}};
    struct sql_options options = {.retry = 0};
    arena_init(&arena, 64 << 20);
    check_scan(text, true);
    check_scan(text, false);
    check_bind(&arena, text, true);
    check_bind(&arena, text, false);
    (void)sql_statement_verb(text);
    check_body(&arena, data, size, false);
    check_body(&arena, data, size, true);
    if (sql_login_url(&arena, text, &login, &err))
        require(login.user.p && login.password.p && login.database.p);
    if (!sql_login_basic(&arena, text, &login, &err))
        require(err.status >= 400);
    else
        require(str_utf8(login.user) && str_utf8(login.password) &&
                !memchr(login.user.p, ':', login.user.n));
    if (sql_options_url(&options, &arena, text, &err))
        require(options.retry <= SQL_RETRY_MAX);
    options.accept = text;
    (void)!sql_options_finish(&options, &err);
    arena_fini(&arena);
    return 0;
}
