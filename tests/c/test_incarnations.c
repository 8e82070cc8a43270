/* The table of incarnations: numbers that stay, an order by bytes, ids that are ids. */
#include "t.h"

#include "kv/incarnations.h"

static void check(const ckv_incarnations *t)
{
    const char *why;
    T_VALID(ckv_incarnations_check(t, &why), why);
}

static void an_id_is_a_name_and_nine_bytes(void)
{
    uint8_t id[CKV_MAX_PEER_NAME + CKV_INCARNATION + 1];
    memset(id, 'x', sizeof id);
    T_CHECK(!ckv_incarnation_is_id(id, 20));
    id[11] = '/';
    T_CHECK(ckv_incarnation_is_id(id, 20));
    T_CHECK(!ckv_incarnation_is_id(id, 21));
    T_CHECK(ckv_incarnation_is_id(id + 11, 9)); /* a name may be empty */
    T_CHECK(!ckv_incarnation_is_id(id + 11, 8));
    T_CHECK(!ckv_incarnation_is_id(id, 0));
    id[CKV_MAX_PEER_NAME] = id[CKV_MAX_PEER_NAME + 1] = '/';
    T_CHECK(ckv_incarnation_is_id(id, CKV_MAX_PEER_NAME + CKV_INCARNATION));
    T_CHECK(!ckv_incarnation_is_id(id, CKV_MAX_PEER_NAME + CKV_INCARNATION + 1));
}

/* A random id of a few bytes, of which some begin with others. */
static size_t draw(uint8_t *id)
{
    const size_t n_name = t_below(4);
    for (size_t i = 0; i < n_name + CKV_INCARNATION; i++) id[i] = (uint8_t)('.' + t_below(3));
    id[n_name] = '/';
    return n_name + CKV_INCARNATION;
}

static void numbers_stay_and_the_order_is_by_bytes(void)
{
    t_faulty f;
    ckv_incarnations t = ckv_incarnations_init(t_watch(&f));
    enum { N = 200 };
    uint8_t ids[N][16];
    size_t n_bytes[N];
    uint32_t numbers[N], number;
    t_seed(1);
    for (size_t i = 0; i < N; i++) {
        n_bytes[i] = draw(ids[i]);
        number = ckv_incarnations_find(&t, ids[i], n_bytes[i]);
        const size_t n = t.all.len;
        T_EQ(ckv_incarnations_reach(&t, ids[i], n_bytes[i], &numbers[i]), CKV_OK);
        T_EQ(numbers[i], number == CKV_NOBODY ? n : number);
        T_EQ(t.all.len, n + (number == CKV_NOBODY));
        check(&t);
    }
    for (size_t i = 0; i < N; i++) {
        T_EQ(ckv_incarnations_find(&t, ids[i], n_bytes[i]), numbers[i]);
        const ckv_bytes id = ckv_incarnation_id(&t.all.ptr[numbers[i]]);
        T_BYTES(id.ptr, id.n_bytes, ids[i], n_bytes[i]);
    }
    for (size_t i = 0; i < t.order.len; i++) {
        for (size_t k = 0; k < t.order.len; k++) {
            const int order = ckv_incarnations_compare(&t, t.order.ptr[i], t.order.ptr[k]);
            T_CHECK(i < k ? order < 0 : i == k ? order == 0 : order > 0);
        }
    }
    ckv_incarnations_fini(&t);
    T_EQ(f.live_bytes, 0);
}

#define SEES(text)                                                                                 \
    T_CHECK(!ckv_incarnations_check(&t, &why));                                                    \
    T_BYTES(why, strlen(why), text, strlen(text))

static void a_check_sees_what_is_broken(void)
{
    ckv_incarnations t = ckv_incarnations_init(ckv_alloc_libc);
    uint32_t a, b;
    const char *why;
    T_EQ(ckv_incarnations_reach(&t, (const uint8_t *)"a/00000000", 10, &a), CKV_OK);
    T_EQ(ckv_incarnations_reach(&t, (const uint8_t *)"b/00000000", 10, &b), CKV_OK);
    ckv_incarnation *p = &t.all.ptr[a];
    t.order.len = 1;
    SEES("I1: the order misses somebody");
    t.order.len = 2;
    p->id[0] = 'c';
    SEES("I1: ids ascend");
    p->id[0] = 'a';
    p->id[1] = '_';
    SEES("I1: no id");
    p->id[1] = '/';
    p->mine_from = 1;
    SEES("I3: what is mine");
    p->mine_to = 1;
    SEES("I3: what is mine");
    p->mine_from = p->mine_to = 0;
    p->bookmark = CKV_HLC_END;
    SEES("I2: a bookmark beyond the end of time");
    p->bookmark = 0;
    T_EQ(ckv_dots_reserve(&p->live, 2), CKV_OK);
    ckv_dots_append(&p->live, 0, NULL);
    SEES("I3: dot 0");
    ckv_dots_append(&p->live, 5, NULL);
    ckv_dots_remove(&p->live, 0);
    p->bookmark = 4;
    SEES("I3: a live dot above the bookmark");
    p->bookmark = 5;
    p->live.n++;
    SEES("n is wrong");
    p->live.n--;
    check(&t);
    ckv_incarnations_fini(&t);
}

static ckv_status some(ckv_alloc a)
{
    ckv_incarnations t = ckv_incarnations_init(a);
    ckv_status s = CKV_OK;
    t_seed(2);
    for (size_t i = 0; i < 40 && s == CKV_OK; i++) {
        uint8_t id[16];
        uint32_t number;
        s = ckv_incarnations_reach(&t, id, draw(id), &number);
        check(&t);
    }
    ckv_incarnations_fini(&t);
    return s;
}

static void memory_may_fail_anywhere(void) { T_CHECK(t_oom(some) > 20); }

int main(void)
{
    T_RUN(an_id_is_a_name_and_nine_bytes);
    T_RUN(numbers_stay_and_the_order_is_by_bytes);
    T_RUN(a_check_sees_what_is_broken);
    T_RUN(memory_may_fail_anywhere);
    return t_done();
}
