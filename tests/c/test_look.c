/* Looks for displays: some of a map, the runs of an open text, who has a twin, what waits. They close nothing, and cost what they show. */
#include "by_hand.h"

#include "doc/exchange.h"
#include "doc/list.h"
#include "doc/set.h"
#include "doc/text.h"

static ckv_doc *new_doc(void)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    return doc;
}

static void put(ckv_doc *doc, uint32_t n)
{
    char key[16];
    uint32_t made;
    const ckv_value v = {.tag = CKV_TAG_INT, .i64 = n};
    snprintf(key, sizeof key, "%05u", n);
    T_EQ(ckv_map_set(doc, CKV_ROOT, key, 5, &v, &made), CKV_OK);
}

static void some_of_a_map_are_the_first_in_order(void)
{
    ckv_doc *doc = new_doc();
    for (uint32_t i = 0; i < 50; i++) put(doc, 49 - i);
    T_EQ(ckv_map_unset(doc, CKV_ROOT, "00000", 5), CKV_OK);
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_map_some(doc, NULL, CKV_ROOT, 10, &out), CKV_OK);
    T_CHECK(ckv_doc_is_open(doc));
    const ckv_entry *e = (const ckv_entry *)(const void *)out.ptr;
    T_EQ(out.len / sizeof *e, 10);
    for (uint32_t i = 0; i < 10; i++) T_EQ(e[i].value.i64, i + 1);
    ckv_buf_clear(&out);
    T_EQ(ckv_map_some(doc, NULL, CKV_ROOT, 1000, &out), CKV_OK);
    T_EQ(out.len / sizeof *e, 49);
    ckv_buf_clear(&out);
    T_EQ(ckv_map_some(doc, NULL, CKV_ROOT, 0, &out), CKV_OK);
    T_EQ(out.len, 0);
    ckv_buf_fini(&out);
    ckv_doc_free(doc);
}

/* A map of 30,000 keys, of which all but one are gone now, and all are there at a version. */
static void a_large_map_is_not_read_through(void)
{
    ckv_doc *doc = new_doc();
    for (uint32_t i = 0; i < 30000; i++) put(doc, i);
    T_EQ(s_commit(doc), CKV_OK);
    ckv_view *full;
    T_EQ(ckv_view_first(&full, doc, ckv_doc_n_changes(doc)), CKV_OK);
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_map_some(doc, NULL, CKV_ROOT, 5, &out), CKV_OK);
    const ckv_entry *e = (const ckv_entry *)(const void *)out.ptr;
    T_EQ(out.len / sizeof *e, 5);
    for (uint32_t i = 1; i < 5; i++) T_CHECK(memcmp(e[i - 1].key, e[i].key, 5) < 0);
    for (uint32_t i = 1; i < 30000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%05u", i);
        T_EQ(ckv_map_unset(doc, CKV_ROOT, key, 5), CKV_OK);
    }
    ckv_buf_clear(&out);
    T_EQ(ckv_map_some(doc, NULL, CKV_ROOT, 5, &out), CKV_OK);
    T_CHECK(out.len / sizeof *e <= 1); /* it may be among those that are not looked at */
    ckv_buf_clear(&out);
    T_EQ(ckv_map_some(doc, full, CKV_ROOT, 5, &out), CKV_OK);
    T_EQ(out.len / sizeof *e, 5);
    ckv_buf_fini(&out);
    ckv_view_free(full);
    ckv_doc_free(doc);
}

static size_t runs(ckv_doc *doc, uint32_t text, size_t n, ckv_blame_run *out)
{
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_text_runs(doc, NULL, text, n, &found), CKV_OK);
    const size_t n_runs = found.len / sizeof *out;
    T_CHECK(n_runs <= 8);
    if (n_runs) memcpy(out, found.ptr, found.len);
    ckv_buf_fini(&found);
    return n_runs;
}

static void runs_of_an_open_text_say_what_no_change_holds(void)
{
    ckv_doc *doc = new_doc();
    uint32_t text;
    const ckv_value v = {.tag = CKV_TAG_TEXT};
    ckv_blame_run r[8];
    T_EQ(ckv_map_set(doc, CKV_ROOT, "t", 1, &v, &text), CKV_OK);
    T_EQ(ckv_doc_open_ops(doc), 1);
    T_EQ(ckv_text_insert(doc, text, 0, "abcdef", 1, 6), CKV_OK);
    T_EQ(ckv_doc_open_ops(doc), 7);
    T_EQ(runs(doc, text, SIZE_MAX, r), 1); /* all of it is open */
    T_CHECK(r[0].start == 0 && r[0].end == 6 && r[0].change == CKV_NO_CHANGE);
    T_EQ(s_commit(doc), CKV_OK);
    T_EQ(ckv_doc_open_ops(doc), 0);
    T_EQ(ckv_text_insert(doc, text, 3, "xy", 1, 2), CKV_OK);
    T_EQ(ckv_text_delete(doc, text, 0, 1), CKV_OK);
    T_EQ(runs(doc, text, SIZE_MAX, r), 3);
    T_CHECK(r[0].change == 0 && r[0].end == 2);
    T_CHECK(r[1].change == CKV_NO_CHANGE && r[1].start == 2 && r[1].end == 4);
    T_CHECK(r[2].change == 0 && r[2].end == 7);
    T_EQ(runs(doc, text, 3, r), 2);
    T_CHECK(r[1].start == 2 && r[1].end == 3);
    T_EQ(runs(doc, text, 0, r), 0);
    T_CHECK(ckv_doc_is_open(doc));
    T_EQ(ckv_doc_open_ops(doc), 3);
    ckv_doc_free(doc);
}

static h_change story(const h_lane *l, h_change *before, const char *key)
{
    h_change c = before ? h_after(before) : h_first(l);
    h_set(&c, H_NONE, key, H_TRUE);
    return c;
}

static void twin(ckv_doc *doc, const h_change *c, bool has)
{
    uint32_t n;
    T_EQ(ckv_doc_find(doc, &c->id, &n), CKV_OK);
    T_EQ(ckv_doc_has_twin(doc, n), has);
}

/* A lane that forks at its start, behind a change, and on a prong; each child of one prev is a twin, and nobody else. */
static void twins_are_children_of_one_change(void)
{
    ckv_doc *doc = new_doc();
    const h_lane l = h_lane_of(doc, 1), honest = h_lane_of(doc, 2);
    h_change a = story(&l, NULL, "a"), b = story(&l, NULL, "b"), c = story(&l, NULL, "c"),
             a1 = story(&l, &a, "d"), a2 = story(&l, &a, "e"), b1 = story(&l, &b, "f"),
             a11 = story(&l, &a1, "g"), h = story(&honest, NULL, "h"), h1 = story(&honest, &h, "i");
    h_change *const all[] = {&a, &b, &c, &a1, &a2, &b1, &a11, &h, &h1};
    const bool has[] = {true, true, true, true, true, false, false, false, false};
    for (size_t i = 0; i < 9; i++) {
        H_APPLIED(doc, all[i]);
        if (i == 0) twin(doc, &a, false);
    }
    for (size_t i = 0; i < 9; i++) twin(doc, all[i], has[i]);
    for (size_t i = 0; i < 9; i++) h_free(all[i]);
    ckv_doc_free(doc);
}

static void letters_say_what_waits_for_what(void)
{
    ckv_doc *doc = new_doc();
    const h_lane a = h_lane_of(doc, 1), b = h_lane_of(doc, 2);
    h_change gone = story(&a, NULL, "a"), next = story(&a, &gone, "b"), child = h_first(&b);
    h_parent(&child, h_close(&next));
    h_bundle bundle = h_bundle_to(doc);
    h_tell_one(&bundle, &next);
    h_tell_one(&bundle, &child);
    h_report r = h_send(doc, &bundle);
    H_SAID(&r, &child, "waiting");
    h_done(&r);
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_letters(doc, 10, &out), CKV_OK);
    const ckv_letter_info *l = (const ckv_letter_info *)(const void *)out.ptr;
    T_EQ(out.len / sizeof *l, 2);
    const size_t k = ckv_id32_eq(&l[0].id, &next.id) ? 0 : 1;
    T_CHECK(l[k].seq == 1 && l[k].has_prev && ckv_id32_eq(&l[k].prev, &gone.id) && !l[k].later);
    T_CHECK(ckv_id32_eq(&l[k].author, &a.who.public_key) && ckv_id32_eq(&l[k].lane, &a.id));
    T_CHECK(l[1 - k].seq == 0 && !l[1 - k].has_prev && l[1 - k].n_parents == 1);
    T_CHECK(ckv_id32_eq(&l[1 - k].parents[0], &next.id));
    ckv_buf_clear(&out);
    T_EQ(ckv_doc_letters(doc, 1, &out), CKV_OK);
    T_EQ(out.len / sizeof *l, 1);
    ckv_buf_clear(&out);
    T_EQ(ckv_doc_letters(doc, 0, &out), CKV_OK);
    T_EQ(out.len, 0);
    ckv_buf_fini(&out);
    h_change *const all[] = {&gone, &next, &child};
    for (size_t i = 0; i < 3; i++) h_free(all[i]);
    ckv_doc_free(doc);
}

static ckv_status look(ckv_alloc a)
{
    ckv_doc *doc = NULL;
    ckv_buf out = ckv_buf_init(a);
    uint32_t text;
    const ckv_value v = {.tag = CKV_TAG_TEXT};
    ckv_status s = s_new(&doc, a, 1);
    if (s == CKV_OK) s = ckv_map_set(doc, CKV_ROOT, "t", 1, &v, &text);
    if (s == CKV_OK) s = ckv_text_insert(doc, text, 0, "abc", 1, 3);
    if (s == CKV_OK) s = ckv_map_some(doc, NULL, CKV_ROOT, 5, &out);
    if (s == CKV_OK) s = ckv_text_runs(doc, NULL, text, 5, &out);
    if (s == CKV_OK) s = ckv_doc_letters(doc, 5, &out);
    ckv_buf_fini(&out);
    if (doc) ckv_doc_free(doc);
    return s;
}

static void looks_survive_every_failure(void) { T_CHECK(t_oom(look) > 5); }

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(some_of_a_map_are_the_first_in_order);
    T_RUN(a_large_map_is_not_read_through);
    T_RUN(runs_of_an_open_text_say_what_no_change_holds);
    T_RUN(twins_are_children_of_one_change);
    T_RUN(letters_say_what_waits_for_what);
    T_RUN(looks_survive_every_failure);
    return t_done();
}
