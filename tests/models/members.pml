/*
 * members.pml - membership by one vote at a time (A9), with elections in between.
 *
 * Invariants (raft.h): one coordinator a term; what is committed under any set of voters is in the log of
 * every later coordinator, whatever set that one was elected by.
 *
 * Four nodes that all vote at first (the smallest number at which two changes by one vote, from one set, have
 * majorities without a common member); each change takes one out or lets one back in. T terms, L entries. In
 * the last term only the election is run: nothing later could contradict what is done in it.
 *
 * Seeded errors: BUG_NOT_OPEN a change before the coordinator's own OPEN is committed; BUG_NEXT_EARLY the next
 * change before the last one is committed; BUG_BY_TWO one change of two votes; BUG_OLD_SET the voters of the
 * last committed change are counted, not those of the last one in the log.
 *
 * @holds
 * @breaks -DBUG_NOT_OPEN
 * @breaks -DBUG_NEXT_EARLY
 * @breaks -DBUG_BY_TWO
 * @breaks -DBUG_OLD_SET
 */
#define S 4
#define BASE 15
#define COUNTED(m, s) (m)
#define GIVEN_UP(t, u) false
#include "raft.h"

bool begun;
byte named; /* by a change, before it did anything */
hidden byte x_;

#ifdef BUG_NOT_OPEN
#define MAY_CHANGE(s) (LEADS(s) && term[s] < T && end[term[s]] < L)
#else
#define MAY_CHANGE(s) (LEADS(s) && term[s] < T && end[term[s]] < L && IS_OPEN(term[s]))
#endif
#ifdef BUG_NEXT_EARLY
#define LAST_DONE(t) true
#else
#define LAST_DONE(t) (cfg_ <= commit[t])
#endif

inline change(s, bits)
{
    voters(term[s], end[term[s]]);
    if
    :: LAST_DONE(term[s]) && (set_ ^ (bits)) != 0 ->
        x_ = set_ ^ (bits);
        named = named | (bits);
        append(term[s], x_)
    :: else
    fi
}

/* The nodes are alike: 0 is the first to stand, 1 the first to vote for it, and 2 is known before 3. */
#define KNOWN(s)   (term[s] > 0 || (named & BIT(s)) != 0)
#define TURN(s)    ((s) != 3 || KNOWN(3) || KNOWN(2))
#define PAIR(s, c) (begun -> ((c) == 2 && (s) == 3) || TURN(s) && TURN(c) : (c) == 0 && (s) == 1)
#define USED(t)    (t == 1 || term[0] >= t - 1 || term[1] >= t - 1 || term[2] >= t - 1 || term[3] >= t - 1)

#define VOTE(c, t) :: d_step { PAIR(_pid, c) && USED(t) && MAY_VOTE(_pid, c, t) -> begun = true; vote(_pid, c, t) }
#define ALONE(t)   :: d_step { begun && term[_pid] < t && USED(t) -> stand_alone(_pid, t) }
#define HEAR(t)    :: d_step { TURN(_pid) && MAY_HEAR(_pid, t) -> hear(_pid, t) }
#define CHANGE(x)  :: d_step { TURN(x) && MAY_CHANGE(_pid) -> change(_pid, BIT(x)) }
#define BY_TWO(x, y) :: d_step { MAY_CHANGE(_pid) -> change(_pid, BIT(x) | BIT(y)) }

active [S] proctype node()
{
    do
    FOR_TERMS(ALONE)
    FOR_TERMS_OF(VOTE, 0) FOR_TERMS_OF(VOTE, 1) FOR_TERMS_OF(VOTE, 2) FOR_TERMS_OF(VOTE, 3)
    FOR_TERMS(HEAR)
    CHANGE(0) CHANGE(1) CHANGE(2) CHANGE(3)
#ifdef BUG_BY_TWO
    BY_TWO(0, 1) BY_TWO(2, 3)
#endif
    od
}
