/* Walks over an index. Memory and runs may change between two steps: then the walk finds its way back by the last key. */
#include "base/check.h"
#include "datastore/index_state.h"
#include "datastore/merge.h"

struct ckv_index_scan {
    ckv_index *x; /* borrowed */
    ckv_merge merge;
    uint64_t n_edits,
        n_layings; /* of the index, when the sources of `merge` were gathered; n_layings 0: they are not whole */
    bool is_lost; /* an error came between */
    ckv_buf lo, hi, key, entry;
    bool has_lo, has_hi, has_key;
    bool lo_is_bytes, hi_is_bytes, key_is_bytes;
};

static ckv_store_key key_in(const ckv_buf *b, bool is_bytes)
{
    return (ckv_store_key){b->ptr, (uint32_t)b->len, is_bytes};
}

static ckv_status keep(ckv_buf *b, const void *ptr, size_t n_bytes)
{
    ckv_buf_clear(b);
    ckv_buf_bytes(b, ptr, n_bytes);
    return b->status;
}

ckv_status ckv_index_scan_new(ckv_index_scan **out, ckv_index *x, const ckv_store_key *lo,
                              const ckv_store_key *hi, bool reverse)
{
    ckv_index_scan *s = ckv_resize(x->a, NULL, 0, sizeof *s);
    if (!s) return CKV_ENOMEM;
    *s = (ckv_index_scan){
        .x = x,
        .merge = ckv_merge_init(x->a, &x->shelf, &x->cache, x->join, x->ctx, reverse),
        .is_lost = true,
        .lo = ckv_buf_init(x->a),
        .hi = ckv_buf_init(x->a),
        .key = ckv_buf_init(x->a),
        .entry = ckv_buf_init(x->a),
        .has_lo = lo != NULL,
        .has_hi = hi != NULL,
        .lo_is_bytes = lo && lo->is_bytes,
        .hi_is_bytes = hi && hi->is_bytes,
    };
    ckv_status status = lo ? keep(&s->lo, lo->ptr, lo->n_bytes) : CKV_OK;
    if (status == CKV_OK && hi) status = keep(&s->hi, hi->ptr, hi->n_bytes);
    if (status == CKV_OK)
        *out = s;
    else
        ckv_index_scan_free(s);
    return status;
}

void ckv_index_scan_free(ckv_index_scan *s)
{
    if (!s) return;
    const ckv_alloc a = s->lo.a;
    ckv_merge_fini(&s->merge);
    ckv_buf_fini(&s->lo);
    ckv_buf_fini(&s->hi);
    ckv_buf_fini(&s->key);
    ckv_buf_fini(&s->entry);
    ckv_release(a, s, sizeof *s);
}

static ckv_status gather(ckv_index_scan *s)
{
    s->n_layings = 0;
    ckv_merge_clear(&s->merge);
    CKV_TRY(ckv_merge_add(&s->merge, &s->x->now.tree, NULL));
    for (size_t i = 0; i < s->x->now.runs.len; i++)
        CKV_TRY(ckv_merge_add(&s->merge, NULL, s->x->now.runs.ptr[i]));
    return CKV_OK;
}

/* To the last key, or to where the walk begins. */
static ckv_status find_way(ckv_index_scan *s)
{
    const bool reverse = s->merge.reverse;
    const ckv_store_key last = key_in(&s->key, s->key_is_bytes),
                        lo = key_in(&s->lo, s->lo_is_bytes), hi = key_in(&s->hi, s->hi_is_bytes);
    if (s->n_layings != s->x->n_layings) CKV_TRY(gather(s));
    if (s->has_key) return ckv_merge_seek(&s->merge, &last);
    if (reverse) return ckv_merge_seek(&s->merge, s->has_hi ? &hi : NULL);
    return ckv_merge_seek(&s->merge, s->has_lo ? &lo : NULL);
}

static bool is_behind_end(const ckv_index_scan *s, ckv_store_key key)
{
    if (s->merge.reverse)
        return s->has_lo && ckv_store_key_compare(key, key_in(&s->lo, s->lo_is_bytes)) < 0;
    return s->has_hi && ckv_store_key_compare(key, key_in(&s->hi, s->hi_is_bytes)) >= 0;
}

static ckv_status step(ckv_index_scan *s, ckv_store_key *key, ckv_entry_bytes *entry)
{
    if (s->is_lost || s->n_edits != s->x->n_edits || s->n_layings != s->x->n_layings) {
        CKV_TRY(find_way(s));
        s->n_edits = s->x->n_edits;
        s->n_layings = s->x->n_layings;
        s->is_lost = false;
    }
    do {
        CKV_TRY(ckv_merge_next(&s->merge, key, entry));
        if (is_behind_end(s, *key)) return CKV_ENOENT;
    } while (s->has_key && ckv_store_key_compare(*key, key_in(&s->key, s->key_is_bytes)) == 0);
    return CKV_OK;
}

ckv_status ckv_index_scan_next(ckv_index_scan *s, ckv_store_key *key, ckv_entry_bytes *entry)
{
    ckv_store_key at;
    ckv_entry_bytes known;
    ckv_status status = step(s, &at, &known);
    if (status == CKV_OK) status = keep(&s->entry, known.ptr, known.n_bytes);
    /* The last key is needed to find the way: a copy of the new one must be certain before it goes. */
    if (status == CKV_OK && s->key.cap < at.n_bytes) {
        ckv_buf longer = ckv_buf_init(s->key.a);
        ckv_buf_bytes(&longer, at.ptr, at.n_bytes);
        status = longer.status;
        if (status == CKV_OK) {
            ckv_buf_fini(&s->key);
            s->key = longer;
        }
    } else if (status == CKV_OK) {
        CKV_MUST(keep(&s->key, at.ptr, at.n_bytes) == CKV_OK);
    }
    if (status != CKV_OK) {
        s->is_lost = true;
        return status;
    }
    s->has_key = true;
    s->key_is_bytes = at.is_bytes;
    *key = key_in(&s->key, at.is_bytes);
    *entry = (ckv_entry_bytes){s->entry.ptr, s->entry.len};
    return CKV_OK;
}

uint64_t ckv_index_scan_rows(const ckv_index_scan *s) { return s->merge.n_rows; }
