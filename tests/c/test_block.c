/* Blocks: what was written is found and walked; bytes that are no block are refused, and never read past. */
#include "t.h"

#include "datastore/block.h"

#define MOST 300

typedef struct pair {
    uint8_t *key, *entry; /* each of exactly its size */
    uint32_t key_bytes, entry_bytes;
    bool is_bytes;
} pair;

typedef struct pairs {
    pair at[MOST];
    size_t n;
} pairs;

static uint8_t *own(const uint8_t *bytes, size_t n)
{
    uint8_t *p = malloc(n + !n);
    T_CHECK(p);
    if (n) memcpy(p, bytes, n);
    return p;
}

static ckv_store_key key_of(const pair *p)
{
    return (ckv_store_key){p->key_bytes ? p->key : NULL, p->key_bytes, p->is_bytes};
}

static int by_key(const void *a, const void *b)
{
    return ckv_store_key_compare(key_of(a), key_of(b));
}

/* Keys of few letters, so that they begin alike, ascending, each once. */
static void draw_pairs(pairs *out, size_t n, size_t longest)
{
    uint8_t bytes[CKV_MAX_KEY];
    out->n = 0;
    for (size_t i = 0; i < n; i++) {
        pair *p = &out->at[out->n];
        p->key_bytes = (uint32_t)t_below(longest + 1);
        for (size_t k = 0; k < p->key_bytes; k++)
            bytes[k] = (uint8_t)(k + 4 < p->key_bytes ? 'a' : 'a' + t_below(3));
        p->key = own(bytes, p->key_bytes);
        p->is_bytes = t_one_in(2);
        p->entry_bytes = 1 + (uint32_t)t_below(20);
        for (size_t k = 0; k < p->entry_bytes; k++) bytes[k] = (uint8_t)t_rand();
        p->entry = own(bytes, p->entry_bytes);
        bool is_new = true;
        for (size_t k = 0; k < out->n; k++) is_new &= by_key(&out->at[k], p) != 0;
        out->n += is_new;
        if (!is_new) free(p->key), free(p->entry);
    }
    qsort(out->at, out->n, sizeof *out->at, by_key);
}

static void free_pairs(pairs *p)
{
    for (size_t i = 0; i < p->n; i++) free(p->at[i].key), free(p->at[i].entry);
}

/* As many as fit; *n: how many. A copy of its own. */
static ckv_entry_bytes write_block(const pairs *p, size_t *n)
{
    ckv_block_writer w = ckv_block_writer_init(ckv_alloc_libc);
    ckv_entry_bytes block;
    for (*n = 0; *n < p->n; ++*n) {
        const pair *x = &p->at[*n];
        if (!ckv_block_has_room(&w, key_of(x), x->entry_bytes)) break;
        T_EQ(ckv_block_put(&w, key_of(x), (ckv_entry_bytes){x->entry, x->entry_bytes}), CKV_OK);
    }
    T_EQ(ckv_block_seal(&w, &block), CKV_OK);
    block.ptr = own(block.ptr, block.n_bytes);
    ckv_block_writer_fini(&w);
    return block;
}

static ckv_status lay_out(ckv_block_walk *w, ckv_entry_bytes block)
{
    ckv_buf_clear(&w->block);
    ckv_buf_bytes(&w->block, block.ptr, block.n_bytes);
    T_EQ(w->block.status, CKV_OK);
    return ckv_block_lay_out(w);
}

static void has_all(ckv_entry_bytes block, const pairs *p, size_t n)
{
    ckv_block_walk w = ckv_block_walk_init(ckv_alloc_libc);
    T_EQ(lay_out(&w, block), CKV_OK);
    T_EQ(w.items.len, n);
    for (size_t i = 0; i < p->n; i++) {
        const pair *x = &p->at[i];
        ckv_entry_bytes found;
        T_EQ(ckv_block_from(&w, key_of(x)), i < n ? i : n);
        T_EQ(ckv_block_find(block, key_of(x), &found), i < n ? CKV_OK : CKV_ENOENT);
        if (i >= n) continue;
        T_CHECK(ckv_store_key_compare(ckv_block_key(&w, i), key_of(x)) == 0);
        T_BYTES(found.ptr, found.n_bytes, x->entry, x->entry_bytes);
        found = ckv_block_entry(&w, i);
        T_BYTES(found.ptr, found.n_bytes, x->entry, x->entry_bytes);
    }
    ckv_block_walk_fini(&w);
}

static void block_finds_and_walks_what_was_written(void)
{
    static const uint16_t longest[] = {1, 3, 6, 20, 600, CKV_MAX_KEY};
    for (uint64_t seed = 1; seed <= 60; seed++) {
        t_seed(seed);
        pairs p, other;
        size_t n;
        draw_pairs(&p, 1 + t_below(MOST - 1), longest[seed % 6]);
        const ckv_entry_bytes block = write_block(&p, &n);
        T_CHECK(n > 0 && block.n_bytes <= CKV_BLOCK_BYTES + CKV_MAX_KEY + 100);
        if (n > 1) T_CHECK(block.n_bytes <= CKV_BLOCK_BYTES);
        has_all(block, &p, n);
        draw_pairs(&other, 100,
                   longest[seed % 6]); /* mostly not there, and between those that are */
        for (size_t i = 0; i < other.n; i++) {
            size_t k = 0;
            ckv_entry_bytes found;
            while (k < n && by_key(&p.at[k], &other.at[i]) != 0) k++;
            T_EQ(ckv_block_find(block, key_of(&other.at[i]), &found), k < n ? CKV_OK : CKV_ENOENT);
        }
        free((void *)(uintptr_t)block.ptr);
        free_pairs(&p);
        free_pairs(&other);
    }
}

static void entry_that_is_long_stands_alone(void)
{
    ckv_block_writer w = ckv_block_writer_init(ckv_alloc_libc);
    const size_t n = 3 << 20;
    uint8_t *entry = calloc(1, n);
    const ckv_store_key a = {(const uint8_t *)"a", 1, false}, b = {(const uint8_t *)"b", 1, false};
    ckv_entry_bytes block, found;
    T_CHECK(entry && ckv_block_has_room(&w, a, n));
    T_EQ(ckv_block_put(&w, a, (ckv_entry_bytes){entry, n}), CKV_OK);
    T_CHECK(!ckv_block_has_room(&w, b, 1));
    T_EQ(ckv_block_seal(&w, &block), CKV_OK);
    T_EQ(ckv_block_find(block, a, &found), CKV_OK);
    T_EQ(found.n_bytes, n);
    T_EQ(ckv_block_find(block, b, &found), CKV_ENOENT);
    ckv_block_clear(&w);
    T_EQ(ckv_block_put(&w, b, (ckv_entry_bytes){entry, 1}), CKV_OK);
    T_CHECK(!ckv_block_has_room(&w, (ckv_store_key){(const uint8_t *)"c", 1, false}, n));
    free(entry);
    ckv_block_writer_fini(&w);
}

/* Long keys that begin alike take few bytes in a block and many when written out: their number is bounded. */
static void keys_written_out_are_bounded(void)
{
    ckv_block_writer w = ckv_block_writer_init(ckv_alloc_libc);
    uint8_t key[CKV_MAX_KEY];
    ckv_entry_bytes block;
    size_t n = 0;
    memset(key, 'k', sizeof key);
    for (;; n++) {
        key[CKV_MAX_KEY - 1] = (uint8_t)n;
        const ckv_store_key k = {key, CKV_MAX_KEY, false};
        if (!ckv_block_has_room(&w, k, 1)) break;
        T_EQ(ckv_block_put(&w, k, (ckv_entry_bytes){key, 1}), CKV_OK);
    }
    T_EQ(n, CKV_BLOCK_KEYS / CKV_MAX_KEY);
    T_EQ(ckv_block_seal(&w, &block), CKV_OK);
    ckv_block_walk walk = ckv_block_walk_init(ckv_alloc_libc);
    T_EQ(lay_out(&walk, block), CKV_OK);
    T_EQ(walk.items.len, n);
    ckv_block_walk_fini(&walk);
    ckv_block_writer_fini(&w);
}

/* Whatever the bytes: no crash, no read past the end; a walk that succeeds ascends, and finding agrees with it. */
static void survives(ckv_entry_bytes bytes, const pairs *p)
{
    ckv_block_walk w = ckv_block_walk_init(ckv_alloc_libc);
    const ckv_status status = lay_out(&w, bytes);
    T_CHECK(status == CKV_OK || (status == CKV_ECORRUPT && w.items.len == 0));
    for (size_t i = 0; i + 1 < w.items.len; i++)
        T_CHECK(ckv_store_key_compare(ckv_block_key(&w, i), ckv_block_key(&w, i + 1)) < 0);
    for (size_t i = 0; i < p->n; i++) {
        ckv_entry_bytes found;
        const ckv_status s = ckv_block_find(bytes, key_of(&p->at[i]), &found);
        if (status != CKV_OK) {
            T_CHECK(s == CKV_OK || s == CKV_ENOENT || s == CKV_ECORRUPT);
            continue;
        }
        const size_t k = ckv_block_from(&w, key_of(&p->at[i]));
        const bool is_there =
            k < w.items.len && ckv_store_key_compare(ckv_block_key(&w, k), key_of(&p->at[i])) == 0;
        T_EQ(s, is_there ? CKV_OK : CKV_ENOENT);
    }
    ckv_block_walk_fini(&w);
}

static void flips_and_cuts_are_survived(void)
{
    t_seed(1);
    pairs p;
    size_t n;
    draw_pairs(&p, 40, 5);
    const ckv_entry_bytes block = write_block(&p, &n);
    for (size_t i = 0; i < block.n_bytes; i++) {
        uint8_t *b = own(block.ptr, block.n_bytes);
        for (int bit = 0; bit < 8; bit++) {
            b[i] ^= (uint8_t)(1 << bit);
            survives((ckv_entry_bytes){b, block.n_bytes}, &p);
            b[i] ^= (uint8_t)(1 << bit);
        }
        free(b);
        b = own(block.ptr, i); /* cut before byte i */
        survives((ckv_entry_bytes){b, i}, &p);
        free(b);
    }
    free((void *)(uintptr_t)block.ptr);
    free_pairs(&p);
}

static void is_refused(const void *bytes, size_t n)
{
    ckv_block_walk w = ckv_block_walk_init(ckv_alloc_libc);
    T_EQ(lay_out(&w, (ckv_entry_bytes){bytes, n}), CKV_ECORRUPT);
    T_EQ(w.items.len, 0);
    ckv_block_walk_fini(&w);
}

#define REFUSED(...)                                                                               \
    do {                                                                                           \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                             \
        is_refused(bytes_, sizeof bytes_);                                                         \
    } while (0)

static void every_rule_of_the_form_is_asked_for(void)
{
    static const uint8_t good[] = {0, 2, 1, 'a', 9, /* "a" */
                                   1, 2, 1, 'b', 8, /* "ab" */
                                   0, 2, 1, 'b', 7, /* "b" */
                                   1, 1, 1, 6,      /* b"b" */
                                   0, 0, 0, 0,   1, 0, 0, 0};
    ckv_block_walk w = ckv_block_walk_init(ckv_alloc_libc);
    T_EQ(lay_out(&w, (ckv_entry_bytes){good, sizeof good}), CKV_OK);
    T_EQ(w.items.len, 4);
    T_CHECK(ckv_block_key(&w, 3).is_bytes && !ckv_block_key(&w, 2).is_bytes);
    ckv_block_walk_fini(&w);
    is_refused(NULL, 0);
    REFUSED(1, 0, 0);                                             /* no room for a number */
    REFUSED(0, 0, 0, 0);                                          /* no restart */
    REFUSED(0, 0, 0, 0, 1, 0, 0, 0);                              /* no item */
    REFUSED(0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0);                  /* no item, two restarts */
    REFUSED(0, 2, 1, 'a', 9, 0, 0, 0, 0, 255, 255, 255, 255);     /* restarts beyond the bytes */
    REFUSED(0, 2, 1, 'a', 9, 1, 0, 0, 0, 1, 0, 0, 0);             /* a restart inside an item */
    REFUSED(0, 2, 1, 'a', 9, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0); /* one too many */
    REFUSED(0, 2, 0, 'a', 0, 0, 0, 0, 1, 0, 0, 0);                /* an empty entry */
    REFUSED(0, 2, 2, 'a', 9, 0, 0, 0, 0, 1, 0, 0, 0);             /* an entry beyond the items */
    REFUSED(0, 6, 1, 'a', 9, 0, 0, 0, 0, 1, 0, 0, 0);             /* a key beyond the items */
    REFUSED(1, 2, 1, 'a', 9, 0, 0, 0, 0, 1, 0, 0, 0);             /* the first shares something */
    REFUSED(0, 2, 1, 'a', 9, 2, 2, 1, 'b', 8, 0, 0, 0, 0, 1, 0, 0, 0);      /* more than there is */
    REFUSED(0, 2, 1, 'a', 9, 0, 4, 1, 'a', 'b', 8, 0, 0, 0, 0, 1, 0, 0, 0); /* less than there is */
    REFUSED(0, 2, 1, 'b', 9, 0, 2, 1, 'a', 8, 0, 0, 0, 0, 1, 0, 0, 0);      /* descending */
    REFUSED(0, 2, 1, 'b', 9, 1, 0, 1, 8, 0, 0, 0, 0, 1, 0, 0, 0);           /* twice the same */
    REFUSED(0, 3, 1, 'b', 9, 1, 0, 1, 8, 0, 0, 0, 0, 1, 0, 0, 0);           /* bytes before str */
    REFUSED(0x81, 0x20, 2, 1, 'a', 9, 0, 0, 0, 0, 1, 0, 0, 0);    /* shares more than a key has */
    REFUSED(0, 0x82, 0x80, 1, 1, 'a', 9, 0, 0, 0, 0, 1, 0, 0, 0); /* a key that is too long */
}

/* A restart that is made to stand elsewhere is not followed out of the items. */
static void search_stays_within_the_items(void)
{
    uint8_t b[] = {0, 2, 1, 'a', 9, 4, 0, 0, 0, 1, 0, 0, 0};
    const ckv_store_key key = {(const uint8_t *)"a", 1, false};
    ckv_entry_bytes found;
    for (unsigned at = 0; at < 256; at++) {
        b[5] = (uint8_t)at;
        const ckv_status s = ckv_block_find((ckv_entry_bytes){b, sizeof b}, key, &found);
        T_CHECK(at == 0 ? s == CKV_OK : s == CKV_ECORRUPT || s == CKV_ENOENT);
    }
    uint8_t shares[] = {1, 2, 1, 'a', 9, 0, 0, 0, 0, 1, 0, 0, 0};
    T_EQ(ckv_block_find((ckv_entry_bytes){shares, sizeof shares}, key, &found), CKV_ECORRUPT);
}

static ckv_status write_and_walk(ckv_alloc a)
{
    ckv_block_writer w = ckv_block_writer_init(a);
    ckv_block_walk walk = ckv_block_walk_init(a);
    ckv_entry_bytes block;
    uint8_t key[200] = {0};
    ckv_status status = CKV_OK;
    for (uint8_t i = 0; status == CKV_OK && i < 60; i++) {
        key[0] = i;
        status = ckv_block_put(&w, (ckv_store_key){key, 60 + i, true}, (ckv_entry_bytes){key, 50});
    }
    if (status == CKV_OK) status = ckv_block_seal(&w, &block);
    if (status == CKV_OK) {
        ckv_buf_bytes(&walk.block, block.ptr, block.n_bytes);
        status = walk.block.status;
    }
    if (status == CKV_OK) status = ckv_block_lay_out(&walk);
    if (status == CKV_OK) T_EQ(walk.items.len, 60);
    ckv_block_walk_fini(&walk);
    ckv_block_writer_fini(&w);
    return status;
}

static void no_memory_is_said(void) { T_CHECK(t_oom(write_and_walk) > 5); }

int main(void)
{
    T_RUN(block_finds_and_walks_what_was_written);
    T_RUN(entry_that_is_long_stands_alone);
    T_RUN(keys_written_out_are_bounded);
    T_RUN(flips_and_cuts_are_survived);
    T_RUN(every_rule_of_the_form_is_asked_for);
    T_RUN(search_stays_within_the_items);
    T_RUN(no_memory_is_said);
    return t_done();
}
