/* keep.h -- a document that lives in a file: what it takes in is on disk before anybody sees it.
 *
 *     record     checkpoint | bundle | bundle | bundle ...         rows of one object, disk/record.h
 *     document   changes 0 .. n, all in the record                 the open change is not
 *
 * Heads, exports, sessions and events all come after a commit or an import. So that is where rows are written: as the last step that can fail,
 * one transaction for each. A commit that fails drops the open change: edits, handles and cursors end up as after a block that raised, which
 * is why the journal of such a document is always on. An import that fails leaves no trace, as ever.
 *
 * A row is a bundle of what the record lacks. When rows are many they become one, a checkpoint (ckv_doc_consolidate): who may wait calls that, a commit
 * does not. What only waits for other changes is not kept: it can come again. What waits for a later version is.
 *
 *     I1  between calls the record has changes [0, n_changes) and these letters of a later version, which are all there are
 *     I2  journal.on >= 1; the journal begins behind the last change
 */
#ifndef CKV_DOC_KEEP_H
#define CKV_DOC_KEEP_H

#include "disk/record.h"
#include "doc/doc.h"

/* Binds a document without open edits to an object. Loads what the record has; or if it has nothing, writes what the document has. CKV_EEXIST: both have
 * something. CKV_ECORRUPT: rows are damaged or lost, damage->lines says which; with damage->salvage what is left is loaded, and from now on all there is.
 * After an error a document that was empty may have a part of it: throw it away. */
CKV_NODISCARD ckv_status ckv_doc_keep(ckv_doc *doc, ckv_file *file, int64_t object,
                                      ckv_record_damage *damage);
/* It lives in memory from now on. */
void ckv_doc_unkeep(ckv_doc *doc);
bool ckv_doc_is_kept(const ckv_doc *doc);
/* In a file that is only read: what others wrote since. */
CKV_NODISCARD ckv_status ckv_doc_refresh(ckv_doc *doc, ckv_record_damage *damage);
/* Rewrites the record as a checkpoint, if it is long enough to be worth it. at_close: rather sooner. If it fails the record stays as it was: no need to look. */
ckv_status ckv_doc_consolidate(ckv_doc *doc, bool at_close);
CKV_NODISCARD ckv_status ckv_doc_rewrite(ckv_doc *doc); /* in any case */
/* Reads all of it again and verifies every hash and signature; lines for what is wrong. No change is open. damage->salvage. */
CKV_NODISCARD ckv_status ckv_doc_check_record(ckv_doc *doc, ckv_record_damage *damage);

/* ---- for txn.c and import.c */

/* Writes what the record lacks; nothing if the document is in memory. */
CKV_NODISCARD ckv_status ckv_keep_changes(ckv_doc *doc);
/* A call is over, and no change is open: the journal begins anew. */
void ckv_keep_settle(ckv_doc *doc);

#endif
