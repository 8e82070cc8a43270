#include "log/nested.h"

#include "base/check.h"
#include "base/utf8.h"
#include "ds/sort.h"

#define FEW 16u /* so many keys are compared each with each */

typedef struct word {
    const uint8_t *ptr;
    size_t n_bytes;
} word;

static bool same(word a, word b)
{
    return a.n_bytes == b.n_bytes && (a.n_bytes == 0 || memcmp(a.ptr, b.ptr, a.n_bytes) == 0);
}

/* ---- each key of a dict once */

static word next_key(ckv_rd *dict)
{
    word key;
    key.ptr = ckv_rd_blob(dict, &key.n_bytes);
    return key;
}

static void skip_value(ckv_rd *dict)
{
    size_t n;
    (void)ckv_rd_varint(dict);
    (void)ckv_rd_blob(dict, &n);
}

static word key_at(const ckv_rd *dict, uint32_t at)
{
    ckv_rd r = {dict->p + at, dict->end, CKV_OK};
    return next_key(&r);
}

/* Short ones first: so most comparisons read no bytes, and a round of the sort reads no more than the dict has. */
static bool before(void *ctx, uint32_t a, uint32_t b)
{
    const word x = key_at(ctx, a), y = key_at(ctx, b);
    if (x.n_bytes != y.n_bytes) return x.n_bytes < y.n_bytes;
    return x.n_bytes && memcmp(x.ptr, y.ptr, x.n_bytes) < 0;
}

/* `all`: the places of keys. */
static ckv_status many_differ(ckv_rd *dict, size_t n, ckv_u32s *all)
{
    CKV_TRY(ckv_u32s_reserve(all, 2 * n)); /* sorting needs as much again */
    for (ckv_rd in = *dict; ckv_rd_left(&in);) {
        ckv_u32s_put(all, (uint32_t)(in.p - dict->p));
        (void)next_key(&in);
        skip_value(&in);
    }
    CKV_MUST(ckv_sort(all, before, dict) == CKV_OK);
    for (size_t i = 1; i < n; i++)
        if (!before(dict, all->ptr[i - 1], all->ptr[i])) return CKV_ECORRUPT;
    return CKV_OK;
}

/* The keys of a dict's content, and where its values end; not the values themselves. */
static ckv_status check_keys(ckv_rd dict, ckv_alloc a)
{
    word few[FEW];
    size_t n = 0, n_chars;
    uint32_t max_char;
    for (ckv_rd in = dict; ckv_rd_left(&in); n++) {
        const word key = next_key(&in);
        skip_value(&in);
        if (in.status != CKV_OK || !ckv_utf8_valid(key.ptr, key.n_bytes, &n_chars, &max_char))
            return CKV_ECORRUPT;
        if (n >= FEW) continue;
        for (size_t i = 0; i < n; i++)
            if (same(few[i], key)) return CKV_ECORRUPT;
        few[n] = key;
    }
    if (n <= FEW) return CKV_OK;
    ckv_u32s all = {.a = a};
    const ckv_status s = many_differ(&dict, n, &all);
    ckv_u32s_fini(&all);
    return s;
}

/* ---- values */

typedef struct level { /* a container around the one that is read */
    const uint8_t *end;
    bool is_dict;
} level;

/* One value and all in it. Stops where `in` says why. */
static void check(ckv_rd *in, ckv_alloc a)
{
    level around[CKV_MAX_NESTING];
    unsigned depth = 0;
    bool is_dict = false;
    do {
        if (is_dict) (void)next_key(in);
        const uint8_t tag = ckv_rd_left(in) ? *in->p : 0;
        if (tag <= CKV_TAG_BYTES) {
            ckv_value v;
            ckv_value_read(in, &v);
            if (in->status != CKV_OK) return;
        } else if (tag == CKV_TAG_NESTED_LIST || tag == CKV_TAG_NESTED_DICT) {
            size_t n;
            in->p++;
            const uint8_t *content = ckv_rd_blob(in, &n);
            if (in->status != CKV_OK) return;
            if (depth == CKV_MAX_NESTING) {
                ckv_rd_fail(in, CKV_ELIMIT);
                return;
            }
            around[depth++] = (level){in->end, is_dict};
            in->p = content;
            in->end = content + n;
            is_dict = tag == CKV_TAG_NESTED_DICT;
            const ckv_status s = is_dict ? check_keys(*in, a) : CKV_OK;
            if (s != CKV_OK) {
                ckv_rd_fail(in, s);
                return;
            }
        } else {
            ckv_rd_fail(in, CKV_ECORRUPT);
            return;
        }
        for (; depth && in->p == in->end; is_dict = around[depth].is_dict)
            in->end = around[--depth].end;
    } while (depth);
}

bool ckv_nested_valid(ckv_rd *r, ckv_alloc a, size_t max_bytes)
{
    ckv_rd whole = *r;
    skip_value(&whole);
    if (whole.status == CKV_OK && (size_t)(whole.p - r->p) > max_bytes)
        ckv_rd_fail(r, CKV_ELIMIT);
    else
        check(r, a);
    return r->status == CKV_OK;
}

bool ckv_nested_is_later(const uint8_t *p, size_t n_bytes)
{
    level around[CKV_MAX_NESTING];
    unsigned depth = 0;
    bool is_dict = false, later = false;
    ckv_rd in = ckv_rd_init(p, n_bytes);
    do {
        size_t n;
        if (is_dict) (void)next_key(&in);
        const uint64_t tag = ckv_rd_varint(&in);
        const uint8_t *content = ckv_rd_blob(&in, &n);
        if (in.status != CKV_OK) return false;
        if (tag == CKV_TAG_NESTED_LIST || tag == CKV_TAG_NESTED_DICT) {
            if (depth == CKV_MAX_NESTING) return later; /* what is in there is not looked at */
            around[depth++] = (level){in.end, is_dict};
            in.p = content;
            in.end = content + n;
            is_dict = tag == CKV_TAG_NESTED_DICT;
        } else if (tag > CKV_TAG_BYTES) {
            later = true;
        }
        for (; depth && in.p == in.end; is_dict = around[depth].is_dict)
            in.end = around[--depth].end;
    } while (depth);
    return later && in.p == in.end;
}
