#include "kv/keep.h"

#include "base/check.h"
#include "kv/exchange.h"
#include "kv/killed.h"
#include "kv/message.h"
#include "kv/state.h"

#include <stdlib.h>

typedef struct ckv_died {
    uint32_t peer;
    uint64_t hlc;
} ckv_died;
CKV_VEC(ckv_died_vec, ckv_died);
CKV_VEC(ckv_bookmarks, uint64_t);

struct ckv_store_keep {
    ckv_record record;
    ckv_bookmarks bookmarks;     /* of the incarnations, at the last commit */
    ckv_died_vec died;           /* since then: dots that the record calls alive */
    bool forgot;                 /* one of those, for want of memory: all is written anew */
    uint64_t version, n_written; /* at the last commit */
};
typedef struct ckv_store_keep ckv_store_keep;

bool ckv_store_is_kept(const ckv_store *s) { return s->keep != NULL; }

uint64_t ckv_store_backlog(const ckv_store *s)
{
    return s->keep ? s->n_written - s->keep->n_written : 0;
}

/* ---- loading */

/* Another store in this one's place: name, content, clock. What it was is freed. */
static void become(ckv_store *s, ckv_store *fresh)
{
    const ckv_store was = *s;
    *s = *fresh;
    s->keep = was.keep;
    s->watched = was.watched;
    s->news = was.news;
    s->version += was.version + 1; /* whoever looked before looks again */
    s->came_or_went += was.came_or_went + 1;
    s->txn_came_or_went += was.txn_came_or_went + 1;
    s->calls += was.calls + 1;
    s->keys.shape += was.keys.shape + 1;
    const ckv_buf news = fresh->news;
    *fresh = was;
    fresh->keep = NULL;
    fresh->news = news;
    ckv_store_free(fresh);
}

typedef struct loading {
    ckv_store *store;
    ckv_store_report report;
    bool has_save;
} loading;

static ckv_status take_save(loading *l, ckv_bytes save, ckv_err *err)
{
    ckv_store *fresh;
    CKV_TRY(ckv_store_load(&fresh, &l->store->env, save, NULL, err));
    become(l->store, fresh);
    l->has_save = true;
    return CKV_OK;
}

/* own(blob: an incarnation, or empty) and a diff. */
static ckv_status take_diff(loading *l, ckv_bytes row, ckv_err *err)
{
    ckv_store *s = l->store;
    ckv_rd r = ckv_rd_init(row.ptr, row.n_bytes);
    ckv_bytes own;
    own.ptr = ckv_rd_blob(&r, &own.n_bytes);
    if (r.status != CKV_OK || !l->has_save) return CKV_ECORRUPT;
    const ckv_bytes diff = {r.p, ckv_rd_left(&r)};
    s->replays = true;
    const ckv_status status = ckv_store_integrate(s, diff, CKV_NO_DRIFT, &l->report, err);
    s->replays = false;
    CKV_TRY(status);
    if (l->report.refused.len) return CKV_ECORRUPT; /* a row before it is missing */
    if (own.n_bytes == 0) return CKV_OK;
    const uint32_t p = ckv_incarnations_find(&s->who, own.ptr, own.n_bytes);
    if (p == CKV_NOBODY) return CKV_ECORRUPT;
    s->who.all.ptr[p].mine_to = s->who.all.ptr[p].bookmark;
    return CKV_OK;
}

static ckv_status take_row(void *ctx, const ckv_record_row *row, const char **why)
{
    loading *l = ctx;
    ckv_err err = {.text = NULL};
    const ckv_bytes data = {row->data, row->n_bytes};
    ckv_status s = CKV_ECORRUPT;
    *why = "not of a store";
    if (row->kind == CKV_RECORD_SAVE || row->kind == CKV_RECORD_DIFF) {
        *why = "damaged, or a row before it is missing";
        s = row->kind == CKV_RECORD_SAVE ? take_save(l, data, &err) : take_diff(l, data, &err);
    }
    if (s == CKV_ECORRUPT && err.text) *why = err.text;
    return s == CKV_ELIMIT || s == CKV_EDRIFT || s == CKV_ELATER ? CKV_ECORRUPT : s;
}

/* Everything behind what was read before. */
static ckv_status load(ckv_store *s, ckv_record *record, ckv_record_damage *damage)
{
    loading l = {.store = s, .has_save = record->now.last != 0};
    ckv_store_report_init(&l.report, ckv_store_alloc(s));
    const bool watched = s->watched;
    s->watched = watched && l.has_save;
    const ckv_status status = ckv_record_read(record, take_row, &l, damage);
    s->watched = watched;
    ckv_store_report_fini(&l.report);
    return status;
}

/* ---- writing */

static ckv_buf row_init(const ckv_store *s)
{
    static const uint8_t room[CKV_SEAL_BYTES];
    ckv_buf b = ckv_buf_init(ckv_store_alloc(s));
    ckv_buf_bytes(&b, room, sizeof room);
    return b;
}

void ckv_store_note_death(ckv_store *s, const ckv_cell *cell)
{
    ckv_store_keep *k = s->keep;
    if (cell->peer >= k->bookmarks.len || cell->hlc > k->bookmarks.ptr[cell->peer]) return;
    if (ckv_died_vec_push(&k->died, (ckv_died){cell->peer, cell->hlc}) != CKV_OK) k->forgot = true;
}

/* Room for a note of what `made` has. */
static ckv_status prepare(ckv_store_keep *k, const ckv_store *made)
{
    const size_t n = made->who.all.len;
    return n > k->bookmarks.len ? ckv_bookmarks_reserve(&k->bookmarks, n - k->bookmarks.len)
                                : CKV_OK;
}

/* The record has what the store has now. Room was made. */
static void note(ckv_store *s)
{
    ckv_store_keep *k = s->keep;
    k->bookmarks.len = s->who.all.len;
    for (size_t i = 0; i < s->who.all.len; i++) k->bookmarks.ptr[i] = s->who.all.ptr[i].bookmark;
    k->died.len = 0;
    k->forgot = false;
    k->version = s->version;
    k->n_written = s->n_written;
}

static int by_dot(const void *x, const void *y)
{
    const ckv_died *a = x, *b = y;
    if (a->peer != b->peer) return a->peer < b->peer ? -1 : 1;
    return a->hlc < b->hlc ? -1 : a->hlc > b->hlc;
}

/* Those that died of one incarnation, as a set. */
static void write_died(ckv_buf *out, const ckv_died *d, size_t n)
{
    ckv_runs_out w = ckv_runs_out_init(out);
    for (size_t i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && d[next].hlc == d[next - 1].hlc + 1;) next++;
        ckv_runs_out_add(&w, d[i].hlc, d[next - 1].hlc + 1);
    }
    ckv_runs_out_end(&w);
}

/* A diff of what came since the last commit, and only looks at that. */
static void write_beyond(ckv_store *s, ckv_buf *out)
{
    ckv_store_keep *k = s->keep;
    const size_t begin = ckv_message_begin(out, CKV_MESSAGE_DIFF);
    if (k->died.len) qsort(k->died.ptr, k->died.len, sizeof *k->died.ptr, by_dot);
    for (size_t i = 0; i < s->who.order.len; i++) {
        const uint32_t number = s->who.order.ptr[i];
        const ckv_incarnation *p = &s->who.all.ptr[number];
        const uint64_t from = number < k->bookmarks.len ? k->bookmarks.ptr[number] : 0;
        size_t lo = 0, hi = k->died.len;
        while (lo < hi) {
            const size_t mid = (lo + hi) / 2;
            if (k->died.ptr[mid].peer < number)
                lo = mid + 1;
            else
                hi = mid;
        }
        while (hi < k->died.len && k->died.ptr[hi].peer == number) hi++;
        if (p->bookmark == from && lo == hi) continue;
        ckv_buf_blob(out, p->id, p->id_bytes);
        ckv_buf_varint(out, from);
        ckv_buf_varint(out, p->bookmark - from);
        write_died(out, k->died.ptr + lo, hi - lo);
        ckv_buf_varint(out, ckv_dots_count_from(&p->live, from + 1));
        ckv_dot_walk w = ckv_dots_from(&p->live, from + 1);
        uint64_t before = from, hlc;
        for (ckv_cell *cell; ckv_dot_walk_next(&w, &hlc, &cell); before = hlc)
            ckv_row_write(out, before, hlc, cell);
    }
    ckv_message_end(out, begin);
}

static ckv_status write_row(ckv_store *s, ckv_record_kind kind, ckv_buf *data)
{
    ckv_record *r = &s->keep->record;
    CKV_TRY(ckv_record_begin(r));
    return ckv_record_end(r, ckv_record_put(r, kind, data));
}

ckv_status ckv_store_rewrite(ckv_store *s)
{
    if (!s->keep) return CKV_OK;
    ckv_buf data = row_init(s);
    ckv_status status = data.status != CKV_OK ? data.status : prepare(s->keep, s);
    if (status == CKV_OK) status = ckv_store_save(s, &data);
    if (status == CKV_OK) status = write_row(s, CKV_RECORD_SAVE, &data);
    if (status == CKV_OK) note(s);
    ckv_buf_fini(&data);
    return status;
}

static ckv_status write_diff(ckv_store *s)
{
    ckv_buf data = row_init(s);
    const ckv_bytes own = ckv_store_incarnation(s);
    ckv_buf_blob(&data, own.ptr, own.ptr && s->who.all.ptr[s->own].bookmark ? own.n_bytes : 0);
    ckv_status status = data.status != CKV_OK ? data.status : prepare(s->keep, s);
    write_beyond(s, &data);
    if (status == CKV_OK) status = data.status;
    if (status == CKV_OK) status = write_row(s, CKV_RECORD_DIFF, &data);
    if (status == CKV_OK) note(s);
    ckv_buf_fini(&data);
    return status;
}

static ckv_cell *at(ckv_keyplace p)
{
    return ckv_keyplace_is_end(p) ? NULL : *ckv_keyplace_slot(p);
}

static bool shows_the_same(const ckv_cell *x, const ckv_cell *y)
{
    return x->value_bytes == y->value_bytes &&
           memcmp(ckv_cell_value(x), ckv_cell_value(y), x->value_bytes) == 0;
}

/* Tells what shows otherwise in `fresh`, which takes the place of `was`. Without memory some of it is not told. */
static void tell_losses(ckv_store *fresh, const ckv_store *was)
{
    ckv_keyplace a = ckv_keytree_from(&was->keys, NULL), b = ckv_keytree_from(&fresh->keys, NULL);
    for (const ckv_cell *x, *y; x = at(a), y = at(b), x || y;) {
        const int order = !x   ? 1
                          : !y ? -1
                               : ckv_store_key_compare(ckv_cell_key(x), ckv_cell_key(y));
        const ckv_bytes old =
            order <= 0 ? (ckv_bytes){ckv_cell_value(x), x->value_bytes} : (ckv_bytes){NULL, 0};
        if (order != 0 || !shows_the_same(x, y))
            ckv_store_tell(fresh, ckv_cell_key(order <= 0 ? x : y), order <= 0 ? &old : NULL,
                           order >= 0 ? y : NULL, true);
        if (order <= 0) a = ckv_keyplace_next(a);
        if (order >= 0) b = ckv_keyplace_next(b);
    }
    fresh->news.status = CKV_OK;
}

/* What the record does not have is gone. If even that cannot be read, the store stays as it is, and is never committed: the file is read-only by then. */
static void go_back(ckv_store *s)
{
    ckv_store *fresh;
    ckv_store_keep *k = s->keep;
    ckv_record again;
    ckv_record_damage damage = {.lines = ckv_buf_init(ckv_store_alloc(s))};
    if (ckv_store_new(&fresh, &s->env, s->name_key) != CKV_OK) return;
    ckv_status status = ckv_record_open(&again, k->record.file, k->record.object);
    if (status == CKV_OK) {
        status = load(fresh, &again, &damage);
        ckv_record_close(&again);
    }
    if (status == CKV_OK) status = prepare(k, fresh);
    if (status == CKV_OK) {
        ckv_store_learn(fresh, s->clock); /* what was seen is not unseen */
        if (s->watched) {
            tell_losses(fresh, s);
            const ckv_buf news = s->news; /* those who have not heard of what is gone hear both */
            ckv_buf_bytes(&s->news, fresh->news.ptr, fresh->news.len);
            if (s->news.status != CKV_OK) s->news.status = news.status;
        }
        become(s, fresh);
        note(s);
    } else {
        ckv_store_free(fresh);
    }
    ckv_buf_fini(&damage.lines);
}

ckv_status ckv_store_commit(ckv_store *s)
{
    ckv_store_keep *k = s->keep;
    if (!k || k->version == s->version) return CKV_OK;
    CKV_ASSERT(!s->in_txn);
    const bool anew = k->record.now.n_rows == 0 || k->forgot;
    const ckv_status status = anew ? ckv_store_rewrite(s) : write_diff(s);
    if (status != CKV_OK && status != CKV_ENOMEM) go_back(s);
    return status;
}

ckv_status ckv_store_consolidate(ckv_store *s, bool at_close)
{
    ckv_store_keep *k = s->keep;
    if (!k || s->in_txn || k->version != s->version || ckv_file_is_read_only(k->record.file))
        return CKV_OK;
    const bool untold = at_close && (k->record.now.tail_rows > 0 || s->held.all.len > 0);
    return untold || ckv_record_is_long(&k->record, at_close) ? ckv_store_rewrite(s) : CKV_OK;
}

/* ---- life */

static bool is_blank(const ckv_store *s)
{
    return s->clock == 0 && s->n_cells == 0 && s->held.all.len == 0;
}

static ckv_status bind(ckv_store *s, ckv_record_damage *damage)
{
    ckv_store_keep *k = s->keep;
    const bool writes = !ckv_file_is_read_only(k->record.file);
    if (is_blank(s)) {
        CKV_TRY(load(s, &k->record, damage));
        if (writes && damage->lines.len) return ckv_store_rewrite(s);
    } else {
        CKV_TRY(ckv_record_is_empty(&k->record));
        if (writes) return ckv_store_rewrite(s);
    }
    CKV_TRY(prepare(k, s));
    note(s);
    return CKV_OK;
}

ckv_status ckv_store_bind(ckv_store *s, ckv_file *file, int64_t object, ckv_record_damage *damage)
{
    CKV_ASSERT(!s->keep && !s->in_txn);
    const ckv_alloc a = ckv_store_alloc(s);
    ckv_store_keep *k = ckv_resize(a, NULL, 0, sizeof *k);
    if (!k) return CKV_ENOMEM;
    *k = (ckv_store_keep){.bookmarks = {.a = a}, .died = {.a = a}};
    ckv_status status = ckv_record_open(&k->record, file, object);
    if (status != CKV_OK) {
        ckv_release(a, k, sizeof *k);
        return status;
    }
    s->keep = k;
    status = bind(s, damage);
    if (status != CKV_OK) ckv_store_unkeep(s);
    return status;
}

ckv_status ckv_store_check_record(ckv_store *s, ckv_record_damage *damage)
{
    if (!s->keep) return CKV_OK;
    const ckv_record *r = &s->keep->record;
    ckv_store *again;
    ckv_record record;
    const ckv_alloc a = ckv_store_alloc(s);
    ckv_buf here = ckv_buf_init(a), there = ckv_buf_init(a);
    const char *why;
    CKV_TRY(ckv_store_new(&again, &s->env, s->name_key));
    ckv_status status = ckv_record_open(&record, r->file, r->object);
    if (status == CKV_OK) {
        status = load(again, &record, damage);
        ckv_record_close(&record);
    }
    if (status == CKV_OK) status = ckv_store_request(s, &here);
    if (status == CKV_OK) status = ckv_store_request(again, &there);
    if (status == CKV_OK && !damage->lines.len &&
        (here.len != there.len || memcmp(here.ptr, there.ptr, here.len) != 0 ||
         again->value_bytes != s->value_bytes || !ckv_store_check(again, &why)))
        status = ckv_record_say(r, damage, 0, "its rows do not make the store that is open");
    ckv_store_free(again);
    ckv_buf_fini(&here);
    ckv_buf_fini(&there);
    return status;
}

void ckv_store_unkeep(ckv_store *s)
{
    ckv_store_keep *k = s->keep;
    if (!k) return;
    ckv_record_close(&k->record);
    ckv_bookmarks_fini(&k->bookmarks);
    ckv_died_vec_fini(&k->died);
    ckv_release(ckv_store_alloc(s), k, sizeof *k);
    s->keep = NULL;
}

ckv_status ckv_store_refresh(ckv_store *s, ckv_record_damage *damage)
{
    ckv_store_keep *k = s->keep;
    if (!k) return CKV_OK;
    ckv_status status = load(s, &k->record, damage);
    if (status == CKV_OK) status = prepare(k, s);
    if (status == CKV_OK) note(s);
    return status;
}
