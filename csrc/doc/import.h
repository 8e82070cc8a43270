/* import.h -- a bundle on its way in, between unpack (bytes to changes) and import (changes into the document). Only these two look in here.
 *
 * A bundle may claim much with few bytes. So what it brings is taken on credit: each change costs what it takes here beyond the bytes that it
 * came with, until a signature at or behind it in its chain holds. Then what stands behind that signature is paid for. A second copy of a run pays
 * nothing. Who needs more credit than CKV_IMPORT_CREDIT, or 64 times the bytes that are there, is malformed.
 */
#ifndef CKV_DOC_IMPORT_H
#define CKV_DOC_IMPORT_H

#include "dag/bundle.h"
#include "doc/late.h"
#include "doc/peer.h"
#include "doc/state.h"
#include "log/columns.h"

#define CKV_IMPORT_CREDIT (UINT64_C(4) << 20)

typedef struct ckv_lane_in {
    ckv_id32 id, author;
    uint8_t nonce[16];
    bool has_opening,
        good;     /* good: the id is that of the opening, and the key, if checked, may open lanes */
    bool checked; /* whether the key may: asked when a signature holds, since it costs 40 us */
    uint32_t number; /* local, CKV_NONE while unknown */
} ckv_lane_in;

enum { CKV_PROOF_UNKNOWN, CKV_PROOF_HOLDS, CKV_PROOF_FALSE }; /* the signature at an item */
enum { CKV_ITEM_UNSIGNED, CKV_ITEM_ACCEPTED, CKV_ITEM_REFUSED, CKV_ITEM_OMITTED };

typedef struct ckv_item_in { /* one change */
    ckv_id32 id;
    uint32_t chain, next, before; /* neighbours in the same chain, or CKV_NONE */
    uint32_t seq, n_ops, body_len;
    size_t body;         /* offset in `bodies` (columns), or in the raw section */
    uint32_t parents;    /* first of n_parents ids in `parents` */
    uint32_t header_len; /* raw: its header stands before the body */
    uint32_t signature;  /* index, or CKV_NONE */
    uint32_t change;     /* its number once it is here */
    uint8_t n_parents, state, proof;
    bool raw, has_prev, cut; /* cut: at or behind a break of its chain */
    bool left_out;           /* raw, without its body, which somebody calls dead */
    bool too_new;            /* its change is here, and its body is for a later version */
    bool too_fast;           /* its author is, for now */
    bool has_body;           /* of a document with content: it came along, outside its header */
    const char *why;         /* of a refused one */
} ckv_item_in;

typedef struct ckv_chain_in {
    uint32_t lane, first, last, n; /* items */
    uint32_t seq;                  /* of the next change in columns */
    int64_t off;
    ckv_id32 prev;       /* of the next change */
    ckv_id32 first_prev; /* of its first */
    bool started, broken, was_raw;
    uint32_t sigs, n_sigs; /* in `sig_at`, positions in the chain */
    uint32_t n_read;       /* so many of them have their change here */
    uint64_t cost, paid;   /* of its changes, in all and up to the last signature that holds */
    ckv_trail *trail;      /* owned: of the run that was put aside last */
    uint32_t trail_end, trail_item, trail_at,
        trail_left; /* its signed item; how far it was gone: an item, the bytes and headers behind it */
    const char *why;
} ckv_chain_in;

typedef struct ckv_released { /* a letter without signature that went into the graph */
    uint32_t letter, change;
} ckv_released;
CKV_VEC(ckv_releases, ckv_released);

typedef struct ckv_claim_in { /* a signature whose change is here and that was not looked at yet */
    uint64_t cost;            /* of its chain up to it */
    uint32_t signature, item;
} ckv_claim_in;

CKV_VEC(ckv_claims_in, ckv_claim_in);
CKV_VEC(ckv_lanes_in, ckv_lane_in);
CKV_VEC(ckv_items_in, ckv_item_in);
CKV_VEC(ckv_chains_in, ckv_chain_in);

typedef struct ckv_import {
    ckv_doc *doc;
    ckv_bundle bundle;
    ckv_lanes_in lanes;
    ckv_id32s lane_ids;
    ckv_chains_in chains;
    ckv_items_in items;
    ckv_u32s sig_at;
    ckv_u32s outside; /* lane index of each outside parent; ids in outside_ids */
    ckv_id32s outside_ids, parents;
    ckv_buf bodies;
    ckv_releases released;
    ckv_lates late; /* bodies of changes that are here, which had been left out */
    ckv_columns_in columns;
    ckv_report *report;
    ckv_err *err;
    size_t n_bytes; /* of the whole bundle */
    bool trusted;   /* its signatures were verified before, and nobody else could have written it */
    bool any_form;  /* only to be looked at: bodies may be left out, of documents too */
    ckv_peer *from; /* borrowed: whom it comes from, NULL: nobody in particular */
    ckv_claims_in claims;
    ckv_hmap paid;            /* items at signatures that hold, by a fingerprint of their ids */
    uint64_t credit, look_at; /* taken and not paid for; where to look at claims next */
} ckv_import;

ckv_import ckv_import_init(ckv_doc *doc, ckv_report *report, ckv_err *err);
void ckv_import_fini(ckv_import *m);
/* Opens the frame and reads all: every change gets its header and body back, and from them its id. No signature is looked at. */
CKV_NODISCARD ckv_status ckv_import_read(ckv_import *m, const uint8_t *data, size_t n_bytes);
ckv_signature ckv_import_signature(const ckv_import *m, uint32_t signature);
/* Whether the signature at an item holds, and the key may sign at all. Looked at once. */
bool ckv_import_verify(ckv_import *m, uint32_t item, uint32_t signature);

/* Verifies what was read and takes it into the document. from (NULL: nobody): has it from now on. ids (NULL: never mind): of all changes. */
CKV_NODISCARD ckv_status ckv_import_enter(ckv_import *m, ckv_peer *from, ckv_buf *ids);
/* Writes the header of a change in columns (CKV_HEADER_MAX_BYTES); returns how long it is. */
size_t ckv_import_header(uint8_t *out, const ckv_import *m, const ckv_item_in *item);

#endif
