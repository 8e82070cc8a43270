/* patch.h -- what turns one version into another, and what each change did: steps that a mirror of plain values can follow.
 *
 *     stream := record*
 *     record := 0 PATH    varint n, n times (0 key | 1 varint index)     the container of the records that follow; key as in doc/plain.h, so that a long way costs little
 *             | kind(u8) position old new
 *                                 position                 old, new: 255 for nothing, else plain (doc/plain.h; keys are numbered over the stream)
 *               1 MAP_SET         varint n_bytes, key      old 255 if the key was absent
 *               2 MAP_REMOVE      varint n_bytes, key      new 255
 *               3 LIST_INSERT     varint                   new: List of the values
 *               4 LIST_REMOVE     varint                   old: List of the values
 *               5 LIST_SET        varint                   both
 *               6 LIST_MOVE       varint                   new: int, the index after it was taken out
 *               7 TEXT_INSERT     varint                   new: str
 *               8 TEXT_REMOVE     varint                   old: str
 *               9 TEXT_MARK       varint start, varint end old, new: Map of the names whose value changed in all of [start, end); a name that is
 *                                                          missing has no value
 *              10 SET_ADD         -                        new: the member; old 255
 *              11 SET_DISCARD     -                        old: the member; new 255. One that gives way to an equal one of another type goes first
 *              12 COUNT           -                        both: Counter
 *
 * In order of application: paths and positions are those of the mirror at that step. Containers before what is inside them; what is in a new container
 * stands in its value alone.
 */
#ifndef CKV_DOC_PATCH_H
#define CKV_DOC_PATCH_H

#include "doc/view.h"

typedef enum ckv_patch_kind {
    CKV_PATCH_PATH,
    CKV_PATCH_MAP_SET,
    CKV_PATCH_MAP_REMOVE,
    CKV_PATCH_LIST_INSERT,
    CKV_PATCH_LIST_REMOVE,
    CKV_PATCH_LIST_SET,
    CKV_PATCH_LIST_MOVE,
    CKV_PATCH_TEXT_INSERT,
    CKV_PATCH_TEXT_REMOVE,
    CKV_PATCH_TEXT_MARK,
    CKV_PATCH_SET_ADD,
    CKV_PATCH_SET_DISCARD,
    CKV_PATCH_COUNT,
} ckv_patch_kind;
#define CKV_PATCH_NOTHING 255u

/* What turns version a into version b. Costs what lies between them (and between each and their common past), times log n. */
CKV_NODISCARD ckv_status ckv_doc_diff(ckv_doc *doc, const ckv_view *a, const ckv_view *b,
                                      ckv_buf *out);

/* ---- events: changes tell what they did while somebody watches */

typedef struct ckv_event { /* changes [first, end), one author's, in order of application */
    uint32_t first, end;
    bool is_local;
    size_t off, n_bytes; /* of its patches; never empty */
} ckv_event;

/* From now on (or no longer) every change that is closed or applied leaves an event. */
void ckv_doc_watch(ckv_doc *doc, bool on);
/* Moves out what has gathered: events (of ckv_event) in order, and their patches. The caller frees both. */
void ckv_doc_take_events(ckv_doc *doc, ckv_buf *events, ckv_buf *patches);

#endif
