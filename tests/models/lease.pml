/*
 * lease.pml - the lease under which a node pets its watchdog, and the deadline after which its VMs start elsewhere
 * without a fence (W1, W2, W3; S3). Not built yet: the rules of the design, as they are to be built.
 *
 * Invariants: (S3) when the takeover deadline has passed, the lost node runs nothing: its VMs have ended or its
 * watchdog has reset it, and it holds no lease under which it could start one.
 *
 * Three voters: X has the VM, C and D can be coordinator. Time goes in ticks: X's clock may miss one in SLOW, the
 * coordinator's may gain one in SLOW; each side measures durations of its own, no clock is compared. X's heartbeats
 * are answered, or not, and the answers arrive as late as they like; X and one of C, D are a majority. "X is lost"
 * commits when both C and D have stored it; a partition or a fault keeps any message back. TERMS terms: the coordinator
 * changes at any moment, and what was stored and not committed may be cut off. X may change its promise to a longer
 * lease (LEASE, then LONGER), before its loss. Time is bounded only by what counts: ages beyond the longest lease.
 *
 * Seeded errors: BUG_ANSWERS a voter that has stored "lost" answers; BUG_STORED the deadline runs from the storing,
 * not from the commit; BUG_TERM the next coordinator goes on with the time that the last one had measured (its clock
 * shows another time: clocks compared); BUG_LEASE the lease runs from the answer's arrival, not from the send time;
 * BUG_MARGIN no margin for the drift; BUG_WATCHDOG the watchdog's own time is not waited for; BUG_WEAKEN X uses the
 * longer lease before that is committed; BUG_SMALLEST the smallest of the possible V counts.
 *
 * @holds
 * @holds -DLEASE=3 -DLONGER=6
 * @breaks -DBUG_ANSWERS
 * @breaks -DBUG_STORED
 * @breaks -DBUG_TERM
 * @breaks -DBUG_LEASE
 * @breaks -DBUG_MARGIN
 * @breaks -DBUG_WATCHDOG
 * @breaks -DBUG_WEAKEN
 * @breaks -DBUG_SMALLEST
 * @long -DLEASE=4 -DLONGER=8 -DTERMS=4
 */
#ifndef LEASE
#define LEASE 2    /* L, in ticks */
#endif
#ifndef LONGER
#define LONGER 5   /* L after the weakening */
#endif
#define DOG 2      /* the watchdog bites so long after the last petting */
#define SLOW 4     /* one tick in so many may be missed or gained */
#ifndef TERMS
#define TERMS 3
#endif

/* X, in ticks of its own clock. */
byte lease_age;            /* of the send time that its lease counts from */
byte lease = LEASE;        /* the L that it uses */
byte dog;                  /* since the last petting */
bool dead;                 /* reset by its watchdog; until then its VMs may run */
byte answer[2] = LONGER;   /* of C, D, on their way: the age of their heartbeats; LONGER: none, or too old */
byte x_even = SLOW, c_even = SLOW; /* ticks since X's clock missed one, the coordinator's gained one */

/* C (0) and D (1). */
byte coordinator, term = 1;
bool stored[2], committed; /* "X is lost" */
bool weak[2], weakened;    /* "X's lease is LONGER": stored; committed (X is one of the two that have it) */
bool runs;                 /* the deadline */
byte waited;               /* … by the coordinator's clock */

#ifdef BUG_SMALLEST
#define V LEASE
#else
#define V (weak[coordinator] -> LONGER : LEASE)
#endif
#ifdef BUG_WATCHDOG
#define HOLD V
#else
#define HOLD (V + DOG)
#endif
/* One tick of SLOW is missed here, one gained there, rounded up. */
#ifdef BUG_MARGIN
#define DEADLINE HOLD
#else
#define DEADLINE (HOLD + 2 * ((HOLD + SLOW - 2) / (SLOW - 1)))
#endif

inline x_ticks()
{
    if :: lease_age < LONGER -> lease_age++ :: else fi;
    if :: answer[0] < LONGER -> answer[0]++ :: else fi;
    if :: answer[1] < LONGER -> answer[1]++ :: else fi;
    if :: !dead -> dog++; dead = (dog >= DOG) :: else fi
}

inline c_ticks(n)
{
    if :: runs && waited < DEADLINE -> waited = waited + n :: else fi;
    if :: runs && waited >= DEADLINE -> assert(dead) :: else fi /* S3 */
}

inline tick()
{
    if :: x_even < SLOW -> x_even++ :: else fi;
    if :: c_even < SLOW -> c_even++ :: else fi
}

inline start_deadline()
{
    runs = true; waited = 0
}

#ifdef BUG_ANSWERS
#define ANSWERS(v) true
#else
#define ANSWERS(v) (!stored[v])
#endif

active proctype world()
{
    byte v;
    do
    /* -- time -- */
    :: d_step { tick(); x_ticks(); c_ticks(1) }
    :: d_step { x_even == SLOW -> tick(); x_even = 1; c_ticks(1) }
    :: d_step { c_even == SLOW -> tick(); c_even = 1; x_ticks(); c_ticks(2) }
    :: d_step { x_even == SLOW && c_even == SLOW -> x_even = 1; c_even = 1; c_ticks(2) }
    /* -- heartbeats: the newest is the best for X, so it is the one that a voter answers -- */
    :: d_step { !dead && ANSWERS(0) -> answer[0] = 0 }
    :: d_step { !dead && ANSWERS(1) -> answer[1] = 0 }
    :: atomic { !dead -> if :: v = 0 :: v = 1 fi;
        d_step {
            if
            :: answer[v] < LONGER ->
#ifdef BUG_LEASE
                lease_age = 0
#else
                lease_age = (answer[v] < lease_age -> answer[v] : lease_age)
#endif
            :: else
            fi;
            answer[v] = LONGER; v = 0 } }
    :: d_step { !dead && lease_age < lease -> dog = 0 }
    /* -- the loss -- */
    :: d_step { !stored[coordinator] ->
        stored[coordinator] = true;
#ifdef BUG_STORED
        start_deadline()
#endif
    }
    :: d_step { stored[coordinator] && !committed -> /* a majority, X apart: both */
        stored[1 - coordinator] = true; weak[1 - coordinator] = weak[coordinator];
        weakened = weakened || weak[coordinator] }
    :: d_step { stored[0] && stored[1] && !committed -> committed = true; start_deadline() }
    /* -- a longer lease (W3): it enters the log before the loss -- */
    :: d_step { !dead && !stored[coordinator] && !weak[coordinator] ->
        weak[coordinator] = true;
#ifdef BUG_WEAKEN
        lease = LONGER
#endif
    }
    :: d_step { !dead && weak[coordinator] && !stored[coordinator] -> weakened = true } /* X has stored it as well */
    :: d_step { !dead && weakened -> lease = LONGER }
    /* -- another term: who has all that is committed. What the other has beyond it is cut off, or kept -- */
    :: atomic { term < TERMS -> if :: v = 0 :: v = 1 fi;
        d_step {
            if
            :: (!committed || stored[v]) && (!weakened || weak[v]) ->
                term++; coordinator = v;
                stored[1 - v] = stored[1 - v] && stored[v];
                weak[1 - v] = weak[1 - v] && weak[v];
#ifdef BUG_TERM
                if :: runs -> waited = waited + 3 :: else fi
#else
                runs = false;
                if :: committed -> start_deadline() :: else fi
#endif
            :: else
            fi;
            v = 0 } }
    od
}
