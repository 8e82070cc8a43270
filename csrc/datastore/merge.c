#include "datastore/merge.h"

#include "datastore/index_state.h"

ckv_merge ckv_merge_init(ckv_alloc a, ckv_shelf *shelf, ckv_cache *cache, ckv_index_join join,
                         void *ctx, bool reverse)
{
    return (ckv_merge){
        .shelf = shelf,
        .cache = cache,
        .join = join,
        .ctx = ctx,
        .reverse = reverse,
        .sources = {.a = a},
        .order = {.a = a},
        .joined = {ckv_buf_init(a), ckv_buf_init(a)},
        .heap = ckv_buf_init(a),
    };
}

void ckv_merge_clear(ckv_merge *m)
{
    for (size_t i = 0; i < m->sources.len; i++) ckv_block_walk_fini(&m->sources.ptr[i].walk);
    m->sources.len = m->order.len = m->n_taken = 0;
}

void ckv_merge_fini(ckv_merge *m)
{
    ckv_merge_clear(m);
    ckv_sources_fini(&m->sources);
    ckv_u32s_fini(&m->order);
    for (int i = 0; i < 2; i++) ckv_buf_fini(&m->joined[i]);
    ckv_buf_fini(&m->heap);
}

ckv_status ckv_merge_add(ckv_merge *m, const ckv_keytree *tree, ckv_run *run)
{
    CKV_TRY(ckv_sources_reserve(&m->sources, 1));
    CKV_TRY(ckv_u32s_reserve(&m->order, m->sources.len + 1));
    ckv_sources_put(
        &m->sources,
        (ckv_source){.tree = tree, .run = run, .walk = ckv_block_walk_init(m->sources.a)});
    return CKV_OK;
}

/* ---- one source */

static uint64_t head_of(ckv_store_key key)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < 8; i++) h = h << 8 | (i < key.n_bytes ? key.ptr[i] : 0);
    return h;
}

/* Looks at where the source stands. CKV_ENOENT: at its end. */
static ckv_status look_at_tree(ckv_source *s)
{
    if (ckv_keyplace_is_end(s->place)) return CKV_ENOENT;
    const ckv_cell *c = *ckv_keyplace_slot(s->place);
    s->key = ckv_cell_key(c);
    s->entry = ckv_heap_entry(c);
    s->pile = ckv_heap_pile(c);
    s->head = head_of(s->key);
    return CKV_OK;
}

static void look_at_item(ckv_source *s)
{
    s->key = ckv_block_key(&s->walk, s->item);
    s->entry = ckv_block_entry(&s->walk, s->item);
    s->head = head_of(s->key);
}

/* Lays out block i of a run. What a walk comes by is not worth a place in the cache, only where it begins (`keep`). */
static ckv_status open_block(ckv_merge *m, ckv_source *s, uint32_t i, bool keep)
{
    if (s->walk.items.len && s->block == i) return CKV_OK;
    uint32_t *slot = &s->run->slots[i];
    const bool is_cached = m->cache && *slot;
    ckv_entry_bytes block;
    s->walk.items.len = 0;
    if (is_cached)
        block = ckv_cache_get(m->cache, *slot);
    else
        CKV_TRY(ckv_run_read(s->run, m->shelf, i, &block));
    ckv_buf_clear(&s->walk.block);
    ckv_buf_bytes(&s->walk.block, block.ptr, block.n_bytes);
    if (!is_cached && keep && m->cache) ckv_cache_put(m->cache, slot, block);
    ckv_stmt_reset(m->shelf->read);
    if (s->walk.block.status != CKV_OK) return s->walk.block.status;
    s->block = i;
    ckv_status status = ckv_block_lay_out(&s->walk);
    if (status == CKV_OK && !ckv_run_fits(s->run, i, ckv_block_key(&s->walk, 0),
                                          ckv_block_key(&s->walk, s->walk.items.len - 1))) {
        s->walk.items.len = 0;
        status = CKV_ECORRUPT;
    }
    if (status == CKV_ECORRUPT) m->shelf->damaged = ckv_run_row(s->run, i);
    return status;
}

static ckv_status advance(ckv_merge *m, ckv_source *s)
{
    if (s->tree) {
        s->place = m->reverse ? ckv_keyplace_prev(s->place) : ckv_keyplace_next(s->place);
        return look_at_tree(s);
    }
    if (m->reverse) {
        if (s->item == 0) {
            if (s->block == 0) return CKV_ENOENT;
            CKV_TRY(open_block(m, s, s->block - 1, false));
            s->item = s->walk.items.len;
        }
        s->item--;
    } else if (++s->item == s->walk.items.len) {
        if (s->block + 1 == s->run->n_blocks) return CKV_ENOENT;
        CKV_TRY(open_block(m, s, s->block + 1, false));
        s->item = 0;
    }
    look_at_item(s);
    return CKV_OK;
}

static ckv_status seek_in_run(ckv_merge *m, ckv_source *s, const ckv_store_key *key)
{
    const uint32_t edge = m->reverse ? s->run->n_blocks - 1 : 0;
    CKV_TRY(open_block(m, s, key ? ckv_run_block_of(s->run, *key) : edge, true));
    const size_t from = key ? ckv_block_from(&s->walk, *key) : m->reverse ? s->walk.items.len : 0;
    /* One too far in the direction of the walk, and then a step. */
    if (m->reverse) {
        s->item = from;
        return advance(m, s);
    }
    if (from == s->walk.items.len) {
        s->item = from - 1;
        return advance(m, s);
    }
    s->item = from;
    look_at_item(s);
    return CKV_OK;
}

static ckv_status seek(ckv_merge *m, ckv_source *s, const ckv_store_key *key)
{
    if (s->run) return seek_in_run(m, s, key);
    s->place = m->reverse ? ckv_keytree_before(s->tree, key) : ckv_keytree_from(s->tree, key);
    return look_at_tree(s);
}

/* ---- all of them */

static int compare(const ckv_source *a, const ckv_source *b)
{
    if (a->head != b->head) return a->head < b->head ? -1 : 1;
    return ckv_store_key_compare(a->key, b->key);
}

/* Moves what stands at i behind all that come before it. I1 holds from i + 1 on. */
static void settle(ckv_merge *m, size_t i)
{
    const uint32_t moved = m->order.ptr[i];
    const ckv_source *s = &m->sources.ptr[moved];
    for (; i + 1 < m->order.len; i++) {
        const int order = compare(s, &m->sources.ptr[m->order.ptr[i + 1]]);
        if (m->reverse ? order >= 0 : order <= 0) break;
        m->order.ptr[i] = m->order.ptr[i + 1];
    }
    m->order.ptr[i] = moved;
}

static void cut(ckv_merge *m, size_t i)
{
    m->order.len--;
    memmove(m->order.ptr + i, m->order.ptr + i + 1, (m->order.len - i) * sizeof *m->order.ptr);
}

ckv_status ckv_merge_seek(ckv_merge *m, const ckv_store_key *key)
{
    m->order.len = m->n_taken = 0;
    for (size_t i = m->sources.len; i-- > 0;) {
        const ckv_status status = seek(m, &m->sources.ptr[i], key);
        if (status == CKV_ENOENT) continue;
        CKV_TRY(status);
        memmove(m->order.ptr + 1, m->order.ptr, m->order.len * sizeof *m->order.ptr);
        m->order.ptr[0] = (uint32_t)i;
        m->order.len++;
        settle(m, 0);
    }
    return CKV_OK;
}

static ckv_status move_on(ckv_merge *m)
{
    for (; m->n_taken; m->n_taken--) {
        const size_t i = m->n_taken - 1;
        const ckv_status status = advance(m, &m->sources.ptr[m->order.ptr[i]]);
        if (status == CKV_ENOENT) {
            cut(m, i);
            continue;
        }
        CKV_TRY(status);
        settle(m, i);
    }
    return CKV_OK;
}

/* What a source says, with its pile: memory is one source. */
static ckv_status whole(ckv_merge *m, const ckv_source *s, ckv_entry_bytes *entry)
{
    *entry = s->entry;
    if (s->pile.n_bytes == 0) return CKV_OK;
    ckv_buf_clear(&m->heap);
    CKV_TRY(m->join(m->ctx, s->entry, s->pile, &m->heap));
    *entry = (ckv_entry_bytes){m->heap.ptr, m->heap.len};
    return m->heap.status;
}

/* The join of what all sources say that stand at the key of the first. */
static ckv_status join_equals(ckv_merge *m, ckv_entry_bytes *entry)
{
    const ckv_source *first = &m->sources.ptr[m->order.ptr[0]];
    CKV_TRY(whole(m, first, entry));
    m->n_taken = 1;
    for (int k = 0; m->n_taken < m->order.len; m->n_taken++) {
        const ckv_source *s = &m->sources.ptr[m->order.ptr[m->n_taken]];
        ckv_entry_bytes said;
        if (compare(first, s) != 0) break;
        CKV_TRY(whole(m, s, &said));
        if (entry->n_bytes == 0 || said.n_bytes == 0) { /* so far nothing was left, or here */
            if (said.n_bytes) *entry = said;
            continue;
        }
        ckv_buf *out = &m->joined[k];
        ckv_buf_clear(out);
        CKV_TRY(m->join(m->ctx, *entry, said, out));
        if (out->status != CKV_OK) return out->status;
        *entry = (ckv_entry_bytes){out->ptr, out->len};
        k = !k;
    }
    return CKV_OK;
}

CKV_MADE static bool is_in_order(const ckv_merge *m) /* I1 */
{
    for (size_t i = 1; i < m->order.len; i++) {
        const int order =
            compare(&m->sources.ptr[m->order.ptr[i - 1]], &m->sources.ptr[m->order.ptr[i]]);
        if (m->reverse ? order < 0 : order > 0) return false;
    }
    return true;
}

ckv_status ckv_merge_next(ckv_merge *m, ckv_store_key *key, ckv_entry_bytes *entry)
{
    for (;;) {
        CKV_TRY(move_on(m));
        CKV_PARANOID(is_in_order(m));
        if (m->order.len == 0) return CKV_ENOENT;
        CKV_TRY(join_equals(m, entry));
        m->n_rows += m->n_taken;
        if (entry->n_bytes == 0) continue;
        *key = m->sources.ptr[m->order.ptr[0]].key;
        return CKV_OK;
    }
}
