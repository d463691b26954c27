/*
 * files.h - small files and folders: read whole, written durably.
 */
#ifndef CLUSTERD_AGENTS_FILES_H
#define CLUSTERD_AGENTS_FILES_H

#include <stddef.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

/* Makes a folder and its parents; existing ones are fine. */
int files_mkdirs(const char *path, mode_t mode, struct err *e);
/*
 * Reads a regular file of at most max bytes into out (emptied first); a NUL follows the bytes, not counted in
 * len. RC_NOT_FOUND, RC_DENIED, RC_BAD_INPUT (too large, not a regular file) or RC_IO.
 */
int files_read(const char *path, size_t max, struct buf *out, struct err *e);
/*
 * Replaces a file: PATH.tmp, fsync, rename, fsync of the folder. On error nothing is left. One writer at a
 * time (the callers hold a lock); the temporary name is fixed so that a writer that was killed leaves at most
 * one behind.
 */
int files_replace(const char *path, const void *data, size_t len, mode_t mode, struct err *e);
/* fsync of the folder that `path` is in. */
int files_sync_folder(const char *path, struct err *e);

#endif
