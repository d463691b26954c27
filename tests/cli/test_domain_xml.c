#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/domain_xml.h"
#include "common/rc.h"

#define VOLUMES "/var/lib/clusterd/volumes"
#define HEAD    "<domain type='kvm'>\n<name>web1</name>\n<uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\n"
#define MEMORY  "<memory unit='MiB'>256</memory>\n"
#define DISK(path, cache)                                                                                    \
    "<devices><disk type='file'><driver name='qemu' type='raw' cache='" cache "'/><source file='" path       \
    "'/></disk></devices>"

static struct domain d;
static struct err err;

static int parse_named(const char *xml, const char *name)
{
    memset(&err, 0, sizeof err);
    return domain_parse(&d, xml, strlen(xml), name, VOLUMES, &err);
}

static int parse(const char *xml)
{
    return parse_named(xml, NULL);
}

/* The refusal's code, and a piece of what it says. */
static void refused(const char *xml, int rc, const char *msg, const char *hint)
{
    assert_int_equal(parse(xml), rc);
    assert_int_equal(err.rc, rc);
    if (strstr(err.msg, msg) == NULL || strstr(err.hint, hint) == NULL) {
        fail_msg("said '%s', hint '%s'; expected '%s' and '%s'", err.msg, err.hint, msg, hint);
    }
}

static void reads_what_the_cluster_needs(void **unused)
{
    static const char xml[] = HEAD MEMORY
        "<currentMemory unit='MiB'>128</currentMemory><vcpu current='1'>2</vcpu>"
        "<cpu mode='custom'><model>Nehalem</model></cpu><devices>"
        "<disk type='file'><driver cache='none'/><source file='" VOLUMES "/vol1/web1.img'/></disk>"
        "<disk type='file' device='cdrom'><source file='" VOLUMES "/vol2/cd.iso'/></disk>"
        "<disk type='file' device='cdrom'/>"
        "<interface type='network'><source network='default'/></interface>"
        "<interface type='network'><source network='default'/></interface>"
        "<interface type='bridge'><source bridge='br0'/></interface><interface type='user'/>"
        "</devices></domain>";
    static const char *const both[] = {"vol2", "vol1"}, *const one[] = {"vol1"};

    (void)unused;
    assert_int_equal(parse(xml), 0);
    assert_string_equal(d.name, "web1");
    assert_string_equal(d.uuid, "6695eb01-f6a4-8304-79aa-97f2502e193f");
    assert_int_equal(d.memory_mib, 256);
    assert_int_equal(d.cpus, 2);
    assert_string_equal(d.cpu_model, "Nehalem");
    assert_int_equal(d.disks, 2);
    assert_string_equal(d.disk[0].path, VOLUMES "/vol1/web1.img");
    assert_true(d.disk[0].writable);
    assert_false(d.disk[1].writable);
    assert_int_equal(d.networks, 2);
    assert_string_equal(d.network[0], "network:default");
    assert_string_equal(d.network[1], "bridge:br0");
    assert_string_equal(d.xml, xml);
    assert_int_equal(domain_check_volumes(&d, VOLUMES, both, 2, &err), 0);
    assert_int_equal(domain_check_volumes(&d, VOLUMES, one, 1, &err), RC_REFUSED);
    assert_non_null(strstr(err.msg, "'vol2'"));
    domain_fini(&d);
}

static void memory_has_units_and_is_rounded_up(void **unused)
{
    static const struct {
        const char *xml;
        uint64_t mib;
    } cases[] = {
        {"<memory>1048576</memory>", 1024},           {"<memory unit='b'>1048577</memory>", 2},
        {"<memory unit='GiB'> 2 </memory>", 2048},    {"<memory unit='MB'>1</memory>", 1},
        {"<memory unit='TiB'>64</memory>", 67108864}, {"<currentMemory unit='M'>7</currentMemory>", 7},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char xml[512] = HEAD;

        strncat(xml, cases[i].xml, 200);
        strncat(xml, "</domain>", 10);
        assert_int_equal(parse(xml), 0);
        assert_int_equal(d.memory_mib, cases[i].mib);
        domain_fini(&d);
    }
    refused(HEAD "<memory unit='TiB'>65</memory></domain>", RC_BAD_INPUT, "line 4", "");
    refused(HEAD "<memory unit='GiB'>18446744073709551615</memory></domain>", RC_BAD_INPUT, "64 TiB", "");
    refused(HEAD "<memory>0</memory></domain>", RC_BAD_INPUT, "no whole number", "");
    refused(HEAD "<memory>-1</memory></domain>", RC_BAD_INPUT, "no whole number", "");
    refused(HEAD "<memory unit='furlong'>1</memory></domain>", RC_BAD_INPUT, "unit", "MiB");
    refused(HEAD "</domain>", RC_BAD_INPUT, "nothing of the VM's memory", "<memory");
}

static void a_missing_uuid_is_drawn_and_kept(void **unused)
{
    char first[40];

    (void)unused;
    assert_int_equal(parse("<domain type='kvm'><name>a</name><memory>1024</memory></domain>"), 0);
    memcpy(first, d.uuid, sizeof first);
    assert_non_null(strstr(d.xml, first));
    domain_fini(&d);
    assert_int_equal(parse("<domain type='kvm'><name>a</name><memory>1024</memory></domain>"), 0);
    assert_string_not_equal(first, d.uuid);
    domain_fini(&d);
    assert_int_equal(parse("<domain type='kvm'><name>a</name><uuid>6695EB01F6A4830479aa97f2502e193f</uuid>"
                           "<memory>1024</memory></domain>"),
                     0);
    assert_string_equal(d.uuid, "6695eb01-f6a4-8304-79aa-97f2502e193f");
    domain_fini(&d);
    refused("<domain type='kvm'><name>a</name><uuid>6695eb01</uuid><memory>1</memory></domain>", RC_BAD_INPUT,
            "no UUID", "leave the element out");
}

static void a_name_may_be_given_from_outside(void **unused)
{
    (void)unused;
    assert_int_equal(parse_named(HEAD MEMORY "</domain>", "web2"), 0);
    assert_string_equal(d.name, "web2");
    assert_non_null(strstr(d.xml, "<name>web2</name>"));
    assert_null(strstr(d.xml, "web1"));
    domain_fini(&d);
    assert_int_equal(parse_named("<domain type='kvm'>" MEMORY "</domain>", "web3"), 0);
    assert_non_null(strstr(d.xml, "<name>web3</name>"));
    domain_fini(&d);
    assert_int_equal(parse_named(HEAD MEMORY "</domain>", "../x"), RC_BAD_INPUT);
    refused("<domain type='kvm'>" MEMORY "</domain>", RC_BAD_INPUT, "no <name>", "--name");
    refused("<domain type='kvm'><name>a b</name>" MEMORY "</domain>", RC_BAD_INPUT, "name", "--name");
    refused("<domain type='kvm'><name>"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</name>" MEMORY "</domain>",
            RC_BAD_INPUT, "name", "63");
}

static void malformed_text_is_refused_with_its_line(void **unused)
{
    static char big[EVENT_TEXT_MAX + 2];

    (void)unused;
    refused(HEAD "<memory>\n</domain>", RC_BAD_INPUT, "malformed: line 5", "xmllint");
    refused("", RC_BAD_INPUT, "empty", "");
    refused("no xml", RC_BAD_INPUT, "line 1", "");
    refused("<network/>", RC_BAD_INPUT, "<domain>", "virsh dumpxml");
    refused("<domain type='xen'><name>a</name>" MEMORY "</domain>", RC_REFUSED, "'kvm' nor 'qemu'", "");
    refused("<!DOCTYPE domain [<!ENTITY x 'y'>]>" HEAD MEMORY "</domain>", RC_BAD_INPUT, "DOCTYPE", "remove");
    refused("<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>" HEAD MEMORY "</domain>", RC_BAD_INPUT, "DOCTYPE",
            "");
    memset(big, ' ', sizeof big - 1);
    refused(big, RC_BAD_INPUT, "49153 bytes, at most 49152", "");
    assert_int_equal(domain_parse(&d, "<a>\0</a>", 8, NULL, VOLUMES, &err), RC_BAD_INPUT);
}

static void disks_must_lie_on_shared_volumes(void **unused)
{
    (void)unused;
    refused(HEAD MEMORY DISK("/var/lib/libvirt/images/x.img", "none") "</domain>", RC_REFUSED,
            "line 5 of the domain XML: disk '/var/lib/libvirt/images/x.img' is on no shared volume", VOLUMES);
    refused(HEAD MEMORY DISK(VOLUMES "/vol1/../../x", "none") "</domain>", RC_REFUSED, "no shared volume",
            "");
    refused(HEAD MEMORY DISK(VOLUMES "/vol1//x", "none") "</domain>", RC_REFUSED, "no shared volume", "");
    refused(HEAD MEMORY DISK(VOLUMES "/vol1/", "none") "</domain>", RC_REFUSED, "no shared volume", "");
    refused(HEAD MEMORY DISK(VOLUMES "/vol1", "none") "</domain>", RC_REFUSED, "no shared volume", "");
    refused(HEAD MEMORY DISK(VOLUMES "x/vol1/a", "none") "</domain>", RC_REFUSED, "no shared volume", "");
    refused(HEAD MEMORY "<devices><disk type='network'><source protocol='rbd'/></disk></devices></domain>",
            RC_REFUSED, "neither a file nor a block device", "<disk type='file'>");
    refused(HEAD MEMORY "<devices><disk type='file'/></devices></domain>", RC_BAD_INPUT, "without a <source>",
            "");
    refused(HEAD MEMORY
            "<devices><disk type='file'><driver cache='none'/><source file='" VOLUMES
            "/v/a'/><backingStore><source file='/base'/></backingStore></disk></devices></domain>",
            RC_REFUSED, "the backing image '/base' is on no shared volume", "");
    refused(HEAD MEMORY "<os firmware='efi'><type>hvm</type></os></domain>", RC_REFUSED, "UEFI", "<nvram>");
}

/* C4 */
static void writes_must_not_linger_in_a_page_cache(void **unused)
{
    (void)unused;
    refused(HEAD MEMORY DISK(VOLUMES "/v/a", "writeback") "</domain>", RC_REFUSED, "cache mode 'writeback'",
            "cache='none'");
    refused(HEAD MEMORY DISK(VOLUMES "/v/a", "unsafe") "</domain>", RC_REFUSED, "'unsafe'", "cache='none'");
    refused(HEAD MEMORY "<devices><disk type='file'><source file='" VOLUMES
                        "/v/a'/></disk></devices></domain>",
            RC_REFUSED, "cache mode 'default'", "directsync");
    refused(HEAD MEMORY "<devices><disk type='file'><driver cache='none'/><source file='" VOLUMES
                        "/v/a'/><shareable/></disk></devices></domain>",
            RC_REFUSED, "<shareable/>", "image lock");
    assert_int_equal(parse(HEAD MEMORY DISK(VOLUMES "/v/a", "directsync") "</domain>"), 0);
    domain_fini(&d);
    assert_int_equal(parse(HEAD MEMORY "<devices><disk type='file'><source file='" VOLUMES
                                       "/v/a'/><readonly/></disk></devices></domain>"),
                     0);
    domain_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_cluster_needs),
        cmocka_unit_test(memory_has_units_and_is_rounded_up),
        cmocka_unit_test(a_missing_uuid_is_drawn_and_kept),
        cmocka_unit_test(a_name_may_be_given_from_outside),
        cmocka_unit_test(malformed_text_is_refused_with_its_line),
        cmocka_unit_test(disks_must_lie_on_shared_volumes),
        cmocka_unit_test(writes_must_not_linger_in_a_page_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
