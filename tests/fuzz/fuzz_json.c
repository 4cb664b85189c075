/* fuzz_json: any bytes through the reader, both ways. What it takes it must take whole and the same
 * in both, and every string must come back from the writer unchanged. */
#include "json/reader.h"
#include "json/writer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_string(struct str s, struct buf *b, struct arena *arena)
{
    struct json_reader again;
    buf_clear(b);
    json_write_string(b, s);
    json_reader_init(&again, buf_str(b), arena);
    require(json_next(&again) == JSON_STRING && str_eq(again.text, s) && json_finish(&again));
    require(str_utf8(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct json_reader copying, in_place;
    struct arena arena;
    struct buf b;
    struct err err;
    arena_init(&arena, 64 << 20);
    buf_init(&b, BUF_NO_CEILING);
    bool valid = json_valid(text, "it", &err);
    char *mine = malloc(size + 1);
    require(mine != NULL);
    memcpy(mine, data, size);

    json_reader_init(&copying, text, &arena);
    json_reader_in_place(&in_place, mine, size);
    enum json_event event;
    do {
        event = json_next(&copying);
        require(json_next(&in_place) == event);
        require(copying.at == in_place.at && copying.at <= size);
        if (event == JSON_KEY || event == JSON_STRING || event == JSON_NUMBER)
            require(str_eq(copying.text, in_place.text));
        if (event == JSON_KEY || event == JSON_STRING)
            check_string(copying.text, &b, &arena);
    } while (event != JSON_DONE && event != JSON_ERROR);
    require(valid == (event == JSON_DONE));
    require(event == JSON_DONE || copying.error_at <= size);

    free(mine);
    buf_fini(&b);
    arena_fini(&arena);
    return 0;
}
