#include "db/error.h"

#include <stdlib.h>

#include "util/buf.h"
#include "util/xalloc.h"

/* A message of PostgreSQL may quote a whole statement; what it says beyond this helps nobody. */
#define ERROR_FIELD_MAX (64 * 1024)

/* The fields of struct db_error in the order of their PG_DIAG letters below. */
#define FIELDS 17
static const char diag[FIELDS] = {
    PG_DIAG_SEVERITY_NONLOCALIZED, PG_DIAG_SQLSTATE,        PG_DIAG_MESSAGE_PRIMARY,
    PG_DIAG_MESSAGE_DETAIL,        PG_DIAG_MESSAGE_HINT,    PG_DIAG_STATEMENT_POSITION,
    PG_DIAG_INTERNAL_POSITION,     PG_DIAG_INTERNAL_QUERY,  PG_DIAG_CONTEXT,
    PG_DIAG_SCHEMA_NAME,           PG_DIAG_TABLE_NAME,      PG_DIAG_COLUMN_NAME,
    PG_DIAG_DATATYPE_NAME,         PG_DIAG_CONSTRAINT_NAME, PG_DIAG_SOURCE_FILE,
    PG_DIAG_SOURCE_LINE,           PG_DIAG_SOURCE_FUNCTION,
};

_Static_assert(sizeof(struct db_error) == FIELDS * sizeof(char *), "one letter per field");

static const char **fields_of(struct db_error *e)
{
    return &e->severity;
}

void db_error_of_result(struct db_error *e, const PGresult *res)
{
    for (int i = 0; i < FIELDS; i++)
        fields_of(e)[i] = PQresultErrorField(res, diag[i]);
    if (!e->severity)
        e->severity = "ERROR";
    if (!e->code) { /* made by libpq itself: a broken connection, no memory */
        e->code = "08006";
        e->message = PQresultErrorMessage(res);
    }
    if (!e->message)
        e->message = "";
}

void db_failure_copy(struct db_failure *f, const struct db_error *from)
{
    struct db_error source = *from;
    size_t total = 0, lengths[FIELDS];
    for (int i = 0; i < FIELDS; i++) {
        const char *s = fields_of(&source)[i];
        lengths[i] = s ? strnlen(s, ERROR_FIELD_MAX) : 0;
        total += s ? lengths[i] + 1 : 0;
    }
    char *bytes = xmalloc(total + 1), *to = bytes;
    struct db_error e = {0};
    for (int i = 0; i < FIELDS; i++) {
        if (!fields_of(&source)[i])
            continue;
        memcpy(to, fields_of(&source)[i], lengths[i]);
        to[lengths[i]] = '\0';
        fields_of(&e)[i] = to;
        to += lengths[i] + 1;
    }
    free(f->bytes);
    *f = (struct db_failure){e, bytes};
}

void db_failure_result(struct db_failure *f, const PGresult *res)
{
    struct db_error e;
    db_error_of_result(&e, res);
    db_failure_copy(f, &e);
}

void db_failure_set(struct db_failure *f, const char *code, const char *message, const char *hint)
{
    struct db_error e = {.severity = "FATAL", .code = code, .message = message, .hint = hint};
    db_failure_copy(f, &e);
}

void db_failure_fini(struct db_failure *f)
{
    free(f->bytes);
    *f = (struct db_failure){0};
}

static bool is_sqlstate(const char *p)
{
    for (int i = 0; i < 5; i++)
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z')))
            return false;
    return true;
}

/* The last "SEVERITY:  SQLSTATE: message" of the text: with several hosts the last one tried
 * counts. Severity may be in any language, so only the shape is looked for. Returns the colon. */
static const char *find_verbose(const char *text)
{
    const char *found = NULL;
    for (const char *p = strstr(text, ":  "); p; p = strstr(p + 1, ":  "))
        if (strlen(p) > 10 && is_sqlstate(p + 3) && p[8] == ':' && p[9] == ' ')
            found = p;
    return found;
}

static struct str without_newlines(const char *p, size_t n)
{
    while (n && (p[n - 1] == '\n' || p[n - 1] == ' '))
        n--;
    return (struct str){p, n};
}

/* "LOCATION:  routine, file.c:123" */
static void parse_location(struct str line, char **routine, char **file, char **number)
{
    size_t comma = str_find(line, ',', 0), colon = str_find(line, ':', comma);
    if (comma >= line.n || colon >= line.n)
        return;
    *routine = xstrndup((struct str){line.p, comma});
    *file = xstrndup(str_trim((struct str){line.p + comma + 1, colon - comma - 1}));
    *number = xstrndup(str_from(line, colon + 1));
}

/* After the message: DETAIL, HINT, then LOCATION as the last line. The words may be translated; the
 * first two are recognised in English only, else they stay part of the message. */
static struct str parse_tail(struct str rest, char *found[5])
{
    struct str message = rest;
    for (size_t nl = str_find(rest, '\n', 0); nl < rest.n; nl = str_find(rest, '\n', nl + 1)) {
        struct str line = str_from(rest, nl + 1);
        line.n = str_find(line, '\n', 0);
        size_t colon = str_find(line, ':', 0);
        if (colon + 3 > line.n || line.p[colon + 1] != ' ' || line.p[colon + 2] != ' ')
            continue;
        struct str label = {line.p, colon}, text = str_from(line, colon + 3);
        bool last = nl + 1 + line.n >= rest.n;
        if (str_eq(label, STR("DETAIL")) && !found[0])
            found[0] = xstrndup(text);
        else if (str_eq(label, STR("HINT")) && !found[1])
            found[1] = xstrndup(text);
        else if (last)
            parse_location(text, &found[2], &found[3], &found[4]);
        else
            continue;
        if (message.n == rest.n)
            message.n = nl;
    }
    return message;
}

void db_failure_text(struct db_failure *f, const char *text, const char *fallback)
{
    const char *colon = find_verbose(text);
    char *found[5] = {0}, code[6] = "", *severity = NULL, *message;
    if (colon) {
        const char *word = colon;
        while (word > text && word[-1] != ' ' && word[-1] != '\n')
            word--;
        severity = xstrndup((struct str){word, (size_t)(colon - word)});
        memcpy(code, colon + 3, 5);
        message = xstrndup(parse_tail(without_newlines(colon + 10, strlen(colon + 10)), found));
    } else {
        message = xstrndup(without_newlines(text, strlen(text)));
    }
    struct db_error e = {.severity = severity ? severity : "FATAL",
                         .code = colon ? code : fallback,
                         .message = message,
                         .detail = found[0],
                         .hint = found[1],
                         .routine = found[2],
                         .file = found[3],
                         .line = found[4]};
    db_failure_copy(f, &e);
    for (int i = 0; i < 5; i++)
        free(found[i]);
    free(severity);
    free(message);
}
