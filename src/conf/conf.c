/* Loading: sources in the order of their precedence, then each row of the table, then what follows
 * from several of them. */
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf_table.h"
#include "util/base64.h"
#include "util/xalloc.h"

#define MEMORY_MAX (64 * 1024 * 1024)

static const char *trimmed(struct conf_loaded *l, char *text, size_t n, bool all_blanks)
{
    size_t start = 0;
    if (!all_blanks && n && text[n - 1] == '\n')
        n--;
    while (all_blanks && n && strchr(" \t\r\n", text[n - 1]))
        n--;
    while (all_blanks && start < n && strchr(" \t\r\n", text[start]))
        start++;
    l->file_value_len = n - start;
    return arena_strdup(&l->arena, (struct str){text + start, n - start});
}

static bool keep_bytes(struct conf_loaded *l, const char *path, const char *bytes, size_t n)
{
    struct conf_kept *k = ARENA_NEW(&l->arena, struct conf_kept);
    if (!k)
        return false;
    k->path = arena_strdup(&l->arena, str_of(path));
    k->bytes = arena_strdup(&l->arena, (struct str){bytes, n});
    k->n = n;
    k->next = l->kept;
    l->kept = k;
    return k->path && k->bytes;
}

/* Up to CONF_FILE_MAX + 1 bytes of a file; -1 with errno. */
static ssize_t read_bytes(struct conf_loaded *l, const char *path, char *bytes)
{
    struct stat about;
    ssize_t got = -1, n = 0;
    for (const struct conf_kept *k = l->kept; k; k = k->next)
        if (strcmp(k->path, path) == 0) {
            memcpy(bytes, k->bytes, k->n);
            return (ssize_t)k->n;
        }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (fd >= 0 && (got = read(fd, bytes + n, (size_t)(CONF_FILE_MAX + 1 - n))) > 0)
        n += got;
    int why = errno;
    if (got == 0 && fstat(fd, &about) == 0 && !S_ISREG(about.st_mode) &&
        !keep_bytes(l, path, bytes, (size_t)n))
        got = -1;
    if (fd >= 0)
        close(fd);
    errno = why;
    return got < 0 ? -1 : n;
}

/* The text of @path: a secret loses one newline at its end, a connection string all blanks. */
static const char *from_file(struct conf_loaded *l, const struct conf_key *key,
                             const struct conf_value *v, struct err *err)
{
    const char *path = v->text + 1, *text = NULL;
    char *bytes = xmalloc(CONF_FILE_MAX + 1);
    ssize_t got = read_bytes(l, path, bytes);
    size_t n = got < 0 ? 0 : (size_t)got;
    if (got < 0)
        (void)conf_fail(err, &v->origin, key->name, "cannot read %s: %s", path, strerror(errno));
    else if (n > CONF_FILE_MAX)
        (void)conf_fail(err, &v->origin, key->name, "%s is larger than 1 MB", path);
    else if (memchr(bytes, '\0', n) && !(key->flags & CONF_BINARY))
        (void)conf_fail(err, &v->origin, key->name, "%s contains NUL bytes", path);
    else
        text = trimmed(l, bytes, n, key->flags & CONF_URI);
    explicit_bzero(bytes, CONF_FILE_MAX + 1);
    free(bytes);
    return text;
}

static bool resolve(struct conf_loaded *l, const struct conf_key *key, const struct conf_value *v,
                    void *field, struct err *err)
{
    struct arena *a = &l->arena;
    char what[256] = "";
    const char *text = v->text;
    bool empty = text && str_trim(str_of(text)).n == 0;
    if (empty && key->type == CONF_LIST && v->origin.source != CONF_FROM_DEFAULT &&
        strcmp(key->name, "db-extra-search-path") == 0)
        return true; /* the one list whose default is not empty and that may be emptied */
    if (!text || empty)
        text = key->def;
    else if (key->flags & CONF_FILE && text[0] == '@') {
        text = from_file(l, key, v, err);
        if (!text)
            return false;
        if (!(key->flags & CONF_URI)) {
            *(const char **)field = text; /* a secret's blanks are its own */
            if (key->flags & CONF_BINARY)
                l->conf.jwt_secret_len = l->file_value_len;
            return true;
        }
    }
    if (!text)
        return true;
    if (key->flags & CONF_SECRET)
        return (*(const char **)field = arena_strdup(a, str_of(text))) != NULL;
    if (conf_parse(a, key, str_of(text), field, what))
        return true;
    if (arena_broken(a))
        return err_set(err, 400, "PGHCONF", "the configuration is too large");
    return conf_fail(err, &v->origin, key->name, "\"%.100s\" is not %s", text, what);
}

static void *field_of(struct conf *c, struct conf_database *db, const struct conf_key *key)
{
    return (key->flags & CONF_SECTION) ? (char *)db + key->offset : (char *)c + key->offset;
}

static bool resolve_top(struct conf_loaded *l, struct conf_database *db, struct err *err)
{
    const struct conf_key *key;
    db->name = "";
    for (size_t i = 0; (key = conf_key_at(i)); i++)
        if (!resolve(l, key, &l->raw.top.v[i], field_of(&l->conf, db, key), err))
            return false;
    if (!db->listen_uri)
        db->listen_uri = db->db_uri;
    return true;
}

/* A section takes over what it does not set itself, but for the connection strings. */
static bool resolve_section(struct conf_loaded *l, struct conf_values *values,
                            struct conf_database *db, struct err *err)
{
    const struct conf_key *key;
    *db = l->conf.databases[0];
    db->name = values->section;
    db->db_uri = db->listen_uri = NULL;
    for (size_t i = 0; (key = conf_key_at(i)); i++)
        if ((key->flags & CONF_SECTION) && values->v[i].text &&
            !resolve(l, key, &values->v[i], (char *)db + key->offset, err))
            return false;
    if (!values->v[conf_key_find(STR("db-uri"))].text)
        return conf_fail(err, &values->origin, values->section, "a database section needs db-uri");
    if (!db->listen_uri)
        db->listen_uri = db->db_uri;
    return true;
}

/* Both alphabets; '.' counts as padding, as PostgREST has it. */
static bool decode_base64(const char *text, char *out, size_t *n)
{
    struct str s = str_trim(str_of(text));
    size_t kept = 0, pads = 0;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '\n' && s.p[i] != '\r')
            out[kept++] = s.p[i];
    for (; kept > 0 && (out[kept - 1] == '=' || out[kept - 1] == '.'); kept--)
        pads++;
    return pads <= 2 && base64_decode((struct str){out, kept}, BASE64_EITHER, out, n, NULL) &&
           *n > 0;
}

static const struct conf_value *top_value(const struct conf_loaded *l, const char *key)
{
    return &l->raw.top.v[conf_key_find(str_of(key))];
}

static bool finish_secret(struct conf_loaded *l, struct err *err)
{
    struct conf *c = &l->conf;
    const struct conf_value *v = top_value(l, "jwt-secret");
    if (!c->jwt_secret)
        return true;
    if (!c->jwt_secret_len)
        c->jwt_secret_len = strlen(c->jwt_secret);
    if (c->jwt_secret_is_base64) {
        char *bytes = arena_alloc(&l->arena, c->jwt_secret_len + 1);
        if (!bytes || !decode_base64(c->jwt_secret, bytes, &c->jwt_secret_len))
            return conf_fail(err, &v->origin, "jwt-secret",
                             "is not base64, but jwt-secret-is-base64 is set");
        bytes[c->jwt_secret_len] = '\0';
        c->jwt_secret = bytes;
    }
    struct str start = str_trim((struct str){c->jwt_secret, c->jwt_secret_len});
    if (c->jwt_secret_len < 32 && !(start.n && start.p[0] == '{'))
        return conf_fail(err, &v->origin, "jwt-secret",
                         "has %zu bytes; it must be at least 32 long, or a JWK or JWK set",
                         c->jwt_secret_len);
    return true;
}

/* PostgREST's words for addresses. */
static const char *host_word(const char *host)
{
    if (strcmp(host, "!4") == 0 || strcmp(host, "*4") == 0 || strcmp(host, "*") == 0)
        return "0.0.0.0";
    if (strcmp(host, "!6") == 0 || strcmp(host, "*6") == 0)
        return "::";
    return host;
}

/* "/" becomes "", "/api/" becomes "/api". */
static bool finish_rest_path(struct conf_loaded *l, struct err *err)
{
    static const char *const taken[] = {"/sql", "/copy", "/listen", "/notify", "/db", "/-"};
    struct str path = str_of(l->conf.rest_path);
    const struct conf_value *v = top_value(l, "rest-path");
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    for (size_t i = 0; i < path.n; i++)
        if ((path.p[i] <= ' ' || strchr("?#%\\\"<>", path.p[i])) || path.p[0] != '/')
            return conf_fail(err, &v->origin, "rest-path",
                             "\"%.100s\" is not a path: it begins with / and has no blanks, %%, ? "
                             "or #",
                             l->conf.rest_path);
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (str_eq(path, str_of(taken[i])))
            return conf_fail(err, &v->origin, "rest-path", "%s is taken by another endpoint",
                             taken[i]);
    l->conf.rest_path = arena_strdup(&l->arena, path);
    return l->conf.rest_path != NULL;
}

/* Settings that nobody set follow those that somebody did, so that one of them is enough. */
static bool unset(struct conf_loaded *l, const char *key)
{
    return !top_value(l, key)->text;
}

static void follow_pool(struct conf_loaded *l, struct conf *c)
{
    for (size_t i = 0; i < c->n_databases; i++)
        if (unset(l, "db-connections-max") && c->databases[i].db_pool > c->db_connections_max)
            c->db_connections_max = c->databases[i].db_pool;
    if (unset(l, "db-pool-min") && c->db_pool_min > c->databases[0].db_pool)
        c->db_pool_min = c->databases[0].db_pool;
    const char *workers = top_value(l, "workers")->text;
    if (workers && strcasecmp(workers, "auto") == 0 && c->workers > c->databases[0].db_pool)
        c->workers = c->databases[0].db_pool;
}

static void follow_sizes(struct conf_loaded *l, struct conf *c)
{
    if (unset(l, "listen-buffer-max") && c->listen_buffer > c->listen_buffer_max)
        c->listen_buffer_max = c->listen_buffer;
    if (unset(l, "listen-buffer") && c->listen_buffer > c->listen_buffer_max)
        c->listen_buffer = c->listen_buffer_max;
    if (unset(l, "listen-history") && c->listen_history < c->listen_buffer_max)
        c->listen_history = c->listen_buffer_max;
    if (unset(l, "request-memory-max") && c->request_memory_max < c->request_max_bytes)
        c->request_memory_max = c->request_max_bytes;
    if (unset(l, "request-max-bytes") && c->request_max_bytes > c->request_memory_max)
        c->request_max_bytes = c->request_memory_max;
}

static void follow_address(struct conf_loaded *l, struct conf *c)
{
    if (unset(l, "admin-server-host"))
        c->admin_server_host = c->server_host;
    if (unset(l, "admin-server-port") && c->server_port == c->admin_server_port &&
        c->server_port != 0 && !c->server_unix_socket) {
        c->admin_server_port = CONF_PORT_OFF;
        log_warn("the admin server is off: its port %u is that of the server (set "
                 "admin-server-port)",
                 c->server_port);
    }
}

static bool finish(struct conf_loaded *l, struct err *err)
{
    struct conf *c = &l->conf;
    c->server_host = host_word(c->server_host);
    c->admin_server_host = host_word(c->admin_server_host);
    c->app_settings = l->raw.app;
    c->n_app_settings = l->raw.n_app;
    if (!finish_secret(l, err) || !finish_rest_path(l, err))
        return false;
    follow_pool(l, c);
    follow_sizes(l, c);
    follow_address(l, c);
    return conf_check(l, err);
}

static bool resolve_all(struct conf_loaded *l, struct err *err)
{
    struct conf_database *all = arena_array(&l->arena, l->raw.n_sections + 1, sizeof *all);
    if (!all)
        return err_set(err, 400, "PGHCONF", "the configuration is too large");
    l->conf.databases = all;
    l->conf.n_databases = l->raw.n_sections + 1;
    if (!resolve_top(l, &all[0], err))
        return false;
    for (size_t i = 0; i < l->raw.n_sections; i++)
        if (!resolve_section(l, l->raw.sections[i], &all[i + 1], err))
            return false;
    if (!finish(l, err))
        return false;
    return !arena_broken(&l->arena) ||
           err_set(err, 400, "PGHCONF", "the configuration is too large");
}

static struct conf_loaded *new_loaded(void)
{
    struct conf_loaded *l = xcalloc(1, sizeof *l);
    arena_init(&l->arena, MEMORY_MAX);
    l->references = 1;
    l->raw.arena = &l->arena;
    return l;
}

static bool is_blank(struct str s)
{
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s.n == 0;
}

/* A file that was cut off, to be written anew, would give every setting its default. */
static bool read_settings(struct conf_loaded *l, struct err *err)
{
    bool read = false;
    char *bytes = xmalloc(CONF_FILE_MAX + 1);
    ssize_t n = read_bytes(l, l->file, bytes);
    if (n < 0)
        (void)err_set(err, 400, "PGHCONF", "%s: %s", l->file, strerror(errno));
    else if (n > CONF_FILE_MAX)
        (void)err_set(err, 400, "PGHCONF", "%s: larger than 1 MB", l->file);
    else if (l->had_settings && is_blank((struct str){bytes, (size_t)n}))
        (void)err_set(err, 400, "PGHCONF", "%s: empty; is it just being written?", l->file);
    else
        read = conf_read_file(&l->raw, l->file, (struct str){bytes, (size_t)n}, err);
    l->had_settings = read && !is_blank((struct str){bytes, (size_t)n});
    explicit_bzero(bytes, CONF_FILE_MAX + 1);
    free(bytes);
    return read;
}

static bool read_sources(struct conf_loaded *l, const struct conf_sources *s, const char *file,
                         struct err *err)
{
    struct conf_args args;
    l->raw.environ = s->environ;
    l->file = file ? arena_strdup(&l->arena, str_of(file)) : NULL;
    return (!l->file || read_settings(l, err)) && conf_read_environ(&l->raw, err) &&
           conf_read_in_db(&l->raw, s->in_db, s->n_in_db, err) &&
           conf_read_args(&l->raw, s->argc, s->argv, &args, err);
}

struct conf *conf_load(const struct conf_sources *s, enum conf_action *action, struct err *err)
{
    struct conf_args args;
    *action = CONF_RUN;
    if (!conf_read_args(NULL, s->argc, s->argv, &args, err))
        return NULL;
    *action = args.action;
    bool bare =
        args.action == CONF_HELP || args.action == CONF_VERSION || args.action == CONF_EXAMPLE;
    struct conf_loaded *l = new_loaded();
    if ((bare || read_sources(l, s, args.file, err)) && resolve_all(l, err))
        return &l->conf;
    conf_unref(&l->conf);
    return NULL;
}

bool conf_blame(const struct conf *c, const char *key, struct err *err)
{
    char where[400];
    struct err why = *err;
    conf_origin_text(&top_value(conf_loaded(c), key)->origin, where, sizeof where);
    return err_set(err, why.status, why.code, "%s%s", where, why.message);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Settings that need a restart keep the text they had. */
static bool keep(struct conf_loaded *l, struct conf_values *now, const struct conf_values *old)
{
    const struct conf_key *key;
    for (size_t i = 0; (key = conf_key_at(i)); i++) {
        if ((key->flags & CONF_RELOAD) || same_text(now->v[i].text, old->v[i].text))
            continue;
        log_warn("%s%s%s: changed, but this takes a restart", now->section ? now->section : "",
                 now->section ? "." : "", key->name);
        now->v[i] = old->v[i];
        if (old->v[i].text && !(now->v[i].text = arena_strdup(&l->arena, str_of(old->v[i].text))))
            return false;
        if (old->v[i].origin.name)
            now->v[i].origin.name = arena_strdup(&l->arena, str_of(old->v[i].origin.name));
        now->v[i].origin.section = now->section;
    }
    return true;
}

static struct conf_values *find_section(const struct conf_raw *raw, const char *name)
{
    for (size_t i = 0; i < raw->n_sections; i++)
        if (strcmp(raw->sections[i]->section, name) == 0)
            return raw->sections[i];
    return NULL;
}

/* The databases themselves stay those of the start, in their order: pools and streams hang on
 * them. */
static bool keep_sections(struct conf_loaded *l, const struct conf_loaded *old, struct err *err)
{
    struct conf_values *kept[CONF_DATABASES_MAX] = {NULL};
    for (size_t i = 0; i < l->raw.n_sections; i++)
        if (!find_section(&old->raw, l->raw.sections[i]->section))
            log_warn("database %s: new, but this takes a restart", l->raw.sections[i]->section);
    for (size_t i = 0; i < old->raw.n_sections; i++) {
        const char *name = old->raw.sections[i]->section;
        kept[i] = find_section(&l->raw, name);
        if (!kept[i])
            return err_set(err, 400, "PGHCONF",
                           "database %s is gone; taking it away takes a restart", name);
        if (!keep(l, kept[i], old->raw.sections[i]))
            return false;
    }
    memcpy(l->raw.sections, kept, old->raw.n_sections * sizeof kept[0]);
    l->raw.n_sections = old->raw.n_sections;
    return true;
}

struct conf *conf_reload(const struct conf *old, const struct conf_sources *s, struct err *err)
{
    struct conf_args args;
    if (!conf_read_args(NULL, s->argc, s->argv, &args, err))
        return NULL;
    struct conf_loaded *l = new_loaded();
    bool kept = true;
    l->had_settings = conf_loaded(old)->had_settings;
    for (const struct conf_kept *k = conf_loaded(old)->kept; k && kept; k = k->next)
        kept = keep_bytes(l, k->path, k->bytes, k->n);
    if (kept && read_sources(l, s, args.file, err) &&
        keep(l, &l->raw.top, &conf_loaded(old)->raw.top) &&
        keep_sections(l, conf_loaded(old), err) && resolve_all(l, err))
        return &l->conf;
    conf_unref(&l->conf);
    return NULL;
}

static void diff_values(const void *base_old, const void *base_now, unsigned section,
                        const char *name, void (*fn)(void *, const char *), void *arg)
{
    const struct conf_key *key;
    char label[160];
    for (size_t i = 0; (key = conf_key_at(i)); i++) {
        struct buf a, b;
        if ((key->flags & CONF_SECTION) != section)
            continue;
        struct conf_key plain = *key; /* secrets are compared, not shown */
        plain.flags &= ~((unsigned)CONF_SECRET | CONF_URI);
        buf_init(&a, BUF_NO_CEILING);
        buf_init(&b, BUF_NO_CEILING);
        conf_print_value(&a, &plain, (const char *)base_old + key->offset);
        conf_print_value(&b, &plain, (const char *)base_now + key->offset);
        snprintf(label, sizeof label, "%s%s%s", name, *name ? "." : "", key->name);
        if (!str_eq(buf_str(&a), buf_str(&b)))
            fn(arg, label);
        explicit_bzero(a.p, a.n);
        explicit_bzero(b.p, b.n);
        buf_fini(&a);
        buf_fini(&b);
    }
}

static bool same_app(const struct conf *a, const struct conf *b)
{
    if (a->n_app_settings != b->n_app_settings)
        return false;
    for (size_t i = 0; i < a->n_app_settings; i++)
        if (strcmp(a->app_settings[i].name, b->app_settings[i].name) != 0 ||
            strcmp(a->app_settings[i].value, b->app_settings[i].value) != 0)
            return false;
    return true;
}

void conf_diff(const struct conf *old, const struct conf *now, void (*fn)(void *, const char *),
               void *arg)
{
    diff_values(old, now, 0, "", fn, arg);
    for (size_t i = 0; i < old->n_databases && i < now->n_databases; i++)
        diff_values(&old->databases[i], &now->databases[i], CONF_SECTION, old->databases[i].name,
                    fn, arg);
    if (!same_app(old, now))
        fn(arg, "app.settings");
}

struct conf *conf_ref(struct conf *c)
{
    __atomic_add_fetch(&conf_loaded(c)->references, 1, __ATOMIC_RELAXED);
    return c;
}

void conf_unref(struct conf *c)
{
    struct conf_loaded *l = c ? conf_loaded(c) : NULL;
    if (!l || __atomic_sub_fetch(&l->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    arena_fini(&l->arena);
    free(l);
}

const struct conf_database *conf_database(const struct conf *c, struct str name)
{
    for (size_t i = 0; i < c->n_databases; i++)
        if (str_eq(str_of(c->databases[i].name), name))
            return &c->databases[i];
    return NULL;
}
