/* view.h -- a version of the past: history is a filter over what is here, nothing is replayed. */
#ifndef CKV_DOC_VIEW_H
#define CKV_DOC_VIEW_H

#include "doc/doc.h"

typedef struct ckv_view ckv_view;

/* CKV_ENOENT: an id is not here. What `without` (authors) did does not count. The view names the document and must be freed before it; it stays valid while the document grows. */
CKV_NODISCARD ckv_status ckv_view_new(ckv_view **out, ckv_doc *doc, const ckv_id32 *heads,
                                      size_t n_heads, const ckv_id32 *without, size_t n_without);
void ckv_view_free(ckv_view *view);
/* Everything below this number, in order of arrival. */
CKV_NODISCARD ckv_status ckv_view_first(ckv_view **out, ckv_doc *doc, uint32_t n_changes);

#endif
