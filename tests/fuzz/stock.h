/* stock.h -- what the targets of stores share: a small world that is the same each time, and messages as inputs.
 *
 *     input := world(u8) payload(blob)*          payloads of messages, without kind, version and checksum
 *
 * Messages are sealed by the target, so that mutations reach the inside. The mutator works on one payload; now and then it begins again with
 * what a store of that world really says.
 */
#ifndef CKV_FUZZ_STOCK_H
#define CKV_FUZZ_STOCK_H

#include "base/check.h"
#include "base/hash64.h"
#include "kv/message.h"
#include "shop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed);
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t n_bytes, size_t max);

/* ---- a world: three stores that know a part of each other, one of which has messages that wait */

enum { K_STORES = 3, K_MOST = 4, K_MOST_DOTS = 200 };

typedef struct k_world {
    ckv_store *s[K_STORES];
    ckv_buf op, opset; /* somebody's last ones */
} k_world;

static inline ckv_status k_take(ckv_store *s, uint8_t kind, ckv_bytes m, ckv_store_report *out)
{
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    ckv_status status = CKV_OK;
    if (kind == CKV_MESSAGE_DIFF) status = ckv_store_integrate(s, m, CKV_NO_DRIFT, &report, &err);
    if (kind == CKV_MESSAGE_OP) status = ckv_store_take_ops(s, &m, 1, CKV_NO_DRIFT, &report, &err);
    if (kind == CKV_MESSAGE_OPSET) status = ckv_store_take_opset(s, m, CKV_NO_DRIFT, &report, &err);
    CKV_ASSERT(status == CKV_OK || ((status == CKV_ECORRUPT || status == CKV_ELIMIT) &&
                                    err.code == status && err.text));
    const char *why;
    T_VALID(ckv_store_check(s, &why), why);
    if (out)
        *out = report; /* the caller's */
    else
        ckv_store_report_fini(&report);
    return status;
}

static inline void k_step(k_world *w)
{
    static const char *const keys[] = {"", "a", "b", "ba", "c"};
    const size_t i = t_below(K_STORES), j = (i + 1 + t_below(K_STORES - 1)) % K_STORES;
    ckv_store *s = w->s[i];
    const ckv_store_key key = shop_key(keys[t_below(5)]);
    ckv_buf *op = t_one_in(3) ? &w->op : NULL;
    if (op) ckv_buf_clear(op);
    shop_ms += t_below(2);
    switch (t_below(9)) {
    case 0:
    case 1:
    case 2:
        CKV_MUST(ckv_store_put(s, key, shop_int((int64_t)t_below(9)), shop_ms, op) == CKV_OK);
        break;
    case 3: CKV_MUST(ckv_store_remove(s, key, op) <= 0); break; /* there may be none */
    case 4:
        ckv_buf_clear(&w->opset);
        CKV_MUST(ckv_store_opset(s, &w->opset) == CKV_OK);
        break;
    case 5:
        if (w->op.len) CKV_MUST(k_take(s, CKV_MESSAGE_OP, shop_bytes(&w->op), NULL) == CKV_OK);
        break;
    case 6:
        if (w->opset.len)
            CKV_MUST(k_take(s, CKV_MESSAGE_OPSET, shop_bytes(&w->opset), NULL) == CKV_OK);
        break;
    default: CKV_MUST(shop_pull(s, w->s[j], ckv_alloc_libc) == CKV_OK);
    }
}

static inline k_world k_world_new(uint8_t seed)
{
    static const char *const names[K_STORES] = {"", "a", "b"};
    k_world w = {.op = ckv_buf_init(ckv_alloc_libc), .opset = ckv_buf_init(ckv_alloc_libc)};
    t_state = seed;
    shop_ms = 0; /* hlcs are small numbers: they are hit more often */
    for (size_t i = 0; i < K_STORES; i++) {
        uint8_t id[2 + CKV_INCARNATION] = {0};
        const size_t n = strlen(names[i]);
        memcpy(id, names[i], n);
        id[n] = '/';
        CKV_MUST(shop_new(&w.s[i], ckv_alloc_libc, names[i]) == CKV_OK);
        CKV_MUST(ckv_store_incarnate(w.s[i], id, n + CKV_INCARNATION) == CKV_OK);
    }
    for (size_t n = seed % 32; n > 0; n--) k_step(&w);
    return w;
}

static inline void k_world_free(k_world *w)
{
    for (size_t i = 0; i < K_STORES; i++) ckv_store_free(w->s[i]);
    ckv_buf_fini(&w->op);
    ckv_buf_fini(&w->opset);
}

static inline ckv_buf k_request(const ckv_store *s)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_store_request(s, &out) == CKV_OK);
    return out;
}

static inline ckv_buf k_diff(const ckv_store *s, const ckv_buf *request, size_t max_bytes,
                             bool *more)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_store_diff(s, shop_bytes(request), max_bytes, &out, more, NULL) == CKV_OK);
    return out;
}

static inline ckv_buf k_save(const ckv_store *s)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_store_save(s, &out) == CKV_OK);
    return out;
}

static inline ckv_store *k_load(const ckv_buf *save)
{
    const ckv_env env = {ckv_alloc_libc, shop_random, NULL};
    ckv_store *s;
    CKV_MUST(ckv_store_load(&s, &env, shop_bytes(save), NULL, NULL) == CKV_OK);
    return s;
}

static inline void k_equal(ckv_buf a, ckv_buf b) /* both are done with */
{
    T_BYTES(a.ptr, a.len, b.ptr, b.len);
    ckv_buf_fini(&a);
    ckv_buf_fini(&b);
}

/* What a store of the world really says; nothing before the first op. */
static inline ckv_buf k_honest(k_world *w, uint8_t kind)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    if (kind == CKV_MESSAGE_REQUEST) return k_request(w->s[0]);
    if (kind == CKV_MESSAGE_SAVE) return k_save(w->s[0]);
    if (kind == CKV_MESSAGE_DIFF) {
        ckv_buf request = k_request(w->s[0]);
        out = k_diff(w->s[1], &request, 0, NULL);
        ckv_buf_fini(&request);
    } else if (kind == CKV_MESSAGE_OP) {
        ckv_buf_bytes(&out, w->op.ptr, w->op.len);
    } else {
        CKV_MUST(ckv_store_opset(w->s[1], &out) == CKV_OK);
    }
    return out;
}

/* The diff that brings somebody empty to what a sound request says, each dot under a key of its own; false: too many dots. */
static inline bool k_tell_all(ckv_bytes payload, ckv_buf *out)
{
    size_t n_dots = 0;
    ckv_rd r = ckv_rd_init(payload.ptr, payload.n_bytes);
    while (ckv_rd_left(&r)) {
        size_t n;
        const uint8_t *id = ckv_rd_blob(&r, &n);
        const uint64_t bookmark = ckv_rd_varint(&r);
        ckv_runs live = {.a = ckv_alloc_libc};
        ckv_runs_in set = ckv_runs_in_init(&r, 1, bookmark);
        for (ckv_run run; ckv_runs_in_next(&set, &run);)
            CKV_MUST(ckv_runs_append(&live, run.start, run.end) == CKV_OK);
        const uint64_t count = ckv_runs_count(&live);
        if (count > K_MOST_DOTS - n_dots) {
            ckv_runs_fini(&live);
            return false;
        }
        n_dots += count;
        ckv_buf_blob(out, id, n);
        ckv_buf_varint(out, 0);
        ckv_buf_varint(out, bookmark);
        ckv_buf_u8(out, 0); /* an empty set */
        ckv_buf_varint(out, count);
        uint64_t before = 0;
        for (size_t i = 0; i < live.len; i++) {
            for (uint64_t hlc = live.ptr[i].start; hlc < live.ptr[i].end; before = hlc++) {
                ckv_buf_varint(out, hlc - before - 1);
                ckv_buf_varint(out, 2 * 2 + 1);
                ckv_buf_u8(out, id[0]);
                ckv_buf_u8(out, (uint8_t)(hlc % 7));
                ckv_buf_bytes(out, "\0\0", 2); /* none */
            }
        }
        ckv_runs_fini(&live);
    }
    return true;
}

/* ---- inputs */

typedef struct k_input {
    uint8_t world;
    ckv_bytes payloads[K_MOST];
    size_t n;
} k_input;

/* Any bytes are an input: what is no blob is a payload as it stands. */
static inline k_input k_read(const uint8_t *data, size_t n_bytes)
{
    ckv_rd r = ckv_rd_init(data, n_bytes);
    k_input in = {.world = ckv_rd_u8(&r)};
    while (in.n < K_MOST && ckv_rd_left(&r)) {
        const ckv_rd here = r;
        ckv_bytes p;
        p.ptr = ckv_rd_blob(&r, &p.n_bytes);
        if (r.status != CKV_OK) p = (ckv_bytes){here.p, ckv_rd_left(&here)};
        in.payloads[in.n++] = p;
    }
    return in;
}

static inline ckv_buf k_seal(uint8_t kind, ckv_bytes payload)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&out, kind);
    ckv_buf_bytes(&out, payload.ptr, payload.n_bytes);
    ckv_message_end(&out, begin);
    return out;
}

/* ---- mutations. `kinds`: of the messages that a target reads, the last one for all that follow */

static inline size_t k_mutate_payload(uint8_t *p, size_t n, size_t max)
{
    if (n == 0 || t_one_in(3)) return LLVMFuzzerMutate(p, n, max);
    uint8_t *x = p + t_below(n); /* small numbers count what is there, and name it */
    *x = (uint8_t)(t_one_in(2) ? t_below(8) : *x + 1 - t_below(3));
    return n;
}

static inline size_t k_mutate(uint8_t *data, size_t n_bytes, size_t max, unsigned seed,
                              const char *kinds)
{
    t_state = seed;
    if (n_bytes > 0 && t_one_in(16)) return LLVMFuzzerMutate(data, n_bytes, max);
    const k_input in = k_read(data, n_bytes);
    const size_t n_kinds = strlen(kinds), chosen = t_below(in.n + 1);
    const bool afresh = chosen == in.n || t_one_in(16);
    const uint8_t kind = (uint8_t)kinds[chosen < n_kinds ? chosen : n_kinds - 1];
    uint8_t world = in.world;
    if (t_one_in(8)) world = (uint8_t)t_rand();
    ckv_buf out = ckv_buf_init(ckv_alloc_libc), payload = out;
    ckv_buf_u8(&out, world);
    for (size_t i = 0; i < in.n || i <= chosen; i++) {
        if (i >= K_MOST) break;
        if (i != chosen) {
            ckv_buf_blob(&out, in.payloads[i].ptr, in.payloads[i].n_bytes);
            continue;
        }
        ckv_buf_clear(&payload);
        if (afresh) {
            const uint64_t state = t_state;
            k_world w = k_world_new(t_one_in(4) ? (uint8_t)t_rand() : world);
            ckv_buf m = k_honest(&w, kind);
            if (m.len) ckv_buf_bytes(&payload, m.ptr + 2, m.len - 10);
            ckv_buf_fini(&m);
            k_world_free(&w);
            t_state = state;
        } else {
            ckv_buf_bytes(&payload, in.payloads[i].ptr, in.payloads[i].n_bytes);
        }
        CKV_MUST(ckv_buf_reserve(&payload, 64));
        for (uint64_t n = t_below(3); n > 0 || (!afresh && n == 0); n--) {
            payload.len = k_mutate_payload(payload.ptr, payload.len, payload.len + 32);
            CKV_MUST(ckv_buf_reserve(&payload, 64));
            if (n == 0) break;
        }
        ckv_buf_blob(&out, payload.ptr, payload.len);
    }
    const size_t n = out.len <= max ? out.len : 0;
    if (n) memcpy(data, out.ptr, n);
    ckv_buf_fini(&out);
    ckv_buf_fini(&payload);
    return n ? n : LLVMFuzzerMutate(data, n_bytes, max);
}

#endif
