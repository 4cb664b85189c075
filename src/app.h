/* app: what the whole process shares, and what one worker owns.
 *
 * struct app is immutable after start but for the snapshots, which are swapped whole by reference
 * count. struct worker is one thread: its loop, its HTTP server, its pools, its streams; nothing in
 * it is touched by another thread. main.c makes both and is the only place that knows the order of
 * starting and stopping. */
#ifndef PGH_APP_H
#define PGH_APP_H

#include "conf/conf.h"
#include "util/loop.h"

struct auth;
struct db_pools;
struct hub;
struct http_server;
struct rest_catalogs;
struct streams;

struct worker {
    struct app *app;
    unsigned number;
    struct loop *loop;
    struct conf *conf; /* the worker's own reference; swapped between turns by a reload */
    struct http_server *http, *admin;
    struct db_pools *pools;
    struct streams *streams;
    bool draining;
};

#endif
