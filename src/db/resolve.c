#include "db/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>

#include "util/buf.h"
#include "util/xalloc.h"

#define LIST_MAX (64 * 1024)

static bool is_name(const char *host)
{
    unsigned char address[16];
    if (!*host || *host == '/' || *host == '@')
        return false;
    const char *zone = strchr(host, '%'); /* fe80::1%eth0 is numeric for getaddrinfo */
    return !(zone && strchr(host, ':')) && inet_pton(AF_INET, host, address) != 1 &&
           inet_pton(AF_INET6, host, address) != 1;
}

bool resolve_needed(const char *hosts)
{
    bool needed = false;
    struct str rest = str_of(hosts), part;
    while (hosts && !needed && str_next(&rest, ',', &part)) {
        char *host = xstrndup(str_trim(part));
        needed = is_name(host);
        free(host);
    }
    return needed;
}

struct lists {
    struct buf host, hostaddr, port;
    size_t n;
};

static void add_entry(struct lists *l, const char *host, const char *hostaddr, struct str port)
{
    if (l->n++) {
        buf_char(&l->host, ',');
        buf_char(&l->hostaddr, ',');
        buf_char(&l->port, ',');
    }
    buf_adds(&l->host, str_of(host));
    buf_adds(&l->hostaddr, str_of(hostaddr));
    buf_adds(&l->port, port);
}

/* Adds every address of the name; false when there is none, with the reason. */
static bool add_name(struct lists *l, const char *host, struct str port, int *why)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    *why = getaddrinfo(host, NULL, &hints, &list);
    if (*why)
        return false;
    int n = 0;
    for (struct addrinfo *ai = list; ai && n < RESOLVE_ADDRESSES_MAX; ai = ai->ai_next, n++) {
        char text[NI_MAXHOST];
        if (getnameinfo(ai->ai_addr, ai->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) ==
            0)
            add_entry(l, host, text, port);
    }
    freeaddrinfo(list);
    return n > 0;
}

static char *taken(struct buf *b)
{
    size_t n;
    buf_char(b, '\0');
    char *p = buf_take(b, &n);
    return p ? p : xstrdup("");
}

void resolve_run(struct resolve *r)
{
    struct lists l = {0};
    buf_init(&l.host, LIST_MAX);
    buf_init(&l.hostaddr, LIST_MAX);
    buf_init(&l.port, LIST_MAX);
    struct str hosts = str_of(r->host), ports = str_of(r->port ? r->port : ""), part, port = {0};
    int why = 0, n = 0;
    while (n++ < RESOLVE_HOSTS_MAX && str_next(&hosts, ',', &part)) {
        struct str next;
        if (str_next(&ports, ',', &next)) /* a single port stands for all hosts */
            port = str_trim(next);
        char *host = xstrndup(str_trim(part));
        if (!is_name(host))
            add_entry(&l, host, "", port);
        else if (!add_name(&l, host, port, &why) && !r->error)
            r->error = xasprintf("could not translate host name \"%s\" to address: %s", host,
                                 gai_strerror(why));
        free(host);
    }
    if (l.n) {
        free(r->error);
        r->error = NULL;
        free(r->host);
        free(r->port);
        r->host = taken(&l.host);
        r->hostaddr = taken(&l.hostaddr);
        r->port = taken(&l.port);
    }
    buf_fini(&l.host);
    buf_fini(&l.hostaddr);
    buf_fini(&l.port);
}

void resolve_fini(struct resolve *r)
{
    free(r->host);
    free(r->port);
    free(r->hostaddr);
    free(r->error);
    *r = (struct resolve){0};
}
