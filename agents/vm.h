/*
 * vm.h - what the actions of VirtualMachine share: which VM is meant, its lock, its connection.
 */
#ifndef CLUSTERD_AGENTS_VM_H
#define CLUSTERD_AGENTS_VM_H

#include <libvirt/libvirt.h>

#include "bounded.h"
#include "domain.h"
#include "virt.h"

/* The VM that this process is about; vm_identify() or vm_configure() fills it. */
struct vm {
    char uuid[QEMU_UUID_SIZE];
    char name[256];       /* for messages; the UUID when only that is known */
    struct domain domain; /* empty unless vm_configure() was called */
};
extern struct vm vm;

/* Reads and checks `config`. OCF_SUCCESS, OCF_ERR_INSTALLED (no such file here) or OCF_ERR_CONFIGURED. */
int vm_configure(void);
/*
 * Finds out which VM is meant: by `uuid`, or else by `config`. A config that cannot be read is
 * OCF_ERR_GENERIC: it says nothing of whether the VM runs (S1: unknown is never taken as absent).
 */
int vm_identify(void);
/*
 * Runs an action that changes the VM: takes its lock (C3), makes sure that whoever launched us still lives,
 * then runs fn in a child that inherits the lock and is left behind with it when libvirtd hangs.
 */
int vm_change(int (*fn)(void), const struct bounded_last *last);
/* In the child: opens libvirt or fails with the reason. OCF_SUCCESS or OCF_ERR_GENERIC. */
int vm_open(virConnectPtr *conn);
/* In the child, after a VM has left: says "state: absent" if libvirt and /proc both say so (C4); else
 * nothing, and whoever asked has to look. The caller holds the VM's lock, so no other agent is at work on it.
 */
void vm_say_gone(virConnectPtr conn);
/* Asks the libvirt at `uri`, in a child and within ms, for the VM's state: RC_OK, or RC_UNREACHABLE and
 * VIRT_UNKNOWN. */
int vm_ask(const char *uri, long ms, enum virt_state *state);
/* The same within 2 s, after a failure: what was known before it is worth nothing. */
enum virt_state vm_state_at(const char *uri);
/* Fails with libvirt's last error: "VM 'x': cannot WHAT: …". */
int vm_fail(const char *what);

/* C3: refuses (OCF_ERR_CONFIGURED) a VM that something else may start: libvirt's autostart, a managed-save
 * image. */
int vm_refuse_other_starters(virConnectPtr conn);
/*
 * vm_fail(), but an image lock conflict gets a reason of its own that names the disk (C7: the claim or the
 * fence is the barrier, the lock the second wall).
 */
int vm_fail_start(const char *what);
int vm_fail_locked(const char *image);
/*
 * S8: after a resumption that QEMU itself does not refuse (see imagelock.h), whether it alone may write its
 * images. OCF_SUCCESS also where the file system carries no locks; else fails with the conflict.
 */
int vm_check_exclusive(virDomainPtr dom);

/* The actions, one file for each group: run.c, look.c, save.c, migrate.c, validate.c. OCF codes. */
int run_start(void);
int run_stop(void);
int run_resume(void);
int run_reset(void);
int save_save(void);
int save_restore(void);
int migrate_to(void);
int migrate_from(void);
int validate_all(void);
int look_monitor(void);
int look_inventory(void);

#endif
