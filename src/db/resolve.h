/* resolve: names of a libpq host list to addresses, on a helper thread.
 *
 * libpq looks names up with a blocking getaddrinfo inside PQconnectPoll; given hostaddr it does
 * not. So each name becomes as many host/hostaddr/port entries as it has addresses; unix sockets
 * and numeric hosts stay as they are. Private to src/db. */
#ifndef PGH_DB_RESOLVE_H
#define PGH_DB_RESOLVE_H

#include "util/str.h"

#define RESOLVE_ADDRESSES_MAX 16 /* of one name */
#define RESOLVE_HOSTS_MAX 16     /* in one list */

struct resolve {
    char *host, *port; /* in, and out: comma-separated as libpq takes them; owned */
    char *hostaddr;    /* out */
    char *error;       /* out: NULL, or why not a single address is known */
};

bool resolve_needed(const char *hosts); /* is there a name in it? NULL: no */
void resolve_run(struct resolve *);     /* blocks */
void resolve_fini(struct resolve *);

#endif
