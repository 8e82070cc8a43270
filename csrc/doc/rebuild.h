/* rebuild.h -- the bytes of a change that is here: nothing that can be computed again is kept. */
#ifndef CKV_DOC_REBUILD_H
#define CKV_DOC_REBUILD_H

#include "doc/state.h"

/* Its header (CKV_HEADER_MAX_BYTES) and its body, which replaces what is in `body`. Of a document with content: CKV_ENOENT: the body was left
 * out, the header is there all the same; CKV_ECORRUPT: what the content keeps does not make its id. */
CKV_NODISCARD ckv_status ckv_rebuild_change(ckv_doc *doc, uint32_t change, uint8_t *header,
                                            size_t *header_bytes, ckv_buf *body);
/* The header alone, wherever that is cheaper; `body` is for scratch. */
CKV_NODISCARD ckv_status ckv_rebuild_header(ckv_doc *doc, uint32_t change, uint8_t *header,
                                            size_t *header_bytes, ckv_buf *body);

#endif
