#include "kv/state.h"

#include <string.h>

#include "base/check.h"
#include "crypto/digest.h"
#include "kv/keep.h"
#include "kv/killed.h"
#include "kv/op.h"

/* ---- life */

ckv_status ckv_store_new(ckv_store **out, const ckv_env *env, ckv_store_key name)
{
    if (name.n_bytes > CKV_MAX_PEER_NAME) return CKV_ELIMIT;
    const ckv_alloc a = env->alloc;
    ckv_store *s = ckv_resize(a, NULL, 0, sizeof *s);
    if (!s) return CKV_ENOMEM;
    *s = (ckv_store){.env = *env,
                     .keys = ckv_keytree_init(a),
                     .who = ckv_incarnations_init(a),
                     .own = CKV_NOBODY,
                     .held = ckv_held_init(a),
                     .log = {.a = a},
                     .news = ckv_buf_init(a)};
    if (!s->env.random) s->env.random = ckv_random_bytes;
    if (name.n_bytes && !(s->name = ckv_resize(a, NULL, 0, name.n_bytes))) {
        ckv_release(a, s, sizeof *s);
        return CKV_ENOMEM;
    }
    if (name.n_bytes) memcpy(s->name, name.ptr, name.n_bytes);
    s->name_key = (ckv_store_key){s->name, name.n_bytes, name.is_bytes};
    *out = s;
    return CKV_OK;
}

void ckv_store_free(ckv_store *s)
{
    if (!s) return;
    const ckv_alloc a = ckv_store_alloc(s);
    ckv_store_unkeep(s);
    for (ckv_keyplace at = ckv_keytree_from(&s->keys, NULL); !ckv_keyplace_is_end(at);
         at = ckv_keyplace_next(at))
        for (ckv_cell *c = *ckv_keyplace_slot(at); c;) {
            ckv_cell *next = c->next;
            ckv_store_drop(s, c);
            c = next;
        }
    ckv_keytree_fini(&s->keys);
    ckv_incarnations_fini(&s->who);
    ckv_held_fini(&s->held);
    ckv_cells_fini(&s->log);
    ckv_buf_fini(&s->news);
    ckv_release(a, s->name, s->name_key.n_bytes);
    ckv_release(a, s, sizeof *s);
}

ckv_store_key ckv_store_name(const ckv_store *s) { return s->name_key; }

ckv_bytes ckv_store_incarnation(const ckv_store *s)
{
    return s->own == CKV_NOBODY ? (ckv_bytes){NULL, 0}
                                : ckv_incarnation_id(&s->who.all.ptr[s->own]);
}

/* One that was heard of before would give out dots again that are superseded elsewhere. */
static ckv_status embody(ckv_store *s, const void *id, size_t n_bytes)
{
    const uint32_t known = ckv_incarnations_find(&s->who, id, n_bytes);
    if (known != CKV_NOBODY && s->who.all.ptr[known].bookmark > 0) return CKV_EVALUE;
    return ckv_incarnations_reach(&s->who, id, n_bytes, &s->own);
}

ckv_status ckv_store_incarnate(ckv_store *s, const void *id, size_t n_bytes)
{
    const size_t n_name = s->name_key.n_bytes;
    if (s->own != CKV_NOBODY || n_bytes != n_name + CKV_INCARNATION ||
        !ckv_incarnation_is_id(id, n_bytes) || (n_name && memcmp(id, s->name, n_name) != 0))
        return CKV_EVALUE;
    return embody(s, id, n_bytes);
}

ckv_status ckv_store_embody(ckv_store *s)
{
    if (CKV_LIKELY(s->own != CKV_NOBODY)) return CKV_OK;
    uint8_t id[CKV_MAX_PEER_NAME + CKV_INCARNATION];
    const size_t n_name = s->name_key.n_bytes;
    if (n_name) memcpy(id, s->name, n_name);
    id[n_name] = '/';
    s->env.random(s->env.random_ctx, id + n_name + 1, CKV_INCARNATION - 1);
    return embody(s, id, n_name + CKV_INCARNATION);
}

void ckv_store_renew(ckv_store *s) { s->own = CKV_NOBODY; }

ckv_alloc ckv_store_allocator(const ckv_store *s) { return s->env.alloc; }
uint64_t ckv_store_version(const ckv_store *s) { return s->version; }

/* ---- the clock */

uint64_t ckv_store_clock(const ckv_store *s) { return s->clock; }

uint64_t ckv_store_next_hlc(const ckv_store *s, uint64_t now_ms)
{
    CKV_ASSERT(now_ms <= CKV_MAX_MS);
    const uint64_t next = s->clock + 1, now = now_ms << 16;
    const uint64_t hlc = now > next ? now : next;
    return hlc < CKV_HLC_END ? hlc : 0;
}

/* ---- cells */

ckv_cell *ckv_store_cell(const ckv_store *s, ckv_store_key key, ckv_bytes value)
{
    const size_t n = offsetof(ckv_cell, bytes) + key.n_bytes + value.n_bytes;
    ckv_cell *c = ckv_resize(ckv_store_alloc(s), NULL, 0, n);
    if (!c) return NULL;
    c->next = NULL;
    c->hlc = 0;
    c->peer = CKV_NOBODY;
    c->value_bytes = (uint32_t)value.n_bytes;
    c->key_bytes = (uint16_t)key.n_bytes;
    c->is_bytes = key.is_bytes;
    c->state = 0;
    if (key.n_bytes) memcpy(c->bytes, key.ptr, key.n_bytes);
    if (value.n_bytes) memcpy(c->bytes + key.n_bytes, value.ptr, value.n_bytes);
    return c;
}

void ckv_store_drop(const ckv_store *s, ckv_cell *cell)
{
    ckv_release(ckv_store_alloc(s), cell, ckv_cell_size(cell));
}

bool ckv_cell_is_before(const ckv_store *s, const ckv_cell *a, const ckv_cell *b)
{
    if (a->hlc != b->hlc) return a->hlc > b->hlc;
    return ckv_incarnations_compare(&s->who, a->peer, b->peer) > 0;
}

ckv_item ckv_store_item(const ckv_store *s, const ckv_cell *c)
{
    return (ckv_item){.key = ckv_cell_key(c),
                      .value = {ckv_cell_value(c), c->value_bytes},
                      .peer = ckv_incarnation_id(&s->who.all.ptr[c->peer]),
                      .hlc = c->hlc};
}

/* An own dot that no opset has told yet is superseded by its absence from the next one. */
static bool is_to_be_noted(const ckv_store *s, const ckv_cell *c)
{
    const ckv_incarnation *p = &s->who.all.ptr[c->peer];
    return c->hlc <= p->mine_from || c->hlc > p->mine_to;
}

static void count_kills(ckv_store *s, const ckv_cell *chain)
{
    for (const ckv_cell *c = chain; c; c = c->next)
        if (is_to_be_noted(s, c)) s->who.all.ptr[c->peer].n_killed++;
}

/* Room for what was counted, and back to 0 in any case. */
static void make_room_of(ckv_store *s, const ckv_cell *c, ckv_status *status)
{
    ckv_incarnation *p = &s->who.all.ptr[c->peer];
    if (*status == CKV_OK && p->n_killed) *status = ckv_killed_reserve(p, p->n_killed);
    p->n_killed = 0;
}

static void make_room(ckv_store *s, const ckv_cell *chain, ckv_status *status)
{
    for (const ckv_cell *c = chain; c; c = c->next) make_room_of(s, c, status);
}

ckv_status ckv_store_reserve_kills(ckv_store *s, const ckv_cell *chain)
{
    ckv_status status = CKV_OK;
    count_kills(s, chain);
    make_room(s, chain, &status);
    return status;
}

ckv_status ckv_store_reserve_log_kills(ckv_store *s)
{
    ckv_status status = CKV_OK;
    for (size_t i = 0; i < s->log.len; i++)
        if (s->log.ptr[i]) count_kills(s, s->log.ptr[i]->next);
    for (size_t i = 0; i < s->log.len; i++)
        if (s->log.ptr[i]) make_room(s, s->log.ptr[i]->next, &status);
    return status;
}

ckv_status ckv_store_reserve_kill(ckv_store *s, const ckv_cell *const *cells, size_t n)
{
    ckv_status status = CKV_OK;
    for (size_t i = 0; i < n; i++)
        if (is_to_be_noted(s, cells[i])) s->who.all.ptr[cells[i]->peer].n_killed++;
    for (size_t i = 0; i < n; i++) make_room_of(s, cells[i], &status);
    return status;
}

void ckv_store_note_kill(ckv_store *s, const ckv_cell *cell)
{
    if (is_to_be_noted(s, cell)) ckv_killed_note(&s->who.all.ptr[cell->peer], cell->hlc);
}

static void leave(ckv_store *s, const ckv_cell *c)
{
    ckv_dots_remove(&s->who.all.ptr[c->peer].live, c->hlc);
    if (s->keep) ckv_store_note_death(s, c);
    s->version++;
    s->n_cells--;
    s->cell_bytes -= ckv_cell_size(c);
    s->key_bytes -= c->key_bytes;
    s->value_bytes -= c->value_bytes;
}

void ckv_store_leave(ckv_store *s, ckv_cell *cell)
{
    leave(s, cell);
    ckv_store_drop(s, cell);
}

void ckv_store_kill(ckv_store *s, ckv_cell *chain)
{
    while (chain) {
        ckv_cell *c = chain;
        chain = c->next;
        leave(s, c);
        ckv_store_note_kill(s, c);
        ckv_store_drop(s, c);
    }
}

void ckv_store_enter(ckv_store *s, ckv_cell *cell, uint32_t peer, uint64_t hlc)
{
    ckv_incarnation *p = &s->who.all.ptr[peer];
    cell->peer = peer;
    cell->hlc = hlc;
    cell->state = 0;
    ckv_dots_append(&p->live, hlc, cell);
    s->version++;
    p->bookmark = hlc;
    ckv_store_learn(s, hlc);
    s->n_cells++;
    s->cell_bytes += ckv_cell_size(cell);
    s->n_written += ckv_cell_size(cell);
    s->key_bytes += cell->key_bytes;
    s->value_bytes += cell->value_bytes;
}

/* ---- reading */

size_t ckv_store_len(const ckv_store *s, bool in_txn) { return in_txn ? s->n_in_txn : s->n_shown; }

bool ckv_store_get(const ckv_store *s, bool in_txn, ckv_store_key key, ckv_item *out)
{
    ckv_cell **slot = ckv_keytree_find(&s->keys, key);
    const ckv_cell *c = slot ? ckv_cell_seen(*slot, in_txn) : NULL;
    if (!c) return false;
    if (ckv_cell_is_pending(c)) /* it has no dot yet */
        *out = (ckv_item){.key = ckv_cell_key(c), .value = {ckv_cell_value(c), c->value_bytes}};
    else
        *out = ckv_store_item(s, c);
    return true;
}

bool ckv_store_each(const ckv_store *s, ckv_store_key key, const void **at, ckv_item *out)
{
    const ckv_cell *c = *at;
    if (c) {
        c = c->next;
    } else {
        ckv_cell **slot = ckv_keytree_find(&s->keys, key);
        c = slot ? ckv_cell_shown(*slot) : NULL;
    }
    *at = c;
    if (c) *out = ckv_store_item(s, c);
    return c != NULL;
}

/* ---- events */

void ckv_store_watch(ckv_store *s, bool on) { s->watched = on; }
const ckv_buf *ckv_store_news(const ckv_store *s) { return &s->news; }
void ckv_store_clear_news(ckv_store *s) { ckv_buf_clear(&s->news); }

static void tell_value(ckv_buf *out, bool is_there, const uint8_t *p, size_t n_bytes)
{
    ckv_buf_u8(out, is_there);
    if (is_there) ckv_buf_blob(out, p, n_bytes);
}

void ckv_store_tell(ckv_store *s, ckv_store_key key, const ckv_bytes *old, const ckv_cell *next,
                    bool is_local)
{
    ckv_bytes peer = {NULL, 0};
    if (is_local)
        peer = ckv_store_incarnation(s);
    else if (next)
        peer = ckv_incarnation_id(&s->who.all.ptr[next->peer]);
    ckv_buf_u8(&s->news, key.is_bytes);
    ckv_buf_blob(&s->news, key.ptr, key.n_bytes);
    tell_value(&s->news, old != NULL, old ? old->ptr : NULL, old ? old->n_bytes : 0);
    tell_value(&s->news, next != NULL, next ? ckv_cell_value(next) : NULL,
               next ? next->value_bytes : 0);
    ckv_buf_blob(&s->news, peer.ptr, peer.n_bytes);
    ckv_buf_u8(&s->news, is_local);
}

void ckv_store_tell_own(ckv_store *s, const ckv_cell *old, const ckv_cell *next)
{
    if (old && next && old->value_bytes == next->value_bytes &&
        memcmp(ckv_cell_value(old), ckv_cell_value(next), old->value_bytes) == 0)
        return;
    const ckv_bytes was = old ? (ckv_bytes){ckv_cell_value(old), old->value_bytes} : (ckv_bytes){0};
    ckv_store_tell(s, ckv_cell_key(next ? next : old), old ? &was : NULL, next, true);
}

/* ---- writing */

static ckv_status check_sizes(ckv_store_key key, ckv_bytes value)
{
    return key.n_bytes > CKV_MAX_KEY || value.n_bytes > CKV_MAX_VALUE ? CKV_ELIMIT : CKV_OK;
}

/* All that a put of a cell needs, but for its slot. */
static ckv_status prepare_put(ckv_store *s, ckv_cell *cell, const ckv_cell *chain, uint64_t hlc,
                              ckv_buf *op)
{
    CKV_TRY(ckv_dots_reserve(&s->who.all.ptr[s->own].live, 1));
    CKV_TRY(ckv_store_reserve_kills(s, chain));
    if (s->watched) ckv_store_tell_own(s, chain, cell);
    CKV_TRY(s->news.status);
    return op ? ckv_op_write(s, op, cell, s->who.all.ptr[s->own].bookmark, hlc, chain) : CKV_OK;
}

ckv_status ckv_store_put(ckv_store *s, ckv_store_key key, ckv_bytes value, uint64_t now_ms,
                         ckv_buf *op)
{
    CKV_ASSERT(!s->in_txn);
    const uint64_t hlc = ckv_store_next_hlc(s, now_ms);
    if (hlc == 0) return CKV_ELIMIT;
    CKV_TRY(check_sizes(key, value));
    CKV_TRY(ckv_store_embody(s));
    ckv_cell *cell = ckv_store_cell(s, key, value);
    if (!cell) return CKV_ENOMEM;
    const size_t n_news = s->news.len;
    ckv_cell **slot;
    bool is_new = false;
    ckv_status status = ckv_keytree_reach(&s->keys, ckv_cell_key(cell), &slot, &is_new);
    if (status == CKV_OK) {
        status = prepare_put(s, cell, *slot, hlc, op);
        if (status != CKV_OK && is_new) {
            *slot = cell;
            ckv_keytree_remove(&s->keys, key);
        }
    }
    if (status != CKV_OK) {
        ckv_store_drop(s, cell);
        s->news.len = n_news;
        s->news.status = CKV_OK;
        return status;
    }
    ckv_cell *chain = *slot;
    *slot = cell;
    ckv_store_kill(s, chain);
    ckv_store_enter(s, cell, s->own, hlc);
    s->who.all.ptr[s->own].mine_to = hlc;
    s->n_shown += is_new;
    s->came_or_went += is_new;
    return CKV_OK;
}

ckv_status ckv_store_remove(ckv_store *s, ckv_store_key key, ckv_buf *op)
{
    CKV_ASSERT(!s->in_txn);
    ckv_cell **slot = ckv_keytree_find(&s->keys, key);
    if (!slot) return CKV_ENOENT;
    ckv_cell *chain = *slot;
    CKV_TRY(ckv_store_embody(s));
    CKV_TRY(ckv_store_reserve_kills(s, chain));
    const size_t n_news = s->news.len;
    if (s->watched) ckv_store_tell_own(s, chain, NULL);
    ckv_status status = s->news.status;
    if (status == CKV_OK && op)
        status = ckv_op_write(s, op, NULL, s->who.all.ptr[s->own].bookmark, 0, chain);
    if (status != CKV_OK) {
        s->news.len = n_news;
        s->news.status = CKV_OK;
        return status;
    }
    ckv_keytree_remove(&s->keys, ckv_cell_key(chain));
    ckv_store_kill(s, chain);
    s->n_shown--;
    s->came_or_went++;
    return CKV_OK;
}

/* ---- looking inside */

ckv_store_stats ckv_store_stats_of(const ckv_store *s)
{
    ckv_store_stats st = {.n_keys = s->n_shown,
                          .n_values = s->n_cells,
                          .n_hidden = s->n_cells - s->n_shown,
                          .n_waiting = s->held.all.len,
                          .waiting_bytes = s->held.n_bytes,
                          .key_bytes = s->key_bytes,
                          .value_bytes = s->value_bytes,
                          .tree_bytes = s->keys.n_bytes,
                          .cell_bytes = s->cell_bytes};
    for (size_t i = 0; i < s->who.all.len; i++) {
        const ckv_incarnation *p = &s->who.all.ptr[i];
        uint64_t start, end;
        ckv_dot_walk w = ckv_dots_from(&p->live, 0);
        while (ckv_dot_walk_run(&w, &start, &end)) st.n_runs++;
        st.n_peers += p->bookmark > 0;
        st.index_bytes += ckv_dots_bytes(&p->live) + p->killed.cap * sizeof *p->killed.ptr;
    }
    return st;
}

/* One chain: its own cells, the pending one in front if there is a transaction. */
static const char *check_chain(const ckv_store *s, const ckv_cell *first, size_t *n_cells)
{
    const ckv_store_key key = ckv_cell_key(first);
    if (ckv_cell_is_pending(first)) {
        if (!s->in_txn) return "a pending cell without a transaction";
        if (first->hlc >= s->log.len || s->log.ptr[first->hlc] != first)
            return "a pending cell is not in the log";
    }
    for (const ckv_cell *c = ckv_cell_shown((ckv_cell *)(uintptr_t)first); c; c = c->next) {
        ++*n_cells;
        if (c->state) return "I2: a cell behind the first is pending";
        if (ckv_store_key_compare(ckv_cell_key(c), key) != 0) return "I2: another key on the chain";
        if (c->next && !ckv_cell_is_before(s, c, c->next)) return "I2: dots descend";
        if (c->peer >= s->who.all.len || ckv_dots_find(&s->who.all.ptr[c->peer].live, c->hlc) != c)
            return "I1: a cell without its dot";
    }
    return NULL;
}

bool ckv_store_check(const ckv_store *s, const char **why)
{
    if (!ckv_keytree_check(&s->keys, why) || !ckv_incarnations_check(&s->who, why) ||
        !ckv_held_check(&s->held, why))
        return false;
    size_t n_cells = 0, n_shown = 0, n_in_txn = 0, n_dots = 0, n_logged = 0;
    for (ckv_keyplace at = ckv_keytree_from(&s->keys, NULL); !ckv_keyplace_is_end(at) && !*why;
         at = ckv_keyplace_next(at)) {
        ckv_cell *first = *ckv_keyplace_slot(at);
        *why = check_chain(s, first, &n_cells);
        n_shown += ckv_cell_shown(first) != NULL;
        n_in_txn += ckv_cell_in_txn(first) != NULL;
    }
    for (size_t i = 0; i < s->who.all.len; i++) {
        n_dots += s->who.all.ptr[i].live.n;
        if (s->who.all.ptr[i].bookmark > s->clock) *why = "I3: the clock is behind";
    }
    for (size_t i = 0; i < s->log.len; i++) n_logged += s->log.ptr[i] != NULL;
    if (n_dots != n_cells || n_cells != s->n_cells) *why = "I1: a dot without its cell";
    if (n_shown != s->n_shown) *why = "n_shown is wrong";
    if (s->in_txn && n_in_txn != s->n_in_txn) *why = "n_in_txn is wrong";
    if (s->log.len - n_logged != s->n_holes) *why = "n_holes is wrong";
    return !*why;
}
