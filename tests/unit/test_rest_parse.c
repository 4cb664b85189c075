/* The query string parser, by what it makes of texts: each tree is printed in one line of a small
 * notation of the test's own and compared whole. */
#include "unit.h"

#include "rest/query.h"
#include "util/buf.h"

static const char *const ops[] = {"eq",    "gte",    "gt",    "lte", "lt",         "like", "ilike",
                                  "match", "imatch", "neq",   "cs",  "cd",         "ov",   "sl",
                                  "sr",    "nxr",    "nxl",   "adj", "isdistinct", "is",   "in",
                                  "fts",   "plfts",  "phfts", "wfts"};

static void print_field(struct buf *b, const struct rest_field *f)
{
    buf_printf(b, "%.*s", STR_ARG(f->name));
    for (const struct rest_json_step *s = f->path; s; s = s->next)
        buf_printf(b, "%s%s{%.*s}", s->text ? "->>" : "->", s->index ? "#" : "", STR_ARG(s->key));
}

static void print_path(struct buf *b, struct rest_path path)
{
    for (size_t i = 0; i < path.n; i++)
        buf_printf(b, "%.*s/", STR_ARG(path.v[i]));
}

static void print_select(struct buf *b, const struct rest_select *list)
{
    static const char *const aggregates[] = {"", "sum", "avg", "count", "max", "min"};
    for (const struct rest_select *s = list; s; s = s->next) {
        if (s != list)
            buf_char(b, ' ');
        if (s->alias.p)
            buf_printf(b, "%.*s=", STR_ARG(s->alias));
        if (s->kind == REST_SELECT_SPREAD)
            BUF_LIT(b, "...");
        print_field(b, &s->field);
        if (s->cast.p)
            buf_printf(b, "::%.*s", STR_ARG(s->cast));
        if (s->aggregate)
            buf_printf(b, ".%s", aggregates[s->aggregate]);
        if (s->aggregate_cast.p)
            buf_printf(b, "::%.*s", STR_ARG(s->aggregate_cast));
        if (s->hint.p)
            buf_printf(b, "!%.*s", STR_ARG(s->hint));
        buf_printf(b, "%s",
                   s->join == REST_JOIN_INNER  ? "!inner"
                   : s->join == REST_JOIN_LEFT ? "!left"
                                               : "");
        if (s->kind != REST_SELECT_FIELD) {
            buf_char(b, '(');
            print_select(b, s->children);
            buf_char(b, ')');
        }
    }
}

static void print_filter(struct buf *b, const struct rest_filter *f)
{
    static const char *const is[] = {"null", "not_null", "true", "false", "unknown"};
    print_path(b, f->path);
    print_field(b, &f->field);
    buf_printf(b, " %s%s%s", f->negated ? "not " : "", ops[f->op],
               f->quantifier == REST_QUANT_ANY   ? "(any)"
               : f->quantifier == REST_QUANT_ALL ? "(all)"
                                                 : "");
    if (f->language.p)
        buf_printf(b, "(%.*s)", STR_ARG(f->language));
    if (f->op == REST_OP_IS) {
        buf_printf(b, " %s", is[f->is]);
    } else if (f->op == REST_OP_IN) {
        for (const struct rest_value *v = f->values; v; v = v->next)
            buf_printf(b, " [%.*s]", STR_ARG(v->value));
    } else {
        buf_printf(b, " [%.*s]", STR_ARG(f->value));
    }
}

static void print_logic(struct buf *b, const struct rest_logic *l)
{
    print_path(b, l->path);
    if (l->kind == REST_LOGIC_FILTER) {
        print_filter(b, l->filter);
        return;
    }
    buf_printf(b, "%s%s(", l->negated ? "not " : "", l->kind == REST_LOGIC_AND ? "and" : "or");
    for (const struct rest_logic *c = l->children; c; c = c->next) {
        if (c != l->children)
            BUF_LIT(b, ", ");
        print_logic(b, c);
    }
    buf_char(b, ')');
}

static void print_orders(struct buf *b, const struct rest_order *o)
{
    print_path(b, o->path);
    for (const struct rest_order_term *t = o->terms; t; t = t->next) {
        buf_printf(b, "%s%.*s%s", t == o->terms ? "" : ",", STR_ARG(t->relation),
                   t->relation.p ? ":" : "");
        print_field(b, &t->field);
        buf_printf(b, "%s%s",
                   t->direction == REST_ASC    ? " asc"
                   : t->direction == REST_DESC ? " desc"
                                               : "",
                   t->nulls == REST_NULLS_FIRST  ? " first"
                   : t->nulls == REST_NULLS_LAST ? " last"
                                                 : "");
    }
}

static void print_query(struct buf *b, const struct rest_query *q)
{
    print_select(b, q->select);
    for (const struct rest_filter *f = q->filters; f; f = f->next) {
        BUF_LIT(b, " | ");
        print_filter(b, f);
    }
    for (const struct rest_logic *l = q->logic; l; l = l->next) {
        BUF_LIT(b, " | ");
        print_logic(b, l);
    }
    for (const struct rest_order *o = q->orders; o; o = o->next) {
        BUF_LIT(b, " | order ");
        print_orders(b, o);
    }
    for (const struct rest_range *r = q->ranges; r; r = r->next) {
        BUF_LIT(b, " | range ");
        print_path(b, r->path);
        buf_printf(b, "%lld+%llu", r->limit == REST_NO_LIMIT ? -1LL : (long long)r->limit,
                   (unsigned long long)r->offset);
    }
    if (q->has_limit || q->has_offset)
        buf_printf(b, " | rows %lld+%llu", q->has_limit ? (long long)q->limit : -1LL,
                   (unsigned long long)q->offset);
    for (const struct rest_name *n = q->columns; n; n = n->next)
        buf_printf(b, " | column %.*s", STR_ARG(n->name));
    for (const struct rest_name *n = q->on_conflict; n; n = n->next)
        buf_printf(b, " | conflict %.*s", STR_ARG(n->name));
    for (const struct rest_param *p = q->params; p; p = p->next)
        buf_printf(b, " | %.*s := [%.*s]", STR_ARG(p->name), STR_ARG(p->value));
}

struct good {
    const char *query, *tree;
};

static void check_trees(const struct good *cases, size_t n, bool rpc)
{
    for (size_t i = 0; i < n; i++) {
        struct arena arena;
        struct rest_query query;
        struct err err = {0};
        struct buf out;
        arena_init(&arena, 1 << 20);
        buf_init(&out, 1 << 16);
        bool done = rest_parse_query(&arena, str_of(cases[i].query), rpc, &query, &err);
        if (!done)
            fail_msg("%s: %s; %s", cases[i].query, err.message, err.details);
        print_query(&out, &query);
        buf_char(&out, '\0');
        assert_string_equal(out.p, cases[i].tree);
        buf_fini(&out);
        arena_fini(&arena);
    }
}

static void test_select(void **state)
{
    static const struct good cases[] = {
        {"", "*"},
        {"select=", ""},
        {"select=*", "*"},
        {"select=id,name", "id name"},
        {"select=%20id%20,%20name", "id name"},
        {"select=id&select=name", "id"},
        {"select=first%20name,a-b,%22c.d%22,%22e%5C%22f%22", "first name a-b c.d e\"f"},
        {"select=a%20-%20b", "a-b"},
        {"select=x:id,y%20:%20name", "x=id y=name"},
        {"select=id::text,x:id::double%20precision", "id::text x=id::double precision"},
        {"select=data-%3Ea-%3E%3E0", "data->{a}->>#{0}"},
        {"select=data->-1->>b::int", "data->#{-1}->>{b}::int"},
        {"select=data->0abc", "data->{0abc}"},
        {"select=data->a-b->\"x.y\"", "data->{a-b}->{x.y}"},
        {"select=count()", "*.count"},
        {"select=n:count()::int", "n=*.count::int"},
        {"select=amount.sum(),x:amount::int.avg()::text", "amount.sum x=amount::int.avg::text"},
        {"select=data->a.max()", "data->{a}.max"},
        {"select=id,clients(id,name)", "id clients(id name)"},
        {"select=clients()", "clients()"},
        {"select=c:clients!fk!inner(*)", "c=clients!fk!inner(*)"},
        {"select=clients!left(*),clients!inner!fk(*)", "clients!left(*) clients!fk!inner(*)"},
        {"select=clients!\"left\"(*)", "clients!left(*)"},
        {"select=clients!leftover(*)", "clients!leftover(*)"},
        {"select=...clients(name,...country(code))", "...clients(name ...country(code))"},
        {"select=a(b(c(d)))", "a(b(c(d)))"},
        {"select=%C3%A9t%C3%A9", "\xc3\xa9t\xc3\xa9"},
    };
    (void)state;
    check_trees(cases, sizeof cases / sizeof *cases, false);
}

static void test_filters(void **state)
{
    static const struct good cases[] = {
        {"id=eq.1", "* | id eq [1]"},
        {"id=not.eq.1", "* | id not eq [1]"},
        {"id=eq.", "* | id eq []"},
        {"id=eq(any).{1,2}", "* | id eq(any) [{1,2}]"},
        {"id=not.gte(all).{1,2}", "* | id not gte(all) [{1,2}]"},
        {"name=like.*a*&name=ilike.b", "* | name like [*a*] | name ilike [b]"},
        {"a=neq.1&b=cs.{x}&c=nxr.[1,2)", "* | a neq [1] | b cs [{x}] | c nxr [[1,2)]"},
        {"a=is.null&b=is.NOT_NULL&c=not.is.True", "* | a is null | b is not_null | c not is true"},
        {"a=isdistinct.5", "* | a isdistinct [5]"},
        {"id=in.(1,2)", "* | id in [1] [2]"},
        {"id=in.()", "* | id in []"},
        {"n=in.(\"a,b\",c)", "* | n in [a,b] [c]"},
        {"n=in.(\")", "* | n in [\"]"},
        {"n=in.(\"a\"b,c)", "* | n in [\"a\"b] [c]"},
        {"n=in.(\"a\\\"b\")", "* | n in [a\"b]"},
        {"t=fts(english).a%20%26%20b&u=wfts.x", "* | t fts(english) [a & b] | u wfts [x]"},
        {"a.b.c=eq.1", "* | a/b/c eq [1]"},
        {"a.data->>x=eq.1", "* | a/data->>{x} eq [1]"},
        {"\"a.b\"=eq.1", "* | a.b eq [1]"},
        {"name=eq.a+b%2Bc", "* | name eq [a b+c]"},
        {"flag&id=eq.1", "* | id eq [1]"},
        {"name=eq.50%", "* | name eq [50%]"},
        {"&&id=eq.1&", "* | id eq [1]"},
    };
    (void)state;
    check_trees(cases, sizeof cases / sizeof *cases, false);
}

static void test_logic(void **state)
{
    static const struct good cases[] = {
        {"or=(a.eq.1,b.eq.2)", "* | or(a eq [1], b eq [2])"},
        {"not.and=(a.eq.1)", "* | not and(a eq [1])"},
        {"x.y.not.or=(a.eq.1,b.lt.2)", "* | x/y/not or(a eq [1], b lt [2])"},
        {"and=(a.eq.1,or(b.not.is.null,not.and(c.gt.1,d.lt.2)))",
         "* | and(a eq [1], or(b not is null, not and(c gt [1], d lt [2])))"},
        {"or=( a.eq.1 , b.eq.2 )", "* | or(a eq [1 ], b eq [2 ])"},
        {"or=(a.in.(1,2),b.cs.{x,y},c.eq.\"p,q)\")",
         "* | or(a in [1] [2], b cs [{x,y}], c eq [p,q)])"},
        {"or=(data->>a.eq.1,data->0.eq.2)", "* | or(data->>{a} eq [1], data->#{0} eq [2])"},
        {"or=(not.eq.1,and.eq.2)", "* | or(not eq [1], and eq [2])"},
        {"or=(a.fts(english).x,\"b c\".eq.1)", "* | or(a fts(english) [x], b c eq [1])"},
    };
    (void)state;
    check_trees(cases, sizeof cases / sizeof *cases, false);
}

static void test_order_and_rows(void **state)
{
    static const struct good cases[] = {
        {"order=id", "* | order id"},
        {"order=id.desc.nullslast,name.asc", "* | order id desc last,name asc"},
        {"order=id.nullsfirst", "* | order id first"},
        {"order=data->>a.desc", "* | order data->>{a} desc"},
        {"order=clients(name).desc,clients(data->a)",
         "* | order clients:name desc,clients:data->{a}"},
        {"a.b.order=id.asc", "* | order a/b/id asc"},
        {"limit=5&offset=2", "* | rows 5+2"},
        {"limit=abc&offset=1", "* | rows -1+1"},
        {"offset=-4", "* | rows -1+0"},
        {"limit=99999999999999999999", "* | rows 9223372036854775807+0"},
        {"a.limit=3&a.offset=1&a.b.limit=2", "* | range a/3+1 | range a/b/2+0"},
        {"columns=a,%22b%20c%22&on_conflict=id,x",
         "* | column a | column b c | conflict id | conflict x"},
    };
    (void)state;
    check_trees(cases, sizeof cases / sizeof *cases, false);
}

static void test_arguments(void **state)
{
    static const struct good cases[] = {
        {"a=5&b=gt.2", "* | b gt [2] | a := [5]"},
        {"a=not.today&b=is.it&c=in.1", "* | a := [not.today] | b := [is.it] | c := [in.1]"},
        {"v=a&v=b", "* | v := [a] | v := [b]"},
    };
    (void)state;
    check_trees(cases, sizeof cases / sizeof *cases, true);
}

static void test_canonical(void **state)
{
    static const struct good cases[] = {
        {"id=eq.1&b=x%20y&a=1&id=gt.0&flag", "a=1&b=x%20y&flag=&id=eq.1,gt.0"},
        {"select=a,b(c)", "select=a%2Cb%28c%29"},
        {"n=eq.%C3%A9", "n=eq.%C3%A9"},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct rest_query query;
        struct err err;
        arena_init(&arena, 1 << 20);
        bool done = rest_parse_query(&arena, str_of(cases[i].query), true, &query, &err);
        assert_true(done);
        assert_str(query.canonical, cases[i].tree);
        arena_fini(&arena);
    }
}

struct bad {
    const char *query, *message, *details;
};

static void test_errors(void **state)
{
    static const struct bad cases[] = {
        {"id=0", "\"failed to parse filter (0)\" (line 1, column 1)",
         "unexpected \"0\" expecting \"not\" or operator (eq, gt, ...)"},
        {"order=id.asc.nullslasttt",
         "\"failed to parse order (id.asc.nullslasttt)\" (line 1, column 17)",
         "unexpected 't' expecting \",\" or end of input"},
        {"or=()", "\"failed to parse logic tree (())\" (line 1, column 4)",
         "unexpected \")\" expecting field name (* or [a..z0..9_$]), negation operator (not) or "
         "logic operator (and, or)"},
        {"columns=", "\"failed to parse columns parameter ()\" (line 1, column 1)",
         "unexpected end of input expecting field name (* or [a..z0..9_$])"},
        {"select=data->(!@#$%^%26*_d->>!@#$%^%26*_e::integer",
         "\"failed to parse select parameter (data->(!@#$%^&*_d->>!@#$%^&*_e::integer)\" (line 1, "
         "column 7)",
         "unexpected \"(\" expecting \"-\", digit or any non reserved character different from: "
         ".,>()"},
        {"select=data->>--34",
         "\"failed to parse select parameter (data->>--34)\" (line 1, "
         "column 9)",
         "unexpected \"-\" expecting digit"},
        {"order=id.descc", "\"failed to parse order (id.descc)\" (line 1, column 8)",
         "unexpected 'c' expecting delimiter (.), \",\" or end of input"},
        {"id=not.0", "\"failed to parse filter (not.0)\" (line 1, column 5)",
         "unexpected \"0\" expecting operator (eq, gt, ...)"},
        {"id=is.maybe", "\"failed to parse filter (is.maybe)\" (line 1, column 4)",
         "unexpected \"m\" expecting isVal: (null, not_null, true, false, unknown)"},
        {"id=in.1", "\"failed to parse filter (in.1)\" (line 1, column 4)",
         "unexpected \"1\" expecting \"(\""},
        {"or=a.eq.1", "\"failed to parse logic tree (a.eq.1)\" (line 1, column 3)",
         "unexpected \"a\" expecting \"(\""},
        {"id=eq.%FF", "\"failed to parse query string\" (line 1, column 1)",
         "The query string is not valid UTF-8"},
        {"id=eq.%00", "\"failed to parse query string\" (line 1, column 1)",
         "The query string contains a NUL character"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct rest_query query;
        struct err err = {0};
        arena_init(&arena, 1 << 20);
        assert_false(rest_parse_query(&arena, str_of(cases[i].query), false, &query, &err));
        assert_int_equal(err.status, 400);
        assert_string_equal(err.code, "PGRST100");
        assert_string_equal(err.message, cases[i].message);
        assert_string_equal(err.details, cases[i].details);
        arena_fini(&arena);
    }
}

/* Texts that used to be hopeful attacks: each is a 400, and quickly so. */
static void test_ceilings(void **state)
{
    static const struct {
        const char *head, *piece, *tail;
        size_t times;
    } cases[] = {{"or=", "(", "", 10000},         {"or=", "or(", "", 10000},
                 {"or=(", "not.and(", "", 60},    {"select=", "a(", "", 10000},
                 {"select=", "a(b),", "c", 1000}, {"select=", "a", "->", 200000},
                 {"select=a", "->b", "", 1000},   {"", "a.", "b=eq.1", 1000},
                 {"id=in.(", "1,", "1)", 100000}, {"", "id=eq.1&", "", 10000},
                 {"id=eq.", "x", "", 1 << 20},    {"order=", "((", "", 5000},
                 {"select=", "\"", "", 9999}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text;
        struct arena arena;
        struct rest_query query;
        struct err err = {0};
        buf_init(&text, 4u << 20);
        arena_init(&arena, 16u << 20);
        buf_adds(&text, str_of(cases[i].head));
        for (size_t k = 0; k < cases[i].times; k++)
            buf_adds(&text, str_of(cases[i].piece));
        buf_adds(&text, str_of(cases[i].tail));
        if (rest_parse_query(&arena, buf_str(&text), false, &query, &err))
            fail_msg("case %zu was taken", i);
        assert_int_equal(err.status, 400);
        assert_string_equal(err.code, "PGRST100");
        arena_fini(&arena);
        buf_fini(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select),    cmocka_unit_test(test_filters),
        cmocka_unit_test(test_logic),     cmocka_unit_test(test_order_and_rows),
        cmocka_unit_test(test_arguments), cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_errors),    cmocka_unit_test(test_ceilings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
