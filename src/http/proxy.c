#include "http/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/xalloc.h"

/* All as IPv6: an IPv4 address is ::ffff:a.b.c.d, its prefix 96 longer. */
struct cidr {
    unsigned char address[16];
    unsigned bits;
};

struct cidr_list {
    size_t n;
    struct cidr v[];
};

static bool parse_address(struct str s, unsigned char out[16], bool *v4)
{
    char text[INET6_ADDRSTRLEN];
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *v4 = inet_pton(AF_INET, text, out + 12) == 1;
    if (*v4) {
        memcpy(out, mapped, sizeof mapped);
        return true;
    }
    return inet_pton(AF_INET6, text, out) == 1;
}

static bool parse_cidr(struct str s, struct cidr *out)
{
    size_t slash = str_find(s, '/', 0);
    bool v4;
    uint64_t bits;
    if (!parse_address((struct str){s.p, slash}, out->address, &v4))
        return false;
    if (slash == s.n)
        bits = v4 ? 32 : 128;
    else if (!str_u64(str_from(s, slash + 1), v4 ? 32 : 128, &bits))
        return false;
    out->bits = (unsigned)bits + (v4 ? 96 : 0);
    return true;
}

struct cidr_list *cidr_list_new(const struct conf_list *conf)
{
    struct cidr_list *l = xcalloc(1, sizeof *l + conf->n * sizeof l->v[0]);
    for (size_t i = 0; i < conf->n; i++) {
        if (parse_cidr(str_trim(str_of(conf->v[i])), &l->v[l->n]))
            l->n++;
        else
            log_warn("server-trusted-proxies: %s is neither an address nor a network", conf->v[i]);
    }
    return l;
}

void cidr_list_free(struct cidr_list *l)
{
    free(l);
}

static bool inside(const struct cidr *c, const unsigned char address[16])
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;
    if (memcmp(c->address, address, whole) != 0)
        return false;
    if (rest == 0)
        return true;
    unsigned mask = 0xffu << (8 - rest) & 0xffu;
    return (c->address[whole] & mask) == (address[whole] & mask);
}

bool cidr_list_has(const struct cidr_list *l, struct str address)
{
    unsigned char a[16];
    bool v4;
    if (l->n == 0 || !parse_address(address, a, &v4))
        return false;
    for (size_t i = 0; i < l->n; i++)
        if (inside(&l->v[i], a))
            return true;
    return false;
}

/* "1.2.3.4", "1.2.3.4:80", "[::1]:80", "::1" -> the address. */
static struct str without_port(struct str s)
{
    if (s.n && s.p[0] == '[') {
        size_t end = str_find(s, ']', 0);
        return (struct str){s.p + 1, end > 0 ? end - 1 : 0};
    }
    size_t colon = str_find(s, ':', 0);
    if (colon < s.n && str_find(s, ':', colon + 1) == s.n)
        s.n = colon;
    return s;
}

struct str proxy_client(const struct cidr_list *trusted, struct str header)
{
    struct str client = {NULL, 0};
    size_t end = header.n;
    while (header.p && end > 0) {
        size_t start = end;
        while (start > 0 && header.p[start - 1] != ',')
            start--;
        struct str one = without_port(str_trim((struct str){header.p + start, end - start}));
        unsigned char a[16];
        bool v4;
        if (!parse_address(one, a, &v4))
            break; /* what stands left of it cannot be believed */
        client = one;
        if (!cidr_list_has(trusted, one))
            break;
        end = start > 0 ? start - 1 : 0;
    }
    return client;
}

size_t proxy_address_text(const struct sockaddr *address, char *out, size_t size, bool *local)
{
    const void *raw = NULL;
    int family = address ? address->sa_family : AF_UNIX;
    *local = true;
    if (family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        raw = &in->sin_addr;
        *local = ntohl(in->sin_addr.s_addr) >> 24 == 127;
    } else if (family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        raw = &in6->sin6_addr;
        *local = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
            raw = &in6->sin6_addr.s6_addr[12];
            *local = in6->sin6_addr.s6_addr[12] == 127;
            family = AF_INET;
        }
    }
    if (!raw || !inet_ntop(family, raw, out, (socklen_t)size))
        snprintf(out, size, "unix");
    return strlen(out);
}
