/*
 * journal_kit.h - one journal on a bench: a test plays the store, the clock and all the other nodes by hand.
 *
 * The others are nodes 1 … n but `self`; the incarnation of node i is 100 + i, its session 1000 + i.
 */
#ifndef TESTS_UNIT_JOURNAL_KIT_H
#define TESTS_UNIT_JOURNAL_KIT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "journal/internal.h"
#include "journal/journal.h"

#define KIT_SENT_MAX 128

struct kit {
    struct journal *j;
    struct journal_config config;
    unsigned n; /* nodes of the cluster */
    uint64_t now;
    bool hold;                      /* PERSISTED is not answered by itself: kit_persisted() does */
    uint64_t pending;               /* seq of the PERSIST that waits */
    unsigned persists;              /* how many there were */
    struct journal_persist persist; /* the last one */
    struct journal_actions out;     /* of the last step */
    uint8_t *sent[KIT_SENT_MAX];    /* since the last kit_forget() */
    size_t sent_len[KIT_SENT_MAX], n_sent;
    unsigned said[JOURNAL_ALARM + 1]; /* how often each action came, since the last kit_forget() */
    char text[JOURNAL_TEXT_MAX];      /* of the last action that had one */
    uint64_t commit, deadline;
};

/* A cluster of n voters with an empty log, in a quorate view of all; nothing was heard yet. */
void kit_begin(struct kit *k, uint32_t self, unsigned n);
/* The same, not created yet. */
void kit_begin_empty(struct kit *k, uint32_t self, unsigned n);
void kit_end(struct kit *k);
/* A new session over what the disk has: all that was answered as persisted. */
void kit_restart(struct kit *k);
/* The same, with a store that holds only the log up to `last`, and the promise of `term`. */
void kit_restart_shortened(struct kit *k, uint64_t last, uint64_t term);
/* The same, and the mark is as old as the store: an image of the disk of that time was put back. */
void kit_restart_older(struct kit *k, uint64_t last, uint64_t term);
void kit_load_empty(struct kit *k, uint64_t incarnation);

int kit_step(struct kit *k, struct journal_event *ev);
void kit_wait(struct kit *k, uint64_t ms); /* ticks whenever it is due */
void kit_persisted(struct kit *k, enum journal_persisted result);
void kit_view(struct kit *k, bool quorate, unsigned count, ...); /* count node ids (unsigned) */
int kit_propose(struct kit *k, const char *text);

/* Messages of others. Each starts with kit_from(): an own copy to fill in, then kit_hear(). */
struct jmsg kit_from(const struct kit *k, uint32_t from, enum jmsg_type type, uint32_t to, uint64_t term);
void kit_hear(struct kit *k, const struct jmsg *m);
void kit_hello(struct kit *k, uint32_t from, uint64_t term, uint64_t last_term, uint64_t last_index);
void kit_vote(struct kit *k, uint32_t from, uint64_t term, bool granted);
void kit_ack(struct kit *k, uint32_t from, uint64_t term, uint64_t index);
/* An APPEND from `from`: it follows entry prev of the log in `l`, and brings its entries up to last. */
void kit_append(struct kit *k, uint32_t from, uint64_t term, const struct jlog *l, uint64_t prev,
                uint64_t last, uint64_t commit);
/* A log of another node: begins like the kit's base; kit_write appends to it. */
void kit_log(const struct kit *k, struct jlog *l);
void kit_write(struct jlog *l, uint64_t term, enum journal_kind kind, const char *text);
void kit_write_members(struct jlog *l, uint64_t term, const struct journal_members *m);

void kit_forget(struct kit *k);
/* The last message of this type that was sent since kit_forget(); false: none. */
bool kit_sent(const struct kit *k, enum jmsg_type type, struct jmsg *m);
unsigned kit_count(const struct kit *k, enum jmsg_type type);
/* Elects the kit's journal for the next term, by the votes of all. The OPEN is committed when open is true.
 */
void kit_elect(struct kit *k, bool open);
/* The kit's journal follows `from`, whose log it gets as a whole. */
void kit_follow(struct kit *k, uint32_t from, uint64_t term, const struct jlog *l, uint64_t commit);

#endif
