/*
 * main.c - the daemon, top-down: settings, lock, log, corosync's word, the store, the shell, the loop, the
 * end.
 */
#include "adapters/command.h"
#include "adapters/conf.h"
#include "adapters/corosync.h"
#include "adapters/crashes.h"
#include "adapters/host.h"
#include "adapters/ipc.h"
#include "adapters/log.h"
#include "adapters/members.h"
#include "adapters/runner.h"
#include "adapters/store.h"
#include "adapters/watch.h"
#include "common/ipc.h"
#include "common/rc.h"
#include "config.h"
#include "journal/journal.h"
#include "shell.h"

#include <getopt.h>
#include <glib-unix.h>
#include <glib.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define COROSYNC_RETRY_MS 1000
#define HISTORY_FLUSH_MS  500
#define OBSERVE_MS        1000
#define EXIT_OUTDATED     78 /* A13: the unit begins no other try, a newer version is to be installed first */

struct daemon {
    /* the command line */
    const char *conf_path;
    bool conf_given, foreground;
    uint64_t session; /* random, of this start */
    /* the parts */
    struct conf conf;
    char volume_dir[PATH_MAX], lock_dir[PATH_MAX];
    struct corosync_info info;
    struct ports ports;
    struct store *store;
    struct corosync *corosync;
    struct members *members;
    struct runner *runner;
    struct ipc *ipc;
    struct watch *watch;
    struct shell *shell; /* NULL while we wait for corosync */
    struct command_ctx command;
    GMainLoop *loop;
    GSource *clock;
    guint flush;
    bool waiting_said, leaving;
    struct { /* the last view, for a shell that comes later */
        node_set present, ring;
        bool quorate;
        uint64_t number;
    } view;
    /* A15 */
    char crashes_path[PATH_MAX], boot[40];
    struct crashes crashes;
    guint observing; /* the timer that says so to the others; 0: it takes part */
    uint64_t observe_until_ms;
    bool outdated; /* what is stored here is of a newer version (A13) */
    int status;
};

/* ---- the command line ---- */

static void usage(FILE *out)
{
    (void)fprintf(out,
                  "usage: clusterd [-f] [-c FILE]\n"
                  "\n"
                  "  -f, --foreground   stay in the foreground; log to standard error\n"
                  "  -c, --config FILE  local settings (default: %s)\n"
                  "      --version\n"
                  "      --help\n"
                  "\n"
                  "local settings (key = value):\n",
                  CLUSTERD_CONF_FILE);
    conf_help(out);
}

/* -1: go on; else the exit status. */
static int parse_args(struct daemon *d, int argc, char **argv)
{
    static const struct option options[] = {{"foreground", no_argument, NULL, 'f'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "fc:h", options, NULL)) != -1) {
        switch (c) {
        case 'f':
            d->foreground = true;
            break;
        case 'c':
            d->conf_path = optarg;
            d->conf_given = true;
            break;
        case 'V':
            (void)printf("clusterd %s\n", PACKAGE_VERSION);
            return 0;
        case 'h':
            usage(stdout);
            return 0;
        default:
            (void)fprintf(stderr, "hint: clusterd --help\n");
            return 2;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "clusterd: unexpected argument '%s'\nhint: clusterd --help\n", argv[optind]);
        return 2;
    }
    return -1;
}

static int complain(const struct err *err)
{
    (void)fprintf(stderr, "clusterd: %s\n", err->msg);
    if (err->hint[0]) {
        (void)fprintf(stderr, "hint: %s\n", err->hint);
    }
    return 1;
}

/* ---- the shell's ports that are ours ---- */

static gboolean on_flush(gpointer ctx)
{
    struct daemon *d = ctx;

    d->flush = 0;
    store_flush(d->store);
    return G_SOURCE_REMOVE;
}

static void on_history_pending(void *ctx)
{
    struct daemon *d = ctx;

    if (!d->flush) {
        d->flush = g_timeout_add(HISTORY_FLUSH_MS, on_flush, d);
    }
}

static void on_store_says(void *ctx, const char *text)
{
    (void)ctx;
    log_error("%s", text);
}

static void on_answer(void *ctx, uint64_t request, int rc, const struct err *err, uint64_t op)
{
    struct daemon *d = ctx;
    struct json_object *answer = command_answer(&d->command, request, rc, err, op);

    ipc_answer(d->ipc, request, json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
    (void)json_object_put(answer);
}

/* ---- what comes in ---- */

static void on_view(void *ctx, node_set present, node_set ring, bool quorate, uint64_t view)
{
    struct daemon *d = ctx;

    d->view.present = present;
    d->view.ring = ring;
    d->view.quorate = quorate;
    d->view.number = view;
    if (d->shell) {
        shell_view(d->shell, present, ring, quorate, view);
    }
}

static void on_message(void *ctx, uint32_t from, const void *data, size_t len)
{
    struct daemon *d = ctx;

    if (d->shell) {
        shell_message(d->shell, from, data, len);
    }
}

static void on_run_done(void *ctx, uint64_t id, const struct run_result *r)
{
    shell_run_done(((struct daemon *)ctx)->shell, id, r);
}

static void on_run_line(void *ctx, uint64_t id, const char *line)
{
    shell_run_line(((struct daemon *)ctx)->shell, id, line);
}

static void on_look(void *ctx)
{
    shell_look(((struct daemon *)ctx)->shell);
}

/* A15 */
static void observing_text(const struct daemon *d, struct err *err)
{
    (void)err_set(
        err, RC_REFUSED,
        "clusterd of this node only observes: it crashed %u times within %u s. VMs that run here keep "
        "running, nothing is started, moved or ended by it",
        d->crashes.n, d->crashes.window_ms / 1000);
    err_hint(err,
             "look at its log, mend it, then: systemctl restart clusterd; by itself it tries again in %u s",
             (unsigned)((d->observe_until_ms - d->ports.clock.now_ms(NULL)) / 1000));
}

static struct json_object *handle(struct daemon *d, const char *data, size_t len, uint64_t request)
{
    struct json_object *question, *answer = NULL;
    struct err err = ERR_INIT;

    if (d->observing) {
        observing_text(d, &err);
        return command_error(err.rc, &err);
    }
    if (!d->shell) {
        (void)err_set(&err, RC_NO_QUORUM, "clusterd waits for corosync, which does not run on this host");
        err_hint(&err, "systemctl start corosync");
        return command_error(err.rc, &err);
    }
    question = command_parse(data, len, &err);
    if (!question) {
        return command_error(err.rc, &err);
    }
    if (command_handle(&d->command, question, request, &answer) == COMMAND_DEFERRED) {
        answer = NULL;
    }
    (void)json_object_put(question);
    return answer;
}

static void on_request(void *ctx, const char *data, size_t len, uint64_t request)
{
    struct json_object *answer = handle(ctx, data, len, request);

    if (answer) {
        ipc_answer(((struct daemon *)ctx)->ipc, request,
                   json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
        (void)json_object_put(answer);
    }
}

/* ---- time: a source that asks the shell when it wants to be called ---- */

struct clock_source {
    GSource source;
    struct daemon *d;
};

static gint ms_left(const struct daemon *d)
{
    uint64_t now = d->ports.clock.now_ms(d->ports.clock.ctx), next = shell_next_ms(d->shell);

    if (shell_may_exit(d->shell) || next <= now) {
        return 0;
    }
    return next - now > 3600000 ? 3600000 : (gint)(next - now);
}

static gboolean clock_prepare(GSource *source, gint *timeout)
{
    *timeout = ms_left(((struct clock_source *)source)->d);
    return *timeout == 0;
}

static gboolean clock_check(GSource *source)
{
    return ms_left(((struct clock_source *)source)->d) == 0;
}

static gboolean clock_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    struct daemon *d = ((struct clock_source *)source)->d;

    (void)callback;
    (void)data;
    if (!shell_may_exit(d->shell)) {
        shell_tick(d->shell);
    }
    if (shell_may_exit(d->shell)) {
        /* Unasked: an alarm stopped it, and the log has said which. */
        d->status = d->leaving ? 0 : shell_outdated(d->shell) ? EXIT_OUTDATED : 1;
        g_main_loop_quit(d->loop);
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs clock_funcs = {
    .prepare = clock_prepare, .check = clock_check, .dispatch = clock_dispatch};

static GSource *clock_source_new(struct daemon *d)
{
    GSource *source = g_source_new(&clock_funcs, sizeof(struct clock_source));

    ((struct clock_source *)source)->d = d;
    (void)g_source_attach(source, NULL);
    return source;
}

/* ---- begin ---- */

static int make_dirs(struct daemon *d, struct err *err)
{
    int rc;

    (void)snprintf(d->volume_dir, sizeof d->volume_dir, "%s/volumes", d->conf.state_dir);
    (void)snprintf(d->lock_dir, sizeof d->lock_dir, "%s/locks", d->conf.run_dir);
    /* QEMU's user walks through these; what is secret in them has modes of its own. */
    rc = host_make_dir(d->conf.state_dir, 0755, err);
    rc = rc ? rc : host_make_dir(d->volume_dir, 0755, err);
    rc = rc ? rc : host_make_dir(d->conf.run_dir, 0755, err);
    return rc ? rc : host_make_dir(d->lock_dir, 0700, err);
}

static int make_parts(struct daemon *d, struct err *err)
{
    struct corosync_config corosync = {
        .self = d->info.self, .view = on_view, .message = on_message, .ctx = d};
    struct runner_config runner = {.agent_dir = d->conf.agent_dir,
                                   .fence_dir = d->conf.fence_dir,
                                   .run_dir = d->conf.run_dir,
                                   .session = d->session,
                                   .done = on_run_done,
                                   .line = on_run_line,
                                   .ctx = d};

    d->store = store_new(d->conf.state_dir, on_store_says, on_history_pending, d);
    if (!d->store) {
        return err_set(err, RC_NO_MEMORY, "out of memory");
    }
    store_port(d->store, &d->ports.store);
    d->runner = runner_new(&runner, err);
    if (!d->runner) {
        return err->rc;
    }
    runner_port(d->runner, &d->ports.run);
    d->corosync = corosync_new(&corosync);
    corosync_port(d->corosync, &d->ports.msg);
    d->members = members_new(d->conf.corosync_conf);
    members_port(d->members, &d->ports.member);
    host_clock_port(&d->ports.clock);
    d->ports.client.ctx = d;
    d->ports.client.answer = on_answer;
    d->ports.client.log = log_line;
    return 0;
}

static int make_shell(struct daemon *d, struct err *err)
{
    struct shell_config c = {.self = d->info.self,
                             .session = d->session,
                             .memory_mib = d->conf.memory_mib,
                             .cpus = g_get_num_processors(),
                             .configureds = d->info.nodes,
                             .election_ms = d->conf.election_ms,
                             .heartbeat_ms = d->conf.heartbeat_ms,
                             .commit_ms = d->conf.commit_ms,
                             .hypervisor = d->conf.hypervisor,
                             .migration_uri = d->conf.migration_uri,
                             .volume_dir = d->volume_dir,
                             .agent_lock_dir = d->lock_dir};
    struct journal_load load;
    int rc = d->ports.store.load(d->ports.store.ctx, &load, err);

    if (rc) {
        d->outdated = rc == RC_REFUSED;
        return rc;
    }
    memcpy(c.boot, d->boot, sizeof c.boot);
    memcpy(c.name, d->info.name, sizeof c.name);
    memcpy(c.address, d->info.address, sizeof c.address);
    memcpy(c.cluster, d->info.cluster, sizeof c.cluster);
    memcpy(c.configured, d->info.node, sizeof c.configured);
    d->shell = shell_new(&c, &d->ports, &load, err);
    d->outdated = !d->shell && err->rc == RC_REFUSED;
    return d->shell ? 0 : err->rc ? err->rc : RC_FAILED;
}

static int take_part(struct daemon *d, struct err *err)
{
    int rc = make_shell(d, err);

    if (rc) {
        return rc;
    }
    d->command.shell = d->shell;
    d->command.store = &d->ports.store;
    d->command.volume_dir = d->volume_dir;
    (void)snprintf(d->command.by, sizeof d->command.by, "root@%.50s", d->info.name);
    d->watch = watch_new(d->conf.libvirt_run_dir, on_look, d);
    d->clock = clock_source_new(d);
    log_notice("clusterd " PACKAGE_VERSION
               ": node '%s' (id %u) of cluster '%s', %u nodes configured, %u MiB for VMs",
               d->info.name, d->info.self, d->info.cluster, d->info.nodes, d->conf.memory_mib);
    (void)sd_notify(0, "READY=1\nSTATUS=running\n");
    return 0;
}

/* A15: says each second that it is there, until the crashes are long enough ago. */
static gboolean on_observe(gpointer ctx)
{
    struct daemon *d = ctx;
    uint8_t text[8];
    struct err err = ERR_INIT;

    if (d->ports.clock.now_ms(NULL) < d->observe_until_ms) {
        (void)d->ports.msg.send(d->ports.msg.ctx, text, shell_observe_message(text));
        return G_SOURCE_CONTINUE;
    }
    d->observing = 0;
    log_notice("it has crashed often enough ago: it takes part again");
    if (take_part(d, &err) == 0) {
        shell_view(d->shell, d->view.present, d->view.ring, d->view.quorate, d->view.number);
    } else {
        log_error("cannot start: %s%s%s", err.msg, err.hint[0] ? "; " : "", err.hint);
        d->status = d->outdated ? EXIT_OUTDATED : 1;
        g_main_loop_quit(d->loop);
    }
    return G_SOURCE_REMOVE;
}

/* A15: a crash loop must not reset the hosts. No journal, no vote, no decision, no job; VMs are left alone.
 */
static void observe(struct daemon *d, uint64_t ms)
{
    struct err err = ERR_INIT;

    d->observe_until_ms = d->ports.clock.now_ms(NULL) + ms;
    d->observing = g_timeout_add(OBSERVE_MS, on_observe, d);
    observing_text(d, &err);
    log_error("alarm: %s; %s", err.msg, err.hint);
    (void)sd_notify(0, "READY=1\nSTATUS=only observing, after crashes: see the log\n");
}

static int begin(struct daemon *d, struct err *err)
{
    uint64_t wait;
    int rc;

    d->session = host_random();
    rc = make_parts(d, err);

    rc = rc ? rc : host_boot_id(d->boot, err);
    if (rc) {
        return rc;
    }
    d->crashes.limit = d->conf.crash_limit ? d->conf.crash_limit : CRASHES_LIMIT;
    d->crashes.window_ms = d->conf.crash_window_ms ? d->conf.crash_window_ms : CRASHES_WINDOW_MS;
    (void)snprintf(d->crashes_path, sizeof d->crashes_path, "%s/" CRASHES_FILE, d->conf.state_dir);
    wait = crashes_begin(&d->crashes, d->crashes_path, d->boot, d->ports.clock.now_ms(NULL));
    if (wait) {
        observe(d, wait);
    } else {
        rc = take_part(d, err);
    }
    if (rc == 0) {
        corosync_start(d->corosync);
    }
    return rc;
}

static gboolean on_begin(gpointer ctx)
{
    struct daemon *d = ctx;
    struct err err = ERR_INIT;
    int rc = corosync_read_info(&d->info, &err);

    if (rc == RC_UNREACHABLE) {
        if (!d->waiting_said) {
            log_notice("waiting for corosync");
            d->waiting_said = true;
        }
        (void)sd_notify(0, "STATUS=waiting for corosync\nEXTEND_TIMEOUT_USEC=30000000\n");
        (void)g_timeout_add(COROSYNC_RETRY_MS, on_begin, d);
        return G_SOURCE_REMOVE;
    }
    if (rc == 0) {
        rc = begin(d, &err);
    }
    if (rc) {
        log_error("cannot start: %s%s%s", err.msg, err.hint[0] ? "; " : "", err.hint);
        d->status = d->outdated ? EXIT_OUTDATED : 1;
        g_main_loop_quit(d->loop);
    }
    return G_SOURCE_REMOVE;
}

/* ---- end ---- */

static gboolean on_term(gpointer ctx)
{
    struct daemon *d = ctx;

    if (!d->shell || d->leaving) {
        g_main_loop_quit(d->loop);
        return G_SOURCE_CONTINUE;
    }
    log_notice("leaving; VMs that run here keep running");
    (void)sd_notify(0, "STOPPING=1\n");
    d->leaving = true;
    shell_leave(d->shell);
    return G_SOURCE_CONTINUE;
}

static gboolean on_dump(gpointer ctx)
{
    struct daemon *d = ctx;
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/blackbox", d->conf.state_dir);
    log_dump(path);
    return G_SOURCE_CONTINUE;
}

/* In reverse order. What still talks to the shell goes before it, what it talks to after it. */
static void finish(struct daemon *d)
{
    if (d->status != 0) {
        (void)on_dump(d);
    }
    if (d->clock) {
        g_source_destroy(d->clock);
        g_source_unref(d->clock);
    }
    watch_free(d->watch);
    shell_free(d->shell);
    members_free(d->members);
    corosync_free(d->corosync);
    runner_free(d->runner);
    if (d->flush) {
        (void)g_source_remove(d->flush);
    }
    if (d->crashes_path[0] && (d->status == 0 || d->status == EXIT_OUTDATED)) {
        crashes_end(d->crashes_path,
                    d->observing != 0); /* stopped while it observes: somebody has seen to it */
    }
    store_free(d->store);
    ipc_free(d->ipc);
    g_main_loop_unref(d->loop);
}

/* Everything before the loop; errors go to the terminal as far as there is one. */
static int prepare(struct daemon *d, struct err *err)
{
    struct ipc_config ipc = {.name = IPC_NAME, .handle = on_request, .ctx = d};
    char path[PATH_MAX];
    int rc = conf_load(&d->conf, d->conf_path, !d->conf_given, err);

    if (rc == 0) {
        rc = make_dirs(d, err);
    }
    if (rc == 0 && !d->foreground && daemon(0, 0) < 0) {
        rc = err_set(err, RC_FAILED, "cannot become a daemon");
    }
    if (rc == 0) {
        (void)snprintf(path, sizeof path, "%s/clusterd.lock", d->conf.run_dir);
        rc = host_lock(path, err);
    }
    if (rc == 0) {
        rc = log_open(d->conf.log_file, d->foreground, conf_log_priority(&d->conf), err);
    }
    if (rc == 0) {
        d->ipc = ipc_new(&ipc, err);
        rc = d->ipc ? 0 : err->rc;
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct daemon d = {.conf_path = CLUSTERD_CONF_FILE};
    struct err err = ERR_INIT;
    int status = parse_args(&d, argc, argv);

    if (status >= 0) {
        return status;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(0022);
    if (prepare(&d, &err)) {
        return complain(&err);
    }
    d.loop = g_main_loop_new(NULL, FALSE);
    (void)g_unix_signal_add(SIGTERM, on_term, &d);
    (void)g_unix_signal_add(SIGINT, on_term, &d);
    (void)g_unix_signal_add(SIGUSR2, on_dump, &d);
    (void)g_idle_add(on_begin, &d);
    g_main_loop_run(d.loop);
    finish(&d);
    log_notice("ended");
    log_close();
    return d.status;
}
