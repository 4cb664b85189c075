#include "rest/sqltext.h"

#include <limits.h>

#include "db/ident.h"

void sqltext_init(struct sqltext *s, struct arena *arena)
{
    *s = (struct sqltext){.arena = arena};
    buf_init(&s->text, SQLTEXT_MAX);
}

void sqltext_fini(struct sqltext *s)
{
    buf_fini(&s->text);
}

void sqltext_raw(struct sqltext *s, struct str text)
{
    buf_adds(&s->text, text);
}

void sqltext_ident(struct sqltext *s, struct str name)
{
    ident_quote(&s->text, name);
}

void sqltext_qualified(struct sqltext *s, struct str schema, struct str name)
{
    if (schema.n > 0) {
        ident_quote(&s->text, schema);
        buf_char(&s->text, '.');
    }
    ident_quote(&s->text, name);
}

void sqltext_quoted(struct sqltext *s, struct str text)
{
    ident_literal(&s->text, text);
}

void sqltext_u64(struct sqltext *s, uint64_t v)
{
    buf_u64(&s->text, v);
}

static bool grow(struct sqltext *s)
{
    int room = s->room ? s->room * 2 : 16;
    size_t n = (size_t)s->n, more = (size_t)room;
    const char **values = arena_array(s->arena, more, sizeof *values);
    int *lengths = arena_array(s->arena, more, sizeof *lengths);
    int *formats = arena_array(s->arena, more, sizeof *formats);
    db_oid *types = arena_array(s->arena, more, sizeof *types);
    if (!values || !lengths || !formats || !types)
        return false;
    if (n > 0) {
        memcpy(values, s->values, n * sizeof *values);
        memcpy(lengths, s->lengths, n * sizeof *lengths);
        memcpy(formats, s->formats, n * sizeof *formats);
        memcpy(types, s->types, n * sizeof *types);
    }
    s->values = values, s->lengths = lengths, s->formats = formats, s->types = types;
    s->room = room;
    return true;
}

static void parameter(struct sqltext *s, const char *value, size_t length, bool binary, db_oid type)
{
    if (length > INT_MAX || s->n >= DB_PARAMS_MAX || (s->n == s->room && !grow(s)))
        s->broken = true;
    if (s->broken)
        return;
    s->values[s->n] = value;
    s->lengths[s->n] = (int)length;
    s->formats[s->n] = binary;
    s->types[s->n] = type;
    s->n++;
    s->binary = s->binary || binary;
    buf_char(&s->text, '$');
    buf_u64(&s->text, (uint64_t)s->n);
}

void sqltext_value(struct sqltext *s, struct str value)
{
    const char *copy = arena_strdup(s->arena, value);
    s->broken = s->broken || !copy;
    parameter(s, copy, value.n, false, 0);
}

void sqltext_null(struct sqltext *s)
{
    parameter(s, NULL, 0, false, 0);
}

void sqltext_bytes(struct sqltext *s, struct str bytes, db_oid type)
{
    parameter(s, bytes.p ? bytes.p : "", bytes.n, true, type);
}

bool sqltext_finish(struct sqltext *s, struct db_stmt *out, struct err *err)
{
    size_t n = s->text.n;
    char *text = NULL;
    if (!s->broken && !buf_broken(&s->text) && !arena_broken(s->arena))
        text = arena_strdup(s->arena, buf_str(&s->text));
    buf_fini(&s->text);
    if (!text)
        return err_set(err, 400, "PGRST100", "The request is too large to become one statement");
    *out = (struct db_stmt){.sql = text,
                            .sql_len = n,
                            .nparams = s->n,
                            .values = s->values,
                            .lengths = s->binary ? s->lengths : NULL,
                            .formats = s->binary ? s->formats : NULL,
                            .types = s->types};
    return true;
}
