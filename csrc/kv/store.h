/* store.h -- a replica of a key-value store without tombstones, for peers that trust each other (crash faults only).
 *
 *     peer a    live dots { 1..4 7 }   bookmark 9        of a's puts up to 9, those of 5, 6, 8, 9 were superseded
 *     peer b    live dots { 3 }        bookmark 3
 *
 * Every put has a *dot*: (incarnation, hlc). Per incarnation a store knows the live dots and a *bookmark*: all dots up to it were seen. So a
 * dot at or below the bookmark that is not live was superseded, by a later put or a remove, and needs no tombstone.
 *
 *     I1  live dots of a peer are <= its bookmark, and every live dot is that of one cell in the tree, and the other way round
 *     I2  the cells of a key are chained by descending dot (hlc, then incarnation)
 *     I3  clock >= every dot and bookmark
 *
 * Time comes as an argument: int milliseconds, at most CKV_MAX_MS. Values are bytes of log/nested.h, checked by whoever brought them.
 * kv/exchange.h is the other half of the face: what stores tell each other.
 * Source: ORSWOT / dotted version vectors (Bieniusa et al. 2012; Almeida et al. 2014), with intervals for the vector.
 */
#ifndef CKV_KV_STORE_H
#define CKV_KV_STORE_H

#include "base/buf.h"
#include "base/env.h"
#include "kv/key.h"

#define CKV_MAX_PEER_NAME 255u
#define CKV_INCARNATION                                                                            \
    9u /* bytes that an incarnation has behind the name: "/" and 8 random ones */
#define CKV_MAX_VALUE (UINT32_C(1) << 20)
#define CKV_MAX_MS    ((UINT64_C(1) << 48) - 2)

typedef struct ckv_store ckv_store;

typedef struct ckv_bytes {
    const uint8_t *ptr; /* borrowed */
    size_t n_bytes;
} ckv_bytes;

typedef struct ckv_item { /* all borrowed from the store, until it changes */
    ckv_store_key key;
    ckv_bytes value, peer; /* peer: the incarnation */
    uint64_t hlc;
} ckv_item;

/* ---- life */

/* The name is for people, str or bytes like a key; CKV_ELIMIT: longer than CKV_MAX_PEER_NAME. */
CKV_NODISCARD ckv_status ckv_store_new(ckv_store **out, const ckv_env *env, ckv_store_key name);
void ckv_store_free(ckv_store *s);
ckv_store_key ckv_store_name(const ckv_store *s);
/* The incarnation that puts of now belong to; NULL before the first write. */
ckv_bytes ckv_store_incarnation(const ckv_store *s);
/* Fixes it before the first write. CKV_EVALUE: not name, "/", 8 bytes; or there is one; or this one wrote before. */
CKV_NODISCARD ckv_status ckv_store_incarnate(ckv_store *s, const void *id, size_t n_bytes);
/* The next write draws a new one: for a copy of the memory, as after fork(). */
void ckv_store_renew(ckv_store *s);

ckv_alloc ckv_store_allocator(const ckv_store *s);
/* Grows with all that others might have to hear of. */
uint64_t ckv_store_version(const ckv_store *s);

/* ---- the clock: hlc = ms << 16 | counter */

uint64_t ckv_store_clock(const ckv_store *s); /* the greatest issued or seen, 0: none */
/* What the next put would get; 0: the clock is at its end. */
uint64_t ckv_store_next_hlc(const ckv_store *s, uint64_t now_ms);

/* ---- reading. `in_txn`: as the open transaction sees it */

size_t ckv_store_len(const ckv_store *s, bool in_txn);
bool ckv_store_get(const ckv_store *s, bool in_txn, ckv_store_key key, ckv_item *out);
/* All values of a key, the shown one first: start with *at NULL; false at the end. */
bool ckv_store_each(const ckv_store *s, ckv_store_key key, const void **at, ckv_item *out);

typedef struct ckv_range {      /* NULL: no such bound */
    const ckv_store_key *start; /* >= */
    const ckv_store_key *stop;  /* < */
    const ckv_bytes *prefix;
} ckv_range;

/* A walk over shown items in key order. Goes on while values change; CKV_ESTALE once keys came or went. */
typedef struct ckv_scan ckv_scan;
CKV_NODISCARD ckv_status ckv_scan_new(ckv_scan **out, const ckv_store *s, bool in_txn,
                                      const ckv_range *range, bool reverse);
void ckv_scan_free(ckv_scan *scan);
/* CKV_OK: *out is the next; CKV_ENOENT: there is none; CKV_ESTALE: keys came or went since the walk began. */
ckv_status ckv_scan_next(ckv_scan *scan, ckv_item *out);

/* ---- writing
 *
 * `op`, if not NULL, gets the message that tells others (kv/exchange.h). CKV_ELIMIT: key or value too long, or the clock is at its end.
 * While a transaction is open only the `ckv_txn` calls write. */

CKV_NODISCARD ckv_status ckv_store_put(ckv_store *s, ckv_store_key key, ckv_bytes value,
                                       uint64_t now_ms, ckv_buf *op);
CKV_NODISCARD ckv_status ckv_store_remove(ckv_store *s, ckv_store_key key,
                                          ckv_buf *op); /* CKV_ENOENT */

CKV_NODISCARD ckv_status ckv_txn_begin(ckv_store *s);
bool ckv_txn_is_open(const ckv_store *s);
CKV_NODISCARD ckv_status ckv_txn_put(ckv_store *s, ckv_store_key key, ckv_bytes value);
CKV_NODISCARD ckv_status ckv_txn_remove(ckv_store *s, ckv_store_key key); /* CKV_ENOENT */
/* Puts get consecutive hlcs in the order of last writes. `ops`: blobs of op messages, in that order. On failure it is still open. */
CKV_NODISCARD ckv_status ckv_txn_commit(ckv_store *s, uint64_t now_ms, ckv_buf *ops);
void ckv_txn_abort(ckv_store *s);

/* ---- events: one record for each key whose shown value changed in a call
 *
 *     record := is_bytes(u8) key(blob) old new peer(blob) is_local(u8)       peer: the incarnation of the put that is shown now; the own
 *     old, new := 0 | 1 value(blob)                                          one for a local remove, empty for a remote one
 */

void ckv_store_watch(ckv_store *s, bool on);
const ckv_buf *ckv_store_news(const ckv_store *s); /* since it was cleared last */
void ckv_store_clear_news(ckv_store *s);

/* ---- looking inside */

typedef struct ckv_store_stats {
    uint64_t n_keys, n_values, n_hidden; /* values: shown and hidden ones */
    uint64_t n_peers, n_runs;            /* of live dots */
    uint64_t n_waiting, waiting_bytes;
    uint64_t key_bytes, value_bytes;
    uint64_t tree_bytes, index_bytes,
        cell_bytes; /* memory: ordered map; dots; cells with keys and values */
} ckv_store_stats;
ckv_store_stats ckv_store_stats_of(const ckv_store *s);
bool ckv_store_check(const ckv_store *s, const char **why);

#endif
