/*
 * job.h - a long libvirt call (migration, save) watched while it runs: progress, cancellation, deadline.
 */
#ifndef CLUSTERD_AGENTS_JOB_H
#define CLUSTERD_AGENTS_JOB_H

#include <libvirt/libvirt.h>

enum job_end {
    JOB_DONE,
    JOB_FAILED,    /* by itself: virt's reason in the call's own hands */
    JOB_TIMED_OUT, /* aborted, since its time was over */
    JOB_CANCELLED, /* aborted, since somebody wanted it */
};

/*
 * Runs call(arg) (0 or -1) in a thread and prints "progress: FRACTION remaining=BYTES total=BYTES" at most
 * twice a second. Aborts the domain's job at `until` (ocf_now_ms) or on bounded_cancelled(), and then still
 * waits for the call to return, which a hung libvirtd may delay for ever: the caller is in a child of
 * bounded.h. A call that was done before the abort reached it is JOB_DONE. remaining, in bytes, is the last
 * that was heard; -1 when nothing was.
 */
enum job_end job_run(virDomainPtr dom, int (*call)(void *), void *arg, long until, long long *remaining);

#endif
