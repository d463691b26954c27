/* A majority that is gone, the operator who forces the quorum, and those given up who come back (A16). */
#include "tests/sim/jsim.h"

#include "journal/internal.h"

static unsigned count_gone(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sim.n; i++) {
        count += sim.nodes[i].gone;
    }
    return count;
}

/* So many hosts at once that those left are no majority of all. */
void force_disaster(void)
{
    unsigned least = (sim.n + 1) / 2, wanted = least + (unsigned)draw(sim.n - least);

    sim.stats.disasters++;
    for (unsigned gone = 0; gone < wanted;) {
        struct node *n = &sim.nodes[draw(sim.n)];

        if (n->gone) {
            continue;
        }
        if (n->up) {
            node_crash(n, true);
        }
        n->gone = n->host_down = true;
        trace("node %u: gone for good", n->id);
        gone++;
    }
    net_reform(draw(1500));
    push((struct item){.at = sim.now + 500 + draw(3000), .type = ITEM_OPERATOR});
}

/* The operator's word: who is gone is given up. He looks first whether all others are there: by its own log n
 * may not know of one that would be the better choice. */
static void force(struct node *n)
{
    uint32_t given[NODES_MAX];
    struct journal_event ev = {.type = JOURNAL_EV_FORCE};

    for (unsigned i = 0; i < sim.n; i++) {
        if (!sim.nodes[i].gone && &sim.nodes[i] != n && !journal_in_view(n->j, i + 1)) {
            return;
        }
    }
    for (unsigned i = 0; i < sim.n; i++) {
        if (sim.nodes[i].gone && jvoters_find(journal_members(n->j), i + 1) != NULL) {
            given[ev.force.n++] = i + 1;
        }
    }
    ev.force.given = given;
    ev.force.payload = "forced";
    ev.force.len = 6;
    sim.stats.force_tries++;
    node_step(n, &ev);
}

/* From the moment that a survivor has taken the command those named stay away until it is committed. */
void force_give_up(const struct node *n, const struct journal_event *ev)
{
    trace("node %u: forces, without %zu", n->id, ev->force.n);
    sim.force_begun = true;
    if (!sim.healed && chance(150)) {
        push((struct item){.at = sim.now + draw(150), .type = ITEM_BLACKOUT});
    }
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *other = &sim.nodes[i];

        if (other->up && chance(200)) {
            other->fragile_until = sim.now + draw(200); /* survivors die around the force */
        }
    }
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *other = &sim.nodes[i];
        const struct journal_uuid *c = &other->disk.now.cluster;

        if (other->gone && !other->given_up) {
            other->given_up = true;
            /* One that belongs to no cluster yet has never counted, and may be taken in as it is. */
            other->given_incarnation = c->lo | c->hi ? other->disk.now.incarnation : 0;
        }
    }
    net_announce_views(draw(50));
}

/* They come back with what they had, or without, or never. */
static void plan_returns(void)
{
    uint64_t spread = chance(400) ? 20 : 6000; /* in a group, or one by one */

    if (sim.returns_planned) {
        return;
    }
    sim.returns_planned = true;

    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        if (!n->gone || chance(200)) {
            continue;
        }
        if (chance(400)) {
            node_lose_disk(n, "its disk is replaced");
        }
        sim.returns_due++;
        push((struct item){
            .at = sim.now + 1 + draw(chance(500) ? 20 : spread), .type = ITEM_RETURN, .node = i});
    }
}

/* Not those who, with what they had, would be a majority by their own word: nothing can promise anything
 * then. The others come back in sight of the survivors, or among themselves. */
void force_come_back(struct node *n)
{
    bool may =
        !check_old_majority(n) || (sim.word_broken && (sim.sides_taken || check_line_everywhere(true)));

    if (!may && (sim.word_broken || (sim.now < SAFETY_MS && chance(800)))) {
        push((struct item){
            .at = sim.now + 1 + draw(500), .type = ITEM_RETURN, .node = (unsigned)(n - sim.nodes)});
        return; /* until others have joined */
    }
    if (!may) {
        node_lose_disk(n, "its disk is replaced");
    }
    if (force_apart() && sim.sides_taken) {
        n->component = 1;
    }
    sim.stats.returned++;
    sim.stats.returned_whole += n->left_behind;
    sim.returns_due--;
    n->gone = false;
    node_boot(n);
}

/* He tries until the force is committed; then those given up may come back. */
void operator_tries(void)
{
    struct node *n = &sim.nodes[draw(sim.n)];

    for (unsigned i = 0; sim.line > 0 && i < sim.n; i++) {
        const struct node *s = &sim.nodes[i];

        if (s->up && s->j->line == sim.line) {
            plan_returns();
            return;
        }
    }
    if (count_gone() == 0) {
        return; /* all was healed before he could do anything */
    }
    for (unsigned tries = chance(100) ? 2 : 1; tries > 0; tries--) { /* two operators, each at another node */
        if (n->up && !n->paused && sim.line == 0 && !sim.failed) {
            force(n);
        }
        n = &sim.nodes[draw(sim.n)];
    }
    push((struct item){.at = sim.now + 1 + draw(sim.force_begun ? 20 : 400), .type = ITEM_OPERATOR});
}

/* ----------------------------------------------------------------------- the operator's word is broken */

/* What n sends, a survivor that does not claim the line. */
bool force_is_heard(const struct node *n)
{
    for (unsigned i = 0;
         sim.word_broken && !sim.healed && !n->left_behind && n->j->line < sim.line && i < sim.n; i++) {
        const struct node *o = &sim.nodes[i];

        if (o->left_behind && o->up && !o->paused && o->component == n->component) {
            return true;
        }
    }
    return false;
}

/*
 * The operator's word is broken: those given up come back with what they had. Power is lost before the
 * survivors' stores know that the set is committed, so they do not claim its line when they stand again, and
 * those who are back (no majority yet) hear of their term. Then they are cut off, all of them, and rule, in
 * any term. As soon as they hear a survivor there is one ruler (SAFETY.md, A16: 3), and no survivor has ever
 * heeded the other. They are not in sight of survivors of whom none knows that the set is committed: there
 * the old set counts.
 */
void force_break_the_word(void)
{
    sim.just_forced = false;
    if (sim.healed || sim.returns_planned || !chance(500) || !check_line_everywhere(false)) {
        return;
    }
    sim.word_broken = sim.returns_planned = true;
    sim.stats.word_broken++;
    push((struct item){.at = sim.now + draw(20), .type = ITEM_BLACKOUT});
    for (unsigned i = 0; i < sim.n; i++) {
        if (sim.nodes[i].gone) {
            sim.returns_due++;
            push((struct item){.at = sim.now + 50 + draw(1500), .type = ITEM_RETURN, .node = i});
        }
    }
}

/* Those left behind on one side, the others on the other. */
void force_take_sides(void)
{
    if (sim.sides_taken) {
        return;
    }
    trace("those left behind are cut off");
    sim.sides_taken = true;
    for (unsigned i = 0; i < sim.n; i++) {
        sim.nodes[i].component = sim.nodes[i].left_behind;
    }
    net_reform(draw(100));
}

bool force_apart(void)
{
    return sim.word_broken && !check_line_everywhere(true);
}

void force_reunite(void)
{
    if (force_apart()) {
        push((struct item){.at = sim.now + 100, .type = ITEM_REUNITE});
        return;
    }
    for (unsigned i = 0; i < sim.n; i++) {
        sim.nodes[i].component = 0;
    }
    net_reform(draw(500));
}
