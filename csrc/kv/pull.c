/* pull.c -- state sync: what I have, what you lack, taking it in. docs/format.md, "Store". */
#include "base/check.h"
#include "kv/intake.h"
#include "kv/push.h"
#include "kv/report.h"

/* ---- live dots as a stream of runs */

static bool next_live(void *walk, ckv_run *out)
{
    return ckv_dot_walk_run(walk, &out->start, &out->end);
}

/* ---- request */

ckv_status ckv_store_request(const ckv_store *s, ckv_buf *out)
{
    const size_t begin = ckv_message_begin(out, CKV_MESSAGE_REQUEST);
    for (size_t i = 0; i < s->who.order.len; i++) {
        const ckv_incarnation *p = &s->who.all.ptr[s->who.order.ptr[i]];
        if (p->bookmark == 0) continue;
        ckv_buf_blob(out, p->id, p->id_bytes);
        ckv_buf_varint(out, p->bookmark);
        ckv_dot_walk walk = ckv_dots_from(&p->live, 0);
        ckv_runs_out w = ckv_runs_out_init(out);
        ckv_runs_out_all(&w, (ckv_runs_stream){next_live, &walk});
        ckv_runs_out_end(&w);
    }
    ckv_message_end(out, begin);
    return out->status;
}

ckv_status ckv_store_index_size(const ckv_store *s, uint64_t *n_bytes)
{
    ckv_buf out = ckv_buf_init(ckv_store_alloc(s));
    const ckv_status status = ckv_store_request(s, &out);
    *n_bytes = out.len;
    ckv_buf_fini(&out);
    return status;
}

/* One incarnation of a request. */
typedef struct asked {
    ckv_bytes id; /* empty: nobody any more */
    uint64_t bookmark;
    ckv_runs_in live;
} asked;

static asked next_asked(ckv_rd *r, ckv_bytes *last)
{
    asked a = {{NULL, 0}, 0, {0}};
    if (ckv_rd_left(r) == 0) return a;
    a.id = ckv_message_id(r, last);
    a.bookmark = ckv_rd_upto(r, CKV_HLC_END - 1);
    if (a.bookmark == 0) ckv_rd_fail(r, CKV_ECORRUPT);
    a.live = ckv_runs_in_init(r, 1, a.bookmark);
    return a;
}

/* Opens a request and reads all of it once. */
static ckv_status open_request(ckv_bytes request, ckv_rd *out, ckv_err *err)
{
    CKV_TRY(ckv_message_open(request, CKV_MESSAGE_REQUEST, out, err));
    ckv_rd r = *out;
    ckv_bytes last = {NULL, 0};
    while (ckv_rd_left(&r)) next_asked(&r, &last);
    return r.status == CKV_OK ? CKV_OK
                              : ckv_message_fail(request, &r, r.status, "not a request", err);
}

ckv_status ckv_request_check(ckv_bytes request, ckv_err *err)
{
    ckv_rd r;
    return open_request(request, &r, err);
}

static int compare(ckv_bytes a, ckv_bytes b)
{
    const size_t n = a.n_bytes < b.n_bytes ? a.n_bytes : b.n_bytes;
    const int order = memcmp(a.ptr, b.ptr, n);
    return order ? order : a.n_bytes < b.n_bytes ? -1 : a.n_bytes > b.n_bytes;
}

/* ---- diff */

typedef struct answer { /* being written */
    ckv_buf *out;
    ckv_buf dead; /* a set, before its part is written */
    size_t begin, max_bytes;
    bool more;
} answer;

static bool is_full(const answer *a, size_t n_more)
{
    return a->max_bytes && a->out->len - a->begin + n_more >= a->max_bytes;
}

/* What they have alive of an incarnation and we know to be superseded; false: there is nothing. */
static bool find_dead(answer *a, const ckv_incarnation *p, const asked *theirs)
{
    ckv_runs_in live = theirs->live;
    ckv_dot_walk walk = ckv_dots_from(&p->live, 0);
    ckv_runs_mix mix = ckv_runs_mix_init(CKV_RUNS_MINUS, ckv_runs_in_stream(&live),
                                         (ckv_runs_stream){next_live, &walk});
    ckv_buf_clear(&a->dead);
    ckv_runs_out w = ckv_runs_out_init(&a->dead);
    bool has_one = false;
    for (ckv_run run; ckv_runs_mix_next(&mix, &run) && run.start <= p->bookmark; has_one = true) {
        if (has_one && is_full(a, a->dead.len)) {
            a->more = true;
            break;
        }
        ckv_runs_out_add(&w, run.start, run.end <= p->bookmark ? run.end : p->bookmark + 1);
    }
    ckv_runs_out_end(&w);
    return has_one;
}

/* How many rows of (from, bookmark] there is room for, and up to where they tell all. */
static size_t count_rows(answer *a, const ckv_incarnation *p, uint64_t from, bool is_first,
                         uint64_t *to)
{
    *to = p->bookmark;
    if (!a->max_bytes) return ckv_dots_count_from(&p->live, from + 1);
    ckv_dot_walk w = ckv_dots_from(&p->live, from + 1);
    size_t n = 0, n_bytes = a->dead.len;
    uint64_t before = from, hlc;
    for (ckv_cell *cell; ckv_dot_walk_next(&w, &hlc, &cell); n++) {
        n_bytes += ckv_row_size(before, hlc, cell);
        if (is_full(a, n_bytes) && !(n == 0 && is_first)) {
            *to = before;
            a->more = true;
            return n;
        }
        before = hlc;
    }
    return n;
}

static void write_part(answer *a, const ckv_incarnation *p, const asked *theirs)
{
    const uint64_t from = theirs ? theirs->bookmark : 0;
    ckv_buf_clear(&a->dead);
    const bool has_dead = theirs && find_dead(a, p, theirs);
    if (a->dead.status != CKV_OK) a->out->status = a->dead.status;
    uint64_t to = from > p->bookmark ? from : p->bookmark;
    size_t n_rows = 0;
    if (a->more) /* deaths first: rows come with the next message */
        to = from;
    else if (from < p->bookmark)
        n_rows = count_rows(a, p, from, a->out->len == a->begin + 2 && !has_dead, &to);
    if (!has_dead && from == to) return;
    ckv_buf_blob(a->out, p->id, p->id_bytes);
    ckv_buf_varint(a->out, from);
    ckv_buf_varint(a->out, to - from);
    if (has_dead)
        ckv_buf_bytes(a->out, a->dead.ptr, a->dead.len);
    else
        ckv_buf_u8(a->out, 0); /* an empty set */
    ckv_buf_varint(a->out, n_rows);
    ckv_dot_walk w = ckv_dots_from(&p->live, from + 1);
    uint64_t before = from, hlc;
    ckv_cell *cell;
    for (; n_rows > 0; n_rows--) {
        CKV_MUST(ckv_dot_walk_next(&w, &hlc, &cell));
        ckv_row_write(a->out, before, hlc, cell);
        before = hlc;
    }
}

ckv_status ckv_store_diff(const ckv_store *s, ckv_bytes request, size_t max_bytes, ckv_buf *out,
                          bool *more, ckv_err *err)
{
    ckv_rd r;
    CKV_TRY(open_request(request, &r, err));
    answer a = {.out = out,
                .dead = ckv_buf_init(ckv_store_alloc(s)),
                .begin = ckv_message_begin(out, CKV_MESSAGE_DIFF),
                .max_bytes = max_bytes};
    ckv_bytes last = {NULL, 0};
    asked theirs = next_asked(&r, &last);
    for (size_t i = 0; i < s->who.order.len; i++) {
        const ckv_incarnation *p = &s->who.all.ptr[s->who.order.ptr[i]];
        const ckv_bytes id = ckv_incarnation_id(p);
        if (p->bookmark == 0) continue;
        while (theirs.id.n_bytes && compare(theirs.id, id) < 0) theirs = next_asked(&r, &last);
        if (a.more ||
            (out->len > a.begin + 2 && is_full(&a, 0))) { /* something it says in any case */
            a.more = true;
            break;
        }
        write_part(&a, p, theirs.id.n_bytes && compare(theirs.id, id) == 0 ? &theirs : NULL);
    }
    ckv_message_end(out, a.begin);
    ckv_buf_fini(&a.dead);
    if (more) *more = a.more;
    return out->status;
}

/* ---- taking a diff in */

typedef struct part {
    ckv_bytes id;
    uint64_t from, to;
    ckv_runs_in dead;
    size_t n_rows; /* the reader stands at the first */
} part;

static part next_part(ckv_rd *r, ckv_bytes *last)
{
    part p = {.id = ckv_message_id(r, last)};
    p.from = ckv_rd_upto(r, CKV_HLC_END - 1);
    p.to = p.from + ckv_rd_upto(r, CKV_HLC_END - 1 - p.from);
    p.dead = ckv_runs_in_init(r, 1, p.from);
    ckv_runs_in dead = p.dead;
    if (p.from == p.to && !ckv_runs_in_next(&dead, &(ckv_run){0, 0})) ckv_rd_fail(r, CKV_ECORRUPT);
    p.n_rows = ckv_rd_count(r, 4);
    return p;
}

/* Opens a diff and checks all of it; *last: the greatest dot in it. */
static ckv_status open_diff(ckv_bytes diff, ckv_alloc a, ckv_rd *out, uint64_t *last_dot,
                            ckv_err *err)
{
    CKV_TRY(ckv_message_open(diff, CKV_MESSAGE_DIFF, out, err));
    ckv_rd r = *out;
    ckv_bytes last = {NULL, 0};
    *last_dot = 0;
    while (ckv_rd_left(&r)) {
        const part p = next_part(&r, &last);
        uint64_t before = p.from;
        ckv_row row;
        for (size_t i = 0; i < p.n_rows && ckv_row_read(&r, a, before, &row); i++) {
            if (row.hlc > p.to) ckv_rd_fail(&r, CKV_ECORRUPT);
            before = row.hlc;
        }
        if (*last_dot < p.to) *last_dot = p.to;
    }
    return r.status == CKV_OK ? CKV_OK : ckv_message_fail(diff, &r, r.status, "not a diff", err);
}

static void skip_rows(ckv_rd *r, const part *p)
{
    for (size_t i = 0; i < p->n_rows; i++) ckv_row_believe(r, 0);
}

static ckv_status stage_part(ckv_intake *in, ckv_rd *r, const part *p, ckv_store_report *report)
{
    ckv_store *s = in->store;
    uint32_t peer = ckv_incarnations_find(&s->who, p->id.ptr, p->id.n_bytes);
    uint64_t bookmark = peer == CKV_NOBODY ? 0 : s->who.all.ptr[peer].bookmark;
    if (p->from > bookmark) {
        skip_rows(r, p);
        return ckv_report_refused(report, p->id, "it begins above the bookmark here", false);
    }
    CKV_TRY(ckv_incarnations_reach(&s->who, p->id.ptr, p->id.n_bytes, &peer));
    ckv_runs_in dead = p->dead;
    for (ckv_run run; ckv_runs_in_next(&dead, &run);)
        CKV_TRY(ckv_intake_dead(in, peer, run.start, run.end));
    if (p->from == p->to) return CKV_OK;
    uint64_t before = p->from;
    size_t n_rows = p->n_rows;
    return ckv_intake_run(in, peer, &bookmark, (ckv_run){p->from + 1, p->to + 1}, r, &n_rows,
                          &before);
}

ckv_status ckv_store_integrate(ckv_store *s, ckv_bytes diff, uint64_t latest,
                               ckv_store_report *report, ckv_err *err)
{
    ckv_rd r;
    uint64_t last_dot;
    CKV_TRY(open_diff(diff, ckv_store_alloc(s), &r, &last_dot, err));
    if (last_dot > latest)
        return ckv_message_fail(diff, &r, CKV_EDRIFT, "a dot too far in the future", err);
    ckv_report_open(s);
    ckv_intake in = ckv_intake_begin(s);
    ckv_bytes last = {NULL, 0};
    ckv_status status = CKV_OK;
    while (status == CKV_OK && ckv_rd_left(&r)) {
        const part p = next_part(&r, &last);
        status = stage_part(&in, &r, &p, report);
    }
    if (status != CKV_OK) {
        ckv_intake_abort(&in);
        return status;
    }
    CKV_TRY(ckv_intake_commit(&in, report));
    ckv_store_learn(s, last_dot);
    return ckv_push_settle(s, report);
}

/* ---- a request kept for a known peer */

/* The dots of a part that have no row, as a stream. */
typedef struct silent {
    ckv_rd rows;
    size_t n_rows;
    uint64_t before, at, to; /* the last row's hlc; the next dot; the last one */
} silent;

static bool next_silent(void *ctx, ckv_run *out)
{
    silent *s = ctx;
    while (s->at <= s->to) {
        uint64_t row = s->to + 1;
        if (s->n_rows > 0) {
            s->n_rows--;
            row = s->before = ckv_row_believe(&s->rows, s->before).hlc;
        }
        *out = (ckv_run){s->at, row};
        s->at = row + 1;
        if (out->start < out->end) return true;
    }
    return false;
}

static uint64_t bookmark_after(const asked *theirs, const part *p)
{
    const uint64_t bookmark = theirs ? theirs->bookmark : 0;
    return p && p->from <= bookmark && p->to > bookmark ? p->to : bookmark;
}

/* What an incarnation is for a peer that takes the part in, if it fits. */
static void write_after(ckv_buf *out, const asked *theirs, const part *p, ckv_rd rows)
{
    const uint64_t bookmark = theirs ? theirs->bookmark : 0, after = bookmark_after(theirs, p);
    if (after == 0) return;
    const bool fits = p && p->from <= bookmark;
    const ckv_bytes id = theirs ? theirs->id : p->id;
    ckv_buf_blob(out, id.ptr, id.n_bytes);
    ckv_buf_varint(out, after);
    ckv_runs_in live = theirs ? theirs->live : (ckv_runs_in){0},
                dead = fits ? p->dead : (ckv_runs_in){0};
    silent quiet = {.at = 1};
    if (fits) quiet = (silent){rows, p->n_rows, p->from, p->from + 1, p->to};
    ckv_runs_mix mix = ckv_runs_mix_init(CKV_RUNS_MINUS, ckv_runs_in_stream(&live),
                                         ckv_runs_in_stream(&dead)),
                 rest = ckv_runs_mix_init(CKV_RUNS_MINUS, ckv_runs_mix_stream(&mix),
                                          (ckv_runs_stream){next_silent, &quiet});
    ckv_runs_out w = ckv_runs_out_init(out);
    ckv_runs_out_all(&w, ckv_runs_mix_stream(&rest));
    uint64_t before = p ? p->from : 0;
    for (size_t i = 0; fits && i < p->n_rows; i++) {
        before = ckv_row_believe(&rows, before).hlc;
        if (before > bookmark) ckv_runs_out_add(&w, before, before + 1);
    }
    ckv_runs_out_end(&w);
}

ckv_status ckv_request_after(ckv_bytes request, ckv_bytes diff, ckv_buf *out, ckv_err *err)
{
    ckv_rd r, d;
    CKV_TRY(open_request(request, &r, err));
    uint64_t last_dot;
    CKV_TRY(open_diff(diff, out->a, &d, &last_dot, err));
    const size_t begin = ckv_message_begin(out, CKV_MESSAGE_REQUEST);
    ckv_bytes last = {NULL, 0}, last_part = {NULL, 0};
    asked theirs = next_asked(&r, &last);
    while (ckv_rd_left(&d)) {
        const part p = next_part(&d, &last_part);
        const ckv_rd rows = d;
        skip_rows(&d, &p);
        for (; theirs.id.n_bytes && compare(theirs.id, p.id) < 0; theirs = next_asked(&r, &last))
            write_after(out, &theirs, NULL, rows);
        const bool is_known = theirs.id.n_bytes && compare(theirs.id, p.id) == 0;
        write_after(out, is_known ? &theirs : NULL, &p, rows);
        if (is_known) theirs = next_asked(&r, &last);
    }
    for (; theirs.id.n_bytes; theirs = next_asked(&r, &last)) write_after(out, &theirs, NULL, d);
    ckv_message_end(out, begin);
    return out->status;
}
