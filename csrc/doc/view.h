/* view.h -- a version of the past: history is a filter over what is here, nothing is replayed. */
#ifndef CKV_DOC_VIEW_H
#define CKV_DOC_VIEW_H

#include "doc/doc.h"

typedef struct ckv_view ckv_view;

/* CKV_ENOENT: an id is not here. The view names the document and must be freed before it; it stays valid while the document grows. */
CKV_NODISCARD ckv_status ckv_view_new(ckv_view **out, ckv_doc *doc, const ckv_id32 *heads,
                                      size_t n_heads);
void ckv_view_free(ckv_view *view);
/* Entries of a map in order of the keys' bytes. */
typedef struct ckv_entry {
    const char *key;
    size_t key_bytes;
    ckv_value value;
} ckv_entry;
CKV_NODISCARD ckv_status ckv_view_map(const ckv_view *view, uint32_t map,
                                      ckv_buf *out /* of ckv_entry */);
CKV_NODISCARD ckv_status ckv_view_text(const ckv_view *view, uint32_t text,
                                       ckv_buf *out /* of uint32_t, code points */);

/* What turns view a of a text into view b: in order of application, positions in the text as changed so far. */
typedef struct ckv_text_patch {
    size_t pos;
    bool insert;   /* else remove */
    size_t off, n; /* the code points: [off, off + n) of `chars` */
} ckv_text_patch;
CKV_NODISCARD ckv_status ckv_text_diff(const ckv_view *a, const ckv_view *b, uint32_t text,
                                       ckv_buf *patches /* of ckv_text_patch */,
                                       ckv_buf *chars /* of uint32_t */);

#endif
