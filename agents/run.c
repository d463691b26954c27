/* start, stop, resume, reset. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/rc.h"
#include "ocf.h"
#include "vm.h"

#define RESEND_MS       5000 /* a guest that boots or is busy misses the first request */
#define SIGTERM_WAIT_MS 2000 /* for QEMU to close its images in order */
#define CONFIRM_MS      20
#define RETRY_MS        200

static int start_in(virConnectPtr conn)
{
    int found, rc = vm_refuse_other_starters(conn);
    enum virt_state state;
    virDomainPtr dom;

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    found = virt_find(conn, vm.uuid, &dom);
    if (found < 0) {
        return vm_fail("ask libvirt about it");
    }
    if (!found && qemu_find(vm.uuid) != 0) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "VM '%s': a QEMU process of it exists that libvirt does not know (S1); stop it first",
                        vm.name);
    }
    if (!found && !(dom = virDomainCreateXML(conn, vm.domain.xml, 0))) {
        return vm_fail_start("start it");
    }
    if (bounded_cancelled()) {
        /* Nobody waits for it any more: what comes this late, after a hang of libvirtd, may have been decided
         * otherwise. */
        (void)virDomainDestroy(dom);
        (void)virDomainFree(dom);
        return ocf_fail(OCF_ERR_GENERIC, "VM '%s': the start was cancelled and undone", vm.name);
    }
    state = virt_state(dom);
    (void)virDomainFree(dom);
    ocf_say("state: %s", virt_state_word(state));
    if (state != VIRT_RUNNING) {
        /* C5, S7: a paused half or a restored state is resumed by its own decision, never by a start. */
        return ocf_fail(OCF_ERR_GENERIC,
                        "VM '%s' is %s on this host, not running; resume it or stop it first", vm.name,
                        virt_state_word(state));
    }
    return OCF_SUCCESS;
}

static int do_start(void)
{
    virConnectPtr conn;
    int rc = vm_open(&conn);

    if (rc == OCF_SUCCESS) {
        rc = start_in(conn);
        (void)virConnectClose(conn);
    }
    return rc;
}

int run_start(void)
{
    struct err e = ERR_INIT;
    int rc = vm_configure();

    if (rc == OCF_SUCCESS && domain_safe(&vm.domain, &e) != RC_OK) {
        rc = ocf_fail_err(OCF_ERR_CONFIGURED, &e);
    }
    return rc == OCF_SUCCESS ? vm_change(do_start, NULL) : rc;
}

/* What ending a QEMU by force may take: libvirt gives it 10 s, then 5 s more after SIGKILL. */
static long force_ms(void)
{
    long ms = ocf_timeout_ms() / 3;

    return ms > 20000 ? 20000 : ms;
}

/* How long the guest has to shut down by itself. */
static long grace_ms(void)
{
    long left = ocf_left_ms() - force_ms(), wish = ocf_int("grace_ms");

    left = left > 0 ? left : 0;
    return wish && wish < left ? wish : left;
}

/* Ends QEMU without libvirt: it is down, hangs, or does not know this QEMU. The pid that is still there, or
 * 0. */
static int end_by_signal(void)
{
    long left = ocf_left_ms() / 2;
    int pid = qemu_find(vm.uuid);

    if (pid > 0) {
        ocf_say("note: libvirt cannot end it; QEMU process %d gets SIGTERM, then SIGKILL", pid);
        qemu_signal(vm.uuid, SIGTERM);
        pid = qemu_wait_end(vm.uuid, left < SIGTERM_WAIT_MS ? left : SIGTERM_WAIT_MS);
    }
    if (pid > 0) {
        qemu_signal(vm.uuid, SIGKILL);
        pid = qemu_wait_end(vm.uuid, ocf_left_ms() / 2);
    }
    return pid > 0 ? pid : 0;
}

static int fail_undead(int pid)
{
    return ocf_fail(OCF_ERR_GENERIC,
                    "VM '%s': QEMU process %d cannot be ended (C4); does it hang on its storage? "
                    "If the process stays, only fencing this host ends it",
                    vm.name, pid);
}

/* A libvirtd that hangs must not keep the VM alive (S2). That nothing of it comes back only libvirtd can say.
 */
static int end_without_libvirt(void)
{
    int pid = end_by_signal();

    return pid ? fail_undead(pid) : OCF_SUCCESS;
}

/* Asks the guest to shut down, again and again, until QEMU has ended or the grace is over. True when it has
 * ended. */
static bool shut_down(virDomainPtr dom, long until)
{
    for (long left = until - ocf_now_ms(); left > 0; left = until - ocf_now_ms()) {
        if (bounded_cancelled() || virt_state(dom) != VIRT_RUNNING) {
            break; /* a paused guest hears nothing, and must not be resumed for it (S7) */
        }
        (void)virDomainShutdown(dom); /* a refusal now (a job in the way) may pass */
        if (qemu_wait_end(vm.uuid, left < RESEND_MS ? left : RESEND_MS) == 0) {
            return true;
        }
    }
    return qemu_wait_end(vm.uuid, 0) == 0;
}

/* libvirt's word and /proc: both must say that the VM is gone (C3, C4). 1 gone, 0 not, negative: libvirt is
 * silent. */
static int gone(virConnectPtr conn)
{
    virDomainPtr dom;
    int found = virt_find(conn, vm.uuid, &dom);

    if (found > 0) {
        (void)virDomainFree(dom);
    }
    return found < 0 ? found : found == 0 && qemu_find(vm.uuid) == 0;
}

/* One try through libvirt. OCF_SUCCESS: it is gone; OCF_NOT_RUNNING: it is not, or libvirt went away: try
 * again. */
static int stop_in(virConnectPtr conn, long until)
{
    virDomainPtr dom;
    int found = virt_find(conn, vm.uuid, &dom);

    if (found > 0) {
        if (!shut_down(dom, until) && !bounded_cancelled() && virDomainDestroy(dom) < 0) {
            ocf_say("note: libvirt could not destroy it: %s", virt_why());
        }
        (void)virDomainFree(dom);
    }
    if (found == 0 || ocf_now_ms() >= until) {
        (void)end_by_signal();
    }
    for (long end = ocf_now_ms() + RETRY_MS; ocf_now_ms() < end; ocf_sleep_ms(CONFIRM_MS)) {
        if (gone(conn) != 0) {
            break;
        }
    }
    return gone(conn) == 1 ? OCF_SUCCESS : OCF_NOT_RUNNING;
}

static int fail_stop(const char *libvirt)
{
    int pid = qemu_find(vm.uuid);

    if (bounded_cancelled()) {
        return ocf_fail(OCF_ERR_GENERIC, "VM '%s': the stop was cancelled; it may still run", vm.name);
    }
    if (pid > 0) {
        return fail_undead(pid);
    }
    return ocf_fail(
        OCF_ERR_GENERIC,
        "VM '%s': no QEMU process of it is left, but libvirtd does not say that it is gone (C3): %s; look at "
        "libvirtd, or restart it, then stop the VM again",
        vm.name, libvirt);
}

static int do_stop(void)
{
    long until = ocf_now_ms() + (ocf_bool("force") ? 0 : grace_ms());
    struct err e = ERR_INIT;
    int rc = OCF_NOT_RUNNING;

    while (rc != OCF_SUCCESS && ocf_left_ms() > 0 && !bounded_cancelled()) {
        virConnectPtr conn;

        (void)err_set(&e, RC_FAILED, "it still lists the VM");
        if (virt_open(ocf_get("hypervisor"), false, &conn, &e) == RC_OK) {
            rc = stop_in(conn, until);
            (void)virConnectClose(conn);
        } else if (ocf_now_ms() >= until) {
            (void)end_by_signal();
        }
        if (rc != OCF_SUCCESS) {
            ocf_sleep_ms(RETRY_MS); /* libvirtd may be restarting */
        }
    }
    return rc == OCF_SUCCESS ? rc : fail_stop(e.msg);
}

int run_stop(void)
{
    struct bounded_last last = {end_without_libvirt, 0};
    long soon = ocf_timeout_ms() / 2 < 5000 ? ocf_timeout_ms() / 2 : 5000;
    int rc = vm_identify();

    /* A libvirtd that hangs must not keep the VM alive (S2): QEMU is ended without it, and the stop still
     * fails. */
    last.ms = ocf_bool("force") ? ocf_left_ms() - soon : force_ms() / 2;
    return rc == OCF_SUCCESS ? vm_change(do_stop, &last) : rc;
}

static int with_domain(int (*fn)(virDomainPtr))
{
    virConnectPtr conn;
    virDomainPtr dom;
    int rc = vm_open(&conn), found;

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    found = virt_find(conn, vm.uuid, &dom);
    if (found > 0) {
        rc = fn(dom);
        (void)virDomainFree(dom);
    } else if (found == 0) {
        rc = ocf_fail(OCF_ERR_GENERIC, "VM '%s': cannot %s it: it does not run on this host", vm.name,
                      ocf_action());
    } else {
        rc = vm_fail("ask libvirt about it");
    }
    (void)virConnectClose(conn);
    return rc;
}

/* S7: the VM runs again, so the file that it was restored from is spent; it would only take up space. */
static void spent(void)
{
    const char *file = ocf_get("state_file");
    char meta[PATH_MAX];

    if (*file == '/' && snprintf(meta, sizeof meta, "%s.meta", file) < (int)sizeof meta) {
        (void)unlink(file);
        (void)unlink(meta);
    }
}

static int resume(virDomainPtr dom)
{
    enum virt_state state = virt_state(dom);

    /* C5: an incoming half is resumed by its migration alone. */
    if (state != VIRT_PAUSED && state != VIRT_RUNNING) {
        return ocf_fail(OCF_ERR_GENERIC, "VM '%s': cannot resume it: it is %s, not paused", vm.name,
                        virt_state_word(state));
    }
    if (state == VIRT_PAUSED) {
        if (virDomainResume(dom) < 0) {
            return vm_fail_start("resume it"); /* it may take its image locks only now */
        }
        if (vm_check_exclusive(dom) != OCF_SUCCESS) {
            (void)virDomainSuspend(dom);
            return OCF_ERR_GENERIC;
        }
    }
    spent();
    ocf_say("state: %s", virt_state_word(virt_state(dom)));
    return OCF_SUCCESS;
}

static int do_resume(void)
{
    return with_domain(resume);
}

int run_resume(void)
{
    int rc = vm_identify();

    return rc == OCF_SUCCESS ? vm_change(do_resume, NULL) : rc;
}

static int reset(virDomainPtr dom)
{
    return virDomainReset(dom, 0) < 0 ? vm_fail("reset it") : OCF_SUCCESS;
}

static int do_reset(void)
{
    return with_domain(reset);
}

int run_reset(void)
{
    int rc = vm_identify();

    return rc == OCF_SUCCESS ? vm_change(do_reset, NULL) : rc;
}
