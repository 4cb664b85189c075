#include "conf/conf_table.h"

#include <assert.h>

/* Rows in the order of --example and of the table in docs/settings.md. */

#define AT(field) offsetof(struct conf, field)
#define DB(field) offsetof(struct conf_database, field)
#define R CONF_RELOAD
#define D (CONF_IN_DB | CONF_RELOAD)
#define P CONF_PGRST
#define S CONF_SECTION

#define BOOL(nm, fl, off, df, dc)                                                                  \
    {                                                                                              \
        .name = nm, .type = CONF_BOOL, .flags = (fl), .offset = off, .def = df, .doc = dc          \
    }
#define TEXT(nm, fl, off, df, dc)                                                                  \
    {                                                                                              \
        .name = nm, .type = CONF_TEXT, .flags = (fl), .offset = off, .def = df, .doc = dc          \
    }
#define LIST(nm, fl, off, df, dc)                                                                  \
    {                                                                                              \
        .name = nm, .type = CONF_LIST, .flags = (fl), .offset = off, .def = df, .doc = dc          \
    }
#define NUMBER(ty, nm, fl, off, df, lo, hi, dc)                                                    \
    {                                                                                              \
        .name = nm, .type = ty, .flags = (fl), .offset = off, .def = df, .min = lo, .max = hi,     \
        .doc = dc                                                                                  \
    }
#define WORDS(nm, fl, off, df, wd, dc)                                                             \
    {                                                                                              \
        .name = nm, .type = CONF_WORDS, .flags = (fl), .offset = off, .def = df, .words = wd,      \
        .doc = dc                                                                                  \
    }

#define SECOND UINT64_C(1000000)
#define HOUR (3600 * SECOND)
#define KB UINT64_C(1024)
#define MB (KB * KB)
#define GB (KB * MB)
#define TB (KB * GB)

static const struct conf_word sql_access_words[] = {
    {"off", CONF_OFF}, {"login", CONF_LOGIN}, {"open", CONF_OPEN}, {NULL, 0}};
static const struct conf_word listen_access_words[] = {
    {"off", CONF_OFF}, {"jwt", CONF_JWT}, {"open", CONF_OPEN}, {NULL, 0}};
static const struct conf_word lookup_words[] = {{"off", CONF_LOOKUP_OFF},
                                                {"batches", CONF_LOOKUP_BATCHES},
                                                {"all", CONF_LOOKUP_ALL},
                                                {NULL, 0}};
static const struct conf_word tx_end_words[] = {{"commit", CONF_COMMIT},
                                                {"commit-allow-override", CONF_COMMIT_OVERRIDE},
                                                {"rollback", CONF_ROLLBACK},
                                                {"rollback-allow-override", CONF_ROLLBACK_OVERRIDE},
                                                {NULL, 0}};
static const struct conf_word openapi_words[] = {{"follow-privileges", CONF_FOLLOW_PRIVILEGES},
                                                 {"ignore-privileges", CONF_IGNORE_PRIVILEGES},
                                                 {"disabled", CONF_OPENAPI_DISABLED},
                                                 {NULL, 0}};
static const struct conf_word verbosity_words[] = {
    {"verbose", CONF_VERBOSE}, {"minimal", CONF_MINIMAL}, {NULL, 0}};
static const struct conf_word log_formats[] = {{"text", LOG_TEXT}, {"json", LOG_JSON}, {NULL, 0}};
static const struct conf_word log_words[] = {{"crit", LOG_CRIT},   {"error", LOG_ERROR},
                                             {"warn", LOG_WARN},   {"info", LOG_INFO},
                                             {"debug", LOG_DEBUG}, {NULL, 0}};

static const struct conf_key listening[] = {
    TEXT("server-host", P, AT(server_host), "127.0.0.1",
         "address to listen on; 0.0.0.0 or :: for all (PostgREST's !4 *4 !6 *6 * work too)"),
    NUMBER(CONF_PORT, "server-port", P, AT(server_port), "3000", 0, 65535,
           "port to listen on; 0 takes any free one and logs it"),
    TEXT("server-unix-socket", P, AT(server_unix_socket), NULL,
         "path of a unix socket to listen on instead of host and port"),
    NUMBER(CONF_MODE, "server-unix-socket-mode", P, AT(server_unix_socket_mode), "660", 0600, 0777,
           "file mode of that socket, octal"),
    BOOL("server-reuseport", P, AT(server_reuseport), "false",
         "let several processes listen on the same port (SO_REUSEPORT)"),
    TEXT("admin-server-host", P, AT(admin_server_host), "127.0.0.1",
         "address of the admin port, not set: that of server-host: /live /ready /metrics /config "
         "/schema_cache"),
    NUMBER(CONF_PORT, "admin-server-port", P | CONF_CAN_OFF, AT(admin_server_port), "3001", 0,
           65535, "the admin port, or off"),
    TEXT("admin-server-unix-socket", P, AT(admin_server_unix_socket), NULL,
         "path of a unix socket for the admin server instead of host and port"),
    NUMBER(CONF_MODE, "admin-server-unix-socket-mode", P, AT(admin_server_unix_socket_mode), "660",
           0600, 0777, "file mode of that socket, octal"),
    TEXT("admin-token", R | CONF_SECRET | CONF_FILE, AT(admin_token), NULL,
         "bearer token that opens /metrics, /config, /schema_cache and /listen of the admin port "
         "to other hosts than this one"),
    NUMBER(CONF_UINT, "workers", CONF_CAN_AUTO, AT(workers), "1", 1, 256,
           "threads, each with its own loop; auto is one per core"),
    BOOL("trusted-network", 0, AT(trusted_network), "false",
         "everybody who can reach the port may do everything: needed for open access on an address "
         "that is not loopback"),
    LIST("server-names", R, AT(server_names), NULL,
         "host names accepted in Host besides IP addresses and localhost where sql-access is open, "
         "and by the admin port"),
    LIST("server-trusted-proxies", R, AT(server_trusted_proxies), NULL,
         "addresses or networks (10.0.0.0/8) whose X-Forwarded-For counts"),
    LIST("server-cors-allowed-origins", P | D, AT(server_cors_allowed_origins), NULL,
         "origins of web pages that may use the API; none given: every page for /rest, none for "
         "the others"),
    TEXT("server-trace-header", P | D, AT(server_trace_header), NULL,
         "request header that is sent back in the response"),
    BOOL("server-timing-enabled", P | D, AT(server_timing_enabled), "false",
         "tell in Server-Timing where the time went"),
    BOOL("console", R, AT(console), "true",
         "the page at /, for people: SQL, tables, events and what the server does, in a browser"),
    NUMBER(CONF_UINT, "server-connections-max", 0, AT(server_connections_max), "10000", 1, 1000000,
           "HTTP connections at once, event streams not counted"),
    NUMBER(CONF_UINT, "server-streams-max", R, AT(server_streams_max), "20000", 0, 1000000,
           "event streams at once"),
    NUMBER(CONF_DURATION, "server-timeout-header", 0, AT(server_timeout_header_us), "10s", SECOND,
           HOUR, "time a client has to send the head of a request"),
    NUMBER(CONF_DURATION, "server-timeout-idle", 0, AT(server_timeout_idle_us), "75s", SECOND,
           24 * HOUR, "time a connection may stay open between requests"),
    NUMBER(CONF_BYTES, "server-header-memory", 0, AT(server_header_memory), "16KB", 4 * KB, MB,
           "room for the head of a request and of its answer; heads over three quarters are 431 or "
           "414"),
    NUMBER(CONF_DURATION, "shutdown-timeout", R, AT(shutdown_timeout_us), "8s", 0, HOUR,
           "time for running requests after SIGTERM; then they are cancelled"),
    NUMBER(CONF_DURATION, "shutdown-delay", R, AT(shutdown_delay_us), "0s", 0, HOUR,
           "time during which /ready is 503 but connections are still accepted after SIGTERM"),
};

static const struct conf_key database[] = {
    TEXT("db-uri", P | S | CONF_FILE | CONF_URI, DB(db_uri), "postgresql://",
         "connection string, libpq's URI or keyword form; @path reads it from a file"),
    LIST("db-schemas", P | S | D, DB(db_schemas), "public",
         "schemas exposed by /rest; the first is the default"),
    TEXT("db-anon-role", P | S | D, DB(db_anon_role), NULL,
         "role of requests without a token; not set: they are refused"),
    LIST("db-extra-search-path", P | S | D, DB(db_extra_search_path), "public",
         "schemas put behind the exposed one in search_path"),
    TEXT("db-pre-request", P | S | D, DB(db_pre_request), NULL,
         "function called before each REST request, as [schema.]name"),
    TEXT("db-root-spec", P | S | D, DB(db_root_spec), NULL,
         "function that answers GET / of /rest instead of OpenAPI, as [schema.]name"),
    TEXT("db-channel", P | S | R, DB(db_channel), "pgrst",
         "channel of NOTIFY pgrst, 'reload schema' and 'reload config'"),
    BOOL("db-channel-enabled", P | S | R, DB(db_channel_enabled), "true", "listen on that channel"),
    BOOL("db-prepared-statements", P | S | D, DB(db_prepared_statements), "true",
         "false for poolers in transaction mode"),
    NUMBER(CONF_UINT, "db-pool", P | S, DB(db_pool), "10", 1, 10000,
           "connections to one database with one login, all workers together"),
    NUMBER(CONF_UINT, "db-pool-min", 0, AT(db_pool_min), "1", 0, 10000,
           "connections of the configured login and database that are kept open"),
    NUMBER(CONF_UINT, "db-connections-max", 0, AT(db_connections_max), "50", 1, 10000,
           "connections to all databases with all logins together"),
    NUMBER(CONF_UINT, "db-pool-queue", R, AT(db_pool_queue), "1000", 0, 1000000,
           "requests that may wait for a connection; more are 503"),
    NUMBER(CONF_DURATION, "db-pool-acquisition-timeout", P | R, AT(db_pool_acquisition_timeout_us),
           "10s", SECOND / 1000, HOUR, "time a request may wait for a connection; then 504"),
    NUMBER(CONF_DURATION, "db-pool-max-idletime", P | R, AT(db_pool_max_idletime_us), "30s", 0,
           720 * HOUR,
           "time after which an unused connection is closed, and a further database left; 0 never"),
    NUMBER(CONF_DURATION, "db-pool-max-lifetime", P | R, AT(db_pool_max_lifetime_us), "1800s", 0,
           720 * HOUR, "age after which a connection is replaced; 0 never"),
    BOOL("db-pool-automatic-recovery", P, AT(db_pool_automatic_recovery), "true",
         "reconnect by itself when the database was away"),
    NUMBER(CONF_DURATION, "db-connect-timeout", R, AT(db_connect_timeout_us), "10s", SECOND / 10,
           HOUR,
           "time for making a connection, shared equally by the hosts of db-uri; connect_timeout "
           "in db-uri says otherwise, per host"),
    NUMBER(CONF_DURATION, "statement-timeout", R | CONF_CAN_OFF, AT(statement_timeout_us), "30s", 0,
           24 * HOUR,
           "most a request may take in the database, and ceiling of its timeout; 0 none"),
    NUMBER(CONF_DURATION, "db-pipeline-patience", R, AT(db_pipeline_patience_us), "1ms", 0, SECOND,
           "how long the oldest statement of a connection may run before others go elsewhere"),
    NUMBER(CONF_UINT, "db-pipeline-depth", R, AT(db_pipeline_depth), "16", 1, 1000,
           "requests that share a connection at once; 1 is no sharing"),
    NUMBER(CONF_UINT, "db-statement-cache", R, AT(db_statement_cache), "256", 0, 10000,
           "prepared statements kept on each connection, of texts that came twice"),
    WORDS("commit-lookup", R, AT(commit_lookup), "off", lookup_words,
          "writes whose COMMIT is sent only when the number of their transaction is known, so that "
          "its fate can be looked up when the connection is lost; one round trip more each"),
    BOOL("db-reset-after-rpc", R, AT(db_reset_after_rpc), "true",
         "reset a connection after a volatile function or a pre-request function ran on it"),
    BOOL("db-config", P | R, AT(db_config), "true",
         "read settings of the database: ALTER ROLE ... SET pgrst.key"),
    TEXT("db-pre-config", P | D, AT(db_pre_config), NULL,
         "function that sets pgrst.key by set_config, as [schema.]name"),
    LIST("db-hoisted-tx-settings", P | D, AT(db_hoisted_tx_settings),
         "statement_timeout, plan_filter.statement_cost_limit, default_transaction_isolation",
         "settings of a function that hold for its whole transaction"),
    WORDS("db-tx-end", P | D, AT(db_tx_end), "commit", tx_end_words,
          "how REST transactions end, and whether Prefer: tx may say otherwise"),
};

static const struct conf_key requests[] = {
    NUMBER(CONF_BYTES, "request-max-bytes", R, AT(request_max_bytes), "16MB", KB, 16 * GB,
           "largest request body, inflated; more is 413"),
    NUMBER(
        CONF_BYTES, "request-memory-max", R, AT(request_memory_max), "256MB", KB, TB,
        "what the bodies of all requests may take together, those up to 64 KB and POST /copy not "
        "counted; more is 503"),
    NUMBER(CONF_BYTES, "response-max-bytes", R | CONF_CAN_OFF, AT(response_max_bytes), "off", 0, TB,
           "largest response body; more breaks it off"),
    NUMBER(CONF_BYTES, "response-buffer", R, AT(response_buffer), "256KB", KB, GB,
           "response bytes held before streaming begins"),
    NUMBER(
        CONF_BYTES, "response-memory-max", R | CONF_CAN_OFF, AT(response_memory_max), "64MB", 0, TB,
        "memory for reading answers ahead of clients that make no room for a second, so that they "
        "keep no connection to the database: all of them together, an eighth of it each"),
    NUMBER(CONF_BYTES, "copy-max-bytes", R | CONF_CAN_OFF, AT(copy_max_bytes), "off", 0, TB,
           "largest body of POST /copy"),
};

static const struct conf_key rest[] = {
    TEXT("rest-path", 0, AT(rest_path), "/rest",
         "where tables, views and functions stand; / as PostgREST does (the other endpoints are "
         "under /-/ then)"),
    NUMBER(CONF_U64, "db-max-rows", P | D | CONF_CAN_OFF, AT(db_max_rows), "off", 0, INT64_MAX,
           "most rows of a read; off is no limit"),
    NUMBER(CONF_UINT, "rest-stream-rows", R, AT(rest_stream_rows), "1000", 0, 1000000,
           "reads limited to this many rows are aggregated in PostgreSQL, others come row by row"),
    BOOL("db-aggregates-enabled", P | D, AT(db_aggregates_enabled), "false",
         "allow count(), sum() and the like in select"),
    BOOL("db-plan-enabled", P | D, AT(db_plan_enabled), "false",
         "allow execution plans: Accept: application/vnd.pgrst.plan"),
    BOOL("url-use-legacy-target-names", P | D, AT(url_use_legacy_target_names), "true",
         "let filters name an embedded relation that has an alias"),
    WORDS("openapi-mode", P | D, AT(openapi_mode), "follow-privileges", openapi_words,
          "what OpenAPI shows"),
    BOOL("openapi-security-active", P | D, AT(openapi_security_active), "false",
         "mention the JWT in OpenAPI"),
    TEXT("openapi-server-proxy-uri", P | D, AT(openapi_server_proxy_uri), NULL,
         "address of the API as OpenAPI tells it"),
    WORDS("client-error-verbosity", P | D, AT(client_error_verbosity), "verbose", verbosity_words,
          "minimal leaves details and hint out of REST's errors"),
};

static const struct conf_key jwt[] = {
    TEXT(
        "jwt-secret", P | D | CONF_SECRET | CONF_FILE | CONF_BINARY, AT(jwt_secret), NULL,
        "key of tokens (HS, RS, PS and ES 256 to 512; not EdDSA): text of at least 32 bytes, a JWK "
        "or a JWK set; @path reads it from a file"),
    {.name = "jwt-secret-is-base64",
     .type = CONF_BOOL,
     .flags = P | D,
     .offset = AT(jwt_secret_is_base64),
     .def = "false",
     .doc = "the secret is written in base64"},
    TEXT("jwt-aud", P | D, AT(jwt_aud), NULL,
         "audience that a token's aud must name, if it has one"),
    TEXT("jwt-role-claim-key", P | D, AT(jwt_role_claim_key), "$.role",
         "JSON path of the role in the token's claims"),
    NUMBER(CONF_UINT, "jwt-cache-max-entries", P | D, AT(jwt_cache_max_entries), "1000", 0, 1000000,
           "verified tokens remembered by each worker; 0 none"),
};

static const struct conf_key access_keys[] = {
    WORDS("sql-access", 0, AT(sql_access), "login", sql_access_words,
          "who may use /sql and /copy: nobody, PostgreSQL logins, everybody as the configured "
          "login"),
    LIST("login-databases", R, AT(login_databases), NULL,
         "databases that logins may name, * for all; not set: the configured one, which a login "
         "that "
         "names none gets in any case"),
    NUMBER(CONF_DURATION, "login-recheck", R, AT(login_recheck_us), "60s", SECOND, 24 * HOUR,
           "how often a login's password is checked again by a new connection"),
    NUMBER(
        CONF_UINT, "login-attempts-max", R, AT(login_attempts_max), "10", 1, 100000,
        "logins that may fail per client address (IPv6: network of 64 bits) and second, and that "
        "are tried at once; others wait"),
    WORDS("listen-access", 0, AT(listen_access), "off", listen_access_words,
          "who may use /listen; jwt: tokens whose claim channels names the channel or prefix*"),
    WORDS("notify-access", 0, AT(notify_access), "off", listen_access_words,
          "who may use /notify; jwt: tokens whose claim notify names the channel or prefix*"),
};

static const struct conf_key events[] = {
    LIST("listen-channels", R, AT(listen_channels), NULL,
         "channels that may be used at all, each a name or prefix*; not set: every one"),
    NUMBER(CONF_UINT, "listen-channels-max", R, AT(listen_channels_max), "100", 1, 10000,
           "channels in one request"),
    TEXT("listen-cookie", R | CONF_CAN_OFF, AT(listen_cookie), "off",
         "name of a cookie that may carry the token"),
    BOOL("listen-query-token", R, AT(listen_query_token), "false",
         "take the token from ?access_token= too"),
    NUMBER(CONF_UINT, "listen-buffer", R, AT(listen_buffer), "1024", 1, 1000000,
           "messages a slow reader may be behind when it does not say"),
    NUMBER(CONF_UINT, "listen-buffer-max", R, AT(listen_buffer_max), "4096", 1, 1000000,
           "most a reader may ask for"),
    NUMBER(CONF_UINT, "listen-history", 0, AT(listen_history), "4096", 1, 1000000,
           "messages kept per channel for readers that come back"),
    NUMBER(CONF_BYTES, "listen-history-bytes", 0, AT(listen_history_bytes), "64MB", 64 * KB, TB,
           "memory for the messages of all channels"),
    NUMBER(CONF_DURATION, "listen-heartbeat", R, AT(listen_heartbeat_us), "15s", SECOND / 10, HOUR,
           "a comment is sent on a stream that was silent this long"),
    TEXT("listen-uri", S | CONF_FILE | CONF_URI, DB(listen_uri), NULL,
         "connection string for LISTEN when db-uri goes through a pooler"),
};

static const struct conf_key logging[] = {
    WORDS("log-level", P | R, AT(log_level), "error", log_words, "how much is logged"),
    WORDS("log-format", R, AT(log_format), "text", log_formats,
          "form of the lines: logfmt, or a JSON object each"),
    BOOL("log-access", R, AT(log_access), "true", "one line a request"),
    BOOL("log-query", P | R, AT(log_query), "false", "log the SQL of requests"),
};

#define GROUP(title, keys)                                                                         \
    {                                                                                              \
        title, keys, sizeof(keys) / sizeof(keys)[0]                                                \
    }

const struct conf_group conf_groups[] = {
    GROUP("Listening", listening),
    GROUP("Database", database),
    GROUP("Who may do what", access_keys),
    GROUP("Tokens", jwt),
    GROUP("REST", rest),
    GROUP("Events", events),
    GROUP("Sizes", requests),
    GROUP("Logging", logging),
};
const size_t conf_n_groups = sizeof conf_groups / sizeof conf_groups[0];

const struct conf_key *conf_key_at(size_t number)
{
    for (size_t g = 0; g < conf_n_groups; g++) {
        if (number < conf_groups[g].n)
            return &conf_groups[g].keys[number];
        number -= conf_groups[g].n;
    }
    return NULL;
}

/* PostgREST's older names. */
static const struct {
    const char *alias, *name;
} aliases[] = {
    {"max-rows", "db-max-rows"},
    {"db-schema", "db-schemas"},
    {"pre-request", "db-pre-request"},
    {"root-spec", "db-root-spec"},
    {"role-claim-key", "jwt-role-claim-key"},
    {"secret-is-base64", "jwt-secret-is-base64"},
    {"db-pool-timeout", "db-pool-max-idletime"},
};

/* Settings that PostgREST once had: a file that still names them starts, with a warning. */
static const char *const retired[] = {
    "db-use-legacy-gucs", "db-tx-rollback-all", "db-tx-allow-override", "jwt-cache-max-lifetime",
    "raw-media-types",    "db-load-guc-config", "log-query-params",
};

static bool same_name(struct str a, const char *b)
{
    if (a.n != strlen(b))
        return false;
    for (size_t i = 0; i < a.n; i++)
        if ((a.p[i] == '_' ? '-' : a.p[i]) != b[i])
            return false;
    return true;
}

int conf_key_find(struct str name)
{
    const struct conf_key *key;
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (same_name(name, aliases[i].alias))
            name = str_of(aliases[i].name);
    for (size_t i = 0; (key = conf_key_at(i)); i++)
        if (same_name(name, key->name))
            return (int)i;
    return -1;
}

bool conf_alias_at(size_t n, const char **name, int *number)
{
    if (n >= sizeof aliases / sizeof aliases[0])
        return false;
    *name = aliases[n].alias;
    *number = conf_key_find(str_of(aliases[n].name));
    return true;
}

bool conf_key_retired(struct str name)
{
    for (size_t i = 0; i < sizeof retired / sizeof retired[0]; i++)
        if (same_name(name, retired[i]))
            return true;
    return false;
}

const char *conf_in_db_key(size_t n)
{
    const struct conf_key *key;
    for (size_t i = 0; (key = conf_key_at(i)); i++)
        if ((key->flags & CONF_IN_DB) && n-- == 0)
            return key->name;
    return NULL;
}

const char *conf_retired_at(size_t n)
{
    return n < sizeof retired / sizeof retired[0] ? retired[n] : NULL;
}

#define NAME_MAX_ 64

/* Levenshtein's distance; names longer than NAME_MAX_ are far from everything. */
static size_t distance(struct str a, struct str b)
{
    size_t row[NAME_MAX_ + 1];
    if (a.n > NAME_MAX_ || b.n > NAME_MAX_)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            char x = a.p[i - 1] == '_' ? '-' : (char)(a.p[i - 1] | 0x20);
            size_t best = diagonal + (x != (b.p[j - 1] | 0x20));
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b.n];
}

/* Is one the other's end at a dash ("port" of "server-port")? */
static bool is_end_of(struct str part, struct str whole)
{
    return part.n >= 3 && whole.n > part.n && whole.p[whole.n - part.n - 1] == '-' &&
           strncasecmp(whole.p + whole.n - part.n, part.p, part.n) == 0;
}

const char *conf_key_suggest(struct str name)
{
    const struct conf_key *key;
    const char *best = NULL;
    size_t nearest = name.n / 3 + 1;
    for (size_t i = 0; (key = conf_key_at(i)); i++) {
        size_t d = distance(name, str_of(key->name));
        if (d <= nearest && (!best || d < nearest)) {
            best = key->name;
            nearest = d;
        }
    }
    for (size_t i = 0; !best && (key = conf_key_at(i)); i++)
        if (is_end_of(name, str_of(key->name)) || is_end_of(str_of(key->name), name))
            best = key->name;
    return best;
}
