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

static volatile sig_atomic_t cancelled;
static volatile sig_atomic_t child_pid;
static int null_fd = -1;

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
    if (child_pid > 0) {
        (void)kill((pid_t)child_pid, SIGTERM);
    }
}

/* Whoever reads our streams must not wait for a child that was left behind. */
static void on_leave(int sig)
{
    (void)sig;
    (void)dup2(null_fd, STDIN_FILENO);
    (void)dup2(null_fd, STDOUT_FILENO);
    (void)dup2(null_fd, STDERR_FILENO);
}

static void handle(int sig, void (*fn)(int))
{
    struct sigaction sa;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = fn;
    sa.sa_flags = SA_RESTART;
    (void)sigaction(sig, &sa, NULL);
}

static void become_child(pid_t parent, enum bounded_late late)
{
    handle(SIGTERM, on_cancel);
    handle(SIGINT, on_cancel);
    handle(SIGUSR1, on_leave);
    handle(SIGPIPE, SIG_IGN);
    if (late == BOUNDED_LEAVE) {
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void)setpgid(0, 0); /* a kill of the agent's group must not release the lock */
    }
    (void)prctl(PR_SET_PDEATHSIG, late == BOUNDED_LEAVE ? SIGTERM : SIGKILL);
    if (getppid() != parent) {
        (void)raise(late == BOUNDED_LEAVE ? SIGTERM : SIGKILL);
    }
}

/* Waits for the child until `until` (ocf_now_ms). True when it has ended. */
static bool wait_child(pid_t pid, long until, int *status)
{
    struct pollfd p = {bounded_pidfd(pid), POLLIN, 0};
    long left = until - ocf_now_ms();
    pid_t got;

    while (p.fd >= 0 && left > 0 && poll(&p, 1, (int)left) < 0 && errno == EINTR) {
        left = until - ocf_now_ms();
    }
    if (p.fd >= 0) {
        (void)close(p.fd);
    }
    do {
        got = waitpid(pid, status, WNOHANG);
    } while (got < 0 && errno == EINTR);
    return got == pid;
}

static int child_code(int status, const char *hangs)
{
    if (WIFEXITED(status)) {
        return WEXITSTATUS(status);
    }
    return ocf_fail(OCF_ERR_GENERIC,
                    "%s: the agent's child that asks %s was killed by signal %d; see the system's log",
                    ocf_action(), hangs, WTERMSIG(status));
}

static int give_up(pid_t pid, enum bounded_late late, const char *hangs)
{
    int status;

    if (late == BOUNDED_LEAVE) {
        (void)kill(pid, SIGTERM);
        (void)kill(pid, SIGUSR1);
        return ocf_fail(
            OCF_ERR_GENERIC,
            "%s: %s has not answered within %ld ms; whether the request will still be carried out is not "
            "known, so process %d goes on waiting and holds the lock; look at %s, or restart it",
            ocf_action(), hangs, ocf_timeout_ms(), (int)pid, hangs);
    }
    (void)kill(pid, SIGKILL);
    (void)wait_child(pid, ocf_now_ms() + 50, &status); /* one that hangs in the kernel outlives even this */
    return ocf_fail(OCF_ERR_GENERIC, "%s: %s has not answered within %ld ms; look at %s", ocf_action(), hangs,
                    ocf_timeout_ms(), hangs);
}

int bounded_run(int (*fn)(void), enum bounded_late late, const char *hangs, const struct bounded_last *last)
{
    long until = ocf_now_ms() + ocf_left_ms();
    pid_t parent = getpid(), pid;
    int status = 0;

    (void)fflush(NULL);
    pid = fork();
    if (pid < 0) {
        return ocf_fail(OCF_ERR_GENERIC, "%s: cannot fork: %s; free memory or processes", ocf_action(),
                        strerror(errno));
    }
    if (pid == 0) {
        int rc;

        become_child(parent, late);
        rc = fn();
        (void)fflush(NULL);
        _exit(rc);
    }
    child_pid = pid;
    handle(SIGTERM, on_forward);
    handle(SIGINT, on_forward);
    if (last) {
        if (wait_child(pid, until - last->ms, &status)) {
            return child_code(status, hangs);
        }
        last->fn();
    }
    if (wait_child(pid, until, &status)) {
        return child_code(status, hangs);
    }
    return give_up(pid, late, hangs);
}

static void collect(int fd, long until, struct buf *out)
{
    struct pollfd p = {fd, POLLIN, 0};
    char chunk[4096];

    while (out->len < ASK_MAX) {
        long left = until - ocf_now_ms();
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        ssize_t got;

        if (n < 0 && errno == EINTR) {
            continue;
        }
        got = n > 0 ? read(fd, chunk, sizeof chunk) : 0;
        if (got <= 0) {
            return;
        }
        buf_raw(out, chunk, (size_t)got);
    }
}

int bounded_ask(int (*fn)(void), long ms, struct buf *out)
{
    long until = ocf_now_ms() + ms;
    pid_t parent = getpid(), pid;
    int fds[2], status = 0;

    (void)fflush(NULL);
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        int rc;

        become_child(parent, BOUNDED_KILL);
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)close(fds[0]);
        (void)close(fds[1]);
        rc = fn();
        _exit(fflush(NULL) == 0 ? rc : OCF_ERR_GENERIC);
    }
    (void)close(fds[1]);
    if (pid > 0) {
        collect(fds[0], until, out);
        if (!wait_child(pid, until, &status)) {
            (void)kill(pid, SIGKILL);
            (void)wait_child(pid, ocf_now_ms() + 50, &status);
            status = SIGKILL;
        }
    }
    (void)close(fds[0]);
    return pid > 0 && !out->failed && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
