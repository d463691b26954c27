#include "mounts.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/rc.h"

#define MOUNTINFO_MAX (16u << 20)
#define NAMED_MAX     8

/* Undoes the kernel's escapes (\040 for a space) in place. */
static void unescape(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
            s[3] <= '7') {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* The fifth field of a line of mountinfo is the mount point. */
static bool line_is(const char *line, size_t len, const char *path)
{
    const char *p = line, *end = line + len, *stop;
    char point[PATH_MAX];

    for (int field = 1; field < 5 && p; field++) {
        p = memchr(p, ' ', (size_t)(end - p));
        p = p ? p + 1 : NULL;
    }
    if (!p) {
        return false;
    }
    stop = memchr(p, ' ', (size_t)(end - p));
    if (!stop || (size_t)(stop - p) >= sizeof point) {
        return false;
    }
    memcpy(point, p, (size_t)(stop - p));
    point[stop - p] = '\0';
    unescape(point);
    return strcmp(point, path) == 0;
}

bool mounts_find(const char *mountinfo, const char *path)
{
    while (*mountinfo) {
        size_t len = strcspn(mountinfo, "\n");

        if (line_is(mountinfo, len, path)) {
            return true;
        }
        mountinfo += len + (mountinfo[len] == '\n');
    }
    return false;
}

int mounts_at(const char *path)
{
    int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC), rc = RC_IO;
    struct buf b = BUF_INIT;
    char chunk[8192];
    ssize_t n = -1;

    while (fd >= 0 && b.len < MOUNTINFO_MAX && (n = read(fd, chunk, sizeof chunk)) > 0) {
        buf_raw(&b, chunk, (size_t)n);
    }
    buf_u8(&b, 0);
    if (n == 0 && !b.failed) {
        rc = mounts_find((const char *)b.data, path);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    buf_fini(&b);
    return rc;
}

static bool below(const char *file, const char *path)
{
    size_t n = strlen(path);

    return strncmp(file, path, n) == 0 && (file[n] == '/' || file[n] == '\0');
}

static bool link_below(int dir, const char *name, const char *path)
{
    char to[PATH_MAX];
    ssize_t n = readlinkat(dir, name, to, sizeof to - 1);

    to[n > 0 ? n : 0] = '\0';
    return n > 0 && below(to, path);
}

static bool any_link_below(int dir, const char *folder, const char *path)
{
    int fd = openat(dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *de;
    bool hit = false;

    while (d && !hit && (de = readdir(d))) {
        hit = de->d_name[0] != '.' && link_below(fd, de->d_name, path);
    }
    if (d) {
        (void)closedir(d);
    }
    return hit;
}

static bool uses(int dir, const char *path)
{
    return link_below(dir, "cwd", path) || link_below(dir, "root", path) || link_below(dir, "exe", path) ||
           any_link_below(dir, "fd", path) || any_link_below(dir, "map_files", path);
}

static void process_name(int dir, char *out, size_t size)
{
    int fd = openat(dir, "comm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : 0;

    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (fd >= 0) {
        (void)close(fd);
    }
}

size_t mounts_users(const char *path, char *out, size_t size)
{
    DIR *proc = opendir("/proc");
    size_t n = 0, at = 0;
    struct dirent *de;
    char name[64];

    *out = '\0';
    while (proc && (de = readdir(proc))) {
        int dir = isdigit((unsigned char)de->d_name[0])
                      ? openat(dirfd(proc), de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                      : -1;

        if (dir >= 0 && uses(dir, path) && n++ < NAMED_MAX && at < size) {
            process_name(dir, name, sizeof name);
            at += (size_t)snprintf(out + at, size - at, "%s%s (%s)", at ? ", " : "", name, de->d_name);
        }
        if (dir >= 0) {
            (void)close(dir);
        }
    }
    if (proc) {
        (void)closedir(proc);
    }
    if (n > NAMED_MAX && at < size) {
        (void)snprintf(out + at, size - at, ", and %zu more", n - NAMED_MAX);
    }
    return n;
}
