#include "kv/opset.h"

#include "base/check.h"
#include "kv/killed.h"
#include "kv/report.h"

/* ---- reading */

ckv_opset_part ckv_opset_next(ckv_rd *r, ckv_bytes *last_id)
{
    ckv_opset_part p = {.id = ckv_message_id(r, last_id)};
    p.covered = ckv_runs_in_init(r, 1, CKV_HLC_END - 1);
    p.dead = ckv_runs_in_init(r, 1, CKV_HLC_END - 1);
    p.n_rows = ckv_rd_count(r, 4);
    p.rows = *r;
    return p;
}

static void skip_rows(ckv_rd *r, size_t n)
{
    for (; n > 0; n--) ckv_row_believe(r, 0);
}

/* A part as it comes from outside: rows in what is covered, nothing dead in it, something in it at all. */
static void check_part(ckv_rd *r, ckv_alloc a, ckv_opset_part p, uint64_t *last)
{
    ckv_run at = {0, 0}, run;
    bool has_one = false;
    ckv_runs_in covered = p.covered, dead = p.dead;
    ckv_runs_mix mix =
        ckv_runs_mix_init(CKV_RUNS_BOTH, ckv_runs_in_stream(&covered), ckv_runs_in_stream(&dead));
    if (ckv_runs_mix_next(&mix, &run)) ckv_rd_fail(r, CKV_ECORRUPT);
    for (ckv_runs_in dots = p.dead; ckv_runs_in_next(&dots, &run); has_one = true)
        if (*last < run.end - 1) *last = run.end - 1;
    for (ckv_runs_in dots = p.covered; ckv_runs_in_next(&dots, &run); has_one = true)
        if (*last < run.end - 1) *last = run.end - 1;
    if (!has_one) ckv_rd_fail(r, CKV_ECORRUPT);
    ckv_row row = {.hlc = 0};
    for (size_t i = 0; i < p.n_rows && ckv_row_read(r, a, row.hlc, &row); i++) {
        while (row.hlc >= at.end && ckv_runs_in_next(&p.covered, &at)) continue;
        if (row.hlc < at.start || row.hlc >= at.end) ckv_rd_fail(r, CKV_ECORRUPT);
    }
}

ckv_status ckv_opset_open(ckv_bytes opset, ckv_alloc a, ckv_rd *out, uint64_t *last, ckv_err *err)
{
    CKV_TRY(ckv_message_open(opset, CKV_MESSAGE_OPSET, out, err));
    ckv_rd r = *out;
    ckv_bytes last_id = {NULL, 0};
    *last = 0;
    while (ckv_rd_left(&r)) {
        const ckv_opset_part p = ckv_opset_next(&r, &last_id);
        if (r.status == CKV_OK) check_part(&r, a, p, last);
    }
    return r.status == CKV_OK ? CKV_OK
                              : ckv_message_fail(opset, &r, r.status, "not an op set", err);
}

/* ---- writing: what this store itself changed */

static bool next_run(void *at, ckv_run *out) /* of one run */
{
    ckv_run *run = at;
    *out = *run;
    run->start = run->end;
    return out->start < out->end;
}

static void write_mine(ckv_buf *out, const ckv_incarnation *p)
{
    ckv_run covered = {p->mine_from + 1, p->mine_to + 1};
    if (covered.start == covered.end && p->killed.len == 0) return;
    ckv_buf_blob(out, p->id, p->id_bytes);
    ckv_runs_out w = ckv_runs_out_init(out);
    ckv_runs_out_all(&w, (ckv_runs_stream){next_run, &covered});
    ckv_runs_out_end(&w);
    ckv_runs_walk killed = ckv_runs_walk_init(&p->killed);
    w = ckv_runs_out_init(out);
    ckv_runs_out_all(&w, ckv_runs_walk_stream(&killed));
    ckv_runs_out_end(&w);
    ckv_buf_varint(out, ckv_dots_count_from(&p->live, p->mine_from + 1) -
                            ckv_dots_count_from(&p->live, p->mine_to + 1));
    ckv_dot_walk walk = ckv_dots_from(&p->live, p->mine_from + 1);
    uint64_t before = 0, hlc;
    for (ckv_cell *cell; ckv_dot_walk_next(&walk, &hlc, &cell) && hlc <= p->mine_to; before = hlc)
        ckv_row_write(out, before, hlc, cell);
}

ckv_status ckv_store_opset(ckv_store *s, ckv_buf *out)
{
    CKV_ASSERT(!s->in_txn);
    const size_t begin = ckv_message_begin(out, CKV_MESSAGE_OPSET);
    for (size_t i = 0; i < s->who.order.len; i++) {
        ckv_incarnation *p = &s->who.all.ptr[s->who.order.ptr[i]];
        ckv_killed_tidy(p);
        write_mine(out, p);
    }
    ckv_message_end(out, begin);
    CKV_TRY(out->status);
    for (size_t i = 0; i < s->who.all.len; i++) {
        ckv_incarnation *p = &s->who.all.ptr[i];
        ckv_killed_forget(p);
        p->mine_from = p->mine_to;
    }
    return CKV_OK;
}

/* ---- taking one in */

/* Rows of a run that does not fit yet. */
static void pass_over(ckv_run run, ckv_rd *rows, size_t *n_rows, uint64_t *before)
{
    for (; *n_rows > 0; --*n_rows) {
        ckv_rd ahead = *rows;
        const ckv_row row = ckv_row_believe(&ahead, *before);
        if (row.hlc >= run.end) break;
        *rows = ahead;
        *before = row.hlc;
    }
}

static ckv_status take_part(ckv_intake *in, ckv_opset_part p)
{
    uint32_t peer;
    CKV_TRY(ckv_incarnations_reach(&in->store->who, p.id.ptr, p.id.n_bytes, &peer));
    uint64_t before = 0, bookmark = in->store->who.all.ptr[peer].bookmark; /* with what is staged */
    ckv_run run;
    while (ckv_runs_in_next(&p.covered, &run)) {
        if (run.start - 1 <= bookmark)
            CKV_TRY(ckv_intake_run(in, peer, &bookmark, run, &p.rows, &p.n_rows, &before));
        else
            pass_over(run, &p.rows, &p.n_rows, &before);
    }
    while (ckv_runs_in_next(&p.dead, &run) && run.start <= bookmark)
        CKV_TRY(ckv_intake_dead(in, peer, run.start, run.end));
    return CKV_OK;
}

ckv_status ckv_opset_apply(ckv_store *s, ckv_rd parts, ckv_store_report *report)
{
    ckv_intake in = ckv_intake_begin(s);
    ckv_bytes last_id = {NULL, 0};
    ckv_status status = CKV_OK;
    while (status == CKV_OK && ckv_rd_left(&parts)) {
        const ckv_opset_part p = ckv_opset_next(&parts, &last_id);
        skip_rows(&parts, p.n_rows);
        status = take_part(&in, p);
    }
    if (status == CKV_OK) return ckv_intake_commit(&in, report);
    ckv_intake_abort(&in);
    return status;
}

ckv_need ckv_opset_need(const ckv_store *s, ckv_opset_part p)
{
    const uint32_t peer = ckv_incarnations_find(&s->who, p.id.ptr, p.id.n_bytes);
    const uint64_t bookmark = s->who.all.ptr[peer].bookmark;
    uint64_t until = UINT64_MAX;
    ckv_run run;
    while (ckv_runs_in_next(&p.covered, &run) && until == UINT64_MAX)
        if (run.end - 1 > bookmark) until = run.start - 1;
    while (ckv_runs_in_next(&p.dead, &run)) {
        if (run.end - 1 <= bookmark) continue;
        const uint64_t first = run.start > bookmark ? run.start : bookmark + 1;
        if (first < until) until = first;
        break;
    }
    return (ckv_need){until == UINT64_MAX ? CKV_NOBODY : peer, until};
}

ckv_status ckv_opset_one(ckv_buf *out, ckv_bytes part)
{
    const size_t begin = ckv_message_begin(out, CKV_MESSAGE_OPSET);
    ckv_buf_bytes(out, part.ptr, part.n_bytes);
    ckv_message_end(out, begin);
    return out->status;
}

ckv_bytes ckv_opset_skip(ckv_rd *r, ckv_bytes *last_id, ckv_opset_part *part)
{
    const uint8_t *from = r->p;
    *part = ckv_opset_next(r, last_id);
    skip_rows(r, part->n_rows);
    return (ckv_bytes){from, (size_t)(r->p - from)};
}
