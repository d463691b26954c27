/* What clients may say, and what becomes of it: events, documents, errors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/command.h"
#include "adapters/view.h"
#include "common/rc.h"
#include "tests/cli/shell_double.h"

static struct json_object *answer;

/* Hands the text to command.c as the IPC server does; the answer's rc, or COMMAND_DEFERRED. */
static int ask(const char *text)
{
    struct command_ctx ctx = double_ctx();
    struct err err = ERR_INIT;
    struct json_object *request = command_parse(text, strlen(text), &err), *rc;
    int done;

    json_object_put(answer);
    answer = NULL;
    if (request == NULL) {
        answer = command_error(err.rc, &err);
        return err.rc;
    }
    done = command_handle(&ctx, request, 7, &answer);
    json_object_put(request);
    if (done == COMMAND_DEFERRED) {
        assert_null(answer);
        return COMMAND_DEFERRED;
    }
    assert_true(json_object_object_get_ex(answer, "rc", &rc));
    return json_object_get_int(rc);
}

static int command(const char *name, const char *args)
{
    char text[4096];

    (void)snprintf(text, sizeof text, "{\"v\":1,\"command\":\"%s\",\"args\":{%s}}", name, args);
    return ask(text);
}

/* A member of the answer by its way, as text: "result/nodes/0/name". */
static const char *at(const char *way)
{
    struct json_object *o = answer;
    char part[64];

    while (*way != '\0') {
        size_t n = strcspn(way, "/");

        (void)snprintf(part, sizeof part, "%.*s", (int)n, way);
        o = json_object_is_type(o, json_type_array) ? json_object_array_get_idx(o, (size_t)atol(part))
                                                    : json_object_object_get(o, part);
        way += n + (way[n] == '/');
    }
    return o ? json_object_get_string(o) : "null";
}

static int setup(void **unused)
{
    (void)unused;
    double_quorate = true;
    double_reset();
    return 0;
}

static void rubbish_is_refused_with_a_reason(void **unused)
{
    static const struct {
        const char *text;
        int rc;
        const char *says;
    } cases[] = {
        {"", RC_BAD_INPUT, "0 bytes"},
        {"{", RC_BAD_INPUT, "no JSON object"},
        {"[]", RC_BAD_INPUT, "not an object"},
        {"{} {}", RC_BAD_INPUT, "no JSON object"},
        {"{\"a\":\"\xff\"}", RC_BAD_INPUT, "no JSON object"},
        {"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", RC_BAD_INPUT, "no JSON object"},
        {"{}", RC_USAGE, "version"},
        {"{\"v\":2,\"command\":\"status\"}", RC_USAGE, "version"},
        {"{\"v\":1}", RC_USAGE, "no command"},
        {"{\"v\":1,\"command\":7}", RC_USAGE, "no command"},
        {"{\"v\":1,\"command\":\"frobnicate\"}", RC_USAGE, "knows no command 'frobnicate'"},
        {"{\"v\":1,\"command\":\"status\",\"args\":[]}", RC_USAGE, "is no object"},
        {"{\"v\":1,\"command\":\"status\",\"args\":{\"x\":1}}", RC_USAGE, "has no argument 'x'"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ask(cases[i].text), cases[i].rc);
        if (strstr(at("error/message"), cases[i].says) == NULL) {
            fail_msg("%s: '%s'", cases[i].text, at("error/message"));
        }
        assert_string_equal(at("error/code"), rc_key(cases[i].rc));
    }
    assert_int_equal(double_event.kind, EV_NONE);
}

static void arguments_are_checked_by_their_kind(void **unused)
{
    static const struct {
        const char *command, *args;
        int rc;
        const char *says;
    } cases[] = {
        {"vm show", "", RC_USAGE, "argument 'vm' of 'vm show' is missing"},
        {"vm show", "\"vm\":7", RC_USAGE, "is no name"},
        {"vm show", "\"vm\":\"../x\"", RC_USAGE, "is no name"},
        {"vm show", "\"vm\":\"a\\u0000b\"", RC_USAGE, "is no name"},
        {"vm show", "\"vm\":\"nobody\"", RC_NOT_FOUND, "no VM 'nobody'"},
        {"vm start", "\"vm\":\"web1\",\"node\":\"node9\"", RC_NOT_FOUND, "no node 'node9'"},
        {"vm stop", "\"vm\":\"web1\",\"force\":\"yes\"", RC_USAGE, "neither true nor false"},
        {"vm stop", "\"vm\":\"web1\",\"force\":true,\"save\":true", RC_USAGE, "not both"},
        {"vm migrate", "\"vm\":\"web1\",\"mode\":\"warm\"", RC_USAGE, "none of live|quick"},
        {"vm migrate", "\"vm\":\"web1\",\"mode\":\"\"", RC_USAGE, "none of live|quick"},
        {"vm migrate", "\"vm\":\"web1\",\"mode\":\"liv\"", RC_USAGE, "none of live|quick"},
        {"vm set", "\"vm\":\"web1\",\"set\":{\"k\":{}}", RC_USAGE, "no text"},
        {"vm set", "\"vm\":\"web1\",\"set\":{\"a b\":\"c\"}", RC_USAGE, "a key that is none"},
        {"vm add", "\"xml\":\"<domain/>\"", RC_REFUSED, "type"},
        {"vm add", "\"xml\":\"\\u0000\"", RC_BAD_INPUT, "NUL"},
        {"volume add", "\"volume\":\"v\",\"type\":\"nfs\",\"source\":\"/x\"", RC_USAGE, "none of directory"},
        {"volume add", "\"volume\":\"v\",\"type\":\"directory\",\"source\":\"/a/../b\"", RC_USAGE,
         "no clean"},
        {"volume add", "\"volume\":\"v\",\"type\":\"directory\",\"source\":\"/a\\n\"", RC_USAGE, "control"},
        {"fence add", "\"fence\":\"f\",\"agent\":\"/bin/sh\",\"nodes\":[\"node1\"]", RC_USAGE,
         "no fence agent"},
        {"fence add", "\"fence\":\"f\",\"agent\":\"fence_/../sh\",\"nodes\":[\"node1\"]", RC_USAGE,
         "no fence agent"},
        {"fence add", "\"fence\":\"f\",\"agent\":\"fence_x\",\"nodes\":[]", RC_USAGE, "1 to 64 nodes"},
        {"fence add", "\"fence\":\"f\",\"agent\":\"fence_x\",\"nodes\":[\"node9\"]", RC_NOT_FOUND, "'node9'"},
        {"fence add", "\"fence\":\"f\",\"agent\":\"fence_x\",\"nodes\":[\"node1\"],\"level\":10", RC_USAGE,
         "1 to 9"},
        {"ops show", "\"op\":-1", RC_USAGE, "whole number"},
        {"ops show", "\"op\":\"12x\"", RC_USAGE, "whole number"},
        {"ops show", "\"op\":\"99999\"", RC_NOT_FOUND, "no operation 99999"},
        {"events", "\"node\":\"nowhere\"", RC_NOT_FOUND, "no node"},
        {"node drain", "\"node\":\"node1\",\"blocked\":\"never\"", RC_USAGE, "none of wait|quick|shutdown"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = command(cases[i].command, cases[i].args);

        if (rc != cases[i].rc || strstr(at("error/message"), cases[i].says) == NULL) {
            fail_msg("%s {%s}: %d '%s'", cases[i].command, cases[i].args, rc, at("error/message"));
        }
    }
    assert_int_equal(double_event.kind, EV_NONE);
}

#define DOMAIN(name)                                                                                         \
    "<domain type='kvm'><name>" name "</name><uuid>00000000-0000-0000-0000-000000000002</uuid>"              \
    "<memory unit='MiB'>256</memory><vcpu>2</vcpu><devices><disk type='file'><driver cache='none'/>"         \
    "<source file='/var/lib/clusterd/volumes/vol1/" name ".img'/></disk>"                                    \
    "<interface type='bridge'><source bridge='br0'/></interface></devices></domain>"

static void commands_become_events(void **unused)
{
    (void)unused;
    assert_int_equal(
        command("vm add", "\"xml\":\"" DOMAIN("web2") "\",\"set\":{\"priority\":\"high\"},\"start\":true"),
        COMMAND_DEFERRED);
    assert_int_equal(double_event.kind, EV_CMD_VM_ADD);
    assert_string_equal(double_event.subject, "web2");
    assert_string_equal(double_event.by, "root@node1");
    assert_string_equal(event_get(&double_event, "memory_mib"), "256");
    assert_string_equal(event_get(&double_event, "cpus"), "2");
    assert_string_equal(event_get(&double_event, "disk"), "/var/lib/clusterd/volumes/vol1/web2.img");
    assert_string_equal(event_get(&double_event, "network"), "bridge:br0");
    assert_string_equal(event_get(&double_event, "priority"), "high");
    assert_string_equal(event_get(&double_event, "start"), "1");
    assert_non_null(strstr(double_event.text, "<name>web2</name>"));
    assert_int_equal(double_applied.rc, 0);
    assert_non_null(state_vm(double_state(), "web2"));

    assert_int_equal(command("vm migrate", "\"vm\":\"web1\",\"to\":\"node3\",\"mode\":\"quick\""),
                     COMMAND_DEFERRED);
    assert_int_equal(double_event.kind, EV_CMD_VM_MIGRATE);
    assert_int_equal(double_event.to, 3);
    assert_string_equal(event_get(&double_event, "mode"), "quick");

    assert_int_equal(command("vm stop", "\"vm\":\"web1\",\"force\":true"), COMMAND_DEFERRED);
    assert_int_equal(double_event.flags, EVF_FORCE);

    assert_int_equal(command("fence add",
                             "\"fence\":\"f\",\"agent\":\"fence_x\",\"nodes\":[\"node1\",\"node3\"],"
                             "\"level\":\"2\",\"set\":{\"ip\":\"::1\"}"),
                     COMMAND_DEFERRED);
    assert_string_equal(event_get(&double_event, "nodes"), "1,3");
    assert_int_equal(double_event.num, 2);
    assert_string_equal(event_get(&double_event, "param.ip"), "::1");

    assert_int_equal(command("node drain", "\"node\":\"node2\",\"blocked\":\"shutdown\""), COMMAND_DEFERRED);
    assert_int_equal(double_event.node, 2);
    assert_string_equal(event_get(&double_event, "blocked"), "shutdown");
}

static void pairs_cannot_smuggle_what_the_domain_says(void **unused)
{
    (void)unused;
    assert_int_equal(command("vm add", "\"xml\":\"" DOMAIN("web2") "\",\"set\":{\"disk\":\"/etc/shadow\"}"),
                     RC_USAGE);
    assert_non_null(strstr(at("error/message"), "'disk' is no setting of a VM"));
    assert_int_equal(command("vm add", "\"xml\":\"" DOMAIN("web2") "\",\"set\":{\"start\":\"1\"}"), RC_USAGE);
    assert_int_equal(double_event.kind, EV_NONE);
}

static void two_vms_may_not_write_to_one_image(void **unused)
{
    (void)unused;
    assert_int_equal(command("vm add", "\"xml\":\"" DOMAIN("web1") "\",\"name\":\"web9\""), RC_REFUSED);
    assert_non_null(strstr(at("error/message"), "is a disk of VM 'web1' already"));
}

static void documents_have_the_contracts_members(void **unused)
{
    (void)unused;
    assert_int_equal(command("status", ""), 0);
    assert_string_equal(at("result/cluster/name"), "double");
    assert_string_equal(at("result/cluster/quorate"), "true");
    assert_string_equal(at("result/cluster/armed"), "true");
    assert_string_equal(at("result/nodes/0/name"), "node1");
    assert_string_equal(at("result/nodes/0/state"), "online");
    assert_string_equal(at("result/nodes/0/mode"), "active");
    assert_string_equal(at("result/nodes/0/memory_used_mib"), "640");
    assert_string_equal(at("result/nodes/0/vms"), "1");
    assert_string_equal(at("result/vms/0/name"), "web1");
    assert_string_equal(at("result/vms/0/state"), "running");
    assert_string_equal(at("result/vms/0/node"), "node1");
    assert_string_equal(at("result/vms/0/owner"), "node1");
    assert_string_equal(at("result/vms/0/wanted"), "running");
    assert_string_equal(at("result/vms/0/priority"), "medium");
    assert_string_equal(at("result/vms/0/operation"), "null");
    assert_string_equal(at("result/vms/0/error"), "null");
    assert_string_equal(at("result/volumes/0/path"), "/var/lib/clusterd/volumes/vol1");
    assert_string_equal(at("result/volumes/0/state"), "online");
    assert_string_equal(at("result/volumes/0/nodes/2"), "node3");
    assert_int_equal(command("fence list", ""), 0);
    assert_string_equal(at("result/fences/0/parameters/password"), "********");
    assert_int_equal(command("fence list", "\"secrets\":true"), 0);
    assert_string_equal(at("result/fences/0/parameters/password"), "secret");
    assert_int_equal(command("events", ""), 0);
    assert_string_equal(at("result/events/0/index"), "9");
    assert_string_equal(at("result/events/0/time"), "1970-01-01T00:00:00.001Z");
    assert_string_equal(at("result/events/0/node"), "null");
}

static void the_lost_come_first_in_a_status(void **unused)
{
    struct node *n = state_node(double_state(), 1);

    (void)unused;
    n->state = NODE_UNCLEAN;
    n->loss = 5;
    n->fence_tries = 2;
    (void)snprintf(n->error, sizeof n->error, "no answer");
    assert_int_equal(command("status", ""), 0);
    assert_string_equal(at("result/nodes/0/state"), "unclean");
    assert_string_equal(at("result/vms/0/state"), "unknown");
    assert_string_equal(
        at("result/problems/0/text"),
        "node 'node1' is lost: no fence device reaches it, so it waits for an operator; 1 VMs wait for "
        "that");
    assert_string_equal(at("result/problems/0/hint"),
                        "when its power is off for certain: clusterctl node confirm-down node1");
    double_quorate = false;
    assert_int_equal(command("status", ""), 0);
    assert_string_equal(at("result/cluster/quorate"), "false");
    assert_string_equal(at("result/cluster/coordinator"), "null");
    assert_string_equal(at("result/cluster/problem"), "1 of 3 votes, 2 are needed");
    assert_non_null(strstr(at("result/problems/0/text"), "no quorum: 1 of 3 votes"));
}

static void answers_carry_the_operation_or_the_reason(void **unused)
{
    struct command_ctx ctx = double_ctx();
    struct err err = ERR_INIT;

    (void)unused;
    assert_int_equal(command("vm migrate", "\"vm\":\"web1\""), COMMAND_DEFERRED);
    answer = command_answer(&ctx, 7, 0, NULL, double_applied.op);
    assert_string_equal(at("rc"), "0");
    assert_string_equal(at("result/operation/kind"), "live-migrate");
    assert_string_equal(at("result/operation/vm"), "web1");
    assert_string_equal(at("result/operation/from"), "node1");
    assert_string_equal(at("result/operation/state"), "queued");
    assert_string_equal(at("result/operation/by"), "root@node1");
    json_object_put(answer);
    (void)err_set(&err, RC_REFUSED, "it is \"so\"");
    err_hint(&err, "do that");
    answer = command_answer(&ctx, 7, RC_REFUSED, &err, 0);
    assert_string_equal(at("rc"), "-4");
    assert_string_equal(at("error/code"), "refused");
    assert_string_equal(at("error/message"), "it is \"so\"");
    assert_string_equal(at("error/hint"), "do that");
}

/* Whatever an agent printed, a document is clean UTF-8. */
static void garbage_of_agents_is_cleaned(void **unused)
{
    struct vm *vm = state_vm(double_state(), "web1");

    (void)unused;
    (void)snprintf(vm->error, sizeof vm->error,
                   "\xc3\xa4 \xff\xc3 \x1b[31m \xf0\x9f\x98\x80 \xed\xa0\x80 \xe2\x82");
    assert_int_equal(command("vm show", "\"vm\":\"web1\""), 0);
    assert_string_equal(at("result/error"), "\xc3\xa4 ?? ?[31m \xf0\x9f\x98\x80 ??? ??");
}

static void a_plan_is_what_would_be_done_and_changes_nothing(void **unused)
{
    struct hash before = state_digest(double_state());

    (void)unused;
    assert_int_equal(command("vm migrate plan", "\"vms\":[\"web1\",\"nobody\"]"), 0);
    assert_string_equal(at("result/plan/0/vm"), "nobody");
    assert_string_equal(at("result/plan/0/refused"), "true");
    assert_string_equal(at("result/plan/1/vm"), "web1");
    assert_string_equal(at("result/plan/1/from"), "node1");
    assert_string_equal(at("result/plan/1/to"), "node2");
    assert_string_equal(at("result/plan/1/how"), "live-migrate");
    assert_int_equal(command("node drain plan", "\"nodes\":[\"node1\",\"node2\"],\"mode\":\"quick\""), 0);
    assert_string_equal(at("result/plan/0/to"), "node3");
    assert_string_equal(at("result/plan/0/how"), "quick-migrate");
    assert_int_equal(command("node drain plan", "\"nodes\":[\"node1\",\"node2\",\"node3\"]"), 0);
    assert_string_equal(at("result/plan/0/refused"), "true");
    assert_int_equal(command("node drain plan", "\"nodes\":[\"node1\",\"node1\"]"), RC_REFUSED);
    assert_true(hash_eq(before, state_digest(double_state())));
    assert_int_equal(double_event.kind, EV_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(rubbish_is_refused_with_a_reason, setup),
        cmocka_unit_test_setup(arguments_are_checked_by_their_kind, setup),
        cmocka_unit_test_setup(commands_become_events, setup),
        cmocka_unit_test_setup(pairs_cannot_smuggle_what_the_domain_says, setup),
        cmocka_unit_test_setup(two_vms_may_not_write_to_one_image, setup),
        cmocka_unit_test_setup(documents_have_the_contracts_members, setup),
        cmocka_unit_test_setup(the_lost_come_first_in_a_status, setup),
        cmocka_unit_test_setup(answers_carry_the_operation_or_the_reason, setup),
        cmocka_unit_test_setup(garbage_of_agents_is_cleaned, setup),
        cmocka_unit_test_setup(a_plan_is_what_would_be_done_and_changes_nothing, setup),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    json_object_put(answer);
    double_fini();
    return rc;
}
