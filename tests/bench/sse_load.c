/* sse_load: many event streams from one process, to see what they cost the server and how fast an
 * event reaches all of them. One thread, one epoll, and as little work as can be, since it shares
 * the machine with what it measures: on loopback a reader that waits in epoll_wait costs the
 * *writer* a wake-up of another core for each event, so it naps for a millisecond instead and takes
 * what has come; a socket is looked at once for each event (edge-triggered).
 *
 *   sse_load PORT STREAMS hold                 opens them, prints "ready", holds until stdin ends
 *   sse_load PORT STREAMS event ROUNDS         one POST /notify a round; time until all have it
 *   sse_load PORT STREAMS rate PER_S SECONDS   that many a second; all must get all of them in
 * order
 *
 * Streams listen to the channel "load", or with CHANNELS=n in the environment to load_0 ... by
 * turns (then only hold makes sense). Connections come from 127.0.0.1 and, past 14,000, from
 * 127.0.0.2 and so on. Prints key=value lines; exit 1 when something did not arrive. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PER_ADDRESS 14000
#define TAIL 64
#define NAP_US 1000
#define PIECE 65536 /* bytes in one read */

struct stream {
    int fd;
    bool open;
    uint32_t next; /* number of the next event */
    size_t tail_n;
    char tail[TAIL]; /* an unfinished number at the end of what was read */
};

static struct stream *streams;
static unsigned n_streams, n_open, n_closed;
static int ep, poster = -1;
static uint16_t port;
static uint64_t *latency; /* microseconds of each arrival, for the quantiles */
static size_t n_latency, cap_latency;
static uint64_t sent_at[1 << 20], arrived, disorder;

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static int dial(unsigned address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0)
        die("socket");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + address);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0)
        die("bind");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    return fd;
}

static void open_stream(unsigned i, unsigned channels)
{
    char request[200];
    struct stream *s = &streams[i];
    int n = channels
                ? snprintf(request, sizeof request,
                           "GET /listen/load_%u HTTP/1.1\r\nHost: localhost\r\n\r\n", i % channels)
                : snprintf(request, sizeof request,
                           "GET /listen/load HTTP/1.1\r\nHost: localhost\r\n\r\n");
    s->fd = dial(i / PER_ADDRESS);
    if (write(s->fd, request, (size_t)n) != n)
        die("write");
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = s};
    epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e);
}

static void note(struct stream *s, uint32_t number, uint64_t now)
{
    if (number != s->next)
        disorder++;
    s->next = number + 1;
    arrived++;
    if (n_latency < cap_latency)
        latency[n_latency++] = now - sent_at[number];
}

static void scan(struct stream *s, const char *p, size_t n)
{
    static const char key[] = "\"payload\":\"";
    const char *end = p + n, *at;
    uint64_t now = now_us();
    while ((at = memmem(p, (size_t)(end - p), key, sizeof key - 1))) {
        const char *digits = at + sizeof key - 1, *q = memchr(digits, '"', (size_t)(end - digits));
        if (!q) {
            p = at;
            break;
        }
        note(s, (uint32_t)strtoul(digits, NULL, 10), now);
        p = q;
    }
    s->tail_n = (size_t)(end - p) < TAIL ? (size_t)(end - p) : TAIL;
    memcpy(s->tail, end - s->tail_n, s->tail_n);
}

/* False when there is nothing more to read. */
static bool read_some(struct stream *s)
{
    static char buffer[TAIL + PIECE];
    memcpy(buffer, s->tail, s->tail_n);
    ssize_t n = recv(s->fd, buffer + s->tail_n, PIECE, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        n_closed++;
        close(s->fd);
        return false;
    }
    size_t have = s->tail_n + (size_t)n;
    if (!s->open && memmem(buffer, have, ": ok\n", 5)) {
        if (!memmem(buffer, have, " 200 ", 5))
            n_closed++;
        s->open = true;
        n_open++;
    }
    if (s->open)
        scan(s, buffer, have);
    else
        s->tail_n = 0;
    return n == PIECE;
}

static void read_stream(struct stream *s, bool to_the_end)
{
    while (read_some(s) || (to_the_end && n_closed == 0))
        ;
}

/* Reads what is there; when that is nothing, sleeps for at most so many microseconds. */
static void turn(uint64_t us)
{
    struct epoll_event events[512];
    int n = epoll_wait(ep, events, 512, 0);
    if (n == 0 && us > 0) {
        struct timespec nap = {.tv_nsec = (long)(us < NAP_US ? us : NAP_US) * 1000};
        nanosleep(&nap, NULL);
        n = epoll_wait(ep, events, 512, 0);
    }
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr) {
            read_stream(events[i].data.ptr, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        } else {
            char answers[4096];
            ssize_t ignored = read(poster, answers, sizeof answers);
            (void)ignored;
        }
    }
}

static void notify(uint32_t number)
{
    char request[200], body[20];
    int b = snprintf(body, sizeof body, "%u", number);
    int n = snprintf(
        request, sizeof request,
        "POST /notify/load HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", b, body);
    sent_at[number] = now_us();
    if (write(poster, request, (size_t)n) != n)
        die("notify");
}

static bool drain(uint64_t target, uint64_t patience_us)
{
    uint64_t end = now_us() + patience_us;
    while (arrived < target && now_us() < end && n_closed == 0)
        turn(1000);
    return arrived >= target;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double quantile(double q)
{
    return n_latency ? (double)latency[(size_t)(q * (double)(n_latency - 1))] / 1000 : 0;
}

static void print_latency(void)
{
    qsort(latency, n_latency, sizeof *latency, by_value);
    printf("p50_ms=%.2f\np99_ms=%.2f\nmax_ms=%.2f\n", quantile(0.5), quantile(0.99), quantile(1));
}

static bool run_event(unsigned rounds)
{
    uint64_t worst = 0;
    for (unsigned i = 0; i < rounds; i++) {
        notify(i);
        if (!drain((uint64_t)n_streams * (i + 1), 5000000))
            return false;
        uint64_t took = now_us() - sent_at[i];
        printf("round_ms=%.2f\n", (double)took / 1000);
        worst = took > worst ? took : worst;
        for (uint64_t end = now_us() + 50000; now_us() < end;)
            turn(10000);
    }
    printf("all_ms=%.2f\n", (double)worst / 1000);
    return true;
}

static bool run_rate(unsigned rate, unsigned seconds)
{
    uint32_t number = 0, total = rate * seconds;
    uint64_t began = now_us();
    while (number < total) {
        uint64_t due = (now_us() - began) * rate / 1000000 + 1;
        while (number < due && number < total)
            notify(number++);
        turn(200);
    }
    uint64_t sent = now_us() - began;
    bool all = drain((uint64_t)total * n_streams, 10000000);
    printf("events=%u\nsent_s=%.3f\nall_s=%.3f\n", total, (double)sent / 1e6,
           (double)(now_us() - began) / 1e6);
    return all;
}

static void hold(void)
{
    struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = ep, .events = POLLIN}};
    char byte;
    for (;;) {
        poll(p, 2, -1);
        if (p[1].revents)
            turn(0);
        if (p[0].revents && read(0, &byte, 1) <= 0)
            return;
    }
}

static void open_all(void)
{
    const char *channels = getenv("CHANNELS");
    uint64_t began = now_us();
    for (unsigned i = 0; i < n_streams; i++) {
        open_stream(i, channels ? (unsigned)strtoul(channels, NULL, 10) : 0);
        if (i % 100 == 99)
            turn(0);
    }
    while (n_open < n_streams && n_closed == 0 && now_us() - began < 60000000)
        turn(10000);
    printf("opened=%u\nopen_s=%.3f\n", n_open, (double)(now_us() - began) / 1e6);
    if (n_open < n_streams) {
        printf("closed=%u\n", n_closed);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (argc < 4)
        return 2;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    port = (uint16_t)strtoul(argv[1], NULL, 10);
    n_streams = (unsigned)strtoul(argv[2], NULL, 10);
    unsigned a = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1;
    unsigned b = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 1;
    cap_latency = 4u << 20;
    latency = calloc(cap_latency, sizeof *latency);
    streams = calloc(n_streams, sizeof *streams);
    ep = epoll_create1(0);
    if (!latency || !streams || ep < 0)
        die("memory");
    open_all();
    poster = dial(0);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, poster, &e);
    puts("ready");
    fflush(stdout);
    bool ok = true;
    if (strcmp(argv[3], "hold") == 0)
        hold();
    else
        ok = strcmp(argv[3], "event") == 0 ? run_event(a) : run_rate(a, b);
    print_latency();
    printf("arrived=%" PRIu64 "\ndisorder=%" PRIu64 "\nclosed=%u\n", arrived, disorder, n_closed);
    return ok && disorder == 0 && n_closed == 0 ? 0 : 1;
}
