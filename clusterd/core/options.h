/*
 * options.h - settings of the cluster and of a VM: one table each, from which parsing, listing, the
 * configuration and the documentation are made.
 */
#ifndef CLUSTERD_CORE_OPTIONS_H
#define CLUSTERD_CORE_OPTIONS_H

#include "common/buf.h"
#include "common/err.h"

#include <stdint.h>

/* X(field, default, min, max, level, help) for numbers; level: the feature level since which it exists (A13)
 */
#define OPTION_NUMBERS(X)                                                                                    \
    X(no_quorum_timeout_ms, 30000, 5000, 3600000, 1,                                                         \
      "a node without quorum has ended its VMs within this time")                                            \
    X(migrations_per_node, 2, 1, 64, 1, "simultaneous migrations from or to one node")                       \
    X(starts_per_node, 4, 1, 256, 1, "simultaneous starts on one node")                                      \
    X(restart_grace_ms, 15000, 0, 600000, 1,                                                                 \
      "a node whose clusterd is gone while corosync stays is unclean after this")                            \
    X(startup_grace_ms, 30000, 0, 3600000, 1, "after a cold start, absent nodes are not fenced before this") \
    X(monitor_interval_ms, 10000, 1000, 600000, 1, "how often each node looks at what it runs")              \
    X(vm_overhead_mib, 128, 0, 65536, 1, "memory of a VM's QEMU beyond the guest's")                         \
    X(fence_timeout_ms, 60000, 1000, 600000, 1, "a fence agent is ended after this")                         \
    X(history_max_days, 90, 1, 36500, 1, "the audit trail's age")                                            \
    X(history_max_mib, 256, 1, 1048576, 1, "the audit trail's size")                                         \
    X(memory_reserve_mib, 0, 0, 16777216, 2,                                                                 \
      "memory of each node that VMs never get, beyond what its memory_mib leaves out")                       \
    X(cpu_reserve, 0, 0, 4096, 2, "CPUs of each node that do not count for VMs")                             \
    X(cpu_overcommit_percent, 1600, 0, 100000, 2, "vCPUs of VMs for each 100 CPUs of a node; 0: not counted")
/* X(field, default, "choice|choice", level, help) for words; the field holds the choice's number, from 0 */
#define OPTION_WORDS(X)                                                                                      \
    X(no_quorum, 0, "stop", 1, "what a node without quorum does with its VMs")                               \
    X(quick_priority, 1, "none|low|medium|high", 1,                                                          \
      "VMs of this priority and below move by quick migration in a drain")                                   \
    X(live_arrival, 0, "direct|paused", 2,                                                                   \
      "a live migration's target runs at once where image locks hold, or only after its source has ended")

#define VM_NUMBERS(X)                                                                                        \
    X(restart_limit, 5, 0, 1000, 1, "restarts within the window, then it stays failed")                      \
    X(restart_window_ms, 3600000, 1000, 604800000, 1, "the window")                                          \
    X(start_timeout_ms, 120000, 1000, 3600000, 1, "a start is ended after this")                             \
    X(stop_timeout_ms, 90000, 1000, 3600000, 1,                                                              \
      "a stop is ended after this; the guest has most of it to shut down")                                   \
    X(migrate_timeout_ms, 1800000, 1000, 86400000, 1,                                                        \
      "a migration is ended after this; the VM stays on its source")
#define VM_WORDS(X)                                                                                          \
    X(priority, 2, "none|low|medium|high", 1,                                                                \
      "order of restarts and moves; none: never restarted by itself")                                        \
    X(on_guest_shutdown, 0, "stay|restart", 1, "when the guest shuts itself down")                           \
    X(migration, 0, "auto|live|quick|none", 1, "how it may move")

struct options {
#define X(field, dflt, min, max, level, help) uint32_t field;
    OPTION_NUMBERS(X)
#undef X
#define X(field, dflt, choices, level, help) uint32_t field;
    OPTION_WORDS(X)
#undef X
};

struct vm_settings {
#define X(field, dflt, min, max, level, help) uint32_t field;
    VM_NUMBERS(X)
#undef X
#define X(field, dflt, choices, level, help) uint32_t field;
    VM_WORDS(X)
#undef X
};

/* One row of either table, for listing. `choices` is NULL for a number. */
struct option_row {
    const char *key, *choices, *help;
    uint32_t dflt, min, max, level;
    size_t offset; /* of the uint32_t in the struct */
};
const struct option_row *option_rows(unsigned *n);
const struct option_row *vm_setting_rows(unsigned *n);

void options_init(struct options *o);
void vm_settings_init(struct vm_settings *s);
/* Sets one key from its text. RC_USAGE with a message that lists the known keys, the choices or the range;
 * RC_REFUSED when it came with a later feature level than `level`, the cluster's (A13; FEATURE_LEVEL where no
 * cluster is at hand). */
int options_set(struct options *o, unsigned level, const char *key, const char *value, struct err *err);
int vm_settings_set(struct vm_settings *s, unsigned level, const char *key, const char *value,
                    struct err *err);
/* Writes a row's present value as text. */
void option_text(const struct option_row *row, const void *base, char *out, size_t size);

#endif
