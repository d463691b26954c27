/*
 * raft.h - the journal's Raft (A1-A6) as its models share it: what was said is history.
 *
 * A server is (node, incarnation of its journal), as in voters.c. Messages are not modelled: what an author
 * has appended in a term, and what was acknowledged to it in that term, is kept for ever, and may be heard
 * (again) at any later moment or never. So every delay, loss, repetition and order of messages, every
 * partition, and every crash that leaves the disk whole (a server that says nothing for a while, then stands
 * in a later term) is in the runs.
 *
 * A log is a prefix of what some author had: (src, size). An entry is (term, set of voters from here on;
 * 0: no change) in one byte. Committed is whatever a majority has acknowledged in the term, noticed or not:
 * more than the coordinator itself knows, so the invariants are the stricter ones.
 *
 * Who includes it defines: S servers, T terms, L entries, BASE the first voters, ALIVE(s), COUNTED(mask, t)
 * (what a set of servers counts for, mostly itself), CHANGED() what is to be done after each step.
 *
 * Invariants, asserted in each step:
 *   one author   a term has at most one coordinator (A3)
 *   complete     whoever wins a term has all that was committed in earlier ones; and nothing is committed in a
 *                term that the coordinator of a later one lacks (A5, A6: so what is committed stays)
 */
#ifndef NOTICES
#define NOTICES(t) true
#endif
#ifndef T
#define T 3
#endif
#ifndef L
#define L 4
#endif
#if T == 3
#define FOR_TERMS(x)       x(1) x(2) x(3)
#define FOR_TERMS_OF(x, y) x(y, 1) x(y, 2) x(y, 3)
#else
#define FOR_TERMS(x)       x(1) x(2) x(3) x(4)
#define FOR_TERMS_OF(x, y) x(y, 1) x(y, 2) x(y, 3) x(y, 4)
#endif
#define NOBODY    (S + 1) /* voted, but is no candidate any more */
#define ENTRY(t, set) ((t) * 32 + (set))
#define TERM_OF(e)    ((e) >> 5)
#define SET_OF(e)     ((e) & 31)
#define AT(t, i)      log[(t) * L + (i) - 1] /* i counts from 1 */
#define BIT(s)        (1 << (s))
#define COUNT(m)      (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1) + (((m) >> 3) & 1) + (((m) >> 4) & 1))
#define MAJORITY(m, set) (2 * COUNT((m) & (set)) > COUNT(set))
#define LAST_TERM(s)  (size[s] == 0 -> 0 : TERM_OF(AT(src[s], size[s])))
#define LEADS(s)      (author[term[s]] == (s) + 1)
#define STANDS(s)     (voted[s] == (s) + 1 && !LEADS(s))

byte author[T + 1];        /* of a term: server + 1; 0: none */
byte log[(T + 1) * L];     /* what it appended, its base included */
byte end[T + 1];           /* its length */
byte open[T + 1];          /* index of its first own entry (A2); 0: the log was full */
byte commit[T + 1];        /* committed in that term */
byte match[(T + 1) * S];   /* acknowledged in that term by each server (A6: what was shown to be equal) */
byte term[S];              /* promised */
byte voted[S];             /* in that term: candidate + 1; 0: nobody */
byte granted[S];           /* to a candidate, in that term */
byte src[S], size[S];       /* the log on the disk */

#ifdef BUG_OLD_SET
#define IN_FORCE(t, i) (i <= commit[t] || i < open[t])
#else
#define IN_FORCE(t, i) true
#endif

hidden byte i_, k_, set_, mask_, cfg_;

/* The voters by a log: set_, and the index of the entry that says so: cfg_ (A9: in force when appended). */
inline voters(t, n)
{
    set_ = BASE; cfg_ = 0; i_ = 1;
    do
    :: i_ <= (n) ->
        if :: SET_OF(AT(t, i_)) != 0 && IN_FORCE(t, i_) -> set_ = SET_OF(AT(t, i_)); cfg_ = i_ :: else fi;
        i_++
    :: else -> break
    od
}

inline same(t, u, n) /* what was committed in t, up to n, stands in the log of u's author */
{
    assert(end[u] >= (n));
    i_ = 1;
    do
    :: i_ <= (n) -> assert(AT(t, i_) == AT(u, i_)); i_++
    :: else -> break
    od
}

/* A6: by count only what this term has appended. The voters are those of the author's whole log. */
inline advance(t)
{
    voters(t, end[t]);
    i_ = (NOTICES(t) -> end[t] : 0);
    do
    :: i_ > commit[t] && TERM_OF(AT(t, i_)) == (t) ->
        mask_ = 0; k_ = 0;
        do
        :: k_ < S -> if :: match[(t) * S + k_] >= i_ -> mask_ = mask_ | BIT(k_) :: else fi; k_++
        :: else -> break
        od;
        if
        :: MAJORITY(COUNTED(mask_, author[t] - 1), set_) -> commit[t] = i_; i_ = 0
        :: else -> i_--
        fi
    :: else -> break
    od;
    k_ = (t) + 1;
    do
    :: k_ <= T -> if :: author[k_] != 0 && !GIVEN_UP(t, k_) -> same(t, k_, commit[t]) :: else fi; k_++
    :: else -> break
    od;
    k_ = 0
}

inline append(t, set)
{
    AT(t, end[t] + 1) = ENTRY(t, set);
    end[t]++;
    match[(t) * S + author[t] - 1] = end[t];
    src[author[t] - 1] = t;
    size[author[t] - 1] = end[t];
    advance(t)
}

inline win_with(c, set) /* the first entry of the term names new voters only where quorum is forced */
{
    k_ = term[c];
    assert(author[k_] == 0);
    author[k_] = (c) + 1;
    end[k_] = size[c];
    i_ = 1;
    do
    :: i_ <= size[c] -> AT(k_, i_) = AT(src[c], i_); i_++
    :: else -> break
    od;
    k_ = 1;
    do
    :: k_ < term[c] -> if :: !GIVEN_UP(k_, term[c]) -> same(k_, term[c], commit[k_]) :: else fi; k_++
    :: else -> break
    od;
    if
    :: term[c] < T && end[term[c]] < L -> append(term[c], set); open[term[c]] = end[term[c]]
    :: else
    fi
}

inline win(c)
{
    win_with(c, 0)
}

inline count_votes(c)
{
    voters(src[c], size[c]);
    if
    :: MAJORITY(COUNTED(granted[c], c), set_) -> win(c)
    :: else
    fi
}

/* Who is the only voter stands and has won. */
inline stand_alone(c, t)
{
    voters(src[c], size[c]);
    if
    :: set_ == BIT(c) -> term[c] = t; voted[c] = (c) + 1; granted[c] = BIT(c); win(c)
    :: else
    fi
}

#define BEHIND(s, c) (LAST_TERM(c) < LAST_TERM(s) || (LAST_TERM(c) == LAST_TERM(s) && size[c] < size[s]))

/* A3: s promises c, which stands in term t, perhaps at this moment. One a term, and none that is behind. */
#define MAY_VOTE(s, c, t) ((s) != (c) && (STANDS(c) && term[c] == (t) || term[c] < (t)) && \
    (term[s] < (t) || (term[s] == (t) && voted[s] == 0)) && !BEHIND(s, c))

inline vote(s, c, t)
{
    voters(src[c], size[c]);
    if
    :: (set_ & BIT(s)) && (set_ & BIT(c)) ->
        if :: term[c] < (t) -> term[c] = t; voted[c] = (c) + 1; granted[c] = BIT(c) :: else fi;
        term[s] = t;
        voted[s] = (c) + 1;
        granted[s] = 0;
        granted[c] = granted[c] | BIT(s);
        count_votes(c)
    :: else
    fi
}

/* A message of term t that brings what is new here: one entry after what is known to be equal. */
#define MAY_HEAR(s, t) (author[t] != 0 && author[t] != (s) + 1 && (t) >= term[s] && \
    match[(t) * S + (s)] < end[t] && (t) < T)

inline hear(s, t)
{
    if
    :: (t) > term[s] -> term[s] = t; voted[s] = 0; granted[s] = 0
    :: else -> if :: voted[s] == (s) + 1 -> voted[s] = NOBODY; granted[s] = 0 :: else fi
    fi;
    i_ = 0;
    do
    :: i_ < size[s] && i_ < end[t] && AT(src[s], i_ + 1) == AT(t, i_ + 1) -> i_++
    :: else -> break
    od;
    if
    :: i_ < end[t] -> i_++; src[s] = t; size[s] = i_ /* A5: what differs is cut off */
    :: else
    fi;
    if :: i_ >= open[t] -> match[(t) * S + (s)] = i_ :: else fi;
    advance(t)
}

/* A2, A9: in an open term, and the last change is committed. Call voters(t, end[t]) before. */
#define IS_OPEN(t)  (open[t] != 0 && commit[t] >= open[t])
