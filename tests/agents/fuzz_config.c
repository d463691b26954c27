/* Any bytes as a VM's config or QEMU's arguments: refused with a reason, or within bounds. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "agents/domain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    struct domain d;
    struct qemu q;

    if (domain_parse((const char *)data, size, "it", &d, &e) == 0) {
        assert(strlen(d.uuid) == 36 && *d.name && d.n_disks <= DOMAIN_DISKS_MAX &&
               d.n_nics <= DOMAIN_NICS_MAX);
        (void)domain_safe(&d, &e);
        domain_fini(&d);
    } else {
        assert(e.rc != 0 && e.msg[0] != '\0');
    }
    (void)qemu_parse((const char *)data, size, &q);
    return 0;
}
