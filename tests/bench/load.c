/* load: a load generator for HTTP/1.1, one thread, keep-alive, closed loop. Each connection sends
 * its next request when the last answer is complete; every latency is counted in microseconds (no
 * sampling). In target and body the text {} becomes a random key from 1 to KEYS. Prints one line of
 * JSON.
 *
 * Usage: load [-c CONNECTIONS] [-t SECONDS] [-w WARM-UP SECONDS] [-k KEYS] [-m METHOD] [-H "Name:
 * value"]... [-b BODY] PORT TARGET */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_US = 10 * 1000 * 1000, REPLY_MAX = 1 << 20 };

struct conn {
    int fd;
    uint64_t sent_us;
    char *reply;
    size_t have;
};

static struct {
    const char *method, *target, *body;
    char headers[8192];
    unsigned keys;
    uint16_t port;
} opt = {.method = "GET", .keys = 1};

static uint64_t total, counted, errors, bytes;
static uint32_t *latency; /* number of answers by microseconds */
static uint64_t seed = 88172645463325252ull;

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint32_t random_key(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (uint32_t)(seed % opt.keys) + 1;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Appends text with its {} replaced; returns the new length. */
static size_t expand(char *to, size_t n, size_t max, const char *text, uint32_t key)
{
    const char *gap;
    while ((gap = strstr(text, "{}"))) {
        n += (size_t)snprintf(to + n, max - n, "%.*s%u", (int)(gap - text), text, key);
        text = gap + 2;
    }
    return n + (size_t)snprintf(to + n, max - n, "%s", text);
}

static void send_request(struct conn *c)
{
    char request[65536], body[32768];
    uint32_t key = random_key();
    size_t n = (size_t)snprintf(request, sizeof request, "%s ", opt.method);
    n = expand(request, n, sizeof request, opt.target, key);
    n += (size_t)snprintf(request + n, sizeof request - n, " HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s",
                          opt.port, opt.headers);
    if (opt.body) {
        size_t len = expand(body, 0, sizeof body, opt.body, key);
        n += (size_t)snprintf(request + n, sizeof request - n, "Content-Length: %zu\r\n\r\n%s", len,
                              body);
    } else {
        n += (size_t)snprintf(request + n, sizeof request - n, "\r\n");
    }
    if (n >= sizeof request)
        die("request too long");
    c->have = 0;
    c->sent_us = now_us();
    if (send(c->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
        die("send");
}

static void open_conn(struct conn *c, int epoll)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to))
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (!c->reply && !(c->reply = malloc(REPLY_MAX + 1)))
        die("malloc");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e))
        die("epoll_ctl");
}

/* Is the answer whole? */
static bool complete(const struct conn *c)
{
    const char *end = memmem(c->reply, c->have, "\r\n\r\n", 4);
    if (!end)
        return false;
    size_t head = (size_t)(end - c->reply) + 4;
    for (const char *line = c->reply; line < end; line = strchr(line, '\n') + 1) {
        if (!strncasecmp(line, "content-length:", 15))
            return c->have >= head + strtoul(line + 15, NULL, 10);
        if (!strncasecmp(line, "transfer-encoding: chunked", 26))
            return c->have >= head + 5 && !memcmp(c->reply + c->have - 5, "0\r\n\r\n", 5);
    }
    return true; /* 204 */
}

static void on_answer(struct conn *c, uint64_t count_from)
{
    uint64_t now = now_us(), took = now - c->sent_us;
    total++;
    bytes += c->have;
    if (c->have < 12 || c->reply[9] != '2') {
        if (errors++ == 0)
            fprintf(stderr, "load: %.*s\n", (int)(c->have < 400 ? c->have : 400), c->reply);
    }
    if (c->sent_us >= count_from) {
        counted++;
        latency[took < LONGEST_US ? took : LONGEST_US]++;
    }
}

static void on_readable(struct conn *c, int epoll, uint64_t count_from)
{
    ssize_t n = recv(c->fd, c->reply + c->have, REPLY_MAX - c->have, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) { /* closed by the server: an error, unless it was between two answers */
        errors++;
        close(c->fd);
        open_conn(c, epoll);
        send_request(c);
        return;
    }
    c->have += (size_t)n;
    c->reply[c->have] = 0;
    if (complete(c)) {
        on_answer(c, count_from);
        send_request(c);
    } else if (c->have == REPLY_MAX) {
        die("answer too long");
    }
}

static double percentile(double p)
{
    uint64_t want = (uint64_t)((double)counted * p), seen = 0;
    for (size_t us = 0; us <= LONGEST_US; us++)
        if ((seen += latency[us]) > want)
            return (double)us / 1000;
    return 0;
}

static void report(double seconds, double all_seconds)
{
    struct rusage self;
    getrusage(RUSAGE_SELF, &self);
    size_t worst = LONGEST_US;
    while (worst && !latency[worst])
        worst--;
    double cpu = (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec) * 1e6 +
                 (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec);
    printf("{\"requests\": %llu, \"errors\": %llu, \"rps\": %.0f, \"p50_ms\": %.3f, \"p90_ms\": "
           "%.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, "
           "\"bytes\": %llu, \"seconds\": %.3f, \"load_cpu_us\": %.2f}\n",
           (unsigned long long)total, (unsigned long long)errors, (double)counted / seconds,
           percentile(0.5), percentile(0.9), percentile(0.99), (double)worst / 1000,
           (unsigned long long)bytes, all_seconds, total ? cpu / (double)total : 0);
}

int main(int argc, char **argv)
{
    unsigned n_conns = 32;
    double seconds = 3, warm = 0.3;
    int o;
    while ((o = getopt(argc, argv, "c:t:w:k:m:H:b:")) != -1) {
        switch (o) {
        case 'c': n_conns = (unsigned)strtoul(optarg, NULL, 10); break;
        case 't': seconds = strtod(optarg, NULL); break;
        case 'w': warm = strtod(optarg, NULL); break;
        case 'k': opt.keys = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'm': opt.method = optarg; break;
        case 'b': opt.body = optarg; break;
        case 'H': {
            size_t n = strlen(opt.headers);
            snprintf(opt.headers + n, sizeof opt.headers - n, "%s\r\n", optarg);
            break;
        }
        default: return 2;
        }
    }
    if (argc - optind != 2)
        return fprintf(stderr, "usage: load [options] PORT TARGET\n"), 2;
    opt.port = (uint16_t)strtoul(argv[optind], NULL, 10);
    opt.target = argv[optind + 1];
    latency = calloc(LONGEST_US + 1, sizeof *latency);
    struct conn *conns = calloc(n_conns, sizeof *conns);
    int epoll = epoll_create1(0);
    if (!latency || !conns || epoll < 0)
        die("load");
    uint64_t start = now_us(), count_from = start + (uint64_t)(warm * 1e6),
             end = count_from + (uint64_t)(seconds * 1e6);
    for (unsigned i = 0; i < n_conns; i++) {
        open_conn(&conns[i], epoll);
        send_request(&conns[i]);
    }
    while (now_us() < end) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr, epoll, count_from);
    }
    report(seconds, (double)(now_us() - start) / 1e6);
    return errors && errors == total;
}
