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

void catalog_dump(const struct catalog *c, struct buf *b)
{
    struct out o = {b, false};
    buf_char(b, '{');
    struct out list = open_list(&o, "dbTables");
    for (size_t i = 0; i < c->n_tables; i++)
        table(&list, c->tables[i]);
    buf_char(b, ']');
    list = open_list(&o, "dbRelationships");
    for (size_t i = 0; i < c->n_tables; i++)
        for (size_t k = 0; k < c->tables[i]->n_rels; k++)
            relationship(&list, c->tables[i]->rels[k]);
    buf_char(b, ']');
    list = open_list(&o, "dbRoutines");
    for (size_t i = 0; i < c->n_routines; i++)
        for (const struct catalog_routine *r = c->routines[i]; r; r = r->next)
            routine(&list, r);
    buf_char(b, ']');
    list = open_list(&o, "dbMediaHandlers");
    for (size_t i = 0; i < c->n_handlers; i++) {
        struct out h = open_object(&list);
        text(&h, "schema", c->handlers[i].function.schema);
        text(&h, "function", c->handlers[i].function.name);
        text(&h, "target", c->handlers[i].any ? STR("anyelement") : c->handlers[i].target.name);
        text(&h, "mediaType", c->handlers[i].media_type);
        buf_char(b, '}');
    }
    BUF_LIT(b, "]}");
}
