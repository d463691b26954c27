#include "tests/cli/shell_double.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rc.h"

struct event double_event;
struct applied double_applied;
bool double_quorate = true;

static struct state *state;
static struct buf snapshot;

static void put(struct event *e, uint32_t node)
{
    const struct node *n = state_node(state, node);
    struct applied out;

    e->origin = node;
    e->session = node ? 100 + node : 0;
    e->seq = n != NULL ? n->seq + 1 : 1;
    core_apply(state, e, 1, state->index + 1, &out);
    if (out.rc != 0) {
        (void)fprintf(stderr, "%s: %s\n", event_key(e->kind), out.err.msg);
        abort();
    }
    event_fini(e);
}

static void node_speaks(uint32_t id)
{
    struct event e;

    event_init(&e, EV_INVENTORY);
    e.node = id;
    e.num = 1;
    e.index = state->index;
    e.flags = EVF_COMPLETE;
    put(&e, id);
}

static void node_comes(uint32_t id)
{
    struct event e;

    event_init(&e, EV_NODE_UP);
    e.node = id;
    (void)event_putf(&e, "name", "node%u", id);
    (void)event_put(&e, "boot", "b");
    (void)event_put(&e, "memory_mib", "4096");
    put(&e, id);
    node_speaks(id);
}

static void vm_runs(void)
{
    struct event e;

    event_init(&e, EV_CMD_VM_ADD);
    (void)snprintf(e.subject, sizeof e.subject, "web1");
    (void)event_set_text(&e, "<domain/>");
    (void)event_put(&e, "uuid", "00000000-0000-0000-0000-000000000001");
    (void)event_put(&e, "memory_mib", "512");
    (void)event_put(&e, "disk", "/var/lib/clusterd/volumes/vol1/web1.img");
    (void)event_put(&e, "start", "1");
    put(&e, 1);
    for (uint32_t id = 1; id <= 3; id++) {
        node_speaks(id); /* C1: it runs nowhere yet */
    }
    event_init(&e, EV_JOB);
    e.num = JOB_START;
    e.node = 1;
    e.id = state->vm[0]->op;
    (void)snprintf(e.subject, sizeof e.subject, "web1");
    put(&e, 0);
    event_init(&e, EV_JOB_RESULT);
    e.id = state->index;
    e.node = 1;
    e.obs = OBS_RUNNING;
    put(&e, 1);
    event_init(&e, EV_OP_END);
    e.id = state->vm[0]->op;
    e.num = OPS_DONE;
    put(&e, 0);
}

static void build(void)
{
    struct event e;

    state = state_new("double");
    state->term = 1;
    for (uint32_t id = 1; id <= 3; id++) {
        node_comes(id);
    }
    event_init(&e, EV_CMD_VOLUME_ADD);
    (void)snprintf(e.subject, sizeof e.subject, "vol1");
    (void)event_put(&e, "type", "directory");
    (void)event_put(&e, "source", "/srv/vol1");
    put(&e, 1);
    event_init(&e, EV_CMD_FENCE_ADD);
    (void)snprintf(e.subject, sizeof e.subject, "ipmi2");
    (void)event_put(&e, "agent", "fence_ipmilan");
    (void)event_put(&e, "nodes", "2");
    (void)event_put(&e, "param.password", "secret");
    put(&e, 1);
    state->volume[0]->online = 7; /* as the agents' results would have made it */
    vm_runs();
    state_encode(state, &snapshot);
}

void double_reset(void)
{
    if (snapshot.len == 0) {
        build();
    }
    state_free(state);
    state = state_decode(snapshot.data, snapshot.len, NULL);
    assert(state != NULL);
    event_fini(&double_event);
}

void double_fini(void)
{
    state_free(state);
    state = NULL;
    buf_fini(&snapshot);
    event_fini(&double_event);
}

struct state *double_state(void)
{
    return state;
}

static int history_read(void *ctx, const struct history_filter *f,
                        void (*cb)(void *cb_ctx, const struct history_row *row), void *cb_ctx)
{
    const struct history_row row = {.time_ms = 1, .term = 1, .index = 9, .kind = "vm-add", .vm = "web1"};

    (void)ctx;
    if (f->after_index < 9) {
        cb(cb_ctx, &row);
    }
    return 0;
}

struct command_ctx double_ctx(void)
{
    static const struct store_port store = {.history_read = history_read};
    struct command_ctx ctx = {NULL, &store, "/var/lib/clusterd/volumes", "root@node1"};

    return ctx;
}

/* ---- the shell's side ---- */

const struct state *shell_state(const struct shell *sh)
{
    (void)sh;
    return state;
}

const struct journal *shell_journal(const struct shell *sh)
{
    (void)sh;
    return NULL;
}

void shell_world(const struct shell *sh, struct world *w)
{
    (void)sh;
    *w = (struct world){.self = 1, .present = 7, .ring = 7, .members = 7, .level = FEATURE_LEVEL};
}

bool shell_quorate(const struct shell *sh, char *why, size_t size)
{
    (void)sh;
    (void)snprintf(why, size, double_quorate ? "" : "1 of 3 votes, 2 are needed");
    return double_quorate;
}

const char *shell_alarm(const struct shell *sh)
{
    (void)sh;
    return "";
}

double shell_progress(const struct shell *sh, uint64_t op)
{
    (void)sh;
    (void)op;
    return 0.421;
}

void shell_command(struct shell *sh, uint64_t request, struct event *e)
{
    struct buf b = BUF_INIT;
    struct event copy;
    const char *broken;

    (void)sh;
    (void)request;
    e->origin = 1;
    e->session = 101;
    e->seq = state_node(state, 1)->seq + 1;
    event_encode(e, &b);
    assert(!b.failed && b.len <= JOURNAL_PAYLOAD_MAX);
    assert(event_decode(&copy, b.data, b.len, NULL) == 0);
    buf_fini(&b);
    event_fini(&copy);
    core_apply(state, e, 1, state->index + 1, &double_applied);
    broken = core_check(state);
    if (broken != NULL) {
        (void)fprintf(stderr, "%s\n", broken);
        abort();
    }
    event_fini(&double_event);
    double_event = *e;
}

int shell_create(struct shell *sh, struct err *err)
{
    (void)sh;
    return err_set(err, RC_REFUSED, "this node belongs to a cluster already");
}

int shell_force(struct shell *sh, node_set down, const char *by, struct err *err)
{
    (void)sh;
    (void)down;
    (void)by;
    return err_set(err, RC_REFUSED, "there is a coordinator: nothing has to be forced");
}
