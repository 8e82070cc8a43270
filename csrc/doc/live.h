/* live.h -- a few changes to one peer, as small as they can be: keystrokes on their way. docs/format.md, "Live changes".
 *
 * Both ends know which change of a lane came last, so a change needs neither lane, seq nor prev again. They are kept in tracks:
 *
 *     track 0   ada's lane, next is seq 8, behind 3f2a..        a run of changes in track 0 is  n, their parents and bodies, one signature
 *     track 1   ben's lane, next is seq 3, behind 91c0..
 *
 *     I1  the out tracks here are the in tracks there, after every message
 */
#ifndef CKV_DOC_LIVE_H
#define CKV_DOC_LIVE_H

#include "doc/peer.h"

#define CKV_LIVE_TRACKS  64u
#define CKV_LIVE_CHANGES 8u    /* more at once go in columns, which need less then */
#define CKV_LIVE_BYTES   1024u /* likewise: bundles are packed */

typedef struct ckv_track {
    ckv_id32 author, lane, prev;
    uint8_t nonce[16];
    uint32_t seq; /* of the next change */
    bool used;
} ckv_track;

typedef struct ckv_live {
    ckv_track out[CKV_LIVE_TRACKS], in[CKV_LIVE_TRACKS];
    uint32_t turn; /* the track that is given away next */
} ckv_live;

/* Appends all that the peer lacks, which then has it; signs what is our own. *fits false: too much, or what must go as a bundle; then
 * nothing is done. On an error the tracks are lost. */
CKV_NODISCARD ckv_status ckv_live_write(ckv_live *live, ckv_doc *doc, ckv_peer *peer, ckv_buf *out,
                                        bool *fits);
/* Takes in what it sent, as ckv_peer_apply does. CKV_ECORRUPT: it does not parse; the tracks are lost, the document is as before. */
CKV_NODISCARD ckv_status ckv_live_apply(ckv_live *live, ckv_doc *doc, ckv_peer *peer,
                                        const uint8_t *data, size_t n_bytes, ckv_report *report,
                                        ckv_buf *ids, ckv_err *err);

#endif
