#include "doc/state.h"

#include "doc/encode.h"
#include "doc/exchange.h"

/* ---- life */

ckv_status ckv_doc_new(ckv_doc **out, const ckv_env *env, const ckv_identity *identity,
                       const ckv_id32 *doc_id)
{
    ckv_doc *d = ckv_resize(env->alloc, NULL, 0, sizeof *d);
    if (!d) return CKV_ENOMEM;
    const ckv_alloc a = env->alloc;
    uint8_t secret[32];
    uint64_t s;
    ckv_random_bytes(NULL, secret,
                     sizeof secret); /* hash tables only: never shows, so it need not replay */
    memcpy(&s, secret, 8);
    *d = (ckv_doc){.env = *env,
                   .identity = *identity,
                   .graph = ckv_graph_init(a, s),
                   .log = ckv_oplog_init(a),
                   .space = ckv_space_init(a, s),
                   .journal = {.log = {.a = a}},
                   .past = ckv_past_init(a),
                   .scratch = ckv_past_init(a),
                   .inbox = ckv_inbox_init(a, s),
                   .times = {.a = a},
                   .messages = {.a = a},
                   .message_bytes = ckv_buf_init(a),
                   .voids = {.a = a},
                   .void_bodies = ckv_buf_init(a),
                   .covers = {.a = a},
                   .cover_headers = ckv_buf_init(a),
                   .body = ckv_buf_init(a),
                   .own_lane = CKV_NONE};
    if (!d->env.random) d->env.random = ckv_random_bytes;
    if (doc_id) {
        d->id = *doc_id;
    } else {
        d->has_founder = true;
        d->founder = identity->public_key;
        d->env.random(d->env.random_ctx, d->founder_nonce, sizeof d->founder_nonce);
        d->id = ckv_founded_doc_id(&d->founder, d->founder_nonce);
    }
    ckv_status status = ckv_maps_init(&d->maps, a, secret + 8, CKV_KIND_MAP);
    d->names = ckv_resize(a, NULL, 0, sizeof *d->names);
    if (d->names)
        ckv_namer_init(d->names, d);
    else
        status = CKV_ENOMEM;
    if (status != CKV_OK) {
        ckv_doc_free(d);
        return status;
    }
    *out = d;
    return CKV_OK;
}

void ckv_doc_free(ckv_doc *d)
{
    if (!d) return;
    const ckv_alloc a = d->env.alloc;
    ckv_graph_fini(&d->graph);
    ckv_oplog_fini(&d->log);
    ckv_space_fini(&d->space);
    ckv_maps_fini(&d->maps);
    ckv_undos_fini(&d->journal.log);
    ckv_past_fini(&d->past);
    ckv_past_fini(&d->scratch);
    ckv_inbox_fini(&d->inbox);
    ckv_time_runs_fini(&d->times);
    ckv_message_ats_fini(&d->messages);
    ckv_buf_fini(&d->message_bytes);
    ckv_void_ats_fini(&d->voids);
    ckv_buf_fini(&d->void_bodies);
    ckv_covers_fini(&d->covers);
    ckv_buf_fini(&d->cover_headers);
    ckv_buf_fini(&d->body);
    if (d->names) ckv_namer_fini(d->names);
    ckv_release(a, d->names, sizeof *d->names);
    ckv_identity_wipe(&d->identity);
    ckv_release(a, d, sizeof *d);
}

const ckv_id32 *ckv_doc_id(const ckv_doc *doc) { return &doc->id; }

/* ---- notes on changes */

ckv_status ckv_doc_reserve_notes(ckv_doc *doc, size_t message_bytes)
{
    CKV_TRY(ckv_time_runs_reserve(&doc->times, 1));
    CKV_TRY(ckv_message_ats_reserve(&doc->messages, 1));
    CKV_TRY(ckv_void_ats_reserve(&doc->voids, 1));
    if (!ckv_buf_reserve(&doc->message_bytes, message_bytes + 1)) { /* + 1: never NULL */
        const ckv_status s = doc->message_bytes.status;
        doc->message_bytes.status = CKV_OK;
        return s;
    }
    return doc->message_bytes.len + message_bytes > UINT32_MAX ? CKV_ELIMIT : CKV_OK;
}

void ckv_doc_note(ckv_doc *doc, uint32_t change, int64_t time, const void *message,
                  size_t message_bytes)
{
    const ckv_time_run *last = ckv_time_runs_last(&doc->times);
    if (!last || last->time != time) ckv_time_runs_put(&doc->times, (ckv_time_run){change, time});
    if (!message) return;
    ckv_message_ats_put(&doc->messages, (ckv_message_at){change, (uint32_t)doc->message_bytes.len,
                                                         (uint32_t)message_bytes});
    ckv_buf_bytes(&doc->message_bytes, message, message_bytes);
}

/* The index of the first entry whose change is >= c, in anything that begins with its change number. */
#define LOWER(vec, c, out)                                                                         \
    do {                                                                                           \
        size_t lo_ = 0, hi_ = (vec).len;                                                           \
        while (lo_ < hi_) {                                                                        \
            const size_t mid_ = (lo_ + hi_) / 2;                                                   \
            if ((vec).ptr[mid_].change < (c))                                                      \
                lo_ = mid_ + 1;                                                                    \
            else                                                                                   \
                hi_ = mid_;                                                                        \
        }                                                                                          \
        (out) = lo_;                                                                               \
    } while (0)

const ckv_void_at *ckv_doc_void(const ckv_doc *doc, uint32_t change)
{
    size_t i;
    LOWER(doc->voids, change, i);
    return i < doc->voids.len && doc->voids.ptr[i].change == change ? &doc->voids.ptr[i] : NULL;
}

const ckv_message_at *ckv_doc_message(const ckv_doc *doc, uint32_t change)
{
    size_t i;
    LOWER(doc->messages, change, i);
    return i < doc->messages.len && doc->messages.ptr[i].change == change ? &doc->messages.ptr[i]
                                                                          : NULL;
}

const ckv_cover *ckv_doc_cover(const ckv_doc *doc, uint32_t branch, uint32_t seq)
{
    size_t lo = 0, hi = doc->covers.len;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        const ckv_cover *c = &doc->covers.ptr[mid];
        if (c->branch < branch || (c->branch == branch && c->seq < seq))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < doc->covers.len && doc->covers.ptr[lo].branch == branch ? &doc->covers.ptr[lo]
                                                                        : NULL;
}

int64_t ckv_doc_time(const ckv_doc *doc, uint32_t change)
{
    size_t i;
    LOWER(doc->times, change + 1, i);
    return i ? doc->times.ptr[i - 1].time : 0;
}

/* ---- containers */

ckv_kind ckv_doc_kind(const ckv_doc *doc, uint32_t container)
{
    return (ckv_kind)doc->maps.containers.ptr[container].tag;
}
bool ckv_doc_is_live(const ckv_doc *doc, uint32_t container)
{
    return ckv_maps_is_live(&doc->maps, container);
}

/* The value of a SET at lv. */
static ckv_value value_at(const ckv_doc *doc, uint32_t lv)
{
    const ckv_op *op = &doc->log.ops.ptr[ckv_oplog_at_lv(&doc->log, lv)];
    ckv_value v = ckv_oplog_value(&doc->log, op->b);
    if (v.tag == CKV_TAG_TEXT) v.container = ckv_maps_container_of(&doc->maps, op->item);
    return v;
}

ckv_status ckv_map_get(const ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                       ckv_value *out)
{
    const uint32_t slot = ckv_maps_slot(&doc->maps, map, key, key_bytes);
    if (slot == CKV_NONE) return CKV_ENOENT;
    const uint32_t lv = ckv_maps_shown(&doc->maps, &doc->graph, slot);
    if (lv == CKV_NONE) return CKV_ENOENT;
    *out = value_at(doc, lv);
    return CKV_OK;
}

static ckv_author_view own_view(ckv_doc *doc)
{
    doc->past.all = true; /* whoever edits here has seen everything that is here */
    return (ckv_author_view){.graph = &doc->graph,
                             .oplog = &doc->log,
                             .past = &doc->past,
                             .own_item = doc->graph.ids.n_items};
}

/* Room for one more key operation in the open change. */
static ckv_status room_in_change(ckv_doc *doc, size_t n_bytes)
{
    if (doc->open_bytes + n_bytes > CKV_MAX_BODY_BYTES ||
        doc->log.n_lv - doc->graph.ids.n_lv >= CKV_MAX_OPS)
        return CKV_ELIMIT;
    return CKV_OK;
}

ckv_status ckv_map_set(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                       const ckv_value *value, uint32_t *made)
{
    uint32_t slot;
    if (key_bytes > CKV_MAX_KEY_BYTES) return CKV_ELIMIT;
    CKV_TRY(ckv_doc_flush(doc));
    const size_t n_bytes =
        key_bytes + 64 +
        (value->tag == CKV_TAG_STR || value->tag == CKV_TAG_BYTES ? value->n_bytes : 0);
    CKV_TRY(room_in_change(doc, n_bytes));
    CKV_TRY(ckv_maps_slot_make(&doc->maps, map, key, key_bytes, &slot));
    CKV_TRY(ckv_maps_reserve(&doc->maps, slot));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_journal_reserve(&doc->journal, doc->maps.slots.ptr[slot].live.len + 2));
    const size_t value_off = doc->log.values.len;
    ckv_seq seq;
    if (value->tag == CKV_TAG_TEXT) CKV_TRY(ckv_leaves_reserve(&doc->space.leaves, 1));
    if (value_off + n_bytes > UINT32_MAX) return CKV_ELIMIT;
    ckv_value_write(&doc->log.values, value);
    if (doc->log.values.status != CKV_OK) {
        const ckv_status s = doc->log.values.status;
        doc->log.values.status = CKV_OK;
        doc->log.values.len = value_off;
        return s;
    }
    const uint32_t lv = doc->log.n_lv, item = doc->log.n_items;
    const ckv_author_view v = own_view(doc);
    ckv_oplog_set(&doc->log, map, slot, (uint32_t)value_off);
    ckv_maps_apply(&doc->maps, slot, lv, true, &v, &doc->journal);
    if (value->tag == CKV_TAG_TEXT) {
        *made = ckv_maps_new_container(&doc->maps, CKV_KIND_TEXT, item, lv, slot, &doc->journal);
        CKV_MUST(ckv_seq_init(&seq, &doc->space, *made) == CKV_OK);
        doc->maps.containers.ptr[*made].seq = seq;
    }
    doc->open_bytes += n_bytes;
    return CKV_OK;
}

ckv_status ckv_map_unset(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes)
{
    CKV_TRY(ckv_doc_flush(doc));
    const uint32_t slot = ckv_maps_slot(&doc->maps, map, key, key_bytes);
    if (slot == CKV_NONE || doc->maps.slots.ptr[slot].live.len == 0) return CKV_ENOENT;
    CKV_TRY(room_in_change(doc, key_bytes + 64));
    CKV_TRY(ckv_maps_reserve(&doc->maps, slot));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_journal_reserve(&doc->journal, doc->maps.slots.ptr[slot].live.len + 1));
    const uint32_t lv = doc->log.n_lv;
    const ckv_author_view v = own_view(doc);
    ckv_oplog_unset(&doc->log, map, slot);
    ckv_maps_apply(&doc->maps, slot, lv, false, &v, &doc->journal);
    doc->open_bytes += key_bytes + 64;
    return CKV_OK;
}

size_t ckv_map_len(const ckv_doc *doc, uint32_t map)
{
    return doc->maps.containers.ptr[map].n_keys;
}

ckv_status ckv_map_at(ckv_doc *doc, uint32_t map, size_t i, const char **key, size_t *key_bytes,
                      ckv_value *value)
{
    CKV_TRY(ckv_maps_sort(&doc->maps, map));
    if (i >= doc->maps.sorted.len) return CKV_ERANGE;
    const uint32_t slot = doc->maps.sorted.ptr[i];
    *key = ckv_maps_key(&doc->maps, &doc->maps.slots.ptr[slot]);
    *key_bytes = doc->maps.slots.ptr[slot].key_bytes;
    *value = value_at(doc, ckv_maps_shown(&doc->maps, &doc->graph, slot));
    return CKV_OK;
}

/* ---- changes */

uint32_t ckv_doc_n_changes(const ckv_doc *doc) { return ckv_ids_n(&doc->graph.ids); }

void ckv_doc_change(const ckv_doc *doc, uint32_t change, ckv_change_info *out)
{
    const ckv_graph *g = &doc->graph;
    uint32_t seq, n;
    const uint32_t b = ckv_graph_branch(g, change, &seq), prev = ckv_graph_prev(g, change);
    const ckv_lane *lane = ckv_lanes_of_branch(&g->lanes, b);
    const uint32_t *parents = ckv_graph_parents(g, change, &n);
    const ckv_void_at *v = ckv_doc_void(doc, change);
    const ckv_message_at *m = ckv_doc_message(doc, change);
    *out = (ckv_change_info){
        .id = ckv_ids_at(&g->ids, change),
        .author = &lane->author,
        .lane = &lane->id,
        .prev = prev == CKV_NONE ? NULL : ckv_ids_at(&g->ids, prev),
        .seq = seq,
        .n_ops = v ? v->n_ops : ckv_ids_lv(&g->ids, change + 1) - ckv_ids_lv(&g->ids, change),
        .n_parents = n,
        .time = ckv_doc_time(doc, change),
        .void_reason = v ? v->reason : NULL,
        .is_signed = ckv_lanes_covered(&g->lanes, b, seq) || ckv_doc_cover(doc, b, seq)};
    memcpy(out->parents, parents, n * sizeof *parents);
    if (m) {
        out->message = (const char *)doc->message_bytes.ptr + m->off;
        out->message_bytes = m->n_bytes;
    }
}

ckv_status ckv_doc_find(ckv_doc *doc, const ckv_id32 *id, uint32_t *change)
{
    return ckv_ids_find(&doc->graph.ids, id, change);
}

const uint32_t *ckv_doc_heads(const ckv_doc *doc, size_t *n)
{
    *n = doc->graph.heads.len;
    return doc->graph.heads.ptr;
}

/* Entries of the root: every tip of a lane, by lane id, then height, then id. */
static int root_order(const void *x, const void *y) { return memcmp(x, y, 68); }

ckv_status ckv_doc_root(ckv_doc *doc, ckv_id32 *out)
{
    if (doc->root_valid) {
        *out = doc->root;
        return CKV_OK;
    }
    const ckv_lanes *lanes = &doc->graph.lanes;
    ckv_buf tips = ckv_buf_init(doc->env.alloc), all = ckv_buf_init(doc->env.alloc);
    for (size_t i = 0; i < lanes->branches.len; i++) {
        const ckv_branch *b = &lanes->branches.ptr[i];
        ckv_buf_bytes(&tips, &lanes->lanes.ptr[b->lane].id, 32);
        ckv_buf_u32le(&tips, b->n_seq);
        ckv_buf_bytes(&tips, ckv_ids_at(&doc->graph.ids, b->tip), 32);
    }
    ckv_buf_bytes(&all, &doc->id, 32);
    if (tips.status == CKV_OK && ckv_buf_reserve(&all, 256 * 32)) {
        if (tips.len) qsort(tips.ptr, tips.len / 68, 68, root_order);
        size_t at = 0;
        for (unsigned bucket = 0; bucket < 256; bucket++) {
            const size_t from = at;
            while (at < tips.len && tips.ptr[at] == bucket) at += 68;
            ckv_id32 hash = {{0}};
            if (at > from) ckv_digest(&hash, "crdtkv-bucket-v1", tips.ptr + from, at - from);
            ckv_buf_bytes(&all, &hash, 32);
        }
        ckv_digest(&doc->root, "crdtkv-root-v1", all.ptr, all.len);
        doc->root_valid = true;
        *out = doc->root;
    }
    const ckv_status s = tips.status != CKV_OK ? tips.status : all.status;
    ckv_buf_fini(&tips);
    ckv_buf_fini(&all);
    return s;
}

/* ---- what it costs */

ckv_status ckv_doc_stats(ckv_doc *doc, ckv_stats *out)
{
    const ckv_graph *g = &doc->graph;
    *out = (ckv_stats){.changes = ckv_ids_n(&g->ids),
                       .ops = g->ids.n_lv,
                       .items = g->ids.n_items,
                       .lanes = g->lanes.lanes.len,
                       .heads = g->heads.len,
                       .voids = doc->voids.len,
                       .waiting = doc->inbox.n_waiting,
                       .later = doc->inbox.n_later,
                       .waiting_bytes = doc->inbox.bytes,
                       .evicted = doc->inbox.evicted,
                       .verified = doc->n_verified,
                       .spans = doc->space.n_spans};
    for (size_t i = 0; i < g->lanes.branches.len; i++)
        out->signatures += g->lanes.branches.ptr[i].signatures.len;
    out->memory = sizeof *doc + g->ids.ids.cap * 32 + g->ids.pieces.cap * sizeof(ckv_piece) +
                  g->ids.by_id.cap * 8 + g->segments.cap * sizeof(ckv_segment) +
                  g->entries.cap * 8 + g->parents.cap * 4 +
                  g->lanes.runs.cap * sizeof(ckv_item_run) +
                  g->lanes.branches.cap * sizeof(ckv_branch) +
                  out->signatures * sizeof(ckv_signed_at) + doc->log.ops.cap * sizeof(ckv_op) +
                  doc->log.makers.cap * 4 + doc->log.values.cap + ckv_chars_bytes(&doc->log.chars) +
                  ckv_space_bytes(&doc->space) + ckv_maps_bytes(&doc->maps) + doc->inbox.bytes +
                  doc->void_bodies.cap + doc->message_bytes.cap +
                  doc->times.cap * sizeof(ckv_time_run) + doc->journal.log.cap * sizeof(ckv_undo);
    ckv_buf found = ckv_buf_init(doc->env.alloc);
    const ckv_status s = ckv_doc_equivocations(doc, &found);
    out->equivocations = found.len / sizeof(ckv_equivocation);
    ckv_buf_fini(&found);
    return s;
}

bool ckv_doc_check(ckv_doc *doc, const char **why)
{
    if (!ckv_graph_check(&doc->graph, why) || !ckv_oplog_check(&doc->log, why) ||
        !ckv_maps_check(&doc->maps, why) || !ckv_inbox_check(&doc->inbox, why) ||
        !ckv_lvindex_check(&doc->space.index, why)) {
        return false;
    }
    for (size_t i = 0; i < doc->maps.containers.len; i++) {
        const ckv_container *c = &doc->maps.containers.ptr[i];
        if (c->tag == CKV_KIND_TEXT && !c->gone && !ckv_seq_check(&doc->space, &c->seq, why))
            return false;
    }
    *why = "doc I1";
    return doc->log.n_lv >= doc->graph.ids.n_lv && doc->log.n_items >= doc->graph.ids.n_items;
}
