/*
 * store.h - what this node remembers: the journal (clusterd.db), its mark (clusterd.mark, A10) and the audit
 * trail (history.db), all in one folder.
 *
 * clusterd.db: SQLite, WAL, synchronous=FULL. Three tables: `record` (what is always rewritten: identity,
 * promise, commit mark, base; the snapshot's description), `entry`, `blob` (the snapshot). Each row carries a
 * checksum over all its columns, so that damage which SQLite's own check cannot see is found at the next
 * load.
 */
#ifndef CLUSTERD_ADAPTERS_STORE_H
#define CLUSTERD_ADAPTERS_STORE_H

#include "common/err.h"
#include "ports/ports.h"

#define STORE_DB "clusterd.db"

struct store;

/* dir exists. `say` is called with what an operator must read (a store that was set aside and why), `pending`
 * when rows of the audit trail wait for store_flush(), within a second. Both may be NULL. Opens nothing yet:
 * load does. NULL: out of memory. */
struct store *store_new(const char *dir, void (*say)(void *ctx, const char *text), void (*pending)(void *ctx),
                        void *ctx);
/* Flushes and closes. NULL is legal. */
void store_free(struct store *st);
/* Fills the table of functions; its ctx is st. */
void store_port(struct store *st, struct store_port *out);
/* Writes the waiting rows of the audit trail. */
void store_flush(struct store *st);

#endif
