/* check.h -- assertions. CKV_ASSERT is cheap and stays on in release where memory safety rests on it;
 * CKV_PARANOID may cost O(n) and exists in debug builds only. Their expressions have no effects.
 */
#ifndef CKV_BASE_CHECK_H
#define CKV_BASE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CKV_ASSERT(e)                                                                              \
    do {                                                                                           \
        if (__builtin_expect(!(e), 0)) {                                                           \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #e);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Does something that cannot fail here, and insists. Unlike an assertion it has effects, and is always done. */
#define CKV_MUST(e) CKV_ASSERT(e)

#ifdef CKV_DEBUG
#define CKV_PARANOID(e) CKV_ASSERT(e)
#else
#define CKV_PARANOID(e) ((void)0)
#endif

#define CKV_LIKELY(e)   __builtin_expect(!!(e), 1)
#define CKV_UNLIKELY(e) __builtin_expect(!!(e), 0)

#endif
