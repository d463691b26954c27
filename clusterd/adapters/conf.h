/*
 * conf.h - the settings that belong to one node only: /etc/clusterd/clusterd.conf.
 *
 * Lines of `key = value`; '#' begins a comment; a missing file means the defaults. What concerns the whole
 * cluster is replicated and not here.
 */
#ifndef CLUSTERD_ADAPTERS_CONF_H
#define CLUSTERD_ADAPTERS_CONF_H

#include "common/err.h"

#include <stdint.h>
#include <stdio.h>

#define CONF_TEXT_SIZE 256

struct conf {
    char state_dir[CONF_TEXT_SIZE];       /* clusterd.db, history.db, volumes/ */
    char run_dir[CONF_TEXT_SIZE];         /* lock files, domain XML of the agents */
    char log_level[CONF_TEXT_SIZE];       /* error, warning, notice, info, debug */
    char log_file[CONF_TEXT_SIZE];        /* empty: the system's log, or standard error with -f */
    char hypervisor[CONF_TEXT_SIZE];      /* libvirt URI */
    char migration_uri[CONF_TEXT_SIZE];   /* libvirt URI of a migration's other end, with %s for its name */
    char libvirt_run_dir[CONF_TEXT_SIZE]; /* where libvirt keeps what runs */
    char corosync_conf[CONF_TEXT_SIZE];   /* whose node list is kept in step with the members */
    char agent_dir[CONF_TEXT_SIZE];       /* OCF agents of this provider */
    char fence_dir[CONF_TEXT_SIZE];       /* fence agents */
    uint32_t memory_mib;                  /* that VMs may use; never 0 after conf_load */
    uint32_t election_ms, heartbeat_ms, commit_ms; /* the journal's E, H, N; 0: its defaults */
    uint32_t crash_limit, crash_window_ms;         /* A15; 0: the defaults of crashes.h */
};

/* Reads the file (missing_ok: as if it were empty when it does not exist). RC_BAD_INPUT names the file, the
 * line and the known keys. */
int conf_load(struct conf *c, const char *path, int missing_ok, struct err *err);
/* The log level as syslog's priority. */
int conf_log_priority(const struct conf *c);
/* Writes each key with its default and meaning (clusterd --help). */
void conf_help(FILE *out);

#endif
