#include "adapters/runner.h"

#include "adapters/program.h"
#include "common/mutant.h"
#include "common/rc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib-unix.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNNER_PENDING_MAX 4096
#define RUNNER_SETTLED_MS  2000 /* what runs longer waits for something; it does not count against the cap */

struct runner {
    struct runner_config c;
    GQueue waiting, running; /* of struct run */
    unsigned cap;            /* programs that may start at about the same time */
    guint turn;              /* the next loop turn launches one */
    bool no_orphans;         /* seen once, true for ever */
    char *lock_path;
};

struct run {
    struct runner *r;
    uint64_t id;
    bool fence, cancelled;
    char *serial;
    uint32_t timeout_ms;
    gint64 since_us; /* queued, then started */
    struct program *p;
    struct program_spec spec; /* owned strings */
    guint deadline;
    bool reported; /* the result is out, the process hangs in the kernel */
    char *refused; /* why it will not be started */
};

static void consider(struct runner *r);
static void hurry(struct runner *r);

/* ---- one run ---- */

static void run_free(struct run *run)
{
    if (run->deadline) {
        (void)g_source_remove(run->deadline);
    }
    program_free(run->p);
    program_spec_fini(&run->spec);
    g_free(run->serial);
    g_free(run->refused);
    g_free(run);
}

static void report(struct run *run, const struct run_result *res)
{
    if (!run->reported && run->r->c.done) {
        run->reported = true;
        run->r->c.done(run->r->c.ctx, run->id, res);
    }
}

static void report_not_started(struct run *run, const char *why)
{
    struct run_result res = {.started = false, .code = -1, .output = ""};

    (void)snprintf(res.reason, sizeof res.reason, "%.*s", (int)sizeof res.reason - 1, why);
    report(run, &res);
}

static void on_line(void *ctx, const char *line)
{
    struct run *run = ctx;

    if (run->r->c.line && !run->reported) {
        run->r->c.line(run->r->c.ctx, run->id, line);
    }
}

static void on_end(void *ctx, const struct run_result *res, bool gone)
{
    struct run *run = ctx;
    struct runner *r = run->r;

    report(run, res);
    if (gone) {
        (void)g_queue_remove(&r->running, run);
        run_free(run);
        hurry(r);
    }
}

/* ---- what is allowed, and its form ---- */

static bool plain_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");

    return n > 0 && n < NAME_SIZE && s[n] == '\0' && s[0] != '.';
}

static bool is_uuid(const char *s)
{
    return strlen(s) == 36 && strspn(s, "0123456789abcdefABCDEF-") == 36;
}

/* The XML for the agent: complete or not there at all, readable by root only (it may hold passwords). */
static char *write_xml(struct runner *r, const char *uuid, const char *xml, char **refused)
{
    char *dir = g_strdup_printf("%s/vms", r->c.run_dir), *path = g_strdup_printf("%s/%s.xml", dir, uuid);
    GError *error = NULL;

    if (!is_uuid(uuid)) {
        *refused = g_strdup_printf("'%.64s' is not a UUID", uuid);
    } else if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        *refused = g_strdup_printf("cannot make folder '%s': %s", dir, g_strerror(errno));
    } else if (!g_file_set_contents_full(path, xml, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error)) {
        *refused = g_strdup_printf("cannot write '%s': %s", path, error->message);
        g_error_free(error);
    }
    g_free(dir);
    if (*refused) {
        g_free(path);
        path = NULL;
    }
    return path;
}

/* A line of a fence agent's input; what would make two lines of one is refused. */
static void add_fence_param(GString *in, const char *key, const char *value, char **refused)
{
    if (g_str_has_prefix(key, "pcmk_") || g_str_has_prefix(key, "CRM_meta_") || strcmp(key, "action") == 0) {
        return;
    }
    if (strpbrk(key, "=\n") || strchr(value, '\n')) {
        *refused = g_strdup_printf("parameter '%.64s' has a line break or a '='", key);
        return;
    }
    g_string_append_printf(in, "%s=%s\n", key, value);
}

static void build_fence(struct run *run, const struct run_spec *spec)
{
    GString *in = g_string_new(NULL);

    g_string_append_printf(in, "action=%s\n", spec->action);
    for (unsigned i = 0; i < spec->params && !run->refused; i++) {
        add_fence_param(in, spec->param[i].key, spec->param[i].value, &run->refused);
    }
    run->spec.path = g_strdup_printf("%s/%s", run->r->c.fence_dir, spec->agent);
    run->spec.input = g_string_free(in, FALSE);
    run->spec.lock_path = g_strdup(run->r->lock_path);
    /* Else a Python agent's deprecations stand where the reason of its failure is looked for. */
    g_ptr_array_add(run->spec.env, g_strdup("PYTHONWARNINGS=ignore"));
}

static void add_ocf_param(GPtrArray *env, const char *key, const char *value)
{
    if (strpbrk(key, "=") == NULL) {
        g_ptr_array_add(env, g_strdup_printf("OCF_RESKEY_%s=%s", key, value));
    }
}

static void build_ocf(struct run *run, const struct run_spec *spec)
{
    GPtrArray *env = run->spec.env;

    run->spec.path = g_strdup_printf("%s/%s", run->r->c.agent_dir, spec->agent);
    run->spec.action = g_strdup(spec->action);
    g_ptr_array_add(env, g_strdup("OCF_ROOT=" CLUSTERD_OCF_ROOT));
    g_ptr_array_add(env, g_strdup("OCF_RA_VERSION_MAJOR=1"));
    g_ptr_array_add(env, g_strdup("OCF_RA_VERSION_MINOR=1"));
    g_ptr_array_add(env, g_strdup("OCF_EXIT_REASON_PREFIX=" PROGRAM_REASON));
    g_ptr_array_add(env, g_strdup("OCF_RESOURCE_PROVIDER=clusterd"));
    g_ptr_array_add(env, g_strdup_printf("OCF_RESOURCE_TYPE=%s", spec->agent));
    g_ptr_array_add(env,
                    g_strdup_printf("OCF_RESOURCE_INSTANCE=%s", spec->serial ? spec->serial : spec->agent));
    for (unsigned i = 0; i < spec->params; i++) {
        add_ocf_param(env, spec->param[i].key, spec->param[i].value);
    }
    /* C3: until it holds its VM's lock nobody sees it; if we die before, it does nothing. */
    g_ptr_array_add(env, g_strdup_printf("OCF_RESKEY_launcher=%d", (int)getpid()));
    if (spec->xml_uuid && spec->xml) {
        char *path = write_xml(run->r, spec->xml_uuid, spec->xml, &run->refused);

        if (path) {
            add_ocf_param(env, "config", path);
        }
        g_free(path);
    }
}

static struct run *run_new(struct runner *r, const struct run_spec *spec)
{
    struct run *run = g_new0(struct run, 1);

    run->r = r;
    run->id = spec->id;
    run->fence = spec->fence;
    run->serial = g_strdup(spec->serial);
    run->timeout_ms = spec->timeout_ms;
    run->since_us = g_get_monotonic_time();
    program_spec_init(&run->spec);
    if (!plain_name(spec->agent) || !plain_name(spec->action) ||
        (spec->fence && !g_str_has_prefix(spec->agent, "fence_"))) {
        run->refused =
            g_strdup_printf("'%.64s %.64s' is not an agent and an action", spec->agent, spec->action);
    } else if (spec->fence) {
        build_fence(run, spec);
    } else {
        build_ocf(run, spec);
    }
    return run;
}

/* ---- the queue ---- */

static gboolean on_deadline(gpointer ctx)
{
    struct run *run = ctx;

    run->deadline = 0;
    program_end(run->p, true);
    return G_SOURCE_REMOVE;
}

/* A program could not be started, or must not be: its result comes from here, in a loop turn of its own. */
static void drop(struct run *run, const char *why)
{
    struct runner *r = run->r;

    report_not_started(run, why);
    (void)g_queue_remove(&r->waiting, run);
    run_free(run);
    consider(r);
}

static void launch(struct run *run)
{
    struct runner *r = run->r;
    struct err err = ERR_INIT;

    run->p = program_start(&run->spec, on_line, on_end, run, &err);
    if (!run->p) {
        drop(run, err.msg);
        return;
    }
    (void)g_queue_remove(&r->waiting, run);
    g_queue_push_tail(&r->running, run);
    run->since_us = g_get_monotonic_time();
    run->deadline = g_timeout_add(run->timeout_ms, on_deadline, run);
}

static bool serial_taken(const struct runner *r, const struct run *run, const GList *upto)
{
    for (const GList *l = r->running.head; l; l = l->next) {
        if (g_strcmp0(((const struct run *)l->data)->serial, run->serial) == 0) {
            return true;
        }
    }
    for (const GList *l = r->waiting.head; l != upto; l = l->next) {
        if (g_strcmp0(((const struct run *)l->data)->serial, run->serial) == 0) {
            return true;
        }
    }
    return false;
}

/* Programs that began lately: launching many at once would starve the loop and the host. */
static unsigned starting(const struct runner *r)
{
    gint64 now = g_get_monotonic_time();
    unsigned n = 0;

    for (const GList *l = r->running.head; l; l = l->next) {
        n += now - ((const struct run *)l->data)->since_us < RUNNER_SETTLED_MS * 1000;
    }
    return n;
}

static bool waited_too_long(const struct run *run)
{
    return g_get_monotonic_time() - run->since_us > (gint64)run->timeout_ms * 1000;
}

/* The first that may go now. Fencing does not wait for others' starts. */
static struct run *next_run(struct runner *r)
{
    bool full = starting(r) >= r->cap;

    for (GList *l = r->waiting.head; l; l = l->next) {
        struct run *run = l->data;

        if (run->refused || run->cancelled || waited_too_long(run)) {
            return run;
        }
        if ((!full || run->fence) && (!run->serial || !serial_taken(r, run, l))) {
            return run;
        }
    }
    return NULL;
}

static gboolean on_turn(gpointer ctx)
{
    struct runner *r = ctx;
    struct run *run = next_run(r);

    r->turn = 0;
    if (!run) {
        consider(r);
    } else if (run->refused || run->cancelled) {
        drop(run, run->cancelled ? "cancelled before it was started" : run->refused);
    } else if (waited_too_long(run)) {
        drop(run, "not started: an earlier agent for the same object has not ended");
    } else {
        launch(run);
        consider(r);
    }
    return G_SOURCE_REMOVE;
}

/* One launch for each loop turn; a wait when nothing may go yet (the end of a program cuts it short). */
static void consider(struct runner *r)
{
    if (r->turn || g_queue_is_empty(&r->waiting)) {
        return;
    }
    if (next_run(r)) {
        r->turn = g_idle_add_full(G_PRIORITY_DEFAULT, on_turn, r, NULL);
    } else {
        r->turn = g_timeout_add(starting(r) >= r->cap ? 100 : 1000, on_turn, r);
    }
}

/* Puts the turn, that may be a wait, forward. */
static void hurry(struct runner *r)
{
    if (r->turn) {
        (void)g_source_remove(r->turn);
        r->turn = 0;
    }
    consider(r);
}

/* ---- the port ---- */

/* Fencing goes before everything else that waits. */
static void enqueue(struct runner *r, struct run *run)
{
    GList *l = r->waiting.head;

    while (l && (!run->fence || ((const struct run *)l->data)->fence)) {
        l = l->next;
    }
    g_queue_insert_before(&r->waiting, l, run);
}

static int runner_run(void *ctx, const struct run_spec *spec)
{
    struct runner *r = ctx;

    if (g_queue_get_length(&r->waiting) >= RUNNER_PENDING_MAX) {
        return RC_BUSY;
    }
    enqueue(r, run_new(r, spec));
    hurry(r);
    return 0;
}

static void runner_cancel(void *ctx, uint64_t id)
{
    struct runner *r = ctx;

    for (GList *l = r->waiting.head; l; l = l->next) {
        struct run *run = l->data;

        if (run->id == id) {
            run->cancelled = true;
            hurry(r);
            return;
        }
    }
    for (GList *l = r->running.head; l; l = l->next) {
        struct run *run = l->data;

        if (run->id == id) {
            program_end(run->p, false);
            return;
        }
    }
}

/* True while somebody holds the lock of that file; a free one is removed. */
static bool lock_is_held(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool held;

    if (fd < 0) {
        return errno != ENOENT;
    }
    held = flock(fd, LOCK_EX | LOCK_NB) < 0 && !MUTANT(fence_lock_ignored);
    if (!held) {
        (void)unlink(path);
    }
    (void)close(fd);
    return held;
}

static bool runner_fence_orphans(void *ctx)
{
    struct runner *r = ctx;
    char *dir_path = g_path_get_dirname(r->lock_path);
    struct dirent *e;
    bool held = false;
    DIR *dir;

    if (!r->no_orphans) {
        dir = opendir(dir_path);
        while (dir && (e = readdir(dir))) {
            char *path = g_strdup_printf("%s/%s", dir_path, e->d_name);

            if (e->d_name[0] != '.' && strcmp(path, r->lock_path) != 0) {
                held |= lock_is_held(path);
            }
            g_free(path);
        }
        if (dir) {
            (void)closedir(dir);
        }
        r->no_orphans = dir && !held;
        held |= !dir;
    }
    g_free(dir_path);
    return held;
}

struct runner *runner_new(const struct runner_config *c, struct err *err)
{
    struct runner *r = g_new0(struct runner, 1);
    char *dir = g_strdup_printf("%s/fence", c->run_dir);

    r->c = *c;
    r->cap = MAX(4 * g_get_num_processors(), 8);
    g_queue_init(&r->waiting);
    g_queue_init(&r->running);
    r->lock_path = g_strdup_printf("%s/%016" PRIx64 ".lock", dir, c->session);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        (void)err_set(err, RC_IO, "cannot make folder '%s': %s", dir, strerror(errno));
        runner_free(r);
        r = NULL;
    }
    g_free(dir);
    return r;
}

void runner_free(struct runner *r)
{
    if (!r) {
        return;
    }
    if (r->turn) {
        (void)g_source_remove(r->turn);
    }
    g_queue_clear_full(&r->waiting, (GDestroyNotify)run_free);
    g_queue_clear_full(&r->running, (GDestroyNotify)run_free);
    g_free(r->lock_path);
    g_free(r);
}

void runner_port(struct runner *r, struct runner_port *out)
{
    *out = (struct runner_port){
        .ctx = r, .run = runner_run, .cancel = runner_cancel, .fence_orphans = runner_fence_orphans};
}
