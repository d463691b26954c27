/* What is asked of the journal: facts, changes of its members, and its creation (A10). */
#include "tests/sim/jsim.h"

#include <string.h>

#include "journal/internal.h"

static void propose(struct node *n)
{
    static uint8_t payload[JOURNAL_PAYLOAD_MAX];
    struct journal_event ev = {.type = JOURNAL_EV_PROPOSE};
    uint64_t number = ++sim.proposals;

    memcpy(payload, &number, sizeof number);
    ev.propose.payload = payload;
    ev.propose.len = chance(sim.big_permille) ? sizeof payload - draw(100) : 8 + draw(40);
    node_step(n, &ev);
}

static void change_members(struct node *n)
{
    struct journal_event ev = {.type = chance(500) ? JOURNAL_EV_MEMBER_ADD : JOURNAL_EV_MEMBER_REMOVE};

    ev.member.node = (uint32_t)(1 + draw(sim.n));
    if (sim.healed || !check_may_lose(&sim.nodes[ev.member.node - 1])) {
        ev.type = JOURNAL_EV_MEMBER_ADD; /* an operator would not remove a node that is needed */
    }
    sim.stats.member_changes++;
    node_step(n, &ev);
}

void client_asks(void)
{
    struct node *n = node_coordinator();
    struct journal_event resign = {.type = JOURNAL_EV_RESIGN};

    if (n != NULL) {
        /* At the end new facts cease, so that all can be equal. */
        bool quiet = sim.now > SAFETY_MS + QUIET_MS;

        for (uint64_t i = quiet ? 0 : 1 + (chance(100) ? draw(20) : draw(3)); i > 0 && n->up && !sim.failed;
             i--) {
            propose(n);
        }
        if (chance(sim.healed ? 200 : sim.member_permille) && !sim.failed) {
            change_members(n);
        }
        if (!sim.healed && chance(5) && !sim.failed) {
            node_step(n, &resign);
        }
    }
    push((struct item){.at = sim.now + 1 + draw(2 * sim.client_every_ms), .type = ITEM_CLIENT});
}

static bool cluster_exists(void)
{
    for (unsigned i = 0; i < sim.n; i++) {
        const struct node *n = &sim.nodes[i];

        if ((n->disk.now.cluster.lo | n->disk.now.cluster.hi) != 0 || (n->up && !journal_is_empty(n->j))) {
            return true;
        }
    }
    return false;
}

/* `cluster create` on one node of each part of the network. It is for a cluster that is nowhere yet. */
void operator_creates(void)
{
    struct journal_event ev = {.type = JOURNAL_EV_CREATE};
    unsigned done = 0; /* a bit for each part */
    bool exists = cluster_exists();

    for (unsigned i = 0, first = (unsigned)draw(sim.n); i < sim.n && !exists && !sim.failed; i++) {
        struct node *n = &sim.nodes[(first + i) % sim.n];

        if (n->up && !n->paused && (done & 1U << n->component) == 0) {
            done |= 1U << n->component;
            sim.stats.create_tries++;
            trace("node %u: the operator creates the cluster", n->id);
            node_step(n, &ev);
        }
    }
}
