/* floor: the least that PostgreSQL on HTTP costs with the same libraries: libmicrohttpd in external
 * epoll mode on libevent, one libpq connection in pipeline mode, one prepared statement, no
 * features. `make bench` measures pghttpd against it in the same run: twice its CPU a request is
 * the bar. The statement is a point read, whose three columns become JSON, or SQL with $1 for the
 * id and a body of the first column. Usage: floor PORT CONNINFO [SQL] */
#include <event2/event.h>
#include <libpq-fe.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct req {
    struct MHD_Connection *connection;
    struct req *next; /* in the order of the pipeline */
    char *body;
    size_t len;
};

static struct MHD_Daemon *daemon_;
static PGconn *db;
static struct req *first, **last = &first;
static int unsynced, syncs, resumed;
static const char *sql; /* NULL: the point read */

static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **ctx)
{
    (void)cls, (void)url, (void)method, (void)version, (void)data, (void)size;
    struct req *r = *ctx;
    if (!r) { /* the head is there; answering already now would close the connection */
        *ctx = r = calloc(1, sizeof *r);
        return r ? MHD_YES : MHD_NO;
    }
    if (r->len) { /* resumed: the row is there */
        struct MHD_Response *response =
            MHD_create_response_from_buffer(r->len, r->body, MHD_RESPMEM_MUST_FREE);
        MHD_add_response_header(response, "Content-Type", "application/json");
        enum MHD_Result ok = MHD_queue_response(c, MHD_HTTP_OK, response);
        MHD_destroy_response(response);
        return ok;
    }
    const char *id = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "id");
    if (!id || !PQsendQueryPrepared(db, "read", 1, &id, NULL, NULL, 0))
        return MHD_NO;
    r->connection = c;
    *last = r, last = &r->next, unsynced++;
    MHD_suspend_connection(c);
    return MHD_YES;
}

static void completed(void *cls, struct MHD_Connection *c, void **ctx,
                      enum MHD_RequestTerminationCode why)
{
    (void)cls, (void)c, (void)why;
    free(*ctx);
}

static void on_rows(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    if (!PQconsumeInput(db))
        exit(1);
    while ((first || syncs) && !PQisBusy(db)) {
        PGresult *result = PQgetResult(db);
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            syncs--;
        } else if (PQresultStatus(result) == PGRES_TUPLES_OK) {
            struct req *r = first;
            if (!(first = r->next))
                last = &first;
            const char *first_cell = PQgetvalue(result, 0, 0);
            int len =
                sql ? asprintf(&r->body, "%s\n", first_cell)
                    : asprintf(&r->body, "[{\"id\":%s,\"name\":\"%s\",\"balance\":%s}]\n",
                               first_cell, PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2));
            r->len = len > 0 ? (size_t)len : 0;
            MHD_resume_connection(r->connection);
            resumed++;
        }
        PQclear(result);
    }
}

static void on_http(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    MHD_UNSIGNED_LONG_LONG ms;
    do /* what it knows to be readable it does not wait for */
        MHD_run(daemon_);
    while (MHD_get_timeout(daemon_, &ms) == MHD_YES && ms == 0);
}

int main(int argc, char **argv)
{
    struct event_base *base = event_base_new();
    db = argc == 3 || argc == 4 ? PQconnectdb(argv[2]) : NULL;
    sql = argc == 4 ? argv[3] : NULL;
    PQclear(PQprepare(db, "read",
                      sql ? sql : "select id, name, balance from accounts where id = $1::int", 1,
                      NULL));
    if (PQstatus(db) != CONNECTION_OK || PQsetnonblocking(db, 1) || !PQenterPipelineMode(db))
        return fprintf(stderr, "floor: %s", PQerrorMessage(db)), 1;
    daemon_ = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO,
                               (uint16_t)strtoul(argv[1], NULL, 10), NULL, NULL, answer, NULL,
                               MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
    if (!daemon_)
        return perror("floor"), 1;
    int epoll = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    event_add(event_new(base, epoll, EV_READ | EV_PERSIST, on_http, NULL), NULL);
    event_add(event_new(base, PQsocket(db), EV_READ | EV_PERSIST, on_rows, NULL), NULL);
    for (;;) {
        event_base_loop(base, EVLOOP_ONCE);
        if (resumed)
            resumed = 0, on_http(-1, 0, NULL);
        if (unsynced) /* one write for all requests of this turn */
            unsynced = 0, syncs += PQpipelineSync(db), PQflush(db);
    }
}
