/* Whatever a liar writes into the body of a change, two replicas that know the same judge it alike, and one that is void left no trace. */
#include "story.h"

#include "doc/admit.h"
#include "doc/rebuild.h"

static void plain(ckv_doc *doc, ckv_buf *out)
{
    ckv_buf_clear(out);
    T_EQ(ckv_plain_write(doc, NULL, CKV_ROOT, out), CKV_OK);
}

/* Some bytes of the body are others; small numbers mostly, since those name things that are there. */
static void spoil(ckv_buf *body, const ckv_buf *other)
{
    for (uint64_t times = 1 + t_below(3); times && body->len; times--) {
        const size_t at = t_below(body->len);
        switch (t_below(6)) {
        case 0: body->ptr[at] = (uint8_t)t_below(8); break;
        case 1: body->ptr[at] = (uint8_t)(body->ptr[at] + 1 - t_below(3)); break;
        case 2: body->ptr[at] ^= (uint8_t)(1u << t_below(8)); break;
        case 3: body->len = at; break;
        case 4: { /* a piece of another one, appended: operations stand in a row */
            const size_t from = other->len ? t_below(other->len) : 0;
            ckv_buf_bytes(body, other->ptr + from, other->len - from);
            break;
        }
        default: { /* a byte less, or twice */
            const uint8_t twice = body->ptr[at];
            if (t_one_in(2)) {
                memmove(body->ptr + at, body->ptr + at + 1, body->len - at - 1);
                body->len--;
            } else {
                ckv_buf_u8(body, 0);
                memmove(body->ptr + at + 1, body->ptr + at, body->len - at - 1);
                body->ptr[at] = twice;
            }
        }
        }
    }
}

static void spoil_ref(ckv_ref *ref)
{
    switch (t_below(4)) {
    case 0: ref->code = (uint32_t)t_below(5); break;
    case 1: ref->value = (uint32_t)t_below(20); break;
    default: ref->value += (uint32_t)(t_one_in(2) ? 1 : -1); break;
    }
    if (ref->code == CKV_REF_NONE) ref->value = 0;
    if (ref->code == CKV_REF_OWN && ref->value == 0) ref->value = 1;
}

/* Operations that parse, and mean something else. False: it was not read to its end. */
static bool spoil_ops(ckv_buf *body, uint32_t n_parents)
{
    enum { MOST = 64 };
    ckv_body_op ops[MOST];
    size_t n = 0;
    ckv_body b;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_id32 lanes[8], changes[8];
    if (ckv_body_open(&b, body->ptr, body->len, n_parents) != CKV_OK) return false;
    if (b.n_lanes > 8 || b.n_changes > 8) return false;
    if (b.n_lanes) memcpy(lanes, b.lanes, 32 * (size_t)b.n_lanes);
    if (b.n_changes) memcpy(changes, b.changes, 32 * (size_t)b.n_changes);
    const ckv_body_head head = {.time = b.time,
                                .lanes = lanes,
                                .changes = changes,
                                .n_lanes = b.n_lanes,
                                .n_changes = b.n_changes};
    while (n < MOST - 4 && ckv_body_next(&b, &ops[n])) n++;
    if (n == 0 || b.status != CKV_OK) return false;
    for (uint64_t times = 1 + t_below(2); times; times--) {
        const size_t i = t_below(n), k = t_below(n);
        switch (t_below(9)) {
        case 0: { /* another order */
            const ckv_body_op swap = ops[i];
            ops[i] = ops[k];
            ops[k] = swap;
            break;
        }
        case 1: /* twice */
            if (n < MOST) ops[n++] = ops[i];
            break;
        case 2:
        case 3: spoil_ref(&ops[i].left); break;
        case 4: spoil_ref(&ops[i].right); break;
        case 5: spoil_ref(&ops[i].holder); break;
        case 6:
            if (ops[i].kind == CKV_OP_DELETE || ops[i].kind == CKV_OP_RESTORE)
                ops[i].n += (uint32_t)(t_one_in(2) || ops[i].n == 1 ? 1 : -1);
            else
                ops[i].amount ^= 1;
            break;
        case 7: /* of a kind that is built alike */
            if (ops[i].kind == CKV_OP_RESTORE)
                ops[i].kind = CKV_OP_DELETE;
            else if (ops[i].kind == CKV_OP_DELETE && b.n_changes)
                ops[i].kind = CKV_OP_RESTORE, ops[i].change = (uint32_t)t_below(b.n_changes);
            else if (ops[i].kind == CKV_OP_ADD || ops[i].kind == CKV_OP_DISCARD)
                ops[i].kind = ops[i].kind == CKV_OP_ADD ? CKV_OP_DISCARD : CKV_OP_ADD;
            break;
        default:
            if (n > 1) ops[i] = ops[--n];
            break;
        }
    }
    ckv_body_begin(&out, &head);
    for (size_t i = 0; i < n; i++) ckv_body_put(&out, &ops[i]);
    ckv_buf_fini(body);
    *body = out;
    return true;
}

static uint32_t count_ops(const ckv_buf *body, uint32_t n_parents)
{
    ckv_body b;
    ckv_body_op op;
    if (ckv_body_open(&b, body->ptr, body->len, n_parents) != CKV_OK) return 1;
    while (ckv_body_next(&b, &op)) {
    }
    return b.n_ops;
}

static ckv_judgement admit(ckv_doc *doc, const ckv_change_info *like, const ckv_header *header,
                           const ckv_buf *body, const ckv_id32 *id)
{
    ckv_judgement out;
    uint8_t nonce[16];
    const uint32_t lane = ckv_lanes_find(&doc->graph.lanes, like->lane);
    memcpy(nonce, ckv_lanes_lane(&doc->graph.lanes, lane)->nonce, 16);
    const ckv_id32 lane_id = *like->lane, author = *like->author;
    const ckv_candidate c = {.id = id,
                             .lane = &lane_id,
                             .author = &author,
                             .nonce = nonce,
                             .header = *header,
                             .body = body->ptr ? body->ptr : (const uint8_t *)"",
                             .lane_no = CKV_NONE,
                             .prev = CKV_NONE};
    if (doc->journal.on++ == 0) doc->journal.log.len = 0;
    T_EQ(ckv_admit(doc, &c, &out), CKV_OK);
    doc->journal.on--;
    s_check(doc);
    return out;
}

static const char *reasons[256];
static unsigned n_of_reason[256];

static void count_reason(const char *why)
{
    size_t i = 0;
    while (reasons[i] && strcmp(reasons[i], why) != 0) i++;
    T_CHECK(i < 255);
    reasons[i] = why;
    n_of_reason[i]++;
}

/* One spoiled change, to both. */
static void lie(ckv_doc *a, ckv_doc *b)
{
    uint8_t bytes[CKV_HEADER_MAX_BYTES];
    size_t n_bytes;
    const uint32_t c = (uint32_t)t_below(ckv_doc_n_changes(a)),
                   d = (uint32_t)t_below(ckv_doc_n_changes(a));
    ckv_buf body = ckv_buf_init(ckv_alloc_libc), other = ckv_buf_init(ckv_alloc_libc),
            before = ckv_buf_init(ckv_alloc_libc), after = ckv_buf_init(ckv_alloc_libc),
            of_b = ckv_buf_init(ckv_alloc_libc);
    ckv_change_info info;
    ckv_id32 parents[CKV_MAX_PARENTS], id, hash, lane;
    T_EQ(ckv_rebuild_change(a, d, bytes, &n_bytes, &other), CKV_OK);
    T_EQ(ckv_rebuild_change(a, c, bytes, &n_bytes, &body), CKV_OK);
    ckv_doc_change(a, c, &info);
    lane = *info.lane;
    if (t_one_in(4) || !spoil_ops(&body, info.n_parents)) spoil(&body, &other);
    for (uint32_t i = 0; i < info.n_parents; i++)
        parents[i] = *ckv_ids_at(&a->graph.ids, info.parents[i]);
    ckv_header h = {.seq = info.seq,
                    .n_ops = count_ops(&body, info.n_parents),
                    .body_len = (uint32_t)body.len,
                    .has_prev = info.prev != NULL,
                    .n_parents = info.n_parents,
                    .parents = parents,
                    .body = body.ptr};
    if (info.prev) h.prev = *info.prev;
    if (body.len > CKV_INLINE_BODY_BYTES) {
        hash = ckv_body_hash(body.ptr, body.len);
        h.body_hash = &hash;
    }
    ckv_digest_change(&id, &lane, bytes, ckv_header_write(bytes, &h));
    uint32_t known;
    if (ckv_doc_find(a, &id, &known) == CKV_OK) goto end;
    plain(a, &before);
    const ckv_judgement x = admit(a, &info, &h, &body, &id);
    ckv_doc_change(b, 0, &info); /* lanes have other numbers there */
    uint32_t same;
    const ckv_id32 like = *ckv_ids_at(&a->graph.ids, c);
    T_EQ(ckv_doc_find(b, &like, &same), CKV_OK);
    ckv_doc_change(b, same, &info);
    const ckv_judgement y = admit(b, &info, &h, &body, &id);
    T_EQ(x.verdict, y.verdict);
    if (x.verdict == CKV_VOIDED) T_CHECK(strcmp(x.reason, y.reason) == 0);
    count_reason(x.verdict == CKV_APPLIED ? "applied"
                 : x.verdict == CKV_LATER ? "later"
                                          : x.reason);
    plain(a, &after);
    plain(b, &of_b);
    T_BYTES(after.ptr, after.len, of_b.ptr, of_b.len);
    if (x.verdict != CKV_APPLIED) T_BYTES(before.ptr, before.len, after.ptr, after.len);
    if (x.verdict == CKV_APPLIED) { /* and it can be written down again */
        ckv_buf again = ckv_buf_init(ckv_alloc_libc);
        T_EQ(ckv_rebuild_change(a, x.change, bytes, &n_bytes, &again), CKV_OK);
        T_BYTES(again.ptr, again.len, body.ptr, body.len);
        T_EQ(ckv_rebuild_change(b, y.change, bytes, &n_bytes, &again), CKV_OK);
        T_BYTES(again.ptr, again.len, body.ptr, body.len);
        ckv_buf_fini(&again);
    }
    ckv_id32 ra, rb;
    T_EQ(ckv_doc_root(a, &ra), CKV_OK);
    T_EQ(ckv_doc_root(b, &rb), CKV_OK);
    T_BYTES(&ra, 32, &rb, 32);
end:
    ckv_buf_fini(&body);
    ckv_buf_fini(&other);
    ckv_buf_fini(&before);
    ckv_buf_fini(&after);
    ckv_buf_fini(&of_b);
}

static void undo_one(ckv_doc *doc)
{
    bool did;
    T_EQ(s_commit(doc), CKV_OK);
    const uint32_t n = ckv_doc_n_changes(doc), change = (uint32_t)t_below(n ? n : 1);
    if (n) T_EQ(ckv_doc_undo(doc, &change, 1, NULL, 0, &did), CKV_OK);
}

static void diffs_still_hold(ckv_doc *doc)
{
    s_arena a = {0};
    ckv_buf patches = ckv_buf_init(ckv_alloc_libc);
    ckv_view *from = NULL, *to = NULL;
    const uint32_t n = ckv_doc_n_changes(doc);
    T_EQ(ckv_view_first(&from, doc, (uint32_t)t_below(n + 1)), CKV_OK);
    if (t_one_in(2)) T_EQ(ckv_view_first(&to, doc, (uint32_t)t_below(n + 1)), CKV_OK);
    s_node *x = s_load(&a, doc, from);
    T_EQ(ckv_doc_diff(doc, from, to, &patches), CKV_OK);
    s_follow(&a, x, patches.ptr, patches.len);
    S_SAME(x, s_load(&a, doc, to));
    ckv_view_free(from);
    ckv_view_free(to);
    ckv_buf_fini(&patches);
    s_arena_free(&a);
}

static unsigned number(const char *name, unsigned n)
{
    const char *word = getenv(name);
    return word ? (unsigned)strtoul(word, NULL, 0) : n;
}

static void lies_are_judged_alike(void)
{
    for (unsigned seed = 1; seed <= number("CKV_TIMES", 15); seed++) {
        ckv_doc *docs[3], *b;
        t_seed(seed);
        s_nonces = 0;
        for (size_t i = 0; i < 3; i++)
            T_EQ(s_new(&docs[i], ckv_alloc_libc, (uint8_t)(i + 1)), CKV_OK);
        for (unsigned step = 0; step < 120; step++) {
            ckv_doc *doc = docs[t_below(3)];
            switch (t_below(10)) {
            case 0: undo_one(doc); break;
            case 1: T_EQ(s_commit(doc), CKV_OK); break;
            case 2: {
                ckv_doc *other = docs[t_below(3)];
                if (other != doc) s_both_ways(doc, other);
                break;
            }
            default: T_EQ(s_edit(doc), CKV_OK);
            }
        }
        s_both_ways(docs[0], docs[1]);
        s_both_ways(docs[2], docs[0]);
        T_EQ(s_commit(docs[0]), CKV_OK);
        T_EQ(s_new(&b, ckv_alloc_libc, 77), CKV_OK);
        T_EQ(s_send(docs[2], b, ckv_alloc_libc), CKV_OK);
        T_EQ(s_send(docs[0], b, ckv_alloc_libc), CKV_OK);
        for (unsigned n = number("CKV_LIES", 300); n; n--) {
            lie(docs[0], b);
            if (t_one_in(20)) diffs_still_hold(docs[0]);
        }
        for (size_t i = 0; i < 3; i++) ckv_doc_free(docs[i]);
        ckv_doc_free(b);
    }
    for (size_t i = 0; getenv("CKV_TELL") && reasons[i]; i++)
        fprintf(stderr, "%6u %s\n", n_of_reason[i], reasons[i]);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(lies_are_judged_alike);
    return t_done();
}
