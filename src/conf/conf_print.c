/* What is generated from the table: help, the example file, a dump, the table in docs/settings.md,
 * the man page of the settings. */
#include "conf/conf_table.h"

#include <stdio.h>

static const char *type_word(const struct conf_key *key)
{
    switch (key->type) {
    case CONF_BOOL: return "true|false";
    case CONF_UINT:
    case CONF_U64: return "N";
    case CONF_BYTES: return "SIZE";
    case CONF_DURATION: return "TIME";
    case CONF_PORT: return "PORT";
    case CONF_MODE: return "MODE";
    case CONF_LIST: return "A,B";
    case CONF_WORDS:
    case CONF_TEXT:
    default: return "TEXT";
    }
}

static void print_words(struct buf *out, const struct conf_key *key, const char *separator)
{
    for (const struct conf_word *w = key->words; w->name; w++)
        buf_printf(out, "%s%s", w == key->words ? "" : separator, w->name);
}

/* Words up to a column, then the next line with an indent. */
static void wrap(struct buf *out, const char *text, size_t width, const char *indent)
{
    struct str rest = str_of(text), word;
    size_t column = 0;
    while (str_next(&rest, ' ', &word)) {
        if (column && column + 1 + word.n > width) {
            buf_printf(out, "\n%s", indent);
            column = 0;
        }
        if (column++)
            buf_char(out, ' ');
        else
            column = 0;
        buf_adds(out, word);
        column += word.n;
    }
}

void conf_print_help(struct buf *out)
{
    BUF_LIT(out,
            "pghttpd " PGHTTPD_VERSION ": PostgreSQL on HTTP\n"
            "\n"
            "usage: pghttpd [--KEY VALUE ...] [FILE]\n"
            "\n"
            "  --help           this text\n"
            "  --version        the version\n"
            "  --example        a configuration file with every setting and its default\n"
            "  --dump-config    the settings as they come out of all sources, without secrets\n"
            "  --dump-schema    the schema cache of /rest as JSON\n"
            "  --ready          ask the running server whether it is ready; exit 0 or 1\n"
            "  --healthcheck    ask the running server whether it is alive; exit 0 or 1\n"
            "\n"
            "Each setting is read from the command line, else from the database (pgrst.KEY),\n"
            "else from the environment (PGHTTPD_KEY, then PGRST_KEY), else from FILE.\n");
    for (size_t g = 0; g < conf_n_groups; g++) {
        buf_printf(out, "\n%s\n", conf_groups[g].title);
        for (size_t i = 0; i < conf_groups[g].n; i++) {
            const struct conf_key *key = &conf_groups[g].keys[i];
            buf_printf(out, "  --%s ", key->name);
            if (key->type == CONF_WORDS)
                print_words(out, key, "|");
            else
                buf_adds(out, str_of(type_word(key)));
            if (key->def)
                buf_printf(out, " (%s)", key->def);
            BUF_LIT(out, "\n      ");
            wrap(out, key->doc, 88, "      ");
            buf_char(out, '\n');
        }
    }
    BUF_LIT(out,
            "\n  --app.settings.NAME TEXT\n"
            "      a setting of your own that SQL reads by current_setting('app.settings.NAME')\n");
}

/* The default as it would be written in a file. */
static void print_default(struct buf *out, const struct conf_key *key)
{
    bool bare = key->type == CONF_BOOL || key->type == CONF_UINT || key->type == CONF_PORT ||
                key->type == CONF_U64 || key->type == CONF_BYTES || key->type == CONF_DURATION;
    if (bare)
        buf_adds(out, str_of(key->def));
    else
        conf_quote(out, str_of(key->def ? key->def : ""));
}

void conf_print_example(struct buf *out)
{
    BUF_LIT(
        out,
        "# pghttpd: every setting with its default. `pghttpd FILE` reads it; so does PostgREST's\n"
        "# own configuration file.\n"
        "#\n"
        "# Values: bare or in quotes. $$ is a dollar sign; ${VAR} and ${VAR:-default} are\n"
        "# variables of the environment. Times: 250ms, 5s, 2min, plain seconds. Sizes: 64KB, "
        "16MB,\n"
        "# plain bytes. Lists: \"a, b\" or { \"a\", \"b\" }. Settings of the environment\n"
        "# (PGHTTPD_SERVER_PORT, PGRST_SERVER_PORT), of the database and of the command line win\n"
        "# over this file.\n"
        "# (reload): SIGHUP, SIGUSR2 or NOTIFY pgrst, 'reload config' is enough; others need a\n"
        "# restart. (in-db): ALTER ROLE ... SET pgrst.key sets it too.\n");
    for (size_t g = 0; g < conf_n_groups; g++) {
        buf_printf(out, "\n## %s\n", conf_groups[g].title);
        for (size_t i = 0; i < conf_groups[g].n; i++) {
            const struct conf_key *key = &conf_groups[g].keys[i];
            BUF_LIT(out, "\n# ");
            wrap(out, key->doc, 96, "# ");
            if (key->flags & (CONF_RELOAD | CONF_IN_DB))
                buf_printf(out, "\n# %s%s%s", key->flags & CONF_RELOAD ? "(reload)" : "",
                           key->flags & CONF_RELOAD && key->flags & CONF_IN_DB ? " " : "",
                           key->flags & CONF_IN_DB ? "(in-db)" : "");
            if (key->type == CONF_WORDS) {
                BUF_LIT(out, "\n# one of: ");
                print_words(out, key, ", ");
            }
            buf_printf(out, "\n#%s = ", key->name);
            print_default(out, key);
            buf_char(out, '\n');
        }
    }
    BUF_LIT(
        out,
        "\n## Your own settings, for SQL: current_setting('app.settings.name')\n"
        "#app.settings.name = \"value\"\n"
        "\n## Further databases, under /db/NAME/. Settings that are not given are those above.\n"
        "#database reports {\n"
        "#    db-uri = \"postgresql://authenticator@localhost/reports\"\n"
        "#    db-schemas = \"public\"\n"
        "#}\n");
}

static void print_origin(struct buf *out, const struct conf_value *v)
{
    const struct conf_origin *o = &v->origin;
    if (!v->text)
        return;
    if (o->source == CONF_FROM_FILE)
        buf_printf(out, "  # %s:%d", o->name, o->line);
    else if (o->source == CONF_FROM_ENVIRONMENT)
        buf_printf(out, "  # environment: %s", o->name);
    else if (o->source == CONF_FROM_DATABASE)
        BUF_LIT(out, "  # database");
    else if (o->source == CONF_FROM_ARGUMENT)
        BUF_LIT(out, "  # command line");
}

static void dump_one(struct buf *out, const struct conf_key *key, const char *base,
                     const struct conf_value *v, const char *indent)
{
    buf_printf(out, "%s%s = ", indent, key->name);
    conf_print_value(out, key, base + key->offset);
    print_origin(out, v);
    buf_char(out, '\n');
}

/* As text the reader takes back; but secrets stay secret, and app.settings often are (a key that
 * functions sign tokens with). rest-path was normalised: "/" is "". */
void conf_print_dump(const struct conf *c, struct buf *out)
{
    const struct conf_loaded *l = conf_loaded(c);
    const struct conf_key *key;
    struct conf shown = *c;
    if (!*shown.rest_path)
        shown.rest_path = "/";
    for (size_t i = 0; (key = conf_key_at(i)); i++) {
        bool section = key->flags & CONF_SECTION;
        const char *base = section ? (const char *)&c->databases[0] : (const char *)&shown;
        dump_one(out, key, base, &l->raw.top.v[i], "");
    }
    for (size_t i = 0; i < c->n_app_settings; i++) {
        buf_printf(out, "app.settings.%s = \"%s\"\n", c->app_settings[i].name,
                   *c->app_settings[i].value ? "***" : "");
    }
    for (size_t d = 1; d < c->n_databases; d++) {
        BUF_LIT(out, "database ");
        conf_quote(out, str_of(c->databases[d].name));
        BUF_LIT(out, " {\n");
        for (size_t i = 0; (key = conf_key_at(i)); i++)
            if (key->flags & CONF_SECTION)
                dump_one(out, key, (const char *)&c->databases[d], &l->raw.sections[d - 1]->v[i],
                         "    ");
        BUF_LIT(out, "}\n");
    }
}

void conf_print_markdown(struct buf *out)
{
    BUF_LIT(out, "| setting | default | | what |\n|---|---|---|---|\n");
    for (size_t g = 0; g < conf_n_groups; g++) {
        buf_printf(out, "| **%s** | | | |\n", conf_groups[g].title);
        for (size_t i = 0; i < conf_groups[g].n; i++) {
            const struct conf_key *key = &conf_groups[g].keys[i];
            buf_printf(out, "| `%s` | ", key->name);
            if (key->def && *key->def)
                buf_printf(out, "`%s`", key->def);
            buf_printf(out, " | %s%s%s%s | %s", key->flags & CONF_RELOAD ? "R" : "",
                       key->flags & CONF_IN_DB ? " D" : "", key->flags & CONF_SECTION ? " S" : "",
                       key->flags & CONF_PGRST ? " P" : "", key->doc);
            if (key->type == CONF_WORDS) {
                BUF_LIT(out, " (`");
                print_words(out, key, "`, `");
                BUF_LIT(out, "`)");
            }
            BUF_LIT(out, " |\n");
        }
    }
}

/* Text of a man page: a backslash begins an escape, a line must begin neither with a dot nor with
 * an apostrophe. */
static void man_text(struct buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        BUF_LIT(out, "\\&");
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            BUF_LIT(out, "\\e");
        else if (*p == '-')
            BUF_LIT(out, "\\-");
        else
            buf_char(out, *p);
    }
}

static void man_key(struct buf *out, const struct conf_key *key)
{
    BUF_LIT(out, ".It Ic ");
    man_text(out, key->name);
    BUF_LIT(out, " Ns = Ns Ar ");
    if (key->type == CONF_WORDS)
        print_words(out, key, "|");
    else
        buf_adds(out, str_of(type_word(key)));
    buf_char(out, '\n');
    man_text(out, key->doc);
    BUF_LIT(out, ".\n");
    if (key->def && *key->def) {
        BUF_LIT(out, "Default: ");
        man_text(out, key->def);
        BUF_LIT(out, ".\n");
    }
    if (key->flags & CONF_RELOAD)
        BUF_LIT(out, "Taken over by a reload.\n");
    if (key->flags & CONF_IN_DB)
        BUF_LIT(out, "May be set in the database.\n");
    if (key->flags & CONF_SECTION)
        BUF_LIT(out, "Also in a section of a further database.\n");
}

void conf_print_man(struct buf *out)
{
    for (size_t g = 0; g < conf_n_groups; g++) {
        buf_printf(out, ".Ss %s\n.Bl -tag -width Ds\n", conf_groups[g].title);
        for (size_t i = 0; i < conf_groups[g].n; i++)
            man_key(out, &conf_groups[g].keys[i]);
        BUF_LIT(out, ".El\n");
    }
}
