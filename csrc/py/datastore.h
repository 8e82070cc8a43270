/* datastore.h -- what the files of Datastore share: the structs, and the doors to a datastore.
 *
 *     reads            ckpy_datastore_read_begin   .. ckpy_lock_put           what else looks in: ckpy_datastore_begin
 *     writes           ckpy_datastore_write_begin  .. ckpy_datastore_end
 *     closing calls    ckpy_datastore_settle       .. ckpy_datastore_end      heads, export, apply ...: they close the open change
 *     work             ckpy_datastore_away .. ckpy_datastore_back      within any of them, around the core
 *
 * A datastore is in memory, or in the file of a Database, which may close under it: then its core is gone, and whoever hangs on that (queries, batches, sessions)
 * has let go of its own part before. A file is waited for without the GIL, for whoever holds it may want that.
 * Keys, values and the clock are asked before the lock is taken, for anybody's code may run there.
 */
#ifndef CKPY_DATASTORE_H
#define CKPY_DATASTORE_H

#include "py/convert.h"
#include "py/errors.h"
#include "py/file.h"
#include "py/nested.h"

#include <stdatomic.h>

/* Something of the core that must go before it does. */
typedef struct ckpy_dependent {
    struct ckpy_dependent *next, **at;         /* at NULL: not in the list */
    void (*drop)(struct ckpy_dependent *link); /* under the lock */
} ckpy_dependent;

typedef struct ckpy_datastore {
    PyObject_HEAD ckv_datastore
        *core; /* owned, NULL: closed; guarded by lock, as is all down to `telling` */
    ckpy_dependent *dependents; /* borrowed */
    ckv_id32 id;                /* fixed for life */
    unsigned generation;   /* ckpy_generation when it was made, or first written to after a fork */
    bool watched;          /* somebody observes: writes leave news in the core */
    bool telling;          /* a thread tells the news; it goes on until there is none */
    atomic_bool is_closed; /* what `core` says, for those without the lock */
    ckpy_lock lock;
    ckpy_state *state;   /* borrowed: our type keeps the module */
    ckpy_file *file;     /* owned, NULL: in memory. It is borrowed from while `core` is there */
    PyObject *identity;  /* owned */
    PyObject *clock;     /* owned callable, NULL: the system's */
    PyObject *watchers;  /* owned, NULL: none; who is told of equivocations */
    PyObject *observers; /* owned, NULL: none; who is told of keys */
} ckpy_datastore;

#define DATASTORE(op) ((ckpy_datastore *)(op))

extern PyType_Spec ckpy_datastore_spec, ckpy_datastore_counter_spec, ckpy_batch_spec,
    ckpy_query_spec;

static inline ckv_bytes ckpy_bytes_of(ckv_value_bytes v) { return (ckv_bytes){v.ptr, v.n_bytes}; }

/* ---- obj_datastore.c: the doors */

int ckpy_datastore_gone(ckpy_datastore *d);
int ckpy_datastore_write_slow(ckpy_datastore *d);
/* Under the lock: why nothing may be written, NULL if it may. */
const char *ckpy_datastore_why_not(ckpy_datastore *d);

/* 0: the lock is held. -1: an exception; its file was closed. */
static inline int ckpy_datastore_begin(ckpy_datastore *d)
{
    ckpy_lock_get(&d->lock);
    return d->core ? 0 : ckpy_datastore_gone(d);
}

/* Under the lock, which is let go of if it fails: absorbs what there is, which may be long, without the GIL. */
int ckpy_datastore_catch_up(ckpy_datastore *d);

/* The same for what reads keys and counters, which absorbs what came before; so that nothing long is left to do with the GIL. */
static inline int ckpy_datastore_read_begin(ckpy_datastore *d)
{
    if (ckpy_datastore_begin(d) < 0) return -1;
    return ckv_datastore_is_behind(d->core) ? ckpy_datastore_catch_up(d) : 0;
}

/* The same for what writes. -1: also if nothing may be written. */
static inline int ckpy_datastore_write_begin(ckpy_datastore *d)
{
    ckpy_lock_get(&d->lock);
    if ((!d->core || d->generation != ckpy_generation || d->file) &&
        ckpy_datastore_write_slow(d) < 0)
        return -1;
    return ckv_datastore_is_behind(d->core) ? ckpy_datastore_catch_up(d) : 0;
}

/* Under the lock, around a short write: without the GIL if it may wait for a file. Reads never wait; what is long takes ckpy_lock_away. */
static inline PyThreadState *ckpy_datastore_away(ckpy_datastore *d)
{
    return d->file ? ckpy_lock_away(&d->lock) : NULL;
}
static inline void ckpy_datastore_back(ckpy_datastore *d, PyThreadState *ts)
{
    if (ts) ckpy_lock_back(&d->lock, ts);
}

int ckpy_datastore_end_slow(ckpy_datastore *d, ckv_status s, PyObject *key);

/* Lets go of the lock. -1: an exception, by s (CKV_ENOENT: a KeyError of `key`) or by an observer, when the write is done. */
static inline int ckpy_datastore_end(ckpy_datastore *d, ckv_status s, PyObject *key)
{
    if (s != CKV_OK || d->watched) return ckpy_datastore_end_slow(d, s, key);
    ckpy_lock_put(&d->lock);
    return 0;
}

/* 0: the lock is held, no change is open. -1: an exception. */
int ckpy_datastore_settle(ckpy_datastore *d);

static inline int ckpy_datastore_now(ckpy_datastore *d, int64_t *ms)
{
    return ckpy_now(d->clock, ms);
}

/* Under the lock. */
void ckpy_datastore_link(ckpy_datastore *d, ckpy_dependent *link);
void ckpy_datastore_unlink(ckpy_dependent *link);

/* A name of a DAG, NULL: the default one. Borrowed from op. */
typedef struct ckpy_dag_name {
    const char *ptr;
    Py_ssize_t n_bytes;
} ckpy_dag_name;
int ckpy_dag_arg(PyObject *op, ckpy_dag_name *out);
/* Under the lock, maybe without the GIL: its number, made if absent. CKV_ESTALE: purged. */
ckv_status ckpy_dag_number(ckpy_datastore *d, ckpy_dag_name name, uint32_t *number);

/* The change that a commit made; None if there was nothing. */
PyObject *ckpy_datastore_change(ckpy_datastore *d, uint32_t dag, uint32_t change);

/* None, or a str: the message of a change. */
int ckpy_message_arg(PyObject *op, const char **text, Py_ssize_t *n_bytes);

/* ---- obj_datastore_map.c */

Py_ssize_t ckpy_datastore_length(PyObject *op);
PyObject *ckpy_datastore_subscript(PyObject *op, PyObject *key);
int ckpy_datastore_ass_subscript(PyObject *op, PyObject *key, PyObject *value);
int ckpy_datastore_contains(PyObject *op, PyObject *key);
int ckpy_datastore_bool(PyObject *op);
PyObject *ckpy_datastore_iter(PyObject *op);
PyObject *ckpy_datastore_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_datastore_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames);
PyObject *ckpy_datastore_delete(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames);
PyObject *ckpy_datastore_size(PyObject *op, PyObject *key);
PyObject *ckpy_datastore_pop(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_datastore_popitem(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_setdefault(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_datastore_update(PyObject *op, PyObject *dict);
PyObject *ckpy_datastore_clear(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_reversed(PyObject *op, PyObject *ignored);

/* The arguments of put and delete, of a datastore or a batch: key, value (n_args 2) and dag="default". */
typedef struct ckpy_put_args {
    PyObject *key, *value;
    ckpy_dag_name dag;
} ckpy_put_args;
int ckpy_put_arg(const char *what, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                 Py_ssize_t n_args, ckpy_put_args *out);

/* ---- obj_query.c */

typedef enum ckpy_rows {
    CKPY_ROW_KEYS,
    CKPY_ROW_VALUES,
    CKPY_ROW_ITEMS,
    CKPY_ROW_TOTALS
} ckpy_rows;

PyObject *ckpy_query_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *ckpy_query_all(ckpy_datastore *d, ckpy_rows what, bool reverse);
PyObject *ckpy_query_scan(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_query_count(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_query_totals(PyObject *op, PyObject *prefix);

/* ---- obj_batch.c */

PyObject *ckpy_batch_method(PyObject *op, PyObject *args, PyObject *kw);

/* ---- obj_datastore_counter.c */

PyObject *ckpy_counter_method(PyObject *op, PyObject *name);

typedef struct ckpy_amount {
    int64_t n, more; /* more: what did not fit into n */
} ckpy_amount;
/* What one edit counts. OverflowError; TypeError. */
int ckpy_amount_arg(PyObject *op, bool minus, ckpy_amount *out);

/* ---- datastore_exchange.c */

PyObject *ckpy_datastore_get_heads(PyObject *op, void *closure);
PyObject *ckpy_datastore_get_root(PyObject *op, void *closure);
PyObject *ckpy_datastore_get_waiting(PyObject *op, void *closure);
PyObject *ckpy_datastore_get_missing(PyObject *op, void *closure);
PyObject *ckpy_datastore_changes(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_datastore_export(PyObject *op, PyObject *args, PyObject *kw);
PyObject *ckpy_datastore_save(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_waiting_bundle(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_apply(PyObject *op, PyObject *data);
PyObject *ckpy_datastore_merge(PyObject *op, PyObject *other);
PyObject *ckpy_datastore_equivocations(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_proof(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_datastore_id_of(PyObject *module, PyObject *bundle);
/* After changes may have come in, without the lock: tells who looks on. Steals result (NULL: an exception); NULL if somebody raised. */
PyObject *ckpy_datastore_took(ckpy_datastore *d, PyObject *result);

/* ---- datastore_inside.c */

PyObject *ckpy_datastore_conflicts(PyObject *op, PyObject *key);
PyObject *ckpy_datastore_history(PyObject *op, PyObject *key);
PyObject *ckpy_datastore_values_of(PyObject *op, PyObject *key);
PyObject *ckpy_datastore_watch(PyObject *op, PyObject *on);
PyObject *ckpy_datastore_take_news(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_stats(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_glance(PyObject *op, PyObject *ignored);

/* ---- datastore_upkeep.c */

PyObject *ckpy_datastore_dags(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_purged(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_refuse(PyObject *op, PyObject *name);
PyObject *ckpy_datastore_purge(PyObject *op, PyObject *name);
PyObject *ckpy_datastore_admit(PyObject *op, PyObject *name);
PyObject *ckpy_datastore_compact(PyObject *op, PyObject *args, PyObject *kw);
PyObject *ckpy_datastore_limit_authors(PyObject *op, PyObject *args, PyObject *kw);
PyObject *ckpy_datastore_repair(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_check(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_flush(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_lost(PyObject *op, PyObject *ignored);
PyObject *ckpy_datastore_refresh(PyObject *op, PyObject *ignored);

#endif
