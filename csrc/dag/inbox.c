#include "dag/inbox.h"

#include <string.h>

#define OVERHEAD sizeof(ckv_letter)

enum { FREE, HERE, GONE };

ckv_inbox ckv_inbox_init(ckv_alloc a, uint64_t secret)
{
    return (ckv_inbox){.letters = {.a = a},
                       .unused = {.a = a},
                       .by_id = ckv_hmap_init(a, (uint32_t)secret),
                       .by_missing = ckv_hmap_init(a, (uint32_t)(secret >> 32)),
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
    *l = (ckv_letter){.state = FREE};
}

void ckv_inbox_fini(ckv_inbox *x)
{
    for (size_t i = 0; i < x->letters.len; i++) {
        if (x->letters.ptr[i].state != FREE) free_bytes(x, &x->letters.ptr[i]);
    }
    ckv_letters_fini(&x->letters);
    ckv_u32s_fini(&x->unused);
    ckv_hmap_fini(&x->by_id);
    ckv_hmap_fini(&x->by_missing);
}

/* Enters a letter into the indexes, or takes it out. Both maps have room for all letters. */
static void index_letter(ckv_inbox *x, uint32_t i, bool in)
{
    const ckv_letter *l = &x->letters.ptr[i];
    const uint32_t id = print_of(x, &l->id), missing = print_of(x, &l->missing);
    if (in) {
        ckv_hmap_add(&x->by_id, id, i);
        if (!l->later) ckv_hmap_add(&x->by_missing, missing, i);
        x->bytes += size_of(l);
        if (l->later) x->n_later++;
        else x->n_waiting++;
    } else {
        ckv_hmap_remove(&x->by_id, id, i);
        if (!l->later) ckv_hmap_remove(&x->by_missing, missing, i);
        x->bytes -= size_of(l);
        if (l->later) x->n_later--;
        else x->n_waiting--;
    }
}

/* The lane that uses most (or `lane` itself), and in it the greatest seq. */
static uint32_t victim(const ckv_inbox *x, const ckv_id32 *lane)
{
    uint32_t best = CKV_HMAP_NONE;
    size_t best_bytes = 0;
    for (uint32_t i = 0; i < x->letters.len; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        if (l->state != HERE || (lane && !ckv_id32_eq(lane, &l->lane))) continue;
        size_t bytes = 0;
        if (!lane) {
            for (size_t k = 0; k < x->letters.len; k++) {
                if (x->letters.ptr[k].state == HERE && ckv_id32_eq(&x->letters.ptr[k].lane, &l->lane)) bytes += size_of(&x->letters.ptr[k]);
            }
        }
        if (best == CKV_HMAP_NONE || bytes > best_bytes || (bytes == best_bytes && l->seq > x->letters.ptr[best].seq)) best = i, best_bytes = bytes;
    }
    return best;
}

static size_t lane_bytes(const ckv_inbox *x, const ckv_id32 *lane)
{
    size_t n = 0;
    for (size_t i = 0; i < x->letters.len; i++) {
        if (x->letters.ptr[i].state == HERE && ckv_id32_eq(&x->letters.ptr[i].lane, lane)) n += size_of(&x->letters.ptr[i]);
    }
    return n;
}

ckv_status ckv_inbox_add(ckv_inbox *x, const ckv_letter *l, const uint8_t *header, const uint8_t *body, bool *kept)
{
    CKV_TRY(ckv_letters_reserve(&x->letters, 1));
    CKV_TRY(ckv_u32s_reserve(&x->unused, x->letters.len + 1));
    /* Room for every letter, here or gone: revert and await must not fail. */
    CKV_TRY(ckv_hmap_reserve(&x->by_id, x->letters.len + 1));
    CKV_TRY(ckv_hmap_reserve(&x->by_missing, x->letters.len + 1));
    const size_t n = (size_t)l->header_bytes + l->body_bytes;
    uint8_t *bytes = ckv_resize(x->letters.a, NULL, 0, n + 1);
    if (!bytes) return CKV_ENOMEM;
    memcpy(bytes, header, l->header_bytes);
    if (l->body_bytes) memcpy(bytes + l->header_bytes, body, l->body_bytes);
    uint32_t i = (uint32_t)x->letters.len;
    if (x->unused.len) i = x->unused.ptr[--x->unused.len];
    else ckv_letters_put(&x->letters, (ckv_letter){.state = FREE});
    x->letters.ptr[i] = *l;
    x->letters.ptr[i].bytes = bytes;
    x->letters.ptr[i].state = HERE;
    x->letters.ptr[i].is_new = true;
    index_letter(x, i, true);
    while (x->letters.ptr[i].state == HERE && x->bytes > x->lane_limit && lane_bytes(x, &l->lane) > x->lane_limit) {
        ckv_inbox_release(x, victim(x, &l->lane));
        x->evicted++;
    }
    while (x->bytes > x->limit) {
        ckv_inbox_release(x, victim(x, NULL));
        x->evicted++;
    }
    *kept = x->letters.ptr[i].state == HERE;
    return CKV_OK;
}

uint32_t ckv_inbox_find(const ckv_inbox *x, const ckv_id32 *id)
{
    size_t at = SIZE_MAX;
    for (uint32_t i; (i = ckv_hmap_probe(&x->by_id, print_of(x, id), &at)) != CKV_HMAP_NONE;) {
        if (ckv_id32_eq(&x->letters.ptr[i].id, id)) return i;
    }
    return CKV_HMAP_NONE;
}

uint32_t ckv_inbox_waiter(const ckv_inbox *x, const ckv_id32 *id, size_t *at)
{
    uint32_t i;
    while ((i = ckv_hmap_probe(&x->by_missing, print_of(x, id), at)) != CKV_HMAP_NONE) {
        if (ckv_id32_eq(&x->letters.ptr[i].missing, id)) return i;
    }
    return CKV_HMAP_NONE;
}

void ckv_inbox_release(ckv_inbox *x, uint32_t letter)
{
    index_letter(x, letter, false);
    x->letters.ptr[letter].state = GONE;
}

void ckv_inbox_await(ckv_inbox *x, uint32_t letter, const ckv_id32 *missing)
{
    ckv_letter *l = &x->letters.ptr[letter];
    ckv_hmap_remove(&x->by_missing, print_of(x, &l->missing), letter);
    l->missing = *missing;
    ckv_hmap_add(&x->by_missing, print_of(x, missing), letter);
}

void ckv_inbox_settle(ckv_inbox *x)
{
    for (uint32_t i = 0; i < x->letters.len; i++) {
        ckv_letter *l = &x->letters.ptr[i];
        l->is_new = false;
        if (l->state != GONE) continue;
        free_bytes(x, l);
        ckv_u32s_put(&x->unused, i); /* room was made in add */
    }
}

void ckv_inbox_revert(ckv_inbox *x)
{
    for (uint32_t i = 0; i < x->letters.len; i++) {
        ckv_letter *l = &x->letters.ptr[i];
        if (l->state == FREE) continue;
        if (l->state == HERE && l->is_new) index_letter(x, i, false);
        if (l->is_new) {
            free_bytes(x, l);
            ckv_u32s_put(&x->unused, i);
        } else if (l->state == GONE) {
            l->state = HERE;
            index_letter(x, i, true);
        }
    }
}

bool ckv_inbox_check(const ckv_inbox *x, const char **why)
{
    size_t bytes = 0, n = 0;
    if (!ckv_hmap_check(&x->by_id, why) || !ckv_hmap_check(&x->by_missing, why)) return false;
    *why = "inbox I1";
    for (uint32_t i = 0; i < x->letters.len; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        if (l->state != HERE) continue;
        bytes += size_of(l), n++;
        *why = "inbox I2";
        if (ckv_inbox_find(x, &l->id) != i) return false;
        *why = "inbox I1";
    }
    return bytes == x->bytes && n == x->n_waiting + x->n_later;
}
