/* vec.h -- a typed growable array, one macro per element type. All-zero plus an allocator is a valid empty one.
 *
 *     CKV_VEC(ckv_spans, ckv_span)   makes the type ckv_spans {a, ptr, len, cap} and its functions
 */
#ifndef CKV_DS_VEC_H
#define CKV_DS_VEC_H

#include "base/alloc.h"
#include "base/check.h"

/* A .c file that makes a vector need not call all of it: clang would warn. */
#define CKV_MADE __attribute__((unused))

#define CKV_VEC(name, T)                                                                           \
    typedef struct name {                                                                          \
        ckv_alloc a;                                                                               \
        T *ptr; /* owned */                                                                        \
        size_t len, cap;                                                                           \
    } name;                                                                                        \
    CKV_MADE static inline void name##_fini(name *v)                                               \
    {                                                                                              \
        ckv_release(v->a, v->ptr, v->cap * sizeof(T));                                             \
        *v = (name){.a = v->a};                                                                    \
    }                                                                                              \
    /* Room for n more. */                                                                         \
    CKV_NODISCARD CKV_MADE static inline ckv_status name##_reserve(name *v, size_t n)              \
    {                                                                                              \
        if (CKV_LIKELY(v->cap - v->len >= n)) return CKV_OK;                                       \
        if (n > SIZE_MAX / 2 - v->len) return CKV_ELIMIT;                                          \
        void *p = v->ptr;                                                                          \
        const ckv_status s = ckv_grow(v->a, &p, &v->cap, v->len + n, sizeof(T));                   \
        v->ptr = p;                                                                                \
        return s;                                                                                  \
    }                                                                                              \
    /* Room was reserved. */                                                                       \
    CKV_MADE static inline void name##_put(name *v, T item) { v->ptr[v->len++] = item; }           \
    CKV_NODISCARD CKV_MADE static inline ckv_status name##_push(name *v, T item)                   \
    {                                                                                              \
        CKV_TRY(name##_reserve(v, 1));                                                             \
        v->ptr[v->len++] = item;                                                                   \
        return CKV_OK;                                                                             \
    }                                                                                              \
    CKV_MADE static inline T *name##_last(name *v) { return v->len ? &v->ptr[v->len - 1] : NULL; } \
    struct name##_needs_semicolon

CKV_VEC(ckv_u32s, uint32_t);

/* *out: the last i in [0, n) whose `key`, an expression in i that ascends, is <= v; the first one is. Gallops from the end, since what came
 * lately is asked for most. */
#define CKV_SEEK(out, n, key, v)                                                                   \
    do {                                                                                           \
        size_t hi_ = (n), i = hi_ - 1, lo_;                                                        \
        CKV_ASSERT(hi_ > 0);                                                                       \
        for (size_t step_ = 1; i > 0 && (key) > (v); step_ *= 2) {                                 \
            hi_ = i;                                                                               \
            i = i > step_ ? i - step_ : 0;                                                         \
        }                                                                                          \
        for (lo_ = i; hi_ - lo_ > 1;) {                                                            \
            i = lo_ + (hi_ - lo_) / 2;                                                             \
            if ((key) <= (v))                                                                      \
                lo_ = i;                                                                           \
            else                                                                                   \
                hi_ = i;                                                                           \
        }                                                                                          \
        *(out) = lo_;                                                                              \
    } while (0)

#endif
