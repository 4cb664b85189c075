/* rest_openapi: GET and HEAD of the root: the OpenAPI document as the role may see it.
 *
 * What the role may see is asked of the database, and kept for a while (openapi_cache.h). The
 * document is made anew of it and of the catalog for each answer, a piece in each turn of the loop.
 * While it fits into HELD_MAX it is held, so that the answer has its length; a larger one is made
 * as the client takes it. */
#include "api/openapi_cache.h"
#include "api/rest_run.h"
#include "rest/openapi.h"

#define PIECE 65536u            /* bytes made in one turn: a quarter of a millisecond's work */
#define HELD_MAX (1024u * 1024) /* a schema of some 300 tables */

struct own {
    struct rest_run *run;
    struct openapi_access *access;
    bool asks; /* for those who wait, too */
    struct openapi_maker maker;
    struct loop_timer turn; /* for the next piece of what is held */
    size_t given;           /* of what is held */
    uint64_t bytes;         /* that were given to the client in all */
};

/* ---- the document ---- */

/* False: there is no more. */
static bool give(struct own *own, struct buf *out, size_t want)
{
    struct buf *held = &own->run->row.body;
    size_t n = held->n - own->given;
    if (n == 0)
        return openapi_more(&own->maker, out, want);
    if (n > want)
        n = want;
    buf_add(out, held->p + own->given, n);
    own->given += n;
    if (own->given == held->n) {
        buf_fini(held);
        own->given = 0;
    }
    return true;
}

static enum http_pull pull(void *arg, struct buf *out, size_t want)
{
    struct own *own = arg;
    uint64_t most = own->run->conf->response_max_bytes;
    bool more = give(own, out, want);
    own->bytes += out->n;
    if (most > 0 && own->bytes > most)
        return HTTP_BREAK;
    return more ? HTTP_MORE : HTTP_END;
}

static void on_closed(void *arg)
{
    struct own *own = arg;
    rest_run_end(own->run);
}

static void stream(struct rest_run *run, const struct rest_reply *reply)
{
    static const struct http_source source = {.pull = pull, .closed = on_closed};
    struct str type;
    int status;
    if (!rest_run_head(run, reply, &type, &status))
        return;
    run->streamed = true;
    http_stream(run->req, status, type, &source, run->own);
}

static void on_turn(void *arg)
{
    struct rest_run *run = arg;
    struct own *own = run->own;
    struct buf *held = &run->row.body;
    struct rest_reply reply = {.status = 200,
                               .content_type = STR("application/openapi+json; charset=utf-8")};
    if (run->request.method == REST_HEAD || !openapi_more(&own->maker, held, held->n + PIECE))
        rest_run_reply(run, &reply);
    else if (held->n < HELD_MAX)
        loop_timer_set(&own->turn, 0);
    else
        stream(run, &reply);
}

static void answer(struct rest_run *run)
{
    struct own *own = run->own;
    struct openapi_spec spec = {.catalog = run->catalog,
                                .conf = run->conf,
                                .schema = run->request.schema,
                                .access = own->access,
                                .privileges = run->conf->openapi_mode == CONF_FOLLOW_PRIVILEGES};
    openapi_maker_init(&own->maker, &spec);
    loop_timer_init(&own->turn, run->worker->loop, on_turn, run);
    on_turn(run);
}

/* ---- what the role may see ---- */

static struct openapi_cache_key cache_key(const struct rest_run *run)
{
    return (struct openapi_cache_key){.conf = run->conf,
                                      .catalog = catalog_info(run->catalog).version,
                                      .database = str_of(run->db->name),
                                      .schema = run->request.schema,
                                      .role = run->who.role};
}

static bool on_result(struct rest_run *run, size_t stmt, const struct db_result *r)
{
    struct own *own = run->own;
    if (stmt != run->main)
        return true;
    for (size_t i = 0; i < db_result_rows(r); i++) {
        struct str cells[OPENAPI_ACCESS_COLUMNS];
        for (size_t c = 0; c < OPENAPI_ACCESS_COLUMNS; c++)
            cells[c] = db_result_value(r, i, c);
        openapi_access_row(own->access, run->catalog, run->request.schema, cells);
    }
    return true;
}

static bool on_again(struct rest_run *run)
{
    struct own *own = run->own;
    openapi_access_unref(own->access);
    own->access = openapi_access_new(run->catalog);
    return true;
}

static void on_done(struct rest_run *run)
{
    struct own *own = run->own;
    struct openapi_cache_key key = cache_key(run);
    if (own->asks)
        openapi_cache_put(run->worker->openapi, &key, own->access, loop_now_us(run->worker->loop));
    own->asks = false;
    answer(run);
}

static void on_end(struct rest_run *run)
{
    struct own *own = run->own;
    struct openapi_cache_key key = cache_key(run);
    if (own->asks)
        openapi_cache_give_up(run->worker->openapi, &key);
    loop_timer_stop(&own->turn);
    openapi_access_unref(own->access);
}

static bool make_group(struct rest_run *run, struct err *err)
{
    static const struct rest_run_mode mode = {.read_only = true};
    struct sql sql;
    if (!rest_run_settings(run, &mode, err))
        return false;
    run->spec.stream_rows = true; /* ten thousand at once are 3 ms */
    rest_run_sql(run, &sql);
    openapi_access_sql(&sql, run->request.schema,
                       run->conf->openapi_mode == CONF_FOLLOW_PRIVILEGES);
    return rest_run_add(run, &sql, true, err);
}

static void ask(struct rest_run *run)
{
    struct own *own = run->own;
    struct err err = {0};
    own->access = openapi_access_new(run->catalog);
    run->on_result = on_result;
    run->on_again = on_again;
    run->on_done = on_done;
    if (make_group(run, &err))
        rest_run_submit(run);
    else
        rest_run_fail(run, &err);
}

/* ---- the beginning ---- */

/* Answers by what is known; waits while another asks the same; else asks. */
static void look(void *arg)
{
    struct rest_run *run = arg;
    struct own *own = run->own;
    struct openapi_cache *cache = run->worker->openapi;
    struct openapi_cache_key key = cache_key(run);
    bool asked;
    own->access = openapi_cache_get(cache, &key, loop_now_us(run->worker->loop), &asked);
    if (own->access) {
        answer(run);
    } else if (!asked || !rest_run_wait(run, run->conf->db_pool_acquisition_timeout_us, look)) {
        own->asks = !asked && openapi_cache_ask(cache, &key);
        ask(run);
    }
}

static bool acceptable(struct rest_run *run, struct err *err)
{
    const struct rest_media_list *accept = &run->request.accept;
    for (size_t i = 0; i < accept->n; i++) {
        enum rest_media_kind kind = accept->v[i].kind;
        if (kind == REST_MEDIA_OPENAPI || kind == REST_MEDIA_JSON || kind == REST_MEDIA_ANY)
            return true;
    }
    return rest_media_none(run->arena, accept, err);
}

void rest_openapi_start(struct rest_run *run)
{
    struct err err = {0};
    struct own *own = ARENA_NEW(run->arena, struct own);
    if (!own) {
        err_set(&err, 413, "PGRST100", "The request needs too much memory");
        rest_run_fail(run, &err);
        return;
    }
    if (!acceptable(run, &err)) {
        rest_run_fail(run, &err);
        return;
    }
    own->run = run;
    run->own = own;
    run->on_end = on_end;
    if (!run->worker->openapi)
        run->worker->openapi = openapi_cache_new();
    /* A pre-request function has a say in every request, so then nothing is answered without it. */
    if (run->db->db_pre_request && run->db->db_pre_request[0])
        ask(run);
    else
        look(run);
}
