/* Keys in lockstep with the definition: live is what no later operation has in its past; the greatest shows. And back. */
#include "t.h"

#include "crypto/digest.h"
#include "types/map.h"

#define MOST    150
#define N_LANES 4

typedef struct slow_op {
    uint32_t key;
    bool is_set;
} slow_op; /* operation c is that of change c: one each */
static slow_op slow[MOST];
static ckv_graph g;
static ckv_past past;

static bool before(uint32_t a, uint32_t b) /* a is in the past of b */
{
    T_EQ(ckv_past_add((ckv_past_reset(&past), &past), &g, b), CKV_OK);
    ckv_past_close(&past, &g);
    return a != b && ckv_past_has(&past, &g, a);
}

static uint32_t slow_shown(uint32_t key, uint32_t n, uint32_t *n_live)
{
    uint32_t best = CKV_NONE;
    *n_live = 0;
    for (uint32_t a = 0; a < n; a++) {
        if (slow[a].key != key || !slow[a].is_set) continue;
        bool live = true;
        for (uint32_t b = a + 1; b < n && live; b++) live = slow[b].key != key || !before(a, b);
        *n_live += live;
        if (live && (best == CKV_NONE || ckv_graph_order(&g, best, 0, a, 0) < 0)) best = a;
    }
    return best;
}

static void check(ckv_maps *m, uint32_t n)
{
    const char *why = NULL;
    uint32_t n_keys = 0;
    T_VALID(ckv_maps_check(m, &why), why);
    for (uint32_t key = 0; key < 5; key++) {
        const char name = (char)('a' + key);
        const uint32_t slot = ckv_maps_slot(m, 0, &name, 1);
        uint32_t n_live;
        const uint32_t shown = slow_shown(key, n, &n_live);
        n_keys += shown != CKV_NONE;
        T_EQ(slot == CKV_NONE ? CKV_NONE : ckv_maps_shown(m, &g, slot), shown);
        if (slot != CKV_NONE) T_EQ(m->slots.ptr[slot].live.len, n_live);
    }
    T_EQ(m->containers.ptr[0].n_keys, n_keys);
    T_EQ(ckv_maps_sort(m, 0), CKV_OK);
    T_EQ(m->sorted.len, n_keys);
    for (size_t i = 1; i < m->sorted.len; i++) {
        T_CHECK(*ckv_maps_key(m, &m->slots.ptr[m->sorted.ptr[i - 1]]) <
                *ckv_maps_key(m, &m->slots.ptr[m->sorted.ptr[i]]));
    }
}

static void runs_in_lockstep_and_back(void)
{
    for (uint64_t seed = 1; seed < 12; seed++) {
        t_seed(seed);
        const uint8_t secret[16] = {(uint8_t)seed};
        ckv_maps m;
        ckv_past known = ckv_past_init(ckv_alloc_libc);
        ckv_journal j = {.log = {.a = ckv_alloc_libc}, .on = 1};
        size_t saved[MOST];
        g = ckv_graph_init(ckv_alloc_libc, t_rand());
        past = ckv_past_init(ckv_alloc_libc);
        T_EQ(ckv_maps_init(&m, ckv_alloc_libc, secret, 16), CKV_OK);
        for (uint32_t i = 0; i < N_LANES; i++) {
            const ckv_id32 id = {{(uint8_t)i}};
            uint32_t lane;
            T_EQ(ckv_lanes_add(&g.lanes, &id, &id, id.b, &lane), CKV_OK);
        }
        for (uint32_t c = 0; c < 60; c++) {
            const uint32_t lane = (uint32_t)t_below(N_LANES),
                           branch = ckv_lanes_lane(&g.lanes, lane)->first_branch;
            const uint32_t prev =
                branch == CKV_NONE ? CKV_NONE : ckv_lanes_branch(&g.lanes, branch)->tip;
            uint32_t parents[1], n_parents = 0, seq, slot;
            if (c && t_one_in(3)) {
                parents[0] = (uint32_t)t_below(c);
                n_parents =
                    ckv_lanes_branch(&g.lanes, ckv_graph_branch(&g, parents[0], &seq))->lane !=
                    lane;
            }
            ckv_id32 id;
            for (int i = 0; i < 32; i++) id.b[i] = (uint8_t)t_rand();
            slow[c] = (slow_op){(uint32_t)t_below(5), !t_one_in(4)};
            const char name = (char)('a' + slow[c].key);
            T_EQ(ckv_past_of(&known, &g, prev, parents, n_parents), CKV_OK);
            T_EQ(ckv_graph_reserve(&g, branch, n_parents, &known), CKV_OK);
            T_EQ(ckv_maps_slot_make(&m, 0, &name, 1, &slot), CKV_OK);
            T_EQ(ckv_maps_reserve(&m, slot), CKV_OK);
            saved[c] = j.log.len;
            T_EQ(ckv_journal_reserve(&j, m.slots.ptr[slot].live.len + 1), CKV_OK);
            const ckv_author_view view = {
                .graph = &g, .past = &known, .own_item = g.ids.n_items, .id = &id};
            ckv_maps_apply(&m, slot, c, slow[c].is_set, &view, &j);
            T_EQ(ckv_graph_append(&g, lane, branch, prev, parents, n_parents, &known, &id, 1,
                                  slow[c].is_set),
                 c);
            check(&m, c + 1);
        }
        for (uint32_t c = 60; c-- > 0;) {
            while (j.log.len > saved[c]) {
                const ckv_undo u = j.log.ptr[--j.log.len];
                ckv_maps_undo(&m, &u);
            }
            check(&m, c);
        }
        ckv_past_fini(&known);
        ckv_past_fini(&past);
        ckv_undos_fini(&j.log);
        ckv_maps_fini(&m);
        ckv_graph_fini(&g);
    }
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(runs_in_lockstep_and_back);
    return t_done();
}
