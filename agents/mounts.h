/*
 * mounts.h - what is mounted, and who uses it, from /proc alone: the mounted file system may hang and is not
 * touched.
 */
#ifndef CLUSTERD_AGENTS_MOUNTS_H
#define CLUSTERD_AGENTS_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* Whether something is mounted at that very path: 1, 0, or RC_IO. */
int mounts_at(const char *path);
/* The same for the text of a mountinfo file. */
bool mounts_find(const char *mountinfo, const char *path);
/*
 * Names the processes that have a file, folder or mapping below path, as "NAME (PID), …"; how many there are.
 * They are those of this mount namespace's paths.
 */
size_t mounts_users(const char *path, char *out, size_t size);

#endif
