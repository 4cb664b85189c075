/* fuzz_conf: any bytes as a configuration file. What is taken must come out of --dump-config in a
 * form that is taken again and means the same; what is refused must say which file. */
#include "conf/conf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static struct conf *load(const void *bytes, size_t n, struct err *err)
{
    char path[64];
    char *variables[] = {(char *)(uintptr_t) "HOME=/root", (char *)(uintptr_t) "PGRST_DB_POOL=3",
                         NULL};
    char *argv[] = {(char *)(uintptr_t) "pghttpd", path, NULL};
    enum conf_action action;
    int fd = memfd_create("conf", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct conf_sources s = {.argc = 2, .argv = argv, .environ = variables};
    struct conf *c = conf_load(&s, &action, err);
    close(fd);
    return c;
}

/* Secrets and connection strings are shown without their secret parts. */
static bool hidden(struct str line)
{
    static const char *const keys[] = {
        "db-uri = ", "listen-uri = ", "jwt-secret = ", "admin-token = "};
    line = str_trim(line);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (str_starts(line, str_of(keys[i])))
            return true;
    return false;
}

/* Without what is hidden, and without the comments that say where a value comes from: they stand
 * behind the last quote of a line. */
static void strip(struct buf *b)
{
    size_t w = 0;
    for (size_t i = 0, start = 0; i < b->n; i++) {
        if (b->p[i] != '\n')
            continue;
        struct str line = {b->p + start, i - start};
        const char *quote = memrchr(line.p, '"', line.n), *from = quote ? quote : line.p;
        const char *comment = memmem(from, (size_t)(line.p + line.n - from), "  # ", 4);
        size_t n = hidden(line) ? 0 : comment ? (size_t)(comment - line.p) : line.n;
        memmove(b->p + w, line.p, n);
        w += n;
        b->p[w++] = '\n';
        start = i + 1;
    }
    b->n = w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct buf first, second;
    if (size > 20000 || memmem(data, size, "@", 1)) /* no files are read here */
        return 0;
    log_set_level(LOG_CRIT);
    struct conf *c = load(data, size, &err);
    if (!c) {
        require(err.status == 400 && err.message[0]);
        return 0;
    }
    buf_init(&first, BUF_NO_CEILING);
    buf_init(&second, BUF_NO_CEILING);
    conf_print_dump(c, &first);
    strip(&first);
    struct conf *again = load(first.p, first.n, &err);
    if (again) {
        conf_print_dump(again, &second);
        strip(&second);
        require(str_eq(buf_str(&first), buf_str(&second)));
    } else {
        /* a section cannot do without its db-uri */
        require(memmem(first.p, first.n, "database ", 9) != NULL);
    }
    conf_unref(again);
    conf_unref(c);
    buf_fini(&first);
    buf_fini(&second);
    return 0;
}
