/* apply_volume.c - an operator's commands about shared volumes. */
#include "core/apply.h"

#include <stdlib.h>
#include <string.h>

int cmd_volume_add(struct apply *a)
{
    const char *type = event_get(a->e, "type"), *source = event_get(a->e, "source");
    const char *given = event_get(a->e, "path");
    char path[PATH_SIZE];
    struct volume *v;

    text_format(path, sizeof path, "%s", given ? given : "");
    if (given == NULL) {
        text_format(path, sizeof path, "/var/lib/clusterd/volumes/%s", a->e->subject);
    }
    if (a->e->subject[0] == '\0' || source == NULL || source[0] != '/' || strlen(source) >= PATH_SIZE ||
        path[0] != '/' || (given != NULL && strlen(given) >= PATH_SIZE)) {
        return reject(a, RC_USAGE, "volume '%s' needs an absolute path as its source", a->e->subject);
    }
    if (type == NULL || strcmp(type, "directory") != 0) {
        return reject(a, RC_USAGE, "'%s' is no type of volume: it is directory", type ? type : "");
    }
    if (state_volume(a->s, a->e->subject) != NULL) {
        return reject(a, RC_REFUSED, "there is a volume '%s' already", a->e->subject);
    }
    for (unsigned i = 0; i < a->s->volumes; i++) {
        if (strcmp(a->s->volume[i]->source, source) == 0) {
            return reject(a, RC_REFUSED, "'%.200s' is the source of volume '%s' already", source,
                          a->s->volume[i]->name);
        }
    }
    v = calloc(1, sizeof *v);
    if (v == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    text_copy(v->name, sizeof v->name, a->e->subject);
    text_copy(v->type, sizeof v->type, type);
    text_copy(v->source, sizeof v->source, source);
    text_copy(v->path, sizeof v->path, path);
    if (state_add_volume(a->s, v) != 0) {
        free(v);
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    return 0;
}

int cmd_volume_remove(struct apply *a)
{
    struct volume *v = state_volume(a->s, a->e->subject);
    struct op *o;

    if (v == NULL) {
        return reject(a, RC_NOT_FOUND, "there is no volume '%s'", a->e->subject);
    }
    for (unsigned i = 0; i < a->s->vms; i++) {
        for (unsigned d = 0; d < a->s->vm[i]->disks; d++) {
            if (path_is_below(a->s->vm[i]->disk[d], v->path)) {
                (void)reject(a, RC_REFUSED, "volume '%s' has a disk of VM '%s'", v->name, a->s->vm[i]->name);
                advise(a, "remove the VM from the cluster first, or move its disk");
                return RC_REFUSED;
            }
        }
    }
    if (v->removing) {
        return reject(a, RC_REFUSED, "volume '%s' is being removed already", v->name);
    }
    if (v->online == 0 && v->busy == 0) {
        state_remove_volume(a->s, v);
        return 0;
    }
    o = op_new(a, OP_VOLUME_REMOVE, v->name);
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    op_become(a, o, OPS_RUNNING);
    v->removing = true;
    v->wait = 0;
    return 0;
}
