/* undo.h -- taking back what changes did, by an ordinary change of inverse operations. */
#ifndef CKV_DOC_UNDO_H
#define CKV_DOC_UNDO_H

#include "doc/doc.h"

/* Takes back, in the open change, what these changes (ascending) did, as far as it is still there: what they inserted is deleted, what they deleted is restored (unless
 * somebody else deleted it too), moved elements move back, counts are negated. scope: containers; only what happened in them or below counts; n_scope 0: everything.
 * *did: whether there was anything to do. All of it or nothing. Wants the change closed. */
CKV_NODISCARD ckv_status ckv_doc_undo(ckv_doc *doc, const uint32_t *changes, size_t n,
                                      const uint32_t *scope, size_t n_scope, bool *did);

#endif
