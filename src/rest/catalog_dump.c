/* The snapshot as JSON, for the admin port and --dump-schema: keys are PostgREST's where it has the
 * same thing. */
#include "rest/catalog_private.h"
#include "json/writer.h"

struct out {
    struct buf *b;
    bool begun; /* a comma belongs before the next member */
};

static void comma(struct out *o)
{
    if (o->begun)
        buf_char(o->b, ',');
    o->begun = true;
}

static void text(struct out *o, const char *key, struct str value)
{
    comma(o);
    json_write_key(o->b, str_of(key));
    if (value.p)
        json_write_string(o->b, value);
    else
        BUF_LIT(o->b, "null");
}

static void flag(struct out *o, const char *key, bool value)
{
    comma(o);
    json_write_key(o->b, str_of(key));
    buf_adds(o->b, value ? STR("true") : STR("false"));
}

static void number(struct out *o, const char *key, uint64_t value)
{
    comma(o);
    json_write_key(o->b, str_of(key));
    buf_u64(o->b, value);
}

static void strings(struct out *o, const char *key, const struct catalog_strs *list)
{
    comma(o);
    json_write_key(o->b, str_of(key));
    buf_char(o->b, '[');
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            buf_char(o->b, ',');
        json_write_string(o->b, list->v[i]);
    }
    buf_char(o->b, ']');
}

static struct out open_list(struct out *o, const char *key)
{
    comma(o);
    if (key)
        json_write_key(o->b, str_of(key));
    buf_char(o->b, '[');
    return (struct out){o->b, false};
}

static struct out open_object(struct out *o)
{
    comma(o);
    buf_char(o->b, '{');
    return (struct out){o->b, false};
}

static void column(struct out *list, const struct catalog_column *c)
{
    struct out o = open_object(list);
    text(&o, "colName", c->name);
    text(&o, "colDescription", c->description);
    flag(&o, "colNullable", c->nullable);
    text(&o, "colType", c->type);
    text(&o, "colNominalType", c->nominal);
    if (c->max_length)
        number(&o, "colMaxLen", (uint64_t)c->max_length);
    text(&o, "colDefault", c->default_sql);
    strings(&o, "colEnum", &c->enums);
    buf_char(o.b, '}');
}

static void table(struct out *list, const struct catalog_table *t)
{
    struct out o = open_object(list);
    text(&o, "tableSchema", t->schema);
    text(&o, "tableName", t->name);
    text(&o, "tableDescription", t->description);
    flag(&o, "tableIsView", t->is_view);
    flag(&o, "tableInsertable", t->insertable);
    flag(&o, "tableUpdatable", t->updatable);
    flag(&o, "tableDeletable", t->deletable);
    strings(&o, "tablePKCols", &t->key);
    struct out columns = open_list(&o, "tableColumns");
    for (size_t i = 0; i < t->n_columns; i++)
        column(&columns, &t->columns[i]);
    BUF_LIT(o.b, "]}");
}

static void pairs(struct out *o, const char *key, const struct catalog_pairs *list)
{
    struct out l = open_list(o, key);
    for (size_t i = 0; i < list->n; i++) {
        comma(&l);
        buf_char(l.b, '[');
        json_write_string(l.b, list->v[i].here);
        buf_char(l.b, ',');
        json_write_string(l.b, list->v[i].there);
        buf_char(l.b, ']');
    }
    buf_char(o->b, ']');
}

static void relationship(struct out *list, const struct catalog_rel *r)
{
    static const char *const kinds[] = {"O2M", "M2O", "O2O", "M2M", "computed"};
    struct out o = open_object(list);
    text(&o, "relTableSchema", r->table.schema);
    text(&o, "relTable", r->table.name);
    text(&o, "relForeignSchema", r->foreign.schema);
    text(&o, "relForeignTable", r->foreign.name);
    text(&o, "cardinality", str_of(kinds[r->cardinality]));
    flag(&o, "relIsSelf", r->self);
    flag(&o, "relToOne", r->to_one);
    if (r->cardinality == CATALOG_COMPUTED) {
        text(&o, "relFunction", r->function.name);
    } else {
        text(&o, "relCons", r->constraint);
        pairs(&o, "relColumns", &r->pairs);
    }
    if (r->cardinality == CATALOG_M2M) {
        text(&o, "junTable", r->junction.name);
        text(&o, "junConstraint2", r->constraint2);
        pairs(&o, "junColsTarget", &r->pairs2);
    }
    buf_char(o.b, '}');
}

static void routine(struct out *list, const struct catalog_routine *r)
{
    static const char *const volatilities[] = {"Immutable", "Stable", "Volatile"};
    struct out o = open_object(list);
    text(&o, "pdSchema", r->schema);
    text(&o, "pdName", r->name);
    text(&o, "pdDescription", r->description);
    struct out params = open_list(&o, "pdParams");
    for (size_t i = 0; i < r->n_params; i++) {
        struct out p = open_object(&params);
        text(&p, "ppName", r->params[i].name);
        text(&p, "ppType", r->params[i].type);
        flag(&p, "ppReq", r->params[i].required);
        flag(&p, "ppVar", r->params[i].variadic);
        buf_char(p.b, '}');
    }
    buf_char(o.b, ']');
    text(&o, "returnSchema", r->returns.schema);
    text(&o, "returnType", r->returns.name);
    flag(&o, "returnsSet", r->set);
    flag(&o, "returnsComposite", r->composite);
    text(&o, "pdVolatility", str_of(volatilities[r->volatility]));
    flag(&o, "pdHasVariadic", r->has_variadic);
    buf_char(o.b, '}');
}

static void handler(struct out *list, const struct catalog_handler *h)
{
    struct out o = open_object(list);
    text(&o, "schema", h->function.schema);
    text(&o, "function", h->function.name);
    text(&o, "target", h->any ? STR("anyelement") : h->target.name);
    text(&o, "mediaType", h->media_type);
    buf_char(o.b, '}');
}

/* ---- piece by piece ---- */

static bool next_relationship(struct catalog_dump *d, struct out *list)
{
    const struct catalog *c = d->catalog;
    while (d->next < c->n_tables && d->next_rel == c->tables[d->next]->n_rels) {
        d->next++;
        d->next_rel = 0;
    }
    if (d->next == c->n_tables)
        return false;
    relationship(list, c->tables[d->next]->rels[d->next_rel++]);
    return true;
}

/* The next element of the part; false: there is none left. */
static bool next_element(struct catalog_dump *d, struct out *list)
{
    const struct catalog *c = d->catalog;
    switch (d->part) {
    case CATALOG_DUMP_TABLES:
        if (d->next == c->n_tables)
            return false;
        table(list, c->tables[d->next++]);
        return true;
    case CATALOG_DUMP_RELATIONSHIPS: return next_relationship(d, list);
    case CATALOG_DUMP_ROUTINES:
        if (d->next == c->n_routines)
            return false;
        for (const struct catalog_routine *r = c->routines[d->next++]; r; r = r->next)
            routine(list, r);
        return true;
    case CATALOG_DUMP_HANDLERS:
        if (d->next == c->n_handlers)
            return false;
        handler(list, &c->handlers[d->next++]);
        return true;
    case CATALOG_DUMP_END:
    default: return false;
    }
}

static void advance(struct catalog_dump *d, struct buf *b)
{
    static const char *const keys[CATALOG_DUMP_END] = {"dbTables", "dbRelationships", "dbRoutines",
                                                       "dbMediaHandlers"};
    struct out object = {b, d->part > 0}, list = {b, d->begun};
    if (!d->opened) {
        if (d->part == 0)
            buf_char(b, '{');
        list = open_list(&object, keys[d->part]);
        d->opened = true;
    }
    if (next_element(d, &list)) {
        d->begun = true;
        return;
    }
    buf_char(b, ']');
    *d = (struct catalog_dump){.catalog = d->catalog, .part = d->part + 1};
    if (d->part == CATALOG_DUMP_END)
        buf_char(b, '}');
}

bool catalog_dump_more(struct catalog_dump *d, struct buf *b, size_t want)
{
    while (d->part != CATALOG_DUMP_END && b->n < want && !buf_broken(b))
        advance(d, b);
    return d->part != CATALOG_DUMP_END && !buf_broken(b);
}

void catalog_dump(const struct catalog *c, struct buf *b)
{
    struct catalog_dump all = {.catalog = c};
    while (catalog_dump_more(&all, b, SIZE_MAX))
        ;
}
