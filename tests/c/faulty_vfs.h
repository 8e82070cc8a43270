/* faulty_vfs.h -- SQLite's own VFS with faults on purpose, and with a memory of what it wrote.
 *
 *     const char *name = fv_register();            for the options of ckv_file_open, `vfs`
 *     fv_plan(k, FV_IOERR, false);                 the k-th call of a device (from 0) fails, once
 *     fv_plan(-1, 0, false);                       nothing fails any more
 *
 * Devices' calls are writes, syncs, truncations, deletions, openings and what shared memory takes; with fv.reads, reads too. Nothing is really synced: no test here pulls the plug.
 *
 *     fv_record(true); ... fv_mark(n); ...         what is written to the file and its WAL, with marks of the test's own between
 *     fv_crash(at, rand, path)                     writes to `path` (and its WAL) what a power failure before event `at` may leave
 *
 * The model of a disk: what was written before the last sync of a file is there. Of what came later any part may be, in any order, torn at sectors of 512 or
 * 4096 bytes; the same of truncations. `rand` NULL: all of it is there.
 */
#ifndef CKV_TEST_FAULTY_VFS_H
#define CKV_TEST_FAULTY_VFS_H

#include <errno.h>
#include <sqlite3.h>

#include "t.h"

typedef enum fv_kind {
    FV_IOERR,      /* nothing is done, EIO */
    FV_FULL,       /* nothing is done, ENOSPC */
    FV_SHORT_FULL, /* a write does its first half, then ENOSPC */
    FV_SHORT_IOERR,
    FV_N_KINDS
} fv_kind;

typedef enum fv_what { FV_WRITE, FV_TRUNCATE, FV_SYNC, FV_DELETE, FV_MARK } fv_what;

typedef struct fv_event {
    fv_what what;
    int which; /* 0: the file, 1: its WAL. Of a mark: the test's number */
    size_t at, n_bytes;
    uint8_t *bytes; /* owned, of a write */
} fv_event;

static struct {
    sqlite3_vfs vfs, *under;
    int64_t until_fail; /* < 0: never */
    bool stays, reads;
    fv_kind kind;
    uint64_t n_calls, n_failed;
    int last_errno;
    bool records;
    fv_event *events;
    size_t n_events, cap_events;
} fv;

typedef struct fv_file {
    sqlite3_file base;
    int which; /* 0, 1; -1: neither */
    sqlite3_file *under;
} fv_file;

static T_UNUSED void fv_plan(int64_t k, fv_kind kind, bool stays)
{
    fv.until_fail = k;
    fv.kind = kind;
    fv.stays = stays;
    fv.n_calls = fv.n_failed = 0;
}

/* Whether this call fails. A full disk fails only what takes room. */
static bool fv_fails(bool takes_room)
{
    const bool full = fv.kind == FV_FULL || fv.kind == FV_SHORT_FULL;
    if (full && !takes_room) return false;
    fv.n_calls++;
    if (fv.until_fail < 0) return false;
    if (fv.until_fail > 0) {
        fv.until_fail--;
        return false;
    }
    if (!fv.stays) fv.until_fail = -1;
    fv.n_failed++;
    fv.last_errno = full ? ENOSPC : EIO;
    return true;
}

/* ---- memory */

static T_UNUSED void fv_record(bool on)
{
    fv.records = on;
    if (!on) return;
    for (size_t i = 0; i < fv.n_events; i++) free(fv.events[i].bytes);
    fv.n_events = 0;
}

static void fv_note(fv_what what, int which, size_t at, const void *bytes, size_t n_bytes)
{
    if (!fv.records || which < 0) return;
    if (fv.n_events == fv.cap_events) {
        fv.cap_events = fv.cap_events ? 2 * fv.cap_events : 256;
        fv.events = realloc(fv.events, fv.cap_events * sizeof *fv.events);
        T_CHECK(fv.events != NULL);
    }
    fv_event *e = &fv.events[fv.n_events++];
    *e = (fv_event){.what = what, .which = which, .at = at, .n_bytes = n_bytes};
    if (!bytes) return;
    e->bytes = malloc(n_bytes);
    T_CHECK(e->bytes != NULL);
    memcpy(e->bytes, bytes, n_bytes);
}

static T_UNUSED void fv_mark(int number) { fv_note(FV_MARK, number, 0, NULL, 0); }

typedef struct fv_image {
    uint8_t *ptr;
    size_t len, cap;
    bool there;
} fv_image;

static void fv_resize(fv_image *m, size_t len)
{
    if (len > m->cap) {
        m->ptr = realloc(m->ptr, m->cap = 2 * len);
        T_CHECK(m->ptr != NULL);
    }
    if (len > m->len) memset(m->ptr + m->len, 0, len - m->len);
    m->len = len;
}

static void fv_apply(fv_image *m, const fv_event *e, size_t from, size_t to)
{
    if (e->what == FV_DELETE) *m = (fv_image){.ptr = m->ptr, .cap = m->cap};
    if (e->what == FV_TRUNCATE) fv_resize(m, e->at);
    if (e->what != FV_WRITE || from >= to) return;
    m->there = true;
    if (e->at + to > m->len) fv_resize(m, e->at + to);
    memcpy(m->ptr + e->at + from, e->bytes + from, to - from);
}

static void fv_read(fv_image *m, const char *path)
{
    FILE *in = fopen(path, "rb");
    *m = (fv_image){.there = in != NULL};
    if (!in) return;
    uint8_t part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, in)) > 0;) {
        const size_t was = m->len;
        fv_resize(m, was + n);
        memcpy(m->ptr + was, part, n);
    }
    fclose(in);
}

static void fv_write_out(const fv_image *m, const char *path)
{
    (void)remove(path);
    if (!m->there) return;
    FILE *out = fopen(path, "wb");
    T_CHECK(out && fwrite(m->ptr, 1, m->len, out) == m->len);
    T_EQ(fclose(out), 0);
}

/* `base`: what was there when the recording began, a file that was closed. */
static T_UNUSED void fv_crash(size_t at, uint64_t (*rand)(void), const char *base, const char *path)
{
    fv_image m[2] = {{0}};
    size_t synced[2] = {0, 0}; /* events before this one are on the disk */
    fv_read(&m[0], base);
    for (size_t i = 0; i < at; i++)
        if (fv.events[i].what == FV_SYNC) synced[fv.events[i].which] = i;
    for (size_t i = 0; i < at; i++) {
        const fv_event *e = &fv.events[i];
        if (e->what == FV_MARK || e->what == FV_SYNC) continue;
        if (!rand || i < synced[e->which]) {
            fv_apply(&m[e->which], e, 0, e->n_bytes);
            continue;
        }
        const uint64_t fate = rand() % 4; /* all, nothing, or sectors of two sizes */
        if (fate == 1) continue;
        const size_t sector = fate == 2 ? 512 : fate == 3 ? 4096 : e->n_bytes + 1;
        if (fate == 0 || e->what != FV_WRITE)
            fv_apply(&m[e->which], e, 0, e->n_bytes);
        else
            for (size_t from = 0, to; from < e->n_bytes; from = to) {
                to = ((e->at + from) / sector + 1) * sector - e->at;
                if (to > e->n_bytes) to = e->n_bytes;
                if (rand() % 2) fv_apply(&m[e->which], e, from, to);
            }
    }
    char wal[256], shm[256];
    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    (void)snprintf(shm, sizeof shm, "%s-shm", path);
    fv_write_out(&m[0], path);
    fv_write_out(&m[1], wal);
    (void)remove(shm); /* shared memory survives nothing */
    free(m[0].ptr);
    free(m[1].ptr);
}

/* ---- the files */

static sqlite3_file *fv_under(sqlite3_file *f) { return ((fv_file *)f)->under; }

static int fv_close(sqlite3_file *f) { return fv_under(f)->pMethods->xClose(fv_under(f)); }

static int fv_xread(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
    if (fv.reads && fv_fails(false)) return SQLITE_IOERR_READ;
    return fv_under(f)->pMethods->xRead(fv_under(f), out, n, at);
}

static int fv_xwrite(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    sqlite3_file *u = fv_under(f);
    const bool fails = fv_fails(true), half = fv.kind == FV_SHORT_FULL || fv.kind == FV_SHORT_IOERR;
    const int n_done = !fails ? n : half ? n / 2 : 0;
    if (n_done) {
        T_EQ(u->pMethods->xWrite(u, bytes, n_done, at), SQLITE_OK);
        fv_note(FV_WRITE, ((fv_file *)f)->which, (size_t)at, bytes, (size_t)n_done);
    }
    if (!fails) return SQLITE_OK;
    return fv.last_errno == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int fv_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (fv_fails(false)) return SQLITE_IOERR_TRUNCATE;
    fv_note(FV_TRUNCATE, ((fv_file *)f)->which, (size_t)size, NULL, 0);
    return fv_under(f)->pMethods->xTruncate(fv_under(f), size);
}

static int fv_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    if (fv_fails(false)) return SQLITE_IOERR_FSYNC;
    fv_note(FV_SYNC, ((fv_file *)f)->which, 0, NULL, 0);
    return SQLITE_OK;
}

static int fv_size(sqlite3_file *f, sqlite3_int64 *out)
{
    return fv_under(f)->pMethods->xFileSize(fv_under(f), out);
}

static int fv_lock(sqlite3_file *f, int how)
{
    return fv_under(f)->pMethods->xLock(fv_under(f), how);
}

static int fv_unlock(sqlite3_file *f, int how)
{
    return fv_under(f)->pMethods->xUnlock(fv_under(f), how);
}

static int fv_check_lock(sqlite3_file *f, int *out)
{
    return fv_under(f)->pMethods->xCheckReservedLock(fv_under(f), out);
}

static int fv_control(sqlite3_file *f, int op, void *arg)
{
    if (op == SQLITE_FCNTL_LAST_ERRNO)
        *(int *)arg = fv.last_errno;
    else
        return fv_under(f)->pMethods->xFileControl(fv_under(f), op, arg);
    return SQLITE_OK;
}

static int fv_sector(sqlite3_file *f) { return fv_under(f)->pMethods->xSectorSize(fv_under(f)); }

static int fv_traits(sqlite3_file *f)
{
    return fv_under(f)->pMethods->xDeviceCharacteristics(fv_under(f));
}

static int fv_shm_map(sqlite3_file *f, int region, int n, int extend, void volatile **out)
{
    if (extend && fv_fails(true)) {
        *out = NULL;
        return fv.last_errno == ENOSPC ? SQLITE_IOERR_SHMSIZE : SQLITE_IOERR_SHMMAP;
    }
    return fv_under(f)->pMethods->xShmMap(fv_under(f), region, n, extend, out);
}

static int fv_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    if (!(flags & SQLITE_SHM_UNLOCK) && fv_fails(false)) return SQLITE_IOERR_SHMLOCK;
    return fv_under(f)->pMethods->xShmLock(fv_under(f), at, n, flags);
}

static void fv_shm_barrier(sqlite3_file *f) { fv_under(f)->pMethods->xShmBarrier(fv_under(f)); }

static int fv_shm_unmap(sqlite3_file *f, int del)
{
    return fv_under(f)->pMethods->xShmUnmap(fv_under(f), del);
}

static const sqlite3_io_methods fv_methods = {
    .iVersion = 2,
    .xClose = fv_close,
    .xRead = fv_xread,
    .xWrite = fv_xwrite,
    .xTruncate = fv_truncate,
    .xSync = fv_sync,
    .xFileSize = fv_size,
    .xLock = fv_lock,
    .xUnlock = fv_unlock,
    .xCheckReservedLock = fv_check_lock,
    .xFileControl = fv_control,
    .xSectorSize = fv_sector,
    .xDeviceCharacteristics = fv_traits,
    .xShmMap = fv_shm_map,
    .xShmLock = fv_shm_lock,
    .xShmBarrier = fv_shm_barrier,
    .xShmUnmap = fv_shm_unmap,
};

/* ---- the file system */

static int fv_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *out, int flags, int *got)
{
    (void)vfs;
    fv_file *f = (fv_file *)out;
    *f = (fv_file){.which = -1, .under = (sqlite3_file *)(f + 1)};
    if (fv_fails(true)) return SQLITE_CANTOPEN;
    const int rc = fv.under->xOpen(fv.under, name, f->under, flags, got);
    if (rc != SQLITE_OK) return rc;
    f->which = flags & SQLITE_OPEN_MAIN_DB ? 0 : flags & SQLITE_OPEN_WAL ? 1 : -1;
    f->base.pMethods = &fv_methods;
    return SQLITE_OK;
}

static int fv_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    (void)vfs, (void)sync_dir;
    if (fv_fails(false)) return SQLITE_IOERR_DELETE;
    const size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, "-wal") == 0) fv_note(FV_DELETE, 1, 0, NULL, 0);
    return fv.under->xDelete(fv.under, name, 0);
}

static int fv_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    (void)vfs;
    return fv.under->xAccess(fv.under, name, flags, out);
}

static int fv_full_name(sqlite3_vfs *vfs, const char *name, int n, char *out)
{
    (void)vfs;
    return fv.under->xFullPathname(fv.under, name, n, out);
}

static int fv_randomness(sqlite3_vfs *vfs, int n, char *out)
{
    (void)vfs;
    return fv.under->xRandomness(fv.under, n, out);
}

static int fv_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return fv.under->xSleep(fv.under, microseconds);
}

static int fv_time(sqlite3_vfs *vfs, double *out)
{
    (void)vfs;
    return fv.under->xCurrentTime(fv.under, out);
}

static int fv_last_error(sqlite3_vfs *vfs, int n, char *out)
{
    (void)vfs, (void)n, (void)out;
    return fv.last_errno;
}

/* Its name, for ckv_file_options.vfs. */
/* Removes a database and all that may lie beside it. */
static T_UNUSED void fv_sweep(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal", "-new", ".lock"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)remove(name);
    }
}

static T_UNUSED const char *fv_register(void)
{
    if (!fv.under) {
        fv.until_fail = -1;
        fv.under = sqlite3_vfs_find(NULL);
        T_CHECK(fv.under != NULL);
        fv.vfs = (sqlite3_vfs){.iVersion = 1,
                               .szOsFile = (int)sizeof(fv_file) + fv.under->szOsFile,
                               .mxPathname = fv.under->mxPathname,
                               .zName = "faulty",
                               .xOpen = fv_open,
                               .xDelete = fv_delete,
                               .xAccess = fv_access,
                               .xFullPathname = fv_full_name,
                               .xRandomness = fv_randomness,
                               .xSleep = fv_sleep,
                               .xCurrentTime = fv_time,
                               .xGetLastError = fv_last_error};
        T_EQ(sqlite3_vfs_register(&fv.vfs, 0), SQLITE_OK);
    }
    return fv.vfs.zName;
}

#endif
