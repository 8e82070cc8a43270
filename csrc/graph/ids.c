#include "graph/ids.h"

ckv_ids ckv_ids_init(ckv_alloc a, uint64_t secret)
{
    return (ckv_ids){.ids = {.a = a},
                     .pieces = {.a = a},
                     .by_id = ckv_hmap_init(a, (uint32_t)secret),
                     .secret = secret};
}

void ckv_ids_fini(ckv_ids *x)
{
    ckv_id32s_fini(&x->ids);
    ckv_pieces_fini(&x->pieces);
    ckv_hmap_fini(&x->by_id);
}

/* The last piece whose field `f` is <= v. */
#define LAST_PIECE(x, f, v, out)                                                                   \
    do {                                                                                           \
        size_t piece_ = 0;                                                                         \
        CKV_SEEK(&piece_, (x)->pieces.len, (x)->pieces.ptr[i].f, v);                               \
        *(out) = &(x)->pieces.ptr[piece_];                                                         \
    } while (0)

uint32_t ckv_ids_lv(const ckv_ids *x, uint32_t change)
{
    if (change >= ckv_ids_n(x)) return x->n_lv;
    const ckv_piece *p;
    LAST_PIECE(x, change, change, &p);
    return p->lv + (change - p->change) * p->d_lv;
}

uint32_t ckv_ids_item(const ckv_ids *x, uint32_t change)
{
    if (change >= ckv_ids_n(x)) return x->n_items;
    const ckv_piece *p;
    LAST_PIECE(x, change, change, &p);
    return p->item + (change - p->change) * p->d_item;
}

uint32_t ckv_ids_change_of_item(const ckv_ids *x, uint32_t item)
{
    CKV_ASSERT(item < x->n_items);
    const ckv_piece *p;
    LAST_PIECE(
        x, item, item,
        &p); /* pieces without items share their start with the next: the last one has the item */
    return p->change + (item - p->item) / p->d_item;
}

uint32_t ckv_ids_change_of_lv(const ckv_ids *x, uint32_t lv)
{
    CKV_ASSERT(lv < x->n_lv);
    const ckv_piece *p;
    LAST_PIECE(x, lv, lv, &p);
    return p->change + (lv - p->lv) / p->d_lv;
}

ckv_extent ckv_ids_extent(const ckv_ids *x, uint32_t change, size_t *piece)
{
    size_t at = *piece;
    if (at + 1 < x->pieces.len && x->pieces.ptr[at + 1].change <= change) at++;
    const bool here = at < x->pieces.len && x->pieces.ptr[at].change <= change &&
                      (at + 1 == x->pieces.len || change < x->pieces.ptr[at + 1].change);
    const ckv_piece *p = x->pieces.ptr + at;
    if (!here) LAST_PIECE(x, change, change, &p);
    *piece = (size_t)(p - x->pieces.ptr);
    const uint32_t k = change - p->change;
    return (ckv_extent){p->lv + k * p->d_lv, p->item + k * p->d_item, p->d_lv, p->d_item};
}

ckv_status ckv_ids_find(ckv_ids *x, const ckv_id32 *id, uint32_t *change)
{
    const uint32_t n = ckv_ids_n(x);
    if (x->n_indexed < n) {
        CKV_TRY(ckv_hmap_reserve(&x->by_id, n - x->n_indexed));
        for (; x->n_indexed < n; x->n_indexed++) {
            ckv_hmap_add(&x->by_id, ckv_fingerprint(x->secret, &x->ids.ptr[x->n_indexed]),
                         x->n_indexed);
        }
    }
    size_t at = SIZE_MAX;
    for (uint32_t c;
         (c = ckv_hmap_probe(&x->by_id, ckv_fingerprint(x->secret, id), &at)) != CKV_HMAP_NONE;) {
        if (ckv_id32_eq(&x->ids.ptr[c], id)) {
            *change = c;
            return CKV_OK;
        }
    }
    return CKV_ENOENT;
}

ckv_status ckv_ids_reserve(ckv_ids *x)
{
    if (x->ids.len >= UINT32_MAX / 2) return CKV_ELIMIT;
    CKV_TRY(ckv_id32s_reserve(&x->ids, 1));
    return ckv_pieces_reserve(&x->pieces, 1);
}

void ckv_ids_push(ckv_ids *x, const ckv_id32 *id, uint32_t n_ops, uint32_t n_items)
{
    const uint32_t c = ckv_ids_n(x);
    const ckv_piece *last = ckv_pieces_last(&x->pieces);
    if (!last || last->d_lv != n_ops || last->d_item != n_items) {
        ckv_pieces_put(&x->pieces, (ckv_piece){c, x->n_lv, x->n_items, n_ops, n_items});
    }
    ckv_id32s_put(&x->ids, *id);
    x->n_lv += n_ops;
    x->n_items += n_items;
}

void ckv_ids_pop(ckv_ids *x)
{
    const uint32_t c = ckv_ids_n(x) - 1;
    const ckv_piece *p = ckv_pieces_last(&x->pieces);
    if (x->n_indexed > c) {
        ckv_hmap_remove(&x->by_id, ckv_fingerprint(x->secret, &x->ids.ptr[c]), c);
        x->n_indexed = c;
    }
    x->n_lv -= p->d_lv;
    x->n_items -= p->d_item;
    if (p->change == c) x->pieces.len--;
    x->ids.len--;
}

bool ckv_ids_check(const ckv_ids *x, const char **why)
{
    *why = "ids I1";
    uint32_t lv = 0, item = 0;
    for (size_t i = 0; i < x->pieces.len; i++) {
        const ckv_piece *p = &x->pieces.ptr[i];
        const uint32_t end = i + 1 < x->pieces.len ? p[1].change : ckv_ids_n(x);
        if ((i == 0 && p->change != 0) || p->lv != lv || p->item != item || end <= p->change)
            return false;
        lv += (end - p->change) * p->d_lv;
        item += (end - p->change) * p->d_item;
        if (p->d_item > p->d_lv) return *why = "ids I2", false;
    }
    return lv == x->n_lv && item == x->n_items;
}
