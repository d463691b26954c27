#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/mutant.h"
#include "common/rc.h"

#define MAGIC "clusterd-saved-state 1"
#define CHUNK (256u << 10)

void state_init(struct state *s)
{
    memset(s, 0, sizeof *s);
}

void state_fini(struct state *s)
{
    free(s->disks);
    state_init(s);
}

bool state_tag_ok(const char *tag)
{
    size_t n = strlen(tag);

    for (size_t i = 0; i < n; i++) {
        if (tag[i] <= ' ' || tag[i] > '~') {
            return false;
        }
    }
    return n > 0 && n < STATE_TAG_MAX;
}

static void put(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct buf *b, const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof line) {
        b->failed = true;
        return;
    }
    buf_raw(b, line, (size_t)n);
}

void state_format(const struct state *s, struct buf *out)
{
    struct hash none = {0, 0};
    char hex[33];

    buf_reset(out);
    put(out, MAGIC "\nuuid %s\ntag %s\ntime %s\nwas %s\nbytes %" PRIu64 "\n", s->uuid, s->tag, s->time,
        s->was_running ? "running" : "paused", s->bytes);
    hash_hex(s->checksum, hex);
    put(out, "checksum %s\n", hex);
    for (size_t i = 0; i < s->n_disks; i++) {
        const struct state_disk *d = &s->disks[i];

        put(out, "disk %" PRIu64 " %" PRId64 " %" PRIu64 " %s\n", d->size, d->mtime_ns, d->inode, d->path);
    }
    hash_hex(hash_bytes(none, out->data, out->len), hex); /* so that a torn or edited text is seen */
    put(out, "end %s\n", hex);
}

/* A decimal number and the space after it; moves *p behind both. */
static bool take_u64(const char **p, uint64_t *v)
{
    char *end;

    errno = 0;
    *v = strtoull(*p, &end, 10);
    if (errno || end == *p || **p < '0' || **p > '9' || *end != ' ') {
        return false;
    }
    *p = end + 1;
    return true;
}

static bool take_i64(const char **p, int64_t *v)
{
    bool minus = **p == '-';
    uint64_t u;

    *p += minus;
    if (!take_u64(p, &u) || u > INT64_MAX) {
        return false;
    }
    *v = minus ? -(int64_t)u : (int64_t)u;
    return true;
}

static bool take_hash(const char *hex, struct hash *h)
{
    char half[17] = "", *end;

    if (strlen(hex) != 32 || strspn(hex, "0123456789abcdef") != 32) {
        return false;
    }
    memcpy(half, hex, 16);
    h->hi = strtoull(half, &end, 16);
    h->lo = strtoull(hex + 16, &end, 16);
    return true;
}

static bool add_disk(struct state *s, const struct state_disk *d)
{
    struct state_disk *more = s->disks;

    if (s->n_disks == DOMAIN_DISKS_MAX) {
        return false;
    }
    if (!more) {
        more = calloc(DOMAIN_DISKS_MAX, sizeof *more);
    }
    if (!more) {
        return false;
    }
    s->disks = more;
    more[s->n_disks++] = *d;
    return true;
}

static bool take_disk(struct state *s, const char *p)
{
    struct state_disk d;

    memset(&d, 0, sizeof d);
    if (!take_u64(&p, &d.size) || !take_i64(&p, &d.mtime_ns) || !take_u64(&p, &d.inode) || *p != '/' ||
        strlen(p) >= sizeof d.path) {
        return false;
    }
    (void)snprintf(d.path, sizeof d.path, "%s", p);
    return add_disk(s, &d);
}

/* One line "KEY VALUE". */
static bool take_line(struct state *s, char *line)
{
    char *value = strchr(line, ' ');
    struct hash h;

    if (!value) {
        return false;
    }
    *value++ = '\0';
    if (strcmp(line, "uuid") == 0) {
        return qemu_uuid(value, s->uuid);
    }
    if (strcmp(line, "tag") == 0 && state_tag_ok(value)) {
        return snprintf(s->tag, sizeof s->tag, "%s", value) > 0;
    }
    if (strcmp(line, "time") == 0) {
        return (size_t)snprintf(s->time, sizeof s->time, "%s", value) < sizeof s->time;
    }
    if (strcmp(line, "was") == 0) {
        s->was_running = strcmp(value, "running") == 0;
        return s->was_running || strcmp(value, "paused") == 0;
    }
    if (strcmp(line, "bytes") == 0) {
        const char *p = value;
        size_t n = strlen(value);

        value[n] = ' '; /* take_u64 wants one behind the number; the line's end is ours to write */
        return take_u64(&p, &s->bytes);
    }
    if (strcmp(line, "checksum") == 0 && take_hash(value, &h)) {
        s->checksum = h;
        return true;
    }
    return strcmp(line, "disk") == 0 && take_disk(s, value);
}

/* The text without its last line, whose hash it must have; 0 when it has not. */
static size_t body(const char *text, size_t len)
{
    static const size_t last = sizeof "end " - 1 + 32 + 1;
    struct hash none = {0, 0};
    char hex[33];

    if (len <= last || memcmp(text + len - last, "end ", 4) != 0 || text[len - 1] != '\n' ||
        text[len - last - 1] != '\n') {
        return 0;
    }
    hash_hex(hash_bytes(none, text, len - last), hex);
    return memcmp(text + len - 33, hex, 32) == 0 || MUTANT(torn_state_taken) ? len - last : 0;
}

static int parse_lines(const char *text, size_t len, struct state *s, struct err *e)
{
    char line[2048];

    for (int number = 1; len; number++) {
        const char *nl = memchr(text, '\n', len);
        size_t n = nl ? (size_t)(nl - text) : len;

        if (!nl || n + 2 > sizeof line || memchr(text, '\0', n)) {
            return err_set(e, RC_CORRUPT, "line %d is not text", number);
        }
        memcpy(line, text, n);
        line[n] = line[n + 1] = '\0';
        if (number == 1 ? strcmp(line, MAGIC) != 0 : !take_line(s, line)) {
            return err_set(e, RC_CORRUPT, "line %d: '%.40s' is not understood", number, line);
        }
        text += n + 1;
        len -= n + 1;
    }
    if (!*s->uuid || !*s->tag || !s->bytes) {
        return err_set(e, RC_CORRUPT, "its uuid, tag or size is missing");
    }
    return RC_OK;
}

int state_parse(const char *text, size_t len, struct state *s, struct err *e)
{
    size_t n = len <= STATE_META_MAX ? body(text, len) : 0;
    int rc;

    state_init(s);
    rc = n ? parse_lines(text, n, s, e)
           : err_set(e, RC_CORRUPT, "it is torn or was changed: its last line does not fit it");
    if (rc != RC_OK) {
        state_fini(s);
    }
    return rc;
}

/* Opens the file, which makes NFS look at the server again (close to open), then asks for its times. */
static int look(const char *path, struct state_disk *d, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = RC_OK;
    struct stat st;

    memset(d, 0, sizeof *d);
    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = err_set(e, RC_IO, "cannot look at disk '%s': %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) ||
               (size_t)snprintf(d->path, sizeof d->path, "%s", path) >= sizeof d->path ||
               strchr(path, '\n') || *path != '/') {
        rc = err_set(e, RC_REFUSED,
                     "disk '%.200s' is not an ordinary file, so nothing tells whether it was written since",
                     path);
    } else {
        d->size = (uint64_t)st.st_size;
        d->inode = st.st_ino;
        d->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

int state_look_at_disks(const struct domain *dom, struct state *s, struct err *e)
{
    for (size_t i = 0; i < dom->n_disks; i++) {
        const struct domain_disk *k = &dom->disks[i];
        struct state_disk d;
        int rc;

        if ((!k->writable && !k->backing) || (!*k->source && strcmp(k->type, "file") == 0)) {
            continue; /* read-only, or an empty drive */
        }
        rc = look(k->source, &d, e);
        if (rc != RC_OK) {
            return rc;
        }
        if (!add_disk(s, &d)) {
            return err_set(e, RC_NO_MEMORY, "out of memory");
        }
    }
    return RC_OK;
}

/*
 * ctime is not among the fingerprints: libvirt changes an image's owner at each start and stop, so a restore
 * that failed and wrote nothing would look like a write.
 */
int state_check_disks(const struct state *s, struct err *e)
{
    for (size_t i = 0; i < s->n_disks; i++) {
        const struct state_disk *was = &s->disks[i];
        struct state_disk is;
        int rc = look(was->path, &is, e);

        if (rc != RC_OK) {
            return rc;
        }
        if (!MUTANT(changed_disks_taken) &&
            (is.size != was->size || is.mtime_ns != was->mtime_ns || is.inode != was->inode)) {
            return err_set(e, RC_REFUSED, "disk '%s' has changed since the save (%s)", was->path,
                           is.inode != was->inode ? "it is another file"
                           : is.size != was->size ? "its size differs"
                                                  : "it was written");
        }
    }
    return RC_OK;
}

/* Reads fd to its end. 0 or an errno. */
static int sum_fd(int fd, uint64_t *bytes, struct hash *sum)
{
    XXH3_state_t *x = XXH3_createState();
    uint8_t *chunk = malloc(CHUNK);
    int error = x && chunk ? 0 : ENOMEM;
    XXH128_hash_t h;
    ssize_t n = 1;

    *bytes = 0;
    if (!error) {
        (void)XXH3_128bits_reset(x);
    }
    while (!error && n != 0) {
        n = read(fd, chunk, CHUNK);
        if (n < 0 && errno != EINTR) {
            error = errno;
        } else if (n > 0) {
            (void)XXH3_128bits_update(x, chunk, (size_t)n);
            *bytes += (uint64_t)n;
        }
    }
    if (!error) {
        h = XXH3_128bits_digest(x);
        *sum = (struct hash){h.low64, h.high64};
    }
    free(chunk);
    (void)XXH3_freeState(x);
    return error;
}

int state_checksum(const char *path, uint64_t *bytes, struct hash *sum, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        error = errno;
    } else if (!S_ISREG(st.st_mode)) {
        error = EINVAL;
    } else {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        error = sum_fd(fd, bytes, sum);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return error ? err_set(e, error == ENOMEM ? RC_NO_MEMORY : RC_IO, "cannot read '%s': %s", path,
                           strerror(error))
                 : RC_OK;
}
