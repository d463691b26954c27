#include "adapters/host.h"

#include "common/rc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int host_make_dir(const char *path, unsigned mode, struct err *err)
{
    char part[PATH_MAX];

    (void)snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST) {
            return err_set(err, RC_IO, "cannot make folder '%s': %s", part, strerror(errno));
        }
        *slash = '/';
    }
    if ((mkdir(path, mode) < 0 && errno != EEXIST) || chmod(path, mode) < 0) {
        return err_set(err, RC_IO, "cannot make folder '%s': %s", path, strerror(errno));
    }
    return 0;
}

int host_lock(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char text[32] = "";

    if (fd < 0) {
        return err_set(err, RC_IO, "cannot open '%s': %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = read(fd, text, sizeof text - 1);

        (void)close(fd);
        text[n > 0 ? n : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return err_set(err, RC_REFUSED, "another clusterd runs on this host (process %s has locked '%s')",
                       text[0] ? text : "?", path);
    }
    (void)snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, text, strlen(text)) < 0) {
        return err_set(err, RC_IO, "cannot write '%s': %s", path, strerror(errno));
    }
    return 0; /* fd stays open: the lock is ours until the end */
}

int host_boot_id(char out[40], struct err *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(out, 40, f);

    if (f) {
        (void)fclose(f);
    }
    if (!ok) {
        return err_set(err, RC_IO, "cannot read '%s': %s", path, strerror(errno));
    }
    out[strcspn(out, "\n")] = '\0';
    return 0;
}

uint64_t host_random(void)
{
    uint64_t r = 0;

    while (r == 0) {
        if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r) {
            abort(); /* without chance there is no identity; the kernel never fails here */
        }
    }
    return r;
}

static uint64_t now_ms(void *ctx)
{
    struct timespec t;

    (void)ctx;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int64_t wall_ms(void *ctx)
{
    struct timespec t;

    (void)ctx;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t random_number(void *ctx)
{
    (void)ctx;
    return host_random();
}

void host_clock_port(struct clock_port *out)
{
    *out = (struct clock_port){.now_ms = now_ms, .wall_ms = wall_ms, .random = random_number};
}
