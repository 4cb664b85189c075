#include "ready.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_S 3 /* below the 5 s of a container's health check */
#define ANSWER_MAX 4096

/* A server that listens on all addresses is asked on loopback. */
static const char *askable(const char *host)
{
    if (strcmp(host, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(host, "::") == 0 ? "::1" : host;
}

static void set_timeout(int fd)
{
    struct timeval t = {.tv_sec = TIMEOUT_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

static int connect_to(int family, const struct sockaddr *address, socklen_t n)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_timeout(fd);
    if (connect(fd, address, n) == 0)
        return fd;
    int why = errno == EINPROGRESS ? ETIMEDOUT : errno;
    close(fd);
    errno = why;
    return -1;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return connect_to(AF_UNIX, (const struct sockaddr *)(const void *)&address, sizeof address);
}

static int connect_tcp(const char *host, unsigned port, const char **why)
{
    char text[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    int fd = -1;
    snprintf(text, sizeof text, "%u", port);
    int rc = getaddrinfo(host, text, &hints, &list);
    if (rc != 0) {
        *why = gai_strerror(rc);
        return -1;
    }
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = connect_to(a->ai_family, a->ai_addr, a->ai_addrlen);
    freeaddrinfo(list);
    return fd;
}

static uint64_t seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec;
}

/* Reads until the server closes; what does not fit is left. False when it takes too long. */
static bool read_answer(int fd, char *out, size_t *n)
{
    uint64_t deadline = seconds() + TIMEOUT_S;
    *n = 0;
    while (*n < ANSWER_MAX - 1) {
        ssize_t got = read(fd, out + *n, ANSWER_MAX - 1 - *n);
        if (got < 0)
            return false;
        if (got == 0)
            break;
        *n += (size_t)got;
        if (seconds() > deadline)
            return errno = ETIMEDOUT, false;
    }
    out[*n] = '\0';
    return true;
}

static int say(bool ok, const char *what, const char *where, const char *why)
{
    if (ok)
        printf("OK: %s\n", where);
    else
        fprintf(stderr, "%s: %s: %s\n", what, where, why);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The status line, then the body's first line: the server says there what is missing. */
static int judge(char *answer, size_t n, const char *what, const char *where)
{
    char why[400];
    const char *body = strstr(answer, "\r\n\r\n");
    if (n < 12 || strncmp(answer, "HTTP/1.", 7) != 0)
        return say(false, what, where, "the answer is not HTTP");
    body = body ? body + 4 : "";
    snprintf(why, sizeof why, "%.3s %.*s", answer + 9, (int)strcspn(body, "\r\n"), body);
    return say(strncmp(answer + 9, "200", 3) == 0, what, where, why);
}

static int ask(int fd, const char *path, const char *what, const char *where)
{
    char request[200], answer[ANSWER_MAX];
    size_t n;
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: pghttpd/%s\r\n"
                          "Connection: close\r\n\r\n",
                          path, PGHTTPD_VERSION);
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length)
        return say(false, what, where, strerror(errno));
    if (!read_answer(fd, answer, &n))
        return say(false, what, where, errno == EAGAIN ? "no answer in time" : strerror(errno));
    return judge(answer, n, what, where);
}

int ready_check(const struct conf *c, enum ready_kind kind)
{
    const char *what = kind == READY_READY ? "not ready" : "not alive", *why = NULL;
    const char *path = kind == READY_READY ? "/ready" : "/live";
    const char *host = askable(c->admin_server_host);
    char where[400];
    int fd;
    if (c->admin_server_unix_socket) {
        snprintf(where, sizeof where, "unix:%s%s", c->admin_server_unix_socket, path);
        fd = connect_unix(c->admin_server_unix_socket);
    } else {
        bool colon = strchr(host, ':') != NULL;
        snprintf(where, sizeof where, "http://%s%s%s:%u%s", colon ? "[" : "", host,
                 colon ? "]" : "", c->admin_server_port, path);
        if (c->admin_server_port == CONF_PORT_OFF || c->admin_server_port == 0)
            return say(false, what, "the admin server",
                       "admin-server-port must be a fixed port for this");
        fd = connect_tcp(host, c->admin_server_port, &why);
    }
    if (fd < 0)
        return say(false, what, where, why ? why : strerror(errno));
    int status = ask(fd, path, what, where);
    close(fd);
    return status;
}
