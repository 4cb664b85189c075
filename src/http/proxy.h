/* proxy: whose X-Forwarded-For counts, and what it says. */
#ifndef PGH_HTTP_PROXY_H
#define PGH_HTTP_PROXY_H

#include <sys/socket.h>

#include "conf/conf.h"

struct cidr_list;

/* Addresses and networks ("10.0.0.0/8", "::1"); what cannot be read is left out and logged. */
struct cidr_list *cidr_list_new(const struct conf_list *);
void cidr_list_free(struct cidr_list *);
bool cidr_list_has(const struct cidr_list *, struct str address);

/* The client behind trusted proxies: the rightmost address of X-Forwarded-For that is not itself
 * trusted; p == NULL when the header names none that can be read. */
struct str proxy_client(const struct cidr_list *, struct str forwarded_for);

/* Text of a socket address ("unix" for unix sockets); IPv4 inside IPv6 as IPv4. */
size_t proxy_address_text(const struct sockaddr *, char *out, size_t size, bool *local);

#endif
