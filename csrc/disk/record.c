#include "disk/record.h"

#include "base/hash64.h"

#include <inttypes.h>
#include <stdio.h>

#define PERSON "crdtkv-record-v1"

static bool is_base(ckv_record_kind kind)
{
    return kind == CKV_RECORD_CHECKPOINT || kind == CKV_RECORD_SAVE;
}

/* What the head's sum holds of a row: order, kind and length. The rest the row knows itself. */
static uint64_t weight(int64_t id, int64_t kind, uint64_t n_bytes)
{
    uint8_t m[24];
    const uint64_t v[3] = {(uint64_t)id, (uint64_t)kind, n_bytes};
    for (size_t i = 0; i < sizeof m; i++) m[i] = (uint8_t)(v[i / 8] >> 8 * (i % 8));
    return ckv_hash64(m, sizeof m);
}

static void count(ckv_record_sum *s, int64_t id, ckv_record_kind kind, uint64_t n_bytes)
{
    s->last = id;
    s->n_rows++;
    s->sum += weight(id, (int64_t)kind, n_bytes);
    if (is_base(kind)) {
        s->base_bytes = n_bytes;
        s->tail_rows = s->tail_bytes = 0;
    } else {
        s->tail_rows++;
        s->tail_bytes += n_bytes;
    }
}

/* ---- life */

ckv_status ckv_record_open(ckv_record *r, ckv_file *f, int64_t object)
{
    *r = (ckv_record){.file = f, .object = object};
    if (ckv_file_is_read_only(f)) return CKV_OK;
    ckv_status s = ckv_stmt_new(
        &r->insert, f, "INSERT INTO record(object, kind, data) VALUES (?1, ?2, ?3) RETURNING id");
    if (s == CKV_OK)
        s = ckv_stmt_new(&r->update, f,
                         "UPDATE record SET data = ?2 WHERE id = ?1 AND object = ?3 RETURNING id");
    if (s == CKV_OK)
        s = ckv_stmt_new(&r->clear, f,
                         "DELETE FROM record WHERE object = ?1 AND id < ?2 AND id <> ?3");
    if (s != CKV_OK) ckv_record_close(r);
    return s;
}

void ckv_record_close(ckv_record *r)
{
    ckv_stmt_free(r->insert);
    ckv_stmt_free(r->update);
    ckv_stmt_free(r->clear);
    *r = (ckv_record){.file = NULL};
}

/* ---- reading */

ckv_status ckv_record_say(const ckv_record *r, ckv_record_damage *d, int64_t id, const char *why)
{
    char line[256];
    const int n =
        id ? snprintf(line, sizeof line, "table record, row %" PRId64 " of object %" PRId64 ": %s",
                      id, r->object, why)
           : snprintf(line, sizeof line, "table record, object %" PRId64 ": %s", r->object, why);
    ckv_buf_blob(&d->lines, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    if (d->lines.status != CKV_OK) return d->lines.status;
    return d->salvage ? CKV_OK : CKV_ECORRUPT;
}

/* What the rows add up to, and what the head says of it. */
typedef struct tally {
    ckv_record_sum sum;
    uint64_t n_rows, says; /* of the head */
    uint64_t n_heads;
} tally;

static ckv_status read_head(const ckv_record *r, ckv_record_damage *d, tally *t, int64_t id,
                            const uint8_t *data, size_t n_bytes)
{
    ckv_rd rd = ckv_rd_init(data, n_bytes);
    t->sum.head = id;
    t->n_rows = ckv_rd_u64le(&rd);
    t->says = ckv_rd_u64le(&rd);
    t->n_heads++;
    return ckv_rd_done(&rd) ? CKV_OK : ckv_record_say(r, d, id, "not a head");
}

static ckv_status read_row(const ckv_record *r, ckv_record_take *take, void *ctx,
                           ckv_record_damage *d, const ckv_record_row *row)
{
    const char *why = "damaged";
    ckv_record_row in = *row;
    if (row->kind < CKV_RECORD_BUNDLE || row->kind > CKV_RECORD_DIFF)
        return ckv_record_say(r, d, row->id, "of an unknown kind");
    if (!row->data || row->n_bytes < CKV_SEAL_BYTES)
        return ckv_record_say(r, d, row->id, "too short");
    in.data += CKV_SEAL_BYTES;
    in.n_bytes -= CKV_SEAL_BYTES;
    const ckv_id32 *key = ckv_file_key(r->file);
    if (key && !r->distrusts) {
        uint8_t seal[CKV_SEAL_BYTES];
        ckv_seal(seal, key, PERSON, (uint64_t)r->object << 8 | row->kind, in.data, in.n_bytes);
        in.is_sealed = memcmp(seal, row->data, CKV_SEAL_BYTES) == 0;
    }
    const ckv_status s = take(ctx, &in, &why);
    return s == CKV_ECORRUPT ? ckv_record_say(r, d, row->id, why) : s;
}

ckv_status ckv_record_read(ckv_record *r, ckv_record_take *take, void *ctx, ckv_record_damage *d)
{
    ckv_stmt *rows = NULL;
    tally t = {.n_rows = 0};
    ckv_status s = ckv_stmt_new(&rows, r->file,
                                "SELECT id, kind, data FROM record WHERE object = ?1 ORDER BY id");
    if (s != CKV_OK) return s;
    ckv_stmt_bind_int(rows, 1, r->object);
    while (s == CKV_OK && (s = ckv_stmt_step(rows)) == CKV_OK) {
        ckv_record_row row = {.id = ckv_stmt_int(rows, 0),
                              .kind = (ckv_record_kind)ckv_stmt_int(rows, 1)};
        row.data = ckv_stmt_blob(rows, 2, &row.n_bytes);
        if (row.kind == CKV_RECORD_HEAD) {
            s = read_head(r, d, &t, row.id, row.data, row.n_bytes);
            continue;
        }
        count(&t.sum, row.id, row.kind, row.n_bytes);
        if (row.id > r->now.last) s = read_row(r, take, ctx, d, &row);
    }
    ckv_stmt_free(rows);
    if (s != CKV_ENOENT) return s;
    if (t.n_heads != 1 || t.n_rows != t.sum.n_rows || t.says != t.sum.sum)
        CKV_TRY(ckv_record_say(r, d, 0, "rows are missing, or were moved"));
    r->now = t.sum;
    return CKV_OK;
}

static ckv_status take_none(void *ctx, const ckv_record_row *row, const char **why)
{
    (void)ctx;
    (void)row;
    (void)why;
    return CKV_EEXIST;
}

ckv_status ckv_record_is_empty(ckv_record *r)
{
    ckv_record_damage damage = {.lines = ckv_buf_init(ckv_alloc_libc)};
    const ckv_status s = ckv_record_read(r, take_none, NULL, &damage);
    ckv_buf_fini(&damage.lines);
    return s;
}

/* ---- writing */

ckv_status ckv_record_begin(ckv_record *r)
{
    if (!r->insert) return CKV_EDISK; /* a reader */
    r->before = r->now;
    r->ours = !ckv_file_in_transaction(r->file);
    return r->ours ? ckv_file_begin(r->file) : CKV_OK;
}

static ckv_status insert(ckv_record *r, ckv_record_kind kind, const void *data, size_t n_bytes,
                         int64_t *id)
{
    ckv_stmt_bind_int(r->insert, 1, r->object);
    ckv_stmt_bind_int(r->insert, 2, (int64_t)kind);
    ckv_stmt_bind_blob(r->insert, 3, data, n_bytes);
    CKV_TRY(ckv_stmt_step(r->insert));
    *id = ckv_stmt_int(r->insert, 0);
    return ckv_stmt_run(r->insert); /* to its end */
}

ckv_status ckv_record_put(ckv_record *r, ckv_record_kind kind, ckv_buf *data)
{
    int64_t id;
    if (data->status != CKV_OK) return data->status;
    ckv_seal(data->ptr, ckv_file_key(r->file), PERSON, (uint64_t)r->object << 8 | kind,
             data->ptr + CKV_SEAL_BYTES, data->len - CKV_SEAL_BYTES);
    CKV_TRY(insert(r, kind, data->ptr, data->len, &id));
    if (is_base(kind)) {
        ckv_stmt_bind_int(r->clear, 1, r->object);
        ckv_stmt_bind_int(r->clear, 2, id);
        ckv_stmt_bind_int(r->clear, 3, r->now.head);
        CKV_TRY(ckv_stmt_run(r->clear));
        r->now = (ckv_record_sum){.head = r->now.head};
    }
    count(&r->now, id, kind, data->len);
    return CKV_OK;
}

static ckv_status write_head(ckv_record *r)
{
    uint8_t m[16];
    for (int i = 0; i < 8; i++) m[i] = (uint8_t)(r->now.n_rows >> 8 * i);
    for (int i = 0; i < 8; i++) m[8 + i] = (uint8_t)(r->now.sum >> 8 * i);
    if (r->now.head == 0) /* it was lost, and what is left was salvaged */
        return insert(r, CKV_RECORD_HEAD, m, sizeof m, &r->now.head);
    ckv_stmt_bind_int(r->update, 1, r->now.head);
    ckv_stmt_bind_blob(r->update, 2, m, sizeof m);
    ckv_stmt_bind_int(r->update, 3, r->object);
    const ckv_status s = ckv_stmt_step(r->update);
    if (s == CKV_ENOENT) return CKV_ESTALE; /* the object was deleted */
    return s == CKV_OK ? ckv_stmt_run(r->update) : s;
}

ckv_status ckv_record_end(ckv_record *r, ckv_status s)
{
    if (s == CKV_OK) s = write_head(r);
    if (s == CKV_OK) {
        if (r->ours) s = ckv_file_commit(r->file); /* an error has rolled back */
    } else if (r->ours) {
        ckv_file_rollback(r->file);
    }
    if (s != CKV_OK) r->now = r->before;
    return s;
}

bool ckv_record_is_long(const ckv_record *r, bool at_close)
{
    const ckv_record_sum *s = &r->now;
    if (s->n_rows < 2) return false;
    if (at_close)
        return s->tail_rows > 16 + s->base_bytes / 4096 || s->tail_bytes > s->base_bytes / 8;
    return s->tail_rows > 256 + s->base_bytes / 512 ||
           s->tail_bytes > (UINT64_C(1) << 20) + s->base_bytes / 2;
}
