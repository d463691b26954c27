#include "core/event.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rc.h"

static const struct {
    const char *key;
    char who;
    unsigned level;
} kinds[] = {[EV_NONE] = {"none", 0, 0},
#define X(kind, key, who, level) [kind] = {key, who, level},
             EVENT_LIST(X)
#undef X
};

static const char *const obs_keys[OBS_COUNT] = {"unknown", "absent", "running", "paused", "incoming"};

const char *event_key(enum event_kind k)
{
    return (unsigned)k < EV_COUNT ? kinds[k].key : "unknown";
}

char event_who(enum event_kind k)
{
    return (unsigned)k < EV_COUNT ? kinds[k].who : 0;
}

unsigned event_level(enum event_kind k)
{
    return (unsigned)k < EV_COUNT ? kinds[k].level : 0;
}

const char *obs_key(enum obs_state o)
{
    return (unsigned)o < OBS_COUNT ? obs_keys[o] : "unknown";
}

enum obs_state obs_from_key(const char *key)
{
    for (unsigned i = 0; i < OBS_COUNT; i++) {
        if (key != NULL && strcmp(key, obs_keys[i]) == 0) {
            return (enum obs_state)i;
        }
    }
    return OBS_UNKNOWN;
}

void event_init(struct event *e, enum event_kind kind)
{
    memset(e, 0, sizeof *e);
    e->kind = kind;
}

void event_fini(struct event *e)
{
    for (unsigned i = 0; i < e->kvs; i++) {
        free(e->kv[i].key);
        free(e->kv[i].value);
    }
    free(e->kv);
    free(e->text);
    event_init(e, EV_NONE);
}

static int event_take(struct event *e, char *key, char *value)
{
    struct kv *kv = NULL;

    if (key != NULL && value != NULL) {
        /* Grown at powers of two. */
        kv = (e->kvs & (e->kvs - 1)) == 0 ? realloc(e->kv, (e->kvs ? 2 * e->kvs : 1) * sizeof *kv) : e->kv;
    }
    if (kv == NULL) {
        free(key);
        free(value);
        return RC_NO_MEMORY;
    }
    e->kv = kv;
    e->kv[e->kvs].key = key;
    e->kv[e->kvs++].value = value;
    return 0;
}

int event_put(struct event *e, const char *key, const char *value)
{
    if (e->kvs >= EVENT_KV_MAX || strlen(key) >= NAME_SIZE || strlen(value) > EVENT_VALUE_MAX) {
        return RC_BAD_INPUT;
    }
    return event_take(e, strdup(key), strdup(value));
}

int event_putf(struct event *e, const char *key, const char *fmt, ...)
{
    char value[EVENT_VALUE_MAX + 1];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof value) {
        return RC_BAD_INPUT;
    }
    return event_put(e, key, value);
}

const char *event_get(const struct event *e, const char *key)
{
    for (unsigned i = 0; i < e->kvs; i++) {
        if (strcmp(e->kv[i].key, key) == 0) {
            return e->kv[i].value;
        }
    }
    return NULL;
}

uint64_t event_get_u64(const struct event *e, const char *key, uint64_t dflt)
{
    const char *v = event_get(e, key);
    uint64_t n = 0;

    if (v == NULL || *v == '\0' || strlen(v) > 19) {
        return dflt;
    }
    for (; *v != '\0'; v++) {
        if (*v < '0' || *v > '9') {
            return dflt;
        }
        n = n * 10 + (uint64_t)(*v - '0');
    }
    return n;
}

int event_set_text(struct event *e, const char *text)
{
    char *copy;

    if (strlen(text) > EVENT_TEXT_MAX) {
        return RC_BAD_INPUT;
    }
    copy = strdup(text);
    if (copy == NULL) {
        return RC_NO_MEMORY;
    }
    free(e->text);
    e->text = copy;
    return 0;
}

void event_encode(const struct event *e, struct buf *b)
{
    buf_u8(b, EVENT_FORMAT);
    buf_u8(b, (uint8_t)e->kind);
    buf_u8(b, (uint8_t)e->obs);
    buf_u32(b, e->origin);
    buf_u64(b, e->session);
    buf_u64(b, e->seq);
    buf_u64(b, (uint64_t)e->time_ms);
    buf_u32(b, e->flags);
    buf_u32(b, e->node);
    buf_u32(b, e->to);
    buf_u64(b, e->id);
    buf_u64(b, e->index);
    buf_u64(b, e->num);
    buf_str(b, e->subject);
    buf_str(b, e->by);
    buf_str(b, e->why);
    buf_str(b, e->text);
    buf_u16(b, (uint16_t)e->kvs);
    for (unsigned i = 0; i < e->kvs; i++) {
        buf_str(b, e->kv[i].key);
        buf_str(b, e->kv[i].value);
    }
}

static void decode_kvs(struct event *e, struct rd *r)
{
    unsigned n = rd_u16(r);

    if (n > EVENT_KV_MAX) {
        r->bad = true;
    }
    for (unsigned i = 0; i < n && !r->bad; i++) {
        char *key = rd_strdup(r, NAME_SIZE - 1);
        char *value = rd_strdup(r, EVENT_VALUE_MAX);

        if (event_take(e, key, value) != 0) {
            r->bad = true;
        }
    }
}

static int newer(struct err *err, const char *what, unsigned is, unsigned known)
{
    return refuse_newer(err, "an event of %s %u is newer than this clusterd, which knows up to %u", what, is,
                        known);
}

int event_decode(struct event *e, const void *data, size_t len, struct err *err)
{
    struct rd r;
    unsigned version;

    event_init(e, EV_NONE);
    rd_init(&r, data, len);
    version = rd_u8(&r);
    if (!r.bad && version > EVENT_FORMAT) {
        return newer(err, "format", version, EVENT_FORMAT);
    }
    r.bad = r.bad || version != EVENT_FORMAT;
    e->kind = (enum event_kind)rd_u8(&r);
    e->obs = (enum obs_state)rd_u8(&r);
    e->origin = rd_u32(&r);
    e->session = rd_u64(&r);
    e->seq = rd_u64(&r);
    e->time_ms = (int64_t)rd_u64(&r);
    e->flags = rd_u32(&r);
    e->node = rd_u32(&r);
    e->to = rd_u32(&r);
    e->id = rd_u64(&r);
    e->index = rd_u64(&r);
    e->num = rd_u64(&r);
    rd_str(&r, e->subject, sizeof e->subject);
    rd_str(&r, e->by, sizeof e->by);
    rd_str(&r, e->why, sizeof e->why);
    e->text = rd_strdup(&r, EVENT_TEXT_MAX);
    if (e->text != NULL && e->text[0] == '\0') {
        free(e->text);
        e->text = NULL;
    }
    decode_kvs(e, &r);
    if (rd_done(&r) && e->kind >= EV_COUNT) {
        unsigned kind = (unsigned)e->kind;

        event_fini(e);
        return newer(err, "kind", kind, EV_COUNT - 1);
    }
    if (!rd_done(&r) || e->kind == EV_NONE || e->obs >= OBS_COUNT) {
        event_fini(e);
        return err_set(err, RC_CORRUPT, "an event of %zu bytes is damaged", len);
    }
    return 0;
}
