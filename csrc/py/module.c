/* module.c -- crdtkv._core: its state, its types, and the few functions that belong to no object. */
#include "py/convert.h"
#include "py/datastore.h"
#include "py/errors.h"
#include "py/file.h"
#include "py/forge.h"
#include "py/handle.h"
#include "py/plain.h"
#include "py/store.h"

#include <pthread.h>

unsigned ckpy_generation;

static void count_child(void) { ckpy_generation++; } /* the one thread of a new process */
static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, count_child); }

static PyObject *verify_equivocation(PyObject *module, PyObject *proof)
{
    ckpy_state *st = PyModule_GetState(module);
    PyObject *data = ckpy_bytes_arg(proof, "a proof");
    if (!data) return NULL;
    ckv_id32 author;
    ckv_err err = {0};
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s = ckv_proof_verify((const uint8_t *)PyBytes_AS_STRING(data),
                                                (size_t)PyBytes_GET_SIZE(data), &author, &err);
    Py_END_ALLOW_THREADS Py_DECREF(data);
    if (s == CKV_OK) return ckpy_id(&author);
    return ckpy_raise_err(
        st, s, &err, s == CKV_ESIGN ? "the proof does not hold" : "not a proof of equivocation");
}

static PyObject *doc_id_of(PyObject *module, PyObject *bundle)
{
    ckpy_state *st = PyModule_GetState(module);
    PyObject *data = ckpy_bytes_arg(bundle, "a bundle");
    if (!data) return NULL;
    ckv_id32 id;
    ckv_err err = {0};
    const ckv_status s = ckv_bundle_doc_id((const uint8_t *)PyBytes_AS_STRING(data),
                                           (size_t)PyBytes_GET_SIZE(data), &id, &err);
    Py_DECREF(data);
    return s == CKV_OK ? ckpy_id(&id) : ckpy_raise_err(st, s, &err, "not a bundle");
}

static PyObject *check(PyObject *module, PyObject *args)
{
    ckpy_state *st = PyModule_GetState(module);
    PyObject *dict, *map;
    if (!PyArg_ParseTuple(args, "O!O:_check", &PyDict_Type, &dict, &map)) return NULL;
    ckpy_doc *d = NULL;
    uint32_t container = CKV_ROOT;
    if (PyObject_TypeCheck(map, st->Doc)) {
        d = (ckpy_doc *)map;
    } else if (ckpy_is_handle(st, map) && HANDLE(map)->doc && !HANDLE(map)->frozen) {
        d = HANDLE(map)->doc;
        container = HANDLE(map)->container;
    }
    return ckpy_flat_check_entries(st, dict, d, container) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *adopt(PyObject *module, PyObject *args)
{
    ckpy_state *st = PyModule_GetState(module);
    PyObject *refusal, *identity, *mapping, *missing, *stats, *blame, *by_author;
    PyTypeObject *map, *list, *set, *counter;
    if (!PyArg_ParseTuple(args, "OOOOO!O!O!O!OOO:_adopt", &refusal, &identity, &mapping, &missing,
                          &PyType_Type, &map, &PyType_Type, &list, &PyType_Type, &set, &PyType_Type,
                          &counter, &stats, &blame, &by_author))
        return NULL;
    if (!PyType_IsSubtype(map, st->Map) || !PyType_IsSubtype(list, st->List) ||
        !PyType_IsSubtype(set, st->Set) || !PyType_IsSubtype(counter, st->Counter)) {
        PyErr_SetString(PyExc_TypeError, "_adopt wants subclasses of Map, List, Set and Counter");
        return NULL;
    }
    Py_XSETREF(st->Refusal, Py_NewRef(refusal));
    Py_XSETREF(st->FullIdentity, Py_NewRef(identity));
    Py_XSETREF(st->Mapping, Py_NewRef(mapping));
    Py_XSETREF(st->MISSING, Py_NewRef(missing));
    Py_XSETREF(st->Stats, Py_NewRef(stats));
    Py_XSETREF(st->Blame, Py_NewRef(blame));
    Py_XSETREF(st->ByAuthor, Py_NewRef(by_author));
    Py_XSETREF(st->FullMap, (PyTypeObject *)Py_NewRef((PyObject *)map));
    Py_XSETREF(st->FullList, (PyTypeObject *)Py_NewRef((PyObject *)list));
    Py_XSETREF(st->FullSet, (PyTypeObject *)Py_NewRef((PyObject *)set));
    Py_XSETREF(st->FullCounter, (PyTypeObject *)Py_NewRef((PyObject *)counter));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(verify_doc,
             "verify_equivocation($module, proof, /)\n--\n\n"
             "The public key of the author whom a proof convicts of telling two stories.\n\n"
             "Needs nothing but the bytes. DecodeError: no proof; SignatureError: one that does "
             "not hold.\n\n"
             ">>> import crdtkv as ck\n"
             ">>> ck.verify_equivocation(b'hearsay')\n"
             "Traceback (most recent call last):\n"
             "    ...\n"
             "crdtkv.DecodeError: ...");

static PyMethodDef methods[] = {
    {"verify_equivocation", verify_equivocation, METH_O, verify_doc},
    {"_doc_id_of", doc_id_of, METH_O,
     "_doc_id_of($module, bundle, /)\n--\n\nThe id of the document a bundle is of."},
    {"_datastore_id_of", ckpy_datastore_id_of, METH_O,
     "_datastore_id_of($module, bundle, /)\n--\n\nThe id of the datastore a bundle is of."},
    {"_checksum", ckpy_forge_checksum, METH_O,
     "_checksum($module, data, /)\n--\n\nThe 64 bits that bundles and proofs end with."},
    {"_n_ops", ckpy_forge_n_ops, METH_VARARGS,
     "_n_ops($module, body, n_parents, /)\n--\n\n"
     "How many single operations a body has, as far as it decodes."},
    {"_check", check, METH_VARARGS,
     "_check($module, entries, map, /)\n--\n\n"
     "Raises what storing the entries of a dict in a map would raise."},
    {"_adopt", adopt, METH_VARARGS,
     "_adopt($module, refusal, identity, mapping, missing, map, list, set, counter, stats, blame, "
     "by_author, /)\n--\n\n"
     "Takes the Python classes that C makes objects of, or asks for."},
    {NULL, NULL, 0, NULL},
};

ckpy_state *ckpy_state_of(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &ckpy_def);
    return module ? PyModule_GetState(module) : NULL;
}

static int exec(PyObject *m)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    ckpy_state *st = PyModule_GetState(m);
    if (!ckv_init()) {
        PyErr_SetString(PyExc_ImportError,
                        "crdtkv: libsodium does not work here, or is too old (1.0.18 is needed)");
        return -1;
    }
    pthread_once(&once, watch_forks);
    if (ckpy_errors_exec(m, st) < 0) return -1;
    const struct {
        PyTypeObject **slot;
        PyType_Spec *spec;
        const char *name;
        PyTypeObject **base; /* NULL: object */
    } types[] = {
        {&st->Identity, &ckpy_identity_spec, "Identity", NULL},
        {&st->Doc, &ckpy_doc_spec, "Doc", NULL},
        {&st->Handle, &ckpy_handle_spec, "Handle", NULL},
        {&st->Map, &ckpy_map_spec, "Map", &st->Handle},
        {&st->List, &ckpy_list_spec, "List", &st->Handle},
        {&st->ListIter, &ckpy_list_iter_spec, "ListIter", NULL},
        {&st->Set, &ckpy_set_spec, "Set", &st->Handle},
        {&st->Counter, &ckpy_counter_spec, "Counter", &st->Handle},
        {&st->Text, &ckpy_text_spec, "Text", &st->Handle},
        {&st->Cursor, &ckpy_cursor_spec, "Cursor", NULL},
        {&st->Change, &ckpy_change_spec, "Change", NULL},
        {&st->Block, &ckpy_block_spec, "Block", NULL},
        {&st->View, &ckpy_view_spec, "View", NULL},
        {&st->Report, &ckpy_report_spec, "Report", NULL},
        {&st->Session, &ckpy_session_spec, "Session", NULL},
        {&st->StoreMap, &ckpy_store_map_spec, "StoreMap", NULL},
        {&st->Store, &ckpy_store_spec, "Store", &st->StoreMap},
        {&st->Transaction, &ckpy_txn_spec, "Transaction", &st->StoreMap},
        {&st->Scan, &ckpy_scan_spec, "Scan", NULL},
        {&st->StoreSession, &ckpy_store_session_spec, "StoreSession", NULL},
        {&st->Datastore, &ckpy_datastore_spec, "Datastore", NULL},
        {&st->DatastoreCounter, &ckpy_datastore_counter_spec, "DatastoreCounter", NULL},
        {&st->Batch, &ckpy_batch_spec, "Batch", NULL},
        {&st->Query, &ckpy_query_spec, "Query", NULL},
        {&st->File, &ckpy_file_spec, "File", NULL},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        PyObject *base = types[i].base ? (PyObject *)*types[i].base : NULL;
        *types[i].slot = (PyTypeObject *)PyType_FromModuleAndSpec(m, types[i].spec, base);
        if (!*types[i].slot ||
            PyModule_AddObjectRef(m, types[i].name, (PyObject *)*types[i].slot) < 0)
            return -1;
    }
    return 0;
}

static int traverse(PyObject *m, visitproc visit, void *arg)
{
    ckpy_state *st = PyModule_GetState(m);
    Py_VISIT(st->Identity);
    Py_VISIT(st->Doc);
    Py_VISIT(st->Handle);
    Py_VISIT(st->Map);
    Py_VISIT(st->List);
    Py_VISIT(st->ListIter);
    Py_VISIT(st->Set);
    Py_VISIT(st->Counter);
    Py_VISIT(st->Text);
    Py_VISIT(st->Cursor);
    Py_VISIT(st->Change);
    Py_VISIT(st->Block);
    Py_VISIT(st->View);
    Py_VISIT(st->Report);
    Py_VISIT(st->Session);
    Py_VISIT(st->StoreMap);
    Py_VISIT(st->Store);
    Py_VISIT(st->Transaction);
    Py_VISIT(st->Scan);
    Py_VISIT(st->StoreSession);
    Py_VISIT(st->Datastore);
    Py_VISIT(st->DatastoreCounter);
    Py_VISIT(st->Batch);
    Py_VISIT(st->Query);
    Py_VISIT(st->File);
    Py_VISIT(st->Error);
    Py_VISIT(st->DecodeError);
    Py_VISIT(st->SignatureError);
    Py_VISIT(st->UnauthorizedError);
    Py_VISIT(st->StaleHandleError);
    Py_VISIT(st->ForkError);
    Py_VISIT(st->LimitError);
    Py_VISIT(st->StoreError);
    Py_VISIT(st->ClockDriftError);
    Py_VISIT(st->SyncError);
    Py_VISIT(st->Refusal);
    Py_VISIT(st->FullIdentity);
    Py_VISIT(st->Mapping);
    Py_VISIT(st->MISSING);
    Py_VISIT(st->Stats);
    Py_VISIT(st->Blame);
    Py_VISIT(st->ByAuthor);
    Py_VISIT(st->FullMap);
    Py_VISIT(st->FullList);
    Py_VISIT(st->FullSet);
    Py_VISIT(st->FullCounter);
    return 0;
}

static int clear(PyObject *m)
{
    ckpy_state *st = PyModule_GetState(m);
    Py_CLEAR(st->Identity);
    Py_CLEAR(st->Doc);
    Py_CLEAR(st->Handle);
    Py_CLEAR(st->Map);
    Py_CLEAR(st->List);
    Py_CLEAR(st->ListIter);
    Py_CLEAR(st->Set);
    Py_CLEAR(st->Counter);
    Py_CLEAR(st->Text);
    Py_CLEAR(st->Cursor);
    Py_CLEAR(st->Change);
    Py_CLEAR(st->Block);
    Py_CLEAR(st->View);
    Py_CLEAR(st->Report);
    Py_CLEAR(st->Session);
    Py_CLEAR(st->StoreMap);
    Py_CLEAR(st->Store);
    Py_CLEAR(st->Transaction);
    Py_CLEAR(st->Scan);
    Py_CLEAR(st->StoreSession);
    Py_CLEAR(st->Datastore);
    Py_CLEAR(st->DatastoreCounter);
    Py_CLEAR(st->Batch);
    Py_CLEAR(st->Query);
    Py_CLEAR(st->File);
    Py_CLEAR(st->Error);
    Py_CLEAR(st->DecodeError);
    Py_CLEAR(st->SignatureError);
    Py_CLEAR(st->UnauthorizedError);
    Py_CLEAR(st->StaleHandleError);
    Py_CLEAR(st->ForkError);
    Py_CLEAR(st->LimitError);
    Py_CLEAR(st->StoreError);
    Py_CLEAR(st->ClockDriftError);
    Py_CLEAR(st->SyncError);
    Py_CLEAR(st->Refusal);
    Py_CLEAR(st->FullIdentity);
    Py_CLEAR(st->Mapping);
    Py_CLEAR(st->MISSING);
    Py_CLEAR(st->Stats);
    Py_CLEAR(st->Blame);
    Py_CLEAR(st->ByAuthor);
    Py_CLEAR(st->FullMap);
    Py_CLEAR(st->FullList);
    Py_CLEAR(st->FullSet);
    Py_CLEAR(st->FullCounter);
    return 0;
}

static void release(void *m) { (void)clear((PyObject *)m); }

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

struct PyModuleDef ckpy_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "crdtkv._core",
    .m_doc = "The C part of crdtkv. Import crdtkv instead.",
    .m_size = sizeof(ckpy_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&ckpy_def); }
