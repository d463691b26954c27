#include "virt.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "common/rc.h"
#include "ocf.h"

static const struct {
    const char *word;
    int rc;
} states[] = {
#define X(name, word, rc) [name] = {word, rc},
    VIRT_STATES(X)
#undef X
};

const char *virt_state_word(enum virt_state s)
{
    return states[s].word;
}

int virt_state_rc(enum virt_state s)
{
    return states[s].rc;
}

enum virt_state virt_state_from(const char *word)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (strcmp(states[i].word, word) == 0) {
            return (enum virt_state)i;
        }
    }
    return VIRT_UNKNOWN;
}

static void quiet(void *unused, virErrorPtr err)
{
    (void)unused;
    (void)err; /* by default libvirt prints each error on stderr; ours go into the exit reason */
}

int virt_open(const char *uri, bool readonly, virConnectPtr *conn, struct err *e)
{
    virSetErrorFunc(NULL, quiet);
    *conn = readonly ? virConnectOpenReadOnly(uri) : virConnectOpen(uri);
    if (*conn) {
        return RC_OK;
    }
    (void)err_set(e, RC_UNREACHABLE, "cannot connect to libvirt at '%s': %s", uri, virt_why());
    err_hint(e, "is libvirtd running? see: systemctl status libvirtd");
    return RC_UNREACHABLE;
}

const char *virt_why(void)
{
    const char *s = virGetLastErrorMessage();

    return s ? s : "no reason given";
}

int virt_find(virConnectPtr conn, const char *uuid, virDomainPtr *dom)
{
    int active;

    *dom = virDomainLookupByUUIDString(conn, uuid);
    if (!*dom) {
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ? 0 : RC_FAILED;
    }
    active = virDomainIsActive(*dom);
    if (active != 1) {
        bool gone = active == 0 || virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;

        (void)virDomainFree(*dom);
        *dom = NULL;
        return gone ? 0 : RC_FAILED;
    }
    return 1;
}

/*
 * Both ends of a live migration are "paused, migrating": the target all along, the source in its last
 * moments, or when its libvirtd restarted in them. The target's libvirt refuses to show its job; that is how
 * it is told from the source.
 */
static bool is_incoming(virDomainPtr dom)
{
    virTypedParameterPtr params = NULL;
    int n = 0, type = VIR_DOMAIN_JOB_NONE, op = -1;

    if (virDomainGetJobStats(dom, &type, &params, &n, 0) < 0) {
        return true;
    }
    (void)virTypedParamsGetInt(params, n, VIR_DOMAIN_JOB_OPERATION, &op);
    virTypedParamsFree(params, n);
    return op == VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN;
}

static enum virt_state paused(virDomainPtr dom, int reason)
{
    switch (reason) {
    case VIR_DOMAIN_PAUSED_MIGRATION:
        return is_incoming(dom) ? VIRT_INCOMING : VIRT_PAUSED;
    case VIR_DOMAIN_PAUSED_SAVE:
        return VIRT_SAVING;
    case VIR_DOMAIN_PAUSED_STARTING_UP:
        return VIRT_STARTING;
    case VIR_DOMAIN_PAUSED_SHUTTING_DOWN:
        return VIRT_STOPPING;
    case VIR_DOMAIN_PAUSED_CRASHED:
        return VIRT_CRASHED;
    default:
        return VIRT_PAUSED;
    }
}

enum virt_state virt_state_of(virDomainPtr dom, int state, int reason)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
    case VIR_DOMAIN_PMSUSPENDED:
        return VIRT_RUNNING;
    case VIR_DOMAIN_PAUSED:
        return paused(dom, reason);
    case VIR_DOMAIN_SHUTDOWN:
        return VIRT_STOPPING;
    case VIR_DOMAIN_CRASHED:
        return VIRT_CRASHED;
    case VIR_DOMAIN_SHUTOFF:
        return VIRT_ABSENT;
    default:
        return VIRT_UNKNOWN;
    }
}

enum virt_state virt_state(virDomainPtr dom)
{
    int state, reason;

    if (virDomainGetState(dom, &state, &reason, 0) < 0) {
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ? VIRT_ABSENT : VIRT_UNKNOWN;
    }
    return virt_state_of(dom, state, reason);
}
