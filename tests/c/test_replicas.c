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
    ckv_savepoint savepoint;
    T_EQ(ckv_doc_savepoint(doc, &savepoint), CKV_OK);
    plain(doc, NULL, &before);
    for (uint64_t n = 1 + t_below(12); n; n--) {
        T_EQ(s_edit(doc), CKV_OK);
        if (depth < 2 && t_one_in(5)) block_that_goes_back(doc, depth + 1);
    }
    ckv_doc_rollback(doc, savepoint);
    s_check(doc);
    same_plain(doc, &before);
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
    ckv_buf before = ckv_buf_init(ckv_alloc_libc), after = ckv_buf_init(ckv_alloc_libc);
    uint32_t change, undone;
    bool did;
    T_EQ(s_commit(doc), CKV_OK);
    plain(doc, NULL, &before);
    for (uint64_t n = 1 + t_below(6); n; n--) T_EQ(s_edit(doc), CKV_OK);
    T_EQ(ckv_doc_commit(doc, 5, NULL, 0, &change), CKV_OK);
    if (change == CKV_NO_CHANGE) goto end;
    plain(doc, NULL, &after);
    T_EQ(ckv_doc_undo(doc, &change, 1, NULL, 0, &did), CKV_OK);
    s_check(doc);
    same_plain(doc, &before);
    T_EQ(ckv_doc_commit(doc, 6, NULL, 0, &undone), CKV_OK);
    s_check(doc);
    if (undone != CKV_NO_CHANGE) {
        T_CHECK(did);
        T_EQ(ckv_doc_undo(doc, &undone, 1, NULL, 0, &did), CKV_OK);
        s_check(doc);
        same_plain(doc, &after);
        T_EQ(s_commit(doc), CKV_OK);
    }
end:
    ckv_buf_fini(&before);
    ckv_buf_fini(&after);
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
    for (size_t i = 0; i < n_heads; i++) heads[i] = *ckv_ids_at(&doc->graph.ids, (uint32_t)t_below(n));
    T_EQ(ckv_view_new(&v, doc, heads, n_heads), CKV_OK);
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
    for (size_t i = 0; i < n_docs; i++) {
        T_EQ(s_new(&docs[i], ckv_alloc_libc, i == 3 ? 1 : (uint8_t)(i + 1)), CKV_OK);
        ckv_doc_watch(docs[i], true);
        mirrors[i].root = s_load(&mirrors[i].a, docs[i], NULL);
    }
    for (unsigned step = 0; step < steps; step++) {
        const size_t i = t_below(n_docs);
        ckv_doc *doc = docs[i];
        switch (t_below(24)) {
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
    }
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
