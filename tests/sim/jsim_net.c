/*
 * The network is corosync's as it really is: no message is lost within a ring, all come in one order; at a
 * reform a message may have reached some and not others (holes), only its own sender, or come in the new
 * view. Views come to each node in its own time, quorum notices later still.
 */
#include "tests/sim/jsim.h"

#include <stdlib.h>
#include <string.h>

void message_put(struct message *m)
{
    if (--m->refs == 0) {
        free(m);
    }
}

static bool host_there(const struct node *n)
{
    return !n->host_down && !n->host_paused;
}

/* To all daemons of the sender's ring. One order for all: each receiver's queue is filled in order of
 * sending. */
void net_multicast(struct node *from, const uint8_t *data, size_t len)
{
    struct message *m = malloc(sizeof *m + len);

    if (m == NULL) {
        abort();
    }
    m->refs = 1;
    m->from = from->id;
    m->len = len;
    memcpy(m->data, data, len);
    sim.stats.messages++;
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *to = &sim.nodes[i];
        uint64_t at = sim.now + (chance(50) ? draw(20) : draw(3));

        if (to->component != from->component || !to->up || !host_there(to)) {
            continue;
        }
        if (to != from && chance(sim.loss_permille)) {
            sim.stats.lost++;
            continue;
        }
        at = at > to->last_delivery ? at : to->last_delivery;
        to->last_delivery = at;
        m->refs++;
        push((struct item){.at = at, .type = ITEM_DELIVER, .node = i, .session = to->session, .message = m});
    }
    message_put(m);
}

/* Each daemon hears of its ring in its own time, and of the quorum a little later, on another channel. */
void net_announce_views(uint64_t delay)
{
    sim.announcements++;
    for (unsigned i = 0; i < sim.n; i++) {
        uint64_t at = sim.now + delay + draw(30);

        struct item item = {.at = at, .type = ITEM_VIEW, .node = i, .session = sim.nodes[i].session};

        item.view.number = sim.announcements;
        push(item);
        item.at += draw(40);
        item.view.quorum_known = true;
        push(item);
    }
}

/* The ring changes: what was under way falls into holes, reaches only some, or comes in the new view. */
void net_reform(uint64_t delay)
{
    size_t kept = 0;

    for (size_t i = 0; i < sim.n_heap; i++) {
        struct item *item = &sim.heap[i];

        if (item->type == ITEM_DELIVER) {
            const struct node *from = &sim.nodes[item->message->from - 1], *to = &sim.nodes[item->node];
            unsigned permille = from->component != to->component ? 700 : !host_there(from) ? 500 : 200;

            if (from != to && chance(permille)) {
                sim.stats.lost++;
                message_put(item->message);
                continue;
            }
            if (chance(500) && item->at < sim.now + delay) {
                item->at = sim.now + delay; /* delivered in the new view */
            }
            if (sim.nodes[item->node].last_delivery < item->at) {
                sim.nodes[item->node].last_delivery = item->at;
            }
        }
        sim.heap[kept++] = *item;
    }
    sim.n_heap = kept;
    reorder();
    net_announce_views(delay);
}

void net_deliver_view(struct node *n, bool quorum_known)
{
    uint32_t nodes[NODES_MAX];
    unsigned hosts = 0, left = 0, expected = 0;
    size_t count = 0;
    struct journal_event ev = {.type = JOURNAL_EV_VIEW};

    for (unsigned i = 0; i < sim.n; i++) {
        const struct node *other = &sim.nodes[i];

        expected += !other->given_up;
        if (other->component != n->component || !host_there(other)) {
            continue;
        }
        hosts++;
        left += !other->given_up;
        if (other->up) {
            nodes[count++] = other->id;
        }
    }
    ev.view.nodes = nodes;
    ev.view.n = count;
    /* corosync counts hosts, not daemons; who forces a quorum takes those given up out of its configuration.
     */
    ev.view.quorate = quorum_known && (hosts > sim.n / 2 || (sim.force_begun && left > expected / 2));
    ev.view.counter = ++n->view_counter;
    trace("node %u: view of %zu, %squorate", n->id, count, ev.view.quorate ? "" : "not ");
    node_step(n, &ev);
    check_view(n, &ev);
}
