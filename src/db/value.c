#include "db/value.h"

#include "db/types.h"
#include "json/writer.h"

/* pg_type.dat: the built-in array types and their elements, ascending. Not in it: int2vector and
 * oidvector, whose text is no array's. */
static const struct {
    db_oid array, element;
} arrays[] = {
    {143, 142},   {199, 114},   {271, 5069},  {629, 628},   {651, 650},   {719, 718},
    {775, 774},   {791, 790},   {1000, 16},   {1001, 17},   {1002, 18},   {1003, 19},
    {1005, 21},   {1006, 22},   {1007, 23},   {1008, 24},   {1009, 25},   {1010, 27},
    {1011, 28},   {1012, 29},   {1013, 30},   {1014, 1042}, {1015, 1043}, {1016, 20},
    {1017, 600},  {1018, 601},  {1019, 602},  {1020, 603},  {1021, 700},  {1022, 701},
    {1027, 604},  {1028, 26},   {1034, 1033}, {1040, 829},  {1041, 869},  {1115, 1114},
    {1182, 1082}, {1183, 1083}, {1185, 1184}, {1187, 1186}, {1231, 1700}, {1263, 2275},
    {1270, 1266}, {1561, 1560}, {1563, 1562}, {2201, 1790}, {2207, 2202}, {2208, 2203},
    {2209, 2204}, {2210, 2205}, {2211, 2206}, {2287, 2249}, {2949, 2970}, {2951, 2950},
    {3221, 3220}, {3643, 3614}, {3644, 3642}, {3645, 3615}, {3735, 3734}, {3770, 3769},
    {3807, 3802}, {3905, 3904}, {3907, 3906}, {3909, 3908}, {3911, 3910}, {3913, 3912},
    {3927, 3926}, {4073, 4072}, {4090, 4089}, {4097, 4096}, {4192, 4191}, {5039, 5038},
    {6150, 4451}, {6151, 4532}, {6152, 4533}, {6153, 4534}, {6155, 4535}, {6157, 4536},
};

#define BOX_ARRAY 1020

static db_oid builtin_element(db_oid type)
{
    size_t low = 0, high = sizeof arrays / sizeof *arrays;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (arrays[mid].array < type)
            low = mid + 1;
        else
            high = mid;
    }
    return low < sizeof arrays / sizeof *arrays && arrays[low].array == type ? arrays[low].element
                                                                             : 0;
}

struct db_conv db_value_conv(const struct db_types *types, db_oid type)
{
    struct db_conv c = {.kind = DB_VALUE_TEXT, .delimiter = ',', .types = types};
    switch (type) {
    case 16: c.kind = DB_VALUE_BOOL; return c;
    case 21:
    case 23: c.kind = DB_VALUE_INTEGER; return c;
    case 700:
    case 701: c.kind = DB_VALUE_FLOAT; return c;
    case 114:
    case 3802: c.kind = DB_VALUE_JSON; return c;
    case 20:
    case 25:
    case 1043:
    case 1700: return c;
    default: break;
    }
    const struct db_type *own = db_types_find(types, type);
    c.element = own ? own->element : type < DB_FIRST_USER_OID ? builtin_element(type) : 0;
    if (c.element)
        c.kind = DB_VALUE_ARRAY;
    if (type == BOX_ARRAY)
        c.delimiter = ';';
    else if (own && own->element)
        c.delimiter = own->delimiter;
    return c;
}

/* ---- arrays (PostgreSQL docs, "Array Input and Output Syntax") ---- */

#define DIMENSIONS_MAX 6 /* PostgreSQL's MAXDIM */
#define NESTING_MAX 8    /* arrays inside elements, through domains */

struct array {
    struct str s;
    size_t at;
    struct db_conv element;
    char delimiter;
    unsigned nesting;
    struct buf unescaped; /* of the current element */
};

static void write_value(struct buf *out, const struct db_conv *c, struct str text,
                        unsigned nesting);

static char peek(const struct array *a)
{
    return a->at < a->s.n ? a->s.p[a->at] : '\0';
}

static bool write_quoted(struct buf *out, struct array *a)
{
    size_t from = ++a->at;
    bool escaped = false;
    buf_clear(&a->unescaped);
    while (a->at < a->s.n && a->s.p[a->at] != '"') {
        if (a->s.p[a->at] == '\\') {
            buf_add(&a->unescaped, a->s.p + from, a->at - from);
            from = ++a->at; /* the character behind it stands for itself */
            escaped = true;
            if (a->at >= a->s.n)
                return false;
        }
        a->at++;
    }
    if (a->at >= a->s.n)
        return false;
    struct str plain = {a->s.p + from, a->at - from};
    if (escaped) {
        buf_adds(&a->unescaped, plain);
        plain = buf_str(&a->unescaped);
    }
    a->at++;
    if (buf_broken(&a->unescaped))
        return false;
    write_value(out, &a->element, plain, a->nesting + 1);
    return true;
}

/* An unquoted element ends at the delimiter or a brace; NULL is null, whatever its case. */
static bool write_bare(struct buf *out, struct array *a)
{
    size_t from = a->at;
    while (a->at < a->s.n && a->s.p[a->at] != a->delimiter && a->s.p[a->at] != '}' &&
           a->s.p[a->at] != '{' && a->s.p[a->at] != '"' && a->s.p[a->at] != '\\')
        a->at++;
    struct str text = {a->s.p + from, a->at - from};
    if (text.n == 0)
        return false;
    if (str_ieq(text, STR("NULL")))
        BUF_LIT(out, "null");
    else
        write_value(out, &a->element, text, a->nesting + 1);
    return true;
}

static bool write_dimension(struct buf *out, struct array *a, unsigned depth)
{
    if (peek(a) != '{' || depth > DIMENSIONS_MAX)
        return false;
    a->at++;
    buf_char(out, '[');
    if (peek(a) != '}') {
        for (bool first = true; first || peek(a) == a->delimiter; first = false) {
            if (!first) {
                a->at++;
                buf_char(out, ',');
            }
            char c = peek(a);
            bool ok = c == '{'   ? write_dimension(out, a, depth + 1)
                      : c == '"' ? write_quoted(out, a)
                                 : write_bare(out, a);
            if (!ok)
                return false;
        }
    }
    if (peek(a) != '}')
        return false;
    a->at++;
    buf_char(out, ']');
    return true;
}

/* What does not read as an array after all is given as its text. */
static void write_array(struct buf *out, const struct db_conv *c, struct str text, unsigned nesting)
{
    size_t before = out->n;
    struct array a = {.s = text,
                      .element = db_value_conv(c->types, c->element),
                      .delimiter = c->delimiter,
                      .nesting = nesting};
    buf_init(&a.unescaped, BUF_NO_CEILING);
    if (text.n && text.p[0] == '[') /* [2:3]={...}: the bounds are dropped */
        a.at = str_find(text, '=', 0) + 1;
    if (nesting > NESTING_MAX || !write_dimension(out, &a, 1) || a.at != text.n) {
        out->n = before;
        json_write_string(out, text);
    }
    buf_fini(&a.unescaped);
}

/* NaN, Infinity and -Infinity begin with a letter; JSON has no such numbers. */
static void write_float(struct buf *out, struct str text)
{
    char c = text.n ? text.p[text.n - 1] : 'x';
    if (c >= '0' && c <= '9')
        buf_adds(out, text);
    else
        json_write_string(out, text);
}

static void write_value(struct buf *out, const struct db_conv *c, struct str text, unsigned nesting)
{
    switch (c->kind) {
    case DB_VALUE_BOOL:
        if (text.n == 1 && text.p[0] == 't')
            BUF_LIT(out, "true");
        else
            BUF_LIT(out, "false");
        break;
    case DB_VALUE_INTEGER:
    case DB_VALUE_JSON: buf_adds(out, text); break;
    case DB_VALUE_FLOAT: write_float(out, text); break;
    case DB_VALUE_ARRAY: write_array(out, c, text, nesting); break;
    case DB_VALUE_TEXT:
    default: json_write_string(out, text); break;
    }
}

void db_value_write(struct buf *out, const struct db_conv *c, struct str text)
{
    write_value(out, c, text, 0);
}
