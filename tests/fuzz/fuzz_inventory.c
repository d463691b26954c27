/* Any text as the output of the agents' `inventory`: refused, or what it says can be looked up. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/shell_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* exactly as long, so that a sanitizer sees a read behind it */
    struct inventory inv;
    struct err err = ERR_INIT;

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    if (shell_inventory_parse(text, &inv, &err) == 0) {
        for (unsigned i = 0; i < inv.n; i++) {
            assert(strlen(inv.vm[i].uuid) == 36);
            assert(shell_inventory_obs(&inv, inv.vm[i].uuid) == inv.vm[i].obs);
        }
        shell_inventory_fini(&inv);
    } else {
        assert(err.rc != 0 && inv.vm == NULL);
    }
    free(text);
    return 0;
}
