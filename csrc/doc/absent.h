/* absent.h -- bodies of a document with content that are not here: which they are, in a digest and as a question to a peer. docs/format.md, "Absent bodies".
 *
 *     question := entry*      entry := id(32) set      of the change with the greatest seq, and the seqs of its chain that are meant
 *
 *     I1  a change is named by what both ends know: its chain and seq; who does not know the change passes over the entry
 *     cost: O(changes) for each walk; a question is bounded by what is asked for, an answer by what is here
 */
#ifndef CKV_DOC_ABSENT_H
#define CKV_DOC_ABSENT_H

#include "doc/content.h"
#include "ds/vec.h"

#define CKV_ABSENT_ENTRY_BYTES 96u /* room that one entry needs at least */

/* The same for all documents of the same changes that miss the same bodies. *any: is there one? */
CKV_NODISCARD ckv_status ckv_absent_digest(ckv_doc *doc, ckv_id32 *out, bool *any);

typedef struct ckv_absent_walk {
    uint32_t branch, seq; /* what comes next */
    uint32_t below;       /* only changes with smaller numbers */
} ckv_absent_walk;

/* Appends entries for bodies that somebody calls dead, from where the walk stands, as far as there is room. *more: it has not ended. */
CKV_NODISCARD ckv_status ckv_absent_ask(const ckv_doc *doc, ckv_absent_walk *walk, size_t room,
                                        ckv_buf *out, bool *more);
/* The changes that are asked for and are here with their bodies: numbers, appended. *credit goes down with each; CKV_ELIMIT: it is used up. CKV_ECORRUPT. */
CKV_NODISCARD ckv_status ckv_absent_read(ckv_doc *doc, ckv_rd question, uint64_t *credit,
                                         ckv_u32s *out);

#endif
