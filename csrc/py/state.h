/* state.h -- what the files of py/ share: the module's state, the objects' structs, and the two doors to a document.
 *
 *     edits          ckpy_edit_begin .. ckpy_edit_end
 *     closing calls  ckpy_doc_settle .. ckpy_lock_put        (heads, export, apply, ...: they close the open change)
 *     plain reads    ckpy_lock_get   .. ckpy_lock_put
 *
 * A change() block belongs to its thread. The first two doors make other threads wait for its end; the third does not.
 * Handles, changes and views hold a strong reference to their document; the core's memory goes with the document alone.
 *
 * Whoever closes a change while somebody observes leaves what happened in `news` (news.c); it is told when the lock is gone.
 */
#ifndef CKPY_STATE_H
#define CKPY_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>

#include "py/lock.h"
#include "replica/crdtkv.h"

typedef struct ckpy_state {
    PyTypeObject *Identity, *Doc, *Change, *Block, *View, *Report,
        *Session; /* owned, as all here */
    PyTypeObject *Handle, *Map, *List, *Set, *Counter, *Text, *Cursor, *ListIter;
    PyTypeObject *StoreMap, *Store, *Transaction, *Scan, *StoreSession;
    PyTypeObject *Datastore, *DatastoreCounter, *Batch, *Query;
    PyTypeObject *File;
    PyObject *Error, *DecodeError, *SignatureError, *UnauthorizedError, *StaleHandleError,
        *ForkError, *LimitError, *StoreError, *ClockDriftError, *SyncError;
    /* Python classes and objects; crdtkv hands them in. NULL before */
    PyObject *Refusal, *FullIdentity, *Mapping, *MISSING, *Stats, *Blame, *ByAuthor;
    PyTypeObject *FullMap, *FullList, *FullSet, *FullCounter;
} ckpy_state;

extern struct PyModuleDef ckpy_def;

/* How many times this process was forked off, counted from the one that loaded us. */
extern unsigned ckpy_generation;

/* The state of the module that made `type`; works for subclasses too. NULL with an exception. */
ckpy_state *ckpy_state_of(PyTypeObject *type);

/* ---- objects */

typedef struct ckpy_identity {
    PyObject_HEAD ckv_identity core;
} ckpy_identity;

/* What makes an edit look twice. */
#define CKPY_IN_BLOCK 1u  /* a change() block is open */
#define CKPY_HANDOFF  2u  /* one has just ended and others have waited for that */
#define CKPY_FULL     4u  /* the open change may have reached CKPY_LONE_BYTES */
#define CKPY_NEWS     8u  /* there is something to tell observers */
#define CKPY_KEPT     16u /* it lives in a file, or did: py/kept.h */

#define CKPY_LONE_BYTES ((ptrdiff_t)1 << 20)   /* docs: lone edits close the open change at 1 MiB */
#define CKPY_KEPT_BYTES ((ptrdiff_t)256 << 10) /* in a file at 256 KiB, */
#define CKPY_KEPT_EDITS 1000u                  /* or so many edits */
#define CKPY_LONG       65536 /* bytes or characters from which work runs without the GIL */

typedef struct ckpy_doc {
    PyObject_HEAD ckv_doc *core; /* owned; guarded by lock, as is all down to `made` */
    ckpy_lock lock;
    unsigned attention;  /* CKPY_*; 0: an edit may go straight on */
    ptrdiff_t room;      /* lower bound of the bytes left before ckpy_doc_limit */
    unsigned long owner; /* the thread whose block is open, 0: none */
    unsigned depth;      /* of blocks */
    unsigned waiters;    /* threads that wait for the block's end */
    unsigned handoff;    /* how many of them go first now that it has ended */
    unsigned epoch;      /* counts blocks that ended with somebody waiting */
    unsigned generation; /* ckpy_generation when it was made, or last opened a lane after a fork */
    PyThread_type_lock gate; /* owned; held while a block is open, for others to wait on */
    bool watched;            /* somebody observes: changes leave news */
    bool telling;            /* a thread tells the news; it goes on until there is none */
    bool closed;             /* its file was closed: everything raises StaleHandleError */
    unsigned n_edits;        /* in a file: since the open change began, at least */
    struct ckpy_file *file;  /* owned, borrowed from; NULL: memory */
    struct ckpy_news *news;  /* owned: what is to be told, oldest first */
    PyObject *
        made; /* owned list or NULL: handles that were attached in the open block. Its thread's own */
    PyObject *
        *handles; /* owned weak references by container number, NULL: none. Guarded by the object */
    size_t n_handles;
    ckpy_state *state;   /* borrowed: our type keeps the module */
    PyObject *identity;  /* owned */
    PyObject *clock;     /* owned callable, NULL: the system's */
    PyObject *watchers;  /* owned, NULL: none; who is told of equivocations */
    PyObject *observers; /* owned, NULL: none; who is told of changes */
} ckpy_doc;

/* Map, List, Set, Counter or Text: attached (doc), of the past (frozen) or detached (neither). */
typedef struct ckpy_handle {
    PyObject_HEAD ckpy_doc *doc; /* owned, NULL: not attached. Set once */
    uint32_t container;          /* in doc, or in view */
    uint8_t kind;                /* ckv_kind */
    bool frozen;
    /* owned dict, list, set, int or str: the content when not attached (of a frozen one once it was asked for), the last one when rolled back */
    PyObject *plain;
    PyObject *view; /* owned, frozen only: where the content comes from */
    PyObject *weakrefs;
} ckpy_handle;

typedef ckpy_handle ckpy_text;

typedef struct ckpy_change {
    PyObject_HEAD PyObject *replica; /* owned: a document or a datastore; a tuple: it was pickled */
    uint32_t dag, number;            /* dag: CKPY_NO_DAG: of a document */
    uint32_t life;                   /* of that DAG: it is stale once this has changed */
} ckpy_change;

#define CKPY_NO_DAG UINT32_MAX

typedef struct ckpy_view {
    PyObject_HEAD ckpy_doc *doc; /* owned */
    ckv_view *core;              /* owned; guarded by doc's lock */
} ckpy_view;

/* At so many bytes lone edits close the open change. */
static inline ptrdiff_t ckpy_doc_limit(const ckpy_doc *d)
{
    return d->file ? CKPY_KEPT_BYTES : CKPY_LONE_BYTES;
}

extern PyType_Spec ckpy_identity_spec, ckpy_doc_spec, ckpy_handle_spec, ckpy_map_spec,
    ckpy_list_spec, ckpy_list_iter_spec, ckpy_set_spec, ckpy_counter_spec, ckpy_text_spec,
    ckpy_cursor_spec, ckpy_change_spec, ckpy_block_spec, ckpy_view_spec, ckpy_report_spec,
    ckpy_session_spec;

/* ---- obj_doc.c: the doors */

/* Lets go of the lock and says that the file is closed. Always -1. */
int ckpy_doc_is_closed(ckpy_doc *d);

/* 0: the lock is held, for a look. -1: an exception, the file is closed. */
static inline int ckpy_look_begin(ckpy_doc *d)
{
    ckpy_lock_get(&d->lock);
    return d->closed ? ckpy_doc_is_closed(d) : 0;
}

/* Raises what a status stands for, with the words of the file if it is to blame; returns NULL. */
PyObject *ckpy_doc_raise(ckpy_doc *d, ckv_status s, const char *what);
PyObject *ckpy_doc_raise_err(ckpy_doc *d, ckv_status s, const ckv_err *err, const char *what);

int ckpy_edit_begin_slow(ckpy_doc *d);

/* 0: the lock is held and an edit may go on. -1: an exception. */
static inline int ckpy_edit_begin(ckpy_doc *d)
{
    ckpy_lock_get(&d->lock);
    return d->attention == 0 ? 0 : ckpy_edit_begin_slow(d);
}

/* Without the lock: tells observers what there is to tell, unless another call does so already. -1: their exceptions. */
int ckpy_doc_tell(ckpy_doc *d);

/* `bytes`: at most so much has the open change grown. Lets go of the lock. -1: the edit is made, but observers raised:
 * a change before it was full and has been closed. */
static inline int ckpy_edit_end(ckpy_doc *d, size_t bytes)
{
    d->room -= (ptrdiff_t)bytes;
    if (d->room < 0) d->attention |= CKPY_FULL;
    const unsigned attention = d->attention;
    ckpy_lock_put(&d->lock);
    return attention & CKPY_NEWS ? ckpy_doc_tell(d) : 0;
}

/* Under the lock: is this edit a lone one, outside of any block? */
static inline bool ckpy_is_lone(const ckpy_doc *d) { return d->owner == 0; }

/* Under the lock, after CKV_ELIMIT: 1: closed the open change of lone edits, try again. 0: nothing to close.
 * -1: an exception, and the lock is gone. */
int ckpy_edit_make_room(ckpy_doc *d);

/* 0: the lock is held and no change is open. -1: an exception. `what` names the caller to people inside a block. */
int ckpy_doc_settle(ckpy_doc *d, const char *what);

/* Waits until no other thread's block is open. The lock is held before, and after 0; -1: an exception, lock gone. */
int ckpy_doc_await(ckpy_doc *d);

/* What the clock says, in ms. Without the lock. -1: an exception. */
int ckpy_doc_now(ckpy_doc *d, int64_t *ms);

/* Under the lock, before a change is closed: after os.fork() the parent goes on with the lane, the child opens one. */
static inline void ckpy_doc_check_lane(ckpy_doc *d)
{
    if (d->generation == ckpy_generation) return;
    ckv_doc_leave_lane(d->core);
    d->generation = ckpy_generation;
}

/* Under the lock: closes the open change. origin NULL: None. */
ckv_status ckpy_doc_close(ckpy_doc *d, int64_t ms, const char *message, size_t n_bytes,
                          PyObject *origin, uint32_t *change);

/* Under the lock, after changes were closed or applied: moves what observers are to be told to `news`. */
void ckpy_doc_gather(ckpy_doc *d, PyObject *origin);

/* Tells the news after a call that has `result`, which it steals; NULL if observers raise. */
PyObject *ckpy_told(ckpy_doc *d, PyObject *result);

/* After changes may have come in, without the lock: tells observers of changes and of equivocations. Steals result (NULL: an exception);
 * NULL if somebody raised. */
PyObject *ckpy_doc_took(ckpy_doc *d, PyObject *result);

/* The second half of that, for any replica that has watchers. */
PyObject *ckpy_announced(PyObject *replica, PyObject *result);

/* ---- obj_map.c: the root map, for obj_doc.c */

Py_ssize_t ckpy_doc_map_length(PyObject *op);
PyObject *ckpy_doc_map_subscript(PyObject *op, PyObject *key);
int ckpy_doc_map_ass_subscript(PyObject *op, PyObject *key, PyObject *value);
int ckpy_doc_map_contains(PyObject *op, PyObject *key);
PyObject *ckpy_doc_map_iter(PyObject *op);
PyObject *ckpy_doc_map_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_doc_map_pop(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_doc_map_setdefault(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_doc_map_to_py(PyObject *op, PyObject *ignored);
PyObject *ckpy_doc_map_conflicts(PyObject *op, PyObject *key);
PyObject *ckpy_doc_map_history(PyObject *op, PyObject *key);

/* Under the lock, which is let go of: what the core found as [(change id, index, value)]. view NULL: now. */
PyObject *ckpy_conflicts(ckpy_doc *d, ckpy_view *view, ckv_kind kind, ckv_status s,
                         const ckv_buf *found);

/* ---- news.c */

void ckpy_news_free(struct ckpy_news *n);
PyObject *ckpy_doc_take_news(PyObject *op, PyObject *ignored);
PyObject *ckpy_doc_watch(PyObject *op, PyObject *on);
PyObject *ckpy_doc_diff(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_doc_undo(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *ckpy_doc_own_changes(PyObject *op, PyObject *first);
PyObject *ckpy_doc_path_of(PyObject *op, PyObject *container);

/* ---- obj_block.c */

PyObject *ckpy_block_new(ckpy_doc *d, PyObject *message, PyObject *origin);

/* ---- obj_change.c */

/* dag CKPY_NO_DAG: replica is a document, else a datastore. */
PyObject *ckpy_change_new(ckpy_state *st, PyObject *replica, uint32_t dag, uint32_t life,
                          uint32_t number);

/* ---- obj_text.c */

/* Under the lock: n characters from `start` on. NULL without an exception: *s says why. */
PyObject *ckpy_text_read(ckpy_doc *d, uint32_t container, size_t start, size_t n, ckv_status *s);
/* Under the lock of a lone edit or a block: inserts s at pos; a long one splits into changes if it is lone.
 * `ms` is the time for those. */
ckv_status ckpy_text_write(ckpy_doc *d, uint32_t container, size_t pos, PyObject *s, int64_t ms);
/* Is s so long that a lone insert of it splits? Then the caller asks the clock before the lock. */
bool ckpy_text_splits(PyObject *s);

/* ---- obj_view.c */

/* without: authors whose changes do not count, NULL for none. */
PyObject *ckpy_view_new(ckpy_doc *d, PyObject *heads, PyObject *without);

/* ---- obj_report.c */

PyObject *ckpy_report_new(ckpy_state *st, const ckv_report *report);

#endif
