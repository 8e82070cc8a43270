#define _GNU_SOURCE /* realpath, lstat */

#include "disk/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/lock.h"
#include "disk/schema.h"

#define PAGE_BYTES   "8192"     /* docs/adr/0017 */
#define CACHE_KIB    "4096"     /* of pages */
#define WAL_KEEP     "16777216" /* bytes of an empty WAL that are not given back */
#define BUSY_MS      5000
#define HEADER_BYTES 100
#define COPY_PAGES   1024 /* a step of a backup */

static const char magic[16] = "SQLite format 3";

__attribute__((format(printf, 2, 3))) static ckv_status say(char why[256], const char *format, ...)
{
    va_list words;
    va_start(words, format);
    (void)vsnprintf(why, 256, format, words);
    va_end(words);
    return CKV_EDISK;
}

/* What `rc` means while a file is opened; nothing that SQLite says then is a bug of the caller. */
static ckv_status judge(sqlite3 *db, int rc, const char *what, char why[256])
{
    const ckv_status st = ckv_file_status(rc, db ? ckv_file_errno(db, rc, false) : 0);
    (void)say(why, "%s: %s (%s)", what, db ? sqlite3_errmsg(db) : "", sqlite3_errstr(rc));
    return st == CKV_ERANGE ? (rc & 0xff) == SQLITE_READONLY ? CKV_EDISK : CKV_ECORRUPT : st;
}

/* text + end, of free(3) */
static char *joined(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end) + 1;
    char *out = malloc(n + n_end);
    if (!out) return NULL;
    memcpy(out, text, n);
    memcpy(out + n, end, n_end);
    return out;
}

static char *directory_of(const char *path)
{
    char *out = joined(path, "");
    char *slash = out ? strrchr(out, '/') : NULL;
    if (slash) slash[slash == out] = 0; /* of "/name": "/" */
    return out;
}

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- the path */

ckv_status ckv_open_resolve(const ckv_file_options *options, char **path, char why[256])
{
    struct stat there;
    const char *name = options->path;
    if (stat(name, &there) == 0) {
        if (!S_ISREG(there.st_mode)) {
            (void)say(why, "not a regular file");
            return CKV_EALIEN;
        }
        *path = realpath(name, NULL);
        return *path ? CKV_OK : errno == ENOMEM ? CKV_ENOMEM : say(why, "%s", strerror(errno));
    }
    if (errno != ENOENT) return say(why, "%s", strerror(errno));
    if (lstat(name, &there) == 0) {
        (void)say(why, "a link that leads nowhere");
        return CKV_EALIEN;
    }
    if (options->mode == CKV_FILE_READ) {
        (void)say(why, "no such file");
        return CKV_ENOENT;
    }
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
    char *above = slash ? directory_of(name) : joined(".", "");
    if (!above) return CKV_ENOMEM;
    char *real = realpath(above, NULL);
    const int error = errno;
    free(above);
    if (!real) {
        (void)say(why, "its directory: %s", strerror(error));
        return error == ENOMEM ? CKV_ENOMEM : error == ENOENT ? CKV_ENOENT : CKV_EDISK;
    }
    char *with_slash = joined(real, real[1] ? "/" : "");
    free(real);
    *path = with_slash ? joined(with_slash, last) : NULL;
    free(with_slash);
    return *path ? CKV_OK : CKV_ENOMEM;
}

/* ---- whose file it is */

/* `sole`: nobody else changes it now. */
static ckv_status look(sqlite3 *db, const char *path, bool sole, char why[256])
{
    sqlite3_file *file = NULL;
    struct stat there;
    uint8_t h[HEADER_BYTES] = {0};
    if (stat(path, &there) != 0) return say(why, "%s", strerror(errno));
    const int64_t n_bytes = there.st_size; /* SQLite says 0 of a file of one byte */
    if (n_bytes == 0) {
        (void)say(why, "an empty file");
        return CKV_ENOENT;
    }
    const int n_read = n_bytes < HEADER_BYTES ? (int)n_bytes : HEADER_BYTES;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK) rc = file->pMethods->xRead(file, h, n_read, 0);
    if (rc != SQLITE_OK) return judge(db, rc, "header", why);
    if (memcmp(h, magic, n_read < 16 ? (size_t)n_read : 16) != 0) {
        (void)say(why, "not an SQLite file");
        return CKV_EALIEN;
    }
    if (n_read < HEADER_BYTES) {
        (void)say(why, "header: cut off");
        return CKV_ECORRUPT;
    }
    if (big32(h + 68) != CKV_FILE_APPLICATION) {
        (void)say(why, "an SQLite file of another application (application_id %u)", big32(h + 68));
        return CKV_EALIEN;
    }
    const uint32_t version = big32(h + 60);
    if (version > CKV_FILE_SCHEMA) {
        (void)say(why, "header: schema version %u, this is version %d", version, CKV_FILE_SCHEMA);
        return CKV_ENEWER;
    }
    char *wal = joined(path, "-wal");
    if (!wal) return CKV_ENOMEM;
    const bool whole = sole && (stat(wal, &there) != 0 || there.st_size == 0);
    free(wal);
    const int64_t page_bytes = h[16] == 0 && h[17] == 1 ? 65536 : h[16] << 8 | h[17];
    const int64_t n_pages = big32(h + 28);
    /* SQLite would read what is missing of a last page as zeros. */
    if (whole && (page_bytes == 0 || n_bytes % page_bytes || n_bytes / page_bytes < n_pages)) {
        (void)say(why, "header: %lld bytes, that should be %lld pages of %lld", (long long)n_bytes,
                  (long long)n_pages, (long long)page_bytes);
        return CKV_ECORRUPT;
    }
    return CKV_OK;
}

ckv_status ckv_open_look(const char *path, const char *vfs, char why[256])
{
    struct stat there;
    if (stat(path, &there) != 0) return CKV_ENOENT;
    sqlite3 *db = NULL;
    const int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_FULLMUTEX, vfs);
    const ckv_status st =
        rc == SQLITE_OK ? look(db, path, false, why) : judge(db, rc, "opening", why);
    (void)sqlite3_close(db); /* nothing was asked of it: nothing is left behind */
    return st;
}

ckv_status ckv_open_lock(int *fd, const char *path, int64_t *holder_pid, char why[256])
{
    const ckv_status st = ckv_lock_take(fd, path, holder_pid);
    if (st == CKV_EDISK) (void)say(why, "its lock file: %s", strerror(errno));
    if (st == CKV_ELOCKED)
        (void)say(why, "process %lld has it open for writing", (long long)*holder_pid);
    return st;
}

/* ---- settings */

static int settings(sqlite3 *db)
{
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_busy_timeout(db, BUSY_MS);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    /* No mmap: of a file that somebody cuts, it is SIGBUS. Freed pages are not overwritten: that would send each once more through the WAL. */
    return sqlite3_exec(db,
                        "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = "
                        "MEMORY; PRAGMA secure_delete = FAST; PRAGMA cache_size = -" CACHE_KIB,
                        NULL, NULL, NULL);
}

/* ---- making one */

static int make_tables(sqlite3 *db)
{
    char numbers[128];
    (void)snprintf(numbers, sizeof numbers, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   CKV_FILE_APPLICATION, CKV_FILE_SCHEMA);
    int rc = sqlite3_exec(db,
                          "PRAGMA page_size = " PAGE_BYTES "; PRAGMA auto_vacuum = INCREMENTAL;"
                          "PRAGMA encoding = 'UTF-8'; BEGIN IMMEDIATE",
                          NULL, NULL, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < CKV_N_TABLES; i++)
        rc = sqlite3_exec(db, ckv_tables[i].sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, CKV_SCHEMA_INDEXES, NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, numbers, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "INSERT INTO meta(key, value) VALUES('made by', 'crdtkv'),"
                          "('file id', randomblob(16)); COMMIT; PRAGMA journal_mode = WAL",
                          NULL, NULL, NULL);
    return rc;
}

ckv_status ckv_open_memory(sqlite3 **out, char why[256])
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(
        ":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_FULLMUTEX, NULL);
    if (rc == SQLITE_OK) rc = settings(db);
    if (rc == SQLITE_OK) rc = make_tables(db);
    if (rc == SQLITE_OK) {
        *out = db;
        return CKV_OK;
    }
    const ckv_status st = judge(db, rc, "tables", why);
    (void)sqlite3_close(db);
    return st;
}

/* Of a file that is not finished. */
static void discard(const char *path)
{
    static const char *const ends[] = {"", "-journal", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *name = joined(path, ends[i]);
        if (name) (void)unlink(name);
        free(name);
    }
}

static bool sync_directory(const char *path)
{
    char *name = directory_of(path);
    if (!name) {
        errno = ENOMEM;
        return false;
    }
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    const int rc = fd < 0 ? -1 : fsync(fd);
    const int error = errno;
    if (fd >= 0) (void)close(fd);
    free(name);
    errno = error;
    return rc == 0 || errno == EINVAL; /* some file systems cannot: then there is nothing to do */
}

/* Whole or not at all: made beside, then renamed. An empty file that was there lends its mode. */
static ckv_status make(const char *path, const char *vfs, char why[256])
{
    char *fresh = joined(path, "-new");
    if (!fresh) return CKV_ENOMEM;
    discard(fresh);
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(
        fresh, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, vfs);
    if (rc == SQLITE_OK) rc = settings(db);
    if (rc == SQLITE_OK) rc = make_tables(db);
    ckv_status st = rc == SQLITE_OK ? CKV_OK : judge(db, rc, "making the tables", why);
    (void)sqlite3_close(db);
    struct stat there;
    if (st == CKV_OK && ((stat(path, &there) == 0 && chmod(fresh, there.st_mode & 07777) != 0) ||
                         rename(fresh, path) != 0 || !sync_directory(path)))
        st = say(why, "making the file: %s", strerror(errno));
    if (st != CKV_OK) discard(fresh);
    free(fresh);
    return st;
}

/* ---- opening */

/* Of a table what it was made by, and whether an index on it computes something: that could be anything, at each insert. */
#define LOOK_AT                                                                                    \
    "SELECT sql, EXISTS(SELECT 1 FROM pragma_index_list(?1) AS l, pragma_index_xinfo(l.name) AS "  \
    "x WHERE l.partial OR x.cid = -2) FROM sqlite_schema WHERE type = 'table' AND name = ?1"

/* Of an older schema whoever brings it up to date checks them. */
static ckv_status check_tables(sqlite3 *db, char why[256])
{
    sqlite3_stmt *stmt = NULL;
    ckv_status st = CKV_OK;
    int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
    const bool older = rc == SQLITE_ROW && sqlite3_column_int64(stmt, 0) < CKV_FILE_SCHEMA;
    const int ended = sqlite3_finalize(stmt);
    if (rc == SQLITE_ROW) rc = ended;
    stmt = NULL;
    if (older && rc == SQLITE_OK) return CKV_OK;
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(db, LOOK_AT, -1, &stmt, NULL);
    for (size_t i = 0; rc == SQLITE_OK && st == CKV_OK && i < CKV_N_TABLES; i++) {
        rc = sqlite3_bind_text(stmt, 1, ckv_tables[i].name, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
        const char *sql = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
        if ((rc == SQLITE_ROW || rc == SQLITE_DONE) && (!sql || strcmp(sql, ckv_tables[i].sql))) {
            (void)say(why, "table %s: %s", ckv_tables[i].name, sql ? "is another" : "is missing");
            st = CKV_ECORRUPT;
        } else if (rc == SQLITE_ROW && sqlite3_column_int(stmt, 1)) {
            (void)say(why, "table %s: has an index that is not of here", ckv_tables[i].name);
            st = CKV_ECORRUPT;
        }
        if (rc == SQLITE_ROW || rc == SQLITE_DONE) rc = sqlite3_reset(stmt);
    }
    if (rc != SQLITE_OK) st = judge(db, rc, "table sqlite_schema", why);
    (void)sqlite3_finalize(stmt);
    return st;
}

static ckv_status expect(sqlite3 *db, const char *sql, const char *answer, char why[256])
{
    sqlite3_stmt *stmt = NULL;
    ckv_status st = CKV_OK;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    if (!text)
        st = judge(db, rc, sql, why);
    else if (strcmp(text, answer) != 0) {
        (void)say(why, "%s: %s instead of %s", sql, text, answer);
        st = CKV_ECORRUPT;
    }
    (void)sqlite3_finalize(stmt);
    return st;
}

static ckv_status start(sqlite3 *db, const ckv_file_options *options, char why[256])
{
    char id[16];
    int rc = settings(db);
    if (rc != SQLITE_OK) return judge(db, rc, "opening", why);
    if (options->mode == CKV_FILE_WRITE) {
        if (sqlite3_db_readonly(db, "main") == 1) return say(why, "no permission to write it");
        const ckv_status st = expect(db, "PRAGMA journal_mode = WAL", "wal", why);
        if (st != CKV_OK) return st;
        rc = sqlite3_exec(db,
                          options->sync == CKV_SYNC_FULL
                              ? "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;"
                                "PRAGMA checkpoint_fullfsync = ON"
                              : "PRAGMA synchronous = NORMAL",
                          NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(db, "PRAGMA journal_size_limit = " WAL_KEEP, NULL, NULL, NULL);
        (void)sqlite3_wal_autocheckpoint(db, 0);
    } else {
        (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        rc = sqlite3_exec(db, CKV_OPEN_SNAPSHOT, NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) return judge(db, rc, "opening", why);
    /* The WAL may have another header than the file. */
    (void)snprintf(id, sizeof id, "%d", CKV_FILE_APPLICATION);
    CKV_TRY(expect(db, "PRAGMA application_id", id, why));
    CKV_TRY(expect(db, "PRAGMA auto_vacuum", "2", why));
    return check_tables(db, why);
}

/* A closed file in a directory where nothing can be made: nobody changes it, SQLite is told. */
static bool is_immutable(const char *path)
{
    char *above = directory_of(path), *wal = joined(path, "-wal");
    struct stat there;
    const bool out = above && wal && access(above, W_OK) != 0 && stat(wal, &there) != 0;
    free(above);
    free(wal);
    return out;
}

static char *immutable_uri(const char *path)
{
    static const char head[] = "file:", tail[] = "?immutable=1", digits[] = "0123456789abcdef";
    char *out = malloc(sizeof head + 3 * strlen(path) + sizeof tail), *to = out;
    if (!out) return NULL;
    memcpy(to, head, sizeof head - 1);
    to += sizeof head - 1;
    for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
        if (*p != '%' && *p != '?' && *p != '#') {
            *to++ = (char)*p;
            continue;
        }
        *to++ = '%';
        *to++ = digits[*p >> 4];
        *to++ = digits[*p & 15];
    }
    memcpy(to, tail, sizeof tail);
    return out;
}

void ckv_open_sweep(const char *path, bool all)
{
    struct stat there;
    char *wal = joined(path, "-wal"), *lock = joined(path, ".lock");
    sqlite3 *db = NULL;
    /* A writer that was killed has left its lock file, and the next writer looks after its WAL. */
    if (wal && lock && stat(wal, &there) == 0 &&
        (there.st_size == 0 || (all && access(lock, F_OK) != 0)) &&
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) ==
            SQLITE_OK)
        (void)sqlite3_exec(db, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL);
    (void)sqlite3_close(db);
    free(wal);
    free(lock);
}

ckv_status ckv_open_file(sqlite3 **out, const char *path, const ckv_file_options *options,
                         char why[256])
{
    const bool writes = options->mode == CKV_FILE_WRITE;
    struct stat there;
    sqlite3 *db = NULL;
    char *uri = !writes && is_immutable(path) ? immutable_uri(path) : NULL;
    int flags = SQLITE_OPEN_FULLMUTEX | (writes ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    if (uri) flags |= SQLITE_OPEN_URI;
    ckv_status st = CKV_ENOENT;
    for (int made = 0; made < 2; made++) {
        if (stat(path, &there) == 0) {
            const int rc = sqlite3_open_v2(uri ? uri : path, &db, flags, options->vfs);
            st = rc == SQLITE_OK ? look(db, path, writes, why) : judge(db, rc, "opening", why);
        }
        if (st != CKV_ENOENT || made) break;
        (void)sqlite3_close(db);
        db = NULL;
        st = writes ? make(path, options->vfs, why) : CKV_EALIEN;
        if (st != CKV_OK) break;
    }
    const bool ours = st == CKV_OK;
    if (ours) st = start(db, options, why);
    free(uri);
    if (st == CKV_OK) {
        *out = db;
        return CKV_OK;
    }
    /* Whatever is wrong with it, it stays as it was. */
    if (db) (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_close(db);
    if (ours) ckv_open_sweep(path, false);
    return st;
}

/* ---- copying */

ckv_status ckv_open_copy(sqlite3 *db, const char *path, char *words, size_t n_words)
{
    char why[256] = "";
    struct stat there;
    if (lstat(path, &there) == 0) return CKV_EEXIST;
    char *fresh = joined(path, "-new");
    if (!fresh) return CKV_ENOMEM;
    discard(fresh);
    sqlite3 *to = NULL;
    int rc = sqlite3_open_v2(
        fresh, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_extended_result_codes(to, 1);
        sqlite3_backup *copy = sqlite3_backup_init(to, "main", db, "main");
        do rc = copy ? sqlite3_backup_step(copy, COPY_PAGES) : sqlite3_extended_errcode(to);
        while (rc == SQLITE_OK);
        if (copy) (void)sqlite3_backup_finish(copy);
        if (rc == SQLITE_DONE) /* of one in memory, that it will be read beside a writer */
            rc = sqlite3_exec(to, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    }
    ckv_status st = rc == SQLITE_OK ? CKV_OK : judge(to, rc, "backup", why);
    (void)sqlite3_close(to);
    if (st == CKV_OK && link(fresh, path) != 0) { /* fails if something is there by now */
        if (errno == EEXIST)
            st = CKV_EEXIST;
        else if (rename(fresh, path) != 0)
            st = say(why, "backup: %s", strerror(errno));
    }
    if (st == CKV_OK && !sync_directory(path)) st = say(why, "backup: %s", strerror(errno));
    discard(fresh);
    if (st != CKV_OK) (void)snprintf(words, n_words, "%s", why);
    free(fresh);
    return st;
}
