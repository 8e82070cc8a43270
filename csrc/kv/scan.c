/* scan.c -- a walk over a store's items in key order. It keeps a copy of the last key, with which it finds its place again when the tree was
 * rebuilt under it, as by a transaction that nobody sees. */
#include <string.h>

#include "base/check.h"
#include "kv/state.h"

struct ckv_scan {
    const ckv_store *store; /* borrowed */
    bool in_txn, reverse, has_lo, has_hi, has_last;
    uint64_t came_or_went, shape; /* what `place` and the walk itself are good for */
    ckv_keyplace place;           /* of the last key, if has_last */
    ckv_store_key lo, hi;         /* lo <= key < hi, in `room` */
    ckv_store_key last;           /* in `room` */
    size_t n_room;
    uint8_t room[]; /* lo, hi, and CKV_MAX_KEY for the last key */
};

static uint64_t came_or_went(const ckv_scan *scan)
{
    const ckv_store *s = scan->store;
    return scan->in_txn ? s->txn_came_or_went : s->came_or_went;
}

/* The bytes behind all that begin with these: the last one that can grow, grown. 0: there are none. */
static size_t successor(uint8_t *to, const uint8_t *prefix, size_t n_bytes)
{
    while (n_bytes > 0 && prefix[n_bytes - 1] == 0xff) n_bytes--;
    if (n_bytes == 0) return 0;
    memcpy(to, prefix, n_bytes);
    to[n_bytes - 1]++;
    return n_bytes;
}

static ckv_store_key copy(uint8_t **room, ckv_store_key key)
{
    if (key.n_bytes) memcpy(*room, key.ptr, key.n_bytes);
    key.ptr = *room;
    *room += key.n_bytes;
    return key;
}

ckv_status ckv_scan_new(ckv_scan **out, const ckv_store *s, bool in_txn, const ckv_range *range,
                        bool reverse)
{
    const ckv_bytes none = {NULL, 0}, *prefix = range && range->prefix ? range->prefix : &none;
    ckv_store_key lo = {.n_bytes = 0}, hi = {.n_bytes = 0};
    bool has_lo = false, has_hi = false;
    if (range && range->start) lo = *range->start, has_lo = true;
    if (range && range->stop) hi = *range->stop, has_hi = true;
    const size_t n_room = lo.n_bytes + hi.n_bytes + 3 * prefix->n_bytes + CKV_MAX_KEY;
    ckv_scan *scan = ckv_resize(ckv_store_alloc(s), NULL, 0, sizeof *scan + n_room);
    if (!scan) return CKV_ENOMEM;
    uint8_t *room = scan->room + CKV_MAX_KEY;
    if (prefix->n_bytes) {
        ckv_store_key from = {prefix->ptr, (uint32_t)prefix->n_bytes, false};
        if (!has_lo || ckv_store_key_compare(lo, from) < 0) lo = from;
        has_lo = true;
        const size_t n = successor(room, prefix->ptr, prefix->n_bytes);
        ckv_store_key to = {room, (uint32_t)n, false};
        room += n;
        if (n > 0 && (!has_hi || ckv_store_key_compare(to, hi) < 0)) hi = to, has_hi = true;
    }
    *scan = (ckv_scan){.store = s,
                       .in_txn = in_txn,
                       .reverse = reverse,
                       .has_lo = has_lo,
                       .has_hi = has_hi,
                       .n_room = n_room};
    scan->lo = copy(&room, lo);
    scan->hi = copy(&room, hi);
    scan->came_or_went = came_or_went(scan);
    *out = scan;
    return CKV_OK;
}

void ckv_scan_free(ckv_scan *scan)
{
    if (scan) ckv_release(ckv_store_alloc(scan->store), scan, sizeof *scan + scan->n_room);
}

/* The place of the first slot, or of the one behind the last key. */
static ckv_keyplace advance(const ckv_scan *scan)
{
    const ckv_keytree *keys = &scan->store->keys;
    if (scan->has_last && scan->shape == keys->shape)
        return scan->reverse ? ckv_keyplace_prev(scan->place) : ckv_keyplace_next(scan->place);
    if (scan->reverse)
        return ckv_keytree_before(keys, scan->has_last ? &scan->last
                                        : scan->has_hi ? &scan->hi
                                                       : NULL);
    if (!scan->has_last) return ckv_keytree_from(keys, scan->has_lo ? &scan->lo : NULL);
    const ckv_keyplace at = ckv_keytree_from(keys, &scan->last);
    if (ckv_keyplace_is_end(at)) return at;
    const ckv_store_key key = ckv_cell_key(*ckv_keyplace_slot(at));
    return ckv_store_key_compare(key, scan->last) == 0 ? ckv_keyplace_next(at) : at;
}

ckv_status ckv_scan_next(ckv_scan *scan, ckv_item *out)
{
    const ckv_store *s = scan->store;
    if (scan->came_or_went != came_or_went(scan) || (scan->in_txn && !s->in_txn)) return CKV_ESTALE;
    for (;;) {
        const ckv_keyplace at = advance(scan);
        if (ckv_keyplace_is_end(at)) return CKV_ENOENT;
        ckv_cell *first = *ckv_keyplace_slot(at);
        const ckv_store_key key = ckv_cell_key(first);
        if (scan->reverse ? scan->has_lo && ckv_store_key_compare(key, scan->lo) < 0
                          : scan->has_hi && ckv_store_key_compare(key, scan->hi) >= 0)
            return CKV_ENOENT;
        scan->place = at;
        scan->shape = s->keys.shape;
        scan->has_last = true;
        if (key.n_bytes) memcpy(scan->room, key.ptr, key.n_bytes);
        scan->last = (ckv_store_key){scan->room, key.n_bytes, key.is_bytes};
        const ckv_cell *c = ckv_cell_seen(first, scan->in_txn);
        if (!c) continue;
        if (ckv_cell_is_pending(c))
            *out = (ckv_item){.key = ckv_cell_key(c), .value = {ckv_cell_value(c), c->value_bytes}};
        else
            *out = ckv_store_item(s, c);
        return CKV_OK;
    }
}
