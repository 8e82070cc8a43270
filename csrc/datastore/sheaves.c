/* sheaves.c -- sheaves of a DAG in the file: read in with the graph, asked for one header, and made by compaction. */
#include <stdio.h>

#include "base/check.h"
#include "crypto/digest.h"
#include "datastore/state.h"

static ckv_status is_damaged(ckv_datastore *d, int64_t row, const char *what)
{
    return ckv_ds_damaged(d, "sheaf", row, what);
}

/* ---- a header made whole */

size_t ckv_sheaf_header(const ckv_dag *dag, const ckv_sheaf *s, const ckv_sheaf_item *item,
                        uint8_t *out)
{
    ckv_id32 parents[CKV_MAX_PARENTS];
    const uint8_t *tail = s->bytes.ptr + item->tail;
    ckv_id32 hash;
    ckv_header h = {.type = CKV_TYPE_DATASTORE,
                    .n_ops = item->n_ops,
                    .body_len = item->body_len,
                    .n_parents = item->n_parents,
                    .parents = parents};
    if (item->prev != CKV_NO_CHANGE) {
        h.has_prev = true;
        h.prev = *ckv_doc_id_of(dag->doc, item->prev);
        h.seq = ckv_doc_standing(dag->doc, item->prev).seq + 1;
    }
    for (uint32_t i = 0; i < item->n_parents; i++)
        parents[i] = *ckv_doc_id_of(dag->doc, s->parents.ptr[item->parents + i]);
    if (item->body_len <= CKV_INLINE_BODY_BYTES) {
        h.body = tail;
    } else {
        memcpy(&hash, tail, sizeof hash);
        h.body_hash = &hash;
    }
    return ckv_header_write(out, &h);
}

/* The digest of what the changes of a sheaf are called; all are in the graph. */
static ckv_status digest_of(const ckv_dag *dag, const ckv_sheaf *s, ckv_id32 *out)
{
    ckv_buf ids = ckv_buf_init(ckv_ds_alloc(dag->of));
    for (size_t i = 0; i < s->items.len; i++)
        ckv_buf_bytes(&ids, ckv_doc_id_of(dag->doc, s->items.ptr[i].number), 32);
    const ckv_status status = ids.status;
    if (status == CKV_OK) ckv_digest(out, "crdtkv-sheaf-v1", ids.ptr, ids.len);
    ckv_buf_fini(&ids);
    return status;
}

/* ---- a row */

/* The row at hand in q, into s. CKV_ECORRUPT without words. */
static ckv_status read_row(ckv_stmt *q, ckv_sheaf *s)
{
    size_t n_bytes;
    const int64_t row = ckv_stmt_int(q, 0), last = ckv_stmt_int(q, 1), n = ckv_stmt_int(q, 2);
    const uint8_t *data = ckv_stmt_blob(q, 3, &n_bytes);
    if (!data) return CKV_ECORRUPT;
    CKV_TRY(ckv_sheaf_read(s, (uint32_t)row, data, n_bytes));
    return n == (int64_t)s->items.len && last == s->items.ptr[s->items.len - 1].number
               ? CKV_OK
               : CKV_ECORRUPT;
}

/* The sheaf in which a number stands, or would stand, in d->sheaf. CKV_ENOENT: none. */
static ckv_status look_up(ckv_dag *dag, uint32_t number)
{
    ckv_datastore *d = dag->of;
    ckv_stmt *q = d->sql.sheaf;
    const ckv_sheaf_items *items = &d->sheaf.items;
    if (d->sheaf_row >> 32 == dag->row && number >= items->ptr[0].number &&
        number <= items->ptr[items->len - 1].number)
        return CKV_OK;
    d->sheaf_row = 0;
    ckv_stmt_reset(q);
    ckv_stmt_bind_int(q, 1, CKV_ROW(dag, number));
    ckv_stmt_bind_int(q, 2, CKV_ROW(dag, 0));
    ckv_status s = ckv_stmt_step(q);
    if (s == CKV_OK) {
        const int64_t row = ckv_stmt_int(q, 0);
        s = read_row(q, &d->sheaf);
        if (s == CKV_OK) d->sheaf_row = row;
        if (s == CKV_ECORRUPT) s = is_damaged(d, row, "is damaged");
    } else {
        s = s == CKV_ENOENT ? s : ckv_ds_file(d, s);
    }
    ckv_stmt_reset(q);
    return s;
}

ckv_status ckv_dag_packed_header(ckv_dag *dag, uint32_t change, size_t *n_bytes)
{
    ckv_datastore *d = dag->of;
    const ckv_status s = look_up(dag, change);
    const ckv_sheaf_item *item = s == CKV_OK ? ckv_sheaf_find(&d->sheaf, change) : NULL;
    if (s == CKV_ENOENT || (s == CKV_OK && !item))
        return ckv_ds_damaged(d, "change", CKV_ROW(dag, change), "is missing");
    CKV_TRY(s);
    *n_bytes = ckv_sheaf_header(dag, &d->sheaf, item, d->header);
    return CKV_OK;
}

/* ---- all of a DAG, in order */

/* To the next row; one that cannot be read stands for its first change. */
static ckv_status next_row(ckv_sheaf_walk *w)
{
    const size_t n = w->sheaf.items.len;
    const int64_t behind = n ? (int64_t)w->sheaf.items.ptr[n - 1].number + 1 : 0;
    const ckv_status found = ckv_stmt_step(w->rows);
    w->at = 0;
    w->number = CKV_NO_CHANGE;
    if (found == CKV_ENOENT) return CKV_OK;
    CKV_TRY(ckv_ds_file(w->dag->of, found));
    w->row = ckv_stmt_int(w->rows, 0);
    w->number = (uint32_t)w->row;
    const ckv_status s = w->number < behind ? CKV_ECORRUPT : read_row(w->rows, &w->sheaf);
    w->is_damaged = s == CKV_ECORRUPT;
    return w->is_damaged ? CKV_OK : s;
}

ckv_status ckv_sheaf_walk_begin(ckv_sheaf_walk *w, ckv_dag *dag, uint32_t from)
{
    ckv_datastore *d = dag->of;
    *w = (ckv_sheaf_walk){
        .dag = dag, .sheaf = ckv_sheaf_init(ckv_ds_alloc(d)), .number = CKV_NO_CHANGE};
    CKV_TRY(ckv_ds_file(
        d,
        ckv_stmt_new(&w->rows, d->file,
                     "SELECT id, last, n, data FROM sheaf WHERE id < ?3 AND id >= ifnull("
                     "(SELECT max(id) FROM sheaf WHERE id >= ?2 AND id <= ?1), ?1) ORDER BY id")));
    ckv_stmt_bind_int(w->rows, 1, CKV_ROW(dag, from));
    ckv_stmt_bind_int(w->rows, 2, CKV_ROW(dag, 0));
    ckv_stmt_bind_int(w->rows, 3, (dag->row + 1) << 32);
    CKV_TRY(next_row(w));
    while (w->number < from && !w->is_damaged) CKV_TRY(ckv_sheaf_walk_on(w));
    return CKV_OK;
}

ckv_status ckv_sheaf_walk_on(ckv_sheaf_walk *w)
{
    if (++w->at < w->sheaf.items.len) {
        w->number = w->sheaf.items.ptr[w->at].number;
        return CKV_OK;
    }
    ckv_id32 ids;
    CKV_TRY(digest_of(w->dag, &w->sheaf, &ids));
    if (!ckv_id32_eq(&ids, &w->sheaf.ids)) {
        w->dag->sound = w->sheaf.items.ptr[0].number;
        return is_damaged(w->dag->of, w->row, "was made of other changes");
    }
    return next_row(w);
}

void ckv_sheaf_walk_end(ckv_sheaf_walk *w)
{
    ckv_stmt_free(w->rows);
    ckv_sheaf_fini(&w->sheaf);
}

ckv_status ckv_dag_check_sheaves(ckv_dag *dag, void (*say)(void *ctx, const char *line), void *ctx)
{
    ckv_datastore *d = dag->of;
    ckv_sheaf_walk w;
    size_t n = 0, packed = 0;
    ckv_status s = ckv_sheaf_walk_begin(&w, dag, 0);
    while (s == CKV_OK && w.number != CKV_NO_CHANGE) {
        if (w.is_damaged)
            s = is_damaged(d, w.row, "is damaged");
        else if (ckv_sheaf_items_last(&w.sheaf.items)->number >= dag->notes.len)
            s = is_damaged(d, w.row, "is of changes that are not here");
        else
            s = ckv_sheaf_walk_on(&w), n++;
        if (s != CKV_ECORRUPT) continue;
        say(ctx, d->why);
        d->said = false;
        s = next_row(&w);
    }
    ckv_sheaf_walk_end(&w);
    for (size_t c = 0; c < dag->notes.len; c++)
        packed += (dag->notes.ptr[c].flags & CKV_NOTE_PACKED) != 0;
    if (s == CKV_OK && n != packed) say(ctx, "table sheaf: what stands in it is not what it was");
    return s;
}

/* Is what stands in d->sheaf still what was read with the graph? Somebody may have changed the file since. */
static ckv_status is_ours(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    ckv_id32 ids;
    if (ckv_sheaf_items_last(&d->sheaf.items)->number < dag->notes.len) {
        CKV_TRY(digest_of(dag, &d->sheaf, &ids));
        if (ckv_id32_eq(&ids, &d->sheaf.ids)) return CKV_OK;
    }
    return is_damaged(d, d->sheaf_row, "was made of other changes");
}

/* ---- packing */

typedef struct packing {
    ckv_dag *dag;
    ckv_sheaf out; /* what is being gathered */
    ckv_sheaf old; /* one that is taken apart */
} packing;

static ckv_status write_out(packing *p)
{
    ckv_datastore *d = p->dag->of;
    const ckv_sheaf_items *items = &p->out.items;
    ckv_stmt *q = d->sql.add_sheaf;
    if (items->len == 0) return CKV_OK;
    CKV_TRY(digest_of(p->dag, &p->out, &p->out.ids));
    ckv_buf data = ckv_buf_init(ckv_ds_alloc(d));
    ckv_status s = ckv_sheaf_write(&p->out, &data);
    if (s == CKV_OK) {
        ckv_stmt_bind_int(q, 1, CKV_ROW(p->dag, items->ptr[0].number));
        ckv_stmt_bind_int(q, 2, items->ptr[items->len - 1].number);
        ckv_stmt_bind_int(q, 3, (int64_t)items->len);
        ckv_stmt_bind_blob(q, 4, data.ptr, data.len);
        s = ckv_ds_file(d, ckv_stmt_run(q));
    }
    ckv_buf_fini(&data);
    ckv_sheaf_clear(&p->out);
    return s;
}

static ckv_status run_on(ckv_datastore *d, ckv_stmt *q, int64_t row)
{
    ckv_stmt_bind_int(q, 1, row);
    return ckv_ds_file(d, ckv_stmt_run(q));
}

/* A change that has a row, at hand in q. What is made of it is held against what the row says, before that goes. */
static ckv_status put_row(packing *p, ckv_stmt *q, uint32_t change)
{
    ckv_dag *dag = p->dag;
    ckv_datastore *d = dag->of;
    const ckv_note *note = &dag->notes.ptr[change];
    size_t n_header, n_message;
    bool decodes;
    const char *why;
    ckv_header h;
    uint32_t prev, n_parents;
    const uint32_t *parents;
    uint8_t made[CKV_HEADER_MAX_BYTES];
    const uint8_t *message = ckv_stmt_blob(q, 2, &n_message),
                  *header = ckv_stmt_blob(q, 3, &n_header);
    if (!header || !ckv_dag_is_header(dag, change, header, n_header) ||
        !ckv_header_read(&h, header, n_header, &decodes, &why))
        return ckv_ds_damaged(d, "change", CKV_ROW(dag, change), "has a damaged header");
    if (!ckv_dag_is_message(message, n_message))
        return ckv_ds_damaged(d, "change", CKV_ROW(dag, change), "has a damaged message");
    ckv_doc_links(dag->doc, change, &prev, &parents, &n_parents);
    const ckv_sheaf_item item = {.number = change,
                                 .lane = (uint32_t)ckv_stmt_int(q, 0),
                                 .prev = prev,
                                 .n_ops = note->n_ops,
                                 .body_len = note->body_len,
                                 .state = note->flags & CKV_NOTE_INLINE ? CKV_BODY_HERE
                                          : (note->flags & CKV_NOTE_STATE) == CKV_BODY_CLAIMED
                                              ? CKV_BODY_CLAIMED
                                              : CKV_BODY_DROPPED,
                                 .has_message = message != NULL,
                                 .message_bytes = message ? (uint32_t)n_message : 0,
                                 .n_parents = n_parents,
                                 .time = ckv_stmt_int(q, 1)};
    const ckv_signature *signature =
        note->flags & CKV_NOTE_COVERED ? NULL : ckv_doc_signature_at(dag->doc, change);
    CKV_TRY(ckv_sheaf_put(&p->out, &item, parents, message,
                          note->flags & CKV_NOTE_INLINE ? h.body : h.body_hash->b, signature));
    const size_t n = ckv_sheaf_header(dag, &p->out, ckv_sheaf_items_last(&p->out.items), made);
    if (n != n_header || memcmp(made, header, n) != 0)
        return ckv_ds_damaged(d, "change", CKV_ROW(dag, change), "has a damaged header");
    return CKV_OK;
}

static ckv_status put_change(packing *p, uint32_t change)
{
    ckv_datastore *d = p->dag->of;
    const int64_t row = CKV_ROW(p->dag, change);
    if (ckv_sheaf_is_full(&p->out)) CKV_TRY(write_out(p));
    ckv_stmt_bind_int(d->sql.row, 1, row);
    ckv_status s = ckv_stmt_step(d->sql.row);
    s = s == CKV_OK       ? put_row(p, d->sql.row, change)
        : s == CKV_ENOENT ? ckv_ds_damaged(d, "change", row, "is missing")
                          : ckv_ds_file(d, s);
    ckv_stmt_reset(d->sql.row);
    return s == CKV_OK ? run_on(d, d->sql.unrow, row) : s;
}

/* The next change at or behind c that goes. */
static uint32_t next_going(const ckv_dag *dag, uint32_t c)
{
    while (c < dag->notes.len && !(dag->notes.ptr[c].flags & CKV_NOTE_GOING)) c++;
    return c;
}

/* Takes a sheaf apart, and what goes in between with it. *going: the first one that goes, and then the first behind the sheaf. */
static ckv_status mix(packing *p, int64_t row, uint32_t *going)
{
    const ckv_sheaf_items *items = &p->old.items;
    CKV_TRY(run_on(p->dag->of, p->dag->of->sql.drop_sheaf, row));
    for (size_t i = 0; i < items->len;) {
        const ckv_sheaf_item *item = &items->ptr[i];
        if (*going > item->number) {
            if (ckv_sheaf_is_full(&p->out)) CKV_TRY(write_out(p));
            CKV_TRY(ckv_sheaf_copy(&p->out, &p->old, item));
            i++;
            continue;
        }
        i += *going == item->number; /* its body came late, and is dead by now */
        CKV_TRY(put_change(p, *going));
        *going = next_going(p->dag, *going + 1);
    }
    return CKV_OK;
}

/* The sheaf that begins at or behind change `from`. CKV_ENOENT: no more. */
static ckv_status following(packing *p, ckv_stmt *q, uint64_t from, uint32_t *first, uint32_t *last,
                            uint32_t *n)
{
    ckv_stmt_bind_int(q, 1, (int64_t)((uint64_t)p->dag->row << 32 | from));
    ckv_stmt_bind_int(q, 2, (p->dag->row + 1) << 32);
    const ckv_status s = ckv_stmt_step(q);
    *first = (uint32_t)ckv_stmt_int(q, 0);
    *last = (uint32_t)ckv_stmt_int(q, 1);
    *n = (uint32_t)ckv_stmt_int(q, 2);
    ckv_stmt_reset(q);
    return s == CKV_ENOENT ? s : ckv_ds_file(p->dag->of, s);
}

/* Takes the sheaf at `first` out of the file, and what goes into it out of rows. */
static ckv_status take_apart(packing *p, uint32_t first, uint32_t *going)
{
    ckv_datastore *d = p->dag->of;
    const int64_t row = CKV_ROW(p->dag, first);
    d->sheaf_row = 0;
    CKV_TRY(look_up(p->dag, first));
    CKV_TRY(is_ours(p->dag));
    const ckv_sheaf taken = d->sheaf;
    d->sheaf = p->old;
    p->old = taken;
    d->sheaf_row = 0;
    return mix(p, row, going);
}

/* Sheaf by sheaf, with what goes before and into each. Those that nothing goes into stay as they are, unless they are short and their neighbour grows. */
static ckv_status pack_all(packing *p, ckv_stmt *rows)
{
    const ckv_dag *dag = p->dag;
    const uint32_t end = (uint32_t)dag->notes.len;
    uint32_t first, last, n, going = next_going(dag, 0);
    uint64_t from = 0;
    ckv_status s = CKV_ENOENT;
    while (going < end && (s = following(p, rows, from, &first, &last, &n)) == CKV_OK) {
        from = (uint64_t)last + 1;
        for (; going < first && going < end; going = next_going(dag, going + 1))
            CKV_TRY(put_change(p, going));
        const bool into = going < end && going <= last,
                   beside = p->out.items.len > 0 || going < end;
        if (into || (beside && n < CKV_SHEAF_CHANGES / 2))
            CKV_TRY(take_apart(p, first, &going));
        else
            CKV_TRY(write_out(p)); /* numbers of two sheaves do not mix */
    }
    if (s != CKV_OK && s != CKV_ENOENT) return s;
    for (; going < end; going = next_going(dag, going + 1)) CKV_TRY(put_change(p, going));
    return write_out(p);
}

static bool goes(void *ctx, uint32_t change)
{
    return ((const ckv_dag *)ctx)->notes.ptr[change].flags & CKV_NOTE_GOING;
}

static void cover(void *ctx, uint32_t change)
{
    ((ckv_dag *)ctx)->notes.ptr[change].flags |= CKV_NOTE_COVERED;
}

static bool is_covered(void *ctx, uint32_t change)
{
    return ((const ckv_dag *)ctx)->notes.ptr[change].flags & CKV_NOTE_COVERED;
}

ckv_status ckv_dag_pack(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    const ckv_alloc a = ckv_ds_alloc(d);
    packing p = {dag, ckv_sheaf_init(a), ckv_sheaf_init(a)};
    ckv_stmt *rows = NULL;
    ckv_doc_spare_signatures(dag->doc, goes, cover, dag);
    ckv_status s = ckv_ds_file(
        d,
        ckv_stmt_new(&rows, d->file,
                     "SELECT id, last, n FROM sheaf WHERE id >= ? AND id < ? ORDER BY id LIMIT 1"));
    if (s == CKV_OK) s = pack_all(&p, rows);
    ckv_stmt_free(rows);
    ckv_sheaf_fini(&p.out);
    ckv_sheaf_fini(&p.old);
    d->sheaf_row = 0;
    return s;
}

void ckv_dag_unmark(ckv_dag *dag)
{
    for (size_t c = 0; c < dag->notes.len; c++)
        dag->notes.ptr[c].flags &= ~(CKV_NOTE_GOING | CKV_NOTE_COVERED);
    dag->of->sheaf_row = 0;
}

void ckv_dag_packed(ckv_dag *dag)
{
    ckv_doc_drop_signatures(dag->doc, is_covered, dag);
    for (size_t c = 0; c < dag->notes.len; c++)
        if (dag->notes.ptr[c].flags & CKV_NOTE_GOING) dag->notes.ptr[c].flags |= CKV_NOTE_PACKED;
    ckv_dag_unmark(dag);
}

/* ---- what was dropped, claimed */

/* The sheaf in which the change stands, once more, with every item that was dropped claimed. */
static ckv_status claim_sheaf(packing *p, uint32_t first)
{
    ckv_datastore *d = p->dag->of;
    CKV_TRY(look_up(p->dag, first));
    CKV_TRY(is_ours(p->dag));
    for (size_t i = 0; i < d->sheaf.items.len; i++) {
        ckv_sheaf_item item = d->sheaf.items.ptr[i];
        if (item.state == CKV_BODY_DROPPED) item.state = CKV_BODY_CLAIMED;
        CKV_TRY(ckv_sheaf_copy(&p->out, &d->sheaf, &item));
    }
    CKV_TRY(run_on(d, d->sql.drop_sheaf, CKV_ROW(p->dag, first)));
    return write_out(p);
}

ckv_status ckv_dag_claim(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    packing p = {dag, ckv_sheaf_init(ckv_ds_alloc(d)), ckv_sheaf_init(ckv_ds_alloc(d))};
    ckv_status s = CKV_OK;
    uint32_t done = 0; /* packed changes below are */
    for (uint32_t c = 0; c < dag->notes.len && s == CKV_OK; c++) {
        const uint32_t flags = dag->notes.ptr[c].flags;
        if ((flags & CKV_NOTE_STATE) != CKV_BODY_DROPPED) continue;
        if (!(flags & CKV_NOTE_PACKED)) {
            s = run_on(d, d->sql.claim, CKV_ROW(dag, c));
        } else if (c >= done) {
            s = look_up(dag, c);
            if (s != CKV_OK) break;
            done = ckv_sheaf_items_last(&d->sheaf.items)->number + 1;
            s = claim_sheaf(&p, d->sheaf.items.ptr[0].number);
            d->sheaf_row = 0;
        }
    }
    ckv_sheaf_fini(&p.out);
    d->sheaf_row = 0;
    return s == CKV_ENOENT ? ckv_ds_damaged(d, "sheaf", dag->row << 32, "is missing") : s;
}

void ckv_dag_claimed(ckv_dag *dag)
{
    bool any = false;
    for (size_t c = 0; c < dag->notes.len; c++) {
        ckv_note *note = &dag->notes.ptr[c];
        note->flags &= ~CKV_NOTE_DEAD; /* of those that are here, too */
        if ((note->flags & CKV_NOTE_STATE) != CKV_BODY_DROPPED) continue;
        note->flags = (note->flags & ~CKV_NOTE_STATE) | CKV_BODY_CLAIMED;
        any = true;
    }
    if (any) dag->absent++;
    dag->of->sheaf_row = 0;
}

/* ---- salvage */

ckv_status ckv_dag_cut_sheaves(ckv_dag *dag, uint32_t from)
{
    ckv_datastore *d = dag->of;
    const ckv_alloc a = ckv_ds_alloc(d);
    packing p = {dag, ckv_sheaf_init(a), ckv_sheaf_init(a)};
    ckv_stmt *rest = NULL;
    d->sheaf_row = 0;
    ckv_status s = from ? look_up(dag, from - 1) : CKV_ENOENT;
    const int64_t row = d->sheaf_row;
    if (s == CKV_OK && ckv_sheaf_items_last(&d->sheaf.items)->number >= from) {
        const bool known = dag->notes.len >= from; /* else nothing can be said of what is in it */
        for (size_t i = 0; known && i < d->sheaf.items.len && s == CKV_OK; i++)
            if (d->sheaf.items.ptr[i].number < from)
                s = ckv_sheaf_copy(&p.out, &d->sheaf, &d->sheaf.items.ptr[i]);
        if (s == CKV_OK) s = run_on(d, d->sql.drop_sheaf, row);
        if (s == CKV_OK) s = write_out(&p);
    }
    if (s == CKV_OK || s == CKV_ENOENT)
        s = ckv_ds_file(d,
                        ckv_stmt_new(&rest, d->file, "DELETE FROM sheaf WHERE id >= ? AND id < ?"));
    if (s == CKV_OK) {
        ckv_stmt_bind_int(rest, 1, CKV_ROW(dag, from));
        ckv_stmt_bind_int(rest, 2, (dag->row + 1) << 32);
        s = ckv_ds_file(d, ckv_stmt_run(rest));
    }
    ckv_stmt_free(rest);
    ckv_sheaf_fini(&p.out);
    d->sheaf_row = 0;
    return s;
}
