/* text.h -- editing and reading a Text. Positions are code points. */
#ifndef CKV_DOC_TEXT_H
#define CKV_DOC_TEXT_H

#include "doc/view.h"

size_t ckv_text_len(const ckv_doc *doc, uint32_t text);
/* n code points of `width` bytes each (1, 2 or 4, as in PyUnicode). CKV_ERANGE, CKV_EVALUE: surrogate, CKV_ESTALE, CKV_ELIMIT: the open change is full. */
CKV_NODISCARD ckv_status ckv_text_insert(ckv_doc *doc, uint32_t text, size_t pos, const void *chars,
                                         unsigned width, size_t n);
CKV_NODISCARD ckv_status ckv_text_delete(ckv_doc *doc, uint32_t text, size_t pos, size_t n);
/* The greatest code point in [start, start + n): exact when above 127, else an upper bound of 127. */
CKV_NODISCARD ckv_status ckv_text_max_char(ckv_doc *doc, uint32_t text, size_t start, size_t n,
                                           uint32_t *out);
/* Writes n code points of `width` bytes each to out; all must fit. */
CKV_NODISCARD ckv_status ckv_text_read(ckv_doc *doc, uint32_t text, size_t start, size_t n,
                                       void *out, unsigned width);

/* ---- now (at NULL) or at a version */

CKV_NODISCARD ckv_status ckv_text_chars(ckv_doc *doc, const ckv_view *at, uint32_t text,
                                        ckv_buf *out /* of uint32_t, code points */);
/* Who wrote what: maximal runs [start, end) of one change, appended to out. Wants the change closed. */
typedef struct ckv_blame_run {
    size_t start, end;
    uint32_t change;
} ckv_blame_run;
CKV_NODISCARD ckv_status ckv_text_blame(ckv_doc *doc, const ckv_view *at, uint32_t text,
                                        ckv_buf *out /* of ckv_blame_run */);
/* The same of the first n code points, whether a change is open or not: what it wrote has CKV_NO_CHANGE. */
CKV_NODISCARD ckv_status ckv_text_runs(ckv_doc *doc, const ckv_view *at, uint32_t text, size_t n,
                                       ckv_buf *out /* of ckv_blame_run */);

/* ---- marks: rich text, as in Peritext (docs/adr/0012-marks-beside-the-text.md) */

#define CKV_EXPAND_BEFORE 1u /* what is typed right before the start is marked too */
#define CKV_EXPAND_AFTER  2u /* ... right behind the end */
/* value NULL: takes the name away. CKV_ERANGE unless start < end <= length; CKV_ELIMIT: name over 4 KiB; CKV_EVALUE: an empty name, no scalar. */
CKV_NODISCARD ckv_status ckv_text_mark(ckv_doc *doc, uint32_t text, size_t start, size_t end,
                                       unsigned expand, const char *name, size_t name_bytes,
                                       const ckv_value *value);
/* The text in stretches of equal marks, as plain (doc/plain.h): List of [str, Map of name to value]. */
CKV_NODISCARD ckv_status ckv_text_spans(ckv_doc *doc, const ckv_view *at, uint32_t text,
                                        ckv_buf *out);

#endif
