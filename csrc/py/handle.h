/* handle.h -- what Map, List, Set, Counter and Text have in common: where they stand and what they hold.
 *
 *     attached   doc and container number; one handle a container for as long as somebody holds it; the content is in the core
 *     frozen     of the past, from a view; reads its content once into `plain`; edits raise TypeError
 *     detached   holds a dict, list, set, int or str until it is stored
 *
 * Frozen and detached ones are read by the same code, Python's own. `doc` is set once, so that it may be looked at without a lock.
 */
#ifndef CKPY_HANDLE_H
#define CKPY_HANDLE_H

#include "py/state.h"

#define HANDLE(op) ((ckpy_handle *)(op))

static inline bool ckpy_is_handle(const ckpy_state *st, PyObject *op)
{
    return PyObject_TypeCheck(op, st->Handle);
}

/* ---- life; each type has these slots */

/* A detached one; steals plain, also when it fails. */
PyObject *ckpy_handle_new(PyTypeObject *tp, ckv_kind kind, PyObject *plain);
int ckpy_handle_traverse(PyObject *op, visitproc visit, void *arg);
int ckpy_handle_clear(PyObject *op);
void ckpy_handle_dealloc(PyObject *op);
/* The class of Python's that handles of a kind have. */
PyTypeObject *ckpy_handle_type(ckpy_state *st, ckv_kind kind);

/* The handle of a container, the same one for as long as somebody holds it. */
PyObject *ckpy_handle_of(ckpy_doc *d, uint32_t container, ckv_kind kind);
/* Makes a fresh one the handle of a container. */
int ckpy_handle_attach(ckpy_handle *h, ckpy_doc *d, uint32_t container);
PyObject *ckpy_handle_past(ckpy_view *view, uint32_t container, ckv_kind kind);
/* What the core showed: a scalar was made under the lock, a container becomes its handle now. */
PyObject *ckpy_handle_or(ckpy_doc *d, PyObject *scalar, const ckv_value *v);

/* ---- content */

static inline bool ckpy_is_fresh(const ckpy_handle *h) { return !h->doc && !h->frozen; }

/* Under the lock: can it be used? */
static inline bool ckpy_is_live(const ckpy_handle *h)
{
    return !h->doc->closed && ckv_doc_is_live(h->doc->core, h->container);
}

/* The dict, list, set, int or str of one that is not attached; its items are values and handles. New reference. */
PyObject *ckpy_handle_local(ckpy_handle *h);
/* The same for an edit of it: TypeError if it is of the past. */
PyObject *ckpy_handle_own(ckpy_handle *h);

/* May be asked of a stale one, too, for its last content. */
typedef enum ckpy_when { LIVE, LAST } ckpy_when;

/* Under the lock, without the GIL if that may take long: a container as plain bytes, appended. */
ckv_status ckpy_write_plain(ckpy_doc *d, const ckv_view *at, uint32_t container, ckv_buf *out);
/* Everything in it, as plain bytes (doc/plain.h), appended. */
int ckpy_handle_bytes(ckpy_handle *h, ckpy_when when, ckv_buf *out);
/* Everything in it as a dict, list, set, int or str: only those inside, or (kinds) with detached Texts and Counters. */
PyObject *ckpy_handle_content(ckpy_handle *h, ckpy_when when, bool kinds);

/* ---- errors; all return NULL */

PyObject *ckpy_stale(const ckpy_handle *h);
PyObject *ckpy_frozen(const ckpy_handle *h);
/* After an edit or a look of an attached one failed. */
PyObject *ckpy_handle_raise(const ckpy_handle *h, ckv_status s);
/* The same for a container that may be the root. */
PyObject *ckpy_edit_raise(ckpy_doc *d, ckv_kind kind, ckv_status s);
const char *ckpy_kind_name(ckv_kind kind);

/* ---- rows that types share */

PyObject *ckpy_handle_repr(PyObject *op);
PyObject *ckpy_handle_copy(PyObject *op, PyObject *ignored);
PyObject *ckpy_handle_reduce(PyObject *op, PyObject *ignored);
PyObject *ckpy_handle_to_py(PyObject *op, PyObject *ignored);

#endif
