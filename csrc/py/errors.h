/* errors.h -- the exceptions of the library, and the one place where a status becomes one. */
#ifndef CKPY_ERRORS_H
#define CKPY_ERRORS_H

#include "py/state.h"

/* Makes the tree and adds it to the module. */
int ckpy_errors_exec(PyObject *module, ckpy_state *st);

/* Raises what stands for s (not CKV_OK); returns NULL. `what` is for people. */
PyObject *ckpy_raise(ckpy_state *st, ckv_status s, const char *what);

/* The same for the file at `path` (an object, None: in memory), which `pid` has open (0: not known). */
PyObject *ckpy_raise_path(ckpy_state *st, ckv_status s, const char *what, PyObject *path,
                          int64_t pid);

/* The same for bytes from outside: what err tells, with the attribute `offset`. */
PyObject *ckpy_raise_err(ckpy_state *st, ckv_status s, const ckv_err *err, const char *what);

/* The class that stands for a refusal; borrowed. */
PyObject *ckpy_refusal_class(ckpy_state *st, ckv_refusal_kind kind);

#endif
