/* hosts: the servers that a connection string names, one by one, and which of them were silent
 * lately.
 *
 * libpq goes on to the next host by itself only when a host refuses; for one that is silent it
 * leaves the timer to its caller, and one that accepts and closes ends the attempt (libpq docs,
 * "Specifying Multiple Hosts"). So session.c connects to one host at a time. A host that gave no
 * answer is tried last for a while, by all connections that share the memory: otherwise each would
 * wait for it. Private to src/db. */
#ifndef PGH_DB_HOSTS_H
#define PGH_DB_HOSTS_H

#include "util/str.h"

#define HOSTS_MAX 256 /* of one connection string, each address of a name counted */
#define HOST_MEMORY_MAX 16
#define HOST_SILENT_US (30 * 1000000ull) /* so long a silent host is tried last */

struct host {
    char *name, *address, *port; /* as libpq's host, hostaddr, port; empty: libpq's default */
};

struct hosts {
    struct host *v; /* owned */
    size_t n;
};

struct host_memory {
    struct {
        uint64_t key, until_us;
    } silent[HOST_MEMORY_MAX];
};

/* Out of comma-separated lists; NULL is an empty one. A single port stands for all hosts. False:
 * the lists do not fit together, or there are too many; libpq's own words about it are the best
 * ones. */
bool hosts_parse(struct hosts *, const char *names, const char *addresses, const char *ports);
void hosts_fini(struct hosts *);

/* Any order, by a random number (load_balance_hosts=random). */
void hosts_shuffle(struct hosts *, uint64_t random);
/* Those that were silent go last; else the order stays. */
void hosts_put_silent_last(struct hosts *, const struct host_memory *, uint64_t now_us);
void host_memory_note(struct host_memory *, const struct host *, uint64_t now_us);

#endif
