#include "sql/options.h"

const char sql_options_headers[] =
    "Content-Type, Neon-Connection-String, Neon-Raw-Text-Output, Neon-Array-Mode, "
    "Neon-Batch-Isolation-Level, Neon-Batch-Read-Only, Neon-Batch-Deferrable, Pghttpd-Timeout, "
    "Pghttpd-Max-Rows, Pghttpd-Retry, Pghttpd-Isolation, Pghttpd-Read-Only, Pghttpd-Deferrable, "
    "Pghttpd-Array-Mode, Pghttpd-Raw, Pghttpd-Fields, X-Request-Id";

bool sql_duration(struct str text, uint64_t *us)
{
    static const struct {
        struct str name;
        uint64_t us;
    } units[] = {{{"us", 2}, 1},         {{"ms", 2}, 1000},    {{"s", 1}, 1000000},
                 {{"min", 3}, 60000000}, {{"m", 1}, 60000000}, {{"h", 1}, 3600000000},
                 {{"", 0}, 1000000}};
    size_t digits = 0;
    while (digits < text.n && ((text.p[digits] >= '0' && text.p[digits] <= '9')))
        digits++;
    size_t behind = digits;
    uint64_t whole, fraction = 0, scale = 1;
    if (!str_u64((struct str){text.p, digits}, 1000000, &whole))
        return false;
    if (behind < text.n && text.p[behind] == '.') {
        for (behind++; behind < text.n && text.p[behind] >= '0' && text.p[behind] <= '9'; behind++)
            if (scale < 1000000) {
                fraction = fraction * 10 + (uint64_t)(text.p[behind] - '0');
                scale *= 10;
            }
        if (scale == 1)
            return false;
    }
    struct str unit = str_from(text, behind);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (str_eq(unit, units[i].name)) {
            *us = whole * units[i].us + fraction * units[i].us / scale;
            return *us > 0;
        }
    return false;
}

/* true/1/on, false/0/off; the empty value of "?raw" and "?raw=" means true */
static bool read_flag(struct str value, bool *out)
{
    bool yes = value.n == 0 || str_ieq(value, STR("true")) || str_eq(value, STR("1")) ||
               str_ieq(value, STR("on"));
    bool no = str_ieq(value, STR("false")) || str_eq(value, STR("0")) || str_ieq(value, STR("off"));
    *out = yes;
    return yes || no;
}

/* Neon's spelling and PostgreSQL's: letters alone count. */
static bool read_isolation(struct str value, enum db_isolation *out)
{
    static const struct {
        struct str name;
        enum db_isolation level;
    } levels[] = {{{"readuncommitted", 15}, DB_READ_UNCOMMITTED},
                  {{"readcommitted", 13}, DB_READ_COMMITTED},
                  {{"repeatableread", 14}, DB_REPEATABLE_READ},
                  {{"serializable", 12}, DB_SERIALIZABLE}};
    char letters[20];
    size_t n = 0;
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] != ' ' && value.p[i] != '_' && value.p[i] != '-') {
            if (n == sizeof letters)
                return false;
            letters[n++] = value.p[i];
        }
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (str_ieq((struct str){letters, n}, levels[i].name)) {
            *out = levels[i].level;
            return true;
        }
    return false;
}

enum option {
    OPTION_TIMEOUT,
    OPTION_MAX_ROWS,
    OPTION_RETRY,
    OPTION_ISOLATION,
    OPTION_READ_ONLY,
    OPTION_DEFERRABLE,
    OPTION_ARRAY_MODE,
    OPTION_RAW,
    OPTION_FIELDS,
    OPTIONS
};

/* "Pghttpd-" stands before the header's name. */
static const struct option_row {
    struct str url, header;
    const char *expected;
} table[OPTIONS] = {
    [OPTION_TIMEOUT] = {{"timeout", 7}, {"Timeout", 7}, "a time above 0, like 5s, 250ms or 1.5"},
    [OPTION_MAX_ROWS] = {{"max_rows", 8}, {"Max-Rows", 8}, "a whole number"},
    [OPTION_RETRY] = {{"retry", 5}, {"Retry", 5}, "a whole number from 0 to 10"},
    [OPTION_ISOLATION] = {{"isolation", 9},
                          {"Isolation", 9},
                          "ReadUncommitted, ReadCommitted, RepeatableRead or Serializable"},
    [OPTION_READ_ONLY] = {{"read_only", 9}, {"Read-Only", 9}, "true or false"},
    [OPTION_DEFERRABLE] = {{"deferrable", 10}, {"Deferrable", 10}, "true or false"},
    [OPTION_ARRAY_MODE] = {{"array_mode", 10}, {"Array-Mode", 10}, "true or false"},
    [OPTION_RAW] = {{"raw", 3}, {"Raw", 3}, "true or false"},
    [OPTION_FIELDS] = {{"fields", 6}, {"Fields", 6}, "true or false"},
};

static bool set_option(struct sql_options *o, enum option which, struct str value)
{
    uint64_t number = 0;
    switch (which) {
    case OPTION_TIMEOUT: return sql_duration(value, &o->timeout_us);
    case OPTION_MAX_ROWS: o->limited = true; return str_u64(value, UINT64_MAX, &o->max_rows);
    case OPTION_RETRY:
        if (!str_u64(value, SQL_RETRY_MAX, &number))
            return false;
        o->retry = (unsigned)number;
        return true;
    case OPTION_ISOLATION: return read_isolation(value, &o->isolation);
    case OPTION_READ_ONLY: return read_flag(value, &o->read_only);
    case OPTION_DEFERRABLE: return read_flag(value, &o->deferrable);
    case OPTION_ARRAY_MODE: return read_flag(value, &o->array_mode);
    case OPTION_RAW: return read_flag(value, &o->raw);
    case OPTION_FIELDS: return read_flag(value, &o->fields);
    case OPTIONS: break;
    }
    return false;
}

static bool bad_value(struct err *err, struct str name, struct str value, const char *expected)
{
    return err_set(err, 400, "PGH102", "%.*s: \"%.*s\" is not %s", STR_ARG(name),
                   value.n > 100 ? 100 : (int)value.n, value.p, expected);
}

static bool set_pghttpd_header(struct sql_options *o, struct str name, struct str value,
                               struct err *err)
{
    struct str option = str_from(name, sizeof "Pghttpd-" - 1);
    for (unsigned i = 0; i < OPTIONS; i++)
        if (str_ieq(option, table[i].header))
            return set_option(o, (enum option)i, value) ||
                   bad_value(err, name, value, table[i].expected);
    return err_set(err, 400, "PGH102", "unknown header %.*s", name.n > 100 ? 100 : (int)name.n,
                   name.p);
}

static const struct str neon_levels[] = {[DB_READ_UNCOMMITTED] = {"ReadUncommitted", 15},
                                         [DB_READ_COMMITTED] = {"ReadCommitted", 13},
                                         [DB_REPEATABLE_READ] = {"RepeatableRead", 14},
                                         [DB_SERIALIZABLE] = {"Serializable", 12}};

/* The URL may have said otherwise, and a value that Neon does not know means false. */
static void settle_echoes(struct sql_options *o)
{
    static const struct str flags[] = {{"false", 5}, {"true", 4}};
    if (o->echo_isolation.p)
        o->echo_isolation = neon_levels[o->isolation];
    if (o->echo_read_only.p)
        o->echo_read_only = flags[o->read_only];
    if (o->echo_deferrable.p)
        o->echo_deferrable = flags[o->deferrable];
}

/* Exactly Neon's spelling here; Read-Only and Deferrable say "true" or "false". */
static bool set_neon_header(struct sql_options *o, struct str name, struct str value,
                            struct err *err)
{
    struct str what = str_from(name, sizeof "Neon-" - 1);
    if (str_ieq(what, STR("Connection-String"))) {
        o->connection_string = value;
    } else if (str_ieq(what, STR("Raw-Text-Output"))) {
        o->raw = str_eq(value, STR("true"));
    } else if (str_ieq(what, STR("Array-Mode"))) {
        o->array_mode = str_eq(value, STR("true"));
    } else if (str_ieq(what, STR("Batch-Read-Only"))) {
        o->echo_read_only = value;
        o->read_only = str_eq(value, STR("true"));
    } else if (str_ieq(what, STR("Batch-Deferrable"))) {
        o->echo_deferrable = value;
        o->deferrable = str_eq(value, STR("true"));
    } else if (str_ieq(what, STR("Batch-Isolation-Level"))) {
        for (unsigned i = DB_READ_UNCOMMITTED; i <= DB_SERIALIZABLE; i++)
            if (str_eq(value, neon_levels[i])) {
                o->echo_isolation = value;
                o->isolation = (enum db_isolation)i;
                return true;
            }
        return bad_value(err, name, value, table[OPTION_ISOLATION].expected);
    }
    return true;
}

bool sql_options_header(struct sql_options *o, struct str name, struct str value, struct err *err)
{
    switch (name.n ? name.p[0] | 0x20 : 0) {
    case 'a':
        if (str_ieq(name, STR("Accept")))
            o->accept = value;
        else if (str_ieq(name, STR("Authorization")))
            o->authorization = value;
        return true;
    case 'c':
        if (str_ieq(name, STR("Content-Type")))
            o->content_type = value;
        return true;
    case 'n': return !str_istarts(name, STR("Neon-")) || set_neon_header(o, name, value, err);
    case 'p': return !str_istarts(name, STR("Pghttpd-")) || set_pghttpd_header(o, name, value, err);
    default: return true;
    }
}

static bool set_parameter(struct sql_options *o, struct str name, struct str value, struct err *err)
{
    if (str_eq(name, STR("query"))) {
        o->query = value;
        return true;
    }
    if (str_eq(name, STR("params"))) {
        o->params = value;
        return true;
    }
    for (unsigned i = 0; i < OPTIONS; i++)
        if (str_eq(name, table[i].url))
            return set_option(o, (enum option)i, value) ||
                   bad_value(err, name, value, table[i].expected);
    return err_set(err, 400, "PGH102", "unknown URL parameter \"%.*s\"",
                   name.n > 100 ? 100 : (int)name.n, name.p);
}

bool sql_options_url(struct sql_options *o, struct arena *arena, struct str query, struct err *err)
{
    struct str pair;
    while (str_next(&query, '&', &pair)) {
        if (pair.n == 0)
            continue;
        size_t equals = str_find(pair, '=', 0);
        struct str raw = str_from(pair, equals + 1);
        char *value = arena_alloc(arena, raw.n + 1), *name = arena_alloc(arena, equals + 1);
        size_t value_n, name_n;
        if (!value || !name)
            return err_set(err, 414, "54000", "the URL is too long for this request");
        if (!str_percent_decode((struct str){pair.p, equals}, true, false, name, &name_n) ||
            !str_percent_decode(raw, true, false, value, &value_n))
            return err_set(err, 400, "PGH102", "a stray %% in the URL: write it as %%25");
        if (memchr(value, '\0', value_n))
            return err_set(err, 400, "22021", "a NUL in the URL (%%00)");
        value[value_n] = '\0';
        if (!set_parameter(o, (struct str){name, name_n}, (struct str){value, value_n}, err))
            return false;
    }
    return true;
}

/* The q of one Accept element in thousandths; 1000 when there is none. */
static unsigned quality(struct str parameters)
{
    struct str part;
    while (str_next(&parameters, ';', &part)) {
        part = str_trim(part);
        if (part.n < 3 || (part.p[0] | 0x20) != 'q' || part.p[1] != '=')
            continue;
        unsigned q = part.p[2] == '1' ? 1000 : 0, scale = 100;
        for (size_t i = 4; q == 0 && i < part.n && i < 7 && scale; i++, scale /= 10)
            q += (unsigned)(part.p[i] - '0') % 10 * scale;
        return q;
    }
    return 1000;
}

/* How much an element of Accept says for a format: exact beats type/..., beats anything. */
static unsigned matches(struct str type, enum sql_format format)
{
    static const struct str names[] = {[SQL_JSON] = {"application/json", 16},
                                       [SQL_NDJSON] = {"application/x-ndjson", 20},
                                       [SQL_CSV] = {"text/csv", 8}};
    if (str_ieq(type, names[format]))
        return 3;
    if (str_ieq(type, STR("*/*")))
        return 1;
    struct str family = {names[format].p, str_find(names[format], '/', 0) + 1};
    bool wild = type.n == family.n + 1 && type.p[type.n - 1] == '*';
    return wild && str_istarts(type, family) ? 2 : 0;
}

static unsigned format_quality(struct str accept, enum sql_format format)
{
    unsigned best = 0, q = 0;
    struct str element;
    while (str_next(&accept, ',', &element)) {
        size_t end = str_find(element, ';', 0);
        unsigned match = matches(str_trim((struct str){element.p, end}), format);
        if (match > best) {
            best = match;
            q = quality(str_from(element, end + 1));
        }
    }
    return q;
}

bool sql_options_finish(struct sql_options *o, struct err *err)
{
    settle_echoes(o);
    if (o->deferrable && (o->isolation != DB_SERIALIZABLE || !o->read_only))
        o->deferrable = false; /* PostgreSQL gives it a meaning only there */
    o->format = SQL_JSON;
    if (!o->accept.p || o->accept.n == 0)
        return true;
    unsigned best = format_quality(o->accept, SQL_JSON);
    for (enum sql_format f = SQL_NDJSON; f <= SQL_CSV; f++) {
        unsigned q = format_quality(o->accept, f);
        if (q > best) {
            best = q;
            o->format = f;
        }
    }
    if (best == 0)
        return err_set(
            err, 406, "PGH105",
            "Accept: application/json, application/x-ndjson and text/csv are spoken here");
    return true;
}
