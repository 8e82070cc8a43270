/* datastore.h -- a replicated key-value datastore: a Merkle-CRDT on disk, whose peers may lie. docs/format.md, "Datastore".
 *
 *     put -> the open change -> commit: ckv_doc_write, rows, COMMIT -> the index's memory -> runs
 *
 * One key space (and one of counters), any number of named DAGs, each a hash graph of its own (doc/content.h). Not locked; whoever shares it between threads locks it.
 * Lone edits gather in the open change; it is visible to its own reader at once, and closed by ckv_datastore_commit, by a batch, or by whoever looks from outside. It closes itself after
 * CKV_OPEN_EDITS edits or CKV_OPEN_BYTES.
 *
 *     I1  what is in the graph is in the file
 *     I2  what the index says is what the bodies say up to dag.indexed, and memory says the rest
 */
#ifndef CKV_DATASTORE_DATASTORE_H
#define CKV_DATASTORE_DATASTORE_H

#include "base/buf.h"
#include "disk/file.h"
#include "doc/counter.h"
#include "doc/doc.h"
#include "doc/exchange.h"
#include "ds/vec.h"
#include "kv/key.h"

#define CKV_OPEN_EDITS       1000u
#define CKV_OPEN_BYTES       (256u << 10)
#define CKV_MAX_STORED_VALUE (1u << 20)
#define CKV_MAX_DAGS         1024u
#define CKV_MAX_DAG_NAME     255u

typedef struct ckv_datastore ckv_datastore;

typedef struct ckv_value_bytes {
    const uint8_t *ptr;
    size_t n_bytes;
} ckv_value_bytes;

typedef struct ckv_datastore_options {
    const ckv_env *env;
    const ckv_identity *identity;
    ckv_file *file; /* borrowed; NULL: one in memory of its own */
    int64_t object; /* its row in the table `object`; 1 with a file of its own */
    const ckv_id32 *
        id; /* NULL: derived from the identity and a random nonce. Of one that is in the file already: the same, or NULL */
    bool compliance; /* compaction drops nothing */
    bool verify;     /* signatures of what is in the file, too: it may come from anywhere */
    bool salvage;    /* open what is left of a damaged one: ckv_datastore_lost says what is not */
} ckv_datastore_options;

/* CKV_ECORRUPT: the file says something impossible; *why has table and row (256 bytes). */
CKV_NODISCARD ckv_status ckv_datastore_open(ckv_datastore **out,
                                            const ckv_datastore_options *options, char why[256]);
void ckv_datastore_free(ckv_datastore *d);
ckv_alloc ckv_datastore_allocator(const ckv_datastore *d);
/* Lines, each ended by a newline: what was lost, if it was opened to salvage. */
ckv_value_bytes ckv_datastore_lost(const ckv_datastore *d);
const ckv_id32 *ckv_datastore_id(const ckv_datastore *d);
const char *ckv_datastore_error(
    ckv_datastore *d); /* of the last CKV_ECORRUPT, CKV_EDISK, CKV_EFULL: which table and row */
/* A process that was forked: the next change opens a new lane. */
void ckv_datastore_leave_lanes(ckv_datastore *d);
void ckv_datastore_seed(ckv_datastore *d, const uint8_t seed[32]); /* as ckv_doc_seed */

/* ---- DAGs. Number 0 is "default" and always there. Numbers are good for the life of the object. */
typedef struct ckv_dag_info {
    uint32_t number;
    const char *name;
    size_t name_bytes;
    bool purged;
    /* Grows whenever `doc` becomes another object, by more than that had changes, and when it is admitted. */
    uint32_t life;
    ckv_doc *
        doc; /* borrowed; NULL if purged. For heads, root, changes, sessions, export. Its changes are judged, taken and made durable by the datastore. */
} ckv_dag_info;
uint32_t ckv_datastore_n_dags(const ckv_datastore *d); /* purged ones too */
ckv_dag_info ckv_datastore_dag(const ckv_datastore *d, uint32_t number);
/* By name; made if absent and `make`. CKV_ENOENT; CKV_ELIMIT: too many, or the name is too long; CKV_ESTALE: it is purged. */
CKV_NODISCARD ckv_status ckv_datastore_find_dag(ckv_datastore *d, const char *name, size_t n_bytes,
                                                bool make, uint32_t *number);
/* Forgets all changes of a DAG; *n: how many. Its name is refused until admitted. The default DAG may be purged, too. */
CKV_NODISCARD ckv_status ckv_datastore_purge(ckv_datastore *d, uint32_t dag, uint64_t *n);
CKV_NODISCARD ckv_status ckv_datastore_admit(ckv_datastore *d, uint32_t dag);
/* How often that was done to a purged DAG since this object was opened: what had been refused until then has to be asked for again. */
uint64_t ckv_datastore_n_admitted(const ckv_datastore *d);

/* Deletes all rows of a datastore, in one transaction; only free may be called afterwards. */
CKV_NODISCARD ckv_status ckv_datastore_erase(ckv_datastore *d);

/* Local limit: bytes a second, and at once, that each other author may write here (0: no limit). Time is what the caller last said it is: before apply, and before a session takes a message. */
void ckv_datastore_limit(ckv_datastore *d, uint64_t per_second, uint64_t burst);
void ckv_datastore_tick(ckv_datastore *d, int64_t now_ms);
/* From now on bodies that have nothing to do with keys or counters of this prefix are left out of bundles, until it is called with NULL: for partial copies. */
void ckv_datastore_only(ckv_datastore *d, const ckv_value_bytes *prefix);

/* ---- the open change. Edits may close it (durably) when it is full, at time_ms. */
CKV_NODISCARD ckv_status ckv_datastore_put(ckv_datastore *d, uint32_t dag, ckv_store_key key,
                                           const uint8_t *value, size_t n_bytes, int64_t time_ms);
/* Whether or not the key is there. */
CKV_NODISCARD ckv_status ckv_datastore_delete(ckv_datastore *d, uint32_t dag, ckv_store_key key,
                                              int64_t time_ms);
/* CKV_ERANGE: the lane's total would leave 96 bits. */
CKV_NODISCARD ckv_status ckv_datastore_count(ckv_datastore *d, ckv_store_key name, int64_t amount,
                                             int64_t time_ms);
bool ckv_datastore_is_open(const ckv_datastore *d);
/* Closes the open change (one for each DAG touched, in one disk transaction). message NULL: none. A failure to write drops it: CKV_EFULL, CKV_EDISK. *change: that of the default
 * DAG if it was touched, else of the first touched; CKV_NO_CHANGE. */
CKV_NODISCARD ckv_status ckv_datastore_commit(ckv_datastore *d, int64_t time_ms,
                                              const char *message, size_t message_bytes,
                                              uint32_t *dag, uint32_t *change);

/* ---- batches: invisible until written. The last operation on a key wins. */
typedef struct ckv_batch ckv_batch;
CKV_NODISCARD ckv_status ckv_batch_new(ckv_batch **out, ckv_datastore *d);
void ckv_batch_free(ckv_batch *b); /* what is not written is dropped */
CKV_NODISCARD ckv_status ckv_batch_put(ckv_batch *b, uint32_t dag, ckv_store_key key,
                                       const uint8_t *value, size_t n_bytes);
CKV_NODISCARD ckv_status ckv_batch_delete(ckv_batch *b, uint32_t dag, ckv_store_key key);
CKV_NODISCARD ckv_status ckv_batch_count(ckv_batch *b, ckv_store_key name, int64_t amount);
size_t ckv_batch_bytes(const ckv_batch *b);
size_t ckv_batch_len(const ckv_batch *b); /* operations in it */
void ckv_batch_clear(ckv_batch *b);
/* One change for each DAG touched, one disk transaction; the batch is empty afterwards, also after CKV_EFULL and CKV_EDISK. CKV_ESTALE: a DAG was purged; the batch is as it was, and may be written when that is admitted. The open change is closed first, on its own. */
CKV_NODISCARD ckv_status ckv_batch_write(ckv_batch *b, int64_t time_ms, const char *message,
                                         size_t message_bytes, uint32_t *dag, uint32_t *change);

/* ---- reading; the open change shows. Values are nested (log/nested.h) and borrowed until the next call. */
CKV_NODISCARD ckv_status ckv_datastore_get(ckv_datastore *d, ckv_store_key key,
                                           ckv_value_bytes *value); /* CKV_ENOENT */
/* Keys that are there, now. O(n). */
CKV_NODISCARD ckv_status ckv_datastore_len(ckv_datastore *d, uint64_t *n);

typedef struct ckv_shown_op {    /* an operation on a key */
    uint32_t dag, change, index; /* change: CKV_NO_CHANGE while it is open */
    bool is_put;
    ckv_value_bytes value;
} ckv_shown_op;
CKV_VEC(ckv_shown_ops, ckv_shown_op);
/* All concurrent values, the shown one first, then by descending order. Valid until the next call. */
CKV_NODISCARD ckv_status ckv_datastore_conflicts(ckv_datastore *d, ckv_store_key key,
                                                 const ckv_shown_ops **ops);
/* Every put and delete of the key whose body is here, newest first (open ones, then by descending order). Reads the whole record. */
CKV_NODISCARD ckv_status ckv_datastore_history(ckv_datastore *d, ckv_store_key key,
                                               const ckv_shown_ops **ops);

typedef struct ckv_query ckv_query;
/* Keys that are there with lo <= key < hi. Survives writes. */
CKV_NODISCARD ckv_status ckv_query_new(ckv_query **out, ckv_datastore *d, const ckv_store_key *lo,
                                       const ckv_store_key *hi, bool reverse);
void ckv_query_free(ckv_query *q);
CKV_NODISCARD ckv_status ckv_query_next(ckv_query *q, ckv_store_key *key,
                                        ckv_value_bytes *value); /* CKV_ENOENT: the end */

/* ---- counters */
typedef struct ckv_part_total {
    ckv_id32 author;
    ckv_i128 total;
} ckv_part_total;
CKV_NODISCARD ckv_status ckv_datastore_total(ckv_datastore *d, ckv_store_key name,
                                             ckv_i128 *total); /* 0 if nobody counted */
CKV_NODISCARD ckv_status ckv_datastore_by_author(ckv_datastore *d, ckv_store_key name,
                                                 ckv_buf *out /* of ckv_part_total, by author */);
/* The names of counters, as queries of keys. value: 16 bytes, little end first, two's complement. */
CKV_NODISCARD ckv_status ckv_counters_new(ckv_query **out, ckv_datastore *d,
                                          const ckv_store_key *lo, const ckv_store_key *hi,
                                          bool reverse);

/* ---- events: what changed for whom watches. Old and new are nested; none: absent. Keys only, not counters. */
void ckv_datastore_watch(ckv_datastore *d, bool on);
typedef struct ckv_kv_event {
    ckv_store_key key;
    ckv_value_bytes old, new_; /* ptr NULL: absent */
    ckv_id32 author;
    bool is_local;
} ckv_kv_event;
/* The oldest event that nobody has taken yet, valid until the next call of this function. CKV_ENOENT: none. */
CKV_NODISCARD ckv_status ckv_datastore_next_event(ckv_datastore *d, ckv_kv_event *out);
bool ckv_datastore_has_events(const ckv_datastore *d);
/* What came in through a session or an import is absorbed by the next call of anything here, as is what memory or the disk was not there for, up to all there is; this does it now. */
bool ckv_datastore_is_behind(const ckv_datastore *d); /* is there anything to absorb? */
CKV_NODISCARD ckv_status ckv_datastore_absorb(ckv_datastore *d);

/* ---- upkeep */
typedef struct ckv_compaction {
    uint64_t bytes_before, bytes_after, dropped; /* bytes of bodies; bodies that were dropped */
} ckv_compaction;
CKV_NODISCARD ckv_status ckv_datastore_compact(ckv_datastore *d, bool rewrite, int64_t time_ms,
                                               ckv_compaction *out);
/* Derived state anew from the record. */
CKV_NODISCARD ckv_status ckv_datastore_repair(ckv_datastore *d);
/* Bodies against their hashes, signatures, the index against the record. `say` gets a line for each finding. */
CKV_NODISCARD ckv_status ckv_datastore_check(ckv_datastore *d,
                                             void (*say)(void *ctx, const char *line), void *ctx);
CKV_NODISCARD ckv_status
ckv_datastore_flush(ckv_datastore *d); /* memory into runs: before closing a file */
typedef struct ckv_datastore_stats {
    uint64_t dags, changes, ops, bodies, body_bytes, left_out, later, open_edits;
    uint64_t index_runs, index_bytes, memory;
} ckv_datastore_stats;
CKV_NODISCARD ckv_status ckv_datastore_figures(ckv_datastore *d, ckv_datastore_stats *out);
/* For readers of a file that another process writes: takes in what was committed since. */
CKV_NODISCARD ckv_status ckv_datastore_refresh(ckv_datastore *d);

#endif
