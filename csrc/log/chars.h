/* chars.h -- the code point of every item that has one: append-only, by item number.
 *
 * Pages of 4,096 items, each as wide as its widest code point needs (1, 2 or 4 bytes). Items of other kinds leave holes.
 *
 *     I1  a page's width is 0 (no memory), 1, 2 or 4, and holds what was written
 *     cost: O(1) an item; widening copies one page
 */
#ifndef CKV_LOG_CHARS_H
#define CKV_LOG_CHARS_H

#include "base/buf.h"
#include "ds/vec.h"

#define CKV_CHARS_PAGE 4096u

typedef struct ckv_page {
    void *ptr; /* owned */
    uint32_t width;
} ckv_page;
CKV_VEC(ckv_pages, ckv_page);

typedef struct ckv_chars {
    ckv_pages pages;
    uint32_t max_char; /* no code point was ever greater; at least 127 */
} ckv_chars;

ckv_chars ckv_chars_init(ckv_alloc a);
void ckv_chars_fini(ckv_chars *c);
/* Room for items [item, item + n) of code points up to max_char. */
CKV_NODISCARD ckv_status ckv_chars_reserve(ckv_chars *c, uint32_t item, uint32_t n,
                                           uint32_t max_char);
/* After reserve: from n code points of `width` bytes, or from valid UTF-8. */
void ckv_chars_write(ckv_chars *c, uint32_t item, uint32_t n, const void *src, unsigned width);
void ckv_chars_write_utf8(ckv_chars *c, uint32_t item, uint32_t n, const uint8_t *src,
                          size_t n_bytes);

/* To n code points of `width` bytes; all fit. */
void ckv_chars_read(const ckv_chars *c, uint32_t item, uint32_t n, void *dst, unsigned width);
void ckv_chars_utf8(const ckv_chars *c, uint32_t item, uint32_t n, ckv_buf *out);
size_t ckv_chars_utf8_bytes(const ckv_chars *c, uint32_t item, uint32_t n);
uint32_t ckv_chars_max(const ckv_chars *c, uint32_t item, uint32_t n);
size_t ckv_chars_bytes(const ckv_chars *c);

#endif
