/* admin: parts of the admin port that stand in files of their own. */
#ifndef PGH_API_ADMIN_H
#define PGH_API_ADMIN_H

#include "util/buf.h"

/* Memory, processor time, descriptors and start time of this process, under Prometheus's usual
 * names. */
void admin_write_process(struct buf *out);

#endif
