#include "dag/inbox.h"

#include <string.h>

#define NONE CKV_HMAP_NONE

/* What a letter costs beside its bytes, at most: arrays that double have up to twice the places, hash tables four times. Accounts of peers are
 * not counted: each stands for a session, which costs more anyway. */
#define OVERHEAD                                                                                   \
    (2 * (sizeof(ckv_letter) + sizeof(ckv_account)) + 3 * 4 * sizeof(ckv_hslot) +                  \
     3 * 2 * sizeof(uint32_t))

enum { FREE, HERE, GONE };

static ckv_book open_book(ckv_alloc a, uint64_t secret, uint64_t limit)
{
    return (ckv_book){.accounts = {.a = a},
                      .ranking = {.a = a},
                      .free_account = NONE,
                      .by_name = ckv_hmap_init(a, (uint32_t)secret),
                      .limit = limit};
}

ckv_inbox ckv_inbox_init(ckv_alloc a, uint64_t secret)
{
    return (ckv_inbox){.letters = {.a = a},
                       .unused = {.a = a},
                       .touched = {.a = a},
                       .books = {open_book(a, secret >> 16, CKV_INBOX_LANE_BYTES),
                                 open_book(a, secret >> 24, CKV_INBOX_PEER_BYTES)},
                       .by_id = ckv_hmap_init(a, (uint32_t)secret),
                       .by_missing = ckv_hmap_init(a, (uint32_t)(secret >> 32)),
                       .secret = secret,
                       .limit = CKV_INBOX_BYTES};
}

static uint32_t print_of(const ckv_inbox *x, const ckv_id32 *id)
{
    uint64_t a, b;
    memcpy(&a, id->b, 8);
    memcpy(&b, id->b + 8, 8);
    return (uint32_t)((a * (x->secret | 1) ^ b) * (x->secret | 1) >> 32);
}

static size_t size_of(const ckv_letter *l) { return OVERHEAD + l->header_bytes + l->body_bytes; }
static size_t trail_size(const ckv_trail *t) { return sizeof *t + t->n_bytes; }

ckv_status ckv_trail_new(ckv_trail **out, ckv_alloc a, uint32_t n_bytes)
{
    ckv_trail *trail = ckv_resize(a, NULL, 0, sizeof *trail + n_bytes);
    if (!trail) return CKV_ENOMEM;
    *trail = (ckv_trail){.refs = 1, .n_bytes = n_bytes};
    *out = trail;
    return CKV_OK;
}

void ckv_trail_drop(ckv_trail *trail, ckv_alloc a)
{
    if (trail && --trail->refs == 0) ckv_release(a, trail, sizeof *trail + trail->n_bytes);
}

static void free_bytes(ckv_inbox *x, ckv_letter *l)
{
    ckv_trail_drop(l->trail, x->letters.a);
    ckv_release(x->letters.a, l->bytes, (size_t)l->header_bytes + l->body_bytes + 1);
    *l = (ckv_letter){.state = FREE, .is_touched = l->is_touched};
}

void ckv_inbox_fini(ckv_inbox *x)
{
    for (size_t i = 0; i < x->letters.len; i++) {
        if (x->letters.ptr[i].state != FREE) free_bytes(x, &x->letters.ptr[i]);
    }
    ckv_letters_fini(&x->letters);
    ckv_u32s_fini(&x->unused);
    ckv_u32s_fini(&x->touched);
    for (unsigned k = 0; k < CKV_N_BOOKS; k++) {
        ckv_accounts_fini(&x->books[k].accounts);
        ckv_u32s_fini(&x->books[k].ranking);
        ckv_hmap_fini(&x->books[k].by_name);
    }
    ckv_hmap_fini(&x->by_id);
    ckv_hmap_fini(&x->by_missing);
}

/* ---- who misses what */

static uint32_t first_waiter(const ckv_inbox *x, const ckv_id32 *id)
{
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&x->by_missing, print_of(x, id), &at)) != NONE;) {
        if (ckv_id32_eq(&x->letters.ptr[i].missing, id)) return i;
    }
    return NONE;
}

/* Puts a letter at the head of its list. */
static void enlist(ckv_inbox *x, uint32_t i)
{
    ckv_letter *l = &x->letters.ptr[i];
    const uint32_t print = print_of(x, &l->missing), first = first_waiter(x, &l->missing);
    l->waiter_before = NONE;
    l->waiter_next = first;
    if (first != NONE) {
        x->letters.ptr[first].waiter_before = i;
        ckv_hmap_remove(&x->by_missing, print, first);
    }
    ckv_hmap_add(&x->by_missing, print, i);
}

static void delist(ckv_inbox *x, uint32_t i)
{
    const ckv_letter *l = &x->letters.ptr[i];
    const uint32_t print = print_of(x, &l->missing);
    if (l->waiter_next != NONE) x->letters.ptr[l->waiter_next].waiter_before = l->waiter_before;
    if (l->waiter_before != NONE) {
        x->letters.ptr[l->waiter_before].waiter_next = l->waiter_next;
        return;
    }
    ckv_hmap_remove(&x->by_missing, print, i);
    if (l->waiter_next != NONE) ckv_hmap_add(&x->by_missing, print, l->waiter_next);
}

/* ---- the letters of an account: a pairing heap. k: the book */

static uint32_t meld(ckv_letter *l, unsigned k, uint32_t a, uint32_t b)
{
    if (a == NONE || b == NONE) return a == NONE ? b : a;
    const uint32_t top = l[a].seq >= l[b].seq ? a : b, below = top == a ? b : a;
    ckv_entered *const t = &l[top].in[k];
    l[below].in[k].before = top;
    l[below].in[k].next = t->child;
    if (t->child != NONE) l[t->child].in[k].before = below;
    t->child = below;
    return top;
}

/* One heap of the children of i: in pairs first, then all of them, which is what makes it O(log n) amortised. */
static uint32_t meld_children(ckv_letter *l, unsigned k, uint32_t i)
{
    uint32_t pairs = NONE, top = NONE;
    for (uint32_t a = l[i].in[k].child, b, rest; a != NONE; a = rest) {
        b = l[a].in[k].next;
        rest = b == NONE ? NONE : l[b].in[k].next;
        l[a].in[k].before = l[a].in[k].next = NONE;
        if (b != NONE) l[b].in[k].before = l[b].in[k].next = NONE;
        const uint32_t pair = meld(l, k, a, b);
        l[pair].in[k].next = pairs;
        pairs = pair;
    }
    for (uint32_t rest; pairs != NONE; pairs = rest) {
        rest = l[pairs].in[k].next;
        l[pairs].in[k].next = NONE;
        top = meld(l, k, top, pairs);
    }
    l[i].in[k].child = NONE;
    return top;
}

static void heap_remove(ckv_letter *l, unsigned k, uint32_t *top, uint32_t i)
{
    if (*top == i) {
        *top = meld_children(l, k, i);
        return;
    }
    const uint32_t before = l[i].in[k].before, next = l[i].in[k].next;
    if (l[before].in[k].child == i)
        l[before].in[k].child = next;
    else
        l[before].in[k].next = next;
    if (next != NONE) l[next].in[k].before = before;
    *top = meld(l, k, *top, meld_children(l, k, i));
}

/* ---- the accounts of a book: a binary heap */

static void rank_at(ckv_book *b, uint32_t rank, uint32_t account)
{
    b->ranking.ptr[rank] = account;
    b->accounts.ptr[account].rank = rank;
}

/* Two that use the same stand by name, so that one history has one outcome. */
static bool uses_more(const ckv_account *a, const ckv_account *b)
{
    return a->bytes != b->bytes ? a->bytes > b->bytes : ckv_id32_cmp(&a->name, &b->name) > 0;
}

/* Moves an account up or down to where its bytes belong. */
static void rank_again(ckv_book *b, uint32_t account)
{
    const ckv_account *a = b->accounts.ptr;
    const uint32_t *r = b->ranking.ptr;
    uint32_t at = a[account].rank;
    for (uint32_t up; at > 0 && uses_more(&a[account], &a[r[up = (at - 1) / 2]]); at = up)
        rank_at(b, at, r[up]);
    for (size_t down; (down = 2 * (size_t)at + 1) < b->ranking.len; at = (uint32_t)down) {
        if (down + 1 < b->ranking.len && uses_more(&a[r[down + 1]], &a[r[down]])) down++;
        if (!uses_more(&a[r[down]], &a[account])) break;
        rank_at(b, at, r[down]);
    }
    rank_at(b, at, account);
}

static ckv_id32 peer_name(uint32_t peer)
{
    ckv_id32 name = {{0}};
    memcpy(name.b, &peer, sizeof peer);
    return name;
}

static ckv_id32 name_in(const ckv_letter *l, unsigned k)
{
    return k == CKV_BOOK_LANES ? l->lane : peer_name(l->peer);
}

static uint32_t find_account(const ckv_inbox *x, unsigned k, const ckv_id32 *name)
{
    const ckv_book *b = &x->books[k];
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&b->by_name, print_of(x, name), &at)) != NONE;) {
        if (ckv_id32_eq(&b->accounts.ptr[i].name, name)) return i;
    }
    return NONE;
}

/* Room was made in add. */
static uint32_t open_account(ckv_inbox *x, unsigned k, const ckv_id32 *name)
{
    ckv_book *b = &x->books[k];
    uint32_t i = b->free_account;
    if (i != NONE) {
        b->free_account = b->accounts.ptr[i].rank;
    } else {
        i = (uint32_t)b->accounts.len;
        ckv_accounts_put(&b->accounts, (ckv_account){.top = NONE});
    }
    b->accounts.ptr[i] =
        (ckv_account){.name = *name, .top = NONE, .rank = (uint32_t)b->ranking.len};
    ckv_u32s_put(&b->ranking, i);
    ckv_hmap_add(&b->by_name, print_of(x, name), i);
    return i;
}

static void close_account(ckv_inbox *x, unsigned k, uint32_t i)
{
    ckv_book *b = &x->books[k];
    ckv_account *account = &b->accounts.ptr[i];
    const uint32_t last = b->ranking.ptr[--b->ranking.len], rank = account->rank;
    ckv_hmap_remove(&b->by_name, print_of(x, &account->name), i);
    if (last != i) {
        rank_at(b, rank, last);
        rank_again(b, last);
    }
    account->rank = b->free_account;
    b->free_account = i;
}

static size_t enter(ckv_inbox *x, unsigned k, uint32_t i)
{
    ckv_book *b = &x->books[k];
    ckv_letter *l = &x->letters.ptr[i];
    const ckv_id32 name = name_in(l, k);
    uint32_t account = find_account(x, k, &name);
    if (account == NONE) account = open_account(x, k, &name);
    l->in[k] = (ckv_entered){account, NONE, NONE, NONE};
    ckv_account *a = &b->accounts.ptr[account];
    size_t n_bytes = size_of(l);
    if (l->trail && l->trail->n_in[k]++ == 0) n_bytes += trail_size(l->trail);
    a->top = meld(x->letters.ptr, k, a->top, i);
    a->bytes += n_bytes;
    rank_again(b, account);
    return n_bytes;
}

static size_t strike(ckv_inbox *x, unsigned k, uint32_t i)
{
    ckv_book *b = &x->books[k];
    const ckv_letter *l = &x->letters.ptr[i];
    const uint32_t account = l->in[k].account;
    ckv_account *a = &b->accounts.ptr[account];
    heap_remove(x->letters.ptr, k, &a->top, i);
    size_t n_bytes = size_of(l);
    if (l->trail && --l->trail->n_in[k] == 0) n_bytes += trail_size(l->trail);
    a->bytes -= n_bytes;
    if (a->top == NONE)
        close_account(x, k, account);
    else
        rank_again(b, account);
    return n_bytes;
}

/* ---- in and out */

static void put_in(ckv_inbox *x, uint32_t i)
{
    ckv_letter *l = &x->letters.ptr[i];
    l->state = HERE;
    size_t n_bytes = 0; /* the same in each book */
    for (unsigned k = 0; k < CKV_N_BOOKS; k++) n_bytes = enter(x, k, i);
    ckv_hmap_add(&x->by_id, print_of(x, &l->id), i);
    if (!l->later) enlist(x, i);
    x->bytes += n_bytes;
    if (l->later)
        x->n_later++, x->later_version++;
    else
        x->n_waiting++;
}

static void take_out(ckv_inbox *x, uint32_t i)
{
    ckv_letter *l = &x->letters.ptr[i];
    size_t n_bytes = 0;
    for (unsigned k = 0; k < CKV_N_BOOKS; k++) n_bytes = strike(x, k, i);
    ckv_hmap_remove(&x->by_id, print_of(x, &l->id), i);
    if (!l->later) delist(x, i);
    x->bytes -= n_bytes;
    if (l->later)
        x->n_later--;
    else
        x->n_waiting--;
    l->state = GONE;
}

static void touch(ckv_inbox *x, uint32_t i)
{
    if (x->letters.ptr[i].is_touched) return;
    x->letters.ptr[i].is_touched = true;
    ckv_u32s_put(&x->touched, i); /* room was made in add */
}

static void free_letter(ckv_inbox *x, uint32_t i)
{
    free_bytes(x, &x->letters.ptr[i]);
    ckv_u32s_put(&x->unused, i);
}

/* What is new needs no revert: it goes for good, so that a flood never takes more than the limit. */
static void evict(ckv_inbox *x, uint32_t i)
{
    x->evicted++;
    if (x->letters.ptr[i].is_new) {
        take_out(x, i);
        free_letter(x, i);
    } else {
        ckv_inbox_release(x, i);
    }
}

/* Room for one more letter and for all that can happen to those that are here or gone: nothing else may fail. */
static ckv_status reserve(ckv_inbox *x)
{
    const size_t n = x->letters.len + 1;
    CKV_TRY(ckv_letters_reserve(&x->letters, 1));
    CKV_TRY(ckv_u32s_reserve(&x->unused, n - x->unused.len));
    CKV_TRY(ckv_u32s_reserve(&x->touched, n - x->touched.len));
    for (unsigned k = 0; k < CKV_N_BOOKS; k++) {
        /* One for the newcomer, one for peer 0. Accounts are never given back, so those that revert opens have their places. */
        ckv_book *b = &x->books[k];
        CKV_TRY(ckv_accounts_reserve(&b->accounts, 2));
        CKV_TRY(ckv_u32s_reserve(&b->ranking, b->accounts.len + 2 - b->ranking.len));
        CKV_TRY(ckv_hmap_reserve(&b->by_name, b->accounts.len + 2 - b->by_name.n));
    }
    CKV_TRY(ckv_hmap_reserve(&x->by_id, n - x->by_id.n));
    return ckv_hmap_reserve(&x->by_missing, n - x->by_missing.n);
}

/* Who goes when the document is full. */
static uint32_t most_expendable(const ckv_inbox *x)
{
    const ckv_book *lanes = &x->books[CKV_BOOK_LANES], *peers = &x->books[CKV_BOOK_PEERS];
    const ckv_account *peer = &peers->accounts.ptr[peers->ranking.ptr[0]];
    const ckv_id32 nobody = peer_name(0);
    return ckv_id32_eq(&peer->name, &nobody) ? lanes->accounts.ptr[lanes->ranking.ptr[0]].top
                                             : peer->top;
}

ckv_status ckv_inbox_add(ckv_inbox *x, const ckv_letter *l, const uint8_t *header,
                         const uint8_t *body, bool *kept)
{
    CKV_TRY(reserve(x));
    const size_t n = (size_t)l->header_bytes + l->body_bytes;
    uint8_t *bytes = ckv_resize(x->letters.a, NULL, 0, n + 1);
    if (!bytes) return CKV_ENOMEM;
    memcpy(bytes, header, l->header_bytes);
    if (l->body_bytes) memcpy(bytes + l->header_bytes, body, l->body_bytes);
    uint32_t i = (uint32_t)x->letters.len;
    if (x->unused.len)
        i = x->unused.ptr[--x->unused.len];
    else
        ckv_letters_put(&x->letters, (ckv_letter){.state = FREE});
    const bool is_touched = x->letters.ptr[i].is_touched;
    x->letters.ptr[i] = *l;
    x->letters.ptr[i].bytes = bytes;
    if (l->trail) l->trail->refs++;
    x->letters.ptr[i].is_new = true;
    x->letters.ptr[i].is_touched = is_touched;
    touch(x, i);
    put_in(x, i);
    *kept = true;
    for (unsigned k = CKV_N_BOOKS; k-- > 0 && *kept;) { /* peers, then lanes */
        const ckv_book *b = &x->books[k];
        const uint32_t account = x->letters.ptr[i].in[k].account;
        if (k == CKV_BOOK_PEERS && l->peer == 0) continue;
        while (*kept && b->accounts.ptr[account].bytes > b->limit) {
            const uint32_t top = b->accounts.ptr[account].top;
            *kept = top != i;
            evict(x, top);
        }
    }
    while (x->bytes > x->limit) {
        const uint32_t top = most_expendable(x);
        if (top == i) *kept = false;
        evict(x, top);
    }
    return CKV_OK;
}

uint32_t ckv_inbox_find(const ckv_inbox *x, const ckv_id32 *id)
{
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&x->by_id, print_of(x, id), &at)) != NONE;) {
        if (ckv_id32_eq(&x->letters.ptr[i].id, id)) return i;
    }
    return NONE;
}

uint32_t ckv_inbox_waiter(const ckv_inbox *x, const ckv_id32 *id, size_t *at)
{
    const uint32_t i = *at == SIZE_MAX ? first_waiter(x, id) : x->letters.ptr[*at].waiter_next;
    *at = i;
    return i;
}

void ckv_inbox_release(ckv_inbox *x, uint32_t letter)
{
    touch(x, letter);
    take_out(x, letter);
}

void ckv_inbox_await(ckv_inbox *x, uint32_t letter, const ckv_id32 *missing)
{
    delist(x, letter);
    x->letters.ptr[letter].missing = *missing;
    enlist(x, letter);
}

void ckv_inbox_forget_peer(ckv_inbox *x, uint32_t peer)
{
    const ckv_id32 name = peer_name(peer);
    CKV_ASSERT(peer != 0 && x->touched.len == 0);
    /* All go before one of them comes again, since a trail is of one account. Room was made in add, for touched and for peer 0. */
    for (uint32_t account; (account = find_account(x, CKV_BOOK_PEERS, &name)) != NONE;) {
        const uint32_t i = x->books[CKV_BOOK_PEERS].accounts.ptr[account].top;
        strike(x, CKV_BOOK_PEERS, i);
        x->letters.ptr[i].peer = 0;
        ckv_u32s_put(&x->touched, i);
    }
    for (size_t k = 0; k < x->touched.len; k++) enter(x, CKV_BOOK_PEERS, x->touched.ptr[k]);
    x->touched.len = 0;
}

size_t ckv_inbox_of_peer(const ckv_inbox *x, uint32_t peer)
{
    const ckv_id32 name = peer_name(peer);
    const uint32_t account = find_account(x, CKV_BOOK_PEERS, &name);
    return account == NONE ? 0 : x->books[CKV_BOOK_PEERS].accounts.ptr[account].bytes;
}

size_t ckv_inbox_most(const ckv_inbox *x, unsigned book)
{
    const ckv_book *b = &x->books[book];
    const ckv_id32 nobody = peer_name(0);
    size_t most = 0;
    for (size_t k = 0; k < b->ranking.len && k < 3;
         k++) { /* peer 0 aside: the second or the third */
        const ckv_account *a = &b->accounts.ptr[b->ranking.ptr[k]];
        if (book == CKV_BOOK_PEERS && ckv_id32_eq(&a->name, &nobody)) continue;
        if (a->bytes > most) most = a->bytes;
    }
    return most;
}

void ckv_inbox_settle(ckv_inbox *x)
{
    for (size_t k = 0; k < x->touched.len; k++) {
        ckv_letter *l = &x->letters.ptr[x->touched.ptr[k]];
        l->is_new = l->is_touched = false;
        if (l->state == GONE) free_letter(x, x->touched.ptr[k]);
    }
    x->touched.len = 0;
}

void ckv_inbox_revert(ckv_inbox *x)
{
    for (size_t k = 0; k < x->touched.len;
         k++) { /* what came goes first: it may stand where others stood */
        const uint32_t i = x->touched.ptr[k];
        ckv_letter *l = &x->letters.ptr[i];
        l->is_touched = false;
        if (l->state == FREE || !l->is_new) continue;
        if (l->state == HERE) take_out(x, i);
        free_letter(x, i);
    }
    for (size_t k = 0; k < x->touched.len; k++) {
        if (x->letters.ptr[x->touched.ptr[k]].state == GONE) put_in(x, x->touched.ptr[k]);
    }
    x->touched.len = 0;
}

/* ---- check */

/* Where letter i stands in book k. */
static bool check_entered(const ckv_inbox *x, unsigned k, uint32_t i)
{
    const ckv_letter *l = &x->letters.ptr[i];
    const ckv_entered *e = &l->in[k];
    const ckv_id32 name = name_in(l, k);
    if (find_account(x, k, &name) != e->account) return false;
    if (e->before == NONE) return x->books[k].accounts.ptr[e->account].top == i;
    const ckv_letter *b = &x->letters.ptr[e->before];
    if (b->state != HERE || b->in[k].account != e->account) return false;
    return b->in[k].child == i ? b->seq >= l->seq : b->in[k].next == i;
}

static bool check_book(const ckv_inbox *x, const ckv_book *b, const char **why)
{
    size_t bytes = 0;
    if (!ckv_hmap_check(&b->by_name, why)) return false;
    *why = "inbox I3: a ranking";
    for (uint32_t k = 0; k < b->ranking.len; k++) {
        const ckv_account *a = &b->accounts.ptr[b->ranking.ptr[k]];
        if (a->rank != k || a->top == NONE) return false;
        if (k && uses_more(a, &b->accounts.ptr[b->ranking.ptr[(k - 1) / 2]])) return false;
        bytes += a->bytes;
    }
    *why = "inbox I1: a book";
    return bytes == x->bytes && b->by_name.n == b->ranking.len;
}

bool ckv_inbox_check(const ckv_inbox *x, const char **why)
{
    size_t bytes = 0, n = 0, n_first = 0;
    if (!ckv_hmap_check(&x->by_id, why) || !ckv_hmap_check(&x->by_missing, why)) return false;
    for (uint32_t i = 0; i < x->letters.len; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        if (l->state != HERE) continue;
        bytes += size_of(l), n++;
        if (l->trail && !l->trail->seen) bytes += trail_size(l->trail);
        if (l->trail) l->trail->seen = true;
        *why = "inbox I2: by_id";
        if (ckv_inbox_find(x, &l->id) != i) return false;
        *why = "inbox I2: who misses what";
        if (!l->later) {
            const uint32_t before = l->waiter_before, next = l->waiter_next;
            n_first += before == NONE;
            if (before == NONE ? first_waiter(x, &l->missing) != i
                               : x->letters.ptr[before].waiter_next != i)
                return false;
            if (next != NONE && (x->letters.ptr[next].waiter_before != i ||
                                 !ckv_id32_eq(&x->letters.ptr[next].missing, &l->missing)))
                return false;
        }
        *why = "inbox I3: the heap of an account";
        for (unsigned k = 0; k < CKV_N_BOOKS; k++) {
            if (!check_entered(x, k, i)) return false;
        }
    }
    for (uint32_t i = 0; i < x->letters.len; i++) {
        if (x->letters.ptr[i].trail) x->letters.ptr[i].trail->seen = false;
    }
    for (unsigned k = 0; k < CKV_N_BOOKS; k++) {
        if (!check_book(x, &x->books[k], why)) return false;
    }
    *why = "inbox I1";
    if (bytes != x->bytes || n != x->n_waiting + x->n_later) return false;
    *why = "inbox I2: counts";
    return x->by_id.n == n && x->by_missing.n == n_first;
}
