#include "core/transition.h"

static const struct {
    enum node_state from, to;
} node_rows[] = {
#define X(from, to, why) {from, to},
    NODE_TRANSITIONS(X)
#undef X
};

static const struct {
    enum op_state from, to;
} op_rows[] = {
#define X(from, to, why) {from, to},
    OP_TRANSITIONS(X)
#undef X
};

const char *node_move_wrong(enum node_state from, enum node_state to)
{
    for (unsigned i = 0; i < sizeof node_rows / sizeof node_rows[0]; i++) {
        if (from == to || (node_rows[i].from == from && node_rows[i].to == to)) {
            return NULL;
        }
    }
    return "a node's state moved as no rule allows (core/transition.h)";
}

const char *op_move_wrong(enum op_state from, enum op_state to)
{
    for (unsigned i = 0; i < sizeof op_rows / sizeof op_rows[0]; i++) {
        if (from == to || (op_rows[i].from == from && op_rows[i].to == to)) {
            return NULL;
        }
    }
    return "an operation's state moved as no rule allows (core/transition.h)";
}
