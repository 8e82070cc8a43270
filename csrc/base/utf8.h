/* utf8.h -- UTF-8 as Python's strict codec sees it: no surrogates, no overlong forms, at most U+10FFFF. */
#ifndef CKV_BASE_UTF8_H
#define CKV_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Whether p is valid; *n_chars: how many code points, *max_char: the greatest (an upper bound of 127 if all are ASCII). */
bool ckv_utf8_valid(const uint8_t *p, size_t n_bytes, size_t *n_chars, uint32_t *max_char);

/* Bytes that the first n_chars code points take; SIZE_MAX if there are fewer. Only for valid input. */
size_t ckv_utf8_span(const uint8_t *p, size_t n_bytes, size_t n_chars);

/* Reads one code point of valid input and moves on. */
static inline uint32_t ckv_utf8_next(const uint8_t **p)
{
    const uint8_t *s = *p;
    if (s[0] < 0x80) {
        *p = s + 1;
        return s[0];
    }
    if (s[0] < 0xe0) {
        *p = s + 2;
        return (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
    }
    if (s[0] < 0xf0) {
        *p = s + 3;
        return (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
    }
    *p = s + 4;
    return (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3f) << 12 |
           (uint32_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
}

/* Appends a code point that is no surrogate. */
void ckv_utf8_put(ckv_buf *out, uint32_t c);

#endif
