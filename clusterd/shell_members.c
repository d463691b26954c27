/* shell_members.c - who belongs to the cluster: its creation (A10). */
#include <stdlib.h>

#include "shell_internal.h"

static int create_refused(const struct shell *sh, int rc, struct err *err)
{
    struct journal_status *status = malloc(sizeof *status);

    if (status == NULL) {
        return err_set(err, RC_NO_MEMORY, "out of memory");
    }
    journal_status(sh->j, status);
    if (status->role == JOURNAL_WAITING) {
        rc = err_set(err, RC_BUSY, "this node waits for its store");
    } else if (status->role != JOURNAL_EMPTY) {
        rc = err_set(err, RC_REFUSED, "this node belongs to a cluster already");
        err_hint(err, "see `clusterctl status`");
    } else if (rc == RC_NO_QUORUM) {
        (void)err_set(err, rc,
                      "corosync has no quorum: another part of the nodes could create a cluster too");
        err_hint(err, "start corosync on more of the nodes in its node list, or take those that do not exist "
                      "out of corosync.conf");
    } else if (rc == RC_BUSY) {
        (void)err_set(err, rc, "a node has not said yet whether it belongs to a cluster");
        err_hint(err, "try again in a second");
    } else {
        (void)err_set(err, rc, "another node belongs to a cluster already: this one is to be taken in by it");
        err_hint(err, "`clusterctl node add` there; see `clusterctl quorum` on the others");
    }
    free(status);
    return rc;
}

int shell_create(struct shell *sh, struct err *err)
{
    struct journal_event ev = {.type = JOURNAL_EV_CREATE};
    int rc;

    if (!shell_enter(sh)) {
        return err_set(err, RC_FAILED, "this daemon has stopped after a failure: see its log");
    }
    rc = journal_feed(sh, &ev, NULL);
    if (rc != 0) {
        rc = create_refused(sh, rc, err);
    } else {
        shell_log(sh, LOG_L_NOTICE, "the cluster is created by an operator's order");
    }
    shell_settle(sh);
    return rc;
}
