/* store.h -- what the files of Store share: the structs, and the two doors to a store.
 *
 *     reads     ckpy_read_begin  .. ckpy_lock_put
 *     writes    ckpy_write_begin .. ckpy_write_end
 *
 * Store and Transaction are one mapping with two faces: both begin with a ckpy_face, which says what is looked at, so that the same
 * functions are slots of both. A transaction belongs to its store, not to a thread; while it is open, only it writes.
 * Keys, values and the clock are asked before the lock is taken, for anybody's code may run there.
 */
#ifndef CKPY_STORE_H
#define CKPY_STORE_H

#include "py/nested.h"

struct ckpy_store;

typedef struct ckpy_face {
    PyObject_HEAD struct ckpy_store *store; /* of a transaction: owned; of a store: itself */
    uint64_t txn;                           /* of a transaction: its number; of a store: 0 */
} ckpy_face;

typedef struct ckpy_store {
    ckpy_face face;
    ckv_store *core;        /* owned; guarded by lock, as is all down to `telling` */
    uint64_t open, last;    /* numbers of transactions: the open one (0: none), the newest one */
    size_t pending;         /* writes in the open one */
    unsigned generation;    /* ckpy_generation when it was made, or first written to after a fork */
    bool is_kept;           /* in a file, or it was: py/kept.h */
    bool closed;            /* its file was closed: everything raises StaleHandleError */
    unsigned n_edits;       /* in a file: lone writes since the last commit, at least */
    struct ckpy_file *file; /* owned, borrowed from; NULL: memory */
    bool watched;           /* somebody observes: writes leave news in the core */
    bool telling;           /* a thread tells the news; it goes on until there is none */
    ckpy_lock lock;
    ckpy_state *state;   /* borrowed: our type keeps the module */
    uint64_t drift;      /* ms by which a clock may be ahead; CKV_NO_DRIFT: any */
    PyObject *clock;     /* owned callable, NULL: the system's */
    PyObject *observers; /* owned, NULL: none */
} ckpy_store;

#define FACE(op)  ((ckpy_face *)(op))
#define STORE(op) ((ckpy_store *)(op))

#define CKPY_MANY 4096u /* keys from which work runs without the GIL */

extern PyType_Spec ckpy_store_map_spec, ckpy_store_spec, ckpy_txn_spec, ckpy_scan_spec,
    ckpy_store_session_spec;

/* ---- obj_store.c: the doors, the clock */

/* Lets go of the lock unless it returns 0. */
int ckpy_begin_slow(ckpy_face *f, bool to_write);

/* 0: the lock is held. -1: an exception; the transaction is over. */
static inline int ckpy_read_begin(ckpy_face *f)
{
    ckpy_lock_get(&f->store->lock);
    return !f->store->closed && (f->txn == 0 || f->store->open == f->txn)
               ? 0
               : ckpy_begin_slow(f, false);
}

/* 0: the lock is held. -1: an exception; the transaction is over, or another one is open. */
static inline int ckpy_write_begin(ckpy_face *f)
{
    ckpy_lock_get(&f->store->lock);
    if (f->store->open == f->txn && f->store->generation == ckpy_generation && !f->store->is_kept)
        return 0;
    return ckpy_begin_slow(f, true);
}

/* 0: the lock is held, for a look at the store itself. -1: an exception, the file is closed. */
static inline int ckpy_store_look(ckpy_store *s)
{
    ckpy_lock_get(&s->lock);
    return s->closed ? ckpy_begin_slow(&s->face, false) : 0;
}

/* Under the lock, before a message goes out: what it tells is on disk. Without the GIL; nothing for a store in memory. On failure the store is what
 * the record has. */
ckv_status ckpy_store_settle(ckpy_store *s);

/* Raises what a status stands for, with the words of the file if it is to blame; returns NULL. */
PyObject *ckpy_store_raise(ckpy_store *s, ckv_status status, const char *what);

/* Without the lock: tells observers what there is to tell, unless another call does so already. -1: their exceptions. */
int ckpy_store_tell(ckpy_store *s);

/* Lets go of the lock. -1: the write is done, but observers raised. */
static inline int ckpy_write_end(ckpy_store *s)
{
    const bool watched = s->watched;
    ckpy_lock_put(&s->lock);
    return watched ? ckpy_store_tell(s) : 0;
}

/* Under the lock, around work without Python: the GIL goes if it is long. */
static inline PyThreadState *ckpy_away_if(ckpy_store *s, bool is_long)
{
    return is_long ? ckpy_lock_away(&s->lock) : NULL;
}
static inline void ckpy_back(ckpy_store *s, PyThreadState *ts)
{
    if (ts) ckpy_lock_back(&s->lock, ts);
}

/* What the clock says, 0 .. CKV_MAX_MS. Without the lock. -1: an exception. */
int ckpy_store_now(ckpy_store *s, uint64_t *ms);

/* What a failed write says; returns -1. */
int ckpy_write_raise(ckpy_store *s, ckv_status status, PyObject *key);

/* ---- obj_store_map.c */

/* The next key of a stream, is_bytes(u8) and a blob; not tracked. */
static inline PyObject *ckpy_next_key(ckv_rd *rd)
{
    size_t n;
    const bool is_bytes = ckv_rd_u8(rd) != 0;
    const uint8_t *p = ckv_rd_blob(rd, &n);
    return ckpy_key((ckv_store_key){p, (uint32_t)n, is_bytes});
}

/* ---- obj_scan.c: many keys at once */

typedef struct ckpy_range {
    ckv_store_key start, stop; /* borrowed from the arguments, as prefix */
    ckv_bytes prefix;
    ckv_range core; /* of those; do not move it */
} ckpy_range;

/* NULL or None: no such bound. */
int ckpy_range_arg(ckpy_state *st, PyObject *prefix, PyObject *start, PyObject *stop,
                   ckpy_range *out);
/* ValueError: it has a step. */
int ckpy_range_of_slice(ckpy_state *st, PyObject *slice, ckpy_range *out);

typedef enum ckpy_what { CKPY_KEYS, CKPY_VALUES, CKPY_ITEMS } ckpy_what;

PyObject *ckpy_scan(ckpy_face *f, ckpy_what what, const ckv_range *range, bool reverse);
PyObject *ckpy_scan_dict(ckpy_face *f, const ckv_range *range);
PyObject *ckpy_scan_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_count_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_entries_method(PyObject *op, PyObject *ignored);
PyObject *ckpy_conflicts_method(PyObject *op, PyObject *key);

/* ---- store_exchange.c */

/* The latest hlc that may come in. Without the lock. -1: the clock raised. */
int ckpy_store_latest(ckpy_store *s, uint64_t *latest);

PyObject *ckpy_store_insert_with_op(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_store_remove_with_op(PyObject *op, PyObject *key);
PyObject *ckpy_store_request_diff(PyObject *op, PyObject *ignored);
PyObject *ckpy_store_build_diff(PyObject *op, PyObject *request);
PyObject *ckpy_store_integrate_diff(PyObject *op, PyObject *diff);
PyObject *ckpy_store_integrate_op(PyObject *op, PyObject *message);
PyObject *ckpy_store_integrate_ops(PyObject *op, PyObject *messages);
PyObject *ckpy_store_opset(PyObject *op, PyObject *ignored);
PyObject *ckpy_store_merge_opsets(PyObject *ignored, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_store_integrate_opset(PyObject *op, PyObject *opset);
PyObject *ckpy_store_advance_request(PyObject *ignored, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_store_index_size(PyObject *op, PyObject *ignored);
PyObject *ckpy_store_save(PyObject *op, PyObject *ignored);

/* ---- obj_report.c */

PyObject *ckpy_report_of_store(ckpy_state *st, const ckv_store_report *report);

/* ---- store_news.c */

PyObject *ckpy_store_watch(PyObject *op, PyObject *on);
PyObject *ckpy_store_take_news(PyObject *op, PyObject *ignored);

#endif
