#include "adapters/nodelist.h"

#include "common/rc.h"
#include "core/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1 << 20)

/* ---- the text ---- */

/* Where we are while the lines go by. */
struct edit {
    const struct member_node *node;
    unsigned nodes;
    uint64_t seen;              /* bit i: node[i] is listed */
    unsigned depth, list_depth; /* of braces; of the nodelist, 0: not in it */
    bool found;
    struct buf block; /* a node's section, until its end tells whether it stays */
    bool in_block, stays;
    struct buf *out;
};

static const char *skip_blanks(const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\t' || *s == '\r')) {
        s++;
    }
    return s;
}

/* The line's first word is `word`, and nothing but blanks and, for a section, its brace follow. */
static bool opens(const char *line, const char *end, const char *word)
{
    size_t len = strlen(word);

    line = skip_blanks(line, end);
    if ((size_t)(end - line) < len || memcmp(line, word, len) != 0) {
        return false;
    }
    line = skip_blanks(line + len, end);
    return line < end && *line == '{';
}

static bool closes(const char *line, const char *end)
{
    line = skip_blanks(line, end);
    return line < end && *line == '}';
}

static bool is_comment(const char *line, const char *end)
{
    line = skip_blanks(line, end);
    return line == end || *line == '#';
}

/* "key: value" in a node's section: is it one of ours? */
static void look_for_id(struct edit *e, const char *line, const char *end)
{
    char value[32];
    size_t n;

    line = skip_blanks(line, end);
    if ((size_t)(end - line) < 7 || memcmp(line, "nodeid:", 7) != 0) {
        return;
    }
    line = skip_blanks(line + 7, end);
    n = (size_t)(end - line) < sizeof value ? (size_t)(end - line) : sizeof value - 1;
    memcpy(value, line, n);
    value[n] = '\0';
    for (unsigned i = 0; i < e->nodes; i++) {
        if (strtoul(value, NULL, 10) == e->node[i].id) {
            e->seen |= UINT64_C(1) << i;
            e->stays = true;
        }
    }
}

static void put_text(struct buf *b, const char *text)
{
    buf_raw(b, text, strlen(text));
}

/* The members that the file does not list yet. */
static void put_missing(struct edit *e)
{
    char line[ADDRESS_SIZE + 64];

    for (unsigned i = 0; i < e->nodes; i++) {
        const char *address = e->node[i].address;

        if ((e->seen & UINT64_C(1) << i) != 0 || e->node[i].name[0] == '\0' || address[0] == '\0') {
            continue;
        }
        (void)snprintf(line, sizeof line, "  node {\n    nodeid: %u\n    name: %s\n", e->node[i].id,
                       e->node[i].name);
        put_text(e->out, line);
        for (unsigned link = 0; *address != '\0'; link++) {
            size_t len = strcspn(address, ",");

            (void)snprintf(line, sizeof line, "    ring%u_addr: %.*s\n", link, (int)len, address);
            put_text(e->out, line);
            address += len + (address[len] == ',');
        }
        put_text(e->out, "  }\n");
    }
}

static void end_of_block(struct edit *e)
{
    if (e->stays) {
        buf_raw(e->out, e->block.data, e->block.len);
    }
    e->out->failed = e->out->failed || e->block.failed;
    buf_reset(&e->block);
    e->in_block = e->stays = false;
}

/* One line, its newline included. False: more sections end than began. */
static bool edit_line(struct edit *e, const char *line, const char *end)
{
    bool comment = is_comment(line, end), brace = !comment && memchr(line, '{', (size_t)(end - line)) != NULL;

    if (!comment && e->depth == 0 && opens(line, end, "nodelist")) {
        e->list_depth = 1;
        e->found = true;
    }
    if (e->list_depth != 0 && e->depth == e->list_depth && !comment && opens(line, end, "node")) {
        e->in_block = true;
    }
    if (!comment && closes(line, end)) {
        if (e->depth == 0) {
            return false;
        }
        if (e->list_depth != 0 && e->depth == e->list_depth) {
            put_missing(e);
            e->list_depth = 0;
        }
        e->depth--;
        buf_raw(e->in_block ? &e->block : e->out, line, (size_t)(end - line));
        if (e->in_block && e->depth == 1) {
            end_of_block(e);
        }
        return true;
    }
    e->depth += brace;
    if (e->in_block) {
        look_for_id(e, line, end);
    }
    buf_raw(e->in_block ? &e->block : e->out, line, (size_t)(end - line));
    return true;
}

int nodelist_edit(const char *text, const struct member_node *node, unsigned nodes, struct buf *out,
                  struct err *err)
{
    struct edit e = {.node = node, .nodes = nodes, .out = out};
    const char *end = text + strlen(text);
    bool balanced = nodes <= 64;

    buf_init(&e.block);
    while (text < end && balanced) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *next = newline != NULL ? newline + 1 : end;

        balanced = edit_line(&e, text, next);
        text = next;
    }
    buf_fini(&e.block);
    if (out->failed) {
        return err_set(err, RC_NO_MEMORY, "out of memory");
    }
    if (!balanced || e.depth != 0) {
        return err_set(err, RC_BAD_INPUT, "its braces do not match");
    }
    return e.found ? 0 : err_set(err, RC_BAD_INPUT, "it has no nodelist");
}

/* ---- the file ---- */

static char *read_all(const char *path, struct stat *st, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    ssize_t n = -1;

    if (fd >= 0 && fstat(fd, st) == 0 && st->st_size < FILE_MAX) {
        text = malloc((size_t)st->st_size + 1);
        n = text != NULL ? read(fd, text, (size_t)st->st_size) : -1;
    }
    if (n != st->st_size || n < 0) {
        (void)err_set(err, RC_IO, "cannot read '%s': %s", path, strerror(errno));
        free(text);
        text = NULL;
    } else {
        text[n] = '\0';
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return text;
}

/* Beside it, with its owner and mode, then in its place: corosync reads the old one or the new one. */
static int replace(const char *path, const struct stat *st, const struct buf *b, struct err *err)
{
    char fresh[PATH_MAX], dir[PATH_MAX], *slash;
    int fd, dirfd, rc = 0;

    (void)snprintf(fresh, sizeof fresh, "%.4000s.clusterd", path);
    (void)snprintf(dir, sizeof dir, "%.4000s", path);
    slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, st->st_mode & 0777);
    if (fd < 0 || write(fd, b->data, b->len) != (ssize_t)b->len || fchmod(fd, st->st_mode & 0777) < 0 ||
        fchown(fd, st->st_uid, st->st_gid) < 0 || fsync(fd) < 0 || rename(fresh, path) < 0) {
        rc = err_set(err, RC_IO, "cannot write '%s': %s", path, strerror(errno));
        (void)unlink(fresh);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    dirfd = open(slash != NULL && dir[0] ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd >= 0) {
        (void)fsync(dirfd); /* what is lost here is written again at the next start */
        (void)close(dirfd);
    }
    return rc;
}

int nodelist_update(const char *path, const struct member_node *node, unsigned nodes, bool *changed,
                    struct err *err)
{
    struct buf b = BUF_INIT;
    struct err why = ERR_INIT;
    struct stat st = {0};
    char *text = read_all(path, &st, err);
    int rc = text != NULL ? nodelist_edit(text, node, nodes, &b, &why) : RC_IO;

    *changed = false;
    if (text != NULL && rc != 0) {
        (void)err_set(err, rc, "cannot keep '%s' in step with the members: %s", path, why.msg);
    } else if (rc == 0 && (b.len != strlen(text) || memcmp(b.data, text, b.len) != 0)) {
        *changed = true;
        rc = replace(path, &st, &b, err);
    }
    free(text);
    buf_fini(&b);
    return rc;
}
