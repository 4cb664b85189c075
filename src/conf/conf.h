/* conf: every setting of the program, as one immutable value.
 *
 * One const table in conf_table.c describes each key (name, type, default, bounds, reloadable, who
 * else may set it, one line of doc); --help, --example, --dump-config, the table in
 * docs/settings.md and the loader all come from it. To add a setting: a field here, a row there.
 *
 * Precedence: command line, in-database settings, environment (PGHTTPD_KEY, then PGRST_KEY), file,
 * default. A struct conf never changes after conf_load: a reload makes a new one. It is
 * reference-counted, and any thread may hold a reference. Strings in it live as long as it does. */
#ifndef PGH_CONF_CONF_H
#define PGH_CONF_CONF_H

#include "util/err.h"
#include "util/log.h"

enum conf_access { CONF_OFF, CONF_LOGIN, CONF_JWT, CONF_OPEN };
enum conf_tx_end { CONF_COMMIT, CONF_COMMIT_OVERRIDE, CONF_ROLLBACK, CONF_ROLLBACK_OVERRIDE };
enum conf_openapi { CONF_FOLLOW_PRIVILEGES, CONF_IGNORE_PRIVILEGES, CONF_OPENAPI_DISABLED };
enum conf_commit_lookup { CONF_LOOKUP_OFF, CONF_LOOKUP_BATCHES, CONF_LOOKUP_ALL };
enum conf_verbosity { CONF_VERBOSE, CONF_MINIMAL };

struct buf;

struct conf_list { /* of NUL-terminated strings */
    const char *const *v;
    size_t n;
};

struct conf_pair { /* app.settings.NAME = VALUE */
    const char *name, *value;
};

/* One database: the configured one (name "") or a section database NAME { ... }. */
struct conf_database {
    const char *name;
    const char *db_uri, *listen_uri; /* listen_uri: db_uri when not set */
    struct conf_list db_schemas, db_extra_search_path;
    const char *db_anon_role, *db_pre_request, *db_root_spec, *db_channel;
    bool db_channel_enabled, db_prepared_statements;
    unsigned db_pool;
};

struct conf {
    /* listening; NULL strings mean: not set */
    const char *server_host, *server_unix_socket;
    unsigned server_port, server_unix_socket_mode; /* port 0: any free one, logged */
    const char *admin_server_host, *admin_server_unix_socket;
    unsigned admin_server_port, admin_server_unix_socket_mode; /* CONF_PORT_OFF: no admin server */
    const char *admin_token;
    bool server_reuseport, trusted_network, console;
    unsigned workers; /* resolved: at least 1 */
    struct conf_list server_names, server_trusted_proxies;
    struct conf_list server_cors_allowed_origins;
    const char *server_trace_header;
    bool server_timing_enabled;
    unsigned server_connections_max, server_streams_max;
    uint64_t server_timeout_header_us, server_timeout_idle_us;
    size_t server_header_memory; /* bytes of libmicrohttpd's pool per connection */
    uint64_t shutdown_timeout_us, shutdown_delay_us;

    /* access */
    const char *rest_path; /* "/rest", or "" for a drop-in (configured as "/") */
    enum conf_access sql_access, listen_access, notify_access;
    struct conf_list login_databases, listen_channels;
    uint64_t login_recheck_us;
    unsigned login_attempts_max; /* per address and second */
    unsigned listen_channels_max, listen_buffer, listen_buffer_max, listen_history;
    size_t listen_history_bytes; /* all rings together */
    uint64_t listen_heartbeat_us;
    const char *listen_cookie; /* NULL: off */
    bool listen_query_token;

    /* databases: [0] is the configured one, with the name "" */
    const struct conf_database *databases;
    size_t n_databases;
    unsigned db_connections_max, db_pool_queue;
    uint64_t db_pool_acquisition_timeout_us, db_pool_max_idletime_us, db_pool_max_lifetime_us;
    unsigned db_pool_min;
    bool db_pool_automatic_recovery, db_config, db_reset_after_rpc;
    uint64_t db_connect_timeout_us, db_pipeline_patience_us;
    enum conf_commit_lookup commit_lookup;
    unsigned db_pipeline_depth, db_statement_cache; /* names per connection */
    uint64_t statement_timeout_us;                  /* ceiling of timeout; 0 = none */

    /* requests and replies, bytes; 0 = off where 0 makes sense */
    size_t request_max_bytes, request_memory_max, response_max_bytes, response_buffer,
        response_memory_max, copy_max_bytes;
    unsigned rest_stream_rows;

    /* REST; names follow PostgREST */
    const char *db_pre_config;
    struct conf_list db_hoisted_tx_settings;
    uint64_t db_max_rows; /* 0 = unlimited */
    bool db_aggregates_enabled, db_plan_enabled, url_use_legacy_target_names;
    enum conf_tx_end db_tx_end;
    enum conf_openapi openapi_mode;
    bool openapi_security_active;
    const char *openapi_server_proxy_uri;
    enum conf_verbosity client_error_verbosity;
    const struct conf_pair *app_settings;
    size_t n_app_settings;

    /* JWT */
    const char *jwt_secret; /* text, JWK or JWKS; after @file and base64 were resolved */
    size_t jwt_secret_len;
    bool jwt_secret_is_base64;
    const char *jwt_aud, *jwt_role_claim_key;
    unsigned jwt_cache_max_entries;

    enum log_level log_level;
    enum log_format log_format;
    bool log_query, log_access;
};

#define CONF_PORT_OFF 65536u

/* What the command line asked for, besides settings. */
enum conf_action {
    CONF_RUN,
    CONF_HELP,
    CONF_VERSION,
    CONF_EXAMPLE,
    CONF_DUMP_CONFIG,
    CONF_DUMP_SCHEMA,
    CONF_READY,
    CONF_HEALTHCHECK
};

/* The sources of one load, kept for reloads. in_db holds (key, value) pairs read from the database,
 * or NULL. */
struct conf_sources {
    int argc;
    char *const *argv;
    char *const *environ;
    const struct conf_pair *in_db;
    size_t n_in_db;
};

/* Reads all sources. On failure err's message names file, line, key and what would be right;
 * warnings (unknown PGHTTPD_ variables) are logged. *action is set even when it is not CONF_RUN. */
MUSTCHECK struct conf *conf_load(const struct conf_sources *, enum conf_action *action,
                                 struct err *);

/* Overwrites what is secret among a program's arguments (--jwt-secret, the password of --db-uri,
 * any
 * --app.settings.NAME): until then a list of processes (ps) shows them to every user of the
 * machine. What the sources above point at must be a copy. Adds the names of the options to
 * *hidden, separated by commas. */
void conf_hide_args(int argc, char **argv, struct buf *hidden);

/* The same sources again for a running program. Settings that need a restart keep their old value,
 * with a warning. On failure the old one simply stays in use. */
MUSTCHECK struct conf *conf_reload(const struct conf *old, const struct conf_sources *,
                                   struct err *);
/* A setting that loaded but cannot be used: puts its place (file and line, variable ...) before the
 * message, which names the key. False. */
bool conf_blame(const struct conf *, const char *key, struct err *);
/* Calls fn for each setting in which the two differ; databases' own as "NAME.key". */
void conf_diff(const struct conf *old, const struct conf *now,
               void (*fn)(void *arg, const char *key), void *arg);

struct conf *conf_ref(struct conf *);
void conf_unref(struct conf *);

/* Names of the settings that the database may have (pgrst.key); NULL past the end. */
const char *conf_in_db_key(size_t n);

/* The database of /db/NAME/; the configured one for the empty name; NULL when there is none. */
const struct conf_database *conf_database(const struct conf *, struct str name);

void conf_print_help(struct buf *out);
void conf_print_example(struct buf *out); /* config/pghttpd.conf is made with it */
void conf_print_dump(const struct conf *, struct buf *out); /* secrets as *** */
void conf_print_man(struct buf *out);                       /* those in docs/man/pghttpd.conf.5 */
void conf_print_markdown(struct buf *out);                  /* the table in docs/settings.md */

#endif
