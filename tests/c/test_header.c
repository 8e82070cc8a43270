/* Headers: written and read, cut short, one bit off. */
#include "t.h"

#include "dag/header.h"

static ckv_id32 ids[33];
static uint8_t body[49];

static ckv_header random_header(void)
{
    for (unsigned i = 0; i < 33; i++) {
        memset(&ids[i], (int)t_below(256), 32);
        ids[i].b[0] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)t_rand();
    ckv_header h = {.seq = t_one_in(3) ? 0 : (uint32_t)(t_rand() >> (32 + t_below(32))),
                    .n_ops = (uint32_t)t_below((1u << 24) + 1),
                    .n_parents = t_one_in(4) ? 32 : (uint32_t)t_below(3),
                    .parents = ids,
                    .body_len =
                        t_one_in(2) ? (uint32_t)t_below(49) : (uint32_t)t_below((1u << 24) + 1)};
    if (h.seq > CKV_MAX_SEQ) h.seq = CKV_MAX_SEQ;
    h.has_prev = h.seq > 0;
    h.prev = ids[32];
    if (h.body_len <= CKV_INLINE_BODY_BYTES)
        h.body = body;
    else
        h.body_hash = &ids[31];
    return h;
}

static void headers_come_back_and_have_one_form(void)
{
    t_seed(1);
    for (int round = 0; round < 300; round++) {
        const ckv_header h = random_header();
        uint8_t p[CKV_HEADER_MAX_BYTES], q[CKV_HEADER_MAX_BYTES];
        const size_t n = ckv_header_write(p, &h);
        T_CHECK(n <= sizeof p);
        ckv_header back;
        bool decodes;
        const char *why = NULL;
        T_CHECK(ckv_header_read(&back, p, n, &decodes, &why) && decodes);
        T_CHECK(back.seq == h.seq && back.n_ops == h.n_ops && back.n_parents == h.n_parents &&
                back.body_len == h.body_len);
        T_EQ(ckv_header_write(q, &back), n);
        T_BYTES(p, n, q, n);
        for (size_t cut = 0; cut < n; cut++) {
            uint8_t *exact = malloc(cut + 1);
            T_CHECK(exact);
            memcpy(exact, p, cut);
            T_CHECK(!ckv_header_read(&back, exact, cut, &decodes, &why) && !decodes);
            free(exact);
        }
        for (size_t bit = 0; bit < 8 * n; bit++) { /* refused, or another header with one form */
            p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (ckv_header_read(&back, p, n, &decodes, &why)) {
                T_EQ(ckv_header_write(q, &back), n);
                T_BYTES(p, n, q, n);
            }
            p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static void kinds_of_documents(void)
{
    uint8_t p[CKV_HEADER_MAX_BYTES];
    bool decodes;
    const char *why;
    ckv_header back, h = random_header();
    for (uint32_t type = 0; type <= CKV_TYPE_DATASTORE; type++) { /* 0 stands for the first */
        h.type = type;
        T_CHECK(ckv_header_read(&back, p, ckv_header_write(p, &h), &decodes, &why));
        T_EQ(back.type, type ? type : CKV_TYPE_DOC);
    }
}

static void check_rule(ckv_header h, const char *rule)
{
    uint8_t p[CKV_HEADER_MAX_BYTES + 64];
    bool decodes;
    const char *why = "";
    ckv_header back;
    const size_t n = ckv_header_write(p, &h);
    T_CHECK(!ckv_header_read(&back, p, n, &decodes, &why));
    T_CHECK(decodes && strstr(why, rule));
}

static void broken_rules_still_decode(void)
{
    t_seed(2);
    ckv_header h = random_header();
    h.type = CKV_TYPE_DATASTORE + 1;
    check_rule(h, "type");
    h.type = 0;
    h.n_parents = 2;
    h.seq = 5;
    h.has_prev = true;
    ckv_header x = h;
    x.has_prev = false;
    check_rule(x, "seq");
    x = h, x.seq = 0;
    check_rule(x, "seq");
    x = h, x.seq = UINT32_MAX;
    check_rule(x, "seq");
    x = h, x.n_parents = 33;
    check_rule(x, "parents");
    x = h, x.n_ops = (1u << 24) + 1;
    check_rule(x, "too many");
    x = h, x.body_len = (1u << 24) + 1, x.body_hash = ids;
    check_rule(x, "too large");
    ids[1] = ids[0];
    check_rule(h, "parents");
}

int main(void)
{
    T_RUN(headers_come_back_and_have_one_form);
    T_RUN(kinds_of_documents);
    T_RUN(broken_rules_still_decode);
    return t_done();
}
