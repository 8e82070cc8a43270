#include "sync/recon.h"

#include <stdlib.h>

enum { SKIP, PRINT, TIPS, HAVE, KNOWN, PAST, FOUND };

#define MAX_HEIGHT ((uint64_t)UINT32_MAX)
#define QUARTERS   3u /* hashes that cut an interval in four */

static uint64_t hash_of(const ckv_recon *r, const ckv_id32 *id)
{
    return ckv_siphash(r->key, id, sizeof *id);
}

/* ---- our tips */

static int by_lane(const void *x, const void *y)
{
    const ckv_tip *a = x, *b = y;
    if (a->lane != b->lane) return a->lane < b->lane ? -1 : 1;
    if (a->height != b->height) return a->height < b->height ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int foreign_by_lane(const void *x, const void *y)
{
    const ckv_foreign_tip *a = x, *b = y;
    if (a->lane != b->lane) return a->lane < b->lane ? -1 : 1;
    if (a->height != b->height) return a->height < b->height ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The first of our tips whose lane is not below; hi 0 in ranges: behind all. */
static uint32_t lower(const ckv_recon *r, uint64_t lane)
{
    uint32_t lo = 0, hi = (uint32_t)r->tips.len;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (r->tips.ptr[mid].lane < lane)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint32_t upper(const ckv_recon *r, uint64_t hi)
{
    return hi ? lower(r, hi) : (uint32_t)r->tips.len;
}

static uint32_t end_of_lane(const ckv_recon *r, uint32_t i)
{
    const uint64_t lane = r->tips.ptr[i].lane;
    while (i < r->tips.len && r->tips.ptr[i].lane == lane) i++;
    return i;
}

static uint32_t begin_of_lane(const ckv_recon *r, uint32_t i)
{
    const uint64_t lane = r->tips.ptr[i].lane;
    while (i > 0 && r->tips.ptr[i - 1].lane == lane) i--;
    return i;
}

static ckv_status set_had(ckv_recon *r, uint32_t i)
{
    ckv_tip *t = &r->tips.ptr[i];
    t->state = CKV_TIP_HAD;
    return ckv_peer_raise(r->peer, r->doc, t->branch, t->height - 1);
}

/* ---- what is here by its hash */

static int by_place(const void *x, const void *y)
{
    const ckv_place *a = x, *b = y;
    return a->hash < b->hash ? -1 : a->hash > b->hash;
}

/* Gathers the changes of our tips [a, b), all of one lane; leaves none if they are too many. */
static ckv_status gather(ckv_recon *r, uint32_t a, uint32_t b)
{
    ckv_places *all = &r->crowd;
    all->len = 0;
    r->crowd_lane = 0;
    for (uint32_t i = a; i < b; i++) {
        const ckv_tip *t = &r->tips.ptr[i];
        const ckv_id32 *id;
        for (uint32_t seq = t->height;
             seq && (id = ckv_doc_on_branch(r->doc, t->branch, seq - 1)) != NULL; seq--) {
            if (all->len == CKV_RECON_CROWD) {
                ckv_places_fini(all);
                r->crowd_lane = r->tips.ptr[a].lane;
                return CKV_OK;
            }
            CKV_TRY(ckv_places_push(
                all, (ckv_place){.hash = hash_of(r, id), .branch = t->branch, .seq = seq - 1}));
        }
    }
    qsort(all->ptr, all->len, sizeof *all->ptr, by_place);
    r->crowd_lane = r->tips.ptr[a].lane;
    return CKV_OK;
}

/* The branch among those of our tips [a, b), all of one lane, that has this very change; CKV_NO_CHANGE if none. Nothing that came after we
 * looked counts. In a crowded lane a liar could have us hash a thousand changes for each 17 bytes: there each is hashed once. */
static ckv_status branch_with(ckv_recon *r, uint32_t a, uint32_t b, uint64_t seq, uint64_t hash,
                              uint32_t *branch)
{
    *branch = CKV_NO_CHANGE;
    if (b - a > CKV_RECON_FORKS) {
        if (r->crowd_lane != r->tips.ptr[a].lane) CKV_TRY(gather(r, a, b));
        if (r->crowd.len) {
            const ckv_place key = {.hash = hash},
                            *at = bsearch(&key, r->crowd.ptr, r->crowd.len, sizeof key, by_place);
            if (at && at->seq == seq) *branch = at->branch;
            return CKV_OK;
        }
    }
    for (; a < b; a++) {
        const ckv_tip *t = &r->tips.ptr[a];
        if (seq >= t->height) continue;
        const ckv_id32 *id = ckv_doc_on_branch(r->doc, t->branch, (uint32_t)seq);
        if (!id || hash_of(r, id) != hash) continue;
        *branch = t->branch;
        break;
    }
    return CKV_OK;
}

/* ---- writing */

/* Ranges are blobs, so that they may be cut between messages. */
static void put(ckv_recon *r, const ckv_buf *range)
{
    if (range->status != CKV_OK && r->out.status == CKV_OK) r->out.status = range->status;
    ckv_buf_blob(&r->out, range->ptr, range->len);
}

/* The shortest upper bound that is above `below` and not above hi, as its first bytes; 0: no end. */
static void put_bound(ckv_buf *out, uint64_t hi)
{
    uint8_t be[8], n = 0;
    for (unsigned i = 0; i < 8; i++) {
        be[i] = (uint8_t)(hi >> (56 - 8 * i));
        if (be[i]) n = (uint8_t)(i + 1);
    }
    ckv_buf_u8(out, n);
    ckv_buf_bytes(out, be, n);
}

static uint64_t shortest(uint64_t below, uint64_t hi)
{
    for (unsigned shift = 56; shift; shift -= 8) {
        const uint64_t x = hi >> shift << shift;
        if (x > below) return x;
    }
    return hi;
}

static uint64_t sum_of(const ckv_recon *r, uint32_t a, uint32_t b)
{
    uint64_t sum = 0;
    for (; a < b; a++) sum += r->tips.ptr[a].id;
    return sum;
}

static void put_tip(ckv_buf *out, const ckv_tip *t)
{
    ckv_buf_u64le(out, t->lane);
    ckv_buf_varint(out, t->height);
    ckv_buf_u64le(out, t->id);
}

/* An honest end is asked once for every eighth of its tips and of ours, and a little more. */
static ckv_status ask(ckv_recon *r, ckv_ask a)
{
    if (++r->n_asks > CKV_RECON_ASKS + r->tips.len) return CKV_ELIMIT;
    if (r->asked > 1024 && r->asked * 2 > r->asks.len) { /* forget what is answered */
        memmove(r->asks.ptr, r->asks.ptr + r->asked, (r->asks.len - r->asked) * sizeof a);
        r->asks.len -= r->asked;
        r->asked = 0;
    }
    return ckv_asks_push(&r->asks, a);
}

static ckv_status say_print(ckv_recon *r, uint64_t lo, uint64_t hi, uint32_t a, uint32_t b)
{
    ckv_buf x = ckv_buf_init(r->out.a);
    ckv_buf_u8(&x, PRINT);
    put_bound(&x, hi);
    ckv_buf_u64le(&x, sum_of(r, a, b));
    ckv_buf_varint(&x, b - a);
    put(r, &x);
    ckv_buf_fini(&x);
    return ask(r, (ckv_ask){.kind = CKV_ASK_RANGE, .lo = lo, .hi = hi});
}

static ckv_status say_tips(ckv_recon *r, uint64_t lo, uint64_t hi, uint32_t a, uint32_t b)
{
    ckv_buf x = ckv_buf_init(r->out.a);
    ckv_buf_u8(&x, TIPS);
    put_bound(&x, hi);
    ckv_buf_varint(&x, b - a);
    for (uint32_t i = a; i < b; i++) put_tip(&x, &r->tips.ptr[i]);
    put(r, &x);
    ckv_buf_fini(&x);
    return ask(r, (ckv_ask){.kind = CKV_ASK_HAVE, .lo = lo, .hi = hi, .a = a, .b = b});
}

static void say_skip(ckv_recon *r, uint64_t hi)
{
    ckv_buf x = ckv_buf_init(r->out.a);
    ckv_buf_u8(&x, SKIP);
    put_bound(&x, hi);
    put(r, &x);
    ckv_buf_fini(&x);
}

/* Our tips [a, b) of the range [lo, hi): a list if they are few, else fingerprints of parts; a lane is never cut. */
static ckv_status describe(ckv_recon *r, uint64_t lo, uint64_t hi, uint32_t a, uint32_t b,
                           uint32_t few)
{
    const uint32_t n = b - a;
    if (n <= few || end_of_lane(r, a) >= b) return say_tips(r, lo, hi, a, b);
    const uint32_t first = a, parts = n / 8 < CKV_RECON_PARTS ? n / 8 : CKV_RECON_PARTS,
                   size = n / parts;
    while (a < b) {
        uint32_t end = b - a < 2 * size ? b : a + size;
        if (end < b) end = end_of_lane(r, end - 1);
        if (end == b && a == first) end = begin_of_lane(r, b - 1); /* a part is not the whole */
        const uint64_t bound =
            end < b ? shortest(r->tips.ptr[end - 1].lane, r->tips.ptr[end].lane) : hi;
        CKV_TRY(say_print(r, lo, bound, a, end));
        lo = bound;
        a = end;
    }
    return CKV_OK;
}

/* ---- reading */

static ckv_status wrong(const char **why, const char *text)
{
    *why = text;
    return CKV_ESYNC;
}

/* The upper bound of a range that must be above lo and not above hi; false if it is not. */
static bool read_bound(ckv_rd *x, uint64_t lo, uint64_t hi, uint64_t *out)
{
    const uint8_t n = ckv_rd_u8(x);
    const uint8_t *p = n <= 8 ? ckv_rd_bytes(x, n) : NULL;
    if (!p || (n && p[n - 1] == 0)) return false;
    *out = 0;
    for (unsigned i = 0; i < n; i++) *out |= (uint64_t)p[i] << (56 - 8 * i);
    if (*out == 0) return hi == 0;
    return *out > lo && (hi == 0 || *out <= hi);
}

static bool read_tip(ckv_rd *x, ckv_foreign_tip *t)
{
    t->lane = ckv_rd_u64le(x);
    t->height = (uint32_t)ckv_rd_upto(x, MAX_HEIGHT);
    t->id = ckv_rd_u64le(x);
    return x->status == CKV_OK && t->height > 0;
}

/* Whether we know their tip; then the peer has it. */
static ckv_status look_up(ckv_recon *r, const ckv_foreign_tip *t, bool *known)
{
    const uint32_t a = lower(r, t->lane),
                   b = a < r->tips.len && r->tips.ptr[a].lane == t->lane ? end_of_lane(r, a) : a;
    uint32_t branch;
    CKV_TRY(branch_with(r, a, b, t->height - 1, t->id, &branch));
    *known = branch != CKV_NO_CHANGE;
    if (*known) return ckv_peer_raise(r->peer, r->doc, branch, t->height - 1);
    if (r->foreign.len >= CKV_RECON_FOREIGN + r->tips.len) return CKV_ELIMIT;
    return ckv_foreign_tips_push(&r->foreign, *t);
}

static void put_bits(ckv_buf *out, const uint8_t *bits, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint8_t byte = 0;
        for (size_t k = i; k < n && k < i + 8; k++) byte |= (uint8_t)(bits[k] << (k - i));
        ckv_buf_u8(out, byte);
    }
}

/* Our tips of one lane that they listed: those equal to theirs are had, the others are listed in turn if they have one that is unknown here. */
static ckv_status answer_lane(ckv_recon *r, const ckv_foreign_tip *theirs, uint32_t n, bool unknown,
                              ckv_buf *list, uint32_t *n_list)
{
    const uint32_t a = lower(r, theirs->lane);
    uint32_t k = 0;
    for (uint32_t i = a; i < r->tips.len && r->tips.ptr[i].lane == theirs->lane; i++) {
        const ckv_tip *t = &r->tips.ptr[i];
        while (k < n && (theirs[k].height < t->height ||
                         (theirs[k].height == t->height && theirs[k].id < t->id)))
            k++;
        if (k < n && theirs[k].height == t->height && theirs[k].id == t->id) {
            CKV_TRY(set_had(r, i));
        } else if (unknown) {
            put_tip(list, t);
            CKV_TRY(ckv_u32s_push(&r->listed, i));
            ++*n_list;
        }
    }
    return list->status;
}

static ckv_status take_tips(ckv_recon *r, ckv_rd *x, uint64_t lo, uint64_t hi, const char **why)
{
    const uint32_t a = lower(r, lo), b = upper(r, hi);
    const size_t n = ckv_rd_count(x, 17);
    if (n > CKV_RECON_MOST && n > (b - a) / 8) return wrong(why, "a list of tips is too long");
    ckv_foreign_tips theirs = {.a = r->out.a};
    ckv_buf bits = ckv_buf_init(r->out.a), list = ckv_buf_init(r->out.a),
            have = ckv_buf_init(r->out.a);
    const uint32_t listed = (uint32_t)r->listed.len;
    uint32_t n_list = 0;
    ckv_status s = ckv_foreign_tips_reserve(&theirs, n + 1);
    for (uint32_t i = a; i < b; i++) r->tips.ptr[i].state = CKV_TIP_LACKED; /* unless */
    for (size_t i = 0; i < n && s == CKV_OK; i++) {
        ckv_foreign_tip t;
        if (!read_tip(x, &t) || t.lane < lo || (hi && t.lane >= hi) ||
            (i && foreign_by_lane(&theirs.ptr[i - 1], &t) >= 0)) {
            s = wrong(why, "a list of tips is out of order");
            break;
        }
        ckv_foreign_tips_put(&theirs, t);
    }
    for (uint32_t i = 0, end; i < theirs.len && s == CKV_OK; i = end) {
        bool unknown = false;
        for (end = i; end < theirs.len && theirs.ptr[end].lane == theirs.ptr[i].lane && s == CKV_OK;
             end++) {
            bool known = false;
            s = look_up(r, &theirs.ptr[end], &known);
            ckv_buf_u8(&bits, known);
            unknown |= !known;
        }
        if (s == CKV_OK) s = answer_lane(r, &theirs.ptr[i], end - i, unknown, &list, &n_list);
    }
    if (s == CKV_OK) s = bits.status;
    if (s == CKV_OK) {
        ckv_buf_u8(&have, HAVE);
        put_bits(&have, bits.ptr, bits.len);
        ckv_buf_varint(&have, n_list);
        ckv_buf_bytes(&have, list.ptr, list.len);
        put(r, &have);
        if (n_list)
            s = ask(r, (ckv_ask){.kind = CKV_ASK_KNOWN, .a = listed, .b = (uint32_t)r->listed.len});
    }
    ckv_foreign_tips_fini(&theirs);
    ckv_buf_fini(&bits);
    ckv_buf_fini(&list);
    ckv_buf_fini(&have);
    return s;
}

/* One range of an answer to [lo, hi), of which everything below ask->lo is answered already. */
static ckv_status take_range(ckv_recon *r, ckv_ask *open, ckv_rd *x, uint8_t kind, const char **why)
{
    const uint64_t lo = open->lo;
    uint64_t hi;
    if (!read_bound(x, lo, open->hi, &hi)) return wrong(why, "a range is out of order");
    if (hi == open->hi)
        r->asked++;
    else
        open->lo = hi;
    const uint32_t a = lower(r, lo), b = upper(r, hi);
    if (kind == TIPS) return take_tips(r, x, lo, hi, why);
    if (kind == PRINT) {
        const uint64_t sum = ckv_rd_u64le(x), n = ckv_rd_varint(x);
        if (x->status != CKV_OK) return wrong(why, "a fingerprint is cut short");
        if (sum != sum_of(r, a, b) || n != b - a) {
            uint64_t few = n / 8 < CKV_RECON_LEAF ? CKV_RECON_LEAF : n / 8;
            if (few > CKV_RECON_TIPS) few = CKV_RECON_TIPS;
            return describe(r, lo, hi, a, b, (uint32_t)few);
        }
        say_skip(r, hi);
    }
    for (uint32_t i = a; i < b; i++) CKV_TRY(set_had(r, i));
    return CKV_OK;
}

static bool bit(const uint8_t *bits, size_t i) { return bits[i / 8] >> (i % 8) & 1; }

static ckv_status take_have(ckv_recon *r, const ckv_ask *asked, ckv_rd *x, const char **why)
{
    const uint32_t n = asked->b - asked->a;
    const uint8_t *bits = ckv_rd_bytes(x, (n + 7) / 8);
    const size_t n_list = ckv_rd_count(x, 17);
    if (x->status != CKV_OK) return wrong(why, "an answer is cut short");
    for (uint32_t i = 0; i < n; i++) {
        if (bit(bits, i))
            CKV_TRY(set_had(r, asked->a + i));
        else
            r->tips.ptr[asked->a + i].state = CKV_TIP_LACKED;
    }
    ckv_buf known = ckv_buf_init(r->out.a), answer = ckv_buf_init(r->out.a);
    ckv_foreign_tip last = {0}, t;
    ckv_status s = CKV_OK;
    for (size_t i = 0; i < n_list && s == CKV_OK; i++, last = t) {
        bool have = false;
        if (!read_tip(x, &t) || t.lane < asked->lo || (asked->hi && t.lane >= asked->hi) ||
            (i && foreign_by_lane(&last, &t) >= 0)) {
            s = wrong(why, "a list of tips is out of order");
            break;
        }
        s = look_up(r, &t, &have);
        ckv_buf_u8(&known, have);
    }
    if (s == CKV_OK && n_list) {
        ckv_buf_u8(&answer, KNOWN);
        put_bits(&answer, known.ptr, known.len);
        put(r, &answer);
        s = known.status;
    }
    ckv_buf_fini(&known);
    ckv_buf_fini(&answer);
    return s;
}

static ckv_status take_known(ckv_recon *r, const ckv_ask *asked, ckv_rd *x, const char **why)
{
    const uint32_t n = asked->b - asked->a;
    const uint8_t *bits = ckv_rd_bytes(x, (n + 7) / 8);
    if (!bits) return wrong(why, "an answer is cut short");
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t tip = r->listed.ptr[asked->a + i];
        if (bit(bits, i))
            CKV_TRY(set_had(r, tip));
        else
            r->tips.ptr[tip].state = CKV_TIP_LACKED;
    }
    return CKV_OK;
}

/* ---- the search */

/* The seqs whose hashes stand in one PAST: `refined` ones cut [lo, hi) in quarters, others go back from hi in steps that double. All are
 * below hi and at or above lo, newest first. */
static uint32_t seqs_of(const ckv_ask *q, uint64_t seqs[64])
{
    uint32_t n = 0;
    if (q->refined) {
        for (uint64_t k = QUARTERS; k; k--)
            seqs[n++] = q->lo + (q->hi - q->lo) * k / (QUARTERS + 1);
        return n;
    }
    for (uint64_t step = 1; step <= q->hi; step *= 2) seqs[n++] = q->hi - step;
    return n;
}

/* Where the search goes on when the newest known of these is number `found` (0: none of them): known at lo - 1, unknown at hi. False: it is
 * over. */
static bool narrow(ckv_ask *q, uint32_t found)
{
    uint64_t seqs[64];
    const uint32_t n = seqs_of(q, seqs);
    if (found != 1 && n) q->hi = seqs[found ? found - 2 : n - 1];
    if (found) q->lo = seqs[found - 1] + 1;
    if (q->refined || q->hi - q->lo < 2 * QUARTERS) return false;
    q->refined = true;
    return true;
}

static ckv_status say_past(ckv_recon *r, ckv_ask q)
{
    uint64_t seqs[64];
    const uint32_t n = seqs_of(&q, seqs);
    ckv_buf x = ckv_buf_init(r->out.a);
    ckv_buf_u8(&x, PAST);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t on;
        ckv_buf_u64le(&x, hash_of(r, ckv_doc_on_chain(r->doc, r->tips.ptr[q.a].branch,
                                                      (uint32_t)seqs[i], &on)));
    }
    r->hashes += n;
    put(r, &x);
    ckv_buf_fini(&x);
    return ask(r, q);
}

/* The greatest height of a tip of a lane that the other end lacks: of theirs, or of ours. 0: none. */
static uint32_t foreign_height(const ckv_recon *r, uint64_t lane)
{
    size_t lo = 0, hi = r->foreign.len; /* sorted: behind the lane's last */
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (r->foreign.ptr[mid].lane <= lane)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && r->foreign.ptr[lo - 1].lane == lane ? r->foreign.ptr[lo - 1].height : 0;
}

static uint32_t lacked_height(const ckv_recon *r, uint64_t lane)
{
    uint32_t height = 0;
    for (uint32_t i = lower(r, lane); i < r->tips.len && r->tips.ptr[i].lane == lane; i++) {
        if (r->tips.ptr[i].state == CKV_TIP_LACKED) height = r->tips.ptr[i].height;
    }
    return height;
}

/* When all is compared, both ends know in which lanes each has a tip that the other lacks, and so what will be asked. */
static ckv_status search(ckv_recon *r)
{
    r->searched = true;
    if (r->foreign.len == 0) return CKV_OK;
    qsort(r->foreign.ptr, r->foreign.len, sizeof *r->foreign.ptr, foreign_by_lane);
    const size_t n = r->opens ? r->tips.len : r->foreign.len;
    uint64_t of = 0; /* the lane that `other` is of */
    uint32_t other = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t lane = r->opens ? r->tips.ptr[i].lane : r->foreign.ptr[i].lane;
        const uint32_t height = r->opens ? r->tips.ptr[i].height : r->foreign.ptr[i].height;
        if (r->opens && r->tips.ptr[i].state != CKV_TIP_LACKED) continue;
        if (lane != of) other = r->opens ? foreign_height(r, lane) : lacked_height(r, lane);
        of = lane;
        const uint32_t low = height < other ? height : other;
        if (low < 2) continue; /* none to search for, or nothing below */
        /* Neither tip is known to the other end, so what both have ends below the lower one. */
        const ckv_ask q = {.kind = r->opens ? CKV_ASK_FOUND : CKV_ASK_PAST, .hi = low - 1, .a = i};
        CKV_TRY(r->opens ? say_past(r, q) : ask(r, q));
    }
    return CKV_OK;
}

static ckv_status take_past(ckv_recon *r, ckv_ask q, ckv_rd *x, const char **why)
{
    uint64_t seqs[64];
    const uint32_t n = seqs_of(&q, seqs);
    const uint64_t lane = r->foreign.ptr[q.a].lane;
    const uint32_t a = lower(r, lane), b = end_of_lane(r, a);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t hash = ckv_rd_u64le(x);
        if (x->status != CKV_OK) return wrong(why, "a search is cut short");
        uint32_t branch = CKV_NO_CHANGE;
        if (!found) CKV_TRY(branch_with(r, a, b, seqs[i], hash, &branch));
        if (branch == CKV_NO_CHANGE) continue;
        found = i + 1;
        CKV_TRY(ckv_peer_raise(r->peer, r->doc, branch, (uint32_t)seqs[i]));
    }
    ckv_buf answer = ckv_buf_init(r->out.a);
    ckv_buf_u8(&answer, FOUND);
    ckv_buf_varint(&answer, found);
    put(r, &answer);
    ckv_buf_fini(&answer);
    return narrow(&q, found) ? ask(r, q) : CKV_OK;
}

static ckv_status take_found(ckv_recon *r, ckv_ask q, ckv_rd *x, const char **why)
{
    uint64_t seqs[64];
    const uint64_t found = ckv_rd_varint(x);
    if (x->status != CKV_OK || found > seqs_of(&q, seqs))
        return wrong(why, "found what was not asked");
    if (found)
        CKV_TRY(
            ckv_peer_raise(r->peer, r->doc, r->tips.ptr[q.a].branch, (uint32_t)seqs[found - 1]));
    return narrow(&q, (uint32_t)found) ? say_past(r, q) : CKV_OK;
}

/* ---- the whole */

static ckv_status take_one(ckv_recon *r, ckv_rd *x, const char **why)
{
    static const char *const unasked = "it answers what it was not asked";
    const uint8_t kind = ckv_rd_u8(x);
    if (x->status != CKV_OK || r->asked == r->asks.len) return wrong(why, unasked);
    ckv_ask *open = &r->asks.ptr[r->asked];
    const ckv_ask q = *open; /* the vector may move */
    if (open->kind == CKV_ASK_RANGE)
        return kind <= TIPS ? take_range(r, open, x, kind, why) : wrong(why, unasked);
    r->asked++;
    switch (q.kind) {
    case CKV_ASK_RANGE: break;
    case CKV_ASK_HAVE: return kind == HAVE ? take_have(r, &q, x, why) : wrong(why, unasked);
    case CKV_ASK_KNOWN: return kind == KNOWN ? take_known(r, &q, x, why) : wrong(why, unasked);
    case CKV_ASK_PAST: return kind == PAST ? take_past(r, q, x, why) : wrong(why, unasked);
    case CKV_ASK_FOUND: return kind == FOUND ? take_found(r, q, x, why) : wrong(why, unasked);
    }
    return wrong(why, unasked);
}

ckv_status ckv_recon_take(ckv_recon *r, const uint8_t *data, size_t n_bytes, const char **why)
{
    ckv_status s = CKV_OK;
    size_t used = 0;
    if (r->in.len + n_bytes > CKV_RECON_BUFFER) {
        *why = "an endless range";
        return CKV_ELIMIT;
    }
    ckv_buf_bytes(&r->in, data, n_bytes);
    if (r->in.status != CKV_OK) return r->in.status;
    ckv_rd rest = ckv_rd_init(r->in.ptr, r->in.len);
    *why = "it compares more than there can be";
    while (s == CKV_OK) {
        const uint8_t *const start = rest.p;
        size_t n;
        const uint8_t *range = ckv_rd_blob(&rest, &n);
        if (!range) break; /* the rest comes with the next message */
        ckv_rd x = ckv_rd_init(range, n);
        s = take_one(r, &x, why);
        if (s == CKV_OK && !ckv_rd_done(&x)) s = wrong(why, "a range has bytes left over");
        if (s == CKV_OK && r->asked == r->asks.len && !r->searched) s = search(r);
        used += (size_t)(rest.p - start);
    }
    if (used) memmove(r->in.ptr, r->in.ptr + used, r->in.len - used);
    r->in.len -= used;
    return s == CKV_OK ? r->out.status : s;
}

bool ckv_recon_done(const ckv_recon *r) { return r->searched && r->asked == r->asks.len; }

ckv_status ckv_recon_begin(ckv_recon *r, ckv_doc *doc, ckv_peer *peer, const uint8_t key[16],
                           bool opener)
{
    const ckv_alloc a = peer->n.a;
    *r = (ckv_recon){.doc = doc,
                     .peer = peer,
                     .opens = opener,
                     .tips = {.a = a},
                     .listed = {.a = a},
                     .foreign = {.a = a},
                     .asks = {.a = a},
                     .crowd = {.a = a},
                     .in = ckv_buf_init(a),
                     .out = ckv_buf_init(a)};
    memcpy(r->key, key, sizeof r->key);
    const uint32_t n = ckv_doc_n_branches(doc);
    CKV_TRY(ckv_tips_reserve(&r->tips, n));
    for (uint32_t b = 0; b < n; b++) {
        const ckv_tip_info t = ckv_doc_tip(doc, b);
        ckv_tips_put(&r->tips, (ckv_tip){.lane = hash_of(r, t.lane) | 1, /* 0 is a bound */
                                         .id = hash_of(r, t.id),
                                         .height = t.height,
                                         .branch = b});
    }
    if (n) qsort(r->tips.ptr, n, sizeof *r->tips.ptr, by_lane);
    if (!opener) return ask(r, (ckv_ask){.kind = CKV_ASK_RANGE});
    CKV_TRY(describe(r, 0, 0, 0, n, CKV_RECON_LIST));
    return r->out.status;
}

void ckv_recon_fini(ckv_recon *r)
{
    ckv_tips_fini(&r->tips);
    ckv_u32s_fini(&r->listed);
    ckv_foreign_tips_fini(&r->foreign);
    ckv_asks_fini(&r->asks);
    ckv_places_fini(&r->crowd);
    ckv_buf_fini(&r->in);
    ckv_buf_fini(&r->out);
}

bool ckv_recon_check(const ckv_recon *r, const char **why)
{
    *why = "recon: tips are in order";
    for (size_t i = 1; i < r->tips.len; i++) {
        if (by_lane(&r->tips.ptr[i - 1], &r->tips.ptr[i]) > 0) return false;
    }
    *why = "recon I2";
    for (size_t i = 0; i < r->tips.len && ckv_recon_done(r); i++) {
        if (r->tips.ptr[i].state == CKV_TIP_OPEN) return false;
    }
    *why = "recon I1";
    return r->asked <= r->asks.len;
}
