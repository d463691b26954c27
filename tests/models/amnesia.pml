/*
 * amnesia.pml - a node whose journal was lost has no vote until it is out and in again (A10).
 *
 * Invariants (raft.h): one coordinator a term; what is committed is in the log of every later coordinator.
 *
 * Three nodes, T terms, L entries; one journal is lost, at any moment. The node comes back as another server
 * (a new incarnation): it is empty, takes what a coordinator sends once its old vote is out, and votes from
 * then on; its votes and acknowledgements count where it is a voter. In the last term only the election is
 * run: nothing later could contradict what is done in it.
 *
 * Seeded errors: BUG_VOTES_AT_ONCE the empty node keeps its vote; BUG_TAIL the last entry is lost and nobody
 * notices (no acknowledged mark); BUG_PROMISE the promise is lost and nobody notices (no mark, or no fsync of
 * the promise); BUG_ONE_CHANGE out and in by one change; BUG_IN_EARLY in before out is committed.
 * SAME_OLD_PROMISE is none: what the old incarnation promised and acknowledged counts for the new one. Out and
 * in by two commits suffice to keep that harmless: the run must hold.
 *
 * @holds
 * @holds -DSAME_OLD_PROMISE
 * @breaks -DBUG_VOTES_AT_ONCE
 * @breaks -DBUG_TAIL
 * @breaks -DBUG_PROMISE
 * @breaks -DBUG_ONE_CHANGE
 * @breaks -DBUG_IN_EARLY
 * @long -DT=4 -DL=5
 */
#define S 4
#define BASE 7
#ifdef SAME_OLD_PROMISE
#define COUNTED(m, s) (lost != 0 && ((m) & BIT(lost - 1)) != 0 -> (m) | BIT(3) : (m))
#else
#define COUNTED(m, s) (m)
#endif
#define GIVEN_UP(t, u) false
byte lost; /* node + 1 whose journal was lost */
#include "raft.h"

bool begun;
hidden byte x_;

#define OLD  BIT(lost - 1)
#define NEW  BIT(3)
#define ALIVE(s) (lost != (s) + 1 && ((s) != 3 || term[3] > 0))

inline lose(s)
{
    lost = s + 1;
#if defined(BUG_VOTES_AT_ONCE)
    lost = 9; term[s] = 0; voted[s] = 0; src[s] = 0; size[s] = 0; granted[s] = 0
#elif defined(BUG_TAIL)
    lost = 9; granted[s] = 0;
    if :: voted[s] == s + 1 -> voted[s] = NOBODY :: else fi;
    if :: size[s] > 0 -> size[s] = size[s] - 1 :: else fi
#elif defined(BUG_PROMISE)
    lost = 9; term[s] = LAST_TERM(s); voted[s] = 0; granted[s] = 0
#endif
}

inline change(s)
{
    voters(term[s], end[term[s]]);
    x_ = set_;
#ifdef BUG_IN_EARLY
    if
#else
    if
    :: cfg_ > commit[term[s]] -> x_ = 0
#endif
    :: (set_ & OLD) != 0 ->
        x_ = set_ & ~OLD;
#ifdef BUG_ONE_CHANGE
        x_ = x_ | NEW
#endif
    :: (set_ & OLD) == 0 && (set_ & NEW) == 0 -> x_ = set_ | NEW
    :: else -> x_ = 0
    fi;
    if :: x_ != 0 -> append(term[s], x_) :: else fi
}

/* The first message to an empty journal is a snapshot, and comes to a member (without a vote) only. */
inline enter(t)
{
    voters(t, end[t]);
#ifndef BUG_ONE_CHANGE
    if :: (set_ & OLD) == 0 -> hear(3, t) :: else fi
#else
    if :: (set_ & NEW) != 0 -> hear(3, t) :: else fi
#endif
}

/* The nodes are alike: 0 is the first to stand, 1 the first to vote for it. */
#define FIRST(s, c) (begun || (c) == 0 && (s) == 1)
#define USED(t)    (t == 1 || term[0] >= t - 1 || term[1] >= t - 1 || term[2] >= t - 1 || term[3] >= t - 1)

#define VOTE(c, t) :: d_step { FIRST(_pid, c) && ALIVE(_pid) && ALIVE(c) && USED(t) && MAY_VOTE(_pid, c, t) -> begun = true; vote(_pid, c, t) }
#define HEAR(t)    :: d_step { ALIVE(_pid) && MAY_HEAR(_pid, t) -> hear(_pid, t) }
#define ENTER(t)   :: d_step { _pid == 3 && lost != 0 && lost != 9 && term[3] == 0 && MAY_HEAR(3, t) -> enter(t) }
#define LEADING    (ALIVE(_pid) && LEADS(_pid) && term[_pid] < T && end[term[_pid]] < L && IS_OPEN(term[_pid]))

active [S] proctype server()
{
    do
    FOR_TERMS_OF(VOTE, 0) FOR_TERMS_OF(VOTE, 1) FOR_TERMS_OF(VOTE, 2) FOR_TERMS_OF(VOTE, 3)
    FOR_TERMS(HEAR)
    FOR_TERMS(ENTER)
    :: d_step { LEADING -> append(term[_pid], 0) }
    :: d_step { LEADING && lost != 0 && lost != 9 -> change(_pid) }
    :: d_step { lost == 0 && _pid < 3 && term[_pid] > 0 -> lose(_pid) }
    od
}
