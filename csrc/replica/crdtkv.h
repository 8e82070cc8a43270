/* crdtkv.h -- the whole library for those above it: the only header that py/ includes.
 *
 *     doc/doc.h       a replica of a document: containers, changes, blocks
 *     doc/text.h      editing and reading text
 *     doc/exchange.h  bundles, waiting, equivocation
 *     doc/view.h      the past
 *     crypto/keyring.h  identities and their files
 */
#ifndef CKV_REPLICA_CRDTKV_H
#define CKV_REPLICA_CRDTKV_H

#include "doc/doc.h"
#include "doc/exchange.h"
#include "doc/text.h"
#include "doc/view.h"

/* Must be called once before anything else. False: libsodium does not work, or takes a mixed-order key for a good one. */
bool ckv_init(void);

#endif
