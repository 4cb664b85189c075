#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/conf_table.h"

static char *no_environ[] = {NULL};

/* A file in a fresh place; the caller unlinks and frees. */
static char *write_file(const char *text, size_t n)
{
    char *path = strdup("/tmp/pghttpd-test-conf-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    close(fd);
    return path;
}

static struct conf *load(const char *text, char *const *environ, const char *const *args,
                         enum conf_action *action, struct err *err)
{
    char *argv[16] = {(char *)(uintptr_t) "pghttpd"}, *path = NULL;
    int argc = 1;
    enum conf_action ignored;
    if (text)
        argv[argc++] = path = write_file(text, strlen(text));
    for (; args && *args; args++)
        argv[argc++] = (char *)(uintptr_t)*args;
    struct conf_sources s = {.argc = argc, .argv = argv, .environ = environ};
    struct conf *c = conf_load(&s, action ? action : &ignored, err);
    if (path)
        unlink(path);
    free(path);
    return c;
}

static struct conf *good(const char *text)
{
    struct err err = {0};
    struct conf *c = load(text, no_environ, NULL, NULL, &err);
    if (!c)
        fail_msg("%s", err.message);
    return c;
}

/* The text is refused, and the message contains each of the words. */
#define refused(text, ...) refused_with(text, no_environ, NULL, (const char *[]){__VA_ARGS__, NULL})

static void refused_with(const char *text, char *const *environ, const char *const *args,
                         const char *const *words)
{
    struct err err = {0};
    struct conf *c = load(text, environ, args, NULL, &err);
    if (c)
        fail_msg("taken: %s", text ? text : "(arguments)");
    for (; *words; words++)
        if (!strstr(err.message, *words))
            fail_msg("\"%s\" is missing in: %s", *words, err.message);
}

static void defaults(void **state)
{
    (void)state;
    struct conf *c = good(NULL);
    assert_string_equal(c->server_host, "127.0.0.1");
    assert_int_equal(c->server_port, 3000);
    assert_int_equal(c->admin_server_port, 3001);
    assert_int_equal(c->workers, 1);
    assert_string_equal(c->rest_path, "/rest");
    assert_int_equal(c->sql_access, CONF_LOGIN);
    assert_int_equal(c->listen_access, CONF_OFF);
    assert_int_equal(c->n_databases, 1);
    assert_string_equal(c->databases[0].db_uri, "postgresql://");
    assert_string_equal(c->databases[0].listen_uri, "postgresql://");
    assert_int_equal(c->databases[0].db_schemas.n, 1);
    assert_string_equal(c->databases[0].db_schemas.v[0], "public");
    assert_null(c->databases[0].db_anon_role);
    assert_int_equal(c->request_max_bytes, 16 * 1024 * 1024);
    assert_int_equal(c->statement_timeout_us, 30000000);
    assert_int_equal(c->db_pipeline_patience_us, 1000);
    assert_int_equal(c->db_max_rows, 0);
    assert_null(c->jwt_secret);
    assert_string_equal(c->jwt_role_claim_key, "$.role");
    assert_int_equal(c->db_hoisted_tx_settings.n, 3);
    assert_int_equal(c->server_unix_socket_mode, 0660);
    conf_unref(c);
}

static void precedence(void **state)
{
    (void)state;
    struct err err = {0};
    char *environ[] = {(char *)(uintptr_t) "PGRST_SERVER_PORT=4002",
                       (char *)(uintptr_t) "PGHTTPD_SERVER_PORT=4003",
                       (char *)(uintptr_t) "PGRST_DB_SCHEMAS=a, b",
                       (char *)(uintptr_t) "PGRST_DB_SCHEMA=alias",
                       (char *)(uintptr_t) "PGRST_DB_ANON_ROLE=env",
                       NULL};
    const char *args[] = {"--db-pool", "7", "--log-level=debug", NULL};
    struct conf *c =
        load("server-port = 4001\ndb-pool = 3\ndb-anon-role = file\n", environ, args, NULL, &err);
    assert_non_null(c);
    assert_int_equal(c->server_port, 4003);
    assert_int_equal(c->databases[0].db_pool, 7);
    assert_int_equal(c->log_level, LOG_DEBUG);
    assert_string_equal(c->databases[0].db_anon_role, "env");
    assert_int_equal(c->databases[0].db_schemas.n, 2);
    assert_string_equal(c->databases[0].db_schemas.v[1], "b");
    conf_unref(c);
}

static void in_database(void **state)
{
    (void)state;
    struct err err = {0};
    enum conf_action action;
    const struct conf_pair pairs[] = {{"db_anon_role", "web"},
                                      {"jwt_role_claim_key", "$.a.role"},
                                      {"server_port", "9"}, /* not one of those */
                                      {"db_max_rows", "500"}};
    char *argv[] = {(char *)(uintptr_t) "pghttpd", (char *)(uintptr_t) "--db-max-rows=9", NULL};
    char *environ[] = {(char *)(uintptr_t) "PGRST_DB_ANON_ROLE=env", NULL};
    struct conf_sources s = {
        .argc = 2, .argv = argv, .environ = environ, .in_db = pairs, .n_in_db = 4};
    struct conf *c = conf_load(&s, &action, &err);
    assert_non_null(c);
    assert_string_equal(c->databases[0].db_anon_role, "web");
    assert_string_equal(c->jwt_role_claim_key, "$.a.role");
    assert_int_equal(c->server_port, 3000);
    assert_int_equal(c->db_max_rows, 9);
    conf_unref(c);
}

static void postgrest_file(void **state)
{
    (void)state;
    struct conf *c = good("# Commènt\n"
                          "db-schema = \"multi,   tenant,setup\"\n"
                          "role-claim-key = \"$$.user[0].real_role\"\n"
                          "jwt-secret = \"a ${secret} with $$ and ${more} that is long enough\"\n"
                          "secret-is-base64 = \"0\"\n"
                          "db-channel-enabled = \"FALSE\"\n"
                          "db-prepared-statements = \"\\\"true\\\"\"\n"
                          "db-pool-timeout = 5\n"
                          "max-rows = \"1000\"\n"
                          "db-extra-search-path = \"\"\n"
                          "openapi-mode = \"ignore-privileges\"\n"
                          "server-unix-socket-mode = \"777\"\n"
                          "server-host = \"!4\"\n"
                          "db-use-legacy-gucs = false\n"
                          "app.settings.test = \"va$$l\"\n"
                          "app.settings.jwt_key = \"\\u00e9\\ud83d\\ude00\"\n");
    assert_int_equal(c->databases[0].db_schemas.n, 3);
    assert_string_equal(c->databases[0].db_schemas.v[1], "tenant");
    assert_string_equal(c->jwt_role_claim_key, "$.user[0].real_role");
    assert_string_equal(c->jwt_secret, "a ${secret} with $ and ${more} that is long enough");
    assert_int_equal(c->jwt_secret_len, strlen(c->jwt_secret));
    assert_false(c->databases[0].db_channel_enabled);
    assert_true(c->databases[0].db_prepared_statements);
    assert_int_equal(c->db_pool_max_idletime_us, 5000000);
    assert_int_equal(c->db_max_rows, 1000);
    assert_int_equal(c->databases[0].db_extra_search_path.n, 0);
    assert_int_equal(c->openapi_mode, CONF_IGNORE_PRIVILEGES);
    assert_int_equal(c->server_unix_socket_mode, 0777);
    assert_string_equal(c->server_host, "0.0.0.0");
    assert_int_equal(c->n_app_settings, 2);
    assert_string_equal(c->app_settings[0].name, "test");
    assert_string_equal(c->app_settings[0].value, "va$l");
    assert_string_equal(c->app_settings[1].value, "\xc3\xa9\xf0\x9f\x98\x80");
    conf_unref(c);
}

static void references(void **state)
{
    (void)state;
    struct err err = {0};
    char *environ[] = {(char *)(uintptr_t) "PORT=4711",
                       (char *)(uintptr_t) "SECRET=0123456789012345678901234567890\"\\$x",
                       (char *)(uintptr_t) "EMPTY=", NULL};
    struct conf *c = load("server-port = ${PORT}\n"
                          "jwt-secret = \"${SECRET}\"\n"
                          "db-uri = \"postgresql://${HOST:-db}/$(PORT)$x${\"\n"
                          "db-anon-role = \"${EMPTY:-anon}\"\n"
                          "jwt-aud = '${PORT}'\n",
                          environ, NULL, NULL, &err);
    if (!c)
        fail_msg("%s", err.message);
    assert_int_equal(c->server_port, 4711);
    assert_string_equal(c->jwt_secret, "0123456789012345678901234567890\"\\$x");
    assert_string_equal(c->databases[0].db_uri, "postgresql://db/4711$x${");
    assert_string_equal(c->databases[0].db_anon_role, "anon");
    assert_string_equal(c->jwt_aud, "${PORT}");
    conf_unref(c);
    refused("\n\ndb-anon-role = \"${NOBODY_SET_THIS}\"\n", ":3:", "db-anon-role",
            "NOBODY_SET_THIS is not set");
    refused("db-anon-role = \"$(NOBODY_SET_THIS)\"\n", ":1:", "NOBODY_SET_THIS is not set");
}

static void own_file(void **state)
{
    (void)state;
    struct conf *c =
        good("// a comment\n"
             "/* another\n one */ db-uri = postgresql:///main  # here\n"
             "db-schemas = { \"api\", v2 }\n"
             "server-names = [\"a\", \"b\"]\n"
             "workers = 2  db-pool = 5\n"
             "statement-timeout = 1.5s request-max-bytes = 2MB\n"
             "response-max-bytes = off\n"
             "rest-path = /api/\n"
             "database \"reports\" {\n"
             "  db-uri = \"host=x dbname=reports\"\n"
             "  db-schemas = r\n"
             "}\n"
             "database more { db-uri = postgresql:///more listen-uri = postgresql://l }\n");
    assert_string_equal(c->databases[0].db_uri, "postgresql:///main");
    assert_int_equal(c->databases[0].db_schemas.n, 2);
    assert_string_equal(c->databases[0].db_schemas.v[1], "v2");
    assert_int_equal(c->server_names.n, 2);
    assert_int_equal(c->workers, 2);
    assert_int_equal(c->statement_timeout_us, 1500000);
    assert_int_equal(c->request_max_bytes, 2 * 1024 * 1024);
    assert_int_equal(c->response_max_bytes, 0);
    assert_string_equal(c->rest_path, "/api");
    assert_int_equal(c->n_databases, 3);
    const struct conf_database *r = conf_database(c, STR("reports"));
    assert_non_null(r);
    assert_string_equal(r->db_uri, "host=x dbname=reports");
    assert_string_equal(r->listen_uri, "host=x dbname=reports");
    assert_string_equal(r->db_schemas.v[0], "r");
    assert_int_equal(r->db_pool, 5);
    assert_string_equal(conf_database(c, STR("more"))->listen_uri, "postgresql://l");
    assert_null(conf_database(c, STR("nobody")));
    assert_ptr_equal(conf_database(c, STR("")), &c->databases[0]);
    conf_unref(c);
}

static void mistakes_in_files(void **state)
{
    (void)state;
    refused("server-port = 1\nserver_prot = 2\n", ":2:", "server_prot", "did you mean server-port");
    refused("prot = 2\n", ":1:", "prot", "no such setting");
    refused("port = 2\n", ":1:", "port", "did you mean");
    refused("\nserver-port = 70000\n", ":2:", "server-port", "70000", "0 to 65535");
    refused("server-port = http\n", "a port");
    refused("db-pool = -1\n", "a number from 1");
    refused("db-pool = 99999999999999999999\n", "a number from 1");
    refused("statement-timeout = \"5 parsecs\"\n", "a time");
    refused("request-max-bytes = 5XB\n", "a size");
    refused("log-query = maybe\n", "true or false");
    refused("db-tx-end = never\n", "commit-allow-override");
    refused("sql-access = jwt\n", "off, login, open");
    refused("server-unix-socket-mode = 888\n", "octal");
    refused("server-unix-socket-mode = 100\n", "from 600 to 777");
    refused("db-schemas = \"a, pg_catalog\"\n", ":1:", "pg_catalog cannot be exposed");
    refused("db-schemas = information_schema\n", "information_schema");
    refused("db-schemas = \",\"\n", "names no schema");
    refused("db-anon-role = \"abc\n\n", ":1:", "closing quote");
    refused("db-anon-role =\n", "value is missing");
    refused("db-anon-role\n", "key = value");
    refused("yaml:\n  is: no\n", ":1:", "key = value");
    refused("db-schemas = { a b }\n", "comma");
    refused("db-schemas = { a, \n", "not closed");
    refused("= 3\n", "unexpected character '='");
    refused("server-port = 1 }\n", ":1:");
    refused("database x { server-port = 1 db-uri = a }\n", "outside the braces");
    refused("database x { }\n", "needs db-uri", "x");
    refused("database a/b { db-uri = x }\n", "not a name");
    refused("database x { db-uri = a }\ndatabase x { db-uri = b }\n", ":2:", "x");
    refused("\ndatabase x { db-uri = a\n\n", ":2:", "not closed");
    refused("database x { database y { db-uri = a } }\n", "inside each other");
    refused("database x { db-uri = a\ndb-poll = 3 }\n", ":2: database x: db-poll", "db-pool");
    refused("jwt-secret = short\n", ":1:", "jwt-secret", "32");
    refused("jwt-secret = \"@/nonexistent/secret\"\n", ":1:", "jwt-secret", "/nonexistent/secret",
            "No such file");
    refused("jwt-secret = \"!!!!\"\njwt-secret-is-base64 = true\n", "not base64");
    refused("app.settings. = 3\n", "app.settings");
    refused("app.settings.my-key = 3\n", "app.settings.my-key", "PostgreSQL");
    refused("app.settings.a.1 = 3\n", "app.settings.a.1", "PostgreSQL");
    refused("app.settings.a. = 3\n", "app.settings.a.", "PostgreSQL");
    refused("app.settings.a = \"\xff\"\n", "app.settings.a", "UTF-8");
    refused("jwt-aud = \"http://a b\"\n", "URI");
    refused("jwt-aud = \"%:\"\n", "URI");
    refused("openapi-server-proxy-uri = example.com\n", "https://example.com");
    refused("openapi-server-proxy-uri = \"https://\"\n", "https://example.com");
    refused("openapi-server-proxy-uri = \"https://a:99999/\"\n", "https://example.com");
    refused("server-trace-header = \"a b\"\n", "header");
    refused("rest-path = rest\n", "begins with /");
    refused("rest-path = /sql/\n", "taken");
    refused("rest-path = /a%20b\n", "not a path");
    refused("db-anon-role = \"\\ud800\"\n", "\\u");
    refused("db-anon-role = \"\\u12\"\n", "four");
}

static void contradictions(void **state)
{
    (void)state;
    refused("server-host = 0.0.0.0\nsql-access = open\n", ":2:", "sql-access", "trusted-network");
    refused("server-host = \"::\"\nlisten-access = open\n", "listen-access", "trusted-network");
    refused("server-host = db.example.com\nnotify-access = open\n", "notify-access");
    conf_unref(good("server-host = 0.0.0.0\nsql-access = open\ntrusted-network = true\n"));
    conf_unref(good("server-host = 127.0.0.2\nsql-access = open\n"));
    conf_unref(good("server-unix-socket = /tmp/x\nserver-host = 0.0.0.0\nsql-access = open\n"));
    refused("admin-server-port = 3000\n", "same as server-port");
    refused("listen-history = 10\nlisten-buffer-max = 20\n", "listen-buffer-max", "listen-history");
    refused("listen-buffer = 50\nlisten-buffer-max = 20\n", "listen-buffer", "(20)");
    refused("db-pool = 60\ndb-connections-max = 50\n", "db-connections-max");
    refused("db-pool = 2\nworkers = 4\n", "workers");
    refused("db-pool-min = 11\n", "db-pool-min");
    refused("request-max-bytes = 2MB\nrequest-memory-max = 1MB\n", "request-max-bytes", "1048576");
    struct conf *c = good("db-pool = 100\nlisten-buffer = 9999\n");
    assert_int_equal(c->db_connections_max, 100);
    assert_int_equal(c->listen_buffer_max, 9999);
    assert_int_equal(c->listen_history, 9999);
    conf_unref(c);
    c = good("request-max-bytes = 300MB\n");
    assert_int_equal(c->request_memory_max, c->request_max_bytes);
    conf_unref(c);
    c = good("request-memory-max = 1MB\n");
    assert_int_equal(c->request_max_bytes, c->request_memory_max);
    conf_unref(c);
    c = good("server-port = 3001\n");
    assert_int_equal(c->admin_server_port, CONF_PORT_OFF);
    conf_unref(c);
    c = good("workers = auto\ndb-pool = 1\n");
    assert_int_equal(c->workers, 1);
    conf_unref(c);
}

static void mistakes_elsewhere(void **state)
{
    (void)state;
    char *environ[] = {(char *)(uintptr_t) "PGRST_SERVER_PORT=x", NULL};
    refused_with(NULL, environ, NULL,
                 (const char *[]){"environment variable PGRST_SERVER_PORT", "server-port", NULL});
    const char *args[] = {"--server-prot", "1", NULL};
    refused_with(NULL, no_environ, args,
                 (const char *[]){"--server-prot", "did you mean --server-port", NULL});
    const char *missing[] = {"--server-port", NULL};
    refused_with(NULL, no_environ, missing, (const char *[]){"a value must follow", NULL});
    const char *dash[] = {"-x", NULL};
    refused_with(NULL, no_environ, dash, (const char *[]){"-x", "--help", NULL});
    const char *two[] = {"/tmp/a", "/tmp/b", NULL};
    refused_with(NULL, no_environ, two, (const char *[]){"two files", NULL});
    const char *absent[] = {"/nonexistent/file", NULL};
    refused_with(NULL, no_environ, absent,
                 (const char *[]){"/nonexistent/file", "No such file", NULL});
    const char *value[] = {"--db-pool=many", NULL};
    refused_with(NULL, no_environ, value, (const char *[]){"command line", "db-pool", NULL});
}

static void service_links(void **state)
{
    (void)state;
    struct err err = {0};
    char *environ[] = {(char *)(uintptr_t) "PGHTTPD_PORT=tcp://10.0.0.1:3000",
                       (char *)(uintptr_t) "PGHTTPD_SERVER_PORT=tcp://10.0.0.1:3000",
                       (char *)(uintptr_t) "PGHTTPD_SERVICE_HOST=10.0.0.1",
                       (char *)(uintptr_t) "PGHTTPD_SERVICE_PORT_HTTP=3000",
                       (char *)(uintptr_t) "PGHTTPD_PORT_3000_TCP=tcp://10.0.0.1:3000",
                       (char *)(uintptr_t) "PGHTTPD_PORT_3000_TCP_ADDR=10.0.0.1",
                       (char *)(uintptr_t) "PGHTTPD_APP_SETTINGS_Name=v",
                       (char *)(uintptr_t) "PGHTTPD_DB_POOL=",
                       NULL};
    struct conf *c = load("db-pool = 4\n", environ, NULL, NULL, &err);
    assert_non_null(c);
    assert_int_equal(c->server_port, 3000);
    assert_int_equal(c->databases[0].db_pool, 10); /* empty: the default */
    assert_int_equal(c->n_app_settings, 1);
    assert_string_equal(c->app_settings[0].name, "Name");
    conf_unref(c);
}

static void actions(void **state)
{
    (void)state;
    struct err err = {0};
    enum conf_action action;
    const char *help[] = {"--help", NULL}, *dump[] = {"--dump-config", "--db-pool=2", NULL};
    conf_unref(load("broken", no_environ, help, &action, &err));
    assert_int_equal(action, CONF_HELP);
    struct conf *c = load("db-pool = 3", no_environ, dump, &action, &err);
    assert_non_null(c);
    assert_int_equal(action, CONF_DUMP_CONFIG);
    assert_int_equal(c->databases[0].db_pool, 2);
    conf_unref(c);
}

static void secret_files(void **state)
{
    (void)state;
    char text[400];
    char *path = write_file("  0123456789 0123456789 0123456789 \n", 36);
    snprintf(text, sizeof text, "jwt-secret = \"@%s\"\n", path);
    struct conf *c = good(text);
    assert_string_equal(c->jwt_secret, "  0123456789 0123456789 0123456789 ");
    conf_unref(c);
    snprintf(text, sizeof text, "db-uri = \"@%s\"\n", path);
    c = good(text);
    assert_string_equal(c->databases[0].db_uri, "0123456789 0123456789 0123456789");
    conf_unref(c);
    unlink(path);
    free(path);
    path = write_file("0123456789\0000123456789\0000123456789", 32);
    snprintf(text, sizeof text, "jwt-secret = \"@%s\"\n", path);
    c = good(text);
    assert_int_equal(c->jwt_secret_len, 32);
    conf_unref(c);
    unlink(path);
    free(path);
    c = good("jwt-secret = \"c2VjdXJpdHl0aHJvdWdob2JzY3VyaXR5aW5iYXNlNjQ.\"\n"
             "jwt-secret-is-base64 = true\n");
    assert_string_equal(c->jwt_secret, "securitythroughobscurityinbase64");
    conf_unref(c);
}

static void dump_is_read_back(void **state)
{
    (void)state;
    struct buf first, second;
    buf_init(&first, BUF_NO_CEILING);
    buf_init(&second, BUF_NO_CEILING);
    struct conf *c = good("db-uri = \"postgresql://u:p%40ss@h/db?password=x&sslmode=require\"\n"
                          "jwt-secret = \"{\\\"kty\\\":\\\"oct\\\"}\"\nrest-path = /\n"
                          "app.settings.x = \"a\\\"b\\\\c$$d\\ne\"\n"
                          "database two { db-uri = \"host=h password='a b' user=u\" }\n");
    conf_print_dump(c, &first);
    buf_char(&first, '\0');
    assert_null(strstr(first.p, "p%40ss"));
    assert_null(strstr(first.p, "kty"));
    assert_null(strstr(first.p, "a b'"));
    assert_null(strstr(first.p, "c$$d"));
    assert_non_null(strstr(first.p, "postgresql://u:***@h/db?password=***&sslmode=require"));
    assert_non_null(strstr(first.p, "host=h password=*** user=u"));
    assert_non_null(strstr(first.p, "rest-path = \"/\""));
    conf_unref(c);
    /* Without secrets and positions it is a fixed point. */
    char *secret = strstr(first.p, "jwt-secret = \"***\"");
    assert_non_null(secret);
    memset(secret, ' ', strlen("jwt-secret = \"***\""));
    c = good(first.p);
    conf_print_dump(c, &second);
    buf_char(&second, '\0');
    assert_non_null(strstr(second.p, "app.settings.x = \"***\""));
    assert_non_null(strstr(second.p, "database \"two\" {"));
    conf_unref(c);
    buf_fini(&first);
    buf_fini(&second);
}

static void example_is_the_default(void **state)
{
    (void)state;
    struct buf example, plain, a, b;
    buf_init(&example, BUF_NO_CEILING);
    buf_init(&plain, BUF_NO_CEILING);
    buf_init(&a, BUF_NO_CEILING);
    buf_init(&b, BUF_NO_CEILING);
    conf_print_example(&example);
    buf_char(&example, '\0');
    /* Every commented setting of the top level switched on changes nothing. */
    for (char *line = example.p; line && *line;) {
        char *end = strchr(line, '\n');
        bool on = line[0] == '#' && line[1] >= 'a' && line[1] <= 'z' &&
                  strncmp(line, "#app.", 5) != 0 && strncmp(line, "#database", 9) != 0;
        buf_add(&plain, line + on, (size_t)(end - line) + 1 - on);
        line = end + 1;
    }
    buf_char(&plain, '\0');
    struct conf *c = good(plain.p), *d = good(NULL);
    const struct conf_key *key;
    for (size_t i = 0; (key = conf_key_at(i)); i++) {
        bool section = key->flags & CONF_SECTION;
        const char *x = section ? (const char *)c->databases : (const char *)c;
        const char *y = section ? (const char *)d->databases : (const char *)d;
        buf_clear(&a);
        buf_clear(&b);
        conf_print_value(&a, key, x + key->offset);
        conf_print_value(&b, key, y + key->offset);
        if (!str_eq(buf_str(&a), buf_str(&b)))
            fail_msg("%s: %.*s is not %.*s", key->name, STR_ARG(buf_str(&a)), STR_ARG(buf_str(&b)));
    }
    conf_unref(c);
    conf_unref(d);
    buf_fini(&example);
    buf_fini(&plain);
    buf_fini(&a);
    buf_fini(&b);
}

static void collect(void *arg, const char *key)
{
    char *list = arg;
    snprintf(list + strlen(list), 400 - strlen(list), "%s ", key);
}

static void reloading(void **state)
{
    (void)state;
    struct err err = {0};
    enum conf_action action;
    char changed[400] = "";
    char *path = write_file("", 0);
    char *argv[] = {(char *)(uintptr_t) "pghttpd", path, NULL};
    struct conf_sources s = {.argc = 2, .argv = argv, .environ = no_environ};
    FILE *f = fopen(path, "w");
    fputs("server-port = 4000\nlog-level = warn\ndatabase x { db-uri = a }\n", f);
    fclose(f);
    struct conf *old = conf_load(&s, &action, &err);
    assert_non_null(old);
    f = fopen(path, "w");
    fputs("server-port = 4001\nlog-level = info\napp.settings.a = b\n"
          "database y { db-uri = q }\ndatabase x { db-uri = b db-anon-role = r }\n",
          f);
    fclose(f);
    struct conf *now = conf_reload(old, &s, &err);
    if (!now)
        fail_msg("%s", err.message);
    assert_int_equal(now->server_port, 4000);
    assert_int_equal(now->log_level, LOG_INFO);
    assert_int_equal(now->n_databases, 2);
    assert_string_equal(now->databases[1].db_uri, "a");
    assert_string_equal(now->databases[1].db_anon_role, "r");
    conf_diff(old, now, collect, changed);
    assert_string_equal(changed, "log-level x.db-anon-role app.settings ");
    conf_unref(now);
    f = fopen(path, "w");
    fputs("log-level = loud\ndatabase x { db-uri = a }\n", f);
    fclose(f);
    assert_null(conf_reload(old, &s, &err));
    assert_non_null(strstr(err.message, "log-level"));
    assert_int_equal(old->log_level, LOG_WARN);
    static const char *const empty[] = {"", " \n", "\n\r\n\t\n"}; /* cut off by whoever writes it */
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        f = fopen(path, "w");
        fputs(empty[i], f);
        fclose(f);
        assert_null(conf_reload(old, &s, &err));
        assert_non_null(strstr(err.message, "empty"));
    }
    conf_unref(old);
    old = conf_load(&s, &action, &err); /* at the start it may be, and later have some */
    assert_non_null(old);
    f = fopen(path, "w");
    fputs("# nothing yet\n", f);
    fclose(f);
    now = conf_reload(old, &s, &err);
    assert_non_null(now);
    conf_unref(now);
    conf_unref(old);
    unlink(path);
    free(path);
}

static void units(void **state)
{
    (void)state;
    uint64_t v;
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"0", 0},       {"1", 1},           {"1kB", 1024},
                 {"1.5K", 1536}, {"2 MiB", 2097152}, {"1T", 1ull << 40}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_true(conf_parse_bytes(str_of(sizes[i].text), &v));
        assert_int_equal(v, sizes[i].bytes);
    }
    static const struct {
        const char *text;
        uint64_t us;
    } times[] = {{"5", 5000000}, {"5s", 5000000}, {"250ms", 250000},  {"1.5 min", 90000000},
                 {"1us", 1},     {"0.000001", 1}, {"1d", 86400000000}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        assert_true(conf_parse_duration(str_of(times[i].text), &v));
        assert_int_equal(v, times[i].us);
    }
    static const char *const bad[] = {"",
                                      "s",
                                      "-1",
                                      "1.",
                                      ".5",
                                      "1.0000001",
                                      "1e3",
                                      "1 2",
                                      "1x",
                                      "+1",
                                      "0x1",
                                      "18446744073709551616",
                                      "18446744073709551615k"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(conf_parse_bytes(str_of(bad[i]), &v));
        assert_false(conf_parse_duration(str_of(bad[i]), &v));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(precedence),
        cmocka_unit_test(in_database),
        cmocka_unit_test(postgrest_file),
        cmocka_unit_test(references),
        cmocka_unit_test(own_file),
        cmocka_unit_test(mistakes_in_files),
        cmocka_unit_test(contradictions),
        cmocka_unit_test(mistakes_elsewhere),
        cmocka_unit_test(service_links),
        cmocka_unit_test(actions),
        cmocka_unit_test(secret_files),
        cmocka_unit_test(dump_is_read_back),
        cmocka_unit_test(example_is_the_default),
        cmocka_unit_test(reloading),
        cmocka_unit_test(units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
