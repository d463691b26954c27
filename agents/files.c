#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rc.h"

int files_mkdirs(const char *path, mode_t mode, struct err *e)
{
    char p[PATH_MAX];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof p) {
        return err_set(e, RC_BAD_INPUT, "'%.100s' is no name of a folder", path);
    }
    memcpy(p, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (p[i] != '/' && p[i] != '\0') {
            continue;
        }
        p[i] = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST) {
            return err_set(e, RC_IO, "cannot make the folder '%s': %s", p, strerror(errno));
        }
        p[i] = path[i];
    }
    return RC_OK;
}

static int read_fd(int fd, size_t size, struct buf *out)
{
    char chunk[16384];
    ssize_t n;

    while (out->len <= size && (n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        if (n > 0) {
            buf_raw(out, chunk, (size_t)n);
        }
    }
    buf_u8(out, 0);
    if (out->failed) {
        errno = ENOMEM;
        return -1;
    }
    out->len--;
    return 0;
}

int files_read(const char *path, size_t max, struct buf *out, struct err *e)
{
    /* O_NONBLOCK: a FIFO of that name must not hang us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = RC_OK;
    struct stat st;

    buf_reset(out);
    if (fd < 0) {
        return err_set(e,
                       errno == ENOENT   ? RC_NOT_FOUND
                       : errno == EACCES ? RC_DENIED
                                         : RC_IO,
                       "cannot open '%s': %s", path, strerror(errno));
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        rc = err_set(e, RC_BAD_INPUT, "'%s' is not a regular file", path);
    } else if ((unsigned long long)st.st_size > max) {
        rc = err_set(e, RC_BAD_INPUT, "'%s' has %lld bytes; at most %zu are taken", path,
                     (long long)st.st_size, max);
    } else if (read_fd(fd, max, out) < 0) {
        rc = err_set(e, RC_IO, "cannot read '%s': %s", path, strerror(errno));
    } else if (out->len > max) {
        rc = err_set(e, RC_BAD_INPUT, "'%s' grew past %zu bytes while it was read", path, max);
    }
    (void)close(fd);
    return rc;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR) {
            return -1;
        }
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

int files_sync_folder(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX];
    int fd, rc = RC_OK;

    (void)snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        rc = err_set(e, RC_IO, "cannot sync the folder '%s': %s", dir, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

int files_replace(const char *path, const void *data, size_t len, mode_t mode, struct err *e)
{
    char tmp[PATH_MAX];
    int fd, rc = RC_OK;

    if (snprintf(tmp, sizeof tmp, "%s.tmp", path) >= (int)sizeof tmp) {
        return err_set(e, RC_BAD_INPUT, "the name '%.100s…' is too long", path);
    }
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return err_set(e, RC_IO, "cannot make '%s': %s", tmp, strerror(errno));
    }
    if (write_all(fd, data, len) < 0 || fsync(fd) < 0) {
        rc = err_set(e, RC_IO, "cannot write '%s': %s", tmp, strerror(errno));
    }
    if (close(fd) < 0 && rc == RC_OK) {
        rc = err_set(e, RC_IO, "cannot close '%s': %s", tmp, strerror(errno));
    }
    if (rc == RC_OK && rename(tmp, path) < 0) {
        rc = err_set(e, RC_IO, "cannot rename '%s' to '%s': %s", tmp, path, strerror(errno));
    }
    if (rc != RC_OK) {
        (void)unlink(tmp);
        return rc;
    }
    return files_sync_folder(path, e);
}
