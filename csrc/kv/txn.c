/* txn.c -- the open transaction of a store: pending cells in the tree itself, in the order of last writes in the log.
 *
 *     log    [ c1 | - | c3 ]        "-": written again later
 *     key    c3 (pending) -> what readers of the store see
 *
 * So a commit moves nothing: it gives out hlcs, takes off the marks and frees what was superseded, along a path that cannot fail.
 */
#include "base/check.h"
#include "kv/op.h"
#include "kv/state.h"

ckv_status ckv_txn_begin(ckv_store *s)
{
    CKV_ASSERT(!s->in_txn);
    s->in_txn = true;
    s->n_in_txn = s->n_shown;
    s->txn_came_or_went++;
    return CKV_OK;
}

bool ckv_txn_is_open(const ckv_store *s) { return s->in_txn; }

static void end(ckv_store *s)
{
    ckv_cells_fini(&s->log);
    s->n_holes = 0;
    s->in_txn = false;
    s->txn_came_or_went++;
}

/* ---- the log */

/* Takes the holes out. */
static void close_up(ckv_store *s)
{
    size_t to = 0;
    for (size_t i = 0; i < s->log.len; i++) {
        ckv_cell *c = s->log.ptr[i];
        if (!c) continue;
        c->hlc = to;
        s->log.ptr[to++] = c;
    }
    s->log.len = to;
    s->n_holes = 0;
}

static void unlog(ckv_store *s, const ckv_cell *cell)
{
    s->log.ptr[cell->hlc] = NULL;
    s->n_holes++;
    if (s->n_holes > 64 && s->n_holes > s->log.len / 2) close_up(s);
}

/* Puts a pending cell first on its key's chain, instead of one that is pending there; room in the log was reserved. */
static void hang(ckv_store *s, ckv_cell **slot, ckv_cell *cell)
{
    ckv_cell *first = *slot;
    cell->next = ckv_cell_shown(first);
    if (first && ckv_cell_is_pending(first)) {
        unlog(s, first);
        ckv_store_drop(s, first);
    }
    cell->hlc = s->log.len;
    ckv_cells_put(&s->log, cell);
    *slot = cell;
}

/* ---- writing */

ckv_status ckv_txn_put(ckv_store *s, ckv_store_key key, ckv_bytes value)
{
    CKV_ASSERT(s->in_txn);
    if (key.n_bytes > CKV_MAX_KEY || value.n_bytes > CKV_MAX_VALUE) return CKV_ELIMIT;
    CKV_TRY(ckv_cells_reserve(&s->log, 1));
    ckv_cell *cell = ckv_store_cell(s, key, value);
    if (!cell) return CKV_ENOMEM;
    ckv_cell **slot;
    bool is_new;
    const ckv_status status = ckv_keytree_reach(&s->keys, ckv_cell_key(cell), &slot, &is_new);
    if (status != CKV_OK) {
        ckv_store_drop(s, cell);
        return status;
    }
    const bool comes = is_new || !ckv_cell_in_txn(*slot);
    cell->state = CKV_CELL_PENDING;
    hang(s, slot, cell);
    s->n_in_txn += comes;
    s->txn_came_or_went += comes;
    return CKV_OK;
}

ckv_status ckv_txn_remove(ckv_store *s, ckv_store_key key)
{
    CKV_ASSERT(s->in_txn);
    ckv_cell **slot = ckv_keytree_find(&s->keys, key);
    if (!slot || !ckv_cell_in_txn(*slot)) return CKV_ENOENT;
    ckv_cell *first = *slot;
    if (ckv_cell_shown(first)) {
        CKV_TRY(ckv_cells_reserve(&s->log, 1));
        ckv_cell *gone = ckv_store_cell(s, key, (ckv_bytes){NULL, 0});
        if (!gone) return CKV_ENOMEM;
        gone->state = CKV_CELL_PENDING | CKV_CELL_GONE;
        hang(s, slot, gone);
    } else { /* nobody but this transaction ever saw it */
        ckv_keytree_remove(&s->keys, ckv_cell_key(first));
        unlog(s, first);
        ckv_store_drop(s, first);
    }
    s->n_in_txn--;
    s->txn_came_or_went++;
    return CKV_OK;
}

/* ---- the end */

/* All that a commit needs: then it cannot fail. */
static ckv_status prepare(ckv_store *s, uint64_t hlc, size_t n_puts, ckv_buf *ops)
{
    CKV_TRY(ckv_store_embody(s));
    CKV_TRY(ckv_dots_reserve(&s->who.all.ptr[s->own].live, n_puts));
    CKV_TRY(ckv_store_reserve_log_kills(s));
    ckv_buf one = ckv_buf_init(ckv_store_alloc(s));
    uint64_t prev = s->who.all.ptr[s->own].bookmark;
    for (size_t i = 0; i < s->log.len && (ops || s->watched); i++) {
        const ckv_cell *c = s->log.ptr[i];
        if (!c) continue;
        const bool is_put = !(c->state & CKV_CELL_GONE);
        if (s->watched) ckv_store_tell_own(s, c->next, is_put ? c : NULL);
        if (ops) {
            ckv_buf_clear(&one);
            const ckv_status status = ckv_op_write(s, &one, is_put ? c : NULL, prev, hlc, c->next);
            if (status != CKV_OK) ops->status = status;
            ckv_buf_blob(ops, one.ptr, one.len);
            if (is_put) prev = hlc++;
        }
    }
    ckv_buf_fini(&one);
    CKV_TRY(s->news.status);
    return ops ? ops->status : CKV_OK;
}

/* From here on what a cell says is so. */
static void make_real(ckv_store *s, ckv_cell *cell, uint64_t hlc)
{
    ckv_cell *chain = cell->next;
    cell->next = NULL;
    ckv_store_kill(s, chain);
    ckv_store_enter(s, cell, s->own, hlc);
    s->who.all.ptr[s->own].mine_to = hlc;
    s->n_shown += !chain;
    s->came_or_went += !chain;
}

static void make_gone(ckv_store *s, ckv_cell *gone)
{
    ckv_keytree_remove(&s->keys, ckv_cell_key(gone));
    ckv_store_kill(s, gone->next);
    ckv_store_drop(s, gone);
    s->n_shown--;
    s->came_or_went++;
}

ckv_status ckv_txn_commit(ckv_store *s, uint64_t now_ms, ckv_buf *ops)
{
    CKV_ASSERT(s->in_txn);
    size_t n_puts = 0;
    for (size_t i = 0; i < s->log.len; i++)
        n_puts += s->log.ptr[i] && !(s->log.ptr[i]->state & CKV_CELL_GONE);
    uint64_t hlc = ckv_store_next_hlc(s, now_ms);
    if (n_puts && (hlc == 0 || hlc + n_puts > CKV_HLC_END)) return CKV_ELIMIT;
    if (s->log.len > s->n_holes) {
        const size_t n_news = s->news.len, n_ops = ops ? ops->len : 0;
        const ckv_status status = prepare(s, hlc, n_puts, ops);
        if (status != CKV_OK) {
            s->news.len = n_news;
            s->news.status = CKV_OK;
            if (ops) {
                ops->len = n_ops;
                ops->status = CKV_OK;
            }
            return status;
        }
    }
    for (size_t i = 0; i < s->log.len; i++) {
        ckv_cell *c = s->log.ptr[i];
        if (!c) continue;
        if (c->state & CKV_CELL_GONE)
            make_gone(s, c);
        else
            make_real(s, c, hlc++);
    }
    end(s);
    return CKV_OK;
}

void ckv_txn_abort(ckv_store *s)
{
    CKV_ASSERT(s->in_txn);
    for (size_t i = 0; i < s->log.len; i++) {
        ckv_cell *c = s->log.ptr[i];
        if (!c) continue;
        if (c->next)
            *ckv_keytree_find(&s->keys, ckv_cell_key(c)) = c->next;
        else
            ckv_keytree_remove(&s->keys, ckv_cell_key(c));
        ckv_store_drop(s, c);
    }
    end(s);
}
