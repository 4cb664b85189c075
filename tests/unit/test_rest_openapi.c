/* The OpenAPI document is the same whether it is made at once or in pieces, and names what a role
 * may see. */
#include "unit.h"

#include "catalog_fixture.h"
#include "rest/openapi.h"
#include "json/reader.h"

struct rig {
    struct catalog *catalog;
    struct conf conf;
    struct openapi_access *access;
    struct buf whole, pieces;
};

static void see(struct rig *rig, struct str kind, struct str name, struct str arguments)
{
    struct str cells[OPENAPI_ACCESS_COLUMNS] = {kind, name, arguments};
    openapi_access_row(rig->access, rig->catalog, STR("api"), cells);
}

static bool says(const struct rig *rig, struct str text)
{
    return memmem(rig->whole.p, rig->whole.n, text.p, text.n) != NULL;
}

/* Pieces as small as can be: each begins where the one before left off. */
static void make(struct rig *rig, bool privileges)
{
    struct openapi_spec spec = {.catalog = rig->catalog,
                                .conf = &rig->conf,
                                .schema = STR("api"),
                                .access = rig->access,
                                .privileges = privileges};
    struct openapi_maker m;
    struct err err;
    struct buf piece;
    bool more;
    buf_clear(&rig->whole);
    buf_clear(&rig->pieces);
    buf_init(&piece, BUF_NO_CEILING);
    openapi_maker_init(&m, &spec);
    assert_false(openapi_more(&m, &rig->whole, SIZE_MAX));
    openapi_maker_init(&m, &spec);
    do {
        more = openapi_more(&m, &piece, 1);
        buf_adds(&rig->pieces, buf_str(&piece));
        buf_clear(&piece);
    } while (more);
    buf_fini(&piece);
    assert_true(json_valid(buf_str(&rig->whole), "the document", &err));
    assert_true(str_eq(buf_str(&rig->whole), buf_str(&rig->pieces)));
}

static void everything(void **state)
{
    struct rig *rig = *state;
    make(rig, false);
    assert_true(says(rig, STR("\"/clients\":")) && says(rig, STR("\"/rpc/add\":")));
    assert_true(says(rig, STR("\"title\":\"PostgREST API\"")));
}

static void what_a_role_sees(void **state)
{
    struct rig *rig = *state;
    see(rig, STR("s"), STR("Shop\n\nof things"), (struct str){NULL, 0});
    see(rig, STR("t"), STR("tasks"), (struct str){NULL, 0});
    see(rig, STR("t"), STR("not there"), (struct str){NULL, 0});
    see(rig, STR("f"), STR("add"), STR("a,b,c"));
    see(rig, STR("f"), STR("all_tasks"), STR("a"));
    make(rig, true);
    assert_true(says(rig, STR("\"title\":\"Shop\",\"description\":\"of things\"")));
    assert_true(says(rig, STR("\"/tasks\":")) && says(rig, STR("\"body.tasks\":")));
    assert_false(says(rig, STR("\"/clients\":")) || says(rig, STR("\"body.clients\":")));
    assert_true(says(rig, STR("\"/rpc/add\":")) && says(rig, STR("\"name\":\"c\"")));
    assert_false(says(rig, STR("\"/rpc/all_tasks\":"))); /* it has no arguments */
}

static void nothing(void **state)
{
    struct rig *rig = *state;
    make(rig, true);
    assert_true(says(rig, STR("\"definitions\":{},\"parameters\":{\"preferParams\":")));
}

static void a_ceiling(void **state)
{
    struct rig *rig = *state;
    struct openapi_spec spec = {
        .catalog = rig->catalog, .conf = &rig->conf, .schema = STR("api"), .access = rig->access};
    struct openapi_maker m;
    struct buf small;
    buf_init(&small, 4096);
    openapi_maker_init(&m, &spec);
    assert_false(openapi_more(&m, &small, SIZE_MAX));
    assert_true(buf_broken(&small));
    buf_fini(&small);
}

static int setup(void **state)
{
    struct rig *rig = xcalloc(1, sizeof *rig);
    *state = rig;
    rig->catalog = fixture_catalog(CATALOG_FIXTURE);
    rig->conf = (struct conf){.server_host = "127.0.0.1", .server_port = 3000};
    rig->access = openapi_access_new(rig->catalog);
    buf_init(&rig->whole, BUF_NO_CEILING);
    buf_init(&rig->pieces, BUF_NO_CEILING);
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    openapi_access_unref(rig->access);
    catalog_unref(rig->catalog);
    buf_fini(&rig->whole);
    buf_fini(&rig->pieces);
    free(rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_role_sees, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_ceiling, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
