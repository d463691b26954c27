#include "inventory.h"
#include "lock.h"
#include "ocf.h"
#include "vm.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rc.h"

/* What is left for libvirt to answer in; the rest is for /proc and for saying so. */
#define SPARE_MS 300
/* A VM that is just coming or going is seen by only one of libvirt and /proc; a moment later both agree. */
#define AGAIN_MS 100

static long ask_ms(void)
{
    long left = ocf_left_ms() - SPARE_MS;

    return left > 50 ? left : 50;
}

/* One look with both eyes. */
static struct inventory_seen look(void)
{
    struct inventory_seen s = {false, VIRT_UNKNOWN, 0, false};

    s.answered = vm_ask(ocf_get("hypervisor"), ask_ms(), &s.said) == RC_OK;
    s.pid = qemu_find(vm.uuid);
    return s;
}

static int answer(struct inventory_seen s, enum virt_state state)
{
    const char *p = s.pid > 0    ? "a QEMU process of it exists"
                    : s.pid == 0 ? "no QEMU process of it exists"
                                 : "/proc cannot be read";

    ocf_say("state: %s", virt_state_word(state));
    if (!s.answered && s.pid > 0) {
        /* A libvirtd that restarts or hangs is not the VM's death. */
        ocf_say("note: libvirtd does not answer; the VM's QEMU is process %d", (int)s.pid);
        return OCF_SUCCESS;
    }
    if (!s.answered) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "VM '%s': not known whether it runs: libvirtd does not answer, %s; look at "
                        "libvirtd, or restart it",
                        vm.name, p);
    }
    if (state == VIRT_UNKNOWN) {
        return ocf_fail(OCF_ERR_GENERIC, "VM '%s': not known whether it runs: libvirt says %s, %s; stop it",
                        vm.name, virt_state_word(s.said), p);
    }
    if (virt_state_rc(state) == OCF_ERR_GENERIC) {
        return ocf_fail(OCF_ERR_GENERIC, "VM '%s' is %s here, not running; stop it with force=1", vm.name,
                        virt_state_word(state));
    }
    return virt_state_rc(state);
}

int look_monitor(void)
{
    struct inventory_seen s;
    enum virt_state state;
    int rc = vm_identify();

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    s = look();
    state = inventory_settle(&s);
    if (s.answered && state == VIRT_UNKNOWN) {
        ocf_sleep_ms(AGAIN_MS);
        s = look();
        state = inventory_settle(&s);
    }
    return answer(s, state);
}

/* In a child: a line "UUID STATE NAME" for each active domain. */
static int ask_all(void)
{
    virDomainStatsRecordPtr *recs;
    struct err e = ERR_INIT;
    virConnectPtr conn;
    int n;

    if (virt_open(ocf_get("hypervisor"), true, &conn, &e) != RC_OK) {
        return OCF_ERR_GENERIC;
    }
    n = virConnectGetAllDomainStats(conn, VIR_DOMAIN_STATS_STATE, &recs,
                                    VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE);
    for (int i = 0; i < n; i++) {
        char uuid[VIR_UUID_STRING_BUFLEN];
        int state = VIR_DOMAIN_NOSTATE, reason = 0;

        (void)virTypedParamsGetInt(recs[i]->params, recs[i]->nparams, "state.state", &state);
        (void)virTypedParamsGetInt(recs[i]->params, recs[i]->nparams, "state.reason", &reason);
        if (virDomainGetUUIDString(recs[i]->dom, uuid) < 0) {
            return OCF_ERR_GENERIC;
        }
        printf("%s %s %s\n", uuid, virt_state_word(virt_state_of(recs[i]->dom, state, reason)),
               virDomainGetName(recs[i]->dom));
    }
    return n < 0 ? OCF_ERR_GENERIC : OCF_SUCCESS;
}

/* Locks that somebody holds. A folder that is not there has none. */
static int take_locks(struct inventory *inv)
{
    DIR *d = opendir(ocf_get("lock_dir"));
    char uuid[QEMU_UUID_SIZE];
    struct dirent *de;
    int rc = RC_OK;

    while (d && rc == RC_OK && (de = readdir(d))) {
        if (strlen(de->d_name) != QEMU_UUID_SIZE - 1 + 5 ||
            strcmp(de->d_name + QEMU_UUID_SIZE - 1, ".lock") != 0) {
            continue;
        }
        de->d_name[QEMU_UUID_SIZE - 1] = '\0';
        if (qemu_uuid(de->d_name, uuid) && lock_held(ocf_get("lock_dir"), uuid) != 0) {
            rc = inventory_add_lock(inv, uuid); /* not readable counts as held */
        }
    }
    if (d) {
        (void)closedir(d);
    }
    return rc;
}

/*
 * The order matters (C3): locks, libvirt, /proc. An agent that outlived its daemon and ends while we look has
 * either still held its lock, or libvirt already knew what it did. Read the other way round, neither would
 * show it.
 */
static int take(struct inventory *inv)
{
    struct buf b = BUF_INIT;
    struct qemu *list = NULL;
    int rc = take_locks(inv), n;

    inv->answered = bounded_ask(ask_all, ask_ms(), &b) == OCF_SUCCESS;
    if (rc == RC_OK && inv->answered) {
        rc = inventory_add_answer(inv, (const char *)b.data, b.len);
        inv->answered = rc != RC_IO; /* an answer that makes no sense is none */
        rc = rc == RC_IO ? RC_OK : rc;
    }
    n = qemu_scan(&list);
    if (n < 0) {
        rc = n;
    }
    for (int i = 0; rc == RC_OK && i < n; i++) {
        rc = inventory_add_qemu(inv, &list[i]);
    }
    free(list);
    buf_fini(&b);
    return rc;
}

int look_inventory(void)
{
    struct inventory inv;
    int rc;

    inventory_init(&inv);
    rc = take(&inv);
    if (rc == RC_OK && inventory_doubts(&inv) && inv.answered && ocf_left_ms() > SPARE_MS + AGAIN_MS) {
        ocf_sleep_ms(AGAIN_MS);
        inventory_fini(&inv);
        inventory_init(&inv);
        rc = take(&inv);
    }
    if (rc != RC_OK) {
        rc = ocf_fail(OCF_ERR_GENERIC, "inventory: %s; nothing can be said of this host's VMs",
                      rc == RC_NO_MEMORY ? "out of memory" : "cannot read /proc");
    } else {
        inventory_print(&inv, stdout);
        rc = inv.answered ? OCF_SUCCESS
                          : ocf_fail(OCF_ERR_GENERIC,
                                     "inventory: libvirtd does not answer at '%s'; look at libvirtd, or "
                                     "restart it",
                                     ocf_get("hypervisor"));
    }
    inventory_fini(&inv);
    return rc;
}
