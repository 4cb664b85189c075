#include "rest/prefs.h"

#include "util/buf.h"

enum group { RESOLUTION, RETURN, COUNT, TX, MISSING, HANDLING };

/* In the order of Preference-Applied, as far as groups go. */
static const struct word {
    struct str text;
    enum group group;
    int value;
} words[] = {
    {{"resolution=merge-duplicates", 27}, RESOLUTION, REST_MERGE_DUPLICATES},
    {{"resolution=ignore-duplicates", 28}, RESOLUTION, REST_IGNORE_DUPLICATES},
    {{"missing=default", 15}, MISSING, REST_MISSING_DEFAULT},
    {{"missing=null", 12}, MISSING, REST_MISSING_NULL},
    {{"return=representation", 21}, RETURN, REST_RETURN_REPRESENTATION},
    {{"return=minimal", 14}, RETURN, REST_RETURN_MINIMAL},
    {{"return=headers-only", 19}, RETURN, REST_RETURN_HEADERS_ONLY},
    {{"count=exact", 11}, COUNT, REST_COUNT_EXACT},
    {{"count=planned", 13}, COUNT, REST_COUNT_PLANNED},
    {{"count=estimated", 15}, COUNT, REST_COUNT_ESTIMATED},
    {{"tx=commit", 9}, TX, REST_TX_COMMIT},
    {{"tx=rollback", 11}, TX, REST_TX_ROLLBACK},
    {{"handling=strict", 15}, HANDLING, REST_HANDLING_STRICT},
    {{"handling=lenient", 16}, HANDLING, REST_HANDLING_LENIENT},
};

#define TIMEOUT_MAX_S 86400u /* a day: longer than anybody waits for an answer */

static int group_value(const struct rest_prefs *p, enum group group)
{
    switch (group) {
    case RESOLUTION: return (int)p->resolution;
    case RETURN: return (int)p->returning;
    case COUNT: return (int)p->count;
    case TX: return (int)p->tx;
    case MISSING: return (int)p->missing;
    case HANDLING: break;
    }
    return (int)p->handling;
}

static void take_word(struct rest_prefs *p, const struct word *word, bool tx_override)
{
    if (group_value(p, word->group) != 0)
        return;
    switch (word->group) {
    case RESOLUTION: p->resolution = (enum rest_resolution)word->value; break;
    case RETURN: p->returning = (enum rest_return)word->value; break;
    case COUNT: p->count = (enum rest_count)word->value; break;
    case MISSING: p->missing = (enum rest_missing)word->value; break;
    case HANDLING: p->handling = (enum rest_handling)word->value; break;
    case TX:
        if (tx_override)
            p->tx = (enum rest_tx)word->value;
        break;
    }
}

/* "5", "2.5": seconds, above zero; digits behind the sixth are not looked at. */
static bool seconds(struct str text, uint64_t *us)
{
    uint64_t whole, unit = 1000000, fraction = 0;
    size_t dot = str_find(text, '.', 0);
    if (!str_u64((struct str){text.p, dot}, TIMEOUT_MAX_S, &whole))
        return false;
    for (size_t i = dot + 1; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        unit /= 10;
        fraction += (uint64_t)(text.p[i] - '0') * unit;
    }
    *us = whole * 1000000 + fraction;
    return *us > 0 && (dot >= text.n || dot + 1 < text.n);
}

/* name=value preferences. Like a known word, one of them is never "invalid", even where its value
 * says nothing; only timeout, our own, is. */
static bool take_value(struct rest_prefs *p, struct str item)
{
    if (str_starts(item, STR("timezone="))) {
        if (!p->timezone.p)
            p->timezone = str_from(item, sizeof "timezone=" - 1);
        return true;
    }
    if (str_starts(item, STR("max-affected="))) {
        if (!p->has_max_affected)
            p->has_max_affected =
                str_i64(str_from(item, sizeof "max-affected=" - 1), &p->max_affected);
        return true;
    }
    if (str_starts(item, STR("timeout="))) {
        struct str text = str_from(item, sizeof "timeout=" - 1);
        if (p->has_timeout)
            return true;
        p->has_timeout = seconds(text, &p->timeout_us);
        p->timeout = text;
        return p->has_timeout;
    }
    return false;
}

static bool take_invalid(struct arena *arena, struct rest_prefs *p, struct str item,
                         struct err *err)
{
    const char *list = p->invalid.n == 0
                           ? arena_strdup(arena, item)
                           : arena_printf(arena, "%.*s, %.*s", STR_ARG(p->invalid), STR_ARG(item));
    if (!list)
        return err_set(err, 400, "PGRST122", "Too many preferences");
    p->invalid = str_of(list);
    return true;
}

bool rest_prefs_add(struct arena *arena, struct str value, bool tx_override, struct rest_prefs *p,
                    struct err *err)
{
    struct str rest = value, item;
    unsigned unknown = 0;
    while (str_next(&rest, ',', &item)) {
        size_t i = 0, n = sizeof words / sizeof *words;
        item = str_trim(item);
        while (i < n && !str_eq(words[i].text, item))
            i++;
        if (i < n)
            take_word(p, &words[i], tx_override);
        else if (!take_value(p, item) && ++unknown <= 64 && !take_invalid(arena, p, item, err))
            return false;
    }
    return true;
}

bool rest_prefs_check(struct arena *arena, const struct rest_prefs *p, struct err *err)
{
    if (p->handling != REST_HANDLING_STRICT || p->invalid.n == 0)
        return true;
    err_set(err, 400, "PGRST122", "Invalid preferences given with handling=strict");
    err->details = arena_printf(arena, "Invalid preferences: %.*s", STR_ARG(p->invalid));
    return false;
}

static bool any(const struct rest_prefs *p)
{
    return p->resolution || p->missing || p->returning || p->count || p->tx || p->handling ||
           p->timezone.p || p->has_max_affected || p->has_timeout;
}

static void add_words(const struct rest_prefs *p, struct buf *out)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (group_value(p, words[i].group) == words[i].value) {
            if (out->n > 0)
                BUF_LIT(out, ", ");
            buf_adds(out, words[i].text);
        }
}

struct str rest_prefs_applied(struct arena *arena, const struct rest_prefs *p)
{
    struct buf out;
    if (!any(p))
        return (struct str){0};
    buf_init(&out, 16384);
    add_words(p, &out);
    if (p->timezone.p)
        buf_printf(&out, "%stimezone=%.*s", out.n ? ", " : "", STR_ARG(p->timezone));
    if (p->has_max_affected && p->handling == REST_HANDLING_STRICT)
        buf_printf(&out, "%smax-affected=%lld", out.n ? ", " : "", (long long)p->max_affected);
    if (p->has_timeout)
        buf_printf(&out, "%stimeout=%.*s", out.n ? ", " : "", STR_ARG(p->timeout));
    struct str applied = {0};
    if (!buf_broken(&out) && out.n > 0)
        applied = arena_str(arena, buf_str(&out));
    buf_fini(&out);
    return applied;
}
