/* lock.h -- one lock per document, real in every build because the GIL is dropped in long work.
 *
 *     get .. put                 short work: the thread keeps the GIL (or stays attached) all the way
 *     get, away .. back, put     long work: the GIL is dropped in between, the lock stays held
 *     get_both .. put_both       work on two documents, short or (away_both .. back_both) long; in order of address, so that two threads cannot cross
 *
 * Under it no Python code runs: no call back, no DECREF of foreign objects, no allocation of objects that the garbage
 * collector tracks (str, bytes, int and float are fine). So nobody can come back in, and nobody waits with it in hand.
 *
 * From 3.13 on it is a PyMutex, which lets go of the thread state while it waits. Before, the GIL itself keeps short work
 * apart, so that `get` is one test of a flag; only long work takes an operating system's lock, for the others to wait on.
 */
#ifndef CKPY_LOCK_H
#define CKPY_LOCK_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

#if PY_VERSION_HEX >= 0x030D0000

typedef struct ckpy_lock {
    PyMutex mutex;
} ckpy_lock;

static inline bool ckpy_lock_init(ckpy_lock *l)
{
    *l = (ckpy_lock){0};
    return true;
}
static inline void ckpy_lock_fini(ckpy_lock *l) { (void)l; }
static inline void ckpy_lock_get(ckpy_lock *l) { PyMutex_Lock(&l->mutex); }
static inline void ckpy_lock_put(ckpy_lock *l) { PyMutex_Unlock(&l->mutex); }
static inline void ckpy_lock_get_both(ckpy_lock *a, ckpy_lock *b)
{
    const bool in_order = (uintptr_t)a < (uintptr_t)b;
    ckpy_lock_get(in_order ? a : b);
    if (a != b) ckpy_lock_get(in_order ? b : a);
}
static inline void ckpy_lock_put_both(ckpy_lock *a, ckpy_lock *b)
{
    ckpy_lock_put(a);
    if (a != b) ckpy_lock_put(b);
}
static inline PyThreadState *ckpy_lock_away(ckpy_lock *l)
{
    (void)l;
    return PyEval_SaveThread();
}
static inline void ckpy_lock_back(ckpy_lock *l, PyThreadState *ts)
{
    (void)l;
    PyEval_RestoreThread(ts);
}
static inline PyThreadState *ckpy_lock_away_both(ckpy_lock *a, ckpy_lock *b)
{
    (void)b;
    return ckpy_lock_away(a);
}
static inline void ckpy_lock_back_both(ckpy_lock *a, ckpy_lock *b, PyThreadState *ts)
{
    (void)b;
    ckpy_lock_back(a, ts);
}

/* For fields of Python objects; nothing but a pair of braces where there is a GIL. */
#define CKPY_BEGIN_CRITICAL(op) Py_BEGIN_CRITICAL_SECTION(op)
#define CKPY_END_CRITICAL()     Py_END_CRITICAL_SECTION()

#else

typedef struct ckpy_lock {
    /* All read and written under the GIL. busy: somebody works without it, or `handed`: kept free for one of those who waited when it was put
     * back, with a ticket below `upto`. */
    bool busy, handed;
    bool was_long; /* whoever holds it has done long work */
    unsigned n_waiting, tickets, upto;
    PyThread_type_lock os; /* owned; held while somebody works */
} ckpy_lock;

static inline bool ckpy_lock_init(ckpy_lock *l)
{
    *l = (ckpy_lock){.os = PyThread_allocate_lock()};
    return l->os != NULL;
}
static inline void ckpy_lock_fini(ckpy_lock *l)
{
    if (l->os) PyThread_free_lock(l->os);
}
static inline void ckpy_lock_wait(ckpy_lock *l)
{
    const unsigned ticket = l->tickets++;
    l->n_waiting++;
    while (l->busy && !(l->handed && (int)(l->upto - ticket) > 0)) {
        Py_BEGIN_ALLOW_THREADS PyThread_acquire_lock(l->os, WAIT_LOCK);
        PyThread_release_lock(l->os);
        Py_END_ALLOW_THREADS
    }
    l->n_waiting--;
    l->busy = l->handed = l->was_long = false;
}
static inline void ckpy_lock_get(ckpy_lock *l)
{
    if (l->busy) ckpy_lock_wait(l);
}
/* Who does long work all the time lets go of the GIL only while it is busy, and those who wait would never find it free: so then it goes to one of
 * them. After short work it does not: whoever waits finds it free as soon as he has the GIL, and to hand it on each time would make every call of every
 * thread wait for a switch of threads. */
static inline void ckpy_lock_put(ckpy_lock *l)
{
    if (!l->was_long) return;
    l->was_long = false;
    if (l->n_waiting == 0 || l->busy) return;
    l->busy = l->handed = true;
    l->upto = l->tickets;
}
static inline void ckpy_lock_get_both(ckpy_lock *a, ckpy_lock *b)
{
    do {
        ckpy_lock_get(a);
        ckpy_lock_get(b);
    } while (
        a->busy); /* again, if it was taken while we waited for b: a free one holds nobody up */
}
static inline void ckpy_lock_put_both(ckpy_lock *a, ckpy_lock *b)
{
    ckpy_lock_put(a);
    if (a != b) ckpy_lock_put(b);
}
static inline PyThreadState *ckpy_lock_away(ckpy_lock *l)
{
    l->busy = true;
    l->was_long = true;
    PyThread_acquire_lock(
        l->os, WAIT_LOCK); /* at most a waiter has it, for a moment and without wanting the GIL */
    return PyEval_SaveThread();
}
static inline void ckpy_lock_back(ckpy_lock *l, PyThreadState *ts)
{
    PyEval_RestoreThread(ts);
    l->busy = false;
    PyThread_release_lock(l->os);
}
static inline PyThreadState *ckpy_lock_away_both(ckpy_lock *a, ckpy_lock *b)
{
    if (a != b) {
        b->busy = b->was_long = true;
        PyThread_acquire_lock(b->os, WAIT_LOCK);
    }
    return ckpy_lock_away(a);
}
static inline void ckpy_lock_back_both(ckpy_lock *a, ckpy_lock *b, PyThreadState *ts)
{
    ckpy_lock_back(a, ts);
    if (a == b) return;
    b->busy = false;
    PyThread_release_lock(b->os);
}

#define CKPY_BEGIN_CRITICAL(op) {
#define CKPY_END_CRITICAL()     }

#endif

#endif
