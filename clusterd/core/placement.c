/* placement.c - which node: what rules one out, and which of the others is best (REQ-P1: with its reasons).
 */
#include "core/decide.h"

#include <string.h>

static uint64_t room_mib(const struct decide *d, uint32_t node)
{
    uint64_t total = d->s->node[node].memory_mib;

    return d->used[node] < total ? total - d->used[node] : 0;
}

static bool volumes_fit(const struct decide *d, const struct vm *vm, uint32_t node, bool *soon, char *why)
{
    for (unsigned i = 0; i < vm->disks; i++) {
        const struct volume *v = vm_volume(d->s, vm->disk[i]);

        if (v == NULL) {
            text_format(why, TEXT_SIZE, "disk '%s' is on no shared volume", vm->disk[i]);
            return false;
        }
        if ((v->online & NODE_BIT(node)) == 0) {
            *soon |= (v->wait & NODE_BIT(node)) == 0;
            text_format(why, TEXT_SIZE, "volume '%s' is not online there%s%s", v->name,
                        v->error[0] ? ": " : "", v->error);
            return false;
        }
    }
    return true;
}

bool place_fits(const struct decide *d, const struct vm *vm, uint32_t node, const struct place *p, bool *soon,
                char why[TEXT_SIZE])
{
    const struct node *n = &d->s->node[node];
    uint64_t need = vm->memory_mib + d->s->opt.vm_overhead_mib;

    if ((p->avoid & NODE_BIT(node)) != 0) {
        text_format(why, TEXT_SIZE, "it is to leave that node");
        return false;
    }
    if (n->state != NODE_ONLINE || n->mode != MODE_ACTIVE) {
        *soon |= n->state == NODE_JOINING && n->mode == MODE_ACTIVE;
        text_format(why, TEXT_SIZE, "the node is %s",
                    n->state != NODE_ONLINE ? node_state_key(d->s, n) : node_mode_key(n->mode));
        return false;
    }
    if (!decide_ready(d, node)) {
        *soon = true;
        text_format(why, TEXT_SIZE, "its inventory of this term is not there yet");
        return false;
    }
    if ((p->tried & NODE_BIT(node)) != 0) {
        text_format(why, TEXT_SIZE, "it was tried there in this operation and failed");
        return false;
    }
    if (!volumes_fit(d, vm, node, soon, why)) {
        return false;
    }
    if (p->need_room && vm_claim(vm, node) == NULL && room_mib(d, node) < need) {
        text_format(why, TEXT_SIZE, "no room: needs %llu MiB (%llu and %u overhead), %llu of %llu are free",
                    (unsigned long long)need, (unsigned long long)vm->memory_mib, d->s->opt.vm_overhead_mib,
                    (unsigned long long)room_mib(d, node), (unsigned long long)n->memory_mib);
        return false;
    }
    text_format(why, TEXT_SIZE, "possible: %llu of %llu MiB are free", (unsigned long long)room_mib(d, node),
                (unsigned long long)n->memory_mib);
    return true;
}

uint32_t place_choose(const struct decide *d, const struct vm *vm, const struct place *p, bool *soon,
                      char why[TEXT_SIZE])
{
    uint32_t best = 0;
    char reason[TEXT_SIZE], last[TEXT_SIZE] = "there are no nodes";
    unsigned fit = 0;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if (d->s->node[id].id == 0) {
            continue;
        }
        if (!place_fits(d, vm, id, p, soon, reason)) {
            text_format(last, sizeof last, "node '%s': %s", d->s->node[id].name, reason);
            continue;
        }
        fit++;
        if (id == p->prefer) {
            text_format(why, TEXT_SIZE, "node '%s' was asked for and can take it", d->s->node[id].name);
            return id;
        }
        /* Stay where it was; else where most memory is free; else the lowest id. */
        if (best == 0 || id == vm->owner || (best != vm->owner && room_mib(d, id) > room_mib(d, best))) {
            best = id;
        }
    }
    if (best == 0) {
        text_format(why, TEXT_SIZE, "no node can take it; %s", last);
    } else if (best == vm->owner) {
        text_format(why, TEXT_SIZE, "node '%s' is where it was", d->s->node[best].name);
    } else {
        text_format(why, TEXT_SIZE, "node '%s' has most memory free (%llu MiB) of %u possible",
                    d->s->node[best].name, (unsigned long long)room_mib(d, best), fit);
    }
    return best;
}
