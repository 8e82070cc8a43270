/* An index on a device that fails at each of its calls in turn: what was committed stays, what was not is as if it had never been tried. */
#define _GNU_SOURCE /* mkdtemp */
#include <unistd.h>

#include "faulty_vfs.h"

#define main tests_without_faults
#include "test_index.c"
#undef main

static char folder[] = "/tmp/ckv-index-XXXXXX";
static char place[64];

static void wipe(void)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock", "-journal"};
    char path[96];
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(path, sizeof path, "%s%s", place, tails[i]);
        (void)unlink(path);
    }
}

static ckv_file *open_place(const char *vfs)
{
    ckv_file *f;
    char why[256];
    int64_t pid;
    const ckv_file_options o = {
        .path = place, .mode = CKV_FILE_WRITE, .sync = CKV_SYNC_FULL, .vfs = vfs};
    T_EQ(ckv_file_open(&f, ckv_alloc_libc, &o, why, &pid), CKV_OK);
    ckv_file_set_key(f, &file_key);
    return f;
}

static ckv_status write_all(ckv_file *f, ckv_index *x, bool rewrites)
{
    CKV_TRY(ckv_file_begin(f));
    ckv_status status = rewrites ? ckv_index_rewrite(x, NULL, NULL) : ckv_index_flush(x);
    if (status != CKV_OK)
        ckv_file_rollback(f);
    else
        status = ckv_file_commit(f);
    if (status == CKV_OK)
        ckv_index_flushed(x);
    else
        ckv_index_unflushed(x);
    return status;
}

/* The k-th call of the device fails while memory is written out. False: there were not so many. */
static bool fail_at(int64_t k, fv_kind kind, bool rewrites)
{
    twin kept, now;
    wipe();
    ckv_file *f = open_place(fv_register());
    ckv_index *x = open_index(f);
    fill(f, x, &kept);
    now = kept;
    add_some(x, &now, 60);
    fv_plan(k, kind, false);
    const ckv_status status = write_all(f, x, rewrites);
    const bool failed = fv.n_failed > 0;
    fv_plan(-1, kind, false);
    is_twin(x, &now);
    if (status != CKV_OK) T_CHECK(failed && (status == CKV_EDISK || status == CKV_EFULL));
    const bool goes_on = !ckv_file_is_poisoned(f);
    if (status == CKV_EFULL) T_CHECK(goes_on);
    if (goes_on) {
        T_EQ(write_all(f, x, rewrites), CKV_OK);
        is_valid(x);
    } else {
        T_EQ(ckv_file_begin(f), CKV_EDISK);
    }
    ckv_index_free(x);
    ckv_file_close(f);
    f = open_place(NULL);
    x = open_index(f); /* sound, whatever happened */
    is_valid(x);
    for (size_t i = 0; i < POOL; i++) {
        const uint64_t set = get(x, i);
        T_CHECK(set == now.sets[i] || (!goes_on && set == kept.sets[i]));
    }
    ckv_index_free(x);
    ckv_file_close(f);
    return failed;
}

static void each_call_of_the_device_fails(void)
{
    for (int rewrites = 0; rewrites < 2; rewrites++)
        for (int kind = FV_IOERR; kind < FV_N_KINDS; kind++)
            for (int64_t k = 0; fail_at(k, (fv_kind)kind, rewrites); k += 1 + k / 8) {
            }
}

int main(void)
{
    T_CHECK(ckv_crypto_init() && mkdtemp(folder));
    snprintf(place, sizeof place, "%s/index.db", folder);
    memset(&file_key, 7, sizeof file_key);
    make_pool();
    T_RUN(each_call_of_the_device_fails);
    free_pool();
    wipe();
    T_CHECK(rmdir(folder) == 0);
    return t_done();
}
