/*
 * domain.h - what the agents need to know of a domain XML.
 *
 * The text comes from an operator or from libvirt: it is parsed once, here, without network, entities or DTD,
 * and with bounds on everything.
 */
#ifndef CLUSTERD_AGENTS_DOMAIN_H
#define CLUSTERD_AGENTS_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "qemu.h"

#define DOMAIN_XML_MAX   (1u << 20)
#define DOMAIN_DISKS_MAX 256
#define DOMAIN_NICS_MAX  64

struct domain_disk {
    char *target; /* vda */
    char *source; /* the file, device, …; "" for an empty drive or a kind without a path */
    char *type;   /* file, block, network, volume, … */
    char *cache;  /* "" when not given */
    bool writable;
    bool shareable;
    bool backing; /* not the disk itself but an image below it */
};

struct domain_nic {
    char *type;   /* network, bridge, direct, user, … */
    char *source; /* name of the network, bridge or device; "" */
};

struct domain {
    char uuid[QEMU_UUID_SIZE];
    char *name;
    char *xml;             /* the text as read */
    char *cpu;             /* <cpu><model>; "" */
    char *cpu_xml;         /* the <cpu> element as text; "" */
    char *arch, *virttype; /* x86_64, kvm or qemu, …; "" */
    char *emulator;
    bool unlocked; /* its QEMU arguments switch image locks off */
    struct domain_disk *disks;
    size_t n_disks;
    struct domain_nic *nics;
    size_t n_nics;
};

/* Reads a domain XML file. RC_NOT_FOUND, RC_DENIED, RC_BAD_INPUT (says what and where), RC_IO or
 * RC_NO_MEMORY. */
int domain_read(const char *path, struct domain *d, struct err *e);
/* The same from a text; `what` names it in messages. */
int domain_parse(const char *xml, size_t len, const char *what, struct domain *d, struct err *e);
void domain_fini(struct domain *d);
/*
 * The rules that no VM of the cluster may break: C4 (disks bypass the host's cache, so that its writes have
 * ended when QEMU has) and S8 (image locks stay on). RC_REFUSED with what to change, or RC_OK.
 */
int domain_safe(const struct domain *d, struct err *e);

#endif
