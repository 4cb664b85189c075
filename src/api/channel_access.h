/* channel_access: who may listen to which channel and notify which. PostgreSQL has no rights on
 * channels, so these are ours: listen-access and notify-access, listen-channels, and the token's
 * claims `channels` and `notify`. The channel of db-channel is open to nobody. */
#ifndef PGH_API_CHANNEL_ACCESS_H
#define PGH_API_CHANNEL_ACCESS_H

#include "app.h"
#include "auth/auth.h"
#include "http/server.h"

enum channel_use { CHANNEL_LISTEN, CHANNEL_NOTIFY };

/* The request's database, and whether this use of channels is switched on: 404. */
MUSTCHECK const struct conf_database *channel_database(struct worker *, const struct http_req *,
                                                       enum channel_use, struct err *);

/* Who asks: bearer header; for listening also the cookie and parameter (*token as given: p == NULL
 * when there is none), where the settings allow them. In open mode nobody is asked. *token: the one
 * that counts, borrowed from the request. False: 401, or 403 for a foreign page that uses the
 * visitor's cookie. */
MUSTCHECK bool channel_identity(struct worker *, struct http_req *, enum channel_use,
                                struct str *token, struct auth_identity *out, struct err *);

/* The same after a reload, for somebody who came in with this token (p == NULL: none): is this use
 * of channels still switched on, and does the token still verify? Strings of *out live in the
 * arena. */
MUSTCHECK bool channel_still_open(struct worker *, enum channel_use, struct str token,
                                  struct arena *, struct auth_identity *out, struct err *);

/* May they use it? False: 401 for somebody without a token, 403 for the others. */
MUSTCHECK bool channel_allowed(struct worker *, const struct conf_database *, enum channel_use,
                               const struct auth_identity *, struct str channel, struct err *);

/* Answers with the error, and with WWW-Authenticate where that belongs. */
void channel_fail(struct http_req *, const struct err *);

#endif
