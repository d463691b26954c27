/* Any bytes as a snapshot of the state: refused, or a state on which the core can decide. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>

#include "core/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.self = 1, .present = 3, .ring = 7};
    struct decisions d = {NULL, 0, 0};
    struct err err = ERR_INIT;
    struct state *s = state_decode(data, size, &err), *again;
    struct buf b = BUF_INIT;

    if (s == NULL) {
        assert(err.rc != 0 && err.msg[0] != '\0');
        return 0;
    }
    (void)core_decide(s, &w, &d);
    decisions_fini(&d);
    state_encode(s, &b);
    again = state_decode(b.data, b.len, NULL); /* what was taken is written as something that is taken */
    assert(again != NULL && hash_eq(state_digest(again), state_digest(s)));
    state_free(again);
    buf_fini(&b);
    state_free(s);
    return 0;
}
