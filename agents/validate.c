/* validate-all: would this VM start on this host? Says which part would not, and what to do. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rc.h"
#include "ocf.h"
#include "vm.h"

static int check_disk(const struct domain_disk *d)
{
    bool file = strcmp(d->type, "file") == 0, block = strcmp(d->type, "block") == 0;
    struct stat st;

    if ((!file && !block) || !*d->source) {
        return OCF_SUCCESS; /* of another kind, or an empty drive */
    }
    if (stat(d->source, &st) < 0) {
        return ocf_fail(OCF_ERR_INSTALLED, "VM '%s': disk %s: '%s': %s; is its volume mounted on this host?",
                        vm.name, d->target, d->source, strerror(errno));
    }
    if (file ? !S_ISREG(st.st_mode) : !S_ISBLK(st.st_mode)) {
        return ocf_fail(OCF_ERR_CONFIGURED,
                        "VM '%s': disk %s: '%s' is not a %s; correct its type or its source", vm.name,
                        d->target, d->source, file ? "regular file" : "block device");
    }
    return OCF_SUCCESS;
}

static int check_network(virConnectPtr conn, const char *name)
{
    virNetworkPtr net = virNetworkLookupByName(conn, name);
    int active = net ? virNetworkIsActive(net) : 0;

    if (net) {
        (void)virNetworkFree(net);
    }
    if (!net) {
        return ocf_fail(OCF_ERR_INSTALLED,
                        "VM '%s': network '%s' does not exist on this host; define it: virsh net-define",
                        vm.name, name);
    }
    if (active != 1) {
        return ocf_fail(OCF_ERR_INSTALLED,
                        "VM '%s': network '%s' is not active on this host; run: virsh net-start %s", vm.name,
                        name, name);
    }
    return OCF_SUCCESS;
}

static int check_nic(virConnectPtr conn, const struct domain_nic *n)
{
    if (strcmp(n->type, "network") == 0) {
        return check_network(conn, n->source);
    }
    if ((strcmp(n->type, "bridge") == 0 || strcmp(n->type, "direct") == 0) &&
        if_nametoindex(n->source) == 0) {
        return ocf_fail(OCF_ERR_INSTALLED,
                        "VM '%s': %s '%s' does not exist on this host; make it, or correct the <source> of "
                        "the interface",
                        vm.name, strcmp(n->type, "bridge") == 0 ? "bridge" : "network device", n->source);
    }
    return OCF_SUCCESS;
}

/* A model that libvirt does not know is named; one that this host cannot run is refused with libvirt's
 * reason. */
static int check_cpu(virConnectPtr conn)
{
    const struct domain *d = &vm.domain;
    char **models = NULL;
    bool known = false;
    int n;

    if (!*d->cpu) {
        return OCF_SUCCESS;
    }
    n = virConnectGetCPUModelNames(conn, d->arch, &models, 0);
    for (int i = 0; i < n; i++) {
        known = known || strcmp(models[i], d->cpu) == 0;
        free(models[i]);
    }
    free(models);
    if (n < 0) {
        return vm_fail("ask libvirt for its CPU models");
    }
    if (n > 0 && !known) {
        return ocf_fail(OCF_ERR_CONFIGURED,
                        "VM '%s': CPU model '%s' is unknown on this host; see: virsh cpu-models %s", vm.name,
                        d->cpu, d->arch);
    }
    n = virConnectCompareHypervisorCPU(conn, *d->emulator ? d->emulator : NULL, d->arch, NULL, d->virttype,
                                       d->cpu_xml, 0);
    if (n == VIR_CPU_COMPARE_INCOMPATIBLE) {
        return ocf_fail(OCF_ERR_INSTALLED,
                        "VM '%s': this host cannot run CPU model '%s'; choose one that all nodes have, see: "
                        "virsh hypervisor-cpu-baseline",
                        vm.name, d->cpu);
    }
    return n == VIR_CPU_COMPARE_ERROR ? vm_fail("compare its CPU with this host's") : OCF_SUCCESS;
}

static int check_libvirt(void)
{
    virConnectPtr conn;
    int rc = vm_open(&conn);

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    for (size_t i = 0; i < vm.domain.n_nics && rc == OCF_SUCCESS; i++) {
        rc = check_nic(conn, &vm.domain.nics[i]);
    }
    if (rc == OCF_SUCCESS) {
        rc = check_cpu(conn);
    }
    if (rc == OCF_SUCCESS) {
        rc = vm_refuse_other_starters(conn);
    }
    (void)virConnectClose(conn);
    return rc;
}

static int check(void)
{
    int rc = OCF_SUCCESS;

    if (*vm.domain.emulator && access(vm.domain.emulator, X_OK) < 0) {
        return ocf_fail(OCF_ERR_INSTALLED, "VM '%s': emulator '%s': %s; install QEMU, or correct <emulator>",
                        vm.name, vm.domain.emulator, strerror(errno));
    }
    for (size_t i = 0; i < vm.domain.n_disks && rc == OCF_SUCCESS; i++) {
        rc = check_disk(&vm.domain.disks[i]);
    }
    return rc == OCF_SUCCESS ? check_libvirt() : rc;
}

int validate_all(void)
{
    struct err e = ERR_INIT;
    int rc = vm_configure();

    if (rc == OCF_SUCCESS && domain_safe(&vm.domain, &e) != RC_OK) {
        rc = ocf_fail_err(OCF_ERR_CONFIGURED, &e);
    }
    return rc == OCF_SUCCESS ? bounded_run(check, BOUNDED_KILL, "libvirtd or the disks' storage", NULL) : rc;
}
