#include "types/crowd.h"

ckv_crowds ckv_crowds_init(ckv_alloc a, uint32_t secret)
{
    return (ckv_crowds){.a = a,
                        .v = {.a = a},
                        .by_place = ckv_hmap_init(a, secret),
                        .arrived = {.a = a},
                        .walked = {.a = a}};
}

static void empty(ckv_crowd *c)
{
    ckv_u32s_fini(&c->siblings);
    ckv_u32s_fini(&c->log);
    ckv_hmap_fini(&c->by_branch);
}

void ckv_crowds_fini(ckv_crowds *x)
{
    ckv_crowds_forget(x);
    ckv_crowd_vec_fini(&x->v);
    ckv_hmap_fini(&x->by_place);
    ckv_crowded_vec_fini(&x->arrived);
    ckv_u32s_fini(&x->walked);
}

void ckv_crowds_forget(ckv_crowds *x)
{
    for (size_t i = 0; i < x->v.len; i++) empty(&x->v.ptr[i]);
    x->v.len = x->arrived.len = 0;
    ckv_hmap_fini(&x->by_place);
}

ckv_crowd *ckv_crowd_at(const ckv_crowds *x, uint32_t place)
{
    const uint32_t i = x->v.len ? ckv_hmap_get(&x->by_place, place) : CKV_HMAP_NONE;
    return i == CKV_HMAP_NONE ? NULL : &x->v.ptr[i];
}

ckv_status ckv_crowd_make(ckv_crowds *x, uint32_t place)
{
    const size_t n = x->walked.len;
    ckv_crowd c = {.place = place,
                   .min_item = UINT32_MAX,
                   .siblings = {.a = x->a},
                   .log = {.a = x->a},
                   .by_branch = ckv_hmap_init(x->a, x->by_place.secret)};
    ckv_status s = ckv_crowd_vec_reserve(&x->v, 1);
    if (s == CKV_OK) s = ckv_hmap_reserve(&x->by_place, 1);
    if (s == CKV_OK) s = ckv_u32s_reserve(&c.siblings, n + 1);
    if (s == CKV_OK) s = ckv_u32s_reserve(&c.log, n + 1);
    if (s != CKV_OK) {
        empty(&c);
        return s;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t item = x->walked.ptr[i];
        ckv_u32s_put(&c.siblings, item);
        ckv_u32s_put(&c.log, item);
        if (item < c.min_item) c.min_item = item;
    }
    ckv_hmap_set(&x->by_place, place, (uint32_t)x->v.len);
    ckv_crowd_vec_put(&x->v, c);
    return CKV_OK;
}

static uint32_t branch_of(const ckv_graph *g, uint32_t item)
{
    uint32_t off;
    return ckv_lanes_place(&g->lanes, item, g->ids.n_items, &off, NULL);
}

ckv_status ckv_crowd_knows(ckv_crowds *x, ckv_crowd *c, const ckv_graph *g, const ckv_past *past,
                           uint32_t own_item, bool *out)
{
    (void)x;
    *out = true;
    if (c->log.len == 0) {
        *out = false;
        return CKV_OK;
    }
    if (past->all || c->min_item < past->allin_item || c->log.ptr[c->log.len - 1] >= own_item)
        return CKV_OK;
    if (past->touched.len >= c->log.len) { /* asking each is cheaper */
        for (size_t i = 0; i < c->log.len; i++) {
            if (ckv_past_has_item(past, g, c->log.ptr[i])) return CKV_OK;
        }
        *out = false;
        return CKV_OK;
    }
    CKV_TRY(ckv_hmap_reserve(&c->by_branch, c->log.len - c->n_resolved));
    for (; c->n_resolved < c->log.len; c->n_resolved++) {
        const uint32_t item = c->log.ptr[c->n_resolved], branch = branch_of(g, item),
                       first = ckv_hmap_get(&c->by_branch, branch);
        if (first == CKV_HMAP_NONE || item < first) ckv_hmap_set(&c->by_branch, branch, item);
    }
    for (size_t i = 0; i < past->touched.len; i++) {
        const uint32_t item = ckv_hmap_get(&c->by_branch, past->touched.ptr[i]);
        if (item != CKV_HMAP_NONE && ckv_past_has_item(past, g, item)) return CKV_OK;
    }
    *out = false;
    return CKV_OK;
}

ckv_status ckv_crowd_add(ckv_crowds *x, ckv_crowd *c, size_t index, uint32_t item,
                         const ckv_journal *j)
{
    if (!j->on || j->log.len == 0) x->arrived.len = 0;
    CKV_TRY(ckv_u32s_reserve(&c->siblings, 1));
    CKV_TRY(ckv_u32s_reserve(&c->log, 1));
    CKV_TRY(ckv_crowded_vec_reserve(&x->arrived, 1));
    memmove(c->siblings.ptr + index + 1, c->siblings.ptr + index,
            (c->siblings.len - index) * sizeof item);
    c->siblings.ptr[index] = item;
    c->siblings.len++;
    ckv_u32s_put(&c->log, item);
    if (item < c->min_item) c->min_item = item;
    ckv_crowded_vec_put(&x->arrived, (ckv_crowded){(uint32_t)(c - x->v.ptr), item});
    return CKV_OK;
}

void ckv_crowds_undo(ckv_crowds *x, const ckv_graph *g, uint32_t item)
{
    const ckv_crowded *last = ckv_crowded_vec_last(&x->arrived);
    if (!last || last->item != item) return;
    ckv_crowd *c = &x->v.ptr[last->crowd];
    size_t i = 0;
    while (c->siblings.ptr[i] != item) i++;
    c->siblings.len--;
    memmove(c->siblings.ptr + i, c->siblings.ptr + i + 1, (c->siblings.len - i) * sizeof item);
    c->log.len--;
    if (c->n_resolved > c->log.len) {
        c->n_resolved = c->log.len;
        ckv_hmap_remove(&c->by_branch, branch_of(g, item), item);
    }
    x->arrived.len--;
}

size_t ckv_crowds_bytes(const ckv_crowds *x)
{
    size_t n = x->v.cap * sizeof(ckv_crowd) + x->by_place.cap * sizeof(ckv_hslot);
    for (size_t i = 0; i < x->v.len; i++)
        n += (x->v.ptr[i].siblings.cap + x->v.ptr[i].log.cap) * 4 +
             x->v.ptr[i].by_branch.cap * sizeof(ckv_hslot);
    return n;
}
