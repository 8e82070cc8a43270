/* Two sets of numbers: kind, blob, blob. Each blob is a set, or with 4 in the kind gaps and lengths to write one from.
 *
 * What is read is written as the same bytes; what is written is read as the same runs. The two together obey the laws of sets, in memory and as streams.
 */
#include "base/check.h"
#include "ds/runs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static ckv_buf written(const ckv_runs *r)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_runs_walk walk = ckv_runs_walk_init(r);
    ckv_runs_out w = ckv_runs_out_init(&out);
    ckv_runs_out_all(&w, ckv_runs_walk_stream(&walk));
    ckv_runs_out_end(&w);
    CKV_ASSERT(out.status == CKV_OK);
    return out;
}

static bool same(const ckv_runs *a, const ckv_runs *b)
{
    return a->len == b->len &&
           (a->len == 0 || memcmp(a->ptr, b->ptr, a->len * sizeof *a->ptr) == 0);
}

/* Bytes are gaps and lengths; 255 stands for a leap. */
static void make(ckv_runs *out, const uint8_t *p, size_t n)
{
    for (uint64_t at = 0, step; n > 1 && at < UINT64_MAX / 4; p += 2, n -= 2) {
        step = p[0] == 255 ? (at / 2) | 1024 : p[0];
        at += step;
        step = p[1] == 255 ? (at / 2) | 1024 : p[1] / 8 + 1u;
        CKV_MUST(ckv_runs_append(out, at, at + step) == CKV_OK);
        at += step;
    }
}

static bool take(ckv_runs *out, ckv_rd *r, bool made)
{
    const uint8_t *start = r->p;
    const char *why;
    size_t n;
    if (made) {
        const uint8_t *p = ckv_rd_blob(r, &n);
        make(out, p, n);
    } else {
        ckv_runs_read(out, r, 0, CKV_RUNS_MAX);
    }
    CKV_MUST(ckv_runs_check(out, &why));
    CKV_ASSERT(r->status == CKV_OK || (r->status == CKV_ECORRUPT && out->len == 0));
    if (r->status != CKV_OK) return false;
    ckv_buf wire = written(out);
    CKV_ASSERT(made ||
               (wire.len == (size_t)(r->p - start) && memcmp(wire.ptr, start, wire.len) == 0));
    ckv_runs again = {.a = ckv_alloc_libc};
    ckv_rd rd = ckv_rd_init(wire.ptr, wire.len);
    ckv_runs_read(&again, &rd, out->len ? out->ptr[0].start : 0,
                  out->len ? out->ptr[out->len - 1].end - 1 : 0);
    CKV_ASSERT(ckv_rd_done(&rd) && same(out, &again));
    ckv_runs_fini(&again);
    ckv_buf_fini(&wire);
    return true;
}

/* From bytes, without a set in memory, as in memory. */
static void as_streams(ckv_runs_how how, const ckv_runs *a, const ckv_runs *b,
                       const ckv_runs *expected)
{
    ckv_buf x = written(a), y = written(b), z = written(expected),
            out = ckv_buf_init(ckv_alloc_libc);
    ckv_rd rx = ckv_rd_init(x.ptr, x.len), ry = ckv_rd_init(y.ptr, y.len);
    ckv_runs_in in_x = ckv_runs_in_init(&rx, 0, CKV_RUNS_MAX),
                in_y = ckv_runs_in_init(&ry, 0, CKV_RUNS_MAX);
    ckv_runs_mix mix = ckv_runs_mix_init(how, ckv_runs_in_stream(&in_x), ckv_runs_in_stream(&in_y));
    ckv_runs_out w = ckv_runs_out_init(&out);
    ckv_runs_out_all(&w, ckv_runs_mix_stream(&mix));
    ckv_runs_out_end(&w);
    CKV_ASSERT(out.len == z.len && memcmp(out.ptr, z.ptr, z.len) == 0);
    ckv_buf_fini(&x);
    ckv_buf_fini(&y);
    ckv_buf_fini(&z);
    ckv_buf_fini(&out);
}

static void together(ckv_runs_how how, const ckv_runs *a, const ckv_runs *b)
{
    ckv_runs all = {.a = ckv_alloc_libc}, left = all, both = all, sum = all, *result = &all;
    CKV_MUST(ckv_runs_mixed(&all, CKV_RUNS_UNION, a, b) == CKV_OK);
    CKV_MUST(ckv_runs_mixed(&left, CKV_RUNS_MINUS, a, b) == CKV_OK);
    CKV_MUST(ckv_runs_mixed(&both, CKV_RUNS_BOTH, a, b) == CKV_OK);
    CKV_MUST(ckv_runs_mixed(&sum, CKV_RUNS_UNION, &left, &both) == CKV_OK);
    CKV_ASSERT(same(&sum, a));
    sum.len = 0;
    CKV_MUST(ckv_runs_mixed(&sum, CKV_RUNS_UNION, &left, b) == CKV_OK);
    CKV_ASSERT(same(&sum, &all));
    CKV_ASSERT(ckv_runs_count(&left) + ckv_runs_count(&both) == ckv_runs_count(a));
    CKV_ASSERT(ckv_runs_count(&left) + ckv_runs_count(b) == ckv_runs_count(&all));
    if (how == CKV_RUNS_MINUS) result = &left;
    if (how == CKV_RUNS_BOTH) result = &both;
    as_streams(how, a, b, result);
    ckv_runs_fini(&all);
    ckv_runs_fini(&left);
    ckv_runs_fini(&both);
    ckv_runs_fini(&sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_rd r = ckv_rd_init(data, n_bytes);
    ckv_runs a = {.a = ckv_alloc_libc}, b = a;
    const uint8_t kind = ckv_rd_u8(&r);
    if (take(&a, &r, kind & 4) && take(&b, &r, kind & 4))
        together((ckv_runs_how)((kind & 3) % 3), &a, &b);
    ckv_runs_fini(&a);
    ckv_runs_fini(&b);
    return 0;
}
