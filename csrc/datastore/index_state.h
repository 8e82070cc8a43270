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

/* A cell of memory: what stands at its key, in the first `joined` bytes of its value, and a pile of entries that came since and are not joined to it yet. */
static inline size_t ckv_heap_room(const ckv_cell *c) { return (size_t)c->hlc; } /* for the value */
static inline uint32_t ckv_heap_joined(const ckv_cell *c) { return c->peer; }
static inline ckv_entry_bytes ckv_heap_entry(const ckv_cell *c)
{
    return (ckv_entry_bytes){ckv_cell_value(c), c->peer};
}
static inline ckv_entry_bytes ckv_heap_pile(const ckv_cell *c)
{
    return (ckv_entry_bytes){ckv_cell_value(c) + c->peer, c->value_bytes - c->peer};
}

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
    bool is_pouring;    /* a run is being written from memory, which stays as it is */
    ckv_index_tag tag;  /* for the next flush */
    uint64_t n_edits;   /* grows when memory changes: cells may be gone */
    uint64_t n_layings; /* grows when the layers change: runs may be gone */
    ckv_buf scratch[2];
};

#endif
