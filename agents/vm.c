#include "vm.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/rc.h"
#include "imagelock.h"
#include "lock.h"
#include "ocf.h"

#define LOCK_WAIT_MS 5000
#define ASK_MS       2000

struct vm vm;

static int lock_fd = -1;
static int (*change)(void);

int vm_configure(void)
{
    struct err e = ERR_INIT;
    int rc = ocf_need("config");

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    rc = domain_read(ocf_get("config"), &vm.domain, &e);
    if (rc == RC_NOT_FOUND || rc == RC_DENIED) {
        err_hint(&e, "is the volume with the VM's definition mounted on this host?");
        return ocf_fail_err(OCF_ERR_INSTALLED, &e);
    }
    if (rc != RC_OK) {
        return ocf_fail_err(rc == RC_BAD_INPUT ? OCF_ERR_CONFIGURED : OCF_ERR_GENERIC, &e);
    }
    if (*ocf_get("uuid") && strcasecmp(ocf_get("uuid"), vm.domain.uuid) != 0) {
        return ocf_fail(OCF_ERR_CONFIGURED,
                        "parameter 'uuid' is %.40s, but '%s' is the VM %s; correct one of them",
                        ocf_get("uuid"), ocf_get("config"), vm.domain.uuid);
    }
    memcpy(vm.uuid, vm.domain.uuid, sizeof vm.uuid);
    (void)snprintf(vm.name, sizeof vm.name, "%s", vm.domain.name);
    return OCF_SUCCESS;
}

int vm_identify(void)
{
    const char *uuid = ocf_get("uuid");
    int rc;

    if (!*uuid) {
        rc = vm_configure();
        return rc == OCF_ERR_INSTALLED ? OCF_ERR_GENERIC : rc;
    }
    if (!qemu_uuid(uuid, vm.uuid)) {
        return ocf_fail(OCF_ERR_CONFIGURED, "parameter 'uuid' is '%.40s'; give 8-4-4-4-12 hexadecimal digits",
                        uuid);
    }
    (void)snprintf(vm.name, sizeof vm.name, "%s", vm.uuid);
    return OCF_SUCCESS;
}

static int locked(void)
{
    lock_note(lock_fd, ocf_action());
    return change();
}

int vm_change(int (*fn)(void), const struct bounded_last *last)
{
    long wait_ms = ocf_left_ms() / 2 < LOCK_WAIT_MS ? ocf_left_ms() / 2 : LOCK_WAIT_MS;
    struct err e = ERR_INIT;
    long launcher = ocf_int("launcher");

    lock_fd = lock_take(ocf_get("lock_dir"), vm.uuid, wait_ms, &e);
    if (lock_fd < 0) {
        err_wrap(&e, "%s of VM '%s'", ocf_action(), vm.name);
        return ocf_fail_err(OCF_ERR_GENERIC, &e);
    }
    /*
     * C3: between the daemon's fork and our lock nobody can see us. If the daemon has died in that time, its
     * successor may have found the lock free and called the VM absent; so only now, with the lock, it counts
     * that it lives.
     */
    if (launcher && getppid() != launcher) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "%s of VM '%s': process %ld, which launched it, has ended; nothing was done",
                        ocf_action(), vm.name, launcher);
    }
    change = fn;
    return bounded_run(locked, BOUNDED_LEAVE, "libvirtd", last);
}

int vm_open(virConnectPtr *conn)
{
    struct err e = ERR_INIT;

    return virt_open(ocf_get("hypervisor"), false, conn, &e) == RC_OK ? OCF_SUCCESS
                                                                      : ocf_fail_err(OCF_ERR_GENERIC, &e);
}

static const char *ask_uri;

static int ask(void)
{
    struct err e = ERR_INIT;
    virConnectPtr conn;
    virDomainPtr dom;
    int found;

    if (virt_open(ask_uri, true, &conn, &e) != RC_OK || (found = virt_find(conn, vm.uuid, &dom)) < 0) {
        return OCF_ERR_GENERIC;
    }
    printf("%s", virt_state_word(found ? virt_state(dom) : VIRT_ABSENT));
    return OCF_SUCCESS;
}

int vm_ask(const char *uri, long ms, enum virt_state *state)
{
    struct buf b = BUF_INIT;
    int rc;

    ask_uri = uri;
    *state = VIRT_UNKNOWN;
    rc = bounded_ask(ask, ms, &b) == OCF_SUCCESS ? RC_OK : RC_UNREACHABLE;
    buf_u8(&b, 0);
    if (rc == RC_OK && !b.failed) {
        *state = virt_state_from((const char *)b.data);
    }
    buf_fini(&b);
    return rc;
}

void vm_say_gone(virConnectPtr conn)
{
    virDomainPtr dom;
    int found = virt_find(conn, vm.uuid, &dom);

    if (found > 0) {
        (void)virDomainFree(dom);
    } else if (found == 0 && qemu_find(vm.uuid) == 0) {
        ocf_say("state: %s", virt_state_word(VIRT_ABSENT));
    }
}

enum virt_state vm_state_at(const char *uri)
{
    enum virt_state state;

    (void)vm_ask(uri, ASK_MS, &state);
    return state;
}

int vm_fail(const char *what)
{
    return ocf_fail(OCF_ERR_GENERIC, "VM '%s': cannot %s: %s", vm.name, what, virt_why());
}

int vm_refuse_other_starters(virConnectPtr conn)
{
    virDomainPtr dom = virDomainLookupByUUIDString(conn, vm.uuid);
    int autostart = 0, rc = OCF_SUCCESS;

    if (!dom) {
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ? OCF_SUCCESS : vm_fail("ask libvirt about it");
    }
    if (virDomainGetAutostart(dom, &autostart) < 0) {
        rc = vm_fail("read its autostart flag");
    } else if (autostart) {
        rc = ocf_fail(OCF_ERR_CONFIGURED,
                      "VM '%s' is also defined in libvirt on this host with autostart on, so a boot could "
                      "start it behind "
                      "the cluster's back; run: virsh autostart --disable %s",
                      vm.name, vm.uuid);
    } else if (virDomainHasManagedSaveImage(dom, 0) != 0) {
        rc = ocf_fail(OCF_ERR_CONFIGURED,
                      "VM '%s' has a managed-save image in libvirt on this host, which a start would restore "
                      "onto disks "
                      "that have been written since; run: virsh managedsave-remove %s",
                      vm.name, vm.uuid);
    }
    (void)virDomainFree(dom);
    return rc;
}

int vm_fail_locked(const char *image)
{
    const char *disk = "a disk";
    char holder[320] = "no QEMU of this host has it open: another host, or a dead host's lock that the file "
                       "server still keeps";
    struct qemu q;

    if (qemu_with_file(image, &q) == 1) {
        (void)snprintf(holder, sizeof holder, "QEMU process %d of VM '%.200s' on this host", (int)q.pid,
                       q.name);
    }
    for (size_t i = 0; i < vm.domain.n_disks; i++) {
        if (strcmp(vm.domain.disks[i].source, image) == 0) {
            disk = vm.domain.disks[i].target;
        }
    }
    ocf_say("conflict: image-lock %s", image);
    return ocf_fail(
        OCF_ERR_GENERIC,
        "VM '%s': image lock conflict (C7): the lock of disk %s (%s) is held by another: %s; after a "
        "confirmed fence a dead host's lock goes by itself",
        vm.name, disk, image, holder);
}

int vm_fail_start(const char *what)
{
    const char *why = virt_why(), *path = strstr(why, "using the image [");
    char image[512] = "";

    if (!strstr(why, "Failed to get ") || !strstr(why, "lock")) {
        return vm_fail(what);
    }
    if (path) {
        path += strlen("using the image [");
        (void)snprintf(image, sizeof image, "%.*s", (int)strcspn(path, "]"), path);
    }
    return vm_fail_locked(image);
}

int vm_check_exclusive(virDomainPtr dom)
{
    char *xml = virDomainGetXMLDesc(dom, 0);
    struct domain live = {.n_disks = 0};
    struct err e = ERR_INIT;
    int rc = OCF_SUCCESS;

    if (xml && domain_parse(xml, strlen(xml), "the running domain's XML", &live, &e) == RC_OK) {
        for (size_t i = 0; i < live.n_disks && rc == OCF_SUCCESS; i++) {
            const struct domain_disk *d = &live.disks[i];

            if (d->writable && strcmp(d->type, "file") == 0 && *d->source &&
                imagelock_is_exclusive(d->source) == 0) {
                rc = vm_fail_locked(d->source);
            }
        }
        domain_fini(&live);
    }
    free(xml);
    return rc;
}
