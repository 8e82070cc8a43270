#include "datastore/cache.h"

ckv_cache ckv_cache_init(ckv_alloc a, size_t most_bytes)
{
    return (ckv_cache){.cells = {.a = a}, .most_bytes = most_bytes};
}

void ckv_cache_fini(ckv_cache *c)
{
    for (size_t i = 1; i < c->cells.len; i++) {
        ckv_cached *cell = &c->cells.ptr[i];
        if (cell->ptr) *cell->slot = 0;
        ckv_release(c->cells.a, cell->ptr, cell->n_bytes);
    }
    ckv_cached_cells_fini(&c->cells);
    *c = ckv_cache_init(c->cells.a, c->most_bytes);
}

static void unlink_cell(ckv_cache *c, uint32_t i)
{
    const ckv_cached *cell = &c->cells.ptr[i];
    c->cells.ptr[cell->before].after = cell->after;
    c->cells.ptr[cell->after].before = cell->before;
}

static void link_newest(ckv_cache *c, uint32_t i)
{
    ckv_cached *ring = &c->cells.ptr[0], *cell = &c->cells.ptr[i];
    cell->before = 0;
    cell->after = ring->after;
    c->cells.ptr[ring->after].before = i;
    ring->after = i;
}

ckv_entry_bytes ckv_cache_get(ckv_cache *c, uint32_t slot)
{
    CKV_ASSERT(slot > 0 && slot <= c->cells.len);
    const uint32_t i = slot - 1;
    if (c->cells.ptr[0].after != i) {
        unlink_cell(c, i);
        link_newest(c, i);
    }
    c->hits++;
    return (ckv_entry_bytes){c->cells.ptr[i].ptr, c->cells.ptr[i].n_bytes};
}

static void empty_cell(ckv_cache *c, uint32_t i)
{
    ckv_cached *cell = &c->cells.ptr[i];
    unlink_cell(c, i);
    *cell->slot = 0;
    ckv_release(c->cells.a, cell->ptr, cell->n_bytes);
    c->n_bytes -= cell->n_bytes;
    *cell = (ckv_cached){.after = c->free_cell};
    c->free_cell = i;
}

/* A free cell, 0 if there is no memory for one. */
static uint32_t take_cell(ckv_cache *c)
{
    if (c->free_cell) {
        const uint32_t i = c->free_cell;
        c->free_cell = c->cells.ptr[i].after;
        return i;
    }
    if (ckv_cached_cells_reserve(&c->cells, 2) != CKV_OK) return 0;
    if (c->cells.len == 0) ckv_cached_cells_put(&c->cells, (ckv_cached){0});
    ckv_cached_cells_put(&c->cells, (ckv_cached){0});
    return (uint32_t)c->cells.len - 1;
}

void ckv_cache_put(ckv_cache *c, uint32_t *slot, ckv_entry_bytes block)
{
    CKV_ASSERT(*slot == 0 && block.n_bytes > 0);
    c->misses++;
    if (block.n_bytes > c->most_bytes / 8) return;
    while (c->n_bytes + block.n_bytes > c->most_bytes) empty_cell(c, c->cells.ptr[0].before);
    uint8_t *copy = ckv_resize(c->cells.a, NULL, 0, block.n_bytes);
    if (!copy) return;
    const uint32_t i = take_cell(c);
    if (i == 0) {
        ckv_release(c->cells.a, copy, block.n_bytes);
        return;
    }
    memcpy(copy, block.ptr, block.n_bytes);
    c->cells.ptr[i] = (ckv_cached){copy, block.n_bytes, slot, 0, 0};
    c->n_bytes += block.n_bytes;
    link_newest(c, i);
    *slot = i + 1;
}

void ckv_cache_drop(ckv_cache *c, uint32_t *slot)
{
    if (*slot) empty_cell(c, *slot - 1);
}

bool ckv_cache_check(const ckv_cache *c, const char **why)
{
    size_t n_bytes = 0, n = 0, n_free = 0;
    if (c->cells.len == 0) return c->n_bytes == 0;
    *why = "cache I1: ring";
    uint32_t before = 0;
    for (uint32_t i = c->cells.ptr[0].after; i; i = c->cells.ptr[i].after) {
        const ckv_cached *cell = &c->cells.ptr[i];
        if (!cell->ptr || cell->before != before || *cell->slot != i + 1) return false;
        n_bytes += cell->n_bytes;
        before = i;
        if (++n >= c->cells.len) return false;
    }
    if (c->cells.ptr[0].before != before) return false;
    *why = "cache: free cells";
    for (uint32_t i = c->free_cell; i; i = c->cells.ptr[i].after)
        if (c->cells.ptr[i].ptr || ++n_free >= c->cells.len) return false;
    if (n + n_free + 1 != c->cells.len) return false;
    *why = "cache I2";
    return n_bytes == c->n_bytes && n_bytes <= c->most_bytes;
}
