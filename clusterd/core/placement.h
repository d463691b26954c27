/*
 * placement.h - on which node a VM may be: what an operator's command, a job and the coordinator's choice all
 * ask alike. How the coordinator chooses is in decide.h.
 */
#ifndef CLUSTERD_CORE_PLACEMENT_H
#define CLUSTERD_CORE_PLACEMENT_H

#include "core/state.h"

/* VMs that rules keep together with vm, itself first; returns how many (at most RULE_VMS_MAX). */
unsigned place_group(struct vm *vm, struct vm *out[RULE_VMS_MAX]);
/* The possible owners of the VM; all when no rule names them. The preferred ones; 0 when none. */
node_set place_possible(const struct vm *vm);
node_set place_preferred(const struct vm *vm);

enum place_bar { BAR_NONE, BAR_RULE, BAR_ROOM };
/* The first thing in force against the VM's being put on a node that is there: a rule, or what is spoken for
 * there (u). why names it, with the values; it may be NULL. */
enum place_bar place_barred(const struct state *s, const struct usage *u, const struct vm *vm, uint32_t node,
                            char why[TEXT_SIZE]);

#endif
