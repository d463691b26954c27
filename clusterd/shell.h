/*
 * shell.h - facts -> journal -> core -> effects -> ports. No I/O of its own: the daemon and the simulator
 * both run it, one with adapters, one with a world of its own.
 *
 * What it does, in the order in which one command travels (see ARCHITECTURE.md):
 *   1. a fact (command, job's result, inventory, node-up) gets (session, seq) and is proposed: appended when
 *      this node is the coordinator, else sent to it; repeated until it is seen committed or answered (A1)
 *   2. the journal replicates and commits it; the shell applies it (core_apply) and answers the command
 *   3. on the coordinator of an open term: core_decide; its events are appended, and decided again only when
 *      all of them were applied
 *   4. jobs in the state that name this node and this session are started, once, under C2's conditions; their
 *      results are facts
 *   5. the deadlines that the state waits for are measured here and proposed when due
 * And: inventories (C3), a node's own end of its VMs without quorum (S2), progress of operations (broadcast,
 * never stored), snapshots of the state for the journal.
 */
#ifndef CLUSTERD_SHELL_H
#define CLUSTERD_SHELL_H

#include "core/core.h"
#include "ports/ports.h"

struct shell;

struct shell_config {
    uint32_t self;              /* corosync node id, 1 to NODES_MAX */
    char name[NAME_SIZE];       /* node name */
    char cluster[NAME_SIZE];    /* corosync's cluster_name */
    char boot[40];              /* boot id of the host */
    uint64_t session;           /* random, new at each start of the daemon (A1, C2) */
    char address[ADDRESS_SIZE]; /* corosync's, one for each link, with commas; empty: not known */
    uint64_t memory_mib;        /* that VMs may use */
    uint32_t cpus;
    uint32_t configured[NODES_MAX]; /* corosync's node list, for the first creation */
    unsigned configureds;
    uint32_t election_ms, heartbeat_ms, commit_ms; /* the journal's E, H, N; 0: its defaults */
    const char *hypervisor;                        /* agents' `hypervisor`; borrowed */
    const char *migration_uri;                     /* agents' `migration_uri`; borrowed */
    const char *volume_dir;                        /* /var/lib/clusterd/volumes */
    const char *agent_lock_dir;                    /* agents' `lock_dir` */
    uint32_t snapshot_entries;                     /* as in journal_config; 0: its default */
    unsigned feature_level; /* what this build knows (A13); 0: FEATURE_LEVEL, less only in simulations */
};

/* The ports' contexts outlive the shell. load is what the store had (taken over). NULL: err says why. */
struct shell *shell_new(const struct shell_config *c, const struct ports *p, struct journal_load *load,
                        struct err *err);
void shell_free(struct shell *sh);

/* From the membership adapter. present: nodes whose clusterd is in the cpg group; ring: nodes in corosync's
 * ring; quorate: libquorum V1's word for exactly this ring (false while unknown). view grows with each call.
 */
void shell_view(struct shell *sh, node_set present, node_set ring, bool quorate, uint64_t view);
void shell_message(struct shell *sh, uint32_t from, const void *data, size_t len);
void shell_run_done(struct shell *sh, uint64_t id, const struct run_result *r);
/* A line that a running program printed ("progress: 0.42 …"). */
void shell_run_line(struct shell *sh, uint64_t id, const char *line);
/* A15: what a daemon multicasts each second that only observes, without a shell of its own, so that nobody
 * takes its host for lost. Returns the length. */
size_t shell_observe_message(uint8_t out[8]);
/* Something happened to VMs outside our jobs (libvirt's events): look soon. */
void shell_look(struct shell *sh);
/* Time passes: call at the time that shell_next_ms named, or earlier. */
void shell_tick(struct shell *sh);
uint64_t shell_next_ms(const struct shell *sh);

/* An operator's command: e (kind 'C', taken over) is proposed; the answer comes by client_port.answer under
 * `request`, RC_NO_QUORUM at once when there is no open term, RC_TIMED_OUT when it took too long. */
void shell_command(struct shell *sh, uint64_t request, struct event *e);
/* `quorum force` (A16): down are the nodes that the operator has confirmed to be powered off, all voters that
 * are not here. 0: it was begun, and goes on by itself; or err says why not. */
int shell_force(struct shell *sh, node_set down, const char *by, struct err *err);
/* `cluster create`: the first creation although configured nodes are absent (A10). 0, or err says why not. */
int shell_create(struct shell *sh, struct err *err);
/* Begin an orderly end of this daemon (SIGTERM): says "empty, leaving" when nothing runs here (N2), then
 * shell_may_exit turns true; VMs that run keep running. */
void shell_leave(struct shell *sh);
bool shell_may_exit(const struct shell *sh);
/* A13: it ended because the cluster's data are of a newer version: to begin again would change nothing. */
bool shell_outdated(const struct shell *sh);

/* For views (borrowed, until the next call into the shell). */
const struct state *shell_state(const struct shell *sh);
const struct journal *shell_journal(const struct shell *sh);
void shell_world(const struct shell *sh, struct world *w);
/* True while commands can be taken here: an open term that was heard lately. why says what is missing. */
bool shell_quorate(const struct shell *sh, char *why, size_t size);
/* What an operator must look at, though the cluster may be quorate: the states of the nodes differ (A14).
 * Empty: nothing. */
const char *shell_alarm(const struct shell *sh);
/* Progress of an operation, 0 to 1; negative when unknown. */
double shell_progress(const struct shell *sh, uint64_t op);

#endif
