/* list.h -- Lists: elements, each a multi-value register, in the order of a sequence. Positions count visible elements. */
#ifndef CKV_DOC_LIST_H
#define CKV_DOC_LIST_H

#include "doc/map.h"

size_t ckv_list_len(const ckv_doc *doc, uint32_t list);
CKV_NODISCARD ckv_status ckv_list_get(ckv_doc *doc, uint32_t list, size_t pos,
                                      ckv_value *out); /* CKV_ERANGE */
/* n new elements before position pos. made (may be NULL): n numbers of containers, CKV_NONE for scalars. */
CKV_NODISCARD ckv_status ckv_list_insert(ckv_doc *doc, uint32_t list, size_t pos,
                                         const ckv_value *values, size_t n, uint32_t *made);
CKV_NODISCARD ckv_status ckv_list_set(ckv_doc *doc, uint32_t list, size_t pos,
                                      const ckv_value *value, uint32_t *made);
CKV_NODISCARD ckv_status ckv_list_delete(ckv_doc *doc, uint32_t list, size_t pos, size_t n);
/* list.insert(to, list.pop(from)) for one and the same element. Nothing happens if from == to. */
CKV_NODISCARD ckv_status ckv_list_move(ckv_doc *doc, uint32_t list, size_t from, size_t to);

/* ---- now (at NULL) or at a version */

/* Values of [start, start + n), fewer at the end. */
CKV_NODISCARD ckv_status ckv_list_values(ckv_doc *doc, const ckv_view *at, uint32_t list,
                                         size_t start, size_t n, ckv_buf *out /* of ckv_value */);
CKV_NODISCARD ckv_status ckv_list_conflicts(ckv_doc *doc, const ckv_view *at, uint32_t list,
                                            size_t pos, ckv_buf *out /* of ckv_conflict */);

#endif
