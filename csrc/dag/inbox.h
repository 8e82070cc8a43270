/* inbox.h -- changes that wait: authentic ones whose ancestors are not here, and those that only a later version can read.
 *
 * Bounded by bytes: 32 MiB a document, 8 MiB a lane, 4 MiB a peer. Peer 0 is nobody in particular (what `apply` was given) and has no
 * limit of its own. Whatever goes can be delivered again, so the question is only who loses when it is full:
 *
 *     a peer over its limit    the greatest seq among its own letters. Nobody else pays for what one peer sends.
 *     a lane over its limit    the greatest seq of that lane: what waits longest anyway.
 *     a document over its      the same of the lane that uses most, since who fills one lane has a name. But if another peer than 0
 *     limit                    uses most, then from that one: many lanes of small letters, all from one mouth, push no honest lane out.
 *
 * The newcomer takes part in this, and may be the one to go. A letter that comes again by another peer stays on the account of the
 * first. An apply that fails must leave no trace, so letters that are released or evicted are only marked until `settle`, and come back
 * with `revert`.
 *
 *     by_id       id -> letter
 *     by_missing  missing id -> the first of a list of letters, linked through waiter_before and waiter_next
 *     books       of lanes, and of peers: who has how much here. An account for each that has letters: its bytes, and a pairing heap of
 *                 its letters with the greatest seq on top. The ranking is a binary heap of accounts with the most bytes on top
 *
 *     I1  bytes is the sum over letters that are here and their trails; an account's bytes likewise
 *     I2  by_id and the lists know every letter that is here; `later` ones miss nothing
 *     I3  no letter of a heap has a greater seq than the one above it; no account of a ranking more bytes
 *     I4  touched lists what is new or gone since the last settle or revert, once
 *     cost: O(1) expected, an eviction O(log n) amortised; settle and revert O(what was touched); forget_peer O(its letters)
 */
#ifndef CKV_DAG_INBOX_H
#define CKV_DAG_INBOX_H

#include "crypto/sign.h"
#include "ds/hmap.h"
#include "ds/vec.h"

#define CKV_INBOX_BYTES      (32u << 20)
#define CKV_INBOX_LANE_BYTES (8u << 20)
#define CKV_INBOX_PEER_BYTES (4u << 20)

enum { CKV_BOOK_LANES, CKV_BOOK_PEERS, CKV_N_BOOKS };

typedef struct ckv_entered { /* where a letter stands in a book */
    uint32_t account;
    uint32_t child, before,
        next; /* in its heap; before: the parent or the sibling that points here */
} ckv_entered;

/* What proves changes that have no signature of their own: the headers that lead from them to one. A run under one signature shares it, and it
 * counts once while one of its letters is here. */
typedef struct ckv_trail {
    uint32_t refs;              /* letters, and whoever is making some */
    uint32_t n_in[CKV_N_BOOKS]; /* letters that are here: all of one lane, and of one peer */
    uint32_t n_bytes;
    bool seen; /* by a check */
    ckv_signature signature;
    uint8_t headers[]; /* blobs */
} ckv_trail;

typedef struct ckv_letter {
    ckv_id32 id, lane, author, missing;
    uint8_t nonce[16];
    uint8_t *bytes; /* owned: header, then body */
    uint32_t header_bytes, body_bytes, seq;
    uint32_t peer;   /* who brought it; 0: nobody in particular */
    uint8_t state;   /* 0: free, 1: here, 2: released or evicted in the running apply */
    bool is_new;     /* came with the running apply */
    bool is_touched; /* its place stands in `touched` */
    bool later;      /* waits for a newer version, not for a change */
    bool claimed;    /* somebody calls it dead: its change need not wait for its body to be read */
    bool has_signature;
    ckv_signature signature;
    ckv_entered in[CKV_N_BOOKS];
    ckv_trail *trail;           /* shared; NULL: none */
    uint32_t trail_at, trail_n; /* where in it the headers behind this one begin, and how many */
    uint32_t waiter_before, waiter_next; /* in the list of those who miss the same */
} ckv_letter;
CKV_VEC(ckv_letters, ckv_letter);

typedef struct ckv_account {
    ckv_id32 name; /* a lane, or the number of a peer in its first bytes */
    size_t bytes;
    uint32_t top;  /* letter; CKV_HMAP_NONE: the account is free */
    uint32_t rank; /* in the ranking; of a free one the next free one */
} ckv_account;
CKV_VEC(ckv_accounts, ckv_account);

typedef struct ckv_book {
    ckv_accounts accounts;
    ckv_u32s ranking;
    uint32_t free_account; /* CKV_HMAP_NONE: none */
    ckv_hmap by_name;
    uint64_t limit; /* bytes for each account; of peers: but for peer 0 */
} ckv_book;

typedef struct ckv_inbox {
    ckv_letters letters;
    ckv_u32s unused; /* places of freed letters */
    ckv_u32s touched;
    ckv_book books[CKV_N_BOOKS];
    ckv_hmap by_id, by_missing;
    uint64_t secret;
    size_t bytes, n_waiting, n_later;
    uint64_t later_version; /* grows with each letter that comes for a later version */
    uint64_t evicted;
    uint64_t limit;
} ckv_inbox;

ckv_inbox ckv_inbox_init(ckv_alloc a, uint64_t secret);
void ckv_inbox_fini(ckv_inbox *x);
/* A new one with a reference of the caller's, and room for that many bytes of headers. */
CKV_NODISCARD ckv_status ckv_trail_new(ckv_trail **out, ckv_alloc a, uint32_t n_bytes);
void ckv_trail_drop(ckv_trail *trail, ckv_alloc a); /* NULL: nothing */
/* Takes a copy of header and body. May evict others, or end with the newcomer itself evicted: *kept tells. */
CKV_NODISCARD ckv_status ckv_inbox_add(ckv_inbox *x, const ckv_letter *l, const uint8_t *header,
                                       const uint8_t *body, bool *kept);
uint32_t ckv_inbox_find(const ckv_inbox *x, const ckv_id32 *id); /* CKV_HMAP_NONE */
/* The next letter that misses id, after letter *at (SIZE_MAX to begin). */
uint32_t ckv_inbox_waiter(const ckv_inbox *x, const ckv_id32 *id, size_t *at);
/* Takes a letter out; its bytes stay readable until settle. */
void ckv_inbox_release(ckv_inbox *x, uint32_t letter);
/* It misses another one now. Room is made when letters are added. */
void ckv_inbox_await(ckv_inbox *x, uint32_t letter, const ckv_id32 *missing);
/* Its letters are nobody's in particular from now on: a session ended. Not between an add and settle or revert. */
void ckv_inbox_forget_peer(ckv_inbox *x, uint32_t peer);
size_t ckv_inbox_of_peer(const ckv_inbox *x, uint32_t peer); /* bytes that it brought */
/* The bytes of the lane, or of the peer other than 0, that uses most. */
size_t ckv_inbox_most(const ckv_inbox *x, unsigned book);
void ckv_inbox_settle(ckv_inbox *x);
void ckv_inbox_revert(ckv_inbox *x);
bool ckv_inbox_check(const ckv_inbox *x, const char **why);

#endif
