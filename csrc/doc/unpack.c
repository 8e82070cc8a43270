/* unpack.c -- from the bytes of a bundle to its changes: columns back to canonical headers and bodies, and from them the ids.
 * Whatever does not fit is malformed, whatever fits is still only a claim.
 * Signatures are looked at here only as far as credit asks for it (doc/import.h). docs/format.md, "Bundle".
 */
#include "base/utf8.h"
#include "doc/import.h"

static ckv_status malformed(ckv_import *m, const char *text)
{
    *m->err = (ckv_err){CKV_ECORRUPT, 0, text};
    return CKV_ECORRUPT;
}

/* ---- 1 read */

/* A number of things of which each brings at least `min_bytes` that no packing takes away (a nonce, a hash, a signature): the bundle must have
 * the bytes. Some may be there twice. */
#define SOME_TWICE 256
static bool has_bytes_for(const ckv_import *m, size_t n, size_t min_bytes)
{
    return n <= m->n_bytes / min_bytes + SOME_TWICE;
}

static ckv_status read_lanes(ckv_import *m)
{
    ckv_rd *r = &m->bundle.sections[CKV_SEC_LANES];
    const size_t n = r->p == r->end ? 0 : ckv_rd_count(r, 33);
    if (!has_bytes_for(m, n, 16)) return malformed(m, "bundle: more lanes than its bytes can name");
    for (size_t i = 0; i < n; i++) {
        ckv_lane_in l = {.number = CKV_NONE};
        const uint8_t form = ckv_rd_u8(r);
        const uint8_t *id = form != 1 ? ckv_rd_bytes(r, 32) : NULL;
        const uint8_t *author = form ? ckv_rd_bytes(r, 32) : NULL,
                      *nonce = form ? ckv_rd_bytes(r, 16) : NULL;
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
        l.checked = l.number != CKV_NONE; /* when the lane was opened here */
        CKV_TRY(ckv_lanes_in_push(&m->lanes, l));
        CKV_TRY(ckv_id32s_push(&m->lane_ids, l.id));
    }
    return ckv_rd_done(r) ? CKV_OK : malformed(m, "bundle: lanes");
}

static ckv_status read_chains(ckv_import *m)
{
    ckv_rd *r = &m->bundle.sections[CKV_SEC_CHAINS];
    const size_t n = r->p == r->end ? 0 : ckv_rd_count(r, 3);
    if (!has_bytes_for(m, n, 16))
        return malformed(m, "bundle: more chains than its bytes can name");
    for (size_t i = 0; i < n; i++) {
        ckv_chain_in c = {.lane = (uint32_t)ckv_rd_upto(r, UINT32_MAX),
                          .first = CKV_NONE,
                          .last = CKV_NONE,
                          .sigs = (uint32_t)m->sig_at.len};
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
        if (r->status != CKV_OK || start > 1 || c.lane >= m->lanes.len)
            return malformed(m, "bundle: chains");
        CKV_TRY(ckv_chains_in_push(&m->chains, c));
    }
    if (!ckv_rd_done(r)) return malformed(m, "bundle: chains");
    if (ckv_rd_left(&m->bundle.sections[CKV_SEC_SIGNATURES]) != m->sig_at.len * CKV_SIGNATURE_BYTES)
        return malformed(m, "bundle: signatures");
    if (!has_bytes_for(m, m->sig_at.len, CKV_SIGNATURE_BYTES))
        return malformed(m, "bundle: more signatures than its bytes can hold");
    return CKV_OK;
}

static ckv_status read_outside(ckv_import *m)
{
    ckv_rd *r = &m->bundle.sections[CKV_SEC_OUTSIDE];
    const size_t n = r->p == r->end ? 0 : ckv_rd_count(r, 33);
    if (!has_bytes_for(m, n, 32))
        return malformed(m, "bundle: more parents than its bytes can name");
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

/* ---- credit */

ckv_signature ckv_import_signature(const ckv_import *m, uint32_t i)
{
    ckv_signature s;
    memcpy(&s, m->bundle.sections[CKV_SEC_SIGNATURES].p + (size_t)i * CKV_SIGNATURE_BYTES,
           sizeof s);
    return s;
}

bool ckv_import_verify(ckv_import *m, uint32_t at, uint32_t signature)
{
    ckv_item_in *item = &m->items.ptr[at];
    ckv_lane_in *lane = &m->lanes.ptr[m->chains.ptr[item->chain].lane];
    if (!lane->good) return false;
    if (m->trusted) return true;
    if (item->proof == CKV_PROOF_UNKNOWN) {
        const ckv_signature s = ckv_import_signature(m, signature);
        m->doc->n_verified++;
        item->proof =
            ckv_verify_change(&s, &lane->author, &m->doc->id, &lane->id, item->seq, &item->id)
                ? CKV_PROOF_HOLDS
                : CKV_PROOF_FALSE;
    }
    if (item->proof == CKV_PROOF_HOLDS && !lane->checked) {
        lane->checked = true;
        lane->good = ckv_key_is_valid(&lane->author);
    }
    return item->proof == CKV_PROOF_HOLDS && lane->good;
}

static uint32_t fingerprint(const ckv_id32 *id)
{
    uint32_t print;
    memcpy(&print, id->b, sizeof print);
    return print;
}

/* Whether a change was paid for in this bundle before: if not, it is now. Room was reserved. */
static bool paid_before(ckv_import *m, uint32_t item)
{
    const ckv_id32 *id = &m->items.ptr[item].id;
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&m->paid, fingerprint(id), &at)) != CKV_HMAP_NONE;) {
        if (ckv_id32_eq(&m->items.ptr[i].id, id)) return true;
    }
    ckv_hmap_add(&m->paid, fingerprint(id), item);
    return false;
}

/* Looks at the signatures whose changes are here by now. What is here already needs none. */
static ckv_status pay(ckv_import *m)
{
    CKV_TRY(ckv_hmap_reserve(&m->paid, m->claims.len));
    for (size_t k = 0; k < m->claims.len; k++) {
        const ckv_claim_in claim = m->claims.ptr[k];
        const ckv_item_in *item = &m->items.ptr[claim.item];
        ckv_chain_in *chain = &m->chains.ptr[item->chain];
        uint32_t change;
        if (item->cut) continue;
        const ckv_status s = ckv_ids_find(&m->doc->graph.ids, &item->id, &change);
        if (s != CKV_OK && s != CKV_ENOENT) return s;
        if (s == CKV_ENOENT && !ckv_import_verify(m, claim.item, claim.signature)) continue;
        if (paid_before(m, claim.item)) continue;
        m->credit -= claim.cost - chain->paid;
        chain->paid = claim.cost;
    }
    m->claims.len = 0;
    return CKV_OK;
}

/* The newest item costs so much beyond what it came with. */
static ckv_status charge(ckv_import *m, uint64_t cost)
{
    const uint32_t at = (uint32_t)m->items.len - 1;
    ckv_chain_in *chain = &m->chains.ptr[m->items.ptr[at].chain];
    const uint64_t most =
        m->n_bytes > CKV_IMPORT_CREDIT / 64 ? (uint64_t)m->n_bytes * 64 : CKV_IMPORT_CREDIT;
    chain->cost += cost;
    m->credit += cost;
    if (chain->n_read < chain->n_sigs &&
        m->sig_at.ptr[chain->sigs + chain->n_read] == chain->n - 1) {
        const ckv_claim_in claim = {chain->cost, chain->sigs + chain->n_read++, at};
        CKV_TRY(ckv_claims_in_push(&m->claims, claim));
    }
    if (m->credit <= m->look_at) return CKV_OK;
    CKV_TRY(pay(m));
    if (m->credit > most) return malformed(m, "bundle: claims more than its signatures cover");
    m->look_at = m->credit + most / 16 > most ? most : m->credit + most / 16;
    if (m->look_at < most / 2) m->look_at = most / 2;
    return CKV_OK;
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
static ckv_status open_parents(ckv_import *m, change_columns *c, uint64_t n_changes)
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
static ckv_status read_column_change(ckv_import *m, change_columns *cols, ckv_chain_in *chain,
                                     ckv_item_in *item, const uint32_t ordinal)
{
    uint32_t parent_lanes[CKV_MAX_PARENTS];
    const uint64_t n_parents = next_repeated(&cols->n_parents), n_ops = next_repeated(&cols->n_ops);
    if (n_parents > CKV_MAX_PARENTS || n_ops > CKV_MAX_OPS || cols->n_ops.r->status != CKV_OK)
        return malformed(m, "bundle: changes");
    item->parents = (uint32_t)m->parents.len;
    item->n_parents = (uint8_t)n_parents;
    CKV_TRY(ckv_id32s_reserve(&m->parents, (size_t)n_parents));
    for (uint32_t i = 0; i < n_parents; i++) {
        const uint64_t ref = ckv_rd_varint(&cols->parents), x = ref >> 1;
        if (cols->parents.status != CKV_OK) return malformed(m, "bundle: parents");
        if (ref & 1) {
            if (x == 0 || x > ordinal) return malformed(m, "bundle: parents");
            const ckv_item_in *p = &m->items.ptr[ordinal - x];
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
    if (__builtin_add_overflow(cols->time, delta, &cols->time) || cols->times.r->status != CKV_OK)
        return malformed(m, "bundle: times");
    ckv_column_change change = {.own = chain->lane,
                                .own_off = &chain->off,
                                .parents = parent_lanes,
                                .n_parents = (uint32_t)n_parents,
                                .n_ops = (uint32_t)n_ops,
                                .head = {.time = cols->time}};
    if (!cols->skip_known && cols->messages->p < cols->messages->end) {
        cols->skip = ckv_rd_varint(cols->messages);
        cols->skip_known = true;
    }
    if (cols->skip_known && cols->skip-- == 0) {
        change.head.message = (const char *)ckv_rd_blob(cols->messages, &change.head.message_bytes);
        size_t n_chars;
        uint32_t max;
        if (!change.head.message || !ckv_utf8_valid((const uint8_t *)change.head.message,
                                                    change.head.message_bytes, &n_chars, &max))
            return malformed(m, "bundle: messages");
        cols->skip_known = false;
    }
    item->seq = chain->seq;
    item->has_prev = chain->seq > 0;
    item->n_ops = (uint32_t)n_ops;
    item->body = m->bodies.len;
    const ckv_status s = ckv_columns_body(&m->columns, &change, m->lane_ids.ptr, &m->bodies);
    if (s != CKV_OK) return s == CKV_ECORRUPT ? malformed(m, "bundle: operations") : s;
    const size_t len = m->bodies.len - item->body;
    item->body_len = (uint32_t)len; /* beyond 4 GiB it is refused all the same */

    uint8_t bytes[CKV_HEADER_MAX_BYTES];
    ckv_id32 hash;
    ckv_header h = {.seq = item->seq,
                    .n_ops = item->n_ops,
                    .body_len = item->body_len,
                    .has_prev = item->has_prev,
                    .prev = chain->prev,
                    .n_parents = (uint32_t)n_parents,
                    .parents = m->parents.ptr + item->parents,
                    .body = m->bodies.ptr + item->body};
    if (h.body_len > CKV_INLINE_BODY_BYTES) {
        hash = ckv_body_hash(h.body, len);
        h.body_hash = &hash;
    }
    ckv_digest_change(&item->id, &m->lanes.ptr[chain->lane].id, bytes, ckv_header_write(bytes, &h));
    if (len > CKV_MAX_BODY_BYTES)
        item->state = CKV_ITEM_REFUSED, item->why = "the body is over 16 MiB";
    for (uint32_t i = 1; i < n_parents; i++) {
        if (ckv_id32_eq(&h.parents[i - 1], &h.parents[i]))
            item->state = CKV_ITEM_REFUSED,
            item->why = "header: parents are too many, unsorted or repeated";
    }
    return CKV_OK;
}

/* Reads one raw change. The header says all; whether it is true is found out here and in step 2. */
static ckv_status read_raw_change(ckv_import *m, ckv_chain_in *chain, ckv_item_in *item)
{
    ckv_rd *r = &m->bundle.sections[CKV_SEC_RAW];
    size_t n_header, n_body = 0;
    const uint8_t *header = ckv_rd_blob(r, &n_header);
    const uint8_t form = ckv_rd_u8(r);
    const uint8_t *body = form == 1 ? ckv_rd_blob(r, &n_body) : NULL;
    ckv_header h;
    bool decodes;
    if (r->status != CKV_OK || form > (m->doc->has_content || m->any_form ? 3 : 2))
        return malformed(m, "bundle: raw changes");
    item->raw = true;
    ckv_digest_change(&item->id, &m->lanes.ptr[chain->lane].id, header, n_header);
    if (!ckv_header_read(&h, header, n_header, &decodes, &item->why)) {
        item->state = CKV_ITEM_REFUSED;
    } else if (h.type != ckv_doc_type(m->doc)) {
        item->state = CKV_ITEM_REFUSED;
        item->why = "header: unknown version or type";
    }
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
    if (chain->started &&
        (h.seq != chain->seq || chain->seq == 0 || /* it would begin again */
         (h.has_prev && !ckv_id32_eq(&h.prev, &chain->prev)) || h.has_prev != (chain->seq > 0))) {
        item->state = CKV_ITEM_REFUSED;
        item->why = "does not follow the change before it in its chain";
        item->cut = chain->broken = true;
        chain->why = item->why;
        return CKV_OK;
    }
    if (item->state == CKV_ITEM_REFUSED) {
        /* One that is not here leads to a signature, whatever its header holds: no fault of who passes it on. */
        if (form == 2) item->state = CKV_ITEM_OMITTED;
        return CKV_OK;
    }
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
        item->state = CKV_ITEM_OMITTED;
        return CKV_OK;
    }
    if ((form == 0) != (h.body_len <= CKV_INLINE_BODY_BYTES)) {
        item->state = CKV_ITEM_REFUSED;
        item->why = "a body of at most 48 bytes stands in the header, and only that";
        return CKV_OK;
    }
    if (form == 3) {
        item->left_out = true;
        return CKV_OK;
    }
    if (form == 1) {
        const ckv_id32 hash = ckv_body_hash(body, n_body);
        if (n_body != h.body_len || memcmp(&hash, h.body_hash, 32) != 0) {
            item->state = CKV_ITEM_REFUSED;
            item->why = "the body has not the length and hash that the header says";
            return CKV_OK;
        }
        h.body = body;
        item->has_body = m->doc->has_content;
    }
    ckv_buf_bytes(&m->bodies, h.body, h.body_len);
    return m->bodies.status;
}

static ckv_status read_items(ckv_import *m)
{
    ckv_rd *const slices = &m->bundle.sections[CKV_SEC_SLICES];
    change_columns cols = {.n_ops = {.r = &m->bundle.sections[CKV_SEC_N_OPS]},
                           .times = {.r = &m->bundle.sections[CKV_SEC_TIMES]},
                           .messages = &m->bundle.sections[CKV_SEC_MESSAGES]};
    uint64_t n_changes = 0, n_columns = 0;
    for (ckv_rd r = *slices; r.p < r.end;) { /* count first: claims must fit what they come with */
        const uint64_t chain = ckv_rd_varint(&r);
        const uint8_t form = ckv_rd_u8(&r);
        const uint64_t n = ckv_rd_varint(&r);
        if (r.status != CKV_OK || form > 2 || (form != 1 && m->doc->has_content) ||
            chain >= m->chains.len || n == 0 ||
            n > UINT32_MAX - n_changes) /* ordinals have 32 bits */
            return malformed(m, "bundle: slices");
        if (form == 2) ckv_rd_varint(&r);
        n_changes += n;
        if (form != 1) n_columns += n;
        if (n_changes > (uint64_t)CKV_RUN_CHANGES * m->sig_at.len + m->n_bytes / 16)
            return malformed(m, "bundle: more changes than its signatures can cover");
        if (r.status != CKV_OK) return malformed(m, "bundle: slices");
    }
    CKV_TRY(open_parents(m, &cols, n_columns));
    CKV_TRY(ckv_claims_in_reserve(&m->claims, 1)); /* never NULL */
    CKV_TRY(ckv_id32s_reserve(&m->parents, 1));    /* never NULL */
    /* Of the columns, when a body was last compared with what it came with. */
    size_t left = ckv_columns_left(&m->columns) + ckv_rd_left(cols.messages);
    while (slices->p < slices->end) {
        const uint32_t chain_no = (uint32_t)ckv_rd_varint(slices);
        const uint8_t form = ckv_rd_u8(slices);
        uint32_t n = (uint32_t)ckv_rd_varint(slices);
        ckv_chain_in *chain = &m->chains.ptr[chain_no];
        const bool columns = form != 1;
        /* A chain begins in columns iff its start says where; columns behind raw changes say it themselves. */
        if (chain->n == 0 ? (form == 2 || columns != chain->started)
                          : (columns && (form == 2) != chain->was_raw))
            return malformed(m, "bundle: slices");
        if (form == 2) chain->off = (int64_t)ckv_rd_upto(slices, UINT32_MAX);
        chain->was_raw = !columns;
        for (; n; n--) {
            const uint32_t ordinal = (uint32_t)m->items.len;
            ckv_item_in item = {.chain = chain_no,
                                .next = CKV_NONE,
                                .before = chain->last,
                                .signature = CKV_NONE,
                                .change = CKV_NONE};
            if (columns && (chain->seq > CKV_MAX_SEQ || (chain->seq == 0 && chain->n)))
                return malformed(m, "bundle: slices");
            const bool was_broken = chain->broken;
            CKV_TRY(columns ? read_column_change(m, &cols, chain, &item, ordinal)
                            : read_raw_change(m, chain, &item));
            if (chain->n == 0) chain->first_prev = chain->prev;
            if (was_broken) item.state = CKV_ITEM_REFUSED, item.why = chain->why, item.cut = true;
            chain->started = true;
            chain->prev = item.id;
            chain->seq = item.seq + 1;
            if (chain->last == CKV_NONE)
                chain->first = ordinal;
            else
                m->items.ptr[chain->last].next = ordinal;
            chain->last = ordinal;
            chain->n++;
            CKV_TRY(ckv_items_in_push(&m->items, item));
            uint64_t cost = sizeof item + 32 * (uint64_t)item.n_parents;
            if (columns && item.body_len > CKV_INLINE_BODY_BYTES) {
                const size_t now = ckv_columns_left(&m->columns) + ckv_rd_left(cols.messages);
                cost += item.body_len > left - now ? item.body_len - (left - now) : 0;
                left = now;
            } else if (columns) {
                cost += item.body_len; /* not worth asking */
            }
            CKV_TRY(charge(m, cost));
        }
        if (columns && !ckv_columns_slice_done(&m->columns))
            return malformed(m, "bundle: a run reaches over its slice");
    }
    /* Counts of parents are as many as changes: open_parents. */
    const bool rest = !ckv_columns_done(&m->columns) || cols.n_ops.left || cols.times.left ||
                      cols.skip_known || !ckv_rd_done(cols.n_ops.r) || !ckv_rd_done(cols.times.r) ||
                      !ckv_rd_done(cols.messages) || !ckv_rd_done(&cols.parents) ||
                      !ckv_rd_done(&m->bundle.sections[CKV_SEC_RAW]);
    return rest ? malformed(m, "bundle: bytes left over") : CKV_OK;
}

size_t ckv_import_header(uint8_t *out, const ckv_import *m, const ckv_item_in *item)
{
    const ckv_id32 *prev = item->before == CKV_NONE ? &m->chains.ptr[item->chain].first_prev
                                                    : &m->items.ptr[item->before].id;
    ckv_id32 hash;
    ckv_header h = {.seq = item->seq,
                    .n_ops = item->n_ops,
                    .body_len = item->body_len,
                    .has_prev = item->has_prev,
                    .prev = *prev,
                    .n_parents = item->n_parents,
                    .parents = m->parents.ptr + item->parents,
                    .body = m->bodies.ptr + item->body};
    if (h.body_len > CKV_INLINE_BODY_BYTES) {
        hash = ckv_body_hash(h.body, h.body_len);
        h.body_hash = &hash;
    }
    return ckv_header_write(out, &h);
}

ckv_status ckv_bundle_doc_id(const uint8_t *data, size_t n_bytes, ckv_id32 *out, ckv_err *err)
{
    ckv_bundle_head head;
    ckv_rd rest;
    CKV_TRY(ckv_bundle_peek(data, n_bytes, &head, &rest, err));
    *out = head.doc;
    return CKV_OK;
}

ckv_status ckv_import_read(ckv_import *m, const uint8_t *data, size_t n_bytes)
{
    m->n_bytes = n_bytes;
    m->look_at = CKV_IMPORT_CREDIT / 2;
    CKV_TRY(ckv_bundle_open(&m->bundle, m->doc->env.alloc, data, n_bytes, m->err));
    if (!ckv_id32_eq(&m->bundle.head.doc, &m->doc->id))
        return malformed(m, "a bundle of another document, made separately: replicas of one are "
                            "made by fork, by save and load, or under its id");
    CKV_TRY(read_lanes(m));
    CKV_TRY(read_chains(m));
    CKV_TRY(read_outside(m));
    const ckv_status s = ckv_columns_in_init(&m->columns, m->doc->env.alloc,
                                             m->bundle.sections + CKV_SEC_KINDS, m->lanes.len);
    if (s == CKV_ECORRUPT) return malformed(m, "bundle: text is not UTF-8");
    CKV_TRY(s);
    CKV_TRY(read_items(m));
    for (size_t i = 0; i < m->chains.len; i++) {
        const ckv_chain_in *c = &m->chains.ptr[i];
        if (c->n_sigs && m->sig_at.ptr[c->sigs + c->n_sigs - 1] >= c->n)
            return malformed(m, "bundle: a signature behind the end of its chain");
    }
    return CKV_OK;
}

ckv_import ckv_import_init(ckv_doc *doc, ckv_report *report, ckv_err *err)
{
    const ckv_alloc a = doc->env.alloc;
    *err = (ckv_err){0};
    return (ckv_import){.doc = doc,
                        .report = report,
                        .err = err,
                        .bundle = {.payload = ckv_buf_init(a)},
                        .lanes = {.a = a},
                        .lane_ids = {.a = a},
                        .chains = {.a = a},
                        .items = {.a = a},
                        .sig_at = {.a = a},
                        .outside = {.a = a},
                        .outside_ids = {.a = a},
                        .parents = {.a = a},
                        .bodies = ckv_buf_init(a),
                        .released = {.a = a},
                        .late = {.a = a},
                        .claims = {.a = a},
                        .paid = ckv_hmap_init(a, (uint32_t)doc->inbox.secret),
                        .columns = {.cur = {.a = a}, .table = ckv_buf_init(a)}};
}

void ckv_import_fini(ckv_import *m)
{
    ckv_columns_in_fini(&m->columns);
    ckv_bundle_fini(&m->bundle);
    ckv_lanes_in_fini(&m->lanes);
    ckv_id32s_fini(&m->lane_ids);
    for (size_t i = 0; i < m->chains.len; i++)
        ckv_trail_drop(m->chains.ptr[i].trail, m->doc->env.alloc);
    ckv_chains_in_fini(&m->chains);
    ckv_releases_fini(&m->released);
    ckv_lates_fini(&m->late);
    ckv_items_in_fini(&m->items);
    ckv_u32s_fini(&m->sig_at);
    ckv_u32s_fini(&m->outside);
    ckv_id32s_fini(&m->outside_ids);
    ckv_id32s_fini(&m->parents);
    ckv_buf_fini(&m->bodies);
    ckv_claims_in_fini(&m->claims);
    ckv_hmap_fini(&m->paid);
}

ckv_status ckv_bundle_check(ckv_doc *doc, const uint8_t *data, size_t n_bytes, ckv_err *err)
{
    ckv_import m = ckv_import_init(doc, NULL, err);
    const ckv_status s = ckv_import_read(&m, data, n_bytes);
    ckv_import_fini(&m);
    return s;
}
