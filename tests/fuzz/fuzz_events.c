/*
 * fuzz_events.c - entries of the journal: events that are decoded and applied, one after the other, to a
 * small cluster. core_apply must be total: whatever comes, the state stays consistent.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "core/core.h"

static void check(const struct state *s)
{
    const char *wrong = core_check(s);

    /* What an inventory saw is not the core's fault: two nodes may claim to run one VM. */
    if (wrong != NULL && strstr(wrong, "was seen running on two") == NULL) {
        abort();
    }
}

static void decide(struct state *s)
{
    struct world w = {.self = 1, .present = 3, .ring = 7, .members = 7, .level = FEATURE_LEVEL};
    struct decisions d = {NULL, 0, 0};

    (void)core_decide(s, &w, &d);
    decisions_fini(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state *s = state_new("fuzz");
    struct rd r;
    uint64_t index = 0, seqs[NODES_MAX + 1] = {0};

    rd_init(&r, data, size);
    while (s != NULL && rd_left(&r) > 0 && !r.bad) {
        struct applied out;
        struct event e;
        size_t len;
        const uint8_t *p = rd_blob(&r, &len);

        if (p == NULL || event_decode(&e, p, len, NULL) != 0) {
            break;
        }
        if (event_who(e.kind) != 'D' && e.origin <= NODES_MAX) {
            e.session = 1; /* so that most get past the door */
            e.seq = ++seqs[e.origin];
        }
        core_apply(s, &e, 1, ++index, &out);
        event_fini(&e);
        if (out.broken != NULL) {
            abort();
        }
        check(s);
    }
    if (s != NULL) {
        decide(s);
    }
    state_free(s);
    return 0;
}
