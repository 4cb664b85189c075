/* unit: cmocka with the headers it needs first. */
#ifndef PGH_TESTS_UNIT_H
#define PGH_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/str.h"

#define assert_str(actual, literal)                                                                \
    do {                                                                                           \
        struct str assert_str_ = (actual);                                                         \
        assert_int_equal(assert_str_.n, strlen(literal));                                          \
        assert_memory_equal(assert_str_.p, literal, assert_str_.n);                                \
    } while (0)

#endif
