#include "kv/intake.h"

#include <string.h>

#include "base/check.h"
#include "kv/report.h"

ckv_intake ckv_intake_begin(ckv_store *s)
{
    CKV_ASSERT(!s->in_txn);
    const ckv_alloc a = ckv_store_alloc(s);
    return (ckv_intake){.store = s,
                        .fresh = {.a = a},
                        .dying = {.a = a},
                        .moved = {.a = a},
                        .notes = ckv_buf_init(a)};
}

static void fini(ckv_intake *in)
{
    ckv_cells_fini(&in->fresh);
    ckv_cells_fini(&in->dying);
    ckv_moved_vec_fini(&in->moved);
    ckv_buf_fini(&in->notes);
}

/* ---- chains */

/* Steps that are worth a look; beyond them a chain is sorted, once for all that comes. */
#define NEAR 32u

/* Where on a chain a cell belongs; a place further up if that is far down, then the cell is tangled. */
static ckv_cell **link_of(ckv_intake *in, ckv_cell **link, ckv_cell *cell)
{
    for (unsigned n = 0; *link && ckv_cell_is_before(in->store, *link, cell); n++) {
        if (n == NEAR || (*link)->state & CKV_CELL_TANGLED) {
            cell->state |= CKV_CELL_TANGLED;
            in->is_tangled = true;
            break;
        }
        link = &(*link)->next;
    }
    return link;
}

/* Two chains in order become one. */
static ckv_cell *merged(const ckv_store *s, ckv_cell *a, ckv_cell *b)
{
    ckv_cell *first = NULL, **end = &first;
    while (a && b) {
        ckv_cell **next = ckv_cell_is_before(s, b, a) ? &b : &a;
        *end = *next;
        end = &(*next)->next;
        *next = *end;
    }
    *end = a ? a : b;
    return first;
}

/* A chain in order: merge sort, whose bin k holds 2^k cells or none. Needs no memory. */
static ckv_cell *sorted(const ckv_store *s, ckv_cell *chain)
{
    ckv_cell *bins[48] = {NULL};
    while (chain) {
        ckv_cell *one = chain;
        chain = one->next;
        one->next = NULL;
        one->state &= (uint8_t)~CKV_CELL_TANGLED;
        size_t k = 0;
        for (; bins[k]; bins[k++] = NULL) one = merged(s, bins[k], one);
        bins[k] = one;
    }
    for (size_t k = 0; k < sizeof bins / sizeof *bins; k++) chain = merged(s, bins[k], chain);
    return chain;
}

/* The mark of a noted key is on its first cell. */
static void pass_mark(ckv_cell *from, ckv_cell *to)
{
    if (to) to->state |= from->state & CKV_CELL_NOTED;
    from->state &= (uint8_t)~CKV_CELL_NOTED;
}

/* Takes all cells with a mark off the chain that this one is on, and the key out of the tree if no other is left: then true. They lose the
 * mark; a cell without it was taken off before. */
static bool unhook(ckv_store *s, const ckv_cell *cell, uint8_t mark)
{
    if (!(cell->state & mark)) return false;
    ckv_cell **slot = ckv_keytree_find(&s->keys, ckv_cell_key(cell));
    for (ckv_cell **link = slot; *link;) {
        ckv_cell *c = *link;
        if (c->state & mark) {
            c->state &= (uint8_t)~mark;
            *link = c->next;
        } else {
            link = &c->next;
        }
    }
    if (*slot) return false;
    ckv_keytree_remove(&s->keys, ckv_cell_key(cell));
    return true;
}

/* ---- notes: is_bytes(u8) key(blob), then what was shown before: 0 | 1 peer(varint) hlc(varint) value(blob, if somebody watches)
 *
 * Written before the first touch of a key, whole or not at all; the first cell of its chain is marked, so that it is not noted twice. */

typedef struct noted {
    ckv_store_key key;
    bool was_there;
    uint32_t peer;
    uint64_t hlc;
    ckv_bytes value;
} noted;

static ckv_status note(ckv_intake *in, ckv_store_key key, ckv_cell *first, ckv_cell *mark)
{
    const size_t n_value = first && in->store->watched ? first->value_bytes : 0;
    if (!ckv_buf_reserve(&in->notes, key.n_bytes + n_value + 40)) {
        in->notes.status = CKV_OK;
        return CKV_ENOMEM;
    }
    ckv_buf_u8(&in->notes, key.is_bytes);
    ckv_buf_blob(&in->notes, key.ptr, key.n_bytes);
    ckv_buf_u8(&in->notes, first != NULL);
    if (first) {
        ckv_buf_varint(&in->notes, first->peer);
        ckv_buf_varint(&in->notes, first->hlc);
        if (in->store->watched) ckv_buf_blob(&in->notes, ckv_cell_value(first), n_value);
    }
    mark->state |= CKV_CELL_NOTED;
    return CKV_OK;
}

static noted next_note(const ckv_intake *in, ckv_rd *r)
{
    noted n = {.key = {.is_bytes = ckv_rd_u8(r)}};
    size_t n_key;
    n.key.ptr = ckv_rd_blob(r, &n_key);
    n.key.n_bytes = (uint32_t)n_key;
    n.was_there = ckv_rd_u8(r);
    if (n.was_there) {
        n.peer = (uint32_t)ckv_rd_varint(r);
        n.hlc = ckv_rd_varint(r);
        if (in->store->watched) n.value.ptr = ckv_rd_blob(r, &n.value.n_bytes);
    }
    return n;
}

/* Puts the chains of all noted keys in order. */
static void untangle(ckv_intake *in)
{
    ckv_store *s = in->store;
    ckv_rd r = ckv_rd_init(in->notes.ptr, in->notes.len);
    while (ckv_rd_left(&r)) {
        const noted n = next_note(in, &r);
        ckv_cell **slot = ckv_keytree_find(&s->keys, n.key), *first = *slot;
        *slot = sorted(s, first);
        if (*slot != first) pass_mark(first, *slot);
    }
}

/* Lists the keys that will show another dot once the dying are dead, and tells those who watch of other values. */
static ckv_status tell(ckv_intake *in, ckv_store_report *report)
{
    ckv_store *s = in->store;
    ckv_rd r = ckv_rd_init(in->notes.ptr, in->notes.len);
    while (ckv_rd_left(&r)) {
        const noted n = next_note(in, &r);
        const ckv_cell *c = NULL;
        if (n.was_there || s->watched) {
            c = *ckv_keytree_find(&s->keys, n.key);
            while (c && c->state & CKV_CELL_DYING) c = c->next;
            if (n.was_there && c && c->peer == n.peer && c->hlc == n.hlc) continue;
        } /* else it is new, and so it shows */
        CKV_TRY(ckv_report_applied(report, n.key));
        if (!s->watched) continue;
        const bool is_same = n.was_there && c && c->value_bytes == n.value.n_bytes &&
                             memcmp(ckv_cell_value(c), n.value.ptr, n.value.n_bytes) == 0;
        if (!is_same) ckv_store_tell(s, n.key, n.was_there ? &n.value : NULL, c, false);
    }
    return s->news.status;
}

/* Takes the marks off; those of fresh cells go when they get their dots. */
static void forget_notes(ckv_intake *in)
{
    ckv_rd r = ckv_rd_init(in->notes.ptr, in->notes.len);
    while (ckv_rd_left(&r)) {
        const noted n = next_note(in, &r);
        if (n.was_there)
            (*ckv_keytree_find(&in->store->keys, n.key))->state &= (uint8_t)~CKV_CELL_NOTED;
    }
}

/* ---- what may fail */

ckv_status ckv_intake_row(ckv_intake *in, uint32_t peer, const ckv_row *row)
{
    ckv_store *s = in->store;
    ckv_incarnation *p = &s->who.all.ptr[peer];
    CKV_ASSERT(row->hlc > p->bookmark);
    const ckv_cell *last = in->fresh.len ? in->fresh.ptr[in->fresh.len - 1] : NULL;
    const size_t n_of_peer = last && last->peer == peer ? in->n_of_peer + 1 : 1;
    CKV_ASSERT(n_of_peer == 1 || last->hlc < row->hlc);
    CKV_TRY(ckv_cells_reserve(&in->fresh, 1));
    CKV_TRY(ckv_dots_reserve(&p->live, n_of_peer));
    ckv_cell *cell = ckv_store_cell(s, row->key, row->value);
    if (!cell) return CKV_ENOMEM;
    cell->peer = peer;
    cell->hlc = row->hlc;
    cell->state = CKV_CELL_FRESH;
    ckv_cell **slot;
    bool is_new;
    ckv_status status = ckv_keytree_reach(&s->keys, ckv_cell_key(cell), &slot, &is_new);
    ckv_cell *first = status == CKV_OK ? *slot : NULL;
    if (status == CKV_OK && !(first && first->state & CKV_CELL_NOTED)) {
        status = note(in, row->key, first, first ? first : cell);
        if (status != CKV_OK && is_new) {
            *slot = cell;
            ckv_keytree_remove(&s->keys, ckv_cell_key(cell));
        }
    }
    if (status != CKV_OK) {
        ckv_store_drop(s, cell);
        return status;
    }
    ckv_cell **link = link_of(in, slot, cell);
    cell->next = *link;
    *link = cell;
    if (first && *slot == cell) pass_mark(first, cell);
    ckv_cells_put(&in->fresh, cell);
    in->n_of_peer = n_of_peer;
    in->n_new += is_new;
    return CKV_OK;
}

ckv_status ckv_intake_bookmark(ckv_intake *in, uint32_t peer, uint64_t to)
{
    return ckv_moved_vec_push(&in->moved, (ckv_moved){peer, to});
}

ckv_status ckv_intake_dead(ckv_intake *in, uint32_t peer, uint64_t start, uint64_t end)
{
    ckv_store *s = in->store;
    ckv_dot_walk w = ckv_dots_from(&s->who.all.ptr[peer].live, start);
    uint64_t hlc;
    ckv_cell *cell;
    while (ckv_dot_walk_next(&w, &hlc, &cell) && hlc < end) {
        if (cell->state & CKV_CELL_DYING) continue;
        CKV_TRY(ckv_cells_push(&in->dying, cell));
        cell->state |= CKV_CELL_DYING;
        ckv_cell *first = *ckv_keytree_find(&s->keys, ckv_cell_key(cell));
        if (!(first->state & CKV_CELL_NOTED)) CKV_TRY(note(in, ckv_cell_key(cell), first, first));
    }
    return CKV_OK;
}

ckv_status ckv_intake_run(ckv_intake *in, uint32_t peer, uint64_t *bookmark, ckv_run run,
                          ckv_rd *rows, size_t *n_rows, uint64_t *before)
{
    CKV_ASSERT(run.start - 1 <= *bookmark);
    uint64_t dead_from = run.start;
    for (; *n_rows > 0; --*n_rows) {
        ckv_rd ahead = *rows;
        const ckv_row row = ckv_row_believe(&ahead, *before);
        if (row.hlc >= run.end) break;
        *rows = ahead;
        *before = row.hlc;
        if (dead_from <= *bookmark) CKV_TRY(ckv_intake_dead(in, peer, dead_from, row.hlc));
        dead_from = row.hlc + 1;
        if (row.hlc > *bookmark) CKV_TRY(ckv_intake_row(in, peer, &row));
    }
    if (dead_from <= *bookmark) CKV_TRY(ckv_intake_dead(in, peer, dead_from, run.end));
    if (*bookmark >= run.end - 1) return CKV_OK;
    *bookmark = run.end - 1;
    return ckv_intake_bookmark(in, peer, *bookmark);
}

/* ---- the end */

void ckv_intake_abort(ckv_intake *in)
{
    ckv_store *s = in->store;
    forget_notes(in);
    for (size_t i = 0; i < in->dying.len; i++) in->dying.ptr[i]->state = 0;
    for (size_t i = 0; i < in->fresh.len; i++) {
        unhook(s, in->fresh.ptr[i], CKV_CELL_FRESH);
        ckv_store_drop(s, in->fresh.ptr[i]);
    }
    fini(in);
}

ckv_status ckv_intake_commit(ckv_intake *in, ckv_store_report *report)
{
    ckv_store *s = in->store;
    const size_t n_news = s->news.len, n_applied = report->applied.len;
    if (in->is_tangled) untangle(in);
    ckv_status status = CKV_OK;
    if (s->replays)
        status = ckv_store_reserve_kill(s, (const ckv_cell *const *)in->dying.ptr, in->dying.len);
    if (status == CKV_OK) status = tell(in, report);
    if (status != CKV_OK) {
        s->news.len = n_news;
        report->applied.len = n_applied;
        s->news.status = report->applied.status = CKV_OK;
        ckv_intake_abort(in);
        return status;
    }
    forget_notes(in);
    for (size_t i = 0; i < in->fresh.len; i++)
        ckv_store_enter(s, in->fresh.ptr[i], in->fresh.ptr[i]->peer, in->fresh.ptr[i]->hlc);
    for (size_t i = 0; i < in->dying.len; i++) {
        const bool was_last = unhook(s, in->dying.ptr[i], CKV_CELL_DYING);
        s->n_shown -= was_last;
        s->came_or_went += was_last;
        if (s->replays) ckv_store_note_kill(s, in->dying.ptr[i]);
        ckv_store_leave(s, in->dying.ptr[i]);
    }
    for (size_t i = 0; i < in->moved.len; i++) {
        ckv_incarnation *p = &s->who.all.ptr[in->moved.ptr[i].peer];
        const uint64_t to = in->moved.ptr[i].to;
        if (p->bookmark < to) p->bookmark = to, s->version++;
        ckv_store_learn(s, to);
    }
    s->n_shown += in->n_new;
    s->came_or_went += in->n_new > 0;
    report->n_put += in->fresh.len;
    report->n_superseded += in->dying.len;
    fini(in);
    return CKV_OK;
}
