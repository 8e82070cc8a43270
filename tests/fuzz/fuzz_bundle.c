/* Bundles of a document whose id is 32 times 0x2a. An input is a bundle, or only the payload of one: frame and checksum are made here.
 *
 * What went in must pass ckv_doc_check, be known when it comes again, and come out as a bundle from which a second replica gets the same.
 */
#include "believe.h"
#include "mutator.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed)
{
    return m_mutate(data, n_bytes, max, seed, 0);
}

/* The same changes, sent on, make the same document. */
static void send_on(ckv_doc *a, ckv_report *report)
{
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_err err;
    ckv_doc *b = k_new(1);
    CKV_MUST(ckv_doc_export(a, NULL, 0, NULL, 0, &bundle) == CKV_OK);
    CKV_MUST(fuzz_apply(b, bundle.ptr, bundle.len, report, &err) == CKV_OK);
    s_check(b);
    k_same(a, b);
    ckv_doc_free(b);
    ckv_buf_fini(&bundle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    k_begin();
    ckv_doc *doc = k_new(1);
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    ckv_err err;
    k_frame(&bundle, data, n_bytes);
    fuzz_report_init(&report, ckv_alloc_libc);
    const ckv_status checked = ckv_bundle_check(doc, bundle.ptr, bundle.len, &err);
    ckv_status s = fuzz_apply(doc, bundle.ptr, bundle.len, &report, &err);
    CKV_ASSERT((checked == CKV_OK) == (s == CKV_OK) || s == CKV_ELIMIT);
    CKV_ASSERT(s == CKV_OK || (report.applied.len == 0 && ckv_doc_n_changes(doc) == 0));
    s_check(doc);
    if (s == CKV_OK) {
        const ckv_id32 root = k_root(doc);
        s = fuzz_apply(doc, bundle.ptr, bundle.len, &report, &err);
        const ckv_id32 again = k_root(doc);
        CKV_ASSERT(s == CKV_OK && report.applied.len == 0 && report.voided.len == 0 &&
                   ckv_id32_eq(&root, &again));
        s_check(doc);
        send_on(doc, &report);
    }
    fuzz_report_fini(&report);
    ckv_buf_fini(&bundle);
    ckv_doc_free(doc);
    return 0;
}
