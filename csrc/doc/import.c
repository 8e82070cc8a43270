/* import.c -- a bundle comes in: columns back to changes, ids, signatures, then one by one through the door (doc/admit).
 *
 *     1  read      doc/unpack: every change of the bundle gets its canonical header and body back, and from them its id
 *     2  verify    one signature for each contiguous run; what no signature covers is dropped
 *     3  admit     in the order of the bundle, and whatever was waiting for them
 *
 * An error status takes everything back: graph, log, state, inbox (I: no trace).
 */
#include "doc/import.h"
#include "doc/admit.h"
#include "doc/keep.h"
#include "doc/snapshot.h"

/* ---- 2 verify */

/* Whether a change is here already, by the short way if its lane is whole. */
static ckv_status is_here(ckv_import *m, ckv_item_in *item)
{
    ckv_graph *g = &m->doc->graph;
    const uint32_t lane = m->lanes.ptr[m->chains.ptr[item->chain].lane].number;
    if (lane == CKV_NONE) return CKV_OK;
    const ckv_lane *l = ckv_lanes_lane(&g->lanes, lane);
    if (l->n_branches == 0) return CKV_OK;
    if (l->n_branches == 1) {
        if (item->seq >= ckv_lanes_branch(&g->lanes, l->first_branch)->n_seq) return CKV_OK;
        const uint32_t c = ckv_graph_at(g, l->first_branch, item->seq);
        if (ckv_id32_eq(ckv_ids_at(&g->ids, c), &item->id)) item->change = c;
        return CKV_OK;
    }
    const ckv_status s = ckv_ids_find(&g->ids, &item->id, &item->change);
    return s == CKV_ENOENT ? CKV_OK : s;
}

/* Accepts [from, to] of a chain if the run is not too long. */
static void accept_run(ckv_import *m, uint32_t from, uint32_t to)
{
    uint64_t n = 0, n_bytes = 0;
    for (uint32_t i = from;; i = m->items.ptr[i].next) {
        const ckv_item_in *item = &m->items.ptr[i];
        n++;
        if (i == to) break;
        n_bytes += item->body_len;
        if (item->change != CKV_NONE) n = n_bytes = 0; /* what is here is authentic */
    }
    const bool fits = n <= CKV_RUN_CHANGES && n_bytes <= CKV_RUN_BYTES;
    for (uint32_t i = from;; i = m->items.ptr[i].next) {
        ckv_item_in *item = &m->items.ptr[i];
        if (item->state == CKV_ITEM_UNSIGNED) {
            item->state = fits ? CKV_ITEM_ACCEPTED : CKV_ITEM_REFUSED;
            item->why = "a run of more than 1,024 changes or 256 KiB under one signature";
        }
        if (i == to) break;
    }
}

static bool is_covered(const ckv_doc *doc, uint32_t change)
{
    uint32_t seq;
    const uint32_t branch = ckv_graph_branch(&doc->graph, change, &seq);
    return ckv_lanes_covered(&doc->graph.lanes, branch, seq) || ckv_doc_cover(doc, branch, seq);
}

static ckv_status verify_chain(ckv_import *m, const ckv_chain_in *c)
{
    const ckv_lane_in *lane = &m->lanes.ptr[c->lane];
    uint32_t at = 0, k = 0, from = c->first;
    bool broken = false,
         news = false; /* news: something since the last signature is not here yet */
    for (uint32_t i = c->first; i != CKV_NONE; i = m->items.ptr[i].next, at++) {
        ckv_item_in *item = &m->items.ptr[i];
        if (item->state != CKV_ITEM_REFUSED) CKV_TRY(is_here(m, item));
        news |= item->change == CKV_NONE;
        if (from == CKV_NONE) from = i;
        if (k >= c->n_sigs || m->sig_at.ptr[c->sigs + k] != at) continue;
        const uint32_t sig = c->sigs + k++;
        if (broken || !lane->good || item->cut) {
            broken = true;
            continue;
        }
        if (!news &&
            is_covered(m->doc, item->change)) { /* nothing to learn: a signature is checked once */
            from = CKV_NONE;
            continue;
        }
        if (!ckv_import_verify(m, i, sig)) continue; /* a later one may still cover it */
        news = false;
        item->signature = sig;
        accept_run(m, from, i);
        from = CKV_NONE;
    }
    for (uint32_t i = from; i != CKV_NONE; i = m->items.ptr[i].next) {
        ckv_item_in *item = &m->items.ptr[i];
        if (item->state != CKV_ITEM_UNSIGNED) continue;
        item->state = CKV_ITEM_REFUSED;
        item->why = !lane->has_opening ? "the lane's opening is missing"
                    : !lane->good
                        ? "the lane is not that of its opening, or the key is not a valid point"
                    : c->n_sigs && from == c->first ? "the signature does not hold"
                                                    : "unsigned";
    }
    return CKV_OK;
}

/* ---- 3 admit */

static ckv_status report_refusal(ckv_import *m, const ckv_id32 *id, ckv_refusal_kind kind,
                                 const char *reason)
{
    const ckv_refusal r = {.id = *id, .has_id = true, .kind = kind, .reason = reason};
    ckv_buf_bytes(&m->report->refused, &r, sizeof r);
    return m->report->refused.status;
}

static ckv_refusal_kind kind_of(const char *why)
{
    if (strstr(why, "1,024")) return CKV_REFUSED_LIMIT; /* first: it speaks of the signature, too */
    if (strstr(why, "header") || strstr(why, "body")) return CKV_REFUSED_DECODE;
    if (strstr(why, "sign")) return CKV_REFUSED_SIGNATURE;
    return CKV_REFUSED_OTHER;
}

/* The header of an item, as a blob. */
static void put_header(const ckv_import *m, const ckv_item_in *item, ckv_buf *out)
{
    uint8_t bytes[CKV_HEADER_MAX_BYTES];
    if (item->raw)
        ckv_buf_blob(out, m->bodies.ptr + item->body - item->header_len, item->header_len);
    else
        ckv_buf_blob(out, bytes, ckv_import_header(bytes, m, item));
}

/* The headers from behind an item to the signature that covers it, which are the trail of all letters of this run. */
static ckv_status make_trail(ckv_import *m, ckv_chain_in *chain, uint32_t item)
{
    const ckv_alloc a = m->doc->env.alloc;
    ckv_buf headers = ckv_buf_init(a);
    uint32_t end = item, n = 0;
    while (m->items.ptr[end].signature == CKV_NONE) {
        end = m->items.ptr[end].next;
        put_header(m, &m->items.ptr[end], &headers);
        n++;
    }
    ckv_trail *trail = NULL;
    ckv_status s = headers.status;
    if (s == CKV_OK) s = ckv_trail_new(&trail, a, (uint32_t)headers.len);
    if (s == CKV_OK) {
        memcpy(trail->headers, headers.ptr, headers.len);
        trail->signature = ckv_import_signature(m, m->items.ptr[end].signature);
        ckv_trail_drop(chain->trail, a);
        chain->trail = trail;
        chain->trail_end = end;
        chain->trail_item = item;
        chain->trail_at = 0;
        chain->trail_left = n;
    }
    ckv_buf_fini(&headers);
    return s;
}

/* Items of a chain come in its order, so the trail of a run is gone along once. */
static ckv_status follow_trail(ckv_import *m, uint32_t item, ckv_letter *l)
{
    ckv_chain_in *chain = &m->chains.ptr[m->items.ptr[item].chain];
    if (!chain->trail || item > chain->trail_end) CKV_TRY(make_trail(m, chain, item));
    while (chain->trail_item != item) {
        ckv_rd r = ckv_rd_init(chain->trail->headers + chain->trail_at,
                               chain->trail->n_bytes - chain->trail_at);
        size_t n;
        CKV_MUST(ckv_rd_blob(&r, &n) != NULL);
        chain->trail_at = (uint32_t)(r.p - chain->trail->headers);
        chain->trail_left--;
        chain->trail_item = m->items.ptr[chain->trail_item].next;
    }
    l->trail = chain->trail;
    l->trail_at = chain->trail_at;
    l->trail_n = chain->trail_left;
    return CKV_OK;
}

/* Puts a change aside, its header as it came or written out again, canonical as it was; or its body, if it is in the graph without. was: the letter that it was
 * before, else NULL, and it is `item`. */
static ckv_status put_aside(ckv_import *m, const ckv_candidate *c, const ckv_judgement *j,
                            const ckv_letter *was, uint32_t item, bool *kept)
{
    uint8_t header[CKV_HEADER_MAX_BYTES];
    ckv_letter l = {.id = *c->id,
                    .lane = *c->lane,
                    .author = *c->author,
                    .missing = j->missing,
                    .seq = c->header.seq,
                    .peer = was       ? was->peer
                            : m->from ? m->from->number
                                      : 0,
                    .later = j->verdict == CKV_LATER || j->aside,
                    .claimed = c->claimed,
                    .has_signature = c->signature != NULL};
    memcpy(l.nonce, c->nonce, 16);
    if (c->signature)
        l.signature = *c->signature;
    else if (!was)
        CKV_TRY(follow_trail(m, item, &l));
    else
        l.trail = was->trail, l.trail_at = was->trail_at, l.trail_n = was->trail_n;
    ckv_id32 hash;
    ckv_header h = c->header;
    h.body = c->body;
    if (h.body_len > CKV_INLINE_BODY_BYTES && !c->raw) {
        hash = ckv_body_hash(c->body, h.body_len);
        h.body_hash = &hash;
    }
    l.header_bytes = (uint32_t)(c->raw ? c->raw_bytes : ckv_header_write(header, &h));
    l.body_bytes = c->body ? h.body_len : 0;
    return ckv_inbox_add(&m->doc->inbox, &l, c->raw ? c->raw : header, c->body, kept);
}

/* Puts a verdict into the report, and what waits or is for later into the inbox. */
static ckv_status note_verdict(ckv_import *m, const ckv_candidate *c, const ckv_judgement *j,
                               const ckv_letter *was, uint32_t item)
{
    bool kept;
    switch (j->verdict) {
    case CKV_APPLIED:
        if (j->aside) CKV_TRY(put_aside(m, c, j, was, item, &kept)); /* if not, it can come again */
        ckv_buf_bytes(&m->report->applied, c->id, 32);
        return m->report->applied.status;
    case CKV_VOIDED: ckv_buf_bytes(&m->report->voided, c->id, 32); return m->report->voided.status;
    case CKV_REFUSED: return report_refusal(m, c->id, j->kind, j->reason);
    case CKV_WAITING:
    case CKV_LATER:
        CKV_TRY(put_aside(m, c, j, was, item, &kept));
        if (!kept) return report_refusal(m, c->id, CKV_REFUSED_LIMIT, "the waiting pool is full");
        if (was && item != CKV_NONE) { /* it waited before this bundle, too */
            m->report->known++;
            return CKV_OK;
        }
        ckv_buf_bytes(&m->report->waiting, c->id, 32);
        return m->report->waiting.status;
    }
    return CKV_OK;
}

/* In the graph? */
static bool is_in(const ckv_judgement *j)
{
    return j->verdict == CKV_APPLIED || j->verdict == CKV_VOIDED;
}

/* Borrows from the letter. */
static ckv_candidate candidate_of_letter(const ckv_letter *l)
{
    ckv_candidate c = {.id = &l->id,
                       .lane = &l->lane,
                       .author = &l->author,
                       .nonce = l->nonce,
                       .raw = l->bytes,
                       .raw_bytes = l->header_bytes,
                       .signature = l->has_signature ? &l->signature : NULL,
                       .claimed = l->claimed,
                       .lane_no = CKV_NONE,
                       .prev = CKV_NONE};
    const char *why;
    bool decodes;
    CKV_MUST(ckv_header_read(&c.header, l->bytes, l->header_bytes, &decodes, &why));
    if (l->body_bytes == c.header.body_len) c.body = l->bytes + l->header_bytes;
    return c;
}

/* Judges what waited for `id`, and what waited for that, without recursion. */
static ckv_status release_waiters(ckv_import *m, const ckv_id32 *id)
{
    ckv_doc *doc = m->doc;
    if (doc->inbox.n_waiting == 0) return CKV_OK;
    ckv_id32s todo = {.a = doc->env.alloc};
    ckv_status s = ckv_id32s_push(&todo, *id);
    while (s == CKV_OK && todo.len) {
        const ckv_id32 now = todo.ptr[--todo.len];
        for (;;) {
            size_t at = SIZE_MAX;
            const uint32_t i = ckv_inbox_waiter(&doc->inbox, &now, &at);
            if (i == CKV_HMAP_NONE) break;
            const ckv_letter l = doc->inbox.letters.ptr[i]; /* a copy: the vector may move */
            const ckv_candidate c = candidate_of_letter(&l);
            ckv_judgement j;
            s = ckv_admit(doc, &c, &j);
            if (s != CKV_OK) break;
            if (j.verdict == CKV_WAITING) {
                ckv_inbox_await(&doc->inbox, i, &j.missing);
                continue;
            }
            ckv_inbox_release(&doc->inbox, i);
            s = note_verdict(m, &c, &j, &l, CKV_NONE);
            if (s == CKV_OK && is_in(&j) && l.trail)
                s = ckv_releases_push(&m->released, (ckv_released){i, j.change});
            if (s == CKV_OK && is_in(&j) && m->from && l.peer == m->from->number)
                s = ckv_peer_raise_change(m->from, doc, j.change);
            if (s == CKV_OK && is_in(&j)) s = ckv_id32s_push(&todo, l.id);
            if (s != CKV_OK) break;
        }
    }
    ckv_id32s_fini(&todo);
    return s;
}

static const char too_new[] = "its body is for a later version";

/* An item as a candidate; the signature is not its own. */
static ckv_candidate candidate_of(const ckv_import *m, const ckv_item_in *item,
                                  const ckv_signature *signature)
{
    const ckv_chain_in *chain = &m->chains.ptr[item->chain];
    const ckv_lane_in *lane = &m->lanes.ptr[chain->lane];
    const ckv_item_in *before = item->before == CKV_NONE ? NULL : &m->items.ptr[item->before];
    return (ckv_candidate){
        .id = &item->id,
        .lane = &lane->id,
        .author = &lane->author,
        .nonce = lane->nonce,
        .header = {.type = ckv_doc_type(m->doc),
                   .seq = item->seq,
                   .n_ops = item->n_ops,
                   .body_len = item->body_len,
                   .has_prev = item->has_prev,
                   .prev = before ? before->id : chain->first_prev,
                   .n_parents = item->n_parents,
                   .parents = m->parents.ptr + item->parents},
        .body =
            item->left_out ? NULL : m->bodies.ptr + item->body, /* its header or head is there */
        .claimed = item->left_out,
        .raw = item->raw ? m->bodies.ptr + item->body - item->header_len : NULL,
        .raw_bytes = item->header_len,
        .signature = signature,
        .lane_no = lane->number,
        .prev = before ? before->change : CKV_NONE}; /* unpack linked them */
}

/* A body that only a later version can read, of a change that is in the graph without: it waits for that version, as it would if its change did. Without a
 * signature of its own nobody could be given it, so it comes again from whoever has it. */
static ckv_status keep_body(ckv_import *m, ckv_item_in *item, const ckv_signature *signature)
{
    ckv_doc *doc = m->doc;
    const ckv_judgement j = {.verdict = CKV_APPLIED, .aside = true};
    bool kept = false;
    item->too_new = true;
    if (doc->inbox.n_later && ckv_inbox_find(&doc->inbox, &item->id) != CKV_HMAP_NONE) {
        m->report->known++;
        return CKV_OK;
    }
    if (!signature) signature = ckv_doc_signature_at(doc, item->change);
    if (signature) {
        const ckv_candidate c = candidate_of(m, item, signature);
        CKV_TRY(put_aside(m, &c, &j, NULL, (uint32_t)(item - m->items.ptr), &kept));
    }
    if (!kept) return report_refusal(m, &item->id, CKV_REFUSED_LIMIT, too_new);
    ckv_buf_bytes(&m->report->waiting, &item->id, 32);
    return m->report->waiting.status;
}

/* A change that is here, and its body, which somebody left out. */
static ckv_status attach(ckv_import *m, ckv_item_in *item, const ckv_signature *signature)
{
    const ckv_content *x = &m->doc->content;
    if (x->body_state(x->ctx, item->change) != CKV_BODY_CLAIMED) {
        m->report->known++;
        return CKV_OK;
    }
    ckv_taken t = {.change = item->change,
                   .header = m->bodies.ptr + item->body - item->header_len,
                   .header_bytes = item->header_len,
                   .body = m->bodies.ptr + item->body,
                   .body_bytes = item->body_len,
                   .n_ops = item->n_ops};
    ckv_body_head head = {0};
    const char *why = NULL;
    const ckv_status s = x->read(x->ctx, t.body, t.body_bytes, t.n_ops, &head, &why);
    if (s == CKV_EVOID) head = (ckv_body_head){0};
    if (s == CKV_ELATER) return keep_body(m, item, signature);
    if (s != CKV_OK && s != CKV_EVOID) return s;
    if (s == CKV_EVOID) t.void_reason = why;
    bool wanted = false;
    CKV_TRY(x->attach(x->ctx, &t, &wanted));
    if (!wanted) {
        m->report->known++;
        return CKV_OK;
    }
    if (m->doc->inbox.n_later) {
        const uint32_t letter = ckv_inbox_find(&m->doc->inbox, &item->id);
        if (letter != CKV_HMAP_NONE) ckv_inbox_release(&m->doc->inbox, letter);
    }
    CKV_TRY(
        ckv_lates_push(&m->late, (ckv_late){.change = item->change,
                                            .n_ops = item->n_ops,
                                            .time = head.time,
                                            .message = head.message,
                                            .message_bytes = head.message ? head.message_bytes : 0,
                                            .void_reason = t.void_reason}));
    ckv_buf *list = s == CKV_OK ? &m->report->applied : &m->report->voided;
    ckv_buf_bytes(list, &item->id, 32);
    return list->status;
}

static ckv_status admit_item(ckv_import *m, ckv_item_in *item)
{
    ckv_doc *doc = m->doc;
    ckv_lane_in *lane = &m->lanes.ptr[m->chains.ptr[item->chain].lane];
    if (item->change ==
        CKV_NONE) { /* this very bundle may have brought it: twice, or by releasing what waited */
        if (lane->number == CKV_NONE) lane->number = ckv_lanes_find(&doc->graph.lanes, &lane->id);
        CKV_TRY(is_here(m, item));
    }
    ckv_signature own;
    const ckv_signature *signature = NULL;
    if (item->signature != CKV_NONE) {
        own = ckv_import_signature(m, item->signature);
        signature = &own;
    }
    if (item->change !=
        CKV_NONE) { /* known; a new signature on it is welcome where none covers it */
        if (m->doc->has_content && item->has_body) {
            CKV_TRY(attach(m, item, signature));
        } else {
            m->report->known++;
        }
        if (signature) {
            uint32_t seq;
            const uint32_t b = ckv_graph_branch(&doc->graph, item->change, &seq);
            if (!ckv_lanes_covered(&doc->graph.lanes, b, seq))
                CKV_TRY(ckv_lanes_sign(&doc->graph.lanes, b, seq, signature));
        }
        return CKV_OK;
    }
    ckv_candidate c = candidate_of(m, item, signature);
    const uint32_t waits = doc->inbox.n_waiting + doc->inbox.n_later
                               ? ckv_inbox_find(&doc->inbox, &item->id)
                               : CKV_HMAP_NONE;
    ckv_letter letter; /* a copy: the vector may move */
    const ckv_letter *was = NULL;
    if (waits != CKV_HMAP_NONE) {
        letter = doc->inbox.letters.ptr[waits];
        const bool has_body = letter.body_bytes == item->body_len;
        if (item->left_out ? letter.claimed : !item->has_body || has_body) {
            m->report->known++;
            return CKV_OK;
        }
        /* What is for a later version here is in the graph of those to whom it was called dead, and of all who build upon it. Its body goes on waiting. */
        if (!letter.later) {
            ckv_inbox_release(&doc->inbox, waits);
            if (item->left_out) c = candidate_of_letter(was = &letter);
            c.claimed = true; /* by one of the two, whichever came first */
        }
    }
    ckv_judgement j;
    CKV_TRY(ckv_admit(doc, &c, &j));
    CKV_TRY(note_verdict(m, &c, &j, was, (uint32_t)(item - m->items.ptr)));
    item->too_fast = j.too_fast;
    if (!is_in(&j)) return CKV_OK;
    item->change = j.change;
    lane->number = j.lane_no;
    return release_waiters(m, &item->id);
}

static ckv_status admit_all(ckv_import *m)
{
    for (size_t i = 0; i < m->items.len; i++) {
        ckv_item_in *item = &m->items.ptr[i];
        if (item->state == CKV_ITEM_REFUSED && item->change == CKV_NONE) {
            CKV_TRY(report_refusal(m, &item->id, kind_of(item->why), item->why));
        } else if (item->state == CKV_ITEM_ACCEPTED || item->change != CKV_NONE) {
            CKV_TRY(admit_item(m, item));
        }
    }
    return CKV_OK;
}

/* Tips that were refused for their number, and that somebody who came later in the bundle builds on; once more if who was let in by that
 * misses another one, but not for ever: they can come again. */
static ckv_status admit_needed(ckv_import *m)
{
    bool again = false;
    for (size_t i = 0; i < m->report->refused.len && !again; i += sizeof(ckv_refusal)) {
        ckv_refusal r;
        memcpy(&r, m->report->refused.ptr + i, sizeof r);
        again = r.kind == CKV_REFUSED_LIMIT;
    }
    for (int pass = 0; pass < 32 && again; pass++) {
        again = false;
        for (size_t i = 0; i < m->items.len; i++) {
            ckv_item_in *item = &m->items.ptr[i];
            size_t at = SIZE_MAX;
            if (item->state != CKV_ITEM_ACCEPTED || item->change != CKV_NONE || item->too_fast ||
                ckv_inbox_find(&m->doc->inbox, &item->id) != CKV_HMAP_NONE ||
                ckv_inbox_waiter(&m->doc->inbox, &item->id, &at) == CKV_HMAP_NONE)
                continue;
            CKV_TRY(admit_item(m, item));
            again |= item->change != CKV_NONE;
        }
    }
    return CKV_OK;
}

/* ---- covers */

/* Keeps the headers from behind `last`, which is here, to `signer`, which is not. */
static ckv_status keep_cover(ckv_import *m, const ckv_item_in *last, const ckv_item_in *signer)
{
    ckv_buf headers = ckv_buf_init(m->doc->env.alloc);
    const ckv_signature signature = ckv_import_signature(m, signer->signature);
    uint32_t n = 0;
    for (const ckv_item_in *i = last; i != signer; n++) {
        i = &m->items.ptr[i->next];
        put_header(m, i, &headers);
    }
    ckv_status s = headers.status;
    if (s == CKV_OK)
        s = ckv_doc_add_cover(m->doc, last->change, n, headers.ptr, headers.len, &signature);
    ckv_buf_fini(&headers);
    return s;
}

/* A change is accepted under a signature that may stand on one that is not stored. What proves it is kept, or it could not be passed on. */
static ckv_status keep_covers(ckv_import *m)
{
    ckv_doc *doc = m->doc;
    for (size_t k = 0; k < m->chains.len; k++) {
        const ckv_chain_in *chain = &m->chains.ptr[k];
        const ckv_item_in *last = NULL;
        for (uint32_t i = chain->first; i != CKV_NONE; i = m->items.ptr[i].next) {
            const ckv_item_in *item = &m->items.ptr[i];
            if (item->change != CKV_NONE)
                last = item;
            else if (item->signature != CKV_NONE && last && !is_covered(doc, last->change))
                CKV_TRY(keep_cover(m, last, item));
        }
    }
    for (size_t i = m->released.len; i; i--) { /* of a run the last one's covers all */
        const ckv_released *r = &m->released.ptr[i - 1];
        const ckv_letter *l = &doc->inbox.letters.ptr[r->letter];
        if (is_covered(doc, r->change)) continue;
        CKV_TRY(ckv_doc_add_cover(doc, r->change, l->trail_n, l->trail->headers + l->trail_at,
                                  l->trail->n_bytes - l->trail_at, &l->trail->signature));
    }
    return CKV_OK;
}

/* ---- the whole */

void ckv_report_init(ckv_report *report, ckv_alloc a)
{
    *report = (ckv_report){ckv_buf_init(a), ckv_buf_init(a), ckv_buf_init(a), ckv_buf_init(a), 0};
}

void ckv_report_fini(ckv_report *report)
{
    ckv_buf_fini(&report->applied);
    ckv_buf_fini(&report->voided);
    ckv_buf_fini(&report->waiting);
    ckv_buf_fini(&report->refused);
}

static void report_clear(ckv_report *report)
{
    ckv_buf_clear(&report->applied);
    ckv_buf_clear(&report->voided);
    ckv_buf_clear(&report->waiting);
    ckv_buf_clear(&report->refused);
    report->known = 0;
}

/* A copy that was refused (unsigned, say) of a change that is here, or waits, was known. */
static ckv_status settle_refusals(ckv_import *m)
{
    ckv_buf *refused = &m->report->refused;
    size_t kept = 0;
    for (size_t i = 0; i < refused->len; i += sizeof(ckv_refusal)) {
        ckv_refusal r;
        uint32_t change;
        memcpy(&r, refused->ptr + i, sizeof r);
        const ckv_status s = ckv_ids_find(&m->doc->graph.ids, &r.id, &change);
        if (s != CKV_OK && s != CKV_ENOENT) return s;
        if (r.reason != too_new &&
            (s == CKV_OK || ckv_inbox_find(&m->doc->inbox, &r.id) != CKV_HMAP_NONE)) {
            m->report->known++;
            continue;
        }
        memmove(refused->ptr + kept, refused->ptr + i, sizeof r);
        kept += sizeof r;
    }
    refused->len = kept;
    return CKV_OK;
}

/* A change that was put to wait and then released by the same bundle was applied, not waiting: also if its body went on waiting. n_before: changes that were here. */
static ckv_status settle_report(ckv_import *m, uint32_t n_before)
{
    ckv_buf *w = &m->report->waiting;
    size_t kept = 0;
    for (size_t i = 0; i < w->len; i += 32) {
        ckv_id32 id;
        uint32_t change;
        memcpy(&id, w->ptr + i, 32);
        if (ckv_inbox_find(&m->doc->inbox, &id) == CKV_HMAP_NONE) continue;
        const ckv_status s = ckv_ids_find(&m->doc->graph.ids, &id, &change);
        if (s != CKV_OK && s != CKV_ENOENT) return s;
        if (s == CKV_OK && change >= n_before) continue;
        memmove(w->ptr + kept, w->ptr + i, 32);
        kept += 32;
    }
    w->len = kept;
    return CKV_OK;
}

/* The peer has what came, and ids are noted. */
static ckv_status note_source(ckv_import *m, ckv_peer *from, ckv_buf *ids)
{
    for (size_t i = 0; i < m->items.len; i++) {
        const ckv_item_in *item = &m->items.ptr[i];
        if (ids) ckv_buf_bytes(ids, &item->id, 32);
        /* Who sends a body that is too new may keep its change aside, as we would, and has it not in the graph. */
        if (from && item->change != CKV_NONE && !item->too_new)
            CKV_TRY(ckv_peer_raise_change(from, m->doc, item->change));
    }
    return ids ? ids->status : CKV_OK;
}

/* From whom the document has its id. */
static void learn_founder(const ckv_import *m)
{
    ckv_doc *doc = m->doc;
    if (!m->bundle.head.has_founder || doc->has_founder) return;
    doc->has_founder = true;
    doc->founder = m->bundle.head.founder;
    memcpy(doc->founder_nonce, m->bundle.head.nonce, 16);
}

ckv_status ckv_import_enter(ckv_import *m, ckv_peer *from, ckv_buf *ids)
{
    ckv_doc *doc = m->doc;
    ckv_snapshot at = {.heads = {.a = doc->env.alloc}};
    ckv_late_notes notes = ckv_late_notes_init(doc->env.alloc);
    const uint64_t evicted = doc->inbox.evicted;
    const uint32_t n_before = ckv_ids_n(&doc->graph.ids);
    ckv_status s = CKV_OK;
    m->from = from;
    report_clear(m->report);
    for (size_t i = 0; s == CKV_OK && i < m->chains.len; i++)
        s = verify_chain(m, &m->chains.ptr[i]);
    if (s == CKV_OK) {
        if (doc->journal.on == 0) doc->journal.log.len = 0;
        s = ckv_snapshot_take(&at, doc);
    }
    if (s == CKV_OK) {
        doc->journal.on++;
        s = admit_all(m);
        if (s == CKV_OK) s = admit_needed(m);
        if (s == CKV_OK) s = ckv_doc_tell(doc, ckv_ids_n(&doc->graph.ids), false);
        if (s == CKV_OK) s = settle_refusals(m);
        if (s == CKV_OK) s = settle_report(m, n_before);
        if (s == CKV_OK) s = note_source(m, from, ids); /* of a failure the session dies */
        if (s == CKV_OK) s = keep_covers(m);
        if (s == CKV_OK) s = ckv_late_prepare(&notes, doc, &m->late);
        const bool had_founder = doc->has_founder;
        learn_founder(m);
        if (s == CKV_OK)
            s = ckv_doc_settle(doc); /* this, or the next: the last step that can fail */
        if (s == CKV_OK) s = ckv_keep_changes(doc);
        if (s == CKV_OK) {
            ckv_late_enter(doc, &notes, &m->late);
            doc->n_refused += m->report->refused.len / sizeof(ckv_refusal);
            ckv_inbox_settle(&doc->inbox);
            /* A copy of us went on with our lane: a change in it cannot build on both branches. */
            if (doc->own_lane != CKV_NONE &&
                ckv_lanes_lane(&doc->graph.lanes, doc->own_lane)->n_branches > 1)
                ckv_doc_leave_lane(doc);
        } else {
            ckv_snapshot_back(doc, &at);
            doc->has_founder = had_founder;
            doc->inbox.evicted = evicted;
        }
        doc->journal.on--;
        if (doc->journal.on == 0) ckv_undos_fini(&doc->journal.log);
        ckv_keep_settle(doc);
    }
    if (s != CKV_OK) report_clear(m->report);
    ckv_late_notes_fini(&notes);
    ckv_snapshot_fini(&at);
    return s;
}

ckv_status ckv_doc_apply(ckv_doc *doc, const uint8_t *data, size_t n_bytes, ckv_report *report,
                         ckv_err *err)
{
    ckv_import m = ckv_import_init(doc, report, err);
    report_clear(report);
    ckv_status s = ckv_import_read(&m, data, n_bytes);
    if (s == CKV_OK) s = ckv_import_enter(&m, NULL, NULL);
    ckv_import_fini(&m);
    return s;
}
