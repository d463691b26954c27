#include "tests/faults/world.h"

#include <dirent.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rc.h"
#include "tests/faults/fault.h"

#define NEVER       UINT64_MAX
#define GUESTS_MAX  8
#define AGENTS_MAX  64
#define INDEX_MAX   20000
#define RESTART_MS  200
#define AGENT_MS    20
#define VOLUME_PATH "/var/lib/clusterd/volumes"

struct message {
    struct message *next;
    uint32_t from;
    size_t len;
    uint8_t data[];
};

struct agent {
    uint64_t due_ms; /* 0: this slot is free */
    uint64_t id;
    struct host *host;
    unsigned start; /* of its daemon; it outlives it */
    char name[64], action[32], uuid[40];
    uint32_t target;
    bool fence, paused, cannot;
};

struct guest {
    char uuid[40];
    uint32_t node; /* 0: nowhere */
    bool paused;
};

struct host hosts[HOSTS + 1];
uint64_t world_now;
bool world_verbose;
int world_answer;

static struct message *queue, **queue_end = &queue;
static struct agent agents[AGENTS_MAX];
static struct guest guests[GUESTS_MAX];
static struct hash digests[INDEX_MAX]; /* S5: by index, as the first one had it */
static bool digest_known[INDEX_MAX];
static uint64_t digest_seen[HOSTS + 1];
static uint64_t views, randoms, request;
static bool views_due;
static char wrong[1000];
static char base[100];

void world_blame(const char *fmt, ...)
{
    va_list ap;

    if (wrong[0] == '\0') {
        va_start(ap, fmt);
        (void)vsnprintf(wrong, sizeof wrong, fmt, ap);
        va_end(ap);
    }
}

const char *world_wrong(void)
{
    return wrong[0] != '\0' ? wrong : NULL;
}

/* The stores draw their identities: the same in each run. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < len; i++) {
        randoms = randoms * 6364136223846793005ULL + 1442695040888963407ULL;
        ((uint8_t *)out)[i] = (uint8_t)(randoms >> 40);
    }
    return (ssize_t)len;
}

/* ---- the network ---- */

static int port_send(void *self, const void *data, size_t len)
{
    struct message *m = fault_calloc(1, sizeof *m + len);

    m->from = ((struct host *)self)->id;
    m->len = len;
    memcpy(m->data, data, len);
    *queue_end = m;
    queue_end = &m->next;
    return 0;
}

static void deliver(void)
{
    struct message *m = queue;

    queue = m->next;
    if (queue == NULL) {
        queue_end = &queue;
    }
    for (int i = 1; i <= HOSTS; i++) {
        if (hosts[i].sh != NULL) {
            fault_host = hosts[i].id;
            shell_message(hosts[i].sh, m->from, m->data, m->len);
        }
    }
    free(m);
}

static void tell_views(void)
{
    node_set present = 0, ring = 0;
    unsigned n = 0;

    views_due = false;
    views++;
    for (int i = 1; i <= HOSTS; i++) {
        present |= hosts[i].sh != NULL ? NODE_BIT(i) : 0;
        ring |= hosts[i].powered ? NODE_BIT(i) : 0;
        n += hosts[i].powered;
    }
    for (int i = 1; i <= HOSTS; i++) {
        if (hosts[i].sh != NULL) {
            fault_host = hosts[i].id;
            shell_view(hosts[i].sh, present, ring, n > HOSTS / 2, views);
        }
    }
}

/* ---- agents ---- */

static struct guest *guest_of(const char *uuid)
{
    for (int i = 0; i < GUESTS_MAX; i++) {
        if (strcmp(guests[i].uuid, uuid) == 0 || guests[i].uuid[0] == '\0') {
            (void)snprintf(guests[i].uuid, sizeof guests[i].uuid, "%s", uuid);
            return &guests[i];
        }
    }
    abort();
}

uint32_t world_guest(const char *name)
{
    const struct state *s = world_state();
    const struct vm *vm = s != NULL ? state_vm(s, name) : NULL;

    return vm != NULL ? guest_of(vm->uuid)->node : 0;
}

static bool agent_works(uint32_t node, const char *uuid)
{
    for (int i = 0; i < AGENTS_MAX; i++) {
        if (agents[i].due_ms != 0 && agents[i].host->id == node && strcmp(agents[i].uuid, uuid) == 0 &&
            strcmp(agents[i].action, "inventory") != 0) {
            return true;
        }
    }
    return false;
}

static void inventory(const struct agent *a, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "libvirt: ok\n");
    unsigned n = 0;

    for (int i = 0; i < GUESTS_MAX && guests[i].uuid[0] != '\0'; i++) {
        const struct guest *g = &guests[i];
        bool held = agent_works(a->host->id, g->uuid);

        if (g->node == a->host->id || held) {
            at += (size_t)snprintf(out + at, size - at, "vm %s %s x pid=7 lock=%s\n", g->uuid,
                                   g->node != a->host->id ? "unknown"
                                   : g->paused            ? "paused"
                                                          : "running",
                                   held ? "held" : "free");
            n++;
        }
    }
    (void)snprintf(out + at, size - at, "end %u\n", n);
}

/* S1 and S7 as libvirt would suffer them. */
static void vm_action(const struct agent *a, char *out, size_t size)
{
    struct guest *g = guest_of(a->uuid);
    uint32_t here = a->host->id;

    if (strcmp(a->action, "stop") == 0 || strcmp(a->action, "save") == 0) {
        g->node = g->node == here ? 0 : g->node;
    } else if (strcmp(a->action, "migrate_to") == 0) {
        if (g->node == here && hosts[a->target].powered) {
            g->node = a->target;
            g->paused = a->paused;
        }
    } else if (strcmp(a->action, "reset") != 0) {
        if (g->node != 0 && g->node != here) {
            world_blame("S1: VM %s is launched (%s) on node %u while it runs on node %u", a->uuid, a->action,
                        here, g->node);
        }
        g->node = here;
        g->paused = strcmp(a->action, "restore") == 0;
    }
    (void)snprintf(out, size, "state: %s\n", g->node != here ? "absent" : g->paused ? "paused" : "running");
}

static int fence_action(const struct agent *a)
{
    struct host *t = &hosts[a->target];

    if (strcmp(a->action, "status") == 0) {
        return t->powered ? 0 : 2;
    }
    host_power(t, false);
    return 0;
}

static void agent_end(struct agent *a)
{
    struct agent done = *a;
    struct run_result r = {.started = !a->cannot, .output = ""};
    static char out[4000];

    out[0] = '\0';
    r.output = out;
    a->due_ms = 0;
    if (done.cannot) {
        (void)snprintf(r.reason, sizeof r.reason, "it cannot be started: Resource temporarily unavailable");
    } else if (done.fence) {
        r.code = fence_action(&done);
    } else if (strcmp(done.name, "SharedVolume") == 0) {
        (void)snprintf(out, sizeof out, "size_bytes: 1000000000\nfree_bytes: 400000000\n");
    } else if (strcmp(done.action, "inventory") == 0) {
        inventory(&done, out, sizeof out);
    } else {
        vm_action(&done, out, sizeof out);
    }
    if (done.host->sh != NULL && done.host->starts == done.start) {
        fault_host = done.host->id;
        if (strcmp(done.action, "migrate_to") == 0) {
            shell_run_line(done.host->sh, done.id, "progress: 0.42");
        }
        shell_run_done(done.host->sh, done.id, &r);
    }
}

static const char *param(const struct run_spec *spec, const char *key)
{
    for (unsigned i = 0; i < spec->params; i++) {
        if (strcmp(spec->param[i].key, key) == 0) {
            return spec->param[i].value;
        }
    }
    return NULL;
}

static uint32_t node_of(const char *name)
{
    return name != NULL && strncmp(name, "node", 4) == 0 ? (uint32_t)(name[4] - '0') : 0;
}

/* What must never be missing, whatever fails: without it the agent would do something else. */
static void check_params(const struct run_spec *spec)
{
    bool vm = strcmp(spec->agent, "VirtualMachine") == 0, move = strcmp(spec->action, "migrate_to") == 0;
    const char *state_file = param(spec, "state_file");

    if ((vm && (param(spec, "hypervisor") == NULL || param(spec, "lock_dir") == NULL)) ||
        (vm && spec->xml_uuid != NULL && param(spec, "uuid") == NULL) ||
        (move && (node_of(param(spec, "CRM_meta_migrate_target")) == 0 || !param(spec, "migration_uri") ||
                  (!param(spec, "migrate_paused") && !param(spec, "migrate_unsafe")))) ||
        (vm && (strcmp(spec->action, "save") == 0 || strcmp(spec->action, "restore") == 0) &&
         (state_file == NULL || state_file[0] == '\0' || param(spec, "tag") == NULL)) ||
        (spec->fence && node_of(param(spec, "host")) == 0) || param(spec, "CRM_meta_timeout") == NULL) {
        world_blame("agent %s %s is started without a parameter that it needs", spec->agent, spec->action);
    }
}

static int port_run(void *self, const struct run_spec *spec)
{
    struct agent *a = agents;

    check_params(spec);
    while (a < agents + AGENTS_MAX && a->due_ms != 0) {
        a++;
    }
    if (a == agents + AGENTS_MAX) {
        return RC_BUSY;
    }
    *a = (struct agent){.due_ms = world_now + AGENT_MS, .id = spec->id, .host = self, .fence = spec->fence};
    a->start = a->host->starts;
    a->cannot = fault_hits(FAULT_SPAWN);
    (void)snprintf(a->name, sizeof a->name, "%s", spec->agent);
    (void)snprintf(a->action, sizeof a->action, "%s", spec->action);
    (void)snprintf(a->uuid, sizeof a->uuid, "%s", param(spec, "uuid") ? param(spec, "uuid") : "");
    a->target = node_of(param(spec, spec->fence ? "host" : "CRM_meta_migrate_target"));
    a->paused = param(spec, "migrate_paused") != NULL;
    return 0;
}

static void port_cancel(void *self, uint64_t id)
{
    (void)self;
    (void)id;
}

static bool port_orphans(void *self)
{
    for (int i = 0; i < AGENTS_MAX; i++) {
        if (agents[i].due_ms != 0 && agents[i].fence && agents[i].host == self &&
            agents[i].start != agents[i].host->starts) {
            return true;
        }
    }
    return false;
}

/* ---- clock, log, clients ---- */

static uint64_t port_now(void *self)
{
    (void)self;
    return world_now;
}

static int64_t port_wall(void *self)
{
    (void)self;
    return (int64_t)world_now + 1700000000000;
}

static uint64_t port_random(void *self)
{
    uint64_t v;

    (void)self;
    (void)getrandom(&v, sizeof v, 0);
    return v | 1;
}

static void port_answer(void *self, uint64_t id, int rc, const struct err *err, uint64_t op)
{
    struct host *h = self;

    if (h->sh != NULL) {
        json_object_put(command_answer(&h->ctx, id, rc, err, op));
    }
    if (id == request && world_answer == WORLD_WAITS) {
        world_answer = rc;
    }
}

static void port_log(void *self, enum log_level level, const char *text)
{
    const struct host *h = self;

    if (world_verbose && level <= LOG_L_NOTICE) {
        (void)printf("%8" PRIu64 " node%u: %s\n", world_now, h->id, text);
    }
    if (strstr(text, "contradicts itself") != NULL) {
        world_blame("node%u: %s", h->id, text);
    }
}

static void on_say(void *self, const char *text)
{
    port_log(self, LOG_L_ERROR, text);
}

static void on_pending(void *self)
{
    struct host *h = self;

    if (h->flush_ms == NEVER) {
        h->flush_ms = world_now + 500;
    }
}

void world_ask(uint32_t id, const char *text)
{
    struct host *h = &hosts[id];
    struct json_object *o, *reply = NULL, *rc;
    struct err err = ERR_INIT;

    world_answer = WORLD_WAITS;
    request++;
    if (h->sh == NULL) {
        world_answer = RC_UNREACHABLE;
        return;
    }
    fault_host = id;
    o = command_parse(text, strlen(text), &err);
    if (o == NULL) {
        world_answer = err.rc;
    } else if (command_handle(&h->ctx, o, request, &reply) != COMMAND_DEFERRED) {
        world_answer = reply != NULL && json_object_object_get_ex(reply, "rc", &rc) ? json_object_get_int(rc)
                                                                                    : RC_FAILED;
        if (world_verbose) {
            (void)printf("%8" PRIu64 " answer: %.300s\n", world_now, json_object_to_json_string(reply));
        }
    }
    json_object_put(reply);
    json_object_put(o);
}

/* ---- hosts ---- */

static void shell_make(struct host *h)
{
    struct shell_config c = {.self = h->id,
                             .memory_mib = 4096,
                             .cpus = 4,
                             .configured = {1, 2, 3},
                             .configureds = HOSTS,
                             .hypervisor = "test:///",
                             .migration_uri = "test://%s/",
                             .volume_dir = VOLUME_PATH,
                             .agent_lock_dir = "/nonexistent",
                             .snapshot_entries = 40};
    struct ports p = {.msg = {h, port_send},
                      .run = {h, port_run, port_cancel, port_orphans},
                      .clock = {h, port_now, port_wall, port_random},
                      .client = {h, port_answer, port_log}};
    struct journal_load load;
    struct err err = ERR_INIT;

    (void)snprintf(c.name, sizeof c.name, "node%u", h->id);
    (void)snprintf(c.cluster, sizeof c.cluster, "desk");
    memcpy(c.boot, h->boot, sizeof c.boot);
    c.session = h->session = port_random(NULL);
    store_port(h->store, &h->port);
    p.store = h->port;
    if (h->port.load(h->port.ctx, &load, &err) == 0) {
        h->sh = shell_new(&c, &p, &load, &err);
    }
    if (h->sh == NULL) {
        char text[1000];

        (void)snprintf(text, sizeof text, "cannot start: %s", err.msg);
        port_log(h, LOG_L_ERROR, text);
        if (err.rc == 0 || err.msg[0] == '\0') {
            world_blame("node%u does not start, and does not say why", h->id);
        }
    }
}

static void host_start(struct host *h)
{
    h->start_ms = h->flush_ms = NEVER;
    h->starts++;
    fault_host = h->id;
    h->store = store_new(h->dir, on_say, on_pending, h);
    if (h->store != NULL) {
        shell_make(h);
    }
    if (h->sh == NULL) {
        host_kill(h, RESTART_MS);
        return;
    }
    h->ctx = (struct command_ctx){h->sh, &h->port, VOLUME_PATH, "root@node1"};
    digest_seen[h->id] = 0;
    views_due = true;
}

void host_kill(struct host *h, uint64_t start_ms)
{
    struct shell *sh = h->sh;

    fault_host = h->id;
    h->sh = NULL;
    shell_free(sh);
    store_free(h->store);
    h->store = NULL;
    h->flush_ms = NEVER;
    h->start_ms = start_ms == NEVER ? NEVER : world_now + start_ms;
    views_due = true;
}

void host_power(struct host *h, bool on)
{
    if (on == h->powered) {
        return;
    }
    h->powered = on;
    if (on) {
        (void)snprintf(h->boot, sizeof h->boot, "boot-%u-%u", h->id, ++h->boots);
        h->start_ms = world_now + RESTART_MS;
        views_due = true;
        return;
    }
    h->off_ms = world_now;
    host_kill(h, NEVER);
    for (int i = 0; i < AGENTS_MAX; i++) {
        agents[i].due_ms = agents[i].host == h ? 0 : agents[i].due_ms;
    }
    for (int i = 0; i < GUESTS_MAX; i++) {
        guests[i].node = guests[i].node == h->id ? 0 : guests[i].node;
    }
}

unsigned host_asides(const struct host *h)
{
    char path[200];
    const struct dirent *e;
    unsigned n = 0;
    DIR *d;

    (void)snprintf(path, sizeof path, "%s/aside", h->dir);
    d = opendir(path);
    while (d != NULL && (e = readdir(d)) != NULL) {
        n += e->d_name[0] != '.';
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return n;
}

/* ---- time ---- */

/* S5: whoever has applied up to an index has the same state there, today or at a replay. */
static void check_digest(const struct host *h)
{
    const struct state *s = shell_state(h->sh);
    struct hash digest;

    if (s->index == digest_seen[h->id] || s->index == 0 || s->index >= INDEX_MAX || shell_may_exit(h->sh)) {
        return;
    }
    digest_seen[h->id] = s->index;
    fault_pause(true);
    digest = state_digest(s);
    fault_pause(false);
    if (digest_known[s->index] && !hash_eq(digest, digests[s->index])) {
        world_blame("S5: node%u has another state after entry %" PRIu64 " than was there before", h->id,
                    s->index);
    }
    digest_known[s->index] = true;
    digests[s->index] = digest;
}

const struct state *world_state(void)
{
    const struct state *best = NULL;
    char why[TEXT_SIZE];

    for (int i = 1; i <= HOSTS; i++) {
        const struct host *h = &hosts[i];

        if (h->sh != NULL && shell_quorate(h->sh, why, sizeof why) &&
            (best == NULL || shell_state(h->sh)->index > best->index)) {
            best = shell_state(h->sh);
        }
    }
    return best;
}

unsigned world_votes(void)
{
    static struct journal_status status;
    unsigned votes = 0;

    for (int i = 1; i <= HOSTS; i++) {
        if (hosts[i].sh != NULL && journal_is_coordinator(shell_journal(hosts[i].sh))) {
            journal_status(shell_journal(hosts[i].sh), &status);
            votes = status.present_votes;
        }
    }
    return votes;
}

static void host_turn(struct host *h)
{
    if (h->sh == NULL && h->start_ms <= world_now && h->powered) {
        host_start(h);
    }
    if (h->sh != NULL && h->flush_ms <= world_now) {
        h->flush_ms = NEVER;
        fault_host = h->id;
        store_flush(h->store);
    }
    if (h->sh != NULL && shell_next_ms(h->sh) <= world_now) {
        fault_host = h->id;
        shell_tick(h->sh);
    }
    if (h->sh != NULL) {
        check_digest(h);
        if (shell_may_exit(h->sh)) {
            host_kill(h, RESTART_MS);
        }
    }
}

static void turn(void)
{
    if (views_due) {
        tell_views();
    }
    for (int n = 0; n < 200 && queue != NULL; n++) {
        deliver();
        for (int i = 1; i <= HOSTS; i++) {
            if (hosts[i].sh != NULL) {
                check_digest(&hosts[i]);
            }
        }
    }
    for (int i = 0; i < AGENTS_MAX; i++) {
        if (agents[i].due_ms != 0 && agents[i].due_ms <= world_now) {
            agent_end(&agents[i]);
        }
    }
    for (int i = 1; i <= HOSTS; i++) {
        host_turn(&hosts[i]);
    }
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_ms(void)
{
    uint64_t next = views_due || queue != NULL ? 0 : NEVER;

    for (int i = 0; i < AGENTS_MAX; i++) {
        next = agents[i].due_ms != 0 ? sooner(next, agents[i].due_ms) : next;
    }
    for (int i = 1; i <= HOSTS; i++) {
        next = sooner(next, sooner(hosts[i].start_ms, hosts[i].flush_ms));
        next = hosts[i].sh != NULL ? sooner(next, shell_next_ms(hosts[i].sh)) : next;
    }
    return next;
}

void world_pass(unsigned ms)
{
    uint64_t end = world_now + ms;

    while (world_now < end && world_wrong() == NULL) {
        uint64_t next;

        turn();
        next = next_ms();
        world_now = next <= world_now ? world_now + 1 : sooner(next, end);
    }
}

/* ---- the whole ---- */

static void remove_tree(const char *path)
{
    const struct dirent *e;
    DIR *d = opendir(path);

    while (d != NULL && (e = readdir(d)) != NULL) {
        char sub[500];

        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            (void)snprintf(sub, sizeof sub, "%.200s/%.250s", path, e->d_name);
            if (unlink(sub) < 0) {
                remove_tree(sub);
            }
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    (void)rmdir(path);
}

void world_begin(const char *dir)
{
    fault_off();
    memset(agents, 0, sizeof agents);
    memset(guests, 0, sizeof guests);
    memset(digest_known, 0, sizeof digest_known);
    wrong[0] = '\0';
    world_now = 1000;
    views = request = 0;
    randoms = 4711;
    (void)snprintf(base, sizeof base, "%s", dir);
    for (uint32_t i = 1; i <= HOSTS; i++) {
        struct host *h = &hosts[i];

        *h = (struct host){.id = i, .powered = true, .start_ms = world_now + i, .flush_ms = NEVER};
        (void)snprintf(h->dir, sizeof h->dir, "%s/node%u", base, i);
        (void)snprintf(h->boot, sizeof h->boot, "boot-%u-0", i);
        remove_tree(h->dir);
        if (mkdir(h->dir, 0700) != 0) {
            perror(h->dir);
            exit(2);
        }
    }
}

void world_end(void)
{
    fault_off();
    for (int i = 1; i <= HOSTS; i++) {
        host_kill(&hosts[i], NEVER);
        remove_tree(hosts[i].dir);
    }
    while (queue != NULL) {
        struct message *m = queue;

        queue = m->next;
        free(m);
    }
    queue_end = &queue;
}
