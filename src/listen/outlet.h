/* outlet: one hub's way to one worker. It wakes the readers of the worker's port that have
 * something to do, a few in each turn of the loop. Embedded; belongs to the worker's loop. */
#ifndef PGH_LISTEN_OUTLET_H
#define PGH_LISTEN_OUTLET_H

#include "listen/hub.h"
#include "util/loop.h"

struct outlet {
    struct hub_port *port;
    struct loop *loop;
    uint64_t busy_us, rest_until_us;
    struct loop_timer timer;
};

/* Before the hub's first reader; any thread. It stays where it is until outlet_stop. */
void outlet_init(struct outlet *, struct hub_port *, struct loop *);
void outlet_stop(struct outlet *); /* after the loop ended, before the hub is freed */

#endif
