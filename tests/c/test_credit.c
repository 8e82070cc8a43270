/* Bundles that bring more than is taken on trust: their signatures are looked at on the way, and what holds is paid for. doc/import.h. */
#include "by_hand.h"

enum { CHAINS = 48, LONG = 1024 }; /* so many changes that credit runs out */

static ckv_doc *new_doc(void)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    return doc;
}

/* LONG empty changes of a lane in columns, signed at the last. */
static void add_long(h_bundle *b, const h_lane *l, h_opening form)
{
    static const int columns[] = {CKV_SEC_N_OPS, CKV_SEC_PARENTS, CKV_SEC_TIMES};
    const uint32_t lane = h_add_lane(b, l, form);
    h_add_slice(b, h_add_column_chain(b, lane, 0, 0, NULL, true, LONG - 1), 0, LONG);
    for (size_t i = 0; i < 3; i++) {
        ckv_buf_u8(&b->sections[columns[i]], 0);
        ckv_buf_varint(&b->sections[columns[i]], LONG);
    }
    h_change last = h_first(l);
    for (uint32_t i = 1; i < LONG; i++) {
        h_change next = h_after(&last);
        h_free(&last);
        last = next;
    }
    h_add_signature(b, &last);
    h_free(&last);
}

static void add_crowd(h_bundle *b, const ckv_doc *doc)
{
    for (uint32_t i = 0; i < CHAINS; i++) {
        const h_lane l = h_lane_of(doc, 1000 + i);
        add_long(b, &l, H_OPENING);
    }
}

/* What is here already needs no signature to be believed. */
static void what_is_signed_is_taken_however_much_it_is(void)
{
    ckv_doc *doc = new_doc();
    for (int again = 0; again < 2; again++) {
        h_bundle b = h_bundle_to(doc);
        add_crowd(&b, doc);
        ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
        h_pack(&b, &bytes);
        h_report r = h_send_bytes(doc, &bytes);
        T_EQ(r.s, CKV_OK);
        T_EQ(again ? r.of.known : r.of.applied.len / 32, CHAINS * LONG);
        h_done(&r);
        ckv_buf_fini(&bytes);
    }
    ckv_doc_free(doc);
}

/* A lane that is not that of its opening, a chain that is cut, a signature that does not hold: these pay nothing, and the others still land. */
static void what_proves_nothing_pays_nothing(void)
{
    ckv_doc *doc = new_doc();
    h_lane wrong = h_lane_of(doc, 1);
    const h_lane a = h_lane_of(doc, 2), c = h_lane_of(doc, 3);
    wrong.id.b[0] ^= 1;
    h_change first = h_first(&a), stray = h_after(&first),
             bad = h_first(&c), *const cut[] = {&first, &stray};
    stray.seq++;
    h_bundle b = h_bundle_to(doc);
    add_long(&b, &wrong, H_OPENING_WITH_ID);
    h_tell(&b, H_OPENING, cut, 2);
    h_tell_one(&b, &bad);
    b.sections[CKV_SEC_SIGNATURES].ptr[b.sections[CKV_SEC_SIGNATURES].len - 1] ^= 1;
    add_crowd(&b, doc);
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    h_pack(&b, &bytes);
    h_report r = h_send_bytes(doc, &bytes);
    T_EQ(r.s, CKV_OK);
    T_EQ(r.of.applied.len / 32, CHAINS * LONG);
    H_SAID(&r, &bad, "the signature does not hold");
    H_SAID(&r, &stray, "does not follow the change before it in its chain");
    T_EQ(r.of.refused.len / sizeof(ckv_refusal), LONG + 3);
    h_done(&r);
    ckv_buf_fini(&bytes);
    h_free(&first);
    h_free(&stray);
    h_free(&bad);
    ckv_doc_free(doc);
}

/* One change of its own lane, and a second one whose id begins alike. */
static void find_twins(const h_lane *l, h_change *a, h_change *b, char stories[2][16])
{
    enum { TRIED = 1 << 18, PLACES = 1 << 20 };
    uint32_t *const seen = calloc(PLACES, sizeof *seen), *const of = calloc(PLACES, sizeof *of);
    T_CHECK(seen && of);
    for (uint32_t i = 1; i < TRIED; i++) {
        uint32_t print;
        (void)snprintf(stories[1], sizeof stories[1], "%u", i);
        *b = h_first(l);
        b->message = stories[1];
        memcpy(&print, h_close(b), 4);
        const uint32_t place = print % PLACES;
        if (of[place] && seen[place] == print) {
            (void)snprintf(stories[0], sizeof stories[0], "%u", of[place]);
            *a = h_first(l);
            a->message = stories[0];
            h_close(a);
            free(seen);
            free(of);
            return;
        }
        seen[place] = print, of[place] = i;
        h_free(b);
    }
    t_fail(__FILE__, __LINE__, "no two ids begin alike");
}

static void changes_are_known_by_all_of_their_ids(void)
{
    ckv_doc *doc = new_doc();
    const h_lane l = h_lane_of(doc, 1);
    char stories[2][16];
    h_change a, b;
    find_twins(&l, &a, &b, stories);
    T_CHECK(!ckv_id32_eq(&a.id, &b.id));
    h_bundle bundle = h_bundle_to(doc);
    h_tell_one(&bundle, &a);
    h_tell_one(&bundle, &b);
    h_tell_one(&bundle, &a); /* which pays once */
    add_crowd(&bundle, doc);
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    h_pack(&bundle, &bytes);
    h_report r = h_send_bytes(doc, &bytes);
    H_SAID(&r, &a, "applied");
    H_SAID(&r, &b, "applied");
    h_done(&r);
    ckv_buf_fini(&bytes);
    h_free(&a);
    h_free(&b);
    ckv_doc_free(doc);
}

/* ---- every allocation of reading it */

static ckv_buf crowd;

static ckv_status look_at_crowd(ckv_alloc a)
{
    ckv_doc *doc;
    ckv_err err;
    CKV_TRY(s_new(&doc, a, 1));
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < 30 && s == CKV_OK; i++) { /* ids that were not asked for yet */
        ckv_judgement j;
        const h_lane l = h_lane_of(doc, i);
        h_change c = h_first(&l);
        s = h_try(doc, &c, &j);
        h_free(&c);
    }
    if (s == CKV_OK) s = ckv_bundle_check(doc, crowd.ptr, crowd.len, &err);
    ckv_doc_free(doc);
    return s;
}

static void credit_survives_every_failure(void)
{
    ckv_doc *doc = new_doc();
    h_bundle b = h_bundle_to(doc);
    add_crowd(&b, doc);
    crowd = ckv_buf_init(ckv_alloc_libc);
    h_pack(&b, &crowd);
    T_CHECK(h_oom(look_at_crowd) > 50);
    ckv_buf_fini(&crowd);
    ckv_doc_free(doc);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(what_is_signed_is_taken_however_much_it_is);
    T_RUN(what_proves_nothing_pays_nothing);
    T_RUN(changes_are_known_by_all_of_their_ids);
    T_RUN(credit_survives_every_failure);
    return t_done();
}
