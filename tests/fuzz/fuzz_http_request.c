/* fuzz_http_request: any bytes on a connection to a real server, on a unix socket, in this process.
 * The first byte chooses where the bytes are cut in two writes. The server must answer or close
 * within SILENCE_MS, whatever it is sent, and must serve a proper request afterwards. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/route.h"

#define SILENCE_MS 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static atomic_size_t body_bytes;

int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct loop *loop;

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void run_echo(struct worker *w, struct http_req *r)
{
    struct buf b;
    (void)w;
    buf_init(&b, BUF_NO_CEILING);
    buf_adds(&b, r->body);
    http_reply(r, 200, STR("text/plain"), &b);
}

static bool on_body(void *arg, struct str piece, bool at_end)
{
    (void)piece;
    if (at_end) {
        http_on_gone(arg, NULL, NULL);
        http_reply(arg, 200, STR("text/plain"), NULL);
    }
    return true;
}

static void on_gone(void *arg)
{
    (void)arg;
}

static void run_sink(struct worker *w, struct http_req *r)
{
    static const struct http_body_sink sink = {.on_body = on_body};
    (void)w;
    http_on_gone(r, on_gone, NULL);
    http_body_sink(r, &sink, r);
}

static enum http_pull pull(void *arg, struct buf *out, size_t want)
{
    (void)arg, (void)want;
    BUF_LIT(out, "some bytes\n");
    return HTTP_END;
}

static void closed(void *arg)
{
    (void)arg;
}

static void run_stream(struct worker *w, struct http_req *r)
{
    static const struct http_source source = {.pull = pull, .closed = closed};
    (void)w;
    http_stream(r, 200, STR("text/plain"), &source, NULL);
}

static const struct route echo = {
    .name = "echo", .methods = "GET, POST", .path = "/e", .run = run_echo};
static const struct route sink_route = {.name = "sink",
                                        .methods = "GET, POST",
                                        .path = "/s",
                                        .flags = ROUTE_BODY_STREAM,
                                        .run = run_sink};
static const struct route stream = {
    .name = "stream", .methods = "GET, POST", .path = "/t", .run = run_stream};
static const struct route rest = {
    .name = "rest", .methods = "*", .path = "/r/", .flags = ROUTE_REST, .run = run_echo};
static const struct route *const routes[] = {&echo, &sink_route, &stream, &rest, NULL};

static void *run_server(void *arg)
{
    loop_run(arg);
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err err;
    char *args[] = {(char *)(uintptr_t) "pghttpd", (char *)(uintptr_t) "--log-access",
                    (char *)(uintptr_t) "false", NULL};
    char *none[] = {NULL};
    enum conf_action action;
    pthread_t thread;
    struct conf_sources sources = {.argc = 3, .argv = args, .environ = none};
    (void)argc, (void)argv;
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/pghttpd-fuzz-%d.sock", (int)getpid());
    int fd = http_listen_unix(address.sun_path, 0600, &err);
    loop = loop_new(&err);
    struct conf *conf = conf_load(&sources, &action, &err);
    require(fd >= 0 && loop && conf);
    require(http_server_new(&(struct http_server_spec){.loop = loop,
                                                       .conf = conf,
                                                       .routes = routes,
                                                       .listen_fd = fd,
                                                       .body_bytes = &body_bytes},
                            &err) != NULL);
    return pthread_create(&thread, NULL, run_server, loop);
}

static int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    require(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* libFuzzer's own alarm (-timeout) interrupts poll now and then: that is no silence. */
static bool wait_for_word(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do {
        n = poll(&p, 1, SILENCE_MS);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

static size_t hear(int fd, char *out, size_t room)
{
    size_t n = 0;
    for (;;) {
        require(wait_for_word(fd));
        ssize_t got = recv(fd, out + n, room - n, 0);
        if (got <= 0)
            return n;
        n += (size_t)got;
        if (n == room)
            n = 0; /* the beginning no longer matters */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char proper[] = "GET /e HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    char text[65536];
    if (size < 2)
        return 0;
    size_t cut = 1 + data[0] % (size - 1);
    int fd = dial();
    if (send(fd, data + 1, cut - 1, MSG_NOSIGNAL) >= 0 && data[0] & 1)
        poll(NULL, 0, 1);
    (void)!send(fd, data + cut, size - cut, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    hear(fd, text, sizeof text);
    close(fd);
    fd = dial();
    require(send(fd, proper, sizeof proper - 1, MSG_NOSIGNAL) == sizeof proper - 1);
    size_t n = hear(fd, text, sizeof text);
    require(n > 15 && memcmp(text, "HTTP/1.1 200 OK", 15) == 0);
    close(fd);
    return 0;
}
