/* fuzz_rest: any bytes as path and query string, parsed, planned and made SQL against the recorded
 * catalog of tests/golden. Whatever the bytes are, the text outside of quotes consists of words of
 * our own alone: what is asked for is in quoted identifiers or in parameters. The one exception is
 * the type of a cast, which must be words. Read rows, aggregate and count are all made.
 *
 * Input: a byte of switches, then path?query. */
#include "../unit/catalog_fixture.h"
#include "rest/request.h"
#include "rest/sqlgen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static const char vocabulary[] =
    " ALL AND ANY AS ASC AVG BY CAST COALESCE COUNT DESC DISTINCT EXISTS EXPLAIN FALSE FIRST FROM "
    "FORMAT GROUP ILIKE INNER IS JOIN JSON LAST LATERAL LEFT LIKE LIMIT MAX MIN NOT NULL NULLS "
    "OFFSET ON OR ORDER SELECT SUM TRUE UNKNOWN WHERE WITH "
    "_postgrest_t a api bigint body coalesce color count current_setting hh int json json_agg "
    "json_object_keys json_strip_nulls jsonb k length limit null nullif page_total pg_catalog "
    "pgrst_source pgrst_source_count phraseto_tsquery plainto_tsquery r response_headers "
    "response_inserted response_status row_to_json s string_agg substring text "
    "to_jsonb to_tsquery to_tsvector total_result_set true unnest websearch_to_tsquery E AS ";

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static size_t skip_quoted(struct str sql, size_t i)
{
    char quote = sql.p[i++];
    for (;; i++) {
        require(i < sql.n);
        if (sql.p[i] != quote)
            continue;
        if (i + 1 < sql.n && sql.p[i + 1] == quote)
            i++;
        else
            return i + 1;
    }
}

static size_t check_word(struct str sql, size_t i)
{
    char padded[64] = " ";
    size_t n = 1;
    while (i < sql.n && word_char(sql.p[i])) {
        require(n < sizeof padded - 2);
        padded[n++] = sql.p[i++];
    }
    padded[n++] = ' ';
    padded[n] = '\0';
    require(strstr(vocabulary, padded) != NULL);
    return i;
}

/* Behind AS stands a quoted alias, one of our own names, or the type of a cast, which is words up
 * to " )". */
static size_t after_as(struct str sql, size_t i)
{
    size_t j = i;
    while (j < sql.n && (word_char(sql.p[j]) || sql.p[j] == ' ' || sql.p[j] == '$' ||
                         (unsigned char)sql.p[j] >= 0x80))
        j++;
    bool cast = j > i && j < sql.n && sql.p[j] == ')' && sql.p[j - 1] == ' ';
    return cast ? j : i;
}

static void check_sql(struct str sql)
{
    size_t i = 0;
    while (i < sql.n) {
        char c = sql.p[i];
        if (c == '"' || c == '\'') {
            i = skip_quoted(sql, i);
        } else if (c == '$' || (c >= '0' && c <= '9')) {
            i++;
            while (i < sql.n && sql.p[i] >= '0' && sql.p[i] <= '9')
                i++;
        } else if (word_char(c)) {
            bool as = str_starts(str_from(sql, i), STR("AS "));
            i = as ? after_as(sql, i + 3) : check_word(sql, i);
        } else {
            require(strchr(" ,.()*=<>~@&|-:[]", c) != NULL);
            i++;
        }
    }
}

struct rig {
    struct catalog *catalog;
    struct conf_database db;
    struct conf conf;
    struct arena arena;
    struct buf sql;
};

static struct rig *rig(void)
{
    static const char *const schemas[] = {"api"};
    static struct rig r;
    if (r.catalog)
        return &r;
    r.catalog = fixture_catalog(CATALOG_FIXTURE);
    r.db = (struct conf_database){.name = "", .db_schemas = {schemas, 1}};
    r.conf = (struct conf){.databases = &r.db, .n_databases = 1};
    arena_init(&r.arena, 64 << 20);
    buf_init(&r.sql, 8 << 20);
    return &r;
}

static void generate(struct rig *r, const struct rest_plan *plan, enum rest_count count)
{
    struct sqlgen_handler handler = {.body = SQLGEN_JSON};
    struct sqlgen_read read = {.plan = plan,
                               .handler = &handler,
                               .count = count,
                               .limited = plan->root->limit != REST_NO_LIMIT};
    void (*const shapes[])(struct sql *, const struct sqlgen_read *) = {
        sqlgen_read, sqlgen_read_rows, sqlgen_read_total};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct db_stmt stmt;
        struct sql sql;
        struct err err = {0};
        sql_init(&sql, &r->arena, &r->sql);
        shapes[i](&sql, &read);
        if (sql_stmt(&sql, &stmt, &err))
            check_sql((struct str){stmt.sql, stmt.sql_len});
        else
            require(err.status >= 400);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig *r = rig();
    if (size < 2)
        return 0;
    struct str url = {(const char *)data + 1, size - 1};
    size_t mark = str_find(url, '?', 0);
    struct rest_input in = {.method = REST_GET,
                            .method_name = STR("GET"),
                            .path = {url.p, mark},
                            .query =
                                mark < url.n ? str_from(url, mark + 1) : (struct str){NULL, 0}};
    struct rest_plan plan;
    struct err err = {0};
    arena_reset(&r->arena);
    r->conf.db_aggregates_enabled = data[0] & 1;
    r->conf.url_use_legacy_target_names = data[0] & 2;
    r->conf.db_max_rows = data[0] & 4 ? 10 : 0;
    struct rest_request *request = ARENA_NEW(&r->arena, struct rest_request);
    if (!rest_request_parse(&r->arena, &r->conf, &r->db, &in, request, &err)) {
        require(err.status >= 400 && err.code[0]);
        return 0;
    }
    if (request->resource != REST_RELATION)
        return 0;
    struct plan_spec spec = {.catalog = r->catalog,
                             .conf = &r->conf,
                             .request = request,
                             .source = (enum plan_source)((data[0] >> 4 & 3) % 3),
                             .name = request->name};
    if (!rest_plan_read(&r->arena, &spec, &plan, &err)) {
        require(err.status >= 300 && err.code[0] && err.message[0]);
        return 0;
    }
    generate(r, &plan, data[0] & 8 ? REST_COUNT_EXACT : REST_COUNT_NONE);
    (void)rest_plan_needs(&r->arena, &plan, (struct catalog_strs){NULL, 0});
    (void)rest_plan_filter_names(&r->arena, &plan);
    (void)rest_plan_warning(&r->arena, &plan);
    return 0;
}
