#include "ds/hmap.h"

#include <string.h>

#include "base/check.h"

void ckv_hmap_fini(ckv_hmap *m)
{
    ckv_release(m->a, m->slots, m->cap * sizeof *m->slots);
    *m = (ckv_hmap){.a = m->a, .secret = m->secret};
}

static void place(ckv_hmap *m, uint32_t key, uint32_t value)
{
    size_t i = ckv_hmap_home(m, key);
    while (m->slots[i].value != CKV_HMAP_NONE) i = (i + 1) & (m->cap - 1);
    m->slots[i] = (ckv_hslot){key, value};
    m->n++;
}

ckv_status ckv_hmap_reserve(ckv_hmap *m, size_t n)
{
    const size_t want = m->n + n;
    if (want * 2 <= m->cap) return CKV_OK;
    size_t cap = m->cap ? m->cap : 16;
    while (want * 2 > cap) {
        if (cap > SIZE_MAX / 4 / sizeof(ckv_hslot)) return CKV_ELIMIT;
        cap *= 2;
    }
    ckv_hslot *slots = ckv_resize(m->a, NULL, 0, cap * sizeof *slots);
    if (!slots) return CKV_ENOMEM;
    memset(slots, 0xff, cap * sizeof *slots);
    ckv_hmap bigger = {.a = m->a, .slots = slots, .cap = cap, .secret = m->secret};
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].value != CKV_HMAP_NONE) place(&bigger, m->slots[i].key, m->slots[i].value);
    }
    ckv_release(m->a, m->slots, m->cap * sizeof *m->slots);
    *m = bigger;
    return CKV_OK;
}

void ckv_hmap_set(ckv_hmap *m, uint32_t key, uint32_t value)
{
    CKV_ASSERT(value != CKV_HMAP_NONE && (m->n + 1) * 2 <= m->cap);
    size_t i = ckv_hmap_home(m, key);
    while (m->slots[i].value != CKV_HMAP_NONE) {
        if (m->slots[i].key == key) {
            m->slots[i].value = value;
            return;
        }
        i = (i + 1) & (m->cap - 1);
    }
    m->slots[i] = (ckv_hslot){key, value};
    m->n++;
}

void ckv_hmap_add(ckv_hmap *m, uint32_t key, uint32_t value)
{
    CKV_ASSERT(value != CKV_HMAP_NONE && (m->n + 1) * 2 <= m->cap);
    place(m, key, value);
}

uint32_t ckv_hmap_probe(const ckv_hmap *m, uint32_t key, size_t *at)
{
    if (m->cap == 0) return CKV_HMAP_NONE;
    size_t i = *at == SIZE_MAX ? ckv_hmap_home(m, key) : (*at + 1) & (m->cap - 1);
    while (m->slots[i].value != CKV_HMAP_NONE && m->slots[i].key != key) i = (i + 1) & (m->cap - 1);
    *at = i;
    return m->slots[i].value;
}

void ckv_hmap_remove(ckv_hmap *m, uint32_t key, uint32_t value)
{
    if (m->cap == 0) return;
    size_t i = ckv_hmap_home(m, key);
    while (m->slots[i].key != key || m->slots[i].value != value) {
        if (m->slots[i].value == CKV_HMAP_NONE) return;
        i = (i + 1) & (m->cap - 1);
    }
    /* I2: pull back what would no longer be reached across the hole. */
    for (size_t j = (i + 1) & (m->cap - 1); m->slots[j].value != CKV_HMAP_NONE;
         j = (j + 1) & (m->cap - 1)) {
        const size_t home = ckv_hmap_home(m, m->slots[j].key);
        if (((j - home) & (m->cap - 1)) >= ((j - i) & (m->cap - 1))) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i] = (ckv_hslot){UINT32_MAX, CKV_HMAP_NONE};
    m->n--;
}

bool ckv_hmap_check(const ckv_hmap *m, const char **why)
{
    size_t n = 0;
    *why = "I1";
    if (m->n * 2 > m->cap || (m->cap & (m->cap - 1))) return false;
    *why = "I2";
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].value == CKV_HMAP_NONE) continue;
        n++;
        for (size_t j = ckv_hmap_home(m, m->slots[i].key); j != i; j = (j + 1) & (m->cap - 1)) {
            if (m->slots[j].value == CKV_HMAP_NONE) return false;
        }
    }
    *why = "count";
    return n == m->n;
}
