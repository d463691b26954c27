/* Messages of the group, given to a shell that is the coordinator of a cluster of one. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/shell_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kit k;
    const char *wrong;
    struct rd r;

    kit_start(&k);
    kit_pass(&k, 2000);
    rd_init(&r, data, size);
    while (rd_left(&r) > 3) {
        uint8_t from = rd_u8(&r);
        size_t len = rd_u16(&r), n = len < rd_left(&r) ? len : rd_left(&r);

        shell_message(k.sh, from % 70, r.p, n);
        r.p += n;
        kit_pass(&k, 50);
    }
    kit_pass(&k, 500);
    wrong = core_check(k.sh->st);
    /* Two nodes may claim to run one VM: what they say is not the shell's fault. */
    if (k.sh->failed || (wrong != NULL && strstr(wrong, "was seen running on two") == NULL)) {
        abort();
    }
    kit_close(&k);
    return 0;
}
