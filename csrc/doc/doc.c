#include "doc/admit.h"
#include "doc/state.h"

#include "doc/encode.h"
#include "doc/exchange.h"
#include "doc/keep.h"

/* ---- life */

ckv_status ckv_doc_new(ckv_doc **out, const ckv_env *env, const ckv_identity *identity,
                       const ckv_id32 *doc_id)
{
    return ckv_doc_new_with(out, env, identity, doc_id, NULL);
}

ckv_status ckv_doc_new_with(ckv_doc **out, const ckv_env *env, const ckv_identity *identity,
                            const ckv_id32 *doc_id, const ckv_content *content)
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
                   .limits = {.depth = CKV_MAX_DEPTH,
                              .tips = CKV_MAX_TIPS,
                              .key_bytes = CKV_MAX_KEY_BYTES,
                              .body_bytes = CKV_MAX_BODY_BYTES},
                   .graph = ckv_graph_init(a, s),
                   .log = ckv_oplog_init(a),
                   .space = ckv_space_init(a, s),
                   .moves = ckv_moves_init(a, (uint32_t)s),
                   .counts = {.a = a},
                   .marks = ckv_marks_init(a, (uint32_t)s),
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
                   .values = {.a = a},
                   .stands_for = ckv_hmap_init(a, (uint32_t)s),
                   .own_lanes = {.a = a},
                   .floors = {.a = a},
                   .events = ckv_buf_init(a),
                   .patches = ckv_buf_init(a),
                   .asked = ckv_past_init(a),
                   .asked_of = CKV_NONE,
                   .restored_lane = CKV_NONE,
                   .own_lane = CKV_NONE};
    if (content) {
        d->has_content = true;
        d->content = *content;
    }
    if (!d->env.random) d->env.random = ckv_random_bytes;
    if (doc_id) {
        d->id = *doc_id;
    } else {
        d->has_founder = true;
        d->founder = identity->public_key;
        d->env.random(d->env.random_ctx, d->founder_nonce, sizeof d->founder_nonce);
        d->id = ckv_founded_doc_id(&d->founder, d->founder_nonce);
    }
    ckv_status status = ckv_tree_init(&d->tree, a, secret + 8);
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
    ckv_doc_unkeep(d);
    ckv_graph_fini(&d->graph);
    ckv_oplog_fini(&d->log);
    ckv_space_fini(&d->space);
    ckv_tree_fini(&d->tree);
    ckv_moves_fini(&d->moves);
    ckv_counts_fini(&d->counts);
    ckv_marks_fini(&d->marks);
    ckv_u32s_fini(&d->values);
    ckv_hmap_fini(&d->stands_for);
    ckv_own_lanes_fini(&d->own_lanes);
    ckv_floors_fini(&d->floors);
    ckv_buf_fini(&d->events);
    ckv_buf_fini(&d->patches);
    ckv_undos_fini(&d->journal.log);
    ckv_past_fini(&d->past);
    ckv_past_fini(&d->scratch);
    ckv_past_fini(&d->asked);
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

void ckv_doc_seed(ckv_doc *doc, const uint8_t seed[32])
{
    doc->stream = (ckv_stream){.n_blocks = 0};
    memcpy(doc->stream.seed, seed, 32);
    doc->env.random = ckv_stream_bytes;
    doc->env.random_ctx = &doc->stream;
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

ckv_status ckv_doc_add_cover(ckv_doc *doc, uint32_t change, uint32_t n, const uint8_t *headers,
                             size_t n_bytes, const ckv_signature *signature)
{
    ckv_cover c = {
        .n = n, .off = doc->cover_headers.len, .n_bytes = n_bytes, .signature = *signature};
    c.branch = ckv_graph_branch(&doc->graph, change, &c.seq);
    CKV_TRY(ckv_covers_reserve(&doc->covers, 1));
    ckv_buf_bytes(&doc->cover_headers, headers, n_bytes);
    if (doc->cover_headers.status != CKV_OK) {
        const ckv_status s = doc->cover_headers.status;
        doc->cover_headers.status = CKV_OK;
        return s;
    }
    size_t at = doc->covers.len;
    while (at > 0 &&
           (doc->covers.ptr[at - 1].branch > c.branch ||
            (doc->covers.ptr[at - 1].branch == c.branch && doc->covers.ptr[at - 1].seq > c.seq)))
        at--;
    memmove(doc->covers.ptr + at + 1, doc->covers.ptr + at, (doc->covers.len - at) * sizeof c);
    doc->covers.ptr[at] = c;
    doc->covers.len++;
    return CKV_OK;
}

int64_t ckv_doc_time(const ckv_doc *doc, uint32_t change)
{
    size_t i;
    LOWER(doc->times, change + 1, i);
    return i ? doc->times.ptr[i - 1].time : 0;
}

/* ---- containers */

uint32_t ckv_doc_n_containers(const ckv_doc *doc) { return (uint32_t)doc->tree.v.len; }

ckv_kind ckv_doc_kind(const ckv_doc *doc, uint32_t container)
{
    return (ckv_kind)ckv_tree_at(&doc->tree, container)->kind;
}

const ckv_limits *ckv_doc_limits(const ckv_doc *doc) { return &doc->limits; }

uint32_t ckv_doc_depth(const ckv_doc *doc, uint32_t container)
{
    return ckv_tree_at(&doc->tree, container)->depth;
}

bool ckv_doc_is_live(ckv_doc *doc, uint32_t container)
{
    return ckv_tree_is_live(&doc->tree, &doc->space, &doc->log, container);
}

bool ckv_doc_is_gone(const ckv_doc *doc, uint32_t container)
{
    return ckv_tree_at(&doc->tree, container)->gone;
}

ckv_status ckv_doc_path(ckv_doc *doc, uint32_t container, ckv_buf *out)
{
    const size_t start = out->len;
    CKV_TRY(ckv_doc_flush(doc));
    if (!ckv_doc_is_live(doc, container)) return CKV_ESTALE;
    for (uint32_t c = container; c != CKV_ROOT; c = ckv_tree_at(&doc->tree, c)->holder) {
        const ckv_container *x = ckv_tree_at(&doc->tree, c);
        ckv_step step = {0};
        if (x->element != CKV_NO_ITEM) {
            ckv_gap gap;
            CKV_MUST(ckv_space_locate(&doc->space, ckv_moves_slot(&doc->moves, x->element), &gap));
            step.index = ckv_seq_pos(&doc->space, gap) - 1;
        } else {
            const uint32_t key = doc->tree.registers.regs.ptr[x->reg].key;
            step.key = (const char *)ckv_keys_bytes(&doc->tree.keys, key);
            step.key_bytes = ckv_keys_len(&doc->tree.keys, key);
        }
        ckv_buf_bytes(out, &step, sizeof step);
    }
    if (out->status != CKV_OK) return out->status;
    for (size_t i = start, k = out->len - sizeof(ckv_step); i < k && out->len > start;
         i += sizeof(ckv_step), k -= sizeof(ckv_step)) { /* from the root down */
        ckv_step a, b;
        memcpy(&a, out->ptr + i, sizeof a);
        memcpy(&b, out->ptr + k, sizeof b);
        memcpy(out->ptr + i, &b, sizeof b);
        memcpy(out->ptr + k, &a, sizeof a);
    }
    return CKV_OK;
}

/* ---- changes */

uint32_t ckv_doc_n_changes(const ckv_doc *doc) { return ckv_ids_n(&doc->graph.ids); }

void ckv_doc_change_here(const ckv_doc *doc, uint32_t change, ckv_change_info *out)
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
        .is_signed = ckv_lanes_covered(&g->lanes, b, seq) || ckv_doc_cover(doc, b, seq),
        .is_local = ckv_doc_is_own(doc, change)};
    memcpy(out->parents, parents, n * sizeof *parents);
    if (m) {
        out->message = (const char *)doc->message_bytes.ptr + m->off;
        out->message_bytes = m->n_bytes;
    }
}

void ckv_doc_change(const ckv_doc *doc, uint32_t change, ckv_change_info *out)
{
    ckv_doc_change_here(doc, change, out);
    if (!doc->has_content) return;
    ckv_body_info body = {0}; /* of a damaged one nothing is known; whoever needs it finds out */
    (void)doc->content.body(doc->content.ctx, change, &body, NULL);
    out->n_ops = body.n_ops;
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
                       .open_ops = ckv_doc_open_ops(doc),
                       .items = g->ids.n_items,
                       .items_limit = CKV_MAX_ITEMS,
                       .lanes = g->lanes.lanes.len,
                       .branches = g->lanes.branches.len,
                       .heads = g->heads.len,
                       .voids = doc->voids.len,
                       .void_bytes = doc->void_bodies.len,
                       .waiting = doc->inbox.n_waiting,
                       .later = doc->inbox.n_later,
                       .waiting_bytes = doc->inbox.bytes,
                       .waiting_limit = doc->inbox.limit,
                       .lane_waiting = ckv_inbox_most(&doc->inbox, CKV_BOOK_LANES),
                       .lane_waiting_limit = doc->inbox.books[CKV_BOOK_LANES].limit,
                       .peer_waiting = ckv_inbox_most(&doc->inbox, CKV_BOOK_PEERS),
                       .peer_waiting_limit = doc->inbox.books[CKV_BOOK_PEERS].limit,
                       .evicted = doc->inbox.evicted,
                       .refused = doc->n_refused,
                       .tips_limit = CKV_MAX_TIPS,
                       .verified = doc->n_verified,
                       .spans = doc->space.n_spans};
    for (size_t i = 0; i < g->lanes.branches.len; i++)
        out->signatures += g->lanes.branches.ptr[i].signatures.len;
    for (size_t i = 0; i < g->lanes.lanes.len; i++) {
        if (g->lanes.lanes.ptr[i].n_branches > out->tips)
            out->tips = g->lanes.lanes.ptr[i].n_branches;
    }
    out->memory = sizeof *doc + g->ids.ids.cap * 32 + g->ids.pieces.cap * sizeof(ckv_piece) +
                  g->ids.by_id.cap * 8 + g->segments.cap * sizeof(ckv_segment) +
                  g->entries.cap * 8 + g->parents.cap * 4 +
                  g->lanes.runs.cap * sizeof(ckv_item_run) +
                  g->lanes.branches.cap * sizeof(ckv_branch) +
                  out->signatures * sizeof(ckv_signed_at) + doc->log.ops.cap * sizeof(ckv_op) +
                  doc->log.makers.cap * 4 + doc->log.values.cap + ckv_chars_bytes(&doc->log.chars) +
                  ckv_space_bytes(&doc->space) + ckv_tree_bytes(&doc->tree) +
                  ckv_moves_bytes(&doc->moves) + doc->counts.cap * sizeof(ckv_count) +
                  doc->inbox.bytes + doc->void_bodies.cap + doc->message_bytes.cap +
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
        !ckv_tree_check(&doc->tree, why) || !ckv_inbox_check(&doc->inbox, why) ||
        !ckv_lvindex_check(&doc->space.index, why) ||
        !ckv_deletes_check(&doc->space.deletes, why)) {
        return false;
    }
    for (size_t i = 0; i < doc->tree.v.len; i++) {
        const ckv_container *c = &doc->tree.v.ptr[i];
        if ((c->kind == CKV_TAG_TEXT || c->kind == CKV_TAG_LIST) && !c->gone &&
            !ckv_seq_check(&doc->space, &c->seq, why))
            return false;
    }
    *why = "doc: with content the log is empty";
    if (doc->has_content && (doc->log.n_lv || doc->log.n_items || doc->graph.ids.n_lv))
        return false;
    *why = "doc I1";
    return doc->log.n_lv >= doc->graph.ids.n_lv && doc->log.n_items >= doc->graph.ids.n_items;
}
