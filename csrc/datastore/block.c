#include "datastore/block.h"

static uint32_t in_common(ckv_store_key a, ckv_store_key b)
{
    const uint32_t n = a.n_bytes < b.n_bytes ? a.n_bytes : b.n_bytes;
    uint32_t i = 0;
    while (i < n && a.ptr[i] == b.ptr[i]) i++;
    return i;
}

/* One whose pointer may be moved, be it by nothing. */
static ckv_store_key solid(ckv_store_key key)
{
    static const uint8_t nothing[1];
    if (!key.ptr) key.ptr = nothing;
    return key;
}

/* ---- writing */

ckv_block_writer ckv_block_writer_init(ckv_alloc a)
{
    return (ckv_block_writer){
        .out = ckv_buf_init(a), .last = ckv_buf_init(a), .restarts = {.a = a}};
}

void ckv_block_writer_fini(ckv_block_writer *w)
{
    ckv_buf_fini(&w->out);
    ckv_buf_fini(&w->last);
    ckv_u32s_fini(&w->restarts);
}

void ckv_block_clear(ckv_block_writer *w)
{
    ckv_buf_clear(&w->out);
    ckv_buf_clear(&w->last);
    w->restarts.len = 0;
    w->n = w->key_bytes = 0;
}

/* How many bytes of the key the next item would not repeat. */
static uint32_t n_shared(const ckv_block_writer *w, ckv_store_key key)
{
    const ckv_store_key last = {w->last.ptr, (uint32_t)w->last.len, w->last_is_bytes};
    CKV_PARANOID(w->n == 0 || ckv_store_key_compare(last, key) < 0);
    return w->n % CKV_BLOCK_STRIDE == 0 ? 0 : in_common(last, key);
}

bool ckv_block_has_room(const ckv_block_writer *w, ckv_store_key key, size_t entry_bytes)
{
    if (w->n == 0) return true;
    if (entry_bytes > CKV_BLOCK_BYTES || w->key_bytes + key.n_bytes > CKV_BLOCK_KEYS) return false;
    const size_t around =
        2 + 2 + 2 + 4 * (w->restarts.len + 2); /* lengths; restarts, their number */
    return w->out.len + around + key.n_bytes - n_shared(w, key) + entry_bytes <= CKV_BLOCK_BYTES;
}

ckv_status ckv_block_put(ckv_block_writer *w, ckv_store_key key, ckv_entry_bytes entry)
{
    key = solid(key);
    const bool is_restart = w->n % CKV_BLOCK_STRIDE == 0;
    const uint32_t shared = n_shared(w, key);
    CKV_ASSERT(key.n_bytes <= CKV_MAX_KEY && entry.n_bytes > 0);
    if (entry.n_bytes > UINT32_MAX / 2) return CKV_ELIMIT;
    if (is_restart) CKV_TRY(ckv_u32s_reserve(&w->restarts, 1));
    ckv_buf_clear(&w->last);
    ckv_buf_bytes(&w->last, key.ptr, key.n_bytes);
    if (w->last.status != CKV_OK) return w->last.status;
    w->last_is_bytes = key.is_bytes;
    if (is_restart) ckv_u32s_put(&w->restarts, (uint32_t)w->out.len);
    ckv_buf_varint(&w->out, shared);
    ckv_buf_varint(&w->out, (uint64_t)(key.n_bytes - shared) << 1 | key.is_bytes);
    ckv_buf_varint(&w->out, entry.n_bytes);
    ckv_buf_bytes(&w->out, key.ptr + shared, key.n_bytes - shared);
    ckv_buf_bytes(&w->out, entry.ptr, entry.n_bytes);
    w->n++;
    w->key_bytes += key.n_bytes;
    return w->out.status;
}

ckv_status ckv_block_seal(ckv_block_writer *w, ckv_entry_bytes *block)
{
    for (size_t i = 0; i < w->restarts.len; i++) ckv_buf_u32le(&w->out, w->restarts.ptr[i]);
    ckv_buf_u32le(&w->out, (uint32_t)w->restarts.len);
    *block = (ckv_entry_bytes){w->out.ptr, w->out.len};
    return w->out.status;
}

/* ---- reading */

typedef struct frame {
    size_t items_end;        /* the items stand before this */
    const uint8_t *restarts; /* u32le each */
    uint32_t n_restarts;
} frame;

static uint32_t u32le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static ckv_status read_frame(ckv_entry_bytes block, frame *out)
{
    if (block.n_bytes < 4 || block.n_bytes > UINT32_MAX) return CKV_ECORRUPT;
    const uint32_t n = u32le(block.ptr + block.n_bytes - 4);
    if (n == 0 || n > (block.n_bytes - 4) / 4) return CKV_ECORRUPT;
    out->n_restarts = n;
    out->items_end = block.n_bytes - 4 - 4 * (size_t)n;
    out->restarts = block.ptr + out->items_end;
    return CKV_OK;
}

typedef struct item {
    uint32_t shared;
    ckv_store_key rest; /* of the key */
    ckv_entry_bytes entry;
} item;

static inline ckv_status read_item(ckv_rd *r, item *out)
{
    out->shared = (uint32_t)ckv_rd_upto(r, CKV_MAX_KEY);
    const uint64_t head = ckv_rd_upto(r, CKV_MAX_KEY << 1 | 1);
    const uint64_t n_bytes = ckv_rd_varint(r);
    if (r->status != CKV_OK || (head >> 1) + out->shared > CKV_MAX_KEY || n_bytes == 0)
        return CKV_ECORRUPT;
    const uint32_t n_rest = (uint32_t)(head >> 1);
    if (ckv_rd_left(r) < n_rest || ckv_rd_left(r) - n_rest < n_bytes) return CKV_ECORRUPT;
    out->rest = (ckv_store_key){r->p, n_rest, head & 1};
    out->entry = (ckv_entry_bytes){r->p + n_rest, (size_t)n_bytes};
    r->p += n_rest + n_bytes;
    return CKV_OK;
}

/* The reader stands at restart i. */
static ckv_status read_restart(ckv_entry_bytes block, const frame *f, uint32_t i, ckv_rd *r,
                               item *out)
{
    const uint32_t at = u32le(f->restarts + 4 * (size_t)i);
    if (at >= f->items_end) return CKV_ECORRUPT;
    *r = ckv_rd_init(block.ptr + at, f->items_end - at);
    CKV_TRY(read_item(r, out));
    return out->shared ? CKV_ECORRUPT : CKV_OK;
}

/* Of a key below `key`: so many first bytes of the two are equal. */
static int compare_from(ckv_store_key rest, ckv_store_key key, uint32_t shared, uint32_t *match)
{
    const ckv_store_key behind = {key.ptr + shared, key.n_bytes - shared, key.is_bytes};
    const uint32_t common = in_common(rest, behind);
    *match = shared + common;
    if (common < rest.n_bytes && common < behind.n_bytes)
        return (int)rest.ptr[common] - (int)behind.ptr[common];
    if (rest.n_bytes != behind.n_bytes) return rest.n_bytes < behind.n_bytes ? -1 : 1;
    return (int)rest.is_bytes - (int)key.is_bytes;
}

ckv_status ckv_block_find(ckv_entry_bytes block, ckv_store_key key, ckv_entry_bytes *entry)
{
    frame f;
    item it;
    ckv_rd r;
    key = solid(key);
    CKV_TRY(read_frame(block, &f));
    uint32_t lo = 0, hi = f.n_restarts; /* the last restart whose key is <= key */
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        CKV_TRY(read_restart(block, &f, mid, &r, &it));
        const int order = ckv_store_key_compare(it.rest, key);
        if (order == 0) {
            *entry = it.entry;
            return CKV_OK;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0) return CKV_ENOENT;
    CKV_TRY(read_restart(block, &f, lo - 1, &r, &it));
    uint32_t match;
    int order = compare_from(it.rest, key, 0, &match);
    /* The key before is below `key` and has `match` first bytes in common with it. One that shares more with the key before is below, too; one that shares less is above. */
    for (uint32_t i = 1; order < 0 && i < CKV_BLOCK_STRIDE && ckv_rd_left(&r) > 0; i++) {
        CKV_TRY(read_item(&r, &it));
        if (it.shared > match) continue;
        if (it.shared < match) break;
        order = compare_from(it.rest, key, match, &match);
    }
    if (order != 0) return CKV_ENOENT;
    *entry = it.entry;
    return CKV_OK;
}

/* ---- walking */

ckv_block_walk ckv_block_walk_init(ckv_alloc a)
{
    return (ckv_block_walk){.block = ckv_buf_init(a), .keys = ckv_buf_init(a), .items = {.a = a}};
}

void ckv_block_walk_fini(ckv_block_walk *w)
{
    ckv_buf_fini(&w->block);
    ckv_buf_fini(&w->keys);
    ckv_block_items_fini(&w->items);
}

ckv_store_key ckv_block_key(const ckv_block_walk *w, size_t i)
{
    const ckv_block_item *it = &w->items.ptr[i];
    return (ckv_store_key){w->keys.ptr + it->key_at, it->key_bytes, it->is_bytes};
}

ckv_entry_bytes ckv_block_entry(const ckv_block_walk *w, size_t i)
{
    const ckv_block_item *it = &w->items.ptr[i];
    return (ckv_entry_bytes){w->block.ptr + it->entry_at, it->entry_bytes};
}

/* Appends an item; its key is the one before up to `shared`, then `rest`. */
static ckv_status lay(ckv_block_walk *w, const item *it)
{
    const size_t n = w->items.len, key_bytes = it->shared + it->rest.n_bytes;
    const ckv_block_item *before = n ? &w->items.ptr[n - 1] : NULL;
    if (it->shared > (before ? before->key_bytes : 0)) return CKV_ECORRUPT;
    if (n && w->keys.len + key_bytes > CKV_BLOCK_KEYS) return CKV_ECORRUPT; /* I2 */
    if (!ckv_buf_reserve(&w->keys, key_bytes + 1)) return w->keys.status;
    CKV_TRY(ckv_block_items_reserve(&w->items, 1));
    before = n ? &w->items.ptr[n - 1] : NULL;
    const ckv_block_item here = {
        .key_at = (uint32_t)w->keys.len,
        .key_bytes = (uint32_t)key_bytes,
        .entry_at = (uint32_t)(it->entry.ptr - w->block.ptr),
        .entry_bytes = (uint32_t)it->entry.n_bytes,
        .is_bytes = it->rest.is_bytes,
    };
    if (it->shared) ckv_buf_bytes(&w->keys, w->keys.ptr + before->key_at, it->shared);
    ckv_buf_bytes(&w->keys, it->rest.ptr, it->rest.n_bytes);
    ckv_block_items_put(&w->items, here);
    if (!before) return CKV_OK;
    const ckv_store_key a = ckv_block_key(w, n - 1), b = ckv_block_key(w, n);
    if (n % CKV_BLOCK_STRIDE && it->shared < a.n_bytes && it->rest.n_bytes &&
        a.ptr[it->shared] == it->rest.ptr[0])
        return CKV_ECORRUPT; /* it shares more than it says */
    return ckv_store_key_compare(a, b) < 0 ? CKV_OK : CKV_ECORRUPT;
}

static ckv_status lay_all(ckv_block_walk *w)
{
    const ckv_entry_bytes block = {w->block.ptr, w->block.len};
    frame f;
    CKV_TRY(read_frame(block, &f));
    ckv_rd r = ckv_rd_init(block.ptr, f.items_end);
    uint32_t i = 0;
    while (ckv_rd_left(&r) > 0) {
        const size_t at = (size_t)(r.p - block.ptr);
        item it;
        CKV_TRY(read_item(&r, &it));
        if (w->items.len % CKV_BLOCK_STRIDE == 0) {
            if (it.shared || i == f.n_restarts || u32le(f.restarts + 4 * (size_t)i) != at)
                return CKV_ECORRUPT;
            i++;
        }
        CKV_TRY(lay(w, &it));
    }
    return i == f.n_restarts ? CKV_OK : CKV_ECORRUPT; /* there is one, so there is an item */
}

ckv_status ckv_block_lay_out(ckv_block_walk *w)
{
    ckv_buf_clear(&w->keys);
    w->items.len = 0;
    const ckv_status status = lay_all(w);
    if (status != CKV_OK) w->items.len = 0;
    return status;
}

size_t ckv_block_from(const ckv_block_walk *w, ckv_store_key key)
{
    size_t lo = 0, hi = w->items.len;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (ckv_store_key_compare(ckv_block_key(w, mid), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}
