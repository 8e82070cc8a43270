/* Local edits and reads, kind by kind: positions that are not there, containers that are gone, and every allocation failing once. */
#include "by_hand.h"

typedef struct things { /* in the root map, under their letters */
    ckv_doc *doc;
    uint32_t text, list, set, counter, map;
} things;

static ckv_status make(ckv_doc *doc, const char *key, ckv_tag tag, uint32_t *made)
{
    const ckv_value v = {.tag = tag};
    return ckv_map_set(doc, CKV_ROOT, key, 1, &v, made);
}

/* With n characters, elements and members. */
static ckv_status open_things(things *x, ckv_alloc a, uint32_t n)
{
    CKV_TRY(s_new(&x->doc, a, 1));
    CKV_TRY(make(x->doc, "t", CKV_TAG_TEXT, &x->text));
    CKV_TRY(make(x->doc, "l", CKV_TAG_LIST, &x->list));
    CKV_TRY(make(x->doc, "s", CKV_TAG_SET, &x->set));
    CKV_TRY(make(x->doc, "c", CKV_TAG_COUNTER, &x->counter));
    CKV_TRY(make(x->doc, "m", CKV_TAG_MAP, &x->map));
    for (uint32_t i = 0; i < n; i++) {
        const ckv_value v = {.tag = CKV_TAG_INT, .i64 = i};
        const uint32_t c = i % 2 ? 'a' : 0xe9;
        CKV_TRY(ckv_text_insert(x->doc, x->text, i / 2, &c, 4, 1));
        CKV_TRY(ckv_list_insert(x->doc, x->list, i / 2, &v, 1, NULL));
        CKV_TRY(ckv_set_add(x->doc, x->set, &v));
    }
    return s_commit(x->doc);
}

/* ---- positions and containers that are not there */

static void positions_end_where_the_content_ends(void)
{
    things x;
    T_EQ(open_things(&x, ckv_alloc_libc, 4), CKV_OK);
    ckv_doc *doc = x.doc;
    const ckv_value v = {.tag = CKV_TAG_TRUE};
    ckv_value got;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    uint32_t chars[8], max;
    T_EQ(ckv_list_get(doc, x.list, 3, &got), CKV_OK);
    T_EQ(ckv_list_get(doc, x.list, 4, &got), CKV_ERANGE);
    T_EQ(ckv_list_insert(doc, x.list, 5, &v, 1, NULL), CKV_ERANGE);
    T_EQ(ckv_list_set(doc, x.list, 4, &v, NULL), CKV_ERANGE);
    T_EQ(ckv_list_delete(doc, x.list, 5, 0), CKV_ERANGE);
    T_EQ(ckv_list_delete(doc, x.list, 2, 3), CKV_ERANGE);
    T_EQ(ckv_list_delete(doc, x.list, 4, 0), CKV_OK);
    T_EQ(ckv_list_move(doc, x.list, 4, 0), CKV_ERANGE);
    T_EQ(ckv_list_move(doc, x.list, 0, 4), CKV_ERANGE);
    T_EQ(ckv_list_conflicts(doc, NULL, x.list, 4, &out), CKV_ERANGE);
    T_EQ(ckv_text_insert(doc, x.text, 5, "x", 1, 1), CKV_ERANGE);
    T_EQ(ckv_text_delete(doc, x.text, 5, 0), CKV_ERANGE);
    T_EQ(ckv_text_delete(doc, x.text, 2, 3), CKV_ERANGE);
    T_EQ(ckv_text_read(doc, x.text, 5, 0, chars, 4), CKV_ERANGE);
    T_EQ(ckv_text_read(doc, x.text, 2, 3, chars, 4), CKV_ERANGE);
    T_EQ(ckv_text_max_char(doc, x.text, 2, 3, &max), CKV_ERANGE);
    T_EQ(ckv_text_max_char(doc, x.text, 0, 4, &max), CKV_OK);
    T_EQ(max, 0xe9);
    T_EQ(ckv_text_mark(doc, x.text, 2, 5, 0, "b", 1, &v), CKV_ERANGE);
    T_EQ(ckv_text_mark(doc, x.text, 3, 2, 0, "b", 1, &v), CKV_ERANGE);
    T_EQ(ckv_list_insert(doc, x.list, 0, &v, (size_t)CKV_MAX_OPS + 1, NULL), CKV_ELIMIT);
    s_check(doc);
    ckv_buf_fini(&out);
    ckv_doc_free(doc);
}

static void ascii_needs_no_look(void)
{
    things x;
    uint32_t max;
    T_EQ(open_things(&x, ckv_alloc_libc, 0), CKV_OK);
    T_EQ(ckv_text_insert(x.doc, x.text, 0, "abc", 1, 3), CKV_OK);
    T_EQ(ckv_text_max_char(x.doc, x.text, 0, 3, &max), CKV_OK);
    T_CHECK(max < 128);
    ckv_doc_free(x.doc);
}

static void what_is_gone_takes_no_edit(void)
{
    things x;
    T_EQ(open_things(&x, ckv_alloc_libc, 4), CKV_OK);
    ckv_doc *doc = x.doc;
    const ckv_value v = {.tag = CKV_TAG_TRUE};
    const char *const keys = "tlscm";
    for (size_t i = 0; i < 5; i++) T_EQ(ckv_map_unset(doc, CKV_ROOT, &keys[i], 1), CKV_OK);
    T_EQ(ckv_map_unset(doc, CKV_ROOT, "t", 1), CKV_ENOENT);
    T_EQ(ckv_text_insert(doc, x.text, 0, "x", 1, 1), CKV_ESTALE);
    T_EQ(ckv_text_delete(doc, x.text, 0, 1), CKV_ESTALE);
    T_EQ(ckv_text_mark(doc, x.text, 0, 1, 0, "b", 1, &v), CKV_ESTALE);
    T_EQ(ckv_list_insert(doc, x.list, 0, &v, 1, NULL), CKV_ESTALE);
    T_EQ(ckv_list_set(doc, x.list, 0, &v, NULL), CKV_ESTALE);
    T_EQ(ckv_list_delete(doc, x.list, 0, 1), CKV_ESTALE);
    T_EQ(ckv_list_move(doc, x.list, 0, 1), CKV_ESTALE);
    T_EQ(ckv_set_add(doc, x.set, &v), CKV_ESTALE);
    T_EQ(ckv_counter_add(doc, x.counter, 1), CKV_ESTALE);
    T_EQ(make(doc, "k", CKV_TAG_MAP, &x.list), CKV_OK);
    T_EQ(ckv_map_set(doc, x.map, "k", 1, &v, NULL), CKV_ESTALE);
    s_check(doc);
    ckv_doc_free(doc);
}

static void a_set_has_scalars_only(void)
{
    things x;
    T_EQ(open_things(&x, ckv_alloc_libc, 2), CKV_OK);
    const ckv_value map = {.tag = CKV_TAG_MAP}, one = {.tag = CKV_TAG_FLOAT, .f64 = 1},
                    two = {.tag = CKV_TAG_INT, .i64 = 2};
    T_EQ(ckv_set_add(x.doc, x.set, &map), CKV_EVALUE);
    T_CHECK(!ckv_set_has(x.doc, x.set, &map));
    T_CHECK(ckv_set_has(x.doc, x.set, &one));
    T_CHECK(!ckv_set_has(x.doc, x.set, &two));
    T_EQ(ckv_set_discard(x.doc, x.set, &two), CKV_ENOENT);
    T_EQ(ckv_set_discard(x.doc, x.set, &one), CKV_OK);
    T_CHECK(!ckv_set_has(x.doc, x.set, &one)); /* known, but no member */
    T_EQ(ckv_set_discard(x.doc, x.set, &one), CKV_ENOENT);
    ckv_doc_free(x.doc);
}

/* ---- every allocation */

enum {
    INSERT,
    DELETE,
    MARK,
    ELEMENT,
    ASSIGN,
    TAKE_OUT,
    MOVE,
    ADD,
    DISCARD,
    COUNT,
    SET,
    UNSET,
    UNDO,
    LAST = UNDO
};

static ckv_status edit(things *x, int kind, uint32_t i)
{
    ckv_doc *doc = x->doc;
    char word[64];
    bool did;
    const ckv_tag tags[] = {CKV_TAG_STR, CKV_TAG_MAP, CKV_TAG_LIST};
    ckv_value v = {.tag = tags[i % 3]}, n = {.tag = CKV_TAG_INT, .i64 = i},
              str = {.tag = CKV_TAG_STR, .ptr = (const uint8_t *)word};
    uint32_t made;
    memset(word, 'a' + (int)(i % 26), sizeof word);
    if (v.tag == CKV_TAG_STR) v.ptr = (const uint8_t *)word, v.n_bytes = i;
    str.n_bytes = 1 + i / 2;
    switch (kind) {
    case INSERT: {
        const uint32_t c = i % 2 ? 0x1f642 : 'x';
        return ckv_text_insert(doc, x->text, i, &c, 4, 1);
    }
    case DELETE: return ckv_text_delete(doc, x->text, i / 2, 1);
    case MARK:
        return ckv_text_mark(doc, x->text, i / 2, i / 2 + 2, i % 4, word, 1 + i / 2,
                             i % 5 ? &str : NULL);
    case ELEMENT: return ckv_list_insert(doc, x->list, i, &v, 1, &made);
    case ASSIGN: return ckv_list_set(doc, x->list, i, &v, &made);
    case TAKE_OUT: return ckv_list_delete(doc, x->list, i / 3, 1);
    case MOVE: return ckv_list_move(doc, x->list, i, 48 - i);
    case ADD: return ckv_set_add(doc, x->set, &str);
    case DISCARD: return ckv_set_discard(doc, x->set, &n);
    case COUNT: return ckv_counter_add(doc, x->counter, (int64_t)i << i);
    case SET: return ckv_map_set(doc, x->map, word, 1 + i / 2, &v, &made);
    case UNSET: {
        const ckv_status s = ckv_map_unset(doc, x->map, word, 1);
        return s == CKV_ENOENT ? ckv_map_set(doc, x->map, word, 1, &v, &made) : s;
    }
    default: {
        CKV_TRY(edit(x, (int)(i % UNDO), i));
        CKV_TRY(s_commit(doc));
        const uint32_t change = ckv_doc_n_changes(doc) - 1;
        return ckv_doc_undo(doc, &change, 1, NULL, 0, &did);
    }
    }
}

static int kind_now;

static ckv_status many_edits(ckv_alloc a)
{
    things x = {.doc = NULL};
    ckv_buf bundle = ckv_buf_init(a);
    ckv_status s = open_things(&x, a, 100);
    if (s == CKV_OK) ckv_doc_watch(x.doc, kind_now % 2);
    for (uint32_t i = 0; i < 40 && s == CKV_OK; i++) {
        s = edit(&x, kind_now, i);
        if (s == CKV_OK && i % 16 == 15) s = s_commit(x.doc);
    }
    if (s == CKV_OK) s = s_commit(x.doc);
    if (s == CKV_OK) s = ckv_doc_export(x.doc, NULL, 0, NULL, 0, &bundle);
    ckv_buf_fini(&bundle);
    s_check(x.doc);
    if (x.doc) ckv_doc_free(x.doc);
    return s;
}

static void each_edit_survives_every_failure(void)
{
    for (kind_now = INSERT; kind_now <= LAST; kind_now++) T_CHECK(h_oom(many_edits) > 50);
}

/* A document with a history, and one that fails; what is read is forgotten. */
static ckv_doc *read_from;

static ckv_status read_all(ckv_alloc a)
{
    ckv_doc *doc;
    ckv_view *from = NULL;
    ckv_buf out = ckv_buf_init(a);
    CKV_TRY(s_new(&doc, a, 9));
    ckv_status s = s_send(read_from, doc, a);
    if (s == CKV_OK) s = ckv_view_first(&from, doc, ckv_doc_n_changes(doc) / 2);
    for (uint32_t c = 0; c < ckv_doc_n_containers(doc) && s == CKV_OK; c++) {
        for (int past = 0; past < 2 && s == CKV_OK; past++) {
            const ckv_view *at = past ? from : NULL;
            ckv_buf_clear(&out);
            switch (ckv_doc_kind(doc, c)) {
            case CKV_KIND_MAP:
                s = ckv_map_entries(doc, at, c, &out);
                ckv_buf_clear(&out);
                if (s == CKV_OK) s = ckv_map_conflicts(doc, at, c, "t", 1, &out);
                ckv_buf_clear(&out);
                if (s == CKV_OK) s = ckv_map_history(doc, at, c, "t", 1, &out);
                break;
            case CKV_KIND_LIST:
                s = ckv_list_values(doc, at, c, 0, SIZE_MAX, &out);
                ckv_buf_clear(&out);
                if (s == CKV_OK) s = ckv_list_conflicts(doc, at, c, 0, &out);
                if (s == CKV_ERANGE) s = CKV_OK;
                break;
            case CKV_KIND_SET: s = ckv_set_members(doc, at, c, &out); break;
            case CKV_KIND_COUNTER: {
                ckv_i128 total;
                s = ckv_counter_total(doc, at, c, &total);
                break;
            }
            case CKV_KIND_TEXT:
                s = ckv_text_chars(doc, at, c, &out);
                ckv_buf_clear(&out);
                if (s == CKV_OK) s = ckv_text_spans(doc, at, c, &out);
                ckv_buf_clear(&out);
                if (s == CKV_OK) s = ckv_text_blame(doc, at, c, &out);
            }
        }
    }
    ckv_buf_clear(&out);
    if (s == CKV_OK) s = ckv_plain_write(doc, from, CKV_ROOT, &out);
    ckv_buf_clear(&out);
    if (s == CKV_OK) s = ckv_doc_diff(doc, from, NULL, &out);
    ckv_view_free(from);
    ckv_buf_fini(&out);
    ckv_doc_free(doc);
    return s;
}

static void each_read_survives_every_failure(void)
{
    things x;
    T_EQ(open_things(&x, ckv_alloc_libc, 100), CKV_OK);
    for (uint32_t i = 0; i < 40; i++) {
        T_EQ(edit(&x, UNDO, i), CKV_OK);
        if (i % 2) T_EQ(s_commit(x.doc), CKV_OK);
    }
    T_EQ(s_commit(x.doc), CKV_OK);
    read_from = x.doc;
    T_CHECK(h_oom(read_all) > 100);
    ckv_doc_free(x.doc);
}

/* What one edit deep in a document with very many keys tells: in proportion to itself, with each key of its path once, wherever that stands among all keys. */
static void a_diff_costs_what_it_says(void)
{
    enum { KEYS = 50000 };
    t_faulty f;
    ckv_doc *doc;
    ckv_view *then;
    s_arena arena = {0};
    const ckv_value map = {.tag = CKV_TAG_MAP}, one = {.tag = CKV_TAG_INT, .i64 = 1};
    ckv_buf patches = ckv_buf_init(ckv_alloc_libc);
    uint32_t holder, made;
    char key[16];
    T_EQ(s_new(&doc, t_watch(&f), 1), CKV_OK);
    T_EQ(ckv_map_set(doc, CKV_ROOT, "early", 5, &map, &holder), CKV_OK);
    for (int i = 0; i < KEYS; i++) {
        const int n = snprintf(key, sizeof key, "key %d", i);
        T_EQ(ckv_map_set(doc, CKV_ROOT, key, (size_t)n, &one, &made), CKV_OK);
        T_EQ(ckv_map_unset(doc, CKV_ROOT, key, (size_t)n), CKV_OK); /* its number stays */
    }
    for (int i = 0; i < 6; i++) { /* late, early, late, ... */
        T_EQ(ckv_map_set(doc, holder, i % 2 ? "early" : "late", i % 2 ? 5 : 4, &map, &made),
             CKV_OK);
        holder = made;
    }
    T_EQ(s_commit(doc), CKV_OK);
    T_EQ(ckv_view_first(&then, doc, ckv_doc_n_changes(doc)), CKV_OK);
    s_node *shown = s_load(&arena, doc, then);
    T_EQ(ckv_map_set(doc, holder, "late", 4, &one, &made), CKV_OK);
    T_EQ(s_commit(doc), CKV_OK);
    const size_t live = f.peak_bytes = f.live_bytes;
    T_EQ(ckv_doc_diff(doc, then, NULL, &patches), CKV_OK);
    T_CHECK(f.peak_bytes - live < KEYS);
    T_CHECK(patches.len < 64);
    s_follow(&arena, shown, patches.ptr, patches.len);
    S_SAME(shown, s_load(&arena, doc, NULL));
    s_arena_free(&arena);
    ckv_view_free(then);
    ckv_buf_fini(&patches);
    ckv_doc_free(doc);
    T_EQ(f.live_bytes, 0);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(positions_end_where_the_content_ends);
    T_RUN(ascii_needs_no_look);
    T_RUN(what_is_gone_takes_no_edit);
    T_RUN(a_set_has_scalars_only);
    T_RUN(each_edit_survives_every_failure);
    T_RUN(each_read_survives_every_failure);
    T_RUN(a_diff_costs_what_it_says);
    return t_done();
}
