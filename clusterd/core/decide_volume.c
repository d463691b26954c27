/* decide_volume.c - a volume belongs on every node (REQ-C1), and its image locks are to be proven (C5). */
#include "core/decide.h"

void decide_volume(struct decide *d, const struct volume *v)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        node_set bit = NODE_BIT(id);
        bool online = (v->online & bit) != 0;
        struct event *e;

        if (!decide_ready(d, id) || ((v->busy | v->wait) & bit) != 0 || online != v->removing) {
            continue;
        }
        e = decide_emit(d, EV_JOB,
                        v->removing ? "volume '%s' is being removed" : "volume '%s' belongs on every node",
                        v->name);
        if (e != NULL) {
            e->num = v->removing ? JOB_VOLUME_STOP : JOB_VOLUME_START;
            e->node = id;
            text_copy(e->subject, sizeof e->subject, v->name);
        }
    }
}

node_set volume_provable(const struct decide *d, const struct volume *v)
{
    node_set set = 0;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (decide_ready(d, id) && (v->online & ~v->unproven & NODE_BIT(id)) != 0) {
            set |= NODE_BIT(id);
        }
    }
    /* n x n tries: in larger clusters a migrated VM arrives paused instead */
    return __builtin_popcountll(set) <= PROOF_NODES_MAX ? set : 0;
}

static struct event *emit_lock_job(struct decide *d, const struct volume *v, enum job_kind kind,
                                   uint32_t node, const char *why)
{
    struct event *e = decide_emit(d, EV_JOB, "%s", why);

    if (e != NULL) {
        e->num = kind;
        e->node = node;
        e->to = kind == JOB_LOCK_TRY ? v->prover : 0;
        e->flags = kind == JOB_LOCK_TRY && v->holding ? EVF_HELD : 0;
        text_copy(e->subject, sizeof e->subject, v->name);
    }
    return e;
}

/* C5: one node holds an image lock, all others must be refused; released, they must get it. Then the next. */
void decide_locks(struct decide *d, const struct volume *v)
{
    node_set set = v->removing ? 0 : volume_provable(d, v);
    bool under_way = v->holding || volume_is_tried(d->s, v);
    /* One tries at a time: two could refuse each other, which would prove nothing. */
    bool turn = v->prover != 0 && (v->busy & ~NODE_BIT(v->prover)) == 0;

    for (uint32_t b = 1; b <= NODES_MAX && v->prover != 0; b++) {
        node_set bit = NODE_BIT(b);

        if (b == v->prover || (set & bit) == 0 || (v->proven[v->prover] & bit) != 0) {
            continue;
        }
        if (!v->holding && (v->refused & bit) == 0) {
            continue; /* it came too late for this round */
        }
        under_way = under_way || (v->busy & bit) != 0 || !v->holding;
        if (turn && ((v->holding ? v->refused : v->granted) & bit) == 0) {
            (void)emit_lock_job(d, v, JOB_LOCK_TRY, b,
                                v->holding
                                    ? "C5: another node holds the image lock, so it must be refused here"
                                    : "C5: the image lock is free again, so it must be granted here");
            turn = false;
        }
    }
    for (uint32_t a = 1; a <= NODES_MAX && !under_way; a++) {
        if ((set & NODE_BIT(a)) != 0 && (set & ~v->proven[a] & ~NODE_BIT(a)) != 0 &&
            (v->busy & NODE_BIT(a)) == 0) {
            (void)emit_lock_job(d, v, JOB_LOCK_HOLD, a,
                                "C5: do image locks hold between this node and the others?");
            return;
        }
    }
}
