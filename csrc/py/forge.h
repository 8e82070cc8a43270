/* forge.h -- what crdtkv.testing asks of the core, for the method tables of Doc, Identity and the module. */
#ifndef CKPY_FORGE_H
#define CKPY_FORGE_H

#include "py/state.h"

PyObject *ckpy_forge_open_body(PyObject *doc, PyObject *args);
PyObject *ckpy_forge_place_of(PyObject *doc, PyObject *change);
PyObject *ckpy_forge_opening(PyObject *doc, PyObject *lane);
PyObject *ckpy_forge_lift_limits(PyObject *doc, PyObject *ignored);
PyObject *ckpy_forge_take_apart(PyObject *doc, PyObject *bundle);
PyObject *ckpy_forge_sign(PyObject *identity, PyObject *message);
PyObject *ckpy_forge_checksum(PyObject *module, PyObject *data);
PyObject *ckpy_forge_n_ops(PyObject *module, PyObject *args);

#endif
