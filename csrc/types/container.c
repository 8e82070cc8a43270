#include "types/container.h"

ckv_status ckv_tree_init(ckv_tree *t, ckv_alloc a, const uint8_t secret[16])
{
    uint32_t s;
    memcpy(&s, secret + 4, 4);
    *t = (ckv_tree){.v = {.a = a},
                    .by_item = ckv_hmap_init(a, s),
                    .registers = ckv_registers_init(a, s ^ 0x5bd1e995u),
                    .keys = ckv_keys_init(a, secret),
                    .defaults = {.a = a},
                    .defaults_of = ckv_hmap_init(a, s),
                    .known = {.a = a},
                    .sorted = {.a = a},
                    .sorted_of = CKV_NONE};
    return ckv_container_vec_push(&t->v, (ckv_container){.kind = CKV_TAG_MAP,
                                                         .item = CKV_NO_ITEM,
                                                         .reg = CKV_NONE,
                                                         .element = CKV_NO_ITEM,
                                                         .nth = CKV_NONE,
                                                         .first_reg = CKV_NONE,
                                                         .marked = CKV_NONE});
}

void ckv_tree_fini(ckv_tree *t)
{
    for (size_t i = 0; i < t->defaults.len; i++) {
        ckv_default_vec *d = &t->defaults.ptr[i].v;
        for (size_t k = 0; k < d->len; k++) {
            ckv_u32s_fini(&d->ptr[k].rest);
            ckv_u32s_fini(&d->ptr[k].makers);
        }
        ckv_default_vec_fini(d);
        ckv_u32s_fini(&t->defaults.ptr[i].rest);
    }
    ckv_defaults_vec_fini(&t->defaults);
    ckv_hmap_fini(&t->defaults_of);
    ckv_container_vec_fini(&t->v);
    ckv_hmap_fini(&t->by_item);
    ckv_registers_fini(&t->registers);
    ckv_keys_fini(&t->keys);
    ckv_u32s_fini(&t->known);
    ckv_u32s_fini(&t->sorted);
}

/* ---- liveness */

static bool is_value(const ckv_tree *t, const ckv_space *space, const ckv_oplog *log,
                     const ckv_container *c, uint32_t number)
{
    uint32_t reg = c->reg;
    if (c->gone) return false;
    if (c->element != CKV_NO_ITEM) {
        ckv_gap gap;
        if (!ckv_space_locate(space, c->element, &gap)) return false;
        const ckv_span *s = ckv_space_span(space, gap.leaf, gap.slot);
        if (ckv_del_open(&space->deletes, s->del)) return false;
        if (reg == CKV_NONE) reg = ckv_register_find(&t->registers, c->holder, c->element);
        if (reg == CKV_NONE) return true;
    }
    size_t n;
    const uint32_t *values = ckv_register_values(&t->registers, reg, &n);
    for (size_t i = 0; i < n; i++) {
        const ckv_op *op = &log->ops.ptr[ckv_oplog_at_lv(log, values[i])];
        if (ckv_tree_of(t, op->item + (values[i] - op->lv)) == number) return true;
    }
    return false;
}

bool ckv_tree_is_live(ckv_tree *t, const ckv_space *space, const ckv_oplog *log, uint32_t container)
{
    const uint32_t epoch = t->epoch + t->registers.epoch + 1; /* both only grow */
    uint32_t path[CKV_TREE_DEPTH + 1], n = 0;
    bool live = true;
    for (uint32_t c = container; c != 0; c = t->v.ptr[c].holder) { /* up to what is known */
        if (t->v.ptr[c].live_epoch == epoch) {
            live = t->v.ptr[c].live;
            break;
        }
        path[n++] = c;
    }
    while (n) {
        ckv_container *c = &t->v.ptr[path[--n]];
        live = live && is_value(t, space, log, c, path[n]);
        c->live = live;
        c->live_epoch = epoch;
    }
    return live;
}

/* ---- registers */

uint32_t ckv_tree_find(const ckv_tree *t, uint32_t holder, uint32_t key)
{
    if (t->v.ptr[holder].kind != CKV_TAG_LIST) {
        const uint32_t first = t->keys.keys.ptr[key].reg;
        if (first == CKV_HMAP_NONE || t->registers.regs.ptr[first].holder == holder) return first;
    }
    return ckv_register_find(&t->registers, holder, key);
}

ckv_status ckv_tree_register(ckv_tree *t, const ckv_oplog *log, uint32_t holder, uint32_t key,
                             uint32_t *reg)
{
    bool is_new;
    ckv_container *c = &t->v.ptr[holder];
    const bool is_list = c->kind == CKV_TAG_LIST;
    *reg = ckv_tree_find(t, holder, key);
    if (*reg != CKV_NONE) return CKV_OK;
    if (is_list || t->keys.keys.ptr[key].reg != CKV_HMAP_NONE) {
        const uint32_t first_lv = is_list ? ckv_oplog_lv_of(log, key) : CKV_NONE;
        CKV_TRY(ckv_register_make(&t->registers, holder, key, first_lv, reg, &is_new));
    } else {
        CKV_TRY(ckv_register_make_apart(&t->registers, holder, key, reg));
        t->keys.keys.ptr[key].reg = *reg;
    }
    t->registers.regs.ptr[*reg].next = c->first_reg;
    c->first_reg = *reg;
    if (is_list && key >= t->registers.elements) t->registers.elements = key + 1;
    return CKV_OK;
}

typedef struct sorting {
    uint64_t prefix;
    uint32_t reg;
} sorting;
CKV_VEC(sortings, sorting);

static bool in_order(const ckv_tree *t, const sorting *a, const sorting *b)
{
    if (a->prefix != b->prefix) return a->prefix < b->prefix;
    return ckv_keys_order(&t->keys, t->registers.regs.ptr[a->reg].key,
                          t->registers.regs.ptr[b->reg].key) <= 0;
}

/* Sorts *from, with `to` as scratch; *from is where the result stands. */
static void merge_sort(const ckv_tree *t, sorting **in_out, sorting *to, size_t n)
{
    sorting *from = *in_out;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            const size_t mid = i + width < n ? i + width : n,
                         end = i + 2 * width < n ? i + 2 * width : n;
            size_t a = i, b = mid;
            for (size_t k = i; k < end; k++) {
                to[k] = b >= end || (a < mid && in_order(t, &from[a], &from[b])) ? from[a++]
                                                                                 : from[b++];
            }
        }
        sorting *swap = from;
        from = to, to = swap;
    }
    *in_out = from;
}

ckv_status ckv_tree_sort_regs(const ckv_tree *t, ckv_u32s *regs)
{
    const size_t n = regs->len;
    sorting few[32];
    sortings many = {.a = t->v.a};
    sorting *from = few, *to = few + 16;
    if (n > 16) {
        CKV_TRY(sortings_reserve(&many, 2 * n)); /* the second half is scratch of the merge sort */
        from = many.ptr, to = many.ptr + n;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t reg = regs->ptr[i];
        from[i] = (sorting){ckv_keys_prefix(&t->keys, t->registers.regs.ptr[reg].key), reg};
    }
    if (n <= 8) { /* most maps */
        for (size_t i = 1; i < n; i++) {
            const sorting x = from[i];
            size_t k = i;
            for (; k > 0 && !in_order(t, &from[k - 1], &x); k--) from[k] = from[k - 1];
            from[k] = x;
        }
    } else {
        merge_sort(t, &from, to, n);
    }
    for (size_t i = 0; i < n; i++) regs->ptr[i] = from[i].reg;
    sortings_fini(&many);
    return CKV_OK;
}

ckv_status ckv_tree_sort(ckv_tree *t, uint32_t container, const uint32_t **regs, size_t *n)
{
    if (t->sorted_of != container || t->sorted_epoch != t->keys_epoch) {
        t->sorted_of = CKV_NONE;
        t->sorted.len = 0;
        CKV_TRY(ckv_u32s_reserve(&t->sorted, t->v.ptr[container].n_keys + 1));
        for (uint32_t r = t->v.ptr[container].first_reg; r != CKV_NONE;
             r = t->registers.regs.ptr[r].next) {
            if (!ckv_register_is_empty(&t->registers, r)) ckv_u32s_put(&t->sorted, r);
        }
        CKV_TRY(ckv_tree_sort_regs(t, &t->sorted));
        t->sorted_of = container;
        t->sorted_epoch = t->keys_epoch;
    }
    *regs = t->sorted.ptr;
    *n = t->sorted.len;
    return CKV_OK;
}

/* ---- change */

static void counted(ckv_tree *t, uint32_t reg, bool was_empty)
{
    const bool is_empty = ckv_register_is_empty(&t->registers, reg);
    if (is_empty == was_empty) return;
    t->v.ptr[t->registers.regs.ptr[reg].holder].n_keys += is_empty ? UINT32_MAX : 1;
    t->keys_epoch++;
}

void ckv_tree_apply(ckv_tree *t, uint32_t reg, uint32_t lv, bool writes, const ckv_oplog *log,
                    ckv_journal *j)
{
    const bool was_empty = ckv_register_is_empty(&t->registers, reg);
    ckv_register_apply(&t->registers, reg, lv, writes, log, j);
    counted(t, reg, was_empty);
}

void ckv_tree_drop(ckv_tree *t, uint32_t reg, uint32_t lv, ckv_journal *j)
{
    const bool was_empty = ckv_register_is_empty(&t->registers, reg);
    ckv_register_drop(&t->registers, reg, lv, j);
    counted(t, reg, was_empty);
}

void ckv_tree_back(ckv_tree *t, uint32_t reg, uint32_t lv, ckv_journal *j)
{
    const bool was_empty = ckv_register_is_empty(&t->registers, reg);
    ckv_register_back(&t->registers, reg, lv, j);
    counted(t, reg, was_empty);
}

ckv_status ckv_tree_reserve(ckv_tree *t, ckv_journal *j, size_t n)
{
    if (t->v.len + n >= 1u << 28) return CKV_ELIMIT; /* the log has 28 bits for a holder */
    CKV_TRY(ckv_container_vec_reserve(&t->v, n));
    CKV_TRY(ckv_hmap_reserve(&t->by_item, n));
    return ckv_journal_reserve(j, n);
}

uint32_t ckv_tree_make(ckv_tree *t, uint32_t kind, uint32_t item, uint32_t holder, uint32_t reg,
                       uint32_t element, ckv_journal *j)
{
    const uint32_t c = (uint32_t)t->v.len;
    ckv_container_vec_put(&t->v, (ckv_container){.kind = kind,
                                                 .item = item,
                                                 .holder = holder,
                                                 .reg = reg,
                                                 .element = element,
                                                 .nth = CKV_NONE,
                                                 .depth = t->v.ptr[holder].depth + 1,
                                                 .first_reg = CKV_NONE,
                                                 .marked = CKV_NONE});
    ckv_container *new = &t->v.ptr[c];
    if (kind == CKV_TAG_COUNTER) new->counted = CKV_NONE;
    if (kind == CKV_TAG_TEXT || kind == CKV_TAG_LIST) {
        ckv_seq_init(&new->seq, c);
    }
    ckv_hmap_set(&t->by_item, item, c);
    ckv_journal_put(j, CKV_UNDO_CONTAINER, c, 0, 0, 0);
    return c;
}

static bool knows_one(const ckv_author_view *v, const ckv_u32s *makers)
{
    for (size_t i = 0; i < makers->len; i++) {
        if (ckv_author_knows(v, makers->ptr[i])) return true;
    }
    return false;
}

/* Which default containers of a register the author knows, into d->prefix and d->rest. Whoever knows one knows all that it knew. */
static ckv_status what_is_known(ckv_defaults *d, const ckv_author_view *v)
{
    ckv_u32s *rest = &d->rest; /* from the last stretch to the first: end, start, ... */
    rest->len = 0;
    d->prefix = 0;
    for (uint32_t i = (uint32_t)d->v.len; i-- > 0;) {
        if (!knows_one(v, &d->v.ptr[i].makers)) continue;
        if (d->v.ptr[i].prefix == i) { /* and so everything before it */
            d->prefix = i + 1;
            break;
        }
        if (rest->len && rest->ptr[rest->len - 1] == i + 1) {
            rest->ptr[rest->len - 1] = i;
            continue;
        }
        CKV_TRY(ckv_u32s_push(rest, i + 1));
        CKV_TRY(ckv_u32s_push(rest, i));
    }
    if (rest->len && rest->ptr[rest->len - 1] == d->prefix) {
        d->prefix = rest->ptr[rest->len - 2];
        rest->len -= 2;
    }
    for (size_t i = 0; i < rest->len / 2; i++) { /* ascending */
        const uint32_t x = rest->ptr[i];
        rest->ptr[i] = rest->ptr[rest->len - 1 - i];
        rest->ptr[rest->len - 1 - i] = x;
    }
    return CKV_OK;
}

/* The asker knows the i-th, too, now: it stands behind all that it knew. Room for two was made. */
static void now_knows(ckv_defaults *d, uint32_t i)
{
    ckv_u32s *rest = &d->rest;
    if (rest->len && rest->ptr[rest->len - 1] == i) {
        rest->ptr[rest->len - 1] = i + 1;
    } else if (rest->len == 0 && d->prefix == i) {
        d->prefix = i + 1;
    } else {
        ckv_u32s_put(rest, i);
        ckv_u32s_put(rest, i + 1);
    }
}

ckv_status ckv_tree_default(ckv_tree *t, ckv_tag tag, uint32_t item, uint32_t holder, uint32_t reg,
                            const ckv_author_view *v, ckv_journal *j, uint32_t *container)
{
    uint32_t at = ckv_hmap_get(&t->defaults_of, reg);
    if (at == CKV_HMAP_NONE) {
        CKV_TRY(ckv_hmap_reserve(&t->defaults_of, 1));
        at = (uint32_t)t->defaults.len;
        CKV_TRY(ckv_defaults_vec_push(
            &t->defaults,
            (ckv_defaults){.v = {.a = t->v.a}, .asker = CKV_NONE, .rest = {.a = t->v.a}}));
        ckv_hmap_set(&t->defaults_of, reg, at);
    }
    ckv_defaults *of = &t->defaults.ptr[at];
    ckv_default_vec *d = &of->v;
    const uint32_t asker = ckv_ids_n(&v->graph->ids);
    CKV_TRY(ckv_default_vec_reserve(d, 1));
    if (of->asker != asker) {
        of->asker = CKV_NONE;
        CKV_TRY(what_is_known(of, v));
    }
    CKV_TRY(ckv_u32s_reserve(&of->rest, 2));
    const ckv_u32s *rest = &of->rest;
    const size_t rest_bytes = rest->len * sizeof *rest->ptr;
    /* one that knew as much stands behind all that it knew */
    for (size_t i = rest->len ? rest->ptr[rest->len - 1] : of->prefix; i < d->len; i++) {
        ckv_default *e = &d->ptr[i];
        if (e->tag != tag || e->prefix != of->prefix || e->rest.len != rest->len ||
            (rest_bytes && memcmp(e->rest.ptr, rest->ptr, rest_bytes) != 0))
            continue;
        CKV_TRY(ckv_u32s_push(&e->makers, item));
        *container = e->container;
        t->epoch++; /* it may have been deleted */
        ckv_hmap_set(&t->by_item, item, e->container);
        ckv_journal_put(j, CKV_UNDO_MAKER, e->container, item, 0, 0);
        now_knows(of, (uint32_t)i);
        of->asker = asker;
        return CKV_OK;
    }
    ckv_default new = {
        .tag = tag, .prefix = of->prefix, .rest = {.a = t->v.a}, .makers = {.a = t->v.a}};
    ckv_status s = ckv_u32s_push(&new.makers, item);
    if (s == CKV_OK) s = ckv_u32s_reserve(&new.rest, rest->len);
    if (s != CKV_OK) {
        ckv_u32s_fini(&new.makers);
        return s;
    }
    for (size_t i = 0; i < rest->len; i++) ckv_u32s_put(&new.rest, rest->ptr[i]);
    new.container = *container =
        ckv_tree_make(t, ckv_tag_kind(tag), item, holder, reg, CKV_NO_ITEM, j);
    t->v.ptr[*container].nth = (uint32_t)d->len;
    ckv_default_vec_put(d, new);
    now_knows(of, (uint32_t)d->len - 1);
    of->asker = asker;
    return CKV_OK;
}

static ckv_default *default_of(const ckv_tree *t, uint32_t container, ckv_defaults **of)
{
    const ckv_container *c = &t->v.ptr[container];
    if (c->nth == CKV_NONE) return NULL;
    *of = &t->defaults.ptr[ckv_hmap_get(&t->defaults_of, c->reg)];
    return &(*of)->v.ptr[c->nth];
}

const ckv_u32s *ckv_tree_makers(const ckv_tree *t, uint32_t container)
{
    ckv_defaults *of;
    const ckv_default *d = default_of(t, container, &of);
    return d && d->makers.len > 1 ? &d->makers : NULL;
}

void ckv_tree_undo(ckv_tree *t, const ckv_undo *u)
{
    ckv_defaults *of;
    ckv_default *d;
    switch ((unsigned)u->kind) {
    case CKV_UNDO_CONTAINER:
        t->v.ptr[u->who].gone = true;
        ckv_hmap_remove(&t->by_item, t->v.ptr[u->who].item, u->who);
        d = default_of(t, u->who, &of);
        if (d) { /* the newest of its register */
            ckv_u32s_fini(&d->rest);
            ckv_u32s_fini(&d->makers);
            of->v.len--;
            of->asker = CKV_NONE;
            t->v.ptr[u->who].nth = CKV_NONE;
        }
        t->epoch++;
        return;
    case CKV_UNDO_MAKER:
        ckv_hmap_remove(&t->by_item, u->a, u->who);
        d = default_of(t, u->who, &of);
        if (d) {
            d->makers.len--;
            of->asker = CKV_NONE;
        }
        t->epoch++;
        return;
    default: {
        const bool was_empty = ckv_register_is_empty(&t->registers, u->who);
        ckv_register_undo(&t->registers, u);
        counted(t, u->who, was_empty);
    }
    }
}

size_t ckv_tree_bytes(const ckv_tree *t)
{
    return t->v.cap * sizeof(ckv_container) + t->by_item.cap * sizeof(ckv_hslot) +
           ckv_registers_bytes(&t->registers) + ckv_keys_size(&t->keys) + t->sorted.cap * 4;
}

bool ckv_tree_check(const ckv_tree *t, const char **why)
{
    if (!ckv_registers_check(&t->registers, why)) return false;
    for (uint32_t c = 0; c < t->v.len; c++) {
        const ckv_container *x = &t->v.ptr[c];
        uint32_t n = 0;
        *why = "container I1";
        for (uint32_t r = x->first_reg; r != CKV_NONE; r = t->registers.regs.ptr[r].next) {
            if (t->registers.regs.ptr[r].holder != c) return false;
            n += !ckv_register_is_empty(&t->registers, r);
        }
        if (x->kind != CKV_TAG_LIST && n != x->n_keys) return false;
        *why = "container I2";
        if (c && (x->depth != t->v.ptr[x->holder].depth + 1 || x->depth > CKV_TREE_DEPTH))
            return false;
        if (c && !x->gone && ckv_tree_of(t, x->item) != c) return false;
    }
    return true;
}
