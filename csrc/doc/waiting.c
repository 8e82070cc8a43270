/* waiting.c -- a bundle of what waits: for another replica of the same document, which takes this one's place. Peers are never sent it: they have it, or will.
 *
 * What has no signature of its own stands under one that lies further on. The headers up to there are the trail of its letter, and of all letters of the same run: so
 * these make one chain, from the first of them on.
 */
#include "dag/bundle.h"
#include "doc/exchange.h"
#include "doc/state.h"

#include <stdlib.h>

typedef struct waiting_out {
    ckv_buf sections[CKV_N_SECTIONS];
    ckv_buf lanes, chains; /* without the counts */
    uint32_t n_chains;
} waiting_out;

static waiting_out out_init(ckv_alloc a)
{
    waiting_out w = {.lanes = ckv_buf_init(a), .chains = ckv_buf_init(a)};
    for (int i = 0; i < CKV_N_SECTIONS; i++) w.sections[i] = ckv_buf_init(a);
    return w;
}

static void out_fini(waiting_out *w)
{
    for (int i = 0; i < CKV_N_SECTIONS; i++) ckv_buf_fini(&w->sections[i]);
    ckv_buf_fini(&w->lanes);
    ckv_buf_fini(&w->chains);
}

/* bare: without the body that is here. */
static void put_letter(waiting_out *w, const ckv_letter *l, bool bare)
{
    ckv_buf *r = &w->sections[CKV_SEC_RAW];
    ckv_header h;
    bool decodes;
    const char *why;
    CKV_MUST(ckv_header_read(&h, l->bytes, l->header_bytes, &decodes, &why));
    ckv_buf_blob(r, l->bytes, l->header_bytes);
    if (h.body_len <= CKV_INLINE_BODY_BYTES) {
        ckv_buf_u8(r, 0);
    } else if (l->body_bytes && !bare) {
        ckv_buf_u8(r, 1);
        ckv_buf_blob(r, l->bytes + l->header_bytes, l->body_bytes);
    } else {
        ckv_buf_u8(r, 3);
    }
}

/* A chain of n changes that begins with this letter, signed at its end. */
static void begin_chain(waiting_out *w, const ckv_letter *l, uint32_t n,
                        const ckv_signature *signature)
{
    ckv_buf_u8(&w->lanes, 1); /* each chain brings the opening of its lane */
    ckv_buf_bytes(&w->lanes, &l->author, 32);
    ckv_buf_bytes(&w->lanes, l->nonce, 16);
    ckv_buf_varint(&w->chains, w->n_chains);
    ckv_buf_u8(&w->chains, 0);
    ckv_buf_varint(&w->chains, 1);
    ckv_buf_varint(&w->chains, n - 1);
    ckv_buf_bytes(&w->sections[CKV_SEC_SIGNATURES], signature->b, CKV_SIGNATURE_BYTES);
    ckv_buf_varint(&w->sections[CKV_SEC_SLICES], w->n_chains++);
    ckv_buf_u8(&w->sections[CKV_SEC_SLICES], 1);
    ckv_buf_varint(&w->sections[CKV_SEC_SLICES], n);
}

/* Letters of one trail, those that are furthest from its end first. How many of them the chain took. */
static size_t put_run(waiting_out *w, const ckv_letter *const *run, size_t n, bool bare)
{
    const ckv_letter *first = run[0];
    const ckv_trail *trail = first->trail;
    ckv_rd r = ckv_rd_init(trail->headers + first->trail_at, trail->n_bytes - first->trail_at);
    size_t k = 1;
    begin_chain(w, first, first->trail_n + 1, &trail->signature);
    put_letter(w, first, bare);
    for (uint32_t left = first->trail_n; left; left--) {
        size_t n_header;
        const uint8_t *header = ckv_rd_blob(&r, &n_header);
        if (k < n && run[k]->trail == trail && run[k]->trail_n == left - 1) {
            put_letter(w, run[k++], bare);
            continue;
        }
        ckv_buf_blob(&w->sections[CKV_SEC_RAW], header, n_header);
        ckv_buf_u8(&w->sections[CKV_SEC_RAW], 2);
    }
    return k;
}

static int by_trail(const void *x, const void *y)
{
    const ckv_letter *a = *(const ckv_letter *const *)x, *b = *(const ckv_letter *const *)y;
    if (a->trail != b->trail) return (uintptr_t)a->trail < (uintptr_t)b->trail ? -1 : 1;
    return (a->trail_n < b->trail_n) - (a->trail_n > b->trail_n);
}

static ckv_status write(ckv_doc *doc, waiting_out *w, ckv_buf *out)
{
    ckv_bundle_head head = {
        .doc = doc->id, .has_founder = doc->has_founder, .founder = doc->founder};
    memcpy(head.nonce, doc->founder_nonce, 16);
    ckv_buf_varint(&w->sections[CKV_SEC_LANES], w->n_chains);
    ckv_buf_bytes(&w->sections[CKV_SEC_LANES], w->lanes.ptr, w->lanes.len);
    ckv_buf_varint(&w->sections[CKV_SEC_CHAINS], w->n_chains);
    ckv_buf_bytes(&w->sections[CKV_SEC_CHAINS], w->chains.ptr, w->chains.len);
    CKV_TRY(w->lanes.status);
    CKV_TRY(w->chains.status);
    return ckv_bundle_write(out, &head, w->sections);
}

CKV_VEC(letter_ptrs, const ckv_letter *);

/* All of them; bare: those that are here with their bodies and that somebody calls dead all the same, once more, so that this is not forgotten. */
static ckv_status put_all(const ckv_inbox *x, waiting_out *w, letter_ptrs *runs, bool bare)
{
    runs->len = 0;
    CKV_TRY(letter_ptrs_reserve(runs, x->letters.len));
    for (size_t i = 0; i < x->letters.len; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        if (l->state != 1 || (bare && !(l->claimed && l->body_bytes))) continue;
        if (l->has_signature) {
            begin_chain(w, l, 1, &l->signature);
            put_letter(w, l, bare);
        } else {
            letter_ptrs_put(runs, l);
        }
    }
    if (runs->len) qsort(runs->ptr, runs->len, sizeof *runs->ptr, by_trail);
    for (size_t i = 0; i < runs->len;) i += put_run(w, runs->ptr + i, runs->len - i, bare);
    return CKV_OK;
}

ckv_status ckv_doc_export_waiting(ckv_doc *doc, ckv_buf *out, size_t *n)
{
    const ckv_inbox *x = &doc->inbox;
    waiting_out w = out_init(doc->env.alloc);
    letter_ptrs runs = {.a = doc->env.alloc};
    *n = x->n_waiting + x->n_later;
    ckv_status s = put_all(x, &w, &runs, false);
    if (s == CKV_OK) s = put_all(x, &w, &runs, true);
    if (s == CKV_OK && *n) s = write(doc, &w, out);
    letter_ptrs_fini(&runs);
    out_fini(&w);
    return s;
}
