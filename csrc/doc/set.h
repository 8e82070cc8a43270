/* set.h -- Sets of scalars: add wins over a concurrent discard. Members that Python calls equal are one. */
#ifndef CKV_DOC_SET_H
#define CKV_DOC_SET_H

#include "doc/view.h"

size_t ckv_set_len(const ckv_doc *doc, uint32_t set);
bool ckv_set_has(ckv_doc *doc, uint32_t set,
                 const ckv_value *member); /* false for containers' tags */
/* An operation even if the member is there: it then survives a concurrent discard. */
CKV_NODISCARD ckv_status ckv_set_add(ckv_doc *doc, uint32_t set, const ckv_value *member);
CKV_NODISCARD ckv_status ckv_set_discard(ckv_doc *doc, uint32_t set,
                                         const ckv_value *member); /* CKV_ENOENT */
/* All members, now (at NULL) or at a version: by type, then by their bytes. */
CKV_NODISCARD ckv_status ckv_set_members(ckv_doc *doc, const ckv_view *at, uint32_t set,
                                         ckv_buf *out /* of ckv_value */);

#endif
