/* kept.h -- documents and stores that live in a file, as Python sees them: bound, closed with it, forked away from it.
 *
 *     _bind            borrows the file, loads the record or writes it
 *     edits, commits   ckpy_doc_may_write, ckpy_doc_close: rows are written without the GIL
 *     _unbind          gives the file back; every use raises StaleHandleError
 *
 * Nothing here may be called between begin() and commit() of the same File by another thread that then asks for our lock: who writes takes
 * the lock of the object first, then the file.
 */
#ifndef CKPY_KEPT_H
#define CKPY_KEPT_H

#include "py/store.h"

/* Is it the file that says so? */
bool ckpy_is_of_file(ckv_status s);

/* Under the lock: is this a child of the process that opened the file? Then nothing is written. */
bool ckpy_doc_is_forked(const ckpy_doc *d);
/* Under the lock, of one that is bound. -1: an exception (a child, a reader, a file that failed), the lock is gone. */
int ckpy_doc_may_write(ckpy_doc *d);
/* Frees what it has of the file, if it is bound. */
void ckpy_doc_let_go(ckpy_doc *d);

/* The same of stores. may_write also commits what is too much to gather: then, and on an exception, -1 lets go of the lock. */
int ckpy_store_may_write(ckpy_store *s);
void ckpy_store_let_go(ckpy_store *s);

PyObject *ckpy_doc_is_bound(PyObject *op, void *closure);
PyObject *ckpy_doc_is_read_only(PyObject *op, void *closure);
PyObject *ckpy_doc_bind(PyObject *op, PyObject *args, PyObject *kw);
PyObject *ckpy_doc_unbind(PyObject *op, PyObject *ignored);
PyObject *ckpy_doc_refresh(PyObject *op, PyObject *ignored);
PyObject *ckpy_doc_check_record(PyObject *op, PyObject *ignored);
PyObject *ckpy_doc_compact(PyObject *op, PyObject *ignored);

PyObject *ckpy_store_is_bound(PyObject *op, void *closure);
PyObject *ckpy_store_bind(PyObject *op, PyObject *args, PyObject *kw);
PyObject *ckpy_store_unbind(PyObject *op, PyObject *ignored);
PyObject *ckpy_store_refresh(PyObject *op, PyObject *ignored);
PyObject *ckpy_store_check_record(PyObject *op, PyObject *ignored);
PyObject *ckpy_store_compact(PyObject *op, PyObject *ignored);
PyObject *ckpy_store_commit(PyObject *op, PyObject *ignored);

#endif
