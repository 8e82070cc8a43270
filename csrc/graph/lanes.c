#include "graph/lanes.h"

ckv_lanes ckv_lanes_init(ckv_alloc a, uint64_t secret)
{
    return (ckv_lanes){.lanes = {.a = a},
                       .branches = {.a = a},
                       .runs = {.a = a},
                       .by_id = ckv_hmap_init(a, (uint32_t)(secret >> 32)),
                       .secret = secret,
                       .spare = {.segments = {.a = a}, .runs = {.a = a}, .signatures = {.a = a}}};
}

void ckv_lanes_fini(ckv_lanes *x)
{
    for (size_t i = 0; i < x->branches.len; i++) {
        ckv_u32s_fini(&x->branches.ptr[i].segments);
        ckv_u32s_fini(&x->branches.ptr[i].runs);
        ckv_signed_ats_fini(&x->branches.ptr[i].signatures);
    }
    ckv_u32s_fini(&x->spare.segments);
    ckv_u32s_fini(&x->spare.runs);
    ckv_signed_ats_fini(&x->spare.signatures);
    ckv_lane_vec_fini(&x->lanes);
    ckv_branches_fini(&x->branches);
    ckv_item_runs_fini(&x->runs);
    ckv_hmap_fini(&x->by_id);
}

uint32_t ckv_lanes_find(const ckv_lanes *x, const ckv_id32 *id)
{
    size_t at = SIZE_MAX;
    for (uint32_t l;
         (l = ckv_hmap_probe(&x->by_id, ckv_fingerprint(x->secret, id), &at)) != CKV_HMAP_NONE;) {
        if (ckv_id32_eq(&x->lanes.ptr[l].id, id)) return l;
    }
    return CKV_NONE;
}

ckv_status ckv_lanes_add(ckv_lanes *x, const ckv_id32 *id, const ckv_id32 *author,
                         const uint8_t nonce[16], uint32_t *lane)
{
    CKV_TRY(ckv_hmap_reserve(&x->by_id, 1));
    CKV_TRY(ckv_lane_vec_reserve(&x->lanes, 1));
    *lane = (uint32_t)x->lanes.len;
    ckv_lane l = {.id = *id, .author = *author, .first_branch = CKV_NONE, .last_branch = CKV_NONE};
    memcpy(l.nonce, nonce, 16);
    ckv_lane_vec_put(&x->lanes, l);
    ckv_hmap_add(&x->by_id, ckv_fingerprint(x->secret, id), *lane);
    return CKV_OK;
}

/* The run of this very branch that holds off, off0 <= off < off_end. */
static const ckv_item_run *run_of(const ckv_lanes *x, const ckv_branch *b, uint32_t off,
                                  const ckv_item_run **next)
{
    size_t at = 0;
    CKV_SEEK(&at, b->runs.len, x->runs.ptr[b->runs.ptr[i]].off, off);
    *next = at + 1 < b->runs.len ? &x->runs.ptr[b->runs.ptr[at + 1]] : NULL;
    return &x->runs.ptr[b->runs.ptr[at]];
}

/* The branch of the chain that holds off itself. The depth of forks is bounded by the tips of a lane. */
static const ckv_branch *holder(const ckv_lanes *x, uint32_t branch, uint32_t off)
{
    const ckv_branch *b = &x->branches.ptr[branch];
    if (off >= b->off_end) return NULL;
    while (off < b->off0) b = &x->branches.ptr[b->parent];
    return b;
}

uint32_t ckv_lanes_item(const ckv_lanes *x, uint32_t branch, uint32_t off)
{
    const ckv_branch *b = holder(x, branch, off);
    if (!b) return CKV_NONE;
    const ckv_item_run *next, *run = run_of(x, b, off, &next);
    return run->item + (off - run->off);
}

uint32_t ckv_lanes_stretch(const ckv_lanes *x, uint32_t branch, uint32_t off, uint32_t *len)
{
    uint32_t end = UINT32_MAX;
    const ckv_branch *b = &x->branches.ptr[branch];
    for (; off < b->off0; b = &x->branches.ptr[b->parent])
        end = b->off0; /* the chain leaves the parent there */
    const ckv_item_run *next, *run = run_of(x, b, off, &next);
    const uint32_t run_end = next ? next->off : b->off_end;
    *len = (run_end < end ? run_end : end) - off;
    return run->item + (off - run->off);
}

uint32_t ckv_lanes_off_before(const ckv_lanes *x, uint32_t branch, uint32_t item)
{
    const ckv_branch *b = &x->branches.ptr[branch];
    size_t lo = 0, hi = b->runs.len; /* the number of its runs that begin before item */
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (x->runs.ptr[b->runs.ptr[mid]].item < item)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0) return b->off0;
    const ckv_item_run *run = &x->runs.ptr[b->runs.ptr[lo - 1]];
    const uint32_t end = lo < b->runs.len ? x->runs.ptr[b->runs.ptr[lo]].off : b->off_end;
    const uint32_t off = run->off + (item - run->item);
    return off < end ? off : end;
}

uint32_t ckv_lanes_place(const ckv_lanes *x, uint32_t item, uint32_t n_items, uint32_t *off,
                         uint32_t *len)
{
    size_t at = 0;
    CKV_ASSERT(item < n_items);
    CKV_SEEK(&at, x->runs.len, x->runs.ptr[i].item, item);
    const ckv_item_run *run = &x->runs.ptr[at];
    *off = run->off + (item - run->item);
    if (len) *len = (at + 1 < x->runs.len ? run[1].item : n_items) - item;
    return run->branch;
}

bool ckv_lanes_on_chain(const ckv_lanes *x, uint32_t branch, uint32_t of, uint32_t seq)
{
    uint32_t end = UINT32_MAX;
    for (uint32_t b = branch; b != CKV_NONE; b = x->branches.ptr[b].parent) {
        if (b == of) return seq < end;
        end = x->branches.ptr[b].seq0;
    }
    return false;
}

ckv_status ckv_lanes_reserve(ckv_lanes *x, uint32_t branch)
{
    CKV_TRY(ckv_branches_reserve(&x->branches, 1));
    CKV_TRY(ckv_item_runs_reserve(&x->runs, 1));
    ckv_branch *b = &x->spare;
    if (branch != CKV_NONE) b = &x->branches.ptr[branch];
    CKV_TRY(ckv_u32s_reserve(&b->runs, 1));
    return ckv_u32s_reserve(&b->segments, 1);
}

ckv_status ckv_lanes_sign(ckv_lanes *x, uint32_t branch, uint32_t seq, const ckv_signature *s)
{
    ckv_signed_ats *v = &x->branches.ptr[branch].signatures;
    CKV_TRY(ckv_signed_ats_reserve(v, 1));
    size_t i = v->len;
    while (i > 0 && v->ptr[i - 1].seq > seq) i--;
    if (i > 0 && v->ptr[i - 1].seq == seq) return CKV_OK;
    memmove(v->ptr + i + 1, v->ptr + i, (v->len - i) * sizeof *v->ptr);
    const ckv_branch *b = &x->branches.ptr[branch];
    const bool is_tip = seq + 1 == b->n_seq;
    v->ptr[i] = (ckv_signed_at){seq, is_tip ? b->body_bytes - b->tip_bytes : UINT64_MAX,
                                is_tip ? b->body_bytes : UINT64_MAX, *s};
    v->len++;
    return CKV_OK;
}

const ckv_signed_at *ckv_lanes_signature(const ckv_lanes *x, uint32_t branch, uint32_t seq)
{
    const ckv_signed_ats *v = &x->branches.ptr[branch].signatures;
    size_t lo = 0, hi = v->len;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (v->ptr[mid].seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->len ? &v->ptr[lo] : NULL;
}

bool ckv_lanes_covered(const ckv_lanes *x, uint32_t branch, uint32_t seq)
{
    if (ckv_lanes_signature(x, branch, seq)) return true;
    const ckv_lane *l = ckv_lanes_of_branch(x, branch);
    if (l->n_branches == 1) return false;
    for (uint32_t b = l->first_branch; b != CKV_NONE; b = x->branches.ptr[b].next) {
        if (b != branch && x->branches.ptr[b].signatures.len &&
            ckv_lanes_on_chain(x, b, branch, seq))
            return true;
    }
    return false;
}

uint32_t ckv_lanes_fork(ckv_lanes *x, uint32_t lane, uint32_t parent, uint32_t seq0, uint32_t off0)
{
    const uint32_t b = (uint32_t)x->branches.len;
    const ckv_alloc a = x->branches.a;
    ckv_lane *l = &x->lanes.ptr[lane];
    ckv_branches_put(&x->branches, (ckv_branch){.lane = lane,
                                                .parent = parent,
                                                .seq0 = seq0,
                                                .n_seq = seq0,
                                                .off0 = off0,
                                                .off_end = off0,
                                                .tip = CKV_NONE,
                                                .next = CKV_NONE,
                                                .segments = x->spare.segments,
                                                .runs = x->spare.runs,
                                                .signatures = x->spare.signatures});
    x->spare = (ckv_branch){.segments = {.a = a}, .runs = {.a = a}, .signatures = {.a = a}};
    if (l->last_branch == CKV_NONE)
        l->first_branch = b;
    else
        x->branches.ptr[l->last_branch].next = b;
    l->last_branch = b;
    l->n_branches++;
    return b;
}

void ckv_lanes_append(ckv_lanes *x, uint32_t branch, uint32_t change, uint32_t item,
                      uint32_t n_items)
{
    ckv_branch *b = &x->branches.ptr[branch];
    b->n_seq++;
    b->tip = change;
    if (n_items == 0) return;
    const ckv_item_run *last = ckv_item_runs_last(&x->runs);
    if (!last || last->branch != branch) {
        ckv_u32s_put(&b->runs, (uint32_t)x->runs.len);
        ckv_item_runs_put(&x->runs, (ckv_item_run){item, branch, b->off_end});
    }
    b->off_end += n_items;
}

void ckv_lanes_pop(ckv_lanes *x, uint32_t branch, uint32_t prev, uint32_t item, uint32_t n_items)
{
    ckv_branch *b = &x->branches.ptr[branch];
    const ckv_item_run *last = ckv_item_runs_last(&x->runs);
    if (n_items && last->item == item) {
        x->runs.len--;
        b->runs.len--;
    }
    b->off_end -= n_items;
    b->n_seq--;
    b->tip = prev;
    while (b->signatures.len && b->signatures.ptr[b->signatures.len - 1].seq >= b->n_seq)
        b->signatures.len--;
    if (b->n_seq > b->seq0) return;
    /* It made the branch, which is the newest of all. */
    ckv_lane *l = &x->lanes.ptr[b->lane];
    uint32_t before = CKV_NONE;
    for (uint32_t i = l->first_branch; i != branch; i = x->branches.ptr[i].next) before = i;
    if (before == CKV_NONE)
        l->first_branch = CKV_NONE;
    else
        x->branches.ptr[before].next = CKV_NONE;
    l->last_branch = before;
    l->n_branches--;
    ckv_u32s_fini(&b->segments);
    ckv_u32s_fini(&b->runs);
    ckv_signed_ats_fini(&b->signatures);
    x->branches.len--;
}

void ckv_lanes_drop(ckv_lanes *x, uint32_t n_lanes)
{
    while (x->lanes.len > n_lanes) {
        const uint32_t l = (uint32_t)--x->lanes.len;
        ckv_hmap_remove(&x->by_id, ckv_fingerprint(x->secret, &x->lanes.ptr[l].id), l);
    }
}

bool ckv_lanes_check(const ckv_lanes *x, uint32_t n_items, const char **why)
{
    *why = "lanes I1";
    for (size_t i = 0; i < x->runs.len; i++) {
        const ckv_item_run *r = &x->runs.ptr[i];
        if (i == 0 ? r->item != 0 : r->item <= r[-1].item) return false;
        if (r->item >= n_items || r->branch >= x->branches.len) return false;
    }
    if ((x->runs.len == 0) != (n_items == 0)) return false;
    for (size_t i = 0; i < x->branches.len; i++) {
        const ckv_branch *b = &x->branches.ptr[i];
        uint32_t off = b->off0;
        for (size_t k = 0; k < b->runs.len; k++) {
            const uint32_t j = b->runs.ptr[k];
            const ckv_item_run *r = &x->runs.ptr[j];
            if (r->branch != i || r->off != off) return false;
            off += (j + 1 < x->runs.len ? r[1].item : n_items) - r->item;
        }
        if (off != b->off_end) return false;
        *why = "lanes I2";
        if (b->parent != CKV_NONE && (b->parent >= i || b->seq0 > x->branches.ptr[b->parent].n_seq))
            return false;
        if (b->n_seq <= b->seq0) return false;
        *why = "lanes I1";
    }
    return true;
}
