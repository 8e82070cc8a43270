/* nested_twin.h -- nested values as docs/format.md has them, read without haste: calls itself, and compares each key with all before it. */
#ifndef CKV_TEST_NESTED_TWIN_H
#define CKV_TEST_NESTED_TWIN_H

#include "base/utf8.h"
#include "log/nested.h"

static inline bool twin_is_text(const uint8_t *p, size_t n)
{
    size_t n_chars;
    uint32_t max;
    return ckv_utf8_valid(p, n, &n_chars, &max);
}

static inline bool twin_is_float(const uint8_t *p, size_t n)
{
    static const uint8_t nan[8] = {0, 0, 0, 0, 0, 0, 0xf8, 0x7f};
    const bool is_nan = n == 8 && (p[7] & 0x7f) == 0x7f && p[6] >= 0xf0 &&
                        (p[6] > 0xf0 || memcmp(p, "\0\0\0\0\0", 6) != 0);
    return n == 8 && (!is_nan || memcmp(p, nan, 8) == 0);
}

/* Keys, and where the values of a dict end. */
static inline bool twin_keys(ckv_rd dict)
{
    for (ckv_rd at = dict; ckv_rd_left(&at);) {
        size_t n, n_other, n_value;
        const uint8_t *const start = at.p, *const key = ckv_rd_blob(&at, &n);
        if (at.status != CKV_OK || !twin_is_text(key, n)) return false;
        for (ckv_rd other = dict; other.p < start;) {
            const uint8_t *p = ckv_rd_blob(&other, &n_other);
            if (n_other == n && memcmp(p, key, n) == 0) return false;
            (void)ckv_rd_varint(&other);
            (void)ckv_rd_blob(&other, &n_value);
        }
        (void)ckv_rd_varint(&at);
        (void)ckv_rd_blob(&at, &n_value);
        if (at.status != CKV_OK) return false;
    }
    return true;
}

static inline ckv_status twin_value(ckv_rd *r, unsigned depth)
{
    size_t n;
    const uint64_t tag = ckv_rd_varint(r);
    const uint8_t *const p = ckv_rd_blob(r, &n);
    if (r->status != CKV_OK) return CKV_ECORRUPT;
    ckv_rd in = ckv_rd_init(p, n);
    bool good = false;
    if (tag <= 2) good = n == 0;
    if (tag == 3) good = (ckv_rd_zigzag(&in), ckv_rd_done(&in));
    if (tag == 4) good = twin_is_float(p, n);
    if (tag == 5) good = twin_is_text(p, n);
    if (tag == 6) good = true;
    if (tag != 32 && tag != 33) return good ? CKV_OK : CKV_ECORRUPT;
    if (depth == 64) return CKV_ELIMIT;
    if (tag == 33 && !twin_keys(in)) return CKV_ECORRUPT;
    while (ckv_rd_left(&in)) {
        if (tag == 33) (void)ckv_rd_blob(&in, &n);
        CKV_TRY(twin_value(&in, depth + 1));
    }
    return CKV_OK;
}

#endif
