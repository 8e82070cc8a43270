#include "datastore/shown.h"

#define N_PLACES ((size_t)CKV_SHOWN_SETS * CKV_WAYS)

ckv_shown_keys ckv_shown_init(ckv_alloc a, const uint8_t secret[16])
{
    ckv_shown_keys k = {.a = a};
    memcpy(k.secret, secret, sizeof k.secret);
    return k;
}

void ckv_shown_drop(ckv_shown_keys *k, ckv_kept_shown *kept)
{
    ckv_release(k->a, kept->bytes, kept->n_bytes);
    *kept = (ckv_kept_shown){.bytes = NULL};
}

void ckv_shown_clear(ckv_shown_keys *k)
{
    for (size_t i = 0; k->places && i < N_PLACES; i++) ckv_shown_drop(k, &k->places[i]);
    ckv_release(k->a, k->places, N_PLACES * sizeof *k->places);
    k->places = NULL;
}

static ckv_kept_shown *find(const ckv_shown_keys *k, ckv_print print)
{
    ckv_kept_shown *set = k->places + print.h[0] % CKV_SHOWN_SETS * CKV_WAYS;
    for (uint32_t i = 0; i < CKV_WAYS; i++)
        if (ckv_print_is(set[i].print, print)) return &set[i];
    return NULL;
}

ckv_kept_shown *ckv_shown_find(ckv_shown_keys *k, ckv_store_key key)
{
    return k->places ? find(k, ckv_print_of(k->secret, key)) : NULL;
}

/* A place for it, whose former tenant is gone. */
static ckv_kept_shown *take_place(ckv_shown_keys *k, ckv_print print)
{
    ckv_kept_shown *place = find(k, print),
                   *set = k->places + print.h[0] % CKV_SHOWN_SETS * CKV_WAYS;
    for (uint32_t i = 0; i < CKV_WAYS && !place; i++)
        if (ckv_print_is_none(set[i].print)) place = &set[i];
    if (!place) place = &set[k->next++ % CKV_WAYS];
    ckv_shown_drop(k, place);
    return place;
}

void ckv_shown_put(ckv_shown_keys *k, ckv_store_key key, const ckv_rec *winner, bool has_names)
{
    const size_t n = winner && !winner->elsewhere ? winner->value.n_bytes : 0;
    uint8_t *bytes = NULL;
    const ckv_print print = ckv_print_of(k->secret, key);
    if (!k->places) {
        k->places = ckv_resize(k->a, NULL, 0, N_PLACES * sizeof *k->places);
        if (!k->places) return;
        memset(k->places, 0, N_PLACES * sizeof *k->places);
    }
    if (n && (bytes = ckv_resize(k->a, NULL, 0, n))) memcpy(bytes, winner->value.ptr, n);
    ckv_kept_shown *place = take_place(k, print);
    if (n && !bytes) return;
    *place = (ckv_kept_shown){.print = print, .has_names = has_names, .bytes = bytes, .n_bytes = n};
    if (!winner) return;
    place->winner = *winner;
    place->winner.start = place->winner.end = place->winner.target = NULL;
    place->winner.value.ptr = bytes;
}
