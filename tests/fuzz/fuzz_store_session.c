/* Two stores talk while both write, over wires that lose, repeat, overtake and damage. The input is a script of steps.
 *
 * Checksums are made right, those of requests and diffs inside, too. Whatever comes, the stores stay sound; a session that broke off stays
 * over; and over honest wires a new one brings both to the same, with lies or without.
 */
#include "stock.h"
#include "sync/store_session.h"

enum { QUEUE = 6, MOST_STEPS = 64 };

typedef struct end {
    ckv_store *store; /* borrowed */
    ckv_store_session *session;
    ckv_buf queue[QUEUE]; /* on the way to it */
    size_t n;
} end;

static uint32_t below(ckv_rd *script, uint32_t n) { return ckv_rd_u8(script) % n; }

static ckv_buf take_off(end *e, size_t i)
{
    const ckv_buf m = e->queue[i];
    memmove(e->queue + i, e->queue + i + 1, (--e->n - i) * sizeof m);
    return m;
}

static void meet(end ends[2])
{
    for (size_t i = 0; i < 2; i++) {
        ckv_store_session_free(ends[i].session);
        while (ends[i].n) {
            ckv_buf m = take_off(&ends[i], 0);
            ckv_buf_fini(&m);
        }
        CKV_MUST(ckv_store_session_new(&ends[i].session, ends[i].store) == CKV_OK);
    }
}

static void say(end *from, end *to)
{
    if (to->n == QUEUE) return;
    ckv_buf m = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_store_session_send(from->session, &m) == CKV_OK);
    if (m.len)
        to->queue[to->n++] = m;
    else
        ckv_buf_fini(&m);
}

static bool hear(end *to, ckv_bytes m)
{
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    const bool was_over = ckv_store_session_is_over(to->session);
    const ckv_status s = ckv_store_session_take(to->session, m, CKV_NO_DRIFT, &report, &err);
    CKV_ASSERT(s == CKV_OK || ((s == CKV_ECORRUPT || s == CKV_ELIMIT || s == CKV_ESYNC) &&
                               err.code == s && err.text));
    CKV_ASSERT(ckv_store_session_is_over(to->session) == (s != CKV_OK));
    CKV_ASSERT(!was_over || s == CKV_ESYNC);
    shop_check(to->store);
    ckv_store_report_fini(&report);
    return s == CKV_OK;
}

/* Both ends in turns until they are silent. False: one broke off. */
static bool talk(end ends[2])
{
    bool good = true;
    for (size_t quiet = 0, n = 0; quiet < 2; n++) {
        CKV_ASSERT(n < 100);
        end *from = &ends[n & 1], *to = &ends[!(n & 1)];
        say(from, to);
        quiet = to->n ? 0 : quiet + 1;
        while (to->n) {
            ckv_buf m = take_off(to, 0);
            good &= hear(to, shop_bytes(&m));
            ckv_buf_fini(&m);
        }
    }
    return good;
}

/* Some bytes become others; `n_head` of a message stay, and its checksum is mended. */
static ckv_buf change(ckv_rd *script, const uint8_t *p, size_t n, size_t n_head)
{
    ckv_buf payload = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&payload, p + 2, n - 10);
    for (uint32_t k = 1 + below(script, 3); k > 0 && payload.len > n_head; k--) {
        uint8_t *x = payload.ptr + n_head + below(script, 256) % (payload.len - n_head);
        const uint8_t by = ckv_rd_u8(script);
        *x = (uint8_t)(by & 1 ? *x + (by >> 1) : *x ^ by);
    }
    ckv_buf out = k_seal(p[0], shop_bytes(&payload));
    ckv_buf_fini(&payload);
    return out;
}

/* The message, or the first request or diff that is whole in it, says something else. */
static void damage(ckv_buf *m, ckv_rd *script)
{
    ckv_buf payload = ckv_buf_init(ckv_alloc_libc);
    ckv_rd r = ckv_rd_init(m->ptr + 2, m->len - 10);
    ckv_rd_u8(&r);
    const uint64_t number = ckv_rd_varint(&r);
    ckv_rd_varint(&r);
    if (number == 1) ckv_rd_bytes(&r, 16);
    const uint8_t *p = r.p;
    size_t n = 0;
    if (ckv_rd_left(&r) > 2) {
        ckv_rd_bytes(&r, 2);
        p = r.p;
        const uint8_t *whole = ckv_rd_blob(&r, &n);
        ckv_buf_bytes(&payload, m->ptr + 2, (size_t)(p - m->ptr) - 2);
        if (n > 10 && below(script, 8)) {
            ckv_buf other = change(script, whole, n, 0);
            ckv_buf_blob(&payload, other.ptr, other.len);
            ckv_buf_fini(&other);
        } else {
            n = 0;
        }
    }
    ckv_buf out;
    if (n) {
        ckv_buf_bytes(&payload, r.p, ckv_rd_left(&r));
        out = k_seal(m->ptr[0], shop_bytes(&payload));
    } else {
        out = change(script, m->ptr, m->len, 0);
    }
    ckv_buf_fini(&payload);
    ckv_buf_fini(m);
    *m = out;
}

static void deliver(end *to, ckv_rd *script, bool damaged)
{
    if (to->n == 0) return;
    const size_t i = below(script, 4) == 0 ? below(script, (uint32_t)to->n) : 0;
    ckv_buf m = take_off(to, i);
    if (damaged) damage(&m, script);
    hear(to, shop_bytes(&m));
    if (below(script, 8) == 0) hear(to, shop_bytes(&m)); /* again */
    ckv_buf_fini(&m);
}

static void write_one(ckv_store *s, ckv_rd *script)
{
    static const char *const keys[] = {"", "a", "b", "ba", "c"};
    const ckv_store_key key = shop_key(keys[below(script, 5)]);
    shop_ms += below(script, 2);
    if (below(script, 4) == 0) {
        CKV_MUST(ckv_store_remove(s, key, NULL) <= 0); /* there may be none */
    } else { /* a lie may have brought the clock to its end */
        const ckv_status put = ckv_store_put(s, key, shop_int(1), shop_ms, NULL);
        CKV_ASSERT(put == CKV_OK || put == CKV_ELIMIT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_rd script = ckv_rd_init(data, n_bytes);
    k_world w = k_world_new(ckv_rd_u8(&script));
    end ends[2] = {{.store = w.s[0]}, {.store = w.s[1]}};
    bool is_honest = true;
    meet(ends);
    for (size_t n = 0; n < MOST_STEPS && ckv_rd_left(&script); n++) {
        const uint8_t step = ckv_rd_u8(&script);
        end *e = &ends[step & 1], *other = &ends[!(step & 1)];
        switch (step >> 1 & 7) {
        case 0: write_one(e->store, &script); break;
        case 1: meet(ends); break;
        case 2:
        case 3: say(e, other); break;
        case 4:
        case 5: deliver(e, &script, false); break;
        case 6:
            deliver(e, &script, true);
            is_honest = false; /* the same dot may have two keys now */
            break;
        default: talk(ends);
        }
    }
    meet(ends);
    CKV_MUST(talk(ends));
    for (size_t i = 0; i < 2; i++) CKV_ASSERT(ckv_store_session_done(ends[i].session));
    k_equal(k_request(w.s[0]), k_request(w.s[1]));
    if (is_honest) T_EQ(ckv_store_len(w.s[0], false), ckv_store_len(w.s[1], false));
    for (size_t i = 0; i < 2; i++) {
        ckv_store_session_free(ends[i].session);
        CKV_ASSERT(ends[i].n == 0);
    }
    k_world_free(&w);
    return 0;
}
