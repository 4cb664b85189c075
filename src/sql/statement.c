#include "sql/statement.h"

#include "db/job.h"
#include "sql/scan.h"

#include <stdlib.h>

/* The first token that is not a semicolon: PostgreSQL drops empty statements in front of one. */
static enum sql_token first_token(struct sql_scan *s)
{
    while (sql_scan_next(s) == SQL_OTHER && s->text.p[0] == ';')
        ;
    return s->token;
}

static bool next_is(struct sql_scan *s, const char *lower)
{
    sql_scan_next(s);
    return sql_scan_is(s, lower);
}

/* ROLLBACK [WORK | TRANSACTION] TO ... goes to a savepoint, which ends nothing; ROLLBACK PREPARED
 * ends another transaction. */
static enum sql_verb verb_of_rollback(struct sql_scan *s)
{
    sql_scan_next(s);
    if (sql_scan_is(s, "prepared"))
        return SQL_VERB_OTHER;
    if (sql_scan_is(s, "work") || sql_scan_is(s, "transaction"))
        sql_scan_next(s);
    return sql_scan_is(s, "to") ? SQL_VERB_SAVEPOINT : SQL_VERB_TRANSACTION;
}

/* The letters and digits of a value: 'UTF-8' and utf8 are the same to PostgreSQL. */
static bool means_utf8(struct str value)
{
    char name[16];
    size_t n = 0;
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9');
        if (letter && n < sizeof name)
            name[n++] = c;
    }
    struct str s = {name, n};
    return str_ieq(s, STR("utf8")) || str_ieq(s, STR("unicode")) || str_ieq(s, STR("default"));
}

/* Behind SET. */
static enum sql_verb verb_of_set(struct sql_scan *s)
{
    sql_scan_next(s);
    if (sql_scan_is(s, "local"))
        sql_scan_next(s);
    else if (sql_scan_is(s, "session")) {
        sql_scan_next(s);
        if (sql_scan_is(s, "characteristics"))
            return SQL_VERB_SET;
    }
    if (sql_scan_is(s, "transaction"))
        return SQL_VERB_TRANSACTION;
    bool names = sql_scan_is(s, "names");
    bool encoding = sql_scan_is(s, "client_encoding") ||
                    (s->token == SQL_IDENT && str_ieq(s->text, STR("\"client_encoding\"")));
    if (!names && !encoding)
        return SQL_VERB_SET;
    sql_scan_next(s);
    if (encoding) /* TO or = */
        sql_scan_next(s);
    bool utf8 = s->token == SQL_END ? names : means_utf8(s->text);
    return utf8 ? SQL_VERB_SET : SQL_VERB_ENCODING;
}

/* Behind COPY: the target is STDIN or STDOUT (either word is taken in either place). */
static enum sql_verb verb_of_copy(struct sql_scan *s)
{
    unsigned depth = 0;
    bool direction = false;
    while (sql_scan_next(s) != SQL_END) {
        char c = s->token == SQL_OTHER ? s->text.p[0] : '\0';
        depth = c == '(' ? depth + 1 : c == ')' && depth > 0 ? depth - 1 : depth;
        if (depth == 0 && direction && (sql_scan_is(s, "stdin") || sql_scan_is(s, "stdout")))
            return SQL_VERB_COPY_CLIENT;
        direction = depth == 0 && (sql_scan_is(s, "from") || sql_scan_is(s, "to"));
    }
    return SQL_VERB_OTHER;
}

struct verb_word {
    struct str word;
    enum sql_verb verb;
};

enum sql_verb sql_statement_verb(struct str sql)
{
    static const struct verb_word words[] = {
        {{"select", 6}, SQL_VERB_QUERY},      {{"insert", 6}, SQL_VERB_QUERY},
        {{"update", 6}, SQL_VERB_QUERY},      {{"delete", 6}, SQL_VERB_QUERY},
        {{"with", 4}, SQL_VERB_QUERY},        {{"values", 6}, SQL_VERB_QUERY},
        {{"table", 5}, SQL_VERB_QUERY},       {{"merge", 5}, SQL_VERB_QUERY},
        {{"begin", 5}, SQL_VERB_TRANSACTION}, {{"start", 5}, SQL_VERB_TRANSACTION},
        {{"end", 3}, SQL_VERB_TRANSACTION},   {{"abort", 5}, SQL_VERB_TRANSACTION},
        {{"reset", 5}, SQL_VERB_RESET},       {{"savepoint", 9}, SQL_VERB_SAVEPOINT},
        {{"release", 7}, SQL_VERB_SAVEPOINT}, {{"declare", 7}, SQL_VERB_SESSION},
        {{"listen", 6}, SQL_VERB_SESSION},
    };
    struct sql_scan s;
    sql_scan_init(&s, sql, true);
    enum sql_token token = first_token(&s);
    if (token == SQL_END)
        return SQL_VERB_EMPTY;
    if (token != SQL_WORD) /* "(select ...)" */
        return token == SQL_OTHER && s.text.p[0] == '(' ? SQL_VERB_QUERY : SQL_VERB_OTHER;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_ieq(s.text, words[i].word))
            return words[i].verb;
    if (sql_scan_is(&s, "rollback"))
        return verb_of_rollback(&s);
    if (sql_scan_is(&s, "commit")) /* COMMIT PREPARED ends another one */
        return next_is(&s, "prepared") ? SQL_VERB_OTHER : SQL_VERB_TRANSACTION;
    if (sql_scan_is(&s, "prepare"))
        return next_is(&s, "transaction") ? SQL_VERB_TRANSACTION : SQL_VERB_SESSION;
    if (sql_scan_is(&s, "set"))
        return verb_of_set(&s);
    return sql_scan_is(&s, "copy") ? verb_of_copy(&s) : SQL_VERB_OTHER;
}

static int compare_names(const void *a, const void *b)
{
    struct str x = ((const struct sql_named *)a)->name, y = ((const struct sql_named *)b)->name;
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

bool sql_named_sort(struct sql_named *named, size_t n, struct err *err)
{
    if (n < 2)
        return true;
    qsort(named, n, sizeof *named, compare_names);
    for (size_t i = 1; i < n; i++)
        if (str_eq(named[i - 1].name, named[i].name))
            return err_set(err, 400, "PGH103", "the parameter \"%.*s\" is given twice",
                           named[i].name.n > 100 ? 100 : (int)named[i].name.n, named[i].name.p);
    return true;
}

/* How many :name stand in the text; false when there are $n too. (With params {} PostgreSQL says
 * what $n lack.) */
static bool count_named(struct str sql, const struct sql_binding *b, size_t *n, struct err *err)
{
    struct sql_scan s;
    bool numbered = false;
    sql_scan_init(&s, sql, b->plain_backslash);
    for (*n = 0; sql_scan_next(&s) != SQL_END;) {
        *n += s.token == SQL_NAMED;
        numbered = numbered || s.token == SQL_PARAM;
    }
    if (numbered && (*n > 0 || b->n_named > 0))
        return err_set(err, 400, "PGH103",
                       "params is an object, but the statement has $n parameters: write :name, or "
                       "make params an array");
    return true;
}

static struct sql_named *find_named(const struct sql_binding *b, struct str name)
{
    struct sql_named key = {.name = name};
    return b->n_named ? bsearch(&key, b->named, b->n_named, sizeof key, compare_names) : NULL;
}

static bool bind_name(struct sql_binding *b, struct str name, int *number, struct err *err)
{
    struct sql_named *found = find_named(b, name);
    if (!found)
        return err_set(err, 400, "PGH103", "the parameter :%.*s has no value in params",
                       name.n > 100 ? 100 : (int)name.n, name.p);
    if (found->number == 0) {
        if (b->n_values == DB_PARAMS_MAX)
            return err_set(err, 400, "54023", "more than %d parameters", DB_PARAMS_MAX);
        b->values[b->n_values++] = found->value;
        found->number = b->n_values;
    }
    *number = found->number;
    return true;
}

static size_t put_number(char *to, int number)
{
    char digits[12];
    size_t n = 0;
    for (; number > 0; number /= 10)
        digits[n++] = (char)('0' + number % 10);
    to[0] = '$';
    for (size_t i = 0; i < n; i++)
        to[1 + i] = digits[n - 1 - i];
    return n + 1;
}

bool sql_statement_bind(struct arena *arena, struct str sql, struct sql_binding *b, struct err *err)
{
    size_t uses, copied = 0, w = 0;
    b->n_values = 0;
    b->given = sql;
    if (!count_named(sql, b, &uses, err))
        return false;
    /* ":a" becomes at most "$65535" */
    char *to = arena_alloc(arena, sql.n + uses * 4 + 1);
    b->values = arena_array(arena, uses < b->n_named ? uses + 1 : b->n_named + 1, sizeof(char *));
    if (!to || !b->values)
        return err_set(err, 413, "54000", "the statement is too long for this request");
    struct sql_scan s;
    sql_scan_init(&s, sql, b->plain_backslash);
    while (uses > 0 && sql_scan_next(&s) != SQL_END) {
        int number = 0;
        if (s.token != SQL_NAMED)
            continue;
        if (!bind_name(b, str_from(s.text, 1), &number, err))
            return false;
        size_t before = (size_t)(s.text.p - sql.p) - copied;
        memcpy(to + w, sql.p + copied, before);
        w += before;
        w += put_number(to + w, number);
        copied = s.at;
    }
    memcpy(to + w, sql.p + copied, sql.n - copied);
    w += sql.n - copied;
    to[w] = '\0';
    b->sql = (struct str){to, w};
    return true;
}

static size_t count_characters(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)p[i] & 0xc0) != 0x80;
    return count;
}

/* Where the n-th character begins, from 0. */
static size_t byte_of_character(struct str s, size_t n)
{
    size_t i = 0;
    while (i < s.n && (n > 0 || ((unsigned char)s.p[i] & 0xc0) == 0x80)) {
        n -= ((unsigned char)s.p[i] & 0xc0) != 0x80;
        i++;
    }
    return i;
}

/* Goes through the text as sql_statement_bind did. */
size_t sql_statement_position(const struct sql_binding *b, size_t position)
{
    char digits[12];
    size_t wanted = byte_of_character(b->sql, position ? position - 1 : 0), w = 0, copied = 0;
    struct sql_scan s;
    sql_scan_init(&s, b->given, b->plain_backslash);
    while (sql_scan_next(&s) != SQL_END) {
        if (s.token != SQL_NAMED)
            continue;
        size_t start = (size_t)(s.text.p - b->given.p), at = w + (start - copied);
        if (wanted < at)
            break;
        const struct sql_named *name = find_named(b, str_from(s.text, 1));
        w = at + put_number(digits, name ? name->number : 0);
        copied = s.at;
        if (wanted < w)
            return count_characters(b->given.p, start) + 1;
    }
    return count_characters(b->given.p, copied + (wanted - w)) + 1;
}

struct str sql_statement_name(const struct sql_binding *b, int number)
{
    for (size_t i = 0; i < b->n_named; i++)
        if (b->named[i].number == number && number > 0)
            return b->named[i].name;
    return (struct str){NULL, 0};
}
