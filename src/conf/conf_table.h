/* conf_table: the one table of settings, and what the files of src/conf share. Not for others: they
 * include conf/conf.h.
 *
 * To add a setting: a field in struct conf (or struct conf_database when each database may have its
 * own), a row in conf_table.c, then `make -s config` renews config/pghttpd.conf. */
#ifndef PGH_CONF_CONF_TABLE_H
#define PGH_CONF_CONF_TABLE_H

#include "conf/conf.h"
#include "util/arena.h"
#include "util/buf.h"

enum conf_type {
    CONF_BOOL,
    CONF_UINT,     /* unsigned */
    CONF_U64,      /* uint64_t */
    CONF_BYTES,    /* size_t; 16MB, 256KB, plain bytes */
    CONF_DURATION, /* uint64_t microseconds; 5s, 250ms, plain seconds */
    CONF_PORT,     /* unsigned; "off" where CONF_CAN_OFF */
    CONF_MODE,     /* unsigned; octal file mode */
    CONF_WORDS,    /* an enum with names; int-sized */
    CONF_TEXT,     /* const char *, NULL when not set */
    CONF_LIST      /* struct conf_list */
};

enum conf_flag {
    CONF_RELOAD = 1,    /* a reload changes it; others need a restart */
    CONF_IN_DB = 2,     /* may be set as pgrst.key in the database */
    CONF_SECTION = 4,   /* field of struct conf_database; also inside database NAME { } */
    CONF_SECRET = 8,    /* never printed; only a value that is one ${VAR} as a whole is expanded */
    CONF_FILE = 16,     /* @path reads the value from a file */
    CONF_CAN_OFF = 32,  /* "off" (and 0) mean none */
    CONF_CAN_AUTO = 64, /* "auto": the number of cores */
    CONF_PGRST = 128,   /* PostgREST has a setting of this name */
    CONF_BINARY = 512,  /* may hold NUL bytes when it comes from a file */
    CONF_URI = 256      /* a connection string: its password is not printed */
};

struct conf_word {
    const char *name;
    int value;
};

struct conf_key {
    const char *name;
    enum conf_type type;
    unsigned flags;
    size_t offset;     /* in struct conf, or in struct conf_database with CONF_SECTION */
    const char *def;   /* as it would be written in a file; NULL: not set */
    uint64_t min, max; /* of numbers, bytes and microseconds */
    const struct conf_word *words;
    const char *doc;
};

struct conf_group {
    const char *title;
    const struct conf_key *keys;
    size_t n;
};

extern const struct conf_group conf_groups[];
extern const size_t conf_n_groups;
#define CONF_KEYS_MAX 128 /* rows of all groups together; checked when a table of them is made */

/* Flat numbering of all rows, in the table's order. NULL past the end. */
const struct conf_key *conf_key_at(size_t number);

/* By name as in a file, aliases included; underscores count as dashes. -1: no such key. */
int conf_key_find(struct str name);
/* Retired settings of PostgREST, taken and ignored with a warning. */
bool conf_key_retired(struct str name);
const char *conf_retired_at(size_t n); /* NULL past the end */
/* The known key that is nearest to a misspelt one; NULL when none is near. */
const char *conf_key_suggest(struct str name);
/* The n-th alias of any key, its own name and the key's number; false past the end. */
bool conf_alias_at(size_t n, const char **name, int *number);

/* Where a value came from, for messages. */
enum conf_source {
    CONF_FROM_DEFAULT,
    CONF_FROM_FILE,
    CONF_FROM_ENVIRONMENT,
    CONF_FROM_DATABASE,
    CONF_FROM_ARGUMENT
};

struct conf_origin {
    enum conf_source source;
    const char *name; /* file name, or the variable's name */
    int line;
    const char *section; /* NULL outside sections */
};

struct conf_value {
    const char *text; /* NULL: not set anywhere */
    struct conf_origin origin;
};

/* Values of one database section, or of the top level. */
struct conf_values {
    const char *section; /* NULL: the top level */
    struct conf_origin origin;
    struct conf_value v[CONF_KEYS_MAX];
};

#define CONF_DATABASES_MAX 64
#define CONF_APP_SETTINGS_MAX 256

/* What the sources said, before it is judged. */
struct conf_raw {
    struct arena *arena;
    struct conf_values top;
    struct conf_values *sections[CONF_DATABASES_MAX];
    size_t n_sections;
    struct conf_pair app[CONF_APP_SETTINGS_MAX];
    size_t n_app;
    char *const *environ; /* for ${VAR} */
};

#define CONF_FILE_MAX                                                                              \
    (1024 * 1024) /* bytes of a file of settings, and of one that holds a value                    \
                   */

/* What was read from a pipe or standard input (@/dev/stdin, pghttpd <(...)) cannot be read again: a
 * reload takes it from here. */
struct conf_kept {
    const char *path, *bytes;
    size_t n;
    struct conf_kept *next;
};

/* A loaded configuration with what a dump and a reload need to know. */
struct conf_loaded {
    struct conf conf; /* first: struct conf * is what others hold */
    struct conf_raw raw;
    struct arena arena;
    const char *file;  /* NULL: none was named */
    bool had_settings; /* the file was not empty; before it is read: the one before it was not */
    struct conf_kept *kept;
    size_t file_value_len; /* of the @path that was read last */
    unsigned references;   /* atomic */
};

static inline struct conf_loaded *conf_loaded(const struct conf *c)
{
    return (struct conf_loaded *)(uintptr_t)c;
}

/* conf_raw: the sources; each overwrites what stands there. */
bool conf_raw_put(struct conf_values *, const struct conf_key *, int number, const char *text,
                  struct conf_origin);
bool conf_raw_app(struct conf_raw *, const char *name, const char *value, struct err *);
MUSTCHECK bool conf_read_file(struct conf_raw *, const char *path, struct str text, struct err *);
MUSTCHECK bool conf_read_environ(struct conf_raw *, struct err *);
MUSTCHECK bool conf_read_in_db(struct conf_raw *, const struct conf_pair *, size_t n, struct err *);

struct conf_args {
    enum conf_action action;
    const char *file;
};
/* Reads only what is asked for and the file's name when raw is NULL. */
MUSTCHECK bool conf_read_args(struct conf_raw *, int argc, char *const *argv, struct conf_args *,
                              struct err *);

/* Turns what PostgREST's and our own files may hold into plain libconfuse text: every value becomes
 * a quoted string with its references resolved, a list becomes "a,b"; lines keep their numbers.
 * app.settings.* go to raw straight away. */
MUSTCHECK bool conf_plain_text(struct conf_raw *, struct str text, const char *file,
                               struct buf *out, struct err *);
/* NULL when it is not set. */
const char *conf_getenv(char *const *environ, struct str name);

/* conf_value: text <-> field. what ends "is not ...". */
MUSTCHECK bool conf_parse(struct arena *, const struct conf_key *, struct str text, void *field,
                          char what[static 256]);
MUSTCHECK bool conf_parse_bytes(struct str, uint64_t *out);
MUSTCHECK bool conf_parse_duration(struct str, uint64_t *us);
void conf_print_value(struct buf *, const struct conf_key *, const void *field);
void conf_quote(struct buf *, struct str);
/* A connection string without its password. */
void conf_redact_uri(struct buf *, struct str uri);

/* "pghttpd.conf:12: server-port: " and the like, then the text. Returns false. */
void conf_origin_text(const struct conf_origin *, char *out, size_t n); /* "file:line: " */
bool conf_fail(struct err *, const struct conf_origin *, const char *key, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Settings that exclude each other. */
MUSTCHECK bool conf_check(const struct conf_loaded *, struct err *);
bool conf_loopback(const char *host);

#endif
