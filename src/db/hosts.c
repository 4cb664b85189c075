#include "db/hosts.h"

#include <stdlib.h>

#include "util/xalloc.h"

static size_t count_parts(struct str list)
{
    size_t n = 1;
    for (size_t i = 0; i < list.n; i++)
        n += list.p[i] == ',';
    return n;
}

/* Part i of the list; its last one where it has fewer. */
static char *part_of(struct str list, size_t i)
{
    struct str part = {0}, next;
    for (size_t k = 0; k <= i && str_next(&list, ',', &next); k++)
        part = str_trim(next);
    return xstrndup(part);
}

bool hosts_parse(struct hosts *h, const char *names, const char *addresses, const char *ports)
{
    struct str name = str_of(names ? names : ""), address = str_of(addresses ? addresses : ""),
               port = str_of(ports ? ports : "");
    size_t n = count_parts(address.n ? address : name), n_ports = count_parts(port);
    *h = (struct hosts){0};
    if (n > HOSTS_MAX || (n_ports != 1 && n_ports != n) ||
        (address.n && name.n && count_parts(name) != n))
        return false;
    h->v = xcalloc(n, sizeof *h->v);
    h->n = n;
    for (size_t i = 0; i < n; i++)
        h->v[i] = (struct host){part_of(name, i), part_of(address, i), part_of(port, i)};
    return true;
}

void hosts_fini(struct hosts *h)
{
    for (size_t i = 0; i < h->n; i++) {
        free(h->v[i].name);
        free(h->v[i].address);
        free(h->v[i].port);
    }
    free(h->v);
    *h = (struct hosts){0};
}

void hosts_shuffle(struct hosts *h, uint64_t random)
{
    for (size_t i = h->n; i > 1; i--) {
        size_t k = (size_t)(random % i);
        struct host other = h->v[k];
        h->v[k] = h->v[i - 1];
        h->v[i - 1] = other;
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        random ^= random >> 33;
    }
}

static uint64_t key_of(const struct host *h)
{
    return (str_hash(str_of(h->name)) * 31 + str_hash(str_of(h->address))) * 31 +
           str_hash(str_of(h->port));
}

static bool was_silent(const struct host_memory *m, const struct host *h, uint64_t now_us)
{
    uint64_t key = key_of(h);
    for (size_t i = 0; i < HOST_MEMORY_MAX; i++)
        if (m->silent[i].key == key && now_us < m->silent[i].until_us)
            return true;
    return false;
}

void hosts_put_silent_last(struct hosts *h, const struct host_memory *m, uint64_t now_us)
{
    struct host *sorted = xcalloc(h->n ? h->n : 1, sizeof *sorted);
    size_t n = 0;
    for (int silent = 0; silent < 2; silent++)
        for (size_t i = 0; i < h->n; i++)
            if (was_silent(m, &h->v[i], now_us) == silent)
                sorted[n++] = h->v[i];
    free(h->v);
    h->v = sorted;
}

/* The place of what is forgotten soonest. */
void host_memory_note(struct host_memory *m, const struct host *h, uint64_t now_us)
{
    size_t at = 0;
    uint64_t key = key_of(h);
    for (size_t i = 0; i < HOST_MEMORY_MAX; i++) {
        if (m->silent[i].key == key) {
            at = i;
            break;
        }
        if (m->silent[i].until_us < m->silent[at].until_us)
            at = i;
    }
    m->silent[at].key = key;
    m->silent[at].until_us = now_us + HOST_SILENT_US;
}
