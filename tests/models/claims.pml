/*
 * claims.pml - claims around a launch, a node's return and a fence (C1, C2, C3, N1, N3; S1, S3).
 *
 * Invariants: (S1) a QEMU is launched only where no other runs; (C1) where a claim ends, no QEMU of the VM runs
 * and nothing that could still launch one is left: no agent in flight, orphaned or not, no decision that the
 * node has heard of and not yet carried out.
 *
 * One VM; N nodes that may run it. The committed state is one, and changes as core_apply changes it; the
 * coordinator may propose anything at any time, what apply rejects does not happen. Each node lags behind what
 * is committed as long as it likes, and begins what it has seen decided as late as it likes. An agent may fail
 * before or after it has acted; its result comes late or never; what it says is said of nothing but absence,
 * for the rest ends no claim. Guests end by themselves. A node is taken for lost at any moment, rightly or not.
 * Fence agents are slow, may fail before or after the power is off, and outlive the loss that they are for.
 * Crashes, boots, restarts of daemons (whose agents go on, orphaned), losses, fences, jobs and inventories: without
 * bound (with -DEVENTS=n: n power-offs, n losses, one restart; three nodes have too many runs otherwise).
 * A node's NODE_UP is committed before it boots or restarts again, or never (see PRE_ORDER).
 *
 * Left out, as S1 holds without: terms and "no decision before this term's inventory" (C3), "joining" until a
 * fence agent has ended (N1), "within E ms of hearing the coordinator" (C2).
 *
 * Seeded errors: BUG_INDEX an inventory's index is not looked at (a late executor launches what others believe
 * absent); BUG_JOB an inventory counts while a job is in flight; BUG_TIMEOUT a job's time-out drops the claim;
 * BUG_FENCE a fence counts for whatever loss; BUG_ORPHAN an orphaned agent is taken as absent; BUG_SESSION a
 * restarted daemon begins the decisions of the one before; BUG_LOST the loss itself drops the claim (no wait for
 * the fence); BUG_BOOT every return is taken for a new boot. Preconditions: BUG_CONFIRM an operator confirms a
 * node that is up; PRE_ORDER a NODE_UP is committed after that of a later boot.
 *
 * @holds
 * @holds -DN=3 -DEVENTS=1
 * @breaks -DBUG_INDEX
 * @breaks -DBUG_JOB
 * @breaks -DBUG_TIMEOUT
 * @breaks -DBUG_FENCE
 * @breaks -DBUG_ORPHAN
 * @breaks -DBUG_SESSION
 * @breaks -DBUG_LOST
 * @breaks -DBUG_BOOT
 * @breaks -DBUG_CONFIRM
 * @breaks -DPRE_ORDER
 * @long -DN=3 -DEVENTS=2
 */
#ifndef N
#define N 2
#endif
#define NONE 255

/* of a node: committed */
#define ONLINE  0
#define UNCLEAN 1
#define OFFLINE 2
/* jobs and agents */
#define START   1
#define PROBE   2

/* The committed state. */
byte st[N];
bool claim[N];
byte job, job_node = NONE;
bool taken;           /* the executor has begun it */

/* The nodes. */
bool up[N] = true;
bool announced[N] = true; /* the committed session is this daemon's */
bool new_boot[N];         /* … and if not: neither is the boot */
bool behind[N];           /* it has not applied the VM's last change */
byte todo[N];             /* a decision that it sees and has not begun */
bool old[N];              /* … and that is not in flight any more */
byte agent[N];            /* in flight, of this daemon */
bool orphan[N];           /* a launch of an earlier daemon is in flight */
bool qemu[N];

/* Under way to the coordinator. */
bool absent[N];           /* the result of the job in flight: the VM is not there */
bool inventory[N];        /* the same, of an inventory */
bool stale[N];            /* the VM has changed since that looked */
byte fence[N];            /* 1: an agent is at it; 2: the power is off, and it knows */
bool this_loss[N];        /* … for the loss that goes on */
bool late_up[N];          /* PRE_ORDER: a NODE_UP of an earlier boot */

#ifdef EVENTS /* a budget, where there are too many runs: crashes and fences' power-offs, restarts, losses */
byte offs, restarts, losses;
#define MAY(what, n) (what < n)
#define SPEND(what)  what++
#else
#define MAY(what, n) true
#define SPEND(what)  skip
#endif

hidden byte i_;

#define HAS_ANY (claim[0] || claim[1] || claim[N - 1])

inline vm_changed()
{
    i_ = 0;
    do
    :: i_ < N -> behind[i_] = true; stale[i_] = inventory[i_]; i_++
    :: else -> break
    od;
    i_ = 0
}

inline job_gone()
{
    if :: job_node != NONE -> absent[job_node] = false; old[job_node] = (todo[job_node] != 0) :: else fi;
    job = 0; job_node = NONE; taken = false;
    vm_changed()
}

inline decide_job(kind, n)
{
    job = kind; job_node = n;
    vm_changed()
}

inline claim_ends(n)
{
    assert(!qemu[n]);
    assert(agent[n] != START && !orphan[n]);
    assert(todo[n] != START);
    claim[n] = false;
    vm_changed()
}

inline drop_job_of(n)
{
    if :: job_node == n -> job_gone() :: else fi
}

inline node_down(n)
{
    st[n] = OFFLINE;
    drop_job_of(n);
    if :: claim[n] -> claim_ends(n) :: else fi
}

inline node_lost(n)
{
    st[n] = UNCLEAN; this_loss[n] = false;
    inventory[n] = false; stale[n] = false; /* it would be rejected */
    drop_job_of(n);
#ifdef BUG_LOST
    claim[n] = false
#endif
}

inline node_up(n, fresh)
{
    st[n] = ONLINE; this_loss[n] = false;
    inventory[n] = false; stale[n] = false;
#ifndef BUG_SESSION
    drop_job_of(n);
#endif
#ifdef BUG_BOOT
    if :: claim[n] -> claim_ends(n) :: else fi
#else
    if :: (fresh) && claim[n] -> claim_ends(n) :: else fi
#endif
}

inline power_off(n)
{
#ifdef PRE_ORDER
    late_up[n] = up[n] && !announced[n] && new_boot[n];
#endif
    up[n] = false; announced[n] = false; new_boot[n] = true; behind[n] = true;
    qemu[n] = false; agent[n] = 0; orphan[n] = false; todo[n] = 0; old[n] = false
}

inline launch(n)
{
    assert(!qemu[0] && !qemu[1] && !qemu[N - 1]);
    qemu[n] = true
}

inline apply_inventory(n)
{
#if defined(BUG_INDEX)
    if :: claim[n] && job == 0 -> claim_ends(n) :: else fi;
#elif defined(BUG_JOB)
    if :: claim[n] -> claim_ends(n) :: else fi;
#else
    if :: claim[n] && job == 0 && !stale[n] -> claim_ends(n) :: else fi;
#endif
    inventory[n] = false; stale[n] = false
}

#ifdef BUG_ORPHAN
#define LOCKED(n) false
#else
#define LOCKED(n) orphan[n]
#endif
#ifdef BUG_FENCE
#define COUNTS(n) true
#else
#define COUNTS(n) this_loss[n]
#endif
#ifdef BUG_CONFIRM
#define IS_DOWN(n) true
#else
#define IS_DOWN(n) (!up[n])
#endif

#define me _pid

active [N] proctype node()
{
    do
    /* -- what is committed -- */
    :: d_step { st[me] == ONLINE && job == 0 && !HAS_ANY -> claim[me] = true; decide_job(START, me) }
    :: d_step { st[me] == ONLINE && job == 0 && claim[me] -> decide_job(PROBE, me) }
    :: d_step { job_node == me -> /* its end without the word "absent", or its deadline at the coordinator (L2) */
        job_gone();
#ifdef BUG_TIMEOUT
        claim[me] = false
#endif
    }
    :: d_step { absent[me] -> job_gone(); if :: claim[me] -> claim_ends(me) :: else fi }
    :: d_step { inventory[me] -> apply_inventory(me) }
    :: d_step { st[me] == ONLINE && MAY(losses, EVENTS) -> SPEND(losses); node_lost(me) }
    :: d_step { up[me] && !announced[me] -> announced[me] = true; node_up(me, new_boot[me]); new_boot[me] = false }
#ifdef PRE_ORDER
    :: d_step { late_up[me] && announced[me] -> late_up[me] = false; announced[me] = false; node_up(me, true) }
#endif
    /* -- fences -- */
    :: d_step { st[me] == UNCLEAN && fence[me] == 0 -> fence[me] = 1; this_loss[me] = true }
    :: d_step { fence[me] == 1 && MAY(offs, EVENTS) -> SPEND(offs); power_off(me); fence[me] = 2 }
    :: d_step { fence[me] == 2 -> /* its success is committed */
        fence[me] = 0;
        if :: st[me] == UNCLEAN && COUNTS(me) -> node_down(me) :: else fi;
        this_loss[me] = false }
    :: d_step { fence[me] != 0 -> fence[me] = 0; this_loss[me] = false } /* it failed, or says so */
    :: d_step { st[me] == UNCLEAN && IS_DOWN(me) -> node_down(me) } /* N3: confirm-down */
    /* -- the node: its daemon -- */
    :: d_step { announced[me] && behind[me] ->
        behind[me] = false; old[me] = false;
        todo[me] = (job_node == me && !taken -> job : 0) }
    :: d_step { announced[me] && todo[me] != 0 && agent[me] == 0 && !LOCKED(me) -> /* agents wait for the VM's lock */
        agent[me] = todo[me]; todo[me] = 0;
        if :: !old[me] -> taken = true :: else fi;
        old[me] = false }
    :: d_step { announced[me] && !inventory[me] && !qemu[me] && agent[me] == 0 && todo[me] == 0 && !LOCKED(me) ->
        inventory[me] = true; stale[me] = behind[me] } /* C3 */
    /* -- … its agents -- */
    :: d_step { agent[me] == START -> agent[me] = 0; launch(me) }
    :: d_step { agent[me] != 0 -> /* it ends without having launched anything; the result goes out, if its job is in flight */
        agent[me] = 0;
        absent[me] = (!qemu[me] && job_node == me && taken && announced[me]) }
    :: d_step { agent[me] != 0 -> agent[me] = 0 } /* … and nobody can tell */
    :: d_step { orphan[me] -> orphan[me] = false; launch(me) }
    :: d_step { orphan[me] -> orphan[me] = false }
    :: d_step { qemu[me] -> qemu[me] = false }
    /* -- … its host -- */
    :: d_step { up[me] && !orphan[me] && MAY(restarts, 1) -> /* the daemon restarts */
        SPEND(restarts);
        orphan[me] = (agent[me] == START); agent[me] = 0;
        announced[me] = false; behind[me] = true; todo[me] = 0; old[me] = false }
    :: d_step { up[me] && MAY(offs, EVENTS) -> SPEND(offs); power_off(me) }
    :: d_step { !up[me] -> up[me] = true }
    od
}
