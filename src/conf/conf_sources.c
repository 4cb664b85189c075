/* The sources of settings that are not files: environment, database, command line. */
#include "conf/conf_table.h"

#include <ctype.h>
#include <stdio.h>

bool conf_raw_put(struct conf_values *values, const struct conf_key *key, int number,
                  const char *text, struct conf_origin origin)
{
    (void)key;
    values->v[number] = (struct conf_value){.text = text, .origin = origin};
    return text != NULL;
}

/* The name becomes a parameter of PostgreSQL, set_config('app.settings.NAME', ...), in every
 * request: one that it refuses would fail them all. */
static bool is_parameter(const char *name)
{
    bool begins = true;
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        bool letter = isalpha(c) || c == '_' || c >= 0x80;
        if (!letter && (begins || !(isdigit(c) || c == '.' || c == '$')))
            return false;
        begins = c == '.';
    }
    return !begins;
}

bool conf_raw_app(struct conf_raw *raw, const char *name, const char *value, struct err *err)
{
    if (!str_utf8(str_of(name)) || !str_utf8(str_of(value)))
        return err_set(err, 400, "PGHCONF", "app.settings.%s: not UTF-8", name);
    for (size_t i = 0; i < raw->n_app; i++)
        if (strcmp(raw->app[i].name, name) == 0) {
            raw->app[i].value = value;
            return true;
        }
    if (raw->n_app == CONF_APP_SETTINGS_MAX)
        return err_set(err, 400, "PGHCONF", "app.settings.%s: more than %d of them", name,
                       CONF_APP_SETTINGS_MAX);
    if (!*name)
        return err_set(err, 400, "PGHCONF", "app.settings.: a name is missing");
    if (!is_parameter(name))
        return err_set(
            err, 400, "PGHCONF",
            "app.settings.%s: not a name that PostgreSQL takes: letters, digits, _ and $, "
            "beginning with no digit, words of them joined by dots",
            name);
    raw->app[raw->n_app++] = (struct conf_pair){.name = name, .value = value};
    return true;
}

/* What Kubernetes and Docker inject for a service of our name: PGHTTPD_PORT=tcp://10.0.0.1:3000 and
 * its relatives. */
static bool service_link(struct str variable, struct str value)
{
    if (str_starts(value, STR("tcp://")) || str_starts(value, STR("udp://")))
        return true;
    return memmem(variable.p, variable.n, "_SERVICE_HOST", 13) ||
           memmem(variable.p, variable.n, "_SERVICE_PORT", 13) ||
           memmem(variable.p, variable.n, "_TCP_", 5) ||
           memmem(variable.p, variable.n, "_UDP_", 5) ||
           (variable.n > 4 && memcmp(variable.p + variable.n - 4, "_TCP", 4) == 0);
}

static void warn_unknown(struct str variable, struct str name)
{
    char lower[64];
    if (name.n >= sizeof lower || variable.n > 200)
        return;
    for (size_t i = 0; i < name.n; i++)
        lower[i] = name.p[i] == '_' ? '-' : (char)tolower((unsigned char)name.p[i]);
    const char *near = conf_key_suggest((struct str){lower, name.n});
    char hint[80] = "";
    if (near)
        snprintf(hint, sizeof hint, "; did you mean the one of %s?", near);
    log_warn("environment variable %.*s: no such setting%s", STR_ARG(variable), hint);
}

static int find_upper(struct str name)
{
    char lower[64];
    if (name.n >= sizeof lower)
        return -1;
    for (size_t i = 0; i < name.n; i++) {
        if (islower((unsigned char)name.p[i]) || name.p[i] == '-')
            return -1;
        lower[i] = (char)tolower((unsigned char)name.p[i]);
    }
    return conf_key_find((struct str){lower, name.n});
}

/* An alias never wins over the setting's own name, whichever comes first. */
static bool is_alias(struct str name, const struct conf_key *key)
{
    return name.n != strlen(key->name);
}

static bool read_variable(struct conf_raw *raw, const char *entry, struct str prefix, bool ours,
                          struct err *err)
{
    struct str all = str_of(entry), variable = {all.p, str_find(all, '=', 0)};
    struct str name = str_from(variable, prefix.n), value = str_from(all, variable.n + 1);
    if (variable.n == all.n || !str_starts(all, prefix))
        return true;
    if (str_starts(name, STR("APP_SETTINGS_"))) {
        char *copy = arena_strdup(raw->arena, str_from(name, 13));
        char *text = arena_strdup(raw->arena, value);
        return copy && text ? conf_raw_app(raw, copy, text, err)
                            : err_set(err, 400, "PGHCONF", "the environment is too large");
    }
    if (service_link(variable, value))
        return true;
    int number = find_upper(name);
    if (number < 0) {
        if (ours)
            warn_unknown(variable, name);
        return true;
    }
    const struct conf_key *key = conf_key_at((size_t)number);
    struct conf_value *old = &raw->top.v[number];
    if (is_alias(name, key) && old->origin.source == CONF_FROM_ENVIRONMENT &&
        str_starts(str_of(old->origin.name), prefix))
        return true;
    struct conf_origin o = {.source = CONF_FROM_ENVIRONMENT,
                            .name = arena_strdup(raw->arena, variable)};
    if (!o.name || !conf_raw_put(&raw->top, key, number, arena_strdup(raw->arena, value), o))
        return err_set(err, 400, "PGHCONF", "the environment is too large");
    return true;
}

bool conf_read_environ(struct conf_raw *raw, struct err *err)
{
    for (char *const *e = raw->environ; e && *e; e++)
        if (!read_variable(raw, *e, STR("PGRST_"), false, err))
            return false;
    for (char *const *e = raw->environ; e && *e; e++)
        if (!read_variable(raw, *e, STR("PGHTTPD_"), true, err))
            return false;
    return true;
}

bool conf_read_in_db(struct conf_raw *raw, const struct conf_pair *pairs, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        int number = conf_key_find(str_of(pairs[i].name));
        const struct conf_key *key = number < 0 ? NULL : conf_key_at((size_t)number);
        if (!key || !(key->flags & CONF_IN_DB))
            continue;
        struct conf_origin o = {.source = CONF_FROM_DATABASE, .name = "pgrst"};
        char *copy = arena_strdup(raw->arena, str_of(pairs[i].value));
        if (!conf_raw_put(&raw->top, key, number, copy, o))
            return err_set(err, 400, "PGHCONF", "settings in the database: too long");
    }
    return true;
}

static const struct {
    const char *name;
    enum conf_action action;
} actions[] = {
    {"--help", CONF_HELP},
    {"-h", CONF_HELP},
    {"--version", CONF_VERSION},
    {"-v", CONF_VERSION},
    {"-V", CONF_VERSION},
    {"--example", CONF_EXAMPLE},
    {"-e", CONF_EXAMPLE},
    {"--dump-config", CONF_DUMP_CONFIG},
    {"--dump-schema", CONF_DUMP_SCHEMA},
    {"--ready", CONF_READY},
    {"--healthcheck", CONF_HEALTHCHECK},
};

static bool find_action(const char *arg, enum conf_action *out)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(arg, actions[i].name) == 0) {
            *out = actions[i].action;
            return true;
        }
    return false;
}

static bool unknown_option(struct err *err, struct str name)
{
    const char *near = conf_key_suggest(name);
    if (near)
        return err_set(err, 400, "PGHCONF",
                       "command line: --%.*s: no such setting; did you mean --%s?",
                       name.n > 100 ? 100 : (int)name.n, name.p, near);
    return err_set(err, 400, "PGHCONF", "command line: --%.*s: no such option; see --help",
                   name.n > 100 ? 100 : (int)name.n, name.p);
}

/* --key=value or --key value; moves *i over the value. */
static bool read_option(struct conf_raw *raw, int argc, char *const *argv, int *i, struct err *err)
{
    struct str arg = str_of(argv[*i] + 2), name = {arg.p, str_find(arg, '=', 0)};
    const char *value = name.n < arg.n ? name.p + name.n + 1 : NULL;
    bool app = str_starts(name, STR("app.settings."));
    int number = app ? 0 : conf_key_find(name);
    if (number < 0)
        return unknown_option(err, name);
    if (!value && *i + 1 >= argc)
        return err_set(err, 400, "PGHCONF", "command line: --%.*s: a value must follow",
                       STR_ARG(name));
    if (!value)
        value = argv[++*i];
    if (!raw)
        return true;
    if (app) {
        char *copy = arena_strdup(raw->arena, str_from(name, 13));
        return copy && conf_raw_app(raw, copy, value, err);
    }
    struct conf_origin o = {.source = CONF_FROM_ARGUMENT, .name = "--"};
    return conf_raw_put(&raw->top, conf_key_at((size_t)number), number, value, o);
}

bool conf_read_args(struct conf_raw *raw, int argc, char *const *argv, struct conf_args *out,
                    struct err *err)
{
    bool options = true;
    *out = (struct conf_args){.action = CONF_RUN};
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && find_action(argv[i], &out->action)) {
            continue;
        } else if (options && strncmp(argv[i], "--", 2) == 0) {
            if (!read_option(raw, argc, argv, &i, err))
                return false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            return err_set(err, 400, "PGHCONF", "command line: %.100s: no such option; see --help",
                           argv[i]);
        } else if (out->file) {
            return err_set(err, 400, "PGHCONF",
                           "command line: two files (%.100s and %.100s); only one is read",
                           out->file, argv[i]);
        } else {
            out->file = argv[i];
        }
    }
    return true;
}

/* ---- what a list of processes shows ---- */

/* The argument's bytes are the only copy that the kernel shows; what is left over becomes NULs. */
static void overwrite(char *value, struct str shown)
{
    size_t n = strlen(value);
    size_t m = shown.n < n ? shown.n : n;
    memcpy(value, shown.p, m);
    memset(value + m, 0, n - m);
}

static bool hide_uri(char *value)
{
    struct buf shown;
    buf_init(&shown, BUF_NO_CEILING);
    conf_redact_uri(&shown, str_of(value));
    bool secret = !str_eq(buf_str(&shown), str_of(value));
    if (secret)
        overwrite(value, shown.n <= strlen(value) ? buf_str(&shown) : STR("***"));
    buf_fini(&shown);
    return secret;
}

/* --jwt-secret @FILE names a file. */
static bool hide_value(struct str name, char *value)
{
    int number = conf_key_find(name);
    unsigned flags = number < 0 ? 0 : conf_key_at((size_t)number)->flags;
    if (flags & CONF_URI)
        return hide_uri(value);
    bool in_file = flags & CONF_FILE && value[0] == '@';
    bool secret = flags & CONF_SECRET || str_starts(name, STR("app.settings."));
    if (!secret || in_file || !*value)
        return false;
    overwrite(value, STR("***"));
    return true;
}

void conf_hide_args(int argc, char **argv, struct buf *hidden)
{
    enum conf_action action;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || find_action(argv[i], &action))
            continue;
        struct str arg = str_of(argv[i] + 2), name = {arg.p, str_find(arg, '=', 0)};
        char *value = name.n < arg.n ? argv[i] + 2 + name.n + 1 : NULL;
        if (!value && i + 1 < argc)
            value = argv[++i];
        if (value && hide_value(name, value))
            buf_printf(hidden, "%s--%.*s", hidden->n ? ", " : "", STR_ARG(name));
    }
}
