/* Listening sockets, made before the workers start. Options that accepted sockets inherit are set
 * here once: keepalive finds clients that vanished, and TCP_USER_TIMEOUT those that stopped
 * acknowledging while we send. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/server.h"

#define BACKLOG 4096
#define KEEP_IDLE 60          /* seconds of silence before the first probe */
#define KEEP_INTERVAL 15      /* between probes */
#define KEEP_COUNT 4          /* probes without an answer */
#define USER_TIMEOUT_MS 60000 /* sent but not acknowledged */

static void socket_options(int fd, bool reuseport)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_REUSEADDR, 1},          {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE}, {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT}, {IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
    if (reuseport)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int));
}

/* PostgREST's names for "any": *, *4, !4, *6, !6. NULL for an ordinary name. */
static const char *any_address(const char *host, int *family)
{
    static const struct {
        const char *name, *address;
        int family;
    } any[] = {{"*", NULL, AF_UNSPEC},
               {"*4", "0.0.0.0", AF_INET},
               {"!4", "0.0.0.0", AF_INET},
               {"*6", "::", AF_INET6},
               {"!6", "::", AF_INET6}};
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
        if (strcmp(host, any[i].name) == 0) {
            *family = any[i].family;
            return any[i].address ? any[i].address : "::";
        }
    }
    return NULL;
}

static const char *bind_reason(int error)
{
    switch (error) {
    case EADDRINUSE: return "the port is in use by another program";
    case EACCES: return "no permission for this port (below 1024 needs CAP_NET_BIND_SERVICE)";
    case EADDRNOTAVAIL: return "this machine has no such address";
    default: return strerror(error);
    }
}

static int try_listen(const struct addrinfo *a, bool reuseport, int *error)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *error = errno;
        return -1;
    }
    socket_options(fd, reuseport);
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        *error = errno;
        close(fd);
        return -1;
    }
    return fd;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        return 0;
    if (a.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)(void *)&a)->sin_port);
    return ntohs(((struct sockaddr_in6 *)(void *)&a)->sin6_port);
}

int http_listen_tcp(const char *host, unsigned port, bool reuseport, unsigned *bound_port,
                    struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    char service[8];
    int family = AF_UNSPEC, error = 0, fd = -1;
    const char *any = any_address(host, &family);
    hints.ai_family = family;
    snprintf(service, sizeof service, "%u", port);
    int rc = getaddrinfo(any ? any : host, service, &hints, &list);
    if (rc != 0) {
        err_set(err, 500, "PGH500", "cannot listen on %s: %s", host, gai_strerror(rc));
        return -1;
    }
    /* "localhost" gives ::1 and 127.0.0.1 in some order: IPv4 first, which every client tries. */
    for (int pass = 0; pass < 2 && fd < 0; pass++)
        for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
            if ((a->ai_family == AF_INET) == (pass == 0))
                fd = try_listen(a, reuseport, &error);
    freeaddrinfo(list);
    if (fd < 0 && any && family == AF_UNSPEC) /* no IPv6 on this machine */
        return http_listen_tcp("!4", port, reuseport, bound_port, err);
    if (fd < 0)
        err_set(err, 500, "PGH500", "cannot listen on %s port %u: %s", host, port,
                bind_reason(error));
    else if (bound_port)
        *bound_port = port_of(fd);
    return fd;
}

bool http_listen_workers(const struct http_address *at, size_t n, int *fds, unsigned *bound_port,
                         struct err *err)
{
    /* The first socket is bound without SO_REUSEPORT, so that a port in use is found out; after
     * that the option opens it for our own. The group is formed when each listens, and a bind looks
     * at the option as it is then. */
    unsigned bound = at->port;
    for (size_t i = 0; i < n; i++) {
        fds[i] =
            http_listen_tcp(at->host, i ? bound : at->port, at->shared_port || i > 0, &bound, err);
        if (fds[i] < 0) {
            while (i-- > 0)
                close(fds[i]);
            return false;
        }
        if (n > 1)
            setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int));
    }
    if (bound_port)
        *bound_port = bound;
    return true;
}

/* A socket file that nobody answers on is left from a program that was killed. */
static bool stale(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)a, sizeof *a) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

int http_listen_unix(const char *path, unsigned mode, struct err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(path) >= sizeof a.sun_path) {
        err_set(err, 500, "PGH500", "the path of the unix socket is too long: %s", path);
        return -1;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    bool there = lstat(path, &st) == 0;
    if (there && !S_ISSOCK(st.st_mode)) {
        err_set(err, 500, "PGH500", "cannot listen on unix socket %s: it exists and is no socket",
                path);
        return -1;
    }
    if (there && stale(&a))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || chmod(path, (mode_t)mode) < 0 ||
        listen(fd, BACKLOG) < 0) {
        err_set(err, 500, "PGH500", "cannot listen on unix socket %s: %s", path,
                errno == EADDRINUSE ? "it is in use by another program" : strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

bool http_raise_nofile(uint64_t wanted, uint64_t *got)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        *got = 0;
        return false;
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        getrlimit(RLIMIT_NOFILE, &limit);
    *got = limit.rlim_cur;
    return *got >= wanted;
}
