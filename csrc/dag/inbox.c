#include "dag/inbox.h"

#include <string.h>

#define NONE CKV_HMAP_NONE

/* What a letter costs beside its bytes, at most: arrays that double have up to twice the places, hash tables four times. */
#define OVERHEAD                                                                                   \
    (2 * (sizeof(ckv_letter) + sizeof(ckv_account)) + 3 * 4 * sizeof(ckv_hslot) +                  \
     3 * 2 * sizeof(uint32_t))

enum { FREE, HERE, GONE };

ckv_inbox ckv_inbox_init(ckv_alloc a, uint64_t secret)
{
    return (ckv_inbox){.letters = {.a = a},
                       .unused = {.a = a},
                       .touched = {.a = a},
                       .accounts = {.a = a},
                       .ranking = {.a = a},
                       .free_account = NONE,
                       .by_id = ckv_hmap_init(a, (uint32_t)secret),
                       .by_missing = ckv_hmap_init(a, (uint32_t)(secret >> 32)),
                       .by_lane = ckv_hmap_init(a, (uint32_t)(secret >> 16)),
                       .secret = secret,
                       .limit = CKV_INBOX_BYTES,
                       .lane_limit = CKV_INBOX_LANE_BYTES};
}

static uint32_t print_of(const ckv_inbox *x, const ckv_id32 *id)
{
    uint64_t a, b;
    memcpy(&a, id->b, 8);
    memcpy(&b, id->b + 8, 8);
    return (uint32_t)((a * (x->secret | 1) ^ b) * (x->secret | 1) >> 32);
}

static size_t size_of(const ckv_letter *l) { return OVERHEAD + l->header_bytes + l->body_bytes; }

static void free_bytes(ckv_inbox *x, ckv_letter *l)
{
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
    ckv_accounts_fini(&x->accounts);
    ckv_u32s_fini(&x->ranking);
    ckv_hmap_fini(&x->by_id);
    ckv_hmap_fini(&x->by_missing);
    ckv_hmap_fini(&x->by_lane);
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

/* ---- the letters of a lane: a pairing heap */

static uint32_t meld(ckv_letter *l, uint32_t a, uint32_t b)
{
    if (a == NONE || b == NONE) return a == NONE ? b : a;
    const uint32_t top = l[a].seq >= l[b].seq ? a : b, below = top == a ? b : a;
    l[below].before = top;
    l[below].next = l[top].child;
    if (l[top].child != NONE) l[l[top].child].before = below;
    l[top].child = below;
    return top;
}

/* One heap of the children of i: in pairs first, then all of them, which is what makes it O(log n) amortised. */
static uint32_t meld_children(ckv_letter *l, uint32_t i)
{
    uint32_t pairs = NONE, top = NONE;
    for (uint32_t a = l[i].child, b, rest; a != NONE; a = rest) {
        b = l[a].next;
        rest = b == NONE ? NONE : l[b].next;
        l[a].before = l[a].next = NONE;
        if (b != NONE) l[b].before = l[b].next = NONE;
        const uint32_t pair = meld(l, a, b);
        l[pair].next = pairs;
        pairs = pair;
    }
    for (uint32_t rest; pairs != NONE; pairs = rest) {
        rest = l[pairs].next;
        l[pairs].next = NONE;
        top = meld(l, top, pairs);
    }
    l[i].child = NONE;
    return top;
}

static void heap_remove(ckv_letter *l, uint32_t *top, uint32_t i)
{
    if (*top == i) {
        *top = meld_children(l, i);
        return;
    }
    const uint32_t before = l[i].before, next = l[i].next;
    if (l[before].child == i)
        l[before].child = next;
    else
        l[before].next = next;
    if (next != NONE) l[next].before = before;
    *top = meld(l, *top, meld_children(l, i));
}

/* ---- the lanes: a binary heap */

static void rank_at(ckv_inbox *x, uint32_t rank, uint32_t account)
{
    x->ranking.ptr[rank] = account;
    x->accounts.ptr[account].rank = rank;
}

/* Moves an account up or down to where its bytes belong. */
static void rank_again(ckv_inbox *x, uint32_t account)
{
    const size_t bytes = x->accounts.ptr[account].bytes;
    uint32_t at = x->accounts.ptr[account].rank;
    for (uint32_t up; at > 0 && x->accounts.ptr[x->ranking.ptr[up = (at - 1) / 2]].bytes < bytes;
         at = up)
        rank_at(x, at, x->ranking.ptr[up]);
    for (size_t down; (down = 2 * (size_t)at + 1) < x->ranking.len; at = (uint32_t)down) {
        const uint32_t *r = x->ranking.ptr;
        if (down + 1 < x->ranking.len &&
            x->accounts.ptr[r[down + 1]].bytes > x->accounts.ptr[r[down]].bytes)
            down++;
        if (x->accounts.ptr[r[down]].bytes <= bytes) break;
        rank_at(x, at, r[down]);
    }
    rank_at(x, at, account);
}

static uint32_t find_account(const ckv_inbox *x, const ckv_id32 *lane)
{
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&x->by_lane, print_of(x, lane), &at)) != NONE;) {
        if (ckv_id32_eq(&x->accounts.ptr[i].lane, lane)) return i;
    }
    return NONE;
}

/* Room was made in add. */
static uint32_t open_account(ckv_inbox *x, const ckv_id32 *lane)
{
    uint32_t i = x->free_account;
    if (i != NONE) {
        x->free_account = x->accounts.ptr[i].rank;
    } else {
        i = (uint32_t)x->accounts.len;
        ckv_accounts_put(&x->accounts, (ckv_account){.top = NONE});
    }
    x->accounts.ptr[i] =
        (ckv_account){.lane = *lane, .top = NONE, .rank = (uint32_t)x->ranking.len};
    ckv_u32s_put(&x->ranking, i);
    ckv_hmap_add(&x->by_lane, print_of(x, lane), i);
    return i;
}

static void close_account(ckv_inbox *x, uint32_t i)
{
    ckv_account *account = &x->accounts.ptr[i];
    const uint32_t last = x->ranking.ptr[--x->ranking.len], rank = account->rank;
    ckv_hmap_remove(&x->by_lane, print_of(x, &account->lane), i);
    if (last != i) {
        rank_at(x, rank, last);
        rank_again(x, last);
    }
    account->rank = x->free_account;
    x->free_account = i;
}

/* ---- in and out */

static void put_in(ckv_inbox *x, uint32_t i)
{
    ckv_letter *l = &x->letters.ptr[i];
    l->state = HERE;
    l->child = l->before = l->next = NONE;
    l->account = find_account(x, &l->lane);
    if (l->account == NONE) l->account = open_account(x, &l->lane);
    ckv_account *account = &x->accounts.ptr[l->account];
    account->top = meld(x->letters.ptr, account->top, i);
    account->bytes += size_of(l);
    rank_again(x, l->account);
    ckv_hmap_add(&x->by_id, print_of(x, &l->id), i);
    if (!l->later) enlist(x, i);
    x->bytes += size_of(l);
    if (l->later)
        x->n_later++, x->later_version++;
    else
        x->n_waiting++;
}

static void take_out(ckv_inbox *x, uint32_t i)
{
    ckv_letter *l = &x->letters.ptr[i];
    ckv_account *account = &x->accounts.ptr[l->account];
    heap_remove(x->letters.ptr, &account->top, i);
    account->bytes -= size_of(l);
    if (account->top == NONE)
        close_account(x, l->account);
    else
        rank_again(x, l->account);
    ckv_hmap_remove(&x->by_id, print_of(x, &l->id), i);
    if (!l->later) delist(x, i);
    x->bytes -= size_of(l);
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
    CKV_TRY(ckv_accounts_reserve(&x->accounts, n - x->accounts.len));
    CKV_TRY(ckv_u32s_reserve(&x->ranking, n - x->ranking.len));
    CKV_TRY(ckv_hmap_reserve(&x->by_id, n - x->by_id.n));
    CKV_TRY(ckv_hmap_reserve(&x->by_missing, n - x->by_missing.n));
    return ckv_hmap_reserve(&x->by_lane, n - x->by_lane.n);
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
    x->letters.ptr[i].is_new = true;
    x->letters.ptr[i].is_touched = is_touched;
    touch(x, i);
    put_in(x, i);
    const uint32_t account = x->letters.ptr[i].account;
    *kept = true;
    while (*kept && x->accounts.ptr[account].bytes > x->lane_limit) {
        const uint32_t top = x->accounts.ptr[account].top;
        *kept = top != i;
        evict(x, top);
    }
    while (x->bytes > x->limit) {
        const uint32_t top = x->accounts.ptr[x->ranking.ptr[0]].top;
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

bool ckv_inbox_check(const ckv_inbox *x, const char **why)
{
    size_t bytes = 0, n = 0, n_first = 0, account_bytes = 0;
    if (!ckv_hmap_check(&x->by_id, why) || !ckv_hmap_check(&x->by_missing, why) ||
        !ckv_hmap_check(&x->by_lane, why))
        return false;
    for (uint32_t i = 0; i < x->letters.len; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        if (l->state != HERE) continue;
        bytes += size_of(l), n++;
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
        *why = "inbox I3: the heap of a lane";
        if (find_account(x, &l->lane) != l->account) return false;
        if (l->before == NONE) {
            if (x->accounts.ptr[l->account].top != i) return false;
        } else {
            const ckv_letter *b = &x->letters.ptr[l->before];
            if (b->state != HERE || b->account != l->account || (b->child != i && b->next != i))
                return false;
            if (b->child == i && b->seq < l->seq) return false;
        }
    }
    *why = "inbox I3: the ranking";
    for (uint32_t k = 0; k < x->ranking.len; k++) {
        const ckv_account *account = &x->accounts.ptr[x->ranking.ptr[k]];
        if (account->rank != k || account->top == NONE) return false;
        if (k && x->accounts.ptr[x->ranking.ptr[(k - 1) / 2]].bytes < account->bytes) return false;
        account_bytes += account->bytes;
    }
    *why = "inbox I1";
    if (bytes != x->bytes || account_bytes != bytes || n != x->n_waiting + x->n_later) return false;
    *why = "inbox I2: counts";
    return x->by_id.n == n && x->by_missing.n == n_first && x->by_lane.n == x->ranking.len;
}
