#include "datastore/filter.h"

#include "base/check.h"
#include "crypto/digest.h"

#define BITS_A_KEY 10u
#define PROBES     6u
#define LINE_BITS  (CKV_FILTER_LINE * 8)
#define COARSE     16u /* lines that are never halved */

uint64_t ckv_filter_hash(const uint8_t salt[16], ckv_store_key key)
{
    const uint64_t h = ckv_siphash(salt, key.ptr, key.n_bytes);
    return key.is_bytes ? h ^ 0x9e3779b97f4a7c15u : h;
}

static uint64_t lines_for(uint64_t n_keys)
{
    return n_keys / LINE_BITS * BITS_A_KEY + n_keys % LINE_BITS * BITS_A_KEY / LINE_BITS + 1;
}

ckv_status ckv_filter_new(ckv_filter *out, ckv_alloc a, uint64_t n_keys)
{
    uint64_t n = lines_for(n_keys);
    unsigned halvings = 0;
    while (n >> halvings >= 2 * COARSE) halvings++;
    n = ((n - 1) >> halvings) + 1;
    if (n > (uint64_t)(UINT32_MAX / CKV_FILTER_LINE) >> halvings) return CKV_ELIMIT;
    n <<= halvings;
    uint8_t *lines = ckv_resize(a, NULL, 0, (size_t)n * CKV_FILTER_LINE);
    if (!lines) return CKV_ENOMEM;
    memset(lines, 0, (size_t)n * CKV_FILTER_LINE);
    *out = (ckv_filter){lines, (uint32_t)n};
    return CKV_OK;
}

void ckv_filter_free(ckv_filter *f, ckv_alloc a)
{
    ckv_release(a, f->lines, (size_t)f->n_lines * CKV_FILTER_LINE);
    *f = (ckv_filter){NULL, 0};
}

/* The high half of the hash chooses the line: when lines 2i and 2i + 1 become one, keys are looked for in line i. */
static inline uint8_t *line_of(const ckv_filter *f, uint64_t hash)
{
    return f->lines + (size_t)(((hash >> 32) * f->n_lines) >> 32) * CKV_FILTER_LINE;
}

void ckv_filter_add(ckv_filter *f, uint64_t hash)
{
    uint8_t *line = line_of(f, hash);
    uint64_t bits = hash * 0x9e3779b97f4a7c15u;
    for (unsigned i = 0; i < PROBES; i++, bits >>= 9)
        line[bits % LINE_BITS / 8] |= (uint8_t)(1u << bits % 8);
}

bool ckv_filter_may_have(const ckv_filter *f, uint64_t hash)
{
    const uint8_t *line = line_of(f, hash);
    uint64_t bits = hash * 0x9e3779b97f4a7c15u;
    for (unsigned i = 0; i < PROBES; i++, bits >>= 9)
        if (!(line[bits % LINE_BITS / 8] & 1u << bits % 8)) return false;
    return true;
}

ckv_status ckv_filter_fold(ckv_filter *f, ckv_alloc a, uint64_t n_keys)
{
    const uint32_t before = f->n_lines;
    const uint64_t need = lines_for(n_keys);
    while (f->n_lines % 2 == 0 && f->n_lines / 2 >= need) {
        f->n_lines /= 2;
        for (uint32_t i = 0; i < f->n_lines; i++) {
            uint8_t *to = f->lines + (size_t)i * CKV_FILTER_LINE;
            const uint8_t *from = f->lines + (size_t)i * 2 * CKV_FILTER_LINE;
            for (uint32_t k = 0; k < CKV_FILTER_LINE; k++)
                to[k] = from[k] | from[k + CKV_FILTER_LINE];
        }
    }
    if (f->n_lines == before) return CKV_OK;
    uint8_t *less = ckv_resize(a, f->lines, (size_t)before * CKV_FILTER_LINE,
                               (size_t)f->n_lines * CKV_FILTER_LINE);
    if (!less) { /* so large it must be given back, too */
        f->n_lines = before;
        return CKV_ENOMEM;
    }
    f->lines = less;
    return CKV_OK;
}
