/* A saved document on top of a part of it. An input is two bytes, which choose the part and the size of pieces, and the payload of a bundle.
 *
 *     whole   what the bundle made
 *     part    what `whole` exports of one of its versions; then the save, on top. It must show what `whole` showed at that version,
 *             then what it shows now: history is a filter, and nothing depends on the order of arrival
 *     pieces  bundles of `whole` of a few changes each, in a bad order: they wait, are released, and can be passed on
 */
#include "believe.h"
#include "mutator.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed)
{
    return m_mutate(data, n_bytes, max, seed, 2);
}

static void apply(ckv_doc *doc, const ckv_buf *bundle, ckv_report *report)
{
    ckv_err err;
    CKV_MUST(fuzz_apply(doc, bundle->ptr, bundle->len, report, &err) == CKV_OK);
}

static void on_a_part(ckv_doc *whole, const ckv_buf *save, uint32_t change, ckv_report *report)
{
    ckv_change_info info;
    ckv_view *view;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_doc *part = k_new(2);
    ckv_doc_change(whole, change, &info);
    CKV_MUST(ckv_doc_export(whole, NULL, 0, info.id, 1, &bundle) == CKV_OK);
    apply(part, &bundle, report);
    CKV_ASSERT(report->refused.len == 0);
    s_check(part);
    CKV_MUST(ckv_view_new(&view, whole, info.id, 1, NULL, 0) == CKV_OK);
    k_shows(whole, view, part, NULL);
    ckv_view_free(view);
    apply(part, save, report);
    s_check(part);
    k_same(whole, part);
    ckv_doc_free(part);
    ckv_buf_fini(&bundle);
}

/* What is here can be passed on. */
static void pass_on(ckv_doc *from, ckv_report *report)
{
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_doc *to = k_new(4);
    CKV_MUST(ckv_doc_export(from, NULL, 0, NULL, 0, &bundle) == CKV_OK);
    apply(to, &bundle, report);
    CKV_ASSERT(report->refused.len == 0);
    k_same(from, to);
    ckv_doc_free(to);
    ckv_buf_fini(&bundle);
}

/* The older half of the pieces, then the other one, each the last one first. */
static void in_pieces(ckv_doc *whole, size_t max_bytes, ckv_report *report)
{
    enum { MOST = 64 };
    ckv_buf pieces[MOST];
    ckv_doc *other = k_new(3);
    ckv_peer peer = ckv_peer_init(whole);
    size_t n = 0;
    for (; n < MOST && ckv_peer_lacks(&peer, whole); n++) {
        pieces[n] = ckv_buf_init(ckv_alloc_libc);
        CKV_MUST(ckv_peer_bundle(&peer, whole, n + 1 < MOST ? max_bytes : 0, &pieces[n]) == CKV_OK);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t half = (n + 1) / 2, at = i < half ? half - 1 - i : n - 1 - (i - half);
        apply(other, &pieces[at], report);
        s_check(other);
        ckv_buf_fini(&pieces[at]);
        if (i + 1 == half) pass_on(other, report);
    }
    k_same(whole, other);
    ckv_peer_fini(&peer, whole);
    ckv_doc_free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 2) return 0;
    k_begin();
    ckv_doc *whole = k_new(1);
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc), save = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    ckv_err err;
    k_frame(&bundle, data + 2, n_bytes - 2);
    fuzz_report_init(&report, ckv_alloc_libc);
    const ckv_status s = fuzz_apply(whole, bundle.ptr, bundle.len, &report, &err);
    const uint32_t n = ckv_doc_n_changes(whole);
    if (s == CKV_OK && n) {
        CKV_MUST(ckv_doc_export(whole, NULL, 0, NULL, 0, &save) == CKV_OK);
        on_a_part(whole, &save, data[0] * n / 256, &report);
        in_pieces(whole, 1 + 4 * (size_t)data[1], &report);
    }
    fuzz_report_fini(&report);
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&save);
    ckv_doc_free(whole);
    return 0;
}
