/* import.c -- a bundle comes in: columns back to changes, ids, signatures, then one by one through the door (doc/admit).
 *
 *     1  read      every change of the bundle gets its canonical header and body back, and from them its id
 *     2  verify    one signature for each contiguous run; what no signature covers is dropped
 *     3  admit     in the order of the bundle, and whatever was waiting for them
 *
 * An error status takes everything back: graph, log, state, inbox (I: no trace).
 */
#include "base/utf8.h"
#include "dag/bundle.h"
#include "doc/admit.h"
#include "doc/exchange.h"
#include "log/columns.h"

typedef struct lane_in {
    ckv_id32 id, author;
    uint8_t nonce[16];
    bool has_opening, good; /* good: the id is that of the opening, and the key may open lanes */
    uint32_t number;        /* local, CKV_NONE while unknown */
} lane_in;

enum { ITEM_UNSIGNED, ITEM_ACCEPTED, ITEM_REFUSED, ITEM_OMITTED };

typedef struct item_in { /* one change */
    ckv_id32 id;
    uint32_t chain, next, before; /* neighbours in the same chain, or CKV_NONE */
    uint32_t seq, n_ops, body_len;
    size_t body;          /* offset in `bodies` (columns), or in the raw section */
    uint32_t parents;     /* first of n_parents ids in `parents` */
    uint32_t header_len;  /* raw: its header stands before the body */
    uint32_t signature;   /* index, or CKV_NONE */
    uint32_t change;      /* its number once it is here */
    uint8_t n_parents, state;
    bool raw, has_prev, cut; /* cut: at or behind a break of its chain */
    const char *why;      /* of a refused one */
} item_in;

typedef struct chain_in {
    uint32_t lane, first, last, n; /* items */
    uint32_t seq;                  /* of the next change in columns */
    int64_t off;
    ckv_id32 prev;                 /* of the next change */
    ckv_id32 first_prev;           /* of its first */
    bool started, broken, was_raw;
    uint32_t sigs, n_sigs; /* in `sig_at`, positions in the chain */
    const char *why;
} chain_in;

CKV_VEC(lanes_in, lane_in);
CKV_VEC(items_in, item_in);
CKV_VEC(chains_in, chain_in);

typedef struct import {
    ckv_doc *doc;
    ckv_bundle bundle;
    lanes_in lanes;
    ckv_id32s lane_ids;
    chains_in chains;
    items_in items;
    ckv_u32s sig_at;
    ckv_u32s outside; /* lane index of each outside parent; ids in outside_ids */
    ckv_id32s outside_ids, parents;
    ckv_buf bodies;
    ckv_columns_in columns;
    ckv_report *report;
    ckv_err *err;
    size_t n_bytes; /* of the whole bundle */
} import;

static ckv_status malformed(import *m, const char *text)
{
    *m->err = (ckv_err){CKV_ECORRUPT, 0, text};
    return CKV_ECORRUPT;
}

/* ---- 1 read */

static ckv_status read_lanes(import *m)
{
    ckv_rd *r = &m->bundle.sections[CKV_SEC_LANES];
    const size_t n = r->p == r->end ? 0 : ckv_rd_count(r, 33);
    for (size_t i = 0; i < n; i++) {
        lane_in l = {.number = CKV_NONE};
        const uint8_t form = ckv_rd_u8(r);
        const uint8_t *id = form != 1 ? ckv_rd_bytes(r, 32) : NULL;
        const uint8_t *author = form ? ckv_rd_bytes(r, 32) : NULL, *nonce = form ? ckv_rd_bytes(r, 16) : NULL;
        if (r->status != CKV_OK || form > 2) return malformed(m, "bundle: lanes");
        if (form) {
            memcpy(&l.author, author, 32);
            memcpy(l.nonce, nonce, 16);
            l.has_opening = true;
            const ckv_id32 computed = ckv_lane_id(&m->doc->id, &l.author, l.nonce);
            l.id = computed;
            l.good = form == 1 || memcmp(&computed, id, 32) == 0;
        }
        if (id) memcpy(&l.id, id, 32);
        l.number = ckv_lanes_find(&m->doc->graph.lanes, &l.id);
        /* The point check costs 40 us, so it is made once, when a lane is first seen. */
        if (l.good && l.number == CKV_NONE) l.good = ckv_key_is_valid(&l.author);
        CKV_TRY(lanes_in_push(&m->lanes, l));
        CKV_TRY(ckv_id32s_push(&m->lane_ids, l.id));
    }
    return ckv_rd_done(r) ? CKV_OK : malformed(m, "bundle: lanes");
}

static ckv_status read_chains(import *m)
{
    ckv_rd *r = &m->bundle.sections[CKV_SEC_CHAINS];
    const size_t n = r->p == r->end ? 0 : ckv_rd_count(r, 3);
    for (size_t i = 0; i < n; i++) {
        chain_in c = {.lane = (uint32_t)ckv_rd_upto(r, UINT32_MAX), .first = CKV_NONE, .last = CKV_NONE, .sigs = (uint32_t)m->sig_at.len};
        const uint8_t start = ckv_rd_u8(r);
        if (start == 1) {
            c.started = true;
            c.seq = (uint32_t)ckv_rd_upto(r, CKV_MAX_SEQ);
            c.off = (int64_t)ckv_rd_upto(r, UINT32_MAX);
            const uint8_t *prev = c.seq ? ckv_rd_bytes(r, 32) : NULL;
            if (prev) memcpy(&c.prev, prev, 32);
        }
        const size_t n_sigs = ckv_rd_count(r, 1);
        uint64_t at = 0;
        for (size_t k = 0; k < n_sigs && r->status == CKV_OK; k++) {
            at += ckv_rd_upto(r, UINT32_MAX) + (k != 0);
            if (at >= UINT32_MAX) return malformed(m, "bundle: chains");
            CKV_TRY(ckv_u32s_push(&m->sig_at, (uint32_t)at));
        }
        c.n_sigs = (uint32_t)n_sigs;
        if (r->status != CKV_OK || start > 1 || c.lane >= m->lanes.len) return malformed(m, "bundle: chains");
        CKV_TRY(chains_in_push(&m->chains, c));
    }
    if (!ckv_rd_done(r)) return malformed(m, "bundle: chains");
    if (ckv_rd_left(&m->bundle.sections[CKV_SEC_SIGNATURES]) != m->sig_at.len * CKV_SIGNATURE_BYTES) return malformed(m, "bundle: signatures");
    return CKV_OK;
}

static ckv_status read_outside(import *m)
{
    ckv_rd *r = &m->bundle.sections[CKV_SEC_OUTSIDE];
    const size_t n = r->p == r->end ? 0 : ckv_rd_count(r, 33);
    for (size_t i = 0; i < n; i++) {
        const uint64_t lane = ckv_rd_upto(r, UINT32_MAX);
        const uint8_t *id = ckv_rd_bytes(r, 32);
        if (!id || lane >= m->lanes.len) return malformed(m, "bundle: outside parents");
        ckv_id32 x;
        memcpy(&x, id, 32);
        CKV_TRY(ckv_u32s_push(&m->outside, (uint32_t)lane));
        CKV_TRY(ckv_id32s_push(&m->outside_ids, x));
    }
    return ckv_rd_done(r) ? CKV_OK : malformed(m, "bundle: outside parents");
}

/* A column of (value, repeat) pairs. */
typedef struct repeated {
    ckv_rd *r;
    uint64_t value, left;
} repeated;

static uint64_t next_repeated(repeated *x)
{
    if (x->left == 0) {
        x->value = ckv_rd_varint(x->r);
        x->left = ckv_rd_varint(x->r);
        if (x->left == 0) return ckv_rd_fail(x->r, CKV_ECORRUPT);
    }
    x->left--;
    return x->value;
}

typedef struct change_columns {
    repeated n_ops, times, n_parents;
    ckv_rd parents; /* the references, behind the counts */
    int64_t time;
    uint64_t skip; /* changes without message before the next one with */
    ckv_rd *messages;
    bool skip_known;
} change_columns;

/* The counts of parents are as many as there are changes in columns; the references follow. */
static ckv_status open_parents(import *m, change_columns *c, uint64_t n_changes)
{
    ckv_rd *r = &m->bundle.sections[CKV_SEC_PARENTS];
    c->parents = *r;
    for (uint64_t n = 0; n < n_changes;) {
        ckv_rd_varint(&c->parents);
        const uint64_t repeat = ckv_rd_varint(&c->parents);
        if (repeat == 0 || repeat > n_changes - n) return malformed(m, "bundle: parents");
        n += repeat;
    }
    c->n_parents = (repeated){.r = r};
    return CKV_OK;
}

/* Sorts the ids of one change's parents, and their lanes along. */
static void sort_parents(ckv_id32 *ids, uint32_t *lanes, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        for (uint32_t k = i; k > 0 && ckv_id32_cmp(&ids[k - 1], &ids[k]) > 0; k--) {
            const ckv_id32 id = ids[k];
            const uint32_t lane = lanes[k];
            ids[k] = ids[k - 1], lanes[k] = lanes[k - 1];
            ids[k - 1] = id, lanes[k - 1] = lane;
        }
    }
}

/* Rebuilds one change from the columns. */
static ckv_status read_column_change(import *m, change_columns *cols, chain_in *chain, item_in *item, const uint32_t ordinal)
{
    uint32_t parent_lanes[CKV_MAX_PARENTS];
    const uint64_t n_parents = next_repeated(&cols->n_parents), n_ops = next_repeated(&cols->n_ops);
    if (n_parents > CKV_MAX_PARENTS || n_ops > CKV_MAX_OPS || cols->n_ops.r->status != CKV_OK) return malformed(m, "bundle: changes");
    item->parents = (uint32_t)m->parents.len;
    item->n_parents = (uint8_t)n_parents;
    CKV_TRY(ckv_id32s_reserve(&m->parents, (size_t)n_parents));
    for (uint32_t i = 0; i < n_parents; i++) {
        const uint64_t ref = ckv_rd_varint(&cols->parents), x = ref >> 1;
        if (cols->parents.status != CKV_OK) return malformed(m, "bundle: parents");
        if (ref & 1) {
            if (x == 0 || x > ordinal) return malformed(m, "bundle: parents");
            const item_in *p = &m->items.ptr[ordinal - x];
            parent_lanes[i] = m->chains.ptr[p->chain].lane;
            ckv_id32s_put(&m->parents, p->id);
        } else {
            if (x >= m->outside.len) return malformed(m, "bundle: parents");
            parent_lanes[i] = m->outside.ptr[x];
            ckv_id32s_put(&m->parents, m->outside_ids.ptr[x]);
        }
    }
    sort_parents(m->parents.ptr + item->parents, parent_lanes, (uint32_t)n_parents);

    const int64_t delta = ckv_unzigzag(next_repeated(&cols->times));
    if (__builtin_add_overflow(cols->time, delta, &cols->time) || cols->times.r->status != CKV_OK) return malformed(m, "bundle: times");
    ckv_column_change change = {.own = chain->lane, .own_off = &chain->off, .parents = parent_lanes, .n_parents = (uint32_t)n_parents, .n_ops = (uint32_t)n_ops, .head = {.time = cols->time}};
    if (!cols->skip_known && cols->messages->p < cols->messages->end) {
        cols->skip = ckv_rd_varint(cols->messages);
        cols->skip_known = true;
    }
    if (cols->skip_known && cols->skip-- == 0) {
        change.head.message = (const char *)ckv_rd_blob(cols->messages, &change.head.message_bytes);
        size_t n_chars;
        uint32_t max;
        if (!change.head.message || !ckv_utf8_valid((const uint8_t *)change.head.message, change.head.message_bytes, &n_chars, &max)) return malformed(m, "bundle: messages");
        cols->skip_known = false;
    }
    item->seq = chain->seq;
    item->has_prev = chain->seq > 0;
    item->n_ops = (uint32_t)n_ops;
    item->body = m->bodies.len;
    const ckv_status s = ckv_columns_body(&m->columns, &change, m->lane_ids.ptr, &m->bodies);
    if (s != CKV_OK) return s == CKV_ECORRUPT ? malformed(m, "bundle: operations") : s;
    const size_t len = m->bodies.len - item->body;
    item->body_len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;

    uint8_t bytes[CKV_HEADER_MAX_BYTES];
    ckv_id32 hash;
    ckv_header h = {.seq = item->seq, .n_ops = item->n_ops, .body_len = item->body_len, .has_prev = item->has_prev, .prev = chain->prev, .n_parents = (uint32_t)n_parents, .parents = m->parents.ptr + item->parents, .body = m->bodies.ptr + item->body};
    if (h.body_len > CKV_INLINE_BODY_BYTES) {
        hash = ckv_body_hash(h.body, len);
        h.body_hash = &hash;
    }
    ckv_digest_change(&item->id, &m->lanes.ptr[chain->lane].id, bytes, ckv_header_write(bytes, &h));
    if (h.body_len > CKV_MAX_BODY_BYTES) item->state = ITEM_REFUSED, item->why = "the body is over 16 MiB";
    for (uint32_t i = 1; i < n_parents; i++) {
        if (ckv_id32_eq(&h.parents[i - 1], &h.parents[i])) item->state = ITEM_REFUSED, item->why = "header: parents are too many, unsorted or repeated";
    }
    return CKV_OK;
}

/* Reads one raw change. The header says all; whether it is true is found out here and in step 2. */
static ckv_status read_raw_change(import *m, chain_in *chain, item_in *item)
{
    ckv_rd *r = &m->bundle.sections[CKV_SEC_RAW];
    size_t n_header, n_body = 0;
    const uint8_t *header = ckv_rd_blob(r, &n_header);
    const uint8_t form = ckv_rd_u8(r);
    const uint8_t *body = form == 1 ? ckv_rd_blob(r, &n_body) : NULL;
    ckv_header h;
    bool decodes;
    if (r->status != CKV_OK || form > 2) return malformed(m, "bundle: raw changes");
    item->raw = true;
    ckv_digest_change(&item->id, &m->lanes.ptr[chain->lane].id, header, n_header);
    if (!ckv_header_read(&h, header, n_header, &decodes, &item->why)) item->state = ITEM_REFUSED;
    if (!decodes) {
        item->cut = chain->broken = true; /* nothing can be linked to it */
        chain->why = "behind a change whose header does not parse";
        return CKV_OK;
    }
    item->seq = h.seq;
    item->has_prev = h.has_prev;
    item->header_len = (uint32_t)n_header;
    ckv_buf_bytes(&m->bodies, header, n_header);
    item->body = m->bodies.len;
    if (m->bodies.status != CKV_OK) return m->bodies.status;
    if (!chain->started) chain->prev = h.prev;
    if (chain->started && (h.seq != chain->seq || (chain->seq == 0 && chain->n) || (h.has_prev && !ckv_id32_eq(&h.prev, &chain->prev)) || h.has_prev != (chain->seq > 0))) {
        item->state = ITEM_REFUSED;
        item->why = "does not follow the change before it in its chain";
        item->cut = chain->broken = true;
        chain->why = item->why;
        return CKV_OK;
    }
    if (item->state == ITEM_REFUSED) return CKV_OK;
    item->n_ops = h.n_ops;
    item->body_len = h.body_len;
    item->n_parents = (uint8_t)h.n_parents;
    item->parents = (uint32_t)m->parents.len;
    CKV_TRY(ckv_id32s_reserve(&m->parents, h.n_parents));
    for (uint32_t i = 0; i < h.n_parents; i++) {
        ckv_id32 id;
        memcpy(&id, &h.parents[i], 32);
        ckv_id32s_put(&m->parents, id);
    }
    if (form == 2) {
        item->state = ITEM_OMITTED;
        return CKV_OK;
    }
    if ((form == 0) != (h.body_len <= CKV_INLINE_BODY_BYTES)) {
        item->state = ITEM_REFUSED;
        item->why = "a body of at most 48 bytes stands in the header, and only that";
        return CKV_OK;
    }
    if (form == 1) {
        const ckv_id32 hash = ckv_body_hash(body, n_body);
        if (n_body != h.body_len || memcmp(&hash, h.body_hash, 32) != 0) {
            item->state = ITEM_REFUSED;
            item->why = "the body has not the length and hash that the header says";
            return CKV_OK;
        }
        h.body = body;
    }
    ckv_buf_bytes(&m->bodies, h.body, h.body_len);
    return m->bodies.status;
}

static ckv_status read_items(import *m)
{
    ckv_rd *const slices = &m->bundle.sections[CKV_SEC_SLICES];
    change_columns cols = {.n_ops = {.r = &m->bundle.sections[CKV_SEC_N_OPS]}, .times = {.r = &m->bundle.sections[CKV_SEC_TIMES]}, .messages = &m->bundle.sections[CKV_SEC_MESSAGES]};
    uint64_t n_changes = 0, n_columns = 0;
    for (ckv_rd r = *slices; r.p < r.end;) { /* count first: claims must fit what they come with */
        const uint64_t chain = ckv_rd_varint(&r);
        const uint8_t form = ckv_rd_u8(&r);
        const uint64_t n = ckv_rd_varint(&r);
        if (r.status != CKV_OK || form > 2 || chain >= m->chains.len || n == 0 || n > UINT32_MAX) return malformed(m, "bundle: slices");
        if (form == 2) ckv_rd_varint(&r);
        n_changes += n;
        if (form != 1) n_columns += n;
        if (n_changes > (uint64_t)CKV_RUN_CHANGES * m->sig_at.len + m->n_bytes / 16) return malformed(m, "bundle: more changes than its signatures can cover");
        if (r.status != CKV_OK) return malformed(m, "bundle: slices");
    }
    CKV_TRY(open_parents(m, &cols, n_columns));
    CKV_TRY(items_in_reserve(&m->items, (size_t)n_changes));
    CKV_TRY(ckv_id32s_reserve(&m->parents, 1)); /* never NULL */
    while (slices->p < slices->end) {
        const uint32_t chain_no = (uint32_t)ckv_rd_varint(slices);
        const uint8_t form = ckv_rd_u8(slices);
        uint32_t n = (uint32_t)ckv_rd_varint(slices);
        chain_in *chain = &m->chains.ptr[chain_no];
        const bool columns = form != 1;
        /* A chain begins in columns iff its start says where; columns behind raw changes say it themselves. */
        if (chain->n == 0 ? (form == 2 || columns != chain->started) : (columns && (form == 2) != chain->was_raw)) return malformed(m, "bundle: slices");
        if (form == 2) chain->off = (int64_t)ckv_rd_upto(slices, UINT32_MAX);
        chain->was_raw = !columns;
        if (chain->n + (uint64_t)n > UINT32_MAX) return malformed(m, "bundle: slices");
        for (; n; n--) {
            const uint32_t ordinal = (uint32_t)m->items.len;
            item_in item = {.chain = chain_no, .next = CKV_NONE, .before = chain->last, .signature = CKV_NONE, .change = CKV_NONE};
            if (columns && (chain->seq > CKV_MAX_SEQ || (chain->seq == 0 && chain->n))) return malformed(m, "bundle: slices");
            const bool was_broken = chain->broken;
            CKV_TRY(columns ? read_column_change(m, &cols, chain, &item, ordinal) : read_raw_change(m, chain, &item));
            if (chain->n == 0) chain->first_prev = chain->prev;
            if (was_broken) item.state = ITEM_REFUSED, item.why = chain->why, item.cut = true;
            chain->started = true;
            chain->prev = item.id;
            chain->seq = item.seq + 1;
            if (chain->last == CKV_NONE) chain->first = ordinal;
            else m->items.ptr[chain->last].next = ordinal;
            chain->last = ordinal;
            chain->n++;
            items_in_put(&m->items, item);
        }
        if (columns && !ckv_columns_slice_done(&m->columns)) return malformed(m, "bundle: a run reaches over its slice");
    }
    const bool rest = !ckv_columns_done(&m->columns) || cols.n_ops.left || cols.times.left || cols.n_parents.left || cols.skip_known ||
                      !ckv_rd_done(cols.n_ops.r) || !ckv_rd_done(cols.times.r) || !ckv_rd_done(cols.messages) || !ckv_rd_done(&cols.parents) ||
                      !ckv_rd_done(&m->bundle.sections[CKV_SEC_RAW]);
    return rest ? malformed(m, "bundle: bytes left over") : CKV_OK;
}

/* ---- 2 verify */

/* Whether a change is here already, by the short way if its lane is whole. */
static ckv_status is_here(import *m, item_in *item)
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

static ckv_signature signature_at(const import *m, uint32_t i)
{
    ckv_signature s;
    memcpy(&s, m->bundle.sections[CKV_SEC_SIGNATURES].p + (size_t)i * CKV_SIGNATURE_BYTES, sizeof s);
    return s;
}

static bool verify(import *m, const item_in *item, uint32_t signature)
{
    const lane_in *lane = &m->lanes.ptr[m->chains.ptr[item->chain].lane];
    const ckv_signature s = signature_at(m, signature);
    m->doc->n_verified++;
    return ckv_verify_change(&s, &lane->author, &m->doc->id, &lane->id, item->seq, &item->id);
}

/* Accepts [from, to] of a chain if the run is not too long. */
static void accept_run(import *m, uint32_t from, uint32_t to)
{
    uint64_t n = 0, n_bytes = 0;
    for (uint32_t i = from;; i = m->items.ptr[i].next) {
        const item_in *item = &m->items.ptr[i];
        n++;
        if (i == to) break;
        n_bytes += item->body_len;
        if (item->change != CKV_NONE) n = n_bytes = 0; /* what is here is authentic */
    }
    const bool fits = n <= CKV_RUN_CHANGES && n_bytes <= CKV_RUN_BYTES;
    for (uint32_t i = from;; i = m->items.ptr[i].next) {
        item_in *item = &m->items.ptr[i];
        if (item->state == ITEM_UNSIGNED) {
            item->state = fits ? ITEM_ACCEPTED : ITEM_REFUSED;
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

static ckv_status verify_chain(import *m, const chain_in *c)
{
    const lane_in *lane = &m->lanes.ptr[c->lane];
    uint32_t at = 0, k = 0, from = c->first;
    bool broken = false, news = false; /* news: something since the last signature is not here yet */
    for (uint32_t i = c->first; i != CKV_NONE; i = m->items.ptr[i].next, at++) {
        item_in *item = &m->items.ptr[i];
        if (item->state != ITEM_REFUSED) CKV_TRY(is_here(m, item));
        news |= item->change == CKV_NONE;
        if (from == CKV_NONE) from = i;
        if (k >= c->n_sigs || m->sig_at.ptr[c->sigs + k] != at) continue;
        const uint32_t sig = c->sigs + k++;
        if (broken || !lane->good || item->cut) {
            broken = true;
            continue;
        }
        if (!news && is_covered(m->doc, item->change)) { /* nothing to learn: a signature is checked once */
            from = CKV_NONE;
            continue;
        }
        if (!verify(m, item, sig)) continue; /* a later one may still cover it */
        news = false;
        item->signature = sig;
        accept_run(m, from, i);
        from = CKV_NONE;
    }
    for (uint32_t i = from; i != CKV_NONE; i = m->items.ptr[i].next) {
        item_in *item = &m->items.ptr[i];
        if (item->state != ITEM_UNSIGNED) continue;
        item->state = ITEM_REFUSED;
        item->why = !lane->has_opening ? "the lane's opening is missing" : !lane->good ? "the lane is not that of its opening, or the key is not a valid point" : c->n_sigs == 0 ? "unsigned" : k && from == c->first ? "the signature does not hold" : "unsigned";
    }
    return CKV_OK;
}

/* ---- 3 admit */

static ckv_status report_refusal(import *m, const ckv_id32 *id, ckv_refusal_kind kind, const char *reason)
{
    const ckv_refusal r = {.id = *id, .has_id = true, .kind = kind, .reason = reason};
    ckv_buf_bytes(&m->report->refused, &r, sizeof r);
    return m->report->refused.status;
}

static ckv_refusal_kind kind_of(const char *why)
{
    if (strstr(why, "header") || strstr(why, "body")) return CKV_REFUSED_DECODE;
    if (strstr(why, "sign")) return CKV_REFUSED_SIGNATURE;
    if (strstr(why, "1,024") || strstr(why, "MiB")) return CKV_REFUSED_LIMIT;
    return CKV_REFUSED_OTHER;
}

static ckv_status note_verdict(import *m, const ckv_judgement *j, const ckv_id32 *id)
{
    switch (j->verdict) {
    case CKV_APPLIED: ckv_buf_bytes(&m->report->applied, id, 32); return m->report->applied.status;
    case CKV_VOIDED: ckv_buf_bytes(&m->report->voided, id, 32); return m->report->voided.status;
    case CKV_REFUSED: return report_refusal(m, id, j->kind, j->reason);
    case CKV_WAITING:
    case CKV_LATER: break;
    }
    return CKV_OK;
}

/* Puts a change aside: its header is written out again, canonical as it was. */
static ckv_status put_aside(import *m, const ckv_candidate *c, const ckv_judgement *j)
{
    uint8_t header[CKV_HEADER_MAX_BYTES];
    bool kept;
    ckv_letter l = {.id = *c->id, .lane = *c->lane, .author = *c->author, .missing = j->missing, .seq = c->header.seq, .later = j->verdict == CKV_LATER, .has_signature = c->signature != NULL};
    memcpy(l.nonce, c->nonce, 16);
    if (c->signature) l.signature = *c->signature;
    ckv_id32 hash;
    ckv_header h = c->header;
    h.body = c->body;
    if (h.body_len > CKV_INLINE_BODY_BYTES) {
        hash = ckv_body_hash(c->body, h.body_len);
        h.body_hash = &hash;
    }
    l.header_bytes = (uint32_t)ckv_header_write(header, &h);
    l.body_bytes = h.body_len;
    CKV_TRY(ckv_inbox_add(&m->doc->inbox, &l, header, c->body, &kept));
    if (!kept) return report_refusal(m, c->id, CKV_REFUSED_LIMIT, "the waiting pool is full");
    ckv_buf_bytes(&m->report->waiting, c->id, 32);
    return m->report->waiting.status;
}

/* Judges what waited for `id`, and what waited for that, without recursion. */
static ckv_status release_waiters(import *m, const ckv_id32 *id)
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
            ckv_candidate c = {.id = &l.id, .lane = &l.lane, .author = &l.author, .nonce = l.nonce, .body = l.bytes + l.header_bytes, .signature = l.has_signature ? &l.signature : NULL, .lane_no = CKV_NONE, .prev = CKV_NONE};
            const char *why;
            bool decodes;
            ckv_judgement j;
            CKV_MUST(ckv_header_read(&c.header, l.bytes, l.header_bytes, &decodes, &why));
            s = ckv_admit(doc, &c, &j);
            if (s != CKV_OK) break;
            if (j.verdict == CKV_WAITING) {
                ckv_inbox_await(&doc->inbox, i, &j.missing);
                continue;
            }
            ckv_inbox_release(&doc->inbox, i);
            if (j.verdict == CKV_LATER) {
                j.missing = (ckv_id32){{0}};
                s = put_aside(m, &c, &j);
            } else {
                s = note_verdict(m, &j, &l.id);
                if (s == CKV_OK && j.verdict != CKV_REFUSED) s = ckv_id32s_push(&todo, l.id);
            }
            if (s != CKV_OK) break;
        }
    }
    ckv_id32s_fini(&todo);
    return s;
}

static ckv_status admit_item(import *m, item_in *item, const chain_in *chain, const item_in *before)
{
    ckv_doc *doc = m->doc;
    lane_in *lane = &m->lanes.ptr[chain->lane];
    if (item->change == CKV_NONE) { /* this very bundle may have brought it: twice, or by releasing what waited */
        if (lane->number == CKV_NONE) lane->number = ckv_lanes_find(&doc->graph.lanes, &lane->id);
        CKV_TRY(is_here(m, item));
    }
    const ckv_signature signature = item->signature == CKV_NONE ? (ckv_signature){{0}} : signature_at(m, item->signature);
    if (item->change != CKV_NONE) { /* known; a new signature on it is welcome where none covers it */
        m->report->known++;
        if (item->signature != CKV_NONE) {
            uint32_t seq;
            const uint32_t b = ckv_graph_branch(&doc->graph, item->change, &seq);
            if (!ckv_lanes_covered(&doc->graph.lanes, b, seq)) CKV_TRY(ckv_lanes_sign(&doc->graph.lanes, b, seq, &signature));
        }
        return CKV_OK;
    }
    if (doc->inbox.n_waiting + doc->inbox.n_later && ckv_inbox_find(&doc->inbox, &item->id) != CKV_HMAP_NONE) {
        m->report->known++;
        return CKV_OK;
    }
    ckv_candidate c = {.id = &item->id,
                       .lane = &lane->id,
                       .author = &lane->author,
                       .nonce = lane->nonce,
                       .header = {.seq = item->seq, .n_ops = item->n_ops, .body_len = item->body_len, .has_prev = item->has_prev, .prev = before ? before->id : chain->first_prev, .n_parents = item->n_parents, .parents = m->parents.ptr + item->parents},
                       .body = m->bodies.ptr ? m->bodies.ptr + item->body : (const uint8_t *)"",
                       .signature = item->signature == CKV_NONE ? NULL : &signature,
                       .lane_no = lane->number,
                       .prev = before && item->has_prev ? before->change : CKV_NONE};
    ckv_judgement j;
    CKV_TRY(ckv_admit(doc, &c, &j));
    if (j.verdict == CKV_WAITING || j.verdict == CKV_LATER) return put_aside(m, &c, &j);
    CKV_TRY(note_verdict(m, &j, &item->id));
    if (j.verdict == CKV_REFUSED) return CKV_OK;
    item->change = j.change;
    lane->number = j.lane_no;
    return release_waiters(m, &item->id);
}

static ckv_status admit_all(import *m)
{
    for (size_t i = 0; i < m->items.len; i++) {
        item_in *item = &m->items.ptr[i];
        const chain_in *chain = &m->chains.ptr[item->chain];
        if (item->state == ITEM_REFUSED && item->change == CKV_NONE) {
            CKV_TRY(report_refusal(m, &item->id, kind_of(item->why), item->why));
        } else if (item->state == ITEM_ACCEPTED || item->change != CKV_NONE) {
            CKV_TRY(admit_item(m, item, chain, item->before == CKV_NONE ? NULL : &m->items.ptr[item->before]));
        }
    }
    return CKV_OK;
}

/* ---- covers */

/* The header of an item, as a blob. */
static void put_header(import *m, const item_in *item, const chain_in *chain, ckv_buf *out)
{
    if (item->raw) {
        ckv_buf_blob(out, m->bodies.ptr + item->body - item->header_len, item->header_len);
        return;
    }
    uint8_t bytes[CKV_HEADER_MAX_BYTES];
    ckv_id32 hash;
    ckv_header h = {.seq = item->seq, .n_ops = item->n_ops, .body_len = item->body_len, .has_prev = item->has_prev, .prev = item->before == CKV_NONE ? chain->first_prev : m->items.ptr[item->before].id, .n_parents = item->n_parents, .parents = m->parents.ptr + item->parents, .body = m->bodies.ptr + item->body};
    if (h.body_len > CKV_INLINE_BODY_BYTES) {
        hash = ckv_body_hash(h.body, h.body_len);
        h.body_hash = &hash;
    }
    ckv_buf_blob(out, bytes, ckv_header_write(bytes, &h));
}

/* Keeps the headers from behind `last`, which is here, to `signer`, which is not. */
static ckv_status keep_cover(import *m, const chain_in *chain, const item_in *last, const item_in *signer)
{
    ckv_doc *doc = m->doc;
    ckv_cover c = {.off = doc->cover_headers.len, .signature = signature_at(m, signer->signature)};
    c.branch = ckv_graph_branch(&doc->graph, last->change, &c.seq);
    CKV_TRY(ckv_covers_reserve(&doc->covers, 1));
    for (const item_in *i = last; i != signer; c.n++) {
        i = &m->items.ptr[i->next];
        put_header(m, i, chain, &doc->cover_headers);
    }
    if (doc->cover_headers.status != CKV_OK) {
        const ckv_status s = doc->cover_headers.status;
        doc->cover_headers.status = CKV_OK;
        return s;
    }
    c.n_bytes = doc->cover_headers.len - c.off;
    const ckv_cover *next = ckv_doc_cover(doc, c.branch, c.seq);
    size_t at = next ? (size_t)(next - doc->covers.ptr) : doc->covers.len;
    while (!next && at > 0 && doc->covers.ptr[at - 1].branch > c.branch) at--;
    memmove(doc->covers.ptr + at + 1, doc->covers.ptr + at, (doc->covers.len - at) * sizeof c);
    doc->covers.ptr[at] = c;
    doc->covers.len++;
    return CKV_OK;
}

/* A change is accepted under a signature that may stand on one that is not stored. What proves it is kept, or it could not be passed on. */
static ckv_status keep_covers(import *m)
{
    for (size_t k = 0; k < m->chains.len; k++) {
        const chain_in *chain = &m->chains.ptr[k];
        const item_in *last = NULL;
        for (uint32_t i = chain->first; i != CKV_NONE; i = m->items.ptr[i].next) {
            const item_in *item = &m->items.ptr[i];
            if (item->change != CKV_NONE) last = item;
            else if (item->signature != CKV_NONE && last && !is_covered(m->doc, last->change)) CKV_TRY(keep_cover(m, chain, last, item));
        }
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
static ckv_status settle_refusals(import *m)
{
    ckv_buf *refused = &m->report->refused;
    size_t kept = 0;
    for (size_t i = 0; i < refused->len; i += sizeof(ckv_refusal)) {
        ckv_refusal r;
        uint32_t change;
        memcpy(&r, refused->ptr + i, sizeof r);
        const ckv_status s = ckv_ids_find(&m->doc->graph.ids, &r.id, &change);
        if (s != CKV_OK && s != CKV_ENOENT) return s;
        if (s == CKV_OK || ckv_inbox_find(&m->doc->inbox, &r.id) != CKV_HMAP_NONE) {
            m->report->known++;
            continue;
        }
        memmove(refused->ptr + kept, refused->ptr + i, sizeof r);
        kept += sizeof r;
    }
    refused->len = kept;
    return CKV_OK;
}

/* A change that was put to wait and then released by the same bundle was applied, not waiting. */
static void settle_report(import *m)
{
    ckv_buf *w = &m->report->waiting;
    size_t kept = 0;
    for (size_t i = 0; i < w->len; i += 32) {
        ckv_id32 id;
        memcpy(&id, w->ptr + i, 32);
        if (ckv_inbox_find(&m->doc->inbox, &id) == CKV_HMAP_NONE) continue;
        memmove(w->ptr + kept, w->ptr + i, 32);
        kept += 32;
    }
    w->len = kept;
}

ckv_status ckv_bundle_doc_id(const uint8_t *data, size_t n_bytes, ckv_id32 *out, ckv_err *err)
{
    ckv_bundle_head head;
    ckv_rd rest;
    CKV_TRY(ckv_bundle_peek(data, n_bytes, &head, &rest, err));
    *out = head.doc;
    return CKV_OK;
}

/* Opens the frame and reads all; no signature is looked at. */
static ckv_status read_all(import *m, const uint8_t *data, size_t n_bytes)
{
    m->n_bytes = n_bytes;
    CKV_TRY(ckv_bundle_open(&m->bundle, m->doc->env.alloc, data, n_bytes, m->err));
    if (!ckv_id32_eq(&m->bundle.head.doc, &m->doc->id)) return malformed(m, "a bundle of another document");
    CKV_TRY(read_lanes(m));
    CKV_TRY(read_chains(m));
    CKV_TRY(read_outside(m));
    const ckv_status s = ckv_columns_in_init(&m->columns, m->doc->env.alloc, m->bundle.sections + CKV_SEC_KINDS, m->lanes.len);
    if (s == CKV_ECORRUPT) return malformed(m, "bundle: text is not UTF-8");
    CKV_TRY(s);
    CKV_TRY(read_items(m));
    for (size_t i = 0; i < m->chains.len; i++) {
        const chain_in *c = &m->chains.ptr[i];
        if (c->n_sigs && m->sig_at.ptr[c->sigs + c->n_sigs - 1] >= c->n) return malformed(m, "bundle: a signature behind the end of its chain");
    }
    return CKV_OK;
}

static import import_init(ckv_doc *doc, ckv_report *report, ckv_err *err)
{
    const ckv_alloc a = doc->env.alloc;
    *err = (ckv_err){0};
    return (import){.doc = doc, .report = report, .err = err, .bundle = {.payload = ckv_buf_init(a)}, .lanes = {.a = a}, .lane_ids = {.a = a}, .chains = {.a = a}, .items = {.a = a}, .sig_at = {.a = a}, .outside = {.a = a}, .outside_ids = {.a = a}, .parents = {.a = a}, .bodies = ckv_buf_init(a), .columns = {.cur = {.a = a}, .ops = {.a = a}, .table = ckv_buf_init(a)}};
}

static void import_fini(import *m)
{
    ckv_columns_in_fini(&m->columns);
    ckv_bundle_fini(&m->bundle);
    lanes_in_fini(&m->lanes);
    ckv_id32s_fini(&m->lane_ids);
    chains_in_fini(&m->chains);
    items_in_fini(&m->items);
    ckv_u32s_fini(&m->sig_at);
    ckv_u32s_fini(&m->outside);
    ckv_id32s_fini(&m->outside_ids);
    ckv_id32s_fini(&m->parents);
    ckv_buf_fini(&m->bodies);
}

ckv_status ckv_bundle_check(ckv_doc *doc, const uint8_t *data, size_t n_bytes, ckv_err *err)
{
    import m = import_init(doc, NULL, err);
    const ckv_status s = read_all(&m, data, n_bytes);
    import_fini(&m);
    return s;
}

/* Where the document stood, to come back to. */
typedef struct snapshot {
    uint32_t n_changes, n_lanes;
    size_t journal, cover_bytes;
    ckv_u32s heads;
} snapshot;

static void go_back(ckv_doc *doc, const snapshot *at)
{
    ckv_doc_undo_to(doc, at->journal);
    ckv_graph_truncate(&doc->graph, at->n_changes, at->n_lanes, at->heads.ptr, at->heads.len);
    ckv_oplog_truncate(&doc->log, doc->graph.ids.n_lv, doc->graph.ids.n_items);
    while (doc->times.len && doc->times.ptr[doc->times.len - 1].change >= at->n_changes) doc->times.len--;
    while (doc->messages.len && doc->messages.ptr[doc->messages.len - 1].change >= at->n_changes) {
        doc->message_bytes.len = doc->messages.ptr[--doc->messages.len].off;
    }
    while (doc->voids.len && doc->voids.ptr[doc->voids.len - 1].change >= at->n_changes) {
        doc->void_bodies.len = doc->voids.ptr[--doc->voids.len].off;
    }
    size_t kept = 0; /* covers stand in order of their places, new ones among old */
    for (size_t i = 0; i < doc->covers.len; i++) {
        if (doc->covers.ptr[i].off < at->cover_bytes) doc->covers.ptr[kept++] = doc->covers.ptr[i];
    }
    doc->covers.len = kept;
    doc->cover_headers.len = at->cover_bytes;
    ckv_inbox_revert(&doc->inbox);
    doc->root_valid = false;
}

ckv_status ckv_doc_apply(ckv_doc *doc, const uint8_t *data, size_t n_bytes, ckv_report *report, ckv_err *err)
{
    import m = import_init(doc, report, err);
    snapshot at = {.n_changes = ckv_ids_n(&doc->graph.ids), .n_lanes = (uint32_t)doc->graph.lanes.lanes.len, .cover_bytes = doc->cover_headers.len, .heads = {.a = doc->env.alloc}};
    const uint64_t evicted = doc->inbox.evicted;
    report_clear(report);
    ckv_status s = read_all(&m, data, n_bytes);
    for (size_t i = 0; s == CKV_OK && i < m.chains.len; i++) s = verify_chain(&m, &m.chains.ptr[i]);
    if (s == CKV_OK) s = ckv_u32s_reserve(&at.heads, doc->graph.heads.len);
    if (s == CKV_OK) {
        for (size_t i = 0; i < doc->graph.heads.len; i++) ckv_u32s_put(&at.heads, doc->graph.heads.ptr[i]);
        if (doc->journal.on++ == 0) doc->journal.log.len = 0;
        at.journal = doc->journal.log.len;
        s = admit_all(&m);
        if (s == CKV_OK) s = settle_refusals(&m);
        if (s == CKV_OK) s = keep_covers(&m); /* the last step that can fail */
        if (s == CKV_OK) {
            settle_report(&m);
            ckv_inbox_settle(&doc->inbox);
            if (m.bundle.head.has_founder && !doc->has_founder) {
                doc->has_founder = true;
                doc->founder = m.bundle.head.founder;
                memcpy(doc->founder_nonce, m.bundle.head.nonce, 16);
            }
        } else {
            go_back(doc, &at);
            doc->inbox.evicted = evicted;
        }
        doc->journal.on--;
        if (doc->journal.on == 0) ckv_undos_fini(&doc->journal.log);
    }
    if (s != CKV_OK) report_clear(report);
    ckv_u32s_fini(&at.heads);
    import_fini(&m);
    return s;
}
