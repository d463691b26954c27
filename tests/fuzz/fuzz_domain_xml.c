/* Any bytes as a domain XML: refused with a reason, or a VM within the core's bounds whose text parses again.
 */
#include "tests/fuzz/fuzz.h"

#include "adapters/domain_xml.h"

#include <assert.h>
#include <string.h>

#define VOLUMES "/var/lib/clusterd/volumes"

static void check(const struct domain *d)
{
    static const char *const volume[] = {"vol1", "vol2"};
    struct domain again;
    struct err err = ERR_INIT;
    int rc;

    assert(name_valid(d->name));
    assert(strlen(d->uuid) == 36);
    assert(d->memory_mib > 0 && d->cpus > 0);
    assert(d->disks <= DISKS_MAX && d->networks <= NETWORKS_MAX);
    for (unsigned i = 0; i < d->disks; i++) {
        assert(strncmp(d->disk[i].path, VOLUMES "/", sizeof VOLUMES) == 0);
        assert(strstr(d->disk[i].path, "/../") == NULL);
    }
    (void)domain_check_volumes(d, VOLUMES, volume, 2, &err);
    assert(strlen(d->xml) <= EVENT_TEXT_MAX);
    rc = domain_parse(&again, d->xml, strlen(d->xml), NULL, VOLUMES, &err);
    assert(rc == 0);
    assert(strcmp(again.name, d->name) == 0 && strcmp(again.uuid, d->uuid) == 0);
    assert(again.memory_mib == d->memory_mib && again.disks == d->disks && again.networks == d->networks);
    domain_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *name = size % 2 ? "other" : NULL;
    struct err err = ERR_INIT;
    struct domain d;

    if (domain_parse(&d, (const char *)data, size, name, VOLUMES, &err) == 0) {
        check(&d);
        domain_fini(&d);
    } else {
        assert(err.rc != 0 && err.msg[0] != '\0');
    }
    return 0;
}
