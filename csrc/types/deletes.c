#include "types/deletes.h"

#include <stdlib.h>

ckv_deletes ckv_deletes_init(ckv_alloc a, uint32_t secret)
{
    return (ckv_deletes){
        .entries = {.a = a}, .by_item = ckv_hmap_init(a, secret), .restored = {.a = a}};
}

void ckv_deletes_fini(ckv_deletes *x)
{
    ckv_deleteds_fini(&x->entries);
    ckv_hmap_fini(&x->by_item);
    ckv_u32s_fini(&x->restored);
}

ckv_status ckv_deletes_reserve(ckv_deletes *x, size_t n)
{
    if (x->entries.len + n > CKV_DEL_NUMBER) return CKV_ELIMIT;
    return ckv_deleteds_reserve(&x->entries, n);
}

bool ckv_del_next(const ckv_deletes *x, uint32_t *del, ckv_del_step *out)
{
    const uint32_t d = *del & ~CKV_DEL_AWAY;
    if (d == 0) return false;
    if (d & CKV_DEL_MANY) {
        const ckv_deleted *e = &x->entries.ptr[d & CKV_DEL_NUMBER];
        *out = (ckv_del_step){e->change, e->of};
        *del = e->rest;
    } else {
        *out = (ckv_del_step){d - 1, CKV_NONE};
        *del = 0;
    }
    return true;
}

static bool is_in(const ckv_past *at, const ckv_graph *g, uint32_t own, uint32_t change)
{
    return change == own || (change < ckv_ids_n(&g->ids) && ckv_past_has(at, g, change));
}

bool ckv_del_restored_at(const ckv_deletes *x, uint32_t del, uint32_t change, const ckv_past *at,
                         const ckv_graph *g, uint32_t own)
{
    for (ckv_del_step s; ckv_del_next(x, &del, &s);) {
        if (s.of == change && is_in(at, g, own, s.change)) return true;
    }
    return false;
}

bool ckv_del_restored(const ckv_deletes *x, uint32_t del, uint32_t change)
{
    for (ckv_del_step s; ckv_del_next(x, &del, &s);) {
        if (s.of == change) return true;
    }
    return false;
}

bool ckv_del_by(const ckv_deletes *x, uint32_t del, uint32_t change)
{
    for (ckv_del_step s; ckv_del_next(x, &del, &s);) {
        if (s.of == CKV_NONE && s.change == change) return true;
    }
    return false;
}

/* Of restores that were seen above a chain: how many close a delete of it that is open. */
static uint32_t closes(const ckv_deletes *x, uint32_t del, const uint32_t *seen, size_t n)
{
    uint32_t closed = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (seen[k] != seen[i]) k++;
        closed += k == i && ckv_del_by(x, del, seen[i]) && !ckv_del_restored(x, del, seen[i]);
    }
    return closed;
}

static int number_order(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The same where much was taken back. False, without an answer: no memory. */
static bool hides_after_many(const ckv_deletes *x, uint32_t del, const ckv_past *at,
                             const ckv_graph *g, uint32_t own, bool *hides)
{
    ckv_u32s *v = (ckv_u32s *)(uintptr_t)&x->restored;
    uint32_t rest = del;
    v->len = 0;
    for (ckv_del_step s; ckv_del_next(x, &rest, &s);) {
        if (s.of != CKV_NONE && is_in(at, g, own, s.change) && ckv_u32s_push(v, s.of) != CKV_OK)
            return false;
    }
    if (v->len > 1) qsort(v->ptr, v->len, sizeof *v->ptr, number_order);
    *hides = false;
    for (ckv_del_step s; !*hides && ckv_del_next(x, &del, &s);) {
        if (s.of != CKV_NONE || !is_in(at, g, own, s.change)) continue;
        *hides = v->len == 0 || !bsearch(&s.change, v->ptr, v->len, sizeof *v->ptr, number_order);
    }
    return true;
}

bool ckv_del_hides_at(const ckv_deletes *x, uint32_t del, const ckv_past *at, const ckv_graph *g,
                      uint32_t own)
{
    enum { FEW = 8 };
    const uint32_t all = del;
    uint32_t seen[FEW]; /* what restores of the version took back */
    size_t n = 0;
    bool hides, restores = false; /* what restores stands before what it restores: newest first */
    for (;;) {
        const uint32_t d = del & ~CKV_DEL_AWAY;
        if (d & CKV_DEL_MANY && n < FEW) {
            const ckv_deleted *e = &x->entries.ptr[d & CKV_DEL_NUMBER];
            if (e->newest <
                (at->all ? ckv_ids_n(&g->ids) : at->allin)) /* all of the rest is in the version */
                return e->open > closes(x, d, seen, n);
        }
        ckv_del_step s;
        if (!ckv_del_next(x, &del, &s)) return false;
        const bool in = is_in(at, g, own, s.change);
        if (s.of != CKV_NONE) {
            restores |= in;
            if (in && n < FEW) seen[n++] = s.of;
            if (n == FEW && hides_after_many(x, all, at, g, own, &hides)) return hides;
        } else if (in && !(restores && ckv_del_restored_at(x, all, s.change, at, g, own))) {
            return true;
        }
    }
}

static uint32_t put(ckv_deletes *x, uint32_t rest, uint32_t change, uint32_t of, uint32_t open)
{
    const uint32_t before = rest & CKV_DEL_MANY ? x->entries.ptr[rest & CKV_DEL_NUMBER].newest
                            : rest              ? rest - 1
                                                : 0;
    ckv_deleteds_put(&x->entries,
                     (ckv_deleted){rest, change, of, open, before > change ? before : change});
    return CKV_DEL_MANY | (uint32_t)(x->entries.len - 1);
}

uint32_t ckv_del_add(ckv_deletes *x, uint32_t del, uint32_t change)
{
    const uint32_t away = del & CKV_DEL_AWAY, d = del & ~CKV_DEL_AWAY;
    if (d == 0) return away | (change + 1);
    const ckv_deleted *last = ckv_deleteds_last(&x->entries);
    if (last && last->rest == d && last->change == change && last->of == CKV_NONE)
        return away | CKV_DEL_MANY |
               (uint32_t)(x->entries.len - 1); /* the span before it got it just now */
    return away | put(x, d, change, CKV_NONE, ckv_del_open(x, d) + 1);
}

uint32_t ckv_del_restore(ckv_deletes *x, uint32_t del, uint32_t of, uint32_t change)
{
    const uint32_t away = del & CKV_DEL_AWAY, d = del & ~CKV_DEL_AWAY;
    const ckv_deleted *last = ckv_deleteds_last(&x->entries);
    if (last && last->rest == d && last->change == change && last->of == of)
        return away | CKV_DEL_MANY | (uint32_t)(x->entries.len - 1);
    const bool closes = ckv_del_by(x, d, of) && !ckv_del_restored(x, d, of);
    return away | put(x, d, change, of, ckv_del_open(x, d) - closes);
}

void ckv_del_set(ckv_deletes *x, uint32_t item, uint32_t del)
{
    const uint32_t old = ckv_hmap_get(&x->by_item, item);
    if (old != CKV_HMAP_NONE) ckv_hmap_remove(&x->by_item, item, old);
    if (del) ckv_hmap_set(&x->by_item, item, del);
}

bool ckv_deletes_check(const ckv_deletes *x, const char **why)
{
    *why = "deletes I1";
    for (size_t i = 0; i < x->entries.len; i++) {
        uint32_t open = 0, all = CKV_DEL_MANY | (uint32_t)i, del = all;
        for (ckv_del_step s; ckv_del_next(x, &del, &s);)
            open += s.of == CKV_NONE && !ckv_del_restored(x, all, s.change);
        if (open != x->entries.ptr[i].open) return false;
    }
    return ckv_hmap_check(&x->by_item, why);
}
