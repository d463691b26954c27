/* fuzz.h - the one entry of every fuzzer: libFuzzer's with --enable-fuzzers, else replay.c's. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
