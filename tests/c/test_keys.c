/* Keys: each kept once, found again, ordered by their bytes. */
#include "t.h"

#include "types/keys.h"

static const uint8_t secret[16] = {1, 2, 3};

static size_t any_key(char out[8])
{
    const size_t n = t_below(4);
    for (size_t i = 0; i < n; i++) out[i] = (char)t_below(3); /* zeros, too */
    return n;
}

static void each_is_kept_once(void)
{
    typedef struct known {
        char p[8];
        size_t n;
    } known;
    t_seed(1);
    ckv_keys x = ckv_keys_init(ckv_alloc_libc, secret);
    known v[64];
    uint32_t n_known = 0;
    for (int i = 0; i < 2000; i++) {
        known k = {.n = 0};
        uint32_t key, at = 0;
        k.n = any_key(k.p);
        while (at < n_known && (v[at].n != k.n || memcmp(v[at].p, k.p, k.n) != 0)) at++;
        T_EQ(ckv_keys_find(&x, k.p, k.n), at < n_known ? at : CKV_HMAP_NONE);
        if (t_one_in(3)) continue;
        T_EQ(ckv_keys_make(&x, k.p, k.n, &key), CKV_OK);
        T_EQ(key, at);
        if (at == n_known) v[n_known++] = k;
        T_BYTES(ckv_keys_bytes(&x, key), ckv_keys_len(&x, key), k.p, k.n);
    }
    for (uint32_t a = 0; a < n_known; a++) {
        for (uint32_t b = 0; b < n_known; b++) {
            const size_t n = v[a].n < v[b].n ? v[a].n : v[b].n;
            int c = memcmp(v[a].p, v[b].p, n);
            if (c == 0) c = v[a].n < v[b].n ? -1 : v[a].n > v[b].n;
            const int d = ckv_keys_order(&x, a, b);
            T_CHECK((c < 0) == (d < 0) && (c > 0) == (d > 0));
        }
    }
    T_EQ(n_known, 1 + 3 + 9 + 27);
    T_CHECK(ckv_keys_size(&x) > 0);
    ckv_keys_fini(&x);
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_keys x = ckv_keys_init(a, secret);
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; i < 60 && s == CKV_OK; i++) {
        uint32_t key;
        const size_t n = x.keys.len;
        s = ckv_keys_make(&x, &i, i % 4 ? 4 : 0, &key);
        if (s != CKV_OK) { /* no trace, and room for more later */
            T_EQ(x.keys.len, n);
            T_EQ(x.bytes.status, CKV_OK);
        }
    }
    ckv_keys_fini(&x);
    return s;
}

static void survives_every_failure(void) { T_CHECK(t_oom(scenario) >= 5); }

int main(void)
{
    T_RUN(each_is_kept_once);
    T_RUN(survives_every_failure);
    return t_done();
}
