/*
 * inventory.h - what libvirt, /proc and the locks say of this host's VMs, put together by C3.
 */
#ifndef CLUSTERD_AGENTS_INVENTORY_H
#define CLUSTERD_AGENTS_INVENTORY_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "qemu.h"
#include "virt.h"

struct inventory_seen {
    bool answered;        /* libvirt did answer */
    enum virt_state said; /* what, if it did */
    pid_t pid;            /* of its QEMU; 0 none; negative: /proc could not be read */
    bool locked;          /* an agent is at work on it */
};

struct inventory_vm {
    char uuid[QEMU_UUID_SIZE];
    char name[256];
    struct inventory_seen seen;
};

struct inventory {
    bool answered;
    struct inventory_vm *vms; /* owned */
    size_t n;
};

/*
 * C3: running, … only when both libvirt and /proc show it; absent only when libvirt says so, no QEMU exists
 * and no agent is at work; everything else is unknown.
 */
enum virt_state inventory_settle(const struct inventory_seen *s);

void inventory_init(struct inventory *inv);
void inventory_fini(struct inventory *inv);
/* Lines "UUID STATE NAME" of ask_all(). RC_OK, RC_NO_MEMORY, or RC_IO for a line of another shape. */
int inventory_add_answer(struct inventory *inv, const char *text, size_t len);
int inventory_add_qemu(struct inventory *inv, const struct qemu *q);
int inventory_add_lock(struct inventory *inv, const char *uuid);
/* True when libvirt and /proc disagree on some VM that no agent is at work on. */
bool inventory_doubts(const struct inventory *inv);
/*
 * libvirt: ok|unreachable
 * vm UUID STATE NAME pid=PID lock=free|held      (bytes of NAME outside of printable ASCII, and '%', as %XX)
 * end N
 */
void inventory_print(const struct inventory *inv, FILE *out);

#endif
