#include "adapters/program.h"

#include "adapters/runner.h"
#include "common/buf.h"
#include "common/rc.h"
#include "core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM_KILL_MS    3000 /* from SIGTERM to SIGKILL */
#define PROGRAM_GIVE_UP_MS 2000 /* from SIGKILL to the result without an end */
_Static_assert(PROGRAM_KILL_MS + PROGRAM_GIVE_UP_MS <= AGENT_END_MS, "the coordinator waits for as long");
#define PROGRAM_READ        4096 /* in one loop turn */
#define PROGRAM_THROTTLE_MS 20   /* past the bound of the output: one read in this time */
#define PROGRAM_LINE_MAX    1024

struct stream {
    struct program *p;
    int fd;
    guint source;
    bool throttled;
    void (*take)(struct program *p, const char *line); /* a line without its end, cut at PROGRAM_LINE_MAX */
    size_t total;                                      /* bytes read */
    char line[PROGRAM_LINE_MAX];
    size_t len;
};

struct program {
    pid_t pid;
    int pidfd;
    guint watch, ladder;
    bool late, stopped;
    struct stream out, err;
    GString *output;               /* of stdout, without progress; at most RUNNER_OUTPUT_MAX */
    char reason[PROGRAM_LINE_MAX]; /* the last exit reason */
    char last[PROGRAM_LINE_MAX];   /* the last other line of stderr */
    void (*line)(void *ctx, const char *line);
    void (*end)(void *ctx, const struct run_result *res, bool gone);
    void *ctx;
};

void program_spec_init(struct program_spec *s)
{
    *s = (struct program_spec){.env = g_ptr_array_new_with_free_func(g_free)};
    g_ptr_array_add(s->env, g_strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    g_ptr_array_add(s->env, g_strdup("HOME=/root"));
    g_ptr_array_add(s->env, g_strdup("LC_ALL=C.UTF-8"));
}

void program_spec_fini(struct program_spec *s)
{
    g_free(s->path);
    g_free(s->action);
    g_free(s->input);
    g_free(s->lock_path);
    if (s->env) {
        g_ptr_array_unref(s->env);
    }
    *s = (struct program_spec){0};
}

/* ---- output ---- */

/* Copies text as valid UTF-8, cut at a character's end. */
static void copy_valid(char *out, size_t size, const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);
    const char *end;

    (void)g_utf8_validate(valid, (gssize)MIN(strlen(valid), size - 1), &end);
    memcpy(out, valid, (size_t)(end - valid));
    out[end - valid] = '\0';
    g_free(valid);
}

static void take_out(struct program *p, const char *line)
{
    if (g_str_has_prefix(line, RUNNER_PROGRESS)) {
        char text[TEXT_SIZE];

        copy_valid(text, sizeof text, line);
        p->line(p->ctx, text);
    } else if (p->output->len + strlen(line) + 1 < RUNNER_OUTPUT_MAX) {
        g_string_append(p->output, line);
        g_string_append_c(p->output, '\n');
    }
}

static void take_err(struct program *p, const char *line)
{
    if (g_str_has_prefix(line, PROGRAM_REASON)) {
        (void)snprintf(p->reason, sizeof p->reason, "%s", line + strlen(PROGRAM_REASON));
    } else if (line[0] && !g_ascii_isspace(line[0])) {
        (void)snprintf(p->last, sizeof p->last, "%s", line);
    }
}

static void end_line(struct stream *s)
{
    s->line[s->len] = '\0';
    s->len = 0;
    s->take(s->p, s->line);
}

/* What an agent says goes into the log, the journal and to terminals: control characters do not. */
static void feed(struct stream *s, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n') {
            end_line(s);
        } else if (s->len < sizeof s->line - 1) {
            s->line[s->len++] = g_ascii_iscntrl(data[i]) ? '?' : data[i];
        }
    }
}

/* One read. False at the end of the stream, or when nothing is there (*dry). */
static bool read_some(struct stream *s, bool *dry)
{
    char data[PROGRAM_READ];
    ssize_t n = read(s->fd, data, sizeof data);

    *dry = n < 0 && (errno == EAGAIN || errno == EINTR);
    if (n <= 0) {
        return false;
    }
    s->total += (size_t)n;
    feed(s, data, (size_t)n);
    return true;
}

static void stream_watch(struct stream *s);

static gboolean on_throttle(gpointer ctx)
{
    struct stream *s = ctx;

    stream_watch(s);
    return G_SOURCE_REMOVE;
}

static gboolean on_readable(gint fd, GIOCondition cond, gpointer ctx)
{
    struct stream *s = ctx;
    bool dry;

    (void)fd;
    (void)cond;
    s->source = 0;
    if (!read_some(s, &dry) && !dry) {
        return G_SOURCE_REMOVE; /* its end */
    }
    if (s->total > RUNNER_OUTPUT_MAX) {
        /* It prints without end: what it says is dropped, at a pace that costs us nothing. */
        s->source = g_timeout_add(PROGRAM_THROTTLE_MS, on_throttle, s);
    } else {
        stream_watch(s);
    }
    return G_SOURCE_REMOVE;
}

static void stream_watch(struct stream *s)
{
    s->source = g_unix_fd_add(s->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, s);
}

static void stream_open(struct program *p, struct stream *s, int fd,
                        void (*take)(struct program *p, const char *line))
{
    s->p = p;
    s->fd = fd;
    s->take = take;
    stream_watch(s);
}

/* What is left in the pipe now; not waiting for its end, which a grandchild may hold open. */
static void stream_close(struct stream *s)
{
    bool dry;

    if (s->fd < 0) {
        return;
    }
    if (s->source) {
        (void)g_source_remove(s->source);
    }
    for (int i = 0; i < 2 * RUNNER_OUTPUT_MAX / PROGRAM_READ && read_some(s, &dry); i++) {
    }
    if (s->len) {
        end_line(s);
    }
    (void)close(s->fd);
    s->fd = -1;
    s->source = 0;
}

/* ---- the end ---- */

static void give_result(struct program *p, int status, bool gone)
{
    struct run_result res = {.started = true, .timed_out = p->late, .code = -1};
    const char *said = p->reason[0] ? p->reason : p->last;
    char text[PROGRAM_LINE_MAX + 100];
    char *output = g_utf8_make_valid(p->output->str, (gssize)p->output->len);

    if (gone && WIFEXITED(status)) {
        res.code = WEXITSTATUS(status);
    }
    if (!gone) {
        (void)snprintf(text, sizeof text, "process %d hangs in the kernel and cannot be killed", (int)p->pid);
    } else if (p->late) {
        (void)snprintf(text, sizeof text, "not done in time%s%.900s", said[0] ? "; " : "", said);
    } else if (said[0] && res.code != 0) {
        (void)snprintf(text, sizeof text, "%.1000s", said);
    } else if (WIFSIGNALED(status)) {
        (void)snprintf(text, sizeof text, "%s by signal %d (%s)", p->stopped ? "cancelled" : "ended",
                       WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (res.code != 0) {
        (void)snprintf(text, sizeof text, "exit status %d, without a reason", res.code);
    } else {
        (void)snprintf(text, sizeof text, "%s", p->reason);
    }
    copy_valid(res.reason, sizeof res.reason, text);
    res.output = output;
    p->end(p->ctx, &res, gone); /* frees p when gone */
    g_free(output);
}

static gboolean on_exit_seen(gint fd, GIOCondition cond, gpointer ctx)
{
    struct program *p = ctx;
    int status = 0;

    (void)fd;
    (void)cond;
    if (p->stopped) {
        (void)kill(-p->pid, SIGKILL); /* its children; until it is reaped the group's number is its own */
    }
    if (waitpid(p->pid, &status, WNOHANG) == 0) {
        return G_SOURCE_CONTINUE;
    }
    p->watch = 0;
    stream_close(&p->out);
    stream_close(&p->err);
    give_result(p, status, true);
    return G_SOURCE_REMOVE;
}

static gboolean on_give_up(gpointer ctx)
{
    struct program *p = ctx;

    p->ladder = 0;
    p->late = true;
    give_result(p, 0, false);
    return G_SOURCE_REMOVE;
}

static gboolean on_kill(gpointer ctx)
{
    struct program *p = ctx;

    (void)kill(-p->pid, SIGKILL);
    p->ladder = g_timeout_add(PROGRAM_GIVE_UP_MS, on_give_up, p);
    return G_SOURCE_REMOVE;
}

void program_end(struct program *p, bool late)
{
    p->late |= late && !p->stopped;
    if (!p->stopped) {
        p->stopped = true;
        (void)kill(-p->pid, SIGTERM);
        p->ladder = g_timeout_add(PROGRAM_KILL_MS, on_kill, p);
    }
}

/* ---- the start ---- */

/* What the child gets as its descriptors 0 to 3; -1: none. All close-on-exec here. */
struct plumbing {
    int in, out[2], err[2], lock;
};

static void plumbing_close(struct plumbing *f)
{
    const int fds[] = {f->in, f->out[0], f->out[1], f->err[0], f->err[1], f->lock};

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

/* Standard input: a file in memory, so that no agent can block us by not reading. */
static int open_input(const char *input)
{
    size_t len = input ? strlen(input) : 0;
    int fd;

    if (!input) {
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    fd = memfd_create("clusterd-input", MFD_CLOEXEC);
    if (fd >= 0 && (write(fd, input, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static int open_lock(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static bool plumbing_open(struct plumbing *f, const struct program_spec *s)
{
    *f = (struct plumbing){.in = -1, .out = {-1, -1}, .err = {-1, -1}, .lock = -1};
    f->in = open_input(s->input);
    if (f->in < 0 || pipe2(f->out, O_CLOEXEC) < 0 || pipe2(f->err, O_CLOEXEC) < 0 ||
        fcntl(f->out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(f->err[0], F_SETFL, O_NONBLOCK) < 0) {
        return false;
    }
    if (s->lock_path) {
        f->lock = open_lock(s->lock_path);
        return f->lock >= 0;
    }
    return true;
}

/* 0 or an errno. The child leads a process group, has our four descriptors and no others, and default
 * signals. */
static int spawn(const struct program_spec *s, const struct plumbing *f, pid_t *pid)
{
    char *argv[] = {s->path, s->action, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all, none;
    int rc;

    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attr);
    rc = posix_spawn_file_actions_adddup2(&files, f->in, 0);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(&files, f->out[1], 1);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(&files, f->err[1], 2);
    if (rc == 0 && f->lock >= 0) { /* C3: without it nobody would see that the agent outlives us */
        rc = posix_spawn_file_actions_adddup2(&files, f->lock, 3);
    }
    rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(&files, f->lock >= 0 ? 4 : 3);
    rc = rc ? rc : posix_spawn_file_actions_addchdir_np(&files, "/");
    (void)posix_spawnattr_setflags(&attr,
                                   POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawnattr_setpgroup(&attr, 0);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    rc = rc ? rc : posix_spawn(pid, s->path, &files, &attr, argv, (char **)s->env->pdata);
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&files);
    return rc;
}

static int take_child(struct program *p)
{
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd < 0) {
        int saved = errno;

        (void)kill(-p->pid, SIGKILL);
        (void)waitpid(p->pid, NULL, 0);
        return saved;
    }
    p->watch = g_unix_fd_add(p->pidfd, G_IO_IN, on_exit_seen, p);
    return 0;
}

struct program *program_start(const struct program_spec *s, void (*line)(void *ctx, const char *line),
                              void (*end)(void *ctx, const struct run_result *res, bool gone), void *ctx,
                              struct err *err)
{
    struct program *p = g_new0(struct program, 1);
    struct plumbing f;
    int rc = 0;

    *p = (struct program){.pidfd = -1, .line = line, .end = end, .ctx = ctx};
    p->out.fd = p->err.fd = -1;
    p->output = g_string_new(NULL);
    g_ptr_array_add(s->env, NULL);
    errno = 0;
    if (!plumbing_open(&f, s)) {
        rc = errno ? errno : EIO; /* a short write sets none */
    } else {
        rc = spawn(s, &f, &p->pid);
    }
    if (rc == 0) {
        rc = take_child(p);
    }
    if (rc == 0) {
        stream_open(p, &p->out, f.out[0], take_out);
        stream_open(p, &p->err, f.err[0], take_err);
        f.out[0] = f.err[0] = -1;
    } else {
        (void)err_set(err, RC_FAILED, "cannot run '%s': %s", s->path, strerror(rc));
        program_free(p);
        p = NULL;
    }
    plumbing_close(&f);
    return p;
}

void program_free(struct program *p)
{
    if (!p) {
        return;
    }
    if (p->watch) {
        (void)g_source_remove(p->watch);
    }
    if (p->ladder) {
        (void)g_source_remove(p->ladder);
    }
    if (p->pidfd >= 0) {
        (void)close(p->pidfd);
    }
    stream_close(&p->out);
    stream_close(&p->err);
    (void)g_string_free(p->output, TRUE);
    g_free(p);
}
