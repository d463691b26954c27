/*
 * What a program says of its work: the first byte chooses whose (a VM's start, a volume's start, a fence
 * device's status), the second its exit code; then its lines of progress and its output, as the runner hands
 * them over, divided by a byte 0. The journal takes it or the shell drops it; nothing else.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/shell_kit.h"

#define UUID "00000000-0000-4000-8000-000000000001"

static void must(bool truth)
{
    if (!truth) {
        abort();
    }
}

static struct kit_run *begin(struct kit *k, uint8_t which)
{
    struct kit_run *r;

    kit_open(k);
    if (which == 0) {
        must(kit_command(k, EV_CMD_VM_ADD, "web", "<domain/>", "uuid", UUID, "memory_mib", "64", NULL) == 0);
        kit_end(k, kit_find(k, "inventory"), 0, "libvirt: ok\nend 0\n");
        must(kit_command(k, EV_CMD_VM_START, "web", NULL, NULL) == 0);
    } else if (which == 1) {
        must(kit_command(k, EV_CMD_VOLUME_ADD, "v", NULL, "type", "directory", "source", "/s", "path", "/v",
                         NULL) == 0);
    } else {
        must(kit_command(k, EV_CMD_FENCE_ADD, "f", NULL, "agent", "fence_x", "nodes", "1", NULL) == 0);
        must(kit_command(k, EV_CMD_FENCE_TEST, "f", NULL, NULL) == 0);
    }
    kit_pass(k, 500);
    r = kit_find(k, which == 2 ? "status" : "start");
    must(r != NULL);
    return r;
}

/* A piece up to the next byte 0, as a text of its own (owned by the caller). */
static char *piece(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size ? memchr(*data, 0, *size) : NULL;
    size_t len = end ? (size_t)(end - *data) : *size;
    char *text = malloc(len + 1);

    must(text != NULL);
    memcpy(text, *data, len);
    text[len] = '\0';
    *data += end ? len + 1 : len;
    *size -= end ? len + 1 : len;
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run_result res = {.started = true};
    struct kit k;
    struct kit_run *r;
    char *reason, *line, *output;

    if (size < 2) {
        return 0;
    }
    r = begin(&k, data[0] % 3);
    res.code = (int8_t)data[1];
    data += 2, size -= 2;
    reason = piece(&data, &size);
    line = piece(&data, &size);
    output = piece(&data, &size);
    snprintf(res.reason, sizeof res.reason, "%s", reason);
    res.output = output;
    r->over = true;
    shell_run_line(k.sh, r->id, line);
    shell_run_done(k.sh, r->id, &res);
    kit_pass(&k, 200);
    kit_end(&k, kit_find(&k, "inventory"), 0, output); /* the look that follows what is not clear */
    kit_pass(&k, 200);
    must(!k.sh->failed && core_check(k.sh->st) == NULL);
    kit_close(&k);
    free(reason);
    free(line);
    free(output);
    return 0;
}
