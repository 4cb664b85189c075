/* Where the columns of a view come from: read out of pg_rewrite.ev_action, PostgreSQL's parse tree
 * as text (src/backend/nodes/outfuncs.c writes it, read.c reads it back):
 *
 *     ({QUERY :commandType 1 ... :targetList ({TARGETENTRY :expr {...} :resno 1 :resname id
 *      :ressortgroupref 0 :resorigtbl 16385 :resorigcol 1 :resjunk false} ...) ...})
 *
 * Nodes are {TYPE :field value ...}, lists ( ... ); a backslash takes the meaning from the next
 * character. Only the target list of the outermost query counts; it is found by depth, in one pass
 * and without building anything. */
#include <stdlib.h>

#include "rest/catalog_build.h"
#include "util/xalloc.h"

struct tree {
    struct str text;
    size_t at;
};

/* The next token: one of ( ) { } or a word. False at the end. */
static bool token(struct tree *t, struct str *out)
{
    const char *p = t->text.p;
    while (t->at < t->text.n && (p[t->at] == ' ' || p[t->at] == '\n' || p[t->at] == '\t'))
        t->at++;
    if (t->at >= t->text.n)
        return false;
    size_t start = t->at;
    if (strchr("(){}", p[t->at])) {
        t->at++;
    } else {
        while (t->at < t->text.n && !strchr("(){} \n\t", p[t->at]))
            t->at += p[t->at] == '\\' ? 2 : 1;
        if (t->at > t->text.n)
            t->at = t->text.n;
    }
    *out = (struct str){p + start, t->at - start};
    return true;
}

struct entries {
    VEC(struct build_view_column) found;
    struct build_view_column entry;
    bool in_list;            /* inside the outermost target list */
    unsigned braces, parens; /* open ones */
    unsigned list_parens;
};

/* A word at the depth of a target entry's own fields. */
static void entry_field(struct tree *t, struct entries *e, struct str word)
{
    struct str value;
    if (word.p[0] != ':' || !token(t, &value))
        return;
    if (value.n == 1 && strchr("(){}", value.p[0])) {
        t->at -= 1; /* a nested value: counted by the caller */
        return;
    }
    if (str_eq(word, STR(":resno")))
        e->entry.number = build_int(value);
    else if (str_eq(word, STR(":resorigtbl")))
        e->entry.table = build_oid(value);
    else if (str_eq(word, STR(":resorigcol")))
        e->entry.column = build_int(value);
}

static void close_brace(struct entries *e)
{
    if (e->in_list && e->braces == 2 && e->entry.table && e->entry.column > 0)
        *VEC_ADD(&e->found) = e->entry;
    if (e->braces == 2)
        e->entry = (struct build_view_column){0};
    if (e->braces)
        e->braces--;
}

static void read_tree(struct tree *t, struct entries *e)
{
    struct str word;
    while (token(t, &word)) {
        char c = word.n == 1 ? word.p[0] : '\0';
        if (c == '{') {
            e->braces++;
        } else if (c == '}') {
            close_brace(e);
        } else if (c == '(') {
            e->parens++;
        } else if (c == ')') {
            if (e->in_list && e->braces == 1 && e->parens == e->list_parens)
                return; /* the target list ends */
            if (e->parens)
                e->parens--;
        } else if (e->in_list && e->braces == 2) {
            entry_field(t, e, word);
        } else if (!e->in_list && e->braces == 1 && str_eq(word, STR(":targetList"))) {
            e->in_list = true;
            e->list_parens = e->parens + 1;
        }
    }
}

bool build_view(struct catalog_builder *b, const struct str *c)
{
    struct tree tree = {.text = c[1]};
    struct entries e = {0};
    if (!c[1].p)
        return false;
    read_tree(&tree, &e);
    *VEC_ADD(&b->views) =
        (struct build_view){.oid = build_oid(c[0]), .columns = e.found.v, .n = e.found.n};
    return true;
}
