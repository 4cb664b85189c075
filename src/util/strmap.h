/* strmap: strings to pointers. Keys are copied; values are the caller's. Hashed with the keyed
 * str_hash, because keys come from clients. Belongs to one thread. */
#ifndef PGH_UTIL_STRMAP_H
#define PGH_UTIL_STRMAP_H

#include "util/str.h"

struct strmap;

struct strmap *strmap_new(void);
void strmap_free(struct strmap *, void (*free_value)(void *));  /* NULL: values are left alone */
void *strmap_get(const struct strmap *, struct str key);        /* NULL when absent */
void *strmap_put(struct strmap *, struct str key, void *value); /* returns the value it replaced */
void *strmap_remove(struct strmap *, struct str key);           /* returns the value taken out */
size_t strmap_count(const struct strmap *);
/* Calls fn for each; fn may remove the entry it is called with, nothing else. */
void strmap_each(struct strmap *, void (*fn)(void *arg, struct str key, void *value), void *arg);

#endif
