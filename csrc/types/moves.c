#include "types/moves.h"

ckv_moves ckv_moves_init(ckv_alloc a, uint32_t secret)
{
    return (ckv_moves){.v = {.a = a}, .slots = {.a = a}, .by_element = ckv_hmap_init(a, secret)};
}

void ckv_moves_fini(ckv_moves *x)
{
    ckv_moved_vec_fini(&x->v);
    ckv_slots_fini(&x->slots);
    ckv_hmap_fini(&x->by_element);
}

ckv_status ckv_moves_reserve(ckv_moves *x, ckv_journal *j)
{
    CKV_TRY(ckv_moved_vec_reserve(&x->v, 1));
    CKV_TRY(ckv_slots_reserve(&x->slots, 1));
    CKV_TRY(ckv_hmap_reserve(&x->by_element, 1));
    return ckv_journal_reserve(j, 1);
}

uint32_t ckv_moves_slot(const ckv_moves *x, uint32_t element)
{
    const uint32_t i = ckv_hmap_get(&x->by_element, element);
    return i == CKV_HMAP_NONE ? element : x->v.ptr[i].shown;
}

uint32_t ckv_moves_slot_at(const ckv_moves *x, const ckv_graph *g, const ckv_past *at,
                           uint32_t element)
{
    const uint32_t m = ckv_hmap_get(&x->by_element, element);
    uint32_t best = CKV_NONE, slot = element;
    for (uint32_t i = m == CKV_HMAP_NONE ? CKV_NONE : x->v.ptr[m].last; i != CKV_NONE;
         i = x->slots.ptr[i].before) {
        const ckv_slot *s = &x->slots.ptr[i];
        if (s->lv >= g->ids.n_lv || !ckv_past_has(at, g, ckv_ids_change_of_lv(&g->ids, s->lv)))
            continue;
        if (best == CKV_NONE || ckv_lv_before(g, best, s->lv)) best = s->lv, slot = s->item;
    }
    return slot;
}

uint32_t ckv_moves_slot_in(const ckv_moves *x, ckv_moves_round round, const ckv_graph *g,
                           const ckv_past *at, uint32_t element)
{
    const uint32_t m = ckv_hmap_get(&x->by_element, element);
    if (m == CKV_HMAP_NONE) return element;
    ckv_moved *e = &x->v.ptr[m];
    if (e->asked[round.which].round != round.number) {
        e->asked[round.which].slot = ckv_moves_slot_at(x, g, at, element);
        e->asked[round.which].round = round.number;
    }
    return e->asked[round.which].slot;
}

bool ckv_moves_add(ckv_moves *x, uint32_t element, uint32_t slot, uint32_t lv,
                   const ckv_author_view *v, ckv_journal *j)
{
    uint32_t m = ckv_hmap_get(&x->by_element, element);
    if (m == CKV_HMAP_NONE) {
        m = (uint32_t)x->v.len;
        ckv_moved_vec_put(
            &x->v,
            (ckv_moved){.element = element, .last = CKV_NONE, .shown = element, .by = CKV_NONE});
        ckv_hmap_set(&x->by_element, element, m);
    }
    ckv_moved *e = &x->v.ptr[m];
    const bool last = e->by == CKV_NONE || ckv_author_after(v, e->by);
    ckv_journal_put(j, CKV_UNDO_MOVE, m, e->shown, e->by, 0);
    ckv_slots_put(&x->slots, (ckv_slot){slot, lv, e->last});
    e->last = (uint32_t)(x->slots.len - 1);
    if (last) e->shown = slot, e->by = lv;
    return last;
}

uint32_t ckv_moves_undo(ckv_moves *x, const ckv_undo *u)
{
    ckv_moved *e = &x->v.ptr[u->who];
    const ckv_slot slot = x->slots.ptr[--x->slots.len];
    e->last = slot.before;
    e->shown = u->a;
    e->by = u->b;
    return slot.item;
}

size_t ckv_moves_bytes(const ckv_moves *x)
{
    return x->v.cap * sizeof(ckv_moved) + x->slots.cap * sizeof(ckv_slot) +
           x->by_element.cap * sizeof(ckv_hslot);
}
