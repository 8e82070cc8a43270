#include "datastore/exchange.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash64.h"
#include "base/utf8.h"
#include "crypto/digest.h"
#include "dag/bundle.h"
#include "doc/content.h"
#include "doc/peer.h"

#define MAGIC       "CKD\x01"
#define FRAME_BYTES (4 + 32 + 8)
#define FEW_BYTES                                                                                  \
    192u /* a bundle of fewer may have no change: one takes a signature, a header, a nonce */

typedef struct part {
    const char *name; /* borrowed, as all here */
    size_t name_bytes;
    const uint8_t *data;
    size_t n_bytes;
} part;
CKV_VEC(parts, part);

static ckv_status malformed(ckv_err *err, const char *text)
{
    *err = (ckv_err){CKV_ECORRUPT, 0, text};
    return CKV_ECORRUPT;
}

static int name_order(const char *a, size_t n_a, const char *b, size_t n_b)
{
    const size_t n = n_a < n_b ? n_a : n_b;
    const int order = n ? memcmp(a, b, n) : 0;
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

/* ---- a document for a name that is not here */

static ckv_status scratch_read(void *ctx, const uint8_t *body, size_t n_bytes, uint32_t n_ops,
                               ckv_body_head *head, const char **why)
{
    (void)ctx, (void)body, (void)n_bytes, (void)n_ops;
    *head = (ckv_body_head){.time = 0};
    *why = NULL;
    return CKV_OK;
}

static ckv_status scratch_take(void *ctx, const ckv_taken *taken)
{
    (void)ctx, (void)taken;
    return CKV_OK;
}

static void scratch_forget(void *ctx, uint32_t n_changes) { (void)ctx, (void)n_changes; }

static ckv_status scratch_attach(void *ctx, const ckv_taken *taken, bool *wanted)
{
    (void)ctx, (void)taken;
    *wanted = false;
    return CKV_OK;
}

static ckv_status scratch_settle(void *ctx)
{
    (void)ctx;
    return CKV_OK;
}

static ckv_status scratch_body(void *ctx, uint32_t change, ckv_body_info *info, ckv_buf *out)
{
    (void)ctx, (void)change, (void)out;
    *info = (ckv_body_info){0};
    return CKV_ENOENT;
}

static ckv_body_state scratch_state(void *ctx, uint32_t change)
{
    (void)ctx, (void)change;
    return CKV_BODY_DROPPED;
}

static ckv_status scratch_is_live(void *ctx, uint32_t change, bool *live)
{
    (void)ctx, (void)change;
    *live = false;
    return CKV_OK;
}

static uint64_t scratch_version(void *ctx)
{
    (void)ctx;
    return 0;
}

static const ckv_content scratch_content = {.type = 2,
                                            .read = scratch_read,
                                            .take = scratch_take,
                                            .forget = scratch_forget,
                                            .attach = scratch_attach,
                                            .settle = scratch_settle,
                                            .body = scratch_body,
                                            .body_state = scratch_state,
                                            .absent_version = scratch_version,
                                            .is_live = scratch_is_live};

ckv_status ckv_dag_id(const ckv_datastore *d, const char *name, size_t n_bytes, ckv_id32 *out)
{
    const ckv_id32 *id = ckv_datastore_id(d);
    if (name_order(name, n_bytes, "default", 7) == 0) {
        *out = *id;
        return CKV_OK;
    }
    if (n_bytes > CKV_MAX_DAG_NAME) return CKV_ELIMIT;
    uint8_t m[32 + CKV_MAX_DAG_NAME];
    memcpy(m, id, 32);
    if (n_bytes) memcpy(m + 32, name, n_bytes);
    ckv_digest(out, "crdtkv-dag-v1", m, 32 + n_bytes);
    return CKV_OK;
}

ckv_status ckv_dag_scratch(ckv_doc **out, const ckv_datastore *d, const char *name, size_t n_bytes)
{
    ckv_id32 id;
    const ckv_identity nobody = {0};
    const ckv_env env = {.alloc = ckv_datastore_allocator(d)};
    CKV_TRY(ckv_dag_id(d, name, n_bytes, &id));
    return ckv_doc_new_with(out, &env, &nobody, &id, &scratch_content);
}

/* ---- the DAGs in order of their names */

CKV_VEC(dag_list, ckv_dag_info);

bool ckv_dag_speaks(const ckv_dag_info *dag)
{
    return !dag->purged && dag->doc &&
           (ckv_doc_n_changes(dag->doc) || ckv_doc_later_version(dag->doc));
}

static int by_name(const void *x, const void *y)
{
    const ckv_dag_info *a = x, *b = y;
    return name_order(a->name, a->name_bytes, b->name, b->name_bytes);
}

static bool is_here(const ckv_dag_info *dag) { return dag->doc != NULL; }

static ckv_status list(ckv_datastore *d, bool (*is_asked)(const ckv_dag_info *dag), dag_list *out)
{
    const uint32_t n = ckv_datastore_n_dags(d);
    *out = (dag_list){.a = ckv_datastore_allocator(d)};
    CKV_TRY(dag_list_reserve(out, n));
    for (uint32_t i = 0; i < n; i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d, i);
        if (is_asked(&dag)) dag_list_put(out, dag);
    }
    if (out->len) qsort(out->ptr, out->len, sizeof *out->ptr, by_name);
    return CKV_OK;
}

/* Those that have something to tell. */
static ckv_status list_dags(ckv_datastore *d, dag_list *out)
{
    return list(d, ckv_dag_speaks, out);
}

/* ---- out */

static void begin(const ckv_datastore *d, ckv_buf *out)
{
    ckv_buf_bytes(out, MAGIC, 4);
    ckv_buf_bytes(out, ckv_datastore_id(d), 32);
}

static ckv_status finish(ckv_buf *out, size_t start)
{
    if (out->status == CKV_OK) ckv_buf_u64le(out, ckv_hash64(out->ptr + start, out->len - start));
    return out->status;
}

/* Has this bundle, which was made here, no change? *
 * Only what is short can have none; and to look at it costs little. */
static ckv_status is_empty(ckv_alloc a, const ckv_buf *bundle, bool *out)
{
    ckv_bundle b;
    ckv_err err;
    *out = false;
    if (bundle->len >= FEW_BYTES) return CKV_OK;
    const ckv_status s = ckv_bundle_open(&b, a, bundle->ptr, bundle->len, &err);
    *out = s == CKV_OK && ckv_rd_left(&b.sections[CKV_SEC_SLICES]) == 0;
    ckv_bundle_fini(&b);
    return s;
}

static ckv_status put_part(ckv_buf *out, const ckv_dag_info *dag, const ckv_buf *bundle)
{
    bool empty;
    CKV_TRY(is_empty(out->a, bundle, &empty));
    if (empty) return CKV_OK;
    ckv_buf_blob(out, dag->name, dag->name_bytes);
    ckv_buf_blob(out, bundle->ptr, bundle->len);
    return out->status;
}

/* Those ids that this DAG knows. */
static ckv_status own_ids(ckv_doc *doc, const ckv_id32 *ids, size_t n, ckv_buf *out, bool *known)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t change;
        const ckv_status s = ckv_doc_find(doc, &ids[i], &change);
        if (s == CKV_ENOENT) continue;
        if (s != CKV_OK) return s;
        known[i] = true;
        ckv_buf_bytes(out, &ids[i], 32);
    }
    return out->status;
}

static const ckv_id32 *ids_of(const ckv_buf *b) { return (const ckv_id32 *)(const void *)b->ptr; }

static ckv_status export_dag(const ckv_dag_info *dag, const ckv_id32 *since, size_t n_since,
                             const ckv_id32 *until, size_t n_until, bool *known, ckv_buf *out)
{
    ckv_buf ids = ckv_buf_init(out->a), bundle = ckv_buf_init(out->a);
    ckv_status s = CKV_OK;
    if (until) s = own_ids(dag->doc, until, n_until, &ids, known);
    if (s == CKV_OK && (!until || ids.len)) {
        s = ckv_doc_export(dag->doc, since, n_since, until ? ids_of(&ids) : NULL, ids.len / 32,
                           &bundle);
        if (s == CKV_OK) s = put_part(out, dag, &bundle);
    }
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&ids);
    return s;
}

ckv_status ckv_datastore_export(ckv_datastore *d, const ckv_id32 *since, size_t n_since,
                                const ckv_id32 *until, size_t n_until, ckv_buf *out)
{
    const ckv_alloc a = ckv_datastore_allocator(d);
    const size_t start = out->len;
    dag_list dags;
    bool *known = NULL;
    ckv_status s = list_dags(d, &dags);
    if (s == CKV_OK && until && n_until) {
        known = ckv_resize(a, NULL, 0, n_until);
        if (!known) s = CKV_ENOMEM;
        if (known) memset(known, 0, n_until);
    }
    if (s == CKV_OK) begin(d, out);
    for (size_t i = 0; i < dags.len && s == CKV_OK; i++)
        s = export_dag(&dags.ptr[i], since, n_since, until, n_until, known, out);
    for (size_t i = 0; i < n_until && s == CKV_OK && until; i++) {
        if (!known[i]) s = CKV_ENOENT;
    }
    if (s == CKV_OK) s = finish(out, start);
    ckv_release(a, known, n_until);
    dag_list_fini(&dags);
    return s;
}

/* The same DAG of a peer; false: it has none, or does not want it. */
static bool find_twin(ckv_datastore *peer, const ckv_dag_info *dag, ckv_dag_info *out,
                      bool *is_purged)
{
    uint32_t number;
    const ckv_status s = ckv_datastore_find_dag(peer, dag->name, dag->name_bytes, false, &number);
    *is_purged = s == CKV_ESTALE;
    if (s != CKV_OK) return false;
    *out = ckv_datastore_dag(peer, number);
    return out->doc != NULL;
}

ckv_status ckv_datastore_common(ckv_datastore *d, ckv_datastore *peer, ckv_buf *since)
{
    dag_list dags;
    ckv_status s = list_dags(d, &dags);
    for (size_t i = 0; i < dags.len && s == CKV_OK; i++) {
        ckv_dag_info twin;
        bool is_purged;
        if (find_twin(peer, &dags.ptr[i], &twin, &is_purged))
            s = ckv_doc_common(dags.ptr[i].doc, twin.doc, since);
    }
    dag_list_fini(&dags);
    return s;
}

/* The bodies that the peer was told are dead, and that are live here. */
static ckv_status export_bodies(const ckv_dag_info *dag, ckv_doc *peer, ckv_buf *out)
{
    ckv_buf ids = ckv_buf_init(out->a), bundle = ckv_buf_init(out->a);
    ckv_u32s changes = {.a = out->a};
    size_t n_done;
    ckv_status s = ckv_doc_bodies_wanted(peer, dag->doc, &ids);
    for (size_t i = 0; i < ids.len && s == CKV_OK; i += 32) {
        ckv_id32 id;
        uint32_t change;
        memcpy(&id, ids.ptr + i, 32);
        s = ckv_doc_find(dag->doc, &id, &change);
        if (s == CKV_OK) s = ckv_u32s_push(&changes, change);
    }
    if (s == CKV_OK && changes.len)
        s = ckv_doc_export_bodies(dag->doc, changes.ptr, changes.len, 0, &bundle, &n_done);
    if (s == CKV_OK && bundle.len) s = put_part(out, dag, &bundle);
    ckv_u32s_fini(&changes);
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&ids);
    return s;
}

ckv_status ckv_datastore_export_to(ckv_datastore *d, ckv_datastore *peer, ckv_buf *out)
{
    const ckv_alloc a = ckv_datastore_allocator(d);
    const size_t start = out->len;
    ckv_buf since = ckv_buf_init(a);
    dag_list dags;
    ckv_status s = list_dags(d, &dags);
    if (s == CKV_OK) begin(d, out);
    for (size_t i = 0; i < dags.len && s == CKV_OK; i++) {
        const ckv_dag_info *dag = &dags.ptr[i];
        ckv_dag_info twin;
        bool is_purged;
        const bool has_twin = find_twin(peer, dag, &twin, &is_purged);
        if (is_purged) continue;
        ckv_buf_clear(&since);
        if (has_twin) s = ckv_doc_common(dag->doc, twin.doc, &since);
        if (s == CKV_OK) s = export_dag(dag, ids_of(&since), since.len / 32, NULL, 0, NULL, out);
        if (s == CKV_OK && has_twin) s = export_bodies(dag, twin.doc, out);
    }
    if (s == CKV_OK) s = finish(out, start);
    ckv_buf_fini(&since);
    dag_list_fini(&dags);
    return s;
}

ckv_status ckv_datastore_export_waiting(ckv_datastore *d, ckv_buf *out)
{
    const size_t start = out->len;
    ckv_buf bundle = ckv_buf_init(ckv_datastore_allocator(d));
    dag_list dags;
    ckv_status s = list(d, is_here, &dags);
    if (s == CKV_OK) begin(d, out);
    for (size_t i = 0; i < dags.len && s == CKV_OK; i++) {
        size_t n;
        ckv_buf_clear(&bundle);
        s = ckv_doc_export_waiting(dags.ptr[i].doc, &bundle, &n);
        if (s == CKV_OK && n) s = put_part(out, &dags.ptr[i], &bundle);
    }
    if (s == CKV_OK) s = finish(out, start);
    ckv_buf_fini(&bundle);
    dag_list_fini(&dags);
    return s;
}

/* ---- in */

ckv_status ckv_datastore_bundle_id(const uint8_t *data, size_t n_bytes, ckv_id32 *out, ckv_err *err)
{
    if (n_bytes < FRAME_BYTES || memcmp(data, MAGIC, 4) != 0)
        return malformed(err, "not a bundle of a datastore of this version");
    ckv_rd tail = ckv_rd_init(data + n_bytes - 8, 8);
    if (ckv_rd_u64le(&tail) != ckv_hash64(data, n_bytes - 8))
        return malformed(err, "bundle of a datastore: checksum does not match");
    memcpy(out, data + 4, 32);
    return CKV_OK;
}

/* The frame: no part is looked into. */
static ckv_status read_parts(ckv_datastore *d, const uint8_t *data, size_t n_bytes, parts *out,
                             ckv_err *err)
{
    ckv_id32 id;
    CKV_TRY(ckv_datastore_bundle_id(data, n_bytes, &id, err));
    if (!ckv_id32_eq(&id, ckv_datastore_id(d)))
        return malformed(err, "the bundle is of another datastore, made separately: replicas of "
                              "one are made by fork, by save and load, or under its id");
    ckv_rd r = ckv_rd_init(data + 36, n_bytes - FRAME_BYTES);
    while (ckv_rd_left(&r)) {
        part p;
        size_t n_chars;
        uint32_t max_char;
        p.name = (const char *)ckv_rd_blob(&r, &p.name_bytes);
        p.data = ckv_rd_blob(&r, &p.n_bytes);
        if (r.status != CKV_OK) return malformed(err, "bundle of a datastore: parts");
        if (p.name_bytes > CKV_MAX_DAG_NAME ||
            !ckv_utf8_valid((const uint8_t *)p.name, p.name_bytes, &n_chars, &max_char))
            return malformed(err, "bundle of a datastore: the name of a DAG");
        const part *last = out->len ? &out->ptr[out->len - 1] : NULL;
        if (last && name_order(last->name, last->name_bytes, p.name, p.name_bytes) > 0)
            return malformed(err, "bundle of a datastore: names descend");
        CKV_TRY(parts_push(out, p));
    }
    return CKV_OK;
}

enum { APPLY, MAKE_AND_APPLY, SKIP, PURGED, TOO_MANY }; /* what is to be done with a part */

/* Would it bring a change to a DAG that is not here? */
static ckv_status try_part(ckv_datastore *d, const part *p, ckv_report *report, bool *brings,
                           ckv_err *err)
{
    ckv_doc *doc;
    ckv_report scratch;
    CKV_TRY(ckv_dag_scratch(&doc, d, p->name, p->name_bytes));
    ckv_report_init(&scratch, ckv_datastore_allocator(d));
    ckv_status s = ckv_doc_apply(doc, p->data, p->n_bytes, &scratch, err);
    *brings = scratch.applied.len + scratch.voided.len + scratch.waiting.len > 0;
    if (s == CKV_OK && !*brings && report) s = ckv_report_join(report, &scratch);
    ckv_report_fini(&scratch);
    ckv_doc_free(doc);
    return s;
}

/* Parses a part, and says what is to be done with it. may_fail: what applies it will parse it, and a failure then is early enough. */
static ckv_status judge_part(ckv_datastore *d, const part *p, bool may_fail, ckv_report *report,
                             uint32_t *n_made, int *what, ckv_err *err)
{
    uint32_t number;
    bool brings;
    ckv_status s = ckv_datastore_find_dag(d, p->name, p->name_bytes, false, &number);
    *what = APPLY;
    if (s == CKV_OK && may_fail) return CKV_OK;
    if (s == CKV_OK)
        return ckv_bundle_check(ckv_datastore_dag(d, number).doc, p->data, p->n_bytes, err);
    if (s != CKV_ENOENT && s != CKV_ESTALE) return s;
    const bool is_purged = s == CKV_ESTALE;
    CKV_TRY(try_part(d, p, is_purged ? NULL : report, &brings, err));
    *what = is_purged ? PURGED : brings ? MAKE_AND_APPLY : SKIP;
    if (*what == MAKE_AND_APPLY && ckv_datastore_n_dags(d) + *n_made >= CKV_MAX_DAGS)
        *what = TOO_MANY;
    *n_made += *what == MAKE_AND_APPLY; /* parts of one name count twice, and leave less room */
    return CKV_OK;
}

ckv_status ckv_report_join(ckv_report *all, const ckv_report *one)
{
    ckv_buf_bytes(&all->applied, one->applied.ptr, one->applied.len);
    ckv_buf_bytes(&all->voided, one->voided.ptr, one->voided.len);
    ckv_buf_bytes(&all->waiting, one->waiting.ptr, one->waiting.len);
    ckv_buf_bytes(&all->refused, one->refused.ptr, one->refused.len);
    all->known += one->known;
    return all->applied.status != CKV_OK   ? all->applied.status
           : all->voided.status != CKV_OK  ? all->voided.status
           : all->waiting.status != CKV_OK ? all->waiting.status
                                           : all->refused.status;
}

static ckv_status refuse_part(ckv_report *report, ckv_refusal_kind kind, const char *reason)
{
    const ckv_refusal r = {.has_id = false, .kind = kind, .reason = reason};
    ckv_buf_bytes(&report->refused, &r, sizeof r);
    return report->refused.status;
}

void ckv_dag_bound(ckv_datastore *d, uint32_t number)
{
    ckv_doc *doc = ckv_datastore_dag(d, number).doc;
    uint64_t others = 0;
    if (number == 0 || !doc) return;
    for (uint32_t i = 1; i < ckv_datastore_n_dags(d); i++) {
        const ckv_doc *other = ckv_datastore_dag(d, i).doc;
        if (other && other != doc) others += ckv_doc_waiting_bytes(other);
    }
    const uint64_t room = others < CKV_DAGS_WAITING ? CKV_DAGS_WAITING - others : 0;
    ckv_doc_limit_waiting(doc, room < CKV_DAG_WAITING ? CKV_DAG_WAITING : room);
}

static ckv_status apply_part(ckv_datastore *d, const part *p, bool make, ckv_report *report,
                             ckv_err *err)
{
    uint32_t number;
    ckv_report one;
    CKV_TRY(ckv_datastore_find_dag(d, p->name, p->name_bytes, make, &number));
    ckv_report_init(&one, ckv_datastore_allocator(d));
    ckv_dag_bound(d, number);
    ckv_status s = ckv_doc_apply(ckv_datastore_dag(d, number).doc, p->data, p->n_bytes, &one, err);
    if (s == CKV_OK) s = ckv_report_join(report, &one);
    ckv_report_fini(&one);
    return s;
}

static void clear_report(ckv_report *report)
{
    ckv_buf_clear(&report->applied);
    ckv_buf_clear(&report->voided);
    ckv_buf_clear(&report->waiting);
    ckv_buf_clear(&report->refused);
    report->known = 0;
}

/* All parts before one is applied. `report` (may be NULL) gets what is refused at this point. */
static ckv_status judge_parts(ckv_datastore *d, const parts *in, ckv_report *report, ckv_u32s *what,
                              ckv_err *err)
{
    uint32_t n_made = 0;
    CKV_TRY(ckv_u32s_reserve(what, in->len));
    for (size_t i = 0; i < in->len; i++) {
        int w;
        CKV_TRY(judge_part(d, &in->ptr[i], report && i == 0, report, &n_made, &w, err));
        ckv_u32s_put(what, (uint32_t)w);
    }
    return CKV_OK;
}

static ckv_status apply_parts(ckv_datastore *d, const parts *in, const ckv_u32s *what,
                              ckv_report *report, ckv_err *err)
{
    for (size_t i = 0; i < in->len; i++) {
        switch (what->ptr[i]) {
        case APPLY: CKV_TRY(apply_part(d, &in->ptr[i], false, report, err)); break;
        case MAKE_AND_APPLY: CKV_TRY(apply_part(d, &in->ptr[i], true, report, err)); break;
        case PURGED: CKV_TRY(refuse_part(report, CKV_REFUSED_OTHER, "the DAG is purged")); break;
        case TOO_MANY:
            CKV_TRY(refuse_part(report, CKV_REFUSED_LIMIT, "more than 1,024 DAGs"));
            break;
        default: break; /* its refusals are in the report */
        }
    }
    return CKV_OK;
}

ckv_status ckv_datastore_bundle_check(ckv_datastore *d, const uint8_t *data, size_t n_bytes,
                                      ckv_err *err)
{
    const ckv_alloc a = ckv_datastore_allocator(d);
    parts in = {.a = a};
    ckv_u32s what = {.a = a};
    *err = (ckv_err){0};
    ckv_status s = read_parts(d, data, n_bytes, &in, err);
    if (s == CKV_OK) s = judge_parts(d, &in, NULL, &what, err);
    ckv_u32s_fini(&what);
    parts_fini(&in);
    return s;
}

ckv_status ckv_datastore_apply(ckv_datastore *d, const uint8_t *data, size_t n_bytes,
                               ckv_report *report, ckv_err *err)
{
    const ckv_alloc a = ckv_datastore_allocator(d);
    parts in = {.a = a};
    ckv_u32s what = {.a = a};
    *err = (ckv_err){0};
    clear_report(report);
    ckv_status s = read_parts(d, data, n_bytes, &in, err);
    if (s == CKV_OK) s = judge_parts(d, &in, report, &what, err);
    if (s != CKV_OK) clear_report(report);
    if (s == CKV_OK) s = apply_parts(d, &in, &what, report, err);
    ckv_u32s_fini(&what);
    parts_fini(&in);
    return s;
}

/* ---- what there is */

ckv_status ckv_datastore_heads(ckv_datastore *d, ckv_buf *out)
{
    const size_t start = out->len;
    for (uint32_t i = 0; i < ckv_datastore_n_dags(d); i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d, i);
        if (!ckv_dag_speaks(&dag)) continue;
        size_t n;
        const uint32_t *heads = ckv_doc_heads(dag.doc, &n);
        for (size_t k = 0; k < n; k++) {
            ckv_change_info info;
            ckv_doc_change(dag.doc, heads[k], &info);
            ckv_buf_bytes(out, info.id, 32);
        }
    }
    if (out->status == CKV_OK && out->len > start)
        out->len = start + 32 * ckv_id32_sort_unique(out->ptr + start, (out->len - start) / 32);
    return out->status;
}

/* That of a DAG that was never written to. */
static ckv_status root_of_nothing(const ckv_datastore *d, ckv_id32 *out)
{
    ckv_doc *doc;
    CKV_TRY(ckv_dag_scratch(&doc, d, "default", 7));
    const ckv_status s = ckv_doc_root(doc, out);
    ckv_doc_free(doc);
    return s;
}

ckv_status ckv_datastore_root(ckv_datastore *d, ckv_id32 *out)
{
    const ckv_dag_info first = ckv_datastore_dag(d, 0);
    dag_list dags;
    ckv_buf m = ckv_buf_init(ckv_datastore_allocator(d));
    ckv_status s = list_dags(d, &dags);
    size_t others = 0;
    for (size_t i = 0; i < dags.len && s == CKV_OK; i++) {
        const ckv_dag_info *dag = &dags.ptr[i];
        ckv_id32 root;
        if (ckv_doc_n_changes(dag->doc) == 0) continue;
        s = ckv_doc_root(dag->doc, &root);
        ckv_buf_blob(&m, dag->name, dag->name_bytes);
        ckv_buf_bytes(&m, &root, 32);
        others += dag->number != 0;
    }
    if (s == CKV_OK) s = m.status;
    if (s == CKV_OK && others)
        ckv_digest(out, "crdtkv-dags-v1", m.ptr, m.len);
    else if (s == CKV_OK)
        s = first.doc && !first.purged ? ckv_doc_root(first.doc, out) : root_of_nothing(d, out);
    ckv_buf_fini(&m);
    dag_list_fini(&dags);
    return s;
}
