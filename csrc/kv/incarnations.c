#include "kv/incarnations.h"

#include <string.h>

static int compare(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b)
{
    const int order = memcmp(a, b, n_a < n_b ? n_a : n_b);
    return order ? order : n_a < n_b ? -1 : n_a > n_b;
}

ckv_incarnations ckv_incarnations_init(ckv_alloc a)
{
    return (ckv_incarnations){.all = {.a = a}, .order = {.a = a}};
}

void ckv_incarnations_fini(ckv_incarnations *t)
{
    for (size_t i = 0; i < t->all.len; i++) {
        ckv_incarnation *p = &t->all.ptr[i];
        ckv_release(t->all.a, p->id, p->id_bytes);
        ckv_dots_fini(&p->live);
        ckv_runs_fini(&p->killed);
    }
    ckv_incarnation_vec_fini(&t->all);
    ckv_u32s_fini(&t->order);
}

bool ckv_incarnation_is_id(const uint8_t *id, size_t n_bytes)
{
    return n_bytes >= CKV_INCARNATION && n_bytes <= CKV_MAX_PEER_NAME + CKV_INCARNATION &&
           id[n_bytes - CKV_INCARNATION] == '/';
}

/* Where an id stands in the order, or would. */
static size_t place_of(const ckv_incarnations *t, const uint8_t *id, size_t n_bytes, bool *is_there)
{
    size_t lo = 0, hi = t->order.len;
    *is_there = false;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const ckv_incarnation *p = &t->all.ptr[t->order.ptr[mid]];
        const int order = compare(p->id, p->id_bytes, id, n_bytes);
        if (order == 0) {
            *is_there = true;
            return mid;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint32_t ckv_incarnations_find(const ckv_incarnations *t, const uint8_t *id, size_t n_bytes)
{
    bool is_there;
    const size_t at = place_of(t, id, n_bytes, &is_there);
    return is_there ? t->order.ptr[at] : CKV_NOBODY;
}

ckv_status ckv_incarnations_reach(ckv_incarnations *t, const uint8_t *id, size_t n_bytes,
                                  uint32_t *number)
{
    bool is_there;
    const size_t at = place_of(t, id, n_bytes, &is_there);
    if (is_there) {
        *number = t->order.ptr[at];
        return CKV_OK;
    }
    CKV_TRY(ckv_incarnation_vec_reserve(&t->all, 1));
    CKV_TRY(ckv_u32s_reserve(&t->order, 1));
    const ckv_alloc a = t->all.a;
    uint8_t *copy = ckv_resize(a, NULL, 0, n_bytes);
    if (!copy) return CKV_ENOMEM;
    memcpy(copy, id, n_bytes);
    *number = (uint32_t)t->all.len;
    ckv_incarnation_vec_put(&t->all, (ckv_incarnation){.id = copy,
                                                       .id_bytes = n_bytes,
                                                       .live = ckv_dots_init(a),
                                                       .killed = {.a = a}});
    uint32_t *slot = t->order.ptr + at;
    memmove(slot + 1, slot, (t->order.len++ - at) * sizeof *slot);
    *slot = *number;
    return CKV_OK;
}

int ckv_incarnations_compare(const ckv_incarnations *t, uint32_t a, uint32_t b)
{
    const ckv_incarnation *p = &t->all.ptr[a], *q = &t->all.ptr[b];
    return a == b ? 0 : compare(p->id, p->id_bytes, q->id, q->id_bytes);
}

bool ckv_incarnations_check(const ckv_incarnations *t, const char **why)
{
    *why = NULL;
    if (t->order.len != t->all.len) *why = "I1: the order misses somebody";
    for (size_t i = 0; i < t->order.len && !*why; i++) {
        const ckv_incarnation *p = &t->all.ptr[t->order.ptr[i]];
        if (i > 0 && ckv_incarnations_compare(t, t->order.ptr[i - 1], t->order.ptr[i]) >= 0)
            *why = "I1: ids ascend";
        if (!ckv_incarnation_is_id(p->id, p->id_bytes)) *why = "I1: no id";
        if (p->mine_from > p->mine_to || p->mine_to > p->bookmark) *why = "I3: what is mine";
        if (p->bookmark >= CKV_HLC_END) *why = "I2: a bookmark beyond the end of time";
        ckv_dot_walk behind = ckv_dots_from(&p->live, p->bookmark + 1),
                     before = ckv_dots_from(&p->live, 0);
        uint64_t hlc;
        ckv_cell *cell;
        if (ckv_dot_walk_next(&behind, &hlc, &cell)) *why = "I3: a live dot above the bookmark";
        if (ckv_dot_walk_next(&before, &hlc, &cell) && hlc == 0) *why = "I3: dot 0";
        if (!*why) ckv_dots_check(&p->live, why);
    }
    return !*why;
}
