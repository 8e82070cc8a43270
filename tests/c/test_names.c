/* What a change may call the items of others: by their one name, and only those that its author could know. */
#include "by_hand.h"

#define DEFAULT_MAP "\30\0" /* of two bytes, as those of by_hand.h */

static ckv_doc *new_doc(void)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    return doc;
}

/* The first change of a lane: a Text with "abc". Item 0 is the Text. */
static h_change text_of(const h_lane *l)
{
    h_change c = h_first(l);
    h_set(&c, H_NONE, "t", H_TEXT);
    h_insert(&c, H_NONE, H_NONE, h_own(1), "abc");
    return c;
}

static void what_the_author_did_not_know_cannot_be_named(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2);
    h_change base = text_of(&a), next = h_after(&base);
    h_delete(&next, h_own(1), 1);
    H_APPLIED(doc, &base);
    H_APPLIED(doc, &next);
    const ckv_id32 stranger = {{9}};

    /* a change in the table: unknown, known but not in the past, known but without so many items */
    const ckv_id32 *const changes[] = {&stranger, &next.id, &base.id, &base.id};
    static const char *const why[] = {"rule 14: names a change", "rule 14: names a change",
                                      "rule 14: names an item that its change",
                                      "rule 14: names an item that its change"};
    for (uint32_t i = 0; i < 4; i++) {
        const h_lane l = h_lane_of(doc, 10 + i);
        h_change c = h_first(&l);
        h_parent(&c, &base.id);
        c.changes = changes[i], c.n_changes = 1;
        if (i < 3)
            h_delete(&c, h_of_table(&c, 0, 4), 1); /* there are items 0 to 3 */
        else
            h_delete(&c, h_of_table(&c, 0, 1), 4);
        H_VOID(doc, &c, why[i]);
        h_free(&c);
    }
    /* through the parent, the own chain and the lane: beyond the end at once, or on the way */
    for (uint32_t i = 0; i < 6; i++) {
        const h_lane l = h_lane_of(doc, 20 + i);
        h_change c = h_first(&l), other = h_first(&b);
        if (i < 4) h_parent(&c, &base.id);
        switch (i) {
        case 0: h_delete(&c, h_of_parent(0, 4), 1); break;
        case 1: h_delete(&c, h_of_parent(0, 1), 4); break;
        case 2: h_delete(&c, h_own(1), 1); break;
        case 3:
            h_set(&c, H_NONE, "k", H_TRUE);
            h_delete(&c, h_own(1), 2);
            break;
        default: /* b saw base; whoever builds on b knows the lane of a */
            h_parent(&other, &base.id);
            h_parent(&c, h_close(&other));
            (void)h_judge(doc, &other);
            c.lanes = &a.id, c.n_lanes = 1;
            h_delete(&c, h_of_table(&c, 0, i == 4 ? 4 : 1), i == 4 ? 1 : 4);
        }
        H_VOID(doc, &c, "rule 14: names an item");
        h_free(&c);
        h_free(&other);
    }
    /* a lane that nobody knows, and one that its past does not hold */
    for (uint32_t i = 0; i < 2; i++) {
        const h_lane l = h_lane_of(doc, 30 + i);
        h_change c = h_first(&l);
        c.lanes = i ? &a.id : &stranger, c.n_lanes = 1;
        h_delete(&c, h_of_table(&c, 0, 0), 1);
        H_VOID(doc, &c, "rule 14: names a lane");
        h_free(&c);
    }
    h_free(&base);
    h_free(&next);
    ckv_doc_free(doc);
}

/* A lane that forks behind `base`: two stories with an item each. */
typedef struct fork {
    h_change base, left, right;
} fork;

static fork forked(ckv_doc *doc, const h_lane *liar)
{
    fork f = {.base = text_of(liar)};
    f.left = h_after(&f.base);
    f.right = h_after(&f.base);
    h_set(&f.left, H_NONE, "l", H_TRUE);
    h_set(&f.right, H_NONE, "r", H_TRUE);
    H_APPLIED(doc, &f.base);
    H_APPLIED(doc, &f.left);
    H_APPLIED(doc, &f.right);
    return f;
}

static void forget(fork *f)
{
    h_free(&f->base);
    h_free(&f->left);
    h_free(&f->right);
}

/* Both prongs are parents: what stands before the fork is named by the first of them. */
static void the_first_parent_that_can_names(void)
{
    ckv_doc *doc = new_doc();
    const h_lane liar = h_lane_of(doc, 1), who[] = {h_lane_of(doc, 2), h_lane_of(doc, 3)};
    fork f = forked(doc, &liar);
    for (uint32_t i = 0; i < 2; i++) {
        h_change c = h_first(&who[i]);
        h_parent(&c, &f.left.id);
        h_parent(&c, &f.right.id);
        h_delete(&c, h_of_parent(i, 1), 1); /* "a" */
        if (i == 0)
            H_APPLIED(doc, &c);
        else
            H_VOID(doc, &c, "body: an item is not named by its one name");
        h_free(&c);
    }
    forget(&f);
    ckv_doc_free(doc);
}

/* Whoever knows of a fork says which change, and only then. */
static void a_forked_lane_is_no_name(void)
{
    ckv_doc *doc = new_doc();
    const h_lane liar = h_lane_of(doc, 1), b = h_lane_of(doc, 2), c = h_lane_of(doc, 3);
    fork f = forked(doc, &liar);
    h_change both = h_first(&b), one = h_first(&c);
    h_parent(&both, &f.left.id);
    h_parent(&both, &f.right.id);
    h_parent(&one, &f.left.id);
    H_APPLIED(doc, &both);
    H_APPLIED(doc, &one);
    for (uint32_t i = 0; i < 4; i++) {
        const h_lane l = h_lane_of(doc, 10 + i);
        h_change x = h_first(&l);
        h_parent(&x, i < 2 ? &both.id : &one.id);
        if (i % 2)
            x.changes = &f.base.id, x.n_changes = 1;
        else
            x.lanes = &liar.id, x.n_lanes = 1;
        h_delete(&x, h_of_table(&x, 0, 1), 1);
        switch (i) {
        case 0: H_VOID(doc, &x, "body: names a forked lane, not the change"); break;
        case 3: H_VOID(doc, &x, "body: names a change, not its lane"); break;
        default: H_APPLIED(doc, &x);
        }
        h_free(&x);
    }
    h_free(&both);
    h_free(&one);
    forget(&f);
    ckv_doc_free(doc);
}

/* What a parent can name, or the own chain, is not named by its lane. */
static void the_table_is_for_what_has_no_nearer_name(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2);
    h_change base = text_of(&a), own = h_after(&base), child = h_first(&b);
    H_APPLIED(doc, &base);
    h_parent(&child, &base.id);
    h_change *const both[] = {&own, &child};
    for (uint32_t i = 0; i < 2; i++) {
        both[i]->lanes = &a.id, both[i]->n_lanes = 1;
        h_delete(both[i], h_of_table(both[i], 0, 1), 1);
        H_VOID(doc, both[i], "body: an item is not named by its one name");
        h_free(both[i]);
    }
    h_free(&base);
    ckv_doc_free(doc);
}

/* A range of one chain whose items came in two pieces, named through the second parent: only its start must have that name. */
static void a_range_goes_on_over_what_came_between(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), l = h_lane_of(doc, 2);
    h_lane b;
    h_change first = text_of(&a), more = h_after(&first), between;
    h_insert(&more, h_own(1), H_NONE, H_NONE, "def");
    for (uint32_t who = 3;; who++) { /* an author whose change has the smaller id */
        b = h_lane_of(doc, who);
        between = h_first(&b);
        h_set(&between, H_NONE, "k", H_TRUE);
        if (ckv_id32_cmp(h_close(&between), h_close(&more)) < 0) break;
        h_free(&between);
    }
    H_APPLIED(doc, &first);
    H_APPLIED(doc, &between);
    H_APPLIED(doc, &more);
    h_change c = h_first(&l);
    h_parent(&c, &more.id);
    h_parent(&c, &between.id);
    h_delete(&c, h_of_parent(1, 1), 6);
    H_APPLIED(doc, &c);
    h_free(&first);
    h_free(&more);
    h_free(&between);
    h_free(&c);
    ckv_doc_free(doc);
}

/* A container has one name as well, and what is none has none. */
static void a_container_is_named_as_such(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1);
    h_change base = text_of(&a);
    H_APPLIED(doc, &base);
    static const struct {
        ckv_op_kind kind;
        uint32_t off;
    } wrong[] = {{CKV_OP_ADD, 0}, {CKV_OP_ADD, 1}, {CKV_OP_COUNT, 0}, {CKV_OP_SET, 0}};
    for (uint32_t i = 0; i < 4; i++) {
        const h_lane l = h_lane_of(doc, 10 + i);
        h_change c = h_first(&l);
        h_parent(&c, &base.id);
        ckv_body_op op = h_op(wrong[i].kind, h_of_parent(0, wrong[i].off),
                              wrong[i].kind == CKV_OP_COUNT ? NULL : H_TRUE);
        if (op.kind == CKV_OP_SET) op.bytes = (const uint8_t *)"k", op.n_bytes = 1;
        h_put(&c, op);
        H_VOID(doc, &c, "rule 14: an operation on what is no container of its kind");
        h_free(&c);
    }
    h_free(&base);
    ckv_doc_free(doc);
}

/* One Map that two made at once, each by default, under one key: later they may both be heard of, and it goes by one of their names. */
static void a_default_container_is_named_by_one_of_its_makers(void)
{
    ckv_doc *doc = new_doc();
    const h_lane makers[] = {h_lane_of(doc, 1), h_lane_of(doc, 2)};
    h_change made[2];
    for (uint32_t i = 0; i < 2; i++) {
        made[i] = h_first(&makers[i]);
        h_set(&made[i], H_NONE, "m", DEFAULT_MAP);
        H_APPLIED(doc, &made[i]);
    }
    uint32_t n_applied = 0;
    for (uint32_t i = 0; i < 2; i++) {
        const h_lane l = h_lane_of(doc, 10 + i);
        h_change c = h_first(&l);
        h_parent(&c, &made[0].id);
        h_parent(&c, &made[1].id);
        h_set(&c, h_of_parent(i, 0), "k", H_TRUE);
        const ckv_judgement j = h_judge(doc, &c);
        n_applied += j.verdict == CKV_APPLIED;
        if (j.verdict != CKV_APPLIED)
            T_EQ(strcmp(j.reason, "body: a container is not named by its one name"), 0);
        h_free(&c);
    }
    T_EQ(n_applied, 1);
    for (uint32_t i = 0; i < 2; i++) h_free(&made[i]);
    ckv_doc_free(doc);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(what_the_author_did_not_know_cannot_be_named);
    T_RUN(the_first_parent_that_can_names);
    T_RUN(a_forked_lane_is_no_name);
    T_RUN(the_table_is_for_what_has_no_nearer_name);
    T_RUN(a_range_goes_on_over_what_came_between);
    T_RUN(a_container_is_named_as_such);
    T_RUN(a_default_container_is_named_by_one_of_its_makers);
    return t_done();
}
