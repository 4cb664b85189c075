/* Texts of settings to fields and back. Words for yes and no and the units are taken without regard
 * to case; an empty text never comes here (it means: the default). */
#include "conf/conf_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void conf_origin_text(const struct conf_origin *o, char *out, size_t n)
{
    switch (o->source) {
    case CONF_FROM_FILE:
        snprintf(out, n, "%s:%d: %s%s%s", o->name, o->line, o->section ? "database " : "",
                 o->section ? o->section : "", o->section ? ": " : "");
        break;
    case CONF_FROM_ENVIRONMENT: snprintf(out, n, "environment variable %s: ", o->name); break;
    case CONF_FROM_DATABASE: snprintf(out, n, "setting in the database: "); break;
    case CONF_FROM_ARGUMENT: snprintf(out, n, "command line: "); break;
    case CONF_FROM_DEFAULT:
    default: out[0] = '\0'; break;
    }
}

bool conf_fail(struct err *err, const struct conf_origin *o, const char *key, const char *fmt, ...)
{
    char what[600], where[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    conf_origin_text(o, where, sizeof where);
    return err_set(err, 400, "PGHCONF", "%s%s%s%s", where, key ? key : "", key ? ": " : "", what);
}

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit byte_units[] = {{"", 1},
                                         {"b", 1},
                                         {"k", 1 << 10},
                                         {"kb", 1 << 10},
                                         {"kib", 1 << 10},
                                         {"m", 1 << 20},
                                         {"mb", 1 << 20},
                                         {"mib", 1 << 20},
                                         {"g", 1 << 30},
                                         {"gb", 1 << 30},
                                         {"gib", 1 << 30},
                                         {"t", UINT64_C(1) << 40},
                                         {"tb", UINT64_C(1) << 40},
                                         {NULL, 0}};

static const struct unit time_units[] = {{"", 1000000},
                                         {"us", 1},
                                         {"ms", 1000},
                                         {"s", 1000000},
                                         {"sec", 1000000},
                                         {"m", 60000000},
                                         {"min", 60000000},
                                         {"h", UINT64_C(3600000000)},
                                         {"d", UINT64_C(86400000000)},
                                         {NULL, 0}};

/* Digits, at most six behind a point, and a unit. */
static bool with_unit(struct str s, const struct unit *units, uint64_t *out)
{
    uint64_t whole, fraction = 0, scale = 1, product;
    size_t i = 0;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    if (!str_u64((struct str){s.p, i}, UINT64_MAX, &whole))
        return false;
    if (i < s.n && s.p[i] == '.') {
        size_t start = ++i;
        for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, scale *= 10)
            if (i - start >= 6)
                return false;
        if (!str_u64((struct str){s.p + start, i - start}, UINT64_MAX, &fraction))
            return false;
    }
    struct str unit = str_trim(str_from(s, i));
    for (; units->name; units++)
        if (str_ieq(unit, str_of(units->name)))
            break;
    if (!units->name || __builtin_mul_overflow(whole, units->factor, &product))
        return false;
    return !__builtin_add_overflow(product, fraction * units->factor / scale, out);
}

bool conf_parse_bytes(struct str s, uint64_t *out)
{
    return with_unit(s, byte_units, out);
}

bool conf_parse_duration(struct str s, uint64_t *us)
{
    return with_unit(s, time_units, us);
}

/* PostgREST takes numbers for yes and no, and quotes that came along through an env file. */
static bool parse_bool(struct str s, bool *out)
{
    uint64_t number;
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        s = (struct str){s.p + 1, s.n - 2};
    *out = str_ieq(s, STR("true")) || str_ieq(s, STR("yes")) || str_ieq(s, STR("on"));
    if (*out || str_ieq(s, STR("false")) || str_ieq(s, STR("no")) || str_ieq(s, STR("off")))
        return true;
    if (!str_u64(s, UINT64_MAX, &number))
        return false;
    *out = number > 0;
    return true;
}

static bool parse_octal(struct str s, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '7' || i > 4)
            return false;
        *out = *out * 8 + (uint64_t)(s.p[i] - '0');
    }
    return s.n > 0;
}

static bool parse_words(const struct conf_key *key, struct str s, int *out, char *what)
{
    size_t n = 0;
    for (const struct conf_word *w = key->words; w->name; w++)
        if (str_ieq(s, str_of(w->name))) {
            *out = w->value;
            return true;
        }
    n += (size_t)snprintf(what, 256, "one of");
    for (const struct conf_word *w = key->words; w->name && n < 200; w++)
        n += (size_t)snprintf(what + n, 256 - n, "%s %s", w == key->words ? "" : ",", w->name);
    return false;
}

static bool parse_list(struct arena *a, struct str s, struct conf_list *out)
{
    struct str rest = s, item;
    size_t n = 1;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == ',';
    const char **v = arena_array(a, n, sizeof *v);
    *out = (struct conf_list){.v = v};
    while (v && str_next(&rest, ',', &item)) {
        item = str_trim(item);
        if (item.n && !(v[out->n++] = arena_strdup(a, item)))
            return false;
    }
    return v != NULL;
}

static void print_number(struct buf *out, const struct conf_key *key, uint64_t v);

static void what_range(const struct conf_key *key, const char *kind, char *what)
{
    struct buf b;
    buf_init(&b, 256);
    buf_printf(&b, "%s from ", kind);
    print_number(&b, key, key->min);
    BUF_LIT(&b, " to ");
    print_number(&b, key, key->max);
    if (key->flags & CONF_CAN_OFF)
        BUF_LIT(&b, ", or off");
    if (key->flags & CONF_CAN_AUTO)
        BUF_LIT(&b, ", or auto");
    snprintf(what, 256, "%.*s", STR_ARG(buf_str(&b)));
    buf_fini(&b);
}

static uint64_t cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 256 ? 256 : (uint64_t)n;
}

static bool parse_number(const struct conf_key *key, struct str s, uint64_t *v, char *what)
{
    static const char *const kinds[] = {[CONF_UINT] = "a number",
                                        [CONF_U64] = "a number",
                                        [CONF_BYTES] = "a size (like 16MB or 65536)",
                                        [CONF_DURATION] = "a time (like 5s, 250ms or 30)",
                                        [CONF_PORT] = "a port",
                                        [CONF_MODE] = "an octal file mode"};
    bool ok;
    if ((key->flags & CONF_CAN_OFF) && str_ieq(s, STR("off"))) {
        *v = key->type == CONF_PORT ? CONF_PORT_OFF : 0;
        return true;
    }
    if ((key->flags & CONF_CAN_AUTO) && str_ieq(s, STR("auto"))) {
        *v = cores();
        return true;
    }
    if (key->type == CONF_BYTES)
        ok = conf_parse_bytes(s, v);
    else if (key->type == CONF_DURATION)
        ok = conf_parse_duration(s, v);
    else if (key->type == CONF_MODE)
        ok = parse_octal(s, v);
    else
        ok = str_u64(s, UINT64_MAX, v);
    if (ok && *v >= key->min && *v <= key->max)
        return true;
    what_range(key, kinds[key->type], what);
    return false;
}

bool conf_parse(struct arena *a, const struct conf_key *key, struct str s, void *field,
                char what[static 256])
{
    uint64_t v = 0;
    s = str_trim(s);
    switch (key->type) {
    case CONF_BOOL: snprintf(what, 256, "true or false"); return parse_bool(s, field);
    case CONF_WORDS: return parse_words(key, s, field, what);
    case CONF_LIST:
        snprintf(what, 256, "a list of a bearable length");
        return parse_list(a, s, field);
    case CONF_TEXT:
        snprintf(what, 256, "of a bearable length");
        if ((key->flags & CONF_CAN_OFF) && str_ieq(s, STR("off")))
            return *(const char **)field = NULL, true;
        return (*(const char **)field = arena_strdup(a, s)) != NULL;
    case CONF_UINT:
    case CONF_PORT:
    case CONF_MODE:
        if (!parse_number(key, s, &v, what))
            return false;
        *(unsigned *)field = (unsigned)v;
        return true;
    case CONF_BYTES:
        if (!parse_number(key, s, &v, what))
            return false;
        *(size_t *)field = (size_t)v;
        return true;
    case CONF_U64:
    case CONF_DURATION:
        if (!parse_number(key, s, &v, what))
            return false;
        *(uint64_t *)field = v;
        return true;
    default: return false;
    }
}

/* In double quotes, as a configuration file takes it back: $ is doubled. */
void conf_quote(struct buf *out, struct str s)
{
    buf_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '$')
            BUF_LIT(out, "$$");
        else if (c == '\n')
            BUF_LIT(out, "\\n");
        else if (c == '\r')
            BUF_LIT(out, "\\r");
        else if (c == '\t')
            BUF_LIT(out, "\\t");
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\u%04x", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

static void print_bytes(struct buf *out, uint64_t v)
{
    static const char *const names[] = {"", "KB", "MB", "GB", "TB"};
    size_t unit = 0;
    while (unit < 4 && v && v % 1024 == 0) {
        v /= 1024;
        unit++;
    }
    buf_printf(out, "%llu%s", (unsigned long long)v, names[unit]);
}

static void print_duration(struct buf *out, uint64_t us)
{
    if (us % 1000000 == 0)
        buf_printf(out, "%llus", (unsigned long long)(us / 1000000));
    else if (us % 1000 == 0)
        buf_printf(out, "%llums", (unsigned long long)(us / 1000));
    else
        buf_printf(out, "%lluus", (unsigned long long)us);
}

static void print_number(struct buf *out, const struct conf_key *key, uint64_t v)
{
    if (key->type == CONF_BYTES)
        print_bytes(out, v);
    else if (key->type == CONF_DURATION)
        print_duration(out, v);
    else if (key->type == CONF_MODE)
        buf_printf(out, "%o", (unsigned)v);
    else
        buf_u64(out, v);
}

/* The end of user:password@ in an authority; NULL without a password. */
static void redact_authority(struct buf *out, struct str authority)
{
    size_t at = authority.n;
    while (at > 0 && authority.p[at - 1] != '@')
        at--;
    size_t colon = at ? str_find((struct str){authority.p, at}, ':', 0) : at;
    if (!at || colon == at) {
        buf_adds(out, authority);
        return;
    }
    buf_add(out, authority.p, colon + 1);
    BUF_LIT(out, "***@");
    buf_adds(out, str_from(authority, at));
}

/* Copies pair=value parts, hiding the values of password and sslpassword. */
static void redact_pairs(struct buf *out, struct str s, char separator)
{
    for (size_t i = 0; i < s.n;) {
        size_t end = i;
        char quote = 0;
        for (; end < s.n && (quote || s.p[end] != separator); end++) {
            if (separator == ' ' && s.p[end] == '\\' && end + 1 < s.n)
                end++;
            else if (separator == ' ' && s.p[end] == '\'')
                quote = quote ? 0 : '\'';
        }
        struct str part = {s.p + i, end - i};
        size_t equals = str_find(part, '=', 0);
        struct str name = str_trim((struct str){part.p, equals});
        if (equals < part.n &&
            (str_ieq(name, STR("password")) || str_ieq(name, STR("sslpassword")))) {
            buf_add(out, part.p, equals + 1);
            BUF_LIT(out, "***");
        } else {
            buf_adds(out, part);
        }
        if (end < s.n)
            buf_char(out, separator);
        i = end + 1;
    }
}

void conf_redact_uri(struct buf *out, struct str uri)
{
    struct str scheme = str_starts(uri, STR("postgresql://")) ? STR("postgresql://")
                        : str_starts(uri, STR("postgres://")) ? STR("postgres://")
                                                              : (struct str){NULL, 0};
    if (!scheme.n) {
        /* "password = x" with blanks round the sign would escape the scan: show nothing then */
        bool blanks = memmem(uri.p, uri.n, " =", 2) || memmem(uri.p, uri.n, "= ", 2);
        if (blanks)
            BUF_LIT(out, "***");
        else
            redact_pairs(out, uri, ' ');
        return;
    }
    struct str rest = str_from(uri, scheme.n);
    size_t last_at = rest.n;
    while (last_at > 0 && rest.p[last_at - 1] != '@')
        last_at--;
    size_t slash = str_find(rest, '/', last_at), query = str_find(rest, '?', last_at);
    size_t end = slash < query ? slash : query;
    buf_adds(out, scheme);
    redact_authority(out, (struct str){rest.p, end});
    buf_add(out, rest.p + end, query - end);
    if (query < rest.n) {
        buf_char(out, '?');
        redact_pairs(out, str_from(rest, query + 1), '&');
    }
}

static void print_text(struct buf *out, const struct conf_key *key, const char *text)
{
    if (!text) {
        BUF_LIT(out, "\"\"");
    } else if (key->flags & CONF_SECRET) {
        BUF_LIT(out, "\"***\"");
    } else if (key->flags & CONF_URI) {
        struct buf plain;
        buf_init(&plain, BUF_NO_CEILING);
        conf_redact_uri(&plain, str_of(text));
        conf_quote(out, buf_str(&plain));
        buf_fini(&plain);
    } else {
        conf_quote(out, str_of(text));
    }
}

static void print_list(struct buf *out, const struct conf_list *list)
{
    struct buf plain;
    buf_init(&plain, BUF_NO_CEILING);
    for (size_t i = 0; i < list->n; i++)
        buf_printf(&plain, "%s%s", i ? "," : "", list->v[i]);
    conf_quote(out, buf_str(&plain));
    buf_fini(&plain);
}

static void print_unsigned(struct buf *out, const struct conf_key *key, uint64_t v)
{
    if ((key->flags & CONF_CAN_OFF) && v == (key->type == CONF_PORT ? CONF_PORT_OFF : 0))
        BUF_LIT(out, "off");
    else
        print_number(out, key, v);
}

void conf_print_value(struct buf *out, const struct conf_key *key, const void *field)
{
    switch (key->type) {
    case CONF_BOOL: buf_adds(out, *(const bool *)field ? STR("true") : STR("false")); break;
    case CONF_WORDS:
        for (const struct conf_word *w = key->words; w->name; w++)
            if (w->value == *(const int *)field)
                conf_quote(out, str_of(w->name));
        break;
    case CONF_LIST: print_list(out, field); break;
    case CONF_TEXT: print_text(out, key, *(const char *const *)field); break;
    case CONF_MODE: buf_printf(out, "\"%o\"", *(const unsigned *)field); break;
    case CONF_UINT:
    case CONF_PORT: print_unsigned(out, key, *(const unsigned *)field); break;
    case CONF_BYTES: print_unsigned(out, key, *(const size_t *)field); break;
    case CONF_U64:
    case CONF_DURATION: print_unsigned(out, key, *(const uint64_t *)field); break;
    default: break;
    }
}
