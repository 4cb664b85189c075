/* session against a real server: logins good and bad, lookups, several hosts, loss of the server.
 */
#include "unit.h"

#include <time.h>

#include "cluster.h"
#include "db/session.h"

static struct cluster cluster;

struct probe {
    struct loop *loop;
    struct helpers *helpers;
    struct session *session;
    struct loop_timer deadline;
    int ups, downs, inputs, tuples;
    char code[16], message[512], hint[256];
    bool query;
    struct session_ops ops; /* not set: the usual ones */
};

static void on_up(void *arg)
{
    struct probe *p = arg;
    p->ups++;
    if (!p->query) {
        loop_stop(p->loop);
        return;
    }
    assert_int_equal(PQsendQuery(session_pg(p->session), "select repeat('x', 100000)"), 1);
    session_flush(p->session);
}

static void on_down(void *arg, const struct db_error *why)
{
    struct probe *p = arg;
    p->downs++;
    snprintf(p->code, sizeof p->code, "%s", why->code);
    snprintf(p->message, sizeof p->message, "%s", why->message);
    snprintf(p->hint, sizeof p->hint, "%s", why->hint ? why->hint : "");
    loop_stop(p->loop);
}

static void on_input(void *arg)
{
    struct probe *p = arg;
    PGconn *pg = session_pg(p->session);
    p->inputs++;
    while (!PQisBusy(pg)) {
        PGresult *res = PQgetResult(pg);
        if (!res)
            break;
        if (PQresultStatus(res) == PGRES_TUPLES_OK) {
            assert_int_equal(PQgetlength(res, 0, 0), 100000);
            p->tuples++;
            loop_stop(p->loop);
        }
        PQclear(res);
    }
}

static void on_deadline(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for ten seconds");
}

static const struct session_ops ops = {.on_up = on_up, .on_down = on_down, .on_input = on_input};

static void probe_start(struct probe *p, const struct session_spec *spec)
{
    struct err err;
    p->loop = loop_new(&err);
    p->helpers = helpers_new(p->loop, 2, &err);
    loop_timer_init(&p->deadline, p->loop, on_deadline, p);
    loop_timer_set(&p->deadline, 10 * 1000000);
    struct session_spec mine = *spec;
    mine.logins = p->helpers;
    p->session = session_start(p->loop, p->helpers, &mine, p->ops.on_input ? &p->ops : &ops, p);
    assert_int_equal(p->ups + p->downs, 0);
    loop_run(p->loop);
}

static void on_once(void *arg)
{
    loop_stop(arg);
}

static void probe_end(struct probe *p)
{
    struct loop_task stop = LOOP_TASK(on_once, p->loop);
    session_close(p->session);
    loop_timer_stop(&p->deadline);
    loop_defer(p->loop, LOOP_COMPLETE, &stop);
    loop_wake(p->loop);
    loop_run(p->loop);
    helpers_free(p->helpers);
    loop_free(p->loop);
}

static void test_up(void **state)
{
    (void)state;
    struct probe p = {.query = true};
    probe_start(&p, &(struct session_spec){.uri = cluster.uri});
    assert_int_equal(p.ups, 1);
    assert_int_equal(p.tuples, 1);
    assert_string_equal(PQparameterStatus(session_pg(p.session), "client_encoding"), "UTF8");
    assert_string_equal(PQparameterStatus(session_pg(p.session), "application_name"), "pghttpd");
    probe_end(&p);
}

static void on_slow_input(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    on_input(arg);
}

/* What is done with an answer of PostgreSQL's keeps others waiting: it counts. */
static void test_reading_counts_as_lag(void **state)
{
    (void)state;
    struct probe p = {.query = true};
    p.ops = ops;
    p.ops.on_input = on_slow_input;
    probe_start(&p, &(struct session_spec){.uri = cluster.uri});
    assert_int_equal(p.tuples, 1);
    assert_true(loop_lag_us(p.loop) >= 30000);
    probe_end(&p);
}

static double thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* scram-sha-256 is computed by a thread, not on the loop, where others wait. */
static void test_login_leaves_the_loop_free(void **state)
{
    (void)state;
    enum { N = 5 };
    double began = thread_ms(), blocking;
    for (int i = 0; i < N; i++) {
        PGconn *pg = PQconnectdb(cluster.uri);
        assert_int_equal(PQstatus(pg), CONNECTION_OK);
        PQfinish(pg);
    }
    blocking = thread_ms() - began;
    began = thread_ms();
    for (int i = 0; i < N; i++) {
        struct probe p = {0};
        probe_start(&p, &(struct session_spec){.uri = cluster.uri});
        assert_int_equal(p.ups, 1);
        probe_end(&p);
    }
    double ours = thread_ms() - began;
    print_message("%.1f ms of this thread for %d logins, %.1f ms by PQconnectdb\n", ours, N,
                  blocking);
    assert_true(ours < blocking / 2);
}

/* Whoever closes a session, or ends altogether, does not wait for the step that a thread is at. */
static void test_closed_during_a_step(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        struct err err;
        struct probe p = {.loop = loop_new(&err)};
        struct loop_timer end;
        struct loop_task stop = LOOP_TASK(on_once, p.loop);
        p.helpers = helpers_new(p.loop, 1, &err);
        p.session = session_start(p.loop, p.helpers,
                                  &(struct session_spec){.uri = cluster.uri, .logins = p.helpers},
                                  &ops, &p);
        loop_timer_init(&end, p.loop, on_once, p.loop);
        loop_timer_set(&end, (uint64_t)i * 300);
        loop_run(p.loop);
        loop_timer_stop(&end);
        session_close(p.session);
        if (i % 2) {
            loop_defer(p.loop, LOOP_COMPLETE, &stop);
            loop_wake(p.loop);
            loop_run(p.loop);
        }
        helpers_free(p.helpers);
        loop_free(p.loop);
    }
}

/* exit() cleans OpenSSL up; no thread may be computing with it then. */
static void test_exit_during_a_step(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            struct err err;
            struct probe p = {.loop = loop_new(&err)};
            struct loop_timer end;
            struct helpers *logins = helpers_new(p.loop, 1, &err);
            p.session = session_start(p.loop, NULL,
                                      &(struct session_spec){.uri = cluster.uri, .logins = logins},
                                      &ops, &p);
            loop_timer_init(&end, p.loop, on_once, p.loop);
            loop_timer_set(&end, (uint64_t)i * 250);
            loop_run(p.loop);
            session_close(p.session);
            helpers_finish(logins);
            loop_free(p.loop);
            exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

/* A name is looked up by a thread; of several hosts the first that answers is taken. */
static void test_names(void **state)
{
    (void)state;
    char uri[512];
    snprintf(uri, sizeof uri,
             "host=nowhere.invalid,127.0.0.1,localhost port=1,2,%u user=postgres dbname=postgres "
             "password='s3cret\\'\"%% word'",
             cluster.port);
    struct probe p = {.query = true};
    probe_start(&p, &(struct session_spec){.uri = uri});
    assert_string_equal(p.message, "");
    assert_int_equal(p.tuples, 1);
    assert_string_equal(PQhost(session_pg(p.session)), "localhost");
    probe_end(&p);

    struct probe q = {0};
    probe_start(&q, &(struct session_spec){.uri = "postgresql://nowhere.invalid/x"});
    assert_int_equal(q.downs, 1);
    assert_string_equal(q.code, "08001");
    assert_non_null(strstr(q.message, "could not translate host name \"nowhere.invalid\""));
    probe_end(&q);
}

static void expect_refused(struct session_spec spec, const char *code, const char *words)
{
    struct probe p = {0};
    spec.uri = spec.uri ? spec.uri : cluster.uri;
    probe_start(&p, &spec);
    assert_int_equal(p.ups, 0);
    assert_int_equal(p.downs, 1);
    assert_string_equal(p.code, code);
    if (!strstr(p.message, words))
        fail_msg("%s", p.message);
    probe_end(&p);
}

static void test_refused(void **state)
{
    (void)state;
    char dead[64];
    snprintf(dead, sizeof dead, "host=127.0.0.1 port=1 dbname=x user=y");
    expect_refused((struct session_spec){.uri = dead}, "08001", "Connection refused");
    expect_refused((struct session_spec){.uri = "postgres://%zz"}, "08001", "malformed");
    expect_refused((struct session_spec){.database = "nope"}, "3D000", "\"nope\" does not exist");
    expect_refused((struct session_spec){.password = "wrong", .client_login = true}, "28P01",
                   "password authentication failed");
    expect_refused((struct session_spec){.user = "open", .password = "any", .client_login = true},
                   "28P01", "needs no password");
    /* expand_dbname is off: this is the name of a database, not a way to another server */
    expect_refused((struct session_spec){.database = "host=127.0.0.2 dbname=postgres"}, "3D000",
                   "host=127.0.0.2");
    expect_refused((struct session_spec){.options = "-c nosuch=1"}, "42704", "nosuch");
}

static void test_timeout(void **state)
{
    (void)state;
    char uri[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 1), 0); /* takes the connection and says nothing */
    getsockname(fd, (struct sockaddr *)&a, &len);
    snprintf(uri, sizeof uri, "host=127.0.0.1 port=%u user=x dbname=x", ntohs(a.sin_port));
    expect_refused((struct session_spec){.uri = uri, .connect_timeout_us = 200000}, "08001",
                   "timeout expired");
    close(fd);
}

static void test_lost(void **state)
{
    (void)state;
    struct probe p = {0};
    probe_start(&p, &(struct session_spec){.uri = cluster.uri});
    assert_int_equal(p.ups, 1);
    cluster_down(&cluster, SIGINT); /* fast shutdown: 57P01 to everybody */
    loop_run(p.loop);
    assert_int_equal(p.downs, 1);
    assert_string_equal(p.code, "57P01");
    probe_end(&p);
    cluster_up(&cluster);
}

/* ---- several hosts ---- */

/* Listens, and never accepts: the kernel completes the handshake, then there is silence. */
static int silent_server(unsigned *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

/* Accepts and closes, as a balancer does that has no server behind it. */
static pid_t closing_server(int fd)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client >= 0)
            close(client);
    }
}

static uint64_t connect_two(struct probe *p, unsigned first, const char *more,
                            struct host_memory *memory)
{
    char uri[512];
    snprintf(uri, sizeof uri, "host=127.0.0.1,127.0.0.1 port=%u,%u user=open dbname=postgres %s",
             first, cluster.port, more);
    uint64_t began = loop_clock_us();
    probe_start(p, &(struct session_spec){
                       .uri = uri, .connect_timeout_us = 1000000, .host_memory = memory});
    return loop_clock_us() - began;
}

static void test_silent_host(void **state)
{
    (void)state;
    unsigned port;
    int fd = silent_server(&port);
    struct host_memory memory = {0};
    struct probe p = {0};
    uint64_t took = connect_two(&p, port, "", &memory);
    assert_int_equal(p.ups, 1);
    assert_true(took >= 500000 && took < 900000); /* half of a second for each host */
    probe_end(&p);
    /* The next connection does not wait for it again. */
    p = (struct probe){0};
    took = connect_two(&p, port, "", &memory);
    assert_int_equal(p.ups, 1);
    assert_true(took < 400000);
    probe_end(&p);
    /* connect_timeout counts per host; libpq takes nothing below 2 seconds. */
    p = (struct probe){0};
    took = connect_two(&p, port, "connect_timeout=2", NULL);
    assert_int_equal(p.ups, 1);
    assert_true(took >= 2000000 && took < 2500000);
    probe_end(&p);
    close(fd);
}

static void test_closing_host(void **state)
{
    (void)state;
    unsigned port;
    int fd = silent_server(&port), status;
    pid_t pid = closing_server(fd);
    struct probe p = {0};
    uint64_t took = connect_two(&p, port, "", NULL);
    assert_int_equal(p.ups, 1);
    assert_true(took < 400000);
    probe_end(&p);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    close(fd);
}

/* Every host is asked for what target_session_attrs wants; a refused login is asked of one only. */
static void test_attrs_of_hosts(void **state)
{
    (void)state;
    struct probe p = {0};
    connect_two(&p, cluster.port, "target_session_attrs=standby", NULL);
    assert_int_equal(p.downs, 1);
    assert_non_null(strstr(p.message, "standby"));
    probe_end(&p);
    p = (struct probe){0};
    connect_two(&p, cluster.port, "target_session_attrs=prefer-standby", NULL);
    assert_int_equal(p.ups, 1);
    probe_end(&p);
    p = (struct probe){0};
    connect_two(&p, cluster.port, "user=postgres password=wrong", NULL);
    assert_int_equal(p.downs, 1);
    assert_string_equal(p.code, "28P01");
    probe_end(&p);
}

static int setup(void **state)
{
    (void)state;
    cluster_start(&cluster);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_exit_during_a_step), /* first: it forks, and threads do not go along */
        cmocka_unit_test(test_up),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_reading_counts_as_lag),
        cmocka_unit_test(test_login_leaves_the_loop_free),
        cmocka_unit_test(test_closed_during_a_step),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_silent_host),
        cmocka_unit_test(test_closing_host),
        cmocka_unit_test(test_attrs_of_hosts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
