/*
 * virt.h - libvirt as the agents ask it: one connection, a VM's state, errors as text.
 *
 * Any call may hang with libvirtd: call these only in a child of bounded.h.
 */
#ifndef CLUSTERD_AGENTS_VIRT_H
#define CLUSTERD_AGENTS_VIRT_H

#include <libvirt/libvirt.h>
#include <stdbool.h>

#include "common/err.h"

/* X(name, word, rc of monitor): states of a VM on this host; the words are in `state:` lines and in the
 * inventory. */
#define VIRT_STATES(X)                                                                                       \
    X(VIRT_ABSENT, "absent", OCF_NOT_RUNNING)                                                                \
    X(VIRT_RUNNING, "running", OCF_SUCCESS)                                                                  \
    X(VIRT_PAUSED, "paused", OCF_SUCCESS)                                                                    \
    X(VIRT_STARTING, "starting", OCF_SUCCESS)                                                                \
    X(VIRT_SAVING, "saving", OCF_SUCCESS)                                                                    \
    X(VIRT_STOPPING, "stopping", OCF_SUCCESS)     /* the guest has shut down, QEMU not yet ended */          \
    X(VIRT_INCOMING, "incoming", OCF_ERR_GENERIC) /* C5: an incoming half is never taken as running */       \
    X(VIRT_CRASHED, "crashed", OCF_ERR_GENERIC)                                                              \
    X(VIRT_UNKNOWN, "unknown", OCF_ERR_GENERIC)

enum virt_state {
#define X(name, word, rc) name,
    VIRT_STATES(X)
#undef X
};

const char *virt_state_word(enum virt_state s);
/* The state for a word; VIRT_UNKNOWN for any other. */
enum virt_state virt_state_from(const char *word);
/* What monitor answers for it, an OCF code. */
int virt_state_rc(enum virt_state s);

/* Opens the connection; RC_UNREACHABLE when libvirtd does not answer. */
int virt_open(const char *uri, bool readonly, virConnectPtr *conn, struct err *e);
/* libvirt's last error as text; static storage until the next call. */
const char *virt_why(void);
/* The *active* domain of that UUID: 1 and *dom (the caller's), 0 when there is none, RC_FAILED when not
 * known. */
int virt_find(virConnectPtr conn, const char *uuid, virDomainPtr *dom);
/* A domain's state; VIRT_ABSENT when it has gone, VIRT_UNKNOWN when libvirt cannot say. */
enum virt_state virt_state(virDomainPtr dom);
/* The same from libvirt's numbers, which the inventory gets for all domains at once. */
enum virt_state virt_state_of(virDomainPtr dom, int state, int reason);

#endif
