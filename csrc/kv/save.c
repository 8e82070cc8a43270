/* save.c -- a store as bytes and back. docs/format.md, "Store". What was loaded draws a new incarnation with its first write. */
#include "base/check.h"
#include "base/utf8.h"
#include "kv/intake.h"
#include "kv/killed.h"
#include "kv/push.h"

/* What the next opset has to tell of an incarnation. */
static void write_untold(ckv_buf *out, const ckv_incarnation *p)
{
    ckv_buf_varint(out, p->mine_from);
    ckv_buf_varint(out, p->mine_to - p->mine_from);
    ckv_runs_walk killed = ckv_runs_walk_init(&p->killed);
    ckv_runs_out w = ckv_runs_out_init(out);
    ckv_runs_out_all(&w, ckv_runs_walk_stream(&killed));
    ckv_runs_out_end(&w);
}

ckv_status ckv_store_save(const ckv_store *s, ckv_buf *out)
{
    for (size_t i = 0; i < s->who.all.len; i++) ckv_killed_tidy(&s->who.all.ptr[i]);
    const size_t begin = ckv_message_begin(out, CKV_MESSAGE_SAVE);
    size_t n_parts = 0;
    for (size_t i = 0; i < s->who.all.len; i++) n_parts += s->who.all.ptr[i].bookmark > 0;
    ckv_buf_u8(out, s->name_key.is_bytes);
    ckv_buf_blob(out, s->name_key.ptr, s->name_key.n_bytes);
    ckv_buf_varint(out, s->clock);
    ckv_buf_varint(out, n_parts);
    for (size_t i = 0; i < s->who.order.len; i++) {
        const ckv_incarnation *p = &s->who.all.ptr[s->who.order.ptr[i]];
        if (p->bookmark == 0) continue;
        ckv_buf_blob(out, p->id, p->id_bytes);
        ckv_buf_varint(out, p->bookmark);
        write_untold(out, p);
        ckv_buf_varint(out, p->live.n);
        ckv_dot_walk w = ckv_dots_from(&p->live, 0);
        uint64_t before = 0, hlc;
        for (ckv_cell *cell; ckv_dot_walk_next(&w, &hlc, &cell); before = hlc)
            ckv_row_write(out, before, hlc, cell);
    }
    for (size_t i = 0; i < s->held.all.len; i++)
        ckv_buf_blob(out, s->held.all.ptr[i].bytes, s->held.all.ptr[i].n_bytes);
    ckv_message_end(out, begin);
    return out->status;
}

/* ---- loading */

static ckv_status read_untold(ckv_incarnation *p, ckv_rd *r, uint64_t bookmark)
{
    p->mine_from = ckv_rd_upto(r, bookmark);
    p->mine_to = p->mine_from + ckv_rd_upto(r, bookmark - p->mine_from);
    ckv_runs_in killed = ckv_runs_in_init(r, 1, bookmark);
    for (ckv_run run; ckv_runs_in_next(&killed, &run);) {
        if (p->mine_from < p->mine_to && run.start <= p->mine_to && run.end > p->mine_from + 1)
            ckv_rd_fail(r, CKV_ECORRUPT);
        CKV_TRY(ckv_runs_append(&p->killed, run.start, run.end));
    }
    p->n_tidy = p->killed.len;
    return CKV_OK;
}

static void load_part(ckv_intake *in, ckv_rd *r, ckv_bytes *last)
{
    ckv_store *s = in->store;
    const ckv_bytes id = ckv_message_id(r, last);
    const uint64_t bookmark = ckv_rd_upto(r, CKV_HLC_END - 1);
    if (bookmark == 0) ckv_rd_fail(r, CKV_ECORRUPT);
    if (r->status != CKV_OK) return;
    uint32_t peer;
    ckv_status status = ckv_incarnations_reach(&s->who, id.ptr, id.n_bytes, &peer);
    if (status == CKV_OK) status = read_untold(&s->who.all.ptr[peer], r, bookmark);
    const size_t n = status == CKV_OK ? ckv_rd_count(r, 4) : 0;
    ckv_row row = {.hlc = 0};
    for (size_t i = 0; i < n && status == CKV_OK; i++) {
        if (!ckv_row_read(r, ckv_store_alloc(s), row.hlc, &row)) return;
        if (row.hlc > bookmark) ckv_rd_fail(r, CKV_ECORRUPT);
        if (r->status == CKV_OK) status = ckv_intake_row(in, peer, &row);
    }
    if (status == CKV_OK) status = ckv_intake_bookmark(in, peer, bookmark);
    if (status != CKV_OK) ckv_rd_fail(r, status);
}

/* A killed dot that is alive would be a save that says two things. */
static bool killed_are_dead(const ckv_store *s)
{
    for (size_t i = 0; i < s->who.all.len; i++) {
        const ckv_incarnation *p = &s->who.all.ptr[i];
        for (size_t k = 0; k < p->killed.len; k++) {
            ckv_dot_walk w = ckv_dots_from(&p->live, p->killed.ptr[k].start);
            uint64_t hlc;
            ckv_cell *cell;
            if (ckv_dot_walk_next(&w, &hlc, &cell) && hlc < p->killed.ptr[k].end) return false;
        }
    }
    return true;
}

static void load_parts(ckv_store *s, ckv_rd *r)
{
    ckv_intake in = ckv_intake_begin(s);
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_store_alloc(s));
    ckv_bytes last = {NULL, 0};
    for (size_t n = ckv_rd_count(r, 12); n > 0 && r->status == CKV_OK; n--)
        load_part(&in, r, &last);
    if (r->status != CKV_OK) {
        ckv_intake_abort(&in);
    } else {
        const ckv_status status = ckv_intake_commit(&in, &report);
        if (status != CKV_OK) ckv_rd_fail(r, status);
    }
    ckv_store_report_fini(&report);
}

/* What waits, to the end. It waited because of what is missing here, too; what does not, as no store would save it, is done. */
static void load_held(ckv_store *s, ckv_rd *r)
{
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_store_alloc(s));
    while (ckv_rd_left(r)) {
        ckv_bytes m;
        m.ptr = ckv_rd_blob(r, &m.n_bytes);
        if (!m.ptr || m.n_bytes == 0) {
            ckv_rd_fail(r, CKV_ECORRUPT);
            break;
        }
        const uint8_t kind = m.ptr[0] == CKV_MESSAGE_OP ? CKV_MESSAGE_OP : CKV_MESSAGE_OPSET;
        ckv_status status = ckv_push_check(m, kind, ckv_store_alloc(s), CKV_NO_DRIFT, NULL);
        const uint64_t version = s->version;
        if (status == CKV_OK) status = ckv_push_take(s, m, &report);
        if (status == CKV_OK && version != s->version) status = ckv_push_settle(s, &report);
        if (status != CKV_OK) ckv_rd_fail(r, status);
    }
    ckv_store_report_fini(&report);
}

ckv_status ckv_store_load(ckv_store **out, const ckv_env *env, ckv_bytes save,
                          const ckv_store_key *name, ckv_err *err)
{
    ckv_rd r;
    CKV_TRY(ckv_message_open(save, CKV_MESSAGE_SAVE, &r, err));
    ckv_store_key saved = {.is_bytes = ckv_rd_upto(&r, 1)};
    size_t n, n_chars;
    uint32_t max;
    saved.ptr = ckv_rd_blob(&r, &n);
    saved.n_bytes = (uint32_t)n;
    if (!saved.ptr || n > CKV_MAX_PEER_NAME ||
        (!saved.is_bytes && !ckv_utf8_valid(saved.ptr, n, &n_chars, &max)))
        ckv_rd_fail(&r, CKV_ECORRUPT);
    const uint64_t clock = ckv_rd_upto(&r, CKV_HLC_END - 1);
    if (r.status != CKV_OK) return ckv_message_fail(save, &r, r.status, "not a save", err);
    ckv_store *s;
    CKV_TRY(ckv_store_new(&s, env, name ? *name : saved));
    load_parts(s, &r);
    if (r.status == CKV_OK && !killed_are_dead(s)) ckv_rd_fail(&r, CKV_ECORRUPT);
    if (r.status == CKV_OK) load_held(s, &r);
    if (r.status == CKV_OK && s->clock > clock) ckv_rd_fail(&r, CKV_ECORRUPT);
    if (r.status != CKV_OK) {
        ckv_store_free(s);
        return ckv_message_fail(save, &r, r.status, "not a save", err);
    }
    s->clock = clock;
    *out = s;
    return CKV_OK;
}
