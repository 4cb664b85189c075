/* admin: parts of the admin port that stand in files of their own. */
#ifndef PGH_API_ADMIN_H
#define PGH_API_ADMIN_H

#include "http/server.h"

/* Memory, processor time, descriptors and start time of this process, under Prometheus's usual
 * names. */
void admin_write_process(struct buf *out);

/* The answers of /ready and /metrics, for other routes that have decided who may see them. */
void admin_ready(struct worker *, struct http_req *);
void admin_metrics(struct worker *, struct http_req *);

#endif
