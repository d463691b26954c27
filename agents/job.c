#include "job.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "bounded.h"
#include "ocf.h"

#define LOOK_MS 100
#define SAY_MS  500

struct job {
    int (*call)(void *);
    void *arg;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    bool done;
    int rc;
};

static void *work(void *arg)
{
    struct job *j = arg;
    int rc = j->call(j->arg);

    (void)pthread_mutex_lock(&j->mutex);
    j->rc = rc;
    j->done = true;
    (void)pthread_cond_signal(&j->ended);
    (void)pthread_mutex_unlock(&j->mutex);
    return NULL;
}

/* Waits a moment for the call's end; it wakes at once when it comes. */
static bool ended_soon(struct job *j)
{
    struct timespec t;
    bool done;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += LOOK_MS * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000L;
    t.tv_nsec %= 1000000000L;
    (void)pthread_mutex_lock(&j->mutex);
    if (!j->done) {
        (void)pthread_cond_timedwait(&j->ended, &j->mutex, &t);
    }
    done = j->done;
    (void)pthread_mutex_unlock(&j->mutex);
    return done;
}

struct progress {
    double fraction; /* never goes back, though a later pass of a migration has more to do than the end of the
                        one before */
    long said_ms;
    long long remaining;
};

static void say_progress(virDomainPtr dom, struct progress *p)
{
    unsigned long long total = 0, remaining = 0;
    virTypedParameterPtr params = NULL;
    int n = 0, type = VIR_DOMAIN_JOB_NONE;
    double fraction;

    if (ocf_now_ms() - p->said_ms < SAY_MS || virDomainGetJobStats(dom, &type, &params, &n, 0) < 0) {
        return;
    }
    (void)virTypedParamsGetULLong(params, n, VIR_DOMAIN_JOB_MEMORY_TOTAL, &total);
    (void)virTypedParamsGetULLong(params, n, VIR_DOMAIN_JOB_MEMORY_REMAINING, &remaining);
    virTypedParamsFree(params, n);
    if (!total) {
        return;
    }
    p->said_ms = ocf_now_ms();
    p->remaining = (long long)remaining;
    fraction = 1.0 - (double)remaining / (double)total;
    p->fraction = fraction > p->fraction ? fraction : p->fraction;
    ocf_say("progress: %.2f remaining=%llu total=%llu", p->fraction, remaining, total);
}

static void job_init(struct job *j, int (*call)(void *), void *arg)
{
    pthread_condattr_t attr;

    j->call = call;
    j->arg = arg;
    j->done = false;
    j->rc = -1;
    (void)pthread_mutex_init(&j->mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&j->ended, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static void job_fini(struct job *j)
{
    (void)pthread_cond_destroy(&j->ended);
    (void)pthread_mutex_destroy(&j->mutex);
}

enum job_end job_run(virDomainPtr dom, int (*call)(void *), void *arg, long until, long long *remaining)
{
    struct progress p = {0, ocf_now_ms() - SAY_MS / 2, -1};
    enum job_end why = JOB_FAILED;
    pthread_t thread;
    struct job j;

    *remaining = -1;
    job_init(&j, call, arg);
    if (pthread_create(&thread, NULL, work, &j) != 0) {
        job_fini(&j);
        return JOB_FAILED;
    }
    while (!ended_soon(&j)) {
        if (why != JOB_FAILED || bounded_cancelled() || ocf_now_ms() >= until) {
            why = why != JOB_FAILED ? why : bounded_cancelled() ? JOB_CANCELLED : JOB_TIMED_OUT;
            (void)virDomainAbortJob(dom); /* again and again: the call may not have begun its job yet */
        } else {
            say_progress(dom, &p);
        }
    }
    (void)pthread_join(thread, NULL);
    *remaining = p.remaining;
    why = j.rc == 0 ? JOB_DONE : why;
    job_fini(&j);
    return why;
}
