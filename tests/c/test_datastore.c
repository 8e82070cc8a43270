/* Datastores: what shows, who supersedes whom, what is dropped, and that a file gives it all back. Against a table in memory, and against each other. */
#define _GNU_SOURCE
#include "ledger.h"

#include "crypto/digest.h"

#define ABSENT INT64_MIN

static void puts_and_deletes_show_at_once(void)
{
    ckv_datastore *d;
    T_CHECK(ledger_open(&d, ckv_alloc_libc, 1, NULL) == CKV_OK);
    T_EQ(ledger_get(d, "a"), ABSENT);
    T_CHECK(ledger_put(d, 0, "a", 1) == CKV_OK && ledger_put(d, 0, "b", 2) == CKV_OK);
    T_CHECK(ledger_put(d, 0, "a", 3) == CKV_OK);
    T_EQ(ledger_get(d, "a"), 3);
    T_CHECK(ledger_commit(d) == CKV_OK);
    T_EQ(ledger_get(d, "a"), 3);
    T_EQ(ledger_get(d, "b"), 2);
    T_CHECK(ckv_datastore_delete(d, 0, ledger_key("a"), 1) == CKV_OK);
    T_EQ(ledger_get(d, "a"), ABSENT);
    T_CHECK(ledger_commit(d) == CKV_OK);
    T_EQ(ledger_get(d, "a"), ABSENT);
    const ckv_shown_ops *ops;
    T_CHECK(ckv_datastore_history(d, ledger_key("a"), &ops) == CKV_OK);
    T_EQ(ops->len, 3);
    T_CHECK(!ops->ptr[0].is_put && ops->ptr[1].is_put && ledger_int_of(ops->ptr[1].value) == 3);
    uint64_t n;
    T_CHECK(ckv_datastore_len(d, &n) == CKV_OK);
    T_EQ(n, 1);
    ledger_check(d);
    ckv_datastore_free(d);
}

static void concurrent_puts_are_all_kept(void)
{
    ckv_datastore *a, *b;
    T_CHECK(ledger_open(&a, ckv_alloc_libc, 1, NULL) == CKV_OK &&
            ledger_open(&b, ckv_alloc_libc, 2, NULL) == CKV_OK);
    T_CHECK(ledger_put(a, 0, "k", 1) == CKV_OK && ledger_put(b, 0, "k", 2) == CKV_OK);
    ledger_pull(a, b);
    ledger_pull(b, a);
    const ckv_shown_ops *ops;
    T_CHECK(ckv_datastore_conflicts(a, ledger_key("k"), &ops) == CKV_OK);
    T_EQ(ops->len, 2);
    T_EQ(ledger_get(a, "k"), ledger_get(b, "k"));
    T_EQ(ledger_get(a, "k"), ledger_int_of(ops->ptr[0].value));
    T_CHECK(ckv_datastore_delete(a, 0, ledger_key("k"), 1) == CKV_OK); /* of both; */
    T_CHECK(ledger_put(b, 0, "k", 3) == CKV_OK);                       /* but not of this */
    ledger_pull(a, b);
    ledger_pull(b, a);
    T_EQ(ledger_get(a, "k"), 3);
    T_EQ(ledger_get(b, "k"), 3);
    ledger_check(a);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
}

static void counters_add_up(void)
{
    ckv_datastore *a, *b;
    ckv_i128 total;
    T_CHECK(ledger_open(&a, ckv_alloc_libc, 1, NULL) == CKV_OK &&
            ledger_open(&b, ckv_alloc_libc, 2, NULL) == CKV_OK);
    for (int round = 0; round < 3; round++) {
        T_CHECK(ckv_datastore_count(a, ledger_key("c"), 5, 1) == CKV_OK &&
                ckv_datastore_count(a, ledger_key("c"), INT64_MAX, 1) == CKV_OK);
        T_CHECK(ckv_datastore_count(b, ledger_key("c"), -7, 1) == CKV_OK);
        T_CHECK(ledger_commit(a) == CKV_OK && ledger_commit(b) == CKV_OK);
    }
    ledger_pull(a, b);
    ledger_pull(b, a);
    T_CHECK(ckv_datastore_total(a, ledger_key("c"), &total) == CKV_OK);
    T_CHECK(total == 3 * ((ckv_i128)INT64_MAX + 5) - 21);
    T_CHECK(ckv_datastore_total(b, ledger_key("c"), &total) == CKV_OK);
    T_CHECK(total == 3 * ((ckv_i128)INT64_MAX + 5) - 21);
    ckv_buf parts = ckv_buf_init(ckv_alloc_libc);
    T_CHECK(ckv_datastore_by_author(a, ledger_key("c"), &parts) == CKV_OK);
    T_EQ(parts.len, 2 * sizeof(ckv_part_total));
    ckv_buf_fini(&parts);
    T_EQ(ledger_get(a, "c"), ABSENT); /* names of counters are no keys */
    ckv_compaction c;
    T_CHECK(ckv_datastore_compact(a, false, 1, &c) == CKV_OK);
    T_CHECK(ckv_datastore_total(a, ledger_key("c"), &total) == CKV_OK);
    T_CHECK(total == 3 * ((ckv_i128)INT64_MAX + 5) - 21);
    ledger_check(a);
    ckv_datastore_free(a);
    ckv_datastore_free(b);
}

/* Values that do not fit into a header, so that compaction has something to drop. */
static void put_long(ckv_datastore *d, const char *key, uint8_t fill)
{
    uint8_t bytes[200];
    ckv_buf v = ckv_buf_init(ckv_alloc_libc);
    memset(bytes, fill, sizeof bytes);
    ckv_value_write(&v, &(ckv_value){.tag = CKV_TAG_BYTES, .ptr = bytes, .n_bytes = sizeof bytes});
    T_CHECK(ckv_datastore_put(d, 0, ledger_key(key), v.ptr, v.len, 1) == CKV_OK &&
            ledger_commit(d) == CKV_OK);
    ckv_buf_fini(&v);
}

static int fill_of(ckv_datastore *d, const char *key)
{
    ckv_value_bytes v;
    return ckv_datastore_get(d, ledger_key(key), &v) == CKV_OK ? v.ptr[v.n_bytes - 1] : -1;
}

static void dead_bodies_are_dropped_and_nobody_sees_it(void)
{
    ckv_datastore *a, *b, *away;
    ckv_compaction c;
    ckv_id32 root, other;
    T_CHECK(ledger_open(&a, ckv_alloc_libc, 1, NULL) == CKV_OK &&
            ledger_open(&b, ckv_alloc_libc, 2, NULL) == CKV_OK);
    T_CHECK(ledger_open(&away, ckv_alloc_libc, 3, NULL) == CKV_OK);
    put_long(away, "x", 77);
    for (int i = 0; i < 20; i++) put_long(a, i % 2 ? "x" : "y", (uint8_t)i);
    put_long(a, "z", 1);
    T_CHECK(ckv_datastore_delete(a, 0, ledger_key("z"), 1) == CKV_OK && ledger_commit(a) == CKV_OK);
    T_CHECK(ckv_doc_root(ckv_datastore_dag(a, 0).doc, &root) == CKV_OK);
    T_CHECK(ckv_datastore_compact(a, false, 1, &c) == CKV_OK);
    T_EQ(c.dropped, 19);
    T_CHECK(c.bytes_after < c.bytes_before / 5);
    T_EQ(fill_of(a, "x"), 19);
    T_EQ(fill_of(a, "y"), 18);
    T_EQ(fill_of(a, "z"), -1);
    ledger_check(a);
    ledger_pull(b, a); /* a newcomer: the same root, the same values, without the dead */
    T_CHECK(ckv_doc_root(ckv_datastore_dag(b, 0).doc, &other) == CKV_OK &&
            ckv_id32_eq(&root, &other));
    T_EQ(fill_of(b, "x"), 19);
    T_EQ(fill_of(b, "y"), 18);
    ledger_check(b);
    ledger_pull(away, b);
    ledger_pull(b, away);
    ledger_pull(a, away);
    T_EQ(fill_of(a, "x"), fill_of(away, "x"));
    T_EQ(fill_of(b, "x"), fill_of(away, "x"));
    const ckv_shown_ops *ops;
    T_CHECK(ckv_datastore_conflicts(b, ledger_key("x"), &ops) == CKV_OK);
    T_EQ(ops->len, 2);
    T_CHECK(ckv_datastore_repair(b) == CKV_OK);
    T_EQ(fill_of(b, "x"), fill_of(away, "x"));
    ckv_datastore_free(a);
    ckv_datastore_free(b);
    ckv_datastore_free(away);
}

static void one_key_in_several_dags(void)
{
    ckv_datastore *d;
    uint32_t other;
    uint64_t n;
    T_CHECK(ledger_open(&d, ckv_alloc_libc, 1, NULL) == CKV_OK);
    T_CHECK(ckv_datastore_find_dag(d, "other", 5, true, &other) == CKV_OK);
    T_CHECK(ledger_put(d, 0, "k", 1) == CKV_OK && ledger_put(d, other, "k", 2) == CKV_OK);
    T_EQ(ledger_get(d, "k"), 2);
    T_CHECK(ledger_commit(d) == CKV_OK);
    T_EQ(ledger_get(d, "k"), 2); /* whatever the order of the two changes */
    ckv_compaction c;
    T_CHECK(ckv_datastore_compact(d, false, 1, &c) == CKV_OK);
    T_EQ(ledger_get(d, "k"), 2);
    ledger_check(d);
    T_CHECK(ckv_datastore_purge(d, other, &n) == CKV_OK);
    T_EQ(n, 1);
    T_EQ(ledger_get(d, "k"), 1); /* what it superseded shows again */
    T_CHECK(ledger_put(d, other, "k", 3) == CKV_ESTALE);
    T_CHECK(ckv_datastore_admit(d, other) == CKV_OK);
    T_CHECK(ledger_put(d, other, "k", 3) == CKV_OK);
    T_EQ(ledger_get(d, "k"), 3);
    ledger_check(d);
    ckv_datastore_free(d);
}

/* Every opening is a new lane, whose counts stay: the bodies they came in need not. */
static void parts_of_old_lanes_are_said_again(void)
{
    ckv_datastore *d, *other;
    ckv_i128 total;
    ckv_compaction c;
    T_CHECK(ledger_open(&d, ckv_alloc_libc, 1, NULL) == CKV_OK &&
            ledger_open(&other, ckv_alloc_libc, 2, NULL) == CKV_OK);
    for (int i = 0; i < 10; i++) {
        put_long(d, "x", (uint8_t)i);
        T_CHECK(ckv_datastore_count(d, ledger_key("c"), i, 1) == CKV_OK);
        put_long(d, "x", (uint8_t)(i + 100));
        ckv_datastore_leave_lanes(d);
    }
    ledger_pull(other, d);
    T_CHECK(ckv_datastore_compact(d, false, 1, &c) == CKV_OK);
    T_EQ(c.dropped, 10); /* of each lane one body holds the count */
    T_CHECK(ckv_datastore_compact(d, true, 1, &c) == CKV_OK);
    T_CHECK(c.dropped >= 9);
    T_CHECK(ckv_datastore_total(d, ledger_key("c"), &total) == CKV_OK && total == 45);
    ledger_check(d);
    ledger_pull(other, d);
    T_CHECK(ckv_datastore_total(other, ledger_key("c"), &total) == CKV_OK && total == 45);
    ledger_check(other);
    ckv_datastore *late;
    T_CHECK(ledger_open(&late, ckv_alloc_libc, 3, NULL) == CKV_OK);
    ledger_pull(late, d);
    T_CHECK(ckv_datastore_total(late, ledger_key("c"), &total) == CKV_OK && total == 45);
    ledger_pull(late, other); /* what was left out there comes from here, and changes nothing */
    T_CHECK(ckv_datastore_total(late, ledger_key("c"), &total) == CKV_OK && total == 45);
    ledger_check(late);
    T_CHECK(ckv_datastore_compact(d, true, 1, &c) == CKV_OK);
    T_CHECK(ckv_datastore_total(d, ledger_key("c"), &total) == CKV_OK && total == 45);
    ckv_datastore_free(d);
    ckv_datastore_free(other);
    ckv_datastore_free(late);
}

/* ---- random, against a table; reopened now and then */

enum { N_KEYS = 40 };

static void a_file_gives_it_all_back(void)
{
    char path[] = "/tmp/ckv-test-XXXXXX", why[256];
    const int fd = mkstemp(path);
    T_CHECK(fd >= 0);
    close(fd);
    unlink(path);
    t_seed(1);
    int64_t table[N_KEYS], counts[3] = {0};
    for (int i = 0; i < N_KEYS; i++) table[i] = ABSENT;
    for (int session = 0; session < 8; session++) {
        ckv_file *file;
        ckv_datastore *d;
        const ckv_file_options options = {.path = path, .sync = CKV_SYNC_NORMAL};
        T_CHECK(ckv_file_open(&file, ckv_alloc_libc, &options, why, NULL) == CKV_OK);
        T_CHECK(ledger_open(&d, ckv_alloc_libc, 1, file) == CKV_OK);
        for (int step = 0; step < 300; step++) {
            char key[8];
            const int i = (int)(t_rand() % N_KEYS);
            (void)snprintf(key, sizeof key, "k%02d", i);
            switch (t_rand() % 12) {
            case 0:
            case 1:
                T_CHECK(ckv_datastore_delete(d, 0, ledger_key(key), 1) == CKV_OK);
                table[i] = ABSENT;
                break;
            case 2: T_CHECK(ledger_commit(d) == CKV_OK); break;
            case 3: {
                char name[4] = {'c', (char)('0' + i % 3), 0};
                T_CHECK(ckv_datastore_count(d, ledger_key(name), i - 5, 1) == CKV_OK);
                counts[i % 3] += i - 5;
                break;
            }
            case 4:
                if (t_rand() % 8 == 0) T_CHECK(ckv_datastore_flush(d) == CKV_OK);
                break;
            case 5: {
                ckv_compaction c;
                if (t_rand() % 8 == 0)
                    T_CHECK(ledger_commit(d) == CKV_OK &&
                            ckv_datastore_compact(d, t_rand() % 2, 1, &c) == CKV_OK);
                break;
            }
            default:
                table[i] = (int64_t)(t_rand() % 1000);
                T_CHECK(ledger_put(d, 0, key, table[i]) == CKV_OK);
            }
            T_EQ(ledger_get(d, key), table[i]);
        }
        ckv_query *q;
        ckv_store_key key;
        ckv_value_bytes value;
        const bool reverse = session % 2;
        int next = reverse ? N_KEYS - 1 : 0;
        T_CHECK(ckv_query_new(&q, d, NULL, NULL, reverse) == CKV_OK);
        while (ckv_query_next(q, &key, &value) == CKV_OK) {
            while (table[next] == ABSENT) next += reverse ? -1 : 1;
            T_EQ((key.ptr[1] - '0') * 10 + key.ptr[2] - '0', next);
            T_EQ(ledger_int_of(value), table[next]);
            next += reverse ? -1 : 1;
        }
        while (next >= 0 && next < N_KEYS) {
            T_EQ(table[next], ABSENT);
            next += reverse ? -1 : 1;
        }
        ckv_query_free(q);
        T_CHECK(ledger_commit(d) == CKV_OK);
        for (int i = 0; i < 3; i++) {
            char name[4] = {'c', (char)('0' + i), 0};
            ckv_i128 total;
            T_CHECK(ckv_datastore_total(d, ledger_key(name), &total) == CKV_OK &&
                    total == counts[i]);
        }
        ledger_check(d);
        if (session % 3 == 0) T_CHECK(ckv_datastore_flush(d) == CKV_OK);
        ckv_datastore_free(d);
        ckv_file_close(file);
    }
    unlink(path);
}

/* ---- no memory */

/* Whatever fails: it says so, and what went in before is there, whole. */
static ckv_status short_life(ckv_alloc a)
{
    ckv_datastore *x, *y = NULL;
    uint64_t n;
    uint32_t other, dag, change;
    ckv_compaction c;
    ckv_batch *b = NULL;
    const ckv_shown_ops *ops;
    ckv_status s = ledger_open(&x, a, 1, NULL);
    if (s != CKV_OK) return s;
    ckv_datastore_watch(x, true);
    int64_t shown = ABSENT; /* of "k", as far as we were told */
    for (int i = 0; i < 6 && s == CKV_OK; i++) {
        s = ledger_put(x, 0, "k", i);
        if (s == CKV_OK) shown = i;
        if (s == CKV_OK && i % 2) s = ledger_commit(x);
    }
    if (s == CKV_OK) s = ckv_batch_new(&b, x);
    for (int i = 0; i < 40 && s == CKV_OK; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "b%d", i);
        const ckv_value_bytes v = ledger_int(i);
        s = ckv_batch_put(b, 0, ledger_key(key), v.ptr, v.n_bytes);
        if (s == CKV_OK) s = ckv_batch_count(b, ledger_key("c"), i);
    }
    if (s == CKV_OK) s = ckv_batch_write(b, 1, NULL, 0, &dag, &change);
    ckv_batch_free(b);
    if (s == CKV_OK) s = ckv_datastore_find_dag(x, "other", 5, true, &other);
    if (s == CKV_OK) s = ledger_put(x, other, "b1", 100);
    if (s == CKV_OK) s = ledger_commit(x);
    if (s == CKV_OK) s = ckv_datastore_flush(x);
    if (s == CKV_OK) s = ckv_datastore_compact(x, true, 1, &c);
    if (s == CKV_OK) s = ckv_datastore_conflicts(x, ledger_key("b1"), &ops);
    if (s == CKV_OK) s = ckv_datastore_history(x, ledger_key("k"), &ops);
    if (s == CKV_OK) s = ckv_datastore_len(x, &n);
    if (s == CKV_OK) T_EQ(n, 41);
    if (s == CKV_OK) s = ledger_open(&y, a, 2, NULL);
    if (s == CKV_OK) {
        ckv_buf bundle = ckv_buf_init(a);
        ckv_report report;
        ckv_err err;
        ckv_report_init(&report, a);
        s = ckv_doc_export(ckv_datastore_dag(x, 0).doc, NULL, 0, NULL, 0, &bundle);
        if (s == CKV_OK)
            s = ckv_doc_apply(ckv_datastore_dag(y, 0).doc, bundle.ptr, bundle.len, &report, &err);
        if (s == CKV_OK) s = ckv_datastore_absorb(y);
        ckv_report_fini(&report);
        ckv_buf_fini(&bundle);
    }
    if (s == CKV_OK) s = ckv_datastore_purge(x, other, &n);
    if (s == CKV_OK) s = ckv_datastore_repair(x);
    ckv_value_bytes value;
    const ckv_status got = ckv_datastore_get(x, ledger_key("k"), &value);
    T_CHECK(got == CKV_ENOMEM || (got == CKV_ENOENT && shown == ABSENT) ||
            (got == CKV_OK && ledger_int_of(value) == shown));
    ckv_datastore_free(x);
    ckv_datastore_free(y);
    return s;
}

static void nothing_is_lost_without_memory(void)
{
    t_seed(3);
    for (int stay = 0; stay < 2;
         stay++) { /* as t_oom, but that a block may go uncached without a word */
        for (int64_t n = 0;; n++) {
            t_faulty f = {.until_fail = n, .stay_broken = stay};
            const ckv_status s = short_life((ckv_alloc){t_faulty_fn, &f});
            T_EQ(f.live_bytes, 0);
            T_CHECK(s == CKV_OK || s == CKV_ENOMEM);
            if (f.n_requests > (uint64_t)n) continue;
            T_EQ(s, CKV_OK);
            T_CHECK(n > 200);
            break;
        }
    }
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(puts_and_deletes_show_at_once);
    T_RUN(concurrent_puts_are_all_kept);
    T_RUN(counters_add_up);
    T_RUN(dead_bodies_are_dropped_and_nobody_sees_it);
    T_RUN(one_key_in_several_dags);
    T_RUN(parts_of_old_lanes_are_said_again);
    T_RUN(a_file_gives_it_all_back);
    T_RUN(nothing_is_lost_without_memory);
    return t_done();
}
