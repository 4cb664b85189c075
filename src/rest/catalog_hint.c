/* Hints for names that are not there: how alike names are, and the errors that say so.
 *
 * Likeness is that of a fuzzy set: candidates share a run of three characters (or, when none does,
 * of two) with the name, both lower-cased, stripped to letters, digits, commas and spaces and
 * enclosed in dashes; the closest is the one with the smallest edit distance in proportion to its
 * length, and of those the one with the most runs in common (cosine of the vectors that count
 * them). */

#include "rest/catalog_private.h"

#define GRAM_MAX 3
#define NAME_MAX_BYTES 256u
#define FUZZY_TABLES_MAX 500u /* a schema of more gives no hints: it would take too long */

struct grams {
    uint32_t code[NAME_MAX_BYTES + 2]; /* sorted */
    size_t n;
};

static bool keeps(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ',' || c == ' ' || c >= 0x80;
}

static void sort_codes(uint32_t *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint32_t x = v[i];
        size_t j = i;
        for (; j > 0 && v[j - 1] > x; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

static void grams_of(struct str name, size_t size, struct grams *out)
{
    unsigned char text[NAME_MAX_BYTES + 2];
    size_t n = 0;
    text[n++] = '-';
    for (size_t i = 0; i < name.n && n < NAME_MAX_BYTES; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c >= 'A' && c <= 'Z')
            c = (unsigned char)(c + 32);
        if (keeps(c))
            text[n++] = c;
    }
    text[n++] = '-';
    out->n = 0;
    for (size_t i = 0; i + size <= n; i++) {
        uint32_t code = 0;
        for (size_t k = 0; k < size; k++)
            code = code << 8 | text[i + k];
        out->code[out->n++] = code;
    }
    sort_codes(out->code, out->n);
}

/* Squares of the counts, and their products where both have the run. The square of the cosine is in
 * the order of the cosine, and needs no libm. */
static double cosine_squared(const struct grams *a, const struct grams *b)
{
    double aa = 0, bb = 0, ab = 0;
    size_t i = 0, j = 0;
    while (i < a->n || j < b->n) {
        uint32_t code =
            i < a->n && (j >= b->n || a->code[i] <= b->code[j]) ? a->code[i] : b->code[j];
        double x = 0, y = 0;
        for (; i < a->n && a->code[i] == code; i++)
            x++;
        for (; j < b->n && b->code[j] == code; j++)
            y++;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    return aa > 0 && bb > 0 ? ab * ab / (aa * bb) : 0;
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* 1 - Levenshtein distance / length of the longer one. */
static double closeness(struct str a, struct str b)
{
    uint16_t row[NAME_MAX_BYTES + 1];
    if (a.n > NAME_MAX_BYTES || b.n > NAME_MAX_BYTES)
        return 0;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = (uint16_t)j;
    for (size_t i = 0; i < a.n; i++) {
        uint16_t diagonal = row[0];
        row[0] = (uint16_t)(i + 1);
        for (size_t j = 0; j < b.n; j++) {
            uint16_t best = (uint16_t)(diagonal + (lower(a.p[i]) != lower(b.p[j])));
            diagonal = row[j + 1];
            if (row[j] + 1 < best)
                best = (uint16_t)(row[j] + 1);
            if (diagonal + 1 < best)
                best = (uint16_t)(diagonal + 1);
            row[j + 1] = best;
        }
    }
    size_t longer = a.n > b.n ? a.n : b.n;
    return longer ? 1 - (double)row[b.n] / (double)longer : 1;
}

struct str catalog_closest(struct str name, const struct str *among, size_t n, double least,
                           double *score)
{
    struct str best = {NULL, 0};
    double top = 0, top_cosine = 0;
    for (size_t size = GRAM_MAX; size >= 2 && !best.p; size--) {
        struct grams x, y;
        grams_of(name, size, &x);
        for (size_t i = 0; i < n; i++) {
            grams_of(among[i], size, &y);
            double c = cosine_squared(&x, &y), s = c > 0 ? closeness(name, among[i]) : 0;
            if (c > 0 && s >= least && (s > top || (s >= top && c > top_cosine))) {
                top = s;
                top_cosine = c;
                best = among[i];
            }
        }
    }
    if (score)
        *score = top;
    return best;
}

bool catalog_table_missing(struct arena *arena, const struct catalog *c, struct str schema,
                           struct str name, struct err *err)
{
    struct str names[FUZZY_TABLES_MAX];
    const struct catalog_table *const *tables;
    size_t n = catalog_tables(c, schema, &tables);
    err_set(err, 404, "PGRST205", "Could not find the table '%.*s.%.*s' in the schema cache",
            STR_ARG(schema), STR_ARG(name));
    if (n == 0)
        err->hint =
            arena_printf(arena, "No table or view is known in the schema '%.*s': does it exist?",
                         STR_ARG(schema));
    if (n > FUZZY_TABLES_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        names[i] = tables[i]->name;
    struct str best = catalog_closest(name, names, n, 0.75, NULL);
    if (best.p)
        err->hint = arena_printf(arena, "Perhaps you meant the table '%.*s.%.*s'", STR_ARG(schema),
                                 STR_ARG(best));
    return false;
}

bool catalog_column_missing(const struct catalog_table *t, struct str column, struct err *err)
{
    err_set(err, 400, "PGRST204", "Could not find the '%.*s' column of '%.*s' in the schema cache",
            STR_ARG(column), STR_ARG(t->name));
    if (catalog_looks_json(column))
        err->hint = CATALOG_HINT_JSON;
    return false;
}

bool catalog_looks_json(struct str name)
{
    return name.n && (name.p[0] == '{' || name.p[0] == '[');
}
