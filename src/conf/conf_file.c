/* The configuration file by libconfuse: its grammar of keys and sections and its line numbers. What
 * stands inside values was resolved before by conf_text.c. */
#include "conf/conf_table.h"

#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/xalloc.h"

/* libconfuse gives its callbacks no pointer of ours, and this program has no globals. An option
 * that no file can name (its name has a space) points at `anchor` and so leads back to the rest. */
struct context {
    long anchor;
    struct conf_raw *raw;
    const char *file;
    struct err *err;
    bool failed;
};
#define ANCHOR "a context"

static struct context *context_of(cfg_t *cfg)
{
    cfg_opt_t *opt = cfg_getopt(cfg, ANCHOR);
    return (struct context *)(void *)opt->simple_value.number;
}

static struct conf_origin origin_of(const struct context *x, const cfg_t *cfg)
{
    return (struct conf_origin){
        .source = CONF_FROM_FILE, .name = x->file, .line = cfg->line, .section = cfg->title};
}

/* Reads the quoted word out of libconfuse's message about it. */
static struct str quoted_word(const char *text)
{
    const char *open = strchr(text, '\''), *close = open ? strchr(open + 1, '\'') : NULL;
    return close ? (struct str){open + 1, (size_t)(close - open) - 1} : (struct str){NULL, 0};
}

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *fmt,
                                                           va_list args)
{
    char text[300];
    struct context *x = context_of(cfg);
    if (x->failed) /* the first one is the one that matters */
        return;
    vsnprintf(text, sizeof text, fmt, args);
    x->failed = true;
    struct conf_origin o = origin_of(x, cfg);
    struct str word = quoted_word(text);
    if (strncmp(text, "no such option", 14) != 0) {
        (void)conf_fail(x->err, &o, NULL, "%s", text);
        return;
    }
    char *name = xstrndup(word);
    int known = conf_key_find(word);
    const char *near = known < 0 ? conf_key_suggest(word) : NULL;
    if (known >= 0)
        (void)conf_fail(x->err, &o, name,
                        "cannot be set for one database; put it outside the braces");
    else if (near)
        (void)conf_fail(x->err, &o, name, "no such setting; did you mean %s?", near);
    else
        (void)conf_fail(x->err, &o, name, "no such setting; pghttpd --example shows all");
    free(name);
}

static struct conf_values *section_values(struct context *x, const cfg_t *cfg)
{
    struct conf_raw *raw = x->raw;
    if (!cfg->title)
        return &raw->top;
    for (size_t i = 0; i < raw->n_sections; i++)
        if (strcmp(raw->sections[i]->section, cfg->title) == 0)
            return raw->sections[i];
    if (raw->n_sections == CONF_DATABASES_MAX)
        return NULL;
    struct conf_values *v = ARENA_NEW(raw->arena, struct conf_values);
    char *title = arena_strdup(raw->arena, str_of(cfg->title));
    if (!v || !title)
        return NULL;
    v->section = title;
    v->origin = origin_of(x, cfg);
    v->origin.section = NULL;
    raw->sections[raw->n_sections++] = v;
    return v;
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
    struct context *x = context_of(cfg);
    struct str name = str_of(opt->name);
    *(const char **)result = text;
    if (conf_key_retired(name)) {
        log_warn("%s:%d: %s: this setting has no effect any more", x->file, cfg->line, opt->name);
        return 0;
    }
    int number = conf_key_find(name);
    struct conf_values *values = section_values(x, cfg);
    if (!values || number < 0) {
        cfg_error(cfg, "too many databases (at most %d)", CONF_DATABASES_MAX);
        return -1;
    }
    if (values->v[number].text && values->v[number].origin.source == CONF_FROM_FILE)
        log_warn("%s:%d: %s: set twice, first in line %d; this one counts", x->file, cfg->line,
                 opt->name, values->v[number].origin.line);
    struct conf_origin o = origin_of(x, cfg);
    o.section = values->section;
    char *copy = arena_strdup(x->raw->arena, str_of(text));
    if (!copy || !conf_raw_put(values, conf_key_at((size_t)number), number, copy, o)) {
        cfg_error(cfg, "the file is too long");
        return -1;
    }
    return 0;
}

/* At the end of a section: it counts even when nothing stands in it. */
static int on_section(cfg_t *cfg, cfg_opt_t *opt)
{
    cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    return section && section_values(context_of(cfg), section) ? 0 : -1;
}

#define OPTIONS_MAX (CONF_KEYS_MAX + 64)

struct options {
    cfg_opt_t o[OPTIONS_MAX];
    size_t n;
};

static void add_value(struct options *list, const char *name)
{
    cfg_opt_t opt = CFG_STR_CB(name, NULL, CFGF_NODEFAULT, on_value);
    list->o[list->n++] = opt;
}

static void add_names(struct options *list, bool section)
{
    const struct conf_key *key;
    const char *alias;
    int number;
    for (size_t i = 0; (key = conf_key_at(i)); i++)
        if (!section || (key->flags & CONF_SECTION))
            add_value(list, key->name);
    for (size_t i = 0; conf_alias_at(i, &alias, &number); i++)
        if (!section || (conf_key_at((size_t)number)->flags & CONF_SECTION))
            add_value(list, alias);
}

static void add_context(struct options *list, struct context *x)
{
    cfg_opt_t anchor = CFG_SIMPLE_INT(ANCHOR, &x->anchor), end = CFG_END();
    list->o[list->n++] = anchor;
    list->o[list->n++] = end;
}

static bool parse(struct context *x, const char *plain)
{
    struct options *top = xcalloc(1, sizeof *top), *inner = xcalloc(1, sizeof *inner);
    const char *retired;
    add_names(inner, true);
    add_context(inner, x);
    add_names(top, false);
    for (size_t i = 0; (retired = conf_retired_at(i)); i++)
        add_value(top, retired);
    cfg_opt_t section =
        CFG_SEC("database", inner->o, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    top->o[top->n++] = section;
    add_context(top, x);
    cfg_t *cfg = cfg_init(top->o, CFGF_NONE);
    bool ok = false;
    if (cfg) {
        cfg_set_error_function(cfg, on_error);
        cfg_set_validate_func(cfg, "database", on_section);
        ok = cfg_parse_buf(cfg, plain) == CFG_SUCCESS;
        cfg_free(cfg);
    }
    free(top);
    free(inner);
    if (!ok && !x->failed)
        return err_set(x->err, 400, "PGHCONF", "%s: cannot be read", x->file);
    return ok;
}

bool conf_read_file(struct conf_raw *raw, const char *path, struct str text, struct err *err)
{
    struct buf plain;
    if (memchr(text.p, '\0', text.n))
        return err_set(err, 400, "PGHCONF", "%s: contains NUL bytes", path);
    buf_init(&plain, 4 * CONF_FILE_MAX);
    struct context x = {.raw = raw, .file = path, .err = err};
    bool ok = conf_plain_text(raw, text, path, &plain, err);
    if (ok) {
        buf_char(&plain, '\0');
        ok = buf_broken(&plain) ? err_set(err, 400, "PGHCONF", "%s: too long", path)
                                : parse(&x, plain.p);
    }
    if (plain.p)
        explicit_bzero(plain.p, plain.n);
    buf_fini(&plain);
    return ok;
}
