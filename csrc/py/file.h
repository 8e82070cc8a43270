/* file.h -- _core.File: the SQLite file of a Database, as C and Python share it.
 *
 *     one call          ckpy_file_enter  .. ckpy_file_leave          File's own methods
 *     from open to end  ckpy_file_borrow .. ckpy_file_give_back      documents, stores and datastores that live in it
 *
 * The core's mutex never waits for the GIL, so whoever may wait for the file (begin, commit, any statement) drops the GIL first.
 * close() waits for the calls that are under way, one of which may wait for a transaction of a third thread: that one may still end it. It refuses while anything is borrowed: its owner unbinds what it opened before.
 */
#ifndef CKPY_FILE_H
#define CKPY_FILE_H

#include "py/state.h"

#include <pthread.h>

#define CKPY_STATEMENTS 64 /* prepared ones that are kept for run() */

typedef struct ckpy_prepared {
    PyObject *sql;  /* owned str; NULL: a free place */
    ckv_stmt *core; /* owned; NULL while a call has it */
} ckpy_prepared;

typedef struct ckpy_file {
    PyObject_HEAD ckpy_state *state;         /* borrowed: our type keeps the module */
    ckv_file *core;                          /* owned; NULL once closed. Written under `mutex` */
    ckv_file *closing;                       /* what was `core`, while close() waits. Likewise */
    PyObject *path;                          /* owned str or bytes, or None */
    unsigned generation;                     /* ckpy_generation when it was opened */
    pthread_mutex_t mutex;                   /* held for moments, never with the wish for the GIL */
    pthread_cond_t idle;                     /* n_calls came down to 0 */
    size_t n_calls, n_borrowed;              /* under `mutex` */
    ckpy_prepared prepared[CKPY_STATEMENTS]; /* guarded by the object's critical section */
    unsigned next;                           /* the place that is given up next */
} ckpy_file;

extern PyType_Spec ckpy_file_spec;

/* TypeError if op is no File. */
ckpy_file *ckpy_file_arg(ckpy_state *st, PyObject *op);

/* NULL: an exception (closed: StaleHandleError; a forked process: StoreError). */
ckv_file *ckpy_file_enter(ckpy_file *f);
void ckpy_file_leave(ckpy_file *f);

/* The same for as long as the borrower likes; it keeps a reference to f meanwhile, and frees its statements before it gives back. */
ckv_file *ckpy_file_borrow(ckpy_file *f);
void ckpy_file_give_back(ckpy_file *f);

/* Raises what a status of the file stands for, with the words of the file; returns NULL. `what` for lack of them. While entered or borrowed. */
PyObject *ckpy_file_raise(ckpy_file *f, ckv_status s, const char *what);

#endif
