/*
 * force.pml - an operator forces quorum on a minority (A16).
 *
 * Invariants: (1) one coordinator a term, ever, those that were given up included (raft.h); (2) after the force
 * nothing is committed that the survivors lack; (3) what was committed and any survivor has, is kept;
 * (4) what the survivors commit from then on is in the log of each of their later coordinators (raft.h).
 * What only those given up had committed before is what the operator gives up.
 *
 * Three nodes, one survivor, and one that was given up joins again as a new incarnation, with a vote by a later
 * change; with -DFOUR four nodes and two survivors, one of which may have the better log. Terms 1 and 2 before
 * the force, 3 is the forced one ("far above"), 4 the survivors' next; L entries; one force, at any moment.
 *
 * Seeded errors: BUG_OLD_TERM the forced term is the one that the survivor is in; BUG_STEP_ONE it is only the
 * next; BUG_NOT_DOWN those given up were not down; BUG_RETURN they come back later with their journals and
 * meet each other; BUG_WORSE_LOG (with FOUR) the survivor with the worse log opens the term.
 * SAME_ONE_UP is none: one of the two given up was not down. Alone it commits nothing, so the journal holds;
 * that it goes on running its VMs is BUG_CONFIRM in claims.pml.
 *
 * @holds
 * @holds -DFOUR
 * @holds -DSAME_ONE_UP
 * @breaks -DBUG_OLD_TERM
 * @breaks -DBUG_STEP_ONE
 * @breaks -DBUG_NOT_DOWN
 * @breaks -DBUG_RETURN
 * @breaks -DFOUR -DBUG_WORSE_LOG
 * @long -DL=5
 * @long -DFOUR -DL=5
 */
#define S 4
#define T 4
#define FT 3
#ifdef FOUR
#define BASE 15
#else
#define BASE 7
#endif
#define COUNTED(m, s) (m)
byte down;     /* set of nodes whose power is off */
byte forced;   /* the forced term; 0: none yet */
byte excused[FT + 1]; /* commit[] at the force */
#define GIVEN_UP(t, u) (forced != 0 && (t) < forced && (u) >= forced && commit[t] <= excused[t])
#define NOTICES(t) ((down & BIT(author[t] - 1)) == 0) /* a dead coordinator commits nothing */
#include "raft.h"

bool begun;
hidden byte x_, y_;

#define NEW      BIT(3)
#define ALIVE(s) ((down & BIT(s)) == 0 && (BASE == 15 || (s) != 3 || term[3] > 0))

/* (3): p's part of what was committed in t stands in the log of s. */
inline keeps(s, p, t)
{
    i_ = 1;
    do
    :: i_ <= commit[t] && i_ <= size[p] && AT(src[p], i_) == AT(t, i_) ->
        assert(i_ <= size[s] && AT(src[s], i_) == AT(t, i_));
        i_++
    :: else -> break
    od
}

inline force(s, p, all) /* s opens the term, p (perhaps s itself) is the other survivor */
{
    x_ = BIT(s) | BIT(p);
#ifdef BUG_WORSE_LOG
    if :: BEHIND(s, p) -> y_ = p :: else -> y_ = s fi;
#else
    y_ = s;
    if :: BEHIND(p, s) -> y_ = p :: else fi; /* the best log opens */
#endif
    keeps(y_, s, 1); keeps(y_, p, 1); keeps(y_, s, 2); keeps(y_, p, 2);
#if defined(BUG_OLD_TERM)
    forced = term[y_];
    if :: term[p] > forced -> forced = term[p] :: else fi;
    if :: term[s] > forced -> forced = term[s] :: else fi;
#elif defined(BUG_STEP_ONE)
    forced = (term[s] > term[p] -> term[s] + 1 : term[p] + 1);
#else
    forced = FT;
#endif
#if defined(BUG_NOT_DOWN)
    skip;
#elif defined(SAME_ONE_UP)
    down = all & ~x_;
    down = down & (down - 1); /* the lowest of them lives */
#else
    down = all & ~x_;
#endif
    i_ = 1;
    do
    :: i_ < forced -> excused[i_] = commit[i_]; i_++
    :: else -> break
    od;
    term[s] = forced; voted[s] = NOBODY; granted[s] = 0;
    term[p] = forced; voted[p] = NOBODY; granted[p] = 0;
    win_with(y_, x_)
}

inline returns()
{
    down = 0
}

inline join(s)
{
    voters(term[s], end[term[s]]);
    if
    :: cfg_ <= commit[term[s]] && (set_ & NEW) == 0 -> x_ = set_ | NEW; append(term[s], x_)
    :: else
    fi
}

#define FIRST(s, c) (begun || (c) == 0 && (s) == 1)
#define USED(t)    (t == 1 || term[0] >= t - 1 || term[1] >= t - 1 || term[2] >= t - 1 || term[3] >= t - 1)
/* What is above the forced term comes after it. */
#define TERM_MAY(t) (USED(t) && (t < FT || forced != 0 && t > forced))

#define VOTE(c, t)  :: d_step { FIRST(_pid, c) && ALIVE(_pid) && ALIVE(c) && TERM_MAY(t) && MAY_VOTE(_pid, c, t) -> begun = true; vote(_pid, c, t) }
#define ALONE(t)    :: d_step { forced != 0 && ALIVE(_pid) && term[_pid] < t && TERM_MAY(t) -> stand_alone(_pid, t) }
#define HEAR(t)     :: d_step { ALIVE(_pid) && MAY_HEAR(_pid, t) -> hear(_pid, t) }
#define LEADING     (ALIVE(_pid) && LEADS(_pid) && term[_pid] < T && end[term[_pid]] < L && IS_OPEN(term[_pid]))
#define FORCE(p)    :: d_step { (BASE & BIT(_pid)) != 0 && begun && forced == 0 && term[_pid] < FT && term[p] < FT && size[_pid] < L && size[p] < L && end[1] < L && end[2] < L && _pid <= p -> force(_pid, p, BASE) }

active [S] proctype server()
{
    do
    FOR_TERMS_OF(VOTE, 0) FOR_TERMS_OF(VOTE, 1) FOR_TERMS_OF(VOTE, 2) FOR_TERMS_OF(VOTE, 3)
    FOR_TERMS(HEAR)
    FOR_TERMS(ALONE)
    :: d_step { LEADING -> append(term[_pid], 0) }
#ifdef FOUR
    FORCE(1) FORCE(2) FORCE(3)
#else
    FORCE(_pid)
    :: d_step { LEADING && forced != 0 && term[_pid] >= forced -> join(_pid) }
    :: d_step { _pid == 3 && term[3] == 0 && forced != 0 && MAY_HEAR(3, forced) -> hear(3, forced) }
#endif
#ifdef BUG_RETURN
    :: d_step { _pid == 0 && down != 0 -> returns() }
#endif
    od
}
