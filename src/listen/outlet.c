#include "listen/outlet.h"

/* Readers woken in one go before the loop turns to other work: about a millisecond of writes. */
#define TURN_WAKES 200
/* After waking all readers that had something to do, an outlet rests as long as that took: what
 * comes meanwhile goes out together. So a thousand events a second to a thousand readers are a
 * hundred thousand writes of ten events and not a million, and requests keep half of the thread.
 * A wake of a few readers costs nothing and is followed by no rest. */
#define REST_FROM_US 500u
#define REST_MAX_US 20000u

static void outlet_run(void *arg)
{
    struct outlet *o = arg;
    bool more = true;
    uint64_t began = loop_clock_us();
    if (began < o->rest_until_us) {
        loop_timer_set(&o->timer, o->rest_until_us - began);
        return;
    }
    for (unsigned i = 0; i < TURN_WAKES && more; i++)
        more = hub_port_next(o->port);
    uint64_t now = loop_clock_us();
    o->busy_us += now - began;
    if (more) {
        loop_post(o->loop, outlet_run, o);
        return;
    }
    if (o->busy_us >= REST_FROM_US)
        o->rest_until_us = now + (o->busy_us < REST_MAX_US ? o->busy_us : REST_MAX_US);
    o->busy_us = 0;
}

/* Any thread, under the hub's lock. */
static void outlet_on_work(void *arg)
{
    struct outlet *o = arg;
    loop_post(o->loop, outlet_run, o);
}

void outlet_init(struct outlet *o, struct hub_port *port, struct loop *loop)
{
    *o = (struct outlet){.port = port, .loop = loop};
    loop_timer_init(&o->timer, loop, outlet_run, o);
    hub_port_init(port, outlet_on_work, o);
}

void outlet_stop(struct outlet *o)
{
    loop_timer_stop(&o->timer);
}
