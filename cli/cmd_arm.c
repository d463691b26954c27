/* cmd_arm.c - high availability paused and resumed (N4). */
#include "cli.h"
#include "client.h"
#include "output.h"
#include "query.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MS_MAX (INT64_C(1) << 40)

/* "90s", "30m", "1h30m", "2d": milliseconds; 0 when it is no duration, or none. */
static int64_t duration_ms(const char *text)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    int64_t sum = 0;

    while (*text != '\0') {
        int64_t n = 0, ms = 0;
        const char *digits = text;

        for (; *text >= '0' && *text <= '9' && n < MS_MAX; text++) {
            n = n * 10 + (*text - '0');
        }
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            ms = *text == units[i].unit ? units[i].ms : ms;
        }
        if (text == digits || ms == 0 || n >= MS_MAX / ms || sum + n * ms >= MS_MAX) {
            return 0;
        }
        sum += n * ms;
        text++;
    }
    return sum;
}

static int run_disarm(struct cli *c)
{
    const char *span = cli_value(c, "for");
    struct json_object *args = json_object_new_object(), *result = NULL;
    int64_t ms = span != NULL ? duration_ms(span) : 0;
    int rc;

    if (span != NULL && ms == 0) {
        json_object_put(args);
        return cli_refuse(c, RC_USAGE, "90s, 30m, 1h30m, 2d, …", "'%.64s' is no duration", span);
    }
    if (ms != 0) {
        (void)json_object_object_add(args, "for_ms", json_object_new_int64(ms));
    }
    rc = query_get(c, "disarm", args, &result, "pause high availability");
    if (rc == 0 && !output_document(c, result, NULL)) {
        printf("high availability is paused%s%s: nothing is fenced or started again by itself\n",
               span ? " for " : "", span ? span : "");
        printf("%s\n",
               span ? "it goes on by itself then, or at once with clusterctl arm" : "clusterctl arm goes on");
    }
    json_object_put(result);
    return rc;
}

static int run_arm(struct cli *c)
{
    struct json_object *result = NULL;
    int rc = query_get(c, "arm", NULL, &result, "resume high availability");

    if (rc == 0 && !output_document(c, result, NULL)) {
        printf("the cluster is armed: what was lost meanwhile is fenced and recovered now\n");
    }
    json_object_put(result);
    return rc;
}

const struct cli_command cmd_arm[] = {
    {.name = "disarm",
     .summary = "pause high availability: nothing is fenced, recovered or started again by itself",
     .details = "For work on the network, the power or the cluster's own software. What operators ask for "
                "goes on. It is "
                "refused while a node is unclean. A node that is lost meanwhile is fenced when the cluster "
                "is armed again, "
                "unless it has come back or its power was confirmed off. A node that loses the quorum still "
                "ends its VMs "
                "in time (no_quorum_timeout_ms). DURATION is a number with s, m, h or d, at most 30d.",
     .run = run_disarm,
     .option = {{"for", "DURATION", NULL, "go on by itself after this", KIND_NONE, false}}},
    {.name = "arm",
     .summary = "resume high availability",
     .details = "What was lost while it was paused is fenced and recovered now.",
     .run = run_arm},
    {.name = NULL},
};
