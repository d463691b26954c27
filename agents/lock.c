#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rc.h"
#include "files.h"
#include "ocf.h"

#define POLL_MS 20

static struct flock whole(short type)
{
    struct flock l;

    memset(&l, 0, sizeof l); /* OFD locks want l_pid to be zero */
    l.l_type = type;
    l.l_whence = SEEK_SET;
    return l;
}

static void holder(int fd, char *out, size_t size)
{
    ssize_t n = pread(fd, out, size - 1, 0);

    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

static int wait_for(int fd, const char *path, long wait_ms, struct err *e)
{
    long until = ocf_now_ms() + wait_ms;
    struct flock l = whole(F_WRLCK);
    char who[128];

    while (fcntl(fd, F_OFD_SETLK, &l) < 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
            return err_set(e, RC_IO, "cannot lock '%s': %s", path, strerror(errno));
        }
        if (ocf_now_ms() >= until) {
            holder(fd, who, sizeof who);
            (void)err_set(e, RC_BUSY, "another agent is at work on it: '%s' is held by %s%s", path,
                          *who ? "process " : "an unnamed process", who);
            err_hint(e, "wait until that one has ended, or end it");
            return RC_BUSY;
        }
        ocf_sleep_ms(POLL_MS);
    }
    return RC_OK;
}

int lock_take(const char *dir, const char *name, long wait_ms, struct err *e)
{
    char path[4096];
    int fd, rc;

    if (snprintf(path, sizeof path, "%s/%s.lock", dir, name) >= (int)sizeof path) {
        return err_set(e, RC_BAD_INPUT, "the lock folder's name is too long");
    }
    rc = files_mkdirs(dir, 0700, e);
    if (rc != RC_OK) {
        return rc;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return err_set(e, RC_IO, "cannot open the lock '%s': %s", path, strerror(errno));
    }
    rc = wait_for(fd, path, wait_ms, e);
    if (rc != RC_OK) {
        (void)close(fd);
        return rc;
    }
    return fd;
}

void lock_note(int fd, const char *what)
{
    char text[128];
    int n = snprintf(text, sizeof text, "%d (%s)\n", (int)getpid(), what);

    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0) {
        return; /* the note only helps people; the lock stands without it */
    }
}

int lock_held(const char *dir, const char *name)
{
    struct flock l = whole(F_WRLCK);
    char path[4096];
    int fd, rc;

    if (snprintf(path, sizeof path, "%s/%s.lock", dir, name) >= (int)sizeof path) {
        return RC_IO;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? 0 : RC_IO;
    }
    rc = fcntl(fd, F_OFD_GETLK, &l);
    (void)close(fd);
    return rc < 0 ? RC_IO : l.l_type != F_UNLCK;
}
