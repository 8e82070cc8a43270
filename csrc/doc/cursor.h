/* cursor.h -- a place in a Text or List that stays with its character or element. */
#ifndef CKV_DOC_CURSOR_H
#define CKV_DOC_CURSOR_H

#include "doc/doc.h"

typedef struct ckv_cursor {
    uint32_t container, item; /* item CKV_NO_ITEM: the start (behind) or the end (not behind) */
    uint32_t
        since; /* how many rollbacks there were when it was made: later ones may have taken its item back */
    bool behind; /* stays behind the item, else before it */
} ckv_cursor;

/* side "after": stays before the character at pos (at the end: with the end); side "before": behind the one at pos - 1 (at 0: with the start). */
CKV_NODISCARD ckv_status ckv_cursor_at(ckv_doc *doc, uint32_t container, size_t pos, bool behind,
                                       ckv_cursor *out); /* CKV_ERANGE, CKV_ESTALE */
/* Where it is now: 0 to length. A deleted item's place is where it would be. CKV_ESTALE: the container is not there, or the item was rolled back. */
CKV_NODISCARD ckv_status ckv_cursor_index(ckv_doc *doc, const ckv_cursor *cursor, size_t *out);
/* To bytes that any replica can read once it has the change. Wants the change closed. */
CKV_NODISCARD ckv_status ckv_cursor_write(ckv_doc *doc, const ckv_cursor *cursor, ckv_buf *out);
/* CKV_ECORRUPT: no cursor, or of another document. CKV_ENOENT: its change is not here. */
CKV_NODISCARD ckv_status ckv_cursor_read(ckv_doc *doc, const uint8_t *bytes, size_t n_bytes,
                                         ckv_cursor *out);

#endif
