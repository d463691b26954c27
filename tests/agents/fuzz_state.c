/* Any bytes as a saved state's meta file: refused with a reason, or a state that is written and read as the
 * same. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "agents/state.h"

static void parse(const char *text, size_t len)
{
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    struct state s, again;

    if (state_parse(text, len, &s, &e) != 0) {
        assert(e.rc != 0 && e.msg[0] != '\0');
        assert(s.disks == NULL);
        return;
    }
    assert(state_tag_ok(s.tag) && strlen(s.uuid) == 36 && s.n_disks <= DOMAIN_DISKS_MAX);
    state_format(&s, &b);
    assert(!b.failed);
    assert(state_parse((const char *)b.data, b.len, &again, &e) == 0);
    assert(again.bytes == s.bytes && again.n_disks == s.n_disks && strcmp(again.tag, s.tag) == 0);
    state_fini(&again);
    state_fini(&s);
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hash none = {0, 0};
    struct buf b = BUF_INIT;
    char hex[33];

    parse((const char *)data, size);
    /* And again with a last line that fits, or else nothing behind the checksum is ever reached. */
    size = size > 37 ? size - 37 : size;
    hash_hex(hash_bytes(none, data, size), hex);
    buf_raw(&b, data, size);
    buf_raw(&b, "end ", 4);
    buf_raw(&b, hex, 32);
    buf_raw(&b, "\n", 1);
    parse((const char *)b.data, b.len);
    buf_fini(&b);
    return 0;
}
