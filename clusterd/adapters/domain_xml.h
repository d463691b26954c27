/*
 * domain_xml.h - what the cluster needs to know of a libvirt domain XML.
 *
 * The text is an operator's: it is bounded, read without network, entities or a DTD, and refused with the
 * place and a way out when it cannot be a VM of the cluster (its disks would not be there on other nodes, or
 * its writes would linger in a host's page cache when the host dies: rule C4).
 */
#ifndef CLUSTERD_ADAPTERS_DOMAIN_XML_H
#define CLUSTERD_ADAPTERS_DOMAIN_XML_H

#include "common/err.h"
#include "core/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct domain_disk {
    char path[PATH_SIZE]; /* absolute */
    bool writable;
};

struct domain {
    char name[NAME_SIZE];
    char uuid[40];       /* canonical: lower case, with dashes */
    uint64_t memory_mib; /* the most that the guest may use, rounded up */
    uint32_t cpus;
    char cpu_model[NAME_SIZE]; /* empty when the XML names none */
    struct domain_disk disk[DISKS_MAX];
    unsigned disks;
    char network[NETWORKS_MAX][NAME_SIZE]; /* "network:NAME" or "bridge:NAME", each once */
    unsigned networks;
    char *xml; /* owned; as given, but for a name or uuid that was put in */
};

/* Fills d (initialised by this call; domain_fini after success only). name, when not NULL, takes the place of
 * the XML's; a missing uuid becomes a random one. Disks must lie below volume_dir/NAME/; whether such a
 * volume exists is domain_check_volumes'. RC_BAD_INPUT for what is no domain XML, RC_REFUSED for what a
 * cluster cannot run safely, each with its place and a hint. */
int domain_parse(struct domain *d, const char *xml, size_t len, const char *name, const char *volume_dir,
                 struct err *err);
void domain_fini(struct domain *d);

/* RC_REFUSED when a disk lies on none of the n volumes. */
int domain_check_volumes(const struct domain *d, const char *volume_dir, const char *const *volume,
                         unsigned n, struct err *err);

/* True for [A-Za-z0-9][A-Za-z0-9._-]{0,62}: what every object of the cluster may be called. */
bool name_valid(const char *name);

#endif
