/* index_state.h -- what an index is made of, for index.c and index_scan.c. */
#ifndef CKV_DATASTORE_INDEX_STATE_H
#define CKV_DATASTORE_INDEX_STATE_H

#include "datastore/cache.h"
#include "datastore/index.h"
#include "datastore/run.h"
#include "kv/keytree.h"

CKV_VEC(ckv_runs, ckv_run *);

typedef struct ckv_index_tag {
    uint8_t bytes[CKV_INDEX_TAG];
    uint8_t n_bytes;
} ckv_index_tag;

/* All that is known: memory and runs. */
typedef struct ckv_layers {
    ckv_keytree tree;
    size_t tree_bytes; /* of its cells */
    ckv_runs runs;     /* by id: the older first */
    ckv_index_tag tag; /* of the runs, as it was written */
} ckv_layers;

struct ckv_index {
    ckv_alloc a;
    ckv_shelf shelf;
    ckv_cache cache;
    ckv_index_join join;
    void *ctx;
    uint8_t salt[16];
    ckv_stmt *list_runs, *read_set, *write_set; /* owned */
    char set_name[64];
    bool has_stale_rows; /* rows that cannot be believed: the next flush drops them */
    ckv_layers now;
    ckv_layers before; /* is_pending: as it was at the last commit; a run may be in both */
    bool is_pending, was_stale;
    ckv_index_tag tag;  /* for the next flush */
    uint64_t n_edits;   /* grows when memory changes: cells may be gone */
    uint64_t n_layings; /* grows when the layers change: runs may be gone */
    ckv_buf scratch[2];
};

#endif
