/*
 * memoryless.pml - votes without memory (A11): two nodes and a third vote that remembers nothing (qnetd, two_node).
 *
 * Invariants (raft.h): one coordinator a term; what is committed is in the log of every later coordinator.
 *
 * Two nodes whose journals vote, and Q, which says yes to whoever asks. Q's vote counts, for an election and for a
 * commit, only for a node that has seen the other one confirmed fenced and not heard of it since, and only if
 * it has acknowledged the last commit in this very boot. Nodes crash, boot, and fence each other (fencing tells the
 * truth) without bound; T terms, L entries; messages late, lost or repeated at will, so every partition.
 *
 * What "has acknowledged the last commit in this very boot" must mean is what the model shows:
 *  - LITERAL, by the node's own knowledge: it has acknowledged, since it booted, the newest entry that it has heard
 *    of. spin finds the run that loses a committed entry: B is fenced, A goes on with Q; B boots and acknowledges;
 *    before A hears that, it commits one more with Q; B is cut off, fences A, and goes on with Q without that entry.
 *  - By the coordinator's word: it has acknowledged an entry that the coordinator appended after it had heard of this
 *    very boot, and from then on counted Q no more. That holds.
 *
 * Seeded errors: LITERAL; BUG_ANY_BOOT what was acknowledged in an earlier boot counts (votes without memory after a
 * restart); BUG_ABSENT the other is absent, not confirmed fenced; BUG_STALE the coordinator counts Q although it has
 * heard of the other's boot.
 *
 * @holds
 * @breaks -DLITERAL
 * @breaks -DBUG_ANY_BOOT
 * @breaks -DBUG_ABSENT
 * @breaks -DBUG_STALE
 * @long -DT=4 -DL=5
 */
#define S 2
#define BASE 7 /* A, B and Q */
#define Q BIT(2)
#define GIVEN_UP(t, u) false
bool off[S];
bool fenced[S];   /* this node has seen the other one's fence confirmed, and not heard of it since */
bool entitled[S]; /* to count Q: has acknowledged the last commit in this boot */
bool resigned[S]; /* has booted since it won its term */
#ifdef BUG_ABSENT
#define GONE(s) true
#else
#define GONE(s) fenced[s]
#endif
#define COUNTED(m, s) (GONE(s) && entitled[s] -> (m) | Q : (m))
#define NOTICES(t) (!off[author[t] - 1] && !resigned[author[t] - 1] && term[author[t] - 1] == (t))
#include "raft.h"

byte known[T + 1] = 255; /* entries behind this one were appended by the author knowing the other's boot */
#define OTHER(s) (1 - (s))
#define ACTS(s)  (LEADS(s) && !resigned[s] && !off[s])

inline power_off(s)
{
    off[s] = true; fenced[s] = false;
    if :: LEADS(s) -> resigned[s] = true :: else fi;
#ifndef BUG_ANY_BOOT
    entitled[s] = false;
#endif
    if :: voted[s] == s + 1 -> voted[s] = NOBODY :: else fi;
    granted[s] = 0;
    if :: LEADS(OTHER(s)) -> known[term[OTHER(s)]] = 255 :: else fi
}

inline won(s)
{
    if :: LEADS(s) -> entitled[s] = true; resigned[s] = false; known[term[s]] = (granted[s] == 3 -> end[term[s]] - 1 : 255) :: else fi
}

#ifdef BUG_STALE
#define HEARS_OF skip
#define HEARS_NOT true
#else
#define HEARS_OF fenced[me] = false /* the other's word of this very boot */
#define HEARS_NOT false
#endif
#define VOTE(c, t) :: d_step { !off[me] && !off[c] && MAY_VOTE(me, c, t) -> HEARS_OF; fenced[c] = fenced[c] && HEARS_NOT; vote(me, c, t); won(c) }
#define HEAR(t)    :: d_step { !off[me] && MAY_HEAR(me, t) -> \
    resigned[me] = false; \
    if :: NOTICES(t) -> HEARS_OF :: else fi; hear(me, t); HEARD(t) }
#define WITH_Q(t)  :: d_step { !off[me] && GONE(me) && entitled[me] && term[me] < t -> \
    resigned[me] = false; term[me] = t; voted[me] = me + 1; granted[me] = BIT(me); count_votes(me); won(me) }
#ifdef LITERAL
#define HEARD(t) entitled[me] = true
#else
#define HEARD(t) if :: match[(t) * S + me] > known[t] -> entitled[me] = true :: else fi
#endif
#define me _pid

active [S] proctype node()
{
    do
    FOR_TERMS_OF(VOTE, 0) FOR_TERMS_OF(VOTE, 1)
    FOR_TERMS(HEAR)
    FOR_TERMS(WITH_Q)
    :: d_step { ACTS(me) && term[me] < T && end[term[me]] < L -> append(term[me], 0) }
    :: d_step { !off[me] && !fenced[me] -> /* it fences the other */
        power_off(OTHER(me)); fenced[me] = true;
        if :: ACTS(me) && term[me] < T -> advance(term[me]) :: else fi }
    :: d_step { !off[me] && !off[OTHER(me)] && (fenced[me] || LEADS(me) && known[term[me]] == 255) -> /* it hears of the other's boot */
        HEARS_OF;
        if :: ACTS(me) -> known[term[me]] = end[term[me]] :: else fi }
    :: d_step { !off[me] -> power_off(me) }
    :: d_step { off[me] -> off[me] = false }
    od
}
