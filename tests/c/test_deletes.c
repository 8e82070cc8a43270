/* Chains of deletes and restores against plain lists of what happened. */
#include "t.h"

#include "types/deletes.h"

typedef struct event {
    uint32_t change, of;
} event;
typedef struct model {
    event v[64];
    size_t n;
} model;

static bool model_by(const model *m, uint32_t change)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].of == CKV_NONE && m->v[i].change == change) return true;
    }
    return false;
}

/* Is a delete taken back by a change below `limit` (everything below is the version)? */
static bool model_restored(const model *m, uint32_t of, uint32_t limit)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].of == of && m->v[i].change < limit) return true;
    }
    return false;
}

static uint32_t model_open(const model *m, uint32_t limit)
{
    uint32_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += m->v[i].of == CKV_NONE && m->v[i].change < limit &&
             !model_restored(m, m->v[i].change, limit);
    return n;
}

/* Changes 0 .. n - 1 in one lane: a version is a prefix. */
static void make_changes(ckv_graph *g, uint32_t n)
{
    ckv_past past = ckv_past_init(ckv_alloc_libc);
    ckv_id32 id = {{1}}, author = {{2}};
    uint8_t nonce[16] = {0};
    uint32_t lane;
    T_EQ(ckv_lanes_add(&g->lanes, &id, &author, nonce, &lane), CKV_OK);
    for (uint32_t c = 0; c < n; c++) {
        const uint32_t branch = c ? 0 : CKV_NONE;
        memcpy(id.b, &c, 4);
        T_EQ(ckv_past_of(&past, g, c ? c - 1 : CKV_NONE, NULL, 0), CKV_OK);
        T_EQ(ckv_graph_reserve(g, branch, 0, &past), CKV_OK);
        T_EQ(ckv_graph_append(g, lane, branch, c ? c - 1 : CKV_NONE, NULL, 0, &past, &id, 1, 1), c);
    }
    ckv_past_fini(&past);
}

static void same(const ckv_deletes *x, uint32_t del, const model *m, const ckv_graph *g)
{
    T_EQ(ckv_del_open(x, del), model_open(m, UINT32_MAX));
    T_EQ(ckv_del_hides(x, del), model_open(m, UINT32_MAX) != 0 || (del & CKV_DEL_AWAY) != 0);
    size_t n = 0;
    uint32_t rest = del;
    for (ckv_del_step s; ckv_del_next(x, &rest, &s); n++) { /* newest first */
        T_EQ(s.change, m->v[m->n - 1 - n].change);
        T_EQ(s.of, m->v[m->n - 1 - n].of);
    }
    T_EQ(n, m->n);
    ckv_past at = ckv_past_init(ckv_alloc_libc);
    for (uint32_t limit = 0; limit <= ckv_ids_n(&g->ids); limit += 3) {
        at.allin = limit;
        T_EQ(ckv_del_hides_at(x, del, &at, g, CKV_NONE), model_open(m, limit) != 0);
        for (uint32_t c = 0; c < 40; c += 7)
            T_EQ(ckv_del_restored_at(x, del, c, &at, g, CKV_NONE), model_restored(m, c, limit));
    }
    for (uint32_t c = 0; c < 40; c++) {
        T_EQ(ckv_del_by(x, del, c), model_by(m, c));
        T_EQ(ckv_del_restored(x, del, c), model_restored(m, c, UINT32_MAX));
    }
    ckv_past_fini(&at);
}

enum { ITEMS = 6, CHANGES = 40 };

static void chains_are_what_happened(void)
{
    ckv_graph g = ckv_graph_init(ckv_alloc_libc, 7);
    make_changes(&g, CHANGES);
    for (uint64_t seed = 1; seed < 100; seed++) {
        t_seed(seed);
        ckv_deletes x = ckv_deletes_init(ckv_alloc_libc, 5);
        model m[ITEMS] = {{.n = 0}};
        uint32_t del[ITEMS] = {0};
        for (uint32_t c = 0; c < CHANGES; c++) {
            for (int k = 0; k < 3; k++) {
                const size_t i = t_below(ITEMS);
                T_EQ(ckv_deletes_reserve(&x, 1), CKV_OK);
                if (t_one_in(8)) del[i] ^= CKV_DEL_AWAY;
                const uint32_t away = del[i] & CKV_DEL_AWAY;
                const uint32_t of = (uint32_t)t_below(c + 1);
                if (t_one_in(2) && of < c && !model_restored(&m[i], of, UINT32_MAX)) {
                    /* also of one that did not delete by name: what it replaced */
                    del[i] = ckv_del_restore(&x, del[i], of, c);
                    m[i].v[m[i].n++] = (event){c, of};
                } else if (!model_by(&m[i], c)) {
                    del[i] = ckv_del_add(&x, del[i], c);
                    m[i].v[m[i].n++] = (event){c, CKV_NONE};
                }
                T_EQ(del[i] & CKV_DEL_AWAY, away);
            }
        }
        for (size_t i = 0; i < ITEMS; i++) same(&x, del[i], &m[i], &g);
        const char *why = NULL;
        T_VALID(ckv_deletes_check(&x, &why), why);
        ckv_deletes_fini(&x);
    }
    ckv_graph_fini(&g);
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_deletes x = ckv_deletes_init(a, 5);
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < 50 && s == CKV_OK; i++) {
        s = ckv_deletes_reserve(&x, 1);
        if (s == CKV_OK) s = ckv_hmap_reserve(&x.by_item, 1);
        if (s != CKV_OK) break;
        ckv_del_set(&x, i % 20, ckv_del_add(&x, ckv_del_of(&x, i % 20), i));
        T_CHECK(ckv_del_hides(&x, ckv_del_of(&x, i % 20)));
        if (i % 7 == 0) ckv_del_set(&x, i % 20, 0);
    }
    const char *why = NULL;
    T_VALID(ckv_deletes_check(&x, &why), why);
    ckv_deletes_fini(&x);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(scenario) >= 3); }

int main(void)
{
    T_RUN(chains_are_what_happened);
    T_RUN(survives_every_failure);
    return t_done();
}
