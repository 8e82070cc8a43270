/* keep.h -- a store that lives in a file: what others hear of it is on disk before.
 *
 *     record     save | diff | diff | diff ...                     rows of one object, disk/record.h
 *     store      ... and what was written since the last commit
 *
 * A row is a diff: what the store has beyond its last commit, which costs what was written since, whatever else is here; a save replaces them all when they grow long. Whoever gives a message out
 * commits first (ckv_store_commit); lone writes may gather until then. A commit that fails takes the store back to what the record has, and
 * its next write draws a new incarnation: nobody ever heard of the dots that are gone. Who watches hears of it.
 *
 * What an op set tells survives a kill as far as it was committed: own puts since the last save or opset, and what died meanwhile. Some of it may be
 * told twice, which op sets do not mind. What waits (ops that came too early) is only in saves.
 *
 *     I1  right after a commit the record makes this store, but for what waits
 */
#ifndef CKV_KV_KEEP_H
#define CKV_KV_KEEP_H

#include "disk/record.h"
#include "kv/store.h"

/* Binds a store to an object. Loads what the record has, name and all; or if it has nothing, writes what the store has. CKV_EEXIST: both have
 * something. CKV_ECORRUPT: rows are damaged or lost, damage->lines says which; with damage->salvage what is left is loaded. */
CKV_NODISCARD ckv_status ckv_store_bind(ckv_store *s, ckv_file *file, int64_t object,
                                        ckv_record_damage *damage);
/* It lives in memory from now on. */
void ckv_store_unkeep(ckv_store *s);
bool ckv_store_is_kept(const ckv_store *s);
/* About how many bytes the next commit has to write. */
uint64_t ckv_store_backlog(const ckv_store *s);
/* Makes all of it durable; nothing if nothing is new, or in memory. No transaction is open. CKV_ENOMEM: nothing was written, nothing is lost. */
CKV_NODISCARD ckv_status ckv_store_commit(ckv_store *s);
/* Rewrites the record as a save, if it is long enough to be worth it. at_close: also for what only a save has. If it fails the record stays as it was. */
ckv_status ckv_store_consolidate(ckv_store *s, bool at_close);
CKV_NODISCARD ckv_status ckv_store_rewrite(ckv_store *s); /* in any case */
/* Reads all of it again; lines for what is wrong. It was committed. damage->salvage. */
CKV_NODISCARD ckv_status ckv_store_check_record(ckv_store *s, ckv_record_damage *damage);
/* In a file that is only read: what others wrote since. */
CKV_NODISCARD ckv_status ckv_store_refresh(ckv_store *s, ckv_record_damage *damage);

#endif
