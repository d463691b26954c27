#include "bounded.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ocf.h"

#define ASK_MAX (4u << 20)
#define KILL_MS 50

static volatile sig_atomic_t cancelled;
static volatile sig_atomic_t forward_to;

/*
 * A child speaks through pipes of ours: one that hangs in the kernel keeps whatever it has open, and whoever
 * reads the agent's streams to their end must not wait for it.
 */
struct child {
    pid_t pid;
    int pidfd;
    int out, err; /* ends to read from, non-blocking */
};

bool bounded_cancelled(void)
{
    return cancelled;
}

int bounded_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0u); /* glibc has no wrapper before 2.36 */
}

static void on_cancel(int sig)
{
    (void)sig;
    cancelled = 1;
}

static void on_forward(int sig)
{
    (void)sig;
    if (forward_to > 0) {
        (void)kill((pid_t)forward_to, SIGTERM);
    }
}

static void handle(int sig, void (*fn)(int))
{
    struct sigaction sa;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = fn;
    sa.sa_flags = SA_RESTART;
    (void)sigaction(sig, &sa, NULL);
}

static void become_child(pid_t parent, enum bounded_late late, int out, int err)
{
    bool leave = late == BOUNDED_LEAVE;

    handle(SIGTERM, on_cancel);
    handle(SIGINT, on_cancel);
    handle(SIGPIPE, SIG_IGN); /* nobody hears one that was left behind */
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(err, STDERR_FILENO);
    if (leave) {
        (void)setpgid(0, 0); /* a kill of the agent's group must not release the lock */
    }
    (void)prctl(PR_SET_PDEATHSIG, leave ? SIGTERM : SIGKILL);
    if (getppid() != parent) {
        (void)raise(leave ? SIGTERM : SIGKILL);
    }
}

static void close_all(const int fds[4])
{
    for (int i = 0; i < 4; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

/* Starts fn in a child. False with errno when that is not possible. */
static bool spawn(struct child *c, int (*fn)(void), enum bounded_late late)
{
    int fds[4] = {-1, -1, -1, -1};
    pid_t parent = getpid();

    (void)fflush(NULL);
    if (pipe2(fds, O_CLOEXEC) < 0 || pipe2(fds + 2, O_CLOEXEC) < 0 || (c->pid = fork()) < 0) {
        close_all(fds);
        return false;
    }
    if (c->pid == 0) {
        int rc;

        become_child(parent, late, fds[1], fds[3]);
        close_all(fds);
        rc = fn();
        (void)fflush(NULL);
        _exit(rc);
    }
    (void)close(fds[1]);
    (void)close(fds[3]);
    c->out = fds[0];
    c->err = fds[2];
    (void)fcntl(c->out, F_SETFL, O_NONBLOCK);
    (void)fcntl(c->err, F_SETFL, O_NONBLOCK);
    c->pidfd = bounded_pidfd(c->pid);
    if (c->pidfd < 0) { /* a kernel before 5.3, or no descriptors left */
        (void)kill(c->pid, SIGKILL);
        return false;
    }
    return true;
}

static void pass_on(int to, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(to, data, len);

        if (n < 0 && errno != EINTR) {
            return;
        }
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* Takes what is there: into b, or on to our own stream when b is NULL. Closes *fd (and sets it to -1) at its
 * end. */
static void take(int *fd, int to, struct buf *b)
{
    char chunk[4096];
    ssize_t n = 0;

    while (*fd >= 0 && (n = read(*fd, chunk, sizeof chunk)) > 0) {
        if (!b) {
            pass_on(to, chunk, (size_t)n);
        } else if (b->len < ASK_MAX) {
            buf_raw(b, chunk, (size_t)n);
        }
    }
    if (*fd >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR))) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* Hears the child until `until` (ocf_now_ms). True when it has ended; its status is then in *status. */
static bool hear(struct child *c, long until, struct buf *b, int *status)
{
    bool ended = false;

    while (!ended) {
        struct pollfd p[3] = {{c->pidfd, POLLIN, 0}, {c->out, POLLIN, 0}, {c->err, POLLIN, 0}};
        long left = until - ocf_now_ms();

        if (poll(p, 3, left > 0 ? (int)left : 0) == 0 && left <= 0) {
            return false;
        }
        ended = waitpid(c->pid, status, WNOHANG) == c->pid;
        take(&c->out, STDOUT_FILENO, b);
        take(&c->err, STDERR_FILENO, NULL);
    }
    return true;
}

static void release(struct child *c)
{
    if (c->out >= 0) {
        (void)close(c->out);
    }
    if (c->err >= 0) {
        (void)close(c->err);
    }
    (void)close(c->pidfd);
}

static int code(int status, const char *hangs)
{
    if (WIFEXITED(status)) {
        return WEXITSTATUS(status);
    }
    return ocf_fail(OCF_ERR_GENERIC,
                    "%s: the agent's child that asks %s was killed by signal %d; see the system's log",
                    ocf_action(), hangs, WTERMSIG(status));
}

static int give_up(struct child *c, enum bounded_late late, const char *hangs, int said)
{
    int status;

    if (late == BOUNDED_LEAVE) {
        (void)kill(c->pid, SIGTERM);
        return said != OCF_SUCCESS
                   ? said
                   : ocf_fail(
                         OCF_ERR_GENERIC,
                         "%s: %s has not answered within %ld ms; whether the request will still be carried "
                         "out is not known, "
                         "so process %d goes on waiting and holds the lock; look at %s, or restart it",
                         ocf_action(), hangs, ocf_timeout_ms(), (int)c->pid, hangs);
    }
    (void)kill(c->pid, SIGKILL);
    (void)hear(c, ocf_now_ms() + KILL_MS, NULL,
               &status); /* one that hangs in the kernel outlives even this */
    return ocf_fail(OCF_ERR_GENERIC, "%s: %s has not answered within %ld ms; look at %s", ocf_action(), hangs,
                    ocf_timeout_ms(), hangs);
}

int bounded_run(int (*fn)(void), enum bounded_late late, const char *hangs, const struct bounded_last *last)
{
    long until = ocf_now_ms() + ocf_left_ms();
    struct child c;
    bool ended;
    int status = 0, said = OCF_SUCCESS, rc;

    if (!spawn(&c, fn, late)) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "%s: cannot start a child: %s; are processes or descriptors used up?", ocf_action(),
                        strerror(errno));
    }
    forward_to = c.pid;
    handle(SIGTERM, on_forward);
    handle(SIGINT, on_forward);
    ended = hear(&c, last ? until - last->ms : until, NULL, &status);
    if (!ended && last) {
        said = last->fn();
        ended = hear(&c, until, NULL, &status);
    }
    rc = ended ? code(status, hangs) : give_up(&c, late, hangs, said);
    release(&c);
    return rc;
}

int bounded_ask(int (*fn)(void), long ms, struct buf *out)
{
    long until = ocf_now_ms() + ms;
    struct child c;
    int status = 0;
    bool ended;

    if (!spawn(&c, fn, BOUNDED_KILL)) {
        return -1;
    }
    ended = hear(&c, until, out, &status);
    if (!ended) {
        (void)kill(c.pid, SIGKILL);
        (void)hear(&c, ocf_now_ms() + KILL_MS, out, &status);
    }
    release(&c);
    return ended && !out->failed && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
