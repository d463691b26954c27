#include "read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int too_big(struct cli *c, const char *path, size_t max, const char *what, long long size)
{
    return cli_refuse(c, RC_BAD_INPUT, NULL, "'%s' has %s%lld bytes: %s has at most %zu", path,
                      size < 0 ? "over " : "", size < 0 ? (long long)max : size, what, max);
}

/* Up to max + 1 bytes, so that one too many shows. */
static ssize_t read_all(int fd, char *data, size_t max)
{
    size_t len = 0;

    while (len < max) {
        ssize_t n = read(fd, data + len, max - len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    return (ssize_t)len;
}

char *read_file(struct cli *c, const char *path, size_t max, const char *what, size_t *len)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *data = NULL;
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) != 0) {
        (void)cli_refuse(c, RC_BAD_INPUT, NULL, "cannot read '%s': %s", path, strerror(errno));
        goto out;
    }
    if (S_ISREG(st.st_mode) && (unsigned long long)st.st_size > max) {
        (void)too_big(c, path, max, what, (long long)st.st_size);
        goto out;
    }
    data = malloc(max + 2);
    n = data ? read_all(fd, data, max + 1) : -1;
    if (n < 0 || (size_t)n > max) {
        if (n < 0) {
            (void)cli_refuse(c, RC_BAD_INPUT, NULL, "cannot read '%s': %s", path, strerror(errno));
        } else {
            (void)too_big(c, path, max, what, -1);
        }
        free(data);
        data = NULL;
        goto out;
    }
    data[n] = '\0';
    *len = (size_t)n;
out:
    if (fd > STDIN_FILENO) {
        (void)close(fd);
    }
    return data;
}
