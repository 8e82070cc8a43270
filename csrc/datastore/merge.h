/* merge.h -- memory and runs as one: all keys in order, each once, with the join of what they say of it.
 *
 *     order: [source 3 "a"] [source 0 "a"] [source 1 "c"] ...      by their current keys; equal ones side by side are joined
 *
 * An entry whose key occurs in one source only is passed on as it stands.
 *
 *     I1  `order` has the sources that are not at their end, ascending (descending if `reverse`) by key
 *     cost: a step costs a comparison for each source that the one just taken moves behind
 */
#ifndef CKV_DATASTORE_MERGE_H
#define CKV_DATASTORE_MERGE_H

#include "datastore/cache.h"
#include "datastore/index.h"
#include "datastore/run.h"
#include "kv/keytree.h"

/* One layer, at one of its keys. */
typedef struct ckv_source {
    const ckv_keytree *tree; /* borrowed; or */
    ckv_run *run;            /* borrowed */
    ckv_keyplace place;      /* in the tree */
    ckv_block_walk walk;     /* of block number `block`, if it has items */
    uint32_t block;
    size_t item;
    ckv_store_key key;
    ckv_entry_bytes entry, pile; /* pile: of memory, what is not joined to the entry yet */
    uint64_t head;               /* the first bytes of the key */
} ckv_source;
CKV_VEC(ckv_sources, ckv_source);

typedef struct ckv_merge {
    ckv_shelf *shelf; /* borrowed */
    ckv_cache *cache; /* borrowed; NULL: none */
    ckv_index_join join;
    void *ctx;
    bool reverse;
    ckv_sources sources;
    ckv_u32s order;
    size_t n_taken;          /* of `order`, by the last step: they are moved on by the next one */
    ckv_buf joined[2], heap; /* heap: what memory has, with its pile */
    uint64_t n_rows;         /* entries of sources that were taken so far */
} ckv_merge;

ckv_merge ckv_merge_init(ckv_alloc a, ckv_shelf *shelf, ckv_cache *cache, ckv_index_join join,
                         void *ctx, bool reverse);
void ckv_merge_fini(ckv_merge *m);
void ckv_merge_clear(ckv_merge *m); /* takes all sources out */
/* One of the two. */
CKV_NODISCARD ckv_status ckv_merge_add(ckv_merge *m, const ckv_keytree *tree, ckv_run *run);
/* To the first key >= key, with `reverse` to the last < key; NULL: to where the walk begins. After an error of this or of next: again, before anything else. */
CKV_NODISCARD ckv_status ckv_merge_seek(ckv_merge *m, const ckv_store_key *key);
/* Both good until the next call, and while memory stays as it is. CKV_ENOENT: the end. */
CKV_NODISCARD ckv_status ckv_merge_next(ckv_merge *m, ckv_store_key *key, ckv_entry_bytes *entry);

#endif
