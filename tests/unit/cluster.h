/* cluster: a private PostgreSQL for a test program: scram over TCP on a free port of 127.0.0.1,
 * and trust for the user "open", data in a new folder under /tmp, gone at the end.
 *
 *     struct cluster c;
 *     cluster_start(&c);   -- aborts the test program when it cannot
 *     ... cluster_uri(&c, "postgres") ...
 *     cluster_stop(&c); */
#ifndef PGH_TESTS_CLUSTER_H
#define PGH_TESTS_CLUSTER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/xalloc.h"

#define CLUSTER_PASSWORD "s3cret'\"% word"
#define CLUSTER_PASSWORD_URI "s3cret'%22%25%20word"

struct cluster {
    char dir[64], bin[128], uri[256];
    unsigned port;
    pid_t pid;
};

static inline void cluster_fail(const char *what)
{
    fprintf(stderr, "cluster: %s\n", what);
    exit(1);
}

/* In the child: initdb and postgres refuse to run as root. */
static inline void cluster_drop_root(void)
{
    struct passwd *pw = getuid() == 0 ? getpwnam("postgres") : NULL;
    if (pw && (setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0))
        _exit(126);
}

static inline pid_t cluster_spawn(const struct cluster *c, const char *program,
                                  const char *const *args, const char *log)
{
    char path[256], log_path[128];
    snprintf(path, sizeof path, "%s/%s", c->bin, program);
    snprintf(log_path, sizeof log_path, "%s/%s", c->dir, log);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    cluster_drop_root();
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    /* PostgreSQL's programs find each other by argv[0] */
    const char *argv[32] = {path};
    for (size_t i = 1; i < 31 && args[i]; i++)
        argv[i] = args[i];
    if (chdir(c->dir) == 0)
        execv(path, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static inline int cluster_status(const struct cluster *c, const char *program,
                                 const char *const *args)
{
    int status = 0;
    pid_t pid = cluster_spawn(c, program, args, "tool.log");
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static inline void cluster_run(const struct cluster *c, const char *program,
                               const char *const *args)
{
    if (cluster_status(c, program, args) == 0)
        return;
    fprintf(stderr, "cluster: %s failed, see %s/tool.log\n", program, c->dir);
    exit(1);
}

static inline void cluster_sql(const struct cluster *c, const char *sql)
{
    cluster_run(c, "psql",
                (const char *const[]){"psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", c->uri, "-c",
                                      sql, NULL});
}

/* Below those that the kernel gives to clients. */
static inline unsigned cluster_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    bool is_free = false;
    unsigned port = 0;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (!is_free) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || getrandom(&port, sizeof port, 0) != sizeof port)
            cluster_fail("no port");
        port = 20000 + port % 10000;
        a.sin_port = htons((uint16_t)port);
        is_free = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
    }
    return port;
}

static inline void cluster_write(const struct cluster *c, const char *name, const char *mode,
                                 const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", c->dir, name);
    FILE *f = fopen(path, mode);
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        cluster_fail("cannot write a file");
}

/* Its own word for it: something else may answer at the port. */
static inline bool cluster_ready(const struct cluster *c)
{
    char path[128], line[128];
    bool ready = false;
    snprintf(path, sizeof path, "%s/data/postmaster.pid", c->dir);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        ready = ready || strncmp(line, "ready", 5) == 0;
    if (f)
        fclose(f);
    return ready;
}

/* Starts the server of an existing folder; returns when its port takes connections. False: it ended
 * instead, perhaps because somebody else has the port. */
static inline bool cluster_try(struct cluster *c)
{
    char port[16];
    snprintf(port, sizeof port, "%u", c->port);
    c->pid = cluster_spawn(c, "postgres",
                           (const char *const[]){"postgres", "-D", "data", "-p", port, NULL},
                           "server.log");
    for (int i = 0; i < 2000; i++) {
        if (waitpid(c->pid, NULL, WNOHANG) == c->pid) {
            c->pid = 0;
            return false;
        }
        if (cluster_ready(c))
            return true;
        usleep(10000); /* a poll with a deadline of twenty seconds */
    }
    cluster_fail("the server does not start");
    return false;
}

static inline void cluster_up(struct cluster *c)
{
    if (!cluster_try(c))
        cluster_fail("the server ended");
}

static inline void cluster_down(struct cluster *c, int signal_number)
{
    int status;
    if (c->pid > 0) {
        kill(c->pid, signal_number);
        waitpid(c->pid, &status, 0);
    }
    c->pid = 0;
}

static inline void cluster_start(struct cluster *c)
{
    *c = (struct cluster){.dir = "/tmp/pghttpd-db-XXXXXX"};
    glob_t g;
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &g) != 0)
        cluster_fail("no PostgreSQL server is installed");
    snprintf(c->bin, sizeof c->bin, "%s", g.gl_pathv[g.gl_pathc - 1]);
    globfree(&g);
    struct passwd *pw = getpwnam("postgres");
    if (!mkdtemp(c->dir) || (getuid() == 0 && pw && chown(c->dir, pw->pw_uid, pw->pw_gid) != 0))
        cluster_fail("cannot make a folder under /tmp");
    cluster_write(c, "pw", "w", CLUSTER_PASSWORD "\n");
    cluster_run(c, "initdb",
                (const char *const[]){"initdb", "-D", "data", "-U", "postgres", "--pwfile=pw", "-A",
                                      "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-N",
                                      NULL});
    cluster_write(c, "data/pg_hba.conf", "w",
                  "host all open 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
    cluster_write(c, "data/postgresql.conf", "a",
                  "listen_addresses='127.0.0.1'\nunix_socket_directories=''\nfsync=off\n"
                  "max_connections=60\nshared_buffers=16MB\nlog_min_messages=fatal\n");
    int tries = 0;
    do
        c->port = cluster_free_port();
    while (!cluster_try(c) && ++tries < 5);
    if (tries == 5)
        cluster_fail("the server ended");
    snprintf(c->uri, sizeof c->uri, "postgresql://postgres:%s@127.0.0.1:%u/postgres",
             CLUSTER_PASSWORD_URI, c->port);
    cluster_sql(c, "create role open login superuser");
}

static inline void cluster_stop(struct cluster *c)
{
    cluster_down(c, SIGQUIT);
    if (strncmp(c->dir, "/tmp/pghttpd-db-", 16) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/rm", "rm", "-rf", c->dir, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

#endif
