/* parse_filter: what stands behind the '=' of a filter, and the trees of and= and or=.
 *
 *   filter := ["not."] op "." value         op := eq[(any)|(all)] ... in is isdistinct fts[(lang)]
 *   tree   := field "." filter | ["not."] ("and"|"or") "(" tree ("," tree)* ")"
 *
 * Alone, a value is everything up to the end. Inside a tree it ends at ',' or ')' unless it is
 * "quoted" or an array literal in {braces}. */
#include "rest/parse_lex.h"

static const char OPERATOR[] = "operator (eq, gt, ...)";

static const struct {
    struct str word;
    enum rest_op op;
} operators[] = {{{"eq", 2}, REST_OP_EQ},
                 {{"gte", 3}, REST_OP_GTE},
                 {{"gt", 2}, REST_OP_GT},
                 {{"lte", 3}, REST_OP_LTE},
                 {{"lt", 2}, REST_OP_LT},
                 {{"like", 4}, REST_OP_LIKE},
                 {{"ilike", 5}, REST_OP_ILIKE},
                 {{"match", 5}, REST_OP_MATCH},
                 {{"imatch", 6}, REST_OP_IMATCH},
                 {{"neq", 3}, REST_OP_NEQ},
                 {{"cs", 2}, REST_OP_CS},
                 {{"cd", 2}, REST_OP_CD},
                 {{"ov", 2}, REST_OP_OV},
                 {{"sl", 2}, REST_OP_SL},
                 {{"sr", 2}, REST_OP_SR},
                 {{"nxr", 3}, REST_OP_NXR},
                 {{"nxl", 3}, REST_OP_NXL},
                 {{"adj", 3}, REST_OP_ADJ},
                 {{"isdistinct", 10}, REST_OP_ISDISTINCT},
                 {{"is", 2}, REST_OP_IS},
                 {{"in", 2}, REST_OP_IN},
                 {{"fts", 3}, REST_OP_FTS},
                 {{"plfts", 5}, REST_OP_PLFTS},
                 {{"phfts", 5}, REST_OP_PHFTS},
                 {{"wfts", 4}, REST_OP_WFTS}};

static const struct {
    struct str word;
    enum rest_is is;
} is_words[] = {{{"not_null", 8}, REST_IS_NOT_NULL},
                {{"null", 4}, REST_IS_NULL},
                {{"true", 4}, REST_IS_TRUE},
                {{"false", 5}, REST_IS_FALSE},
                {{"unknown", 7}, REST_IS_UNKNOWN}};

static bool ends_element(const struct parser *p)
{
    return parse_end(p) || parse_peek(p) == ',' || parse_peek(p) == ')';
}

/* "quoted" when a ',' or ')' follows; else everything up to the next one, as it stands. */
static bool element(struct parser *p, struct str *out)
{
    size_t from = p->pos;
    if (parse_peek(p) == '"') {
        struct err ignored, *kept = p->err;
        p->err = &ignored;
        bool quoted = parse_quoted(p, out) && ends_element(p);
        p->err = kept;
        if (quoted)
            return true;
        p->pos = from;
    }
    while (!ends_element(p))
        p->pos++;
    *out = (struct str){p->text.p + from, p->pos - from};
    return true;
}

/* A value inside a tree: an element, or {an,array} without inner braces. */
static bool tree_value(struct parser *p, struct str *out)
{
    struct str rest = parse_rest(p);
    if (parse_peek(p) == '{') {
        size_t close = 1;
        while (close < rest.n && rest.p[close] != '{' && rest.p[close] != '}')
            close++;
        if (close < rest.n && rest.p[close] == '}') {
            *out = (struct str){rest.p, close + 1};
            p->pos += close + 1;
            return true;
        }
    }
    return element(p, out);
}

static bool list_value(struct parser *p, struct rest_filter *f)
{
    const struct rest_value **tail = &f->values;
    parse_spaces(p);
    if (!parse_accept(p, '('))
        return parse_fail(p, p->pos, '"', "\"(\"");
    parse_spaces(p);
    do {
        struct rest_value *item = parse_node(p, sizeof *item);
        if (!item || !element(p, &item->value))
            return false;
        *tail = item;
        tail = &item->next;
        f->n_values++;
    } while (parse_accept(p, ','));
    if (!parse_accept(p, ')'))
        return parse_fail(p, p->pos, '"', "\",\" or \")\"");
    parse_spaces(p);
    return true;
}

static bool is_value(struct parser *p, struct rest_filter *f)
{
    for (size_t i = 0; i < sizeof is_words / sizeof *is_words; i++)
        if (str_istarts(parse_rest(p), is_words[i].word)) {
            f->is = is_words[i].is;
            p->pos += is_words[i].word.n;
            parse_spaces(p);
            return true;
        }
    return parse_fail(p, p->pos, '"', "isVal: (null, not_null, true, false, unknown)");
}

/* (any), (all) or (language), as far as the operator may have one. */
static bool operator_modifier(struct parser *p, struct rest_filter *f)
{
    if (parse_peek(p) != '(')
        return true;
    if (f->op <= REST_OP_IMATCH) {
        f->quantifier = parse_literal(p, STR("(any)"))   ? REST_QUANT_ANY
                        : parse_literal(p, STR("(all)")) ? REST_QUANT_ALL
                                                         : REST_QUANT_NONE;
        return f->quantifier != REST_QUANT_NONE || parse_fail(p, p->pos + 1, '"', OPERATOR);
    }
    if (f->op >= REST_OP_FTS) {
        p->pos++;
        if (parse_end(p) || parse_peek(p) == ')')
            return parse_fail(p, p->pos, '"', OPERATOR);
        return parse_identifier(p, &f->language) &&
               (parse_accept(p, ')') || parse_fail(p, p->pos, '"', "\")\""));
    }
    return parse_fail(p, p->pos, '"', OPERATOR);
}

static bool operator_word(struct parser *p, struct rest_filter *f)
{
    struct str rest = parse_rest(p);
    size_t n = 0;
    while (n < rest.n && rest.p[n] >= 'a' && rest.p[n] <= 'z')
        n++;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (str_eq((struct str){rest.p, n}, operators[i].word)) {
            f->op = operators[i].op;
            p->pos += n;
            return operator_modifier(p, f);
        }
    return parse_fail(p, p->pos, '"', f->negated ? OPERATOR : "\"not\" or operator (eq, gt, ...)");
}

/* value reads a single value; it differs between a parameter and a tree. */
static bool operation(struct parser *p, struct rest_filter *f,
                      bool (*value)(struct parser *, struct str *))
{
    f->negated = parse_literal(p, STR("not."));
    if (!operator_word(p, f))
        return false;
    if (!parse_accept(p, '.'))
        return parse_fail(p, p->pos, '"', "delimiter (.)");
    if (f->op == REST_OP_IN)
        return list_value(p, f);
    if (f->op == REST_OP_IS)
        return is_value(p, f);
    return value(p, &f->value);
}

static bool whole_value(struct parser *p, struct str *out)
{
    *out = parse_rest(p);
    p->pos = p->text.n;
    return true;
}

/* Closing parentheses too many are overlooked, as PostgREST does; anything else is not. */
static bool at_end(struct parser *p)
{
    while (parse_accept(p, ')'))
        continue;
    return parse_end(p) || parse_fail(p, p->pos, '\'', "end of input");
}

bool parse_operation(struct parser *p, struct rest_filter *out)
{
    return operation(p, out, whole_value) && at_end(p);
}

/* Is this ["not."] ("and"|"or") "("? Then it is taken, and the parenthesis with it. */
static bool tree_head(struct parser *p, struct rest_logic *node)
{
    size_t from = p->pos;
    node->negated = parse_literal(p, STR("not."));
    bool is_and = parse_literal(p, STR("and"));
    if (is_and || parse_literal(p, STR("or"))) {
        parse_spaces(p);
        if (parse_accept(p, '(')) {
            node->kind = is_and ? REST_LOGIC_AND : REST_LOGIC_OR;
            parse_spaces(p);
            return true;
        }
    }
    p->pos = from;
    node->negated = false;
    return false;
}

static bool tree(struct parser *p, unsigned depth, const struct rest_logic **out);

static bool tree_children(struct parser *p, unsigned depth, struct rest_logic *node)
{
    const struct rest_logic **tail = &node->children;
    do {
        const struct rest_logic *child = NULL;
        parse_spaces(p);
        if (!tree(p, depth + 1, &child))
            return false;
        *tail = child;
        /* The nodes are ours until the tree is handed out. */
        tail = &((struct rest_logic *)(uintptr_t)child)->next;
        parse_spaces(p);
    } while (parse_accept(p, ','));
    if (!parse_accept(p, ')'))
        return parse_fail(p, p->pos, '"', "\",\" or \")\"");
    parse_spaces(p);
    return true;
}

static bool tree_filter(struct parser *p, struct rest_logic *node)
{
    struct rest_filter *filter = parse_node(p, sizeof *filter);
    if (!filter)
        return false;
    char c = parse_peek(p);
    if (parse_end(p) || c == ')' || c == '(' || c == ',')
        return parse_fail(p, p->pos, '"',
                          "field name (* or [a..z0..9_$]), negation operator (not) or logic "
                          "operator (and, or)");
    if (!parse_field(p, &filter->field))
        return false;
    if (!parse_accept(p, '.'))
        return parse_fail(p, p->pos, '"', "delimiter (.)");
    node->filter = filter;
    return operation(p, filter, tree_value);
}

static bool tree(struct parser *p, unsigned depth, const struct rest_logic **out)
{
    struct rest_logic *node = parse_node(p, sizeof *node);
    if (!node)
        return false;
    if (depth > REST_DEPTH_MAX)
        return parse_too_big(p, "levels of and/or", REST_DEPTH_MAX);
    *out = node;
    return tree_head(p, node) ? tree_children(p, depth, node) : tree_filter(p, node);
}

bool parse_logic(struct parser *p, const struct rest_logic **out)
{
    struct rest_logic *node = parse_node(p, sizeof *node);
    if (!node)
        return false;
    *out = node;
    if (!tree_head(p, node)) {
        bool negated = str_starts(parse_rest(p), STR("not."));
        size_t word = (negated ? 4u : 0u) +
                      (str_starts(str_from(p->text, negated ? 4 : 0), STR("and")) ? 3u : 2u);
        return parse_fail(p, word, '"', "\"(\"");
    }
    if (!tree_children(p, 0, node))
        return false;
    return at_end(p);
}
