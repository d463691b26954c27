/*
 * fuzz_shell.c - the first byte chooses: the output of the agents' `inventory`, or messages of the group,
 * given to a shell that is the coordinator of a cluster of one.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/shell_kit.h"

static void messages(const uint8_t *data, size_t size)
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct inventory inv;
    char *text;

    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 1) {
        messages(data + 1, size - 1);
        return 0;
    }
    text = malloc(size);
    if (text != NULL) {
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        if (shell_inventory_parse(text, &inv, NULL) == 0) {
            shell_inventory_fini(&inv);
        }
    }
    free(text);
    return 0;
}
