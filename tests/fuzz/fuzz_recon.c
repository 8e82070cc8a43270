/* The comparison of two documents. The input is a byte that chooses them and who opens, and a script: the peer is honest for a while, or a liar
 * who writes ranges out of our own tips, or any bytes. Documents and key are the same each time, so that inputs keep their meaning.
 *
 * A liar may lead us to send too much or too little. He does not get us out of bounds, into memory out of proportion, or into an answer
 * without end. An honest peer is found to have what he has: every tip exactly, nothing that he lacks.
 */
#include "kit.h"
#include "sync/recon.h"

enum { SKIP, PRINT, TIPS, HAVE, KNOWN, PAST, FOUND, N_KINDS }; /* as in sync/recon.c */
enum { PAIRS = 4, MOST_BYTES = 1 << 22 };

static const uint8_t key[16] = {7};
static t_faulty memory;

typedef struct pair {
    ckv_doc *ours, *theirs;
} pair;

static void write_some(ckv_doc *doc, uint32_t n)
{
    for (; n; n--) {
        uint32_t made;
        const ckv_value v = {.tag = CKV_TAG_INT, .i64 = n};
        CKV_MUST(ckv_map_set(doc, CKV_ROOT, "k", 1, &v, &made) == CKV_OK);
        CKV_MUST(s_commit(doc) == CKV_OK);
    }
}

/* Lanes of `each` changes; then both ends go on with the first n_forks of them, and open some of their own. */
static pair make_pair(uint32_t n_lanes, uint32_t each, uint32_t n_forks, uint32_t n_own)
{
    const ckv_alloc a = {t_faulty_fn, &memory};
    pair p;
    ckv_id32 lanes[4];
    CKV_MUST(s_new(&p.ours, a, 1) == CKV_OK && s_new(&p.theirs, a, 1) == CKV_OK);
    for (uint32_t i = 0; i < n_lanes; i++) {
        write_some(p.ours, each);
        ckv_change_info info;
        ckv_doc_change(p.ours, ckv_doc_n_changes(p.ours) - 1, &info);
        if (i < 4) lanes[i] = *info.lane;
        ckv_doc_leave_lane(p.ours);
    }
    CKV_MUST(s_send(p.ours, p.theirs, ckv_alloc_libc) == CKV_OK);
    for (uint32_t i = 0; i < n_forks; i++) {
        CKV_MUST(ckv_doc_go_on_with_lane(p.ours, &lanes[i]) == CKV_OK);
        CKV_MUST(ckv_doc_go_on_with_lane(p.theirs, &lanes[i]) == CKV_OK);
        write_some(p.ours, 3 + i);
        write_some(p.theirs, 9 - i);
    }
    for (uint32_t i = 0; i < n_own; i++) {
        ckv_doc_leave_lane(p.ours);
        ckv_doc_leave_lane(p.theirs);
        write_some(p.ours, 1 + i % 2);
        write_some(p.theirs, 1 + i % 3);
    }
    return p;
}

static const pair *the_pair(uint32_t i)
{
    static pair pairs[PAIRS];
    if (!pairs[0].ours) {
        k_begin();
        memory = (t_faulty){.until_fail = -1};
        pairs[0] = make_pair(0, 0, 0, 1);
        pairs[1] = make_pair(2, 12, 2, 2);
        pairs[2] = make_pair(30, 2, 4, 6);
        pairs[3] = make_pair(290, 1, 3, 10); /* more than are listed at once */
        CKV_MUST(s_send(pairs[3].theirs, pairs[3].ours, ckv_alloc_libc) ==
                 CKV_OK); /* we have forks */
        write_some(pairs[3].theirs, 2);
    }
    return &pairs[i % PAIRS];
}

/* ---- a liar */

static const ckv_tip *some_tip(const ckv_recon *r, ckv_rd *script)
{
    const uint32_t i =
        ckv_rd_u8(script) | (r->tips.len > 256 ? (uint32_t)k_below(script, 2) << 8 : 0);
    return r->tips.len ? &r->tips.ptr[i % r->tips.len] : NULL;
}

static void put_bound(ckv_buf *out, const ckv_recon *r, ckv_rd *script)
{
    uint64_t bound = 0;
    const uint8_t how = ckv_rd_u8(script);
    const ckv_tip *tip = how & 3 ? some_tip(r, script) : NULL;
    if (tip) bound = tip->lane + (how & 3) - 1;
    if (how >> 2 == 1) bound = (uint64_t)ckv_rd_u8(script) << 56;
    uint8_t n = 0;
    while (n < 8 && bound << (8 * n)) n++;
    ckv_buf_u8(out, n);
    for (uint8_t i = 0; i < n; i++) ckv_buf_u8(out, (uint8_t)(bound >> (56 - 8 * i)));
}

static int tip_order(const void *x, const void *y)
{
    const ckv_foreign_tip *a = x, *b = y;
    if (a->lane != b->lane) return a->lane < b->lane ? -1 : 1;
    if (a->height != b->height) return a->height < b->height ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The change at some place of the chain that ends in a tip of ours, or none. */
static uint64_t some_hash(const ckv_recon *r, const ckv_tip *tip, uint32_t height, ckv_rd *script)
{
    uint32_t on;
    if (!tip || height == 0 || height > tip->height) return ckv_rd_u8(script);
    return ckv_siphash(r->key, ckv_doc_on_chain(r->doc, tip->branch, height - 1, &on), 32);
}

static void put_tips(ckv_buf *out, const ckv_recon *r, ckv_rd *script)
{
    ckv_foreign_tip tips[8];
    const uint8_t how = ckv_rd_u8(script);
    const uint32_t n = how & 7;
    for (uint32_t i = 0; i < n; i++) {
        const ckv_tip *tip = some_tip(r, script);
        const uint8_t change = ckv_rd_u8(script);
        tips[i] = (ckv_foreign_tip){.lane = tip ? tip->lane : 1, .height = tip ? tip->height : 1};
        if (change & 1) tips[i].height += (uint32_t)(change >> 4) - 4;
        if (change & 2) tips[i].lane += (uint64_t)(change >> 4) * 2 - 8;
        tips[i].id = change & 4 ? change : some_hash(r, tip, tips[i].height, script);
    }
    if (!(how & 8)) qsort(tips, n, sizeof *tips, tip_order);
    ckv_buf_varint(out, how >> 6 == 3 ? n + 1 : n);
    for (uint32_t i = 0; i < n; i++) {
        ckv_buf_u64le(out, tips[i].lane);
        ckv_buf_varint(out, tips[i].height);
        ckv_buf_u64le(out, tips[i].id);
    }
}

/* As many bits as were asked for. */
static void put_bits(ckv_buf *out, const ckv_recon *r, ckv_rd *script)
{
    if (r->asked == r->asks.len) return;
    const ckv_ask *q = &r->asks.ptr[r->asked];
    if (q->kind != CKV_ASK_HAVE && q->kind != CKV_ASK_KNOWN) return;
    for (uint32_t i = q->a; i < q->b; i += 8) ckv_buf_u8(out, ckv_rd_u8(script));
}

static void lie(ckv_buf *out, const ckv_recon *r, uint8_t kind, ckv_rd *script)
{
    ckv_buf x = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_u8(&x, kind);
    switch (kind) {
    case SKIP: put_bound(&x, r, script); break;
    case PRINT:
        put_bound(&x, r, script);
        ckv_buf_u64le(&x, ckv_rd_u8(script));
        ckv_buf_varint(&x, (uint64_t)ckv_rd_u8(script) << k_below(script, 57));
        break;
    case TIPS:
        put_bound(&x, r, script);
        put_tips(&x, r, script);
        break;
    case HAVE:
        put_bits(&x, r, script);
        put_tips(&x, r, script);
        break;
    case KNOWN: put_bits(&x, r, script); break;
    case PAST: {
        const ckv_tip *tip = some_tip(r, script);
        for (uint32_t n = k_below(script, 34); n; n--)
            ckv_buf_u64le(&x, some_hash(r, tip, ckv_rd_u8(script), script));
        break;
    }
    case FOUND: ckv_buf_varint(&x, ckv_rd_u8(script)); break;
    default: { /* anything */
        const size_t n = ckv_rd_u8(script), left = ckv_rd_left(script);
        x.len = 0;
        ckv_buf_bytes(&x, script->p, n < left ? n : left);
        if (n) (void)ckv_rd_bytes(script, n < left ? n : left);
    }
    }
    ckv_buf_blob(out, x.ptr, x.len);
    ckv_buf_fini(&x);
}

/* ---- */

static bool take(ckv_recon *r, ckv_buf *from)
{
    const char *why = NULL;
    const ckv_status s = ckv_recon_take(r, from->ptr, from->len, &why);
    from->len = 0;
    CKV_ASSERT(s == CKV_OK || ((s == CKV_ESYNC || s == CKV_ELIMIT) && why));
    if (s == CKV_OK) T_VALID(ckv_recon_check(r, &why), why);
    return s == CKV_OK;
}

static void check_honest(const ckv_recon *r, ckv_doc *theirs)
{
    uint32_t found;
    for (uint32_t c = 0; c < ckv_doc_n_changes(r->doc); c++) {
        ckv_change_info info;
        ckv_doc_change(r->doc, c, &info);
        if (ckv_peer_has(r->peer, r->doc, c))
            CKV_MUST(ckv_doc_find(theirs, info.id, &found) == CKV_OK);
    }
    for (uint32_t i = 0; i < r->tips.len; i++) {
        const ckv_tip_info tip = ckv_doc_tip(r->doc, r->tips.ptr[i].branch);
        const bool has = ckv_doc_find(theirs, tip.id, &found) == CKV_OK;
        CKV_ASSERT(r->tips.ptr[i].state == (has ? CKV_TIP_HAD : CKV_TIP_LACKED));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_rd script = ckv_rd_init(data, n_bytes);
    const uint8_t how = ckv_rd_u8(&script);
    const pair *p = the_pair(how >> 1);
    const size_t before = memory.live_bytes;
    memory.peak_bytes = before;
    ckv_peer peers[2] = {ckv_peer_init(p->ours), ckv_peer_init(p->theirs)};
    ckv_recon us, them;
    ckv_buf forged = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_recon_begin(&us, p->ours, &peers[0], key, how & 1) == CKV_OK);
    CKV_MUST(ckv_recon_begin(&them, p->theirs, &peers[1], key, !(how & 1)) == CKV_OK);
    bool alive = true, honest = true;
    for (uint32_t n = 0; n < 200 && alive && ckv_rd_left(&script); n++) {
        const uint8_t what = ckv_rd_u8(&script) % (N_KINDS + 4);
        if (what <= N_KINDS) { /* the last of these: anything */
            lie(&forged, &us, what, &script);
            honest = false;
        } else if (!honest) {
            alive = take(&us, &forged);
        } else { /* there and back */
            alive = take(&them, &us.out) && take(&us, &them.out);
            CKV_ASSERT(alive);
        }
    }
    for (uint32_t n = 0; honest && n < 40; n++)
        CKV_ASSERT(take(&them, &us.out) && take(&us, &them.out));
    if (alive && forged.len) alive = take(&us, &forged);
    if (honest) {
        CKV_ASSERT(ckv_recon_done(&us) && ckv_recon_done(&them));
        check_honest(&us, p->theirs);
        check_honest(&them, p->ours);
    }
    CKV_ASSERT(us.out.len <= MOST_BYTES && memory.peak_bytes - before <= 4 * (size_t)MOST_BYTES);
    ckv_recon_fini(&us);
    ckv_recon_fini(&them);
    ckv_peer_fini(&peers[0], p->ours);
    ckv_peer_fini(&peers[1], p->theirs);
    ckv_buf_fini(&forged);
    return 0;
}
