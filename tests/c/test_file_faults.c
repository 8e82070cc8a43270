/* What a file is after its device failed, and after the power did: what was acknowledged is there, what was not is there as a whole or not at all. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/file.h"
#include "faulty_vfs.h"
#include "t.h"

#define N_COMMITS  20
#define N_VARIANTS 400

static char dir[64], path[96], crashed[96], base[96];

static void fresh(void)
{
    (void)snprintf(dir, sizeof dir, "%s/ckv-faults-%d",
                   access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
    (void)mkdir(dir, 0700);
    (void)snprintf(path, sizeof path, "%s/a.db", dir);
    (void)snprintf(crashed, sizeof crashed, "%s/crashed.db", dir);
    (void)snprintf(base, sizeof base, "%s/base.db", dir);
    fv_sweep(path);
}

static ckv_status open_at(ckv_file **f, const char *at, const char *vfs)
{
    char why[256] = "";
    const ckv_status st =
        ckv_file_open(f, ckv_alloc_libc, &(ckv_file_options){.path = at, .vfs = vfs}, why, NULL);
    if (st != CKV_OK) T_CHECK(why[0] != 0);
    return st;
}

static ckv_status run(ckv_file *f, const char *sql, int64_t a, int64_t b)
{
    ckv_stmt *s;
    CKV_TRY(ckv_stmt_new(&s, f, sql));
    ckv_stmt_bind_int(s, 1, a);
    ckv_stmt_bind_int(s, 2, b);
    const ckv_status st = ckv_stmt_run(s);
    ckv_stmt_free(s);
    return st;
}

static int64_t ask(ckv_file *f, const char *sql)
{
    ckv_stmt *s;
    T_EQ(ckv_stmt_new(&s, f, sql), CKV_OK);
    T_EQ(ckv_stmt_step(s), CKV_OK);
    const int64_t out = ckv_stmt_int(s, 0);
    ckv_stmt_free(s);
    return out;
}

static ckv_status write_rows(ckv_file *f, int n)
{
    CKV_TRY(run(f, "INSERT INTO block(id, data) VALUES(?1, zeroblob(?2))", n,
                n % 5 == 4 ? 120000 : 100 * n + 1));
    CKV_TRY(run(f, "INSERT INTO lane(id, author, nonce) VALUES(?1, zeroblob(?2), x'00')", n, 32));
    /* Pages become free and are used again. */
    return run(f, "UPDATE block SET data = zeroblob(1) WHERE id < ?1 - 3 AND length(data) > ?2", n,
               5000);
}

/* Commit number n: rows in two tables. */
static ckv_status commit(ckv_file *f, int n)
{
    CKV_TRY(ckv_file_begin(f));
    const ckv_status st = write_rows(f, n);
    if (st == CKV_OK) return ckv_file_commit(f);
    ckv_file_rollback(f);
    T_CHECK(!ckv_file_in_transaction(f));
    return st;
}

static void never(void *ctx, const char *line)
{
    (void)ctx;
    t_fail(__FILE__, __LINE__, line);
}

/* Everything acknowledged is there, and of the rest all or nothing; returns how many commits are there. */
static int64_t check(const char *at, const bool *acknowledged)
{
    ckv_file *f = NULL;
    T_EQ(open_at(&f, at, fv_register()),
         CKV_OK); /* without faults, and without waiting for syncs */
    T_EQ(ckv_file_check(f, never, NULL), CKV_OK);
    const int64_t n = ask(f, "SELECT count(*) FROM block");
    T_EQ(ask(f, "SELECT count(*) FROM block JOIN lane USING(id)"), n);
    T_EQ(ask(f, "SELECT count(*) FROM lane"), n);
    for (int i = 0; i < N_COMMITS; i++) {
        char sql[64];
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM block WHERE id = %d", i);
        if (acknowledged[i]) T_EQ(ask(f, sql), 1);
    }
    ckv_file_close(f);
    return n;
}

static bool is_clean(ckv_status st) { return st == CKV_EDISK || st == CKV_EFULL; }

/* One run with call k failing; false: nothing failed any more. */
static bool fail_at(int64_t k, fv_kind kind, bool stays)
{
    bool acknowledged[N_COMMITS] = {false};
    bool was_poisoned = false;
    ckv_file *f = NULL;
    fresh();
    fv_plan(k, kind, stays);
    ckv_status st = open_at(&f, path, fv_register());
    if (st != CKV_OK) T_CHECK(is_clean(st));
    for (int i = 0; f && i < N_COMMITS; i++) {
        st = commit(f, i);
        acknowledged[i] = st == CKV_OK;
        T_CHECK(st == CKV_OK || is_clean(st));
        if (st != CKV_OK) T_CHECK(ckv_file_error(f)[0] != 0);
        if (was_poisoned) T_EQ(st, CKV_EDISK); /* for good */
        was_poisoned = ckv_file_is_poisoned(f);
        if (st == CKV_EDISK) T_CHECK(was_poisoned);
        if (i == 12) (void)!ckv_file_shrink(f, 0);
        if (i == 14) (void)!ckv_file_pack(f);
        was_poisoned = ckv_file_is_poisoned(f);
    }
    if (f) {
        int64_t n = 0;
        for (int i = 0; i < N_COMMITS; i++) n += acknowledged[i];
        const int64_t left = fv.until_fail;
        fv.until_fail = -1;
        T_EQ(ask(f, "SELECT count(*) FROM block"), n); /* also of a poisoned one */
        fv.until_fail = left;
    }
    ckv_file_close(f);
    const bool failed = fv.n_failed > 0;
    if (!failed)
        for (int i = 0; i < N_COMMITS; i++) T_CHECK(acknowledged[i]);
    fv_plan(-1, kind, false);
    (void)check(path, acknowledged);
    return failed;
}

static void every_call_of_the_device_may_fail(void)
{
    for (fv_kind kind = FV_IOERR; kind < FV_N_KINDS; kind++)
        for (int stays = 0; stays < (kind < FV_SHORT_FULL ? 2 : 1); stays++) {
            int64_t k = 0;
            while (fail_at(k, kind, stays)) k++;
            T_CHECK(k > 100);
        }
}

static void after_a_full_disk_the_next_commit_succeeds(void)
{
    ckv_file *f = NULL;
    fresh();
    T_EQ(open_at(&f, path, fv_register()), CKV_OK);
    T_EQ(commit(f, 0), CKV_OK);
    fv_plan(0, FV_FULL, true);
    T_EQ(commit(f, 1), CKV_EFULL);
    T_CHECK(strstr(ckv_file_error(f), "full") != NULL);
    T_CHECK(!ckv_file_is_poisoned(f));
    T_EQ(commit(f, 1), CKV_EFULL);
    fv_plan(-1, FV_FULL, false);
    T_EQ(commit(f, 1), CKV_OK);
    ckv_file_close(f);
    T_EQ(check(path, (bool[N_COMMITS]){true, true}), 2);
}

static void a_file_that_may_not_grow_is_full(void)
{
    ckv_file *f = NULL;
    struct rlimit was, tight;
    fresh();
    T_EQ(open_at(&f, path, NULL), CKV_OK);
    T_EQ(commit(f, 0), CKV_OK);
    T_EQ(getrlimit(RLIMIT_FSIZE, &was), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    tight = was;
    tight.rlim_cur = 64 << 10;
    T_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    T_EQ(commit(f, 4), CKV_EFULL);
    T_CHECK(!ckv_file_is_poisoned(f));
    T_EQ(setrlimit(RLIMIT_FSIZE, &was), 0);
    (void)signal(SIGXFSZ, SIG_DFL);
    T_EQ(commit(f, 4), CKV_OK);
    ckv_file_close(f);
    T_EQ(check(path, (bool[N_COMMITS]){[0] = true, [4] = true}), 2);
}

static void a_failed_sync_poisons_and_reads_go_on(void)
{
    ckv_file *f = NULL;
    fresh();
    T_EQ(open_at(&f, path, fv_register()), CKV_OK);
    T_EQ(commit(f, 0), CKV_OK);
    fv_plan(-1, FV_IOERR, false);
    T_EQ(commit(f, 1), CKV_OK);
    const uint64_t n_calls = fv.n_calls;
    bool poisoned = false;
    for (uint64_t k = 0; k < n_calls && !poisoned; k++) { /* the last of them is the sync */
        if (k + 1 < n_calls) continue;
        fv_plan((int64_t)k, FV_IOERR, false);
        T_EQ(commit(f, 2), CKV_EDISK);
        poisoned = true;
    }
    T_CHECK(ckv_file_is_poisoned(f));
    T_EQ(ckv_file_begin(f), CKV_EDISK);
    T_EQ(ckv_file_shrink(f, 0), CKV_EDISK);
    T_EQ(ask(f, "SELECT count(*) FROM block"), 2);
    ckv_file_close(f);
    const int64_t n = check(path, (bool[N_COMMITS]){true, true});
    T_CHECK(n == 2 || n == 3); /* the frames of the third may have been whole */
}

/* The workload with a memory: each commit, its mark. */
static void remember(void)
{
    ckv_file *f = NULL;
    fresh();
    T_EQ(open_at(&f, path, NULL), CKV_OK);
    ckv_file_close(f);
    fv_image made;
    fv_read(&made, path);
    fv_write_out(&made, base);
    free(made.ptr);
    fv_plan(-1, FV_IOERR, false);
    T_EQ(open_at(&f, path, fv_register()), CKV_OK);
    fv_record(true);
    for (int i = 0; i < N_COMMITS; i++) {
        T_EQ(commit(f, i), CKV_OK);
        fv_mark(i);
        if (i == 12) T_EQ(ckv_file_shrink(f, 0), CKV_OK);
        if (i == 14) T_EQ(ckv_file_pack(f), CKV_OK);
    }
    ckv_file_close(f);
    fv_record(false);
}

static void acknowledged_at(size_t at, bool *acknowledged)
{
    memset(acknowledged, 0, N_COMMITS * sizeof *acknowledged);
    for (size_t i = 0; i < at; i++)
        if (fv.events[i].what == FV_MARK) acknowledged[fv.events[i].which] = true;
}

static void power_may_fail_at_any_moment(void)
{
    bool acknowledged[N_COMMITS];
    remember();
    size_t n_syncs = 0;
    for (size_t at = 0; at <= fv.n_events; at++) {
        if (at < fv.n_events && fv.events[at].what != FV_SYNC) continue;
        n_syncs++;
        acknowledged_at(at, acknowledged);
        fv_crash(at, NULL, base, crashed);
        (void)check(crashed, acknowledged);
    }
    T_CHECK(n_syncs > N_COMMITS);
    for (int i = 0; i < N_VARIANTS; i++) {
        (void)t_seed((uint64_t)i + 1);
        const size_t at = t_below(fv.n_events + 1);
        acknowledged_at(at, acknowledged);
        fv_crash(at, t_rand, base, crashed);
        (void)check(crashed, acknowledged);
    }
}

int main(void)
{
    T_RUN(after_a_full_disk_the_next_commit_succeeds);
    T_RUN(a_file_that_may_not_grow_is_full);
    T_RUN(a_failed_sync_poisons_and_reads_go_on);
    T_RUN(every_call_of_the_device_may_fail);
    T_RUN(power_may_fail_at_any_moment);
    fv_sweep(path);
    fv_sweep(crashed);
    fv_sweep(base);
    T_EQ(rmdir(dir), 0);
    return t_done();
}
