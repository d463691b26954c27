#include "inventory.h"

#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "common/rc.h"

enum virt_state inventory_settle(const struct inventory_seen *s)
{
    if ((!s->answered && !MUTANT(silence_taken_as_absent)) || s->pid < 0) {
        return VIRT_UNKNOWN;
    }
    if (s->said == VIRT_ABSENT) {
        return s->pid || (s->locked && !MUTANT(lock_not_looked_at)) ? VIRT_UNKNOWN : VIRT_ABSENT;
    }
    return s->pid ? s->said : VIRT_UNKNOWN;
}

void inventory_init(struct inventory *inv)
{
    memset(inv, 0, sizeof *inv);
}

void inventory_fini(struct inventory *inv)
{
    free(inv->vms);
    inventory_init(inv);
}

/* The VM's entry, made when it is new; NULL when out of memory. */
static struct inventory_vm *entry(struct inventory *inv, const char *uuid)
{
    struct inventory_vm *v;

    for (size_t i = 0; i < inv->n; i++) {
        if (strcmp(inv->vms[i].uuid, uuid) == 0) {
            return &inv->vms[i];
        }
    }
    if (inv->n % 64 == 0) {
        v = realloc(inv->vms, (inv->n + 64) * sizeof *v);
        if (!v) {
            return NULL;
        }
        inv->vms = v;
    }
    v = &inv->vms[inv->n++];
    memset(v, 0, sizeof *v);
    memcpy(v->uuid, uuid, sizeof v->uuid);
    v->seen.said = VIRT_ABSENT; /* until libvirt names it */
    return v;
}

static int add_line(struct inventory *inv, char *line)
{
    char *state = strchr(line, ' '), *name = state ? strchr(state + 1, ' ') : NULL, uuid[QEMU_UUID_SIZE];
    struct inventory_vm *v;

    if (!name) {
        return RC_IO;
    }
    *state++ = '\0';
    *name++ = '\0';
    if (!qemu_uuid(line, uuid)) {
        return RC_IO;
    }
    v = entry(inv, uuid);
    if (!v) {
        return RC_NO_MEMORY;
    }
    v->seen.said = virt_state_from(state);
    (void)snprintf(v->name, sizeof v->name, "%s", name);
    return RC_OK;
}

int inventory_add_answer(struct inventory *inv, const char *text, size_t len)
{
    char line[512];
    int rc = RC_OK;

    while (len && rc == RC_OK) {
        const char *nl = memchr(text, '\n', len);
        size_t n = nl ? (size_t)(nl - text) : len;

        if (!nl || n >= sizeof line) {
            return RC_IO;
        }
        memcpy(line, text, n);
        line[n] = '\0';
        rc = add_line(inv, line);
        text += n + 1;
        len -= n + 1;
    }
    return rc;
}

int inventory_add_qemu(struct inventory *inv, const struct qemu *q)
{
    struct inventory_vm *v = entry(inv, q->uuid);

    if (!v) {
        return RC_NO_MEMORY;
    }
    v->seen.pid = q->pid;
    if (!*v->name) {
        (void)snprintf(v->name, sizeof v->name, "%s", q->name);
    }
    return RC_OK;
}

int inventory_add_lock(struct inventory *inv, const char *uuid)
{
    struct inventory_vm *v = entry(inv, uuid);

    if (!v) {
        return RC_NO_MEMORY;
    }
    v->seen.locked = true;
    return RC_OK;
}

static enum virt_state settle(const struct inventory *inv, const struct inventory_vm *v)
{
    struct inventory_seen s = v->seen;

    s.answered = inv->answered;
    return inventory_settle(&s);
}

bool inventory_doubts(const struct inventory *inv)
{
    for (size_t i = 0; i < inv->n; i++) {
        if (!inv->vms[i].seen.locked && settle(inv, &inv->vms[i]) == VIRT_UNKNOWN) {
            return true;
        }
    }
    return false;
}

static void put_name(const char *name, FILE *out)
{
    if (!*name) {
        (void)fputc('-', out);
    }
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;

        if (c > ' ' && c < 0x7f && c != '%') {
            (void)fputc(c, out);
        } else {
            (void)fprintf(out, "%%%02X", c);
        }
    }
}

void inventory_print(const struct inventory *inv, FILE *out)
{
    size_t n = 0;

    (void)fprintf(out, "libvirt: %s\n", inv->answered ? "ok" : "unreachable");
    for (size_t i = 0; i < inv->n; i++) {
        const struct inventory_vm *v = &inv->vms[i];
        enum virt_state state = settle(inv, v);

        if (state == VIRT_ABSENT) {
            continue;
        }
        (void)fprintf(out, "vm %s %s ", v->uuid, virt_state_word(state));
        put_name(v->name, out);
        (void)fprintf(out, " pid=%d lock=%s\n", (int)v->seen.pid, v->seen.locked ? "held" : "free");
        n++;
    }
    (void)fprintf(out, "end %zu\n", n);
    (void)fflush(out);
}
