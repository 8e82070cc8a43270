#include "datastore/index.h"

#include <stdio.h>

#include "base/check.h"
#include "crypto/digest.h"
#include "datastore/index_state.h"
#include "datastore/merge.h"

#define FORM       2u /* 1 had names among operations */
#define MOST_RUNS  1024u
#define MOST_ENTRY (UINT32_MAX / 4)

/* Bytes of a run of level 0, at most; each level above has CKV_INDEX_FAN times as many. */
#define LEVEL_0    ((uint64_t)384 << 10)
#define FLUSHED    3 /* the level of memory that is flushed at 16 MiB */
#define MOST_LEVEL 24

/* A cell with less than this is joined to whatever comes at once; else it waits in a pile until there is as much of it, so that n concurrent operations on a key cost O(n log n) in all. */
#ifdef CKV_DEBUG
#define PILE 64u /* so that tests have piles */
#else
#define PILE 1024u
#endif

/* ---- layers */

static ckv_layers no_layers(ckv_alloc a)
{
    return (ckv_layers){.tree = ckv_keytree_init(a), .runs = {.a = a}};
}

static size_t cell_size(const ckv_cell *c)
{
    return offsetof(ckv_cell, bytes) + c->key_bytes + ckv_heap_room(c);
}

static void free_memory(ckv_layers *l)
{
    const ckv_alloc a = l->tree.a;
    for (ckv_keyplace p = ckv_keytree_from(&l->tree, NULL); !ckv_keyplace_is_end(p);
         p = ckv_keyplace_next(p)) {
        ckv_cell *c = *ckv_keyplace_slot(p);
        ckv_release(a, c, cell_size(c));
    }
    ckv_keytree_fini(&l->tree);
    l->tree_bytes = 0;
}

static void free_run(ckv_index *x, ckv_run *r)
{
    for (uint32_t i = 0; i < r->n_blocks; i++) ckv_cache_drop(&x->cache, &r->slots[i]);
    ckv_run_free(r);
}

static bool has_run(const ckv_layers *l, const ckv_run *r)
{
    for (size_t i = 0; i < l->runs.len; i++)
        if (l->runs.ptr[i] == r) return true;
    return false;
}

/* All of it but the runs that `other` has, too. */
static void free_layers(ckv_index *x, ckv_layers *l, const ckv_layers *other)
{
    free_memory(l);
    for (size_t i = 0; i < l->runs.len; i++)
        if (!has_run(other, l->runs.ptr[i])) free_run(x, l->runs.ptr[i]);
    ckv_runs_fini(&l->runs);
}

/* `next` is what there is now, until a rollback. */
static void put_layers(ckv_index *x, ckv_layers next)
{
    if (x->is_pending) {
        for (size_t i = 0; i < x->now.runs.len; i++) {
            ckv_run *r = x->now.runs.ptr[i];
            if (!has_run(&next, r) && !has_run(&x->before, r)) free_run(x, r);
        }
        free_memory(&x->now);
        ckv_runs_fini(&x->now.runs);
    } else {
        x->before = x->now;
        x->was_stale = x->has_stale_rows;
        x->is_pending = true;
    }
    x->now = next;
    x->now.tag = x->tag;
    x->n_layings++;
    x->has_stale_rows = false;
}

void ckv_index_flushed(ckv_index *x)
{
    if (!x->is_pending) return;
    free_layers(x, &x->before, &x->now);
    x->is_pending = false;
    x->n_layings++;
}

void ckv_index_unflushed(ckv_index *x)
{
    if (!x->is_pending) return;
    free_layers(x, &x->now, &x->before);
    x->now = x->before;
    x->tag = x->now.tag;
    x->is_pending = false;
    x->has_stale_rows = x->was_stale;
    x->n_layings++;
}

/* ---- what the runs stand for */

void ckv_index_stand_for(ckv_index *x, const void *tag, size_t n_bytes)
{
    CKV_ASSERT(n_bytes <= sizeof x->tag.bytes);
    x->tag = (ckv_index_tag){.n_bytes = (uint8_t)n_bytes};
    if (n_bytes) memcpy(x->tag.bytes, tag, n_bytes);
}

ckv_entry_bytes ckv_index_stands_for(const ckv_index *x)
{
    return (ckv_entry_bytes){x->now.tag.bytes, x->now.tag.n_bytes};
}

static bool tag_is_written(const ckv_index *x)
{
    const ckv_index_tag *tag = &x->now.tag;
    return tag->n_bytes == x->tag.n_bytes && memcmp(tag->bytes, x->tag.bytes, tag->n_bytes) == 0;
}

/* ---- the set of runs: one row of `meta`
 *
 *     set := FORM  object(u64le)  space(u64le)  salt(16)  tag(blob)  n(varint)  (id(varint) name(32)) x n  digest(32)  seal(16)
 *
 * The digest is of all before it, the seal, too, but keyed by the file's key; zeros if there was none. */

#define SET_TAIL (sizeof(ckv_id32) + CKV_SEAL_BYTES)

static void seal_set(const ckv_index *x, const ckv_id32 *digest, uint8_t seal[CKV_SEAL_BYTES])
{
    ckv_seal(seal, ckv_file_key(x->shelf.file), "crdtkv-index-v1", 0, digest->b, sizeof digest->b);
}

static ckv_status write_set(ckv_index *x, const ckv_runs *runs)
{
    ckv_buf set = ckv_buf_init(x->a);
    ckv_id32 digest;
    uint8_t seal[CKV_SEAL_BYTES];
    ckv_buf_u8(&set, FORM);
    ckv_buf_u64le(&set, (uint64_t)x->shelf.object);
    ckv_buf_u64le(&set, (uint64_t)x->shelf.space);
    ckv_buf_bytes(&set, x->salt, sizeof x->salt);
    ckv_buf_blob(&set, x->tag.bytes, x->tag.n_bytes);
    ckv_buf_varint(&set, runs->len);
    for (size_t i = 0; i < runs->len; i++) {
        ckv_buf_varint(&set, (uint64_t)runs->ptr[i]->id);
        ckv_buf_bytes(&set, runs->ptr[i]->name.b, sizeof runs->ptr[i]->name.b);
    }
    ckv_status status = set.status;
    if (status == CKV_OK) {
        ckv_digest(&digest, "crdtkv-runs-v1", set.ptr, set.len);
        seal_set(x, &digest, seal);
        ckv_buf_bytes(&set, digest.b, sizeof digest.b);
        ckv_buf_bytes(&set, seal, sizeof seal);
        status = set.status;
    }
    if (status == CKV_OK) {
        ckv_stmt_bind_text(x->write_set, 1, x->set_name, strlen(x->set_name));
        ckv_stmt_bind_blob(x->write_set, 2, set.ptr, set.len);
        status = ckv_stmt_run(x->write_set);
    }
    ckv_buf_fini(&set);
    return status;
}

typedef struct member {
    int64_t id;
    ckv_id32 name;
} member;
CKV_VEC(members, member);

/* CKV_ECORRUPT: it says nothing, or is not sealed as it should be. */
static ckv_status parse_set(ckv_index *x, const uint8_t *set, size_t n_bytes, members *out)
{
    ckv_id32 digest;
    uint8_t seal[CKV_SEAL_BYTES];
    if (n_bytes < SET_TAIL) return CKV_ECORRUPT;
    const size_t n_body = n_bytes - SET_TAIL;
    ckv_digest(&digest, "crdtkv-runs-v1", set, n_body);
    if (memcmp(digest.b, set + n_body, sizeof digest.b) != 0) return CKV_ECORRUPT;
    seal_set(x, &digest, seal);
    if (ckv_file_key(x->shelf.file) &&
        memcmp(seal, set + n_body + sizeof digest.b, sizeof seal) != 0)
        return CKV_ECORRUPT;
    ckv_rd r = ckv_rd_init(set, n_body);
    if (ckv_rd_u8(&r) != FORM || ckv_rd_u64le(&r) != (uint64_t)x->shelf.object ||
        ckv_rd_u64le(&r) != (uint64_t)x->shelf.space)
        return CKV_ECORRUPT;
    const uint8_t *salt = ckv_rd_bytes(&r, sizeof x->salt);
    size_t tag_bytes;
    const uint8_t *tag = ckv_rd_blob(&r, &tag_bytes);
    const size_t n = ckv_rd_count(&r, 1 + sizeof digest.b);
    if (r.status != CKV_OK || n > MOST_RUNS || tag_bytes > sizeof x->tag.bytes) return CKV_ECORRUPT;
    CKV_TRY(members_reserve(out, n));
    for (size_t i = 0; i < n; i++) {
        member m = {(int64_t)ckv_rd_upto(&r, INT32_MAX), {{0}}};
        const uint8_t *name = ckv_rd_bytes(&r, sizeof m.name.b);
        if (!name) return CKV_ECORRUPT;
        memcpy(m.name.b, name, sizeof m.name.b);
        members_put(out, m);
    }
    if (!ckv_rd_done(&r)) return CKV_ECORRUPT;
    memcpy(x->salt, salt, sizeof x->salt);
    ckv_index_stand_for(x, tag, tag_bytes);
    x->now.tag = x->tag;
    return CKV_OK;
}

/* CKV_ENOENT: there is none. */
static ckv_status read_set(ckv_index *x, members *out)
{
    ckv_stmt_bind_text(x->read_set, 1, x->set_name, strlen(x->set_name));
    CKV_TRY(ckv_stmt_step(x->read_set));
    size_t n_bytes;
    const uint8_t *set = ckv_stmt_blob(x->read_set, 0, &n_bytes);
    const ckv_status status = set ? parse_set(x, set, n_bytes, out) : CKV_ECORRUPT;
    ckv_stmt_reset(x->read_set);
    return status;
}

/* ---- opening */

/* The run in the row at which list_runs stands. */
static ckv_status load_run(ckv_index *x, ckv_runs *runs)
{
    const int64_t id = ckv_stmt_int(x->list_runs, 0), level = ckv_stmt_int(x->list_runs, 1),
                  n_keys = ckv_stmt_int(x->list_runs, 2);
    ckv_entry_bytes foot;
    ckv_run *r;
    foot.ptr = ckv_stmt_blob(x->list_runs, 3, &foot.n_bytes);
    if (!foot.ptr || id <= 0 || id >= INT32_MAX || level < 0 || level > MOST_LEVEL || n_keys <= 0 ||
        runs->len == MOST_RUNS)
        return CKV_ECORRUPT;
    CKV_TRY(ckv_runs_reserve(runs, 1));
    CKV_TRY(ckv_run_load(&r, x->a, &x->shelf, id, (int)level, (uint64_t)n_keys, foot));
    ckv_runs_put(runs, r);
    return CKV_OK;
}

/* CKV_ENOENT: there are no more. */
static ckv_status next_run(ckv_index *x, ckv_runs *runs)
{
    CKV_TRY(ckv_stmt_step(x->list_runs));
    const ckv_status status = load_run(x, runs);
    if (status != CKV_OK) ckv_stmt_reset(x->list_runs);
    return status;
}

static ckv_status load_runs(ckv_index *x, ckv_runs *runs)
{
    ckv_stmt_bind_int(x->list_runs, 1, x->shelf.object);
    ckv_stmt_bind_int(x->list_runs, 2, x->shelf.space);
    ckv_status status;
    do {
        status = next_run(x, runs);
    } while (status == CKV_OK);
    return status == CKV_ENOENT ? CKV_OK : status;
}

/* CKV_ECORRUPT: the runs are not those of the set. */
static ckv_status load_all(ckv_index *x, members *set)
{
    const ckv_status status = read_set(x, set);
    if (status != CKV_ENOENT) CKV_TRY(status);
    CKV_TRY(load_runs(x, &x->now.runs));
    if (x->now.runs.len != set->len) return CKV_ECORRUPT;
    for (size_t i = 0; i < set->len; i++) {
        const ckv_run *r = x->now.runs.ptr[i];
        if (r->id != set->ptr[i].id || !ckv_id32_eq(&r->name, &set->ptr[i].name))
            return CKV_ECORRUPT;
    }
    return CKV_OK;
}

static ckv_status prepare(ckv_index *x)
{
    CKV_TRY(ckv_shelf_init(&x->shelf, x->shelf.file, x->shelf.object, x->shelf.space));
    CKV_TRY(ckv_stmt_new(&x->list_runs, x->shelf.file,
                         "SELECT id, level, n_keys, directory FROM run"
                         " WHERE object = ?1 AND space = ?2 ORDER BY id"));
    return ckv_stmt_new(&x->read_set, x->shelf.file, "SELECT value FROM meta WHERE key = ?1");
}

ckv_status ckv_index_open(ckv_index **out, ckv_alloc a, ckv_file *file, int64_t object, int space,
                          ckv_index_join join, void *ctx, bool *sound)
{
    ckv_index *x = ckv_resize(a, NULL, 0, sizeof *x);
    if (!x) return CKV_ENOMEM;
    *x = (ckv_index){
        .a = a,
        .shelf = {.file = file, .object = object, .space = space},
        .cache = ckv_cache_init(a, CKV_INDEX_CACHE),
        .join = join,
        .ctx = ctx,
        .now = no_layers(a),
        .before = no_layers(a),
        .n_layings = 1,
        .scratch = {ckv_buf_init(a), ckv_buf_init(a)},
    };
    snprintf(x->set_name, sizeof x->set_name, "index:%lld:%d", (long long)object, space);
    ckv_random_bytes(NULL, x->salt, sizeof x->salt);
    members set = {.a = a};
    ckv_status status = prepare(x);
    if (status == CKV_OK) status = load_all(x, &set);
    members_fini(&set);
    *sound = status == CKV_OK;
    if (status == CKV_ECORRUPT) {
        const ckv_layers none = no_layers(a);
        free_layers(x, &x->now, &none);
        x->now = none;
        x->tag.n_bytes = 0;
        x->has_stale_rows = true;
        status = CKV_OK;
    }
    if (status == CKV_OK)
        *out = x;
    else
        ckv_index_free(x);
    return status;
}

void ckv_index_free(ckv_index *x)
{
    if (!x) return;
    if (x->is_pending) free_layers(x, &x->before, &x->now);
    const ckv_layers none = no_layers(x->a);
    free_layers(x, &x->now, &none);
    ckv_cache_fini(&x->cache);
    ckv_shelf_fini(&x->shelf);
    ckv_stmt_free(x->list_runs);
    ckv_stmt_free(x->read_set);
    ckv_stmt_free(x->write_set);
    for (int i = 0; i < 2; i++) ckv_buf_fini(&x->scratch[i]);
    ckv_release(x->a, x, sizeof *x);
}

/* ---- memory */

size_t ckv_index_memory(const ckv_index *x) { return x->now.tree_bytes; }

static ckv_cell *new_cell(ckv_index *x, ckv_store_key key, ckv_entry_bytes entry)
{
    const size_t n = offsetof(ckv_cell, bytes) + key.n_bytes + entry.n_bytes;
    ckv_cell *c = ckv_resize(x->a, NULL, 0, n);
    if (!c) return NULL;
    /* Field by field: what is asked for may be less than the struct with what pads it. */
    c->next = NULL;
    c->state = 0;
    c->hlc = entry.n_bytes;
    c->value_bytes = c->peer = (uint32_t)entry.n_bytes;
    c->key_bytes = (uint16_t)key.n_bytes;
    c->is_bytes = key.is_bytes;
    if (key.n_bytes) memcpy(c->bytes, key.ptr, key.n_bytes);
    memcpy(c->bytes + key.n_bytes, entry.ptr, entry.n_bytes);
    return c;
}

/* Puts another entry at a key that is there. */
static ckv_status replace(ckv_index *x, ckv_cell **slot, ckv_entry_bytes entry)
{
    ckv_cell *old = *slot, *fresh = NULL;
    const ckv_store_key key = ckv_cell_key(old);
    if (entry.n_bytes && entry.n_bytes <= ckv_heap_room(old) &&
        entry.n_bytes >= ckv_heap_room(old) / 2) { /* as that of most counters does */
        memcpy(old->bytes + old->key_bytes, entry.ptr, entry.n_bytes);
        old->value_bytes = old->peer = (uint32_t)entry.n_bytes;
        return CKV_OK;
    }
    if (entry.n_bytes) {
        fresh = new_cell(x, key, entry);
        if (!fresh) return CKV_ENOMEM;
        x->now.tree_bytes += cell_size(fresh);
    }
    x->now.tree_bytes -= cell_size(old);
    *slot = fresh;
    if (!fresh) ckv_keytree_remove(&x->now.tree, key);
    ckv_release(x->a, old, cell_size(old));
    return CKV_OK;
}

/* Joins the pile of a cell to what stands there; nothing may be left of both. */
static ckv_status fold(ckv_index *x, ckv_cell **slot)
{
    ckv_buf *out = &x->scratch[0];
    ckv_buf_clear(out);
    CKV_TRY(x->join(x->ctx, ckv_heap_entry(*slot), ckv_heap_pile(*slot), out));
    CKV_TRY(out->status);
    CKV_TRY(replace(x, slot, (ckv_entry_bytes){out->ptr, out->len}));
    x->n_edits++;
    return CKV_OK;
}

static ckv_status enter(ckv_index *x, ckv_store_key key, ckv_entry_bytes entry)
{
    ckv_cell *c = new_cell(x, key, entry);
    if (!c) return CKV_ENOMEM;
    ckv_cell **slot;
    bool is_new;
    const ckv_status status = ckv_keytree_reach(&x->now.tree, key, &slot, &is_new);
    if (status != CKV_OK) {
        ckv_release(x->a, c, cell_size(c));
        return status;
    }
    *slot = c;
    x->now.tree_bytes += cell_size(c);
    return CKV_OK;
}

/* Puts an entry onto the pile of a cell, and joins that if it has grown too high. */
static ckv_status pile_up(ckv_index *x, ckv_cell **slot, ckv_entry_bytes entry)
{
    ckv_cell *c = *slot;
    const size_t room = ckv_heap_room(c), need = c->value_bytes + entry.n_bytes,
                 before = cell_size(c);
    if (need > room) {
        const size_t more = need + need / 2;
        c = ckv_resize(x->a, c, before, before - room + more);
        if (!c) return CKV_ENOMEM;
        c->hlc = more;
        *slot = c;
        x->now.tree_bytes += more - room;
    }
    memcpy(c->bytes + c->key_bytes + c->value_bytes, entry.ptr, entry.n_bytes);
    c->value_bytes += (uint32_t)entry.n_bytes;
    if (ckv_heap_pile(c).n_bytes < ckv_heap_joined(c)) return CKV_OK;
    const ckv_status status = fold(x, slot);
    if (status != CKV_OK) c->value_bytes -= (uint32_t)entry.n_bytes;
    return status;
}

ckv_status ckv_index_add(ckv_index *x, ckv_store_key key, ckv_entry_bytes entry)
{
    if (key.n_bytes > CKV_MAX_KEY || entry.n_bytes > MOST_ENTRY) return CKV_ELIMIT;
    if (entry.n_bytes == 0) return CKV_OK;
    ckv_cell **slot = ckv_keytree_find(&x->now.tree, key);
    if (!slot) {
        CKV_TRY(enter(x, key, entry));
    } else if ((*slot)->value_bytes >= PILE) {
        if ((*slot)->value_bytes + entry.n_bytes > MOST_ENTRY) return CKV_ELIMIT;
        CKV_TRY(pile_up(x, slot, entry));
    } else {
        ckv_buf *out = &x->scratch[0];
        ckv_buf_clear(out);
        CKV_TRY(x->join(x->ctx, ckv_heap_entry(*slot), entry, out));
        CKV_TRY(out->status);
        CKV_TRY(replace(x, slot, (ckv_entry_bytes){out->ptr, out->len}));
    }
    x->n_edits++;
    return CKV_OK;
}

/* ---- reading */

uint64_t ckv_index_laying(const ckv_index *x) { return x->n_layings; }

int64_t ckv_index_damaged(const ckv_index *x) { return x->shelf.damaged; }

/* Block i of a run, good until shelf.read is reset and the cache changes. */
static ckv_status fetch(ckv_index *x, ckv_run *r, uint32_t i, ckv_entry_bytes *block)
{
    uint32_t *slot = &r->slots[i];
    if (*slot) {
        *block = ckv_cache_get(&x->cache, *slot);
        return CKV_OK;
    }
    CKV_TRY(ckv_run_read(r, &x->shelf, i, block));
    ckv_cache_put(&x->cache, slot, *block);
    return CKV_OK;
}

/* Joins what was found to what was known; both may stand in a scratch buffer. */
static ckv_status take_in(ckv_index *x, ckv_entry_bytes *known, ckv_entry_bytes found)
{
    ckv_buf *out = &x->scratch[known->ptr == x->scratch[0].ptr];
    ckv_buf_clear(out);
    if (known->n_bytes)
        CKV_TRY(x->join(x->ctx, *known, found, out));
    else
        ckv_buf_bytes(out, found.ptr, found.n_bytes);
    *known = (ckv_entry_bytes){out->ptr, out->len};
    return out->status;
}

static ckv_status get_from_run(ckv_index *x, ckv_run *r, ckv_store_key key, ckv_entry_bytes *known)
{
    const uint32_t i = ckv_run_block_of(r, key);
    ckv_entry_bytes block, found;
    CKV_TRY(fetch(x, r, i, &block));
    ckv_status status = ckv_block_find(block, key, &found);
    if (status == CKV_ECORRUPT) x->shelf.damaged = ckv_run_row(r, i);
    if (status == CKV_OK) status = take_in(x, known, found);
    ckv_stmt_reset(x->shelf.read);
    return status == CKV_ENOENT ? CKV_OK : status;
}

/* What memory has of a key, joined. The cell may be gone afterwards: where it must not, what is joined stands in a scratch buffer. */
static ckv_status get_from_memory(ckv_index *x, ckv_store_key key, ckv_entry_bytes *known)
{
    ckv_cell **slot = ckv_keytree_find(&x->now.tree, key);
    if (slot && ckv_heap_pile(*slot).n_bytes && !x->is_pouring) {
        CKV_TRY(fold(x, slot));
        slot = ckv_keytree_find(&x->now.tree, key);
    }
    if (!slot) return CKV_OK;
    *known = ckv_heap_entry(*slot);
    return ckv_heap_pile(*slot).n_bytes ? take_in(x, known, ckv_heap_pile(*slot)) : CKV_OK;
}

ckv_status ckv_index_get(ckv_index *x, ckv_store_key key, ckv_buf *out)
{
    ckv_entry_bytes known = {NULL, 0};
    CKV_TRY(get_from_memory(x, key, &known));
    const uint64_t hash = x->now.runs.len ? ckv_filter_hash(x->salt, key) : 0;
    for (size_t i = x->now.runs.len; i-- > 0;) {
        ckv_run *r = x->now.runs.ptr[i];
        if (ckv_filter_may_have(&r->filter, hash)) CKV_TRY(get_from_run(x, r, key, &known));
    }
    if (known.n_bytes == 0) return CKV_ENOENT;
    ckv_buf_bytes(out, known.ptr, known.n_bytes);
    return out->status;
}

/* ---- writing out */

static ckv_status ready_to_write(ckv_index *x)
{
    CKV_TRY(ckv_shelf_write(&x->shelf));
    if (x->write_set) return CKV_OK;
    return ckv_stmt_new(&x->write_set, x->shelf.file,
                        "INSERT INTO meta(key, value) VALUES(?1, ?2)"
                        " ON CONFLICT(key) DO UPDATE SET value = excluded.value");
}

/* Drops all rows of the index, whatever they say, and blocks that no run has. */
static ckv_status drop_all_rows(ckv_index *x)
{
    ckv_stmt_bind_int(x->list_runs, 1, x->shelf.object);
    ckv_stmt_bind_int(x->list_runs, 2, x->shelf.space);
    for (;;) { /* the first one each time: a list that shrinks while it is read promises nothing */
        const ckv_status status = ckv_stmt_step(x->list_runs);
        if (status == CKV_ENOENT) break;
        CKV_TRY(status);
        const int64_t id = ckv_stmt_int(x->list_runs, 0);
        ckv_stmt_reset(x->list_runs);
        if (id <= 0 || id >= INT32_MAX) {
            ckv_stmt_bind_int(x->shelf.drop_run, 1, id);
            CKV_TRY(ckv_stmt_run(x->shelf.drop_run));
        } else {
            CKV_TRY(ckv_run_drop(&x->shelf, id));
        }
    }
    ckv_stmt *orphans = NULL;
    CKV_TRY(ckv_stmt_new(&orphans, x->shelf.file,
                         "DELETE FROM block WHERE id >> 32 NOT IN (SELECT id FROM run)"));
    const ckv_status status = ckv_stmt_run(orphans);
    ckv_stmt_free(orphans);
    return status;
}

static int level_of(uint64_t n_bytes)
{
    int level = 0;
    for (uint64_t most = LEVEL_0; n_bytes > most && level < MOST_LEVEL; most *= CKV_INDEX_FAN)
        level++;
    return level;
}

static size_t n_at_level(const ckv_layers *l, int level)
{
    size_t n = 0;
    for (size_t i = 0; i < l->runs.len; i++) n += l->runs.ptr[i]->level == level;
    return n;
}

/* Would another run make this level full? */
static bool is_full(const ckv_layers *l, int level)
{
    return n_at_level(l, level) + 1 >= (level == FLUSHED ? CKV_INDEX_WIDE : CKV_INDEX_FAN);
}

/* What is merged with memory: the runs of levels up to `top`; -1: none. */
typedef struct plan {
    int top, level;          /* of what comes of it, if nothing is joined away */
    ckv_index_filter filter; /* NULL: all is kept */
    void *ctx;
} plan;

/* From the level of memory up, as long as another run would make its level full (I3). */
static plan plan_flush(const ckv_layers *l)
{
    plan p = {.top = -1, .level = level_of(l->tree_bytes)};
    while (p.level > p.top && is_full(l, p.level)) {
        uint64_t n_bytes = l->tree_bytes;
        p.top = p.level;
        for (size_t i = 0; i < l->runs.len; i++)
            if (l->runs.ptr[i]->level <= p.top) n_bytes += l->runs.ptr[i]->n_bytes;
        const int level = level_of(n_bytes);
        if (level > p.level) p.level = level;
    }
    return p;
}

/* The level for what has become of it. Where much was joined it may be a lower one, if there is room. */
static int level_for(const ckv_layers *l, const plan *p, uint64_t n_bytes)
{
    const int level = level_of(n_bytes);
    return level <= p->top || !is_full(l, level) ? level : p->level;
}

/* What the filter keeps of an entry. */
static ckv_status sift(const plan *p, ckv_store_key key, ckv_entry_bytes *entry, ckv_buf *kept)
{
    if (!p->filter) return CKV_OK;
    ckv_buf_clear(kept);
    CKV_TRY(p->filter(p->ctx, key, *entry, kept));
    *entry = (ckv_entry_bytes){kept->ptr, kept->len};
    return kept->status;
}

/* The filter may read the index meanwhile: `kept` is nobody else's. */
static ckv_status pour(const plan *p, ckv_merge *m, ckv_run_writer *w, ckv_buf *kept)
{
    ckv_store_key key;
    ckv_entry_bytes entry;
    ckv_status status;
    CKV_TRY(ckv_merge_seek(m, NULL));
    while ((status = ckv_merge_next(m, &key, &entry)) == CKV_OK) {
        CKV_TRY(sift(p, key, &entry, kept));
        if (entry.n_bytes) CKV_TRY(ckv_run_put(w, key, entry));
    }
    return status == CKV_ENOENT ? CKV_OK : status;
}

/* Writes memory and the runs of the plan as one run, which goes to the end of `runs`; to the file only. */
static ckv_status write_run(ckv_index *x, const plan *p, ckv_runs *runs)
{
    ckv_merge m = ckv_merge_init(x->a, &x->shelf, NULL, x->join, x->ctx, false);
    ckv_run_writer w = {0};
    ckv_buf kept = ckv_buf_init(x->a);
    ckv_run *made = NULL;
    uint64_t n_keys = x->now.tree.n;
    ckv_status status = ckv_runs_reserve(runs, 1);
    if (status == CKV_OK) status = ckv_merge_add(&m, &x->now.tree, NULL);
    for (size_t i = 0; status == CKV_OK && i < x->now.runs.len; i++) {
        ckv_run *r = x->now.runs.ptr[i];
        if (r->level > p->top) continue;
        n_keys += r->n_keys;
        status = ckv_merge_add(&m, NULL, r);
    }
    if (status == CKV_OK) status = ckv_run_begin(&w, x->a, &x->shelf, x->salt, n_keys);
    x->is_pouring = true;
    if (status == CKV_OK) status = pour(p, &m, &w, &kept);
    x->is_pouring = false;
    if (status == CKV_OK) status = ckv_run_end(&w, level_for(&x->now, p, ckv_run_size(&w)), &made);
    if (status == CKV_OK && made) ckv_runs_put(runs, made);
    ckv_buf_fini(&kept);
    ckv_run_writer_fini(&w);
    ckv_merge_fini(&m);
    return status;
}

static ckv_status write_plan(ckv_index *x, const plan *p, ckv_runs *runs)
{
    CKV_TRY(ready_to_write(x));
    if (x->has_stale_rows) CKV_TRY(drop_all_rows(x));
    for (size_t i = 0; i < x->now.runs.len; i++) {
        ckv_run *r = x->now.runs.ptr[i];
        if (r->level <= p->top) continue;
        CKV_TRY(ckv_runs_push(runs, r));
    }
    CKV_TRY(write_run(x, p, runs));
    for (size_t i = 0; i < x->now.runs.len; i++) {
        const ckv_run *r = x->now.runs.ptr[i];
        if (r->level <= p->top) CKV_TRY(ckv_run_drop(&x->shelf, r->id));
    }
    return write_set(x, runs);
}

/* NULL: nothing is to be written, but the transaction begins here all the same. */
static ckv_status carry_out(ckv_index *x, const plan *p)
{
    ckv_layers next = no_layers(x->a);
    ckv_status status = CKV_OK;
    if (p)
        status = write_plan(x, p, &next.runs);
    else
        for (size_t i = 0; status == CKV_OK && i < x->now.runs.len; i++)
            status = ckv_runs_push(&next.runs, x->now.runs.ptr[i]);
    if (status != CKV_OK) {
        free_layers(x, &next, &x->now);
        return status;
    }
    put_layers(x, next);
    return CKV_OK;
}

ckv_status ckv_index_flush(ckv_index *x)
{
    const bool is_written = x->now.tree.n == 0 && !x->has_stale_rows && tag_is_written(x);
    const plan p = plan_flush(&x->now);
    return carry_out(x, is_written ? NULL : &p);
}

ckv_status ckv_index_rewrite(ckv_index *x, ckv_index_filter filter, void *ctx)
{
    const plan p = {.top = MOST_LEVEL, .level = MOST_LEVEL, .filter = filter, .ctx = ctx};
    return carry_out(x, &p);
}

ckv_status ckv_index_clear(ckv_index *x)
{
    const ckv_layers none = no_layers(x->a);
    CKV_TRY(ready_to_write(x));
    CKV_TRY(drop_all_rows(x));
    CKV_TRY(write_set(x, &none.runs));
    put_layers(x, none);
    return CKV_OK;
}

/* ---- figures and check */

void ckv_index_figures(const ckv_index *x, ckv_index_stats *out)
{
    *out = (ckv_index_stats){
        .memory_entries = x->now.tree.n,
        .memory_bytes = x->now.tree_bytes + x->now.tree.n_bytes,
        .runs = x->now.runs.len,
        .cache_bytes = x->cache.n_bytes,
        .cache_hits = x->cache.hits,
        .cache_misses = x->cache.misses,
    };
    for (size_t i = 0; i < x->now.runs.len; i++) {
        const ckv_run *r = x->now.runs.ptr[i];
        out->blocks += r->n_blocks;
        out->disk_bytes += r->n_bytes;
        out->disk_entries += r->n_keys;
        out->directory_bytes += ckv_run_memory(r);
    }
}

static bool check_memory(const ckv_index *x, const char **why)
{
    size_t n_bytes = 0;
    if (!ckv_keytree_check(&x->now.tree, why) || !ckv_cache_check(&x->cache, why)) return false;
    *why = "index I1: an empty entry in memory";
    for (ckv_keyplace p = ckv_keytree_from(&x->now.tree, NULL); !ckv_keyplace_is_end(p);
         p = ckv_keyplace_next(p)) {
        const ckv_cell *c = *ckv_keyplace_slot(p);
        if (ckv_heap_joined(c) == 0) return false;
        *why = "index: a pile that is higher than what it stands on";
        if (c->value_bytes - ckv_heap_joined(c) >= ckv_heap_joined(c) ||
            c->value_bytes > ckv_heap_room(c))
            return false;
        *why = "index I1: an empty entry in memory";
        n_bytes += cell_size(c);
    }
    *why = "index: bytes of memory";
    if (n_bytes != x->now.tree_bytes) return false;
    *why = "index I3";
    for (int level = 0; level <= MOST_LEVEL; level++)
        if (n_at_level(&x->now, level) >= (level == FLUSHED ? CKV_INDEX_WIDE : CKV_INDEX_FAN))
            return false;
    return true;
}

/* Are the rows of runs and their set in the file what is here? */
static ckv_status check_set(ckv_index *x)
{
    ckv_index other = *x; /* to read them into */
    members set = {.a = x->a};
    other.now = no_layers(x->a);
    ckv_status status = load_all(&other, &set);
    if (status == CKV_OK && other.now.runs.len != x->now.runs.len) status = CKV_ECORRUPT;
    for (size_t i = 0; status == CKV_OK && i < set.len; i++)
        if (!ckv_id32_eq(&set.ptr[i].name, &x->now.runs.ptr[i]->name)) status = CKV_ECORRUPT;
    x->shelf.damaged = other.shelf.damaged;
    const ckv_layers none = no_layers(x->a);
    free_layers(x, &other.now, &none);
    members_fini(&set);
    return status;
}

bool ckv_index_check(ckv_index *x, const char **why, int64_t *block)
{
    *block = x->shelf.damaged = 0;
    if (!check_memory(x, why)) return false;
    *why = "index: the rows of its runs cannot be believed";
    if (x->has_stale_rows) return false;
    ckv_status status = check_set(x);
    for (size_t i = 0; status == CKV_OK && i < x->now.runs.len; i++)
        status = ckv_run_check(x->now.runs.ptr[i], &x->shelf, why);
    *block = x->shelf.damaged;
    if (status == CKV_ENOMEM) *why = "index: no memory to check it";
    return status == CKV_OK;
}
