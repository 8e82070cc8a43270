#include "base/utf8.h"

bool ckv_utf8_valid(const uint8_t *p, size_t n_bytes, size_t *n_chars, uint32_t *max_char)
{
    const uint8_t *const end = p + n_bytes;
    size_t n = 0;
    uint32_t max = 127;
    while (p < end) {
        uint64_t eight;
        while (end - p >= 8 && (memcpy(&eight, p, 8), (eight & 0x8080808080808080u) == 0))
            p += 8, n += 8;
        if (p == end) break;
        const uint8_t a = *p;
        if (a < 0x80) {
            p++, n++;
            continue;
        }
        const size_t left = (size_t)(end - p);
        uint32_t c;
        if (a >= 0xc2 && a < 0xe0) {
            if (left < 2 || (p[1] & 0xc0) != 0x80) return false;
        } else if (a >= 0xe0 && a < 0xf0) {
            if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80) return false;
            if (a == 0xe0 && p[1] < 0xa0) return false; /* overlong */
            if (a == 0xed && p[1] > 0x9f) return false; /* surrogate */
        } else if (a >= 0xf0 && a < 0xf5) {
            if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
                return false;
            if (a == 0xf0 && p[1] < 0x90) return false; /* overlong */
            if (a == 0xf4 && p[1] > 0x8f) return false; /* beyond U+10FFFF */
        } else {
            return false;
        }
        c = ckv_utf8_next(&p);
        if (c > max) max = c;
        n++;
    }
    *n_chars = n;
    *max_char = max;
    return true;
}

size_t ckv_utf8_span(const uint8_t *p, size_t n_bytes, size_t n_chars)
{
    size_t off = 0;
    while (n_chars) {
        if (off >= n_bytes) return SIZE_MAX;
        const uint8_t a = p[off];
        off += a < 0x80 ? 1u : a < 0xe0 ? 2u : a < 0xf0 ? 3u : 4u;
        n_chars--;
    }
    return off;
}

void ckv_utf8_put(ckv_buf *out, uint32_t c)
{
    uint8_t u[4];
    size_t n;
    if (c < 0x80) {
        ckv_buf_u8(out, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        u[0] = (uint8_t)(0xc0 | c >> 6);
        n = 2;
    } else if (c < 0x10000) {
        u[0] = (uint8_t)(0xe0 | c >> 12);
        n = 3;
    } else {
        u[0] = (uint8_t)(0xf0 | c >> 18);
        n = 4;
    }
    for (size_t i = n - 1; i > 0; i--, c >>= 6) u[i] = (uint8_t)(0x80 | (c & 0x3f));
    ckv_buf_bytes(out, u, n);
}
