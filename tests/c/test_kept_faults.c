/* Documents and stores on a device that fails: at each of its calls once, in each way; and a power failure at each of its writes.
 * What was acknowledged is there after opening again, what failed is not there meanwhile, and nothing else ever is. */
#include "doc/keep.h"
#include "faulty_vfs.h"
#include "kept.h"
#include "kv/keep.h"
#include "shop.h"
#include "story.h"

enum { N_STEPS = 7 };

static ckv_status keep(ckv_doc *doc, ckv_file *f)
{
    ckv_record_damage d = {.lines = ckv_buf_init(ckv_alloc_libc)};
    const ckv_status s = ckv_doc_keep(doc, f, 1, &d);
    T_CHECK(d.lines.len == 0);
    ckv_buf_fini(&d.lines);
    return s;
}

static bool of_disk(ckv_status s) { return s == CKV_EDISK || s == CKV_EFULL; }

/* Every change of a is in b, and they are the first of b. */
static void begins_with(ckv_doc *b, ckv_doc *a)
{
    T_CHECK(ckv_doc_n_changes(a) <= ckv_doc_n_changes(b));
    for (uint32_t c = 0; c < ckv_doc_n_changes(a); c++) {
        ckv_change_info info;
        uint32_t found;
        ckv_doc_change(a, c, &info);
        T_EQ(ckv_doc_find(b, info.id, &found), CKV_OK);
    }
}

static void same(ckv_doc *a, ckv_doc *b)
{
    s_arena arena = {0};
    T_EQ(ckv_doc_n_changes(a), ckv_doc_n_changes(b));
    begins_with(a, b);
    S_SAME(s_load(&arena, a, NULL), s_load(&arena, b, NULL));
    s_arena_free(&arena);
    s_check(a);
    s_check(b);
}

/* Own changes and others', a checkpoint in between. `twin` has what was acknowledged. How it ended: CKV_OK, or the first error that stayed. */
static ckv_status story(ckv_doc *doc, ckv_doc *other, ckv_doc *twin)
{
    ckv_status end = CKV_OK;
    for (int n = 0; n < N_STEPS; n++) {
        ckv_status s;
        if (n % 3 == 2) {
            for (int k = 0; k < 5; k++) T_EQ(s_edit(other), CKV_OK);
            T_EQ(s_commit(other), CKV_OK);
            s = s_send(other, doc, ckv_alloc_libc);
        } else {
            for (int k = 0; k < 8; k++) T_EQ(s_edit(doc), CKV_OK);
            s = s_commit(doc);
        }
        T_CHECK(s == CKV_OK || of_disk(s));
        T_CHECK(!ckv_doc_is_open(doc));
        if (s == CKV_OK) T_EQ(s_send(doc, twin, ckv_alloc_libc), CKV_OK);
        same(doc, twin); /* what failed is gone, what did not is here */
        if (s != CKV_OK) end = s;
        if (n == 3) (void)ckv_doc_consolidate(doc, true);
    }
    return end;
}

static void each_call_of_the_device_fails_once(void)
{
    uint64_t n_failed = 0;
    k_vfs = fv_register();
    for (int kind = 0; kind < FV_N_KINDS; kind++) {
        for (int64_t k = 0;; k++) {
            ckv_file *f;
            ckv_doc *doc, *other, *twin, *again;
            t_seed(5);
            k_fresh();
            T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
            T_EQ(s_new(&other, ckv_alloc_libc, 2), CKV_OK);
            T_EQ(s_new(&twin, ckv_alloc_libc, 3), CKV_OK);
            fv_plan(-1, FV_IOERR, false);
            T_EQ(k_try(&f, CKV_FILE_WRITE, CKV_SYNC_FULL, ckv_alloc_libc), CKV_OK);
            T_EQ(k_object(f), CKV_OK);
            T_EQ(keep(doc, f), CKV_OK);
            fv_plan(k, (fv_kind)kind, false);
            const ckv_status s = story(doc, other, twin);
            const bool failed = fv.n_failed > 0;
            T_CHECK(s == CKV_OK || failed);
            T_CHECK(s != CKV_EDISK || ckv_file_is_poisoned(f));
            fv_plan(-1, FV_IOERR, false);
            ckv_doc_free(doc);
            ckv_file_close(f);
            T_EQ(k_try(&f, CKV_FILE_WRITE, CKV_SYNC_FULL, ckv_alloc_libc), CKV_OK);
            T_EQ(s_new(&again, ckv_alloc_libc, 1), CKV_OK);
            T_EQ(keep(again, f), CKV_OK);
            /* Where a sync failed, the change was dropped, and yet it may be on the disk. Nobody ever heard of it. */
            begins_with(again, twin);
            if (s == CKV_OK || s == CKV_EFULL) same(again, twin);
            T_EQ(s_edit(again), CKV_OK);
            T_EQ(s_commit(again), CKV_OK);
            ckv_doc_free(again);
            ckv_doc_free(other);
            ckv_doc_free(twin);
            ckv_file_close(f);
            n_failed += failed;
            if (!failed) break;
        }
    }
    T_CHECK(n_failed > 40);
    k_vfs = NULL;
}

/* The power fails before each event of the device; what was marked as acknowledged before it is there. */
static void the_power_fails(void)
{
    char base[128], safe[96];
    t_seed(11);
    k_vfs = fv_register();
    fv_plan(-1, FV_IOERR, false);
    k_fresh();
    ckv_file *f;
    ckv_doc *doc, *other, *twin;
    T_EQ(k_try(&f, CKV_FILE_WRITE, CKV_SYNC_FULL, ckv_alloc_libc), CKV_OK);
    T_EQ(k_object(f), CKV_OK);
    ckv_file_close(f);
    (void)snprintf(base, sizeof base, "%s/base.db", k_dir);
    T_EQ(rename(k_path, base), 0);
    fv_image image;
    fv_read(&image, base);
    fv_write_out(&image, k_path);
    free(image.ptr);
    fv_record(true);
    T_EQ(k_try(&f, CKV_FILE_WRITE, CKV_SYNC_FULL, ckv_alloc_libc), CKV_OK);
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(s_new(&other, ckv_alloc_libc, 2), CKV_OK);
    T_EQ(s_new(&twin, ckv_alloc_libc, 3), CKV_OK);
    T_EQ(keep(doc, f), CKV_OK);
    for (int n = 0; n < 12; n++) {
        for (int k = 0; k < 6; k++) T_EQ(s_edit(doc), CKV_OK);
        T_EQ(s_commit(doc), CKV_OK);
        fv_mark((int)ckv_doc_n_changes(doc));
        if (n % 5 == 4) T_EQ(ckv_doc_consolidate(doc, true), CKV_OK);
    }
    ckv_doc_free(doc);
    ckv_file_close(f);
    T_EQ(k_try(&f, CKV_FILE_WRITE, CKV_SYNC_FULL, ckv_alloc_libc), CKV_OK);
    T_EQ(s_new(&doc, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(keep(doc, f), CKV_OK); /* all of it, to compare with */
    ckv_file_close(f);
    fv.records = false;
    memcpy(safe, k_path, sizeof safe);
    (void)snprintf(k_path, sizeof k_path, "%s/crash.db", k_dir);
    int acknowledged = 0;
    for (size_t at = 0; at <= fv.n_events; at++) {
        if (at && fv.events[at - 1].what == FV_MARK) acknowledged = fv.events[at - 1].which;
        for (int times = 0; times < 3; times++) {
            ckv_doc *again;
            fv_crash(at, times ? t_rand : NULL, base, k_path);
            T_EQ(k_try(&f, CKV_FILE_WRITE, CKV_SYNC_FULL, ckv_alloc_libc), CKV_OK);
            T_EQ(s_new(&again, ckv_alloc_libc, 1), CKV_OK);
            T_EQ(keep(again, f), CKV_OK);
            T_CHECK(ckv_doc_n_changes(again) >= (uint32_t)acknowledged);
            begins_with(doc, again);
            ckv_doc_free(again);
            ckv_file_close(f);
        }
    }
    T_EQ(acknowledged, 12);
    memcpy(k_path, safe, sizeof safe);
    fv_record(true);
    fv.records = false;
    ckv_doc_free(doc);
    ckv_doc_free(other);
    ckv_doc_free(twin);
    k_vfs = NULL;
}

/* ---- stores */

enum { N_KEYS = 6 };

static ckv_status bind(ckv_store *s, ckv_file *f)
{
    ckv_record_damage d = {.lines = ckv_buf_init(ckv_alloc_libc)};
    const ckv_status status = ckv_store_bind(s, f, 1, &d);
    T_CHECK(d.lines.len == 0);
    ckv_buf_fini(&d.lines);
    return status;
}

static const char *const names[N_KEYS] = {"a", "b", "c", "d", "e", "f"};

static bool holds(const ckv_store *s, const int64_t values[N_KEYS])
{
    bool all = true;
    for (size_t i = 0; i < N_KEYS; i++) all &= shop_get(s, names[i]) == values[i];
    return all;
}

static void each_call_of_the_device_fails_once_with_a_store(void)
{
    uint64_t n_failed = 0;
    k_vfs = fv_register();
    for (int kind = 0; kind < FV_N_KINDS; kind++) {
        for (int64_t k = 0;; k++) {
            ckv_file *f;
            ckv_store *s, *again;
            int64_t committed[N_KEYS], now[N_KEYS], last[N_KEYS];
            bool stayed = true;
            t_seed(5);
            k_fresh();
            memset(committed, 0xff, sizeof committed);
            memcpy(now, committed, sizeof now);
            memcpy(last, committed, sizeof now);
            fv_plan(-1, FV_IOERR, false);
            T_EQ(k_try(&f, CKV_FILE_WRITE, CKV_SYNC_FULL, ckv_alloc_libc), CKV_OK);
            T_EQ(k_object(f), CKV_OK);
            T_EQ(shop_new(&s, ckv_alloc_libc, "k"), CKV_OK);
            T_EQ(bind(s, f), CKV_OK);
            fv_plan(k, (fv_kind)kind, false);
            for (int n = 0; n < 8; n++) {
                for (int i = 0; i < 3; i++) {
                    const size_t key = t_below(N_KEYS);
                    now[key] = (int64_t)t_below(1000);
                    T_EQ(shop_put(s, names[key], now[key]), CKV_OK);
                }
                const ckv_status status = ckv_store_commit(s);
                if (status == CKV_OK) {
                    memcpy(committed, now, sizeof now);
                } else {
                    T_CHECK(of_disk(status) && fv.n_failed > 0);
                    if (stayed) memcpy(last, now, sizeof now);
                    stayed = false;
                    memcpy(now, committed, sizeof now);
                }
                T_CHECK(holds(s, committed));
                shop_check(s);
                if (n == 4) (void)ckv_store_consolidate(s, true);
            }
            const bool failed = fv.n_failed > 0, poisoned = ckv_file_is_poisoned(f);
            fv_plan(-1, FV_IOERR, false);
            ckv_store_free(s);
            ckv_file_close(f);
            T_EQ(k_try(&f, CKV_FILE_WRITE, CKV_SYNC_FULL, ckv_alloc_libc), CKV_OK);
            T_EQ(shop_new(&again, ckv_alloc_libc, "k"), CKV_OK);
            T_EQ(bind(again, f), CKV_OK);
            T_CHECK(holds(again, committed) || (poisoned && !stayed && holds(again, last)));
            T_EQ(shop_put(again, "a", 1), CKV_OK);
            T_EQ(ckv_store_commit(again), CKV_OK);
            ckv_store_free(again);
            ckv_file_close(f);
            n_failed += failed;
            if (!failed) break;
        }
    }
    T_CHECK(n_failed > 40);
    k_vfs = NULL;
}

int main(void)
{
    k_begin();
    T_RUN(each_call_of_the_device_fails_once);
    T_RUN(the_power_fails);
    T_RUN(each_call_of_the_device_fails_once_with_a_store);
    return k_end();
}
