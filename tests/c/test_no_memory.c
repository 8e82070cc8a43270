/* Everything that a document can do, with allocations that fail: what failed left no trace, and what is tried again succeeds; the end is the same
 * document as if nothing had failed.
 */
#include "story.h"

static t_faulty *faulty;

static int64_t pause_faults(uint64_t *n_requests)
{
    const int64_t left = faulty->until_fail;
    *n_requests = faulty->n_requests;
    faulty->until_fail = -1;
    return left;
}

static void resume_faults(int64_t left, uint64_t n_requests)
{
    faulty->until_fail = left;
    faulty->n_requests = n_requests;
}

/* What can be seen, taken without failing. Reading flushes, so that what is pending is not looked at. */
typedef struct picture {
    bool taken, is_open;
    ckv_buf plain;
    ckv_id32 root;
    uint32_t n_changes;
} picture;

static picture look(ckv_doc *doc)
{
    uint64_t n;
    const int64_t left = pause_faults(&n);
    picture p = {.taken = !doc->pending.kind,
                 .is_open = ckv_doc_is_open(doc),
                 .plain = ckv_buf_init(ckv_alloc_libc),
                 .n_changes = ckv_doc_n_changes(doc)};
    if (p.taken) T_EQ(ckv_plain_write(doc, NULL, CKV_ROOT, &p.plain), CKV_OK);
    T_EQ(ckv_doc_root(doc, &p.root), CKV_OK);
    s_check(doc);
    resume_faults(left, n);
    return p;
}

static void forget(picture *p) { ckv_buf_fini(&p->plain); }

static void same_picture(ckv_doc *doc, picture *before)
{
    picture now = look(doc);
    T_EQ(now.n_changes, before->n_changes);
    T_EQ(now.is_open, before->is_open);
    T_BYTES(&now.root, 32, &before->root, 32);
    if (before->taken && now.taken)
        T_BYTES(now.plain.ptr, now.plain.len, before->plain.ptr, before->plain.len);
    forget(&now);
}

/* ---- steps */

static ckv_status edit_step(ckv_doc *doc, ckv_doc *other)
{
    (void)other;
    return s_edit(doc);
}

static ckv_status commit_step(ckv_doc *doc, ckv_doc *other)
{
    (void)other;
    return s_commit(doc);
}

static ckv_status send_step(ckv_doc *doc, ckv_doc *other)
{
    return doc == other ? CKV_OK : s_send(doc, other, doc->env.alloc);
}

static ckv_status undo_step(ckv_doc *doc, ckv_doc *other)
{
    bool did;
    (void)other;
    const uint32_t n = ckv_doc_n_changes(doc);
    if (n == 0) return CKV_OK;
    const uint32_t change = (uint32_t)t_below(n);
    return ckv_doc_undo(doc, &change, 1, NULL, 0, &did);
}

static ckv_status read_step(ckv_doc *doc, ckv_doc *other)
{
    const ckv_alloc a = doc->env.alloc;
    ckv_buf out = ckv_buf_init(a);
    ckv_view *at = NULL, *to = NULL;
    (void)other;
    const uint32_t n = ckv_doc_n_changes(doc);
    ckv_status s = ckv_view_first(&at, doc, (uint32_t)t_below(n + 1));
    if (s == CKV_OK && t_one_in(2)) s = ckv_view_first(&to, doc, (uint32_t)t_below(n + 1));
    if (s == CKV_OK) s = ckv_doc_diff(doc, at, to, &out);
    ckv_buf_clear(&out);
    if (s == CKV_OK) s = ckv_plain_write(doc, at, CKV_ROOT, &out);
    const uint32_t c = s_any(doc);
    ckv_buf_clear(&out);
    if (s == CKV_OK) {
        switch (ckv_doc_kind(doc, c)) {
        case CKV_KIND_MAP:
            s = ckv_map_entries(doc, at, c, &out);
            if (s == CKV_OK) s = ckv_map_conflicts(doc, at, c, "a", 1, &out);
            if (s == CKV_OK) s = ckv_map_history(doc, at, c, "a", 1, &out);
            break;
        case CKV_KIND_LIST:
            s = ckv_list_values(doc, at, c, 0, SIZE_MAX, &out);
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
            s = ckv_text_spans(doc, at, c, &out);
            if (s == CKV_OK) s = ckv_text_blame(doc, at, c, &out);
            break;
        }
    }
    ckv_view_free(at);
    ckv_view_free(to);
    ckv_buf_fini(&out);
    return s;
}

/* A block that goes back, whatever came of its edits. */
static ckv_status block_step(ckv_doc *doc, ckv_doc *other)
{
    ckv_savepoint savepoint;
    (void)other;
    CKV_TRY(ckv_doc_savepoint(doc, &savepoint));
    ckv_status s = CKV_OK;
    for (uint64_t n = 1 + t_below(5); n && s == CKV_OK; n--) s = s_edit(doc);
    ckv_doc_rollback(doc, savepoint);
    return s;
}

typedef ckv_status step_fn(ckv_doc *doc, ckv_doc *other);

/* Does it; if that fails, nothing happened, and it can be done again. */
static void do_step(step_fn *step, ckv_doc *doc, ckv_doc *other)
{
    picture a = look(doc), b = look(other);
    const uint64_t random = t_state;
    const size_t events = doc->events.len, others_events = other->events.len;
    ckv_status s = step(doc, other);
    if (s != CKV_OK) {
        T_EQ(s, CKV_ENOMEM);
        T_EQ(faulty->until_fail, -1);
        same_picture(doc, &a);
        same_picture(other, &b);
        T_EQ(doc->events.len, events);
        T_EQ(other->events.len, others_events);
        t_state = random;
        T_EQ(step(doc, other), CKV_OK);
    }
    s_check(doc);
    s_check(other);
    forget(&a);
    forget(&b);
}

enum { N = 3 };

/* The roots and plain at the end, and all events on the way. */
static void tell(ckv_alloc a, uint64_t seed, unsigned steps, ckv_buf *end)
{
    ckv_doc *docs[N];
    t_seed(seed);
    s_one_lane_each = true;
    for (size_t i = 0; i < N; i++) {
        ckv_status s = s_new(&docs[i], a, (uint8_t)(i + 1));
        if (s != CKV_OK) s = s_new(&docs[i], a, (uint8_t)(i + 1));
        T_EQ(s, CKV_OK);
        ckv_doc_watch(docs[i], i != 2);
    }
    for (unsigned i = 0; i < steps; i++) {
        const size_t x = t_below(N), y = t_below(N);
        ckv_doc *doc = docs[x], *other = docs[y];
        switch (t_below(16)) {
        case 0: do_step(commit_step, doc, doc); break;
        case 1:
        case 2:
            do_step(commit_step, doc, doc);
            do_step(commit_step, other, other);
            do_step(send_step, doc, other);
            break;
        case 3:
            do_step(commit_step, doc, doc);
            do_step(undo_step, doc, doc);
            break;
        case 4:
            do_step(commit_step, doc, doc);
            do_step(read_step, doc, doc);
            break;
        case 5: do_step(block_step, doc, doc); break;
        default: do_step(edit_step, doc, doc);
        }
    }
    for (size_t i = 0; i < N; i++) {
        picture p;
        ckv_buf events, patches;
        do_step(commit_step, docs[i], docs[i]);
        p = look(docs[i]);
        ckv_buf_bytes(end, &p.root, 32);
        ckv_buf_bytes(end, p.plain.ptr, p.plain.len);
        ckv_doc_take_events(docs[i], &events, &patches);
        for (size_t k = 0; k < events.len;
             k += sizeof(ckv_event)) { /* without what lies between members */
            ckv_event e;
            memcpy(&e, events.ptr + k, sizeof e);
            ckv_buf_varint(end, e.first);
            ckv_buf_varint(end, e.end);
            ckv_buf_u8(end, e.is_local);
            ckv_buf_varint(end, e.n_bytes);
        }
        ckv_buf_bytes(end, patches.ptr, patches.len);
        ckv_buf_fini(&events);
        ckv_buf_fini(&patches);
        forget(&p);
        ckv_doc_free(docs[i]);
    }
}

static void with_seed(uint64_t seed, unsigned steps, uint64_t stride)
{
    t_faulty f = {.until_fail = -1};
    faulty = &f;
    ckv_buf good = ckv_buf_init(ckv_alloc_libc), end = ckv_buf_init(ckv_alloc_libc);
    tell((ckv_alloc){t_faulty_fn, &f}, seed, steps, &good);
    T_EQ(f.live_bytes, 0);
    const uint64_t n_requests = f.n_requests;
    const char *only = getenv("CKV_FAIL");
    if (getenv("CKV_TELL")) fprintf(stderr, "%" PRIu64 " requests\n", n_requests);
    for (uint64_t n = only ? strtoull(only, NULL, 0) : seed % stride; n < n_requests; n += stride) {
        f = (t_faulty){.until_fail = (int64_t)n};
        ckv_buf_clear(&end);
        tell((ckv_alloc){t_faulty_fn, &f}, seed, steps, &end);
        if (f.live_bytes || end.len != good.len || memcmp(end.ptr, good.ptr, good.len) != 0)
            fprintf(stderr, "replay with CKV_FAIL=%" PRIu64 "\n", n);
        T_EQ(f.live_bytes, 0);
        T_BYTES(end.ptr, end.len, good.ptr, good.len);
        if (only) break;
    }
    ckv_buf_fini(&good);
    ckv_buf_fini(&end);
}

static unsigned number(const char *name, unsigned n)
{
    const char *word = getenv(name);
    return word ? (unsigned)strtoul(word, NULL, 0) : n;
}

static void what_failed_left_no_trace(void)
{
    for (unsigned seed = 1; seed <= number("CKV_TIMES", 12); seed++)
        with_seed(seed, number("CKV_STEPS", 80), number("CKV_STRIDE", 23));
}

/* Siblings that an apply brought and that went with it stand in no crowd any more. */
static ckv_status write_at_start(ckv_doc *doc, const uint8_t *chars)
{
    ckv_value v;
    CKV_TRY(ckv_map_get(doc, CKV_ROOT, "t", 1, &v));
    CKV_TRY(ckv_text_insert(doc, v.container, 1, chars, 1, 2));
    return s_commit(doc);
}

static ckv_doc *crowd_base(uint8_t who)
{
    ckv_doc *doc;
    T_EQ(s_new(&doc, ckv_alloc_libc, who), CKV_OK);
    return doc;
}

static void an_apply_that_failed_left_no_crowd(void)
{
    const ckv_value text = {.tag = CKV_TAG_TEXT};
    t_faulty f = {.until_fail = -1};
    uint32_t made;
    ckv_doc *first = crowd_base(1), *all = crowd_base(2);
    T_EQ(ckv_map_set(first, CKV_ROOT, "t", 1, &text, &made), CKV_OK);
    T_EQ(ckv_text_insert(first, made, 0, (const uint8_t *)"ab", 1, 2), CKV_OK);
    T_EQ(s_commit(first), CKV_OK);
    T_EQ(s_send(first, all, ckv_alloc_libc), CKV_OK);
    for (uint8_t who = 3; who < 11; who++) {
        ckv_doc *one = crowd_base(who);
        T_EQ(s_send(first, one, ckv_alloc_libc), CKV_OK);
        T_EQ(write_at_start(one, (const uint8_t *)"xy"), CKV_OK);
        T_EQ(s_send(one, all, ckv_alloc_libc), CKV_OK);
        ckv_doc_free(one);
    }
    for (int64_t n = 0;; n++) {
        ckv_doc *doc;
        f = (t_faulty){.until_fail = -1};
        T_EQ(s_new(&doc, (ckv_alloc){t_faulty_fn, &f}, 20), CKV_OK);
        T_EQ(s_send(first, doc, ckv_alloc_libc), CKV_OK);
        f.until_fail = (int64_t)f.n_requests + n;
        const ckv_status s = s_send(all, doc, ckv_alloc_libc);
        f.until_fail = -1;
        T_EQ(write_at_start(doc, (const uint8_t *)"pq"),
             CKV_OK); /* items of other numbers than before */
        T_EQ(s_send(all, doc, ckv_alloc_libc), CKV_OK);
        s_check(doc);
        ckv_doc *other = crowd_base(21);
        T_EQ(s_send(doc, other, ckv_alloc_libc), CKV_OK);
        ckv_buf here = ckv_buf_init(ckv_alloc_libc), there = ckv_buf_init(ckv_alloc_libc);
        T_EQ(ckv_plain_write(doc, NULL, CKV_ROOT, &here), CKV_OK);
        T_EQ(ckv_plain_write(other, NULL, CKV_ROOT, &there), CKV_OK);
        T_BYTES(here.ptr, here.len, there.ptr, there.len);
        ckv_buf_fini(&here);
        ckv_buf_fini(&there);
        ckv_doc_free(other);
        ckv_doc_free(doc);
        if (s == CKV_OK) break;
    }
    ckv_doc_free(first);
    ckv_doc_free(all);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(an_apply_that_failed_left_no_crowd);
    T_RUN(what_failed_left_no_trace);
    return t_done();
}
