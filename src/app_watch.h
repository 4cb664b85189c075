/* app_watch: what a database says on its db-channel (NOTIFY pgrst, 'reload schema'), and when the
 * catalog of a further database is loaded and forgotten.
 *
 * The configured database is listened to as long as the program runs. A further one only while its
 * catalog is wanted: LISTEN first, then the load, so that no change falls between the two. Where
 * LISTEN is impossible (a standby) the load does not wait for it.
 *
 * Everything on worker 0's thread. */
#ifndef PGH_APP_WATCH_H
#define PGH_APP_WATCH_H

#include "app.h"
#include "rest/catalogs.h"

extern const struct rest_catalogs_ops app_watch_ops; /* arg is the app */

struct app_watch *app_watch_new(struct app *); /* one for each database */
void app_watch_free(struct app *);             /* before the hubs; no loop runs any more */
void app_watch_start(struct app *);            /* the configured database */
void app_watch_stop(struct app *);             /* nothing is loaded any more */
void app_watch_reconfigure(struct app *);      /* channels may have changed */
/* The sessions of a database are replaced when its catalog is loaded the next time. */
void app_watch_refresh(struct app *);

#endif
