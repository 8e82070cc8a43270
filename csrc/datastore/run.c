#include "datastore/run.h"

#include "base/check.h"
#include "crypto/digest.h"

#define FORM  1u
#define SLICE ((size_t)256 << 10) /* of a piece of the directory, in one row */

/* ---- the shelf */

ckv_status ckv_shelf_init(ckv_shelf *s, ckv_file *file, int64_t object, int space)
{
    *s = (ckv_shelf){.file = file, .object = object, .space = space};
    return ckv_stmt_new(&s->read, file, "SELECT data FROM block WHERE id = ?1");
}

static ckv_status prepare(ckv_shelf *s, ckv_stmt **stmt, const char *sql)
{
    return *stmt ? CKV_OK : ckv_stmt_new(stmt, s->file, sql);
}

ckv_status ckv_shelf_write(ckv_shelf *s)
{
    CKV_TRY(prepare(s, &s->put_block, "INSERT INTO block(id, data) VALUES(?1, ?2)"));
    CKV_TRY(prepare(s, &s->put_run,
                    "INSERT INTO run(id, object, space, level, n_keys, directory)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)"));
    CKV_TRY(prepare(s, &s->drop_blocks, "DELETE FROM block WHERE id >= ?1 AND id < ?2"));
    CKV_TRY(prepare(s, &s->drop_run, "DELETE FROM run WHERE id = ?1"));
    /* Blocks of a run whose row was lost are in the way, too. */
    return prepare(s, &s->last_run,
                   "SELECT max(ifnull((SELECT max(id) FROM run), 0),"
                   " ifnull((SELECT max(id) FROM block), 0) >> 32)");
}

void ckv_shelf_fini(ckv_shelf *s)
{
    ckv_stmt_free(s->read);
    ckv_stmt_free(s->put_block);
    ckv_stmt_free(s->put_run);
    ckv_stmt_free(s->drop_blocks);
    ckv_stmt_free(s->drop_run);
    ckv_stmt_free(s->last_run);
    *s = (ckv_shelf){0};
}

static int64_t row_of(int64_t run, uint64_t number) { return run << 32 | (int64_t)number; }

static ckv_status is_damaged(ckv_shelf *s, int64_t row)
{
    s->damaged = row;
    return CKV_ECORRUPT;
}

/* The blob of a row, good until the statement is reset. */
static ckv_status read_row(ckv_shelf *s, int64_t row, ckv_entry_bytes *out)
{
    ckv_stmt_reset(s->read);
    ckv_stmt_bind_int(s->read, 1, row);
    const ckv_status status = ckv_stmt_step(s->read);
    if (status == CKV_ENOENT) return is_damaged(s, row);
    if (status == CKV_ECORRUPT) s->damaged = row;
    CKV_TRY(status);
    out->ptr = ckv_stmt_blob(s->read, 0, &out->n_bytes);
    if (out->ptr && out->n_bytes) return CKV_OK;
    ckv_stmt_reset(s->read);
    return is_damaged(s, row);
}

static ckv_status write_row(ckv_shelf *s, int64_t row, ckv_entry_bytes data)
{
    ckv_stmt_bind_int(s->put_block, 1, row);
    ckv_stmt_bind_blob(s->put_block, 2, data.ptr, data.n_bytes);
    return ckv_stmt_run(s->put_block);
}

ckv_status ckv_run_drop(ckv_shelf *s, int64_t id)
{
    ckv_stmt_bind_int(s->drop_blocks, 1, row_of(id, 0));
    ckv_stmt_bind_int(s->drop_blocks, 2, row_of(id + 1, 0));
    CKV_TRY(ckv_stmt_run(s->drop_blocks));
    ckv_stmt_bind_int(s->drop_run, 1, id);
    return ckv_stmt_run(s->drop_run);
}

/* ---- digests and the foot */

static void digest_block(uint8_t out[CKV_RUN_DIGEST], ckv_entry_bytes block)
{
    ckv_id32 whole;
    ckv_digest(&whole, "crdtkv-block-v1", block.ptr, block.n_bytes);
    memcpy(out, whole.b, CKV_RUN_DIGEST);
}

typedef struct piece {
    uint8_t *ptr;
    size_t n_bytes;
} piece;

#define PIECES 3

static void pieces_of(const ckv_run *r, piece out[PIECES])
{
    out[0] = (piece){r->keys, r->keys_bytes};
    out[1] = (piece){r->digests, (size_t)r->n_blocks * CKV_RUN_DIGEST};
    out[2] = (piece){r->filter.lines, (size_t)r->filter.n_lines * CKV_FILTER_LINE};
}

static void put_foot(ckv_buf *out, const ckv_run *r)
{
    piece pieces[PIECES];
    pieces_of(r, pieces);
    ckv_buf_u8(out, FORM);
    ckv_buf_varint(out, r->n_blocks);
    ckv_buf_varint(out, r->n_bytes);
    ckv_buf_varint(out, r->keys_bytes);
    ckv_buf_varint(out, r->filter.n_lines);
    for (int i = 0; i < PIECES; i++) {
        ckv_id32 digest;
        ckv_digest(&digest, "crdtkv-piece-v1", pieces[i].ptr, pieces[i].n_bytes);
        ckv_buf_bytes(out, digest.b, sizeof digest.b);
    }
}

/* The digest of the row. */
static ckv_status name_run(ckv_run *r, const ckv_shelf *s, ckv_entry_bytes foot)
{
    ckv_buf row = ckv_buf_init(r->a);
    ckv_buf_u64le(&row, (uint64_t)s->object);
    ckv_buf_u64le(&row, (uint64_t)s->space);
    ckv_buf_u64le(&row, (uint64_t)r->id);
    ckv_buf_u64le(&row, (uint64_t)r->level);
    ckv_buf_u64le(&row, r->n_keys);
    ckv_buf_bytes(&row, foot.ptr, foot.n_bytes);
    const ckv_status status = row.status;
    if (status == CKV_OK) ckv_digest(&r->name, "crdtkv-run-v1", row.ptr, row.len);
    ckv_buf_fini(&row);
    return status;
}

/* ---- memory */

static void *obtain(ckv_alloc a, size_t n_bytes)
{
    void *p = ckv_resize(a, NULL, 0, n_bytes);
    if (p) memset(p, 0, n_bytes);
    return p;
}

static size_t checked_bytes(const ckv_run *r) { return (size_t)r->n_blocks / 8 + 1; }

void ckv_run_free(ckv_run *r)
{
    if (!r) return;
    const size_t n = r->n_blocks;
    ckv_release(r->a, r->keys, r->keys_bytes);
    ckv_release(r->a, r->separators, n * sizeof *r->separators);
    ckv_release(r->a, r->digests, n * CKV_RUN_DIGEST);
    ckv_release(r->a, r->slots, n * sizeof *r->slots);
    ckv_release(r->a, r->checked, checked_bytes(r));
    ckv_filter_free(&r->filter, r->a);
    ckv_release(r->a, r, sizeof *r);
}

size_t ckv_run_memory(const ckv_run *r)
{
    const size_t a_block = sizeof *r->separators + CKV_RUN_DIGEST + sizeof *r->slots;
    return sizeof *r + r->keys_bytes + r->n_blocks * a_block + checked_bytes(r) +
           (size_t)r->filter.n_lines * CKV_FILTER_LINE;
}

/* What is not on disk: n_blocks is known. */
static ckv_status obtain_rest(ckv_run *r)
{
    r->slots = obtain(r->a, r->n_blocks * sizeof *r->slots);
    r->checked = obtain(r->a, checked_bytes(r));
    return r->slots && r->checked ? CKV_OK : CKV_ENOMEM;
}

/* ---- reading */

static ckv_store_key separator(const ckv_run *r, uint32_t i)
{
    const ckv_separator s = r->separators[i];
    return (ckv_store_key){r->keys + s.at, s.n_bytes, s.is_bytes};
}

static ckv_status read_foot(ckv_run *r, ckv_rd *rd, ckv_id32 digests[PIECES])
{
    if (ckv_rd_u8(rd) != FORM) return CKV_ECORRUPT;
    r->n_blocks = (uint32_t)ckv_rd_upto(rd, UINT32_MAX / 2);
    r->n_bytes = ckv_rd_varint(rd);
    r->keys_bytes = (size_t)ckv_rd_upto(rd, UINT32_MAX);
    r->filter.n_lines = (uint32_t)ckv_rd_upto(rd, UINT32_MAX / CKV_FILTER_LINE);
    for (int i = 0; i < PIECES; i++) {
        const uint8_t *p = ckv_rd_bytes(rd, sizeof digests[i].b);
        if (p) memcpy(digests[i].b, p, sizeof digests[i].b);
    }
    return ckv_rd_done(rd) ? CKV_OK : CKV_ECORRUPT;
}

static ckv_status read_pieces(ckv_run *r, ckv_shelf *s, const ckv_id32 digests[PIECES])
{
    piece pieces[PIECES];
    uint64_t number = r->n_blocks;
    pieces_of(r, pieces);
    for (int i = 0; i < PIECES; i++) {
        for (size_t at = 0; at < pieces[i].n_bytes; number++) {
            const size_t left = pieces[i].n_bytes - at, n = left < SLICE ? left : SLICE;
            const int64_t row = row_of(r->id, number);
            ckv_entry_bytes slice;
            CKV_TRY(read_row(s, row, &slice));
            const bool fits = slice.n_bytes == n;
            if (fits) memcpy(pieces[i].ptr + at, slice.ptr, n);
            ckv_stmt_reset(s->read);
            if (!fits) return is_damaged(s, row);
            at += n;
        }
        ckv_id32 digest;
        ckv_digest(&digest, "crdtkv-piece-v1", pieces[i].ptr, pieces[i].n_bytes);
        if (!ckv_id32_eq(&digest, &digests[i])) return is_damaged(s, row_of(r->id, number - 1));
    }
    return CKV_OK;
}

static ckv_status read_separators(ckv_run *r)
{
    ckv_rd rd = ckv_rd_init(r->keys, r->keys_bytes);
    for (uint32_t i = 0; i < r->n_blocks; i++) {
        const uint64_t head = ckv_rd_upto(&rd, CKV_MAX_KEY << 1 | 1);
        const uint8_t *p = ckv_rd_bytes(&rd, (size_t)head >> 1);
        if (!p) return CKV_ECORRUPT;
        r->separators[i] =
            (ckv_separator){(uint32_t)(p - r->keys), (uint16_t)(head >> 1), head & 1};
        if (i > 0 && ckv_store_key_compare(separator(r, i - 1), separator(r, i)) >= 0)
            return CKV_ECORRUPT;
    }
    return ckv_rd_done(&rd) ? CKV_OK : CKV_ECORRUPT;
}

/* Memory for all that the foot promises, which the file must be able to keep. */
static ckv_status obtain_directory(ckv_run *r, const ckv_shelf *s)
{
    uint64_t on_disk;
    CKV_TRY(ckv_file_bytes(s->file, &on_disk));
    if (r->n_blocks == 0 || r->keys_bytes < r->n_blocks || r->filter.n_lines == 0 ||
        r->n_keys > on_disk / CKV_BLOCK_LEAST || r->keys_bytes > on_disk ||
        r->n_blocks > on_disk / CKV_RUN_DIGEST || r->filter.n_lines > on_disk / CKV_FILTER_LINE) {
        r->n_blocks = r->filter.n_lines = 0;
        r->keys_bytes = 0;
        return CKV_ECORRUPT;
    }
    r->keys = obtain(r->a, r->keys_bytes);
    r->separators = obtain(r->a, r->n_blocks * sizeof *r->separators);
    r->digests = obtain(r->a, (size_t)r->n_blocks * CKV_RUN_DIGEST);
    r->filter.lines = obtain(r->a, (size_t)r->filter.n_lines * CKV_FILTER_LINE);
    CKV_TRY(obtain_rest(r));
    return r->keys && r->separators && r->digests && r->filter.lines ? CKV_OK : CKV_ENOMEM;
}

static ckv_status load(ckv_run *r, ckv_shelf *s, ckv_entry_bytes foot)
{
    ckv_id32 digests[PIECES];
    ckv_rd rd = ckv_rd_init(foot.ptr, foot.n_bytes);
    CKV_TRY(name_run(r, s, foot));
    CKV_TRY(read_foot(r, &rd, digests));
    CKV_TRY(obtain_directory(r, s));
    CKV_TRY(read_pieces(r, s, digests));
    return read_separators(r);
}

ckv_status ckv_run_load(ckv_run **out, ckv_alloc a, ckv_shelf *s, int64_t id, int level,
                        uint64_t n_keys, ckv_entry_bytes foot)
{
    ckv_run *r = ckv_resize(a, NULL, 0, sizeof *r);
    if (!r) return CKV_ENOMEM;
    *r = (ckv_run){.a = a, .id = id, .level = level, .n_keys = n_keys};
    const ckv_status status = load(r, s, foot);
    if (status == CKV_OK)
        *out = r;
    else
        ckv_run_free(r);
    return status;
}

uint32_t ckv_run_block_of(const ckv_run *r, ckv_store_key key)
{
    uint32_t lo = 1, hi = r->n_blocks; /* the last one whose separator is <= key, or the first */
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (ckv_store_key_compare(separator(r, mid), key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo - 1;
}

bool ckv_run_fits(const ckv_run *r, uint32_t i, ckv_store_key first, ckv_store_key last)
{
    return ckv_store_key_compare(separator(r, i), first) <= 0 &&
           (i + 1 == r->n_blocks || ckv_store_key_compare(last, separator(r, i + 1)) < 0);
}

ckv_status ckv_run_read(ckv_run *r, ckv_shelf *s, uint32_t i, ckv_entry_bytes *block)
{
    const int64_t row = row_of(r->id, i);
    CKV_TRY(read_row(s, row, block));
    if (r->checked[i / 8] & 1u << i % 8) return CKV_OK;
    uint8_t digest[CKV_RUN_DIGEST];
    digest_block(digest, *block);
    if (memcmp(digest, r->digests + (size_t)i * CKV_RUN_DIGEST, sizeof digest) != 0) {
        ckv_stmt_reset(s->read);
        return is_damaged(s, row);
    }
    r->checked[i / 8] |= (uint8_t)(1u << i % 8);
    return CKV_OK;
}

ckv_status ckv_run_check(ckv_run *r, ckv_shelf *s, const char **why)
{
    ckv_block_walk w = ckv_block_walk_init(r->a);
    uint64_t n_keys = 0, n_bytes = 0;
    ckv_status status = CKV_OK;
    memset(r->checked, 0, checked_bytes(r));
    for (uint32_t i = 0; status == CKV_OK && i < r->n_blocks; i++) {
        ckv_entry_bytes block;
        *why = "run I2: a block is missing, or not what its digest says";
        status = ckv_run_read(r, s, i, &block);
        if (status != CKV_OK) break;
        ckv_buf_clear(&w.block);
        ckv_buf_bytes(&w.block, block.ptr, block.n_bytes);
        ckv_stmt_reset(s->read);
        *why = "run I1: a block that does not parse, or is not between its separators";
        status = w.block.status == CKV_OK ? ckv_block_lay_out(&w) : w.block.status;
        if (status == CKV_OK &&
            !ckv_run_fits(r, i, ckv_block_key(&w, 0), ckv_block_key(&w, w.items.len - 1)))
            status = CKV_ECORRUPT;
        if (status == CKV_ECORRUPT) s->damaged = row_of(r->id, i);
        for (size_t k = 0; k < w.items.len; k++)
            n_bytes += ckv_block_key(&w, k).n_bytes + ckv_block_entry(&w, k).n_bytes;
        n_keys += w.items.len;
    }
    if (status == CKV_OK && (n_keys != r->n_keys || n_bytes != r->n_bytes)) {
        *why = "run I3";
        status = is_damaged(s, row_of(r->id, 0));
    }
    ckv_block_walk_fini(&w);
    return status;
}

/* ---- writing */

ckv_status ckv_run_begin(ckv_run_writer *w, ckv_alloc a, ckv_shelf *s, const uint8_t salt[16],
                         uint64_t n_keys)
{
    *w = (ckv_run_writer){
        .s = s,
        .salt = salt,
        .block = ckv_block_writer_init(a),
        .keys = ckv_buf_init(a),
        .digests = ckv_buf_init(a),
        .separators = ckv_buf_init(a),
        .last = ckv_buf_init(a),
    };
    w->run = ckv_resize(a, NULL, 0, sizeof *w->run);
    if (!w->run) return CKV_ENOMEM;
    *w->run = (ckv_run){.a = a};
    CKV_TRY(ckv_filter_new(&w->run->filter, a, n_keys));
    CKV_TRY(ckv_stmt_step(s->last_run));
    w->run->id = ckv_stmt_int(s->last_run, 0) + 1;
    ckv_stmt_reset(s->last_run);
    return w->run->id > 0 && w->run->id < INT32_MAX ? CKV_OK : CKV_ELIMIT;
}

void ckv_run_writer_fini(ckv_run_writer *w)
{
    ckv_run_free(w->run);
    ckv_block_writer_fini(&w->block);
    ckv_buf_fini(&w->keys);
    ckv_buf_fini(&w->digests);
    ckv_buf_fini(&w->separators);
    ckv_buf_fini(&w->last);
    *w = (ckv_run_writer){0};
}

/* The shortest key that is above `left` and not above `right`. */
static ckv_store_key between(ckv_store_key left, ckv_store_key right)
{
    uint32_t n = 0;
    while (n < left.n_bytes && n < right.n_bytes && left.ptr[n] == right.ptr[n]) n++;
    if (n == right.n_bytes) return right; /* they differ in type */
    return (ckv_store_key){right.ptr, n + 1, n + 1 == right.n_bytes && right.is_bytes};
}

/* Enters the separator of the block that begins with `first`. */
static ckv_status put_separator(ckv_run_writer *w, ckv_store_key first)
{
    const ckv_store_key last = {w->last.ptr, (uint32_t)w->last.len, w->last_is_bytes};
    const ckv_store_key key =
        w->separators.len ? between(last, first) : (ckv_store_key){NULL, 0, false};
    if (w->keys.len > UINT32_MAX - CKV_MAX_KEY - 2) return CKV_ELIMIT;
    ckv_buf_varint(&w->keys, (uint64_t)key.n_bytes << 1 | key.is_bytes);
    const ckv_separator s = {(uint32_t)w->keys.len, (uint16_t)key.n_bytes, key.is_bytes};
    ckv_buf_bytes(&w->keys, key.ptr, key.n_bytes);
    ckv_buf_bytes(&w->separators, &s, sizeof s);
    return w->keys.status != CKV_OK ? w->keys.status : w->separators.status;
}

static ckv_status end_block(ckv_run_writer *w)
{
    uint8_t digest[CKV_RUN_DIGEST];
    ckv_entry_bytes block;
    if (w->run->n_blocks == UINT32_MAX / 2) return CKV_ELIMIT;
    CKV_TRY(ckv_block_seal(&w->block, &block));
    digest_block(digest, block);
    ckv_buf_bytes(&w->digests, digest, sizeof digest);
    ckv_buf_clear(&w->last);
    ckv_buf_bytes(&w->last, w->block.last.ptr, w->block.last.len);
    w->last_is_bytes = w->block.last_is_bytes;
    if (w->digests.status != CKV_OK || w->last.status != CKV_OK) return CKV_ENOMEM;
    CKV_TRY(write_row(w->s, row_of(w->run->id, w->run->n_blocks), block));
    w->run->n_blocks++;
    ckv_block_clear(&w->block);
    return CKV_OK;
}

ckv_status ckv_run_put(ckv_run_writer *w, ckv_store_key key, ckv_entry_bytes entry)
{
    if (!ckv_block_has_room(&w->block, key, entry.n_bytes)) CKV_TRY(end_block(w));
    if (w->block.n == 0) CKV_TRY(put_separator(w, key));
    CKV_TRY(ckv_block_put(&w->block, key, entry));
    ckv_filter_add(&w->run->filter, ckv_filter_hash(w->salt, key));
    w->run->n_keys++;
    w->run->n_bytes += key.n_bytes + entry.n_bytes;
    return CKV_OK;
}

/* A buffer becomes an array of exactly its size. */
static bool harden(ckv_buf *b, void *out)
{
    void *exact = ckv_resize(b->a, b->ptr, b->cap, b->len);
    if (!exact) return false;
    memcpy(out, &exact, sizeof exact);
    *b = ckv_buf_init(b->a);
    return true;
}

static ckv_status write_pieces(ckv_run *r, ckv_shelf *s)
{
    piece pieces[PIECES];
    uint64_t number = r->n_blocks;
    pieces_of(r, pieces);
    for (int i = 0; i < PIECES; i++) {
        for (size_t at = 0; at < pieces[i].n_bytes; at += SLICE) {
            const size_t left = pieces[i].n_bytes - at, n = left < SLICE ? left : SLICE;
            const ckv_entry_bytes slice = {pieces[i].ptr + at, n};
            CKV_TRY(write_row(s, row_of(r->id, number++), slice));
        }
    }
    return CKV_OK;
}

static ckv_status write_run(ckv_run *r, ckv_shelf *s)
{
    ckv_buf foot = ckv_buf_init(r->a);
    put_foot(&foot, r);
    ckv_status status = foot.status;
    if (status == CKV_OK) status = name_run(r, s, (ckv_entry_bytes){foot.ptr, foot.len});
    if (status == CKV_OK) {
        ckv_stmt_bind_int(s->put_run, 1, r->id);
        ckv_stmt_bind_int(s->put_run, 2, s->object);
        ckv_stmt_bind_int(s->put_run, 3, s->space);
        ckv_stmt_bind_int(s->put_run, 4, r->level);
        ckv_stmt_bind_int(s->put_run, 5, (int64_t)r->n_keys);
        ckv_stmt_bind_blob(s->put_run, 6, foot.ptr, foot.len);
        status = ckv_stmt_run(s->put_run);
    }
    ckv_buf_fini(&foot);
    return status;
}

ckv_status ckv_run_end(ckv_run_writer *w, int level, ckv_run **out)
{
    ckv_run *r = w->run;
    *out = NULL;
    if (r->n_keys == 0) return CKV_OK;
    CKV_TRY(end_block(w));
    CKV_TRY(ckv_filter_fold(&r->filter, r->a, r->n_keys));
    r->level = level;
    w->run = NULL; /* ours now, and n_blocks says how large its arrays are */
    const size_t keys_bytes = w->keys.len;
    ckv_status status = obtain_rest(r);
    if (status == CKV_OK && harden(&w->keys, &r->keys))
        r->keys_bytes = keys_bytes;
    else
        status = CKV_ENOMEM;
    if (status == CKV_OK &&
        (!harden(&w->separators, &r->separators) || !harden(&w->digests, &r->digests)))
        status = CKV_ENOMEM;
    if (status == CKV_OK) status = write_pieces(r, w->s);
    if (status == CKV_OK) status = write_run(r, w->s);
    if (status == CKV_OK)
        *out = r;
    else
        ckv_run_free(r);
    return status;
}
