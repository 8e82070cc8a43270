#include "kv/keytree.h"

#include "base/check.h"

/* 2026-11: 32 to 128 are as fast as each other, within the noise; 32 takes one byte a key more. */
#ifdef CKV_DEBUG
#define FAN 4u /* five keys split a leaf */
#else
#define FAN 64u
#endif
#define HALF (FAN / 2)
#define ROOM (FAN / 4 * 3)
#define DEEP 64 /* an inner node has two children or more */

/* 2026-11: with 64 bits a key takes 6 bytes more. Then keys whose heads are often equal go in faster, by a third; all others do not. */
typedef uint32_t head;

typedef struct leaf {
    uint32_t n;
    uint16_t skip, known; /* I2 */
    struct leaf *prev, *next;
    head heads[FAN];
    ckv_cell *cells[FAN]; /* the store's */
} leaf;

typedef struct sep {
    uint16_t n_bytes;
    uint8_t is_bytes;
    uint8_t bytes[];
} sep;

/* left of seps[0] is child[0], right of it child[1] */
typedef struct inner {
    uint32_t n; /* children */
    uint16_t skip, known;
    head heads[FAN];  /* of the separators */
    void *child[FAN]; /* owned */
    sep *seps[FAN];   /* owned, n - 1 */
} inner;

/* The way down: child i of a node; step 0 is right above the leaf. */
typedef struct step {
    inner *x;
    uint32_t i;
} step;

ckv_keytree ckv_keytree_init(ckv_alloc a) { return (ckv_keytree){.a = a}; }

/* ---- memory */

static void *obtain(ckv_keytree *t, size_t n_bytes)
{
    void *p = ckv_resize(t->a, NULL, 0, n_bytes);
    if (p) t->n_bytes += n_bytes;
    return p;
}

static void release(ckv_keytree *t, void *p, size_t n_bytes)
{
    if (!p) return;
    ckv_release(t->a, p, n_bytes);
    t->n_bytes -= n_bytes;
}

static size_t sep_size(const sep *s) { return offsetof(sep, bytes) + s->n_bytes; }

static void release_sep(ckv_keytree *t, sep *s)
{
    if (s) release(t, s, sep_size(s));
}

/* Recursion is as deep as the tree. */
static void release_below(ckv_keytree *t, void *node, uint32_t height)
{
    if (height == 0) {
        release(t, node, sizeof(leaf));
        return;
    }
    inner *x = node;
    for (uint32_t i = 0; i < x->n; i++) release_below(t, x->child[i], height - 1);
    for (uint32_t i = 0; i + 1 < x->n; i++) release_sep(t, x->seps[i]);
    release(t, x, sizeof *x);
}

void ckv_keytree_fini(ckv_keytree *t)
{
    if (t->root) release_below(t, t->root, t->height);
    *t = ckv_keytree_init(t->a);
}

/* ---- keys */

static ckv_store_key sep_key(const sep *s)
{
    return (ckv_store_key){s->bytes, s->n_bytes, s->is_bytes};
}

/* Two keys that are equal in their first `skip` bytes. */
static inline int compare_behind(ckv_store_key a, ckv_store_key b, uint32_t skip)
{
    const uint32_t n = a.n_bytes < b.n_bytes ? a.n_bytes : b.n_bytes;
    const int order = n > skip ? memcmp(a.ptr + skip, b.ptr + skip, n - skip) : 0;
    if (order) return order;
    if (a.n_bytes != b.n_bytes) return a.n_bytes < b.n_bytes ? -1 : 1;
    return (int)a.is_bytes - (int)b.is_bytes;
}

static uint32_t in_common(ckv_store_key a, ckv_store_key b)
{
    const uint32_t n = a.n_bytes < b.n_bytes ? a.n_bytes : b.n_bytes;
    uint32_t i = 0;
    while (i < n && a.ptr[i] == b.ptr[i]) i++;
    return i;
}

/* Keys whose heads differ are in the order of these, keys with equal heads in any. */
static inline head head_of(ckv_store_key key, uint32_t skip)
{
    head h = 0;
    if (CKV_LIKELY(key.n_bytes >= skip + sizeof h)) {
        for (uint32_t i = 0; i < sizeof h; i++) h = h << 8 | key.ptr[skip + i];
        return h;
    }
    for (uint32_t i = 0; i < sizeof h; i++)
        h = h << 8 | (skip + i < key.n_bytes ? key.ptr[skip + i] : 0);
    return h;
}

/* Where a key is that shares `known` bytes with another: before all that begin with `skip` bytes of that one, among them, or behind. */
static inline int compare_start(ckv_store_key key, ckv_store_key other, uint32_t known,
                                uint32_t skip)
{
    const uint32_t n = key.n_bytes < skip ? key.n_bytes : skip;
    const int order = n > known ? memcmp(key.ptr + known, other.ptr + known, n - known) : 0;
    return order ? order : key.n_bytes < skip ? -1 : 0;
}

static inline uint32_t n_below(const head *heads, uint32_t n, head h)
{
    uint32_t below = 0;
    for (uint32_t i = 0; i < n; i++) below += heads[i] < h;
    return below;
}

/* Behind the heads from `lo` on that are equal to one; nearly always there is one or none. */
static inline uint32_t n_tied(const head *heads, uint32_t lo, uint32_t n, head h)
{
    while (lo < n && heads[lo] == h) lo++;
    return lo;
}

/* ---- where */

/* The child whose keys are those around `key`: as many separators are <= it. */
static inline uint32_t child_of(const inner *x, ckv_store_key key)
{
    const uint32_t n = x->n - 1;
    if (x->skip > x->known) {
        const int order = compare_start(key, sep_key(x->seps[0]), x->known, x->skip);
        if (order) return order < 0 ? 0 : n;
    }
    const head h = head_of(key, x->skip);
    uint32_t lo = n_below(x->heads, n, h), hi = n_tied(x->heads, lo, n, h);
    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        if (compare_behind(sep_key(x->seps[mid]), key, x->skip) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The first slot whose key is >= key. A slot that holds NULL is the key's: it is about to be removed. */
static inline uint32_t slot_of(const leaf *l, ckv_store_key key, bool *is_there)
{
    *is_there = false;
    if (l->skip > l->known) {
        const ckv_cell *c = l->cells[0] ? l->cells[0] : l->cells[l->n - 1];
        const int order = c ? compare_start(key, ckv_cell_key(c), l->known, l->skip) : 0;
        if (order) return order < 0 ? 0 : l->n;
    }
    const head h = head_of(key, l->skip);
    uint32_t lo = n_below(l->heads, l->n, h), hi = n_tied(l->heads, lo, l->n, h);
    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        const ckv_cell *c = l->cells[mid];
        const int order = c ? compare_behind(ckv_cell_key(c), key, l->skip) : 0;
        if (order == 0) {
            *is_there = true;
            return mid;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static inline leaf *descend(const ckv_keytree *t, ckv_store_key key, step *path)
{
    void *node = t->root;
    for (uint32_t level = t->height; level-- > 0;) {
        inner *x = node;
        const uint32_t i = child_of(x, key);
        if (path) path[level] = (step){x, i};
        node = x->child[i];
    }
    /* Of a big tree, most of a leaf is not in the cache: all of it is fetched at once, and not line by line as it is needed. */
    for (uint32_t at = 0; at < sizeof(leaf); at += 64) __builtin_prefetch((const char *)node + at);
    return node;
}

ckv_cell **ckv_keytree_find(const ckv_keytree *t, ckv_store_key key)
{
    if (!t->root) return NULL;
    leaf *l = descend(t, key, NULL);
    bool is_there;
    const uint32_t i = slot_of(l, key, &is_there);
    return is_there ? &l->cells[i] : NULL;
}

/* ---- places */

static leaf *edge(const ckv_keytree *t, bool right)
{
    void *node = t->root;
    for (uint32_t level = t->height; level > 0; level--) {
        inner *x = node;
        node = x->child[right ? x->n - 1 : 0];
    }
    return node;
}

static ckv_keyplace place_in(leaf *l, uint32_t i)
{
    if (i < l->n) return (ckv_keyplace){l, i};
    return (ckv_keyplace){l->next, 0};
}

static ckv_keyplace place_before(leaf *l, uint32_t i)
{
    if (i > 0) return (ckv_keyplace){l, i - 1};
    return (ckv_keyplace){l->prev, l->prev ? l->prev->n - 1 : 0};
}

ckv_keyplace ckv_keytree_from(const ckv_keytree *t, const ckv_store_key *key)
{
    if (!t->root) return (ckv_keyplace){NULL, 0};
    if (!key) return (ckv_keyplace){edge(t, false), 0};
    leaf *l = descend(t, *key, NULL);
    bool is_there;
    return place_in(l, slot_of(l, *key, &is_there));
}

ckv_keyplace ckv_keytree_before(const ckv_keytree *t, const ckv_store_key *key)
{
    if (!t->root) return (ckv_keyplace){NULL, 0};
    leaf *l = key ? descend(t, *key, NULL) : edge(t, true);
    bool is_there;
    return place_before(l, key ? slot_of(l, *key, &is_there) : l->n);
}

ckv_cell **ckv_keyplace_slot(ckv_keyplace p)
{
    leaf *l = p.leaf;
    CKV_PARANOID(p.i < l->n);
    return &l->cells[p.i];
}

ckv_keyplace ckv_keyplace_next(ckv_keyplace p) { return place_in(p.leaf, p.i + 1); }
ckv_keyplace ckv_keyplace_prev(ckv_keyplace p) { return place_before(p.leaf, p.i); }

/* ---- nodes and the separators around them */

typedef struct bounds {
    const sep *lo, *hi; /* borrowed; NULL at the edge of the tree */
} bounds;

/* Of the child that `path[level]` leads to. */
static bounds bounds_of(const ckv_keytree *t, const step *path, uint32_t level)
{
    bounds b = {NULL, NULL};
    for (; level < t->height; level++) {
        const inner *x = path[level].x;
        const uint32_t i = path[level].i;
        if (!b.lo && i > 0) b.lo = x->seps[i - 1];
        if (!b.hi && i + 1 < x->n) b.hi = x->seps[i];
    }
    return b;
}

/* All keys between the two have this in common, too. */
static uint32_t known_of(bounds b)
{
    return b.lo && b.hi ? in_common(sep_key(b.lo), sep_key(b.hi)) : 0;
}

static void set_skip_of_leaf(leaf *l, uint32_t skip)
{
    if (l->skip == skip) return;
    l->skip = (uint16_t)skip;
    for (uint32_t i = 0; i < l->n; i++) l->heads[i] = head_of(ckv_cell_key(l->cells[i]), skip);
}

/* To skip more than is known of a leaf's keys costs a look at one of them: worth it if all heads would be equal. */
static uint32_t worthy(const leaf *l, uint32_t common)
{
    return common >= l->known + sizeof(head) ? common : l->known;
}

static void fit_leaf(leaf *l, uint32_t known)
{
    l->known = (uint16_t)known;
    if (l->n < 2) {
        set_skip_of_leaf(l, known);
        return;
    }
    const ckv_store_key first = ckv_cell_key(l->cells[0]), last = ckv_cell_key(l->cells[l->n - 1]);
    set_skip_of_leaf(l, worthy(l, in_common(first, last)));
}

static void fit_inner(inner *x, uint32_t known)
{
    const uint32_t skip =
        x->n < 3 ? known : in_common(sep_key(x->seps[0]), sep_key(x->seps[x->n - 2]));
    x->known = (uint16_t)known;
    if (x->skip == skip) return;
    x->skip = (uint16_t)skip;
    for (uint32_t i = 0; i + 1 < x->n; i++) x->heads[i] = head_of(sep_key(x->seps[i]), skip);
}

#define NO_SKIP UINT16_MAX /* heads that must be made anew */

static void move_slots(leaf *to, uint32_t at, const leaf *from, uint32_t i, uint32_t n)
{
    memmove(to->heads + at, from->heads + i, n * sizeof *to->heads);
    memmove(to->cells + at, from->cells + i, n * sizeof *to->cells);
}

static void move_seps(inner *to, uint32_t at, const inner *from, uint32_t i, uint32_t n)
{
    memmove(to->heads + at, from->heads + i, n * sizeof *to->heads);
    memmove(to->seps + at, from->seps + i, n * sizeof *to->seps);
}

static void move_children(inner *to, uint32_t at, const inner *from, uint32_t i, uint32_t n)
{
    memmove(to->child + at, from->child + i, n * sizeof *to->child);
}

static void set_sep(inner *x, uint32_t i, sep *s)
{
    x->seps[i] = s;
    x->heads[i] = head_of(sep_key(s), x->skip);
}

/* ---- splitting */

/* What a split needs; all of it is there before anything changes. */
typedef struct stock {
    leaf *right;
    sep *between;
    inner *inners[DEEP + 1];
    uint32_t n_inners;
} stock;

/* The shortest that is above `left` and not above `right`. */
static sep *new_sep(ckv_keytree *t, ckv_store_key left, ckv_store_key right)
{
    const uint32_t common = in_common(left, right);
    const bool equal = common == right.n_bytes; /* then they differ in type */
    const uint32_t n = equal ? common : common + 1;
    sep *s = obtain(t, offsetof(sep, bytes) + n);
    if (!s) return NULL;
    s->n_bytes = (uint16_t)n;
    s->is_bytes = equal;
    if (n) memcpy(s->bytes, right.ptr, n);
    return s;
}

static ckv_status stock_up(ckv_keytree *t, const step *path, ckv_store_key left,
                           ckv_store_key right, stock *s)
{
    uint32_t want = 0;
    while (want < t->height && path[want].x->n == FAN) want++;
    want += want == t->height; /* a new root */
    s->n_inners = 0;
    s->between = new_sep(t, left, right);
    s->right = obtain(t, sizeof(leaf));
    bool ok = s->between && s->right;
    while (ok && s->n_inners < want) {
        s->inners[s->n_inners] = obtain(t, sizeof(inner));
        ok = s->inners[s->n_inners] != NULL;
        s->n_inners += ok;
    }
    if (ok) return CKV_OK;
    while (s->n_inners) release(t, s->inners[--s->n_inners], sizeof(inner));
    release(t, s->right, sizeof(leaf));
    release_sep(t, s->between);
    return CKV_ENOMEM;
}

/* Enters `right` and the separator before it behind child i of a node that has room. */
static void put_child(inner *x, uint32_t i, sep *s, void *right)
{
    move_seps(x, i + 1, x, i, x->n - 1 - i);
    move_children(x, i + 2, x, i + 1, x->n - 1 - i);
    set_sep(x, i, s);
    x->child[i + 1] = right;
    x->n++;
}

/* Enters what was split off, at each level up to one that has room. */
static void grow(ckv_keytree *t, const step *path, stock *st, bool appends)
{
    sep *s = st->between;
    void *right = st->right;
    for (uint32_t level = 0; level < t->height; level++) {
        inner *x = path[level].x;
        uint32_t i = path[level].i;
        if (x->n < FAN) {
            put_child(x, i, s, right);
            fit_inner(x, x->known);
            return;
        }
        inner *y = st->inners[--st->n_inners];
        const bounds b = bounds_of(t, path, level + 1);
        const uint32_t half = appends ? FAN - 1 : HALF;
        sep *up = x->seps[half - 1];
        y->n = FAN - half;
        y->skip = x->skip;
        move_children(y, 0, x, half, FAN - half);
        move_seps(y, 0, x, half, FAN - half - 1);
        x->n = half;
        if (i < half)
            put_child(x, i, s, right);
        else
            put_child(y, i - half, s, right);
        fit_inner(x, known_of((bounds){b.lo, up}));
        fit_inner(y, known_of((bounds){up, b.hi}));
        s = up;
        right = y;
    }
    CKV_ASSERT(t->height < DEEP);
    inner *root = st->inners[--st->n_inners];
    root->n = 2;
    root->skip = root->known = 0;
    root->child[0] = t->root;
    root->child[1] = right;
    set_sep(root, 0, s);
    t->root = root;
    t->height++;
}

/* Splits a full leaf; (*leaf, *i), the place for `key`, is moved along. */
static ckv_status split(ckv_keytree *t, const step *path, ckv_store_key key, leaf **at, uint32_t *i)
{
    leaf *l = *at;
    /* Ascending keys leave full nodes behind. */
    const bool appends = !l->next && *i == FAN;
    const uint32_t half = appends ? FAN : HALF;
    const ckv_store_key left = *i == half && !appends ? key : ckv_cell_key(l->cells[half - 1]);
    const ckv_store_key right = appends ? key : ckv_cell_key(l->cells[half]);
    const bounds b = bounds_of(t, path, 0);
    stock st;
    CKV_TRY(stock_up(t, path, left, right, &st));
    leaf *r = st.right;
    r->n = FAN - half;
    r->skip = l->skip;
    r->prev = l;
    r->next = l->next;
    if (r->next) r->next->prev = r;
    l->next = r;
    move_slots(r, 0, l, half, FAN - half);
    l->n = half;
    fit_leaf(l, known_of((bounds){b.lo, st.between}));
    fit_leaf(r, known_of((bounds){st.between, b.hi}));
    if (*i > half || appends) *at = r, *i -= half;
    grow(t, path, &st, appends);
    return CKV_OK;
}

/* Makes an empty slot i for a key. */
static void put_slot(leaf *l, uint32_t i, ckv_store_key key)
{
    if ((l->n & (l->n - 1)) == 0) fit_leaf(l, l->known); /* now and then: there is more to see */
    if (l->skip > l->known) {
        const uint32_t common = in_common(ckv_cell_key(l->cells[0]), key);
        if (common < l->skip) set_skip_of_leaf(l, worthy(l, common));
    }
    move_slots(l, i + 1, l, i, l->n - i);
    l->heads[i] = head_of(key, l->skip);
    l->cells[i] = NULL;
    l->n++;
}

ckv_status ckv_keytree_reach(ckv_keytree *t, ckv_store_key key, ckv_cell ***slot, bool *is_new)
{
    if (!t->root) {
        leaf *first = obtain(t, sizeof *first);
        if (!first) return CKV_ENOMEM;
        first->n = first->skip = first->known = 0;
        first->prev = first->next = NULL;
        t->root = first;
    }
    step path[DEEP];
    leaf *l = descend(t, key, path);
    bool is_there;
    uint32_t i = slot_of(l, key, &is_there);
    if (!is_there) {
        if (l->n == FAN) CKV_TRY(split(t, path, key, &l, &i));
        put_slot(l, i, key);
        t->n++;
        t->shape++;
    }
    *slot = &l->cells[i];
    *is_new = !is_there;
    return CKV_OK;
}

/* ---- removal */

/* Takes child i + 1 and the separator before it out of a node; neither is released. */
static sep *cut_child(inner *x, uint32_t i)
{
    sep *s = x->seps[i];
    move_seps(x, i, x, i + 1, x->n - 2 - i);
    move_children(x, i + 1, x, i + 2, x->n - 2 - i);
    x->n--;
    return s;
}

/* Of the neighbours of child i: the left one of the pair that fits into one node, x->n if none does. */
static uint32_t fitting_pair(const inner *x, uint32_t i)
{
    /* Leaves and inner nodes begin with the number of what they hold. */
    const uint32_t n = *(const uint32_t *)x->child[i];
    for (uint32_t k = i > 0 ? i - 1 : 0; k <= i && k + 1 < x->n; k++) {
        const uint32_t other = *(const uint32_t *)x->child[k == i ? i + 1 : k];
        if (n == 0 || n + other <= ROOM) return k;
    }
    return x->n;
}

static void merge_leaves(ckv_keytree *t, step *path, uint32_t i)
{
    inner *x = path[0].x;
    leaf *l = x->child[i], *r = x->child[i + 1];
    release_sep(t, cut_child(x, i));
    path[0].i = i;
    move_slots(l, l->n, r, 0, r->n);
    if (l->skip != r->skip) l->skip = NO_SKIP;
    l->n += r->n;
    l->next = r->next;
    if (r->next) r->next->prev = l;
    release(t, r, sizeof *r);
    fit_leaf(l, known_of(bounds_of(t, path, 0)));
}

static void merge_inners(ckv_keytree *t, step *path, uint32_t level, uint32_t i)
{
    inner *x = path[level].x, *l = x->child[i], *r = x->child[i + 1];
    sep *s = cut_child(x, i);
    path[level].i = i;
    set_sep(l, l->n - 1, s);
    if (l->skip != r->skip) l->skip = NO_SKIP;
    move_seps(l, l->n, r, 0, r->n - 1);
    move_children(l, l->n, r, 0, r->n);
    l->n += r->n;
    release(t, r, sizeof *r);
    fit_inner(l, known_of(bounds_of(t, path, level)));
}

/* An inner node with one child gets a second one from a neighbour that has more than can be merged. */
static void borrow(ckv_keytree *t, step *path, uint32_t level)
{
    inner *x = path[level].x;
    const uint32_t i = path[level].i, k = i > 0 ? i - 1 : i;
    inner *l = x->child[k], *r = x->child[k + 1];
    sep *down = x->seps[k];
    if (k < i) {
        move_children(r, 1, r, 0, r->n);
        move_children(r, 0, l, l->n - 1, 1);
        r->seps[0] = down;
        set_sep(x, k, l->seps[l->n - 2]);
        l->n--, r->n++;
    } else {
        l->seps[0] = down;
        move_children(l, 1, r, 0, 1);
        set_sep(x, k, r->seps[0]);
        move_children(r, 0, r, 1, r->n - 1);
        move_seps(r, 0, r, 1, r->n - 2);
        l->n++, r->n--;
    }
    fit_inner(x, x->known);
    l->skip = r->skip = NO_SKIP;
    path[level].i = k;
    fit_inner(l, known_of(bounds_of(t, path, level)));
    path[level].i = k + 1;
    fit_inner(r, known_of(bounds_of(t, path, level)));
}

/* A leaf has become smaller. */
static void shrink(ckv_keytree *t, step *path)
{
    for (uint32_t level = 0; level < t->height; level++) {
        inner *x = path[level].x;
        const uint32_t n = *(const uint32_t *)x->child[path[level].i];
        if (n > HALF) return;
        const uint32_t i = fitting_pair(x, path[level].i);
        if (i == x->n) {
            if (level > 0 && n == 1) borrow(t, path, level);
            return;
        }
        if (level == 0)
            merge_leaves(t, path, i);
        else
            merge_inners(t, path, level, i);
    }
    if (t->height == 0) return;
    inner *root = t->root;
    if (root->n > 1) return;
    t->root = root->child[0];
    t->height--;
    release(t, root, sizeof *root);
}

void ckv_keytree_remove(ckv_keytree *t, ckv_store_key key)
{
    step path[DEEP];
    bool is_there = false;
    CKV_ASSERT(t->root);
    leaf *l = descend(t, key, path);
    const uint32_t i = slot_of(l, key, &is_there);
    CKV_ASSERT(is_there);
    move_slots(l, i, l, i + 1, l->n - i - 1);
    l->n--;
    t->n--;
    t->shape++;
    if (t->n == 0) {
        CKV_ASSERT(t->height == 0);
        release(t, t->root, sizeof(leaf));
        t->root = NULL;
        return;
    }
    shrink(t, path);
}

/* ---- check */

typedef struct walk {
    const char **why;
    const leaf *last;       /* the leaf before */
    const ckv_cell *before; /* the cell before */
    size_t n, n_bytes;
} walk;

static bool is_between(ckv_store_key key, bounds b)
{
    return (!b.lo || ckv_store_key_compare(sep_key(b.lo), key) <= 0) &&
           (!b.hi || ckv_store_key_compare(key, sep_key(b.hi)) < 0);
}

static bool check_leaf(walk *w, const leaf *l, bounds b)
{
    w->n_bytes += sizeof *l;
    w->n += l->n;
    *w->why = "keytree I3: links";
    if (l->prev != w->last || (w->last && w->last->next != l)) return false;
    w->last = l;
    *w->why = "keytree I3: an empty leaf, or more than a leaf takes";
    if (l->n == 0 || l->n > FAN) return false;
    *w->why = "keytree I2: skip of a leaf";
    if (l->known != known_of(b) || l->skip < l->known) return false;
    for (uint32_t i = 0; i < l->n; i++) {
        const ckv_cell *c = l->cells[i];
        *w->why = "keytree: a slot without a cell";
        if (!c) return false;
        *w->why = "keytree I1: a key outside its leaf";
        if (!is_between(ckv_cell_key(c), b)) return false;
        *w->why = "keytree I2: head of a key";
        if (in_common(ckv_cell_key(c), ckv_cell_key(l->cells[0])) < l->skip) return false;
        if (l->heads[i] != head_of(ckv_cell_key(c), l->skip)) return false;
        *w->why = "keytree I2: order of keys";
        if (w->before && ckv_store_key_compare(ckv_cell_key(w->before), ckv_cell_key(c)) >= 0)
            return false;
        w->before = c;
    }
    return true;
}

static bool check_below(walk *w, const void *node, uint32_t height, bounds b)
{
    if (height == 0) return check_leaf(w, node, b);
    const inner *x = node;
    w->n_bytes += sizeof *x;
    *w->why = "keytree I3: an inner node of one child, or more than it takes";
    if (x->n < 2 || x->n > FAN) return false;
    *w->why = "keytree I2: skip of an inner node";
    if (x->known != known_of(b) || x->skip < x->known) return false;
    for (uint32_t i = 0; i < x->n; i++) {
        const bounds mine = {i ? x->seps[i - 1] : b.lo, i + 1 < x->n ? x->seps[i] : b.hi};
        if (i > 0) {
            w->n_bytes += sep_size(mine.lo);
            *w->why = "keytree I1: a separator outside its node";
            if (!is_between(sep_key(mine.lo), b)) return false;
            *w->why = "keytree I1: order of separators";
            if (mine.hi && ckv_store_key_compare(sep_key(mine.lo), sep_key(mine.hi)) >= 0)
                return false;
            *w->why = "keytree I2: head of a separator";
            if (in_common(sep_key(mine.lo), sep_key(x->seps[0])) < x->skip) return false;
            if (x->heads[i - 1] != head_of(sep_key(mine.lo), x->skip)) return false;
            *w->why = "keytree I4";
            if (*(const uint32_t *)x->child[i - 1] + *(const uint32_t *)x->child[i] <= HALF)
                return false;
        }
        if (!check_below(w, x->child[i], height - 1, mine)) return false;
    }
    return true;
}

bool ckv_keytree_check(const ckv_keytree *t, const char **why)
{
    walk w = {.why = why};
    if (t->root && !check_below(&w, t->root, t->height, (bounds){NULL, NULL})) return false;
    *why = "keytree I3: links";
    if (w.last && w.last->next) return false;
    *why = "keytree: number of keys";
    if (w.n != t->n || (t->n == 0) != (t->root == NULL)) return false;
    *why = "keytree: bytes";
    return w.n_bytes == t->n_bytes;
}
