/* block.h -- some KiB of a run: keys that ascend, each with its entry. docs/format.md, "Index of a datastore".
 *
 *     block   := item+  restart+  n_restarts(u32le)
 *     item    := shared(varint)  rest << 1 | is_bytes(varint)  entry_bytes(varint)  rest bytes of the key  entry
 *     restart := where an item begins that shares nothing (u32le): every CKV_BLOCK_STRIDE-th, from the first on
 *
 * `shared` is how many bytes a key has in common with the one before it: as many as there are, which keeps the form unique. A search halves the restarts, then reads
 * fewer than CKV_BLOCK_STRIDE items. A block has at most CKV_BLOCK_BYTES; an entry that is longer stands alone.
 *
 *     I1  keys ascend strictly, no entry is empty, there is an item
 *     I2  the keys of a block, written out, have at most CKV_BLOCK_KEYS bytes, or there is one item
 *
 * All of it is read as bytes from outside: within bounds whatever they say.
 */
#ifndef CKV_DATASTORE_BLOCK_H
#define CKV_DATASTORE_BLOCK_H

#include "base/buf.h"
#include "ds/vec.h"
#include "kv/key.h"

#define CKV_BLOCK_STRIDE 16u
#define CKV_BLOCK_BYTES  8100u /* with what SQLite puts around it, a page of 8 KiB */
#define CKV_BLOCK_LEAST  4u    /* bytes of an item */
#define CKV_BLOCK_KEYS   (64u << 10)

typedef struct ckv_entry_bytes {
    const uint8_t *ptr;
    size_t n_bytes;
} ckv_entry_bytes;

/* ---- writing */
typedef struct ckv_block_writer {
    ckv_buf out;
    ckv_buf last; /* the last key */
    bool last_is_bytes;
    ckv_u32s restarts;
    size_t n, key_bytes;
} ckv_block_writer;

ckv_block_writer ckv_block_writer_init(ckv_alloc a);
void ckv_block_writer_fini(ckv_block_writer *w);
/* Whether an item still fits; into an empty one everything does. */
bool ckv_block_has_room(const ckv_block_writer *w, ckv_store_key key, size_t entry_bytes);
/* The key is above all that are there. */
CKV_NODISCARD ckv_status ckv_block_put(ckv_block_writer *w, ckv_store_key key,
                                       ckv_entry_bytes entry);
/* The block, good until the next call; then begin anew with ckv_block_clear. */
CKV_NODISCARD ckv_status ckv_block_seal(ckv_block_writer *w, ckv_entry_bytes *block);
void ckv_block_clear(ckv_block_writer *w);

/* ---- searching: *entry stands in the block. CKV_ENOENT. */
CKV_NODISCARD ckv_status ckv_block_find(ckv_entry_bytes block, ckv_store_key key,
                                        ckv_entry_bytes *entry);

/* ---- walking: all items laid out */
typedef struct ckv_block_item {
    uint32_t key_at, key_bytes, entry_at, entry_bytes;
    bool is_bytes;
} ckv_block_item;
CKV_VEC(ckv_block_items, ckv_block_item);

typedef struct ckv_block_walk {
    ckv_buf block; /* a copy */
    ckv_buf keys;  /* written out */
    ckv_block_items items;
} ckv_block_walk;

ckv_block_walk ckv_block_walk_init(ckv_alloc a);
void ckv_block_walk_fini(ckv_block_walk *w);
/* Lays out what was put into w->block. CKV_ECORRUPT: it is no block. On an error there are no items. */
CKV_NODISCARD ckv_status ckv_block_lay_out(ckv_block_walk *w);
ckv_store_key ckv_block_key(const ckv_block_walk *w, size_t i);
ckv_entry_bytes ckv_block_entry(const ckv_block_walk *w, size_t i);
/* The first item whose key is >= key; items.len if there is none. */
size_t ckv_block_from(const ckv_block_walk *w, ckv_store_key key);

#endif
