/* forge.h -- what a liar needs besides an honest replica: the open change under any header, and bundles in pieces.
 *
 * For crdtkv.testing. An honest replica calls nothing of this, and nothing here makes a change or a signature.
 */
#ifndef CKV_DOC_FORGE_H
#define CKV_DOC_FORGE_H

#include "doc/doc.h"

/* The body that the open change would have behind `prev` (NULL: none) with these parents, in this order and with repeats. Ids that are
 * not here keep their place and name nothing; what the header cannot name has the name that the table gives it. The change stays open. */
CKV_NODISCARD ckv_status ckv_forge_body(ckv_doc *doc, const ckv_id32 *prev, const uint8_t *parents,
                                        size_t n_parents, int64_t time_ms, uint32_t *n_ops,
                                        ckv_buf *body);
/* How many single operations a body has, as far as it decodes. */
uint32_t ckv_forge_n_ops(const uint8_t *body, size_t n_bytes, uint32_t n_parents);
/* Who opened a lane that is here, and how. CKV_ENOENT. */
CKV_NODISCARD ckv_status ckv_forge_opening(const ckv_doc *doc, const ckv_id32 *lane,
                                           ckv_id32 *author, uint8_t nonce[16]);
/* From now on a lane may have any number of tips in this document, and edits may go beyond what others take: 1,024 containers deep, keys of
 * 16 KiB, 64 MiB in a change. */
void ckv_forge_lift_limits(ckv_doc *doc);

typedef struct ckv_part { /* one change of a bundle, in raw form */
    ckv_id32 id, lane, author;
    uint8_t nonce[16], signature[64];
    bool has_opening, has_signature;
    uint32_t chain;
    uint8_t form; /* of the body: 0 in the header, 1 apart, 2 not here, 3 left out */
    size_t header, header_bytes, body, body_bytes; /* offsets in `bytes` */
} ckv_part;

/* All changes of a bundle in its order, also those that no replica would accept. CKV_ECORRUPT: no bundle of this document. */
CKV_NODISCARD ckv_status ckv_forge_take_apart(ckv_doc *doc, const uint8_t *data, size_t n_bytes,
                                              ckv_buf *parts /* of ckv_part */, ckv_buf *bytes,
                                              ckv_err *err);
/* What bundles and proofs end with. */
uint64_t ckv_forge_checksum(const uint8_t *data, size_t n_bytes);
/* Ed25519 over any bytes. */
void ckv_forge_sign(uint8_t signature[64], const ckv_identity *who, const void *message,
                    size_t n_bytes);

#endif
