#include "datastore/totals.h"

#define N_PLACES ((size_t)CKV_TOTALS_SETS * CKV_WAYS)

ckv_totals ckv_totals_init(ckv_alloc a, const uint8_t secret[16])
{
    ckv_totals t = {.a = a};
    memcpy(t.secret, secret, sizeof t.secret);
    return t;
}

void ckv_totals_fini(ckv_totals *t)
{
    ckv_release(t->a, t->places, N_PLACES * sizeof *t->places);
    t->places = NULL;
}

void ckv_totals_clear(ckv_totals *t)
{
    if (t->places) memset(t->places, 0, N_PLACES * sizeof *t->places);
}

static ckv_kept_total *set_of(const ckv_totals *t, ckv_print print)
{
    return t->places + print.h[0] % CKV_TOTALS_SETS * CKV_WAYS;
}

static ckv_kept_total *find(const ckv_totals *t, ckv_print print)
{
    ckv_kept_total *set = set_of(t, print);
    for (uint32_t i = 0; i < CKV_WAYS; i++)
        if (ckv_print_is(set[i].print, print)) return &set[i];
    return NULL;
}

ckv_kept_total *ckv_totals_find(ckv_totals *t, ckv_store_key name, uint64_t laying)
{
    if (!t->places) return NULL;
    ckv_kept_total *found = find(t, ckv_print_of(t->secret, name));
    return found && found->laying == laying ? found : NULL;
}

void ckv_totals_put(ckv_totals *t, ckv_store_key name, ckv_kept_total total)
{
    if (!t->places) {
        t->places = ckv_resize(t->a, NULL, 0, N_PLACES * sizeof *t->places);
        ckv_totals_clear(t);
        if (!t->places) return;
    }
    total.print = ckv_print_of(t->secret, name);
    ckv_kept_total *place = find(t, total.print), *set = set_of(t, total.print);
    for (uint32_t i = 0; i < CKV_WAYS && !place; i++)
        if (ckv_print_is_none(set[i].print)) place = &set[i];
    if (!place) place = &set[t->next++ % CKV_WAYS];
    *place = total;
}

void ckv_totals_drop(ckv_totals *t, ckv_store_key name)
{
    if (!t->places) return;
    ckv_kept_total *place = find(t, ckv_print_of(t->secret, name));
    if (place) *place = (ckv_kept_total){.laying = 0};
}
