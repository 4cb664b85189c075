/* parse_select: select=, order=, columns= and on_conflict=.
 *
 *   select := item ("," item)*          item := "*" | [alias:] field[::cast][.agg()][::cast]
 *                                             | [alias:] "count()"[::cast]
 *                                             | [alias:] rel["!"param]*2 "(" [select] ")"
 *                                             | "..." rel["!"param]*2 "(" [select] ")"
 *   order  := term ("," term)*          term := (field | rel "(" field ")")[.asc|.desc][.nulls...]
 */
#include "rest/parse_lex.h"

static bool select_list(struct parser *p, unsigned depth, const struct rest_select **out);

/* '!' (inner | left | hint), at most twice; of two hints the first counts. */
static bool embed_params(struct parser *p, struct rest_select *item)
{
    for (int i = 0; i < 2 && parse_accept(p, '!'); i++) {
        bool quoted = parse_peek(p) == '"';
        struct str word;
        if (!parse_name(p, &word))
            return false;
        enum rest_join join = quoted                       ? REST_JOIN_DEFAULT
                              : str_eq(word, STR("left"))  ? REST_JOIN_LEFT
                              : str_eq(word, STR("inner")) ? REST_JOIN_INNER
                                                           : REST_JOIN_DEFAULT;
        if (join == REST_JOIN_DEFAULT && !item->hint.p)
            item->hint = word;
        else if (join != REST_JOIN_DEFAULT && item->join == REST_JOIN_DEFAULT)
            item->join = join;
    }
    return true;
}

/* Behind the name of an embed or spread: parameters and the list in parentheses. */
static bool embed_tail(struct parser *p, unsigned depth, struct rest_select *item)
{
    if (!embed_params(p, item))
        return false;
    if (p->budget->embeds == 0)
        return parse_too_big(p, "embeds", REST_EMBEDS_MAX);
    p->budget->embeds--;
    if (!parse_accept(p, '('))
        return parse_fail(p, p->pos, '"', "\"(\"");
    parse_spaces(p);
    if (parse_peek(p) != ')' && !select_list(p, depth + 1, &item->children))
        return false;
    if (!parse_accept(p, ')'))
        return parse_fail(p, p->pos, '"', "\",\" or \")\"");
    return true;
}

static enum rest_aggregate aggregate_word(struct parser *p)
{
    static const struct {
        struct str word;
        enum rest_aggregate aggregate;
    } words[] = {{{".sum()", 6}, REST_AGG_SUM},
                 {{".avg()", 6}, REST_AGG_AVG},
                 {{".count()", 8}, REST_AGG_COUNT},
                 {{".max()", 6}, REST_AGG_MAX},
                 {{".min()", 6}, REST_AGG_MIN}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (parse_literal(p, words[i].word))
            return words[i].aggregate;
    return REST_AGG_NONE;
}

/* Behind the name of a column: json path, cast, aggregate, cast. */
static bool field_tail(struct parser *p, struct rest_select *item)
{
    if (!parse_json_path(p, &item->field.path))
        return false;
    parse_spaces(p);
    if (parse_literal(p, STR("::")) && !parse_identifier(p, &item->cast))
        return false;
    item->aggregate = aggregate_word(p);
    if (item->aggregate != REST_AGG_NONE && parse_literal(p, STR("::")) &&
        !parse_identifier(p, &item->aggregate_cast))
        return false;
    return true;
}

/* "alias:" if that is what stands here; "alias::" is a cast of the column. */
static bool optional_alias(struct parser *p, struct str *name, struct str *alias)
{
    if (parse_peek(p) != ':' || str_starts(parse_rest(p), STR("::")))
        return true;
    p->pos++;
    *alias = *name;
    parse_spaces(p);
    return parse_name(p, name);
}

static bool select_item(struct parser *p, unsigned depth, struct rest_select *item)
{
    parse_spaces(p);
    if (parse_literal(p, STR("..."))) {
        item->kind = REST_SELECT_SPREAD;
        return parse_name(p, &item->field.name) && embed_tail(p, depth, item);
    }
    if (parse_accept(p, '*')) {
        item->field.name = STR("*");
        return true;
    }
    if (!parse_name(p, &item->field.name) || !optional_alias(p, &item->field.name, &item->alias))
        return false;
    if (str_eq(item->field.name, STR("count")) && parse_literal(p, STR("()"))) {
        item->field.name = STR("*");
        item->aggregate = REST_AGG_COUNT;
        return !parse_literal(p, STR("::")) || parse_identifier(p, &item->aggregate_cast);
    }
    if (parse_peek(p) == '(' || parse_peek(p) == '!') {
        item->kind = REST_SELECT_EMBED;
        return embed_tail(p, depth, item);
    }
    return field_tail(p, item);
}

/* What PostgREST does not look at any more: text behind the closing parenthesis of an embed, or
 * behind one parenthesis too many. Deployed clients have such typing errors in them. */
static bool ends_select(const struct parser *p, const struct rest_select *item)
{
    return parse_peek(p) == ')' ||
           (item->kind != REST_SELECT_FIELD && !parse_end(p) && parse_peek(p) != ',');
}

static bool select_list(struct parser *p, unsigned depth, const struct rest_select **out)
{
    const struct rest_select **tail = out;
    *out = NULL;
    if (depth > REST_DEPTH_MAX)
        return parse_too_big(p, "levels of embedding", REST_DEPTH_MAX);
    do {
        struct rest_select *item = parse_node(p, sizeof *item);
        if (!item || !select_item(p, depth, item))
            return false;
        parse_spaces(p);
        if (depth == 0 && ends_select(p, item))
            p->pos = p->text.n;
        if (!parse_end(p) && parse_peek(p) != ',' && (depth == 0 || parse_peek(p) != ')')) {
            bool bare = item->kind == REST_SELECT_FIELD && !item->cast.p && !item->aggregate;
            return parse_fail(p, p->pos, '\'',
                              bare ? "letter, digit, \"-\", \"->>\", \"->\", \"::\", \".\", \")\", "
                                     "\",\" or end of input"
                                   : "\")\", \",\" or end of input");
        }
        *tail = item;
        tail = &item->next;
    } while (parse_accept(p, ','));
    return true;
}

bool parse_select(struct parser *p, const struct rest_select **out)
{
    parse_spaces(p);
    *out = NULL;
    return parse_end(p) || select_list(p, 0, out);
}

static void order_direction(struct parser *p, struct rest_order_term *term)
{
    if (parse_literal(p, STR(".asc")))
        term->direction = REST_ASC;
    else if (parse_literal(p, STR(".desc")))
        term->direction = REST_DESC;
    if (parse_literal(p, STR(".nullsfirst")))
        term->nulls = REST_NULLS_FIRST;
    else if (parse_literal(p, STR(".nullslast")))
        term->nulls = REST_NULLS_LAST;
}

static bool order_term(struct parser *p, struct rest_order_term *term)
{
    struct str name;
    parse_spaces(p);
    if (!parse_name(p, &name))
        return false;
    if (parse_accept(p, '(')) {
        term->relation = name;
        if (!parse_field(p, &term->field))
            return false;
        if (!parse_accept(p, ')'))
            return parse_fail(p, p->pos, '"', "\")\"");
    } else {
        term->field.name = name;
        if (!parse_json_path(p, &term->field.path))
            return false;
        parse_spaces(p);
    }
    order_direction(p, term);
    parse_spaces(p);
    if (parse_end(p) || parse_peek(p) == ',')
        return true;
    if (parse_peek(p) == '.' && term->nulls == REST_NULLS_NONE)
        return parse_fail(p, p->pos + 1, '"',
                          term->direction ? "\"nullsfirst\" or \"nullslast\""
                                          : "\"asc\", \"desc\", \"nullsfirst\" or \"nullslast\"");
    return parse_fail(p, p->pos, '\'',
                      term->nulls       ? "\",\" or end of input"
                      : term->direction ? "delimiter (.), \",\" or end of input"
                                        : "letter, digit, \"-\", \"->>\", \"->\", delimiter (.), "
                                          "\",\" or end of input");
}

bool parse_order(struct parser *p, const struct rest_order_term **out)
{
    const struct rest_order_term **tail = out;
    *out = NULL;
    do {
        struct rest_order_term *term = parse_node(p, sizeof *term);
        if (!term || !order_term(p, term))
            return false;
        *tail = term;
        tail = &term->next;
    } while (parse_accept(p, ','));
    return true;
}

bool parse_names(struct parser *p, const struct rest_name **out)
{
    const struct rest_name **tail = out;
    *out = NULL;
    do {
        struct rest_name *item = parse_node(p, sizeof *item);
        if (!item)
            return false;
        parse_spaces(p);
        if (!parse_name(p, &item->name))
            return false;
        parse_spaces(p);
        *tail = item;
        tail = &item->next;
    } while (parse_accept(p, ','));
    return parse_end(p) ||
           parse_fail(p, p->pos, '\'', "letter, digit, \"-\", \",\" or end of input");
}
