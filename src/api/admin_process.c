/* What the kernel says about this process, from /proc/self. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api/admin.h"
#include "util/metrics.h"

/* A small file of /proc, whole. */
static struct str read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size);
    if (fd >= 0)
        close(fd);
    return (struct str){out, n > 0 ? (size_t)n : 0};
}

/* The n-th word (from 0) of s as a number. */
static uint64_t word(struct str s, unsigned n)
{
    struct str part;
    uint64_t v = 0;
    while (str_next(&s, ' ', &part)) {
        if (part.n == 0)
            continue;
        if (n-- == 0)
            return str_u64(part, UINT64_MAX, &v) ? v : 0;
    }
    return 0;
}

static uint64_t count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    uint64_t n = 0;
    if (!d)
        return 0;
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n ? n - 1 : 0; /* without the directory's own */
}

/* Start time in seconds since 1970: seconds since boot, from the time since boot. */
static double start_time(void)
{
    char text[2048];
    struct str s = read_file("/proc/self/stat", text, sizeof text);
    size_t end = s.n;
    while (end > 0 && s.p[end - 1] != ')') /* the name may contain spaces */
        end--;
    uint64_t ticks = word(str_from(s, end), 19);
    struct timespec now, boot;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    return (double)now.tv_sec - (double)boot.tv_sec + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
    metrics_head(out, name, METRICS_GAUGE, help);
    metrics_double(out, name, NULL, value);
}

void admin_write_process(struct buf *out)
{
    char text[256];
    struct str statm = read_file("/proc/self/statm", text, sizeof text);
    double page = (double)sysconf(_SC_PAGESIZE);
    struct rlimit files = {0};
    struct rusage used = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    getrusage(RUSAGE_SELF, &used);
    metrics_head(out, "process_cpu_seconds_total", METRICS_COUNTER, "Processor time used");
    metrics_double(out, "process_cpu_seconds_total", NULL,
                   (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    gauge(out, "process_virtual_memory_bytes", "Address space", (double)word(statm, 0) * page);
    gauge(out, "process_resident_memory_bytes", "Memory in use", (double)word(statm, 1) * page);
    gauge(out, "process_open_fds", "Open file descriptors", (double)count_fds());
    gauge(out, "process_max_fds", "Most file descriptors that may be open", (double)files.rlim_cur);
    gauge(out, "process_start_time_seconds", "Start, in seconds since 1970", start_time());
}
