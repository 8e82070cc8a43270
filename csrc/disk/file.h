/* file.h -- one SQLite file: opening and closing it, transactions, statements. The door to sqlite3; nobody else includes it.
 *
 *     ckv_file_open -> ckv_file_begin .. ckv_stmt_run ... ckv_file_commit -> ckv_file_close
 *
 * One writer, many readers. The writer holds a lock file beside it (PATH.lock, with its pid), from open to close. WAL; what was committed under CKV_SYNC_FULL
 * survives power loss, under CKV_SYNC_NORMAL a killed process. A path of NULL: a database in memory, same code, no lock.
 *
 * A full disk rolls the transaction back, and the next one may succeed. After any other error of the device the file is *poisoned*: reads go on, every write
 * says CKV_EDISK until it is opened again. (What the kernel did with the pages of a failed fsync nobody knows.)
 * A process that was forked from the one that opened it gets CKV_EFORKED from every call, and closes nothing; a database in memory goes on, a copy.
 * Calls may come from several threads: a transaction belongs to the thread between begin and commit (or rollback); begin waits for its turn, reads wait for single calls (the sync of a commit, at most) and may see rows
 * that are not committed yet. No Python lock is ever taken. A SELECT that was stepped and neither ended nor reset keeps the WAL from being brought into the file.
 *
 * What is ours comes from the allocator; SQLite's own memory from SQLite's: where that fails, too, CKV_ENOMEM.
 *
 *     I1  between transactions everything is committed
 *     I2  a poisoned file stays poisoned
 */
#ifndef CKV_DISK_FILE_H
#define CKV_DISK_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/id32.h"
#include "base/status.h"

typedef struct ckv_file ckv_file;
typedef struct ckv_stmt ckv_stmt; /* a prepared statement */

typedef enum ckv_file_mode {
    CKV_FILE_WRITE, /* made if absent */
    CKV_FILE_READ, /* never touched; sees the commit at which it was opened, until ckv_file_refresh */
} ckv_file_mode;

typedef enum ckv_sync { CKV_SYNC_FULL, CKV_SYNC_NORMAL } ckv_sync;

#define CKV_FILE_APPLICATION 0x434B5631 /* "CKV1", PRAGMA application_id */
#define CKV_FILE_SCHEMA      2          /* PRAGMA user_version */

typedef struct ckv_file_options {
    const char *path; /* NULL: in memory */
    ckv_file_mode mode;
    ckv_sync sync;
    const char *vfs; /* NULL: the default one. For tests */
} ckv_file_options;

/* CKV_EALIEN: no SQLite file, or not one of ours. CKV_ENEWER: of a later version. CKV_ELOCKED: another writer has it; its pid is in ckv_file_open_pid. CKV_ECORRUPT: damaged.
 * CKV_EDISK, CKV_EFULL, CKV_ENOENT (mode READ and no such file), CKV_ENOMEM. A file that is refused is untouched. `why` (may be NULL) gets a sentence, 256 bytes at most. */
CKV_NODISCARD ckv_status ckv_file_open(ckv_file **out, ckv_alloc a, const ckv_file_options *options,
                                       char why[256], int64_t *holder_pid);
/* Checkpoints, so that all data is in the one file, and gives up the lock. */
void ckv_file_close(ckv_file *f);

bool ckv_file_is_read_only(const ckv_file *f);
bool ckv_file_is_poisoned(const ckv_file *f);
const char *ckv_file_error(const ckv_file *f); /* the last error in words; "" if none */
/* 32 bytes that only owners of the key file know, under which derived state is sealed; unset: nothing can be believed but what proves itself. */
void ckv_file_set_key(ckv_file *f, const ckv_id32 *key);
const ckv_id32 *ckv_file_key(const ckv_file *f); /* NULL: unset */

/* ---- transactions. They do not nest; begin waits for other threads. */
CKV_NODISCARD ckv_status ckv_file_begin(ckv_file *f);
CKV_NODISCARD ckv_status ckv_file_commit(ckv_file *f); /* an error has rolled back */
void ckv_file_rollback(ckv_file *f);
bool ckv_file_in_transaction(const ckv_file *f);
/* A reader moves on to the newest commit. */
CKV_NODISCARD ckv_status ckv_file_refresh(ckv_file *f);
/* Another (greater) number when what is seen may be another: after a commit of one's own, and after a refresh that found commits of others. */
CKV_NODISCARD ckv_status ckv_file_version(ckv_file *f, int64_t *out);
/* Gives up to max_pages free pages back to the file system (0: all), outside a transaction. */
CKV_NODISCARD ckv_status ckv_file_shrink(ckv_file *f, uint32_t max_pages);
/* Writes all tables anew, pages full, outside a transaction. Whoever reads meanwhile waits; wants room for a copy, twice. If there is none, or
 * another statement is half stepped, nothing is done. */
CKV_NODISCARD ckv_status ckv_file_pack(ckv_file *f);
/* A consistent copy; CKV_EEXIST if there is something at `path`. */
CKV_NODISCARD ckv_status ckv_file_backup(ckv_file *f, const char *path);
/* SQLite's own integrity check: calls `say` for each finding. */
CKV_NODISCARD ckv_status ckv_file_check(ckv_file *f, void (*say)(void *ctx, const char *line),
                                        void *ctx);
/* Of the database, once the WAL is in it. */
CKV_NODISCARD ckv_status ckv_file_bytes(ckv_file *f, uint64_t *bytes);

/* ---- statements: prepare once, then  bind.. step.. (columns) .. reset.   Not shared between threads.
 * Writing outside a transaction is CKV_ERANGE: a bug of the caller. */
CKV_NODISCARD ckv_status ckv_stmt_new(ckv_stmt **out, ckv_file *f, const char *sql);
void ckv_stmt_free(ckv_stmt *s);
/* Parameters from 1. Bound bytes must live until reset. A binding that fails shows at the next step. */
void ckv_stmt_bind_int(ckv_stmt *s, int i, int64_t v);
void ckv_stmt_bind_blob(ckv_stmt *s, int i, const void *ptr, size_t n_bytes); /* ptr NULL: NULL */
void ckv_stmt_bind_text(ckv_stmt *s, int i, const char *ptr, size_t n_bytes);
/* CKV_OK: a row. CKV_ENOENT: no more; it is reset. Errors reset it, too. */
CKV_NODISCARD ckv_status ckv_stmt_step(ckv_stmt *s);
/* Steps to the end and resets: for what returns no rows. */
CKV_NODISCARD ckv_status ckv_stmt_run(ckv_stmt *s);
void ckv_stmt_reset(ckv_stmt *s);
/* Columns from 0, good until the next step or reset. A column of another type: 0, or NULL and no bytes. */
typedef enum ckv_column {
    CKV_NULL_COLUMN,
    CKV_INT_COLUMN,
    CKV_TEXT_COLUMN,
    CKV_BLOB_COLUMN,
    CKV_OTHER_COLUMN, /* a real number */
} ckv_column;
int ckv_stmt_columns(const ckv_stmt *s);
ckv_column ckv_stmt_kind(ckv_stmt *s, int column);
int64_t ckv_stmt_int(ckv_stmt *s, int column);
/* The bytes of a blob or of a text; never NULL for these two. */
const uint8_t *ckv_stmt_blob(ckv_stmt *s, int column, size_t *n_bytes);
/* n bytes at `offset` of the blob in a row, without reading what is before: for bodies. CKV_ENOENT: no such row or it is NULL. CKV_ERANGE: shorter. */
CKV_NODISCARD ckv_status ckv_file_read_blob(ckv_file *f, const char *table, const char *column,
                                            int64_t row, size_t offset, void *out, size_t n_bytes);

#endif
