/* sse_load: many event streams from one process, to see what they cost the server and how fast an
 * event reaches all of them. One thread, one epoll, and as little work as can be, since it shares
 * the machine with what it measures: on loopback a reader that waits in epoll_wait costs the
 * *writer* a wake-up of another core for each event, so it naps for a millisecond instead and takes
 * what has come; a socket is looked at once for each event (edge-triggered).
 *
 *   sse_load [options] PORT STREAMS hold       opens them, prints "ready", holds until stdin ends
 *   sse_load [options] PORT STREAMS event ROUNDS         an event a round; time until all have it
 *   sse_load [options] PORT STREAMS rate PER_S SECONDS   that many a second; all must get all of
 * them in order
 *
 *   -p PATH     what to ask for (/listen/load)
 *   -w          WebSockets: an event is a text frame of its number; pings are not answered
 *   -e COMMAND  an event is a line of SQL to this command (psql); else a POST /notify/load to PORT
 *   -b EVENTS   rate: in bursts of so many (1), each a transaction of -e's
 *   -g          runs once for each line on stdin
 *
 * With CHANNELS=n in the environment streams listen to PATH_0 ... PATH_n-1 by turns (then only hold
 * makes sense). The first stream is opened alone, since some servers begin to LISTEN with it.
 * Connections come from 127.0.0.1 and, past 14,000, from 127.0.0.2 and so on. Prints key=value
 * lines; exit 1 when something did not arrive. */
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
#define EVENTS_MAX (1u << 20)

struct stream {
    int fd;
    bool answered, open; /* there is a first byte, and a whole head */
    uint32_t next;       /* number of the next event */
    size_t tail_n;
    char tail[TAIL]; /* the unfinished end of what was read */
};

static struct {
    const char *path;
    FILE *sender; /* of -e */
    unsigned burst;
    bool websocket, again;
} opt = {.path = "/listen/load", .burst = 1};

static struct stream *streams;
static unsigned n_streams, n_open, n_closed;
static int ep, poster = -1;
static uint16_t port;
static uint64_t *latency; /* microseconds of each arrival, for the quantiles */
static size_t n_latency, cap_latency;
static uint64_t sent_at[EVENTS_MAX], arrived, disorder;
static uint32_t number; /* of the next event */

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
    static const char upgrade[] = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    char request[400], channel[16] = "";
    struct stream *s = &streams[i];
    if (channels)
        snprintf(channel, sizeof channel, "_%u", i % channels);
    int n = snprintf(request, sizeof request, "GET %s%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
                     opt.path, channel, opt.websocket ? upgrade : "");
    s->fd = dial(i / PER_ADDRESS);
    if (write(s->fd, request, (size_t)n) != n)
        die("write");
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = s};
    epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e);
}

static void note(struct stream *s, uint32_t event, uint64_t now)
{
    if (event != s->next || event >= number) {
        disorder++;
        return;
    }
    s->next++;
    arrived++;
    if (n_latency < cap_latency)
        latency[n_latency++] = now - sent_at[event];
}

static void keep(struct stream *s, const char *p, const char *end)
{
    s->tail_n = (size_t)(end - p) < TAIL ? (size_t)(end - p) : TAIL;
    memcpy(s->tail, end - s->tail_n, s->tail_n);
}

static void scan_events(struct stream *s, const char *p, const char *end)
{
    static const char key[] = "\"payload\":\"";
    const char *at;
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
    keep(s, p, end);
}

/* Frames of servers are not masked; a number or a ping is shorter than 126 bytes. */
static void scan_frames(struct stream *s, const char *p, const char *end)
{
    uint64_t now = now_us();
    while (end - p >= 2) {
        char kind = p[0] & 15, text[TAIL] = "";
        size_t len = (size_t)p[1] & 127;
        if (len >= TAIL - 2 || kind == 8) { /* not ours, or the server says goodbye */
            n_closed++;
            return;
        }
        if ((size_t)(end - p) < 2 + len)
            break;
        memcpy(text, p + 2, len);
        if (kind == 1)
            note(s, (uint32_t)strtoul(text, NULL, 10), now);
        p += 2 + len;
    }
    keep(s, p, end);
}

static void scan(struct stream *s, const char *p, const char *end)
{
    if (opt.websocket)
        scan_frames(s, p, end);
    else
        scan_events(s, p, end);
}

static void read_head(struct stream *s, const char *p, const char *end)
{
    const char *status = opt.websocket ? "HTTP/1.1 101" : "HTTP/1.1 200";
    const char *empty_line = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
    if (!s->answered && ((size_t)(end - p) < strlen(status) || memcmp(p, status, strlen(status))))
        n_closed++;
    s->answered = true;
    if (!empty_line) {
        keep(s, p, end);
        return;
    }
    s->open = true;
    n_open++;
    scan(s, empty_line + 4, end);
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
    const char *end = buffer + s->tail_n + n;
    if (s->open)
        scan(s, buffer, end);
    else
        read_head(s, buffer, end);
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

static void notify(void)
{
    char request[200], body[20];
    if (number == EVENTS_MAX)
        exit(2);
    sent_at[number] = now_us();
    if (opt.sender) {
        fprintf(opt.sender, "notify load, '%u';\n", number++);
        return;
    }
    int b = snprintf(body, sizeof body, "%u", number++);
    int n = snprintf(
        request, sizeof request,
        "POST /notify/load HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", b, body);
    if (write(poster, request, (size_t)n) != n)
        die("notify");
}

static void notify_burst(unsigned n)
{
    if (opt.sender && n > 1)
        fputs("begin;\n", opt.sender);
    for (unsigned i = 0; i < n; i++)
        notify();
    if (opt.sender && n > 1)
        fputs("commit;\n", opt.sender);
    if (opt.sender && fflush(opt.sender))
        die("notify");
}

/* Reads until all streams have all events. */
static bool drain(uint64_t patience_us)
{
    uint64_t end = now_us() + patience_us, target = (uint64_t)number * n_streams;
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
        notify_burst(1);
        if (!drain(5000000))
            return false;
        uint64_t took = now_us() - sent_at[number - 1];
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
    uint32_t first = number, total = rate * seconds;
    uint64_t began = now_us();
    while (number - first < total) {
        uint64_t due = (now_us() - began) * rate / 1000000 / opt.burst * opt.burst + opt.burst;
        while (number - first < due && number - first < total)
            notify_burst(opt.burst);
        turn(200);
    }
    uint64_t sent = now_us() - began;
    bool all = drain(10000000);
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

static void wait_open(unsigned n, uint64_t until)
{
    while (n_open < n && n_closed == 0 && now_us() < until)
        turn(10000);
}

static void open_all(void)
{
    const char *channels = getenv("CHANNELS");
    uint64_t began = now_us(), until = began + 60000000;
    for (unsigned i = 0; i < n_streams; i++) {
        open_stream(i, channels ? (unsigned)strtoul(channels, NULL, 10) : 0);
        if (i == 0)
            wait_open(1, until);
        if (i % 100 == 99)
            turn(0);
    }
    wait_open(n_streams, until);
    printf("opened=%u\nopen_s=%.3f\n", n_open, (double)(now_us() - began) / 1e6);
    if (n_open < n_streams) {
        printf("closed=%u\n", n_closed);
        exit(1);
    }
}

static bool run(const char *mode, unsigned a, unsigned b)
{
    bool ok = true;
    n_latency = 0;
    if (strcmp(mode, "hold") == 0)
        hold();
    else
        ok = strcmp(mode, "event") == 0 ? run_event(a) : run_rate(a, b);
    print_latency();
    printf("arrived=%" PRIu64 "\ndisorder=%" PRIu64 "\nclosed=%u\n", arrived, disorder, n_closed);
    fflush(stdout);
    return ok && disorder == 0 && n_closed == 0;
}

/* False at the end of stdin. Streams are read meanwhile: some servers ping. */
static bool wait_for_line(void)
{
    struct pollfd p = {.fd = 0, .events = POLLIN};
    char byte = 0;
    while (byte != '\n') {
        turn(10000);
        if (poll(&p, 1, 0) > 0 && read(0, &byte, 1) <= 0)
            return false;
    }
    return true;
}

static int options(int argc, char **argv)
{
    int o;
    while ((o = getopt(argc, argv, "p:we:b:g")) != -1) {
        switch (o) {
        case 'p': opt.path = optarg; break;
        case 'w': opt.websocket = true; break;
        case 'b': opt.burst = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'g': opt.again = true; break;
        case 'e':
            opt.sender = popen(optarg, "w");
            if (!opt.sender)
                die(optarg);
            break;
        default: return argc;
        }
    }
    return optind;
}

/* Where POSTs go; the answers are read so that they do not fill the socket. */
static void open_poster(void)
{
    poster = dial(0);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, poster, &e);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    int first = options(argc, argv) - 1;
    argc -= first;
    argv += first;
    if (argc < 4)
        return fprintf(stderr, "usage: sse_load [options] PORT STREAMS hold|event|rate ...\n"), 2;
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
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (!latency || !streams || ep < 0)
        die("memory");
    open_all();
    if (!opt.sender)
        open_poster();
    puts("ready");
    fflush(stdout);
    bool ok = true;
    if (opt.again)
        while (ok && wait_for_line())
            ok = run(argv[3], a, b);
    else
        ok = run(argv[3], a, b);
    if (opt.sender)
        pclose(opt.sender);
    return ok ? 0 : 1;
}
