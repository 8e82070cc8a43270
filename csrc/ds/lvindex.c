#include "ds/lvindex.h"

#include <string.h>

#include "base/check.h"

ckv_lvindex ckv_lvindex_init(ckv_alloc a, uint32_t secret)
{
    return (ckv_lvindex){.places = ckv_hmap_init(a, secret)};
}

void ckv_lvindex_fini(ckv_lvindex *x)
{
    for (size_t k = 0; k < CKV_LVINDEX_LEVELS; k++) {
        ckv_release(x->places.a, x->bits[k], x->words[k] * 8);
        x->bits[k] = NULL;
        x->words[k] = 0;
    }
    ckv_hmap_fini(&x->places);
}

ckv_status ckv_lvindex_reserve(ckv_lvindex *x, uint32_t items, size_t n)
{
    CKV_TRY(ckv_hmap_reserve(&x->places, n));
    if (CKV_LIKELY(items <= x->words[0] * 64)) return CKV_OK;
    size_t want[CKV_LVINDEX_LEVELS];
    want[0] = ((size_t)items + 63) / 64;
    for (size_t k = 1; k < CKV_LVINDEX_LEVELS; k++)
        want[k] = (2 * want[k - 1] + 63) / 64; /* level 0 may double */
    for (size_t k = CKV_LVINDEX_LEVELS;
         k-- > 0;) { /* level 0 last: its size says that all have room */
        if (want[k] <= x->words[k]) continue;
        void *p = x->bits[k];
        size_t cap = x->words[k];
        CKV_TRY(ckv_grow(x->places.a, &p, &cap, want[k], 8));
        x->bits[k] = p;
        memset(x->bits[k] + x->words[k], 0, (cap - x->words[k]) * 8);
        x->words[k] = cap;
    }
    return CKV_OK;
}

void ckv_lvindex_set(ckv_lvindex *x, uint32_t start, uint32_t place)
{
    ckv_hmap_set(&x->places, start, place);
    uint32_t i = start;
    for (size_t k = 0; k < CKV_LVINDEX_LEVELS; k++, i >>= 6) {
        const uint64_t old = x->bits[k][i >> 6];
        x->bits[k][i >> 6] = old | 1ull << (i & 63);
        if (old) return; /* I2 held before */
    }
}

void ckv_lvindex_remove(ckv_lvindex *x, uint32_t start)
{
    ckv_hmap_remove(&x->places, start, ckv_hmap_get(&x->places, start));
    uint32_t i = start;
    for (size_t k = 0; k < CKV_LVINDEX_LEVELS; k++, i >>= 6) {
        if (x->bits[k][i >> 6] &= ~(1ull << (i & 63))) return;
    }
}

/* The greatest set bit at or below i in level k, as *i. False: none. */
static bool before(const ckv_lvindex *x, size_t k, uint32_t *i)
{
    for (;; k++) {
        if (k == CKV_LVINDEX_LEVELS || x->words[k] == 0) return false;
        size_t word = *i >> 6;
        uint64_t w = 0;
        if (word < x->words[k]) {
            w = x->bits[k][word] & (~0ull >> (63 - (*i & 63)));
        }
        if (w) {
            uint32_t at = (uint32_t)(word << 6) + 63 - (uint32_t)__builtin_clzll(w);
            while (k-- > 0) at = (at << 6) + 63 - (uint32_t)__builtin_clzll(x->bits[k][at]);
            *i = at;
            return true;
        }
        if (word == 0) return false;
        *i = (uint32_t)word - 1;
    }
}

uint32_t ckv_lvindex_find(const ckv_lvindex *x, uint32_t item, uint32_t *start)
{
    if (!before(x, 0, &item)) return CKV_HMAP_NONE;
    *start = item;
    return ckv_hmap_get(&x->places, item);
}

size_t ckv_lvindex_bytes(const ckv_lvindex *x)
{
    size_t n = x->places.cap * sizeof *x->places.slots;
    for (size_t k = 0; k < CKV_LVINDEX_LEVELS; k++) n += x->words[k] * 8;
    return n;
}

bool ckv_lvindex_check(const ckv_lvindex *x, const char **why)
{
    if (!ckv_hmap_check(&x->places, why)) return false;
    *why = "lvindex I1";
    size_t n = 0;
    for (size_t w = 0; w < x->words[0]; w++) {
        for (uint64_t b = x->bits[0][w]; b; b &= b - 1, n++) {
            if (ckv_hmap_get(&x->places, (uint32_t)(w * 64 + (size_t)__builtin_ctzll(b))) ==
                CKV_HMAP_NONE)
                return false;
        }
    }
    if (n != x->places.n) return false;
    *why = "lvindex I2";
    for (size_t k = 0; k + 1 < CKV_LVINDEX_LEVELS; k++) {
        for (size_t w = 0; w < x->words[k]; w++) {
            const bool up = w / 64 < x->words[k + 1] && (x->bits[k + 1][w / 64] >> (w % 64) & 1);
            if (up != (x->bits[k][w] != 0)) return false;
        }
    }
    return true;
}
