/* mhd: libmicrohttpd's callbacks of request.c, for server.c; the only header of ours that shows its
 * types. */
#ifndef PGH_HTTP_MHD_H
#define PGH_HTTP_MHD_H

#include <microhttpd.h>

enum MHD_Result request_on_access(void *arg, struct MHD_Connection *, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context);
void request_on_completed(void *arg, struct MHD_Connection *, void **context,
                          enum MHD_RequestTerminationCode);

#endif
