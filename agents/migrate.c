/* migrate_to (on the source) and migrate_from (on the target): live migration, libvirtd to libvirtd (peer to
 * peer). */
#include <ctype.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/rc.h"
#include "job.h"
#include "ocf.h"
#include "vm.h"

#define ARRIVE_LOOK_MS 50
#define TARGET_MS      5000

/*
 * Peer to peer: the source's libvirtd drives the migration and holds a connection to the target's, so the
 * death of this agent leaves nothing half done, and the death of either libvirtd ends the incoming half.
 */
static struct {
    virDomainPtr dom;
    char uri[512], data_uri[512];
    char why[512]; /* libvirt's reason, kept by the thread that got it */
} m;

/* Node names go into a URI that libvirt may hand to ssh. */
static bool is_node_name(const char *s)
{
    size_t n = strlen(s);

    for (const char *c = s; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("-._:", *c)) {
            return false;
        }
    }
    return n > 0 && n < 256 && *s != '-';
}

/* Puts the node's name where the template has its %s. */
static int fill(const char *param, const char *node, char *out, size_t size)
{
    const char *t = ocf_get(param), *s = strstr(t, "%s");

    if (!s || strchr(s + 2, '%') || memchr(t, '%', (size_t)(s - t)) ||
        snprintf(out, size, "%.*s%s%s", (int)(s - t), t, node, s + 2) >= (int)size) {
        return ocf_fail(OCF_ERR_CONFIGURED,
                        "parameter '%s' is '%.100s'; give a URI with one %%s for the target's name", param,
                        t);
    }
    return OCF_SUCCESS;
}

/* Checks the ends that OCF names. */
static int ends(const char **source, const char **target)
{
    char here[256] = "";

    *source = ocf_meta("migrate_source");
    *target = ocf_meta("migrate_target");
    (void)gethostname(here, sizeof here - 1);
    if (!is_node_name(*source) || !is_node_name(*target)) {
        return ocf_fail(
            OCF_ERR_ARGS,
            "VM '%s': cannot migrate it from '%.100s' to '%.100s'; set OCF_RESKEY_CRM_meta_migrate_"
            "source and _target to names of nodes",
            vm.name, *source, *target);
    }
    if (strcasecmp(*source, *target) == 0 ||
        (strcmp(ocf_action(), "migrate_to") == 0 && strcasecmp(*target, here) == 0)) {
        return ocf_fail(OCF_ERR_ARGS,
                        "VM '%s': cannot migrate it to '%s': it is there already; name another node", vm.name,
                        *target);
    }
    return OCF_SUCCESS;
}

static int perform(void *unused)
{
    unsigned int flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_ABORT_ON_ERROR;
    virTypedParameterPtr params = NULL;
    int n = 0, max = 0, rc = 0;

    (void)unused;
    flags |= ocf_bool("migrate_paused") ? VIR_MIGRATE_PAUSED
                                        : 0; /* C5: it resumes after "source ended" is committed */
    flags |=
        ocf_bool("migrate_unsafe") ? VIR_MIGRATE_UNSAFE : 0; /* only where the cluster itself knows: shared */
    flags |= ocf_bool("migrate_auto_converge") ? VIR_MIGRATE_AUTO_CONVERGE : 0;
    if (*m.data_uri) {
        rc = virTypedParamsAddString(&params, &n, &max, VIR_MIGRATE_PARAM_URI, m.data_uri);
    }
    if (rc == 0 && ocf_int("migrate_bandwidth")) {
        rc = virTypedParamsAddULLong(&params, &n, &max, VIR_MIGRATE_PARAM_BANDWIDTH,
                                     (unsigned long long)ocf_int("migrate_bandwidth"));
    }
    if (rc == 0 && ocf_int("migrate_max_downtime_ms")) {
        rc = virDomainMigrateSetMaxDowntime(m.dom, (unsigned long long)ocf_int("migrate_max_downtime_ms"), 0);
    }
    if (rc == 0) {
        rc = virDomainMigrateToURI3(m.dom, m.uri, params, (unsigned int)n, flags);
    }
    if (rc < 0) {
        (void)snprintf(m.why, sizeof m.why, "%s", virt_why());
    }
    virTypedParamsFree(params, n);
    return rc;
}

/*
 * S6: after a failure the VM runs on at its source. libvirt sees to it; nothing is resumed here, because a
 * source that libvirt left paused may have a target that runs (C5): that is the cluster's to decide, and it
 * is told what is known.
 */
static int fail(enum job_end end, const char *source, const char *target, long long remaining)
{
    enum virt_state here = vm_state_at(ocf_get("hypervisor"));
    char what[600];

    if (end == JOB_TIMED_OUT) {
        (void)snprintf(what, sizeof what,
                       "was not done in its time (%ld ms; %lld MiB of memory were left to copy)",
                       ocf_timeout_ms(), remaining < 0 ? -1 : remaining >> 20);
    } else if (end == JOB_CANCELLED) {
        (void)snprintf(what, sizeof what, "was cancelled");
    } else {
        (void)snprintf(what, sizeof what, "failed: %s", m.why);
    }
    if (here == VIRT_RUNNING) {
        return ocf_fail(OCF_ERR_GENERIC, "VM '%s': its live migration from %s to %s %s; it runs on at %s",
                        vm.name, source, target, what, source);
    }
    return ocf_fail(OCF_ERR_GENERIC,
                    "VM '%s': its live migration from %s to %s %s; at %s it is %s (QEMU process %d), at %s "
                    "it is %s; find out "
                    "where it lives before anything is resumed",
                    vm.name, source, target, what, source, virt_state_word(here), qemu_find(vm.uuid), target,
                    virt_state_word(vm_state_at(m.uri)));
}

/* What an abort, and saying what came of it, may take at the end. */
static long reserve_ms(void)
{
    long ms = ocf_timeout_ms() / 5;

    return ms > 8000 ? 8000 : ms;
}

/*
 * Asks the target first, in a child that can be killed: this host's libvirtd, once it waits for a target that
 * hangs, can be called back by nobody, and the VM's lock would be held for as long.
 */
static int check_target(const char *source, const char *target)
{
    long ms = ocf_left_ms() / 3 < TARGET_MS ? ocf_left_ms() / 3 : TARGET_MS;
    enum virt_state there;

    if (vm_ask(m.uri, ms, &there) != RC_OK) {
        return ocf_fail(
            OCF_ERR_GENERIC,
            "VM '%s': cannot migrate it: libvirt at '%s' cannot be reached within %ld ms; it runs on at %s; "
            "try from %s: virsh -c %s list",
            vm.name, m.uri, ms, source, source, m.uri);
    }
    if (there != VIRT_ABSENT) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "VM '%s': cannot migrate it: %s has it already, %s; stop that one first", vm.name,
                        target, virt_state_word(there));
    }
    return OCF_SUCCESS;
}

static int migrate_dom(const char *source, const char *target)
{
    enum virt_state state = virt_state(m.dom);
    long began = ocf_now_ms();
    long long remaining;
    enum job_end end;
    int left, rc;

    if (state != VIRT_RUNNING) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "VM '%s': cannot migrate it live: it is %s; save and restore it instead", vm.name,
                        virt_state_word(state));
    }
    rc = check_target(source, target);
    if (rc != OCF_SUCCESS) {
        return rc;
    }
    (void)snprintf(m.why, sizeof m.why, "cannot start a thread");
    end = job_run(m.dom, perform, NULL, ocf_now_ms() + ocf_left_ms() - reserve_ms(), &remaining);
    if (end != JOB_DONE) {
        return fail(end, source, target, remaining);
    }
    left = qemu_wait_end(vm.uuid, ocf_left_ms());
    if (left != 0) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "VM '%s' has moved to %s, but its QEMU process %d at %s has not ended (C4)", vm.name,
                        target, left, source);
    }
    ocf_say("migrated: total_ms=%ld", ocf_now_ms() - began);
    return OCF_SUCCESS;
}

static int do_migrate_to(void)
{
    const char *source = ocf_meta("migrate_source"), *target = ocf_meta("migrate_target");
    virConnectPtr conn;
    int rc = vm_open(&conn), found;

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    found = virt_find(conn, vm.uuid, &m.dom);
    if (found > 0) {
        rc = migrate_dom(source, target);
        (void)virDomainFree(m.dom);
        if (rc == OCF_SUCCESS) {
            vm_say_gone(conn);
        }
    } else if (found == 0) {
        rc = ocf_fail(OCF_ERR_GENERIC, "VM '%s': cannot migrate it: it does not run on %s", vm.name, source);
    } else {
        rc = vm_fail("ask libvirt about it");
    }
    (void)virConnectClose(conn);
    return rc;
}

int migrate_to(void)
{
    const char *source, *target;
    int rc = vm_identify();

    if (rc == OCF_SUCCESS) {
        rc = ends(&source, &target);
    }
    if (rc == OCF_SUCCESS) {
        rc = fill("migration_uri", target, m.uri, sizeof m.uri);
    }
    if (rc == OCF_SUCCESS && *ocf_get("migration_data_uri")) {
        rc = fill("migration_data_uri", target, m.data_uri, sizeof m.data_uri);
    }
    return rc == OCF_SUCCESS ? vm_change(do_migrate_to, NULL) : rc;
}

/* libvirt's own figures of the migration that brought the VM here, if it still has them. */
static void say_figures(virDomainPtr dom)
{
    virTypedParameterPtr params = NULL;
    unsigned long long total = 0, down = 0;
    int n = 0, type;

    if (virDomainGetJobStats(dom, &type, &params, &n, VIR_DOMAIN_JOB_STATS_COMPLETED) < 0) {
        return;
    }
    if (virTypedParamsGetULLong(params, n, VIR_DOMAIN_JOB_TIME_ELAPSED, &total) == 1 &&
        virTypedParamsGetULLong(params, n, VIR_DOMAIN_JOB_DOWNTIME, &down) == 1) {
        ocf_say("migrated: total_ms=%llu downtime_ms=%llu", total, down);
    }
    virTypedParamsFree(params, n);
}

/* Waits for an incoming half to become something else; what it is by then. *dom is the caller's unless absent
 * or unknown. */
static enum virt_state arrival(virConnectPtr conn, virDomainPtr *dom)
{
    long until = ocf_now_ms() + ocf_left_ms() / 2;

    for (;;) {
        int found = virt_find(conn, vm.uuid, dom);
        enum virt_state state = found > 0 ? virt_state(*dom) : found == 0 ? VIRT_ABSENT : VIRT_UNKNOWN;

        if (state != VIRT_INCOMING || ocf_now_ms() >= until) {
            return state;
        }
        (void)virDomainFree(*dom);
        ocf_sleep_ms(ARRIVE_LOOK_MS);
    }
}

static int do_migrate_from(void)
{
    enum virt_state wanted = ocf_bool("migrate_paused") ? VIRT_PAUSED : VIRT_RUNNING, state;
    virDomainPtr dom = NULL;
    virConnectPtr conn;
    int rc = vm_open(&conn);

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    state = arrival(conn, &dom);
    ocf_say("state: %s", virt_state_word(state));
    if (state != wanted) {
        rc = ocf_fail(
            OCF_ERR_GENERIC,
            "VM '%s' has not arrived from %s: here it is %s; does it run there? stop it here with force=1 "
            "unless it is absent",
            vm.name, ocf_meta("migrate_source"), virt_state_word(state));
    } else {
        say_figures(dom);
        rc = state == VIRT_RUNNING ? vm_check_exclusive(dom) : OCF_SUCCESS;
    }
    if (dom) {
        (void)virDomainFree(dom);
    }
    (void)virConnectClose(conn);
    return rc;
}

int migrate_from(void)
{
    const char *source, *target;
    int rc = vm_identify();

    if (rc == OCF_SUCCESS) {
        rc = ends(&source, &target);
    }
    /* It only looks: no lock, and killed when libvirtd hangs. */
    return rc == OCF_SUCCESS
               ? bounded_run(do_migrate_from, BOUNDED_KILL, "libvirtd or the disks' storage", NULL)
               : rc;
}
