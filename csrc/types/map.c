#include "types/map.h"

#include "crypto/digest.h"

ckv_status ckv_maps_init(ckv_maps *m, ckv_alloc a, const uint8_t secret[16], uint32_t root_tag)
{
    uint32_t s;
    memcpy(&s, secret, 4);
    *m = (ckv_maps){.slots = {.a = a},
                    .keys = ckv_buf_init(a),
                    .by_key = ckv_hmap_init(a, s),
                    .by_item = ckv_hmap_init(a, s),
                    .containers = {.a = a},
                    .sorted = {.a = a}};
    memcpy(m->secret, secret, 16);
    return ckv_containers_push(
        &m->containers, (ckv_container){.tag = root_tag, .item = CKV_NO_ITEM, .slot = CKV_NONE});
}

void ckv_maps_fini(ckv_maps *m)
{
    for (size_t i = 0; i < m->slots.len; i++) {
        ckv_u32s_fini(&m->slots.ptr[i].ops);
        ckv_u32s_fini(&m->slots.ptr[i].live);
    }
    ckv_slots_fini(&m->slots);
    ckv_buf_fini(&m->keys);
    ckv_hmap_fini(&m->by_key);
    ckv_hmap_fini(&m->by_item);
    ckv_containers_fini(&m->containers);
    ckv_u32s_fini(&m->sorted);
}

static uint32_t fingerprint(const ckv_maps *m, uint32_t map, const void *key, size_t n)
{
    return (uint32_t)(ckv_siphash(m->secret, key, n) + map * 0x9e3779b1u);
}

uint32_t ckv_maps_slot(const ckv_maps *m, uint32_t map, const void *key, size_t key_bytes)
{
    size_t at = SIZE_MAX;
    const uint32_t f = fingerprint(m, map, key, key_bytes);
    for (uint32_t i; (i = ckv_hmap_probe(&m->by_key, f, &at)) != CKV_HMAP_NONE;) {
        const ckv_slot *s = &m->slots.ptr[i];
        if (s->map == map && s->key_bytes == key_bytes &&
            memcmp(ckv_maps_key(m, s), key, key_bytes) == 0)
            return i;
    }
    return CKV_NONE;
}

ckv_status ckv_maps_slot_make(ckv_maps *m, uint32_t map, const void *key, size_t key_bytes,
                              uint32_t *slot)
{
    *slot = ckv_maps_slot(m, map, key, key_bytes);
    if (*slot != CKV_NONE) return CKV_OK;
    const ckv_alloc a = m->slots.a;
    if (m->keys.len + key_bytes > UINT32_MAX) return CKV_ELIMIT;
    CKV_TRY(ckv_hmap_reserve(&m->by_key, 1));
    CKV_TRY(ckv_slots_reserve(&m->slots, 1));
    if (!ckv_buf_reserve(&m->keys, key_bytes + 1)) { /* + 1: never NULL */
        const ckv_status s = m->keys.status;
        m->keys.status = CKV_OK;
        return s;
    }
    *slot = (uint32_t)m->slots.len;
    ckv_slots_put(&m->slots,
                  (ckv_slot){map, (uint32_t)m->keys.len, (uint32_t)key_bytes, {.a = a}, {.a = a}});
    ckv_buf_bytes(&m->keys, key, key_bytes);
    ckv_hmap_add(&m->by_key, fingerprint(m, map, key, key_bytes), *slot);
    return CKV_OK;
}

/* Total order of two operations; those of the open change come last, by index. */
static bool lv_before(const ckv_graph *g, uint32_t a, uint32_t b)
{
    const uint32_t closed = g->ids.n_lv;
    if (a >= closed || b >= closed) return a < b;
    return ckv_graph_order(g, ckv_ids_change_of_lv(&g->ids, a), a, ckv_ids_change_of_lv(&g->ids, b),
                           b) < 0;
}

uint32_t ckv_maps_shown(const ckv_maps *m, const ckv_graph *g, uint32_t slot)
{
    const ckv_u32s *live = &m->slots.ptr[slot].live;
    uint32_t best = CKV_NONE;
    for (size_t i = 0; i < live->len; i++) {
        if (best == CKV_NONE || lv_before(g, best, live->ptr[i])) best = live->ptr[i];
    }
    return best;
}

ckv_status ckv_maps_shown_at(const ckv_maps *m, ckv_graph *g, const ckv_past *at, ckv_past *scratch,
                             uint32_t slot, uint32_t *lv)
{
    const ckv_u32s *ops = &m->slots.ptr[slot].ops;
    *lv = CKV_NONE;
    ckv_past_reset(scratch);
    /* From the newest back: scratch is the past of all that was seen, and an op in it is superseded, with all behind it. */
    for (size_t i = ops->len; i-- > 0;) {
        const uint32_t op = ops->ptr[i] / 2, c = ckv_ids_change_of_lv(&g->ids, op);
        if (!ckv_past_has(at, g, c) || ckv_past_has(scratch, g, c)) continue;
        if ((ops->ptr[i] & 1) && (*lv == CKV_NONE || lv_before(g, *lv, op))) *lv = op;
        CKV_TRY(ckv_past_add(scratch, g, c));
    }
    return CKV_OK;
}

bool ckv_maps_is_live(const ckv_maps *m, uint32_t container)
{
    const ckv_container *c = &m->containers.ptr[container];
    if (c->slot == CKV_NONE) return true;
    if (c->gone) return false;
    const ckv_u32s *live = &m->slots.ptr[c->slot].live;
    for (size_t i = 0; i < live->len; i++) {
        if (live->ptr[i] == c->lv) return true;
    }
    return false;
}

ckv_status ckv_maps_reserve(ckv_maps *m, uint32_t slot)
{
    ckv_slot *s = &m->slots.ptr[slot];
    if (m->containers.len >= 1u << 28) return CKV_ELIMIT; /* the log has 28 bits for a holder */
    CKV_TRY(ckv_u32s_reserve(&s->ops, 1));
    CKV_TRY(ckv_u32s_reserve(&s->live, 1));
    CKV_TRY(ckv_hmap_reserve(&m->by_item, 1));
    return ckv_containers_reserve(&m->containers, 1);
}

static void counted(ckv_maps *m, const ckv_slot *s, bool was_live)
{
    if (was_live == (s->live.len != 0)) return;
    m->containers.ptr[s->map].n_keys += was_live ? UINT32_MAX : 1;
    m->sorted_valid = false;
}

void ckv_maps_apply(ckv_maps *m, uint32_t slot, uint32_t lv, bool is_set, const ckv_author_view *v,
                    ckv_journal *j)
{
    ckv_slot *s = &m->slots.ptr[slot];
    const bool was_live = s->live.len != 0;
    for (size_t i = 0; i < s->live.len;) {
        const uint32_t old = s->live.ptr[i];
        const bool known =
            old >= v->graph->ids.n_lv ||
            ckv_past_has(v->past, v->graph, ckv_ids_change_of_lv(&v->graph->ids, old));
        if (!known) {
            i++;
            continue;
        }
        ckv_journal_put(j, CKV_UNDO_MAP_DROP, slot, old, 0, 0);
        s->live.ptr[i] = s->live.ptr[--s->live.len];
    }
    ckv_u32s_put(&s->ops, lv * 2 + is_set);
    if (is_set) ckv_u32s_put(&s->live, lv);
    ckv_journal_put(j, CKV_UNDO_MAP_ADD, slot, lv, is_set, 0);
    counted(m, s, was_live);
}

uint32_t ckv_maps_new_container(ckv_maps *m, uint32_t tag, uint32_t item, uint32_t lv,
                                uint32_t slot, ckv_journal *j)
{
    const uint32_t c = (uint32_t)m->containers.len;
    ckv_containers_put(&m->containers,
                       (ckv_container){.tag = tag, .item = item, .lv = lv, .slot = slot});
    ckv_hmap_set(&m->by_item, item, c);
    ckv_journal_put(j, CKV_UNDO_CONTAINER, c, 0, 0, 0);
    return c;
}

void ckv_maps_undo(ckv_maps *m, const ckv_undo *u)
{
    if (u->kind == CKV_UNDO_CONTAINER) {
        m->containers.ptr[u->who].gone = true;
        ckv_hmap_remove(&m->by_item, m->containers.ptr[u->who].item, u->who);
        return;
    }
    ckv_slot *s = &m->slots.ptr[u->who];
    const bool was_live = s->live.len != 0;
    if (u->kind == CKV_UNDO_MAP_ADD) {
        s->ops.len--;
        if (u->b) {
            size_t i = 0;
            while (s->live.ptr[i] != u->a) i++;
            s->live.ptr[i] = s->live.ptr[--s->live.len];
        }
    } else {
        ckv_u32s_put(&s->live, u->a); /* there was room for it */
    }
    counted(m, s, was_live);
}

static int key_order(const ckv_maps *m, uint32_t a, uint32_t b)
{
    const ckv_slot *x = &m->slots.ptr[a], *y = &m->slots.ptr[b];
    const size_t n = x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes;
    const int c = memcmp(ckv_maps_key(m, x), ckv_maps_key(m, y), n);
    return c ? c : x->key_bytes < y->key_bytes ? -1 : x->key_bytes > y->key_bytes;
}

ckv_status ckv_maps_sort(ckv_maps *m, uint32_t map)
{
    if (m->sorted_valid && m->sorted_of == map) return CKV_OK;
    const size_t n = m->containers.ptr[map].n_keys;
    m->sorted_valid = false;
    m->sorted.len = 0;
    CKV_TRY(ckv_u32s_reserve(&m->sorted, 2 * n)); /* the second half is scratch of the merge sort */
    for (uint32_t i = 0; i < m->slots.len; i++) {
        if (m->slots.ptr[i].map == map && m->slots.ptr[i].live.len) ckv_u32s_put(&m->sorted, i);
    }
    uint32_t *from = m->sorted.ptr, *to = m->sorted.ptr + n;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            const size_t mid = i + width < n ? i + width : n,
                         end = i + 2 * width < n ? i + 2 * width : n;
            size_t a = i, b = mid;
            for (size_t k = i; k < end; k++) {
                to[k] = b >= end || (a < mid && key_order(m, from[a], from[b]) <= 0) ? from[a++]
                                                                                     : from[b++];
            }
        }
        uint32_t *swap = from;
        from = to, to = swap;
    }
    if (from != m->sorted.ptr) memcpy(m->sorted.ptr, from, n * sizeof *from);
    m->sorted_of = map;
    m->sorted_valid = true;
    return CKV_OK;
}

size_t ckv_maps_bytes(const ckv_maps *m)
{
    size_t n = m->slots.cap * sizeof(ckv_slot) + m->keys.cap +
               (m->by_key.cap + m->by_item.cap) * sizeof(ckv_hslot) +
               m->containers.cap * sizeof(ckv_container) + m->sorted.cap * 4;
    for (size_t i = 0; i < m->slots.len; i++)
        n += (m->slots.ptr[i].ops.cap + m->slots.ptr[i].live.cap) * 4;
    return n;
}

bool ckv_maps_check(const ckv_maps *m, const char **why)
{
    *why = "map I1";
    for (uint32_t c = 0; c < m->containers.len; c++) {
        uint32_t n = 0;
        for (size_t i = 0; i < m->slots.len; i++)
            n += m->slots.ptr[i].map == c && m->slots.ptr[i].live.len;
        if (n != m->containers.ptr[c].n_keys) return false;
    }
    for (size_t i = 0; i < m->slots.len; i++) {
        const ckv_slot *s = &m->slots.ptr[i];
        for (size_t k = 0; k < s->live.len; k++) {
            bool found = false;
            for (size_t o = 0; o < s->ops.len; o++)
                found |= s->ops.ptr[o] == s->live.ptr[k] * 2 + 1;
            if (!found) return false;
        }
    }
    return true;
}
