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

#define WORDS_MAX 32

struct rig {
    FILE *corpus; /* with --corpus PREFIX: the events, as tests/fuzz/fuzz_events.c reads them */
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
    bool hold;  /* the next fact's decisions wait for the fact after it */
    bool quiet; /* what goes well is not printed */
    struct decisions held;
};

static void die(const char *what, const char *word)
{
    fprintf(stderr, "scenario: %s '%s'\n", what, word);
    exit(2);
}

/* The operations that an event has ended by itself. */
static void ops_ended(const struct state *s, const struct event *e)
{
    for (unsigned i = 0; i < s->ops && e->kind != EV_OP_END; i++) {
        const struct op *o = &s->op[i];

        if (o->state >= OPS_DONE && o->ended_ms == e->time_ms) { /* no two events have one time */
            printf("      operation %llu, %s, is %s%s%s\n", (unsigned long long)o->id, op_kind_key(o->kind),
                   op_state_key(o->state), o->error[0] ? ": " : "", o->error);
        }
    }
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
    core_describe(r->s, e, text, sizeof text); /* before: the job that ends is still known */
    core_apply(r->s, e, r->term, r->index, &out);
    wrong = out.broken != NULL ? out.broken : core_check(r->s);
    if (r->quiet && out.rc == 0 && wrong == NULL) {
        event_fini(e);
        return;
    }
    printf("%3llu %c %s\n", (unsigned long long)r->index, event_who(e->kind), text);
    if (e->why[0] != '\0' && strstr(text, e->why) == NULL) {
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
    ops_ended(r->s, e);
    if (wrong != NULL) {
        printf("      BROKEN: %s\n", wrong);
    }
    event_fini(e);
}

/* What core_decide does not look at again needs nothing. */
static void nothing_missed(struct rig *r)
{
    struct decisions d = {NULL, 0, 0};
    char text[512];

    if (core_decide_all(r->s, &r->w, &d) != 0) {
        die("out of memory", "");
    }
    for (unsigned i = 0; i < d.n; i++) {
        core_describe(r->s, &d.e[i], text, sizeof text);
        printf("      BROKEN: it overlooked: %s\n", text);
    }
    decisions_fini(&d);
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
            nothing_missed(r);
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

static uint64_t number(const char *word)
{
    char *end;
    unsigned long long v = strtoull(word, &end, 10);

    if (end == word || *end != '\0') {
        die("no number", word);
    }
    return v;
}

static uint32_t node_id(const char *word)
{
    long id = strtol(word + strspn(word, "node"), NULL, 10);

    if (id < 1 || id > NODES_MAX) {
        die("no node", word);
    }
    return (uint32_t)id;
}

/* A number, `op` or `op:KIND` (the operation begun last, of that kind) `job` or `rule` (the last one). */
static uint64_t id_named(const struct rig *r, const char *word)
{
    const struct state *s = r->s;

    for (unsigned i = s->ops; i-- > 0 && strncmp(word, "op", 2) == 0;) {
        if (word[2] == '\0' || strcmp(word + 3, op_kind_key(s->op[i].kind)) == 0) {
            return s->op[i].id;
        }
    }
    if (strcmp(word, "rule") == 0 && s->rules > 0) {
        return s->rule[s->rules - 1]->id;
    }
    if (strcmp(word, "job") == 0 && s->jobs > 0) {
        return s->job[s->jobs - 1].id;
    }
    return number(word);
}

static enum job_kind job_named(const char *word)
{
    for (int k = JOB_NONE; k < JOB_KINDS; k++) {
        if (strcmp(job_kind_key((enum job_kind)k), word) == 0) {
            return (enum job_kind)k;
        }
    }
    die("no job", word);
    return JOB_NONE;
}

/* One word behind KIND. A field of the event, a flag, the subject, or a pair of its own. */
static void event_word(const struct rig *r, struct event *e, char *word)
{
    char *eq = strchr(word, '='), *value = eq ? eq + 1 : NULL;

    if (eq == NULL) {
        uint32_t flag = strcmp(word, "force") == 0 ? EVF_FORCE : strcmp(word, "save") == 0 ? EVF_SAVE : 0;

        e->flags |= flag;
        if (flag == 0) {
            snprintf(e->subject, sizeof e->subject, "%s", word);
        }
        return;
    }
    *eq = '\0';
    if (strcmp(word, "node") == 0) {
        e->node = node_id(value);
    } else if (strcmp(word, "to") == 0) {
        e->to = node_id(value);
    } else if (strcmp(word, "id") == 0) {
        e->id = id_named(r, value);
    } else if (strcmp(word, "index") == 0) {
        e->index = number(value);
    } else if (strcmp(word, "num") == 0 || strcmp(word, "level") == 0) {
        e->num = number(value);
    } else if (strcmp(word, "job") == 0) {
        e->num = job_named(value);
    } else if (strcmp(word, "text") == 0) {
        event_set_text(e, value);
    } else {
        event_put(e, word, value);
    }
}

static void event_words(const struct rig *r, struct event *e, char **words, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        event_word(r, e, words[i]);
    }
}

static void play_up(struct rig *r, uint32_t id, bool new_boot, char **words, unsigned n)
{
    struct event e;

    r->w.members |= NODE_BIT(id); /* unless `members` has said so already */
    event_init(&e, EV_NODE_UP);
    e.node = id;
    r->node[id].session = ++r->sessions;
    r->node[id].seq = 0;
    r->node[id].boots += new_boot && !r->node[id].booted;
    r->node[id].booted = false;
    r->w.present |= NODE_BIT(id);
    r->w.observing &= ~NODE_BIT(id);
    r->w.ring |= NODE_BIT(id);
    event_putf(&e, "name", "node%u", id);
    event_putf(&e, "boot", "boot-%u-%u", id, r->node[id].boots);
    event_words(r, &e, words, n);
    if (event_get(&e, "memory_mib") == NULL) {
        event_put(&e, "memory_mib", "4096");
    }
    if (event_get(&e, "feature_level") == NULL) {
        event_putf(&e, "feature_level", "%d", FEATURE_LEVEL);
    }
    event_put(&e, "cpus", "4");
    fact(r, &e, id);
}

/* The same session announces itself again, as after a partition. */
static void play_back(struct rig *r, char **w, unsigned n)
{
    uint32_t id = node_id(w[0]);
    struct event e;

    (void)n;
    event_init(&e, EV_NODE_UP);
    e.node = id;
    r->w.present |= NODE_BIT(id);
    r->w.observing &= ~NODE_BIT(id);
    r->w.ring |= NODE_BIT(id);
    event_putf(&e, "name", "node%u", id);
    event_putf(&e, "boot", "boot-%u-%u", id, r->node[id].boots);
    event_put(&e, "memory_mib", "4096");
    event_putf(&e, "feature_level", "%u", r->s->node[id].feature_level);
    fact(r, &e, id);
}

/* The node has what the cluster knows of. */
static void inventory_same(const struct rig *r, uint32_t id, struct event *e)
{
    for (unsigned i = 0; i < r->s->vms; i++) {
        const struct claim *c = vm_claim(r->s->vm[i], id);

        if (c != NULL) {
            event_put(e, r->s->vm[i]->uuid, obs_key(c->obs));
        }
    }
}

static void play_inventory(struct rig *r, uint32_t id, char **words, unsigned n)
{
    struct event e;

    event_init(&e, EV_INVENTORY);
    e.node = id;
    e.index = r->index;
    e.num = r->term;
    e.flags = EVF_COMPLETE;
    if (n > 0 && strcmp(words[0], "same") == 0) {
        inventory_same(r, id, &e);
        n = 0;
    }
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

static void play_open(struct rig *r, char **w, unsigned n)
{
    uint32_t id = node_id(w[0]);
    struct event e;

    (void)n;
    event_init(&e, EV_OPEN);
    e.origin = id;
    e.num = ++r->term;
    event_putf(&e, "boot", "boot-%u-%u", id, r->node[id].boots);
    r->w.self = id;
    put(r, &e);
}

static void play_vm(struct rig *r, char **words, unsigned n, bool seen)
{
    char same[] = "same";
    bool diskless = false;
    struct event e;

    event_init(&e, EV_CMD_VM_ADD);
    snprintf(e.subject, sizeof e.subject, "%s", words[0]);
    event_set_text(&e, "<domain/>");
    event_putf(&e, "uuid", "00000000-0000-0000-0000-%012u", ++r->vms);
    for (unsigned i = 1; i < n; i++) {
        char *eq = strchr(words[i], '=');

        if (strcmp(words[i], "diskless") == 0) {
            diskless = true;
            continue;
        }
        if (eq == NULL) {
            die("no KEY=VALUE", words[i]);
        }
        *eq = '\0';
        event_put(&e, words[i], eq + 1);
    }
    if (event_get(&e, "memory_mib") == NULL) {
        event_put(&e, "memory_mib", "512");
    }
    if (event_get(&e, "disk") == NULL && !diskless) {
        event_putf(&e, "disk", "/var/lib/clusterd/volumes/vol1/%s.img", words[0]);
    }
    fact(r, &e, r->w.self);
    for (uint32_t id = 1; seen && id <= NODES_MAX; id++) {
        if (r->s->node[id].state == NODE_ONLINE && (r->w.present & NODE_BIT(id)) != 0) {
            play_inventory(r, id, (char *[]){same}, 1);
        }
    }
}

static enum event_kind kind_named(const char *word, char who)
{
    for (int k = EV_NONE + 1; k < EV_COUNT; k++) {
        if (event_who((enum event_kind)k) == who && strcmp(event_key((enum event_kind)k), word) == 0) {
            return (enum event_kind)k;
        }
    }
    die(who == 'C' ? "no command" : who == 'F' ? "no fact" : "no decision", word);
    return EV_NONE;
}

/* do COMMAND …: an operator's */
static void play_command(struct rig *r, char **words, unsigned n)
{
    struct event e;

    event_init(&e, kind_named(words[0], 'C'));
    event_words(r, &e, words + 1, n - 1);
    snprintf(e.by, sizeof e.by, "root@node%u", r->w.self);
    fact(r, &e, r->w.self);
}

/* say N FACT …: of a node about itself */
static void play_say(struct rig *r, char **words, unsigned n)
{
    uint32_t id = node_id(words[0]);
    struct event e;

    event_init(&e, kind_named(words[1], 'F'));
    e.node = id;
    event_words(r, &e, words + 2, n - 2);
    fact(r, &e, id);
}

/* propose DECISION …: what core_decide would not, or what it decided before it knew better */
static void play_propose(struct rig *r, char **words, unsigned n)
{
    struct event e;

    event_init(&e, kind_named(words[0], 'D'));
    e.origin = r->w.self;
    event_words(r, &e, words + 1, n - 1);
    put(r, &e);
}

static void end_job(struct rig *r, const struct job *j, uint64_t code, enum obs_state obs, const char *text,
                    bool conflict)
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
    if (conflict) {
        event_put(&e, "conflict", "1");
    }
    if (code == 0 && (j->kind == JOB_LOCK_HOLD || j->kind == JOB_LOCK_TRY)) {
        event_put(&e, "lock",
                  j->kind == JOB_LOCK_HOLD ? "held"
                  : j->flags & EVF_HELD    ? "refused"
                                           : "granted");
    }
    fact(r, &e, node);
}

/* end KIND [SUBJECT] [node=N] CODE OBS [conflict] [reason…] */
static void play_end(struct rig *r, char **words, unsigned n)
{
    enum job_kind kind = job_named(words[0]);
    const char *subject = NULL;
    char reason[512] = "";
    uint32_t node = 0;
    unsigned at = 1;
    bool conflict;

    for (; at < n && (words[at][0] < '0' || words[at][0] > '9'); at++) {
        if (strncmp(words[at], "node=", 5) == 0) {
            node = node_id(words[at] + 5);
        } else {
            subject = words[at];
        }
    }
    if (at + 2 > n) {
        die("end needs KIND [SUBJECT] CODE OBS, not", words[0]);
    }
    conflict = n > at + 2 && strcmp(words[at + 2], "conflict") == 0;
    for (unsigned i = at + 2 + conflict; i < n; i++) {
        size_t len = strlen(reason);

        snprintf(reason + len, sizeof reason - len, "%s%s", len ? " " : "", words[i]);
    }
    for (unsigned i = 0; i < r->s->jobs; i++) {
        const struct job *j = &r->s->job[i];

        if (j->kind == kind && (subject == NULL || strcmp(j->subject, subject) == 0) &&
            (node == 0 || j->node == node)) {
            end_job(r, j, number(words[at]), obs_from_key(words[at + 1]), reason[0] ? reason : NULL,
                    conflict);
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

static void play_well(struct rig *r, char **w, unsigned n)
{
    (void)w, (void)n;
    for (int i = 0; i < 1000 && r->s->jobs > 0; i++) {
        const struct job *j = &r->s->job[0];

        for (unsigned k = 1; k < r->s->jobs && j->kind == JOB_LOCK_HOLD; k++) {
            j = &r->s->job[k]; /* who holds a lock does so while the others try */
        }
        end_job(r, j, j->kind == JOB_FENCE_STATUS ? 2 : 0, good_end(j->kind), NULL, false);
        settle(r);
    }
}

struct wanted_deadline {
    int kind; /* 0: any */
    struct deadline first;
};

static void fire(void *ctx, const struct deadline *d)
{
    struct wanted_deadline *w = ctx;

    if (w->first.kind == 0 && (w->kind == 0 || w->kind == (int)d->kind)) {
        w->first = *d;
    }
}

/* deadline [KIND] */
static void play_deadline(struct rig *r, char **words, unsigned n)
{
    struct wanted_deadline w = {0, {0}};
    struct event e;

    for (int k = DL_GRACE; n > 0 && k <= DL_ARM; k++) {
        w.kind = strcmp(words[0], deadline_key((enum deadline_kind)k)) == 0 ? k : w.kind;
    }
    core_deadlines(r->s, fire, &w);
    if (w.first.kind == 0 || (n > 0 && w.kind == 0)) {
        die("nothing waits so:", n > 0 ? words[0] : "");
    }
    printf("      after %u ms (%s)\n", w.first.ms, deadline_key(w.first.kind));
    event_init(&e, EV_DEADLINE);
    e.origin = r->w.self;
    e.num = w.first.kind;
    e.id = w.first.id;
    e.index = w.first.n;
    put(r, &e);
}

static void show(struct rig *r, char **w, unsigned n)
{
    const struct state *s = r->s;

    (void)w, (void)n;
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
    for (unsigned i = 0; i < s->volumes; i++) {
        const struct volume *v = s->volume[i];

        if (v->removing || v->error[0] != '\0') {
            printf("    volume %-6s %s%s%s\n", v->name, v->removing ? "goes" : "",
                   v->error[0] ? "error: " : "", v->error);
        }
    }
    for (unsigned i = 0; i < s->ops; i++) {
        const struct op *o = &s->op[i];

        if (o->state < OPS_DONE) {
            printf("    op %llu %s %s %s\n", (unsigned long long)o->id, op_kind_key(o->kind), o->subject,
                   op_state_key(o->state));
        }
    }
}

static void explain(struct rig *r, char **words, unsigned words_n)
{
    struct buf b = BUF_INIT;
    int rc = strcmp(words[0], "vm") == 0 ? core_explain_vm(r->s, &r->w, words[1], &b)
                                         : core_explain_node(r->s, &r->w, words[1], &b);

    (void)words_n;
    if (rc != 0) {
        die("nothing to explain:", words[1]);
    }
    printf("%.*s", (int)b.len, (const char *)b.data);
    buf_fini(&b);
}

/* A snapshot taken and read back must be the same state (S5). Every other time the story goes on with it,
 * every other time with what the core remembers of its last look. */
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
    if (s != NULL && r->index % 2 == 0) {
        state_free(r->s);
        r->s = s;
    } else {
        state_free(s);
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

static void play_gone(struct rig *r, char **w, unsigned n)
{
    node_set bit = NODE_BIT(node_id(w[0]));

    r->w.present &= ~bit;
    r->w.ring &= n > 1 ? r->w.ring : ~bit;
    r->w.observing &= ~bit;
    r->w.observing |= n > 1 && strcmp(w[1], "observing") == 0 ? bit : 0;
}

static void verb_members(struct rig *r, char **w, unsigned n)
{
    r->w.members = 0;
    for (unsigned i = 0; i < n; i++) {
        r->w.members |= NODE_BIT(node_id(w[i]));
    }
}

static void verb_up(struct rig *r, char **w, unsigned n)
{
    play_up(r, node_id(w[0]), true, w + 1, n - 1);
}

static void verb_restart(struct rig *r, char **w, unsigned n)
{
    play_up(r, node_id(w[0]), false, w + 1, n - 1);
}

static void verb_inventory(struct rig *r, char **w, unsigned n)
{
    play_inventory(r, node_id(w[0]), w + 1, n - 1);
}

static void verb_vm(struct rig *r, char **w, unsigned n)
{
    play_vm(r, w, n, true);
}

static void verb_add(struct rig *r, char **w, unsigned n)
{
    play_vm(r, w, n, false);
}

static void play_line(struct rig *r, char *text);

/* runs NAME N [KEY=VALUE…]: it was added, and started on node N; not printed. */
static void verb_runs(struct rig *r, char **w, unsigned n)
{
    char start[160], well[] = "quietly well", *add[WORDS_MAX];

    add[0] = w[0];
    for (unsigned i = 2; i < n; i++) {
        add[i - 1] = w[i];
    }
    r->quiet = true;
    play_vm(r, add, n - 1, true);
    settle(r);
    snprintf(start, sizeof start, "quietly do vm-start %s to=%s", w[0], w[1]);
    play_line(r, start);
    play_line(r, well);
}

static void verb_hold(struct rig *r, char **w, unsigned n)
{
    (void)w, (void)n;
    r->hold = true;
}

static void verb_wait(struct rig *r, char **w, unsigned n)
{
    (void)n;
    r->now_ms += (int64_t)number(w[0]);
}

/* A request of that node does not come through. */
static void verb_lose(struct rig *r, char **w, unsigned n)
{
    (void)n;
    r->node[node_id(w[0])].seq++;
}

static const struct verb {
    const char *name;
    unsigned words; /* at least so many behind it */
    void (*play)(struct rig *r, char **w, unsigned n);
    bool waits; /* nobody decides after it */
} verbs[] = {
    {"hold", 0, verb_hold, true},
    {"wait", 1, verb_wait, true},
    {"lose", 1, verb_lose, true},
    {"power", 1, play_power, true},
    {"members", 1, verb_members, true},
    {"up", 1, verb_up, false},
    {"restart", 1, verb_restart, false},
    {"back", 1, play_back, false},
    {"inventory", 1, verb_inventory, false},
    {"open", 1, play_open, false},
    {"gone", 1, play_gone, false},
    {"vm", 1, verb_vm, false},
    {"add", 1, verb_add, false},
    {"runs", 2, verb_runs, false},
    {"do", 1, play_command, false},
    {"say", 2, play_say, false},
    {"propose", 1, play_propose, false},
    {"end", 3, play_end, false},
    {"well", 0, play_well, false},
    {"deadline", 0, play_deadline, false},
    {"show", 0, show, false},
    {"explain", 2, explain, false},
};

static void play_line(struct rig *r, char *text)
{
    char *w[WORDS_MAX] = {text}, *save = NULL;
    const struct verb *v = NULL;
    unsigned n = 0, at;

    for (char *t = strtok_r(text, " ", &save); t != NULL && n < WORDS_MAX; t = strtok_r(NULL, " ", &save)) {
        w[n++] = t;
    }
    at = strcmp(w[0], "quietly") == 0 && n > 1;
    for (unsigned i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        v = strcmp(verbs[i].name, w[at]) == 0 ? &verbs[i] : v;
    }
    if (v == NULL || n < at + 1 + v->words) {
        die("no such fact, or too few words:", w[at]);
    }
    r->quiet = at != 0;
    v->play(r, w + at + 1, n - at - 1);
    if (!v->waits) {
        settle(r);
        reload(r);
    }
    r->quiet = false;
}

/* "three", "five": so many nodes, a volume, a fence device each, all online. */
static void prelude(struct rig *r, unsigned nodes)
{
    static const char *const lines[] = {"up @", "inventory @",
                                        "do volume-add vol1 type=directory source=/srv/vol1", "well",
                                        "do fence-add ipmi@ agent=fence_ipmilan nodes=@"};
    char text[128] = "quietly open 1";

    r->w.members = (NODE_BIT(nodes) << 1) - 1;
    play_line(r, text);
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        for (unsigned id = 1; id <= (strchr(lines[i], '@') != NULL ? nodes : 1); id++) {
            snprintf(text, sizeof text, "quietly %s", lines[i]);
            for (char *at = strchr(text, '@'); at != NULL; at = strchr(text, '@')) {
                *at = (char)('0' + id);
            }
            play_line(r, text);
        }
    }
    r->index = 99; /* a story's numbers do not depend on what was before it */
    printf("--- %s nodes, one volume, a fence device each\n", nodes == 3 ? "three" : "five");
}

int main(int argc, char **argv)
{
    struct rig r = {.s = state_new("test"), .w.level = FEATURE_LEVEL};
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
    }
    while (fgets(text, sizeof text, f) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        if (text[0] == '#' || text[0] == '\0') {
            puts(text);
            continue;
        }
        printf("> %s\n", text);
        if (strcmp(text, "three") == 0 || strcmp(text, "five") == 0) {
            prelude(&r, strcmp(text, "three") == 0 ? 3 : 5);
        } else {
            play_line(&r, text);
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
        state_encode(r.s, &b);
        fwrite(b.data, 1, b.len, r.corpus);
        fclose(r.corpus);
        buf_fini(&b);
    }
    state_free(r.s);
    return 0;
}
