/*
 * cluster.c - a cluster of three hosts (and a fourth that may come) in one process, for tests of the command
 * line. `cluster DIR [new]`; new: host 3 is absent and nothing was created yet.
 *
 * Real are the shell, the journal, the core, the stores (SQLite, in DIR/node1 …), the commands and the IPC,
 * which clusterctl reaches at node1. Made up are the network between the hosts (always in order, no loss but
 * by command) and the agents: they do what they are asked, after a while. Lines on standard input drive it:
 *
 *   cut N       node N is cut off from the others          heal      and joined again
 *   fail ACTION REASON…   the next agent with that action fails so
 *   slow MS     agents take that long (50)                 garbage   the next agent prints garbage
 *   start N     host N comes, or boots again               off N     host N has no power any more
 *   quit
 *
 * Each is answered by a line "ok". Prints "ready" once the cluster is.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "adapters/command.h"
#include "adapters/ipc.h"
#include "adapters/store.h"
#include "common/ipc.h"
#include "common/rc.h"
#include "shell.h"

#define HOSTS           3 /* configured */
#define HOSTS_MAX       4
#define MIGRATION_STEPS 4

struct host {
    uint32_t id;
    struct shell *sh;
    struct store *store;
    struct store_port port;
    guint tick;
    unsigned boots;
    bool cut, off;
};

/* A VM as libvirt would know it. */
struct guest {
    uint32_t node; /* 0: nowhere */
    bool paused;
};

struct message {
    uint32_t from;
    GBytes *data;
};

struct agent {
    struct host *host;
    uint64_t id;
    char name[64], action[32], uuid[40];
    uint32_t target;
    bool arrives_paused, fence;
    int step;
};

static struct host hosts[HOSTS_MAX + 1];
static const char *dir;
static GHashTable *guests; /* uuid -> struct guest */
static GMainLoop *loop;
static struct ipc *ipc;
static struct command_ctx ctx;
static unsigned slow_ms = 50;
static char fail_action[32], fail_reason[256];
static bool garbage, ready, fresh;
static unsigned expected = HOSTS; /* votes, by corosync's word */

static void rearm(struct host *h);

/* ---- the network ---- */

static bool reaches(const struct host *a, const struct host *b)
{
    return a->sh != NULL && b->sh != NULL && !a->off && !b->off && a->cut == b->cut && (!a->cut || a == b);
}

static gboolean deliver(gpointer data)
{
    struct message *m = data;
    gsize len;
    const void *bytes = g_bytes_get_data(m->data, &len);

    for (int i = 1; i <= HOSTS_MAX; i++) {
        if (reaches(&hosts[m->from], &hosts[i])) {
            shell_message(hosts[i].sh, m->from, bytes, len);
            rearm(&hosts[i]);
        }
    }
    g_bytes_unref(m->data);
    g_free(m);
    return G_SOURCE_REMOVE;
}

static int send_message(void *self, const void *data, size_t len)
{
    struct host *h = self;
    struct message *m = g_new0(struct message, 1);

    m->from = h->id;
    m->data = g_bytes_new(data, len);
    (void)g_idle_add_full(G_PRIORITY_DEFAULT, deliver, m, NULL);
    return 0;
}

static gboolean tell_views(gpointer unused)
{
    static uint64_t view;

    (void)unused;
    view++;
    for (int i = 1; i <= HOSTS_MAX; i++) {
        node_set set = 0;
        unsigned n = 0;

        for (int k = 1; k <= HOSTS_MAX; k++) {
            if (reaches(&hosts[i], &hosts[k])) {
                set |= NODE_BIT(k);
                n++;
            }
        }
        if (hosts[i].sh != NULL && !hosts[i].off) {
            shell_view(hosts[i].sh, set, set, n > expected / 2, view);
            rearm(&hosts[i]);
        }
    }
    return G_SOURCE_REMOVE;
}

/* ---- agents ---- */

static const char *param(const struct run_spec *spec, const char *key)
{
    for (unsigned i = 0; i < spec->params; i++) {
        if (strcmp(spec->param[i].key, key) == 0) {
            return spec->param[i].value;
        }
    }
    return "";
}

static struct guest *guest_of(const char *uuid)
{
    struct guest *g = g_hash_table_lookup(guests, uuid);

    if (g == NULL) {
        g = g_new0(struct guest, 1);
        (void)g_hash_table_insert(guests, g_strdup(uuid), g);
    }
    return g;
}

static void inventory(const struct agent *a, GString *out)
{
    GHashTableIter it;
    gpointer uuid, value;
    unsigned n = 0;

    g_string_append(out, "libvirt: ok\n");
    g_hash_table_iter_init(&it, guests);
    while (g_hash_table_iter_next(&it, &uuid, &value)) {
        const struct guest *g = value;

        if (g->node == a->host->id) {
            g_string_append_printf(out, "vm %s %s x pid=7 lock=free\n", (const char *)uuid,
                                   g->paused ? "paused" : "running");
            n++;
        }
    }
    g_string_append_printf(out, "end %u\n", n);
}

static void vm_action(const struct agent *a, GString *out)
{
    struct guest *g = guest_of(a->uuid);

    if (strcmp(a->action, "stop") == 0 || strcmp(a->action, "save") == 0) {
        g->node = 0;
    } else if (strcmp(a->action, "migrate_to") == 0) {
        g->node = a->target;
        g->paused = a->arrives_paused;
    } else if (strcmp(a->action, "reset") != 0) {
        g->node = a->host->id;
        g->paused = strcmp(a->action, "restore") == 0;
    }
    g_string_append_printf(out, "state: %s\n",
                           g->node != a->host->id ? "absent"
                           : g->paused            ? "paused"
                                                  : "running");
}

static int fence_action(const struct agent *a)
{
    struct host *t = &hosts[a->target];

    if (strcmp(a->action, "status") == 0) {
        return t->off ? 2 : 0;
    }
    t->off = true;
    (void)g_idle_add(tell_views, NULL);
    return 0;
}

static void act(struct agent *a, struct run_result *r, GString *out)
{
    r->started = true;
    if (strcmp(fail_action, a->action) == 0) {
        r->code = 1;
        (void)snprintf(r->reason, sizeof r->reason, "%s", fail_reason);
        fail_action[0] = '\0';
    } else if (garbage && strcmp(a->action, "inventory") != 0) {
        r->code = 1;
        (void)snprintf(r->reason, sizeof r->reason, "\x1b[31m\xff\xfe <garbage> \x01");
        garbage = false;
    } else if (a->fence) {
        r->code = fence_action(a);
    } else if (strcmp(a->name, "SharedVolume") == 0) {
        g_string_append(out, "size_bytes: 1000000000\nfree_bytes: 400000000\n");
    } else if (strcmp(a->action, "inventory") == 0) {
        inventory(a, out);
    } else {
        vm_action(a, out);
    }
}

/* A migration tells how far it is. */
static gboolean agent_step(gpointer data)
{
    struct agent *a = data;
    struct run_result r = {0};
    GString *out;

    if (strcmp(a->action, "migrate_to") == 0 && ++a->step < MIGRATION_STEPS && !a->host->off) {
        char line[32];

        (void)snprintf(line, sizeof line, "progress: %.2f", (double)a->step / MIGRATION_STEPS);
        shell_run_line(a->host->sh, a->id, line);
        rearm(a->host);
        return G_SOURCE_CONTINUE;
    }
    out = g_string_new(NULL);
    if (!a->host->off) {
        act(a, &r, out);
        r.output = out->str;
        shell_run_done(a->host->sh, a->id, &r);
        rearm(a->host);
    }
    (void)g_string_free(out, TRUE);
    g_free(a);
    return G_SOURCE_REMOVE;
}

static uint32_t node_of(const char *name)
{
    return strncmp(name, "node", 4) == 0 && name[4] >= '1' && name[4] <= '0' + HOSTS_MAX
               ? (uint32_t)(name[4] - '0')
               : 0;
}

static int run_agent(void *self, const struct run_spec *spec)
{
    struct agent *a = g_new0(struct agent, 1);
    bool quick = strcmp(spec->action, "inventory") == 0;

    a->host = self;
    a->id = spec->id;
    a->fence = spec->fence;
    (void)snprintf(a->name, sizeof a->name, "%s", spec->agent);
    (void)snprintf(a->action, sizeof a->action, "%s", spec->action);
    (void)snprintf(a->uuid, sizeof a->uuid, "%s", param(spec, "uuid"));
    a->target = node_of(param(spec, spec->fence ? "host" : "CRM_meta_migrate_target"));
    a->arrives_paused = strcmp(param(spec, "migrate_paused"), "1") == 0;
    (void)g_timeout_add(quick ? 2 : slow_ms, agent_step, a);
    return 0;
}

static void cancel_agent(void *self, uint64_t id)
{
    (void)self;
    (void)id;
}

static bool no_orphans(void *self)
{
    (void)self;
    return false;
}

/* ---- clock, log, clients ---- */

static uint64_t now_ms(void *unused)
{
    struct timespec t;

    (void)unused;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int64_t wall_ms(void *unused)
{
    (void)unused;
    return g_get_real_time() / 1000;
}

static uint64_t random_u64(void *unused)
{
    (void)unused;
    return ((uint64_t)g_random_int() << 32 | g_random_int()) | 1;
}

static void answer(void *self, uint64_t request, int rc, const struct err *err, uint64_t op)
{
    const struct host *h = self;
    struct json_object *o;

    if (h->id == 1) {
        o = command_answer(&ctx, request, rc, err, op);
        ipc_answer(ipc, request, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
        json_object_put(o);
    }
}

static void no_list(void *self, const struct member_node *node, unsigned nodes, bool lead)
{
    (void)self;
    (void)node;
    (void)nodes;
    (void)lead;
}

static void expect(void *self, unsigned votes)
{
    (void)self;
    expected = votes;
    (void)g_idle_add(tell_views, NULL);
}

static void write_log(void *self, enum log_level level, const char *text)
{
    const struct host *h = self;

    if (getenv("CLUSTER_LOG") != NULL || level == LOG_L_ERROR) {
        (void)fprintf(stderr, "node%u: %s\n", h->id, text);
    }
}

static void handle(void *unused, const char *data, size_t len, uint64_t request)
{
    struct err err = ERR_INIT;
    struct json_object *o = command_parse(data, len, &err), *reply = NULL;

    (void)unused;
    if (o == NULL) {
        reply = command_error(err.rc, &err);
    } else {
        (void)command_handle(&ctx, o, request, &reply);
    }
    if (reply != NULL) {
        ipc_answer(ipc, request, json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN));
    }
    json_object_put(reply);
    json_object_put(o);
    rearm(&hosts[1]);
}

/* ---- hosts ---- */

static gboolean on_tick(gpointer data)
{
    struct host *h = data;

    h->tick = 0;
    if (!h->off) {
        shell_tick(h->sh);
    }
    rearm(h);
    return G_SOURCE_REMOVE;
}

static void rearm(struct host *h)
{
    uint64_t next = shell_next_ms(h->sh), now = now_ms(NULL);

    if (h->tick != 0) {
        (void)g_source_remove(h->tick);
    }
    h->tick =
        h->off || next == UINT64_MAX ? 0 : g_timeout_add(next > now ? (guint)(next - now) : 0, on_tick, h);
}

static bool host_start(struct host *h, uint32_t id)
{
    struct shell_config c = {.self = id,
                             .memory_mib = 4096,
                             .cpus = 4,
                             .configureds = HOSTS,
                             .hypervisor = "test:///",
                             .migration_uri = "test://%s/",
                             .volume_dir = "/var/lib/clusterd/volumes",
                             .agent_lock_dir = "/nonexistent"};
    char path[4096];
    struct ports p;
    struct journal_load load;
    struct err err = ERR_INIT;

    shell_free(h->sh); /* of its boot before */
    store_free(h->store);
    h->sh = NULL;
    h->off = false;
    h->id = id;
    (void)snprintf(c.name, sizeof c.name, "node%u", id);
    (void)snprintf(c.cluster, sizeof c.cluster, "desk");
    (void)snprintf(c.boot, sizeof c.boot, "boot-%u-%u", id, ++h->boots);
    c.session = random_u64(NULL);
    for (uint32_t i = 0; i < HOSTS; i++) {
        c.configured[i] = i + 1;
    }
    (void)snprintf(path, sizeof path, "%s/node%u", dir, id);
    (void)mkdir(path, 0700);
    h->store = store_new(path, NULL, NULL, NULL);
    store_port(h->store, &h->port);
    p = (struct ports){.msg = {h, send_message},
                       .store = h->port,
                       .run = {h, run_agent, cancel_agent, no_orphans},
                       .clock = {h, now_ms, wall_ms, random_u64},
                       .client = {h, answer, write_log},
                       .member = {h, no_list, expect}};
    if (h->port.load(h->port.ctx, &load, &err) == 0) {
        h->sh = shell_new(&c, &p, &load, &err);
    }
    if (h->sh == NULL) {
        (void)fprintf(stderr, "node%u: %s\n", id, err.msg);
    }
    return h->sh != NULL;
}

/* ---- driving ---- */

static void command(char *line)
{
    char *word = strtok(line, " \n"), *rest = strtok(NULL, "\n");

    if (word == NULL || strcmp(word, "quit") == 0) {
        g_main_loop_quit(loop);
    } else if (strcmp(word, "cut") == 0 && rest != NULL && node_of(rest) != 0) {
        hosts[node_of(rest)].cut = true;
        (void)tell_views(NULL);
    } else if (strcmp(word, "off") == 0 && rest != NULL && node_of(rest) != 0) {
        hosts[node_of(rest)].off = true;
        (void)tell_views(NULL);
    } else if (strcmp(word, "start") == 0 && rest != NULL && node_of(rest) != 0) {
        if (host_start(&hosts[node_of(rest)], node_of(rest))) {
            (void)tell_views(NULL);
        }
    } else if (strcmp(word, "heal") == 0) {
        for (int i = 1; i <= HOSTS_MAX; i++) {
            hosts[i].cut = false;
        }
        (void)tell_views(NULL);
    } else if (strcmp(word, "slow") == 0 && rest != NULL) {
        slow_ms = (unsigned)strtoul(rest, NULL, 10);
    } else if (strcmp(word, "garbage") == 0) {
        garbage = true;
    } else if (strcmp(word, "fail") == 0 && rest != NULL) {
        (void)sscanf(rest, "%31s %255[^\n]", fail_action, fail_reason);
    }
    printf("ok\n");
    (void)fflush(stdout);
}

static gboolean on_input(GIOChannel *channel, GIOCondition cond, gpointer unused)
{
    gchar *line = NULL;

    (void)cond;
    (void)unused;
    if (g_io_channel_read_line(channel, &line, NULL, NULL, NULL) != G_IO_STATUS_NORMAL) {
        g_main_loop_quit(loop);
        return G_SOURCE_REMOVE;
    }
    command(line);
    g_free(line);
    return G_SOURCE_CONTINUE;
}

static gboolean look_ready(gpointer unused)
{
    const struct state *s = shell_state(hosts[1].sh);
    unsigned online = 0;
    char why[TEXT_SIZE];

    (void)unused;
    for (uint32_t id = 1; id <= HOSTS; id++) {
        online += state_node(s, id) != NULL && state_node(s, id)->state == NODE_ONLINE;
    }
    if ((fresh || (online == HOSTS && shell_quorate(hosts[1].sh, why, sizeof why))) && !ready) {
        ready = true;
        printf("ready\n");
        (void)fflush(stdout);
    }
    return ready ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static gboolean flush_stores(gpointer unused)
{
    (void)unused;
    for (int i = 1; i <= HOSTS_MAX; i++) {
        if (hosts[i].store != NULL) {
            store_flush(hosts[i].store);
        }
    }
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    const struct ipc_config config = {.name = IPC_NAME, .handle = handle};
    struct err err = ERR_INIT;
    GIOChannel *in;
    bool ok = argc == 2 || argc == 3;

    guests = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    loop = g_main_loop_new(NULL, FALSE);
    dir = ok ? argv[1] : NULL;
    fresh = argc == 3;
    for (uint32_t i = 1; ok && i <= (fresh ? HOSTS - 1 : HOSTS); i++) {
        ok = host_start(&hosts[i], i);
    }
    if (!ok) {
        return 1;
    }
    ctx = (struct command_ctx){hosts[1].sh, &hosts[1].port, "/var/lib/clusterd/volumes", "root@node1"};
    ipc = ipc_new(&config, &err);
    if (ipc == NULL) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    in = g_io_channel_unix_new(STDIN_FILENO);
    (void)g_io_add_watch(in, (GIOCondition)(G_IO_IN | G_IO_HUP), on_input, NULL);
    (void)g_timeout_add(fresh ? 300 : 20, look_ready, NULL); /* all have said what they have by then */
    (void)g_timeout_add(200, flush_stores, NULL);
    (void)tell_views(NULL);
    g_main_loop_run(loop);
    g_io_channel_unref(in);
    ipc_free(ipc);
    for (int i = 1; i <= HOSTS_MAX; i++) {
        shell_free(hosts[i].sh);
        store_free(hosts[i].store);
    }
    g_main_loop_unref(loop);
    g_hash_table_destroy(guests);
    return 0;
}
