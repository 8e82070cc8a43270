/* state.h -- what a store is made of. Only kv/ looks in here.
 *
 *     keys          key -> cells, greatest dot first                       keytree.h
 *     who           incarnation -> live dots -> cells, bookmark            incarnations.h
 *     held          messages that wait for what lies before them           held.h
 *     log           of the open transaction: its cells in the order of last writes
 *
 * A cell of an open transaction is *pending*: it hangs first on its chain and stands in no incarnation's dots; its hlc is its place in the log.
 * A pending cell that is *gone* stands for a remove.
 */
#ifndef CKV_KV_STATE_H
#define CKV_KV_STATE_H

#include "kv/held.h"
#include "kv/incarnations.h"
#include "kv/keytree.h"
#include "kv/store.h"

enum {
    CKV_CELL_PENDING = 1,
    CKV_CELL_GONE = 2,
    /* while a message is taken in: */
    CKV_CELL_NOTED = 4,    /* first of its chain, whose key is in the notes */
    CKV_CELL_DYING = 8,    /* its dot is superseded */
    CKV_CELL_FRESH = 16,   /* it came with the message */
    CKV_CELL_TANGLED = 32, /* that, in no order: the chain is sorted before anybody looks */
};

CKV_VEC(ckv_cells, ckv_cell *);

struct ckv_store {
    ckv_env env;
    uint8_t *name; /* owned */
    ckv_store_key name_key;
    ckv_keytree keys;
    ckv_incarnations who;
    uint32_t own;   /* CKV_NOBODY before the first write */
    uint64_t clock; /* greatest hlc issued or seen */
    size_t n_shown; /* keys that readers of the store see */
    size_t n_cells; /* no pending ones */
    uint64_t cell_bytes, key_bytes, value_bytes;
    uint64_t version;      /* grows with dots that come or go, and with bookmarks */
    uint64_t n_written;    /* bytes of cells that ever came */
    uint64_t came_or_went; /* grows when a key comes to readers or goes from them */
    ckv_held held;
    uint64_t calls; /* that take something in */
    /* the open transaction */
    bool in_txn;
    ckv_cells log;            /* NULL: superseded by a later entry */
    size_t n_holes, n_in_txn; /* keys that the transaction sees */
    uint64_t txn_came_or_went;
    struct ckv_store_keep *keep; /* owned: the file it lives in (kv/keep.h); NULL: memory */
    bool
        replays; /* what is taken in are own writes of before: what they superseded is for the next op set */
    /* events */
    bool watched;
    ckv_buf news;
};

/* The clock hears of a dot. */
static inline void ckv_store_learn(ckv_store *s, uint64_t hlc)
{
    if (s->clock < hlc) s->clock = hlc;
}
static inline ckv_alloc ckv_store_alloc(const ckv_store *s) { return s->env.alloc; }
static inline bool ckv_cell_is_pending(const ckv_cell *c) { return c->state & CKV_CELL_PENDING; }

/* The first cell that readers of the store see, NULL: the key is only in the transaction. */
static inline ckv_cell *ckv_cell_shown(ckv_cell *first)
{
    return first && ckv_cell_is_pending(first) ? first->next : first;
}
/* The same for the transaction. */
static inline ckv_cell *ckv_cell_in_txn(ckv_cell *first)
{
    return first->state & CKV_CELL_GONE ? NULL : first;
}
static inline ckv_cell *ckv_cell_seen(ckv_cell *first, bool in_txn)
{
    return in_txn ? ckv_cell_in_txn(first) : ckv_cell_shown(first);
}

/* kv/keep.c: the dot of a cell dies, in a store that lives in a file. */
void ckv_store_note_death(ckv_store *s, const ckv_cell *cell);

ckv_item ckv_store_item(const ckv_store *s, const ckv_cell *c);

/* A cell on no chain; NULL: no memory. */
ckv_cell *ckv_store_cell(const ckv_store *s, ckv_store_key key, ckv_bytes value);
void ckv_store_drop(const ckv_store *s, ckv_cell *cell);
/* A cell that no chain holds any more: its dot dies with it. */
void ckv_store_leave(ckv_store *s, ckv_cell *cell);
/* a before b on the chain of a key? */
bool ckv_cell_is_before(const ckv_store *s, const ckv_cell *a, const ckv_cell *b);
/* Room to note that own writes superseded this chain. */
CKV_NODISCARD ckv_status ckv_store_reserve_kills(ckv_store *s, const ckv_cell *chain);
CKV_NODISCARD ckv_status ckv_store_reserve_kill(ckv_store *s, const ckv_cell *const *cells,
                                                size_t n);
/* Notes a cell, if the next op set would not tell of it anyway. Room was reserved. */
void ckv_store_note_kill(ckv_store *s, const ckv_cell *cell);
/* The same for all that the open transaction supersedes. */
CKV_NODISCARD ckv_status ckv_store_reserve_log_kills(ckv_store *s);
/* An own write superseded the chain: its dots die, its cells are freed. Room was reserved. */
void ckv_store_kill(ckv_store *s, ckv_cell *chain);
/* The incarnation of own writes, drawn if there is none. */
CKV_NODISCARD ckv_status ckv_store_embody(ckv_store *s);
/* The cell gets its dot, above all others of its incarnation, for which room was reserved. */
void ckv_store_enter(ckv_store *s, ckv_cell *cell, uint32_t peer, uint64_t hlc);
/* One more record for those who watch, sticky in s->news. NULL: absent. `next` may be pending. */
void ckv_store_tell(ckv_store *s, ckv_store_key key, const ckv_bytes *old, const ckv_cell *next,
                    bool is_local);
/* The same for an own write, unless it writes what is there. */
void ckv_store_tell_own(ckv_store *s, const ckv_cell *old, const ckv_cell *next);

#endif
