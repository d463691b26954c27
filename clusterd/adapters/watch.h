/*
 * watch.h - something happened to a VM outside our jobs: look soon.
 *
 * libvirt keeps a file for each domain that runs (hypervisor's run directory, NAME.xml and NAME.pid),
 * rewrites it when the domain's state changes and removes it when its QEMU ends. An inotify watch on that
 * folder therefore sees a VM that ended, crashed, was paused or was started by somebody, in a few
 * milliseconds, without a connection to libvirt and without polling. It is a hint, never evidence: the
 * inventory that follows is (C3), and it comes at its interval anyway.
 */
#ifndef CLUSTERD_ADAPTERS_WATCH_H
#define CLUSTERD_ADAPTERS_WATCH_H

struct watch;

/* Calls look() at most once in 50 ms while there are changes. A folder that does not exist (libvirt was never
 * started) is looked for every few seconds. */
struct watch *watch_new(const char *dir, void (*look)(void *ctx), void *ctx);
void watch_free(struct watch *w);

#endif
