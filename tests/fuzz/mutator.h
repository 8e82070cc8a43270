/* mutator.h -- mutations of a bundle that know what they mutate, for targets whose inputs are payloads: unpacked, without frame and checksum.
 *
 *     sections   one of them is mutated, lengths are mended
 *     changes    all are taken out of their columns; one gets another body, parent, signature, fork or place; then lengths, hashes and ids
 *                are mended in it and in all that build on it, and all are written as raw changes
 *
 * Frames are made by the target (k_frame). Only libFuzzer calls this; a replay needs none of it.
 */
#ifndef CKV_FUZZ_MUTATOR_H
#define CKV_FUZZ_MUTATOR_H

#include "dag/bundle.h"
#include "dag/header.h"
#include "doc/forge.h"
#include "kit.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed);
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t n_bytes, size_t max);

/* The bundle that an input stands for, with its checksum made right: a whole one (it begins with CKB), or the payload of one. */
static inline void k_frame(ckv_buf *out, const uint8_t *data, size_t n_bytes)
{
    if (n_bytes >= 12 && memcmp(data, "CKB", 3) == 0) {
        ckv_buf_bytes(out, data, n_bytes - 8);
    } else {
        const ckv_id32 id = k_doc_id();
        ckv_buf_bytes(out, "CKB\1", 4);
        ckv_buf_bytes(out, &id, 32);
        ckv_buf_bytes(out, "\0\0", 2);
        ckv_buf_varint(out, n_bytes);
        ckv_buf_bytes(out, data, n_bytes);
    }
    ckv_buf_u64le(out, ckv_hash64(out->ptr, out->len));
}

/* ---- sections */

static inline void m_put_section(ckv_buf *out, uint32_t tag, const void *p, size_t n)
{
    if (n == 0) return;
    ckv_buf_varint(out, tag);
    ckv_buf_blob(out, p, n);
}

/* One that is there gets other bytes. */
static inline bool m_sections(ckv_buf *out, const ckv_bundle *b)
{
    uint32_t there[CKV_N_SECTIONS], n = 0;
    for (uint32_t tag = 1; tag < CKV_N_SECTIONS; tag++) {
        if (ckv_rd_left(&b->sections[tag])) there[n++] = tag;
    }
    if (n == 0) return false;
    const uint32_t chosen =
        t_one_in(8) ? 1 + (uint32_t)t_below(CKV_N_SECTIONS - 1) : there[t_below(n)];
    for (uint32_t tag = 1; tag < CKV_N_SECTIONS; tag++) {
        const ckv_rd *r = &b->sections[tag];
        const size_t len = ckv_rd_left(r), room = len + 32;
        if (tag != chosen) {
            m_put_section(out, tag, r->p, len);
            continue;
        }
        uint8_t *bytes = calloc(1, room);
        CKV_ASSERT(bytes);
        if (len) memcpy(bytes, r->p, len);
        m_put_section(out, tag, bytes, LLVMFuzzerMutate(bytes, len, room));
        free(bytes);
    }
    return true;
}

/* ---- changes */

typedef struct m_change {
    ckv_part part;
    ckv_id32 id; /* what part.id has become */
    ckv_header header;
    ckv_id32 parents[CKV_MAX_PARENTS];
    uint8_t raw[CKV_HEADER_MAX_BYTES]; /* a header that does not decode, or is to be a lie */
    size_t n_raw;
    ckv_buf body;
} m_change;
CKV_VEC(m_changes, m_change);

static inline m_change *m_add(m_changes *all, const m_change *like)
{
    m_change fresh = *like;
    fresh.body = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&fresh.body, like->body.ptr, like->body.len);
    CKV_MUST(m_changes_push(all, fresh) == CKV_OK);
    return m_changes_last(all);
}

static inline void m_drop(m_changes *all)
{
    for (size_t i = 0; i < all->len; i++) ckv_buf_fini(&all->ptr[i].body);
    m_changes_fini(all);
}

/* All that a bundle says, one by one. */
static inline void m_take_apart(m_changes *all, const ckv_buf *bundle)
{
    ckv_doc *doc = k_new(1);
    ckv_buf parts = ckv_buf_init(ckv_alloc_libc), bytes = ckv_buf_init(ckv_alloc_libc);
    ckv_err err;
    if (ckv_forge_take_apart(doc, bundle->ptr, bundle->len, &parts, &bytes, &err) != CKV_OK)
        parts.len = 0;
    for (size_t i = 0; i < parts.len; i += sizeof(ckv_part)) {
        m_change c = {.n_raw = 0};
        const char *why;
        bool decodes;
        memcpy(&c.part, parts.ptr + i, sizeof c.part);
        const uint8_t *header = bytes.ptr + c.part.header;
        c.id = c.part.id;
        c.body = (ckv_buf){.ptr = bytes.ptr + c.part.body, .len = c.part.body_bytes}; /* borrowed */
        if (!ckv_header_read(&c.header, header, c.part.header_bytes, &decodes, &why) ||
            c.header.n_parents > CKV_MAX_PARENTS) {
            c.n_raw = c.part.header_bytes < sizeof c.raw ? c.part.header_bytes : sizeof c.raw;
            memcpy(c.raw, header, c.n_raw);
        } else {
            if (c.part.form == 0)
                c.body = (ckv_buf){.ptr = (uint8_t *)(uintptr_t)c.header.body,
                                   .len = c.header.body ? c.header.body_len : 0};
            for (uint32_t k = 0; k < c.header.n_parents; k++)
                memcpy(&c.parents[k], &c.header.parents[k], 32);
        }
        m_add(all, &c);
    }
    ckv_buf_fini(&parts);
    ckv_buf_fini(&bytes);
    ckv_doc_free(doc);
}

static inline void m_bytes(ckv_buf *b)
{
    CKV_ASSERT(ckv_buf_reserve(b, 32)); /* so it is not NULL */
    b->len = LLVMFuzzerMutate(b->ptr, b->len, b->len + 32);
}

/* Small numbers name things that are there. */
static inline void m_small(ckv_buf *b)
{
    if (b->len == 0) return;
    uint8_t *p = b->ptr + t_below(b->len);
    *p = (uint8_t)(t_one_in(2) ? t_below(8) : *p + 1 - t_below(3));
}

static inline void m_fork(m_changes *all, size_t of)
{
    uint32_t chain = 0;
    for (size_t i = 0; i < all->len; i++) {
        if (all->ptr[i].part.chain >= chain) chain = all->ptr[i].part.chain + 1;
    }
    const m_change like = all->ptr[of];
    m_change *c = m_add(all, &like);
    c->part.chain = chain;
    c->part.has_signature = true;
    m_small(&c->body);
}

static inline void m_parents(m_change *c, const m_change *earlier)
{
    ckv_header *h = &c->header;
    if (h->n_parents && t_one_in(2)) {
        const ckv_id32 last = c->parents[h->n_parents - 1];
        c->parents[t_below(h->n_parents--)] = last;
    } else if (h->n_parents < CKV_MAX_PARENTS) {
        c->parents[h->n_parents++] = earlier->part.id;
    }
}

/* With the length, hash and number of operations that the body has. */
static inline void m_write_header(m_change *c)
{
    ckv_header *h = &c->header;
    ckv_id32 hash = c->part.id; /* a body that is not here may have any */
    h->parents = c->parents;
    if (c->part.form == 2) {
        h->body_len = CKV_INLINE_BODY_BYTES + 1;
    } else {
        hash = ckv_body_hash(c->body.ptr, c->body.len);
        h->body = c->body.ptr;
        h->body_len = (uint32_t)c->body.len;
        h->n_ops = ckv_forge_n_ops(c->body.ptr, c->body.len, h->n_parents);
        if (h->n_ops == 0) h->n_ops = 1;
        c->part.form = h->body_len > CKV_INLINE_BODY_BYTES;
    }
    h->body_hash = h->body_len > CKV_INLINE_BODY_BYTES ? &hash : NULL;
    c->n_raw = ckv_header_write(c->raw, h);
}

static inline void m_one(m_changes *all)
{
    const size_t i = t_below(all->len), k = t_below(all->len);
    m_change *c = &all->ptr[i];
    switch (t_below(12)) {
    case 0:
    case 1:
    case 2: m_bytes(&c->body); break;
    case 3:
    case 4: m_small(&c->body); break;
    case 5: { /* a piece of another one, appended: operations stand in a row */
        const ckv_buf *other = &all->ptr[k].body;
        const size_t from = other->len ? t_below(other->len) : 0;
        CKV_ASSERT(ckv_buf_reserve(&c->body, other->len + 1)); /* it may be the same one */
        if (other->len) ckv_buf_bytes(&c->body, other->ptr + from, other->len - from);
        break;
    }
    case 6: m_fork(all, i); break;
    case 7: m_parents(c, &all->ptr[k < i ? k : 0]); break;
    case 8:
        c->part.has_signature = !c->part.has_signature;
        c->part.signature[0] = (uint8_t)(t_one_in(2) ? 0xee : 0);
        break;
    case 9: {
        const m_change swap = *c;
        *c = all->ptr[k];
        all->ptr[k] = swap;
        break;
    }
    case 10: c->part.form = (uint8_t)t_below(3); break;
    default: /* a header that says something else */
        if (c->n_raw == 0) m_write_header(c);
        c->n_raw = LLVMFuzzerMutate(c->raw, c->n_raw, sizeof c->raw);
    }
}

/* What an id has become, if it is one of these. */
static inline void m_rename(const m_changes *all, size_t n, void *id)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&all->ptr[i].part.id, id, 32) == 0) {
            memcpy(id, &all->ptr[i].id, 32);
            return;
        }
    }
}

static inline void m_mend(m_changes *all)
{
    for (size_t i = 0; i < all->len; i++) {
        m_change *c = &all->ptr[i];
        ckv_header *h = &c->header;
        ckv_body b;
        if (c->n_raw == 0) {
            if (h->has_prev) m_rename(all, i, &h->prev);
            for (uint32_t k = 0; k < h->n_parents; k++) m_rename(all, i, &c->parents[k]);
            h->n_parents = (uint32_t)ckv_id32_sort_unique(c->parents, h->n_parents);
            if (ckv_body_open(&b, c->body.ptr, c->body.len, h->n_parents) == CKV_OK) {
                for (uint32_t k = 0; k < b.n_changes; k++)
                    m_rename(all, i, c->body.ptr + (b.changes - c->body.ptr) + 32 * (size_t)k);
            }
            m_write_header(c);
        }
        ckv_digest_change(&c->id, &c->part.lane, c->raw, c->n_raw);
    }
}

/* Where this lane, or this chain, stands among the first ones of their kind. */
static inline uint32_t m_rank(const m_changes *all, size_t of, bool by_chain)
{
    uint32_t rank = 0;
    for (size_t i = 0; i <= of; i++) {
        bool first = true;
        const m_change *c = &all->ptr[i];
        for (size_t k = 0; k < i && first; k++)
            first = by_chain ? all->ptr[k].part.chain != c->part.chain
                             : !ckv_id32_eq(&all->ptr[k].part.lane, &c->part.lane);
        const bool same = by_chain ? c->part.chain == all->ptr[of].part.chain
                                   : ckv_id32_eq(&c->part.lane, &all->ptr[of].part.lane);
        if (first && same) return rank;
        rank += first;
    }
    return rank;
}

static inline void m_put_lane(ckv_buf *out, const ckv_part *p)
{
    ckv_buf_u8(out, p->has_opening ? 2 : 0);
    ckv_buf_bytes(out, &p->lane, 32);
    if (!p->has_opening) return;
    ckv_buf_bytes(out, &p->author, 32);
    ckv_buf_bytes(out, p->nonce, 16);
}

static inline void m_put_chain(const m_changes *all, size_t first, ckv_buf *out, ckv_buf *sigs)
{
    ckv_buf gaps = ckv_buf_init(ckv_alloc_libc);
    uint64_t n = 0, gap = 0;
    for (size_t i = first; i < all->len; i++) {
        const ckv_part *p = &all->ptr[i].part;
        if (p->chain != all->ptr[first].part.chain) continue;
        if (p->has_signature) {
            ckv_buf_varint(&gaps, gap);
            ckv_buf_bytes(sigs, p->signature, 64);
            n++;
            gap = 0;
        } else {
            gap++;
        }
    }
    ckv_buf_varint(out, m_rank(all, first, false));
    ckv_buf_u8(out, 0);
    ckv_buf_varint(out, n);
    ckv_buf_bytes(out, gaps.ptr, gaps.len);
    ckv_buf_fini(&gaps);
}

static inline void m_put(const m_changes *all, ckv_buf *out)
{
    ckv_buf lanes = ckv_buf_init(ckv_alloc_libc), chains = lanes, slices = lanes, sigs = lanes,
            raw = lanes, counted = lanes;
    uint64_t n_lanes = 0, n_chains = 0;
    for (size_t i = 0, n; i < all->len; i += n) {
        for (n = 1; i + n < all->len && all->ptr[i + n].part.chain == all->ptr[i].part.chain;) n++;
        ckv_buf_varint(&slices, m_rank(all, i, true));
        ckv_buf_u8(&slices, 1);
        ckv_buf_varint(&slices, n);
    }
    for (size_t i = 0; i < all->len; i++) {
        const m_change *c = &all->ptr[i];
        if (m_rank(all, i, false) == n_lanes) m_put_lane(&lanes, &c->part), n_lanes++;
        if (m_rank(all, i, true) == n_chains) m_put_chain(all, i, &chains, &sigs), n_chains++;
        ckv_buf_blob(&raw, c->raw, c->n_raw);
        ckv_buf_u8(&raw, c->part.form);
        if (c->part.form == 1) ckv_buf_blob(&raw, c->body.ptr, c->body.len);
    }
    ckv_buf_varint(&counted, n_lanes);
    ckv_buf_bytes(&counted, lanes.ptr, lanes.len);
    m_put_section(out, CKV_SEC_LANES, counted.ptr, counted.len);
    ckv_buf_clear(&counted);
    ckv_buf_varint(&counted, n_chains);
    ckv_buf_bytes(&counted, chains.ptr, chains.len);
    m_put_section(out, CKV_SEC_CHAINS, counted.ptr, counted.len);
    m_put_section(out, CKV_SEC_SLICES, slices.ptr, slices.len);
    m_put_section(out, CKV_SEC_SIGNATURES, sigs.ptr, sigs.len);
    m_put_section(out, CKV_SEC_RAW, raw.ptr, raw.len);
    ckv_buf *const mine[] = {&lanes, &chains, &slices, &sigs, &raw, &counted};
    for (size_t i = 0; i < 6; i++) ckv_buf_fini(mine[i]);
}

static inline bool m_raw(ckv_buf *out, const ckv_buf *bundle)
{
    m_changes all = {.a = ckv_alloc_libc};
    m_take_apart(&all, bundle);
    const bool some = all.len > 0 && all.len < 200;
    if (some) {
        for (uint64_t n = 1 + t_below(3); n; n--) m_one(&all);
        m_mend(&all);
        m_put(&all, out);
    }
    m_drop(&all);
    return some;
}

/* The first `head` bytes of an input are the target's own. */
static inline size_t m_mutate(uint8_t *data, size_t n_bytes, size_t max, unsigned seed, size_t head)
{
    k_begin();
    t_state = seed;
    if (n_bytes <= head + 4 || t_one_in(6)) return LLVMFuzzerMutate(data, n_bytes, max);
    if (head && t_one_in(6)) return LLVMFuzzerMutate(data, head, head), n_bytes;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc), out = ckv_buf_init(ckv_alloc_libc);
    ckv_bundle b;
    ckv_err err;
    k_frame(&bundle, data + head, n_bytes - head);
    bool done = false;
    if (ckv_bundle_open(&b, ckv_alloc_libc, bundle.ptr, bundle.len, &err) == CKV_OK)
        done = t_one_in(2) ? m_sections(&out, &b) : m_raw(&out, &bundle);
    size_t n = 0;
    if (done && out.len <= max - head) {
        n = head + out.len;
        if (out.len) memcpy(data + head, out.ptr, out.len);
    }
    ckv_bundle_fini(&b);
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&out);
    return n ? n : LLVMFuzzerMutate(data, n_bytes, max);
}

#endif
