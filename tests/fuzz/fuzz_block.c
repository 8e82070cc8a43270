/* A key to look for (type, blob), then a block of an index. One that is laid out ascends, is found item by item, and is written as the same bytes; any other is refused, and a search in it
 * stays within it. */
#include "base/check.h"
#include "datastore/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void is_written_again(const ckv_block_walk *w)
{
    ckv_block_writer out = ckv_block_writer_init(ckv_alloc_libc);
    ckv_entry_bytes again;
    for (size_t i = 0; i < w->items.len; i++)
        CKV_MUST(ckv_block_put(&out, ckv_block_key(w, i), ckv_block_entry(w, i)) == CKV_OK);
    CKV_MUST(ckv_block_seal(&out, &again) == CKV_OK);
    CKV_ASSERT(again.n_bytes == w->block.len &&
               memcmp(again.ptr, w->block.ptr, again.n_bytes) == 0);
    ckv_block_writer_fini(&out);
}

static void is_found(const ckv_block_walk *w, ckv_entry_bytes block, ckv_store_key key)
{
    ckv_entry_bytes found;
    const size_t i = ckv_block_from(w, key);
    const bool is_there = i < w->items.len && ckv_store_key_compare(ckv_block_key(w, i), key) == 0;
    CKV_ASSERT(i == 0 || ckv_store_key_compare(ckv_block_key(w, i - 1), key) < 0);
    CKV_MUST(ckv_block_find(block, key, &found) == (is_there ? CKV_OK : CKV_ENOENT));
    if (is_there) CKV_ASSERT(found.n_bytes == ckv_block_entry(w, i).n_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_rd r = ckv_rd_init(data, n_bytes);
    const bool is_bytes = ckv_rd_u8(&r) & 1;
    size_t key_bytes;
    const uint8_t *p = ckv_rd_blob(&r, &key_bytes);
    if (r.status != CKV_OK || key_bytes > CKV_MAX_KEY) return 0;
    const ckv_store_key key = {p, (uint32_t)key_bytes, is_bytes};
    ckv_block_walk w = ckv_block_walk_init(ckv_alloc_libc);
    ckv_buf_bytes(&w.block, r.p, ckv_rd_left(&r));
    const ckv_entry_bytes block = {w.block.ptr, w.block.len};
    if (ckv_block_lay_out(&w) == CKV_OK) {
        CKV_ASSERT(w.items.len > 0);
        for (size_t i = 0; i < w.items.len; i++) is_found(&w, block, ckv_block_key(&w, i));
        is_found(&w, block, key);
        is_written_again(&w);
    } else {
        ckv_entry_bytes found;
        const ckv_status s = ckv_block_find(block, key, &found);
        CKV_ASSERT(w.items.len == 0);
        CKV_ASSERT(s == CKV_OK || s == CKV_ENOENT || s == CKV_ECORRUPT);
        if (s == CKV_OK)
            CKV_ASSERT(found.ptr >= block.ptr && found.n_bytes > 0 &&
                       found.n_bytes < (size_t)(block.ptr + block.n_bytes - found.ptr));
    }
    ckv_block_walk_fini(&w);
    return 0;
}
