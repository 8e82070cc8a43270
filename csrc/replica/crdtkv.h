/* crdtkv.h -- the whole library for those above it: the only header that py/ includes.
 *
 *     doc/doc.h       a replica of a document: containers, changes, blocks
 *     doc/map.h list.h set.h counter.h text.h    editing and reading containers
 *     doc/plain.h     nested values in one go
 *     doc/exchange.h  bundles, waiting, equivocation
 *     doc/view.h patch.h    the past; differences and events
 *     doc/undo.h cursor.h   comforts for editors
 *     sync/session.h store_session.h    two replicas in step
 *     doc/forge.h     what liars need, for tests
 *     kv/store.h exchange.h    a store: keys, values, and what stores tell each other
 *     datastore/exchange.h    a datastore: keys, values, counters, and what datastores tell each other
 *     log/nested.h    the values of a store or datastore
 *     disk/file.h     the one file that all of it may live in; doc/keep.h, kv/keep.h: documents and stores in it
 *     crypto/keyring.h sign.h    identities and their files; signatures over bytes that are no change
 */
#ifndef CKV_REPLICA_CRDTKV_H
#define CKV_REPLICA_CRDTKV_H

#include "crypto/sign.h"
#include "datastore/exchange.h"
#include "disk/file.h"
#include "doc/counter.h"
#include "doc/cursor.h"
#include "doc/exchange.h"
#include "doc/forge.h"
#include "doc/keep.h"
#include "doc/list.h"
#include "doc/map.h"
#include "doc/patch.h"
#include "doc/peer.h"
#include "doc/plain.h"
#include "doc/set.h"
#include "doc/text.h"
#include "doc/undo.h"
#include "doc/view.h"
#include "kv/exchange.h"
#include "kv/keep.h"
#include "kv/key.h"
#include "log/nested.h"
#include "sync/datastore_session.h"
#include "sync/session.h"
#include "sync/store_session.h"

/* Must be called once before anything else. False: libsodium does not work, or takes a mixed-order key for a good one. */
bool ckv_init(void);

#endif
