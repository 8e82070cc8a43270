#include "log/chars.h"

#include "base/utf8.h"

ckv_chars ckv_chars_init(ckv_alloc a) { return (ckv_chars){.pages = {.a = a}, .max_char = 127}; }

void ckv_chars_fini(ckv_chars *c)
{
    for (size_t i = 0; i < c->pages.len; i++) {
        ckv_release(c->pages.a, c->pages.ptr[i].ptr,
                    (size_t)c->pages.ptr[i].width * CKV_CHARS_PAGE);
    }
    ckv_pages_fini(&c->pages);
}

static unsigned width_of(uint32_t max_char)
{
    return max_char < 0x100 ? 1 : max_char < 0x10000 ? 2 : 4;
}

static uint32_t load(const void *p, size_t i, unsigned width)
{
    if (width == 1) return ((const uint8_t *)p)[i];
    if (width == 2) return ((const uint16_t *)p)[i];
    return ((const uint32_t *)p)[i];
}

static void store(void *p, size_t i, unsigned width, uint32_t c)
{
    if (width == 1)
        ((uint8_t *)p)[i] = (uint8_t)c;
    else if (width == 2)
        ((uint16_t *)p)[i] = (uint16_t)c;
    else
        ((uint32_t *)p)[i] = c;
}

static void copy(void *dst, size_t d, unsigned dw, const void *src, size_t s, unsigned sw, size_t n)
{
    if (dw == sw)
        memcpy((uint8_t *)dst + d * dw, (const uint8_t *)src + s * sw, n * dw);
    else
        for (size_t i = 0; i < n; i++) store(dst, d + i, dw, load(src, s + i, sw));
}

ckv_status ckv_chars_reserve(ckv_chars *c, uint32_t item, uint32_t n, uint32_t max_char)
{
    if (n == 0) return CKV_OK;
    const size_t first = item / CKV_CHARS_PAGE, last = ((size_t)item + n - 1) / CKV_CHARS_PAGE;
    const unsigned width = width_of(max_char);
    if (last >= c->pages.len) {
        CKV_TRY(ckv_pages_reserve(&c->pages, last + 1 - c->pages.len));
        while (c->pages.len <= last) ckv_pages_put(&c->pages, (ckv_page){NULL, 0});
    }
    for (size_t i = first; i <= last; i++) {
        ckv_page *p = &c->pages.ptr[i];
        if (CKV_LIKELY(p->width >= width)) continue;
        void *wide = ckv_resize(c->pages.a, NULL, 0, (size_t)CKV_CHARS_PAGE * width);
        if (!wide) return CKV_ENOMEM;
        if (p->ptr)
            copy(wide, 0, width, p->ptr, 0, p->width, CKV_CHARS_PAGE);
        else
            memset(wide, 0, (size_t)CKV_CHARS_PAGE * width);
        ckv_release(c->pages.a, p->ptr, (size_t)CKV_CHARS_PAGE * p->width);
        *p = (ckv_page){wide, width};
    }
    if (max_char > c->max_char) c->max_char = max_char;
    return CKV_OK;
}

/* Calls the body with each page that [item, item + n) touches: page `pg`, its first cell `cell`, `m` cells. */
#define EACH_PAGE(c, item, n)                                                                      \
    for (uint32_t at_ = (item), left_ = (n), m; left_; at_ += m, left_ -= m)                       \
        if ((m = CKV_CHARS_PAGE - at_ % CKV_CHARS_PAGE) > left_ ? (m = left_) : m)

void ckv_chars_write(ckv_chars *c, uint32_t item, uint32_t n, const void *src, unsigned width)
{
    size_t done = 0;
    EACH_PAGE(c, item, n)
    {
        ckv_page *pg = &c->pages.ptr[at_ / CKV_CHARS_PAGE];
        copy(pg->ptr, at_ % CKV_CHARS_PAGE, pg->width, src, done, width, m);
        done += m;
    }
}

void ckv_chars_write_utf8(ckv_chars *c, uint32_t item, uint32_t n, const uint8_t *src,
                          size_t n_bytes)
{
    if (n == n_bytes) { /* ASCII */
        ckv_chars_write(c, item, n, src, 1);
        return;
    }
    EACH_PAGE(c, item, n)
    {
        ckv_page *pg = &c->pages.ptr[at_ / CKV_CHARS_PAGE];
        for (uint32_t i = 0; i < m; i++)
            store(pg->ptr, at_ % CKV_CHARS_PAGE + i, pg->width, ckv_utf8_next(&src));
    }
}

void ckv_chars_read(const ckv_chars *c, uint32_t item, uint32_t n, void *dst, unsigned width)
{
    size_t done = 0;
    EACH_PAGE(c, item, n)
    {
        const ckv_page *pg = &c->pages.ptr[at_ / CKV_CHARS_PAGE];
        copy(dst, done, width, pg->ptr, at_ % CKV_CHARS_PAGE, pg->width, m);
        done += m;
    }
}

void ckv_chars_utf8(const ckv_chars *c, uint32_t item, uint32_t n, ckv_buf *out)
{
    EACH_PAGE(c, item, n)
    {
        const ckv_page *pg = &c->pages.ptr[at_ / CKV_CHARS_PAGE];
        if (c->max_char <= 127) {
            ckv_buf_bytes(out, (const uint8_t *)pg->ptr + at_ % CKV_CHARS_PAGE, m);
            continue;
        }
        for (uint32_t i = 0; i < m; i++)
            ckv_utf8_put(out, load(pg->ptr, at_ % CKV_CHARS_PAGE + i, pg->width));
    }
}

size_t ckv_chars_utf8_bytes(const ckv_chars *c, uint32_t item, uint32_t n)
{
    size_t bytes = n;
    if (c->max_char <= 127) return bytes;
    EACH_PAGE(c, item, n)
    {
        const ckv_page *pg = &c->pages.ptr[at_ / CKV_CHARS_PAGE];
        for (uint32_t i = 0; i < m; i++) {
            const uint32_t x = load(pg->ptr, at_ % CKV_CHARS_PAGE + i, pg->width);
            bytes += (size_t)(x > 0x7f) + (x > 0x7ff) + (x > 0xffff);
        }
    }
    return bytes;
}

uint32_t ckv_chars_max(const ckv_chars *c, uint32_t item, uint32_t n)
{
    uint32_t max = 127;
    EACH_PAGE(c, item, n)
    {
        const ckv_page *pg = &c->pages.ptr[at_ / CKV_CHARS_PAGE];
        for (uint32_t i = 0; i < m; i++) {
            const uint32_t v = load(pg->ptr, at_ % CKV_CHARS_PAGE + i, pg->width);
            if (v > max) max = v;
        }
    }
    return max;
}

size_t ckv_chars_bytes(const ckv_chars *c)
{
    size_t n = c->pages.cap * sizeof *c->pages.ptr;
    for (size_t i = 0; i < c->pages.len; i++) n += (size_t)c->pages.ptr[i].width * CKV_CHARS_PAGE;
    return n;
}
