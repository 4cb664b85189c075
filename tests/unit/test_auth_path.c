/* jspath: RFC 9535's own examples as far as we go, PostgREST's older form, mistakes. */
#include "unit.h"

#include <stdio.h>

#include "auth/jspath.h"
#include "json/writer.h"

/* The bookstore of RFC 9535, section 1.5. */
#define STORE                                                                                      \
    "{\"store\":{\"book\":["                                                                       \
    "{\"category\":\"reference\",\"author\":\"Nigel Rees\",\"title\":\"Sayings of the "            \
    "Century\",\"price\":8},"                                                                      \
    "{\"category\":\"fiction\",\"author\":\"Evelyn Waugh\",\"title\":\"Sword of "                  \
    "Honour\",\"price\":12},"                                                                      \
    "{\"category\":\"fiction\",\"author\":\"Herman Melville\",\"title\":\"Moby "                   \
    "Dick\",\"isbn\":\"0-553-21311-3\",\"price\":9},"                                              \
    "{\"category\":\"fiction\",\"author\":\"J. R. R. Tolkien\",\"title\":\"The Lord of the "       \
    "Rings\",\"isbn\":\"0-395-19395-8\",\"price\":22}],"                                           \
    "\"bicycle\":{\"color\":\"red\",\"price\":399}},\"expensive\":10,\"on\":true,\"none\":null}"

#define ROLES                                                                                      \
    "{\"a\":{\"roles\":[\"other\",\"author\",{\"k\":\"v\"},7]},\"x y\":{\"z\":[[1,\"q\"]]}}"

/* The first value as text: strings bare, numbers in digits, NULL when there is none. */
static const char *found(const char *path, const char *json, char *out, size_t room)
{
    struct err err = {0};
    int64_t number;
    struct json_node *root = json_doc_parse(str_of(json), "it", &err);
    assert_non_null(root);
    struct jspath *p = jspath_new(str_of(path), &err);
    if (!p)
        fail_msg("%s", err.message);
    const struct json_node *n = jspath_find(p, root);
    struct str s = json_node_string(n);
    if (!n)
        out = NULL;
    else if (json_node_i64(n, &number))
        snprintf(out, room, "%lld", (long long)number);
    else if (json_node_kind(n) == JSON_IS_STRING)
        snprintf(out, room, "%.*s", STR_ARG(s));
    else
        snprintf(out, room, "kind %d", (int)json_node_kind(n));
    jspath_free(p);
    json_doc_free(root);
    return out;
}

static void check(const char *json, const char *const (*all)[2], size_t n)
{
    char out[200];
    for (size_t i = 0; i < n; i++) {
        const char *got = found(all[i][0], json, out, sizeof out);
        if (!got != !all[i][1] || (got && strcmp(got, all[i][1]) != 0))
            fail_msg("%s: %s instead of %s", all[i][0], got ? got : "nothing",
                     all[i][1] ? all[i][1] : "nothing");
    }
}
#define CHECK(json, all) check((json), (all), sizeof(all) / sizeof(all)[0])

static void rfc_9535(void **state)
{
    static const char *const all[][2] = {
        {"$.store.book[*].author", "Nigel Rees"},
        {"$..author", "Nigel Rees"},
        {"$.store.*", "kind 4"},
        {"$.store..price", "8"},
        {"$..book[2].title", "Moby Dick"},
        {"$..book[2].publisher", NULL},
        {"$..book[-1].title", "The Lord of the Rings"},
        {"$..book[0,1].title", "Sayings of the Century"},
        {"$..book[3,1].title", "The Lord of the Rings"},
        {"$..book[:2].author", "Nigel Rees"},
        {"$..book[1:].author", "Evelyn Waugh"},
        {"$..book[::-1].author", "J. R. R. Tolkien"},
        {"$..book[-2:].author", "Herman Melville"},
        {"$..book[1:1].author", NULL},
        {"$..book[0:9:0].author", NULL},
        {"$..book[?@.isbn].title", "Moby Dick"},
        {"$..book[?!@.isbn].title", "Sayings of the Century"},
        {"$..book[?@.price<9].title", "Sayings of the Century"},
        {"$..book[?@.price>=9 && @.price<=10].title", "Moby Dick"},
        {"$..book[?(@.price>10 || @.category=='x')].title", "Sword of Honour"},
        {"$..book[?@.price > $.expensive && @.isbn].author", "J. R. R. Tolkien"},
        {"$..book[?@.author > 'N'].author", "Nigel Rees"},
        {"$..book[?search(@.author, '^[A-H].* M')].author", "Herman Melville"},
        {"$..book[?@.nothing == @.never].author", "Nigel Rees"},
        {"$..book[?@.price == '8'].author", NULL},
        {"$['store']['bicycle'][\"color\"]", "red"},
        {"$.store['bicycle','book'].color", "red"},
        {"$.on", "kind 1"},
        {"$[?@ == true]", "kind 1"},
        {"$[?@ == null]", "kind 0"},
        {"$.expensive", "10"},
        {"$.expensive.more", NULL},
        {"$.expensive[0]", NULL},
        {"$", "kind 5"},
        {"$..[?@ == 'red']", "red"},
        {"$..*..*..*..nothing", NULL},
    };
    (void)state;
    CHECK(STORE, all);
}

static void roles(void **state)
{
    static const char *const all[][2] = {
        {"$.a.roles[1]", "author"},
        {"$.a.roles[9]", NULL},
        {"$.a.roles[?(@ == 'author')]", "author"},
        {"$.a.roles[?(@ == \"author\")]", "author"},
        {"$.a.roles[?(@ != \"other\")]", "author"},
        {"$.a.roles[?search(@, '^au')]", "author"},
        {"$.a.roles[?search(@, '^zz')]", NULL},
        {"$['x y'].z[0][1]", "q"},
        {"$.role", NULL},
        /* the older form */
        {".a.roles[1]", "author"},
        {".a.roles[9]", NULL},
        {".\"x y\".z[0][1]", "q"},
        {".a.roles[?(@ == \"author\")]", "author"},
        {".a.roles[?(@ != \"other\")]", "author"},
        {".a.roles[?(@ ^== \"aut\")]", "author"},
        {".a.roles[?(@ ==^ \"hor\")]", "author"},
        {".a.roles[?(@ *== \"tho\")]", "author"},
        {".a.roles[?(@ *== \"\")]", "other"},
        {".a.roles[?(@ == \"nobody\")]", NULL},
        {".role", NULL},
    };
    (void)state;
    CHECK(ROLES, all);
}

static void unicode_and_escapes(void **state)
{
    static const char *const all[][2] = {{"$.r\xc3\xb4le", "1"},
                                         {"$['a\\'b']", "2"},
                                         {"$[\"a\\\\b\"]", "3"},
                                         {"$['https://x/y']", "4"}};
    (void)state;
    CHECK("{\"r\xc3\xb4le\":1,\"a'b\":2,\"a\\\\b\":3,\"https://x/y\":4}", all);
}

static void mistakes(void **state)
{
    static const char *const all[] = {"",
                                      "role",
                                      "$role",
                                      "$.",
                                      "$..",
                                      "$[",
                                      "$[]",
                                      "$[1",
                                      "$['a]",
                                      "$['a'",
                                      "$.a b",
                                      "$.a-b",
                                      "$[1.5]",
                                      "$[99999999999999999999]",
                                      "$[?]",
                                      "$[?@]x",
                                      "$[?@ =]",
                                      "$[?@ == ]",
                                      "$[?@ == x]",
                                      "$[?@ == 1.5]",
                                      "$[?(@ == 1]",
                                      "$[?@ ^== 'a']",
                                      "$[?length(@) > 1]",
                                      "$[?search(@)]",
                                      "$[?search(@, @)]",
                                      "$[?search(@, '(')]",
                                      "$[?'a']",
                                      "$[?1]",
                                      "$['\\x']",
                                      "$['\\u0041']",
                                      ".",
                                      ".a.",
                                      ".a[",
                                      ".a[x]",
                                      ".a[-]",
                                      ".a[1:2]",
                                      ".a[?(@)]",
                                      ".a[?(@ = \"x\")]",
                                      ".a[?(@ == x)]",
                                      ".\"a",
                                      ".a,b",
                                      "$.a.$",
                                      "$ .a x"};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct err err = {0};
        struct jspath *p = jspath_new(str_of(all[i]), &err);
        if (p)
            fail_msg("taken: %s", all[i]);
        assert_non_null(strstr(err.message, "jwt-role-claim-key"));
        assert_non_null(strstr(err.message, "at character"));
    }
}

static void bounds(void **state)
{
    char path[6000] = "$[?", deep[4000];
    struct err err = {0};
    (void)state;
    memset(path + 3, '(', 3000);
    assert_null(jspath_new(str_of(path), &err));
    memset(path, '.', 5000);
    path[0] = '$';
    assert_null(jspath_new(str_of(path), &err));
    /* a document and a path that would take 300^4 steps end */
    struct buf json;
    buf_init(&json, BUF_NO_CEILING);
    buf_char(&json, '[');
    for (int i = 0; i < 300; i++)
        BUF_LIT(&json, "[1,2,3],");
    BUF_LIT(&json, "0]");
    buf_char(&json, '\0');
    assert_null(found("$..*..[?$..[?$..[?@ == 'x']]]", json.p, deep, sizeof deep));
    buf_fini(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_9535), cmocka_unit_test(roles),  cmocka_unit_test(unicode_and_escapes),
        cmocka_unit_test(mistakes), cmocka_unit_test(bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
