/* apply_fence.c - an operator's commands about fence devices. */
#include "core/apply.h"

#include <stdlib.h>
#include <string.h>

/* "1,2,3" -> a set; 0 when it is not a list of node ids. */
node_set nodes_parse(const char *text)
{
    node_set set = 0;

    while (text != NULL && *text != '\0') {
        uint32_t id = 0;

        for (; *text >= '0' && *text <= '9' && id <= NODES_MAX; text++) {
            id = id * 10 + (uint32_t)(*text - '0');
        }
        if (id == 0 || id > NODES_MAX || (*text != ',' && *text != '\0')) {
            return 0;
        }
        set |= NODE_BIT(id);
        text += *text == ',';
    }
    return set;
}

static int fence_fill(struct fence_device *f, const struct event *e)
{
    f->param = calloc(e->kvs ? e->kvs : 1, sizeof *f->param);
    if (f->param == NULL) {
        return RC_NO_MEMORY;
    }
    for (unsigned i = 0; i < e->kvs; i++) {
        if (strncmp(e->kv[i].key, "param.", 6) != 0) {
            continue;
        }
        f->param[f->params].key = strdup(e->kv[i].key + 6);
        f->param[f->params].value = strdup(e->kv[i].value);
        f->params++;
        if (f->param[f->params - 1].key == NULL || f->param[f->params - 1].value == NULL) {
            return RC_NO_MEMORY;
        }
    }
    return 0;
}

int cmd_fence_add(struct apply *a)
{
    const char *agent = event_get(a->e, "agent");
    node_set nodes = nodes_parse(event_get(a->e, "nodes"));
    struct fence_device *f;

    if (a->e->subject[0] == '\0' || agent == NULL || strncmp(agent, "fence_", 6) != 0 ||
        strlen(agent) >= NAME_SIZE || strchr(agent, '/') != NULL) {
        return reject(a, RC_USAGE, "'%s' is no fence agent: its name begins with fence_", agent ? agent : "");
    }
    if (nodes == 0) {
        return reject(a, RC_USAGE, "fence device '%s' needs the nodes that it reaches", a->e->subject);
    }
    if (state_fence(a->s, a->e->subject) != NULL) {
        return reject(a, RC_REFUSED, "there is a fence device '%s' already", a->e->subject);
    }
    f = calloc(1, sizeof *f);
    if (f == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    text_copy(f->name, sizeof f->name, a->e->subject);
    text_copy(f->agent, sizeof f->agent, agent);
    f->nodes = nodes;
    f->level = (uint32_t)a->e->num;
    if (fence_fill(f, a->e) != 0 || state_add_fence(a->s, f) != 0) {
        fence_free(f);
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    return 0;
}

int cmd_fence_remove(struct apply *a)
{
    struct fence_device *f = state_fence(a->s, a->e->subject);

    if (f == NULL) {
        return reject(a, RC_NOT_FOUND, "there is no fence device '%s'", a->e->subject);
    }
    for (unsigned i = 0; i < a->s->jobs; i++) {
        if (a->s->job[i].kind == JOB_FENCE && strcmp(a->s->job[i].subject, f->name) == 0) {
            return reject(a, RC_REFUSED, "fence device '%s' is at work", f->name);
        }
    }
    state_remove_fence(a->s, f);
    return 0;
}

int cmd_fence_test(struct apply *a)
{
    struct op *o;

    if (state_fence(a->s, a->e->subject) == NULL) {
        return reject(a, RC_NOT_FOUND, "there is no fence device '%s'", a->e->subject);
    }
    o = op_new(a, OP_FENCE_TEST, a->e->subject);
    if (o == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    op_become(a, o, OPS_RUNNING);
    return 0;
}
