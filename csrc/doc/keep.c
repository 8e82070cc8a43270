#include "doc/keep.h"

#include "base/check.h"
#include "doc/import.h"
#include "doc/state.h"

#include <stdlib.h>

typedef struct ckv_keep {
    ckv_record record;
    uint32_t n_changes;     /* the record has those below */
    ckv_id32s later;        /* sorted: and these letters of a later version */
    uint64_t later_version; /* of the inbox then */
    bool is_bound;          /* the journal is on for it */
} ckv_keep;

bool ckv_doc_is_kept(const ckv_doc *doc) { return doc->keep != NULL; }

/* ---- writing */

/* The letters of a later version that are here, sorted. */
static ckv_status list_later(const ckv_doc *doc, ckv_id32s *out)
{
    const ckv_inbox *x = &doc->inbox;
    for (size_t i = 0; i < x->letters.len && x->n_later; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        if (l->state == 1 && l->later) CKV_TRY(ckv_id32s_push(out, l->id));
    }
    if (out->len) qsort(out->ptr, out->len, 32, ckv_id32_order);
    return CKV_OK;
}

static ckv_buf row_init(const ckv_doc *doc)
{
    static const uint8_t room[CKV_SEAL_BYTES];
    ckv_buf b = ckv_buf_init(doc->env.alloc);
    ckv_buf_bytes(&b, room, sizeof room);
    return b;
}

/* Writes rows: of changes from n_changes on, and of those letters. */
static ckv_status write_rows(ckv_doc *doc, bool changes, bool later)
{
    ckv_keep *k = doc->keep;
    ckv_past since = ckv_past_init(doc->env.alloc), until = ckv_past_init(doc->env.alloc);
    ckv_buf news = row_init(doc), letters = row_init(doc);
    uint32_t end;
    size_t n = 0;
    since.allin = k->n_changes;
    until.all = true;
    ckv_status s = news.status != CKV_OK ? news.status : letters.status;
    if (s == CKV_OK && changes) s = ckv_doc_export_past(doc, &since, &until, 0, &news, &end);
    if (s == CKV_OK && later)
        s = ckv_doc_export_later(doc, k->later.ptr, k->later.len, &letters, &n);
    if (s == CKV_OK) s = ckv_record_begin(&k->record);
    if (s == CKV_OK) {
        if (changes) s = ckv_record_put(&k->record, CKV_RECORD_BUNDLE, &news);
        if (s == CKV_OK && n) s = ckv_record_put(&k->record, CKV_RECORD_BUNDLE, &letters);
        s = ckv_record_end(&k->record, s);
    }
    ckv_past_fini(&since);
    ckv_past_fini(&until);
    ckv_buf_fini(&news);
    ckv_buf_fini(&letters);
    return s;
}

ckv_status ckv_keep_changes(ckv_doc *doc)
{
    ckv_keep *k = doc->keep;
    if (!k) return CKV_OK;
    const uint32_t n = ckv_ids_n(&doc->graph.ids);
    const bool changes = n != k->n_changes, later = doc->inbox.later_version != k->later_version;
    if (!changes && !later) return CKV_OK;
    ckv_id32s letters = {.a = doc->env.alloc};
    ckv_status s = later ? list_later(doc, &letters) : CKV_OK;
    if (s == CKV_OK) s = write_rows(doc, changes, later);
    if (s == CKV_OK) {
        k->n_changes = n;
        k->later_version = doc->inbox.later_version;
        if (later) {
            const ckv_id32s old = k->later;
            k->later = letters;
            letters = old;
        }
    }
    ckv_id32s_fini(&letters);
    return s;
}

void ckv_keep_settle(ckv_doc *doc)
{
    enum { LITTLE = 4096 };
    if (!doc->keep) return;
    doc->journal.log.len = 0;
    if (doc->journal.log.cap > LITTLE) ckv_undos_fini(&doc->journal.log);
}

ckv_status ckv_doc_rewrite(ckv_doc *doc)
{
    ckv_keep *k = doc->keep;
    if (!k || ckv_doc_is_open(doc)) return CKV_OK;
    ckv_buf all = row_init(doc);
    uint32_t end;
    ckv_status s = all.status;
    if (s == CKV_OK) s = ckv_doc_export_past(doc, NULL, NULL, 0, &all, &end);
    if (s == CKV_OK) s = ckv_record_begin(&k->record);
    if (s == CKV_OK)
        s = ckv_record_end(&k->record, ckv_record_put(&k->record, CKV_RECORD_CHECKPOINT, &all));
    ckv_buf_fini(&all);
    return s;
}

ckv_status ckv_doc_consolidate(ckv_doc *doc, bool at_close)
{
    if (!doc->keep || ckv_doc_is_open(doc) || !ckv_record_is_long(&doc->keep->record, at_close) ||
        ckv_file_is_read_only(doc->keep->record.file))
        return CKV_OK;
    return ckv_doc_rewrite(doc);
}

/* ---- loading */

typedef struct loading {
    ckv_doc *doc;
    ckv_report report;
    bool waits;
} loading;

static ckv_status take_row(void *ctx, const ckv_record_row *row, const char **why)
{
    loading *l = ctx;
    ckv_err err = {.text = NULL};
    if (row->kind != CKV_RECORD_BUNDLE && row->kind != CKV_RECORD_CHECKPOINT) {
        *why = "not of a document";
        return CKV_ECORRUPT;
    }
    ckv_import m = ckv_import_init(l->doc, &l->report, &err);
    m.trusted = row->is_sealed;
    ckv_status s = ckv_import_read(&m, row->data, row->n_bytes);
    if (s == CKV_OK) s = ckv_import_enter(&m, NULL, NULL);
    ckv_import_fini(&m);
    if (s == CKV_ECORRUPT && err.text) *why = err.text;
    if (s == CKV_ELIMIT || s == CKV_ESIGN) s = CKV_ECORRUPT;
    if (s == CKV_OK && l->report.refused.len) {
        ckv_refusal r;
        memcpy(&r, l->report.refused.ptr, sizeof r);
        *why = r.reason;
        s = CKV_ECORRUPT;
    }
    return s;
}

/* Everything behind what was read before. What waits has lost its ancestors. */
static ckv_status load(ckv_doc *doc, ckv_record *record, ckv_record_damage *damage)
{
    loading l = {.doc = doc};
    ckv_report_init(&l.report, doc->env.alloc);
    ckv_status s = ckv_record_read(record, take_row, &l, damage);
    ckv_report_fini(&l.report);
    if (s == CKV_OK && doc->inbox.n_waiting)
        s = ckv_record_say(record, damage, 0, "changes are missing that others build on");
    return s;
}

ckv_status ckv_doc_keep(ckv_doc *doc, ckv_file *file, int64_t object, ckv_record_damage *damage)
{
    CKV_ASSERT(!doc->keep && !ckv_doc_is_open(doc) && doc->journal.on == 0);
    const ckv_alloc a = doc->env.alloc;
    ckv_keep *k = ckv_resize(a, NULL, 0, sizeof *k);
    if (!k) return CKV_ENOMEM;
    *k = (ckv_keep){.later = {.a = a}};
    ckv_status s = ckv_record_open(&k->record, file, object);
    if (s != CKV_OK) {
        ckv_release(a, k, sizeof *k);
        return s;
    }
    const bool is_empty =
        ckv_ids_n(&doc->graph.ids) == 0 && doc->inbox.n_waiting + doc->inbox.n_later == 0;
    const bool had_founder = doc->has_founder;
    s = is_empty ? load(doc, &k->record, damage) : ckv_record_is_empty(&k->record);
    doc->keep = k;
    if (s == CKV_OK) {
        k->n_changes = ckv_ids_n(&doc->graph.ids);
        k->later_version = doc->inbox.later_version;
        s = list_later(doc, &k->later);
    }
    const bool writes = !ckv_file_is_read_only(file);
    if (s == CKV_OK && writes && damage->lines.len)
        s = ckv_doc_rewrite(doc);
    else if (s == CKV_OK && writes && k->record.now.n_rows == 0 && (!is_empty || had_founder))
        s = ckv_doc_rewrite(doc);
    if (s != CKV_OK) {
        ckv_doc_unkeep(doc);
        return s;
    }
    doc->journal.on++;
    k->is_bound = true;
    ckv_keep_settle(doc);
    return CKV_OK;
}

ckv_status ckv_doc_check_record(ckv_doc *doc, ckv_record_damage *damage)
{
    if (!doc->keep) return CKV_OK;
    const ckv_record *r = &doc->keep->record;
    ckv_doc *again;
    ckv_record record;
    ckv_id32 here, there;
    const char *why;
    CKV_TRY(ckv_doc_new(&again, &doc->env, &doc->identity, &doc->id));
    ckv_status s = ckv_record_open(&record, r->file, r->object);
    if (s == CKV_OK) {
        record.distrusts = true;
        s = load(again, &record, damage);
        ckv_record_close(&record);
    }
    if (s == CKV_OK) s = ckv_doc_root(doc, &here);
    if (s == CKV_OK) s = ckv_doc_root(again, &there);
    if (s == CKV_OK && !damage->lines.len &&
        (!ckv_id32_eq(&here, &there) || !ckv_doc_check(again, &why)))
        s = ckv_record_say(r, damage, 0, "its rows do not make the document that is open");
    ckv_doc_free(again);
    return s;
}

void ckv_doc_unkeep(ckv_doc *doc)
{
    ckv_keep *k = doc->keep;
    if (!k) return;
    if (k->is_bound && --doc->journal.on == 0) ckv_undos_fini(&doc->journal.log);
    ckv_record_close(&k->record);
    ckv_id32s_fini(&k->later);
    ckv_release(doc->env.alloc, k, sizeof *k);
    doc->keep = NULL;
}

ckv_status ckv_doc_refresh(ckv_doc *doc, ckv_record_damage *damage)
{
    ckv_keep *k = doc->keep;
    if (!k) return CKV_OK;
    doc->keep = NULL; /* what comes is in the record */
    const ckv_status s = load(doc, &k->record, damage);
    doc->keep = k;
    ckv_keep_settle(doc);
    k->n_changes = ckv_ids_n(&doc->graph.ids);
    return s;
}
