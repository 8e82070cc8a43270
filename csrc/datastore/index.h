/* index.h -- from keys to what is known of them: an LSM tree whose merge operator is the CRDT's join.
 *
 *     memory    the newest entries, an ordered map; bounded by what the caller flushes
 *     runs      sorted, immutable, on disk in blocks of some KiB; each with the first key of every block, a digest of every block, and a bloom filter
 *               by size they have levels, each of CKV_INDEX_FAN times the bytes of the one below; what is flushed is merged with what would make its level full
 *
 * What is known of a key is the join of what all layers say of it. Join is associative, commutative and idempotent, so it does not matter in which layer something
 * stands, nor in which order layers are asked or merged. An *entry* is the bytes that stand for the operations on a key (datastore/entry.h); this room does not look inside.
 * In memory a long entry is not written anew for each that comes: these wait behind it, end to end in a *pile*, until they are as long as it is, or it is read. So a join takes piles, too.
 *
 *     I1  keys ascend in every run, across its blocks, and no entry is empty
 *     I2  a run's digests are those of its blocks; its seal is that of its directory under the file's key
 *     I3  each level has fewer than CKV_INDEX_FAN runs; that of memory flushed at 16 MiB fewer than CKV_INDEX_WIDE
 *     cost: get: one search in memory, a filter for each run, a block for each that may have the key. add: O(log n). What is known of a key is written once for each level that it comes to.
 */
#ifndef CKV_DATASTORE_INDEX_H
#define CKV_DATASTORE_INDEX_H

#include "base/buf.h"
#include "datastore/block.h"
#include "disk/file.h"
#include "kv/key.h"

#define CKV_INDEX_FAN   4u
#define CKV_INDEX_WIDE  12u
#define CKV_INDEX_CACHE (8u << 20) /* bytes of blocks that are kept in memory */
#define CKV_INDEX_TAG   64u        /* bytes */

typedef struct ckv_index ckv_index;

/* Appends the join of entries a and b to out; b may be several, one behind the other, that were not joined. Out may stay as it was: nothing is left of them. */
typedef ckv_status (*ckv_index_join)(void *ctx, ckv_entry_bytes a, ckv_entry_bytes b, ckv_buf *out);
/* Appends what is to be kept of an entry, which is all that is known of its key: for rewrites. It may get from the index, and walk. */
typedef ckv_status (*ckv_index_filter)(void *ctx, ckv_store_key key, ckv_entry_bytes entry,
                                       ckv_buf *out);

/* Reads the directories of its runs. `object` and `space` name it in the file. *sound false: a run is missing, damaged, or not sealed by the file's key (if the file has one): the index
 * is then empty, and the caller must fill it anew (and flush, which drops what was there). */
CKV_NODISCARD ckv_status ckv_index_open(ckv_index **out, ckv_alloc a, ckv_file *file,
                                        int64_t object, int space, ckv_index_join join, void *ctx,
                                        bool *sound);
void ckv_index_free(ckv_index *x);

/* Appends all that is known of the key. CKV_ENOENT: nothing. CKV_ECORRUPT: a block is damaged; *which (ckv_index_damaged) says which. */
CKV_NODISCARD ckv_status ckv_index_get(ckv_index *x, ckv_store_key key, ckv_buf *out);
/* Grows when memory becomes runs, runs are merged, or any of that is taken back: what was worked out from the index before may not hold. */
uint64_t ckv_index_laying(const ckv_index *x);
/* The block row that the last CKV_ECORRUPT was about. */
int64_t ckv_index_damaged(const ckv_index *x);
/* Joins an entry into memory. On an error nothing has changed. */
CKV_NODISCARD ckv_status ckv_index_add(ckv_index *x, ckv_store_key key, ckv_entry_bytes entry);
size_t ckv_index_memory(const ckv_index *x); /* bytes of the entries in memory, about */

/* What the runs stand for, in the caller's words (roots, say), at most CKV_INDEX_TAG bytes; under their seal. It is written by the next flush, and is back after opening: if it is not what
 * the caller expects, somebody has put an older index into the file. An index that was never flushed has none. */
void ckv_index_stand_for(ckv_index *x, const void *tag, size_t n_bytes);
ckv_entry_bytes ckv_index_stands_for(const ckv_index *x);

/* Writes memory out as a run, merged with those runs that would be too many, all inside the caller's transaction. Gets and scans go on and find the same. An error has changed nothing
 * here; roll back. Then one of the two: flushed: the transaction was committed (cannot fail). unflushed: it was rolled back, and all is as it was before its first flush; what was added since then is
 * gone, since it came from what was rolled back. Several flushes in one transaction are one. */
CKV_NODISCARD ckv_status ckv_index_flush(ckv_index *x);
void ckv_index_flushed(ckv_index *x);
void ckv_index_unflushed(ckv_index *x);
/* As flush, but everything becomes one run (or none), each entry passed through the filter (NULL: as it is). */
CKV_NODISCARD ckv_status ckv_index_rewrite(ckv_index *x, ckv_index_filter filter, void *ctx);
/* Forgets everything, memory and runs; inside a transaction, then flushed or unflushed. */
CKV_NODISCARD ckv_status ckv_index_clear(ckv_index *x);

/* ---- walks: ascending or descending, lo <= key < hi. They survive adds, flushes and merges between two steps: each key at most once, in order. */
typedef struct ckv_index_scan ckv_index_scan;
CKV_NODISCARD ckv_status ckv_index_scan_new(ckv_index_scan **out, ckv_index *x,
                                            const ckv_store_key *lo, const ckv_store_key *hi,
                                            bool reverse);
void ckv_index_scan_free(ckv_index_scan *scan);
/* The next key and all that is known of it, both good until the next step. CKV_ENOENT: the end. */
CKV_NODISCARD ckv_status ckv_index_scan_next(ckv_index_scan *scan, ckv_store_key *key,
                                             ckv_entry_bytes *entry);
/* How many entries of layers the walk has seen, about: more than keys where layers speak of the same ones. */
uint64_t ckv_index_scan_rows(const ckv_index_scan *scan);

typedef struct ckv_index_stats {
    uint64_t memory_entries, memory_bytes, runs, blocks, disk_bytes, disk_entries, cache_bytes,
        cache_hits, cache_misses, directory_bytes;
} ckv_index_stats;
void ckv_index_figures(const ckv_index *x, ckv_index_stats *out);
/* Reads everything: order, digests, seals. False with *why and the row of the block in question. */
bool ckv_index_check(ckv_index *x, const char **why, int64_t *block);

#endif
