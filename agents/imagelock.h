/*
 * imagelock.h - QEMU's image lock, as its file driver takes it (block/file-posix.c): OFD read locks on single
 * bytes, one for each permission in use (100 + n) and one for each that others may not have (200 + n), and a
 * test of the counterparts.
 */
#ifndef CLUSTERD_AGENTS_IMAGELOCK_H
#define CLUSTERD_AGENTS_IMAGELOCK_H

#include <stdbool.h>

/* Takes the lock of an image's writer on an open file. 1 granted, 0 refused (nothing is held), -1 with errno.
 */
int imagelock_take(int fd);
/* Gives it back. 0, or -1 with errno. */
int imagelock_drop(int fd);

/*
 * What others (all QEMUs of all hosts, as far as the file system carries locks) hold on an image: 1, 0, or -1
 * when that cannot be asked. Needed because QEMU 7.2 itself does not refuse everything: one that was restored
 * and left paused has its images open for writing and shares them; so a second one is not refused, and a
 * conflict at its resumption is only logged.
 */
int imagelock_is_written(const char *path);   /* somebody may write it */
int imagelock_is_exclusive(const char *path); /* somebody forbids all others to */

#endif
