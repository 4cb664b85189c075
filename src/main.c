/* main: command line, signals, and the two lines between them. Everything else hangs from struct
 * app. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app.h"
#include "app_dump.h"
#include "ready.h"
#include "util/buf.h"
#include "util/log.h"
#include "util/notify.h"
#include "util/xalloc.h"

/* Blocked before anything else: a signal that comes early waits for the loop instead of killing the
 * process, and one that reaches PID 1 of a container is not ignored, as the default action would be
 * there. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigprocmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct app *app = arg;
    struct signalfd_siginfo info;
    (void)what;
    loop_turn(app->workers[0].loop);
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT: app_stop(app); break;
        case SIGHUP:
        case SIGUSR2: app_reload_config(app); break;
        default: app_reload_catalogs(app); break;
        }
    }
}

static int fail(const struct err *err)
{
    log_crit("%s", err->message);
    return EXIT_FAILURE;
}

/* Once the log is as the settings have it. */
static void warn_of_secrets(const struct buf *hidden)
{
    if (hidden->n)
        log_warn("%.*s: every user of this machine could read this secret in the list of "
                 "processes for a moment; the environment, a file or @FILE keeps it",
                 (int)hidden->n, hidden->p);
}

static int serve(const struct conf_sources *sources, struct conf *conf, const struct buf *hidden,
                 const sigset_t *signals)
{
    struct err err;
    int fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
    struct app *app = app_new(sources, conf, &err);
    if (!app || fd < 0) {
        if (app)
            err_set(&err, 500, "", "cannot watch signals: %s", strerror(errno));
        app_free(app);
        return fail(&err);
    }
    warn_of_secrets(hidden);
    struct event *ev =
        event_new(loop_base(app->workers[0].loop), fd, EV_READ | EV_PERSIST, on_signal, app);
    if (ev && event_add(ev, NULL) == 0)
        app_run(app);
    if (ev)
        event_free(ev);
    close(fd);
    bool failed = app->failed;
    app_free(app);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print(struct buf *text)
{
    bool done = fwrite(text->p, 1, text->n, stdout) == text->n && fflush(stdout) == 0;
    buf_fini(text);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The actions that answer without serving anything. */
static int answer(enum conf_action action, const struct conf_sources *sources, struct conf *conf)
{
    struct err err = {0};
    struct buf out;
    buf_init(&out, BUF_NO_CEILING);
    switch (action) {
    case CONF_HELP: conf_print_help(&out); break;
    case CONF_EXAMPLE: conf_print_example(&out); break;
    case CONF_DUMP_CONFIG:
        if (app_dump_config(sources, conf, &out, &err))
            break;
        buf_fini(&out);
        return fail(&err);
    case CONF_VERSION: buf_printf(&out, "pghttpd %s\n", PGHTTPD_VERSION); break;
    case CONF_READY: return ready_check(conf, READY_READY);
    case CONF_HEALTHCHECK: return ready_check(conf, READY_LIVE);
    case CONF_DUMP_SCHEMA:
        if (app_dump_schema(sources, conf, &out, &err))
            break;
        buf_fini(&out);
        return fail(&err);
    case CONF_RUN: break;
    }
    return print(&out);
}

/* A copy of the arguments in one piece of memory, for reloads; the kernel's own, which every user
 * can read, loses its secrets. */
static char **take_arguments(int argc, char **argv, struct buf *hidden)
{
    size_t table = ((size_t)argc + 1) * sizeof *argv, bytes = 0;
    for (int i = 0; i < argc; i++)
        bytes += strlen(argv[i]) + 1;
    char **copy = xcalloc(1, table + bytes);
    char *at = (char *)copy + table;
    for (int i = 0; i < argc; i++) {
        size_t n = strlen(argv[i]) + 1;
        copy[i] = memcpy(at, argv[i], n);
        at += n;
    }
    conf_hide_args(argc, argv, hidden);
    return copy;
}

static int run(const struct conf_sources *sources, struct buf *hidden, const sigset_t *signals)
{
    struct err err = {0};
    enum conf_action action = CONF_RUN;
    struct conf *conf = conf_load(sources, &action, &err);
    if (!conf)
        return fail(&err);
    int rc =
        action == CONF_RUN ? serve(sources, conf, hidden, signals) : answer(action, sources, conf);
    conf_unref(conf);
    return rc;
}

int main(int argc, char **argv)
{
    sigset_t signals;
    struct buf hidden;
    block_signals(&signals);
    /* Memory holds passwords: no core dump, and no other process of the same user may look into
     * it or into the environment. root may (gdb, strace). */
    prctl(PR_SET_DUMPABLE, 0);
    buf_init(&hidden, BUF_NO_CEILING);
    struct conf_sources sources = {
        .argc = argc, .argv = take_arguments(argc, argv, &hidden), .environ = environ};
    int rc = run(&sources, &hidden, &signals);
    free((void *)(uintptr_t)sources.argv);
    buf_fini(&hidden);
    return rc;
}
