/* log.c - the entries in memory: one contiguous run, each chained to the one before it (A4). */
#include "journal/internal.h"

#include <stdlib.h>
#include <string.h>

static void entry_fini(struct journal_entry *e)
{
    free((void *)(uintptr_t)e->payload);
    e->payload = NULL;
}

void jlog_fini(struct jlog *l)
{
    for (size_t i = 0; i < l->n; i++) {
        entry_fini(&l->v[l->head + i]);
    }
    free(l->v);
    memset(l, 0, sizeof *l);
}

void jlog_reset(struct jlog *l, uint64_t index, uint64_t term, struct hash chain)
{
    jlog_fini(l);
    l->prev_index = index;
    l->prev_term = term;
    l->prev_chain = chain;
}

uint64_t jlog_last(const struct jlog *l)
{
    return l->prev_index + l->n;
}

uint64_t jlog_last_term(const struct jlog *l)
{
    return l->n ? l->v[l->head + l->n - 1].term : l->prev_term;
}

struct hash jlog_last_chain(const struct jlog *l)
{
    return l->n ? l->v[l->head + l->n - 1].chain : l->prev_chain;
}

const struct journal_entry *jlog_at(const struct jlog *l, uint64_t index)
{
    if (index <= l->prev_index || index > jlog_last(l)) {
        return NULL;
    }
    return &l->v[l->head + (size_t)(index - l->prev_index - 1)];
}

bool jlog_describe(const struct jlog *l, uint64_t index, uint64_t *term, struct hash *chain)
{
    const struct journal_entry *e = jlog_at(l, index);

    if (e == NULL && index != l->prev_index) {
        return false;
    }
    *term = e ? e->term : l->prev_term;
    *chain = e ? e->chain : l->prev_chain;
    return true;
}

/* Room for one more; the free space in front is used before the array grows. */
static bool log_room(struct jlog *l)
{
    size_t cap = l->cap ? l->cap * 2 : 64;
    struct journal_entry *v;

    if (l->head + l->n < l->cap) {
        return true;
    }
    if (l->head > l->cap / 2) {
        memmove(l->v, l->v + l->head, l->n * sizeof *l->v);
        l->head = 0;
        return true;
    }
    v = realloc(l->v, cap * sizeof *v);
    if (v == NULL) {
        return false;
    }
    l->v = v;
    l->cap = cap;
    return true;
}

bool jlog_append(struct jlog *l, const struct journal_entry *e)
{
    struct journal_entry copy = *e;
    uint8_t *payload = NULL;

    if (!log_room(l)) {
        return false;
    }
    if (e->len > 0) {
        payload = malloc(e->len);
        if (payload == NULL) {
            return false;
        }
        memcpy(payload, e->payload, e->len);
    }
    copy.payload = payload;
    l->v[l->head + l->n++] = copy;
    return true;
}

void jlog_cut(struct jlog *l, uint64_t from)
{
    while (l->n > 0 && jlog_last(l) >= from) {
        entry_fini(&l->v[l->head + --l->n]);
    }
}

void jlog_trim(struct jlog *l, uint64_t to)
{
    while (l->n > 0 && l->prev_index < to) {
        struct journal_entry *e = &l->v[l->head];

        l->prev_index = e->index;
        l->prev_term = e->term;
        l->prev_chain = e->chain;
        entry_fini(e);
        l->head++;
        l->n--;
    }
}

uint64_t jlog_bytes(const struct jlog *l, uint64_t after, uint64_t upto)
{
    uint64_t bytes = 0;

    for (uint64_t i = after + 1; i <= upto; i++) {
        const struct journal_entry *e = jlog_at(l, i);

        bytes += e != NULL ? e->len : 0;
    }
    return bytes;
}

struct hash jlog_chain(struct hash previous, const struct journal_entry *e)
{
    uint8_t head[22];
    uint64_t words[2] = {e->term, e->index};

    for (size_t i = 0; i < 16; i++) {
        head[i] = (uint8_t)(words[i / 8] >> (8 * (i % 8)));
    }
    for (size_t i = 0; i < 4; i++) {
        head[16 + i] = (uint8_t)(e->len >> (8 * i));
    }
    head[20] = e->format;
    head[21] = e->kind;
    previous = hash_bytes(previous, head, sizeof head);
    return e->len ? hash_bytes(previous, e->payload, e->len) : previous;
}
