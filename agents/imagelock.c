#include "imagelock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define USED     100
#define UNSHARED 200
/* Of QEMU's permissions only "write" matters here: a writer uses it and shares it with nobody. */
#define WRITE 1

static int byte(int fd, int cmd, short type, off_t at, struct flock *l)
{
    memset(l, 0, sizeof *l);
    l->l_type = type;
    l->l_whence = SEEK_SET;
    l->l_start = at;
    l->l_len = 1;
    return fcntl(fd, cmd, l);
}

/* Whether somebody else holds the byte: -1 with errno when that cannot be asked. */
static int held(int fd, off_t at)
{
    struct flock l;

    return byte(fd, F_OFD_GETLK, F_WRLCK, at, &l) < 0 ? -1 : l.l_type != F_UNLCK;
}

int imagelock_drop(int fd)
{
    struct flock l;
    int rc = byte(fd, F_OFD_SETLK, F_UNLCK, USED + WRITE, &l);

    return byte(fd, F_OFD_SETLK, F_UNLCK, UNSHARED + WRITE, &l) < 0 ? -1 : rc;
}

int imagelock_take(int fd)
{
    struct flock l;
    int writes, forbids;

    /* First lock, then look, as QEMU does: of two at the same moment at least one sees the other. */
    if (byte(fd, F_OFD_SETLK, F_RDLCK, USED + WRITE, &l) < 0 ||
        byte(fd, F_OFD_SETLK, F_RDLCK, UNSHARED + WRITE, &l) < 0) {
        return -1;
    }
    forbids = held(fd, UNSHARED + WRITE);
    writes = forbids == 0 ? held(fd, USED + WRITE) : 0;
    if (forbids == 0 && writes == 0) {
        return 1;
    }
    if (forbids >= 0 && writes >= 0) {
        return imagelock_drop(fd) < 0 ? -1 : 0;
    }
    return -1;
}

static int probe(const char *path, off_t at)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;

    if (fd < 0) {
        return -1;
    }
    rc = held(fd, at);
    (void)close(fd);
    return rc;
}

int imagelock_is_written(const char *path)
{
    return probe(path, USED + WRITE);
}

int imagelock_is_exclusive(const char *path)
{
    return probe(path, UNSHARED + WRITE);
}
