/*
 * migrate.pml - a live migration, and what is left of one (C1, C5; S1, S6).
 *
 * Invariants: (S1) at most one end runs; (C1) what runs has a claim, and where a claim ends nothing runs; (S6) what
 * runs has the newest memory: never a half that was left behind while the other end ran (its disks are newer than
 * it), and the end that runs is never ended as the other half.
 *
 * One VM, two nodes; a third decides and fences. The agent at the source may reach the target late, even in its next
 * boot. After the switch the source stands paused; the last answer may be lost (a partition between the two): then the
 * source resumes by itself while the target may have started; or its libvirt dies and leaves it paused. The target
 * arrives paused; with -DLOCKS it arrives running and the image locks hold between the two nodes (then ONLY_S1 is
 * checked, see below). Claims, `from`, results, inventories, probes, losses, fences, new boots and surprises: as
 * core_apply has them; jobs as core_decide chooses them (settle, stop_half, learn). Nodes lag, jobs begin late,
 * results come late or never, guests end by themselves, and may be started again once.
 * Budgets: MOVES migrations, OFFS power-offs (crashes and fences), LOSSES, RESTARTS of daemons.
 *
 * Seeded errors: BUG_SOURCE the source's claim ends when the migration begins; BUG_LOST_END the claim of a lost end
 * ends because there is another one; BUG_UNPROVEN the target arrives running without proven locks.
 * What the model found in the rules as they were built (ARCHITECTURE.md, "What the models changed"):
 * BUG_RESUME whatever stands paused alone is resumed; BUG_LATE_BOOT a new boot ends the claim of a VM that was migrated
 * to that very boot; BUG_LATE_FENCE the fence of a loss ends the claim of a migration that ended after the loss;
 * BUG_LATE_PROBE a probe counts although the other end has spoken since it was decided. And LOCKS without
 * ONLY_S1: libvirt's own resume of the source runs old memory, when the target has run and died meanwhile.
 *
 * @holds
 * @holds -DLOCKS -DONLY_S1 -DOFFS=1
 * @breaks -DBUG_SOURCE
 * @breaks -DBUG_LOST_END
 * @breaks -DBUG_UNPROVEN -DONLY_S1
 * @breaks -DBUG_RESUME
 * @breaks -DLOCKS -DONLY_S1 -DOFFS=1 -DBUG_LATE_BOOT
 * @breaks -DLOCKS -DONLY_S1 -DOFFS=1 -DBUG_LATE_FENCE
 * @breaks -DLOCKS -DONLY_S1 -DOFFS=1 -DBUG_LATE_PROBE
 * @breaks -DLOCKS
 * @long -DOFFS=1 -DRESTARTS=1
 */
#ifndef MOVES
#define MOVES 1
#endif
#ifndef OFFS
#define OFFS 2
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#define N 2
#define NONE 255
#define OTHER(n) (1 - (n))

/* of a node: committed */
#define ONLINE  0
#define UNCLEAN 1
#define OFFLINE 2
/* jobs */
#define MIGRATE 1 /* on the source */
#define RESUME  2
#define STOP    3 /* a half, by force */
#define PROBE   4
#define START   5
/* a QEMU; what was seen of it */
#define ABSENT  0
#define RUNS    1
#define PAUSED  2
#define INCOMING 3
#define UNKNOWN 4
#define NOTHING 5 /* no message */

/* The committed state. */
byte st[N];
bool claim[N];
byte obs[N] = ABSENT;
bool from[N];             /* a migration from the other end may still bring it here */
bool brought[N];          /* by a migration, and the node itself has not spoken of it yet */
bool late[N];             /* … whose end was committed after the loss that goes on */
bool good[N];             /* it ran here, or came by a migration whose success is committed */
byte older;               /* whose claim was entered first */
byte job, job_node = NONE;
bool taken;
bool changed_since; /* the job was decided: another end has spoken */

/* The nodes. */
bool up[N] = true;
bool announced[N] = true;
bool new_boot[N];
bool behind[N];
byte todo[N];
bool old[N];
byte agent[N];            /* the job that it carries out; MIGRATE's work is `move` */
byte orphan[N];           /* … of an earlier daemon */
byte qemu[N];
bool memory[N];           /* INCOMING: the whole memory has arrived */
bool stale_memory[N];     /* the other end has run since */

/* libvirt's migration: 1 begun; 2 the target is incoming; 3 switched; 4 the target has finished. */
byte move, source;

/* Under way to the coordinator. */
byte result[N] = NOTHING;
bool success;
byte inventory[N] = NOTHING;
bool stale[N];
byte fence[N];
bool this_loss[N];

byte starts, moves, offs, losses, restarts;
byte i_;

#define RUNNING_ELSEWHERE(n) (qemu[OTHER(n)] == RUNS)
#define ALONE(n) (claim[n] && !claim[OTHER(n)])
#define READY(n) (st[n] == ONLINE)

inline vm_changed()
{
    behind[0] = true; behind[1] = true;
    stale[0] = (inventory[0] != NOTHING); stale[1] = (inventory[1] != NOTHING)
}

inline job_gone()
{
    if :: job_node != NONE -> result[job_node] = NOTHING; old[job_node] = (todo[job_node] != 0) :: else fi;
    job = 0; job_node = NONE; taken = false; success = false; changed_since = false;
    vm_changed()
}

inline decide_job(kind)
{
    job = kind; job_node = me;
    vm_changed()
}

inline claim_ends(n)
{
    assert(qemu[n] != RUNS); /* C1 */
    claim[n] = false; obs[n] = ABSENT; from[n] = false; good[n] = false; brought[n] = false; late[n] = false;
    older = OTHER(n);
    vm_changed()
}

/* claim_seen() and source_ended() of core/apply_node.c */
inline claim_seen(n, o, own)
{
    obs[n] = o;
    if :: (own) && o != UNKNOWN && o != ABSENT -> brought[n] = false :: else fi;
    if :: o == RUNS -> good[n] = true :: else fi;
    if :: o == ABSENT && !from[n] -> claim_ends(n) :: else fi;
    if
    :: o != UNKNOWN && claim[OTHER(n)] && from[OTHER(n)] ->
        from[OTHER(n)] = false; obs[OTHER(n)] = UNKNOWN; changed_since = (job != 0); late[OTHER(n)] = (st[OTHER(n)] == UNCLEAN);
        vm_changed();
        if
        :: st[OTHER(n)] == OFFLINE && o == RUNS -> claim_ends(OTHER(n))
        :: st[OTHER(n)] == OFFLINE && o != RUNS -> st[OTHER(n)] = UNCLEAN; this_loss[OTHER(n)] = false
        :: else
        fi
    :: else
    fi
}

inline drop_job_of(n)
{
    if :: job_node == n -> job_gone(); if :: claim[n] -> obs[n] = UNKNOWN :: else fi :: else fi
}

inline drop_claim_of(n)
{
    if
    :: claim[n] && from[n] -> vm_changed(); claim_seen(n, UNKNOWN, false)
    :: claim[n] && !from[n] -> vm_changed(); claim_seen(n, ABSENT, false)
    :: else
    fi
}

inline node_down(n)
{
    drop_job_of(n);
    if
#ifndef BUG_LATE_FENCE
    :: claim[n] && late[n] -> late[n] = false; obs[n] = UNKNOWN; vm_changed() /* lost anew: it is to be fenced once more */
#endif
    :: else -> st[n] = OFFLINE; drop_claim_of(n)
    fi
}

inline node_lost(n)
{
    st[n] = UNCLEAN; this_loss[n] = false; late[n] = false;
    inventory[n] = NOTHING; stale[n] = false;
    drop_job_of(n);
    if :: claim[n] -> obs[n] = UNKNOWN :: else fi
}

inline node_up(n)
{
    announced[n] = true;
    st[n] = ONLINE; this_loss[n] = false;
    inventory[n] = NOTHING; stale[n] = false;
    drop_job_of(n);
    if
#ifdef BUG_LATE_BOOT
    :: new_boot[n] -> drop_claim_of(n)
#else
    :: new_boot[n] && !brought[n] -> drop_claim_of(n) /* else it may have come to this very boot */
#endif
    :: else -> if :: claim[n] -> obs[n] = UNKNOWN :: else fi
    fi;
    new_boot[n] = false
}

inline qemu_ends(n)
{
    qemu[n] = ABSENT; memory[n] = false; stale_memory[n] = false
}

/* It runs on n from now on: with LOCKS only where the other end has not the lock. */
inline run_on(n)
{
    assert(!RUNNING_ELSEWHERE(n));            /* S1 */
#ifndef ONLY_S1
    assert(claim[n]);                         /* C1 */
    assert(!stale_memory[n]);                 /* S6 */
#endif
    qemu[n] = RUNS;
    stale_memory[OTHER(n)] = (qemu[OTHER(n)] != ABSENT)
}

inline power_off(n)
{
    up[n] = false; announced[n] = false; new_boot[n] = true; behind[n] = true;
    qemu_ends(n); agent[n] = 0; orphan[n] = 0; todo[n] = 0; old[n] = false;
    if :: source == n -> move = 0 :: else fi
}

#ifdef LOCKS
#define LOCK_FREE(n) (!RUNNING_ELSEWHERE(n))
#else
#define LOCK_FREE(n) true
#endif
#if defined(LOCKS) || defined(BUG_UNPROVEN)
#define ARRIVES_RUNNING
#endif

inline agent_ends(ok) /* its result, if its job is in flight: what there is of the VM */
{
    agent[me] = 0;
    if :: job_node == me && taken && announced[me] -> result[me] = qemu[me]; success = ok :: else fi
}

inline move_ends(ok)
{
    move = 0;
    if
    :: agent[me] == MIGRATE -> agent_ends(ok)
    :: else -> orphan[me] = 0
    fi
}

inline begin()
{
    agent[me] = todo[me]; todo[me] = 0;
    if :: !old[me] -> taken = true :: else fi;
    old[me] = false;
    if
    :: agent[me] == MIGRATE && qemu[me] == RUNS -> assert(move == 0); move = 1; source = me
    :: agent[me] == MIGRATE && qemu[me] != RUNS -> agent_ends(false)
    :: agent[me] == PROBE -> agent_ends(true)
    :: else
    fi
}

/* RESUME and STOP do their work */
inline act(kind)
{
    if
    :: kind == RESUME && qemu[me] == PAUSED && LOCK_FREE(me) -> run_on(me)
    :: kind == START && qemu[me] == ABSENT && LOCK_FREE(me) -> run_on(me)
    :: kind == STOP ->
#ifndef ONLY_S1
        assert(qemu[me] != RUNS); /* S6: what runs is never ended as the other half */
#endif
        qemu_ends(me)
    :: else
    fi
}

inline finish(t) /* the target's part of the switch: it is all there */
{
#ifdef ARRIVES_RUNNING
    if :: LOCK_FREE(t) -> run_on(t) :: else -> qemu_ends(t) fi
#else
    qemu[t] = PAUSED
#endif
}

inline apply_result()
{
    i_ = result[me];
#ifndef BUG_LATE_PROBE
    if :: job == PROBE && changed_since -> i_ = UNKNOWN :: else fi; /* what it saw may be older */
#endif
    if
    :: job == MIGRATE && success && i_ == ABSENT ->
        if
        :: claim[OTHER(me)] && st[OTHER(me)] != OFFLINE ->
#ifdef ARRIVES_RUNNING
            obs[OTHER(me)] = RUNS;
#else
            obs[OTHER(me)] = PAUSED;
#endif
            from[OTHER(me)] = false; good[OTHER(me)] = true; late[OTHER(me)] = (st[OTHER(me)] == UNCLEAN)
        :: else
        fi
    :: else
    fi;
    job_gone();
    if :: claim[me] -> claim_seen(me, i_, true) :: else fi;
    i_ = 0
}

#ifdef BUG_RESUME
#define RESUMABLE(n) true
#else
#define RESUMABLE(n) (good[n])
#endif

/* settle(): the half that runs is the VM; where none runs, the older one */
#define OBS_RUNS(n) (claim[n] && READY(n) && obs[n] == RUNS)
#define KNOWN(n)    (!claim[n] || !READY(n) || obs[n] != UNKNOWN)
#define STOP_IT(n)  (claim[n] && READY(n) && KNOWN(0) && KNOWN(1) && obs[n] != ABSENT && obs[n] != RUNS && \
    (obs[n] == INCOMING || claim[OTHER(n)] && (OBS_RUNS(OTHER(n)) || older == OTHER(n) && READY(OTHER(n)))))

#define DOUBTED(n)  (ALONE(n) && READY(n) && obs[n] == PAUSED && !RESUMABLE(n))

proctype node(byte me)
{
    do
    /* -- decisions -- */
    :: d_step { job == 0 && ALONE(me) && READY(me) && READY(OTHER(me)) && obs[me] == RUNS && moves < MOVES ->
        moves++;
        claim[OTHER(me)] = true; obs[OTHER(me)] = UNKNOWN; from[OTHER(me)] = true; good[OTHER(me)] = false; brought[OTHER(me)] = true;
#ifdef ARRIVES_RUNNING
        good[me] = false; /* the target may have run */
#endif
        older = me; decide_job(MIGRATE);
#ifdef BUG_SOURCE
        claim[me] = false
#endif
    }
    :: d_step { job == 0 && ALONE(me) && READY(me) && obs[me] == PAUSED && RESUMABLE(me) -> decide_job(RESUME) }
    :: d_step { job == 0 && (STOP_IT(me) || DOUBTED(me)) -> decide_job(STOP) }
    :: d_step { job == 0 && claim[me] && READY(me) && obs[me] == UNKNOWN -> decide_job(PROBE) }
    :: d_step { job == 0 && !claim[0] && !claim[1] && READY(me) && starts < 1 ->
        starts++; claim[me] = true; obs[me] = UNKNOWN; older = me; decide_job(START) }
    /* -- what is committed otherwise -- */
    :: d_step { result[me] != NOTHING -> apply_result() }
    :: d_step { job_node == me -> job_gone(); if :: claim[me] -> obs[me] = UNKNOWN :: else fi } /* DL_JOB */
    :: d_step { inventory[me] != NOTHING ->
        if
        :: job == 0 && !stale[me] && claim[me] -> i_ = inventory[me]; vm_changed(); claim_seen(me, i_, true); i_ = 0
        :: job == 0 && !stale[me] && !claim[me] && inventory[me] != ABSENT -> /* a surprise */
            older = (claim[OTHER(me)] -> OTHER(me) : me);
            claim[me] = true; i_ = inventory[me]; vm_changed(); claim_seen(me, i_, true); i_ = 0
        :: else
        fi;
        inventory[me] = NOTHING; stale[me] = false }
    :: d_step { READY(me) && losses < LOSSES -> losses++; node_lost(me) }
    :: d_step { up[me] && !announced[me] -> node_up(me) }
    :: d_step { st[me] == UNCLEAN && fence[me] == 0 -> fence[me] = 1; this_loss[me] = true }
    :: d_step { fence[me] == 1 && offs < OFFS -> offs++; power_off(me); fence[me] = 2 }
    :: d_step { fence[me] == 2 ->
        fence[me] = 0;
        if :: st[me] == UNCLEAN && this_loss[me] -> node_down(me) :: else fi;
        this_loss[me] = false }
#ifdef BUG_LOST_END
    :: d_step { st[me] == UNCLEAN && claim[OTHER(me)] -> claim[me] = false } /* the other end is enough */
#endif
    /* -- the daemon -- */
    :: d_step { announced[me] && behind[me] ->
        behind[me] = false; old[me] = false;
        todo[me] = (job_node == me && !taken -> job : 0) }
    :: d_step { announced[me] && todo[me] != 0 && agent[me] == 0 && orphan[me] == 0 -> begin() }
    :: d_step { announced[me] && inventory[me] == NOTHING && agent[me] == 0 && orphan[me] == 0 && todo[me] == 0 ->
        inventory[me] = qemu[me]; stale[me] = behind[me] }
    :: d_step { up[me] && orphan[me] == 0 && restarts < RESTARTS ->
        restarts++; orphan[me] = agent[me]; agent[me] = 0;
        announced[me] = false; behind[me] = true; todo[me] = 0; old[me] = false }
    /* -- agents and libvirt -- */
    :: d_step { agent[me] == RESUME || agent[me] == STOP || agent[me] == START -> act(agent[me]); agent_ends(qemu[me] == RUNS) }
    :: d_step { orphan[me] == RESUME || orphan[me] == STOP || orphan[me] == START -> act(orphan[me]); orphan[me] = 0 }
    :: d_step { move == 1 && source == me && up[OTHER(me)] && qemu[OTHER(me)] == ABSENT ->
        move = 2; qemu[OTHER(me)] = INCOMING }
    :: d_step { move == 2 && source == me && qemu[me] == RUNS && qemu[OTHER(me)] == INCOMING ->
        move = 3; qemu[me] = PAUSED; memory[OTHER(me)] = true }
    :: d_step { move == 3 && source == me && qemu[OTHER(me)] == INCOMING -> move = 4; finish(OTHER(me)) }
    :: d_step { move == 4 && source == me -> qemu_ends(me); move_ends(true) }
    :: d_step { move != 0 && source == me -> /* it fails, or the answer is lost: the source goes on */
        if :: qemu[me] == PAUSED && LOCK_FREE(me) -> run_on(me) :: else fi;
        move_ends(false) }
    :: d_step { move != 0 && source == me -> move_ends(false) } /* … or does not */
#ifndef ARRIVES_RUNNING /* libvirt ends a half whose source has gone; one that arrives paused need not rely on it */
    :: d_step { move == 0 && qemu[me] == INCOMING && memory[me] -> finish(me) } /* a late word of the source */
#endif
    :: d_step { qemu[me] == INCOMING && (move == 0 || source == me) -> qemu_ends(me) }
    :: d_step { qemu[me] == RUNS -> qemu_ends(me) }
    /* -- the host -- */
    :: d_step { up[me] && offs < OFFS -> offs++; power_off(me) }
    :: d_step { !up[me] -> up[me] = true }
    od
}

init
{
    atomic { claim[0] = true; good[0] = true; obs[0] = RUNS; qemu[0] = RUNS; run node(0); run node(1) }
}
