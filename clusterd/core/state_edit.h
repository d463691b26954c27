/*
 * state_edit.h - changing the state: for apply.c, its helpers and the codec only.
 */
#ifndef CLUSTERD_CORE_STATE_EDIT_H
#define CLUSTERD_CORE_STATE_EDIT_H

#include "common/mutant.h"
#include "common/rc.h"
#include "core/state.h"

/* Copies text, cut to size - 1 bytes; the rest is zero, so that equal texts are equal bytes. NULL is "". */
void text_copy(char *out, size_t size, const char *text);

/* The same for a formatted text. */
void text_format(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

void vm_free(struct vm *vm);
void fence_free(struct fence_device *f);

/* Each takes the object over; RC_NO_MEMORY leaves it with the caller. Its name (and uuid) must be new. */
int state_add_vm(struct state *s, struct vm *vm);
int state_add_volume(struct state *s, struct volume *v);
int state_add_fence(struct state *s, struct fence_device *f);
void state_remove_vm(struct state *s, struct vm *vm);
void state_remove_volume(struct state *s, struct volume *v);
void state_remove_fence(struct state *s, struct fence_device *f);

/* NULL: out of memory. Pointers to operations and jobs die with the next add or remove. */
struct op *state_add_op(struct state *s, uint64_t id, enum op_kind kind);
/* The same without forgetting old ended ones: for the codec, whose result must be what was written. */
struct op *state_append_op(struct state *s, uint64_t id, enum op_kind kind);
struct job *state_add_job(struct state *s, uint64_t id, enum job_kind kind);
void state_remove_job(struct state *s, struct job *j);

/* Takes the rule, whose VMs are sorted; RC_NO_MEMORY leaves it with the caller. */
int state_add_rule(struct state *s, struct rule *r);
void state_remove_rule(struct state *s, struct rule *r);
void rule_free(struct rule *r);
/* Takes the VM out of all rules; one that says nothing any more goes. */
void state_unrule_vm(struct state *s, struct vm *vm);

/* Arrays of pointers that grow at powers of two; n is how many are in it, and the caller counts. Room for one
 * more; into an array sorted by the string at `offset` of each object; out of either. RC_NO_MEMORY. */
int list_reserve(void ***array, unsigned n);
int list_insert(void ***array, unsigned n, size_t offset, void *object);
void list_drop(void **array, unsigned n, const void *object);

bool path_is_below(const char *path, const char *dir);
/* The shared volume that a disk lies on; NULL: on none. */
const struct volume *vm_volume(const struct state *s, const char *disk);
/* Brings what is derived from a VM, and its share of s->used, up to date. */
void state_account_vm(struct state *s, struct vm *vm);
void state_account(struct state *s);
/* The VM leaves the state: gives back what is spoken for it; no derived list names it any more. */
void state_account_gone(struct state *s, const struct vm *vm);
/* The VMs that have a claim on the node, or are unseen there; maybe more. Borrowed until the entry's end. */
struct vm *const *state_on(const struct state *s, uint32_t node, unsigned *n);
/* What is derived is what it would be if it were derived anew. */
bool state_accounts(const struct state *s);
/* core_decide has to look at it, or need not any more. */
void state_look_at(struct state *s, struct vm *vm, bool wanted);
/* The entry at hand may have changed this VM (NULL: any, and nodes): what is derived follows. */
void state_touch(struct state *s, struct vm *vm);
void state_touch_begin(struct state *s);
void state_touch_end(struct state *s);

#endif
