/* Live changes. The input is a byte that says how, and then
 *
 *     even   a script: an honest writer sends what it wrote, some of it damaged on the way. Signatures are real: what is applied was written
 *     odd    live changes as they came, to a document that knows the first track. Signatures are believed: for the rooms behind the door
 */
#include "believe.h"
#include "kit.h"

typedef struct ends {
    ckv_doc *writer, *reader;
    ckv_live out, in;
    ckv_peer to, from;
    ckv_report report;
} ends;

static ends begin(void)
{
    ends e = {.writer = k_new(1), .reader = k_new(2)};
    e.to = ckv_peer_init(e.writer);
    e.from = ckv_peer_init(e.reader);
    ckv_report_init(&e.report, ckv_alloc_libc);
    return e;
}

static void finish(ends *e)
{
    ckv_report_fini(&e->report);
    ckv_peer_fini(&e->to, e->writer);
    ckv_peer_fini(&e->from, e->reader);
    ckv_doc_free(e->writer);
    ckv_doc_free(e->reader);
}

static void damage(ckv_buf *b, ckv_rd *script)
{
    for (uint32_t n = 1 + k_below(script, 3); n && b->len; n--) {
        const size_t at = (ckv_rd_u8(script) | (size_t)k_below(script, 4) << 8) % b->len;
        const uint8_t how = ckv_rd_u8(script);
        if (how < 3)
            b->len = at;
        else if (how < 6)
            ckv_buf_bytes(b, "\0\1\2\3", how - 2u);
        else
            b->ptr[at] ^= how;
    }
}

static void script_of_steps(ends *e, ckv_rd *script)
{
    ckv_err err;
    bool whole = true; /* all that was sent came, in order */
    for (uint32_t n = 0; n < 40 && ckv_rd_left(script); n++) {
        bool fits = false;
        ckv_buf out = ckv_buf_init(ckv_alloc_libc);
        const uint8_t what = ckv_rd_u8(script);
        if (what & 8) ckv_doc_leave_lane(e->writer);
        k_edit(e->writer, script);
        if (what & 4) continue; /* more of it at once */
        CKV_MUST(ckv_live_write(&e->out, e->writer, &e->to, &out, &fits) == CKV_OK);
        if (!fits) { /* as a bundle, as sessions do */
            CKV_MUST(ckv_peer_bundle(&e->to, e->writer, 0, &out) == CKV_OK);
            CKV_MUST(ckv_peer_apply(&e->from, e->reader, out.ptr, out.len, &e->report, NULL,
                                    &err) == CKV_OK);
        } else if (out.len && (what & 3) != 3) {
            if ((what & 3) == 2) damage(&out, script), whole = false;
            const uint32_t before = ckv_doc_n_changes(e->reader);
            const ckv_status s = ckv_live_apply(&e->in, e->reader, &e->from, out.ptr, out.len,
                                                &e->report, NULL, &err);
            CKV_ASSERT(s == CKV_OK || (s == CKV_ECORRUPT && !whole && err.text &&
                                       ckv_doc_n_changes(e->reader) == before));
            if (s != CKV_OK) e->in = (ckv_live){.turn = 0}; /* tracks are lost */
        } else if (out.len) {
            whole = false; /* lost */
        }
        CKV_ASSERT(ckv_doc_n_changes(e->reader) <= ckv_doc_n_changes(e->writer));
        ckv_buf_fini(&out);
    }
    s_check(e->reader);
    CKV_ASSERT(k_within(e->reader, e->writer));
    if (whole && !ckv_peer_lacks(&e->to, e->writer)) k_same(e->writer, e->reader);
}

/* To a reader that has heard honest changes in track 0. */
static void as_they_came(ends *e, const uint8_t *data, size_t n_bytes)
{
    bool fits;
    ckv_err err;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    t_state = 3;
    for (int i = 0; i < 4; i++) {
        CKV_MUST(s_edit(e->writer) == CKV_OK);
        CKV_MUST(s_commit(e->writer) == CKV_OK);
    }
    CKV_MUST(fuzz_live_write(&e->out, e->writer, &e->to, &out, &fits) == CKV_OK && fits);
    CKV_MUST(fuzz_live_apply(&e->in, e->reader, &e->from, out.ptr, out.len, &e->report, NULL,
                             &err) == CKV_OK);
    const uint32_t before = ckv_doc_n_changes(e->reader);
    CKV_ASSERT(before > 0 && before == ckv_doc_n_changes(e->writer));
    n_believed = 0;
    const ckv_status s =
        fuzz_live_apply(&e->in, e->reader, &e->from, data, n_bytes, &e->report, NULL, &err);
    CKV_ASSERT(s == CKV_OK || (s == CKV_ECORRUPT && err.text) || s == CKV_ELIMIT);
    const uint32_t fresh = ckv_doc_n_changes(e->reader) - before;
    CKV_ASSERT(fresh <= CKV_LIVE_CHANGES * n_believed && (s == CKV_OK || fresh == 0));
    s_check(e->reader);
    if (s == CKV_OK) { /* the same again changes nothing, but for tracks */
        ckv_live again = {.turn = 0};
        const ckv_id32 root = k_root(e->reader);
        const ckv_status twice =
            fuzz_live_apply(&again, e->reader, &e->from, data, n_bytes, &e->report, NULL, &err);
        const ckv_id32 now = k_root(e->reader);
        CKV_ASSERT((twice == CKV_OK || twice == CKV_ECORRUPT) && ckv_id32_eq(&root, &now));
    }
    ckv_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 2) return 0;
    k_begin();
    ends e = begin();
    ckv_rd script = ckv_rd_init(data + 1, n_bytes - 1);
    if (data[0] & 1)
        as_they_came(&e, data + 1, n_bytes - 1);
    else
        script_of_steps(&e, &script);
    finish(&e);
    return 0;
}
