/*
 * store_kit.h - what the tests of the store share: a model of what should be stored, drawn from a seed, and a
 * folder of its own for each test. In place of the journal, of which the store sees its entries only.
 */
#ifndef TESTS_UNIT_STORE_KIT_H
#define TESTS_UNIT_STORE_KIT_H

#include "adapters/mark.h"
#include "adapters/store.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MODEL_MAX 2000

struct journal {
    struct journal_entry e[MODEL_MAX]; /* by index */
};

struct model {
    struct journal j;
    struct journal_persist p; /* the last one: incarnation, promise, commit, mark */
    uint64_t prev, last;
    uint64_t prev_term;
    struct hash prev_chain;
    struct journal_snapshot snap;
    uint8_t *blob;
};

extern uint64_t rnd_state;
uint64_t rnd(uint64_t below);

struct model *model_new(uint64_t seed);
void model_fini(struct model *m);
struct model *model_copy(const struct model *m);
/* Draws an entry. */
void model_entry(struct model *m, uint64_t index, uint64_t term);
/* The base of the model's log is this entry. */
void model_base(struct model *m, uint64_t index, uint64_t term, struct hash chain);
/* Draws the next transaction (m->p), in the order in which the store carries it out. */
void model_step(struct model *m, uint8_t **blob);
bool load_equals(const struct model *m, const struct journal_load *l);
bool mark_equals(const struct journal_mark *a, const struct journal_mark *b);

/* The folder of this test. */
extern char base[64];
int setup(void **state);
int teardown(void **state);
void remove_tree(const char *path);
/* Begins the folder anew. */
void renew_base(void);
void sub(char out[PATH_MAX], const char *name);
unsigned count_entries(const char *name);
uint8_t *slurp(const char *name, size_t *len);
void spill(const char *name, const uint8_t *data, size_t len);

/* What the store last told an operator. */
extern char said[2000];
struct store *open_store(struct store_port *port);
/* The same, loaded: what is stored is not looked at. */
struct store *start_store(struct store_port *port);
/* Each asserts that it goes well. The caller frees what was loaded. */
void load_well(const struct store_port *port, struct journal_load *l);
void persist_well(const struct store_port *port, const struct model *m);
/* Loads, and what is loaded is the model's. */
void assert_stored(const struct store_port *port, const struct model *m);
/* Draws at most `most` transactions, until one fails. *before, NULL at first, is then the model as it was
 * before the last of them (the caller's). */
bool persist_until_failure(const struct store_port *port, struct model *m, struct model **before, int most,
                           bool *fsync_failed, struct err *err);
/* Draws the bytes of a snapshot of s->size, and sets its digest. The caller frees them. */
uint8_t *draw_blob(struct journal_snapshot *s);

#endif
