/* Hash tables under attack: keys that were ground to collide for one process are nothing special to another. Row 38 of docs/security.md. */
#include "t.h"

#include "graph/ids.h"
#include "types/keys.h"

#define N_KEYS 400u

/* The most slots that finding a key of the map takes. */
static size_t longest(const ckv_hmap *m, const uint32_t *keys)
{
    size_t most = 0;
    for (uint32_t i = 0; i < N_KEYS; i++) {
        size_t at = ckv_hmap_home(m, keys[i]), n = 1;
        while (m->slots[at].key != keys[i]) at = (at + 1) & (m->cap - 1), n++;
        if (n > most) most = n;
    }
    return most;
}

static void fill(ckv_hmap *m, const uint32_t *keys)
{
    for (uint32_t i = 0; i < N_KEYS; i++) {
        T_EQ(ckv_hmap_reserve(m, 1), CKV_OK);
        ckv_hmap_set(m, keys[i], i);
    }
}

/* Numbers that all want one slot of a table of one secret are spread by another secret. */
static void ground_numbers_are_spread(void)
{
    uint32_t keys[N_KEYS], n = 0;
    ckv_hmap known = ckv_hmap_init(ckv_alloc_libc, 0x9e3779b9u), other = known;
    known.cap = 1024;
    for (uint32_t key = 1; n < N_KEYS; key++) {
        if (ckv_hmap_home(&known, key) == 7) keys[n++] = key;
    }
    known.cap = 0;
    fill(&known, keys);
    T_CHECK(longest(&known, keys) == N_KEYS); /* the attack works where the secret is known */
    for (int round = 0; round < 20; round++) {
        other.secret = (uint32_t)t_rand() | 1;
        fill(&other, keys);
        T_CHECK(longest(&other, keys) < N_KEYS / 4);
        ckv_hmap_fini(&other);
    }
    ckv_hmap_fini(&known);
}

/* Ids that have one fingerprint in one process have many in another. */
static void ground_ids_are_told_apart(void)
{
    const uint64_t known = 1, other = t_rand() | 1 << 20;
    uint32_t equal = 0;
    for (uint32_t i = 0; i < N_KEYS; i++) {
        const uint64_t a = t_rand(), b = a & 0xffffffff00000000u; /* with this secret a ^ b is it */
        ckv_id32 id = {{0}};
        memcpy(id.b, &a, 8);
        memcpy(id.b + 8, &b, 8);
        T_EQ(ckv_fingerprint(known, &id), 0);
        equal += ckv_fingerprint(other, &id) == 0;
    }
    T_CHECK(equal < 3);
}

/* The fingerprint of a map's key tells nothing without the secret. */
static void fingerprints_of_keys_are_secret(void)
{
    const uint8_t one[16] = {1}, two[16] = {2};
    ckv_keys x = ckv_keys_init(ckv_alloc_libc, one), y = ckv_keys_init(ckv_alloc_libc, two);
    uint32_t key, same = 0;
    T_EQ(ckv_keys_make(&x, "attack", 6, &key), CKV_OK);
    T_EQ(ckv_keys_make(&y, "attack", 6, &key), CKV_OK);
    for (size_t i = 0; i < x.by_bytes.cap; i++) {
        if (x.by_bytes.slots[i].value == CKV_HMAP_NONE) continue;
        size_t at = SIZE_MAX;
        same += ckv_hmap_probe(&y.by_bytes, x.by_bytes.slots[i].key, &at) != CKV_HMAP_NONE;
    }
    T_EQ(same, 0);
    ckv_keys_fini(&x);
    ckv_keys_fini(&y);
}

int main(void)
{
    T_RUN(ground_numbers_are_spread);
    T_RUN(ground_ids_are_told_apart);
    T_RUN(fingerprints_of_keys_are_secret);
    return t_done();
}
