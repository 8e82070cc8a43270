/* The index in lockstep with a sorted array: a pool of keys, and for each of them a set of members, which union joins. */
#include "t.h"

#include "crypto/digest.h"
#include "datastore/index_state.h"

#define POOL    300
#define MEMBERS 64

typedef struct pool_key {
    uint8_t *bytes; /* of exactly its size, so that a sanitizer sees who reads on */
    ckv_store_key key;
} pool_key;

static pool_key pool[POOL]; /* ascending */

typedef struct twin {
    uint64_t sets[POOL]; /* 0: not there */
} twin;

/* ---- entries: members ascending, each with a filler that follows from it; some are long, one is longer than a block */

static size_t filler(unsigned member)
{
    return member == 63 ? 9000 : member % 16 == 15 ? 700 : member % 7;
}

static void write_set(ckv_buf *out, uint64_t set)
{
    for (unsigned m = 0; m < MEMBERS; m++) {
        if (!(set >> m & 1)) continue;
        ckv_buf_u8(out, (uint8_t)m);
        for (size_t i = filler(m); i > 0; i--) ckv_buf_u8(out, (uint8_t)(m ^ i));
    }
}

/* Sets one behind the other, as they are in a pile: their union. *ascends: there is but one. */
static bool read_sets(ckv_entry_bytes entry, uint64_t *set, bool *ascends)
{
    unsigned last = 0;
    *set = 0;
    *ascends = true;
    for (size_t at = 0; at < entry.n_bytes;) {
        const unsigned m = entry.ptr[at++];
        if (m >= MEMBERS || entry.n_bytes - at < filler(m)) return false;
        for (size_t i = filler(m); i > 0; i--)
            if (entry.ptr[at++] != (uint8_t)(m ^ i)) return false;
        *ascends &= *set == 0 || last < m;
        *set |= (uint64_t)1 << m;
        last = m;
    }
    return *set != 0;
}

static uint64_t set_of(ckv_entry_bytes entry)
{
    uint64_t set;
    bool ascends;
    T_CHECK(read_sets(entry, &set, &ascends) && ascends);
    return set;
}

static ckv_status join_sets(void *ctx, ckv_entry_bytes a, ckv_entry_bytes b, ckv_buf *out)
{
    uint64_t pile;
    bool ascends;
    (void)ctx;
    T_CHECK(read_sets(b, &pile, &ascends));
    write_set(out, set_of(a) | pile);
    return out->status;
}

/* Keeps even members; and reads in the index, if it is given one. */
static ckv_status filter_even(void *ctx, ckv_store_key key, ckv_entry_bytes entry, ckv_buf *out)
{
    const uint64_t set = set_of(entry);
    write_set(out, set & 0x5555555555555555u);
    if (ctx) {
        ckv_buf all = ckv_buf_init(ckv_alloc_libc);
        T_EQ(ckv_index_get(ctx, key, &all), CKV_OK);
        T_CHECK(set_of((ckv_entry_bytes){all.ptr, all.len}) == set);
        ckv_buf_fini(&all);
    }
    return out->status;
}

/* ---- the pool: all shapes of keys */

static int by_key(const void *a, const void *b)
{
    return ckv_store_key_compare(((const pool_key *)a)->key, ((const pool_key *)b)->key);
}

static pool_key new_key(const void *bytes, size_t n, bool is_bytes)
{
    pool_key k = {.bytes = malloc(n + !n)};
    T_CHECK(k.bytes);
    if (n) memcpy(k.bytes, bytes, n);
    k.key = (ckv_store_key){n ? k.bytes : NULL, (uint32_t)n, is_bytes};
    return k;
}

static pool_key draw_key(void)
{
    uint8_t b[CKV_MAX_KEY];
    size_t n = 16;
    switch (t_below(4)) {
    case 0: n = (size_t)snprintf((char *)b, sizeof b, "user:%06u", (unsigned)t_below(400)); break;
    case 1:
        n = t_below(4);
        for (size_t i = 0; i < n; i++) b[i] = (uint8_t)t_below(3);
        break;
    case 2:
        for (size_t i = 0; i < n; i++) b[i] = (uint8_t)t_rand();
        break;
    default:
        memset(b, 'x', sizeof b);
        n = t_one_in(2) ? CKV_MAX_KEY : 4090;
        b[t_below(2) ? 4000 + t_below(90) : t_below(90)] = (uint8_t)('w' + t_below(3));
    }
    return new_key(b, n, t_one_in(3));
}

static void make_pool(void)
{
    t_seed(1);
    for (size_t n = 0; n < POOL;) {
        pool_key k = n == 0 ? new_key("", 0, false) : n == 1 ? new_key("", 0, true) : draw_key();
        bool is_new = true;
        for (size_t i = 0; i < n; i++) is_new &= by_key(&pool[i], &k) != 0;
        if (is_new)
            pool[n++] = k;
        else
            free(k.bytes);
    }
    qsort(pool, POOL, sizeof *pool, by_key);
}

static void free_pool(void)
{
    for (size_t i = 0; i < POOL; i++) free(pool[i].bytes);
}

static size_t number_of(ckv_store_key key)
{
    for (size_t i = 0; i < POOL; i++)
        if (ckv_store_key_compare(pool[i].key, key) == 0) return i;
    t_fail(__FILE__, __LINE__, "a key that nobody put");
}

/* ---- the world */

static ckv_id32 file_key;

static ckv_file *open_file(const char *path)
{
    ckv_file *f;
    char why[256];
    int64_t pid;
    const ckv_file_options o = {.path = path, .mode = CKV_FILE_WRITE, .sync = CKV_SYNC_NORMAL};
    T_EQ(ckv_file_open(&f, ckv_alloc_libc, &o, why, &pid), CKV_OK);
    return f;
}

static void run_sql(ckv_file *f, const char *sql)
{
    ckv_stmt *s;
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_stmt_new(&s, f, sql), CKV_OK);
    T_EQ(ckv_stmt_run(s), CKV_OK);
    ckv_stmt_free(s);
    T_EQ(ckv_file_commit(f), CKV_OK);
}

static int64_t ask_sql(ckv_file *f, const char *sql)
{
    ckv_stmt *s;
    T_EQ(ckv_stmt_new(&s, f, sql), CKV_OK);
    T_EQ(ckv_stmt_step(s), CKV_OK);
    const int64_t answer = ckv_stmt_int(s, 0);
    ckv_stmt_free(s);
    return answer;
}

static ckv_index *open_index_with(ckv_file *f, ckv_alloc a, bool expect_sound)
{
    ckv_index *x;
    bool sound = !expect_sound;
    T_EQ(ckv_index_open(&x, a, f, 1, 0, join_sets, NULL, &sound), CKV_OK);
    T_EQ(sound, expect_sound);
    return x;
}

static ckv_index *open_index(ckv_file *f) { return open_index_with(f, ckv_alloc_libc, true); }

static ckv_status add(ckv_index *x, size_t i, uint64_t set)
{
    ckv_buf entry = ckv_buf_init(ckv_alloc_libc);
    write_set(&entry, set);
    const ckv_status status =
        ckv_index_add(x, pool[i].key, (ckv_entry_bytes){entry.ptr, entry.len});
    ckv_buf_fini(&entry);
    return status;
}

static uint64_t get(ckv_index *x, size_t i)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_u8(&out, 'p'); /* it appends */
    const ckv_status status = ckv_index_get(x, pool[i].key, &out);
    uint64_t set = 0;
    if (status == CKV_OK) set = set_of((ckv_entry_bytes){out.ptr + 1, out.len - 1});
    if (status != CKV_OK) T_EQ(out.len, 1);
    if (status != CKV_OK) T_EQ(status, CKV_ENOENT);
    ckv_buf_fini(&out);
    return set;
}

static void flush(ckv_file *f, ckv_index *x)
{
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_index_flush(x), CKV_OK);
    T_EQ(ckv_file_commit(f), CKV_OK);
    ckv_index_flushed(x);
}

static void is_valid(ckv_index *x)
{
    const char *why = NULL;
    int64_t block;
    T_VALID(ckv_index_check(x, &why, &block), why);
}

/* One range, both ways. lo and hi are numbers of keys; hi POOL and lo -1: no bound. */
static void is_range(ckv_index *x, const twin *t, int lo, int hi, bool reverse)
{
    ckv_index_scan *scan;
    T_EQ(ckv_index_scan_new(&scan, x, lo >= 0 ? &pool[lo].key : NULL,
                            hi < POOL ? &pool[hi].key : NULL, reverse),
         CKV_OK);
    ckv_store_key key;
    ckv_entry_bytes entry;
    for (int k = 0; k < POOL; k++) {
        const int i = reverse ? POOL - 1 - k : k;
        if (i < lo || i >= hi || !t->sets[i]) continue;
        T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_OK);
        T_CHECK(ckv_store_key_compare(key, pool[i].key) == 0);
        T_CHECK(set_of(entry) == t->sets[i]);
    }
    T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_ENOENT);
    T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_ENOENT);
    ckv_index_scan_free(scan);
}

static void is_twin(ckv_index *x, const twin *t)
{
    for (size_t i = 0; i < POOL; i++) T_CHECK(get(x, i) == t->sets[i]);
    is_range(x, t, -1, POOL, false);
    is_range(x, t, -1, POOL, true);
}

static uint64_t draw_set(void)
{
    uint64_t set = 0;
    for (uint64_t n = 1 + t_below(3); n; n--) set |= (uint64_t)1 << t_below(t_one_in(40) ? 64 : 63);
    return set;
}

static void add_some(ckv_index *x, twin *t, size_t n)
{
    for (; n; n--) {
        const size_t i = t_below(POOL);
        const uint64_t set = draw_set();
        T_EQ(add(x, i, set), CKV_OK);
        t->sets[i] |= set;
    }
}

/* A walk while others write: what was there all the time comes, once, in order; what comes is or was so. */
static void walk_while_writing(ckv_file *f, ckv_index *x, twin *t)
{
    const twin before = *t;
    const bool reverse = t_one_in(2);
    ckv_index_scan *scan;
    ckv_store_key key;
    ckv_entry_bytes entry;
    ckv_status status;
    size_t n = 0;
    uint64_t sets[POOL] = {0};
    int64_t last = reverse ? POOL : -1;
    T_EQ(ckv_index_scan_new(&scan, x, NULL, NULL, reverse), CKV_OK);
    while ((status = ckv_index_scan_next(scan, &key, &entry)) == CKV_OK) {
        const int64_t i = (int64_t)number_of(key);
        T_CHECK(reverse ? i < last : i > last);
        last = i;
        sets[i] = set_of(entry);
        T_CHECK(sets[i] == t->sets[i]); /* what is known now, not what was known at the beginning */
        n++;
        if (t_one_in(4)) add_some(x, t, 1 + t_below(3));
        if (t_one_in(20)) flush(f, x);
    }
    T_EQ(status, CKV_ENOENT);
    for (size_t i = 0; i < POOL; i++) T_CHECK(!before.sets[i] || sets[i]);
    ckv_index_scan_free(scan);
}

/* ---- tests */

static void index_does_what_an_array_does(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        t_seed(seed);
        ckv_file *f = open_file(NULL);
        if (seed % 2) ckv_file_set_key(f, &file_key);
        ckv_index *x = open_index(f);
        twin now = {{0}}, kept = {{0}};
        for (int k = 0; k < 400; k++) {
            switch (t_below(14)) {
            case 0:
            case 1:
                flush(f, x);
                kept = now;
                break;
            case 2: /* a transaction that fails */
                T_EQ(ckv_file_begin(f), CKV_OK);
                T_EQ(ckv_index_flush(x), CKV_OK);
                if (t_one_in(2)) is_twin(x, &now);
                if (t_one_in(2)) {
                    twin more = now;
                    add_some(x, &more, 3);
                    if (t_one_in(2)) T_EQ(ckv_index_flush(x), CKV_OK);
                    is_range(x, &more, -1, POOL, t_one_in(2));
                }
                ckv_file_rollback(f);
                ckv_index_unflushed(x);
                break;
            case 3:
                if (t_one_in(3)) {
                    ckv_index_free(x); /* memory is gone */
                    x = open_index(f);
                    now = kept;
                }
                break;
            case 4:
                if (t_one_in(6)) {
                    const bool filters = t_one_in(2);
                    T_EQ(ckv_file_begin(f), CKV_OK);
                    T_EQ(ckv_index_rewrite(x, filters ? filter_even : NULL, t_one_in(2) ? x : NULL),
                         CKV_OK);
                    T_EQ(ckv_file_commit(f), CKV_OK);
                    ckv_index_flushed(x);
                    for (size_t i = 0; filters && i < POOL; i++) now.sets[i] &= 0x5555555555555555u;
                    kept = now;
                    ckv_index_stats s;
                    ckv_index_figures(x, &s);
                    T_CHECK(s.runs <= 1 && s.memory_entries == 0);
                }
                break;
            case 5:
                if (t_one_in(30)) {
                    T_EQ(ckv_file_begin(f), CKV_OK);
                    T_EQ(ckv_index_clear(x), CKV_OK);
                    T_EQ(ckv_file_commit(f), CKV_OK);
                    ckv_index_flushed(x);
                    memset(&now, 0, sizeof now);
                    kept = now;
                    T_EQ(ask_sql(f, "SELECT count(*) FROM block"), 0);
                }
                break;
            case 6: {
                const int lo = (int)t_below(POOL + 1) - 1, hi = (int)t_below(POOL + 1);
                is_range(x, &now, lo, hi, t_one_in(2));
                break;
            }
            case 7:
                if (t_one_in(4)) walk_while_writing(f, x, &now);
                kept = now;
                flush(f, x);
                break;
            default: add_some(x, &now, 1 + t_below(t_one_in(5) ? 200 : 20));
            }
            if (k % 50 == 0) {
                is_twin(x, &now);
                is_valid(x);
            }
        }
        is_twin(x, &now);
        is_valid(x);
        ckv_index_free(x);
        ckv_file_close(f);
    }
}

/* ---- keys and entries at their limits */

static void keys_of_all_lengths_have_their_order(void)
{
    ckv_file *f = open_file(NULL);
    ckv_index *x = open_index(f);
    uint8_t longest[CKV_MAX_KEY + 1];
    memset(longest, 'k', sizeof longest);
    const ckv_store_key keys[] = {{NULL, 0, false},
                                  {NULL, 0, true},
                                  {longest, 1, false},
                                  {longest, 1, true},
                                  {longest, CKV_MAX_KEY, false},
                                  {longest, CKV_MAX_KEY, true}};
    const uint8_t entry[] = {5, 0, 7, 6, 1, 3}; /* 5 members: not one of the twin's entries */
    const ckv_entry_bytes one = {entry, 1};
    T_EQ(ckv_index_add(x, (ckv_store_key){longest, CKV_MAX_KEY + 1, false}, one), CKV_ELIMIT);
    for (int k = 5; k >= 0; k--) T_EQ(ckv_index_add(x, keys[k], one), CKV_OK);
    T_EQ(ckv_index_add(x, keys[0], (ckv_entry_bytes){NULL, 0}), CKV_OK); /* says nothing */
    for (int round = 0; round < 2; round++) {
        for (int reverse = 0; reverse < 2; reverse++) {
            ckv_index_scan *scan;
            ckv_store_key key;
            ckv_entry_bytes found;
            T_EQ(ckv_index_scan_new(&scan, x, NULL, NULL, reverse), CKV_OK);
            for (int k = 0; k < 6; k++) {
                T_EQ(ckv_index_scan_next(scan, &key, &found), CKV_OK);
                T_CHECK(ckv_store_key_compare(key, keys[reverse ? 5 - k : k]) == 0);
                T_BYTES(found.ptr, found.n_bytes, entry, 1);
            }
            T_EQ(ckv_index_scan_next(scan, &key, &found), CKV_ENOENT);
            ckv_index_scan_free(scan);
        }
        flush(f, x);
    }
    is_valid(x);
    ckv_index_free(x);
    ckv_file_close(f);
}

static ckv_status join_longer(void *ctx, ckv_entry_bytes a, ckv_entry_bytes b, ckv_buf *out)
{
    (void)ctx;
    const ckv_entry_bytes longer = a.n_bytes > b.n_bytes ? a : b;
    ckv_buf_bytes(out, longer.ptr, longer.n_bytes);
    return out->status;
}

static void entries_of_some_mib_come_back(void)
{
    ckv_file *f = open_file(NULL);
    ckv_index *x;
    bool sound;
    const size_t most = (3u << 20) + 17;
    uint8_t *bytes = malloc(most);
    T_CHECK(bytes);
    for (size_t i = 0; i < most; i++) bytes[i] = (uint8_t)(i * 7 + i / 256);
    T_EQ(ckv_index_open(&x, ckv_alloc_libc, f, 3, 1, join_longer, NULL, &sound), CKV_OK);
    for (uint8_t k = 0; k < 12; k++) {
        const size_t n = k % 3 == 0 ? most - k : k % 3 == 1 ? 9000u + k : 5;
        T_EQ(ckv_index_add(x, (ckv_store_key){&k, 1, true}, (ckv_entry_bytes){bytes, n}), CKV_OK);
        if (k % 4 == 3) flush(f, x);
    }
    for (int round = 0; round < 2; round++) {
        for (uint8_t k = 0; k < 12; k++) {
            const size_t n = k % 3 == 0 ? most - k : k % 3 == 1 ? 9000u + k : 5;
            ckv_buf out = ckv_buf_init(ckv_alloc_libc);
            T_EQ(ckv_index_get(x, (ckv_store_key){&k, 1, true}, &out), CKV_OK);
            T_BYTES(out.ptr, out.len, bytes, n);
            ckv_buf_fini(&out);
        }
        is_valid(x);
        T_EQ(ckv_file_begin(f), CKV_OK);
        T_EQ(ckv_index_rewrite(x, NULL, NULL), CKV_OK);
        T_EQ(ckv_file_commit(f), CKV_OK);
        ckv_index_flushed(x);
    }
    free(bytes);
    ckv_index_free(x);
    ckv_file_close(f);
}

/* Nothing is left of two entries that are equal. (No join of a lattice; an index only sees the bytes.) */
static ckv_status join_unless_equal(void *ctx, ckv_entry_bytes a, ckv_entry_bytes b, ckv_buf *out)
{
    (void)ctx;
    if (a.n_bytes == b.n_bytes && memcmp(a.ptr, b.ptr, a.n_bytes) == 0) return CKV_OK;
    ckv_buf_bytes(out, a.ptr, a.n_bytes);
    return out->status;
}

static void keys_of_which_nothing_is_left_are_not_there(void)
{
    ckv_file *f = open_file(NULL);
    ckv_index *x;
    bool sound;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    const uint8_t a[] = "a", b[] = "b";
    const ckv_store_key ka = {a, 1, false}, kb = {b, 1, false};
    ckv_store_key key;
    ckv_entry_bytes entry;
    T_EQ(ckv_index_open(&x, ckv_alloc_libc, f, 1, 0, join_unless_equal, NULL, &sound), CKV_OK);
    T_EQ(ckv_index_add(x, ka, (ckv_entry_bytes){a, 1}), CKV_OK);
    T_EQ(ckv_index_add(x, ka, (ckv_entry_bytes){a, 1}), CKV_OK); /* both in memory */
    T_EQ(ckv_index_memory(x), 0);
    T_EQ(ckv_index_add(x, ka, (ckv_entry_bytes){a, 1}), CKV_OK);
    T_EQ(ckv_index_add(x, kb, (ckv_entry_bytes){b, 1}), CKV_OK);
    flush(f, x);
    T_EQ(ckv_index_add(x, ka, (ckv_entry_bytes){a, 1}), CKV_OK);
    T_EQ(ckv_index_get(x, ka, &out), CKV_ENOENT);
    ckv_index_scan *scan;
    T_EQ(ckv_index_scan_new(&scan, x, NULL, NULL, false), CKV_OK);
    T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_OK);
    T_CHECK(ckv_store_key_compare(key, kb) == 0);
    T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_ENOENT);
    ckv_index_scan_free(scan);
    T_EQ(ckv_index_add(x, kb, (ckv_entry_bytes){b, 1}), CKV_OK);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_index_rewrite(x, NULL, NULL), CKV_OK); /* nothing: no run */
    T_EQ(ckv_file_commit(f), CKV_OK);
    ckv_index_flushed(x);
    T_EQ(ask_sql(f, "SELECT (SELECT count(*) FROM run) + (SELECT count(*) FROM block)"), 0);
    is_valid(x);
    ckv_buf_fini(&out);
    ckv_index_free(x);
    ckv_file_close(f);
}

static void walk_survives_a_clear(void)
{
    t_seed(3);
    ckv_file *f = open_file(NULL);
    ckv_index *x = open_index(f);
    twin t = {{0}};
    add_some(x, &t, 200);
    flush(f, x);
    add_some(x, &t, 200);
    ckv_index_scan *scan;
    ckv_store_key key;
    ckv_entry_bytes entry;
    T_EQ(ckv_index_scan_new(&scan, x, NULL, NULL, false), CKV_OK);
    for (int i = 0; i < 20; i++) T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_OK);
    const size_t last = number_of(key);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_index_clear(x), CKV_OK);
    T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_ENOENT);
    ckv_file_rollback(f);
    ckv_index_unflushed(x); /* all is back */
    size_t next = last + 1;
    while (!t.sets[next]) next++;
    T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_OK);
    T_EQ(number_of(key), next);
    is_twin(x, &t);
    ckv_index_scan_free(scan);
    ckv_index_free(x);
    ckv_file_close(f);
}

/* Entries are numbers, ascending; *ctx counts bytes that were joined. */
static ckv_status join_numbers(void *ctx, ckv_entry_bytes a, ckv_entry_bytes b, ckv_buf *out)
{
    static uint8_t have[1 << 16];
    memset(have, 0, sizeof have);
    *(uint64_t *)ctx += a.n_bytes + b.n_bytes;
    for (size_t i = 0; i < a.n_bytes; i += 2) have[a.ptr[i] << 8 | a.ptr[i + 1]] = 1;
    for (size_t i = 0; i < b.n_bytes; i += 2) have[b.ptr[i] << 8 | b.ptr[i + 1]] = 1;
    for (size_t i = 0; i < sizeof have; i++) {
        if (!have[i]) continue;
        ckv_buf_u8(out, (uint8_t)(i >> 8));
        ckv_buf_u8(out, (uint8_t)i);
    }
    return out->status;
}

/* What comes one by one to one key is joined in piles, with about as many bytes as there are in the end. */
static void a_crowded_key_is_joined_seldom(void)
{
    enum { N = 20000 };
    ckv_file *f = open_file(NULL);
    ckv_index *x;
    bool sound;
    uint64_t joined = 0;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    const ckv_store_key key = {(const uint8_t *)"k", 1, false};
    T_EQ(ckv_index_open(&x, ckv_alloc_libc, f, 1, 0, join_numbers, &joined, &sound), CKV_OK);
    for (uint32_t i = 0; i < N; i++) {
        const uint32_t n = i * 40503u % 65536;
        const uint8_t bytes[] = {(uint8_t)(n >> 8), (uint8_t)n};
        T_EQ(ckv_index_add(x, key, (ckv_entry_bytes){bytes, 2}), CKV_OK);
    }
    T_CHECK(joined < 3 * 2 * N);
    is_valid(x);
    joined = 0;
    for (int i = 0; i < 3; i++) {
        ckv_buf_clear(&out);
        T_EQ(ckv_index_get(x, key, &out), CKV_OK);
        T_EQ(out.len, 2 * N);
    }
    T_EQ(joined, 2 * N); /* by the first one who looks */
    is_valid(x);
    ckv_buf_fini(&out);
    ckv_index_free(x);
    ckv_file_close(f);
}

/* Small ones do not pile up, and do not make the large ones be written again each time. */
static void runs_stay_few(void)
{
    t_seed(4);
    ckv_file *f = open_file(NULL);
    ckv_index *x;
    bool sound;
    uint8_t filler[2000] = {0};
    T_EQ(ckv_index_open(&x, ckv_alloc_libc, f, 1, 0, join_longer, NULL, &sound), CKV_OK);
    uint64_t written = 0;
    for (uint64_t k = 0; k < 2500; k++) {
        ckv_index_stats s;
        ckv_index_figures(x, &s);
        const uint64_t before = s.blocks;
        const uint64_t name = t_rand();
        uint8_t bytes[8];
        memcpy(bytes, &name, 8);
        const ckv_entry_bytes entry = {filler, sizeof filler};
        T_EQ(ckv_index_add(x, (ckv_store_key){bytes, 8, true}, entry), CKV_OK);
        if (k % 5 != 4) continue;
        flush(f, x);
        ckv_index_figures(x, &s);
        T_CHECK(s.runs < 12);
        written += s.blocks > before ? s.blocks - before : before; /* at least */
    }
    is_valid(x);
    T_EQ(ask_sql(f, "SELECT sum(n_keys) FROM run"), 2500);
    T_CHECK(written < 60000);
    ckv_index_free(x);
    ckv_file_close(f);
}

/* ---- bytes of others */

/* Some runs and some memory. */
static void fill(ckv_file *f, ckv_index *x, twin *t)
{
    t_seed(9);
    memset(t, 0, sizeof *t);
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < POOL; i++) {
            if (t_one_in(3)) continue;
            const uint64_t set = draw_set() & ~((uint64_t)1 << 63);
            T_EQ(add(x, i, set), CKV_OK);
            t->sets[i] |= set;
        }
        flush(f, x);
    }
}

/* Opens, finds it unsound; then it can be filled anew. */
static void is_unsound(ckv_file *f)
{
    twin t;
    ckv_index *x = open_index_with(f, ckv_alloc_libc, false);
    const twin none = {{0}};
    is_twin(x, &none);
    T_EQ(ckv_index_stands_for(x).n_bytes, 0);
    const char *why;
    int64_t block;
    T_CHECK(!ckv_index_check(x, &why, &block));
    T_EQ(ckv_file_begin(f), CKV_OK); /* one that fails does not make it sound */
    T_EQ(ckv_index_flush(x), CKV_OK);
    ckv_file_rollback(f);
    ckv_index_unflushed(x);
    T_CHECK(!ckv_index_check(x, &why, &block));
    fill(f, x, &t);
    is_valid(x);
    ckv_index_free(x);
    x = open_index(f);
    is_twin(x, &t);
    is_valid(x);
    ckv_index_free(x);
    T_EQ(ask_sql(f, "SELECT count(*) FROM block WHERE id >> 32 NOT IN (SELECT id FROM run)"), 0);
}

static void what_is_not_sealed_is_not_believed(void)
{
    static const char *const wrongs[] = {
        "DELETE FROM run WHERE id = (SELECT max(id) FROM run)",
        "DELETE FROM run WHERE id = (SELECT min(id) FROM run)",
        "DELETE FROM meta WHERE key = 'index:1:0'",
        "UPDATE meta SET value = x'' WHERE key = 'index:1:0'",
        "UPDATE meta SET value = 7 WHERE key = 'index:1:0'",
        "UPDATE meta SET value = zeroblob(100) WHERE key = 'index:1:0'",
        "UPDATE meta SET value = substr(value, 2) WHERE key = 'index:1:0'",
        "UPDATE meta SET value = CAST(value || x'00' AS BLOB) WHERE key = 'index:1:0'",
        "UPDATE run SET n_keys = n_keys + 1 WHERE id = (SELECT max(id) FROM run)",
        "UPDATE run SET n_keys = 0",
        "UPDATE run SET level = level + 1",
        "UPDATE run SET level = -1",
        "UPDATE run SET level = 1 << 40",
        "UPDATE run SET directory = x''",
        "UPDATE run SET directory = x'01'",
        "UPDATE run SET directory = CAST(x'02' || substr(directory, 2) AS BLOB)",
        "UPDATE run SET directory = CAST(directory || x'00' AS BLOB)",
        "UPDATE run SET directory = CAST(x'01FFFFFFFF070101' || substr(directory, 9) AS BLOB)",
        "UPDATE run SET id = id + 100",
        "UPDATE run SET id = id - 1000",
        "UPDATE run SET id = id + (1 << 40)",
        "UPDATE run SET object = 2 WHERE id = (SELECT max(id) FROM run)",
        "UPDATE run SET space = 1 WHERE id = (SELECT max(id) FROM run)",
        "INSERT INTO run SELECT max(id) + 1, object, space, level, n_keys, directory FROM run",
        "DELETE FROM block",
        "DELETE FROM block WHERE id IN (SELECT max(id) FROM block)", /* of a directory */
        "UPDATE block SET data = x'' WHERE id IN (SELECT max(id) FROM block)",
        "UPDATE block SET data = CAST(data || x'00' AS BLOB) WHERE id IN (SELECT max(id) FROM "
        "block)",
        "UPDATE block SET data = zeroblob(length(data)) WHERE id IN (SELECT max(id) FROM block)",
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        for (int keyed = 0; keyed < 2; keyed++) {
            ckv_file *f = open_file(NULL);
            if (keyed) ckv_file_set_key(f, &file_key);
            ckv_index *x = open_index(f);
            twin t;
            fill(f, x, &t);
            ckv_index_free(x);
            run_sql(f, wrongs[i]);
            is_unsound(f);
            ckv_file_close(f);
        }
    }
}

/* Whoever has not the key can make a set that parses, and no more. */
static void seals_are_of_the_key(void)
{
    ckv_file *f = open_file(NULL);
    ckv_id32 other = file_key;
    twin t;
    ckv_index *x = open_index(f);
    fill(f, x, &t);
    ckv_index_free(x);
    x = open_index(f); /* no key: digests count */
    is_twin(x, &t);
    ckv_index_free(x);
    ckv_file_set_key(f, &file_key);
    is_unsound(f);
    x = open_index(f);
    ckv_index_free(x);
    other.b[31] ^= 1;
    ckv_file_set_key(f, &other);
    is_unsound(f);
    /* What an honest run of before says is refused, too: the set does not name it. */
    x = open_index(f);
    fill(f, x, &t);
    ckv_index_free(x);
    run_sql(f, "INSERT INTO meta SELECT 'kept', value FROM meta WHERE key = 'index:1:0'");
    x = open_index(f);
    add_some(x, &t, 5);
    flush(f, x);
    ckv_index_free(x);
    run_sql(f, "UPDATE meta SET value = (SELECT value FROM meta WHERE key = 'kept')"
               " WHERE key = 'index:1:0'");
    is_unsound(f);
    ckv_file_close(f);
}

static void it_says_what_it_stands_for(void)
{
    ckv_file *f = open_file(NULL);
    ckv_index *x = open_index(f);
    uint8_t tag[CKV_INDEX_TAG];
    memset(tag, 3, sizeof tag);
    T_EQ(ckv_index_stands_for(x).n_bytes, 0);
    ckv_index_stand_for(x, tag, sizeof tag);
    T_EQ(ckv_index_stands_for(x).n_bytes, 0); /* not yet */
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_index_flush(x), CKV_OK);
    ckv_file_rollback(f);
    ckv_index_unflushed(x);
    T_EQ(ckv_index_stands_for(x).n_bytes, 0);
    ckv_index_stand_for(x, tag, sizeof tag);
    flush(f, x);
    T_BYTES(ckv_index_stands_for(x).ptr, ckv_index_stands_for(x).n_bytes, tag, sizeof tag);
    ckv_index_free(x);
    x = open_index(f);
    T_BYTES(ckv_index_stands_for(x).ptr, ckv_index_stands_for(x).n_bytes, tag, sizeof tag);
    ckv_index_stand_for(x, "x", 1);
    flush(f, x);
    ckv_index_free(x);
    x = open_index(f);
    T_BYTES(ckv_index_stands_for(x).ptr, ckv_index_stands_for(x).n_bytes, "x", 1);
    ckv_index_free(x);
    ckv_file_close(f);
}

/* Every block flipped at some bit, or taken away: never anything but what was put, or CKV_ECORRUPT with its row. */
static void flipped_blocks_are_named(void)
{
    ckv_file *f = open_file(NULL);
    ckv_index *x = open_index(f);
    twin t;
    fill(f, x, &t);
    ckv_index_free(x);
    ckv_stmt *list;
    int64_t rows[2000];
    size_t n = 0;
    T_EQ(ckv_stmt_new(&list, f, "SELECT id FROM block ORDER BY id"), CKV_OK);
    while (ckv_stmt_step(list) == CKV_OK) rows[n++] = ckv_stmt_int(list, 0);
    ckv_stmt_free(list);
    T_CHECK(n > 20 && n < 2000);
    for (size_t k = 0; k < n; k++) {
        char sql[300];
        const bool is_gone = t_one_in(5);
        T_EQ(ckv_file_begin(f), CKV_OK);
        ckv_stmt *s;
        if (is_gone)
            snprintf(sql, sizeof sql, "DELETE FROM block WHERE id = %lld", (long long)rows[k]);
        else
            snprintf(sql, sizeof sql, "UPDATE block SET data = ?1 WHERE id = %lld",
                     (long long)rows[k]);
        ckv_buf data = ckv_buf_init(ckv_alloc_libc);
        char select[100];
        snprintf(select, sizeof select, "SELECT data FROM block WHERE id = %lld",
                 (long long)rows[k]);
        T_EQ(ckv_stmt_new(&s, f, select), CKV_OK);
        T_EQ(ckv_stmt_step(s), CKV_OK);
        size_t n_bytes;
        const uint8_t *p = ckv_stmt_blob(s, 0, &n_bytes);
        ckv_buf_bytes(&data, p, n_bytes);
        ckv_stmt_free(s);
        data.ptr[t_below(data.len)] ^= (uint8_t)(1 << t_below(8));
        T_EQ(ckv_stmt_new(&s, f, sql), CKV_OK);
        if (!is_gone) ckv_stmt_bind_blob(s, 1, data.ptr, data.len);
        T_EQ(ckv_stmt_run(s), CKV_OK);
        ckv_stmt_free(s);
        ckv_buf_fini(&data);
        bool sound;
        T_EQ(ckv_index_open(&x, ckv_alloc_libc, f, 1, 0, join_sets, NULL, &sound), CKV_OK);
        size_t n_refused = 0;
        for (size_t i = 0; sound && i < POOL; i++) {
            ckv_buf out = ckv_buf_init(ckv_alloc_libc);
            const ckv_status status = ckv_index_get(x, pool[i].key, &out);
            if (status == CKV_ECORRUPT) {
                T_EQ(ckv_index_damaged(x), rows[k]);
                n_refused++;
            } else {
                T_EQ(status, t.sets[i] ? CKV_OK : CKV_ENOENT);
                if (out.len) T_CHECK(set_of((ckv_entry_bytes){out.ptr, out.len}) == t.sets[i]);
            }
            ckv_buf_fini(&out);
        }
        T_CHECK(!sound || n_refused > 0);
        for (int reverse = 0; sound && reverse < 2; reverse++) {
            ckv_index_scan *scan;
            ckv_store_key key;
            ckv_entry_bytes entry;
            ckv_status status;
            T_EQ(ckv_index_scan_new(&scan, x, NULL, NULL, reverse), CKV_OK);
            while ((status = ckv_index_scan_next(scan, &key, &entry)) == CKV_OK)
                T_CHECK(set_of(entry) == t.sets[number_of(key)]);
            T_EQ(status, CKV_ECORRUPT);
            T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_ECORRUPT); /* again */
            T_EQ(ckv_index_damaged(x), rows[k]);
            ckv_index_scan_free(scan);
        }
        const char *why;
        int64_t block;
        T_CHECK(!ckv_index_check(x, &why, &block));
        if (sound) T_EQ(block, rows[k]);
        if (sound) T_EQ(ckv_index_rewrite(x, NULL, NULL), CKV_ECORRUPT);
        ckv_index_free(x);
        ckv_file_rollback(f);
    }
    x = open_index(f);
    is_twin(x, &t);
    ckv_index_free(x);
    ckv_file_close(f);
}

/* Whoever can make digests (there is no key) can put blocks in another order: no walk goes by that. */
static void blocks_stand_between_their_separators(void)
{
    ckv_file *f = open_file(NULL);
    ckv_index *x = open_index(f);
    twin t;
    fill(f, x, &t);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_index_rewrite(x, NULL, NULL), CKV_OK);
    T_EQ(ckv_file_commit(f), CKV_OK);
    ckv_index_flushed(x);
    ckv_run *r = x->now.runs.ptr[0];
    T_CHECK(r->n_blocks > 6);
    char sql[300];
    const long long at = (long long)r->id << 32;
    snprintf(
        sql, sizeof sql,
        "UPDATE block SET data = (SELECT data FROM block AS b WHERE b.id = %lld + %lld - block.id)"
        " WHERE id IN (%lld, %lld)",
        at + 2, at + 4, at + 2, at + 4);
    run_sql(f, sql);
    uint8_t digest[CKV_RUN_DIGEST];
    memcpy(digest, r->digests + 2 * CKV_RUN_DIGEST, CKV_RUN_DIGEST);
    memcpy(r->digests + 2 * CKV_RUN_DIGEST, r->digests + 4 * CKV_RUN_DIGEST, CKV_RUN_DIGEST);
    memcpy(r->digests + 4 * CKV_RUN_DIGEST, digest, CKV_RUN_DIGEST);
    for (int reverse = 0; reverse < 2; reverse++) {
        ckv_index_scan *scan;
        ckv_store_key key;
        ckv_entry_bytes entry;
        ckv_status status;
        T_EQ(ckv_index_scan_new(&scan, x, NULL, NULL, reverse), CKV_OK);
        while ((status = ckv_index_scan_next(scan, &key, &entry)) == CKV_OK)
            T_CHECK(set_of(entry) == t.sets[number_of(key)]);
        T_EQ(status, CKV_ECORRUPT);
        T_EQ(ckv_index_damaged(x), at + (reverse ? 4 : 2));
        ckv_index_scan_free(scan);
    }
    T_EQ(ckv_index_rewrite(x, NULL, NULL), CKV_ERANGE); /* no transaction */
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_index_rewrite(x, NULL, NULL), CKV_ECORRUPT);
    ckv_file_rollback(f);
    const char *why;
    T_CHECK(ckv_run_check(r, &x->shelf, &why) == CKV_ECORRUPT && strstr(why, "I1"));
    ckv_index_free(x);
    ckv_file_close(f);
}

/* ---- what fails: memory, the disk */

/* As t_oom, but where the cache gets no memory, nothing is wrong. Returns how often something was. */
static uint64_t each_allocation_fails(ckv_status (*scenario)(ckv_alloc a))
{
    uint64_t n_failures = 0;
    for (int stay = 0; stay < 2; stay++) {
        for (int64_t n = 0;; n++) {
            t_faulty f = {.until_fail = n, .stay_broken = stay};
            const ckv_status status = scenario((ckv_alloc){t_faulty_fn, &f});
            T_EQ(f.live_bytes, 0);
            T_CHECK(status == CKV_OK || status == CKV_ENOMEM);
            if (f.n_requests <= (uint64_t)n) break;
            n_failures += status == CKV_ENOMEM;
        }
    }
    return n_failures;
}

static ckv_file *shared_file; /* of scenarios */

static ckv_status fill_and_look(ckv_alloc a)
{
    ckv_file *f = open_file(NULL);
    ckv_index *x = NULL;
    ckv_index_scan *scan = NULL;
    bool sound;
    ckv_buf out = ckv_buf_init(a);
    ckv_store_key key;
    ckv_entry_bytes entry;
    ckv_status status = ckv_index_open(&x, a, f, 1, 0, join_longer, NULL, &sound);
    uint8_t bytes[900] = {0};
    for (uint8_t k = 0; status == CKV_OK && k < 40; k++) {
        bytes[0] = k % 25;
        status = ckv_index_add(x, (ckv_store_key){bytes, 300, false},
                               (ckv_entry_bytes){bytes, 500u + k});
        if (status != CKV_OK || k % 10 != 9) continue;
        T_EQ(ckv_file_begin(f), CKV_OK);
        status = k == 39 ? ckv_index_rewrite(x, NULL, NULL) : ckv_index_flush(x);
        if (status == CKV_OK) {
            T_EQ(ckv_file_commit(f), CKV_OK);
            ckv_index_flushed(x);
        } else {
            ckv_file_rollback(f);
            ckv_index_unflushed(x);
            for (int n = 0; n <= k && n < 25; n++) { /* all is there as before */
                bytes[0] = (uint8_t)n;
                ckv_buf again = ckv_buf_init(ckv_alloc_libc);
                const ckv_status s = ckv_index_get(x, (ckv_store_key){bytes, 300, false}, &again);
                T_CHECK(s == CKV_OK || s == CKV_ENOMEM);
                ckv_buf_fini(&again);
            }
        }
    }
    if (status == CKV_OK) status = ckv_index_scan_new(&scan, x, NULL, NULL, false);
    while (status == CKV_OK) status = ckv_index_scan_next(scan, &key, &entry);
    if (status == CKV_ENOENT) status = CKV_OK;
    bytes[0] = 3;
    if (status == CKV_OK) status = ckv_index_get(x, (ckv_store_key){bytes, 300, false}, &out);
    if (status == CKV_OK) {
        T_EQ(ckv_file_begin(f), CKV_OK);
        status = ckv_index_clear(x);
        ckv_file_rollback(f);
        ckv_index_unflushed(x);
    }
    ckv_buf_fini(&out);
    ckv_index_scan_free(scan);
    ckv_index_free(x);
    ckv_file_close(f);
    return status;
}

static void no_memory_is_said(void) { T_CHECK(each_allocation_fails(fill_and_look) > 200); }

/* Opening, walking, checking a file that is there. */
static ckv_status open_and_read(ckv_alloc a)
{
    ckv_index *x = NULL;
    ckv_index_scan *scan = NULL;
    bool sound = true;
    ckv_store_key key;
    ckv_entry_bytes entry;
    ckv_status status = ckv_index_open(&x, a, shared_file, 1, 0, join_sets, NULL, &sound);
    T_CHECK(status != CKV_OK || sound);
    if (status == CKV_OK)
        status = ckv_index_scan_new(&scan, x, &pool[10].key, &pool[200].key, true);
    while (status == CKV_OK) status = ckv_index_scan_next(scan, &key, &entry);
    if (status == CKV_ENOENT) status = CKV_OK;
    const char *why = NULL;
    int64_t block;
    if (status == CKV_OK && !ckv_index_check(x, &why, &block)) {
        T_CHECK(strstr(why, "memory"));
        status = CKV_ENOMEM;
    }
    ckv_index_scan_free(scan);
    ckv_index_free(x);
    return status;
}

static void opening_without_memory_is_no_damage(void)
{
    twin t;
    shared_file = open_file(NULL);
    ckv_index *x = open_index(shared_file);
    fill(shared_file, x, &t);
    ckv_index_free(x);
    T_CHECK(each_allocation_fails(open_and_read) > 60);
    x = open_index(shared_file);
    is_twin(x, &t);
    ckv_index_free(x);
    ckv_file_close(shared_file);
}

/* A walk goes on where it was after memory failed. */
static void walk_goes_on_after_an_error(void)
{
    twin t;
    t_faulty faulty;
    const ckv_alloc a = t_watch(&faulty);
    ckv_file *f = open_file(NULL);
    ckv_index *x = open_index_with(f, a, true);
    fill(f, x, &t);
    add_some(x, &t, 100);
    for (int reverse = 0; reverse < 2; reverse++) {
        ckv_index_scan *scan;
        ckv_store_key key;
        ckv_entry_bytes entry;
        int n_failed = 0;
        T_EQ(ckv_index_scan_new(&scan, x, NULL, NULL, reverse), CKV_OK);
        for (int k = 0; k < POOL; k++) {
            const int i = reverse ? POOL - 1 - k : k;
            if (!t.sets[i]) continue;
            ckv_status status;
            for (int64_t fail = 0;; fail++) {
                if (t_one_in(3))
                    T_EQ(add(x, (size_t)i, t.sets[i]), CKV_OK); /* it must find its way */
                faulty.until_fail = fail;
                status = ckv_index_scan_next(scan, &key, &entry);
                faulty.until_fail = -1;
                if (status != CKV_ENOMEM) break;
                n_failed++;
            }
            T_EQ(status, CKV_OK);
            T_EQ(number_of(key), (size_t)i);
            T_CHECK(set_of(entry) == t.sets[i]);
        }
        T_EQ(ckv_index_scan_next(scan, &key, &entry), CKV_ENOENT);
        T_CHECK(n_failed > 0);
        ckv_index_scan_free(scan);
    }
    ckv_index_free(x);
    T_EQ(faulty.live_bytes, 0);
    ckv_file_close(f);
}

static void full_disk_changes_nothing(void)
{
    t_seed(5);
    ckv_file *f = open_file(NULL);
    ckv_index *x = open_index(f);
    twin t;
    fill(f, x, &t);
    int n_full = 0;
    for (int64_t room = 0;; room++) {
        char sql[100];
        const int64_t pages = ask_sql(f, "PRAGMA page_count");
        snprintf(sql, sizeof sql, "PRAGMA max_page_count = %lld", (long long)(pages + room * 3));
        ask_sql(f, sql);
        add_some(x, &t, 40);
        T_EQ(ckv_file_begin(f), CKV_OK);
        const ckv_status status = room % 2 ? ckv_index_flush(x) : ckv_index_rewrite(x, NULL, NULL);
        if (status == CKV_OK) {
            T_EQ(ckv_file_commit(f), CKV_OK);
            ckv_index_flushed(x);
            break;
        }
        T_EQ(status, CKV_EFULL);
        n_full++;
        ckv_file_rollback(f);
        ckv_index_unflushed(x);
        is_twin(x, &t);
        is_valid(x);
    }
    T_CHECK(n_full > 0);
    ask_sql(f, "PRAGMA max_page_count = 1000000");
    flush(f, x);
    is_twin(x, &t);
    is_valid(x);
    ckv_index_free(x);
    ckv_file_close(f);
}

static void spaces_and_objects_are_apart(void)
{
    ckv_file *f = open_file(NULL);
    ckv_index *x[4];
    twin t[4] = {{{0}}};
    bool sound;
    t_seed(6);
    for (int k = 0; k < 4; k++)
        T_EQ(ckv_index_open(&x[k], ckv_alloc_libc, f, 1 + k / 2, k % 2, join_sets, NULL, &sound),
             CKV_OK);
    for (int round = 0; round < 10; round++) {
        for (int k = 0; k < 4; k++) add_some(x[k], &t[k], 30);
        T_EQ(ckv_file_begin(f), CKV_OK);
        for (int k = 0; k < 4; k++)
            if (t_one_in(2)) T_EQ(ckv_index_flush(x[k]), CKV_OK);
        T_EQ(ckv_file_commit(f), CKV_OK);
        for (int k = 0; k < 4; k++) ckv_index_flushed(x[k]);
    }
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_index_clear(x[1]), CKV_OK);
    T_EQ(ckv_file_commit(f), CKV_OK);
    ckv_index_flushed(x[1]);
    memset(&t[1], 0, sizeof t[1]);
    for (int k = 0; k < 4; k++) {
        is_twin(x[k], &t[k]);
        is_valid(x[k]);
        ckv_index_free(x[k]);
    }
    ckv_file_close(f);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    memset(&file_key, 7, sizeof file_key);
    make_pool();
    T_RUN(index_does_what_an_array_does);
    T_RUN(keys_of_all_lengths_have_their_order);
    T_RUN(entries_of_some_mib_come_back);
    T_RUN(keys_of_which_nothing_is_left_are_not_there);
    T_RUN(walk_survives_a_clear);
    T_RUN(a_crowded_key_is_joined_seldom);
    T_RUN(runs_stay_few);
    T_RUN(what_is_not_sealed_is_not_believed);
    T_RUN(seals_are_of_the_key);
    T_RUN(it_says_what_it_stands_for);
    T_RUN(flipped_blocks_are_named);
    T_RUN(blocks_stand_between_their_separators);
    T_RUN(no_memory_is_said);
    T_RUN(opening_without_memory_is_no_damage);
    T_RUN(walk_goes_on_after_an_error);
    T_RUN(full_disk_changes_nothing);
    T_RUN(spaces_and_objects_are_apart);
    free_pool();
    return t_done();
}
