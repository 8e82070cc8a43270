/* Sequences in lockstep with an array of items; and back to every savepoint. */
#include "t.h"

#include "types/seq.h"

#define MOST 3000

typedef struct slow_seq {
    uint32_t item[MOST];
    bool gone[MOST];
    uint32_t n;
} slow_seq;

static uint32_t slow_visible(const slow_seq *q)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < q->n; i++) n += !q->gone[i];
    return n;
}

/* The index right behind the first `pos` visible items. */
static uint32_t slow_at(const slow_seq *q, uint32_t pos)
{
    uint32_t i = 0;
    for (; pos; i++) pos -= !q->gone[i];
    return i;
}

static void slow_insert(slow_seq *q, uint32_t at, uint32_t item, uint32_t n)
{
    memmove(q->item + at + n, q->item + at, (q->n - at) * sizeof *q->item);
    memmove(q->gone + at + n, q->gone + at, (q->n - at) * sizeof *q->gone);
    for (uint32_t i = 0; i < n; i++) q->item[at + i] = item + i, q->gone[at + i] = false;
    q->n += n;
}

static void check(ckv_space *x, const ckv_seq *s, const slow_seq *q)
{
    const char *why = NULL;
    T_VALID(ckv_seq_check(x, s, &why), why);
    T_VALID(ckv_lvindex_check(&x->index, &why), why);
    T_EQ(s->total, q->n);
    T_EQ(s->visible, slow_visible(q));
    uint32_t i = 0;
    for (uint32_t l = s->first_leaf; l != CKV_NONE; l = x->leaves.ptr[l].next) {
        for (uint32_t k = 0; k < x->leaves.ptr[l].n; k++) {
            const ckv_span *sp = &x->leaves.ptr[l].s[k];
            for (uint32_t c = 0; c < sp->len; c++, i++) {
                T_CHECK(i < q->n && q->item[i] == sp->item + c && q->gone[i] == (sp->del != 0));
            }
        }
    }
    T_EQ(i, q->n);
}

/* Places, asked in every way, are those of the array. */
static void check_places(const ckv_space *x, const ckv_seq *s, const slow_seq *q)
{
    const uint32_t visible = slow_visible(q);
    for (int round = 0; round < 5; round++) {
        const uint32_t pos = (uint32_t)t_below(visible + 1), at = slow_at(q, pos);
        const ckv_gap gap = ckv_seq_gap(x, s, pos);
        uint32_t left, right;
        T_EQ(ckv_seq_pos(x, gap), pos);
        ckv_seq_around(x, s, gap, &left, &right);
        T_EQ(left, at ? q->item[at - 1] : CKV_NONE);
        T_EQ(right, at < q->n ? q->item[at] : CKV_NONE);
    }
    if (q->n == 0) return;
    const uint32_t i = (uint32_t)t_below(q->n), j = (uint32_t)t_below(q->n);
    ckv_gap a, b;
    T_CHECK(ckv_space_locate(x, q->item[i], &a) && ckv_space_locate(x, q->item[j], &b));
    T_EQ(ckv_seq_compare(x, a, b), i < j ? -1 : i > j);
    T_EQ(ckv_seq_compare(x, CKV_GAP_START, a), -1);
    T_EQ(ckv_seq_compare(x, a, CKV_GAP_START), 1);
    uint32_t before = 0;
    for (uint32_t k = 0; k <= i; k++) before += !q->gone[k];
    T_EQ(ckv_seq_pos(x, a), before);
    ckv_gap none;
    T_CHECK(!ckv_space_locate(x, UINT32_MAX / 2, &none));
}

static slow_seq now, saved[64];

static void edit(ckv_space *x, ckv_seq *s, ckv_journal *j, uint32_t *next_item, uint32_t change)
{
    const uint32_t visible = slow_visible(&now);
    T_EQ(ckv_space_reserve(x, *next_item + 10, 1), CKV_OK);
    T_EQ(ckv_journal_reserve(j, 3), CKV_OK);
    if (t_one_in(3) && now.n) {
        const uint32_t i =
            (uint32_t)t_below(now.n); /* any item, also one that is deleted already */
        ckv_gap gap;
        T_CHECK(ckv_space_locate(x, now.item[i], &gap));
        const uint32_t n = ckv_seq_delete(x, s, gap, 1 + (uint32_t)t_below(8), change, j);
        T_CHECK(n >= 1 && n <= 8 && i + n <= now.n);
        for (uint32_t k = 0; k < n; k++) {
            T_EQ(now.item[i + k], now.item[i] + k);
            now.gone[i + k] = true;
        }
    } else {
        const uint32_t pos = t_one_in(3) ? visible : (uint32_t)t_below(visible + 1),
                       n = 1 + (uint32_t)t_below(5);
        ckv_seq_insert(x, s, ckv_seq_gap(x, s, pos), *next_item, n, j);
        slow_insert(&now, slow_at(&now, pos), *next_item, n);
        *next_item += n;
    }
}

static void lockstep(int n_rounds)
{
    ckv_space x = ckv_space_init(ckv_alloc_libc, t_rand());
    ckv_seq s;
    ckv_journal j = {.log = {.a = ckv_alloc_libc}};
    uint32_t next_item = 0;
    now.n = 0;
    ckv_seq_init(&s, 0);
    check(&x, &s, &now);
    for (int round = 0; round < n_rounds; round++) {
        size_t at[64];
        uint32_t items[64];
        const uint32_t n = 1 + (uint32_t)t_below(63);
        j.on = t_one_in(2);
        j.log.len = 0;
        for (uint32_t k = 0; k < n && now.n < MOST - 20; k++) {
            saved[k] = now;
            at[k] = j.log.len;
            items[k] = next_item;
            edit(&x, &s, &j, &next_item, (uint32_t)t_below(50));
            check(&x, &s, &now);
            check_places(&x, &s, &now);
            if (!j.on || k + 1 < n) continue;
            for (uint32_t back = k + 1;
                 back-- >
                 (uint32_t)t_below(k + 1);) { /* to every savepoint, down to one at random */
                while (j.log.len > at[back]) {
                    const ckv_undo u = j.log.ptr[--j.log.len];
                    ckv_seq_undo(&x, &s, &u);
                }
                now = saved[back];
                next_item = items[back];
                check(&x, &s, &now);
                check_places(&x, &s, &now);
            }
        }
    }
    ckv_undos_fini(&j.log);
    ckv_space_fini(&x);
}

static void runs_in_lockstep_with_an_array(void)
{
    for (uint64_t seed = 1; seed < 7; seed++) {
        t_seed(seed);
        lockstep(25);
    }
}

static void deletes_of_a_deleted_item_add_up(void)
{
    ckv_space x = ckv_space_init(ckv_alloc_libc, 1);
    ckv_seq s;
    ckv_journal j = {.log = {.a = ckv_alloc_libc}};
    ckv_seq_init(&s, 0);
    T_EQ(ckv_space_reserve(&x, 10, 10), CKV_OK);
    ckv_seq_insert(&x, &s, CKV_GAP_START, 0, 10, &j);
    for (uint32_t change = 5; change < 8; change++) {
        ckv_gap gap;
        T_CHECK(ckv_space_locate(&x, 3, &gap));
        T_EQ(ckv_seq_delete(&x, &s, gap, 4, change, &j), 4);
        T_EQ(s.visible, 6);
    }
    ckv_gap gap;
    T_CHECK(ckv_space_locate(&x, 6, &gap));
    uint32_t del = ckv_space_span(&x, gap.leaf, gap.slot)->del, n = 0;
    bool seen[8] = {false};
    for (ckv_del_step step; ckv_del_next(&x.deletes, &del, &step); n++) seen[step.change] = true;
    T_CHECK(n == 3 && seen[5] && seen[6] && seen[7]);
    ckv_space_fini(&x);
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_space x = ckv_space_init(a, 1);
    ckv_seq s;
    ckv_journal j = {.log = {.a = a}, .on = 1};
    const char *why = NULL;
    ckv_status st = CKV_OK;
    ckv_seq_init(&s, 0);
    for (uint32_t i = 0; i < 100 && st == CKV_OK; i++) {
        st = ckv_space_reserve(&x, i + 1, 1);
        if (st == CKV_OK) st = ckv_journal_reserve(&j, 2);
        if (st == CKV_OK) ckv_seq_insert(&x, &s, ckv_seq_gap(&x, &s, i / 2), i, 1, &j);
        T_VALID(ckv_seq_check(&x, &s, &why), why);
    }
    ckv_undos_fini(&j.log);
    ckv_space_fini(&x);
    return st;
}

static void survives_every_failure(void) { T_CHECK(t_oom(scenario) >= 10); }

int main(void)
{
    T_RUN(runs_in_lockstep_with_an_array);
    T_RUN(deletes_of_a_deleted_item_add_up);
    T_RUN(survives_every_failure);
    return t_done();
}
