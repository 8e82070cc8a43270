/* stmt.c -- prepared statements, and blobs read in part. */
#include "base/check.h"
#include "disk/inner.h"

ckv_status ckv_stmt_new(ckv_stmt **out, ckv_file *f, const char *sql)
{
    CKV_TRY(ckv_file_ready(f));
    ckv_stmt *s = ckv_resize(f->a, NULL, 0, sizeof *s);
    if (!s) return CKV_ENOMEM;
    *s = (ckv_stmt){.a = f->a, .file = f};
    sqlite3_mutex *mutex = sqlite3_db_mutex(f->db);
    sqlite3_mutex_enter(mutex);
    const int rc = sqlite3_prepare_v3(f->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
    ckv_status st = CKV_OK;
    if (rc != SQLITE_OK)
        st = ckv_file_judge(f, rc, sql);
    else if (!s->stmt)
        st = CKV_ERANGE; /* nothing but a comment */
    if (st == CKV_OK) {
        s->next = f->stmts;
        if (f->stmts) f->stmts->prev = s;
        f->stmts = s;
    }
    sqlite3_mutex_leave(mutex);
    if (st == CKV_OK)
        *out = s;
    else
        ckv_release(f->a, s, sizeof *s);
    return st;
}

void ckv_stmt_free(ckv_stmt *s)
{
    if (!s) return;
    ckv_file *f = s->file;
    const bool ready = ckv_file_ready(f) == CKV_OK;
    sqlite3_mutex *mutex = ready ? sqlite3_db_mutex(f->db) : NULL; /* NULL: none */
    sqlite3_mutex_enter(mutex);
    if (ready) (void)sqlite3_finalize(s->stmt); /* its result is that of the last step */
    if (f) {
        if (s->prev)
            s->prev->next = s->next;
        else
            f->stmts = s->next;
        if (s->next) s->next->prev = s->prev;
    }
    sqlite3_mutex_leave(mutex);
    ckv_release(s->a, s, sizeof *s);
}

/* ---- parameters: a failure shows at the next step */

static bool may_bind(ckv_stmt *s) { return ckv_file_ready(s->file) == CKV_OK; }

static void note(ckv_stmt *s, int rc)
{
    if (rc == SQLITE_OK || s->bound != CKV_OK) return;
    s->bound = rc == SQLITE_NOMEM ? CKV_ENOMEM : rc == SQLITE_TOOBIG ? CKV_ELIMIT : CKV_ERANGE;
}

void ckv_stmt_bind_int(ckv_stmt *s, int i, int64_t v)
{
    if (may_bind(s)) note(s, sqlite3_bind_int64(s->stmt, i, v));
}

void ckv_stmt_bind_blob(ckv_stmt *s, int i, const void *ptr, size_t n_bytes)
{
    if (may_bind(s)) note(s, sqlite3_bind_blob64(s->stmt, i, ptr, n_bytes, SQLITE_STATIC));
}

void ckv_stmt_bind_text(ckv_stmt *s, int i, const char *ptr, size_t n_bytes)
{
    if (may_bind(s))
        note(s, sqlite3_bind_text64(s->stmt, i, ptr, n_bytes, SQLITE_STATIC, SQLITE_UTF8));
}

/* ---- steps */

void ckv_stmt_reset(ckv_stmt *s)
{
    if (ckv_file_ready(s->file) != CKV_OK) return;
    (void)sqlite3_reset(s->stmt); /* says again what the step said */
    s->bound = CKV_OK;
}

static ckv_status may_step(ckv_stmt *s)
{
    ckv_file *f = s->file;
    if (s->bound != CKV_OK) return s->bound;
    if (sqlite3_stmt_readonly(s->stmt)) return CKV_OK;
    if (!ckv_file_is_mine(f)) return CKV_ERANGE;
    return f->failed;
}

ckv_status ckv_stmt_step(ckv_stmt *s)
{
    ckv_file *f = s->file;
    CKV_TRY(ckv_file_ready(f));
    ckv_status st = may_step(s);
    if (st == CKV_OK) {
        sqlite3_mutex *mutex = sqlite3_db_mutex(f->db); /* the words are of this step */
        sqlite3_mutex_enter(mutex);
        ckv_file_hold(f);
        const int rc = sqlite3_step(s->stmt);
        if (rc == SQLITE_DONE)
            st = CKV_ENOENT;
        else if (rc != SQLITE_ROW)
            st = ckv_file_judge(f, rc, sqlite3_sql(s->stmt));
        sqlite3_mutex_leave(mutex);
    }
    if (st != CKV_OK) ckv_stmt_reset(s);
    return st;
}

ckv_status ckv_stmt_run(ckv_stmt *s)
{
    ckv_status st;
    do st = ckv_stmt_step(s);
    while (st == CKV_OK);
    return st == CKV_ENOENT ? CKV_OK : st;
}

/* ---- columns */

int ckv_stmt_columns(const ckv_stmt *s)
{
    return ckv_file_ready(s->file) == CKV_OK ? sqlite3_column_count(s->stmt) : 0;
}

ckv_column ckv_stmt_kind(ckv_stmt *s, int column)
{
    if (ckv_file_ready(s->file) != CKV_OK) return CKV_NULL_COLUMN;
    const int type = sqlite3_column_type(s->stmt, column);
    return type == SQLITE_NULL      ? CKV_NULL_COLUMN
           : type == SQLITE_INTEGER ? CKV_INT_COLUMN
           : type == SQLITE_TEXT    ? CKV_TEXT_COLUMN
           : type == SQLITE_BLOB    ? CKV_BLOB_COLUMN
                                    : CKV_OTHER_COLUMN;
}

int64_t ckv_stmt_int(ckv_stmt *s, int column)
{
    return ckv_stmt_kind(s, column) == CKV_INT_COLUMN ? sqlite3_column_int64(s->stmt, column) : 0;
}

const uint8_t *ckv_stmt_blob(ckv_stmt *s, int column, size_t *n_bytes)
{
    const ckv_column type = ckv_stmt_kind(s, column);
    *n_bytes = 0;
    if (type != CKV_BLOB_COLUMN && type != CKV_TEXT_COLUMN) return NULL;
    const uint8_t *ptr = type == CKV_BLOB_COLUMN ? sqlite3_column_blob(s->stmt, column)
                                                 : sqlite3_column_text(s->stmt, column);
    *n_bytes = (size_t)sqlite3_column_bytes(s->stmt, column);
    return ptr ? ptr : (const uint8_t *)""; /* SQLite has no pointer for no bytes */
}

/* ---- part of a blob */

ckv_status ckv_file_read_blob(ckv_file *f, const char *table, const char *column, int64_t row,
                              size_t offset, void *out, size_t n_bytes)
{
    CKV_TRY(ckv_file_ready(f));
    sqlite3_mutex *mutex = sqlite3_db_mutex(f->db);
    sqlite3_mutex_enter(mutex);
    /* Not kept for the next read: an open blob is an open read transaction, and the WAL could not be started anew. */
    sqlite3_blob *blob = NULL;
    ckv_file_hold(f);
    ckv_status st = CKV_OK;
    int rc = sqlite3_blob_open(f->db, "main", table, column, row, 0, &blob);
    if (rc == SQLITE_ERROR)
        st = CKV_ENOENT; /* no such row, or NULL there */
    else if (rc == SQLITE_OK) {
        const size_t n_there = (size_t)sqlite3_blob_bytes(blob);
        if (offset > n_there || n_bytes > n_there - offset)
            st = CKV_ERANGE;
        else
            rc = sqlite3_blob_read(blob, out, (int)n_bytes, (int)offset);
    }
    if (st == CKV_OK && rc != SQLITE_OK) st = ckv_file_judge(f, rc, table);
    (void)sqlite3_blob_close(blob);
    sqlite3_mutex_leave(mutex);
    return st;
}
