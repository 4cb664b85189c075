/* fuzz_backend: a server that lets everybody in and then answers a job with any bytes: the messages
 * of PostgreSQL in any order, cut short, or nonsense. The first byte chooses the job, the second
 * whether the server closes the connection behind its bytes. A job must end exactly once and in
 * time. What can write is done only when ReadyForQuery came; where the server has read it and sent
 * no error, its end is done or unknown (check_write).
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "db/pool.h"

#define LIMIT_US (3 * 1000000ull)
#define TIMEOUT_US (40 * 1000ull)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct conf *conf;
static int listen_fd;
static char dir[64];

/* What the server's threads answer; written while no connection is open. */
static struct {
    const uint8_t *bytes;
    size_t n;
    bool close;
} answer;
static atomic_uint open_connections;
static atomic_bool job_arrived; /* the server has read the text of a statement */

struct outcome {
    struct loop *loop;
    struct loop_timer limit;
    unsigned ended;
    enum db_end end;
};

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* ---- the server ---- */

static bool read_all(int fd, void *to, size_t n)
{
    for (size_t have = 0; have < n;) {
        ssize_t got = read(fd, (char *)to + have, n - have);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return true;
}

static void send_all(int fd, const void *from, size_t n)
{
    for (size_t sent = 0; sent < n;) {
        ssize_t put = send(fd, (const char *)from + sent, n - sent, MSG_NOSIGNAL);
        if (put <= 0)
            return;
        sent += (size_t)put;
    }
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool let_in(int fd)
{
    static const char welcome[] = "R\0\0\0\10\0\0\0\0"
                                  "S\0\0\0\31client_encoding\0UTF8\0"
                                  "S\0\0\0\43standard_conforming_strings\0on\0"
                                  "S\0\0\0\30server_version\00015.0\0"
                                  "K\0\0\0\14\0\0\0\1\0\0\0\1"
                                  "Z\0\0\0\5I";
    uint8_t head[4], rest[10000];
    if (!read_all(fd, head, 4) || big_endian(head) < 8 || big_endian(head) > sizeof rest ||
        !read_all(fd, rest, big_endian(head) - 4))
        return false;
    if (big_endian(rest) != 3 << 16) /* a cancel */
        return false;
    send_all(fd, welcome, sizeof welcome - 1);
    return true;
}

static void serve(int fd)
{
    char ignored[4096];
    ssize_t n = let_in(fd) ? read(fd, ignored, sizeof ignored) : 0;
    if (n <= 0)
        return;
    if (memmem(ignored, (size_t)n, "select ", 7) || memmem(ignored, (size_t)n, "copy t ", 7))
        atomic_store(&job_arrived, true);
    send_all(fd, answer.bytes, answer.n);
    while (!answer.close && read(fd, ignored, sizeof ignored) > 0)
        ;
}

static void *connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    serve(fd);
    close(fd);
    atomic_fetch_sub(&open_connections, 1);
    return NULL;
}

static void *run_server(void *arg)
{
    (void)arg;
    for (;;) {
        pthread_t thread;
        int fd = accept(listen_fd, NULL, NULL);
        require(fd >= 0 || errno == EINTR);
        atomic_fetch_add(&open_connections, 1);
        if (fd >= 0 && pthread_create(&thread, NULL, connection, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
    return NULL;
}

static void clean_up(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/.s.PGSQL.5432", dir);
    unlink(path);
    rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err err;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char uri[256];
    char *none[] = {NULL};
    enum conf_action action;
    pthread_t thread;
    (void)argc, (void)argv;
    snprintf(dir, sizeof dir, "/tmp/pghttpd-fuzz-%d", (int)getpid());
    require(mkdir(dir, 0700) == 0);
    atexit(clean_up);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", dir);
    listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    require(bind(listen_fd, (struct sockaddr *)&address, sizeof address) == 0 &&
            listen(listen_fd, 64) == 0);
    snprintf(uri, sizeof uri, "host=%s port=5432 user=x dbname=x sslmode=disable", dir);
    char *args[] = {(char *)(uintptr_t) "pghttpd",     (char *)(uintptr_t) "--db-uri", uri,
                    (char *)(uintptr_t) "--log-level", (char *)(uintptr_t) "crit",     NULL};
    struct conf_sources sources = {.argc = 5, .argv = args, .environ = none};
    conf = conf_load(&sources, &action, &err);
    require(conf && pthread_create(&thread, NULL, run_server, NULL) == 0);
    return 0;
}

/* ---- the job ---- */

static bool on_result(void *arg, size_t i, const struct db_result *r)
{
    const struct outcome *o = arg;
    (void)i;
    require(o->ended == 0);
    for (size_t row = 0; row < db_result_rows(r); row++)
        for (size_t c = 0; c < db_result_columns(r); c++)
            (void)db_result_value(r, row, c);
    (void)db_result_tag(r);
    return true;
}

static void end(struct outcome *o, enum db_end how)
{
    o->ended++;
    o->end = how;
    loop_stop(o->loop);
}

static void on_done(void *arg, const struct db_outcome *outcome)
{
    require(outcome->end == DB_DONE || outcome->error.code);
    end(arg, outcome->end);
}

static bool on_data(void *arg, struct str data)
{
    (void)arg, (void)data;
    return true;
}

static void on_copied(void *arg, const struct db_outcome *outcome, struct str tag)
{
    (void)tag;
    end(arg, outcome->end);
}

static void on_limit(void *arg)
{
    (void)arg;
    abort(); /* it never ended */
}

static void submit(struct db_pool *pool, unsigned kind, struct outcome *o, struct db_job_spec *spec)
{
    static const struct db_ops ops = {.on_result = on_result, .on_done = on_done};
    static const struct db_copy_ops copy_ops = {.on_data = on_data, .on_done = on_copied};
    static const struct db_stmt stmts[2] = {{.sql = "select 1", .sql_len = 8, .prepare = true},
                                            {.sql = "select 2", .sql_len = 8}};
    static const struct db_stmt copy = {.sql = "copy t to stdout", .sql_len = 16};
    *spec = (struct db_job_spec){.stmts = stmts,
                                 .n = 1 + kind % 2,
                                 .travel = kind & 2 ? DB_EXCLUSIVE : DB_SHARED,
                                 .in_transaction = (kind & 6) == 6,
                                 .stream_rows = kind & 8,
                                 .can_write = kind & 16,
                                 .need_types = kind & 32,
                                 .timeout_us = TIMEOUT_US};
    if (kind & 64) {
        *spec = (struct db_job_spec){.stmts = &copy,
                                     .n = 1,
                                     .travel = DB_EXCLUSIVE,
                                     .in_transaction = kind & 4,
                                     .can_write = kind & 16,
                                     .timeout_us = TIMEOUT_US};
        db_submit_copy(pool, spec, &copy_ops, o);
    } else {
        db_submit(pool, spec, &ops, o);
    }
}

static bool has_ready_for_query(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 6 <= n; i++)
        if (p[i] == 'Z' && big_endian(p + i + 1) == 5)
            return true;
    return false;
}

/* A write that the server has read: without an error message, and without a COMMIT of its own that
 * may never have been sent, nothing but a commit or "unknown" is true. */
static void check_write(const struct db_job_spec *spec, enum db_end how)
{
    if (!spec->can_write)
        return;
    if (how == DB_DONE)
        require(has_ready_for_query(answer.bytes, answer.n));
    if (atomic_load(&job_arrived) && !spec->in_transaction && !memchr(answer.bytes, 'E', answer.n))
        require(how == DB_DONE || how == DB_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    struct outcome o = {0};
    struct db_job_spec spec;
    if (size < 2)
        return 0;
    answer.bytes = data + 2;
    answer.n = size - 2;
    atomic_store(&job_arrived, false);
    answer.close =
        data[1] % 8 != 0 || (data[0] & 16); /* a write's cancel is waited for: too slow */
    o.loop = loop_new(&err);
    struct db_budget *budget = db_budget_new(10);
    struct db_pools *pools = db_pools_new(o.loop, conf, budget);
    loop_timer_init(&o.limit, o.loop, on_limit, NULL);
    loop_timer_set(&o.limit, LIMIT_US);
    submit(db_pools_own(pools, &conf->databases[0]), data[0], &o, &spec);
    loop_run(o.loop);
    require(o.ended == 1);
    check_write(&spec, o.end);
    loop_timer_stop(&o.limit);
    db_pools_free(pools);
    loop_free(o.loop);
    require(o.ended == 1);
    db_budget_free(budget);
    while (atomic_load(&open_connections) > 0) /* their sockets are closed */
        sched_yield();
    return 0;
}
