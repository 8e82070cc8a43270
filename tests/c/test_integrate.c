/* Remote runs against FugueMax as the paper has it: a tree, written out, walked. Honest origins and any others. */
#include "t.h"

#include "types/integrate.h"

#define MOST  900
#define START MOST /* the root of the tree */

typedef struct slow_item {
    uint32_t parent, right; /* START; CKV_NONE: the end */
    bool is_right;          /* child on the right side */
    uint32_t change;
} slow_item;

static slow_item tree[MOST + 1];
static uint32_t n_tree, walked[MOST], place_of[MOST], n_walked;
static ckv_graph g;

static uint64_t key_clock(uint32_t i) { return ckv_graph_clock(&g, tree[i].change); }

/* Siblings: ascending ids on the left; on the right the later right origin first, then ascending ids. */
static bool before(uint32_t a, uint32_t b)
{
    if (tree[a].is_right && tree[a].right != tree[b].right) {
        const uint32_t pa = tree[a].right == CKV_NONE ? UINT32_MAX : place_of[tree[a].right];
        const uint32_t pb = tree[b].right == CKV_NONE ? UINT32_MAX : place_of[tree[b].right];
        return pa > pb;
    }
    if (key_clock(a) != key_clock(b)) return key_clock(a) < key_clock(b);
    return ckv_id32_cmp(ckv_ids_at(&g.ids, tree[a].change), ckv_ids_at(&g.ids, tree[b].change)) < 0;
}

static void walk(uint32_t at, bool is_right);

static void walk_item(uint32_t i)
{
    walk(i, false);
    walked[n_walked++] = i;
    walk(i, true);
}

static void walk(uint32_t at, bool is_right)
{
    uint32_t child[64], n = 0;
    for (uint32_t i = 0; i < n_tree; i++) {
        if (tree[i].parent != at || tree[i].is_right != is_right) continue;
        T_CHECK(n < 64);
        uint32_t k = n++;
        for (; k > 0 && before(i, child[k - 1]); k--) child[k] = child[k - 1];
        child[k] = i;
    }
    for (uint32_t k = 0; k < n; k++) walk_item(child[k]);
}

/* Places of right origins are those of the walk before: what is new moves nothing that is old. */
static void walk_all(void)
{
    n_walked = 0;
    walk(START, true);
    for (uint32_t i = 0; i < n_walked; i++) place_of[walked[i]] = i;
}

static void slow_place(uint32_t left, uint32_t right, uint32_t *parent, bool *is_right)
{
    const uint32_t l = left == CKV_NONE ? START : left;
    *parent = l;
    *is_right = true;
    if (right == CKV_NONE) return;
    uint32_t up = right;
    while (up != START && tree[up].parent != l) up = tree[up].parent;
    if (up == START || !tree[up].is_right) return;
    *parent = right;
    *is_right = false;
}

static void check(ckv_space *x, const ckv_seq *s, uint32_t below)
{
    const char *why = NULL;
    T_VALID(ckv_seq_check(x, s, &why), why);
    uint32_t i = 0;
    for (uint32_t l = s->first_leaf; l != CKV_NONE; l = x->leaves.ptr[l].next) {
        for (uint32_t k = 0; k < x->leaves.ptr[l].n; k++) {
            const ckv_span *sp = &x->leaves.ptr[l].s[k];
            for (uint32_t c = 0; c < sp->len; c++, i++) {
                while (i < n_walked && walked[i] >= below) i++;
                T_CHECK(i < n_walked && walked[i] == sp->item + c);
            }
        }
    }
    while (i < n_walked && walked[i] >= below) i++;
    T_EQ(i, n_walked);
}

/* ---- authors */

#define N_LANES 4

typedef struct story {
    ckv_space x;
    ckv_seq s;
    ckv_oplog log;
    ckv_journal j;
    ckv_past past;
    size_t saved[MOST];   /* journal before change c */
    uint32_t items[MOST]; /* items before change c */
} story;

static bool knows(const story *t, uint32_t item) { return ckv_past_has_item(&t->past, &g, item); }

/* An origin that the author knows, or CKV_NONE. */
static uint32_t known_item(const story *t)
{
    for (int tries = 0; tries < 6 && n_tree; tries++) {
        const uint32_t i = (uint32_t)t_below(n_tree);
        if (knows(t, i)) return i;
    }
    return CKV_NONE;
}

static void write_one(story *t, bool liars)
{
    const uint32_t lane = (uint32_t)t_below(N_LANES), c = ckv_ids_n(&g.ids), item = n_tree,
                   n = 1 + (uint32_t)t_below(4);
    const uint32_t branch = ckv_lanes_lane(&g.lanes, lane)->first_branch;
    const uint32_t prev = branch == CKV_NONE ? CKV_NONE : ckv_lanes_branch(&g.lanes, branch)->tip;
    uint32_t parents[1], n_parents = 0;
    if (c && t_one_in(2)) {
        uint32_t seq;
        parents[0] = c - 1 - (uint32_t)t_below(c < 12 ? c : 12);
        n_parents =
            ckv_lanes_branch(&g.lanes, ckv_graph_branch(&g, parents[0], &seq))->lane != lane;
    }
    ckv_id32 id;
    for (int i = 0; i < 32; i++) id.b[i] = (uint8_t)t_rand();
    uint64_t clock = prev == CKV_NONE ? 0 : ckv_graph_clock(&g, prev);
    if (n_parents && ckv_graph_clock(&g, parents[0]) > clock)
        clock = ckv_graph_clock(&g, parents[0]);
    T_EQ(ckv_past_of(&t->past, &g, prev, parents, n_parents), CKV_OK);
    T_EQ(ckv_graph_reserve(&g, branch, n_parents, &t->past), CKV_OK);
    T_EQ(ckv_space_reserve(&t->x, item + n, 1), CKV_OK);
    T_EQ(ckv_oplog_reserve(&t->log, 1), CKV_OK);
    T_EQ(ckv_journal_reserve(&t->j, 3), CKV_OK);

    const uint32_t left = known_item(t);
    uint32_t right = CKV_NONE; /* honest: the next that the author knows */
    for (uint32_t i = left == CKV_NONE ? 0 : place_of[left] + 1; i < n_walked && right == CKV_NONE;
         i++) {
        if (knows(t, walked[i])) right = walked[i];
    }
    if (liars && t_one_in(3)) right = known_item(t);
    uint32_t parent;
    bool is_right, taken = false;
    slow_place(left, right, &parent, &is_right);
    for (uint32_t i = 0; i < n_tree; i++)
        taken |= tree[i].parent == parent && tree[i].is_right == is_right && knows(t, i);
    T_CHECK(liars || !taken);

    const ckv_author_view view = {.graph = &g,
                                  .oplog = &t->log,
                                  .past = &t->past,
                                  .own_item = item,
                                  .clock = clock + 1,
                                  .id = &id};
    ckv_gap gap = CKV_GAP_START;
    const char *why = NULL;
    if (left != CKV_NONE) T_CHECK(ckv_space_locate(&t->x, left, &gap));
    t->saved[c] = t->j.log.len;
    t->items[c] = n_tree;
    const ckv_status s = ckv_integrate(&t->x, &t->s, item, n, gap, right, &view, &t->j, &why);
    T_EQ(s, taken ? CKV_EVOID : CKV_OK);
    if (s != CKV_OK) {
        T_CHECK(why != NULL);
        T_EQ(t->j.log.len, t->saved[c]);
        check(&t->x, &t->s, UINT32_MAX);
        return;
    }
    ckv_oplog_insert(&t->log, 0, n, left, right);
    T_EQ(ckv_graph_append(&g, lane, branch, prev, parents, n_parents, &t->past, &id, n, n), c);
    for (uint32_t i = 0; i < n; i++)
        tree[n_tree++] = (slow_item){i ? item + i - 1 : parent, right, i ? true : is_right, c};
    walk_all();
    check(&t->x, &t->s, UINT32_MAX);
    if (!t_one_in(5)) return;
    const uint32_t gone = (uint32_t)t_below(n_tree); /* deletes cut spans, and move nothing */
    T_EQ(ckv_space_reserve(&t->x, n_tree, 1), CKV_OK);
    T_EQ(ckv_journal_reserve(&t->j, 1), CKV_OK);
    T_CHECK(ckv_space_locate(&t->x, gone, &gap));
    ckv_seq_delete(&t->x, &t->s, gap, 1 + (uint32_t)t_below(2), c, &t->j);
    check(&t->x, &t->s, UINT32_MAX);
}

static void tell(bool liars, uint32_t n_changes)
{
    static story t;
    memset(&t, 0, sizeof t);
    g = ckv_graph_init(ckv_alloc_libc, t_rand());
    t.x = ckv_space_init(ckv_alloc_libc, t_rand());
    t.log = ckv_oplog_init(ckv_alloc_libc);
    t.past = ckv_past_init(ckv_alloc_libc);
    t.j = (ckv_journal){.log = {.a = ckv_alloc_libc}, .on = 1};
    n_tree = n_walked = 0;
    ckv_seq_init(&t.s, 0);
    for (uint32_t i = 0; i < N_LANES; i++) {
        const ckv_id32 id = {{(uint8_t)i}};
        uint32_t lane;
        T_EQ(ckv_lanes_add(&g.lanes, &id, &id, id.b, &lane), CKV_OK);
    }
    for (uint32_t k = 0; k < n_changes && n_tree < MOST - 4; k++) write_one(&t, liars);
    for (uint32_t c = ckv_ids_n(&g.ids); c-- > 0;) { /* back to every savepoint */
        while (t.j.log.len > t.saved[c]) {
            const ckv_undo u = t.j.log.ptr[--t.j.log.len];
            if (u.kind == CKV_UNDO_INSERT) ckv_crowds_undo(&t.x.crowds, &g, u.a);
            ckv_seq_undo(&t.x, &t.s, &u);
        }
        check(&t.x, &t.s, t.items[c]);
    }
    T_CHECK(t.s.total == 0 && t.s.visible == 0);
    ckv_graph_fini(&g);
    ckv_space_fini(&t.x);
    ckv_oplog_fini(&t.log);
    ckv_past_fini(&t.past);
    ckv_undos_fini(&t.j.log);
}

static void honest_runs_stand_where_the_tree_says(void)
{
    for (uint64_t seed = 1; seed < 10; seed++) {
        t_seed(seed);
        tell(false, 120);
    }
}

static void odd_origins_stand_where_the_tree_says(void)
{
    for (uint64_t seed = 1; seed < 25; seed++) {
        t_seed(seed);
        tell(true, 120);
    }
}

int main(void)
{
    T_RUN(honest_runs_stand_where_the_tree_says);
    T_RUN(odd_origins_stand_where_the_tree_says);
    return t_done();
}
