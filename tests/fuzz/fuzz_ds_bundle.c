/* Bundles of a datastore, made by an honest one, damaged by a script: the frame, names, parts, what is in them; checksums are made right.
 *
 * All or nothing if it is malformed; what is taken in was signed; the same again changes nothing; and honest exchange brings both to the same afterwards.
 */
#include "warehouse_kit.h"

/* Makes it anew from its parts, which the script turns around, doubles, spoils, or gives another name. */
static ckv_buf remake(const ckv_buf *m, ckv_rd *script)
{
    static const char *const names[] = {"", "blue", "default", "red", "zz\xff"};
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_rd r = ckv_rd_init(m->ptr + 36, m->len - 44);
    ckv_buf_bytes(&out, m->ptr, 36);
    while (ckv_rd_left(&r)) {
        size_t n_name, n;
        const uint8_t *name = ckv_rd_blob(&r, &n_name), *bundle = ckv_rd_blob(&r, &n);
        ckv_buf part = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_bytes(&part, bundle, n);
        const uint32_t what = wk_below(script, 8);
        if (what & 1) wk_spoil_bundle(part.ptr, part.len, script);
        if (what == 6) {
            name = (const uint8_t *)names[wk_below(script, 5)];
            n_name = strlen((const char *)name);
        }
        for (uint32_t k = what == 4 ? 2 : what != 2; k; k--) {
            ckv_buf_blob(&out, name, n_name);
            ckv_buf_blob(&out, part.ptr, part.len);
        }
        ckv_buf_fini(&part);
    }
    if (wk_below(script, 4) == 1) wk_spoil(out.ptr, out.len, script);
    ckv_buf_u64le(&out, ckv_hash64(out.ptr, out.len));
    return out;
}

static void take(ckv_datastore *d, const ckv_buf *m)
{
    ckv_report report;
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_report_init(&report, ckv_alloc_libc);
    const ckv_id32 before = w_root(d);
    const uint32_t n_dags = ckv_datastore_n_dags(d);
    const ckv_status checked = ckv_datastore_bundle_check(d, m->ptr, m->len, &err);
    const ckv_status s = ckv_datastore_apply(d, m->ptr, m->len, &report, &err);
    CKV_ASSERT(s == checked && (s == CKV_OK || (s == CKV_ECORRUPT && err.text)));
    const ckv_id32 after = w_root(d);
    if (s != CKV_OK || report.applied.len + report.voided.len == 0)
        CKV_ASSERT(ckv_id32_eq(&before, &after));
    if (s != CKV_OK) CKV_ASSERT(ckv_datastore_n_dags(d) == n_dags);
    if (s == CKV_OK) {
        CKV_MUST(ckv_datastore_apply(d, m->ptr, m->len, &report, &err) == CKV_OK);
        CKV_ASSERT(report.applied.len + report.voided.len == 0);
    }
    ckv_report_fini(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    wk_begin();
    ckv_rd script = ckv_rd_init(data, n_bytes);
    ckv_datastore *a = w_made(1), *b = w_made(2);
    for (uint32_t n = 0; n < 24 && ckv_rd_left(&script); n++) {
        switch (wk_below(&script, 4)) {
        case 0: wk_edit(a, &script); break;
        case 1: wk_edit(b, &script); break;
        default: {
            ckv_buf m = ckv_buf_init(ckv_alloc_libc);
            CKV_MUST(ckv_datastore_export(a, NULL, 0, NULL, 0, &m) == CKV_OK);
            ckv_buf other = remake(&m, &script);
            take(b, &other);
            ckv_buf_fini(&other);
            ckv_buf_fini(&m);
        }
        }
    }
    wk_agree(a, b);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
    return 0;
}
