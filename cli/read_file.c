#include "read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_BYTES 65536

static int too_big(struct cli *c, const char *path, size_t max, const char *what, long long size)
{
    return cli_refuse(c, RC_BAD_INPUT, NULL, "'%s' has %s%lld bytes: %s has at most %zu", path,
                      size < 0 ? "over " : "", size < 0 ? (long long)max : size, what, max);
}

/* Up to max + 1 bytes, so that one too many shows, and a zero behind them; owned by the caller. NULL: errno.
 */
static char *read_all(int fd, size_t max, size_t *len)
{
    char *data = NULL, *more;
    size_t size = 0;
    ssize_t n = 1;

    *len = 0;
    while (n != 0) {
        if (*len == size && size <= max) {
            size = size == 0 ? FIRST_BYTES : 2 * size;
            size = size < max + 1 ? size : max + 1;
            more = realloc(data, size + 1);
            if (more == NULL) {
                break;
            }
            data = more;
        }
        n = read(fd, data + *len, size - *len);
        if (n < 0 && errno != EINTR) {
            break;
        }
        *len += n > 0 ? (size_t)n : 0;
    }
    if (n != 0) {
        free(data);
        return NULL;
    }
    data[*len] = '\0';
    return data;
}

char *read_file(struct cli *c, const char *path, size_t max, const char *what, size_t *len)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *data = NULL;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        (void)cli_refuse(c, RC_BAD_INPUT, NULL, "cannot read '%s': %s", path, strerror(errno));
        goto out;
    }
    if (S_ISREG(st.st_mode) && (unsigned long long)st.st_size > max) {
        (void)too_big(c, path, max, what, (long long)st.st_size);
        goto out;
    }
    data = read_all(fd, max, len);
    if (data == NULL) {
        (void)cli_refuse(c, RC_BAD_INPUT, NULL, "cannot read '%s': %s", path, strerror(errno));
    } else if (*len > max) {
        (void)too_big(c, path, max, what, -1);
        free(data);
        data = NULL;
    }
out:
    if (fd > STDIN_FILENO) {
        (void)close(fd);
    }
    return data;
}
