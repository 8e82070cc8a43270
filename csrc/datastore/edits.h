/* edits.h -- what was written and is not in a change yet: of a batch, or of the open change.
 *
 *     edits   0 put "a" 1     1 put "b" 2     2 delete "a"           bytes   a 1 b 2 a
 *     latest  "a" -> 2 (-> 0)     "b" -> 1                           by key, through a hash
 *     sorted  2 1                                                    the latest edit of each key in key order, made when asked for
 *
 * Increments of one counter add up in one edit.
 */
#ifndef CKV_DATASTORE_EDITS_H
#define CKV_DATASTORE_EDITS_H

#include "datastore/op.h"
#include "ds/hmap.h"
#include "ds/vec.h"

typedef struct ckv_edit {
    ckv_kv_kind kind;
    uint32_t dag, key_bytes;
    bool is_bytes, replaced; /* replaced: a later one of the same key stands for it */
    size_t key_at, value_at, value_bytes;
    ckv_i128 amount;     /* COUNT: what is added; PART: the total, */
    uint32_t part_index; /* and of which operation; the value is the change's id */
    uint32_t before;     /* the edit of the same key before it, CKV_HMAP_NONE */
} ckv_edit;
CKV_VEC(ckv_edit_vec, ckv_edit);

typedef struct ckv_edits {
    ckv_alloc a;
    uint8_t secret[16];
    ckv_edit_vec edits;
    ckv_buf bytes;
    ckv_hmap latest;
    ckv_u32s sorted;
    bool is_sorted;
    uint64_t version; /* grows with every edit */
} ckv_edits;

ckv_edits ckv_edits_init(ckv_alloc a, const uint8_t secret[16]);
void ckv_edits_fini(ckv_edits *e);
void ckv_edits_clear(ckv_edits *e);
static inline size_t ckv_edits_len(const ckv_edits *e) { return e->edits.len; }
static inline size_t ckv_edits_bytes(const ckv_edits *e)
{
    return e->bytes.len + 16 * e->edits.len;
}

CKV_NODISCARD ckv_status ckv_edits_put(ckv_edits *e, uint32_t dag, ckv_store_key key,
                                       const uint8_t *value, size_t n_bytes);
CKV_NODISCARD ckv_status ckv_edits_delete(ckv_edits *e, uint32_t dag, ckv_store_key key);
CKV_NODISCARD ckv_status ckv_edits_count(ckv_edits *e, uint32_t dag, ckv_store_key name,
                                         ckv_i128 amount);

CKV_NODISCARD ckv_status ckv_edits_part(ckv_edits *e, uint32_t dag, ckv_store_key name,
                                        const ckv_id32 *change, uint32_t index, ckv_i128 total);

/* The latest edit of a key (or counter's name), NULL if there is none. */
const ckv_edit *ckv_edits_find(const ckv_edits *e, ckv_store_key key, bool is_count);
static inline ckv_store_key ckv_edit_key(const ckv_edits *e, const ckv_edit *x)
{
    return (ckv_store_key){e->bytes.ptr + x->key_at, x->key_bytes, x->is_bytes};
}
static inline ckv_value_bytes ckv_edit_value(const ckv_edits *e, const ckv_edit *x)
{
    return (ckv_value_bytes){e->bytes.ptr + x->value_at, x->value_bytes};
}
/* The latest edits of keys in key order, of counters behind them. */
CKV_NODISCARD ckv_status ckv_edits_sort(ckv_edits *e);
/* In that order, the first key (counter) that is >= key (> key if `beyond`); CKV_HMAP_NONE: none. Sorted before. */
uint32_t ckv_edits_from(const ckv_edits *e, const ckv_store_key *key, bool beyond, bool is_count);
/* The last one that is < key (<= key unless `beyond`), all for NULL. */
uint32_t ckv_edits_before(const ckv_edits *e, const ckv_store_key *key, bool beyond, bool is_count);

#endif
