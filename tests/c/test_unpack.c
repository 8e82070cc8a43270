/* From the bytes of a bundle to changes: what does not fit is malformed as a whole, what fits and breaks a rule is refused alone. */
#include "by_hand.h"

static ckv_doc *new_doc(void)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    return doc;
}

/* A column of (value, repeat) pairs gets one more. */
static void pair(h_bundle *b, int section, uint64_t value, uint64_t repeat)
{
    ckv_buf_varint(&b->sections[section], value);
    ckv_buf_varint(&b->sections[section], repeat);
}

/* n changes in columns, without operations, parents and messages, all at time 0. */
static void add_empty(h_bundle *b, uint32_t chain, uint8_t form, uint32_t n)
{
    h_add_slice(b, chain, form, n);
    pair(b, CKV_SEC_N_OPS, 0, n);
    pair(b, CKV_SEC_PARENTS, 0, n);
    pair(b, CKV_SEC_TIMES, 0, n);
}

static void some_signature(h_bundle *b)
{
    for (int i = 0; i < CKV_SIGNATURE_BYTES; i++) ckv_buf_u8(&b->sections[CKV_SEC_SIGNATURES], 7);
}

/* ---- lanes */

static void an_opening_makes_its_lane(void)
{
    ckv_doc *doc = new_doc();
    for (uint32_t i = 0; i < 4; i++) {
        h_lane l = h_lane_of(doc, i);
        if (i == 2) l.id.b[0] ^= 1; /* states another one */
        h_change c = h_first(&l), *const one = &c;
        h_bundle b = h_bundle_to(doc);
        h_tell(&b, i == 0 ? H_OPENING : i < 3 ? H_OPENING_WITH_ID : H_ID_ONLY, &one, 1);
        h_report r = h_send(doc, &b);
        H_SAID(&r, &c,
               i < 2    ? "applied"
               : i == 2 ? "the lane is not that of its opening, or the key is not a valid point"
                        : "the lane's opening is missing");
        h_done(&r);
        h_free(&c);
    }
    h_lane l = h_lane_of(doc, 9);
    memset(&l.who.public_key, 2, 32); /* no point */
    l.id = ckv_lane_id(&l.doc, &l.who.public_key, l.nonce);
    h_change c = h_first(&l);
    h_bundle b = h_bundle_to(doc);
    h_tell_one(&b, &c);
    h_report r = h_send(doc, &b);
    H_SAID(&r, &c, "the signature does not hold"); /* so nobody asks what the key is worth */
    h_done(&r);
    h_free(&c);
    b = h_bundle_to(doc);
    h_add_lane(&b, &l, (h_opening)3);
    H_MALFORMED(doc, &b, "bundle: lanes");
    b = h_bundle_to(doc);
    h_add_lane(&b, &l, H_OPENING);
    ckv_buf_u8(&b.lanes, 0);
    H_MALFORMED(doc, &b, "bundle: lanes");
    ckv_doc_free(doc);
}

/* A key plus the point of order 2: y -> -y and x -> -x. Half of what is signed for it holds. */
static void make_mixed(h_lane *l)
{
    uint8_t *const key = l->who.public_key.b, sign = key[31] & 0x80;
    int borrow = 0;
    key[31] &= 0x7f;
    for (int i = 0; i < 32; i++) {
        const int d = (i == 0 ? 0xed : i == 31 ? 0x7f : 0xff) - key[i] - borrow;
        borrow = d < 0;
        key[i] = (uint8_t)(d & 0xff);
    }
    key[31] |= sign ^ 0x80;
    memcpy(l->who.secret_key + 32, key, 32);
    l->id = ckv_lane_id(&l->doc, &l->who.public_key, l->nonce);
}

static void a_key_of_mixed_order_opens_no_lane(void)
{
    ckv_doc *doc = new_doc();
    h_lane l = h_lane_of(doc, 1);
    make_mixed(&l);
    bool holds = false;
    for (char story[2] = "a"; !holds; story[0]++) {
        h_change c = h_first(&l);
        c.message = story;
        h_bundle b = h_bundle_to(doc);
        h_tell_one(&b, &c);
        ckv_signature s;
        memcpy(&s, b.sections[CKV_SEC_SIGNATURES].ptr, sizeof s);
        holds = ckv_verify_change(&s, &l.who.public_key, &l.doc, &l.id, 0, &c.id);
        h_report r = h_send(doc, &b);
        if (holds)
            H_SAID(&r, &c, "the lane is not that of its opening, or the key is not a valid point");
        T_EQ(ckv_doc_n_changes(doc), 0);
        h_done(&r);
        h_free(&c);
    }
    ckv_doc_free(doc);
}

static void a_bundle_tells_its_document(void)
{
    ckv_doc *doc = new_doc();
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    ckv_id32 id;
    ckv_err err;
    h_bundle b = h_bundle_to(doc);
    b.head.doc.b[31] ^= 1;
    const ckv_id32 other = b.head.doc;
    h_pack(&b, &bytes);
    T_EQ(ckv_bundle_doc_id(bytes.ptr, bytes.len, &id, &err), CKV_OK);
    T_CHECK(ckv_id32_eq(&id, &other));
    h_report r = h_send_bytes(doc, &bytes);
    T_EQ(r.s, CKV_ECORRUPT);
    T_EQ(strncmp(r.err.text, "a bundle of another document, ", 30), 0);
    h_done(&r);
    bytes.ptr[4] ^= 1;
    T_EQ(ckv_bundle_doc_id(bytes.ptr, bytes.len, &id, &err), CKV_ECORRUPT);
    ckv_buf_fini(&bytes);
    ckv_doc_free(doc);
}

/* ---- chains, signatures, parents outside */

static void indexes_and_gaps_have_bounds(void)
{
    ckv_doc *doc = new_doc();
    const h_lane l = h_lane_of(doc, 1);
    h_change c = h_first(&l);
    h_close(&c);
    for (int i = 0; i < 13; i++) {
        h_bundle b = h_bundle_to(doc);
        h_add_lane(&b, &l, H_OPENING);
        const char *why = "bundle: chains";
        switch (i) {
        case 0: h_add_chain(&b, 1, false, 0); break; /* no such lane */
        case 1: h_add_chain(&b, 0, true, UINT32_MAX); break;
        case 2: /* the same in two steps */
            ckv_buf_bytes(&b.chains, "\0\0\2", 3);
            ckv_buf_varint(&b.chains, 5);
            ckv_buf_varint(&b.chains, UINT32_MAX - 5);
            b.n_chains++;
            break;
        case 3:
            ckv_buf_bytes(&b.chains, "\0\2\0", 3); /* start 2 */
            b.n_chains++;
            break;
        case 4:
            h_add_chain(&b, 0, false, 0);
            ckv_buf_u8(&b.chains, 0);
            break;
        case 5:
            h_add_chain(&b, 0, true, 0); /* but no signature */
            why = "bundle: signatures";
            break;
        case 6: /* behind the end of its chain */
            h_add_slice(&b, h_add_chain(&b, 0, true, 1), 1, 1);
            h_add_raw(&b, &c, H_FITTING);
            h_add_signature(&b, &c);
            why = "bundle: a signature behind the end of its chain";
            break;
        case 7:
            h_add_outside(&b, 1, &c.id);
            why = "bundle: outside parents";
            break;
        case 8:
            h_add_outside(&b, 0, &c.id);
            b.outside.len--;
            ckv_buf_bytes(&b.outside, "\0\0", 2);
            why = "bundle: outside parents";
            break;
        case 9: /* a count that claims more than is there */
            b.n_outside = 1;
            why = "bundle: outside parents";
            break;
        case 12: /* a long index leaves no room for the id */
            ckv_buf_bytes(&b.outside, "\x80\1", 2);
            ckv_buf_bytes(&b.outside, &c.id, 31);
            b.n_outside = 1;
            why = "bundle: outside parents";
            break;
        case 10: /* a parent that is not there */
        case 11:
            h_add_slice(&b, h_add_column_chain(&b, 0, 0, 0, NULL, true, 0), 0, 1);
            pair(&b, CKV_SEC_N_OPS, 0, 1);
            pair(&b, CKV_SEC_PARENTS, 1, 1);
            ckv_buf_varint(&b.sections[CKV_SEC_PARENTS], i == 10 ? 0 << 1 : 1 << 1 | 1);
            pair(&b, CKV_SEC_TIMES, 0, 1);
            some_signature(&b);
            why = "bundle: parents";
        }
        H_MALFORMED(doc, &b, why);
    }
    h_free(&c);
    ckv_doc_free(doc);
}

/* ---- slices */

static void a_bundle_has_no_more_changes_than_it_can_prove(void)
{
    ckv_doc *doc = new_doc();
    const h_lane l = h_lane_of(doc, 1);
    static const uint64_t n[] = {0, 5000, UINT32_MAX, UINT32_MAX + 1ull};
    for (int i = 0; i < 4; i++) {
        h_bundle b = h_bundle_to(doc);
        h_add_lane(&b, &l, H_OPENING);
        h_add_slice(&b, h_add_column_chain(&b, 0, 0, 0, NULL, true, 0), 0, n[i]);
        some_signature(&b);
        H_MALFORMED(doc, &b,
                    i == 0 || i == 3 ? "bundle: slices"
                                     : "bundle: more changes than its signatures can cover");
    }
    ckv_doc_free(doc);
}

static void slices_are_of_the_form_that_fits(void)
{
    ckv_doc *doc = new_doc();
    const h_lane l = h_lane_of(doc, 1);
    h_change c = h_first(&l);
    for (int i = 0; i < 8; i++) {
        h_bundle b = h_bundle_to(doc);
        h_add_lane(&b, &l, H_OPENING);
        const uint32_t chain =
            i < 4 ? h_add_chain(&b, 0, true, 0) : h_add_column_chain(&b, 0, 0, 0, NULL, true, 0);
        const char *why = "bundle: slices";
        some_signature(&b);
        switch (i) {
        case 0: add_empty(&b, chain, 0, 1); break;   /* began raw, it said */
        case 1: h_add_slice(&b, chain, 2, 1); break; /* where the next item is stays unsaid */
        case 2: h_add_slice(&b, chain + 1, 1, 1); break;
        case 3: h_add_slice(&b, chain, 3, 1); break;
        case 4: h_add_slice(&b, chain, 1, 1); break; /* began in columns, it said */
        case 5:
            add_empty(&b, chain, 0, 1);
            h_add_slice(&b, chain, 2, 1); /* columns behind columns, as if behind raw ones */
            ckv_buf_varint(&b.sections[CKV_SEC_SLICES], 0);
            pair(&b, CKV_SEC_PARENTS, 0, 1);
            break;
        case 6:
            add_empty(&b, chain, 0, 1);
            ckv_buf_u8(&b.sections[CKV_SEC_SLICES], 0);
            break;
        case 7:
            add_empty(&b, chain, 0, 1);
            h_add_raw(&b, &c, H_FITTING); /* that no slice asks for */
            why = "bundle: bytes left over";
        }
        H_MALFORMED(doc, &b, why);
    }
    h_free(&c);
    ckv_doc_free(doc);
}

/* ---- columns of headers */

static void columns_of_headers_have_bounds(void)
{
    ckv_doc *doc = new_doc();
    const h_lane l = h_lane_of(doc, 1);
    const ckv_id32 before = {{5}};
    for (int i = 0; i < 14; i++) {
        h_bundle b = h_bundle_to(doc);
        const char *why = NULL;
        h_add_lane(&b, &l, H_OPENING);
        const uint32_t seq = i == 0 ? CKV_MAX_SEQ : 0, n = i == 0 || i == 4 ? 2 : 1,
                       chain = h_add_column_chain(&b, 0, seq, 0, &before, true, 0);
        h_add_slice(&b, chain, 0, n);
        some_signature(&b);
        pair(&b, CKV_SEC_N_OPS, i == 1 ? CKV_MAX_OPS + 1 : 0, i == 5 ? 2 : n);
        if (i != 11) pair(&b, CKV_SEC_PARENTS, i == 2 ? CKV_MAX_PARENTS + 1 : 0, i == 12 ? 2 : n);
        if (i == 4) {
            pair(&b, CKV_SEC_TIMES, ckv_zigzag(INT64_MAX), 1);
            pair(&b, CKV_SEC_TIMES, ckv_zigzag(1), 1);
        } else if (i != 3) {
            pair(&b, CKV_SEC_TIMES, 0, i == 6 ? 2 : n);
        }
        if (i == 7) pair(&b, CKV_SEC_N_OPS, 0, 1);
        if (i == 8) pair(&b, CKV_SEC_TIMES, 0, 1);
        if (i == 9) ckv_buf_bytes(&b.sections[CKV_SEC_MESSAGES], "\1", 1); /* skips one too many */
        if (i == 10) ckv_buf_bytes(&b.sections[CKV_SEC_MESSAGES], "\0\1m\0", 4);
        if (i == 13) ckv_buf_bytes(&b.sections[CKV_SEC_MESSAGES], "\0\1\xff", 3);
        switch (i) {
        case 0: why = "bundle: slices"; break; /* beyond the last seq */
        case 1:
        case 2: why = "bundle: changes"; break;
        case 3:
        case 4: why = "bundle: times"; break;
        case 11:
        case 12: why = "bundle: parents"; break;
        case 13: why = "bundle: messages"; break;
        default: why = "bundle: bytes left over";
        }
        H_MALFORMED(doc, &b, why);
    }
    ckv_doc_free(doc);
}

/* A header has its parents once, a body at most 16 MiB, in columns as well. */
static void what_columns_make_is_refused_alone(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), l = h_lane_of(doc, 2), big = h_lane_of(doc, 3);
    h_change other = h_first(&a), twice = h_first(&l);
    h_close(&other);
    for (int i = 0; i < 2; i++) h_parent(&twice, &other.id);
    h_bundle b = h_bundle_to(doc);
    h_add_outside(&b, h_add_lane(&b, &a, H_OPENING), &other.id);
    const uint32_t own = h_add_lane(&b, &l, H_OPENING);
    h_add_slice(&b, h_add_column_chain(&b, own, 0, 0, NULL, true, 0), 0, 1);
    h_add_signature(&b, &twice);
    pair(&b, CKV_SEC_N_OPS, 0, 1);
    pair(&b, CKV_SEC_PARENTS, 2, 1);
    ckv_buf_bytes(&b.sections[CKV_SEC_PARENTS], "\0\0", 2);
    pair(&b, CKV_SEC_TIMES, 0, 1);
    h_report r = h_send(doc, &b);
    H_SAID_KIND(&r, &twice, "header: parents are too many, unsorted or repeated",
                CKV_REFUSED_DECODE);
    h_done(&r);

    b = h_bundle_to(doc);
    h_add_slice(&b, h_add_column_chain(&b, h_add_lane(&b, &big, H_OPENING), 0, 1, NULL, true, 0), 0,
                1);
    some_signature(&b);
    const uint32_t n = (CKV_MAX_BODY_BYTES >> 1) + 1; /* characters of two bytes */
    pair(&b, CKV_SEC_N_OPS, n, 1);
    pair(&b, CKV_SEC_PARENTS, 0, 1);
    pair(&b, CKV_SEC_TIMES, 0, 1);
    ckv_buf_u8(&b.sections[CKV_SEC_KINDS], CKV_OP_INSERT);
    ckv_buf_varint(&b.sections[CKV_SEC_KINDS + 1], n);
    ckv_buf_bytes(&b.sections[CKV_SEC_KINDS + 6], "\0\0", 2); /* in the own item 0 */
    for (uint32_t i = 0; i < n; i++)
        ckv_buf_bytes(&b.sections[CKV_SEC_KINDS + 7],
                      i % 3   ? "\xc3\xa9"
                      : i % 7 ? "\xc3\xb6"
                              : "\xc3\xbc",
                      2);
    r = h_send(doc, &b);
    T_EQ(r.s, CKV_OK);
    T_EQ(r.of.refused.len, sizeof(ckv_refusal));
    ckv_refusal said;
    memcpy(&said, r.of.refused.ptr, sizeof said);
    T_EQ(strcmp(said.reason, "the body is over 16 MiB"), 0);
    h_done(&r);
    h_free(&other);
    h_free(&twice);
    ckv_doc_free(doc);
}

/* ---- raw changes */

/* Each raw header follows the one before it, or the chain is cut there. */
static void a_raw_chain_hangs_together(void)
{
    static const char cut[] = "does not follow the change before it in its chain";
    ckv_doc *doc = new_doc();
    for (uint32_t i = 0; i < 5; i++) {
        const h_lane l = h_lane_of(doc, i);
        h_change first = h_first(&l), second;
        if (i == 3)
            first.seq = UINT32_MAX, first.has_prev = true; /* a seq that no change can have */
        second = h_after(&first);
        if (i == 1) second.seq++;
        if (i == 2) second.has_prev = false;
        if (i == 3) T_EQ(second.seq, 0);
        if (i == 3) second.has_prev = false;
        if (i == 4) second.prev.b[0] ^= 1;
        h_change third = h_after(&second), *const all[] = {&first, &second, &third};
        h_bundle b = h_bundle_to(doc);
        h_tell(&b, H_OPENING, all, 3);
        h_report r = h_send(doc, &b);
        H_SAID(&r, &second, i == 0 ? "applied" : cut);
        H_SAID(&r, &third, i == 0 ? "applied" : cut);
        h_done(&r);
        for (size_t k = 0; k < 3; k++) h_free(all[k]);
    }
    /* columns behind a raw change with the last seq */
    const h_lane l = h_lane_of(doc, 7);
    h_change last = h_first(&l);
    last.seq = UINT32_MAX, last.has_prev = true;
    h_bundle b = h_bundle_to(doc);
    const uint32_t chain = h_add_chain(&b, h_add_lane(&b, &l, H_OPENING), true, 0);
    h_add_slice(&b, chain, 1, 1);
    h_add_raw(&b, &last, H_FITTING);
    h_add_signature(&b, &last);
    h_add_slice(&b, chain, 2, 1);
    ckv_buf_u8(&b.sections[CKV_SEC_SLICES], 0);
    pair(&b, CKV_SEC_N_OPS, 0, 1);
    pair(&b, CKV_SEC_PARENTS, 0, 1);
    pair(&b, CKV_SEC_TIMES, 0, 1);
    H_MALFORMED(doc, &b, "bundle: slices");
    h_free(&last);
    ckv_doc_free(doc);
}

/* ---- every allocation */

/* Column changes with many parents, of lanes outside and within; raw ones with many parents. */
static ckv_status many_parents(ckv_alloc a)
{
    enum { LANES = 20 };
    ckv_doc *doc;
    CKV_TRY(s_new(&doc, a, 1));
    h_lane lanes[LANES];
    h_bundle b = h_bundle_to(doc);
    h_change made[LANES];
    uint32_t n = 0;
    for (uint32_t i = 0; i < LANES; i++) {
        lanes[i] = h_lane_of(doc, i);
        made[i] = h_first(&lanes[i]);
        const bool raw = i % 2;
        const uint32_t lane = h_add_lane(&b, &lanes[i], H_OPENING);
        for (uint32_t k = 0; k < i; k++) h_parent(&made[i], &made[k].id);
        h_close(&made[i]);
        if (raw) {
            h_add_slice(&b, h_add_chain(&b, lane, true, 0), 1, 1);
            h_add_raw(&b, &made[i], H_FITTING);
        } else {
            h_add_slice(&b, h_add_column_chain(&b, lane, 0, 0, NULL, true, 0), 0, 1);
            pair(&b, CKV_SEC_PARENTS, i, 1);
            pair(&b, CKV_SEC_N_OPS, 0, 1);
            pair(&b, CKV_SEC_TIMES, 0, 1);
        }
        h_add_signature(&b, &made[i]);
        n++;
    }
    for (uint32_t i = 0; i < LANES; i += 2) {
        for (uint32_t k = 0; k < i; k++)
            ckv_buf_varint(&b.sections[CKV_SEC_PARENTS], (i - k) << 1 | 1);
    }
    h_report r = h_send(doc, &b);
    if (r.s == CKV_OK) T_EQ(r.of.applied.len, 32 * n);
    if (r.s != CKV_OK) T_EQ(ckv_doc_n_changes(doc), 0);
    const ckv_status s = r.s;
    h_done(&r);
    for (uint32_t i = 0; i < LANES; i++) h_free(&made[i]);
    ckv_doc_free(doc);
    return s;
}

static void parents_survive_every_failure(void) { T_CHECK(t_oom(many_parents) > 20); }

int main(void)
{
    T_CHECK(ckv_crypto_init() && ckv_sign_selftest());
    T_RUN(an_opening_makes_its_lane);
    T_RUN(a_key_of_mixed_order_opens_no_lane);
    T_RUN(a_bundle_tells_its_document);
    T_RUN(indexes_and_gaps_have_bounds);
    T_RUN(a_bundle_has_no_more_changes_than_it_can_prove);
    T_RUN(slices_are_of_the_form_that_fits);
    T_RUN(columns_of_headers_have_bounds);
    T_RUN(what_columns_make_is_refused_alone);
    T_RUN(a_raw_chain_hangs_together);
    T_RUN(parents_survive_every_failure);
    return t_done();
}
