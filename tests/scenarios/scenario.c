/*
 * scenario.c - plays a scenario against the core and prints what it decides and why.
 *
 * A scenario is a text of one fact a line (see tests/scenarios/README.md); its golden trace stands beside it.
 * After each fact the core decides until it has nothing more to do, as the coordinator would.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rc.h"
#include "core/core.h"

#define WORDS_MAX 24

struct rig {
    FILE *corpus; /* with --corpus PREFIX: the events, as tests/fuzz/fuzz_core.c reads them */
    struct state *s;
    struct world w;
    uint64_t term, index, sessions;
    struct {
        uint64_t session, seq;
        unsigned boots;
        bool booted; /* by `power`, and not announced yet */
    } node[NODES_MAX + 1];
    int64_t now_ms;
    unsigned vms;
    bool hold; /* the next fact's decisions wait for the fact after it */
    struct decisions held;
};

static void die(const char *what, const char *word)
{
    fprintf(stderr, "scenario: %s '%s'\n", what, word);
    exit(2);
}

/* Applies one event, prints what it was and what came of it. */
static void put(struct rig *r, struct event *e)
{
    struct applied out;
    char text[512];
    const char *wrong;

    if (r->corpus != NULL) {
        struct buf one = BUF_INIT, framed = BUF_INIT;

        event_encode(e, &one);
        buf_blob(&framed, one.data, one.len);
        fwrite(framed.data, 1, framed.len, r->corpus);
        buf_fini(&one);
        buf_fini(&framed);
    }
    r->index++;
    r->now_ms += 10;
    e->time_ms = r->now_ms;
    core_apply(r->s, e, r->term, r->index, &out);
    core_describe(r->s, e, text, sizeof text);
    printf("%3llu %c %s\n", (unsigned long long)r->index, event_who(e->kind), text);
    if (e->why[0] != '\0') {
        printf("      why: %s\n", e->why);
    }
    if (out.rc != 0) {
        printf("      REJECTED (%s): %s\n", rc_key(out.rc), out.err.msg);
        if (out.err.hint[0] != '\0') {
            printf("      hint: %s\n", out.err.hint);
        }
    } else if (out.alarm) {
        printf("      ALARM: %s\n", out.err.msg);
    }
    wrong = core_check(r->s);
    if (wrong != NULL) {
        printf("      BROKEN: %s\n", wrong);
    }
    event_fini(e);
}

static void settle(struct rig *r)
{
    for (unsigned i = 0; i < r->held.n; i++) {
        put(r, &r->held.e[i]);
    }
    decisions_fini(&r->held);
    if ((r->w.present & NODE_BIT(r->w.self)) == 0) {
        return; /* the coordinator is gone: nobody decides before the next opens its term */
    }
    if (r->hold) {
        r->hold = false;
        if (core_decide(r->s, &r->w, &r->held) != 0) {
            die("out of memory", "");
        }
        return;
    }
    for (int round = 0; round < 100; round++) {
        struct decisions d = {NULL, 0, 0};

        if (core_decide(r->s, &r->w, &d) != 0) {
            die("out of memory", "");
        }
        if (d.n == 0) {
            decisions_fini(&d);
            return;
        }
        for (unsigned i = 0; i < d.n; i++) {
            put(r, &d.e[i]);
        }
        decisions_fini(&d);
    }
    printf("      BROKEN: it decides for ever\n");
}

static void fact(struct rig *r, struct event *e, uint32_t node)
{
    e->origin = node;
    e->session = r->node[node].session;
    e->seq = ++r->node[node].seq;
    put(r, e);
}

static uint32_t node_id(const char *word)
{
    long id = strtol(word + strspn(word, "node"), NULL, 10);

    if (id < 1 || id > NODES_MAX) {
        die("no node", word);
    }
    return (uint32_t)id;
}

static void play_up(struct rig *r, uint32_t id, bool new_boot)
{
    struct event e;

    event_init(&e, EV_NODE_UP);
    e.node = id;
    r->node[id].session = ++r->sessions;
    r->node[id].seq = 0;
    r->node[id].boots += new_boot && !r->node[id].booted;
    r->node[id].booted = false;
    r->w.present |= NODE_BIT(id);
    r->w.ring |= NODE_BIT(id);
    event_putf(&e, "name", "node%u", id);
    event_putf(&e, "boot", "boot-%u-%u", id, r->node[id].boots);
    event_put(&e, "memory_mib", "4096");
    event_put(&e, "cpus", "4");
    fact(r, &e, id);
}

/* The same session announces itself again, as after a partition. */
static void play_back(struct rig *r, uint32_t id)
{
    struct event e;

    event_init(&e, EV_NODE_UP);
    e.node = id;
    r->w.present |= NODE_BIT(id);
    r->w.ring |= NODE_BIT(id);
    event_putf(&e, "name", "node%u", id);
    event_putf(&e, "boot", "boot-%u-%u", id, r->node[id].boots);
    event_put(&e, "memory_mib", "4096");
    fact(r, &e, id);
}

static void play_inventory(struct rig *r, uint32_t id, char **words, unsigned n)
{
    struct event e;

    event_init(&e, EV_INVENTORY);
    e.node = id;
    e.index = r->index;
    e.num = r->term;
    e.flags = EVF_COMPLETE;
    for (unsigned i = 0; i < n; i++) {
        char *eq = strchr(words[i], '=');
        const struct vm *vm;

        if (eq == NULL) {
            die("no VM=state", words[i]);
        }
        *eq = '\0';
        vm = state_vm(r->s, words[i]);
        event_put(&e, vm ? vm->uuid : words[i], eq + 1);
    }
    fact(r, &e, id);
}

static void play_open(struct rig *r, uint32_t id)
{
    struct event e;

    event_init(&e, EV_OPEN);
    e.origin = id;
    e.num = ++r->term;
    event_putf(&e, "boot", "boot-%u-%u", id, r->node[id].boots);
    r->w.self = id;
    put(r, &e);
}

static void play_vm(struct rig *r, char **words, unsigned n, bool seen)
{
    struct event e;

    event_init(&e, EV_CMD_VM_ADD);
    snprintf(e.subject, sizeof e.subject, "%s", words[0]);
    event_set_text(&e, "<domain/>");
    event_putf(&e, "uuid", "00000000-0000-0000-0000-%012u", ++r->vms);
    for (unsigned i = 1; i < n; i++) {
        char *eq = strchr(words[i], '=');

        if (eq == NULL) {
            die("no KEY=VALUE", words[i]);
        }
        *eq = '\0';
        event_put(&e, words[i], eq + 1);
    }
    if (event_get(&e, "memory_mib") == NULL) {
        event_put(&e, "memory_mib", "512");
    }
    if (event_get(&e, "disk") == NULL) {
        event_putf(&e, "disk", "/var/lib/clusterd/volumes/vol1/%s.img", words[0]);
    }
    fact(r, &e, r->w.self);
    for (uint32_t id = 1; seen && id <= NODES_MAX; id++) {
        if (r->s->node[id].state == NODE_ONLINE && (r->w.present & NODE_BIT(id)) != 0) {
            play_inventory(r, id, NULL, 0);
        }
    }
}

static enum event_kind command_kind(const char *word)
{
    for (int k = EV_NONE + 1; k < EV_COUNT; k++) {
        if (event_who((enum event_kind)k) == 'C' && strcmp(event_key((enum event_kind)k), word) == 0) {
            return (enum event_kind)k;
        }
    }
    die("no command", word);
    return EV_NONE;
}

/* do COMMAND [SUBJECT] [node=N] [to=N] [id=N] [force] [save] [KEY=VALUE…] */
static void play_command(struct rig *r, char **words, unsigned n)
{
    struct event e;

    event_init(&e, command_kind(words[0]));
    for (unsigned i = 1; i < n; i++) {
        char *eq = strchr(words[i], '=');

        if (eq == NULL && strcmp(words[i], "force") == 0) {
            e.flags |= EVF_FORCE;
        } else if (eq == NULL && strcmp(words[i], "save") == 0) {
            e.flags |= EVF_SAVE;
        } else if (eq == NULL) {
            snprintf(e.subject, sizeof e.subject, "%s", words[i]);
        } else if (strncmp(words[i], "node=", 5) == 0) {
            e.node = node_id(eq + 1);
        } else if (strncmp(words[i], "to=", 3) == 0) {
            e.to = node_id(eq + 1);
        } else if (strncmp(words[i], "id=", 3) == 0) {
            e.id = strtoull(eq + 1, NULL, 10);
        } else if (strncmp(words[i], "level=", 6) == 0) {
            e.num = strtoull(eq + 1, NULL, 10);
        } else {
            *eq = '\0';
            event_put(&e, words[i], eq + 1);
        }
    }
    snprintf(e.by, sizeof e.by, "root@node%u", r->w.self);
    fact(r, &e, r->w.self);
}

static void end_job(struct rig *r, const struct job *j, uint64_t code, enum obs_state obs, const char *text)
{
    struct event e;
    uint32_t node = j->node;

    event_init(&e, EV_JOB_RESULT);
    e.id = j->id;
    e.node = node;
    e.num = code;
    e.obs = obs;
    if (text != NULL) {
        event_set_text(&e, text);
    }
    if (code == 0 && (j->kind == JOB_LOCK_HOLD || j->kind == JOB_LOCK_TRY)) {
        event_put(&e, "lock",
                  j->kind == JOB_LOCK_HOLD ? "held"
                  : j->flags & EVF_HELD    ? "refused"
                                           : "granted");
    }
    fact(r, &e, node);
}

/* end KIND [SUBJECT] CODE OBS [reason…] */
static void play_end(struct rig *r, char **words, unsigned n)
{
    const char *subject = n > 3 && (words[1][0] < '0' || words[1][0] > '9') ? words[1] : NULL;

    if (n < 3) {
        die("end needs KIND [SUBJECT] CODE OBS, not", words[0]);
    }
    for (unsigned i = 0; i < r->s->jobs; i++) {
        const struct job *j = &r->s->job[i];
        unsigned at = subject != NULL ? 2 : 1;

        if (strcmp(job_kind_key(j->kind), words[0]) == 0 &&
            (subject == NULL || strcmp(j->subject, subject) == 0)) {
            end_job(r, j, strtoull(words[at], NULL, 10), obs_from_key(words[at + 1]),
                    n > at + 2 ? words[at + 2] : NULL);
            return;
        }
    }
    die("no such job in flight:", words[0]);
}

/* What a job that goes well leaves on its executor. */
static enum obs_state good_end(enum job_kind k)
{
    switch (k) {
    case JOB_START:
    case JOB_RESUME:
    case JOB_RESET:
        return OBS_RUNNING;
    case JOB_RESTORE:
        return OBS_PAUSED;
    case JOB_STOP:
    case JOB_SAVE:
    case JOB_MIGRATE:
    case JOB_PROBE:
        return OBS_ABSENT;
    case JOB_NONE:
    case JOB_FENCE:
    case JOB_FENCE_STATUS:
    case JOB_VOLUME_START:
    case JOB_VOLUME_STOP:
    case JOB_LOCK_HOLD:
    case JOB_LOCK_TRY:
    case JOB_KINDS:
        break;
    }
    return OBS_UNKNOWN;
}

static void play_well(struct rig *r)
{
    for (int i = 0; i < 1000 && r->s->jobs > 0; i++) {
        const struct job *j = &r->s->job[0];

        end_job(r, j, j->kind == JOB_FENCE_STATUS ? 2 : 0, good_end(j->kind), NULL);
        settle(r);
    }
}

static void fire(void *ctx, const struct deadline *d)
{
    struct deadline *first = ctx;

    if (first->ms == 0) {
        *first = *d;
    }
}

static void play_deadline(struct rig *r)
{
    struct deadline d = {0};
    struct event e;

    core_deadlines(r->s, fire, &d);
    if (d.ms == 0) {
        die("nothing waits", "");
    }
    printf("      after %u ms\n", d.ms);
    event_init(&e, EV_DEADLINE);
    e.origin = r->w.self;
    e.num = d.kind;
    e.id = d.id;
    e.index = d.n;
    put(r, &e);
}

static void show(const struct rig *r)
{
    const struct state *s = r->s;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (s->node[id].id != 0) {
            printf("    node %-8s %s, %s\n", s->node[id].name, node_state_key(s, &s->node[id]),
                   node_mode_key(s->node[id].mode));
        }
    }
    for (unsigned i = 0; i < s->vms; i++) {
        const struct vm *vm = s->vm[i];

        printf("    vm %-10s %s on %u, wanted %s, owner %u%s%s\n", vm->name, vm_state_key(s, vm),
               vm_where(s, vm), vm_wanted_key(vm->wanted), vm->owner, vm->error[0] ? ", error: " : "",
               vm->error);
    }
    for (unsigned i = 0; i < s->ops; i++) {
        const struct op *o = &s->op[i];

        if (o->state < OPS_DONE) {
            printf("    op %llu %s %s %s\n", (unsigned long long)o->id, op_kind_key(o->kind), o->subject,
                   op_state_key(o->state));
        }
    }
}

static void explain(const struct rig *r, char **words)
{
    struct buf b = BUF_INIT;
    int rc = strcmp(words[0], "vm") == 0 ? core_explain_vm(r->s, &r->w, words[1], &b)
                                         : core_explain_node(r->s, &r->w, words[1], &b);

    if (rc != 0) {
        die("nothing to explain:", words[1]);
    }
    printf("%.*s", (int)b.len, (const char *)b.data);
    buf_fini(&b);
}

/* A snapshot taken and read back must be the same state (S5). */
static void reload(struct rig *r)
{
    struct buf b = BUF_INIT;
    struct err err;
    struct state *s;

    state_encode(r->s, &b);
    s = state_decode(b.data, b.len, &err);
    if (s == NULL || !hash_eq(state_digest(s), state_digest(r->s))) {
        printf("      BROKEN: the state changes when it is written and read\n");
    }
    if (s != NULL) {
        state_free(r->s);
        r->s = s;
    }
    buf_fini(&b);
}

/* All lose their power at once; these have booted and see each other. Nobody decides before one opens a term.
 */
static void play_power(struct rig *r, char **w, unsigned n)
{
    r->w.present = r->w.ring = 0;
    for (unsigned i = 0; i < n; i++) {
        r->w.present |= NODE_BIT(node_id(w[i]));
    }
    r->w.ring = r->w.present;
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        r->node[id].boots++;
        r->node[id].booted = true;
    }
}

static void play(struct rig *r, char **w, unsigned n)
{
    if (strcmp(w[0], "hold") == 0) {
        r->hold = true;
        return;
    } else if (strcmp(w[0], "power") == 0) {
        play_power(r, w + 1, n - 1);
        return;
    } else if (strcmp(w[0], "up") == 0) {
        play_up(r, node_id(w[1]), true);
    } else if (strcmp(w[0], "restart") == 0) {
        play_up(r, node_id(w[1]), false);
    } else if (strcmp(w[0], "back") == 0) {
        play_back(r, node_id(w[1]));
    } else if (strcmp(w[0], "inventory") == 0) {
        play_inventory(r, node_id(w[1]), w + 2, n - 2);
    } else if (strcmp(w[0], "open") == 0) {
        play_open(r, node_id(w[1]));
    } else if (strcmp(w[0], "gone") == 0) {
        r->w.present &= ~NODE_BIT(node_id(w[1]));
        r->w.ring &= n > 2 ? r->w.ring : ~NODE_BIT(node_id(w[1]));
    } else if (strcmp(w[0], "vm") == 0) {
        play_vm(r, w + 1, n - 1, true);
    } else if (strcmp(w[0], "add") == 0) {
        play_vm(r, w + 1, n - 1, false);
    } else if (strcmp(w[0], "do") == 0) {
        play_command(r, w + 1, n - 1);
    } else if (strcmp(w[0], "end") == 0) {
        play_end(r, w + 1, n - 1);
    } else if (strcmp(w[0], "well") == 0) {
        play_well(r);
    } else if (strcmp(w[0], "deadline") == 0) {
        play_deadline(r);
    } else if (strcmp(w[0], "show") == 0) {
        show(r);
    } else if (strcmp(w[0], "explain") == 0 && n == 3) {
        explain(r, w + 1);
    } else {
        die("no such fact:", w[0]);
    }
    settle(r);
    reload(r);
}

/* "three": three nodes, a volume, a fence device each, all online. */
static void prelude(struct rig *r)
{
    static const char *const lines[] = {"open 1",
                                        "up 1",
                                        "up 2",
                                        "up 3",
                                        "inventory 1",
                                        "inventory 2",
                                        "inventory 3",
                                        "do volume-add vol1 type=directory source=/srv/vol1",
                                        "well",
                                        "do fence-add ipmi1 agent=fence_ipmilan nodes=1",
                                        "do fence-add ipmi2 agent=fence_ipmilan nodes=2",
                                        "do fence-add ipmi3 agent=fence_ipmilan nodes=3",
                                        NULL};
    FILE *real = stdout;

    stdout = fopen("/dev/null", "w");
    for (unsigned i = 0; lines[i] != NULL; i++) {
        char text[128], *w[WORDS_MAX], *save = NULL;
        unsigned n = 0;

        snprintf(text, sizeof text, "%s", lines[i]);
        for (char *t = strtok_r(text, " ", &save); t != NULL && n < WORDS_MAX;
             t = strtok_r(NULL, " ", &save)) {
            w[n++] = t;
        }
        play(r, w, n);
    }
    fclose(stdout);
    stdout = real;
    printf("--- three nodes, one volume, a fence device each\n");
}

int main(int argc, char **argv)
{
    struct rig r = {.s = state_new("test")};
    FILE *f = argc == 2 || argc == 3 ? fopen(argv[1], "r") : NULL;
    char text[1024];

    if (f == NULL || r.s == NULL) {
        fprintf(stderr, "usage: scenario FILE [CORPUS]   CORPUS.events and CORPUS.state are written\n");
        return 2;
    }
    if (argc == 3) {
        snprintf(text, sizeof text, "%s.events", argv[2]);
        r.corpus = fopen(text, "w");
        if (r.corpus == NULL) {
            die("cannot write", text);
        }
        fputc(1, r.corpus);
    }
    while (fgets(text, sizeof text, f) != NULL) {
        char *w[WORDS_MAX], *save = NULL;
        unsigned n = 0;

        text[strcspn(text, "\n")] = '\0';
        if (text[0] == '#' || text[0] == '\0') {
            puts(text);
            continue;
        }
        printf("> %s\n", text);
        for (char *t = strtok_r(text, " ", &save); t != NULL && n < WORDS_MAX;
             t = strtok_r(NULL, " ", &save)) {
            w[n++] = t;
        }
        if (strcmp(w[0], "three") == 0) {
            prelude(&r);
        } else {
            play(&r, w, n);
        }
    }
    fclose(f);
    if (r.corpus != NULL) {
        struct buf b = BUF_INIT;

        fclose(r.corpus);
        snprintf(text, sizeof text, "%s.state", argv[2]);
        r.corpus = fopen(text, "w");
        if (r.corpus == NULL) {
            die("cannot write", text);
        }
        fputc(0, r.corpus);
        state_encode(r.s, &b);
        fwrite(b.data, 1, b.len, r.corpus);
        fclose(r.corpus);
        buf_fini(&b);
    }
    state_free(r.s);
    return 0;
}
