/* Replicas that edit everything at random, fork, merge, go back and undo: all come to the same document. */
#include "story.h"

#include "dag/bundle.h"

static void plain(ckv_doc *doc, const ckv_view *at, ckv_buf *out)
{
    ckv_buf_clear(out);
    T_EQ(ckv_plain_write(doc, at, CKV_ROOT, out), CKV_OK);
}

static void same_plain(ckv_doc *doc, const ckv_buf *before)
{
    ckv_buf now = ckv_buf_init(ckv_alloc_libc);
    plain(doc, NULL, &now);
    if (now.len != before->len || memcmp(now.ptr, before->ptr, now.len) != 0) {
        s_arena a = {0};
        s_print(s_parse(&a, before));
        fprintf(stderr, "\n");
        s_print(s_parse(&a, &now));
        fprintf(stderr, "\n");
    }
    T_BYTES(now.ptr, now.len, before->ptr, before->len);
    ckv_buf_fini(&now);
}

static void same_document(ckv_doc *x, ckv_doc *y)
{
    ckv_id32 rx, ry;
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    s_arena a = {0};
    T_EQ(ckv_doc_root(x, &rx), CKV_OK);
    T_EQ(ckv_doc_root(y, &ry), CKV_OK);
    T_BYTES(&rx, 32, &ry, 32);
    plain(x, NULL, &b);
    same_plain(y, &b);
    S_SAME(s_load(&a, x, NULL), s_load(&a, y, NULL)); /* marks, too */
    s_arena_free(&a);
    ckv_buf_fini(&b);
}

/* Some edits that are taken back. */
static void block_that_goes_back(ckv_doc *doc, int depth)
{
    ckv_buf before = ckv_buf_init(ckv_alloc_libc);
    s_arena a = {0};
    ckv_savepoint savepoint;
    T_EQ(ckv_doc_savepoint(doc, &savepoint), CKV_OK);
    plain(doc, NULL, &before);
    const s_node *loaded = s_load(&a, doc, NULL);
    for (uint64_t n = 1 + t_below(12); n; n--) {
        T_EQ(s_edit(doc), CKV_OK);
        if (depth < 2 && t_one_in(5)) block_that_goes_back(doc, depth + 1);
    }
    ckv_doc_rollback(doc, savepoint);
    s_check(doc);
    same_plain(doc, &before);
    S_SAME(loaded, s_load(&a, doc, NULL));
    s_arena_free(&a);
    ckv_buf_fini(&before);
}

/* Takes back random changes of its own, perhaps the undo itself, too. */
static void undo_some(ckv_doc *doc)
{
    uint32_t changes[3], n = 0;
    bool did;
    T_EQ(s_commit(doc), CKV_OK);
    const uint32_t all = ckv_doc_n_changes(doc);
    for (uint32_t c = all > 30 ? all - 30 : 0; c < all && n < 3; c++) {
        if (ckv_doc_is_own(doc, c) && t_one_in(6)) changes[n++] = c;
    }
    if (n) T_EQ(ckv_doc_undo(doc, changes, n, NULL, 0, &did), CKV_OK);
    s_check(doc);
}

/* A change with random edits; undo takes all of it back, undo of the undo brings all of it again. Nobody else writes meanwhile. */
static void undo_and_redo(ckv_doc *doc)
{
    s_arena a = {0};
    uint32_t change, undone;
    bool did;
    T_EQ(s_commit(doc), CKV_OK);
    const s_node *before = s_load(&a, doc, NULL);
    for (uint64_t n = 1 + t_below(6); n; n--) T_EQ(s_edit(doc), CKV_OK);
    T_EQ(ckv_doc_commit(doc, 5, NULL, 0, &change), CKV_OK);
    if (change != CKV_NO_CHANGE) {
        const s_node *after = s_load(&a, doc, NULL);
        T_EQ(ckv_doc_undo(doc, &change, 1, NULL, 0, &did), CKV_OK);
        s_check(doc);
        S_SAME(before, s_load(&a, doc, NULL));
        T_EQ(ckv_doc_commit(doc, 6, NULL, 0, &undone), CKV_OK);
        T_EQ(did, undone != CKV_NO_CHANGE);
        if (did) {
            T_EQ(ckv_doc_undo(doc, &undone, 1, NULL, 0, &did), CKV_OK);
            s_check(doc);
            S_SAME(after, s_load(&a, doc, NULL));
            T_EQ(s_commit(doc), CKV_OK);
        }
    }
    s_arena_free(&a);
}

static ckv_view *random_version(ckv_doc *doc)
{
    ckv_view *v = NULL;
    const uint32_t n = ckv_doc_n_changes(doc);
    if (t_one_in(3)) {
        T_EQ(ckv_view_first(&v, doc, (uint32_t)t_below(n + 1)), CKV_OK);
        return v;
    }
    ckv_id32 heads[3];
    size_t n_heads = n ? t_below(4) : 0;
    for (size_t i = 0; i < n_heads; i++)
        heads[i] = *ckv_ids_at(&doc->graph.ids, (uint32_t)t_below(n));
    T_EQ(ckv_view_new(&v, doc, heads, n_heads, NULL, 0), CKV_OK);
    return v;
}

static void diff_random_versions(ckv_doc *doc)
{
    s_arena a = {0};
    ckv_buf patches = ckv_buf_init(ckv_alloc_libc);
    T_EQ(s_commit(doc), CKV_OK);
    ckv_view *from = t_one_in(4) ? NULL : random_version(doc),
             *to = t_one_in(4) ? NULL : random_version(doc);
    s_node *x = s_load(&a, doc, from);
    T_EQ(ckv_doc_diff(doc, from, to, &patches), CKV_OK);
    s_follow(&a, x, patches.ptr, patches.len);
    S_SAME(x, s_load(&a, doc, to));
    ckv_view_free(from);
    ckv_view_free(to);
    ckv_buf_fini(&patches);
    s_arena_free(&a);
}

/* What events told since. */
typedef struct mirror {
    s_arena a;
    s_node *root;
} mirror;

static void follow_events(mirror *m, ckv_doc *doc)
{
    ckv_buf events, patches;
    s_arena fresh = {0};
    T_EQ(s_commit(doc), CKV_OK);
    ckv_doc_take_events(doc, &events, &patches);
    for (size_t i = 0; i < events.len; i += sizeof(ckv_event)) {
        ckv_event e;
        memcpy(&e, events.ptr + i, sizeof e);
        T_CHECK(e.first < e.end && e.n_bytes);
        s_follow(&m->a, m->root, patches.ptr + e.off, e.n_bytes);
    }
    s_node *now = s_load(&fresh, doc, NULL);
    S_SAME(m->root, now);
    s_arena_free(&m->a);
    m->a = fresh;
    m->root = now;
    ckv_buf_fini(&events);
    ckv_buf_fini(&patches);
}

/* ---- cursors and paths */

typedef struct bookmarks {
    ckv_buf v[32];
    size_t n;
} bookmarks;

static bool is_sequence(ckv_doc *doc, uint32_t c)
{
    return ckv_doc_kind(doc, c) == CKV_KIND_TEXT || ckv_doc_kind(doc, c) == CKV_KIND_LIST;
}

static size_t visible(ckv_doc *doc, uint32_t c)
{
    return ckv_doc_kind(doc, c) == CKV_KIND_TEXT ? ckv_text_len(doc, c) : ckv_list_len(doc, c);
}

/* A cursor stands where it was put, comes back from its bytes, and stays when what is behind it changes. */
static void put_a_bookmark(ckv_doc *doc, bookmarks *b)
{
    ckv_cursor cursor, again;
    size_t index;
    const uint32_t c = s_any(doc);
    if (!is_sequence(doc, c)) return;
    T_EQ(s_commit(doc), CKV_OK);
    const size_t len = visible(doc, c), pos = t_below(len + 1);
    const bool behind = t_one_in(2);
    T_EQ(ckv_cursor_at(doc, c, len + 1, behind, &cursor), CKV_ERANGE);
    T_EQ(ckv_cursor_at(doc, c, pos, behind, &cursor), CKV_OK);
    T_EQ(ckv_cursor_index(doc, &cursor, &index), CKV_OK);
    T_EQ(index, pos);
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_cursor_write(doc, &cursor, &bytes), CKV_OK);
    T_EQ(ckv_cursor_read(doc, bytes.ptr, bytes.len, &again), CKV_OK);
    T_CHECK(again.container == cursor.container && again.item == cursor.item &&
            again.behind == cursor.behind);
    for (size_t n = 0; n < bytes.len; n++)
        T_EQ(ckv_cursor_read(doc, bytes.ptr, n, &again), CKV_ECORRUPT);
    if (ckv_doc_kind(doc, c) == CKV_KIND_TEXT && pos > 0) {
        T_EQ(ckv_text_insert(doc, c, 0, "up", 1, 2), CKV_OK);
        T_EQ(ckv_cursor_index(doc, &cursor, &index), CKV_OK);
        T_EQ(index, pos + 2);
        T_EQ(ckv_text_delete(doc, c, 0, 2), CKV_OK);
        T_EQ(ckv_cursor_index(doc, &cursor, &index), CKV_OK);
        T_EQ(index, pos);
        T_EQ(s_commit(doc), CKV_OK);
    }
    if (b->n < 32)
        b->v[b->n++] = bytes;
    else
        ckv_buf_fini(&bytes);
}

/* What each bookmark says here. */
static void read_bookmarks(ckv_doc *doc, const bookmarks *b, ckv_buf *out)
{
    for (size_t i = 0; i < b->n; i++) {
        ckv_cursor cursor;
        size_t index = 0;
        T_EQ(ckv_cursor_read(doc, b->v[i].ptr, b->v[i].len, &cursor), CKV_OK);
        const ckv_status s = ckv_cursor_index(doc, &cursor, &index);
        T_CHECK(s == CKV_OK || s == CKV_ESTALE);
        if (s == CKV_OK) T_CHECK(index <= visible(doc, cursor.container));
        ckv_buf_varint(out, s == CKV_OK ? index + 1 : 0);
    }
}

/* Whoever follows the path of a container comes to it, unless something else is shown on the way. */
static void follow_a_path(ckv_doc *doc)
{
    const uint32_t c = s_any(doc);
    ckv_buf path = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_path(doc, c, &path), CKV_OK);
    T_EQ(path.len / sizeof(ckv_step), ckv_doc_depth(doc, c));
    uint32_t at = CKV_ROOT;
    for (size_t i = 0; i < path.len; i += sizeof(ckv_step)) {
        ckv_step step;
        ckv_value v;
        memcpy(&step, path.ptr + i, sizeof step);
        if (step.key) {
            T_EQ(ckv_doc_kind(doc, at), CKV_KIND_MAP);
            T_EQ(ckv_map_get(doc, at, step.key, step.key_bytes, &v), CKV_OK);
        } else {
            T_EQ(ckv_doc_kind(doc, at), CKV_KIND_LIST);
            T_EQ(ckv_list_get(doc, at, step.index, &v), CKV_OK);
        }
        uint32_t holder = c; /* what stands at this depth above the container */
        while (ckv_doc_depth(doc, holder) > ckv_doc_depth(doc, at) + 1)
            holder = ckv_tree_at(&doc->tree, holder)->holder;
        if (ckv_tag_is_scalar(v.tag) || v.container != holder) {
            ckv_buf conflicts = ckv_buf_init(ckv_alloc_libc);
            bool found = false;
            T_EQ(s_commit(doc), CKV_OK);
            if (step.key)
                T_EQ(ckv_map_conflicts(doc, NULL, at, step.key, step.key_bytes, &conflicts),
                     CKV_OK);
            else
                T_EQ(ckv_list_conflicts(doc, NULL, at, step.index, &conflicts), CKV_OK);
            T_CHECK(conflicts.len >= 2 * sizeof(ckv_conflict));
            for (size_t k = 0; k < conflicts.len; k += sizeof(ckv_conflict)) {
                ckv_conflict one;
                memcpy(&one, conflicts.ptr + k, sizeof one);
                found |= !ckv_tag_is_scalar(one.value.tag) && one.value.container == holder;
            }
            T_CHECK(found);
            ckv_buf_fini(&conflicts);
            break;
        }
        at = v.container;
        if (i + sizeof step == path.len) T_EQ(at, c);
    }
    ckv_buf_fini(&path);
}

/* Undo in one container leaves what is beside it alone. */
static void undo_in_scope(ckv_doc *doc)
{
    ckv_buf before = ckv_buf_init(ckv_alloc_libc), after = ckv_buf_init(ckv_alloc_libc);
    bool did;
    T_EQ(s_commit(doc), CKV_OK);
    const uint32_t all = ckv_doc_n_changes(doc), scope = s_any(doc), other = s_any(doc);
    for (uint32_t c = scope;;
         c = ckv_tree_at(&doc->tree, c)->holder) { /* neither around the other */
        if (c == other) return;
        if (c == CKV_ROOT) break;
    }
    for (uint32_t c = other;; c = ckv_tree_at(&doc->tree, c)->holder) {
        if (c == scope) return;
        if (c == CKV_ROOT) break;
    }
    T_EQ(ckv_plain_write(doc, NULL, other, &before), CKV_OK);
    uint32_t changes[8], n = 0;
    for (uint32_t c = 0; c < all && n < 8; c++) {
        if (t_one_in(4)) changes[n++] = c;
    }
    T_EQ(ckv_doc_undo(doc, changes, n, &scope, 1, &did), CKV_OK);
    T_EQ(did, ckv_doc_is_open(doc));
    T_EQ(ckv_plain_write(doc, NULL, other, &after), CKV_OK);
    T_BYTES(before.ptr, before.len, after.ptr, after.len);
    ckv_buf_fini(&before);
    ckv_buf_fini(&after);
}

/* A new replica reads everything, and passes on the same bytes. */
static void same_bundles_again(ckv_doc *doc)
{
    ckv_doc *b, *c;
    ckv_buf first = ckv_buf_init(ckv_alloc_libc), second = ckv_buf_init(ckv_alloc_libc);
    T_EQ(s_new(&b, ckv_alloc_libc, 90), CKV_OK);
    T_EQ(s_new(&c, ckv_alloc_libc, 91), CKV_OK);
    T_EQ(s_send(doc, b, ckv_alloc_libc), CKV_OK);
    s_check(b);
    same_document(doc, b);
    T_EQ(ckv_doc_export(b, NULL, 0, NULL, 0, &first), CKV_OK);
    T_EQ(s_send(b, c, ckv_alloc_libc), CKV_OK);
    T_EQ(ckv_doc_export(c, NULL, 0, NULL, 0, &second), CKV_OK);
    T_BYTES(first.ptr, first.len, second.ptr, second.len);
    ckv_buf_fini(&first);
    ckv_buf_fini(&second);
    ckv_doc_free(b);
    ckv_doc_free(c);
}

/* The liar goes on in the lane of the first replica, from where it knows it. */
static void lie(ckv_doc *liar, const ckv_doc *honest)
{
    if (honest->own_lane == CKV_NONE) return;
    const ckv_id32 lane = ckv_lanes_lane(&honest->graph.lanes, honest->own_lane)->id;
    T_EQ(s_commit(liar), CKV_OK);
    const uint32_t l = ckv_lanes_find(&liar->graph.lanes, &lane);
    if (l == CKV_NONE) return;
    const bool forked = ckv_lanes_lane(&liar->graph.lanes, l)->n_branches > 1;
    T_EQ(ckv_doc_go_on_with_lane(liar, &lane), forked ? CKV_ENOENT : CKV_OK);
}

/* CKV_DUMP=directory: keeps what they wrote, as seeds for fuzz_bundle, which takes bare payloads. */
static void dump(ckv_doc *doc, uint64_t seed)
{
    const char *dir = getenv("CKV_DUMP");
    char path[512];
    if (!dir) return;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_export(doc, NULL, 0, NULL, 0, &bundle), CKV_OK);
    snprintf(path, sizeof path, "%s/replicas_%" PRIu64, dir, seed);
    ckv_bundle open;
    ckv_err err;
    T_EQ(ckv_bundle_open(&open, ckv_alloc_libc, bundle.ptr, bundle.len, &err), CKV_OK);
    const ckv_buf *seed_bytes = open.payload.len ? &open.payload : &bundle;
    FILE *file = fopen(path, "wb");
    T_CHECK(file && fwrite(seed_bytes->ptr, 1, seed_bytes->len, file) == seed_bytes->len);
    fclose(file);
    ckv_bundle_fini(&open);
    ckv_buf_fini(&bundle);
}

static void let_them_write(uint64_t seed, unsigned steps, bool with_liar)
{
    t_seed(seed);
    s_nonces = 0;
    enum { N = 4 };
    const size_t n_docs = with_liar ? N : 3;
    ckv_doc *docs[N];
    mirror mirrors[N] = {0};
    bookmarks marks = {.n = 0};
    ckv_buf there[2] = {ckv_buf_init(ckv_alloc_libc), ckv_buf_init(ckv_alloc_libc)};
    for (size_t i = 0; i < n_docs; i++) {
        T_EQ(s_new(&docs[i], ckv_alloc_libc, i == 3 ? 1 : (uint8_t)(i + 1)), CKV_OK);
        ckv_doc_watch(docs[i], true);
        mirrors[i].root = s_load(&mirrors[i].a, docs[i], NULL);
    }
    for (unsigned step = 0; step < steps; step++) {
        const size_t i = t_below(n_docs);
        ckv_doc *doc = docs[i];
        switch (t_below(28)) {
        case 0: block_that_goes_back(doc, 0); break;
        case 1: undo_some(doc); break;
        case 2: undo_and_redo(doc); break;
        case 3: diff_random_versions(doc); break;
        case 4:
        case 5: T_EQ(s_commit(doc), CKV_OK); break;
        case 6:
        case 7: {
            ckv_doc *other = docs[t_below(n_docs)];
            if (other == doc) break;
            T_EQ(s_commit(doc), CKV_OK);
            T_EQ(s_commit(other), CKV_OK);
            T_EQ(s_send(doc, other, ckv_alloc_libc), CKV_OK);
            s_check(other);
            break;
        }
        case 8: follow_events(&mirrors[i], doc); break;
        case 9:
            if (with_liar && t_one_in(3)) lie(docs[3], docs[0]);
            break;
        case 10: put_a_bookmark(doc, &marks); break;
        case 11: follow_a_path(doc); break;
        case 12: undo_in_scope(doc); break;
        default: T_EQ(s_edit(doc), CKV_OK);
        }
        s_check(doc);
    }
    for (size_t i = 0; i < n_docs; i++) T_EQ(s_commit(docs[i]), CKV_OK);
    for (size_t i = 0; i < 2 * n_docs; i++)
        T_EQ(s_send(docs[i % n_docs], docs[(i + 1) % n_docs], ckv_alloc_libc), CKV_OK);
    for (size_t i = 0; i < n_docs; i++) {
        s_check(docs[i]);
        follow_events(&mirrors[i], docs[i]);
        same_document(docs[0], docs[i]);
        diff_random_versions(docs[i]);
        ckv_buf_clear(&there[i != 0]);
        read_bookmarks(docs[i], &marks, &there[i != 0]);
        T_BYTES(there[0].ptr, there[0].len, there[i != 0].ptr, there[i != 0].len);
    }
    for (size_t i = 0; i < marks.n; i++) ckv_buf_fini(&marks.v[i]);
    ckv_buf_fini(&there[0]);
    ckv_buf_fini(&there[1]);
    same_bundles_again(docs[0]);
    dump(docs[0], seed);
    for (size_t i = 0; i < n_docs; i++) {
        s_arena_free(&mirrors[i].a);
        ckv_doc_free(docs[i]);
    }
}

static unsigned times(unsigned n)
{
    const char *word = getenv("CKV_TIMES");
    return word ? (unsigned)strtoul(word, NULL, 0) : n;
}

static unsigned steps(void)
{
    const char *word = getenv("CKV_STEPS");
    return word ? (unsigned)strtoul(word, NULL, 0) : 200;
}

static void honest_replicas_agree(void)
{
    for (unsigned seed = 1; seed <= times(20); seed++) let_them_write(seed, steps(), false);
}

static void a_liar_does_not_divide_them(void)
{
    for (unsigned seed = 1; seed <= times(10); seed++) let_them_write(1000 + seed, steps(), true);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(honest_replicas_agree);
    T_RUN(a_liar_does_not_divide_them);
    return t_done();
}
