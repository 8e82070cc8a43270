/* What ckv_inbox_check finds: each invariant of dag/inbox.h, broken by hand. And names that hash alike. */
#include "t.h"

#include "dag/inbox.h"

/* Fingerprints know only the first half: all of a kind hash alike. */
static ckv_id32 name(uint8_t kind, uint8_t n) { return (ckv_id32){{[7] = kind, [31] = n}}; }

static uint32_t add(ckv_inbox *x, uint8_t n, uint8_t lane, uint32_t peer, uint32_t seq,
                    uint8_t missing)
{
    bool kept;
    const ckv_letter l = {.id = name(1, n),
                          .lane = name(2, lane),
                          .missing = missing ? name(3, missing) : (ckv_id32){{0}},
                          .seq = seq,
                          .peer = peer,
                          .header_bytes = 4,
                          .body_bytes = 4,
                          .later = missing == 0};
    T_EQ(ckv_inbox_add(x, &l, (const uint8_t *)"head", (const uint8_t *)"body", &kept), CKV_OK);
    T_CHECK(kept);
    return ckv_inbox_find(x, &l.id);
}

/* A lane with a heap of three, two who miss the same, one of another lane and peer, one for later. */
enum { LOW, MIDDLE, TOP, OTHER, LATER, N };

static ckv_inbox open_inbox(void)
{
    ckv_inbox x = ckv_inbox_init(ckv_alloc_libc, 5);
    const char *why;
    T_EQ(add(&x, 1, 1, 0, 1, 1), LOW);
    T_EQ(add(&x, 2, 1, 0, 2, 1), MIDDLE);
    T_EQ(add(&x, 3, 1, 0, 3, 2), TOP);
    T_EQ(add(&x, 4, 2, 7, 1, 3), OTHER);
    T_EQ(add(&x, 5, 3, 0, 9, 0), LATER);
    ckv_inbox_settle(&x);
    T_VALID(ckv_inbox_check(&x, &why), why);
    T_EQ(ckv_hmap_reserve(&x.by_id, 1), CKV_OK);
    T_EQ(ckv_hmap_reserve(&x.by_missing, 1), CKV_OK);
    for (int k = 0; k < CKV_N_BOOKS; k++) T_EQ(ckv_hmap_reserve(&x.books[k].by_name, 1), CKV_OK);
    return x;
}

static ckv_account *account(ckv_inbox *x, unsigned book, uint32_t letter)
{
    return &x->books[book].accounts.ptr[x->letters.ptr[letter].in[book].account];
}

static void what_hashes_alike_is_told_apart(void)
{
    ckv_inbox x = open_inbox();
    for (uint8_t n = 1; n <= N; n++) {
        const ckv_id32 id = name(1, n), nobody = name(1, 99), missed = name(3, 99);
        size_t at = SIZE_MAX;
        T_EQ(ckv_inbox_find(&x, &id), n - 1);
        T_EQ(ckv_inbox_find(&x, &nobody), CKV_HMAP_NONE);
        T_EQ(ckv_inbox_waiter(&x, &missed, &at), CKV_HMAP_NONE);
    }
    T_EQ(x.books[CKV_BOOK_LANES].ranking.len, 3);
    T_EQ(x.books[CKV_BOOK_PEERS].ranking.len, 2);
    ckv_inbox_fini(&x);
}

/* Breaks one thing; returns how the reason begins, or NULL when there is nothing more to break. */
static const char *spoil(ckv_inbox *x, int what)
{
    enum { LANES = CKV_BOOK_LANES, PEERS = CKV_BOOK_PEERS };
    ckv_letter *l = x->letters.ptr;
    switch (what) {
    case 0: x->by_id.n++; return "";
    case 1: x->by_missing.n++; return "";
    case 2: x->books[LANES].by_name.n++; return "";
    case 3: l[LOW].id = name(9, 1); return "inbox I2: by_id";
    case 4: l[TOP].missing = name(9, 1); return "inbox I2: who misses what"; /* its head */
    case 5: l[MIDDLE].waiter_next = CKV_HMAP_NONE; return "inbox I2: who misses what";
    case 6: /* LOW is in another list, which goes on to it as it should */
        l[LOW].waiter_before = OTHER;
        l[OTHER].waiter_next = LOW;
        return "inbox I2: who misses what";
    case 7: l[LOW].missing = name(3, 99); return "inbox I2: who misses what";
    case 8: l[LATER].lane = name(2, 1); return "inbox I3: the heap of an account";
    case 9: l[LOW].in[LANES].before = CKV_HMAP_NONE; return "inbox I3: the heap of an account";
    case 10:
        l[TOP].state = 2;
        return "inbox I3: the heap of an account"; /* the one above is gone */
    case 11: l[TOP].in[LANES].account = l[OTHER].in[LANES].account; return "inbox I3: the heap";
    case 12: l[MIDDLE].seq = 4; return "inbox I3: the heap of an account";
    case 13: l[MIDDLE].in[LANES].child = CKV_HMAP_NONE; return "inbox I3: the heap of an account";
    case 14: account(x, LANES, TOP)->rank++; return "inbox I3: a ranking";
    case 15: /* an account that stands in the ranking without a letter */
        account(x, LANES, TOP)->bytes = 0;
        return "inbox I3: a ranking";
    case 16: account(x, LANES, TOP)->bytes++; return "inbox I1: a book";
    case 17: ckv_hmap_add(&x->books[LANES].by_name, 12345, 0); return "inbox I1: a book";
    case 18: l[LATER].body_bytes++; return "inbox I1";
    case 19: x->n_waiting++; return "inbox I1";
    case 20: ckv_hmap_add(&x->by_id, 12345, 0); return "inbox I2: counts";
    case 21: ckv_hmap_add(&x->by_missing, 12345, 0); return "inbox I2: counts";
    case 22: x->books[PEERS].by_name.n++; return "";
    case 23: l[OTHER].peer = 0; return "inbox I3: the heap of an account";
    case 24: { /* an account of nobody */
        ckv_book *b = &x->books[LANES];
        T_EQ(ckv_accounts_push(&b->accounts, (ckv_account){.top = CKV_HMAP_NONE,
                                                           .rank = (uint32_t)b->ranking.len}),
             CKV_OK);
        T_EQ(ckv_u32s_push(&b->ranking, (uint32_t)b->accounts.len - 1), CKV_OK);
        return "inbox I3: a ranking";
    }
    default: return NULL;
    }
}

static void each_invariant_is_checked(void)
{
    for (int what = 0;; what++) {
        ckv_inbox x = open_inbox();
        const char *reason = spoil(&x, what), *why = NULL;
        if (reason) {
            const bool ok = ckv_inbox_check(&x, &why);
            if (ok || strncmp(why, reason, strlen(reason)) != 0)
                fprintf(stderr, "spoiled %d: %s\n", what, ok ? "nothing found" : why);
            T_CHECK(!ok && strncmp(why, reason, strlen(reason)) == 0);
        }
        ckv_inbox_fini(&x);
        if (!reason) break;
    }
}

int main(void)
{
    T_RUN(what_hashes_alike_is_told_apart);
    T_RUN(each_invariant_is_checked);
    return t_done();
}
