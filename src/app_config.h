/* app_config: settings that stand in the database (db-config).
 *
 * ALTER ROLE login [IN DATABASE d] SET pgrst.key = value, and what the function db-pre-config sets
 * by set_config('pgrst.key', value, true). Read in one read-only transaction on the configured
 * database's own pool, then all sources are loaded anew with them. Belongs to worker 0. */
#ifndef PGH_APP_CONFIG_H
#define PGH_APP_CONFIG_H

#include "auth/auth.h"
#include "conf/conf.h"
#include "db/pool.h"
#include "util/loop.h"

struct app_config;

typedef void (*app_config_done)(void *arg, struct conf *now, struct auth *auth, const struct err *);

struct app_config *app_config_new(struct loop *, struct db_pools *, const struct conf_sources *);
void app_config_free(struct app_config *); /* no callback after this */

/* Reads all sources, those of the database too unless db-config is off. done runs later, once: with
 * a new configuration and the rules for tokens made from it, references of the callee's, or with
 * NULLs and why; the current one stays in use then. A read that is asked for while one runs follows
 * it; done runs for the last one alone. until_up (at the start, where what the database says is not
 * known yet): while it cannot be reached, or what it says cannot be used, wait and try again;
 * otherwise what it said last is used again. */
void app_config_read(struct app_config *, struct conf *current, bool until_up, app_config_done done,
                     void *arg);

/* The last read could not use what the database says; the log has the reason. */
bool app_config_troubled(const struct app_config *);

#endif
