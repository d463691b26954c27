/*
 * What the store held: the records `meta` and `snapshot`, then entries, as rows.c reads them; the first byte
 * says whether the chain is made right afterwards (else few would get past it) and whether the mark agrees.
 * Whatever it is, the journal begins with it or sets it aside, and never ends before its own mark.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "adapters/rows.h"
#include "journal/internal.h"
#include "journal/journal.h"

#define ENTRIES_MAX 64

static void must(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void read_entries(struct rd *r, struct journal_load *load, bool right)
{
    struct hash chain = load->prev.chain;

    load->entries = calloc(ENTRIES_MAX, sizeof *load->entries);
    must(load->entries != NULL);
    while (rd_left(r) > 0 && !r->bad && load->n_entries < ENTRIES_MAX) {
        struct journal_entry *e = &load->entries[load->n_entries];
        const uint8_t *p;
        uint8_t *copy;
        size_t len;

        e->index = right ? load->prev.index + load->n_entries + 1 : rd_u64(r);
        e->term = right ? load->promise.term : rd_u64(r);
        e->format = right ? JOURNAL_FORMAT : rd_u8(r);
        e->kind = rd_u8(r);
        p = rd_blob(r, &len);
        if (r->bad || len > JOURNAL_PAYLOAD_MAX) {
            break;
        }
        copy = malloc(len ? len : 1);
        must(copy != NULL);
        if (len) {
            memcpy(copy, p, len);
        }
        e->payload = copy;
        e->len = (uint32_t)len;
        e->chain = chain = jlog_chain(chain, e);
        load->n_entries++;
    }
}

static bool read_load(struct rd *r, struct journal_load *load, uint8_t flags)
{
    struct rows_meta meta = {0};
    struct rd part;
    const uint8_t *p;
    size_t len;

    p = rd_blob(r, &len);
    rd_init(&part, p, len);
    if (r->bad || !rows_meta_decode(&meta, &part)) {
        return false;
    }
    p = rd_blob(r, &len);
    rd_init(&part, p, len);
    if (r->bad || !rows_snapshot_decode(&load->snapshot, &part)) {
        return false;
    }
    load->incarnation = meta.incarnation;
    load->cluster = meta.cluster;
    load->promise = meta.promise;
    load->commit = meta.commit;
    load->prev.index = meta.prev_index;
    load->prev.term = meta.prev_term;
    load->prev.chain = meta.prev_chain;
    if (flags & 1) {
        load->snapshot.index = load->prev.index;
        load->snapshot.chain = load->prev.chain;
    }
    read_entries(r, load, flags & 1);
    if (flags & 2) {
        load->mark = (struct journal_mark){meta.incarnation, meta.cluster, meta.promise.term,
                                           meta.prev_index + load->n_entries};
    }
    return true;
}

static void begin(struct journal *j)
{
    static const uint32_t all[] = {1, 2, 3};
    struct journal_event ev = {.type = JOURNAL_EV_START, .now_ms = 1000};
    struct journal_actions out;
    struct journal_status s;

    must(journal_step(j, &ev, &out) == RC_OK);
    ev = (struct journal_event){
        .type = JOURNAL_EV_VIEW, .now_ms = 1000, .view = {.nodes = all, .n = 3, .quorate = true}};
    must(journal_step(j, &ev, &out) == RC_OK);
    journal_status(j, &s);
    must(s.last >= s.commit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_config c = {
        .node = 1, .session = 1001, .seed = 1, .configured = {1, 2, 3}, .n_configured = 3};
    struct journal_load load = {.fresh = {101, {7, 70}}};
    struct journal *j = journal_new(&c);
    struct rd r;

    must(j != NULL);
    rd_init(&r, data, size);
    if (read_load(&r, &load, rd_u8(&r))) {
        int rc = journal_load(j, &load);

        must(rc == RC_OK || rc == RC_REFUSED); /* refused: an entry of a newer format */
        if (rc == RC_OK) {
            begin(j);
        }
    }
    journal_load_fini(&load);
    journal_free(j);
    return 0;
}
