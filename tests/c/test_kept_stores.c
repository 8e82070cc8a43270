/* Stores that live in a file: against a list of what was committed, and against a twin in memory that was never closed. */
#include "kept.h"
#include "kv/keep.h"
#include "kv/state.h"
#include "shop.h"

enum { N_KEYS = 12 };

static const char *name_of(size_t i)
{
    static char room[N_KEYS][2];
    room[i][0] = (char)('a' + i);
    return room[i];
}

static ckv_status bind(ckv_store *s, ckv_file *f, bool salvage, bool *damaged)
{
    ckv_record_damage d = {.salvage = salvage, .lines = ckv_buf_init(ckv_store_allocator(s))};
    const ckv_status status = ckv_store_bind(s, f, 1, &d);
    if (damaged) *damaged = d.lines.len > 0;
    ckv_buf_fini(&d.lines);
    return status;
}

static ckv_store *kept(ckv_file *f)
{
    ckv_store *s;
    T_EQ(shop_new(&s, ckv_alloc_libc, "k"), CKV_OK);
    T_EQ(bind(s, f, false, NULL), CKV_OK);
    return s;
}

static void pull(ckv_store *to, const ckv_store *from)
{
    ckv_buf request = ckv_buf_init(ckv_alloc_libc), diff = ckv_buf_init(ckv_alloc_libc);
    ckv_store_report report;
    ckv_err err;
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(ckv_store_request(to, &request), CKV_OK);
    T_EQ(ckv_store_diff(from, (ckv_bytes){request.ptr, request.len}, 0, &diff, NULL, &err), CKV_OK);
    T_EQ(ckv_store_integrate(to, (ckv_bytes){diff.ptr, diff.len}, CKV_NO_DRIFT, &report, &err),
         CKV_OK);
    T_EQ(report.refused.len, 0);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&request);
    ckv_buf_fini(&diff);
}

/* Values, hidden ones and who put them; what they have seen; the clock. */
static void same(const ckv_store *a, const ckv_store *b)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        const void *x = NULL, *y = NULL;
        ckv_item p, q;
        for (;;) {
            const bool more = ckv_store_each(a, shop_key(name_of(i)), &x, &p);
            T_EQ(ckv_store_each(b, shop_key(name_of(i)), &y, &q), more);
            if (!more) break;
            T_BYTES(p.value.ptr, p.value.n_bytes, q.value.ptr, q.value.n_bytes);
            T_BYTES(p.peer.ptr, p.peer.n_bytes, q.peer.ptr, q.peer.n_bytes);
            T_EQ(p.hlc, q.hlc);
        }
    }
    ckv_buf x = ckv_buf_init(ckv_alloc_libc), y = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_request(a, &x), CKV_OK);
    T_EQ(ckv_store_request(b, &y), CKV_OK);
    T_BYTES(x.ptr, x.len, y.ptr, y.len);
    ckv_buf_fini(&x);
    ckv_buf_fini(&y);
}

static void write_some(ckv_store *s, size_t n)
{
    for (; n > 0; n--) {
        const char *key = name_of(t_below(N_KEYS));
        const int64_t was = shop_get(s, key);
        shop_ms += t_below(3);
        if (t_one_in(4))
            T_EQ(ckv_store_remove(s, shop_key(key), NULL), was < 0 ? CKV_ENOENT : CKV_OK);
        else
            T_EQ(shop_put(s, key, (int64_t)t_below(1000)), CKV_OK);
    }
}

/* Killed (freed without a commit) or closed, and opened again, as often as one likes. */
static void a_store_comes_back_as_it_was_committed(void)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        t_seed(seed);
        ckv_file *f = k_new();
        ckv_store *s = kept(f), *other, *twin;
        T_EQ(shop_new(&other, ckv_alloc_libc, "o"), CKV_OK);
        T_EQ(shop_new(&twin, ckv_alloc_libc, "t"), CKV_OK); /* has what was committed */
        for (int n = 0; n < 60; n++) {
            write_some(t_one_in(3) ? other : s, t_below(8));
            if (t_one_in(5)) pull(s, other);
            if (t_one_in(3)) {
                T_EQ(ckv_store_commit(s), CKV_OK);
                pull(twin, s);
                pull(other, s); /* published */
            }
            if (t_one_in(8)) (void)ckv_store_consolidate(s, t_one_in(2));
            if (!t_one_in(8)) continue;
            if (t_one_in(2)) {
                T_EQ(ckv_store_commit(s), CKV_OK);
                pull(twin, s);
                T_EQ(ckv_store_consolidate(s, true), CKV_OK);
            }
            ckv_store_free(s);
            ckv_file_close(f);
            f = k_open(CKV_FILE_WRITE);
            s = kept(f);
            same(s, twin);
            T_CHECK(ckv_store_clock(s) >= ckv_store_clock(twin));
            T_CHECK(!ckv_store_incarnation(s).ptr);
            shop_check(s);
        }
        ckv_store_free(s);
        ckv_store_free(other);
        ckv_store_free(twin);
        ckv_file_close(f);
    }
}

/* What own writes of before a kill did is told by the op sets of after, as far as it was committed; by op sets alone all agree. */
static void op_sets_go_on_after_a_kill(void)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        t_seed(seed);
        ckv_file *f = k_new();
        ckv_store *s = kept(f), *far;
        T_EQ(shop_new(&far, ckv_alloc_libc, "f"), CKV_OK);
        for (int n = 0; n < 20; n++) {
            write_some(s, 1 + t_below(6));
            T_EQ(ckv_store_commit(s), CKV_OK);
            if (t_one_in(3)) {
                ckv_store_free(s); /* killed */
                s = kept(f);
            }
            if (!t_one_in(3)) continue;
            ckv_buf out = ckv_buf_init(ckv_alloc_libc);
            ckv_store_report report;
            ckv_err err;
            ckv_store_report_init(&report, ckv_alloc_libc);
            T_EQ(ckv_store_commit(s), CKV_OK);
            T_EQ(ckv_store_opset(s, &out), CKV_OK);
            T_EQ(ckv_store_take_opset(far, (ckv_bytes){out.ptr, out.len}, CKV_NO_DRIFT, &report,
                                      &err),
                 CKV_OK);
            ckv_store_report_fini(&report);
            ckv_buf_fini(&out);
            same(s, far);
        }
        ckv_store_free(s);
        ckv_store_free(far);
        ckv_file_close(f);
    }
}

/* What could not be committed never was, those who watch hear so, and the next write is somebody else's. */
static void a_full_disk_takes_the_writes_back(void)
{
    ckv_file *f = k_new();
    ckv_store *s = kept(f);
    T_EQ(shop_put(s, "a", 1), CKV_OK);
    T_EQ(shop_put(s, "b", 1), CKV_OK);
    T_EQ(ckv_store_commit(s), CKV_OK);
    ckv_store_watch(s, true);
    T_EQ(shop_put(s, "a", 2), CKV_OK);
    T_EQ(shop_put(s, "c", 1), CKV_OK);
    T_EQ(ckv_store_remove(s, shop_key("b"), NULL), CKV_OK);
    ckv_store_clear_news(s); /* told */
    const ckv_bytes id = ckv_store_incarnation(s);
    uint8_t was[64];
    const size_t n_was = id.n_bytes;
    memcpy(was, id.ptr, n_was);
    ckv_range all = {0};
    ckv_scan *scan;
    ckv_item item;
    T_EQ(ckv_scan_new(&scan, s, false, &all, false), CKV_OK);
    T_EQ(ckv_scan_next(scan, &item), CKV_OK);
    for (int i = 0; i < 2000; i++) T_EQ(shop_put(s, "d", i), CKV_OK);
    static const uint8_t big[60000] = {0};
    ckv_value v = {.tag = CKV_TAG_BYTES, .ptr = big, .n_bytes = sizeof big};
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    ckv_value_write(&bytes, &v);
    T_EQ(ckv_store_put(s, shop_key("d"), (ckv_bytes){bytes.ptr, bytes.len}, shop_ms, NULL), CKV_OK);
    ckv_store_clear_news(s);
    T_EQ(k_run(f, "PRAGMA max_page_count = 1"), CKV_OK);
    T_EQ(ckv_store_commit(s), CKV_EFULL);
    T_EQ(k_run(f, "PRAGMA max_page_count = 1000000"), CKV_OK);
    T_EQ(shop_get(s, "a"), 1);
    T_EQ(shop_get(s, "b"), 1);
    T_EQ(ckv_store_len(s, false), 2);
    T_EQ(ckv_scan_next(scan, &item), CKV_ESTALE);
    ckv_scan_free(scan);
    ckv_rd r = ckv_rd_init(ckv_store_news(s)->ptr, ckv_store_news(s)->len);
    size_t n_events = 0;
    for (; ckv_rd_left(&r); n_events++) {
        size_t n;
        ckv_rd_u8(&r);
        ckv_rd_blob(&r, &n);
        for (int side = 0; side < 2; side++)
            if (ckv_rd_u8(&r)) ckv_rd_blob(&r, &n);
        ckv_rd_blob(&r, &n);
        ckv_rd_u8(&r);
    }
    T_CHECK(ckv_rd_done(&r));
    T_EQ(n_events, 4); /* a b c d */
    T_CHECK(!ckv_store_incarnation(s).ptr);
    T_EQ(shop_put(s, "e", 1), CKV_OK);
    const ckv_bytes now = ckv_store_incarnation(s);
    T_CHECK(now.n_bytes != n_was || memcmp(now.ptr, was, n_was) != 0);
    T_EQ(ckv_store_commit(s), CKV_OK);
    shop_check(s);
    ckv_store *again = kept(f);
    same(s, again);
    ckv_store_free(again);
    ckv_store_free(s);
    ckv_buf_fini(&bytes);
    ckv_file_close(f);
}

static void damage_is_named_and_the_rest_salvaged(void)
{
    static const char *const harm[] = {
        "DELETE FROM record WHERE id = 3",
        "UPDATE record SET data = substr(data, 1, length(data) - 1) WHERE id = 3",
        "UPDATE record SET id = 100 WHERE id = 3",
        "UPDATE record SET kind = 1 WHERE id = 3",
        "UPDATE record SET kind = 3 WHERE id = 4",
        "UPDATE record SET kind = 4 WHERE id = 2",
        "UPDATE record SET object = 2 WHERE id = 3",
        "UPDATE record SET data = x'00' WHERE id = 3",
        "DELETE FROM record WHERE id = 2",
        "DELETE FROM record",
    };
    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        ckv_file *f = k_new();
        ckv_store *s = kept(f);
        for (int n = 0; n < 4; n++) {
            T_EQ(shop_put(s, name_of((size_t)n), n), CKV_OK);
            T_EQ(ckv_store_commit(s), CKV_OK);
        }
        ckv_store_free(s);
        T_EQ(ckv_file_begin(f), CKV_OK);
        T_EQ(k_run(f, harm[i]), CKV_OK);
        T_EQ(ckv_file_commit(f), CKV_OK);
        for (int salvage = 0; salvage < 3; salvage++) {
            bool damaged;
            T_EQ(shop_new(&s, ckv_alloc_libc, "k"), CKV_OK);
            T_EQ(bind(s, f, salvage == 1, &damaged), salvage ? CKV_OK : CKV_ECORRUPT);
            T_EQ(damaged, salvage < 2);
            for (size_t n = 0; salvage && n < 4; n++) {
                const int64_t v = shop_get(s, name_of(n));
                T_CHECK(v == -1 || v == (int64_t)n);
            }
            shop_check(s);
            ckv_store_free(s);
        }
        ckv_file_close(f);
    }
}

static void a_reader_follows(void)
{
    ckv_file *f = k_new(), *r;
    ckv_store *s = kept(f), *reader;
    T_EQ(shop_put(s, "a", 1), CKV_OK);
    T_EQ(ckv_store_commit(s), CKV_OK);
    r = k_open(CKV_FILE_READ);
    reader = kept(r);
    for (int n = 0; n < 30; n++) {
        write_some(s, 3);
        T_EQ(ckv_store_commit(s), CKV_OK);
        if (n % 10 == 5) T_EQ(ckv_store_rewrite(s), CKV_OK);
        if (n % 4) continue;
        ckv_record_damage d = {.lines = ckv_buf_init(ckv_alloc_libc)};
        T_EQ(ckv_file_refresh(r), CKV_OK);
        T_EQ(ckv_store_refresh(reader, &d), CKV_OK);
        ckv_buf_fini(&d.lines);
        same(s, reader);
    }
    ckv_store_free(reader);
    ckv_store_free(s);
    ckv_file_close(r);
    ckv_file_close(f);
}

static ckv_status scenario(ckv_alloc a)
{
    ckv_file *f;
    ckv_store *s = NULL, *again = NULL;
    const ckv_file_options o = {.path = NULL};
    T_EQ(ckv_file_open(&f, ckv_alloc_libc, &o, NULL, NULL), CKV_OK);
    T_EQ(k_object(f), CKV_OK);
    t_seed(3);
    ckv_status status = shop_new(&s, a, "k");
    if (status == CKV_OK) status = bind(s, f, false, NULL);
    for (int n = 0; status == CKV_OK && n < 4; n++) {
        status = shop_put(s, name_of((size_t)n), n);
        if (status == CKV_OK)
            status = shop_put(s, name_of((size_t)n), 7); /* none dies that is in a row */
        if (status == CKV_OK) status = ckv_store_commit(s);
        shop_check(s);
    }
    if (status == CKV_OK) status = shop_new(&again, a, "k");
    if (status == CKV_OK) status = bind(again, f, false, NULL);
    if (status == CKV_OK) status = ckv_store_consolidate(s, true);
    if (status == CKV_OK) T_EQ(shop_get(again, "c"), 7);
    ckv_store_free(s);
    ckv_store_free(again);
    ckv_file_close(f);
    return status;
}

static void no_memory_leaves_no_trace(void) { T_CHECK(t_oom(scenario) > 50); }

/* A death for which there is no room to note it: then all is written anew. */
static void a_death_that_was_not_noted_is_written_all_the_same(void)
{
    size_t n_absorbed = 0;
    for (int64_t k = 0;; k++) {
        t_faulty memory;
        ckv_alloc a = t_watch(&memory);
        ckv_file *f = k_new();
        ckv_store *s, *again;
        T_EQ(shop_new(&s, a, "k"), CKV_OK);
        T_EQ(bind(s, f, false, NULL), CKV_OK);
        for (int i = 0; i < 3; i++) T_EQ(shop_put(s, name_of((size_t)i), i), CKV_OK);
        T_EQ(ckv_store_commit(s), CKV_OK);
        memory.until_fail = k;
        memory.n_requests = 0;
        const ckv_status removed = ckv_store_remove(s, shop_key("b"), NULL);
        const bool failed = memory.n_requests > (uint64_t)k;
        memory.until_fail = -1;
        T_EQ(ckv_store_commit(s), CKV_OK);
        n_absorbed += failed && removed == CKV_OK;
        again = kept(f);
        T_EQ(shop_get(again, "b"), removed == CKV_OK ? -1 : 1);
        same(s, again);
        ckv_store_free(s);
        ckv_store_free(again);
        ckv_file_close(f);
        T_EQ(memory.live_bytes, 0);
        if (!failed) break;
    }
    T_CHECK(n_absorbed > 0);
}

int main(void)
{
    k_begin();
    T_RUN(a_store_comes_back_as_it_was_committed);
    T_RUN(op_sets_go_on_after_a_kill);
    T_RUN(a_full_disk_takes_the_writes_back);
    T_RUN(damage_is_named_and_the_rest_salvaged);
    T_RUN(a_reader_follows);
    T_RUN(no_memory_leaves_no_trace);
    T_RUN(a_death_that_was_not_noted_is_written_all_the_same);
    return k_end();
}
