/* The catalog: what the builder makes of the recorded rows of tests/golden/schema.sql, and of rows
 * that are none. */
#include "unit.h"

#include "catalog_fixture.h"
#include "json/reader.h"

static struct str api(void)
{
    return STR("api");
}

static const struct catalog_table *table(const struct catalog *c, const char *name)
{
    const struct catalog_table *t = catalog_table(c, api(), str_of(name));
    assert_non_null(t);
    return t;
}

static const struct catalog_rel *rel_to(const struct catalog_table *t, const char *foreign,
                                        enum catalog_cardinality cardinality)
{
    for (size_t i = 0; i < t->n_rels; i++)
        if (str_eq(t->rels[i]->foreign.name, str_of(foreign)) &&
            t->rels[i]->cardinality == cardinality)
            return t->rels[i];
    fail_msg("no relationship to %s", foreign);
    return NULL;
}

static void knows_tables_and_columns(void **state)
{
    struct catalog *c = fixture_catalog(CATALOG_FIXTURE);
    const struct catalog_table *tasks = table(c, "tasks"), *wide = table(c, "wide");
    (void)state;
    assert_null(catalog_table(c, STR("public"), STR("tasks")));
    assert_null(catalog_table(c, api(), STR("task")));
    assert_int_equal(tasks->n_columns, 8);
    assert_true(tasks->insertable && tasks->updatable && tasks->deletable && !tasks->is_view);
    const struct catalog_column *data = catalog_column(tasks, STR("data"));
    assert_non_null(data);
    assert_true(data->json && data->nullable);
    assert_true(catalog_column(tasks, STR("search"))->tsvector);
    assert_false(catalog_column(tasks, STR("done"))->nullable);
    assert_str(catalog_column(tasks, STR("done"))->default_sql, "false");
    assert_null(catalog_column(tasks, STR("dat")));
    assert_null(catalog_column(NULL, STR("x")));
    for (int i = 1; i <= 20; i++) { /* by the table's own hash */
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        assert_ptr_equal(catalog_column(wide, str_of(name)), &wide->columns[i - 1]);
    }
    assert_null(catalog_column(wide, STR("c21")));
    assert_str(table(c, "clients")->description, "Who pays");
    catalog_unref(c);
}

static void knows_types(void **state)
{
    struct catalog *c = fixture_catalog(CATALOG_FIXTURE);
    const struct catalog_column *shade = catalog_column(table(c, "paints"), STR("shade"));
    const struct catalog_table *days = table(c, "days");
    (void)state;
    assert_str(shade->type, "integer");
    assert_str(shade->nominal, "api.color");
    assert_str(shade->to_json, "api.json");
    assert_str(shade->from_json, "api.color");
    assert_str(shade->from_text, "api.color");
    assert_true(table(c, "paints")->representations);
    assert_int_equal(catalog_column(days, STR("mood"))->enums.n, 2);
    assert_str(catalog_column(days, STR("mood"))->enums.v[1], "bad");
    assert_int_equal(catalog_column(days, STR("code"))->max_length, 5);
    catalog_unref(c);
}

static void follows_views(void **state)
{
    struct catalog *c = fixture_catalog(CATALOG_FIXTURE);
    const struct catalog_table *nested = table(c, "nested_view");
    (void)state;
    assert_true(nested->is_view);
    assert_int_equal(nested->key.n, 1);
    assert_str(nested->key.v[0], "nid");
    const struct catalog_rel *r = rel_to(nested, "clients", CATALOG_M2O);
    assert_str(r->pairs.v[0].here, "nclient");
    assert_str(r->pairs.v[0].there, "id");
    assert_true(r->table_is_view && !r->foreign_is_view && r->to_one);
    r = rel_to(table(c, "clients"), "nested_view", CATALOG_O2M);
    assert_str(r->pairs.v[0].there, "nclient");
    /* a column of the key is missing there, and of an expression nothing is known */
    assert_int_equal(table(c, "totals")->key.n, 0);
    /* a key shown twice: one relationship each */
    size_t twice = 0;
    const struct catalog_table *t = table(c, "twice_view");
    for (size_t i = 0; i < t->n_rels; i++)
        twice += str_eq(t->rels[i]->foreign.name, STR("clients"));
    assert_int_equal(twice, 2);
    catalog_unref(c);
}

static void finds_relationships(void **state)
{
    struct catalog *c = fixture_catalog(CATALOG_FIXTURE);
    (void)state;
    const struct catalog_rel *r = rel_to(table(c, "tasks"), "users", CATALOG_M2M);
    assert_str(r->junction.name, "users_tasks");
    assert_str(r->pairs.v[0].there, "task_id");
    assert_str(r->pairs2.v[0].there, "user_id");
    r = rel_to(table(c, "profiles"), "users", CATALOG_O2O);
    assert_true(r->to_one && !r->parent);
    r = rel_to(table(c, "users"), "profiles", CATALOG_O2O);
    assert_true(r->to_one && r->parent);
    r = rel_to(table(c, "orders"), "order_lines", CATALOG_O2M);
    assert_int_equal(r->pairs.n, 2);
    assert_str(r->pairs.v[1].here, "b");
    assert_true(rel_to(table(c, "people"), "people", CATALOG_O2M)->self);
    r = rel_to(table(c, "clients"), "projects", CATALOG_COMPUTED);
    assert_str(r->function.name, "biggest");
    assert_true(r->to_one);
    assert_false(rel_to(table(c, "people"), "people", CATALOG_COMPUTED)->to_one);
    assert_int_equal(table(c, "projects")->n_fks, 1);
    assert_str(table(c, "projects")->fks[0].foreign_column, "id");
    catalog_unref(c);
}

static void knows_functions_and_handlers(void **state)
{
    struct catalog *c = fixture_catalog(CATALOG_FIXTURE);
    const struct catalog_routine *add = catalog_routine(c, api(), STR("add"));
    const struct catalog_name tasks = {api(), STR("tasks")};
    (void)state;
    assert_non_null(add);
    assert_int_equal(add->n_params, 2); /* fewer parameters first */
    assert_true(add->params[0].required && !add->params[1].required);
    assert_int_equal(add->next->n_params, 3);
    assert_null(add->next->next);
    assert_int_equal(add->volatility, CATALOG_IMMUTABLE);
    const struct catalog_routine *all = catalog_routine(c, api(), STR("all_tasks"));
    assert_true(all->set && all->composite);
    assert_str(all->returns.name, "tasks");
    assert_null(catalog_routine(c, api(), STR("ad")));
    const struct catalog_handler *h = catalog_handler(c, &tasks, STR("text/upper"));
    assert_non_null(h);
    assert_str(h->function.name, "upper_agg");
    assert_null(catalog_handler(c, NULL, STR("text/upper")));
    catalog_unref(c);
}

static void suggests_what_is_close(void **state)
{
    struct str names[] = {STR("projects"), STR("clients"), STR("tasks")};
    double score;
    (void)state;
    assert_str(catalog_closest(STR("project"), names, 3, 0.75, &score), "projects");
    assert_true(score > 0.87 && score < 0.88);
    assert_null(catalog_closest(STR("projection"), names, 3, 0.75, NULL).p);
    assert_str(catalog_closest(STR("TASKS"), names, 3, 0.75, &score), "tasks");
    assert_true(score >= 1);
    assert_null(catalog_closest(STR("xyz"), names, 3, 0.1, NULL).p);
    assert_null(catalog_closest(STR(""), names, 3, 0.1, NULL).p);
}

static void dumps_json(void **state)
{
    struct catalog *c = fixture_catalog(CATALOG_FIXTURE);
    struct catalog_dump dump = {.catalog = c};
    struct err err = {0};
    struct buf b, pieces, piece;
    bool more;
    (void)state;
    buf_init(&b, BUF_NO_CEILING);
    catalog_dump(c, &b);
    assert_true(json_valid(buf_str(&b), "the dump", &err));
    buf_init(&pieces, BUF_NO_CEILING);
    buf_init(&piece, BUF_NO_CEILING);
    do {
        more = catalog_dump_more(&dump, &piece, 1); /* each as small as can be */
        buf_adds(&pieces, buf_str(&piece));
        buf_clear(&piece);
    } while (more);
    assert_true(str_eq(buf_str(&pieces), buf_str(&b)));
    assert_false(catalog_dump_more(&dump, &piece, 1));
    assert_int_equal(piece.n, 0);
    buf_fini(&pieces);
    buf_fini(&piece);
    buf_fini(&b);
    catalog_unref(catalog_ref(c));
    catalog_unref(c);
}

/* A view whose parse tree has names that look like the tree's own words. */
static void reads_trees_whatever_the_names(void **state)
{
    static const char tree[] =
        "({QUERY :rtable ({RTE :subquery {QUERY :targetList ({TARGETENTRY :resno 9 :resname inner "
        ":resorigtbl 77 :resorigcol 9 :resjunk false}) :x <>} :eref {ALIAS :colnames (\"a\" "
        "\"\\{b\\ :targetList\")}}) :targetList ({TARGETENTRY :expr {VAR :location 5 :resorigtbl "
        "66} :resno 1 :resname :resorigcol :ressortgroupref 0 :resorigtbl 500 :resorigcol 2 "
        ":resjunk false} {TARGETENTRY :expr {CONST :constvalue 4 [ 1 0 0 0 ]} :resno 2 :resname "
        "\\}\\) :resorigtbl 0 :resorigcol 0 :resjunk false}) :override 0})";
    struct catalog_builder *b = catalog_builder_new();
    struct err err = {0};
    (void)state;
    struct str relation[16] = {
        STR("600"),       STR("api"),         STR("v"),           {0},
        STR("v"),         STR("f"),           STR("0"),           STR("{1,2}"),
        STR("{one,two}"), STR("{int4,int4}"), STR("{int4,int4}"), STR("{23,23}"),
        STR("{-1,-1}"),   STR("{f,f}"),       STR("{NULL,NULL}"), STR("{NULL,NULL}")};
    struct str key[6] = {STR("p"), STR("pk"), STR("500"), STR("{2}"), STR("0"), {0}};
    struct str view[2] = {STR("600"), STR(tree)};
    assert_true(catalog_builder_row(b, CATALOG_Q_RELATIONS, relation, 16, &err));
    assert_true(catalog_builder_row(b, CATALOG_Q_CONSTRAINTS, key, 6, &err));
    assert_true(catalog_builder_row(b, CATALOG_Q_VIEWS, view, 2, &err));
    struct catalog *c = catalog_builder_finish(b, &err);
    catalog_builder_free(b);
    assert_non_null(c);
    assert_int_equal(table(c, "v")->key.n, 1);
    assert_str(table(c, "v")->key.v[0], "one");
    catalog_unref(c);
}

/* Names of schemas that begin alike, in no order. */
static void gives_what_a_schema_has(void **state)
{
    static const char *const tables[][2] = {{"b", "one"}, {"ab", "two"}, {"a", "three"},
                                            {"b", "two"}, {"a", "two"},  {"aa", "one"}};
    struct catalog_builder *b = catalog_builder_new();
    struct err err = {0};
    const struct catalog_table *const *found;
    const struct catalog_routine *const *routines;
    (void)state;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char oid[] = {(char)('1' + i), '\0'};
        struct str cells[16] = {str_of(oid),
                                str_of(tables[i][0]),
                                str_of(tables[i][1]),
                                {0},
                                STR("r"),
                                STR("f"),
                                STR("0"),
                                STR("{}"),
                                STR("{}"),
                                STR("{}"),
                                STR("{}"),
                                STR("{}"),
                                STR("{}"),
                                STR("{}"),
                                STR("{}"),
                                STR("{}")};
        assert_true(catalog_builder_row(b, CATALOG_Q_RELATIONS, cells, 16, &err));
    }
    struct catalog *c = catalog_builder_finish(b, &err);
    catalog_builder_free(b);
    assert_non_null(c);
    assert_int_equal(catalog_tables(c, STR("a"), &found), 2);
    assert_str(found[0]->name, "three");
    assert_str(found[1]->name, "two");
    assert_int_equal(catalog_tables(c, STR("aa"), &found), 1);
    assert_int_equal(catalog_tables(c, STR("ab"), &found), 1);
    assert_str(found[0]->name, "two");
    assert_int_equal(catalog_tables(c, STR("b"), &found), 2);
    assert_str(found[0]->name, "one");
    assert_int_equal(catalog_tables(c, STR("ac"), &found), 0);
    assert_int_equal(catalog_tables(c, STR("c"), &found), 0);
    assert_int_equal(catalog_tables(c, STR(""), &found), 0);
    assert_int_equal(catalog_routines(c, STR("a"), &routines), 0);
    catalog_unref(c);
}

static void refuses_rows_it_does_not_understand(void **state)
{
    struct catalog_builder *b = catalog_builder_new();
    struct err err = {0};
    struct str cells[16] = {STR("1"), STR("{1,2")};
    (void)state;
    assert_false(catalog_builder_row(b, CATALOG_Q_RELATIONS, cells, 3, &err));
    assert_int_equal(err.status, 503);
    assert_string_equal(err.code, "PGRST002");
    assert_false(catalog_builder_row(b, CATALOG_Q_ENUMS, cells, 2, &err));
    assert_false(catalog_builder_row(b, CATALOG_Q_RELATIONS, cells, 16, &err));
    assert_false(catalog_builder_row(b, CATALOG_Q_CONSTRAINTS, cells, 6, &err));
    catalog_builder_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_tables_and_columns),
        cmocka_unit_test(knows_types),
        cmocka_unit_test(follows_views),
        cmocka_unit_test(finds_relationships),
        cmocka_unit_test(knows_functions_and_handlers),
        cmocka_unit_test(suggests_what_is_close),
        cmocka_unit_test(dumps_json),
        cmocka_unit_test(reads_trees_whatever_the_names),
        cmocka_unit_test(gives_what_a_schema_has),
        cmocka_unit_test(refuses_rows_it_does_not_understand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
