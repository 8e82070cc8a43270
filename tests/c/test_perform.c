/* Rule 14: what the operations of somebody else's change may do, each with a lie that breaks it, and each with every allocation failing once. */
#include "by_hand.h"

static ckv_doc *new_doc(void)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    return doc;
}

static uint32_t n_lanes; /* so that each change opens its own */

/* The first change of a new lane, after `parent`. */
static h_change on(const ckv_doc *doc, h_lane *l, h_change *parent)
{
    *l = h_lane_of(doc, 100 + n_lanes++);
    h_change c = h_first(l);
    h_parent(&c, h_close(parent));
    return c;
}

/* ---- places */

/* Items: 0 a List, 1 to 3 its elements; 4 another List, 5 its element; 6 a Text, 7 to 9 "abc"; 10 a value. */
static h_change base_of(const h_lane *l)
{
    h_change c = h_first(l);
    h_set(&c, H_NONE, "l", H_LIST);
    h_elements(&c, H_NONE, H_NONE, h_own(1), H_TRUE H_TRUE H_TRUE, 3);
    h_set(&c, H_NONE, "m", H_LIST);
    h_elements(&c, H_NONE, H_NONE, h_own(1), H_TRUE, 1);
    h_set(&c, H_NONE, "t", H_TEXT);
    h_insert(&c, H_NONE, H_NONE, h_own(1), "abc");
    h_set(&c, H_NONE, "k", H_TRUE);
    return c;
}

enum { LIST, FIRST, SECOND, THIRD, OTHER, OTHERS, TEXT, A, B, C, VALUE };

static ckv_ref p(uint32_t item) { return h_of_parent(0, item); }

#define INSERT_PLACE "rule 14: an insert's place is in no sequence of its kind"

static void a_place_is_in_one_sequence_of_its_kind(void)
{
    ckv_doc *doc = new_doc();
    h_lane lanes[8];
    const h_lane a = h_lane_of(doc, 1);
    h_change base = base_of(&a), c[8];
    H_APPLIED(doc, &base);
    for (size_t i = 0; i < 8; i++) c[i] = on(doc, &lanes[i], &base);
    h_move(&c[0], p(SECOND), H_NONE, H_NONE); /* the first slot stands there */
    H_VOID(doc, &c[0], "rule 14: an insert's place had a child");
    h_move(&c[1], p(SECOND), p(OTHERS), H_NONE);
    H_VOID(doc, &c[1], INSERT_PLACE);
    h_move(&c[2], p(SECOND), H_NONE, p(OTHERS));
    H_VOID(doc, &c[2], INSERT_PLACE);
    h_insert(&c[3], p(FIRST), H_NONE, H_NONE, "x");
    H_VOID(doc, &c[3], INSERT_PLACE);
    h_insert(&c[4], p(VALUE), H_NONE, H_NONE, "x"); /* stands in none */
    H_VOID(doc, &c[4], INSERT_PLACE);
    h_elements(&c[5], H_NONE, p(A), H_NONE, H_TRUE, 1);
    H_VOID(doc, &c[5], INSERT_PLACE);
    h_insert(&c[6], p(C), p(FIRST), H_NONE, "x");
    H_VOID(doc, &c[6], "rule 14: an insert's origins are in two sequences");
    h_move(&c[7], p(SECOND), p(THIRD), H_NONE);
    H_APPLIED(doc, &c[7]);
    for (size_t i = 0; i < 8; i++) h_free(&c[i]);
    h_free(&base);
    ckv_doc_free(doc);
}

static void an_element_is_one_and_alive(void)
{
    ckv_doc *doc = new_doc();
    h_lane lanes[4];
    const h_lane a = h_lane_of(doc, 1);
    h_change base = base_of(&a), gone = h_after(&base), c[4];
    h_delete(&gone, h_own(VALUE + 1 - SECOND), 1);
    H_APPLIED(doc, &base);
    H_APPLIED(doc, &gone);
    for (size_t i = 0; i < 4; i++) c[i] = on(doc, &lanes[i], i < 2 ? &base : &gone);
    h_put(&c[0], h_op(CKV_OP_ASSIGN, p(VALUE), H_TRUE));
    H_VOID(doc, &c[0], "rule 14: names what is no element");
    h_put(&c[1], h_op(CKV_OP_ASSIGN, p(SECOND), H_TRUE)); /* its author did not know */
    H_APPLIED(doc, &c[1]);
    h_put(&c[2], h_op(CKV_OP_ASSIGN, p(SECOND), H_TRUE));
    H_VOID(doc, &c[2], "rule 14: names an element that was deleted");
    h_move(&c[3], p(SECOND), p(THIRD), H_NONE);
    H_VOID(doc, &c[3], "rule 14: names an element that was deleted");
    for (size_t i = 0; i < 4; i++) h_free(&c[i]);
    h_free(&base);
    h_free(&gone);
    ckv_doc_free(doc);
}

/* Maps in maps, down to a List at the depth of 256. */
static void nothing_is_deeper_than_256(void)
{
    ckv_doc *doc = new_doc();
    h_lane lanes[4];
    const h_lane a = h_lane_of(doc, 1);
    h_change base = h_first(&a), c[4];
    h_set(&base, H_NONE, "m", H_MAP);
    for (int depth = 2; depth < 256; depth++) h_set(&base, h_own(1), "m", H_MAP);
    h_set(&base, h_own(1), "l", H_LIST); /* item 255 */
    h_set(&base, h_own(2), "m", H_MAP);  /* item 256, in the same map */
    h_elements(&base, H_NONE, H_NONE, h_own(2), H_TRUE, 1);
    H_APPLIED(doc, &base);
    for (size_t i = 0; i < 4; i++) c[i] = on(doc, &lanes[i], &base);
    h_elements(&c[0], H_NONE, H_NONE, p(255), H_MAP, 1);
    H_VOID(doc, &c[0], "rule 14: a container is more than 256 deep");
    h_set(&c[1], p(256), "m", H_MAP);
    H_VOID(doc, &c[1], "rule 14: a container is more than 256 deep");
    h_put(&c[2], h_op(CKV_OP_ASSIGN, p(257), H_MAP));
    H_VOID(doc, &c[2], "rule 14: a container is more than 256 deep");
    h_set(&c[3], p(256), "m", H_TRUE);
    H_APPLIED(doc, &c[3]);
    for (size_t i = 0; i < 4; i++) h_free(&c[i]);
    h_free(&base);
    ckv_doc_free(doc);
}

/* ---- marks */

static void a_mark_has_its_places_in_one_text_and_in_order(void)
{
    enum { BEFORE = 0, START_BEHIND = 1, END_BEHIND = 2, BOTH_BEHIND = 3 };
    static const char two[] = "rule 14: a mark's places are not in one text",
                      order[] = "rule 14: a mark ends before it starts",
                      beyond[] = "rule 14: names an item outside";
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1);
    h_change base = base_of(&a);
    H_APPLIED(doc, &base);
    const struct {
        uint32_t sides;
        ckv_ref start, end, text;
        const char *why; /* NULL: it is a mark */
    } marks[] = {
        {BEFORE, p(A), p(C), H_NONE, NULL},
        {BEFORE, p(C), p(A), H_NONE, order},
        {END_BEHIND, p(B), p(B), H_NONE, NULL}, /* "b" itself */
        {BEFORE, p(B), p(B), H_NONE, order},
        {BOTH_BEHIND, p(B), p(B), H_NONE, order},
        {START_BEHIND, p(B), p(B), H_NONE, order},
        {START_BEHIND, p(B), p(C), H_NONE, NULL}, /* covers nothing yet */
        {BEFORE, p(A), H_NONE, H_NONE, NULL},
        {BEFORE, H_NONE, p(B), H_NONE, NULL},
        {BEFORE, H_NONE, H_NONE, p(TEXT), NULL},
        {BEFORE, H_NONE, H_NONE, p(LIST), "rule 14: an operation on what is no container"},
        {BEFORE, p(A), p(FIRST), H_NONE, two},
        {BEFORE, p(A), p(VALUE), H_NONE, two},
        {BEFORE, p(VALUE), p(A), H_NONE, two},
        {BEFORE, p(FIRST), p(SECOND), H_NONE, two},
        {BEFORE, H_NONE, p(VALUE), H_NONE, two},
        {BEFORE, p(VALUE + 1), p(A), H_NONE, beyond},
        {BEFORE, p(A), p(VALUE + 1), H_NONE, beyond},
    };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        h_lane l;
        h_change c = on(doc, &l, &base);
        h_mark(&c, marks[i].sides, marks[i].start, marks[i].end, marks[i].text);
        if (marks[i].why)
            H_VOID(doc, &c, marks[i].why);
        else
            H_APPLIED(doc, &c);
        h_free(&c);
    }
    h_free(&base);
    ckv_doc_free(doc);
}

/* ---- deletes and restores */

static void a_slot_is_not_its_element(void)
{
    ckv_doc *doc = new_doc();
    h_lane lanes[2];
    const h_lane a = h_lane_of(doc, 1);
    h_change base = base_of(&a), moved = h_after(&base), c[2];
    h_move(&moved, h_own(VALUE + 1 - FIRST), h_own(VALUE + 1 - THIRD), H_NONE); /* item 11 */
    H_APPLIED(doc, &base);
    H_APPLIED(doc, &moved);
    for (size_t i = 0; i < 2; i++) c[i] = on(doc, &lanes[i], &moved);
    h_delete(&c[0], p(VALUE + 1), 1);
    H_VOID(doc, &c[0], "rule 14: names a slot, not its element");
    c[1].changes = &base.id, c[1].n_changes = 1;
    h_restore(&c[1], 0, p(VALUE + 1), 1);
    H_VOID(doc, &c[1], "rule 14: names a slot, not its element");
    for (size_t i = 0; i < 2; i++) h_free(&c[i]);
    h_free(&base);
    h_free(&moved);
    ckv_doc_free(doc);
}

static void what_is_deleted_is_not_deleted_again(void)
{
    ckv_doc *doc = new_doc();
    h_lane lanes[4];
    const h_lane a = h_lane_of(doc, 1);
    h_change base = base_of(&a), gone = h_after(&base), c[4];
    h_set(&gone, H_NONE, "k", H_TRUE); /* replaces the value */
    h_delete(&gone, h_own(VALUE + 2 - B), 1);
    h_delete(&gone, h_own(VALUE + 2 - SECOND), 1);
    H_APPLIED(doc, &base);
    H_APPLIED(doc, &gone);
    static const uint32_t items[4] = {VALUE, B, SECOND, A};
    for (size_t i = 0; i < 4; i++) {
        c[i] = on(doc, &lanes[i], &gone);
        h_delete(&c[i], p(items[i]), 1);
        if (i < 3)
            H_VOID(doc, &c[i], "rule 14: a delete names what was deleted");
        else
            H_APPLIED(doc, &c[i]);
        h_free(&c[i]);
    }
    h_free(&base);
    h_free(&gone);
    ckv_doc_free(doc);
}

/* Runs of the log that are one span of the text, and the other way round: ranges are cut at both. */
static void a_range_may_hold_many_runs(void)
{
    ckv_doc *doc = new_doc();
    h_lane lanes[2];
    const h_lane a = h_lane_of(doc, 1);
    h_change base = h_first(&a), c[2];
    h_set(&base, H_NONE, "t", H_TEXT);
    h_insert(&base, H_NONE, H_NONE, h_own(1), "abc");
    h_set(&base, H_NONE, "k", NULL); /* makes no item, and cuts the run */
    h_insert(&base, h_own(1), H_NONE, H_NONE, "def");
    H_APPLIED(doc, &base);
    c[0] = on(doc, &lanes[0], &base);
    h_delete(&c[0], p(1), 6);
    H_APPLIED(doc, &c[0]);
    c[1] = on(doc, &lanes[1], &c[0]);
    c[1].lanes = &a.id, c[1].n_lanes = 1;
    c[1].changes = &c[0].id, c[1].n_changes = 1;
    h_restore(&c[1], 0, h_of_table(&c[1], 0, 1), 6);
    H_APPLIED(doc, &c[1]);
    for (size_t i = 0; i < 2; i++) h_free(&c[i]);
    h_free(&base);
    ckv_doc_free(doc);
}

/* An element of which `by` assigned the value: RESTORE gives it back, once. Likewise what a DELETE named. */
static void what_is_restored_is_not_restored_again(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1);
    h_change base = base_of(&a), by = h_after(&base), back = h_after(&by);
    h_put(&by, h_op(CKV_OP_ASSIGN, h_own(VALUE + 1 - FIRST), H_TRUE)); /* item 11 */
    h_delete(&by, h_own(VALUE + 2 - THIRD), 1);
    h_delete(&by, h_own(VALUE + 2 - B), 1);
    h_set(&by, H_NONE, "k", H_TRUE); /* item 12 */
    H_APPLIED(doc, &base);
    H_APPLIED(doc, &by);
    static const uint32_t items[] = {FIRST, THIRD, B, VALUE};
    back.n_changes = 1, back.changes = &by.id;
    for (size_t i = 0; i < 4; i++) h_restore(&back, 0, h_own(13 - items[i]), 1);
    H_APPLIED(doc, &back);
    for (size_t i = 0; i < 4; i++) {
        for (int again = 0; again < 2; again++) {
            h_lane l;
            h_change c = on(doc, &l, again ? &back : &by);
            c.changes = &by.id, c.n_changes = 1;
            h_restore(&c, 0, p(items[i]), 1);
            if (again)
                H_VOID(doc, &c, "rule 14: restores what was restored");
            else
                H_APPLIED(doc, &c);
            h_free(&c);
        }
    }
    static const struct {
        uint32_t item, n;
    } not_deleted[] = {{A, 1}, {A, 2}, {SECOND, 1}, {FIRST, 2}, {OTHER, 1}};
    for (size_t i = 0; i < sizeof not_deleted / sizeof *not_deleted; i++) {
        h_lane l;
        h_change c = on(doc, &l, &by);
        c.changes = &by.id, c.n_changes = 1;
        h_restore(&c, 0, p(not_deleted[i].item), not_deleted[i].n);
        H_VOID(doc, &c, "rule 14: restores what the change did not delete");
        h_free(&c);
    }
    h_free(&base);
    h_free(&by);
    h_free(&back);
    ckv_doc_free(doc);
}

/* ---- limits */

/* Numbers of items and operations are bounded for all texts together. The document is made to believe that it is nearly full. */
static void a_full_document_takes_no_more(void)
{
    ckv_doc *doc = new_doc();
    for (int full = 0; full < 3; full++) {
        const h_lane l = h_lane_of(doc, (uint32_t)full);
        h_change c = h_first(&l);
        ckv_judgement j;
        h_set(&c, H_NONE, "k", H_TRUE);
        const uint32_t lv = doc->log.n_lv, items = doc->log.n_items;
        if (full == 0) doc->log.n_items = UINT32_MAX / 4 - 1;
        if (full == 1) doc->log.n_lv = UINT32_MAX / 2 - 1;
        T_EQ(h_try(doc, &c, &j), full < 2 ? CKV_ELIMIT : CKV_OK);
        if (full < 2) {
            T_EQ(doc->log.n_lv, lv); /* taken back to where the graph is */
            T_EQ(doc->log.n_items, items);
        }
        s_check(doc);
        h_free(&c);
    }
    ckv_doc_free(doc);
}

/* ---- every allocation */

enum { MANY = 40 };

/* Encodes a str; returns its bytes. */
static size_t put_member(uint8_t *out, const char *s)
{
    size_t n = ckv_varint_put(out, CKV_TAG_STR);
    n += ckv_varint_put(out + n, strlen(s));
    memcpy(out + n, s, strlen(s));
    return n + strlen(s);
}

/* Many operations of one kind in a change, none of which could be joined with the one before it. Own items at its start: a Text, its 2 * MANY
 * characters, a List, its 2 * MANY elements, a Set, a Counter; then what the change that deletes has assigned. */
static void do_many(h_change *c, ckv_op_kind kind)
{
    enum {
        CHARS = 1,
        LIST_AT = CHARS + 2 * MANY,
        ELEMENTS = LIST_AT + 1,
        SET_AT = ELEMENTS + 2 * MANY,
        COUNTER_AT,
        ITEMS
    };
    uint32_t made = kind == CKV_OP_RESTORE ? ITEMS + MANY : ITEMS;
    char word[MANY * 8];
    uint8_t member[sizeof word + 8];
    memset(word, 'x', sizeof word);
    for (uint32_t i = 0; i < MANY; i++) {
        ckv_body_op op;
        word[4 * i + 1] = 0;
        switch (kind) {
        case CKV_OP_INSERT: /* at the start of the text, each left of the one before */
            h_insert(c, H_NONE, h_own(made - (i ? made - 1 : CHARS)), H_NONE, "x");
            break;
        case CKV_OP_DELETE: h_delete(c, h_own(made - (CHARS + 2 * i)), 1); break;
        case CKV_OP_SET: h_set(c, H_NONE, word, i % 2 ? H_TRUE : H_MAP); break;
        case CKV_OP_UNSET: h_set(c, H_NONE, word, NULL); break;
        case CKV_OP_ELEMENTS:
            h_elements(c, H_NONE, h_own(made - (i ? made - 2 : ELEMENTS)), H_NONE, H_TRUE H_LIST,
                       2);
            made++;
            break;
        case CKV_OP_ASSIGN:
            h_put(c, h_op(kind, h_own(made - (ELEMENTS + i)), i % 2 ? H_TRUE : H_MAP));
            break;
        case CKV_OP_MOVE:
            h_move(c, h_own(made - (ELEMENTS + 1 + i)), H_NONE,
                   h_own(made - (i ? made - 1 : ELEMENTS)));
            break;
        case CKV_OP_ADD:
        case CKV_OP_DISCARD:
            op = h_op(kind, h_own(made - SET_AT), NULL);
            op.value_bytes = member, op.n_value_bytes = put_member(member, word);
            h_put(c, op);
            break;
        case CKV_OP_COUNT:
            h_put(c, (ckv_body_op){.kind = kind, .left = h_own(made - COUNTER_AT), .amount = i});
            break;
        case CKV_OP_MARK: /* long names and long values in turn, so that either of them finds no room */
            op = h_op(kind, h_own(made - CHARS), NULL);
            word[4 * i + 1] = 'x';
            op.bytes = (const uint8_t *)word, op.n_bytes = i % 2 ? 1 : 300;
            word[i % 2 ? 300 : 1] = 0;
            op.value_bytes = member, op.n_value_bytes = put_member(member, word);
            word[i % 2 ? 300 : 1] = 'x';
            h_put(c, op);
            break;
        case CKV_OP_RESTORE: /* what the change before deleted or replaced */
            h_restore(c, 0, h_own(made - (CHARS + 2 * i)), 1);
            h_restore(c, 0, h_own(made - (ELEMENTS + 2 * i)), 1);
            h_restore(c, 0, h_own(made - (ELEMENTS + 2 * i + 1)), 1);
            break;
        }
        word[4 * i + 1] = 'x';
        if (ckv_op_makes_items(kind)) made++;
    }
}

static ckv_op_kind kind_now;

static ckv_status many_of_a_kind(ckv_alloc a)
{
    ckv_doc *doc;
    CKV_TRY(s_new(&doc, a, 1));
    const h_lane l = h_lane_of(doc, 7);
    h_change base = h_first(&l), gone, many;
    char chars[2 * MANY + 1], values[4 * MANY];
    memset(chars, 'c', 2 * MANY);
    chars[2 * MANY] = 0;
    for (int i = 0; i < 2 * MANY; i++) memcpy(values + 2 * i, H_TRUE, 2);
    h_set(&base, H_NONE, "t", H_TEXT);
    h_insert(&base, H_NONE, H_NONE, h_own(1), chars);
    h_set(&base, H_NONE, "l", H_LIST);
    h_elements(&base, H_NONE, H_NONE, h_own(1), values, 2 * MANY);
    h_set(&base, H_NONE, "s", H_SET);
    h_set(&base, H_NONE, "c", H_COUNTER);
    gone = h_after(&base);
    if (kind_now == CKV_OP_RESTORE) {
        uint32_t made = 4 * MANY + 4;
        for (uint32_t i = 0; i < MANY; i++) {
            h_delete(&gone, h_own(made - (1 + 2 * i)), 1);
            h_delete(&gone, h_own(made - (2 + 2 * MANY + 2 * i)), 1);
            h_put(&gone, h_op(CKV_OP_ASSIGN, h_own(made - (3 + 2 * MANY + 2 * i)), H_TRUE));
            made++;
        }
    }
    many = h_after(&gone);
    if (kind_now == CKV_OP_RESTORE) many.changes = &gone.id, many.n_changes = 1;
    do_many(&many, kind_now);
    h_change *const all[] = {&base, &gone, &many};
    ckv_status s = CKV_OK;
    for (size_t i = 0; i < 3 && s == CKV_OK; i++) {
        ckv_judgement j;
        const uint32_t n = ckv_doc_n_changes(doc);
        s = h_try(doc, all[i], &j);
        if (s == CKV_OK && j.verdict != CKV_APPLIED) t_fail(__FILE__, __LINE__, j.reason);
        if (s != CKV_OK) T_EQ(ckv_doc_n_changes(doc), n);
    }
    for (size_t i = 0; i < 3; i++) h_free(all[i]);
    ckv_doc_free(doc);
    return s;
}

static void each_kind_survives_every_failure(void)
{
    for (int kind = CKV_OP_INSERT; kind <= CKV_OP_LAST; kind++) {
        kind_now = (ckv_op_kind)kind;
        T_CHECK(h_oom(many_of_a_kind) > 10);
    }
}

/* Values that somebody replaces while somebody else deletes them. */
static ckv_status deletes_of_what_was_replaced(ckv_alloc a)
{
    enum { KEYS = 10 };
    ckv_doc *doc;
    CKV_TRY(s_new(&doc, a, 1));
    const h_lane l = h_lane_of(doc, 7), x = h_lane_of(doc, 8), y = h_lane_of(doc, 9);
    h_change base = h_first(&l), sets = h_first(&x), deletes = h_first(&y);
    for (uint32_t i = 0; i < KEYS; i++) {
        const char key[2] = {(char)('a' + i), 0};
        h_set(&base, H_NONE, key, H_TRUE);
    }
    h_parent(&sets, h_close(&base));
    h_parent(&deletes, h_close(&base));
    for (uint32_t i = 0; i < KEYS; i += 2) {
        const char key[2] = {(char)('a' + i), 0};
        h_set(&sets, H_NONE, key, H_TRUE);
        h_delete(&deletes, p(i), 1);
    }
    ckv_judgement j = {.verdict = CKV_APPLIED};
    h_change *const all[] = {&base, &sets, &deletes};
    ckv_status s = CKV_OK;
    for (size_t i = 0; i < 3 && s == CKV_OK; i++) s = h_try(doc, all[i], &j);
    if (s == CKV_OK) T_EQ(j.verdict, CKV_APPLIED);
    for (size_t i = 0; i < 3; i++) h_free(all[i]);
    ckv_doc_free(doc);
    return s;
}

static void asking_who_replaced_survives_every_failure(void)
{
    T_CHECK(h_oom(deletes_of_what_was_replaced) > 10);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(a_place_is_in_one_sequence_of_its_kind);
    T_RUN(an_element_is_one_and_alive);
    T_RUN(nothing_is_deeper_than_256);
    T_RUN(a_mark_has_its_places_in_one_text_and_in_order);
    T_RUN(a_slot_is_not_its_element);
    T_RUN(what_is_deleted_is_not_deleted_again);
    T_RUN(a_range_may_hold_many_runs);
    T_RUN(what_is_restored_is_not_restored_again);
    T_RUN(a_full_document_takes_no_more);
    T_RUN(each_kind_survives_every_failure);
    T_RUN(asking_who_replaced_survives_every_failure);
    return t_done();
}
