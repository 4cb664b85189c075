/* stmt_cache: which statements are prepared on one connection, by text and scope.
 *
 * Life of an entry: PARSING (its Parse is on the way; others send the text unnamed meanwhile) ->
 * READY (its ParseComplete came) -> evicted: least recently used first; its name waits in the list
 * of the dead until the connection says DEALLOCATE. An entry that is PARSING is never evicted.
 * What PostgreSQL found when it parsed may change: see conn_send's named. Private to src/db. */
#ifndef PGH_DB_STMT_CACHE_H
#define PGH_DB_STMT_CACHE_H

#include "util/str.h"

#define STMT_CACHE_TEXT_MAX (32 * 1024) /* longer texts are seldom seen twice */
#define STMT_NAME_MAX 16

struct stmt_cache;

enum stmt_state { STMT_PARSING, STMT_READY };

struct stmt_entry {
    struct stmt_entry *chain;       /* in its bucket */
    struct stmt_entry *next, *prev; /* by use, least recently used first */
    uint64_t hash, born_us;         /* born: by loop_now_us; the caller's to fill, as is schema */
    unsigned schema;                /* pools_schema when it was sent to be parsed */
    enum stmt_state state;
    char name[STMT_NAME_MAX];
    size_t scope_n, text_n;
    char key[]; /* scope, then text */
};

struct stmt_cache *stmt_cache_new(unsigned names_max);
void stmt_cache_free(struct stmt_cache *);

/* Of a text alone. Not keyed, unlike str_hash: the texts are long, this runs twice a request, and
 * the worst that chosen collisions can do is one chain as long as the cache is wide. */
uint64_t stmt_text_hash(struct str text);
uint64_t stmt_scoped_hash(struct str scope, struct str text);
/* The same for texts that differ in their numbers and strings only: of the first kilobyte. */
uint64_t stmt_shape_hash(struct str text);

/* The entry of this statement, used now; NULL when it has none. */
struct stmt_entry *stmt_cache_find(struct stmt_cache *, struct str scope, struct str text);
/* A new one in state PARSING; NULL when the text is too long or nothing can be evicted. */
struct stmt_entry *stmt_cache_add(struct stmt_cache *, struct str scope, struct str text);
/* Parse failed, or the server no longer knows it; dead: its name still has to be closed. */
void stmt_cache_remove(struct stmt_cache *, struct stmt_entry *, bool dead);
void stmt_cache_ready(struct stmt_cache *, struct stmt_entry *);
/* The server forgot every name (DISCARD ALL, DEALLOCATE ALL): READY entries are gone. */
void stmt_cache_forget(struct stmt_cache *);
/* The server does not know a name it should, so perhaps it forgot others, too: READY entries are
 * gone. Those it still knows are orphans, which nothing closes. False: there may be as many orphans
 * as the cache has places, so the connection is to be closed. */
bool stmt_cache_distrust(struct stmt_cache *);

bool stmt_cache_has_dead(const struct stmt_cache *);
/* Copies one dead name and forgets it; false when there is none. */
bool stmt_cache_take_dead(struct stmt_cache *, char name[STMT_NAME_MAX]);

#endif
