/* One SQLite file: whose it is, who may have it, what a reader sees, what a forked process gets. */
#define _GNU_SOURCE /* truncate */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk/file.h"
#include "faulty_vfs.h"
#include "t.h"

#define PAGE 8192u

static char dir[64], path[96], other[96];
static char why[256];
static int64_t holder;
static const char
    *vfs; /* NULL: the system's; else one that syncs nothing: nobody waits for the disk */

/* ---- helpers */

static void fresh(void)
{
    (void)snprintf(dir, sizeof dir, "%s/ckv-file-%d",
                   access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
    (void)mkdir(dir, 0700);
    (void)snprintf(path, sizeof path, "%s/a.db", dir);
    (void)snprintf(other, sizeof other, "%s/b.db", dir);
    fv_sweep(path);
    fv_sweep(other);
}

static ckv_status open_as(ckv_file **f, const char *at, ckv_file_mode mode)
{
    *f = NULL;
    return ckv_file_open(f, ckv_alloc_libc,
                         &(ckv_file_options){.path = at, .mode = mode, .vfs = vfs}, why, &holder);
}

static ckv_file *must_open(ckv_file_mode mode)
{
    ckv_file *f;
    const ckv_status st = open_as(&f, path, mode);
    if (st != CKV_OK) fprintf(stderr, "%s\n", why);
    T_EQ(st, CKV_OK);
    return f;
}

static ckv_status run(ckv_file *f, const char *sql)
{
    ckv_stmt *s;
    CKV_TRY(ckv_stmt_new(&s, f, sql));
    const ckv_status st = ckv_stmt_run(s);
    ckv_stmt_free(s);
    return st;
}

static ckv_status ask_for(ckv_file *f, const char *sql, int64_t *out)
{
    ckv_stmt *s;
    CKV_TRY(ckv_stmt_new(&s, f, sql));
    const ckv_status st = ckv_stmt_step(s);
    if (st == CKV_OK) *out = ckv_stmt_int(s, 0);
    ckv_stmt_free(s);
    return st;
}

static int64_t ask(ckv_file *f, const char *sql)
{
    int64_t out = -1;
    T_EQ(ask_for(f, sql, &out), CKV_OK);
    return out;
}

static int64_t n_blocks(ckv_file *f) { return ask(f, "SELECT count(*) FROM block"); }

/* A block of n * 1000 bytes. */
static ckv_status put(ckv_file *f, int n)
{
    char sql[128];
    (void)snprintf(sql, sizeof sql, "INSERT INTO block(id, data) VALUES(%d, zeroblob(%d))", n,
                   1000 * n);
    CKV_TRY(ckv_file_begin(f));
    const ckv_status st = run(f, sql);
    if (st == CKV_OK) return ckv_file_commit(f);
    ckv_file_rollback(f);
    return st;
}

static bool exists(const char *end)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s%s", path, end);
    return access(name, F_OK) == 0;
}

static bool is_alone(void)
{
    return exists("") && !exists("-wal") && !exists("-shm") && !exists(".lock") &&
           !exists("-new") && !exists("-journal");
}

static void never(void *ctx, const char *line)
{
    (void)ctx;
    t_fail(__FILE__, __LINE__, line);
}

static void count_lines(void *ctx, const char *line)
{
    T_CHECK(line[0] != 0);
    ++*(int *)ctx;
}

/* A closed file with some content. */
static void make_closed(void)
{
    fresh();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    for (int i = 1; i <= 20; i++) T_EQ(put(f, i), CKV_OK);
    ckv_file_close(f);
    T_CHECK(is_alone());
}

static void write_bytes(const char *at, const void *bytes, size_t n_bytes)
{
    FILE *out = fopen(at, "wb");
    T_CHECK(out && fwrite(bytes, 1, n_bytes, out) == n_bytes);
    T_EQ(fclose(out), 0);
}

/* ---- what is kept */

static void what_is_committed_is_there_again(void)
{
    make_closed();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    T_EQ(n_blocks(f), 20);
    T_EQ(ask(f, "PRAGMA page_size"), PAGE);
    T_EQ(ask(f, "PRAGMA application_id"), CKV_FILE_APPLICATION);
    T_EQ(ask(f, "PRAGMA user_version"), CKV_FILE_SCHEMA);
    T_EQ(ask(f, "PRAGMA synchronous"), 2);
    T_EQ(ckv_file_check(f, never, NULL), CKV_OK);
    T_CHECK(!ckv_file_is_read_only(f) && !ckv_file_is_poisoned(f));
    T_EQ(strlen(ckv_file_error(f)), 0);
    ckv_file_close(f);
    ckv_file_close(NULL);
}

static void normal_durability_syncs_less(void)
{
    fresh();
    uint64_t calls[2];
    for (int sync = 0; sync < 2; sync++) {
        ckv_file *f;
        T_EQ(ckv_file_open(
                 &f, ckv_alloc_libc,
                 &(ckv_file_options){.path = path, .sync = (ckv_sync)sync, .vfs = fv_register()},
                 why, NULL),
             CKV_OK);
        T_EQ(put(f, 2 * sync + 1), CKV_OK);
        fv_record(true);
        T_EQ(put(f, 2 * sync + 2), CKV_OK);
        calls[sync] = 0;
        for (size_t i = 0; i < fv.n_events; i++) calls[sync] += fv.events[i].what == FV_SYNC;
        fv_record(false);
        ckv_file_close(f);
    }
    T_EQ(calls[CKV_SYNC_FULL], 1);
    T_EQ(calls[CKV_SYNC_NORMAL], 0);
}

static void an_empty_file_is_taken_and_lends_its_mode(void)
{
    fresh();
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);
    T_EQ(close(fd), 0);
    T_EQ(chmod(path, 0640), 0);
    ckv_file *f;
    T_EQ(open_as(&f, path, CKV_FILE_READ), CKV_EALIEN); /* a reader makes nothing of it */
    T_CHECK(is_alone());
    f = must_open(CKV_FILE_WRITE);
    T_EQ(put(f, 1), CKV_OK);
    ckv_file_close(f);
    struct stat there;
    T_EQ(stat(path, &there), 0);
    T_EQ(there.st_mode & 07777, 0640);
    T_CHECK(is_alone());
}

static void a_file_in_memory_is_the_same(void)
{
    ckv_file *f;
    T_EQ(open_as(&f, NULL, CKV_FILE_WRITE), CKV_OK);
    T_EQ(put(f, 3), CKV_OK);
    T_EQ(n_blocks(f), 1);
    uint64_t bytes;
    T_EQ(ckv_file_bytes(f, &bytes), CKV_OK);
    T_CHECK(bytes > 3000);
    fresh();
    T_EQ(ckv_file_backup(f, path), CKV_OK); /* and becomes a file */
    ckv_file *g = must_open(CKV_FILE_WRITE), *r = must_open(CKV_FILE_READ);
    T_EQ(n_blocks(g), 1);
    T_EQ(put(g, 4), CKV_OK);
    T_EQ(n_blocks(r), 1);
    ckv_file_close(r);
    ckv_file_close(g);
    const pid_t pid = fork();
    if (pid == 0) _exit(put(f, 5) == CKV_OK && n_blocks(f) == 2 ? 0 : 1);
    int status;
    T_EQ(waitpid(pid, &status, 0), pid);
    T_EQ(status, 0); /* memory is the child's own */
    T_EQ(ckv_file_shrink(f, 0), CKV_OK);
    ckv_file_close(f);
}

static void a_backup_is_whole_and_overwrites_nothing(void)
{
    make_closed();
    ckv_file *f = must_open(CKV_FILE_WRITE), *g;
    T_EQ(put(f, 21), CKV_OK);
    T_EQ(ckv_file_backup(f, other), CKV_OK);
    T_EQ(ckv_file_backup(f, other), CKV_EEXIST);
    T_EQ(ckv_file_backup(f, path), CKV_EEXIST);
    T_EQ(ckv_file_backup(f, "/nowhere/at/all.db"), CKV_EDISK);
    T_CHECK(!ckv_file_is_poisoned(f)); /* another device */
    T_EQ(put(f, 22), CKV_OK);
    T_EQ(open_as(&g, other, CKV_FILE_WRITE),
         CKV_OK); /* a file of its own, while the other is open */
    T_EQ(n_blocks(g), 21);
    T_EQ(ckv_file_check(g, never, NULL), CKV_OK);
    ckv_file_close(g);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_file_backup(f, other), CKV_ERANGE);
    ckv_file_rollback(f);
    ckv_file_close(f);
}

static void what_is_freed_is_given_back(void)
{
    make_closed();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    uint64_t before, after;
    for (int i = 21; i < 60; i++) T_EQ(put(f, i), CKV_OK);
    T_EQ(ckv_file_bytes(f, &before), CKV_OK);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_file_shrink(f, 0), CKV_ERANGE);
    T_EQ(run(f, "DELETE FROM block WHERE id > 3"), CKV_OK);
    T_EQ(ckv_file_commit(f), CKV_OK);
    const int64_t n_free = ask(f, "PRAGMA freelist_count");
    T_CHECK(n_free > 10);
    T_EQ(ckv_file_shrink(f, 2), CKV_OK);
    T_EQ(ask(f, "PRAGMA freelist_count"), n_free - 2);
    T_EQ(ckv_file_shrink(f, 0), CKV_OK);
    T_EQ(ask(f, "PRAGMA freelist_count"), 0);
    T_EQ(ckv_file_bytes(f, &after), CKV_OK);
    T_CHECK(after < before / 4);
    struct stat there;
    T_EQ(stat(path, &there), 0);
    T_EQ(there.st_size, after);
    ckv_file_close(f);
}

static void pages_lose_their_air(void)
{
    uint64_t before, after;
    make_closed();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    for (int i = 21; i < 60; i++) T_EQ(put(f, i), CKV_OK);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_file_pack(f), CKV_ERANGE);
    T_EQ(run(f, "UPDATE block SET data = x'00'"), CKV_OK);
    T_EQ(ckv_file_commit(f), CKV_OK);
    T_EQ(ckv_file_shrink(f, 0), CKV_OK);
    T_EQ(ckv_file_bytes(f, &before), CKV_OK);
    ckv_stmt *half; /* is in the way */
    T_EQ(ckv_stmt_new(&half, f, "SELECT id FROM block"), CKV_OK);
    T_EQ(ckv_stmt_step(half), CKV_OK);
    T_EQ(ckv_file_pack(f), CKV_OK);
    T_EQ(ckv_file_bytes(f, &after), CKV_OK);
    T_EQ(after, before);
    ckv_stmt_free(half);
    T_EQ(ckv_file_pack(f), CKV_OK);
    T_EQ(ckv_file_bytes(f, &after), CKV_OK);
    T_CHECK(after <= before);
    T_EQ(n_blocks(f), 59);
    T_EQ(ckv_file_check(f, never, NULL), CKV_OK);
    T_EQ(put(f, 60), CKV_OK);
    ckv_file_close(f);
    f = must_open(CKV_FILE_READ);
    T_EQ(ckv_file_pack(f), CKV_ERANGE);
    T_EQ(n_blocks(f), 60);
    ckv_file_close(f);
}

/* ---- whose file */

static void refused(ckv_status as)
{
    struct stat before, after;
    T_EQ(stat(path, &before), 0);
    for (int mode = 0; mode < 2; mode++) {
        ckv_file *f;
        T_EQ(open_as(&f, path, (ckv_file_mode)mode), as);
        T_CHECK(why[0] != 0);
        T_CHECK(is_alone());
    }
    T_EQ(stat(path, &after), 0);
    T_EQ(after.st_size, before.st_size);
    T_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    T_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

static void foreign(const char *sql)
{
    sqlite3 *db;
    T_EQ(sqlite3_open(path, &db), SQLITE_OK);
    T_EQ(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    T_EQ(sqlite3_close(db), SQLITE_OK);
}

static void what_is_not_ours_is_refused_and_untouched(void)
{
    fresh();
    char text[5000];
    memset(text, 'a', sizeof text);
    for (size_t n = 1; n <= sizeof text; n = n < 20 ? n + 1 : n * 5 / 4) {
        write_bytes(path, text, n);
        refused(CKV_EALIEN);
    }
    fresh();
    foreign("PRAGMA journal_mode = WAL; CREATE TABLE meta(key, value)");
    refused(CKV_EALIEN);
    fresh();
    foreign("PRAGMA application_id = 7; CREATE TABLE meta(key, value)");
    refused(CKV_EALIEN);
    make_closed();
    foreign("PRAGMA user_version = 3");
    refused(CKV_ENEWER);
    make_closed();
    foreign("PRAGMA user_version = 0; DROP TABLE cover"); /* older, to be brought up to date */
    ckv_file_close(must_open(CKV_FILE_WRITE));
    make_closed();
    foreign("DROP TABLE cover");
    refused(CKV_ECORRUPT);
    T_CHECK(strstr(why, "cover") != NULL);
}

static void places_where_no_file_can_be(void)
{
    ckv_file *f;
    char name[128];
    fresh();
    T_EQ(open_as(&f, path, CKV_FILE_READ), CKV_ENOENT);
    T_EQ(open_as(&f, dir, CKV_FILE_WRITE), CKV_EALIEN);
    T_EQ(open_as(&f, dir, CKV_FILE_READ), CKV_EALIEN);
    T_EQ(open_as(&f, "/nowhere/at/all.db", CKV_FILE_WRITE), CKV_ENOENT);
    (void)snprintf(name, sizeof name, "%s/x", path);
    make_closed();
    T_EQ(open_as(&f, name, CKV_FILE_WRITE), CKV_EDISK); /* below a file */
    T_EQ(remove(path), 0);
    T_EQ(mkfifo(path, 0600), 0);
    T_EQ(open_as(&f, path, CKV_FILE_WRITE), CKV_EALIEN); /* and does not wait for its other end */
    T_EQ(remove(path), 0);
    T_EQ(symlink(other, path), 0);
    T_EQ(open_as(&f, path, CKV_FILE_WRITE), CKV_EALIEN);
    T_EQ(remove(path), 0);
}

static void a_cut_file_is_refused(void)
{
    make_closed();
    struct stat whole;
    T_EQ(stat(path, &whole), 0);
    T_CHECK(whole.st_size > 20 * (off_t)PAGE);
    for (off_t size = whole.st_size - 1; size > 0;
         size -= size % (off_t)PAGE == 0 ? 1 : PAGE / 2 - 1) {
        T_EQ(truncate(path, size), 0);
        ckv_file *f;
        T_EQ(open_as(&f, path, CKV_FILE_WRITE), CKV_ECORRUPT);
        T_CHECK(is_alone());
    }
}

/* Flips of the header, and of what follows: an error, or the content as it was, or at least the check sees it. */
static void no_flipped_bit_goes_unseen(void)
{
    make_closed();
    fv_image good;
    fv_read(&good, path);
    (void)t_seed(1);
    for (size_t i = 0; i < 8 * 100 + 400; i++) {
        const size_t bit = i < 800 ? i : 800 + t_below(8 * good.len - 800);
        good.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        fv_write_out(&good, path);
        good.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ckv_file *f;
        const ckv_status st = open_as(&f, path, CKV_FILE_WRITE);
        if (st != CKV_OK) {
            T_CHECK(st == CKV_ECORRUPT || st == CKV_EALIEN || st == CKV_ENEWER || st == CKV_EDISK);
            continue;
        }
        int n_findings = 0;
        int64_t n = -1, bytes = -1;
        T_EQ(ckv_file_check(f, count_lines, &n_findings), CKV_OK);
        const ckv_status read = ask_for(f, "SELECT count(*) FROM block", &n);
        const ckv_status sum =
            ask_for(f, "SELECT sum(id * 1000 = length(data)) FROM block", &bytes);
        if (!n_findings && read == CKV_OK && sum == CKV_OK) {
            T_EQ(n, 20); /* flips within values are for those who keep them: they have hashes */
            T_EQ(bytes, 20);
        }
        ckv_file_close(f);
    }
    free(good.ptr);
}

/* ---- who has it */

static void there_is_one_writer(void)
{
    make_closed();
    ckv_file *f = must_open(CKV_FILE_WRITE), *g;
    T_CHECK(exists(".lock"));
    holder = 0;
    T_EQ(open_as(&g, path, CKV_FILE_WRITE), CKV_ELOCKED);
    T_EQ(holder, getpid());
    T_CHECK(strstr(why, "open for writing") != NULL);
    T_EQ(symlink(path, other), 0); /* by any name */
    T_EQ(open_as(&g, other, CKV_FILE_WRITE), CKV_ELOCKED);
    T_EQ(put(f, 30), CKV_OK);
    ckv_file_close(f);
    T_EQ(open_as(&g, other, CKV_FILE_WRITE), CKV_OK);
    T_EQ(n_blocks(g), 21);
    ckv_file_close(g);
    T_CHECK(is_alone());
}

/* Starts a process that has the file and commits block 40, then waits; returns its pid. */
static pid_t other_writer(void)
{
    int ready[2];
    char byte;
    T_EQ(pipe(ready), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        ckv_file *f;
        if (open_as(&f, path, CKV_FILE_WRITE) != CKV_OK || put(f, 40) != CKV_OK) _exit(1);
        if (fork() == 0) { /* and a child of its own, which outlives it for a while */
            if (write(ready[1], "x", 1) != 1) _exit(1);
            (void)sleep(1);
            _exit(0);
        }
        for (;;) (void)pause();
    }
    T_EQ(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static void a_dead_writer_holds_nothing_and_lost_nothing(void)
{
    make_closed();
    const pid_t pid = other_writer();
    ckv_file *f;
    int status;
    T_EQ(open_as(&f, path, CKV_FILE_WRITE), CKV_ELOCKED);
    T_EQ(holder, pid);
    f = must_open(CKV_FILE_READ);
    T_EQ(n_blocks(f), 21);
    ckv_file_close(f);
    T_EQ(kill(pid, SIGKILL), 0);
    T_EQ(waitpid(pid, &status, 0), pid);
    T_CHECK(exists(".lock") && exists("-wal"));
    f = must_open(CKV_FILE_READ); /* readers do not need a writer */
    T_EQ(n_blocks(f), 21);
    ckv_file_close(f);
    f = must_open(CKV_FILE_WRITE);
    T_EQ(n_blocks(f), 21);
    T_EQ(ckv_file_check(f, never, NULL), CKV_OK);
    ckv_file_close(f);
    T_CHECK(is_alone());
}

/* Commits until it is killed, and says so after each. */
static _Noreturn void commit_forever(int to, int from)
{
    ckv_file *f;
    if (open_as(&f, path, CKV_FILE_WRITE) != CKV_OK) _exit(1);
    for (int i = from;; i++) {
        char sql[128];
        (void)snprintf(sql, sizeof sql,
                       "INSERT INTO block(id, data) VALUES(%d, zeroblob(%d)), (-%d, x'00')", i,
                       i % 7 * 3000, i);
        if (ckv_file_begin(f) != CKV_OK || run(f, sql) != CKV_OK || ckv_file_commit(f) != CKV_OK)
            _exit(2);
        if (write(to, &i, sizeof i) != sizeof i) _exit(3);
    }
}

static void killed_writers_lose_nothing_that_they_acknowledged(void)
{
    make_closed();
    int last = 100;
    (void)t_seed(9);
    for (int round = 0; round < 40; round++) {
        int said[2], status;
        T_EQ(pipe(said), 0);
        const pid_t pid = fork();
        if (pid == 0) commit_forever(said[1], last + 1);
        T_EQ(close(said[1]), 0);
        const uint64_t n_wanted = t_below(60);
        for (uint64_t i = 0; i < n_wanted; i++)
            T_EQ(read(said[0], &last, sizeof last), sizeof last);
        T_EQ(kill(pid, SIGKILL), 0);
        while (read(said[0], &last, sizeof last) == sizeof last) {
        }
        T_EQ(waitpid(pid, &status, 0), pid);
        T_CHECK(WIFSIGNALED(status));
        T_EQ(close(said[0]), 0);
        ckv_file *f = must_open(CKV_FILE_WRITE);
        const int64_t top = ask(f, "SELECT max(id) FROM block");
        T_CHECK(last == 100 || top == last || top == last + 1);
        T_EQ(ask(f, "SELECT count(*) FROM block WHERE id > 100"), top > 100 ? top - 100 : 0);
        T_EQ(ask(f, "SELECT count(*) FROM block WHERE id < 0"), top > 100 ? top - 100 : 0);
        T_EQ(ckv_file_check(f, never, NULL), CKV_OK);
        ckv_file_close(f);
        if (top > last) last = (int)top;
    }
    T_CHECK(last > 300);
}

static void the_log_stays_short_though_much_is_read(void)
{
    make_closed();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    char name[128];
    struct stat there;
    (void)snprintf(name, sizeof name, "%s-wal", path);
    for (int i = 21; i < 300; i++) {
        T_EQ(n_blocks(f), i - 1);
        T_EQ(put(f, i), CKV_OK);
        T_EQ(stat(name, &there), 0);
        T_CHECK(there.st_size <
                100 *
                    (off_t)PAGE); /* it is moved after 16 in a debug build, and a row may have 37 */
    }
    ckv_file_close(f);
}

static void a_reader_sees_its_commit_until_it_refreshes(void)
{
    make_closed();
    ckv_file *f = must_open(CKV_FILE_WRITE), *r = must_open(CKV_FILE_READ);
    int64_t was, now;
    T_CHECK(ckv_file_is_read_only(r));
    T_EQ(ckv_file_version(r, &was), CKV_OK);
    for (int i = 31; i < 60; i++) T_EQ(put(f, i), CKV_OK); /* over checkpoints */
    T_EQ(n_blocks(r), 20);
    T_EQ(ckv_file_version(r, &now), CKV_OK);
    T_EQ(now, was);
    T_EQ(ckv_file_refresh(r), CKV_OK);
    T_EQ(n_blocks(r), 49);
    T_EQ(ckv_file_version(r, &now), CKV_OK);
    T_CHECK(now > was);
    was = now;
    T_EQ(ckv_file_refresh(r), CKV_OK);
    T_EQ(ckv_file_version(r, &now), CKV_OK);
    T_EQ(now, was);
    T_EQ(ckv_file_begin(r), CKV_ERANGE);
    T_EQ(run(r, "DELETE FROM block"), CKV_ERANGE);
    T_EQ(ckv_file_shrink(r, 0), CKV_ERANGE);
    T_EQ(put(f, 60), CKV_OK);
    T_EQ(ckv_file_backup(r, other), CKV_OK); /* of what it sees */
    ckv_file_close(f);
    T_EQ(n_blocks(r), 49);
    T_EQ(ckv_file_refresh(r), CKV_OK);
    T_EQ(n_blocks(r), 50);
    T_CHECK(exists("-wal"));
    ckv_file_close(r); /* the last one */
    T_CHECK(is_alone());
    T_EQ(open_as(&r, other, CKV_FILE_READ), CKV_OK);
    T_EQ(n_blocks(r), 49);
    ckv_file_close(r);
    f = must_open(CKV_FILE_WRITE);
    T_EQ(n_blocks(f), 50);
    ckv_file_close(f);
    T_CHECK(is_alone());
}

static void a_reader_of_a_closed_file_leaves_nothing_behind(void)
{
    make_closed();
    ckv_file *r = must_open(CKV_FILE_READ), *s = must_open(CKV_FILE_READ);
    T_EQ(n_blocks(r), 20);
    ckv_file_close(r);
    T_EQ(n_blocks(s), 20);
    ckv_file_close(s);
    T_CHECK(is_alone());
}

static void a_directory_where_nothing_can_be_made_is_read(void)
{
    make_closed();
    T_EQ(chmod(dir, 0555), 0);
    T_EQ(chmod(path, 0444), 0);
    const pid_t pid = fork();
    if (pid == 0) { /* as nobody, since root may everything */
        ckv_file *f;
        if (getuid() == 0 && setuid(65534) != 0) _exit(2);
        if (open_as(&f, path, CKV_FILE_WRITE) != CKV_EDISK) _exit(3);
        if (open_as(&f, path, CKV_FILE_READ) != CKV_OK) _exit(4);
        if (n_blocks(f) != 20 || ckv_file_refresh(f) != CKV_OK || n_blocks(f) != 20) _exit(5);
        ckv_file_close(f);
        _exit(0);
    }
    int status;
    T_EQ(waitpid(pid, &status, 0), pid);
    T_EQ(chmod(dir, 0755), 0);
    T_EQ(status, 0);
    T_CHECK(is_alone());
}

static void a_forked_process_gets_nothing_and_ends_nothing(void)
{
    make_closed();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    ckv_stmt *s;
    T_EQ(ckv_stmt_new(&s, f, "SELECT id FROM block"), CKV_OK);
    T_EQ(ckv_stmt_step(s), CKV_OK);
    int turn[2], back[2];
    T_EQ(pipe(turn), 0);
    T_EQ(pipe(back), 0);
    ckv_file *g;
    const pid_t pid = fork();
    if (pid == 0) {
        ckv_stmt *t;
        int64_t n;
        uint64_t bytes;
        uint8_t byte;
        bool ok = ckv_stmt_step(s) == CKV_EFORKED && ckv_stmt_new(&t, f, "SELECT 1") == CKV_EFORKED;
        ok = ok && ckv_file_begin(f) == CKV_EFORKED && ckv_file_commit(f) == CKV_EFORKED;
        ok = ok && ckv_file_refresh(f) == CKV_EFORKED && ckv_file_version(f, &n) == CKV_EFORKED;
        ok = ok && ckv_file_shrink(f, 0) == CKV_EFORKED && ckv_file_backup(f, other) == CKV_EFORKED;
        ok = ok && ckv_file_check(f, never, NULL) == CKV_EFORKED;
        ok = ok && ckv_file_bytes(f, &bytes) == CKV_EFORKED && ckv_stmt_int(s, 0) == 0;
        ok = ok && ckv_file_read_blob(f, "block", "data", 1, 0, &byte, 1) == CKV_EFORKED;
        ok = ok && !ckv_file_in_transaction(f);
        ok = ok && open_as(&g, path, CKV_FILE_WRITE) == CKV_ELOCKED && holder == getppid();
        ok = ok && open_as(&g, path, CKV_FILE_READ) == CKV_OK; /* on its own it may read */
        ok = ok && n_blocks(g) == 20 && ckv_stmt_step(s) == CKV_EFORKED;
        ok = ok && write(turn[1], "x", 1) == 1 && read(back[0], &byte, 1) == 1;
        ok = ok && n_blocks(g) == 20 && ckv_file_refresh(g) == CKV_OK && n_blocks(g) == 21;
        ckv_file_close(g);
        ckv_file_rollback(f);
        ckv_stmt_free(s);
        ckv_file_close(f);
        _exit(ok ? 0 : 1);
    }
    int status;
    char byte;
    T_EQ(read(turn[0], &byte, 1), 1);
    ckv_stmt_free(s);
    T_EQ(put(f, 50), CKV_OK);
    ckv_file_close(f); /* while the child reads */
    T_CHECK(exists("-wal"));
    T_EQ(write(back[1], "x", 1), 1);
    T_EQ(waitpid(pid, &status, 0), pid);
    T_EQ(status, 0);
    for (int i = 0; i < 2; i++) T_EQ(close(turn[i]) | close(back[i]), 0);
    f = must_open(CKV_FILE_WRITE);
    T_EQ(n_blocks(f), 21);
    T_EQ(ckv_file_check(f, never, NULL), CKV_OK);
    ckv_file_close(f);
    T_CHECK(is_alone());
}

static void a_file_forked_in_a_transaction_is_not_for_the_child(void)
{
    make_closed();
    ckv_file *f = must_open(CKV_FILE_WRITE), *g;
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(run(f, "DELETE FROM block"), CKV_OK);
    const pid_t pid = fork();
    if (pid == 0) {
        const bool ok = open_as(&g, path, CKV_FILE_READ) == CKV_EFORKED && why[0];
        ckv_file_close(f);
        _exit(ok ? 0 : 1);
    }
    int status;
    T_EQ(waitpid(pid, &status, 0), pid);
    T_EQ(status, 0);
    T_EQ(ckv_file_commit(f), CKV_OK);
    T_EQ(n_blocks(f), 0);
    ckv_file_close(f);
}

static void *open_and_close(void *stop)
{
    while (!atomic_load((atomic_bool *)stop)) ckv_file_close(must_open(CKV_FILE_WRITE));
    return NULL;
}

/* At whatever moment a process forks, while another thread opens or closes: no child goes on with the lock. */
static void no_child_keeps_a_lock(void)
{
    enum { CHILDREN = 100 };
    make_closed();
    int life[2]; /* children live as long as its end is open here */
    pid_t pids[CHILDREN];
    pthread_t thread;
    atomic_bool stop = false;
    T_EQ(pipe(life), 0);
    T_EQ(pthread_create(&thread, NULL, open_and_close, &stop), 0);
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] != 0) continue;
        char byte;
        (void)close(life[1]);
        _exit(read(life[0], &byte, 1) == 0 ? 0 : 1);
    }
    atomic_store(&stop, true);
    T_EQ(pthread_join(thread, NULL), 0);
    ckv_file_close(must_open(CKV_FILE_WRITE));
    T_EQ(close(life[1]) | close(life[0]), 0);
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        T_EQ(waitpid(pids[i], &status, 0), pids[i]);
        T_EQ(status, 0);
    }
}

/* ---- transactions and statements */

static void a_transaction_is_all_or_nothing_and_of_one_thread(void)
{
    fresh();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    T_EQ(run(f, "DELETE FROM block"), CKV_ERANGE); /* outside */
    T_EQ(ckv_file_commit(f), CKV_ERANGE);
    ckv_file_rollback(f);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_CHECK(ckv_file_in_transaction(f));
    T_EQ(ckv_file_begin(f), CKV_ERANGE);
    T_EQ(run(f, "INSERT INTO block VALUES(1, x'00')"), CKV_OK);
    T_EQ(run(f, "INSERT INTO block VALUES(1, x'00')"), CKV_EEXIST);
    T_EQ(run(f, "INSERT INTO block VALUES(2, 'text')"), CKV_ERANGE); /* STRICT */
    T_EQ(run(f, "INSERT INTO block VALUES(2, NULL)"), CKV_ERANGE);
    T_EQ(run(f, "INSERT INTO nowhere VALUES(2)"), CKV_ERANGE);
    T_CHECK(strstr(ckv_file_error(f), "nowhere") != NULL);
    T_EQ(ckv_file_commit(f), CKV_OK); /* the errors were those of single statements */
    T_CHECK(!ckv_file_in_transaction(f));
    T_EQ(n_blocks(f), 1);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(run(f, "INSERT INTO block VALUES(3, x'00')"), CKV_OK);
    ckv_file_rollback(f);
    T_EQ(n_blocks(f), 1);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(run(f, "INSERT INTO block VALUES(4, x'00')"), CKV_OK);
    ckv_file_close(f); /* rolls back */
    f = must_open(CKV_FILE_READ);
    T_EQ(n_blocks(f), 1);
    ckv_file_close(f);
}

typedef struct crowd {
    ckv_file *f;
    int first;
} crowd;

static void *insert_many(void *arg)
{
    const crowd *c = arg;
    for (int i = 0; i < 50; i++) {
        T_EQ(put(c->f, c->first + i), CKV_OK);
        T_CHECK(n_blocks(c->f) > 0);
    }
    return NULL;
}

static void threads_take_turns(void)
{
    fresh();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    pthread_t threads[4];
    crowd crowds[4];
    for (int i = 0; i < 4; i++) {
        crowds[i] = (crowd){f, 50 * i};
        T_EQ(pthread_create(&threads[i], NULL, insert_many, &crowds[i]), 0);
    }
    for (int i = 0; i < 4; i++) T_EQ(pthread_join(threads[i], NULL), 0);
    T_EQ(n_blocks(f), 200);
    int64_t version;
    T_EQ(ckv_file_version(f, &version), CKV_OK);
    T_CHECK(version >= 200);
    ckv_file_close(f);
}

static void statements_bind_and_answer(void)
{
    fresh();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    ckv_stmt *s;
    size_t n;
    T_EQ(ckv_stmt_new(&s, f, "SELECT ?1, ?2, ?3, ?4, ?5, 1.5"), CKV_OK);
    T_EQ(ckv_stmt_columns(s), 6);
    ckv_stmt_bind_int(s, 1, INT64_MIN);
    ckv_stmt_bind_blob(s, 2, "\0x", 2);
    ckv_stmt_bind_text(s, 3, "word", 4);
    ckv_stmt_bind_blob(s, 4, "", 0);
    ckv_stmt_bind_blob(s, 5, NULL, 0);
    T_EQ(ckv_stmt_step(s), CKV_OK);
    T_EQ(ckv_stmt_kind(s, 0), CKV_INT_COLUMN);
    T_EQ(ckv_stmt_kind(s, 1), CKV_BLOB_COLUMN);
    T_EQ(ckv_stmt_kind(s, 2), CKV_TEXT_COLUMN);
    T_EQ(ckv_stmt_kind(s, 3), CKV_BLOB_COLUMN);
    T_EQ(ckv_stmt_kind(s, 4), CKV_NULL_COLUMN);
    T_EQ(ckv_stmt_kind(s, 5), CKV_OTHER_COLUMN);
    T_EQ(ckv_stmt_int(s, 0), INT64_MIN);
    T_EQ(ckv_stmt_int(s, 1), 0);
    const uint8_t *p = ckv_stmt_blob(s, 1, &n);
    T_BYTES(p, n, "\0x", 2);
    p = ckv_stmt_blob(s, 2, &n);
    T_BYTES(p, n, "word", 4);
    T_CHECK(ckv_stmt_blob(s, 3, &n) != NULL && n == 0);
    T_CHECK(ckv_stmt_blob(s, 4, &n) == NULL && n == 0);
    T_CHECK(ckv_stmt_blob(s, 0, &n) == NULL && n == 0);
    T_EQ(ckv_stmt_step(s), CKV_ENOENT);
    ckv_stmt_bind_int(s, 9, 1); /* there is none: shows at the step, once */
    T_EQ(ckv_stmt_step(s), CKV_ERANGE);
    T_EQ(ckv_stmt_step(s), CKV_OK);
    ckv_stmt_free(s);
    ckv_stmt_free(NULL);
    T_EQ(ckv_stmt_new(&s, f, "SELEKT"), CKV_ERANGE);
    T_EQ(ckv_stmt_new(&s, f, "-- nothing"), CKV_ERANGE);
    T_EQ(ckv_stmt_new(&s, f, "SELECT 1"), CKV_OK);
    ckv_file_close(f);
    T_EQ(ckv_stmt_step(s), CKV_ESTALE); /* outlived its file */
    ckv_stmt_reset(s);
    ckv_stmt_free(s);
}

static void blobs_are_read_in_part(void)
{
    fresh();
    ckv_file *f = must_open(CKV_FILE_WRITE);
    static uint8_t bytes[120000], part[500];
    (void)t_seed(7);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)t_rand();
    ckv_stmt *s;
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(ckv_stmt_new(&s, f, "INSERT INTO block(id, data) VALUES(1, ?1)"), CKV_OK);
    ckv_stmt_bind_blob(s, 1, bytes, sizeof bytes);
    T_EQ(ckv_stmt_run(s), CKV_OK);
    T_EQ(ckv_file_commit(f), CKV_OK);
    ckv_stmt_free(s);
    for (int i = 0; i < 200; i++) {
        const size_t at = t_below(sizeof bytes), left = sizeof bytes - at;
        const size_t n = t_below((left < sizeof part ? left : sizeof part) + 1);
        T_EQ(ckv_file_read_blob(f, "block", "data", 1, at, part, n), CKV_OK);
        T_BYTES(part, n, bytes + at, n);
    }
    T_EQ(ckv_file_read_blob(f, "block", "data", 1, sizeof bytes - 1, part, 2), CKV_ERANGE);
    T_EQ(ckv_file_read_blob(f, "block", "data", 1, SIZE_MAX, part, 1), CKV_ERANGE);
    T_EQ(ckv_file_read_blob(f, "block", "data", 2, 0, part, 1), CKV_ENOENT);
    T_EQ(ckv_file_begin(f), CKV_OK);
    T_EQ(run(f, "INSERT INTO dag(id, object, name, state, indexed) VALUES(1, 1, 'x', 0, 0)"),
         CKV_OK);
    T_EQ(ckv_file_commit(f), CKV_OK);
    T_EQ(ckv_file_read_blob(f, "dag", "root", 1, 0, part, 1), CKV_ENOENT);
    ckv_file_close(f);
}

static void a_key_is_kept_for_the_owner(void)
{
    ckv_file *f;
    const ckv_id32 key = {{1, 2, 3}};
    T_EQ(open_as(&f, NULL, CKV_FILE_WRITE), CKV_OK);
    T_CHECK(ckv_file_key(f) == NULL);
    ckv_file_set_key(f, &key);
    T_BYTES(ckv_file_key(f), 32, &key, 32);
    ckv_file_set_key(f, NULL);
    T_CHECK(ckv_file_key(f) == NULL);
    ckv_file_close(f);
}

static ckv_status open_and_use(ckv_alloc a)
{
    ckv_file *f;
    fresh();
    CKV_TRY(
        ckv_file_open(&f, a, &(ckv_file_options){.path = path, .vfs = fv_register()}, NULL, NULL));
    const ckv_status st = put(f, 1);
    ckv_file_close(f);
    T_CHECK(!exists(".lock"));
    return st;
}

static void each_allocation_may_fail(void) { T_CHECK(t_oom(open_and_use) >= 4); }

int main(void)
{
    T_RUN(what_is_committed_is_there_again);
    T_RUN(threads_take_turns);
    vfs = fv_register();
    T_RUN(normal_durability_syncs_less);
    T_RUN(an_empty_file_is_taken_and_lends_its_mode);
    T_RUN(a_file_in_memory_is_the_same);
    T_RUN(a_backup_is_whole_and_overwrites_nothing);
    T_RUN(what_is_freed_is_given_back);
    T_RUN(pages_lose_their_air);
    T_RUN(what_is_not_ours_is_refused_and_untouched);
    T_RUN(places_where_no_file_can_be);
    T_RUN(a_cut_file_is_refused);
    T_RUN(no_flipped_bit_goes_unseen);
    T_RUN(there_is_one_writer);
    T_RUN(a_dead_writer_holds_nothing_and_lost_nothing);
    T_RUN(killed_writers_lose_nothing_that_they_acknowledged);
    T_RUN(the_log_stays_short_though_much_is_read);
    T_RUN(a_reader_sees_its_commit_until_it_refreshes);
    T_RUN(a_reader_of_a_closed_file_leaves_nothing_behind);
    T_RUN(a_directory_where_nothing_can_be_made_is_read);
    T_RUN(a_forked_process_gets_nothing_and_ends_nothing);
    T_RUN(a_file_forked_in_a_transaction_is_not_for_the_child);
    T_RUN(no_child_keeps_a_lock);
    T_RUN(a_transaction_is_all_or_nothing_and_of_one_thread);
    T_RUN(statements_bind_and_answer);
    T_RUN(blobs_are_read_in_part);
    T_RUN(a_key_is_kept_for_the_owner);
    T_RUN(each_allocation_may_fail);
    fresh();
    T_EQ(rmdir(dir), 0);
    return t_done();
}
