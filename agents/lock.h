/*
 * lock.h - the lock of one VM (or volume) on this node: C3.
 *
 * An open file description lock (OFD) on DIR/NAME.lock. Children inherit it and it lasts as long as the last
 * of them, so an agent that outlived its clusterd is seen; and a look at it (lock_held) does not take it. The
 * file itself is never removed: two agents would then lock two files.
 */
#ifndef CLUSTERD_AGENTS_LOCK_H
#define CLUSTERD_AGENTS_LOCK_H

#include "common/err.h"

/*
 * Takes the lock, waiting at most wait_ms; creates the folder. Returns its descriptor (the caller's; the lock
 * ends with its last copy), or RC_BUSY naming the holder, or RC_IO.
 */
int lock_take(const char *dir, const char *name, long wait_ms, struct err *e);
/* Writes who holds it ("PID WHAT") into the file, for lock_take's message. */
void lock_note(int fd, const char *what);
/* 1 held by somebody, 0 free, RC_IO when that cannot be told. */
int lock_held(const char *dir, const char *name);

#endif
