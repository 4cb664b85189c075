/* reader: a strict pull reader for JSON text (RFC 8259), for what clients send.
 *
 * It takes nothing that the grammar does not: no leading zeros, no trailing commas or bytes, no
 * control characters in strings, no invalid UTF-8, no lone surrogates, no NUL (PostgreSQL's text
 * cannot hold one). Numbers are handed out as they are written. Duplicate keys are the caller's to
 * judge: every key is reported.
 *
 * Two ways to read:
 *   json_reader_init     the text is only read; strings without escapes are slices of it, others
 * are unescaped into the arena. json_reader_in_place the caller owns the text and gives it up:
 * strings are unescaped where they stand and get a NUL where their closing quote was. No allocation
 * at all.
 *
 *     struct json_reader r;
 *     json_reader_init(&r, body, arena);
 *     if (json_next(&r) != JSON_OBJECT) ...
 *     while (json_next(&r) == JSON_KEY)
 *         if (str_eq(r.text, STR("query")) && json_next(&r) == JSON_STRING) ...
 *         else if (!json_skip(&r, NULL)) ...
 *     if (r.event == JSON_ERROR || !json_finish(&r)) return json_error(&r, "the body", err);
 *
 * After an error every call returns JSON_ERROR, so a caller may check once at the end. */
#ifndef PGH_JSON_READER_H
#define PGH_JSON_READER_H

#include "util/arena.h"
#include "util/err.h"

enum json_event {
    JSON_ERROR, /* see json_error */
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER, /* text: as written */
    JSON_STRING, /* text: unescaped */
    JSON_ARRAY,  /* '[': values follow until JSON_ARRAY_END */
    JSON_ARRAY_END,
    JSON_OBJECT, /* '{': pairs of JSON_KEY and a value follow until JSON_OBJECT_END */
    JSON_OBJECT_END,
    JSON_KEY, /* text: unescaped */
    JSON_DONE /* the end of the text, after the one value */
};

#define JSON_DEPTH_MAX                                                                             \
    512 /* arrays and objects inside each other; PostgreSQL's own is its stack                     \
         */

struct json_reader {
    enum json_event event; /* what json_next returned last */
    struct str text; /* of a key, string or number; with a NUL behind it unless it is a slice */
    size_t start;    /* offset where that token begins */

    /* the reader's own */
    const char *p;
    size_t n, at;
    char *in_place;       /* the same bytes as p, when they are ours to change */
    struct arena *arena;  /* for unescaped strings; not used in place */
    bool skipping;        /* inside json_skip: strings stay as they are written */
    bool allow_nul;       /* take \u0000 (the text of a string then holds a NUL byte) */
    unsigned depth;       /* of open arrays and objects */
    unsigned char expect; /* enum in reader.c */
    uint64_t objects[JSON_DEPTH_MAX / 64]; /* bit per level: is it an object? */
    size_t error_at;
    const char *problem; /* what is wrong there */
    const char *code;    /* SQLSTATE or PGH code of it */
};

void json_reader_init(struct json_reader *, struct str text, struct arena *);
void json_reader_in_place(struct json_reader *, char *text, size_t n);

enum json_event json_next(struct json_reader *);

/* Reads the next value whole without unescaping it; slice (may be NULL) is its source text. After
 * JSON_KEY, or where an array's element stands. False at a syntax error, or (not an error) when the
 * array ends here: event is JSON_ARRAY_END then. */
MUSTCHECK bool json_skip(struct json_reader *, struct str *slice);

/* The same for a value whose first event was just returned (JSON_OBJECT or JSON_ARRAY: reads up to
 * its end). */
MUSTCHECK bool json_skip_rest(struct json_reader *, struct str *slice);

/* Nothing but white space is left behind the value. */
MUSTCHECK bool json_finish(struct json_reader *);

/* Fills err with 400, what is wrong and at which byte of what; returns false. */
bool json_error(const struct json_reader *, const char *what, struct err *);

/* Is the text one JSON value? For bytes that are passed on unparsed. */
MUSTCHECK bool json_valid(struct str text, const char *what, struct err *);

/* How events are named in messages: "a string", "an object". */
const char *json_event_name(enum json_event);

#endif
