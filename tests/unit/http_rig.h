/* http_rig: a real server on a thread of its own, and a client of raw sockets, for test_http_*.c.
 *
 * The routes are small endpoints that show one thing each; see the end of this file. */
#ifndef PGH_TESTS_HTTP_RIG_H
#define PGH_TESTS_HTTP_RIG_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/route.h"
#include "util/xalloc.h"

struct rig {
    struct loop *loop;
    struct conf *conf;
    struct http_server *server;
    pthread_t thread;
    unsigned port;
    int listen_fd;
    atomic_size_t body_bytes;
    int streams[64]; /* sockets taken over */
    _Atomic unsigned n_streams;
    _Atomic unsigned gone, closed, finished, sink_bytes, ran;
    _Atomic bool hold; /* endpoints that wait: until this is false */
    struct http_req *paused;
};

/* The tests' one server; the endpoints reach it here. */
static struct rig rig;

static inline void *rig_thread(void *arg)
{
    loop_run(((struct rig *)arg)->loop);
    return NULL;
}

static inline void rig_start(const struct route *const *routes, const char *const *settings,
                             bool admin)
{
    struct err err = {0};
    char *argv[40] = {(char *)(uintptr_t) "pghttpd", (char *)(uintptr_t) "--log-access",
                      (char *)(uintptr_t) "false"};
    char *environ_none[] = {NULL};
    int argc = 3;
    enum conf_action action;
    for (size_t i = 0; settings && settings[i]; i++)
        argv[argc++] = (char *)(uintptr_t)settings[i];
    struct conf_sources sources = {.argc = argc, .argv = argv, .environ = environ_none};
    memset(&rig, 0, sizeof rig);
    rig.conf = conf_load(&sources, &action, &err);
    if (!rig.conf)
        fail_msg("%s", err.message);
    rig.loop = loop_new(&err);
    rig.listen_fd = http_listen_tcp("127.0.0.1", 0, false, &rig.port, &err);
    assert_true(rig.listen_fd >= 0);
    rig.server = http_server_new(&(struct http_server_spec){.loop = rig.loop,
                                                            .conf = rig.conf,
                                                            .routes = routes,
                                                            .listen_fd = rig.listen_fd,
                                                            .body_bytes = &rig.body_bytes,
                                                            .admin = admin},
                                 &err);
    if (!rig.server)
        fail_msg("%s", err.message);
    pthread_create(&rig.thread, NULL, rig_thread, &rig);
}

static inline void rig_stop_loop(void *arg)
{
    loop_stop(arg);
}

static inline void rig_stop(void)
{
    loop_post(rig.loop, rig_stop_loop, rig.loop);
    pthread_join(rig.thread, NULL);
    http_server_free(rig.server);
    for (unsigned i = 0; i < rig.n_streams; i++)
        close(rig.streams[i]);
    close(rig.listen_fd);
    loop_free(rig.loop);
    conf_unref(rig.conf);
}

struct rig_count {
    unsigned n;
    sem_t done;
};

static inline void rig_count(void *arg)
{
    struct rig_count *c = arg;
    c->n = http_server_connections(rig.server);
    sem_post(&c->done);
}

/* As the loop's thread counts them. */
static inline unsigned rig_connections(void)
{
    struct rig_count c;
    sem_init(&c.done, 0, 0);
    loop_post(rig.loop, rig_count, &c);
    while (sem_wait(&c.done) != 0)
        continue;
    sem_destroy(&c.done);
    return c.n;
}

/* --- client --- */

static inline double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)rig.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static inline void say(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

static inline bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) > 0;
}

enum hear_end { HEAR_MORE, HEAR_EOF, HEAR_RESET, HEAR_TIMEOUT };

struct heard {
    struct buf text;
    enum hear_end end;
};

static inline void hear_free(struct heard *h)
{
    buf_fini(&h->text);
}

/* Reads until `until` is in the text, the end of the connection, or ms have passed. */
static inline struct heard hear_until(int fd, const char *until, int ms)
{
    struct heard h = {.end = HEAR_MORE};
    double deadline = now_s() + ms / 1000.0;
    buf_init(&h.text, (size_t)1 << 30);
    for (;;) {
        int left = (int)((deadline - now_s()) * 1000);
        if (left <= 0 || !readable(fd, left)) {
            h.end = HEAR_TIMEOUT;
            break;
        }
        char *to = buf_reserve(&h.text, 65537);
        ssize_t n = recv(fd, to, 65536, 0);
        if (n <= 0) {
            h.end = n == 0 ? HEAR_EOF : HEAR_RESET;
            break;
        }
        h.text.n += (size_t)n;
        h.text.p[h.text.n] = '\0';
        if (until && strstr(h.text.p, until))
            break;
    }
    if (!h.text.p) {
        buf_char(&h.text, '\0');
        h.text.n = 0;
    }
    return h;
}

static inline struct heard hear_all(int fd)
{
    return hear_until(fd, NULL, 5000);
}

static inline bool has(const struct heard *h, const char *what)
{
    return h->text.p && strstr(h->text.p, what) != NULL;
}

static inline unsigned count(const struct heard *h, const char *what)
{
    unsigned n = 0;
    for (const char *p = h->text.p; p && (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static inline int status_of(const struct heard *h)
{
    int status = 0;
    if (!h->text.p || strncmp(h->text.p, "HTTP/1.", 7) != 0 || h->text.n < 12)
        return 0;
    for (int i = 9; i < 12; i++)
        status = status * 10 + (h->text.p[i] - '0');
    return status;
}

/* One request on a connection of its own; everything until the server closes. */
static inline struct heard ask(const char *request)
{
    int fd = dial();
    say(fd, request);
    struct heard h = hear_all(fd);
    close(fd);
    return h;
}

#define assert_status(request, expected)                                                           \
    do {                                                                                           \
        struct heard assert_h_ = ask(request);                                                     \
        if (status_of(&assert_h_) != (expected))                                                   \
            fail_msg("%s -> %d (%s), expected %d", request, status_of(&assert_h_),                 \
                     assert_h_.text.p ? assert_h_.text.p : "", expected);                          \
        hear_free(&assert_h_);                                                                     \
    } while (0)

/* Polls a condition for at most five seconds. */
#define eventually(condition)                                                                      \
    do {                                                                                           \
        double eventually_end_ = now_s() + 5;                                                      \
        while (!(condition) && now_s() < eventually_end_)                                          \
            poll(NULL, 0, 2);                                                                      \
        assert_true(condition);                                                                    \
    } while (0)

/* --- endpoints --- */

static inline void answer(struct http_req *r, int status, const char *text)
{
    struct buf b;
    buf_init(&b, BUF_NO_CEILING);
    buf_adds(&b, str_of(text));
    http_reply(r, status, STR("text/plain; charset=utf-8"), &b);
}

static inline void run_hello(struct worker *w, struct http_req *r)
{
    (void)w;
    rig.ran++;
    answer(r, 200, "hello\n");
}

/* The body comes back. */
static inline void run_echo(struct worker *w, struct http_req *r)
{
    struct buf b;
    (void)w;
    buf_init(&b, BUF_NO_CEILING);
    buf_adds(&b, r->body);
    http_reply(r, 200, STR("application/octet-stream"), &b);
}

/* Answers in a later turn, once rig.hold is false. */
struct later {
    struct loop_timer timer;
    struct http_req *r;
    void (*finish)(struct http_req *);
};

static inline void later_tick(void *arg)
{
    struct later *l = arg;
    if (rig.hold) {
        loop_timer_set(&l->timer, 1000);
        return;
    }
    struct http_req *r = l->r;
    void (*finish)(struct http_req *) = l->finish;
    http_on_gone(r, NULL, NULL);
    loop_timer_stop(&l->timer);
    loop_free_later(rig.loop, free, l);
    finish(r);
}

static inline void later_gone(void *arg)
{
    struct later *l = arg;
    rig.gone++;
    loop_timer_stop(&l->timer);
    loop_free_later(rig.loop, free, l);
}

static inline void later(struct http_req *r, void (*finish)(struct http_req *))
{
    struct later *l = xcalloc(1, sizeof *l);
    l->r = r;
    l->finish = finish;
    loop_timer_init(&l->timer, rig.loop, later_tick, l);
    loop_timer_set(&l->timer, 100);
    http_on_gone(r, later_gone, l);
}

static inline void finish_later(struct http_req *r)
{
    rig.finished++;
    answer(r, 200, "later\n");
}

static inline void run_later(struct worker *w, struct http_req *r)
{
    (void)w;
    rig.ran++;
    later(r, finish_later);
}

#endif
