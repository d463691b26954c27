#include "adapters/watch.h"

#include "adapters/log.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCH_COALESCE_MS 50
#define WATCH_RETRY_MS    5000
/* Files come and go by rename; a close after writing is a state rewritten in place. */
#define WATCH_EVENTS (IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_ONLYDIR)

struct watch {
    char *dir;
    void (*look)(void *ctx);
    void *ctx;
    int fd;
    guint source, timer, retry;
    bool said;
};

static gboolean on_timer(gpointer ctx)
{
    struct watch *w = ctx;

    w->timer = 0;
    w->look(w->ctx);
    return G_SOURCE_REMOVE;
}

static gboolean on_retry(gpointer ctx);

/* A watch of its own for each life of the folder. */
static void begin(struct watch *w)
{
    if (inotify_add_watch(w->fd, w->dir, WATCH_EVENTS) < 0) {
        if (!w->said) {
            log_info(
                "'%s' cannot be watched (%s): VMs are looked at only at their interval until it is there",
                w->dir, g_strerror(errno));
            w->said = true;
        }
        w->retry = g_timeout_add(WATCH_RETRY_MS, on_retry, w);
    } else {
        w->said = false;
        if (!w->timer) {
            w->timer = g_timeout_add(WATCH_COALESCE_MS, on_timer, w);
        }
    }
}

static gboolean on_retry(gpointer ctx)
{
    struct watch *w = ctx;

    w->retry = 0;
    begin(w);
    return G_SOURCE_REMOVE;
}

static gboolean on_events(gint fd, GIOCondition cond, gpointer ctx)
{
    struct watch *w = ctx;
    char data[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n = read(fd, data, sizeof data);

    (void)cond;
    for (ssize_t at = 0; n > 0 && at < n;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)(data + at);

        if ((e->mask & IN_IGNORED) && !w->retry) {
            w->retry = g_timeout_add(WATCH_COALESCE_MS, on_retry, w); /* the folder is gone */
        }
        at += (ssize_t)(sizeof *e + e->len);
    }
    if (n > 0 && !w->timer) {
        w->timer = g_timeout_add(WATCH_COALESCE_MS, on_timer, w);
    }
    return G_SOURCE_CONTINUE;
}

struct watch *watch_new(const char *dir, void (*look)(void *ctx), void *ctx)
{
    struct watch *w = g_new0(struct watch, 1);

    w->dir = g_strdup(dir);
    w->look = look;
    w->ctx = ctx;
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->fd < 0) {
        log_warning("no inotify: %s", g_strerror(errno));
        return w;
    }
    w->source = g_unix_fd_add(w->fd, G_IO_IN, on_events, w);
    begin(w);
    return w;
}

void watch_free(struct watch *w)
{
    if (!w) {
        return;
    }
    const guint sources[] = {w->source, w->timer, w->retry};

    for (size_t i = 0; i < G_N_ELEMENTS(sources); i++) {
        if (sources[i]) {
            (void)g_source_remove(sources[i]);
        }
    }
    if (w->fd >= 0) {
        (void)close(w->fd);
    }
    g_free(w->dir);
    g_free(w);
}
