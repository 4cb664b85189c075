#include "rest/media.h"

#include "util/buf.h"

static const struct known {
    struct str name;
    enum rest_media_kind kind;
} known[] = {
    {{"application/json", 16}, REST_MEDIA_JSON},
    {{"application/geo+json", 20}, REST_MEDIA_GEOJSON},
    {{"text/csv", 8}, REST_MEDIA_CSV},
    {{"text/plain", 10}, REST_MEDIA_TEXT},
    {{"text/xml", 8}, REST_MEDIA_XML},
    {{"application/openapi+json", 24}, REST_MEDIA_OPENAPI},
    {{"application/x-www-form-urlencoded", 33}, REST_MEDIA_FORM},
    {{"application/octet-stream", 24}, REST_MEDIA_OCTETS},
    {{"*/*", 3}, REST_MEDIA_ANY},
    {{"application/vnd.pgrst.object+json", 33}, REST_MEDIA_OBJECT},
    {{"application/vnd.pgrst.object", 28}, REST_MEDIA_OBJECT},
    {{"application/vnd.pgrst.array+json", 32}, REST_MEDIA_ARRAY_STRIP},
    {{"application/vnd.pgrst.array", 27}, REST_MEDIA_ARRAY_STRIP},
    {{"application/vnd.pgrst.plan", 26}, REST_MEDIA_PLAN},
    {{"application/vnd.pgrst.plan+text", 31}, REST_MEDIA_PLAN},
    {{"application/vnd.pgrst.plan+json", 31}, REST_MEDIA_PLAN},
};

static const struct {
    struct str word;
    enum rest_plan_option option;
} plan_options[] = {{{"analyze", 7}, REST_PLAN_ANALYZE},
                    {{"verbose", 7}, REST_PLAN_VERBOSE},
                    {{"settings", 8}, REST_PLAN_SETTINGS},
                    {{"buffers", 7}, REST_PLAN_BUFFERS},
                    {{"wal", 3}, REST_PLAN_WAL}};

struct params { /* the parameters that mean something to us */
    struct str target, options, nulls;
};

static struct str skip_spaces(struct str s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_from(s, 1);
    return s;
}

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '|';
}

/* *( OWS ";" OWS name OWS "=" OWS (token | quoted) ); stops at what it does not understand. */
static struct params read_params(struct str s)
{
    struct params params = {0};
    for (;;) {
        struct str name, value;
        s = skip_spaces(s);
        if (s.n == 0 || s.p[0] != ';')
            return params;
        s = skip_spaces(str_from(s, 1));
        name = (struct str){s.p, 0};
        while (name.n < s.n && word_char(s.p[name.n]))
            name.n++;
        s = skip_spaces(str_from(s, name.n));
        if (name.n == 0 || s.n == 0 || s.p[0] != '=')
            return params;
        s = skip_spaces(str_from(s, 1));
        if (s.n > 0 && s.p[0] == '"') {
            size_t close = str_find(s, '"', 1);
            if (close >= s.n)
                return params;
            value = (struct str){s.p + 1, close - 1};
            s = str_from(s, close + 1);
        } else {
            value = (struct str){s.p, 0};
            while (value.n < s.n && word_char(s.p[value.n]))
                value.n++;
            s = str_from(s, value.n);
        }
        if (str_ieq(name, STR("for")))
            params.target = value;
        else if (str_ieq(name, STR("options")))
            params.options = value;
        else if (str_ieq(name, STR("nulls")))
            params.nulls = value;
    }
}

static unsigned read_options(struct str text)
{
    unsigned options = 0;
    struct str rest = text, word;
    while (str_next(&rest, '|', &word))
        for (size_t i = 0; i < sizeof plan_options / sizeof *plan_options; i++)
            if (str_eq(word, plan_options[i].word))
                options |= (unsigned)plan_options[i].option;
    return options;
}

static struct rest_media parse(struct str text, bool inside_plan)
{
    struct rest_media media = {.kind = REST_MEDIA_OTHER, .text = text};
    size_t end = 0, i = 0;
    while (end < text.n && text.p[end] != ';' && text.p[end] != ' ' && text.p[end] != '\t')
        end++;
    struct str type = {text.p, end};
    while (i < sizeof known / sizeof *known && !str_ieq(known[i].name, type))
        i++;
    if (i == sizeof known / sizeof *known)
        return media;
    struct params params = read_params(str_from(text, end));
    bool strip = str_eq(params.nulls, STR("stripped"));
    media.kind = known[i].kind;
    if (media.kind == REST_MEDIA_OBJECT && strip)
        media.kind = REST_MEDIA_OBJECT_STRIP;
    if (media.kind == REST_MEDIA_ARRAY_STRIP && !strip)
        media.kind = REST_MEDIA_JSON;
    if (media.kind != REST_MEDIA_PLAN)
        return media;
    if (inside_plan) /* the plan of a plan */
        return (struct rest_media){.kind = REST_MEDIA_OTHER, .text = text};
    struct rest_media target =
        params.target.p ? parse(params.target, true) : (struct rest_media){.kind = REST_MEDIA_JSON};
    media.plan_for = target.kind;
    media.plan_for_text = target.text;
    media.plan_json = type.n > 4 && str_ieq(str_from(type, type.n - 4), STR("json"));
    media.plan_options = read_options(params.options);
    return media;
}

struct rest_media rest_media_parse(struct arena *arena, struct str text)
{
    (void)arena;
    return parse(str_trim(text), false);
}

struct ranked {
    struct rest_media media;
    int q;    /* thousandths */
    int rank; /* parameters make a range more specific, stars less so */
};

/* "0.5", "1", ".25" in thousandths; anything else counts as 1. */
static int quality(struct str s)
{
    int v = 0, unit = 1000;
    size_t i = 0;
    if (s.n == 0 || !((s.p[0] >= '0' && s.p[0] <= '9') || s.p[0] == '.'))
        return 1000;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        v = s.p[i] == '0' && v == 0 ? 0 : 1000;
    if (i < s.n && s.p[i] == '.')
        for (i++; i < s.n && unit > 1 && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
            unit /= 10;
            v += (s.p[i] - '0') * unit;
        }
    return v;
}

static struct ranked rank(struct str item, char *to)
{
    struct ranked r = {.q = 1000};
    size_t n = 0;
    for (size_t i = 0; i < item.n; i++)
        if (item.p[i] != ' ' && item.p[i] != '\t')
            to[n++] = item.p[i];
    struct str text = {to, n};
    for (size_t i = 0; i + 3 <= text.n; i++)
        if (memcmp(text.p + i, ";q=", 3) == 0) {
            struct str q = str_from(text, i + 3);
            r.q = quality((struct str){q.p, str_find(q, ';', 0)});
            text.n = i;
            break;
        }
    for (size_t i = 0; i < text.n; i++)
        r.rank += text.p[i] == ';' ? 1 : text.p[i] == '*' ? -1 : 0;
    r.media = parse(text, false);
    return r;
}

bool rest_media_accept(struct arena *arena, struct str header, struct rest_media_list *out,
                       struct err *err)
{
    static const struct rest_media any = {.kind = REST_MEDIA_ANY, .text = {"*/*", 3}};
    struct ranked list[REST_ACCEPT_MAX];
    struct str rest = header, item;
    size_t n = 0;
    *out = (struct rest_media_list){&any, 1};
    if (!header.p)
        return true;
    char *copy = arena_alloc(arena, header.n + 1);
    struct rest_media *media = arena_array(arena, REST_ACCEPT_MAX, sizeof *media);
    if (!copy || !media)
        return err_set(err, 406, "PGRST107", "Accept needs too much memory");
    while (str_next(&rest, ',', &item)) {
        if (n == REST_ACCEPT_MAX)
            return err_set(err, 406, "PGRST107", "Accept names more than %u media types",
                           REST_ACCEPT_MAX);
        struct ranked r = rank(item, copy);
        copy += item.n;
        if (r.q == 0)
            continue;
        size_t at = n++;
        for (; at > 0 &&
               (list[at - 1].q < r.q || (list[at - 1].q == r.q && list[at - 1].rank < r.rank));
             at--)
            list[at] = list[at - 1];
        list[at] = r;
    }
    for (size_t i = 0; i < n; i++)
        media[i] = list[i].media;
    *out = (struct rest_media_list){media, n};
    return true;
}

static struct str kind_name(enum rest_media_kind kind, struct str text)
{
    if (kind == REST_MEDIA_OTHER)
        return text;
    if (kind == REST_MEDIA_ARRAY_STRIP)
        return STR("application/vnd.pgrst.array+json;nulls=stripped");
    if (kind == REST_MEDIA_OBJECT_STRIP)
        return STR("application/vnd.pgrst.object+json;nulls=stripped");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].kind == kind)
            return known[i].name;
    return text;
}

struct str rest_media_name(struct arena *arena, const struct rest_media *media)
{
    struct buf out;
    if (media->kind != REST_MEDIA_PLAN)
        return kind_name(media->kind, media->text);
    buf_init(&out, 4096);
    struct str target = kind_name(media->plan_for, media->plan_for_text);
    buf_printf(&out, "application/vnd.pgrst.plan+%s; for=\"%.*s\"",
               media->plan_json ? "json" : "text", STR_ARG(target));
    const char *before = "; options=";
    for (size_t i = 0; i < sizeof plan_options / sizeof *plan_options; i++)
        if (media->plan_options & (unsigned)plan_options[i].option) {
            buf_printf(&out, "%s%.*s", before, STR_ARG(plan_options[i].word));
            before = "|";
        }
    struct str name = STR("application/vnd.pgrst.plan");
    if (!buf_broken(&out))
        name = arena_str(arena, buf_str(&out));
    buf_fini(&out);
    return name;
}

struct str rest_media_content_type(struct arena *arena, const struct rest_media *media)
{
    if (media->kind == REST_MEDIA_JSON)
        return STR("application/json; charset=utf-8");
    struct str name = rest_media_name(arena, media);
    if (media->kind == REST_MEDIA_OTHER || media->kind == REST_MEDIA_OCTETS)
        return name;
    const char *text = arena_printf(arena, "%.*s; charset=utf-8", STR_ARG(name));
    return text ? str_of(text) : name;
}

bool rest_media_none(struct arena *arena, const struct rest_media_list *list, struct err *err)
{
    struct buf names;
    buf_init(&names, 4096);
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0)
            BUF_LIT(&names, ", ");
        buf_adds(&names, rest_media_name(arena, &list->v[i]));
    }
    err_set(err, 406, "PGRST107", "None of these media types are available: %.*s", (int)names.n,
            names.p ? names.p : "");
    buf_fini(&names);
    return false;
}
