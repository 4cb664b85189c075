#include "json/reader.h"

#include "json/scan.h"

/* What may stand at the reader's position. */
enum expect {
    EXPECT_VALUE,          /* the document's value, or one behind ':' or ',' of an array */
    EXPECT_VALUE_OR_CLOSE, /* behind '[' */
    EXPECT_KEY_OR_CLOSE,   /* behind '{' */
    EXPECT_COMMA_OR_CLOSE, /* behind a value inside an array or object */
    EXPECT_END,            /* behind the document's value */
    EXPECT_NOTHING         /* after an error */
};

void json_reader_init(struct json_reader *r, struct str text, struct arena *arena)
{
    *r = (struct json_reader){.p = text.p, .n = text.n, .arena = arena, .expect = EXPECT_VALUE};
}

void json_reader_in_place(struct json_reader *r, char *text, size_t n)
{
    *r = (struct json_reader){.p = text, .n = n, .in_place = text, .expect = EXPECT_VALUE};
}

static enum json_event fail(struct json_reader *r, size_t at, const char *problem)
{
    if (r->expect != EXPECT_NOTHING) {
        r->expect = EXPECT_NOTHING;
        r->error_at = at;
        r->problem = problem;
        r->code = "PGH100";
    }
    return r->event = JSON_ERROR;
}

static enum json_event fail_code(struct json_reader *r, size_t at, const char *code,
                                 const char *problem)
{
    if (r->expect != EXPECT_NOTHING) {
        fail(r, at, problem);
        r->code = code;
    }
    return JSON_ERROR;
}

static bool inside_object(const struct json_reader *r)
{
    unsigned level = r->depth - 1;
    return r->objects[level / 64] >> (level % 64) & 1;
}

static void skip_space(struct json_reader *r)
{
    while (r->at < r->n) {
        char c = r->p[r->at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return;
        r->at++;
    }
}

/* The value or close bracket was read: what comes behind it. */
static enum json_event complete(struct json_reader *r, enum json_event event)
{
    r->expect = r->depth ? EXPECT_COMMA_OR_CLOSE : EXPECT_END;
    return r->event = event;
}

/* Four hex digits at p, or -1. */
static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i], lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            v = v << 4 | (lower - 'a' + 10);
        else
            return -1;
    }
    return v;
}

static size_t put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Reads the \uXXXX (or pair of them) at i; *next is behind it. False after fail(). */
static bool unicode_escape(struct json_reader *r, size_t i, size_t *next, unsigned *out)
{
    int high = r->n - i >= 6 ? hex4(r->p + i + 2) : -1;
    if (high < 0)
        return fail(r, i, "\\u is not followed by four hexadecimal digits"), false;
    *next = i + 6;
    *out = (unsigned)high;
    if (high == 0 && !r->allow_nul)
        return fail_code(r, i, "22021", "\\u0000: PostgreSQL's text cannot hold a NUL"), false;
    if (high < 0xd800 || high > 0xdfff)
        return true;
    int low = -1;
    if (high < 0xdc00 && r->n - i >= 12 && r->p[i + 6] == '\\' && r->p[i + 7] == 'u')
        low = hex4(r->p + i + 8);
    if (low < 0xdc00 || low > 0xdfff)
        return fail(r, i, "half of a surrogate pair"), false;
    *next = i + 12;
    *out = 0x10000u + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00);
    return true;
}

/* The character of a one-letter escape, or 0. */
static char simple_escape(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/': return c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return 0;
    }
}

/* Decodes the escape at i into to (at most 4 bytes; NULL: checks only). */
static bool read_escape(struct json_reader *r, size_t *i, char *to, size_t *w)
{
    char c = *i + 1 < r->n ? r->p[*i + 1] : '\0', bytes[4];
    size_t next = *i + 2, n = 1;
    if (c == 'u') {
        unsigned point;
        if (!unicode_escape(r, *i, &next, &point))
            return false;
        n = put_utf8(bytes, point);
    } else {
        bytes[0] = simple_escape(c);
        if (!bytes[0])
            return fail(r, *i, "unknown escape in a string"), false;
    }
    if (to)
        memcpy(to + *w, bytes, n);
    *w += n;
    *i = next;
    return true;
}

/* Walks the string whose first character is at `at`, copying it to `to` (which may be the same
 * memory, or NULL for a check). Returns the offset of the closing quote, or 0 after fail(). */
static size_t walk_string(struct json_reader *r, size_t at, char *to, size_t *length)
{
    size_t i = at, w = 0;
    for (;;) {
        size_t run = json_scan_plain(r->p + i, r->n - i);
        if (to && to + w != r->p + i && run)
            memmove(to + w, r->p + i, run);
        i += run;
        w += run;
        if (i >= r->n)
            return fail(r, at - 1, "a string without its closing quote"), 0;
        unsigned char c = (unsigned char)r->p[i];
        if (c == '"')
            break;
        if (c == '\\') {
            if (!read_escape(r, &i, to, &w))
                return 0;
            continue;
        }
        if (c == 0)
            return fail_code(r, i, "22021", "a NUL byte"), 0;
        if (c < 0x20)
            return fail(r, i, "a control character in a string (write it as an escape)"), 0;
        size_t n = json_scan_utf8((const unsigned char *)r->p + i, r->n - i);
        if (n == 0)
            return fail_code(r, i, "22021", "invalid UTF-8"), 0;
        if (to)
            memmove(to + w, r->p + i, n);
        i += n;
        w += n;
    }
    *length = w;
    return i;
}

/* at is the opening quote. Sets text. */
static bool read_string(struct json_reader *r)
{
    size_t start = r->at + 1, length;
    if (r->in_place && !r->skipping) {
        size_t end = walk_string(r, start, r->in_place + start, &length);
        if (!end)
            return false;
        r->in_place[start + length] = '\0';
        r->text = (struct str){r->p + start, length};
        r->at = end + 1;
        return true;
    }
    size_t run = json_scan_plain(r->p + start, r->n - start);
    if (start + run < r->n && r->p[start + run] == '"') {
        r->text = (struct str){r->p + start, run};
        r->at = start + run + 1;
        return true;
    }
    size_t end = walk_string(r, start, NULL, &length);
    if (!end)
        return false;
    if (r->skipping || length == end - start) { /* without escapes every byte stands for itself */
        r->text = (struct str){r->p + start, end - start};
    } else {
        char *to = arena_alloc(r->arena, length + 1);
        if (!to)
            return fail_code(r, start - 1, "54000", "a string too long for this request"), false;
        end = walk_string(r, start, to, &length);
        r->text = (struct str){to, length};
    }
    r->at = end + 1;
    return true;
}

static bool digit_at(const struct json_reader *r, size_t i)
{
    return i < r->n && r->p[i] >= '0' && r->p[i] <= '9';
}

static size_t skip_digits(const struct json_reader *r, size_t i)
{
    while (digit_at(r, i))
        i++;
    return i;
}

static enum json_event read_number(struct json_reader *r)
{
    size_t i = r->at + (r->p[r->at] == '-');
    if (!digit_at(r, i))
        return fail(r, i, "a digit expected behind '-'");
    if (r->p[i] == '0' && digit_at(r, i + 1))
        return fail(r, i, "a number with a leading zero");
    i = skip_digits(r, i);
    if (i < r->n && r->p[i] == '.') {
        if (!digit_at(r, i + 1))
            return fail(r, i + 1, "a digit expected behind '.'");
        i = skip_digits(r, i + 1);
    }
    if (i < r->n && (r->p[i] | 0x20) == 'e') {
        i++;
        if (i < r->n && (r->p[i] == '+' || r->p[i] == '-'))
            i++;
        if (!digit_at(r, i))
            return fail(r, i, "a digit expected in the exponent");
        i = skip_digits(r, i);
    }
    r->text = (struct str){r->p + r->at, i - r->at};
    r->at = i;
    return complete(r, JSON_NUMBER);
}

static enum json_event read_word(struct json_reader *r, struct str word, enum json_event event)
{
    if (r->n - r->at < word.n || memcmp(r->p + r->at, word.p, word.n) != 0)
        return fail(r, r->at, "not a JSON value");
    r->at += word.n;
    return complete(r, event);
}

static enum json_event open_level(struct json_reader *r, bool object)
{
    if (r->depth == JSON_DEPTH_MAX)
        return fail_code(r, r->at, "54001", "arrays or objects nested too deep");
    uint64_t bit = (uint64_t)1 << (r->depth % 64), *word = &r->objects[r->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    r->depth++;
    r->at++;
    r->expect = object ? EXPECT_KEY_OR_CLOSE : EXPECT_VALUE_OR_CLOSE;
    return r->event = object ? JSON_OBJECT : JSON_ARRAY;
}

static enum json_event close_level(struct json_reader *r)
{
    bool object = inside_object(r);
    if (r->p[r->at] != (object ? '}' : ']'))
        return fail(r, r->at, object ? "'}' expected, not ']'" : "']' expected, not '}'");
    r->depth--;
    r->at++;
    return complete(r, object ? JSON_OBJECT_END : JSON_ARRAY_END);
}

static enum json_event read_value(struct json_reader *r)
{
    switch (r->p[r->at]) {
    case '{': return open_level(r, true);
    case '[': return open_level(r, false);
    case '"': return read_string(r) ? complete(r, JSON_STRING) : JSON_ERROR;
    case 'n': return read_word(r, STR("null"), JSON_NULL);
    case 't': return read_word(r, STR("true"), JSON_TRUE);
    case 'f': return read_word(r, STR("false"), JSON_FALSE);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return read_number(r);
    case '\0': return fail_code(r, r->at, "22021", "a NUL byte");
    case ']':
    case '}':
    case ',': return fail(r, r->at, "a value expected");
    default: return fail(r, r->at, "not a JSON value");
    }
}

static enum json_event read_key(struct json_reader *r)
{
    if (r->p[r->at] != '"')
        return fail(r, r->at, "a key in double quotes expected");
    if (!read_string(r))
        return JSON_ERROR;
    skip_space(r);
    if (r->at == r->n || r->p[r->at] != ':')
        return fail(r, r->at, "':' expected behind the key");
    r->at++;
    r->expect = EXPECT_VALUE;
    return r->event = JSON_KEY;
}

static enum json_event read_behind_value(struct json_reader *r)
{
    char c = r->p[r->at];
    if (c == ']' || c == '}')
        return close_level(r);
    if (c != ',')
        return fail(r, r->at, inside_object(r) ? "',' or '}' expected" : "',' or ']' expected");
    r->at++;
    skip_space(r);
    r->start = r->at;
    if (r->at == r->n)
        return fail(r, r->at, inside_object(r) ? "a key expected" : "a value expected");
    return inside_object(r) ? read_key(r) : read_value(r);
}

enum json_event json_next(struct json_reader *r)
{
    if (r->expect == EXPECT_NOTHING)
        return r->event = JSON_ERROR;
    skip_space(r);
    r->start = r->at;
    if (r->expect == EXPECT_END)
        return r->at == r->n ? (r->event = JSON_DONE)
                             : fail(r, r->at, "the text goes on behind its value");
    if (r->at == r->n)
        return fail(r, r->at, "the text ends too early");
    char c = r->p[r->at];
    switch ((enum expect)r->expect) {
    case EXPECT_VALUE: return read_value(r);
    case EXPECT_VALUE_OR_CLOSE: return c == ']' ? close_level(r) : read_value(r);
    case EXPECT_KEY_OR_CLOSE: return c == '}' ? close_level(r) : read_key(r);
    case EXPECT_COMMA_OR_CLOSE: return read_behind_value(r);
    case EXPECT_END:
    case EXPECT_NOTHING: break;
    }
    return JSON_ERROR;
}

/* Reads on until no more than `depth` levels are open, leaving strings as they are written. */
static bool skip_to_depth(struct json_reader *r, unsigned depth)
{
    r->skipping = true;
    while (r->depth > depth && json_next(r) != JSON_ERROR)
        ;
    r->skipping = false;
    return r->event != JSON_ERROR;
}

bool json_skip(struct json_reader *r, struct str *slice)
{
    r->skipping = true;
    enum json_event event = json_next(r);
    r->skipping = false;
    if (event == JSON_ARRAY || event == JSON_OBJECT)
        return json_skip_rest(r, slice);
    if (slice)
        *slice = (struct str){r->p + r->start, r->at - r->start};
    return event != JSON_ERROR && event != JSON_ARRAY_END;
}

bool json_skip_rest(struct json_reader *r, struct str *slice)
{
    size_t start = r->start;
    if (!skip_to_depth(r, r->depth - 1))
        return false;
    r->start = start;
    if (slice)
        *slice = (struct str){r->p + start, r->at - start};
    return true;
}

bool json_finish(struct json_reader *r)
{
    return json_next(r) == JSON_DONE;
}

bool json_error(const struct json_reader *r, const char *what, struct err *err)
{
    return err_set(err, 400, r->code ? r->code : "PGH100", "%s is not valid JSON: %s, at byte %zu",
                   what, r->problem ? r->problem : "unexpected value", r->error_at + 1);
}

bool json_valid(struct str text, const char *what, struct err *err)
{
    struct json_reader r;
    json_reader_init(&r, text, NULL);
    return (json_skip(&r, NULL) && json_finish(&r)) || json_error(&r, what, err);
}

const char *json_event_name(enum json_event event)
{
    switch (event) {
    case JSON_NULL: return "null";
    case JSON_FALSE: return "false";
    case JSON_TRUE: return "true";
    case JSON_NUMBER: return "a number";
    case JSON_STRING: return "a string";
    case JSON_ARRAY: return "an array";
    case JSON_OBJECT: return "an object";
    case JSON_KEY: return "a key";
    case JSON_ARRAY_END: return "the end of the array";
    case JSON_OBJECT_END: return "the end of the object";
    case JSON_DONE: return "the end";
    case JSON_ERROR: break;
    }
    return "a syntax error";
}
