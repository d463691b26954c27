/*
 * SharedVolume: a folder of the host (a mounted NFS, GlusterFS, OCFS2, … or a part of one) at the volume's
 * path, the same on each node; whether this node can really write there; and whether QEMU's image locks hold
 * between two nodes.
 *
 * Everything that touches the storage runs in a child (bounded.h), because a storage path that went away
 * hangs whoever touches it. Actions on one volume take turns by a lock, so one that hangs is named by the
 * next.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "bounded.h"
#include "common/rc.h"
#include "files.h"
#include "imagelock.h"
#include "lock.h"
#include "mounts.h"
#include "ocf.h"

#define TAKE_MS      500
#define STORAGE      "the volume's storage"
#define LOCK_WAIT_MS 2000

static struct {
    const char *name, *source;
    char path[PATH_MAX], node[256], stamp[PATH_MAX + 300];
} v;

static bool is_word(const char *s)
{
    size_t n = strlen(s);

    return n > 0 && n < 64 && *s != '.' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static bool is_path(const char *s)
{
    size_t n = strlen(s);

    return n > 2 && n < PATH_MAX - 64 && *s == '/' && s[n - 1] != '/' && !strstr(s, "//") &&
           !strstr(s, "/../") && !strstr(s, "/./");
}

/* Reads the parameters. */
static int identify(void)
{
    int rc = ocf_need("name");

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    v.name = ocf_get("name");
    v.source = ocf_get("source");
    if (gethostname(v.node, sizeof v.node - 1) < 0 || *ocf_get("node")) {
        (void)snprintf(v.node, sizeof v.node, "%s", ocf_get("node"));
    }
    if (!is_word(v.name) || !is_word(v.node)) {
        return ocf_fail(OCF_ERR_CONFIGURED,
                        "volume '%.64s' of node '%.64s': names have 1 to 63 letters, digits, '.', '_' or "
                        "'-', and begin with none "
                        "of '.'",
                        v.name, v.node);
    }
    (void)snprintf(v.path, sizeof v.path, "/var/lib/clusterd/volumes/%s", v.name);
    if (*ocf_get("path")) {
        if (!is_path(ocf_get("path"))) {
            return ocf_fail(OCF_ERR_CONFIGURED,
                            "volume '%s': parameter 'path' is '%.200s'; give an absolute path without '..'",
                            v.name, ocf_get("path"));
        }
        (void)snprintf(v.path, sizeof v.path, "%s", ocf_get("path"));
    }
    (void)snprintf(v.stamp, sizeof v.stamp, "%s/.clusterd/%s.stamp", v.path, v.node);
    return OCF_SUCCESS;
}

static int need_source(void)
{
    int rc = ocf_need("source");

    if (rc == OCF_SUCCESS && !is_path(v.source)) {
        rc = ocf_fail(OCF_ERR_CONFIGURED,
                      "volume '%s': parameter 'source' is '%.200s'; give an absolute path without '..'",
                      v.name, v.source);
    }
    return rc;
}

static int fail_errno(int rc, const char *what, const char *path)
{
    return ocf_fail(
        rc, "volume '%s' on %s: cannot %s '%s': %s; is the storage mounted there and writable for this node?",
        v.name, v.node, what, path, strerror(errno));
}

/* One action on the volume at a time; the lock goes on for as long as a child of ours hangs. */
static int locked(int (*fn)(void))
{
    long wait_ms = ocf_left_ms() / 2 < LOCK_WAIT_MS ? ocf_left_ms() / 2 : LOCK_WAIT_MS;
    struct err e = ERR_INIT;
    int fd = lock_take(ocf_get("lock_dir"), v.name, wait_ms, &e);

    if (fd < 0) {
        err_wrap(&e, "%s of volume '%s' on %s", ocf_action(), v.name, v.node);
        return ocf_fail_err(OCF_ERR_GENERIC, &e);
    }
    lock_note(fd, ocf_action());
    return bounded_run(fn, BOUNDED_KILL, STORAGE, NULL);
}

/* Writes this node's stamp durably and reads it again: "mounted" says little, "written" says that it works.
 */
static int write_stamp(void)
{
    char folder[PATH_MAX + 16], text[400];
    struct err e = ERR_INIT;
    struct timespec now;
    struct buf b = BUF_INIT;
    int n, rc;

    (void)snprintf(folder, sizeof folder, "%s/.clusterd", v.path);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    n = snprintf(text, sizeof text, "%s %lld.%09ld\n", v.node, (long long)now.tv_sec, now.tv_nsec);
    rc = mkdir(folder, 0700) < 0 && errno != EEXIST
             ? err_set(&e, RC_IO, "cannot make '%s': %s", folder, strerror(errno))
             : RC_OK;
    if (rc == RC_OK) {
        rc = files_replace(v.stamp, text, (size_t)n, 0600, &e);
    }
    if (rc == RC_OK) {
        rc = files_read(v.stamp, sizeof text, &b, &e);
    }
    if (rc == RC_OK && (b.len != (size_t)n || memcmp(b.data, text, b.len) != 0)) {
        rc = err_set(&e, RC_IO, "'%s' does not read as it was written", v.stamp);
    }
    buf_fini(&b);
    if (rc != RC_OK) {
        err_wrap(&e, "volume '%s' on %s", v.name, v.node);
        err_hint(&e, "is the storage there, not full, and writable for this node?");
        return ocf_fail_err(OCF_ERR_GENERIC, &e);
    }
    return OCF_SUCCESS;
}

static int say_space(void)
{
    struct statvfs s;

    if (statvfs(v.path, &s) < 0) {
        return fail_errno(OCF_ERR_GENERIC, "ask for the space of", v.path);
    }
    ocf_say("free_bytes: %llu", (unsigned long long)s.f_bavail * s.f_frsize);
    ocf_say("size_bytes: %llu", (unsigned long long)s.f_blocks * s.f_frsize);
    return OCF_SUCCESS;
}

static int works(void)
{
    int rc = write_stamp();

    return rc == OCF_SUCCESS ? say_space() : rc;
}

/* Whether what is mounted at the path is the source. */
static int same_folder(void)
{
    struct stat a, b;

    if (stat(v.source, &a) < 0) {
        return fail_errno(OCF_ERR_INSTALLED, "find the folder", v.source);
    }
    if (stat(v.path, &b) < 0) {
        return fail_errno(OCF_ERR_GENERIC, "look at", v.path);
    }
    if (a.st_dev != b.st_dev || a.st_ino != b.st_ino) {
        return ocf_fail(
            OCF_ERR_GENERIC,
            "volume '%s' on %s: something other than '%s' is mounted at '%s'; unmount it, or choose "
            "another path",
            v.name, v.node, v.source, v.path);
    }
    return OCF_SUCCESS;
}

static int fail_mounts(void)
{
    return ocf_fail(OCF_ERR_GENERIC, "volume '%s' on %s: cannot read /proc/self/mountinfo; is /proc mounted?",
                    v.name, v.node);
}

static int check_source(void)
{
    struct stat st;

    if (stat(v.source, &st) < 0) {
        return fail_errno(OCF_ERR_INSTALLED, "find the folder", v.source);
    }
    if (!S_ISDIR(st.st_mode)) {
        return ocf_fail(OCF_ERR_CONFIGURED, "volume '%s': source '%s' is not a folder; name one", v.name,
                        v.source);
    }
    return access(v.source, R_OK | W_OK | X_OK) < 0 ? fail_errno(OCF_ERR_PERM, "write to", v.source)
                                                    : OCF_SUCCESS;
}

static int bind_source(void)
{
    struct err e = ERR_INIT;
    int rc = check_source();

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    if (files_mkdirs(v.path, 0755, &e) != RC_OK) {
        return ocf_fail_err(OCF_ERR_GENERIC, &e);
    }
    return mount(v.source, v.path, NULL, MS_BIND, NULL) < 0
               ? fail_errno(OCF_ERR_GENERIC, "bind its folder at", v.path)
               : OCF_SUCCESS;
}

static int do_start(void)
{
    int mounted = mounts_at(v.path), rc;

    if (mounted < 0) {
        return fail_mounts();
    }
    rc = mounted ? same_folder() : bind_source();
    if (rc == OCF_SUCCESS) {
        rc = works();
        if (rc != OCF_SUCCESS && !mounted) {
            (void)umount2(v.path, UMOUNT_NOFOLLOW); /* a failed start leaves nothing */
        }
    }
    return rc;
}

static int start(void)
{
    int rc = identify();

    if (rc == OCF_SUCCESS) {
        rc = need_source();
    }
    return rc == OCF_SUCCESS ? locked(do_start) : rc;
}

static int do_monitor(void)
{
    int rc = *v.source ? same_folder() : OCF_SUCCESS;

    return rc == OCF_SUCCESS ? works() : rc;
}

static int monitor(void)
{
    int rc = identify(), mounted;

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    mounted = mounts_at(v.path);
    if (mounted <= 0) {
        return mounted < 0 ? fail_mounts() : OCF_NOT_RUNNING;
    }
    return locked(do_monitor);
}

/* Never lazily: what still writes would go on unseen (S8). */
static int do_stop(void)
{
    char who[1024];
    int mounted;

    while ((mounted = mounts_at(v.path)) == 1) {
        if (umount2(v.path, UMOUNT_NOFOLLOW) == 0) {
            continue;
        }
        if (errno != EBUSY) {
            return fail_errno(OCF_ERR_GENERIC, "unmount", v.path);
        }
        return ocf_fail(
            OCF_ERR_GENERIC, "volume '%s' on %s: '%s' is in use%s%s; stop or move what uses it first", v.name,
            v.node, v.path, mounts_users(v.path, who, sizeof who) ? " by " : " by somebody outside of /proc",
            who);
    }
    return mounted < 0 ? fail_mounts() : OCF_SUCCESS;
}

static int stop(void)
{
    int rc = identify();

    return rc == OCF_SUCCESS ? locked(do_stop) : rc;
}

static int validate(void)
{
    int rc = identify();

    if (rc == OCF_SUCCESS) {
        rc = need_source();
    }
    return rc == OCF_SUCCESS ? bounded_run(check_source, BOUNDED_KILL, STORAGE, NULL) : rc;
}

/*
 * C5: live migration without a pause needs image locks that are proven to hold between its two nodes. One
 * node holds the lock of a file on the volume (lock-hold), the other is refused (lock-try); released, the
 * other gets it; both ways.
 */
static int open_proof(int *fd)
{
    char path[PATH_MAX + 128];

    (void)snprintf(path, sizeof path, "%s/.clusterd/%s.lock", v.path, ocf_get("proof"));
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *fd < 0 ? fail_errno(OCF_ERR_GENERIC, "open", path) : OCF_SUCCESS;
}

/* Until standard input closes, if it is a pipe or socket whose other end is somebody's, or the time is over,
 * or a SIGTERM. */
static void hold(long ms)
{
    long until = ocf_now_ms() + ms;
    struct pollfd p = {STDIN_FILENO, POLLIN, 0};
    struct stat st;
    char c;

    if (fstat(STDIN_FILENO, &st) < 0 || (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))) {
        p.fd = -1;
    }
    for (long left = ms; left > 0 && !bounded_cancelled(); left = until - ocf_now_ms()) {
        if (poll(&p, 1, left > 100 ? 100 : (int)left) > 0 && read(STDIN_FILENO, &c, 1) <= 0) {
            return;
        }
    }
}

static int do_hold(void)
{
    int fd, rc = open_proof(&fd), got;
    long until = ocf_now_ms() + TAKE_MS;

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    while ((got = imagelock_take(fd)) == 0 && ocf_now_ms() < until) {
        (void)poll(NULL, 0, 5); /* another node that tries has it for a moment at a time */
    }
    if (got < 0) {
        return fail_errno(OCF_ERR_GENERIC, "lock a file of", v.path);
    }
    ocf_say("lock: %s", got ? "held" : "refused");
    if (got) {
        long wish = ocf_int("hold_ms"), most = ocf_left_ms() - 200;

        hold(wish && wish < most ? wish : most);
        return imagelock_drop(fd) < 0 ? fail_errno(OCF_ERR_GENERIC, "unlock a file of", v.path) : OCF_SUCCESS;
    }
    return OCF_SUCCESS;
}

static int do_try(void)
{
    int fd, rc = open_proof(&fd), got;
    const char *want = ocf_get("want");
    long until = ocf_now_ms() + (*want != '\0' ? ocf_int("hold_ms") : 0);

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    for (;;) {
        got = imagelock_take(fd);
        if (got < 0) {
            return fail_errno(OCF_ERR_GENERIC, "lock a file of", v.path);
        }
        if (*want == '\0' || strcmp(want, got ? "granted" : "refused") == 0 || ocf_now_ms() > until) {
            break;
        }
        if (got && imagelock_drop(fd) < 0) {
            return fail_errno(OCF_ERR_GENERIC, "unlock a file of", v.path);
        }
        (void)poll(NULL, 0, 20);
    }
    ocf_say("lock: %s", got ? "granted" : "refused"); /* its end gives the lock back */
    return OCF_SUCCESS;
}

static int proof(int (*fn)(void))
{
    int rc = identify(), mounted;

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    if (!is_word(ocf_get("proof"))) {
        return ocf_fail(OCF_ERR_CONFIGURED,
                        "parameter 'proof' is '%.64s'; give 1 to 63 letters, digits, '.', '_' or '-'",
                        ocf_get("proof"));
    }
    mounted = mounts_at(v.path);
    if (mounted != 1) {
        return mounted < 0 ? fail_mounts()
                           : ocf_fail(OCF_ERR_GENERIC, "volume '%s' is not mounted on %s; start it first",
                                      v.name, v.node);
    }
    return bounded_run(fn, BOUNDED_KILL, STORAGE, NULL); /* no turns: holding and trying overlap on purpose */
}

static int lock_hold(void)
{
    return proof(do_hold);
}

static int lock_try(void)
{
    return proof(do_try);
}

static const struct ocf_param params[] = {
    {"name", OCF_STRING, NULL, true, true, "name of the volume",
     "Name of the volume, the same on each node."},
    {"source", OCF_STRING, NULL, true, false, "folder on this host",
     "Absolute path of the folder, on storage that all nodes share, that appears at the volume's path."},
    {"path", OCF_STRING, NULL, false, true, "path of the volume",
     "Where it appears, the same on each node; default /var/lib/clusterd/volumes/NAME."},
    {"node", OCF_STRING, NULL, false, false, "name of this node",
     "Name of this node, for its stamp file; default: the host's name."},
    {"lock_dir", OCF_STRING, "/run/clusterd/volumes", false, false, "folder of the locks",
     "Folder, local to the host, of the locks by which actions on one volume take turns."},
    {"proof", OCF_STRING, "proof", false, false, "name of a proof of locks",
     "Names the file .clusterd/NAME.lock of the volume on which lock-hold and lock-try meet."},
    {"hold_ms", OCF_INTEGER, "0", false, false, "how long lock-hold holds, ms",
     "How long lock-hold holds at most; 0: as long as its time-out allows."},
    {"want", OCF_STRING, "", false, false, "refused or granted: what lock-try waits for, hold_ms at most",
     "What lock-try tries again for until hold_ms are over; empty: it tries once."},
    {NULL, OCF_STRING, NULL, false, false, NULL, NULL},
};

static const struct ocf_action actions[] = {
    {"start", 30, 0, start, NULL},
    {"stop", 30, 0, stop, NULL},
    {"monitor", 20, 10, monitor, NULL},
    {"validate-all", 20, 0, validate, NULL},
    {"lock-hold", 30, 0, lock_hold,
     "takes QEMU's image lock on a file of the volume, prints held (or refused), and keeps it until its "
     "standard input, if a "
     "pipe, closes, or hold_ms."},
    {"lock-try", 10, 0, lock_try,
     "tries that lock and gives it back: prints lock: granted or lock: refused."},
    {NULL, 0, 0, NULL, NULL},
};

static const struct ocf_agent agent = {
    "SharedVolume",
    "A folder on shared storage, at the same path on each node",
    "Binds a folder of the host, on storage that all nodes share, at the volume's path, and checks that this "
    "node can write "
    "there: by a stamp file, written durably and read again. Runs on each node (a clone). Storage that hangs "
    "makes an action "
    "fail in time, never hang.",
    params,
    actions,
};

int main(int argc, char **argv)
{
    return ocf_main(&agent, argc, argv);
}
