#include "doc/live.h"

#include "doc/import.h"
#include "doc/rebuild.h"

/* ---- out */

/* The changes of a run: consecutive ones of a branch, among those that the peer lacks. */
typedef struct run {
    uint32_t first, last, n, branch, seq; /* seq: of the first */
} run;

/* The run that begins with change c; *next: the change that the peer lacks behind it. */
static run run_at(const ckv_doc *doc, const ckv_peer *peer, uint32_t c, uint32_t *next)
{
    run r = {.first = c, .last = c, .n = 1};
    r.branch = ckv_graph_branch(&doc->graph, c, &r.seq);
    for (;;) {
        uint32_t seq;
        *next = ckv_peer_next(peer, doc, r.last + 1);
        if (*next == CKV_NO_CHANGE || ckv_graph_branch(&doc->graph, *next, &seq) != r.branch)
            return r;
        r.last = *next;
        if (r.n++ == CKV_LIVE_CHANGES) return r; /* too many anyway */
    }
}

static bool is_own(const ckv_doc *doc, const run *r)
{
    return ckv_id32_eq(&ckv_lanes_of_branch(&doc->graph.lanes, r->branch)->author,
                       &doc->identity.public_key);
}

static const ckv_signed_at *signature_on(const ckv_doc *doc, const run *r)
{
    const uint32_t seq = r->seq + r->n - 1;
    const ckv_signed_at *at = ckv_lanes_signature(&doc->graph.lanes, r->branch, seq);
    return at && at->seq == seq ? at : NULL;
}

/* Is it little enough, and does every run end with a signature that is here or can be made? */
static bool all_fits(const ckv_doc *doc, const ckv_peer *peer)
{
    uint32_t n = 0, next;
    for (uint32_t c = ckv_peer_next(peer, doc, peer->next); c != CKV_NO_CHANGE; c = next) {
        const run r = run_at(doc, peer, c, &next);
        n += r.n;
        if (n > CKV_LIVE_CHANGES || (!is_own(doc, &r) && !signature_on(doc, &r))) return false;
    }
    return true;
}

/* The track in which this run goes on, or the next one in turn, which must be told of its lane. */
static uint32_t track_for(ckv_live *live, const ckv_lane *lane, const ckv_id32 *prev, uint32_t seq,
                          bool *is_new)
{
    for (uint32_t i = 0; i < CKV_LIVE_TRACKS; i++) {
        const ckv_track *s = &live->out[i];
        if (s->used && s->seq == seq && seq && ckv_id32_eq(&s->prev, prev) &&
            ckv_id32_eq(&s->lane, &lane->id)) {
            *is_new = false;
            return i;
        }
    }
    *is_new = true;
    return live->turn++ % CKV_LIVE_TRACKS;
}

static ckv_status write_change(ckv_doc *doc, uint32_t c, ckv_buf *body, ckv_buf *out)
{
    uint8_t header[CKV_HEADER_MAX_BYTES];
    size_t n_bytes;
    ckv_header h;
    bool decodes;
    const char *why;
    CKV_TRY(ckv_rebuild_change(doc, c, header, &n_bytes, body));
    CKV_MUST(ckv_header_read(&h, header, n_bytes, &decodes, &why));
    ckv_buf_varint(out, h.n_parents);
    ckv_buf_bytes(out, h.parents, 32 * (size_t)h.n_parents);
    ckv_buf_varint(out, h.n_ops);
    ckv_buf_blob(out, body->ptr, body->len);
    return out->status;
}

static ckv_status write_run(ckv_live *live, ckv_doc *doc, const ckv_peer *peer, const run *r,
                            ckv_buf *body, ckv_buf *out)
{
    ckv_lanes *lanes = &doc->graph.lanes;
    const ckv_lane *lane = ckv_lanes_of_branch(lanes, r->branch);
    const uint32_t before = ckv_graph_prev(&doc->graph, r->first);
    const ckv_id32 none = {{0}}, *last = ckv_ids_at(&doc->graph.ids, r->last),
                   *prev = before == CKV_NONE ? &none : ckv_ids_at(&doc->graph.ids, before);
    bool is_new;
    const uint32_t track = track_for(live, lane, prev, r->seq, &is_new);
    ckv_buf_varint(out, track << 1 | is_new);
    if (is_new) {
        ckv_buf_bytes(out, &lane->author, 32);
        ckv_buf_bytes(out, lane->nonce, 16);
        ckv_buf_varint(out, r->seq);
        if (r->seq) ckv_buf_bytes(out, prev, 32);
    }
    ckv_buf_varint(out, r->n);
    for (uint32_t c = r->first, n = r->n; n; n--, c = ckv_peer_next(peer, doc, c + 1))
        CKV_TRY(write_change(doc, c, body, out));
    const uint32_t seq = r->seq + r->n - 1;
    const ckv_signed_at *at = signature_on(doc, r);
    ckv_signature s;
    if (at) {
        s = at->signature;
    } else {
        ckv_sign_change(&s, &doc->identity, &doc->id, &lane->id, seq, last);
        CKV_TRY(ckv_lanes_sign(lanes, r->branch, seq, &s));
    }
    ckv_buf_bytes(out, s.b, sizeof s.b);
    live->out[track] = (ckv_track){
        .author = lane->author, .lane = lane->id, .prev = *last, .seq = seq + 1, .used = true};
    return out->status;
}

ckv_status ckv_live_write(ckv_live *live, ckv_doc *doc, ckv_peer *peer, ckv_buf *out, bool *fits)
{
    *fits = all_fits(doc, peer);
    if (!*fits) return CKV_OK;
    const size_t start = out->len;
    ckv_buf body = ckv_buf_init(doc->env.alloc);
    ckv_status s = CKV_OK;
    uint32_t next = CKV_NO_CHANGE;
    for (uint32_t c = ckv_peer_next(peer, doc, peer->next); c != CKV_NO_CHANGE && s == CKV_OK;
         c = next) {
        const run r = run_at(doc, peer, c, &next);
        s = write_run(live, doc, peer, &r, &body, out);
        if (s == CKV_ENOENT || (s == CKV_OK && out->len - start > CKV_LIVE_BYTES)) {
            s = CKV_OK; /* ENOENT: a body that is not here; a bundle can say so */
            for (uint32_t i = 0; i < CKV_LIVE_TRACKS; i++) live->out[i].used = false;
            *fits = false;
            out->len = start;
            break;
        }
    }
    ckv_buf_fini(&body);
    if (s == CKV_OK && *fits) s = ckv_peer_raise_all(peer, doc, ckv_ids_n(&doc->graph.ids));
    return s;
}

/* ---- in */

static ckv_status garbled(ckv_err *err, const char *text)
{
    *err = (ckv_err){CKV_ECORRUPT, 0, text};
    return CKV_ECORRUPT;
}

/* The track of a run; opens it if it is a new one. */
static ckv_status read_track(ckv_live *live, ckv_doc *doc, ckv_rd *r, ckv_track **out, ckv_err *err)
{
    const uint64_t code = ckv_rd_upto(r, 2 * CKV_LIVE_TRACKS - 1);
    ckv_track *s = *out = &live->in[code >> 1];
    if (!(code & 1)) return s->used ? CKV_OK : garbled(err, "live changes: an empty track");
    const uint8_t *author = ckv_rd_bytes(r, 32), *nonce = ckv_rd_bytes(r, 16);
    const uint32_t seq = (uint32_t)ckv_rd_upto(r, CKV_MAX_SEQ);
    const uint8_t *prev = seq ? ckv_rd_bytes(r, 32) : NULL;
    if (r->status != CKV_OK) return garbled(err, "live changes: cut short");
    *s = (ckv_track){.seq = seq, .used = true};
    memcpy(&s->author, author, 32);
    memcpy(s->nonce, nonce, 16);
    if (prev) memcpy(&s->prev, prev, 32);
    s->lane = ckv_lane_id(&doc->id, &s->author, s->nonce);
    return CKV_OK;
}

/* One change: what the track knows and what the message says make its header, and that its id. */
static ckv_status read_change(ckv_import *m, ckv_track *track, uint32_t chain, uint32_t before,
                              ckv_rd *r)
{
    ckv_item_in item = {.chain = chain,
                        .next = CKV_NONE,
                        .before = before,
                        .signature = CKV_NONE,
                        .change = CKV_NONE,
                        .seq = track->seq,
                        .has_prev = track->seq > 0,
                        .parents = (uint32_t)m->parents.len,
                        .body = m->bodies.len};
    const size_t n_parents = ckv_rd_count(r, 32);
    const uint8_t *parents = ckv_rd_bytes(r, 32 * n_parents);
    item.n_ops = (uint32_t)ckv_rd_upto(r, CKV_MAX_OPS);
    size_t n_body;
    const uint8_t *body = ckv_rd_blob(r, &n_body);
    if (r->status != CKV_OK || n_parents > CKV_MAX_PARENTS || n_body > CKV_MAX_BODY_BYTES ||
        track->seq > CKV_MAX_SEQ)
        return garbled(m->err, "live changes: a change");
    item.n_parents = (uint8_t)n_parents;
    item.body_len = (uint32_t)n_body;
    CKV_TRY(ckv_id32s_reserve(&m->parents, n_parents + 1)); /* + 1: never NULL */
    for (size_t i = 0; i < n_parents; i++) {
        ckv_id32 id;
        memcpy(&id, parents + 32 * i, 32);
        if (i && ckv_id32_cmp(&m->parents.ptr[m->parents.len - 1], &id) >= 0)
            return garbled(m->err, "live changes: parents are unsorted or repeated");
        ckv_id32s_put(&m->parents, id);
    }
    uint8_t header[CKV_HEADER_MAX_BYTES];
    ckv_id32 hash;
    ckv_header h = {.type = ckv_doc_type(m->doc),
                    .seq = item.seq,
                    .n_ops = item.n_ops,
                    .body_len = item.body_len,
                    .has_prev = item.has_prev,
                    .prev = track->prev,
                    .n_parents = item.n_parents,
                    .parents = m->parents.ptr + item.parents,
                    .body = body};
    if (n_body > CKV_INLINE_BODY_BYTES) {
        hash = ckv_body_hash(body, n_body);
        h.body_hash = &hash;
    }
    const size_t n_header = ckv_header_write(header, &h);
    if (m->doc->has_content) { /* which wants to see it */
        ckv_buf_bytes(&m->bodies, header, n_header);
        item.raw = true;
        item.header_len = (uint32_t)n_header;
        item.has_body = n_body > CKV_INLINE_BODY_BYTES;
        item.body += n_header;
    }
    ckv_buf_bytes(&m->bodies, body, n_body);
    if (m->bodies.status != CKV_OK) return m->bodies.status;
    ckv_digest_change(&item.id, &track->lane, header, n_header);
    track->prev = item.id;
    track->seq++;
    return ckv_items_in_push(&m->items, item);
}

/* A run becomes a chain of its own, with its lane and its one signature. */
static ckv_status read_run(ckv_live *live, ckv_import *m, ckv_rd *r)
{
    ckv_track *track;
    CKV_TRY(read_track(live, m->doc, r, &track, m->err));
    const uint32_t chain = (uint32_t)m->chains.len, first = (uint32_t)m->items.len;
    ckv_lane_in lane = {.id = track->lane, .author = track->author, .has_opening = true};
    memcpy(lane.nonce, track->nonce, 16);
    lane.number = ckv_lanes_find(&m->doc->graph.lanes, &lane.id);
    lane.good = true; /* the id was computed */
    lane.checked = lane.number != CKV_NONE;
    ckv_chain_in c = {.lane = (uint32_t)m->lanes.len,
                      .first = first,
                      .started = true,
                      .first_prev = track->prev,
                      .sigs = (uint32_t)m->sig_at.len,
                      .n_sigs = 1};
    const uint64_t n = ckv_rd_varint(r);
    if (n == 0 || n > CKV_LIVE_CHANGES - m->items.len)
        return garbled(m->err, "live changes: none in a run, or too many");
    for (uint32_t i = 0; i < n; i++) {
        if (i) m->items.ptr[first + i - 1].next = first + i;
        CKV_TRY(read_change(m, track, chain, i ? first + i - 1 : CKV_NONE, r));
    }
    c.n = (uint32_t)n;
    c.last = first + c.n - 1;
    CKV_TRY(ckv_u32s_push(&m->sig_at, c.n - 1));
    CKV_TRY(ckv_lanes_in_push(&m->lanes, lane));
    CKV_TRY(ckv_chains_in_push(&m->chains, c));
    const uint8_t *signature = ckv_rd_bytes(r, CKV_SIGNATURE_BYTES);
    if (!signature) return garbled(m->err, "live changes: cut short");
    ckv_buf_bytes(&m->bundle.payload, signature, CKV_SIGNATURE_BYTES);
    return m->bundle.payload.status;
}

ckv_status ckv_live_apply(ckv_live *live, ckv_doc *doc, ckv_peer *peer, const uint8_t *data,
                          size_t n_bytes, ckv_report *report, ckv_buf *ids, ckv_err *err)
{
    ckv_import m = ckv_import_init(doc, report, err);
    ckv_rd r = ckv_rd_init(data, n_bytes);
    if (!ckv_buf_reserve(&m.bodies, 1)) return m.bodies.status; /* never NULL */
    ckv_status s = ckv_rd_left(&r) ? CKV_OK : garbled(err, "live changes: none");
    m.n_bytes = n_bytes;
    while (s == CKV_OK && ckv_rd_left(&r)) s = read_run(live, &m, &r);
    if (s == CKV_OK) {
        m.bundle.sections[CKV_SEC_SIGNATURES] =
            ckv_rd_init(m.bundle.payload.ptr, m.bundle.payload.len);
        s = ckv_import_enter(&m, peer, ids);
    }
    ckv_import_fini(&m);
    return s;
}
