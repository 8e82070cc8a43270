/* Registers against a naive model: which operations knew which, which values that leaves, now and at every version; deletes and restores of them, and
 * all of it taken back by the journal.
 */
#include "t.h"

#include "types/register.h"

enum { N = 60, LANES = 3 };

typedef struct world {
    ckv_graph g;
    ckv_oplog log;
    ckv_deletes deletes;
    ckv_registers x;
    ckv_journal j;
    ckv_past past, scratch;
    uint32_t tip[LANES];
    bool knows[N][N]; /* change -> changes in its past */
    bool writes[N];
    uint32_t n;
} world;

static void begin(world *w)
{
    *w = (world){.g = ckv_graph_init(ckv_alloc_libc, 3),
                 .log = ckv_oplog_init(ckv_alloc_libc),
                 .deletes = ckv_deletes_init(ckv_alloc_libc, 3),
                 .x = ckv_registers_init(ckv_alloc_libc, 3),
                 .j = {.log = {.a = ckv_alloc_libc}, .on = 1},
                 .past = ckv_past_init(ckv_alloc_libc),
                 .scratch = ckv_past_init(ckv_alloc_libc)};
    for (uint32_t i = 0; i < LANES; i++) {
        const ckv_id32 id = {{(uint8_t)(i + 1)}}, author = {{9}};
        const uint8_t nonce[16] = {0};
        uint32_t lane;
        T_EQ(ckv_lanes_add(&w->g.lanes, &id, &author, nonce, &lane), CKV_OK);
        w->tip[i] = CKV_NONE;
    }
}

static void end(world *w)
{
    ckv_graph_fini(&w->g);
    ckv_oplog_fini(&w->log);
    ckv_deletes_fini(&w->deletes);
    ckv_registers_fini(&w->x);
    ckv_undos_fini(&w->j.log);
    ckv_past_fini(&w->past);
    ckv_past_fini(&w->scratch);
}

/* Change w->n of a lane: one SET or UNSET on the register, knowing its lane and perhaps what another one has. */
static void one_change(world *w, uint32_t reg)
{
    const uint32_t lane = (uint32_t)t_below(LANES), other = (uint32_t)t_below(LANES), c = w->n;
    uint32_t parent[1], n_parents = 0;
    if (other != lane && w->tip[other] != CKV_NONE && t_one_in(2))
        parent[n_parents++] = w->tip[other];
    const uint32_t prev = w->tip[lane],
                   branch = prev == CKV_NONE ? CKV_NONE
                                             : ckv_lanes_lane(&w->g.lanes, lane)->first_branch;
    for (uint32_t i = 0; i < c; i++)
        w->knows[c][i] = (prev != CKV_NONE && (i == prev || w->knows[prev][i])) ||
                         (n_parents && (i == parent[0] || w->knows[parent[0]][i]));
    w->writes[c] = !t_one_in(4);
    T_EQ(ckv_past_of(&w->past, &w->g, prev, parent, n_parents), CKV_OK);
    T_EQ(ckv_graph_reserve(&w->g, branch, n_parents, &w->past), CKV_OK);
    const ckv_author_view v = {
        .graph = &w->g, .oplog = &w->log, .past = &w->past, .own_item = w->g.ids.n_items};
    T_EQ(ckv_register_reserve(&w->x, reg, &w->j), CKV_OK);
    T_EQ(ckv_register_know(&w->x, reg, &v, &w->deletes, &w->scratch), CKV_OK);
    T_EQ(ckv_oplog_reserve(&w->log, 1), CKV_OK);
    const uint32_t lv = w->log.n_lv;
    const ckv_value value = {.tag = CKV_TAG_INT, .i64 = c};
    uint32_t off;
    T_EQ(ckv_oplog_keep_value(&w->log, &value, &off), CKV_OK);
    if (w->writes[c])
        ckv_oplog_set(&w->log, 0, reg, off);
    else
        ckv_oplog_unset(&w->log, 0, reg);
    ckv_register_apply(&w->x, reg, lv, w->writes[c], &w->log, &w->j);
    ckv_id32 id = {{0}};
    const uint64_t random = t_rand();
    memcpy(id.b, &random, 8);
    T_EQ(ckv_graph_append(&w->g, lane, branch, prev, parent, n_parents, &w->past, &id, 1,
                          w->writes[c]),
         c);
    w->tip[lane] = c;
    w->n++;
}

/* Is change c a value among the changes that `in` holds? No deletes here. */
static bool model_has(const world *w, uint32_t c, const bool *in)
{
    if (!in[c] || !w->writes[c]) return false;
    for (uint32_t i = c + 1; i < w->n; i++) {
        if (in[i] && w->knows[i][c]) return false;
    }
    return true;
}

static void check_now(const world *w, uint32_t reg)
{
    bool all[N];
    uint32_t n = 0, greatest = CKV_NONE;
    memset(all, true, sizeof all);
    for (uint32_t c = 0; c < w->n; c++) { /* one operation each: lv and change are one */
        const bool has = model_has(w, c, all);
        T_EQ(ckv_register_has(&w->x, reg, c), has);
        n += has;
        if (has && (greatest == CKV_NONE || ckv_graph_order(&w->g, greatest, 0, c, 0) < 0))
            greatest = c;
    }
    T_EQ(ckv_register_is_empty(&w->x, reg), n == 0);
    T_EQ(ckv_register_shown(&w->x, &w->g, reg), greatest);
    const char *why = NULL;
    T_VALID(ckv_registers_check(&w->x, &why), why);
}

static void check_version(world *w, uint32_t reg, uint32_t head)
{
    ckv_past at = ckv_past_init(ckv_alloc_libc);
    ckv_u32s found = {.a = ckv_alloc_libc};
    bool in[N] = {false};
    T_EQ(ckv_past_add(&at, &w->g, head), CKV_OK);
    ckv_past_close(&at, &w->g);
    uint32_t n = 0;
    for (uint32_t c = 0; c < w->n; c++) in[c] = c == head || w->knows[head][c];
    T_EQ(ckv_register_values_at(&w->x, &w->g, &w->log, &w->deletes, &at, &w->scratch, reg, CKV_NONE,
                                &found),
         CKV_OK);
    for (uint32_t c = 0; c < w->n; c++) n += model_has(w, c, in);
    T_EQ(found.len, n);
    for (size_t i = 0; i < found.len; i++) T_CHECK(model_has(w, found.ptr[i], in));
    for (uint32_t c = 0; c < head; c++) {
        bool replaced;
        if (!w->writes[c]) continue;
        T_EQ(ckv_register_replaced_by(&w->x, &w->g, &w->deletes, 0, NULL, &w->scratch, reg, c, head,
                                      &replaced),
             CKV_OK);
        T_EQ(replaced, model_has(w, c, w->knows[head]));
    }
    ckv_u32s_fini(&found);
    ckv_past_fini(&at);
}

static void values_are_what_nobody_replaced(void)
{
    for (uint64_t seed = 1; seed < 60; seed++) {
        world w;
        uint32_t reg, other;
        bool is_new;
        t_seed(seed);
        begin(&w);
        T_EQ(ckv_register_find(&w.x, 0, 7), CKV_NONE);
        T_EQ(ckv_register_make(&w.x, 0, 8, CKV_NONE, &other, &is_new), CKV_OK);
        T_EQ(ckv_register_make(&w.x, 0, 7, CKV_NONE, &reg, &is_new), CKV_OK);
        T_CHECK(is_new);
        T_EQ(ckv_register_find(&w.x, 0, 7), reg);
        const uint32_t n = 1 + (uint32_t)t_below(N);
        while (w.n < n) {
            one_change(&w, reg);
            check_now(&w, reg);
        }
        for (uint32_t c = 0; c < w.n; c++) check_version(&w, reg, c);
        T_CHECK(ckv_register_is_empty(&w.x, other));
        /* back to the beginning */
        while (w.j.log.len) {
            const ckv_undo u = w.j.log.ptr[--w.j.log.len];
            ckv_register_undo(&w.x, &u);
        }
        T_CHECK(ckv_register_is_empty(&w.x, reg));
        T_EQ(w.x.regs.ptr[reg].last, CKV_NONE);
        T_EQ(w.x.ops.len, 0);
        end(&w);
    }
}

/* An element's first value is replaced by an ASSIGN, and the element that gets its number after a rollback begins again. */
static void an_element_begins_again(void)
{
    ckv_registers x = ckv_registers_init(ckv_alloc_libc, 3);
    uint32_t reg;
    bool is_new;
    T_EQ(ckv_register_make(&x, 1, 5, 10, &reg, &is_new), CKV_OK);
    T_CHECK(ckv_register_has(&x, reg, 10));
    ckv_register_begin_again(&x, 1, 5, 20);
    T_CHECK(ckv_register_has(&x, reg, 20) && !ckv_register_has(&x, reg, 10));
    ckv_register_begin_again(&x, 2, 5, 30); /* of another list: nothing */
    T_CHECK(ckv_register_has(&x, reg, 20));
    ckv_registers_fini(&x);
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_registers x = ckv_registers_init(a, 3);
    ckv_journal j = {.log = {.a = a}, .on = 1};
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < 40 && s == CKV_OK; i++) {
        uint32_t reg;
        bool is_new;
        s = ckv_register_make(&x, i % 3, i % 7, CKV_NONE, &reg, &is_new);
        if (s == CKV_OK) s = ckv_register_reserve(&x, reg, &j);
        if (s == CKV_OK) ckv_register_back(&x, reg, i, &j); /* as many values as there are calls */
        if (s == CKV_OK) s = ckv_register_reserve(&x, reg, &j);
        if (s == CKV_OK && i % 5 == 4) ckv_register_drop(&x, reg, i, &j);
    }
    while (j.log.len) {
        const ckv_undo u = j.log.ptr[--j.log.len];
        ckv_register_undo(&x, &u);
    }
    for (uint32_t r = 0; r < x.regs.len; r++) T_CHECK(ckv_register_is_empty(&x, r));
    ckv_undos_fini(&j.log);
    ckv_registers_fini(&x);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(scenario) >= 10); }

int main(void)
{
    T_RUN(values_are_what_nobody_replaced);
    T_RUN(an_element_begins_again);
    T_RUN(survives_every_failure);
    return t_done();
}
