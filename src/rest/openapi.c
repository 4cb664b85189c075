/* openapi: see openapi.h. Members are written one after the other; comma() puts the comma where the
 * text so far needs one. A piece ends behind a member of one of the document's objects. */
#include "rest/openapi.h"

#include <assert.h>

#include "json/reader.h"
#include "json/writer.h"

#define MIME_JSON "\"application/json\""
#define MIME_OBJECTS                                                                               \
    "\"application/vnd.pgrst.object+json;nulls=stripped\",\"application/vnd.pgrst.object+json\""

static void comma(struct buf *b)
{
    char last = b->n > 0 ? b->p[b->n - 1] : '{';
    if (last != '{' && last != '[' && last != ':' && last != ',')
        buf_char(b, ',');
}

static void open_object(struct buf *b)
{
    comma(b);
    buf_char(b, '{');
}

static void key(struct buf *b, const char *name)
{
    comma(b);
    json_write_key(b, str_of(name));
}

static void key_str(struct buf *b, struct str name)
{
    comma(b);
    json_write_key(b, name);
}

static void text(struct buf *b, struct str value)
{
    comma(b);
    json_write_string(b, value);
}

static void member(struct buf *b, const char *name, struct str value)
{
    if (!value.p)
        return;
    key(b, name);
    json_write_string(b, value);
}

static void raw(struct buf *b, const char *literal)
{
    comma(b);
    buf_adds(b, str_of(literal));
}

static void ref(struct buf *b, const char *head, struct str a, struct str c)
{
    open_object(b);
    BUF_LIT(b, "\"$ref\":\"");
    buf_adds(b, str_of(head));
    json_write_escaped(b, a);
    if (c.p) {
        buf_char(b, '.');
        json_write_escaped(b, c);
    }
    BUF_LIT(b, "\"}");
}

/* ------------------------------------------------------------ types */

static bool array_type(struct str type)
{
    return type.n > 2 && type.p[type.n - 2] == '[' && type.p[type.n - 1] == ']';
}

/* NULL: any (json). */
static const char *swagger_type(struct str type)
{
    static const struct {
        const char *type, *swagger;
    } known[] = {{"boolean", "boolean"},         {"smallint", "integer"}, {"integer", "integer"},
                 {"bigint", "integer"},          {"numeric", "number"},   {"real", "number"},
                 {"double precision", "number"}, {"json", NULL},          {"jsonb", NULL}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq(type, str_of(known[i].type)))
            return known[i].swagger;
    return array_type(type) ? "array" : "string";
}

static struct str swagger_format(struct str type)
{
    if (str_eq(type, STR("smallint")) || str_eq(type, STR("integer")))
        return STR("int32");
    return str_eq(type, STR("bigint")) ? STR("int64") : type;
}

static struct str element_type(struct str type)
{
    return (struct str){type.p, type.n - 2};
}

/* Types of parameters as they are called under the request's search_path. */
static struct str param_type(const struct catalog_routine *r, struct str type)
{
    size_t n = r->schema.n;
    if (type.n > n + 1 && type.p[n] == '.' && memcmp(type.p, r->schema.p, n) == 0)
        return str_from(type, n + 1);
    return type;
}

/* "type", "format" and, of arrays, "items". */
static void typed(struct buf *b, struct str type)
{
    const char *swagger = swagger_type(type);
    member(b, "format", swagger_format(type));
    if (swagger)
        member(b, "type", str_of(swagger));
    if (!array_type(type))
        return;
    key(b, "items");
    open_object(b);
    const char *inner = swagger_type(element_type(type));
    if (inner)
        member(b, "type", str_of(inner));
    buf_char(b, '}');
}

/* A default as JSON: literals of strings without their cast and quotes, other types only where
 * their SQL happens to be JSON (numbers, true and false). */
static void default_value(struct buf *b, const struct catalog_column *c)
{
    struct str sql = c->default_sql;
    struct err ignored;
    const char *swagger = swagger_type(c->type);
    if (!sql.p)
        return;
    if (!swagger || strcmp(swagger, "string") != 0) {
        if (json_valid(sql, "default", &ignored)) {
            key(b, "default");
            buf_adds(b, sql);
        }
        return;
    }
    size_t cast = c->type.n + 2;
    if (sql.n > cast && memcmp(sql.p + sql.n - cast, "::", 2) == 0 &&
        str_eq(str_from(sql, sql.n - c->type.n), c->type)) {
        sql.n -= cast;
        while (sql.n > 0 && sql.p[0] == '\'')
            sql = str_from(sql, 1);
        while (sql.n > 0 && sql.p[sql.n - 1] == '\'')
            sql.n--;
    }
    member(b, "default", sql);
}

/* ------------------------------------------------------------ definitions */

static bool is_key(const struct catalog_table *t, struct str column)
{
    for (size_t i = 0; i < t->key.n; i++)
        if (str_eq(t->key.v[i], column))
            return true;
    return false;
}

/* The key of this column alone; one to a table rather than to a view over it. */
static const struct catalog_fk *foreign_key(const struct catalog_table *t, struct str column)
{
    const struct catalog_fk *found = NULL;
    for (size_t i = 0; i < t->n_fks; i++) {
        const struct catalog_fk *fk = &t->fks[i];
        if (str_eq(fk->column, column) &&
            (!found || (found->foreign_is_view && !fk->foreign_is_view)))
            found = fk;
    }
    return found;
}

static void column_description(struct buf *b, const struct catalog_table *t,
                               const struct catalog_column *c)
{
    const struct catalog_fk *fk = foreign_key(t, c->name);
    bool pk = is_key(t, c->name);
    if (!pk && !fk) {
        member(b, "description", c->description);
        return;
    }
    key(b, "description");
    buf_char(b, '"');
    if (c->description.p) {
        json_write_escaped(b, c->description);
        BUF_LIT(b, "\\n\\n");
    }
    BUF_LIT(b, "Note:");
    if (pk)
        BUF_LIT(b, "\\nThis is a Primary Key.<pk/>");
    if (fk) {
        BUF_LIT(b, "\\nThis is a Foreign Key to `");
        json_write_escaped(b, fk->foreign.name);
        buf_char(b, '.');
        json_write_escaped(b, fk->foreign_column);
        BUF_LIT(b, "`.<fk table='");
        json_write_escaped(b, fk->foreign.name);
        BUF_LIT(b, "' column='");
        json_write_escaped(b, fk->foreign_column);
        BUF_LIT(b, "'/>");
    }
    buf_char(b, '"');
}

static void property(struct buf *b, const struct catalog_table *t, const struct catalog_column *c)
{
    key_str(b, c->name);
    open_object(b);
    default_value(b, c);
    column_description(b, t, c);
    if (c->enums.n > 0) {
        key(b, "enum");
        buf_char(b, '[');
        for (size_t i = 0; i < c->enums.n; i++)
            text(b, c->enums.v[i]);
        buf_char(b, ']');
    }
    if (c->max_length > 0) {
        key(b, "maxLength");
        buf_u64(b, (uint64_t)c->max_length);
    }
    typed(b, c->type);
    buf_char(b, '}');
}

static void definition(struct buf *b, const struct catalog_table *t)
{
    bool required = false;
    key_str(b, t->name);
    open_object(b);
    member(b, "description", t->description);
    for (size_t i = 0; i < t->n_columns; i++)
        if (!t->columns[i].nullable) {
            if (!required) {
                key(b, "required");
                buf_char(b, '[');
            }
            required = true;
            text(b, t->columns[i].name);
        }
    if (required)
        buf_char(b, ']');
    key(b, "properties");
    open_object(b);
    for (size_t i = 0; i < t->n_columns; i++)
        property(b, t, &t->columns[i]);
    BUF_LIT(b, "},\"type\":\"object\"}");
}

/* ------------------------------------------------------------ parameters */

static void string_param(struct buf *b, const char *id, const char *name, const char *description,
                         const char *in)
{
    key(b, id);
    open_object(b);
    member(b, "name", str_of(name));
    member(b, "description", str_of(description));
    raw(b, "\"required\":false");
    member(b, "in", str_of(in));
    raw(b, "\"type\":\"string\"");
    if (strcmp(id, "rangeUnit") == 0)
        raw(b, "\"default\":\"items\"");
    buf_char(b, '}');
}

static void prefer_param(struct buf *b, const char *id, const char *enums)
{
    key(b, id);
    open_object(b);
    raw(b, "\"name\":\"Prefer\",\"description\":\"Preference\",\"required\":false,\"in\":"
           "\"header\",\"type\":\"string\"");
    if (enums)
        raw(b, enums);
    buf_char(b, '}');
}

static void common_params(struct buf *b)
{
    prefer_param(b, "preferParams", NULL);
    prefer_param(b, "preferReturn",
                 "\"enum\":[\"return=representation\",\"return=minimal\",\"return=none\"]");
    prefer_param(b, "preferCount", "\"enum\":[\"count=none\"]");
    prefer_param(b, "preferPost",
                 "\"enum\":[\"return=representation\",\"return=minimal\",\"return=none\","
                 "\"resolution=ignore-duplicates\",\"resolution=merge-duplicates\"]");
    string_param(b, "select", "select", "Filtering Columns", "query");
    string_param(b, "on_conflict", "on_conflict", "On Conflict", "query");
    string_param(b, "order", "order", "Ordering", "query");
    string_param(b, "range", "Range", "Limiting and Pagination", "header");
    string_param(b, "rangeUnit", "Range-Unit", "Limiting and Pagination", "header");
    string_param(b, "offset", "offset", "Limiting and Pagination", "query");
    string_param(b, "limit", "limit", "Limiting and Pagination", "query");
}

/* "HEAD.table" or "HEAD.table.column" as a key. */
static void dotted_key(struct buf *b, const char *head, struct str table, struct str column)
{
    comma(b);
    buf_char(b, '"');
    buf_adds(b, str_of(head));
    json_write_escaped(b, table);
    if (column.p) {
        buf_char(b, '.');
        json_write_escaped(b, column);
    }
    BUF_LIT(b, "\":");
}

static void table_params(struct buf *b, const struct catalog_table *t)
{
    dotted_key(b, "body.", t->name, (struct str){0});
    open_object(b);
    member(b, "name", t->name);
    member(b, "description", t->name);
    raw(b, "\"required\":false,\"in\":\"body\"");
    key(b, "schema");
    ref(b, "#/definitions/", t->name, (struct str){0});
    buf_char(b, '}');
    for (size_t i = 0; i < t->n_columns; i++) {
        const struct catalog_column *c = &t->columns[i];
        dotted_key(b, "rowFilter.", t->name, c->name);
        open_object(b);
        member(b, "name", c->name);
        member(b, "description", c->description);
        raw(b, "\"required\":false,\"in\":\"query\",\"type\":\"string\"}");
    }
}

/* ------------------------------------------------------------ paths */

/* The first line of a comment is the summary, the rest without the newlines before it the
 * description. */
static void summary(struct buf *b, struct str comment)
{
    if (!comment.p)
        return;
    size_t end = str_find(comment, '\n', 0);
    struct str rest = str_from(comment, end);
    member(b, "summary", (struct str){comment.p, end});
    while (rest.n > 0 && rest.p[0] == '\n')
        rest = str_from(rest, 1);
    if (rest.n > 0)
        member(b, "description", rest);
}

static void table_head(struct buf *b, const char *method, const struct catalog_table *t)
{
    key(b, method);
    open_object(b);
    key(b, "tags");
    buf_char(b, '[');
    text(b, t->name);
    buf_char(b, ']');
    summary(b, t->description);
    key(b, "parameters");
    buf_char(b, '[');
}

static void row_filters(struct buf *b, const struct catalog_table *t)
{
    for (size_t i = 0; i < t->n_columns; i++)
        ref(b, "#/parameters/rowFilter.", t->name, t->columns[i].name);
}

static void params(struct buf *b, const char *const *names)
{
    for (; *names; names++)
        ref(b, "#/parameters/", str_of(*names), (struct str){0});
}

static void table_get(struct buf *b, const struct catalog_table *t)
{
    static const char *const names[] = {"select", "order", "range",       "rangeUnit",
                                        "offset", "limit", "preferCount", NULL};
    table_head(b, "get", t);
    row_filters(b, t);
    params(b, names);
    BUF_LIT(b, "],\"responses\":{\"206\":{\"description\":\"Partial Content\"},\"200\":{"
               "\"description\":\"OK\",\"schema\":{\"type\":\"array\",\"items\":");
    ref(b, "#/definitions/", t->name, (struct str){0});
    BUF_LIT(b, "}}}}");
}

static void table_write(struct buf *b, const struct catalog_table *t)
{
    static const char *const post[] = {"select", "preferPost", NULL};
    static const char *const other[] = {"preferReturn", NULL};
    table_head(b, "post", t);
    ref(b, "#/parameters/body.", t->name, (struct str){0});
    params(b, post);
    BUF_LIT(b, "],\"responses\":{\"201\":{\"description\":\"Created\"}}}");
    table_head(b, "patch", t);
    row_filters(b, t);
    ref(b, "#/parameters/body.", t->name, (struct str){0});
    params(b, other);
    BUF_LIT(b, "],\"responses\":{\"204\":{\"description\":\"No Content\"}}}");
    table_head(b, "delete", t);
    row_filters(b, t);
    params(b, other);
    BUF_LIT(b, "],\"responses\":{\"204\":{\"description\":\"No Content\"}}}");
}

static void table_path(struct buf *b, const struct catalog_table *t)
{
    dotted_key(b, "/", t->name, (struct str){0});
    open_object(b);
    table_get(b, t);
    if (t->insertable || t->updatable || t->deletable)
        table_write(b, t);
    buf_char(b, '}');
}

static void routine_head(struct buf *b, const char *method, const struct catalog_routine *r)
{
    key(b, method);
    open_object(b);
    BUF_LIT(b, "\"tags\":[\"(rpc) ");
    json_write_escaped(b, r->name);
    BUF_LIT(b, "\"]");
    summary(b, r->description);
    raw(b, "\"produces\":[" MIME_JSON "," MIME_OBJECTS "],\"parameters\":[");
}

static void query_param(struct buf *b, const struct catalog_routine *r,
                        const struct catalog_param *p)
{
    struct str type = param_type(r, p->type);
    const char *swagger = swagger_type(type);
    bool list = p->variadic && array_type(type);
    open_object(b);
    member(b, "name", p->name);
    raw(b, p->required ? "\"required\":true" : "\"required\":false");
    raw(b, "\"in\":\"query\"");
    if (!list) {
        member(b, "type",
               swagger && strcmp(swagger, "array") != 0 ? str_of(swagger) : STR("string"));
        member(b, "format", swagger_format(type));
    } else {
        const char *inner = swagger_type(element_type(type));
        raw(b, "\"type\":\"array\",\"collectionFormat\":\"multi\"");
        key(b, "items");
        open_object(b);
        if (inner)
            member(b, "type", str_of(inner));
        member(b, "format", swagger_format(element_type(type)));
        buf_char(b, '}');
    }
    buf_char(b, '}');
}

static void body_params(struct buf *b, const struct catalog_routine *r)
{
    bool required = false;
    raw(b, "{\"name\":\"args\",\"required\":true,\"in\":\"body\",\"schema\":{\"type\":\"object\"");
    member(b, "description", r->description);
    key(b, "properties");
    open_object(b);
    for (size_t i = 0; i < r->n_params; i++) {
        key_str(b, r->params[i].name);
        open_object(b);
        typed(b, param_type(r, r->params[i].type));
        buf_char(b, '}');
    }
    buf_char(b, '}');
    for (size_t i = 0; i < r->n_params; i++)
        if (r->params[i].required) {
            if (!required) {
                key(b, "required");
                buf_char(b, '[');
            }
            required = true;
            text(b, r->params[i].name);
        }
    if (required)
        buf_char(b, ']');
    BUF_LIT(b, "}}");
    ref(b, "#/parameters/", STR("preferParams"), (struct str){0});
}

static void routine_path(struct buf *b, const struct catalog_routine *r)
{
    dotted_key(b, "/rpc/", r->name, (struct str){0});
    open_object(b);
    if (r->volatility != CATALOG_VOLATILE) {
        routine_head(b, "get", r);
        for (size_t i = 0; i < r->n_params; i++)
            query_param(b, r, &r->params[i]);
        BUF_LIT(b, "],\"responses\":{\"200\":{\"description\":\"OK\"}}}");
    }
    routine_head(b, "post", r);
    body_params(b, r);
    BUF_LIT(b, "],\"responses\":{\"200\":{\"description\":\"OK\"}}}}");
}

/* ------------------------------------------------------------ the head */

static void info(struct buf *b, struct str comment)
{
    size_t end = comment.p ? str_find(comment, '\n', 0) : 0;
    struct str rest = comment.p ? str_from(comment, end) : STR("");
    while (rest.n > 0 && rest.p[0] == '\n')
        rest = str_from(rest, 1);
    BUF_LIT(b, "\"info\":{\"version\":\"" PGHTTPD_VERSION "\"");
    member(b, "title", comment.p ? (struct str){comment.p, end} : STR("PostgREST API"));
    member(b, "description",
           comment.p ? rest : STR("This is a dynamic API generated by PostgREST"));
    buf_char(b, '}');
}

struct address {
    struct str scheme, host, path;
    unsigned port;
};

/* scheme://host[:port][/path], as far as it is one. */
static bool proxy_address(const char *uri, struct address *out)
{
    struct str s = str_of(uri);
    bool tls = str_istarts(s, STR("https://"));
    if (!tls && !str_istarts(s, STR("http://")))
        return false;
    s = str_from(s, tls ? 8 : 7);
    size_t slash = str_find(s, '/', 0), port = slash;
    struct str authority = {s.p, slash};
    for (size_t i = 0; i < authority.n; i++)
        if (authority.p[i] == ':')
            port = i;
        else if (authority.p[i] == ']')
            port = slash;
    uint64_t number;
    *out = (struct address){.scheme = tls ? STR("https") : STR("http"),
                            .host = {s.p, port},
                            .path = slash < s.n ? str_from(s, slash) : STR("/"),
                            .port = tls ? 443 : 80};
    if (port < slash && str_u64(str_from(authority, port + 1), 65535, &number))
        out->port = (unsigned)number;
    return out->host.n > 0;
}

static void address(struct buf *b, const struct conf *conf)
{
    struct address a;
    if (!conf->openapi_server_proxy_uri || !proxy_address(conf->openapi_server_proxy_uri, &a)) {
        const char *host = conf->server_host;
        bool any = !host || !host[0] || host[0] == '*' || host[0] == '!';
        a = (struct address){.scheme = STR("http"),
                             .host = any ? STR("0.0.0.0") : str_of(host),
                             .path = conf->rest_path && conf->rest_path[0] ? str_of(conf->rest_path)
                                                                           : STR("/"),
                             .port = conf->server_port};
    }
    key(b, "host");
    buf_char(b, '"');
    json_write_escaped(b, a.host);
    buf_printf(b, ":%u\"", a.port);
    member(b, "basePath", a.path);
    key(b, "schemes");
    buf_char(b, '[');
    text(b, a.scheme);
    buf_char(b, ']');
}

/* As far as the first member of the paths. */
static void head(struct buf *b, const struct openapi_spec *spec)
{
    BUF_LIT(b, "{\"swagger\":\"2.0\",");
    info(b, openapi_access_comment(spec->access));
    address(b, spec->conf);
    raw(b, "\"externalDocs\":{\"description\":\"PostgREST Documentation\",\"url\":"
           "\"https://postgrest.org/en/v16/references/api.html\"}");
    raw(b, "\"consumes\":[" MIME_JSON "," MIME_OBJECTS ",\"text/csv\"],\"produces\":[" MIME_JSON
           "," MIME_OBJECTS ",\"text/csv\"]");
    if (spec->conf->openapi_security_active)
        raw(b, "\"security\":[{\"JWT\":[]}],\"securityDefinitions\":{\"JWT\":{\"type\":\"apiKey\","
               "\"name\":\"Authorization\",\"in\":\"header\",\"description\":\"Add the token "
               "prepending \\\"Bearer \\\" (without quotes) to it\"}}");
    raw(b, "\"paths\":{\"/\":{\"get\":{\"tags\":[\"Introspection\"],\"summary\":\"OpenAPI "
           "description (this document)\",\"produces\":[\"application/openapi+json\"," MIME_JSON
           "],\"responses\":{\"200\":{\"description\":\"OK\"}}}}");
}

/* ------------------------------------------------------------ the document */

void openapi_maker_init(struct openapi_maker *m, const struct openapi_spec *spec)
{
    *m = (struct openapi_maker){.spec = *spec};
    m->n_tables = catalog_tables(spec->catalog, spec->schema, &m->tables);
    m->n_routines = catalog_routines(spec->catalog, spec->schema, &m->routines);
    m->first = m->n_tables ? m->tables[0]->number : 0;
}

/* The comma before a piece's first member: comma() sees no further back than the piece. */
static void begin_member(struct openapi_maker *m, struct buf *b)
{
    if (b->n == 0 && m->last == '}')
        buf_char(b, ',');
}

/* The next table that is seen, if there is one. Those that are not are not even looked at: there
 * may be a hundred thousand of them. */
static bool next_table(struct openapi_maker *m, struct buf *b,
                       void (*write)(struct buf *, const struct catalog_table *))
{
    while (m->next < m->n_tables && m->spec.privileges &&
           !openapi_access_table(m->spec.access, m->first + m->next))
        m->next++;
    if (m->next == m->n_tables)
        return false;
    begin_member(m, b);
    write(b, m->tables[m->next++]);
    return true;
}

/* Of overloads that share a path the last one is described. */
static const struct catalog_routine *routine_shown(const struct openapi_spec *spec,
                                                   const struct catalog_routine *first)
{
    const struct catalog_routine *shown = NULL;
    for (const struct catalog_routine *r = first; r; r = r->next)
        if (!spec->privileges || openapi_access_routine(spec->access, r->number))
            shown = r;
    return shown;
}

static bool next_routine(struct openapi_maker *m, struct buf *b)
{
    const struct catalog_routine *shown = NULL;
    while (m->next < m->n_routines && !shown)
        shown = routine_shown(&m->spec, m->routines[m->next++]);
    if (!shown)
        return false;
    begin_member(m, b);
    routine_path(b, shown);
    return true;
}

/* Writes one member of the part; when there is none left, what stands before the next part. */
static void advance(struct openapi_maker *m, struct buf *b)
{
    switch (m->part) {
    case OPENAPI_HEAD: head(b, &m->spec); break;
    case OPENAPI_TABLES:
        if (next_table(m, b, table_path))
            return;
        break;
    case OPENAPI_ROUTINES:
        if (next_routine(m, b))
            return;
        BUF_LIT(b, "},\"definitions\":{");
        break;
    case OPENAPI_DEFINITIONS:
        if (next_table(m, b, definition))
            return;
        BUF_LIT(b, "},\"parameters\":{");
        common_params(b);
        break;
    case OPENAPI_PARAMETERS:
        if (next_table(m, b, table_params))
            return;
        BUF_LIT(b, "}}");
        break;
    case OPENAPI_END:
    default: assert(false);
    }
    m->part++;
    m->next = 0;
}

bool openapi_more(struct openapi_maker *m, struct buf *out, size_t want)
{
    while (m->part != OPENAPI_END && out->n < want && !buf_broken(out)) {
        advance(m, out);
        m->last = out->n > 0 ? out->p[out->n - 1] : m->last;
    }
    return m->part != OPENAPI_END && !buf_broken(out);
}
