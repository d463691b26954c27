#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/hash.h"
#include "common/rc.h"

static void codec_round_trip(void **unused)
{
    struct buf b = BUF_INIT;
    struct rd r;
    char s[8], *d;

    (void)unused;
    buf_u8(&b, 7);
    buf_u16(&b, 65535);
    buf_u32(&b, 0xdeadbeef);
    buf_u64(&b, 0x0123456789abcdefULL);
    buf_str(&b, "short");
    buf_str(&b, NULL);
    assert_false(b.failed);
    rd_init(&r, b.data, b.len);
    assert_int_equal(rd_u8(&r), 7);
    assert_int_equal(rd_u16(&r), 65535);
    assert_int_equal(rd_u32(&r), 0xdeadbeef);
    assert_true(rd_u64(&r) == 0x0123456789abcdefULL);
    rd_str(&r, s, sizeof s);
    assert_string_equal(s, "short");
    d = rd_strdup(&r, 10);
    assert_string_equal(d, "");
    free(d);
    assert_true(rd_done(&r));
    buf_fini(&b);
}

static void reader_never_runs_past_its_end(void **unused)
{
    static const uint8_t lying[] = {0xff, 0xff, 0xff, 0x7f, 'x'};
    struct rd r;
    size_t len;
    char s[3];

    (void)unused;
    rd_init(&r, lying, sizeof lying);
    assert_null(rd_blob(&r, &len));
    assert_true(r.bad);
    assert_int_equal(rd_u64(&r), 0);
    rd_init(&r, "\3\0\0\0abc", 7);
    rd_str(&r, s, sizeof s); /* does not fit with its NUL */
    assert_true(r.bad);
    rd_init(&r, "\2\0\0\0a\0", 6);
    assert_null(rd_strdup(&r, 10)); /* NUL inside */
}

static void hash_depends_on_every_byte_and_on_the_seed(void **unused)
{
    const struct hash zero = {0, 0};
    struct hash a = hash_bytes(zero, "abcdefghi", 9);
    char hex[33];

    (void)unused;
    for (int i = 0; i < 9; i++) {
        char t[10] = "abcdefghi";
        t[i] ^= 1;
        assert_false(hash_eq(a, hash_bytes(zero, t, 9)));
    }
    assert_false(hash_eq(a, hash_bytes(a, "abcdefghi", 9)));
    assert_true(hash_eq(a, hash_bytes(zero, "abcdefghi", 9)));
    hash_hex(a, hex);
    assert_string_equal(hex, "12f919d54e1915eded7e63c7e6f72bbc"); /* it stands in journals */
}

static void errors_carry_code_context_and_hint(void **unused)
{
    struct err e = ERR_INIT;

    (void)unused;
    assert_int_equal(err_set(&e, RC_REFUSED, "node '%s' is drained", "n2"), RC_REFUSED);
    err_wrap(&e, "cannot migrate VM '%s'", "web1");
    err_hint(&e, "resume it");
    assert_string_equal(e.msg, "cannot migrate VM 'web1': node 'n2' is drained");
    assert_string_equal(e.hint, "resume it");
    assert_int_equal(err_set(NULL, RC_IO, "x"), RC_IO);
    assert_string_equal(rc_key(RC_NO_QUORUM), "no-quorum");
    assert_int_equal(rc_exit_status(RC_NO_QUORUM), 5);
    assert_int_equal(rc_from_key("refused"), RC_REFUSED);
    assert_string_equal(rc_key(-99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codec_round_trip),
        cmocka_unit_test(reader_never_runs_past_its_end),
        cmocka_unit_test(hash_depends_on_every_byte_and_on_the_seed),
        cmocka_unit_test(errors_carry_code_context_and_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
