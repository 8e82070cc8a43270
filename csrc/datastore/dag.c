/* dag.c -- one DAG of a datastore: what its document asks of us about bodies (doc/content.h), and its rows in the file. */
#include "base/check.h"
#include "base/utf8.h"
#include "crypto/digest.h"
#include "dag/header.h"
#include "datastore/state.h"
#include "doc/peer.h"

enum { ROW_HERE, ROW_DROPPED, ROW_VOID, ROW_LATE, ROW_CLAIMED };

/* ---- what the document asks */

static ckv_status read_body(void *ctx, const uint8_t *body, size_t n_bytes, uint32_t n_ops,
                            ckv_body_head *head, const char **why)
{
    const ckv_dag *dag = ctx;
    return ckv_kv_body_check(body, n_bytes, n_ops, ckv_ds_alloc(dag->of), head, why);
}

static ckv_status stage(ckv_dag *dag, const ckv_taken *t, bool attached, bool stored)
{
    ckv_datastore *d = dag->of;
    const size_t body_bytes = t->body ? t->body_bytes : 0, n = t->header_bytes + body_bytes;
    CKV_TRY(ckv_staged_vec_reserve(&d->staged, 1));
    uint8_t *bytes = ckv_resize(ckv_ds_alloc(d), NULL, 0, n + 1);
    if (!bytes) return CKV_ENOMEM;
    if (t->header_bytes) memcpy(bytes, t->header, t->header_bytes);
    if (body_bytes) memcpy(bytes + t->header_bytes, t->body, body_bytes);
    ckv_staged_vec_put(&d->staged, (ckv_staged){.dag = dag->number,
                                                .change = t->change,
                                                .n_ops = t->n_ops,
                                                .bytes = bytes,
                                                .header_bytes = t->header_bytes,
                                                .body_bytes = body_bytes,
                                                .has_body = t->body != NULL,
                                                .is_void = t->void_reason != NULL,
                                                .is_local = t->is_local,
                                                .attached = attached,
                                                .stored = stored,
                                                .was_open = d->opening_was_open && t->is_local});
    d->staged_bytes += n;
    d->version++;
    return CKV_OK;
}

static void unstage(ckv_datastore *d, size_t i)
{
    ckv_staged *s = &d->staged.ptr[i];
    const size_t n = s->header_bytes + s->body_bytes;
    d->staged_bytes -= n;
    ckv_release(ckv_ds_alloc(d), s->bytes, n + 1);
}

static bool admits(void *ctx, const ckv_id32 *author, size_t n_bytes)
{
    ckv_datastore *d = ((ckv_dag *)ctx)->of;
    return ckv_rate_take(&d->rate, author, n_bytes);
}

static ckv_status take(void *ctx, const ckv_taken *t)
{
    ckv_dag *dag = ctx;
    CKV_ASSERT(t->change == dag->notes.len);
    CKV_TRY(ckv_notes_reserve(&dag->notes, 1));
    ckv_header h;
    bool decodes;
    const char *why;
    CKV_MUST(ckv_header_read(&h, t->header, t->header_bytes, &decodes, &why));
    ckv_note note = {.n_ops = t->n_ops, .body_len = h.body_len};
    if (!t->body) note.flags |= CKV_BODY_CLAIMED;
    if (t->void_reason) note.flags |= CKV_NOTE_VOID;
    if (h.body_len <= CKV_INLINE_BODY_BYTES) note.flags |= CKV_NOTE_INLINE;
    CKV_TRY(stage(dag, t, false, false));
    ckv_notes_put(&dag->notes, note);
    if (!t->body) dag->absent++;
    return CKV_OK;
}

static void forget(void *ctx, uint32_t n_changes)
{
    ckv_dag *dag = ctx;
    ckv_datastore *d = dag->of;
    size_t kept = 0;
    for (size_t i = 0; i < d->staged.len; i++) {
        const ckv_staged *s = &d->staged.ptr[i];
        if (s->dag == dag->number && !s->stored && (s->attached || s->change >= n_changes)) {
            if (s->attached && s->change < n_changes) {
                ckv_note *note = &dag->notes.ptr[s->change];
                note->flags = (note->flags & ~(CKV_NOTE_STATE | CKV_NOTE_LATE | CKV_NOTE_VOID)) |
                              CKV_BODY_CLAIMED;
                dag->n_late--;
            }
            unstage(d, i);
        } else {
            d->staged.ptr[kept++] = *s;
        }
    }
    d->staged.len = kept;
    if (dag->notes.len > n_changes) dag->notes.len = n_changes;
    dag->absent++;
    d->version++;
}

static ckv_status attach(void *ctx, const ckv_taken *t, bool *wanted)
{
    ckv_dag *dag = ctx;
    ckv_note *note = &dag->notes.ptr[t->change];
    *wanted = (note->flags & CKV_NOTE_STATE) == CKV_BODY_CLAIMED;
    if (!*wanted) return CKV_OK;
    CKV_TRY(stage(dag, t, true, false));
    note->flags =
        (note->flags & ~CKV_NOTE_STATE) | CKV_NOTE_LATE | (t->void_reason ? CKV_NOTE_VOID : 0);
    dag->absent++;
    dag->n_late++;
    return CKV_OK;
}

static bool lacks_rows(const ckv_dag *dag)
{
    const ckv_staged_vec *staged = &dag->of->staged;
    for (size_t i = 0; i < staged->len; i++)
        if (staged->ptr[i].dag == dag->number && !staged->ptr[i].stored) return true;
    return false;
}

static ckv_status settle(void *ctx)
{
    ckv_dag *dag = ctx;
    ckv_datastore *d = dag->of;
    if (dag->later_stored == CKV_READING_LATER && !lacks_rows(dag))
        return CKV_OK; /* still for a later version, and in the file as it is */
    if (d->n_writing) return ckv_dag_store(dag);
    CKV_TRY(ckv_ds_file(d, ckv_file_begin(d->file)));
    const ckv_status s = ckv_dag_store(dag);
    if (s != CKV_OK) {
        ckv_file_rollback(d->file);
        return s;
    }
    CKV_TRY(ckv_ds_file(d, ckv_file_commit(d->file)));
    ckv_dag_stored(dag);
    return CKV_OK;
}

bool ckv_dag_is_header(const ckv_dag *dag, uint32_t change, const uint8_t *bytes, size_t n_bytes)
{
    ckv_lane_info lane;
    ckv_id32 id;
    if (!ckv_doc_lane(dag->doc, ckv_doc_standing(dag->doc, change).lane, &lane)) return false;
    ckv_digest_change(&id, lane.id, bytes, n_bytes);
    return ckv_id32_eq(&id, ckv_doc_id_of(dag->doc, change));
}

/* Nothing vouches for a message whose body is gone. It must be one, or a sheaf that it went into could not be read any more. */
bool ckv_dag_is_message(const uint8_t *text, size_t n_bytes)
{
    size_t n_chars;
    uint32_t max;
    if (!text || n_bytes == 0) return true;
    return n_bytes <= CKV_MAX_BODY_BYTES && ckv_utf8_valid(text, n_bytes, &n_chars, &max);
}

/* The header of a change, from memory or the file: borrowed until the next statement, or the next header. Somebody may have changed the file since it was read: what does not make
 * the change's id is damaged, so whoever asks can rely on its lengths. */
static ckv_status header_of(ckv_dag *dag, uint32_t change, ckv_header *h)
{
    ckv_datastore *d = dag->of;
    const uint8_t *bytes = NULL;
    size_t n = 0;
    bool decodes;
    const char *why;
    for (size_t i = d->staged.len; i-- > 0 && !bytes;) {
        const ckv_staged *s = &d->staged.ptr[i];
        if (s->dag == dag->number && s->change == change && s->header_bytes)
            bytes = s->bytes, n = s->header_bytes;
    }
    if (!bytes && dag->notes.ptr[change].flags & CKV_NOTE_PACKED) {
        CKV_TRY(ckv_dag_packed_header(dag, change, &n));
        bytes = d->header;
    }
    if (!bytes) {
        ckv_stmt_reset(d->sql.header);
        ckv_stmt_bind_int(d->sql.header, 1, CKV_ROW(dag, change));
        const ckv_status s = ckv_stmt_step(d->sql.header);
        if (s == CKV_ENOENT) return ckv_ds_damaged(d, "change", CKV_ROW(dag, change), "is missing");
        CKV_TRY(ckv_ds_file(d, s));
        bytes = ckv_stmt_blob(d->sql.header, 0, &n);
    }
    if (!bytes || !ckv_dag_is_header(dag, change, bytes, n) ||
        !ckv_header_read(h, bytes, n, &decodes, &why)) {
        ckv_stmt_reset(d->sql.header);
        return ckv_ds_damaged(d, "change", CKV_ROW(dag, change), "has a damaged header");
    }
    return CKV_OK;
}

ckv_status ckv_dag_body(ckv_dag *dag, uint32_t change, ckv_buf *out)
{
    ckv_datastore *d = dag->of;
    const ckv_note *note = &dag->notes.ptr[change];
    if ((note->flags & CKV_NOTE_STATE) != CKV_BODY_HERE) return CKV_ENOENT;
    for (size_t i = d->staged.len; i-- > 0;) {
        const ckv_staged *s = &d->staged.ptr[i];
        if (s->dag != dag->number || s->change != change || !s->has_body) continue;
        ckv_buf_bytes(out, s->bytes + s->header_bytes, s->body_bytes);
        return out->status;
    }
    ckv_header h;
    CKV_TRY(header_of(dag, change, &h));
    if (note->flags & CKV_NOTE_INLINE) {
        ckv_buf_bytes(out, h.body, h.body_len);
        ckv_stmt_reset(d->sql.header);
        return out->status;
    }
    const ckv_id32 hash = *h.body_hash;
    ckv_stmt_reset(d->sql.header);
    ckv_stmt_bind_int(d->sql.body, 1, CKV_ROW(dag, change));
    ckv_status s = ckv_stmt_step(d->sql.body);
    if (s == CKV_OK) {
        size_t n = 0;
        const uint8_t *body = ckv_stmt_blob(d->sql.body, 0, &n);
        ckv_id32 found = {{0}};
        if (body && n == note->body_len) found = ckv_body_hash(body, n);
        if (!body || n != note->body_len || !ckv_id32_eq(&found, &hash)) {
            s = ckv_ds_damaged(d, "change", CKV_ROW(dag, change),
                               "has a body that does not have the hash of its header");
        } else {
            ckv_buf_bytes(out, body, n);
            s = out->status;
        }
    } else {
        s = s == CKV_ENOENT ? ckv_ds_damaged(d, "change", CKV_ROW(dag, change), "is missing")
                            : ckv_ds_file(d, s);
    }
    ckv_stmt_reset(d->sql.body);
    return s;
}

/* Has a body an operation on a key, or a counter, that begins with this? */
static bool touches(const uint8_t *bytes, size_t n_bytes, ckv_value_bytes prefix)
{
    ckv_kv_body b;
    ckv_kv_op op;
    const char *why;
    if (ckv_kv_body_open(&b, bytes, n_bytes, &why) != CKV_OK) return true;
    while (ckv_kv_body_next(&b, &op))
        if (ckv_store_key_has_prefix(op.key, prefix.ptr, (uint32_t)prefix.n_bytes)) return true;
    return false;
}

static ckv_status body(void *ctx, uint32_t change, ckv_body_info *info, ckv_buf *out)
{
    ckv_dag *dag = ctx;
    const ckv_note *note = &dag->notes.ptr[change];
    if (info) {
        *info = (ckv_body_info){.n_ops = note->n_ops, .body_len = note->body_len};
        if (!(note->flags & CKV_NOTE_INLINE)) {
            ckv_header h;
            CKV_TRY(header_of(dag, change, &h));
            info->hash = *h.body_hash;
            ckv_stmt_reset(dag->of->sql.header);
        }
    }
    if (!out) return (note->flags & CKV_NOTE_STATE) == CKV_BODY_HERE ? CKV_OK : CKV_ENOENT;
    const size_t start = out->len;
    CKV_TRY(ckv_dag_body(dag, change, out));
    if (!dag->of->only || note->flags & (CKV_NOTE_INLINE | CKV_NOTE_VOID) ||
        touches(out->ptr + start, out->len - start, *dag->of->only))
        return CKV_OK;
    out->len = start;
    return CKV_ENOENT;
}

static ckv_body_state body_state(void *ctx, uint32_t change)
{
    const ckv_dag *dag = ctx;
    return (ckv_body_state)(dag->notes.ptr[change].flags & CKV_NOTE_STATE);
}

static uint64_t absent_version(void *ctx) { return ((const ckv_dag *)ctx)->absent; }

/* Is there something of this change in the entry of a key? */
static ckv_status stands(ckv_dag *dag, uint32_t change, ckv_index *index, ckv_store_key key,
                         bool *live)
{
    ckv_datastore *d = dag->of;
    ckv_buf_clear(&d->entry);
    const ckv_status s = ckv_index_get(index, key, &d->entry);
    if (s == CKV_ENOENT) return CKV_OK;
    CKV_TRY(ckv_ds_file(d, s));
    CKV_TRY(ckv_ds_recs(d, (ckv_entry_bytes){d->entry.ptr, d->entry.len}));
    for (size_t i = 0; i < d->recs.len; i++)
        *live |= d->recs.ptr[i].dag == dag->number && ckv_rec_body(&d->recs.ptr[i]) == change;
    return CKV_OK;
}

static ckv_status is_live(void *ctx, uint32_t change, bool *live)
{
    ckv_dag *dag = ctx;
    ckv_datastore *d = dag->of;
    ckv_note *note = &dag->notes.ptr[change];
    *live = false;
    if (note->flags & CKV_NOTE_VOID)
        *live = true; /* a newcomer could not tell that it is void without it */
    if (note->flags & (CKV_NOTE_DEAD | CKV_NOTE_VOID)) return CKV_OK;
    CKV_TRY(ckv_ds_absorb(d));
    ckv_buf bytes = ckv_buf_init(ckv_ds_alloc(d));
    ckv_kv_body b;
    ckv_kv_op op;
    const char *why;
    ckv_status s = ckv_dag_body(dag, change, &bytes);
    if (s == CKV_OK) s = ckv_kv_body_open(&b, bytes.ptr, bytes.len, &why);
    while (s == CKV_OK && !*live && ckv_kv_body_next(&b, &op)) {
        s = stands(dag, change, ckv_kv_is_count(op.kind) ? d->counters : d->keys, op.key, live);
    }
    ckv_buf_fini(&bytes);
    if (s == CKV_OK && !*live) dag->notes.ptr[change].flags |= CKV_NOTE_DEAD;
    return s;
}

/* ---- life */

ckv_status ckv_dag_new(ckv_datastore *d, int64_t row, const char *name, size_t name_bytes,
                       bool purged, ckv_dag **out)
{
    const ckv_alloc a = ckv_ds_alloc(d);
    ckv_dag *dag = ckv_resize(a, NULL, 0, sizeof *dag);
    if (!dag) return CKV_ENOMEM;
    char *copy = ckv_resize(a, NULL, 0, name_bytes + 1);
    if (!copy) {
        ckv_release(a, dag, sizeof *dag);
        return CKV_ENOMEM;
    }
    memcpy(copy, name, name_bytes);
    copy[name_bytes] = 0;
    *dag = (ckv_dag){.of = d,
                     .number = (uint32_t)d->dags.len,
                     .row = row,
                     .name = copy,
                     .name_bytes = name_bytes,
                     .purged = purged,
                     .notes = {.a = a}};
    dag->content = (ckv_content){.ctx = dag,
                                 .type = CKV_TYPE_DATASTORE,
                                 .read = read_body,
                                 .admits = admits,
                                 .take = take,
                                 .forget = forget,
                                 .attach = attach,
                                 .settle = settle,
                                 .body = body,
                                 .body_state = body_state,
                                 .absent_version = absent_version,
                                 .is_live = is_live};
    *out = dag;
    return CKV_OK;
}

/* What its document was, and all that was known of it. */
void ckv_dag_stop(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    size_t kept = 0;
    for (size_t i = 0; i < d->staged.len; i++) {
        if (d->staged.ptr[i].dag == dag->number)
            unstage(d, i);
        else
            d->staged.ptr[kept++] = d->staged.ptr[i];
    }
    d->staged.len = kept;
    dag->life++;
    if (dag->doc) { /* what it counted, too: who adds up lives and changes sees a sum that only grows */
        dag->life += (uint32_t)(ckv_doc_n_changes(dag->doc) + ckv_doc_later_version(dag->doc));
        ckv_doc_free(dag->doc);
    }
    dag->doc = NULL;
    d->sheaf_row = 0;
    ckv_notes_fini(&dag->notes);
    dag->notes = (ckv_notes){.a = ckv_ds_alloc(d)};
    dag->covers_stored = 0;
    dag->n_lanes_stored = dag->n_late = dag->n_absorbed = dag->n_indexed = 0;
    dag->later_stored = 0;
    d->version++;
    ckv_totals_clear(&d->totals);
    ckv_shown_clear(&d->shown_keys);
}

void ckv_dag_free(ckv_dag *dag)
{
    const ckv_alloc a = ckv_ds_alloc(dag->of);
    ckv_dag_stop(dag);
    ckv_release(a, dag->name, dag->name_bytes + 1);
    ckv_release(a, dag, sizeof *dag);
}

ckv_id32 ckv_dag_doc_id(const ckv_datastore *d, const char *name, size_t n_bytes)
{
    if (n_bytes == 7 && memcmp(name, "default", 7) == 0) return d->id;
    uint8_t m[32 + CKV_MAX_DAG_NAME];
    ckv_id32 id;
    memcpy(m, &d->id, 32);
    memcpy(m + 32, name, n_bytes);
    ckv_digest(&id, "crdtkv-dag-v1", m, 32 + n_bytes);
    return id;
}

/* Each document draws its own: one that is made again must not open the lane of the one before. */
void ckv_ds_seed(ckv_datastore *d, ckv_doc *doc)
{
    uint8_t seed[32];
    memcpy(seed, d->seed, sizeof seed);
    for (uint32_t i = 0, n = d->n_seeded++; i < 4; i++) seed[i] ^= (uint8_t)(n >> 8 * i);
    ckv_doc_seed(doc, seed);
}

ckv_status ckv_dag_start(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    const ckv_id32 id = ckv_dag_doc_id(d, dag->name, dag->name_bytes);
    CKV_TRY(ckv_doc_new_with(&dag->doc, &d->env, &d->identity, &id, &dag->content));
    if (d->is_seeded) ckv_ds_seed(d, dag->doc);
    return CKV_OK;
}

/* ---- rows out */

static ckv_status store_lanes(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    ckv_lane_info lane;
    for (uint32_t i = dag->n_lanes_stored; ckv_doc_lane(dag->doc, i, &lane); i++) {
        ckv_stmt_bind_int(d->sql.add_lane, 1, CKV_ROW(dag, i));
        ckv_stmt_bind_blob(d->sql.add_lane, 2, lane.author, 32);
        ckv_stmt_bind_blob(d->sql.add_lane, 3, lane.nonce, 16);
        CKV_TRY(ckv_ds_file(d, ckv_stmt_run(d->sql.add_lane)));
    }
    return CKV_OK;
}

/* Headers that lead to a signature on a change that is not here. */
static ckv_status store_covers(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    ckv_buf covers = ckv_buf_init(ckv_ds_alloc(d));
    ckv_status s = ckv_doc_covers_since(dag->doc, dag->covers_stored, &covers);
    for (size_t at = 0; at < covers.len && s == CKV_OK; at += sizeof(ckv_cover_info)) {
        ckv_cover_info c;
        memcpy(&c, covers.ptr + at, sizeof c);
        ckv_stmt_bind_int(d->sql.add_cover, 1, CKV_ROW(dag, c.change));
        ckv_stmt_bind_int(d->sql.add_cover, 2, c.n);
        ckv_stmt_bind_blob(d->sql.add_cover, 3, c.headers, c.n_bytes);
        ckv_stmt_bind_blob(d->sql.add_cover, 4, c.signature, sizeof *c.signature);
        s = ckv_ds_file(d, ckv_stmt_run(d->sql.add_cover));
    }
    ckv_buf_fini(&covers);
    return s;
}

static ckv_status load_covers(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    ckv_stmt *q;
    ckv_status s;
    CKV_TRY(ckv_ds_file(
        d,
        ckv_stmt_new(
            &q, d->file,
            "SELECT id, n, headers, signature FROM cover WHERE id >= ? AND id < ? ORDER BY id")));
    ckv_stmt_bind_int(q, 1, dag->row << 32);
    ckv_stmt_bind_int(q, 2, (dag->row + 1) << 32);
    while ((s = ckv_stmt_step(q)) == CKV_OK) {
        size_t n_headers, n_signature;
        const int64_t row = ckv_stmt_int(q, 0), n = ckv_stmt_int(q, 1),
                      change = row - (dag->row << 32);
        const uint8_t *headers = ckv_stmt_blob(q, 2, &n_headers),
                      *bytes = ckv_stmt_blob(q, 3, &n_signature);
        ckv_signature signature;
        s = headers && bytes && n_signature == sizeof signature && n > 0 && n <= UINT32_MAX &&
                    change < (int64_t)dag->notes.len
                ? CKV_OK
                : CKV_ECORRUPT;
        if (s == CKV_OK) {
            memcpy(&signature, bytes, sizeof signature);
            const ckv_cover_info c = {(uint32_t)change, (uint32_t)n, headers, n_headers,
                                      &signature};
            s = ckv_doc_restore_cover(dag->doc, &c);
        }
        if (s == CKV_ECORRUPT) s = ckv_ds_damaged(d, "cover", row, "is damaged");
        if (s != CKV_OK) break;
    }
    ckv_stmt_free(q);
    dag->covers_stored = ckv_doc_cover_mark(dag->doc);
    return s == CKV_ENOENT ? CKV_OK : ckv_ds_file(d, s);
}

static ckv_status store_change(ckv_dag *dag, const ckv_staged *s)
{
    ckv_datastore *d = dag->of;
    const ckv_note *note = &dag->notes.ptr[s->change];
    const uint8_t *bytes =
        s->has_body && !(note->flags & CKV_NOTE_INLINE) ? s->bytes + s->header_bytes : NULL;
    const int64_t state = !s->has_body  ? ROW_CLAIMED
                          : s->is_void  ? ROW_VOID
                          : s->attached ? ROW_LATE
                                        : ROW_HERE;
    ckv_change_info info;
    ckv_doc_change(dag->doc, s->change, &info);
    if (s->attached && !s->is_void) { /* the document learns it at the end of the import */
        ckv_kv_body b;
        const char *why;
        CKV_TRY(ckv_kv_body_open(&b, s->bytes + s->header_bytes, s->body_bytes, &why));
        info.time = b.head.time;
        info.message = b.head.message;
        info.message_bytes = b.head.message ? b.head.message_bytes : 0;
    }
    const ckv_signature *signature = ckv_doc_signature_at(dag->doc, s->change);
    ckv_stmt *q = s->attached ? d->sql.attach : d->sql.add_change;
    ckv_stmt_bind_int(q, 1, CKV_ROW(dag, s->change));
    ckv_stmt_bind_int(q, 2, ckv_doc_standing(dag->doc, s->change).lane);
    ckv_stmt_bind_int(q, 3, state);
    ckv_stmt_bind_int(q, 4, info.time);
    ckv_stmt_bind_text(q, 5, info.message, info.message_bytes);
    ckv_stmt_bind_blob(q, 6, s->bytes, s->header_bytes);
    ckv_stmt_bind_blob(q, 7, signature, sizeof *signature);
    ckv_stmt_bind_blob(q, 8, bytes, bytes ? s->body_bytes : 0);
    return ckv_ds_file(d, ckv_stmt_run(q));
}

/* Changes that only a later version can read are not in the graph; they are kept as one bundle. */
static ckv_status store_later(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    size_t n;
    const uint64_t version = ckv_doc_later_version(dag->doc);
    if (version == dag->later_stored) return CKV_OK;
    ckv_buf data = ckv_buf_init(ckv_ds_alloc(d));
    ckv_buf_u64le(&data, (uint64_t)dag->row);
    ckv_stmt_bind_int(d->sql.drop_later, 1, d->object);
    ckv_stmt_bind_blob(d->sql.drop_later, 2, data.ptr, data.len);
    ckv_status s =
        data.status != CKV_OK ? data.status : ckv_ds_file(d, ckv_stmt_run(d->sql.drop_later));
    if (s == CKV_OK) s = ckv_doc_export_later(dag->doc, NULL, 0, &data, &n);
    if (s == CKV_OK && n) {
        ckv_stmt_bind_int(d->sql.add_later, 1, d->object);
        ckv_stmt_bind_blob(d->sql.add_later, 2, data.ptr, data.len);
        s = ckv_ds_file(d, ckv_stmt_run(d->sql.add_later));
    }
    ckv_buf_fini(&data);
    return s;
}

ckv_status ckv_dag_store(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    CKV_TRY(store_lanes(dag));
    CKV_TRY(store_later(dag));
    CKV_TRY(store_covers(dag));
    for (size_t i = 0; i < d->staged.len; i++) {
        const ckv_staged *s = &d->staged.ptr[i];
        if (s->dag == dag->number && !s->stored) CKV_TRY(store_change(dag, s));
    }
    return CKV_OK;
}

void ckv_dag_stored(ckv_dag *dag)
{
    ckv_datastore *d = dag->of;
    ckv_lane_info lane;
    while (ckv_doc_lane(dag->doc, dag->n_lanes_stored, &lane)) dag->n_lanes_stored++;
    dag->later_stored = ckv_doc_later_version(dag->doc);
    dag->covers_stored = ckv_doc_cover_mark(dag->doc);
    for (size_t i = 0; i < d->staged.len; i++)
        if (d->staged.ptr[i].dag == dag->number) d->staged.ptr[i].stored = true;
}

/* ---- rows in */

/* Why the change of this row is void. A body that is damaged is for check() to find: then it is void, and no more is known. */
static ckv_status void_reason(ckv_dag *dag, int64_t row, const ckv_header *h, const char **why)
{
    ckv_datastore *d = dag->of;
    size_t n = h->body_len;
    const uint8_t *bytes = h->body;
    ckv_status s = CKV_OK;
    if (n > CKV_INLINE_BODY_BYTES) {
        ckv_stmt_bind_int(d->sql.body, 1, row);
        s = ckv_stmt_step(d->sql.body);
        s = s == CKV_ENOENT ? ckv_ds_damaged(d, "change", row, "is missing") : ckv_ds_file(d, s);
        bytes = s == CKV_OK ? ckv_stmt_blob(d->sql.body, 0, &n) : NULL;
    }
    *why = "void";
    if (s == CKV_OK && bytes) {
        const char *found;
        ckv_body_head head;
        s = ckv_kv_body_check(bytes, n, h->n_ops, ckv_ds_alloc(d), &head, &found);
        if (s == CKV_EVOID) *why = found;
        if (s != CKV_ENOMEM) s = CKV_OK;
    }
    ckv_stmt_reset(d->sql.body);
    return s;
}

/* What the record says of a change. All borrowed. */
typedef struct recorded {
    int64_t row, state, time;
    uint32_t lane;
    const uint8_t *header, *message, *signature; /* the last two NULL: none */
    size_t header_bytes, message_bytes, signature_bytes;
    bool packed;
} recorded;

typedef struct loading {
    ckv_dag *dag;
    ckv_stmt *lanes;
    bool verify;
    bool knows_lane; /* the one that was asked for last */
    uint32_t lane;
    ckv_id32 author;
    uint8_t nonce[16];
} loading;

static ckv_status find_lane(loading *l, const recorded *r)
{
    ckv_datastore *d = l->dag->of;
    const int64_t row = CKV_ROW(l->dag, r->lane);
    size_t n_author, n_nonce;
    if (l->knows_lane && l->lane == r->lane) return CKV_OK;
    l->knows_lane = false;
    ckv_stmt_reset(l->lanes);
    ckv_stmt_bind_int(l->lanes, 1, row);
    const ckv_status found = ckv_stmt_step(l->lanes);
    if (found == CKV_ENOENT)
        return ckv_ds_damaged(d, r->packed ? "sheaf" : "change", r->row,
                              "has a lane that is missing");
    CKV_TRY(ckv_ds_file(d, found));
    const uint8_t *author = ckv_stmt_blob(l->lanes, 0, &n_author),
                  *nonce = ckv_stmt_blob(l->lanes, 1, &n_nonce);
    if (!author || !nonce || n_author != sizeof l->author || n_nonce != sizeof l->nonce)
        return ckv_ds_damaged(d, "lane", row, "is damaged");
    memcpy(&l->author, author, sizeof l->author);
    memcpy(l->nonce, nonce, sizeof l->nonce);
    l->lane = r->lane;
    l->knows_lane = true;
    return CKV_OK;
}

static uint32_t flags_of(ckv_dag *dag, const recorded *r, uint32_t body_len)
{
    uint32_t flags = r->packed ? CKV_NOTE_PACKED : 0;
    if (body_len <= CKV_INLINE_BODY_BYTES) flags |= CKV_NOTE_INLINE;
    switch (r->state) {
    case ROW_DROPPED: return flags | CKV_BODY_DROPPED | CKV_NOTE_DEAD;
    case ROW_VOID: return flags | CKV_NOTE_VOID;
    case ROW_LATE: dag->n_late++; return flags | CKV_NOTE_LATE;
    case ROW_CLAIMED: return flags | CKV_BODY_CLAIMED;
    default: return flags;
    }
}

/* A body that is to be read as one: whoever wrote into the file can make its hash fit. CKV_ECORRUPT without words. */
ckv_status ckv_dag_is_body(const ckv_dag *dag, const uint8_t *body, size_t n_bytes, uint32_t n_ops)
{
    ckv_body_head head;
    const char *why;
    const ckv_status s =
        ckv_kv_body_check(body, n_bytes, n_ops, ckv_ds_alloc(dag->of), &head, &why);
    return s == CKV_OK || s == CKV_ENOMEM ? s : CKV_ECORRUPT;
}

/* The next change into the graph. */
static ckv_status restore(loading *l, const recorded *in)
{
    ckv_dag *dag = l->dag;
    ckv_datastore *d = dag->of;
    const char *const table = in->packed ? "sheaf" : "change", *why = NULL;
    ckv_header h;
    bool decodes;
    CKV_TRY(find_lane(l, in));
    if (!ckv_dag_is_message(in->message, in->message_bytes))
        return ckv_ds_damaged(d, table, in->row, "has a damaged message");
    if (!in->header || (in->signature && in->signature_bytes != CKV_SIGNATURE_BYTES) ||
        !ckv_header_read(&h, in->header, in->header_bytes, &decodes, &why) || in->state < 0 ||
        in->state > ROW_CLAIMED)
        return ckv_ds_damaged(d, table, in->row, "has a damaged header or signature");
    ckv_id32 id;
    ckv_signature sig;
    if (in->signature) memcpy(&sig, in->signature, sizeof sig);
    const ckv_note note = {
        .n_ops = h.n_ops, .body_len = h.body_len, .flags = flags_of(dag, in, h.body_len)};
    if (note.flags & CKV_NOTE_VOID) {
        CKV_TRY(void_reason(dag, in->row, &h, &why));
    } else if (note.flags & CKV_NOTE_INLINE && (!in->packed || d->salvage)) { /* else it is dead */
        const ckv_status is_body = ckv_dag_is_body(dag, h.body, h.body_len, h.n_ops);
        if (is_body == CKV_ECORRUPT)
            return ckv_ds_damaged(d, table, in->row, "has a body that is none");
        CKV_TRY(is_body);
    }
    CKV_TRY(ckv_notes_reserve(&dag->notes, 1));
    uint32_t change;
    const ckv_restored r = {.author = &l->author,
                            .nonce = l->nonce,
                            .header = in->header,
                            .header_bytes = in->header_bytes,
                            .signature = in->signature ? &sig : NULL,
                            .void_reason = note.flags & CKV_NOTE_VOID ? why : NULL,
                            .time = in->time,
                            .message = (const char *)in->message,
                            .message_bytes = in->message_bytes};
    ckv_notes_put(&dag->notes, note); /* the document may ask for it at once */
    const ckv_status s = ckv_doc_restore(dag->doc, &r, l->verify, &change, &id);
    if (s != CKV_OK) dag->notes.len--;
    if (s == CKV_ECORRUPT)
        return ckv_ds_damaged(d, table, in->row, "does not follow from those before it");
    if (s == CKV_ESIGN)
        return ckv_ds_damaged(d, table, in->row, "has a signature that does not hold");
    return s;
}

/* The row at hand in q. packed: it stands in a sheaf, too. */
static ckv_status restore_row(loading *l, ckv_stmt *q, bool packed)
{
    recorded in = {.row = ckv_stmt_int(q, 0),
                   .lane = (uint32_t)ckv_stmt_int(q, 1),
                   .state = ckv_stmt_int(q, 2),
                   .time = ckv_stmt_int(q, 3)};
    in.message = ckv_stmt_blob(q, 4, &in.message_bytes);
    in.header = ckv_stmt_blob(q, 5, &in.header_bytes);
    in.signature = ckv_stmt_blob(q, 6, &in.signature_bytes);
    CKV_TRY(restore(l, &in));
    if (packed) l->dag->notes.ptr[l->dag->notes.len - 1].flags |= CKV_NOTE_PACKED;
    return CKV_OK;
}

static ckv_status restore_item(loading *l, const ckv_sheaf_walk *w)
{
    uint8_t header[CKV_HEADER_MAX_BYTES];
    static const int64_t states[] = {[CKV_BODY_HERE] = ROW_HERE,
                                     [CKV_BODY_DROPPED] = ROW_DROPPED,
                                     [CKV_BODY_CLAIMED] = ROW_CLAIMED};
    const ckv_sheaf_item *item = &w->sheaf.items.ptr[w->at];
    const uint8_t *const bytes = w->sheaf.bytes.ptr;
    const recorded in = {.row = w->row,
                         .lane = item->lane,
                         .state = states[item->state],
                         .time = item->time,
                         .header = header,
                         .header_bytes = ckv_sheaf_header(l->dag, &w->sheaf, item, header),
                         .message = item->has_message ? bytes + item->message : NULL,
                         .message_bytes = item->message_bytes,
                         .signature = item->is_signed ? bytes + item->signature : NULL,
                         .signature_bytes = CKV_SIGNATURE_BYTES,
                         .packed = true};
    return restore(l, &in);
}

/* Puts a change whose rows are there among the staged ones, to be absorbed. */
static ckv_status stage_again(ckv_dag *dag, uint32_t change)
{
    ckv_datastore *d = dag->of;
    const ckv_note note = dag->notes.ptr[change];
    ckv_buf bytes = ckv_buf_init(ckv_ds_alloc(d));
    ckv_status s = CKV_OK;
    const bool here = (note.flags & CKV_NOTE_STATE) == CKV_BODY_HERE;
    if (here) s = ckv_dag_body(dag, change, &bytes);
    if (here && s == CKV_OK && !(note.flags & CKV_NOTE_VOID)) {
        s = ckv_dag_is_body(dag, bytes.ptr, bytes.len, note.n_ops);
        if (s == CKV_ECORRUPT)
            s = ckv_ds_damaged(d, "change", CKV_ROW(dag, change), "has a body that is none");
    }
    const ckv_taken t = {.change = change,
                         .body = here ? bytes.ptr ? bytes.ptr : (const uint8_t *)"" : NULL,
                         .body_bytes = (uint32_t)bytes.len,
                         .n_ops = note.n_ops,
                         .void_reason = note.flags & CKV_NOTE_VOID ? "void" : NULL};
    if (s == CKV_OK) s = stage(dag, &t, (note.flags & CKV_NOTE_LATE) != 0, true);
    ckv_buf_fini(&bytes);
    return s;
}

#define AT_ONCE (4u << 20) /* bytes of bodies in memory */

ckv_status ckv_dag_stage_from(ckv_dag *dag, uint32_t from)
{
    for (uint32_t c = 0; c < dag->notes.len; c++) {
        const uint32_t flags = dag->notes.ptr[c].flags;
        if (c < from && !(flags & CKV_NOTE_LATE)) continue;
        CKV_TRY(stage_again(dag, c));
        if (dag->of->staged_bytes >= AT_ONCE) CKV_TRY(ckv_ds_absorb(dag->of));
    }
    return CKV_OK;
}

/* Rows and sheaves side by side, up to number `end`. */
static ckv_status load_all(loading *l, ckv_stmt *rows, ckv_sheaf_walk *w, uint32_t end)
{
    ckv_dag *dag = l->dag;
    ckv_status s = ckv_stmt_step(rows);
    for (;;) {
        if (s != CKV_OK && s != CKV_ENOENT) return s;
        const uint32_t number = (uint32_t)dag->notes.len,
                       row = s == CKV_OK ? (uint32_t)ckv_stmt_int(rows, 0) : CKV_NO_CHANGE,
                       next = row < w->number ? row : w->number;
        dag->sound = number;
        if (next >= end) return CKV_OK; /* with end UINT32_MAX: there is none */
        if (next != number) {
            if (next < number) dag->sound = next; /* in two sheaves */
            return next < number
                       ? ckv_ds_damaged(dag->of, "sheaf", w->row, "has what another one has, too")
                       : ckv_ds_damaged(dag->of, "change", CKV_ROW(dag, number), "is missing");
        }
        const bool packed = w->number == number;
        if (packed && w->is_damaged) return ckv_ds_damaged(dag->of, "sheaf", w->row, "is damaged");
        if (row == number) {
            CKV_TRY(restore_row(l, rows, packed));
        } else {
            const ckv_status restored = restore_item(l, w);
            if (restored == CKV_ECORRUPT) /* its digest is of all of them, or of none */
                dag->sound = w->sheaf.items.ptr[0].number;
            CKV_TRY(restored);
        }
        if (packed) CKV_TRY(ckv_sheaf_walk_on(w));
        if (row == number) s = ckv_stmt_step(rows);
    }
}

ckv_status ckv_dag_load(ckv_dag *dag, uint32_t end, bool verify)
{
    ckv_datastore *d = dag->of;
    ckv_stmt *rows = NULL;
    loading l = {.dag = dag, .verify = verify};
    ckv_sheaf_walk w = {.rows = NULL};
    const uint32_t from = (uint32_t)dag->notes.len;
    dag->sound = from;
    ckv_status s =
        ckv_ds_file(d, ckv_stmt_new(&rows, d->file,
                                    "SELECT id, lane, state, time, message, header, signature FROM "
                                    "change WHERE id >= ? AND id < ? ORDER BY id"));
    if (s == CKV_OK)
        s = ckv_ds_file(
            d, ckv_stmt_new(&l.lanes, d->file, "SELECT author, nonce FROM lane WHERE id = ?"));
    const bool walks = s == CKV_OK;
    if (walks) s = ckv_sheaf_walk_begin(&w, dag, from);
    if (s == CKV_OK) {
        ckv_stmt_bind_int(rows, 1, CKV_ROW(dag, from));
        ckv_stmt_bind_int(rows, 2, end == UINT32_MAX ? (dag->row + 1) << 32 : CKV_ROW(dag, end));
        s = ckv_ds_file(d, load_all(&l, rows, &w, end));
    }
    if (walks) ckv_sheaf_walk_end(&w);
    ckv_stmt_free(rows);
    ckv_stmt_free(l.lanes);
    ckv_lane_info lane;
    while (ckv_doc_lane(dag->doc, dag->n_lanes_stored, &lane)) dag->n_lanes_stored++;
    return s == CKV_OK && end == UINT32_MAX ? load_covers(dag) : s;
}
