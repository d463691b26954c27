/*
 * fault.h - the nth call of a kind fails: allocations of our own code (the linker hands them over, --wrap),
 * calls of SQLite by our code (the same), SQLite's own allocations (its hooks), writes, reads and fsyncs of
 * both (in libc's place), programs to be started (asked by the world).
 */
#ifndef TESTS_FAULTS_FAULT_H
#define TESTS_FAULTS_FAULT_H

#include <stdbool.h>
#include <stddef.h>

enum fault_kind {
    FAULT_ALLOC,
    FAULT_SQLITE_MEMORY,
    FAULT_SQLITE_CALL,
    FAULT_WRITE, /* half of it is written */
    FAULT_FULL,  /* the same, as a full disk has it */
    FAULT_READ,
    FAULT_FSYNC,
    FAULT_FILE, /* open, rename, mkdir, ftruncate */
    FAULT_SPAWN,
    FAULT_KINDS
};

/* From now on the nth call (from 0) fails; `sticky`: and all that follow on the same host, until
 * fault_clear(). */
void fault_arm(enum fault_kind kind, unsigned long nth, bool sticky);
/* Nothing fails and nothing is counted. */
void fault_off(void);
/* Around the tests' own looks at what they test: nothing fails or is counted meanwhile. */
void fault_pause(bool pause);
/* What is sticky ends. */
void fault_clear(void);
/* How many calls of the kind there were before the nth, which was not reached. */
unsigned long fault_calls(void);
/* Whether the nth call was reached. */
bool fault_fired(void);
/* The host whose code runs now: what is sticky stays with it. */
extern unsigned fault_host;
/* SQLite keeps next to no pages in memory: what is damaged meanwhile is met. */
extern bool fault_no_cache;
/* One call of this kind: does it fail? */
bool fault_hits(enum fault_kind kind);
const char *fault_key(enum fault_kind kind);
/* Before SQLite's first use. */
void fault_init(void);
/* Memory of the tests' own, never failing; aborts. */
void *fault_calloc(size_t n, size_t size);

#endif
