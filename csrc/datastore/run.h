/* run.h -- a run: sorted, never changed, on disk in blocks; its directory in memory.
 *
 *     tables   run(id, object, space, level, n_keys, directory)    `directory` is the foot: sizes, and digests of the three pieces
 *              block(id, data)                                     id = run << 32 | number: blocks, then the three pieces in slices
 *
 *     separator of each block: the shortest key above the block before and not above the block       \
 *     digest of each block: 16 bytes of BLAKE2b, looked at when it is read for the first time         > the three pieces of the directory
 *     filter: which keys may be here                                                                 /
 *
 * The *name* of a run is the digest of its row, foot included, which holds the digests of the pieces, which hold those of the blocks: who knows the name believes in nothing else.
 *
 *     I1  keys ascend across blocks, and stand between the separators, which ascend, too
 *     I2  each block is what its digest says
 *     I3  n_keys and n_bytes are those of all blocks
 *     memory: 28 bytes and a separator a block, 1.25 bytes a key
 */
#ifndef CKV_DATASTORE_RUN_H
#define CKV_DATASTORE_RUN_H

#include "base/id32.h"
#include "datastore/block.h"
#include "datastore/filter.h"
#include "disk/file.h"

#define CKV_RUN_DIGEST 16u

/* Where the runs of an index stand: statements over the two tables. */
typedef struct ckv_shelf {
    ckv_file *file; /* borrowed */
    int64_t object;
    int space;
    ckv_stmt *read; /* owned */
    ckv_stmt *put_block, *put_run, *drop_blocks, *drop_run,
        *last_run;   /* owned; made when first written */
    int64_t damaged; /* the row of `block` that the last CKV_ECORRUPT was about */
} ckv_shelf;

CKV_NODISCARD ckv_status ckv_shelf_init(ckv_shelf *s, ckv_file *file, int64_t object, int space);
void ckv_shelf_fini(ckv_shelf *s);
CKV_NODISCARD ckv_status ckv_shelf_write(ckv_shelf *s); /* makes the statements that write */

typedef struct ckv_separator {
    uint32_t at; /* in `keys` */
    uint16_t n_bytes;
    bool is_bytes;
} ckv_separator;

typedef struct ckv_run {
    ckv_alloc a;
    int64_t id;
    int level;
    uint64_t n_keys, n_bytes; /* of keys and entries */
    uint32_t n_blocks;
    uint8_t *keys; /* owned: the separators as they stand on disk */
    size_t keys_bytes;
    ckv_separator *separators; /* owned */
    uint8_t *digests;          /* owned */
    ckv_filter filter;
    uint32_t *slots;  /* owned: of the cache (cache.h) */
    uint8_t *checked; /* owned: a bit for each block that was held against its digest */
    ckv_id32 name;
} ckv_run;

/* Reads the directory of a run; the foot as it stands in its row. CKV_ECORRUPT. */
CKV_NODISCARD ckv_status ckv_run_load(ckv_run **out, ckv_alloc a, ckv_shelf *s, int64_t id,
                                      int level, uint64_t n_keys, ckv_entry_bytes foot);
void ckv_run_free(ckv_run *r); /* no block of it is in a cache any more */
/* The one block that may have the key. */
uint32_t ckv_run_block_of(const ckv_run *r, ckv_store_key key);
static inline int64_t ckv_run_row(const ckv_run *r, uint32_t block) { return r->id << 32 | block; }
/* Block i, checked, good until ckv_stmt_reset(s->read). CKV_ECORRUPT: s->damaged. */
CKV_NODISCARD ckv_status ckv_run_read(ckv_run *r, ckv_shelf *s, uint32_t i, ckv_entry_bytes *block);
/* Do the first and the last key of block i stand between its separators? Then keys ascend from block to block. */
bool ckv_run_fits(const ckv_run *r, uint32_t i, ckv_store_key first, ckv_store_key last);
/* Deletes its rows. */
CKV_NODISCARD ckv_status ckv_run_drop(ckv_shelf *s, int64_t id);
/* Bytes of memory. */
size_t ckv_run_memory(const ckv_run *r);
/* Reads all of it: order, numbers, digests. */
CKV_NODISCARD ckv_status ckv_run_check(ckv_run *r, ckv_shelf *s, const char **why);

/* ---- writing */
typedef struct ckv_run_writer {
    ckv_shelf *s;        /* borrowed */
    ckv_run *run;        /* owned, until ckv_run_end; its arrays grow in the vectors below */
    const uint8_t *salt; /* borrowed */
    ckv_block_writer block;
    ckv_buf keys, digests;
    ckv_buf separators; /* of ckv_separator */
    ckv_buf last;       /* the last key of the block before */
    bool last_is_bytes;
} ckv_run_writer;

/* Up to n_keys keys will come. */
CKV_NODISCARD ckv_status ckv_run_begin(ckv_run_writer *w, ckv_alloc a, ckv_shelf *s,
                                       const uint8_t salt[16], uint64_t n_keys);
CKV_NODISCARD ckv_status ckv_run_put(ckv_run_writer *w, ckv_store_key key, ckv_entry_bytes entry);
/* Bytes of keys and entries so far. */
static inline uint64_t ckv_run_size(const ckv_run_writer *w) { return w->run->n_bytes; }
/* The run with all its rows; NULL if nothing was put. */
CKV_NODISCARD ckv_status ckv_run_end(ckv_run_writer *w, int level, ckv_run **out);
void ckv_run_writer_fini(ckv_run_writer *w);

#endif
