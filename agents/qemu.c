#include "qemu.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bounded.h"
#include "common/buf.h"
#include "common/mutant.h"
#include "common/rc.h"
#include "ocf.h"

#define ARGS_MAX (2u << 20) /* more than the kernel lets a process have */

bool qemu_uuid(const char *s, char out[QEMU_UUID_SIZE])
{
    for (int i = 0; i < QEMU_UUID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i])) {
            return false;
        }
        out[i] = (char)tolower((unsigned char)s[i]);
    }
    out[QEMU_UUID_SIZE - 1] = '\0';
    return s[QEMU_UUID_SIZE - 1] == '\0';
}

/* libvirt writes "guest=NAME,debug-threads=on" with commas of the name doubled; by hand it may be just
 * "NAME". */
static void parse_name(const char *arg, char *out, size_t size)
{
    size_t n = 0;

    if (strncmp(arg, "guest=", 6) == 0) {
        arg += 6;
    }
    for (; *arg && n + 1 < size; arg++) {
        if (*arg == ',' && *++arg != ',') {
            break;
        }
        out[n++] = *arg;
    }
    out[n] = '\0';
}

bool qemu_parse(const char *args, size_t len, struct qemu *q)
{
    const char *end = args + len, *prev = "";
    bool found = false;

    q->name[0] = '\0';
    for (const char *a = args; a < end; a += strlen(a) + 1) {
        if (!memchr(a, '\0', (size_t)(end - a))) {
            break;
        }
        if (strcmp(prev, "-uuid") == 0 && qemu_uuid(a, q->uuid)) {
            found = true;
        } else if (strcmp(prev, "-name") == 0) {
            parse_name(a, q->name, sizeof q->name);
        }
        prev = a;
    }
    return found;
}

/* Reads a whole file of /proc into b. 0, or -1 with errno. Its locks are killable, so it never outlives our
 * deadline. */
static int slurp(int dir, const char *name, struct buf *b)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), saved;
    char chunk[8192];
    ssize_t n = 0;

    buf_reset(b);
    if (fd < 0) {
        return -1;
    }
    while (b->len < ARGS_MAX && (n = read(fd, chunk, sizeof chunk)) > 0) {
        buf_raw(b, chunk, (size_t)n);
    }
    saved = errno;
    (void)close(fd);
    errno = b->failed ? ENOMEM : saved;
    return n < 0 || b->failed ? -1 : 0;
}

static bool is_zombie(int dir, struct buf *b)
{
    const char *paren;

    if (slurp(dir, "stat", b) < 0) {
        return false;
    }
    buf_u8(b, 0);
    paren = b->failed ? NULL : strrchr((const char *)b->data, ')'); /* the name before it may hold anything */
    return paren && paren[1] == ' ' && paren[2] == 'Z';
}

/*
 * A QEMU whose first thread has exited while another still hangs in the kernel (a write to a storage that
 * does not answer) is a zombie without arguments, and yet it may still write (C4). Its living threads still
 * have the arguments.
 */
static bool threads_are_qemu(int dir, struct buf *b, struct qemu *q)
{
    int fd = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *de;
    bool found = false;
    char name[300];

    if (!d && fd >= 0) {
        (void)close(fd);
    }
    while (d && !found && (de = readdir(d))) {
        (void)snprintf(name, sizeof name, "%s/cmdline", de->d_name);
        found = de->d_name[0] != '.' && slurp(fd, name, b) == 0 && b->len &&
                qemu_parse((const char *)b->data, b->len, q);
    }
    if (d) {
        (void)closedir(d);
    }
    return found;
}

/* 1 the process is some VM's QEMU, 0 it is not or has gone, -1 with errno: cannot tell. */
static int look(int proc, const char *pid, struct buf *b, struct qemu *q)
{
    int dir = openat(proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    if (dir < 0) {
        return errno == ENOENT || errno == ESRCH ? 0 : -1;
    }
    rc = slurp(dir, "cmdline", b);
    if (rc < 0) {
        rc = errno == ENOENT || errno == ESRCH ? 0 : -1;
    } else if (b->len) {
        rc = qemu_parse((const char *)b->data, b->len, q);
    } else {
        rc = is_zombie(dir, b) && threads_are_qemu(dir, b, q);
    }
    q->pid = (pid_t)strtol(pid, NULL, 10);
    (void)close(dir);
    return rc;
}

static int add(struct qemu **list, int n, const struct qemu *q)
{
    struct qemu *more = n % 32 ? *list : realloc(*list, (size_t)(n + 32) * sizeof **list);

    if (!more) {
        return RC_NO_MEMORY;
    }
    *list = more;
    more[n] = *q;
    return n + 1;
}

/* Collects the QEMUs of one VM (or of all: uuid NULL). */
static int scan(const char *uuid, struct qemu **out)
{
    DIR *proc = opendir("/proc");
    struct buf b = BUF_INIT;
    struct qemu q;
    struct dirent *de;
    int n = 0;

    *out = NULL;
    if (!proc) {
        return RC_IO;
    }
    while (n >= 0 && (de = readdir(proc))) {
        int is = isdigit((unsigned char)de->d_name[0]) ? look(dirfd(proc), de->d_name, &b, &q) : 0;

        if (is < 0) {
            n = RC_IO; /* S1: what cannot be seen is not absent */
        } else if (is && (!uuid || strcmp(uuid, q.uuid) == 0)) {
            n = add(out, n, &q);
        }
    }
    if (n < 0) {
        free(*out);
        *out = NULL;
    }
    buf_fini(&b);
    (void)closedir(proc);
    return n;
}

int qemu_scan(struct qemu **out)
{
    return scan(NULL, out);
}

int qemu_find(const char *uuid)
{
    struct qemu *list;
    int n = scan(uuid, &list);

    if (n > 0) {
        n = list[0].pid;
        free(list);
    }
    return n;
}

/* 1 the process has that very file open, 0 it has not or has gone. */
static int has_open(pid_t pid, const struct stat *file)
{
    char path[64];
    struct dirent *de;
    struct stat st;
    DIR *d;
    int found = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    d = opendir(path);
    while (d && !found && (de = readdir(d))) {
        found = fstatat(dirfd(d), de->d_name, &st, 0) == 0 && st.st_dev == file->st_dev &&
                st.st_ino == file->st_ino;
    }
    if (d) {
        (void)closedir(d);
    }
    return found;
}

int qemu_with_file(const char *path, struct qemu *out)
{
    struct stat file;
    struct qemu *list;
    int n, found = 0;

    if (stat(path, &file) < 0 || (n = qemu_scan(&list)) < 0) {
        return RC_IO;
    }
    for (int i = 0; i < n && !found; i++) {
        *out = list[i];
        found = has_open(list[i].pid, &file);
    }
    free(list);
    return found;
}

/* A pidfd of the VM's QEMU (its pid in *pid), -1 when it has gone, or the scan's code (below -1). */
static int open_qemu(const char *uuid, pid_t *pid)
{
    int found = qemu_find(uuid), fd;

    *pid = found > 0 ? found : 0;
    if (found <= 0) {
        return found ? found : -1;
    }
    fd = bounded_pidfd(found);
    /* The number may have gone to another process between the look and the open. */
    if (fd >= 0 && qemu_find(uuid) != found) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int qemu_wait_end(const char *uuid, long ms)
{
    long until = ocf_now_ms() + ms;

    for (;;) {
        struct pollfd p = {-1, POLLIN, 0};
        long left = until - ocf_now_ms();
        pid_t pid;

        p.fd = open_qemu(uuid, &pid);
        if (p.fd < -1) {
            return p.fd;
        }
        if (pid == 0 || MUTANT(end_not_awaited)) {
            return 0;
        }
        if (left <= 0) {
            if (p.fd >= 0) {
                (void)close(p.fd);
            }
            return pid;
        }
        if (p.fd < 0) {
            ocf_sleep_ms(5);
            continue;
        }
        if (poll(&p, 1, (int)left) < 0 && errno == EINTR && bounded_cancelled()) {
            until = 0;
        }
        (void)close(p.fd);
        ocf_sleep_ms(1); /* dead to a pidfd and still in /proc: let its parent reap it */
    }
}

void qemu_signal(const char *uuid, int sig)
{
    pid_t pid;
    int fd = open_qemu(uuid, &pid);

    if (fd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0u);
        (void)close(fd);
    }
}
