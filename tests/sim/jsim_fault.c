/* The faults, and their end. */
#include "tests/sim/jsim.h"

static void partition(void)
{
    unsigned parts = chance(300) ? 1 : (unsigned)(2 + draw(2));

    if (force_apart()) {
        return;
    }
    sim.stats.partitions++;
    for (unsigned i = 0; i < sim.n; i++) {
        sim.nodes[i].component = (unsigned)draw(parts);
    }
    trace("partition in up to %u parts: %u %u %u %u %u", parts, sim.nodes[0].component,
          sim.nodes[1].component, sim.nodes[2].component, sim.nodes[3].component, sim.nodes[4].component);
    net_reform(draw(1000));
}

void fault_crash(struct node *n)
{
    /* Asked before it dies: a change of the members that it has sent may be on the way while no disk has it.
     */
    bool host = chance(500), may_lose = check_may_lose(n);

    node_crash(n, host);
    if (chance(150) && may_lose) {
        node_lose_disk(n, "its disk is lost");
    } else if (chance(400) && may_lose && disk_shorten(&n->disk, &n->owed)) {
        trace("node %u: its store is shortened", n->id);
        n->aside_expected = true;
        sim.stats.shortened++;
    }
    n->restart_at = sim.now + 1 + draw(chance(500) ? 300 : sim.away_ms);
    push((struct item){.at = n->restart_at, .type = ITEM_RESTART, .node = (unsigned)(n - sim.nodes)});
    if (host) {
        net_reform(draw(1500));
    } else {
        net_announce_views(draw(50));
    }
}

void fault_blackout(void)
{
    sim.stats.blackouts++;
    trace("all power is lost");
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        if (n->up) {
            node_crash(n, true);
        }
        n->restart_at = sim.now + 1 + draw(4000);
        push((struct item){.at = n->restart_at, .type = ITEM_RESTART, .node = i});
    }
    net_reform(draw(100));
}

static void fault_pause(struct node *n)
{
    sim.stats.pauses++;
    n->paused = true;
    n->host_paused = chance(500);
    n->resume_at = sim.now + 1 + draw(chance(500) ? 600 : 6000);
    trace("node %u: %s pauses until %llu", n->id, n->host_paused ? "host" : "daemon",
          (unsigned long long)n->resume_at);
    push_node(n, ITEM_RESUME, n->resume_at - sim.now);
    if (n->host_paused) {
        net_reform(draw(1500));
    }
}

/* Half of the faults are for the coordinator: there they hurt most. */
static struct node *victim(void)
{
    struct node *n = chance(500) ? node_coordinator() : NULL;

    return n ? n : &sim.nodes[draw(sim.n)];
}

void fault_any(void)
{
    struct node *n = victim();

    switch (draw(14)) {
    case 0:
    case 1:
    case 2:
        if (n->up) {
            fault_crash(n);
        }
        break;
    case 3:
        if (n->up && !n->paused) {
            fault_pause(n);
        }
        break;
    case 4:
    case 5:
    case 6:
        partition();
        break;
    case 7:
        n->disk.full_until = sim.now + draw(1500);
        break;
    case 8:
        n->disk.slow_until = sim.now + draw(3000);
        break;
    case 9:
        n->clock_base += draw(chance(500) ? 300 : 5000);
        break;
    case 10:
        disk_remember(&n->disk);
        break;
    case 11:
        n->disk.hung_until = sim.now + draw(6000);
        break;
    case 12:
        n->fragile_until = sim.now + draw(500);
        break;
    default:
        if (chance(300)) {
            fault_blackout();
        }
        break;
    }
    push((struct item){.at = sim.now + 1 + draw(2 * sim.fault_every_ms), .type = ITEM_FAULT});
}

void fault_heal(void)
{
    sim.healed = true;
    sim.loss_permille = 0;
    trace("all is healed");
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        n->component = force_apart() && n->left_behind;
        n->disk.full_until = n->disk.slow_until = n->disk.hung_until = 0;
        n->gone = n->gone && sim.force_begun; /* else its power is back */
        if (!n->up && !n->gone) {
            push((struct item){.at = sim.now + draw(500), .type = ITEM_RESTART, .node = i});
        } /* who is paused goes on in its time */
    }
    net_reform(draw(500));
    if (force_apart()) {
        force_reunite();
    }
}
