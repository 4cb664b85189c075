/* app_dump: --dump-config and --dump-schema. Each opens one connection to the database, prints and
 * ends; nothing listens. */
#ifndef PGH_APP_DUMP_H
#define PGH_APP_DUMP_H

#include "conf/conf.h"
#include "util/buf.h"

/* The settings of all sources; when the database cannot be asked for its own (db-config), those of
 * the others, and the log says so. False with err when a key or a path in them cannot be used. */
MUSTCHECK bool app_dump_config(const struct conf_sources *, struct conf *, struct buf *out,
                               struct err *);

/* The schema cache of the configured database as JSON. */
MUSTCHECK bool app_dump_schema(const struct conf_sources *, struct conf *, struct buf *out,
                               struct err *);

#endif
