#include "kv/dots.h"

#include <string.h>

#include "base/check.h"

static size_t size_of(uint32_t cap)
{
    return sizeof(ckv_dot_chunk) + cap * (sizeof(uint64_t) + sizeof(ckv_cell *));
}

static ckv_dot_chunk *make(ckv_dots *d, uint32_t cap)
{
    ckv_dot_chunk *chunk = ckv_resize(d->a, NULL, 0, size_of(cap));
    if (chunk) *chunk = (ckv_dot_chunk){.cap = cap};
    return chunk;
}

static void release(ckv_dots *d, ckv_dot_chunk *chunk)
{
    ckv_release(d->a, chunk, size_of(chunk->cap));
}

void ckv_dots_fini(ckv_dots *d)
{
    for (size_t i = 0; i < d->n_rows + d->n_ready; i++) release(d, d->rows[i].chunk);
    ckv_release(d->a, d->rows, d->cap * sizeof *d->rows);
    *d = (ckv_dots){.a = d->a};
}

static uint32_t room_at_end(const ckv_dots *d)
{
    const ckv_dot_chunk *last = d->n_rows ? d->rows[d->n_rows - 1].chunk : NULL;
    return last ? last->cap - last->n : 0;
}

/* The only chunk, or the first one, with room for n more if that is not too much for one. */
static ckv_status grow_only(ckv_dots *d, size_t n)
{
    const ckv_dot_chunk *old = d->n_rows ? d->rows[0].chunk : NULL;
    const size_t want = (old ? old->n : 0) + n;
    uint32_t cap = CKV_DOTS_FEW;
    while (cap < CKV_DOTS_CHUNK && cap < want) cap *= 4;
    void *p = d->rows;
    CKV_TRY(ckv_grow(d->a, &p, &d->cap, 1, sizeof *d->rows));
    d->rows = p;
    ckv_dot_chunk *chunk = make(d, cap);
    if (!chunk) return CKV_ENOMEM;
    if (old) {
        chunk->n = old->n;
        memcpy(chunk->hlc, old->hlc, old->n * sizeof *old->hlc);
        memcpy(ckv_dot_cells(chunk), ckv_dot_cells(old), old->n * sizeof(ckv_cell *));
        release(d, d->rows[0].chunk);
    } else {
        d->rows[0].from = 0;
        d->n_rows = 1;
    }
    d->rows[0].chunk = chunk;
    return CKV_OK;
}

ckv_status ckv_dots_reserve(ckv_dots *d, size_t n)
{
    size_t room = room_at_end(d) + d->n_ready * CKV_DOTS_CHUNK;
    if (CKV_LIKELY(n <= room)) return CKV_OK;
    if (d->n_rows == 0 || d->rows[0].chunk->cap < CKV_DOTS_CHUNK) {
        CKV_TRY(grow_only(d, n));
        room = room_at_end(d);
        if (n <= room) return CKV_OK;
    }
    size_t want = (n - room + CKV_DOTS_CHUNK - 1) / CKV_DOTS_CHUNK;
    void *p = d->rows;
    CKV_TRY(ckv_grow(d->a, &p, &d->cap, d->n_rows + d->n_ready + want, sizeof *d->rows));
    d->rows = p;
    for (; want > 0; want--) {
        ckv_dot_chunk *chunk = make(d, CKV_DOTS_CHUNK);
        if (!chunk) return CKV_ENOMEM;
        d->rows[d->n_rows + d->n_ready++] = (ckv_dot_row){.chunk = chunk};
    }
    return CKV_OK;
}

void ckv_dots_append(ckv_dots *d, uint64_t hlc, ckv_cell *cell)
{
    if (room_at_end(d) == 0) {
        CKV_ASSERT(d->n_ready > 0);
        d->n_ready--;
        d->rows[d->n_rows++].from = hlc;
    }
    ckv_dot_chunk *chunk = d->rows[d->n_rows - 1].chunk;
    CKV_PARANOID(chunk->n == 0 || chunk->hlc[chunk->n - 1] < hlc);
    chunk->hlc[chunk->n] = hlc;
    ckv_dot_cells(chunk)[chunk->n++] = cell;
    d->n++;
}

/* The last chunk whose `from` is <= hlc; 0 if there is none. */
static size_t row_of(const ckv_dots *d, uint64_t hlc)
{
    size_t lo = 0, hi = d->n_rows;
    while (hi - lo > 1) {
        const size_t mid = lo + (hi - lo) / 2;
        if (d->rows[mid].from <= hlc)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* The first place in a chunk that holds a hlc >= this one. */
static uint32_t place_in(const ckv_dot_chunk *chunk, uint64_t hlc)
{
    uint32_t lo = 0, hi = chunk->n;
    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        if (chunk->hlc[mid] < hlc)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

ckv_cell *ckv_dots_find(const ckv_dots *d, uint64_t hlc)
{
    if (d->n_rows == 0) return NULL;
    const ckv_dot_chunk *chunk = d->rows[row_of(d, hlc)].chunk;
    const uint32_t i = place_in(chunk, hlc);
    return i < chunk->n && chunk->hlc[i] == hlc ? ckv_dot_cells(chunk)[i] : NULL;
}

/* Moves all dots to the front chunks, in place, and gives the others back. At least one gets empty, or it is not called. */
static void pack(ckv_dots *d)
{
    size_t to = 0;
    uint32_t at = 0;
    for (size_t i = 0; i < d->n_rows; i++) {
        const ckv_dot_chunk *chunk = d->rows[i].chunk;
        const uint32_t n = chunk->n;
        for (uint32_t k = 0; k < n; k++) {
            if (at == CKV_DOTS_CHUNK) {
                d->rows[to++].chunk->n = at;
                at = 0;
            }
            ckv_dot_chunk *target = d->rows[to].chunk;
            if (at == 0) d->rows[to].from = chunk->hlc[k];
            target->hlc[at] = chunk->hlc[k];
            ckv_dot_cells(target)[at++] = ckv_dot_cells(chunk)[k];
        }
    }
    d->rows[to].chunk->n = at;
    /* What was reserved stays so: with one more chunk in hand there is at least the room that there was. */
    const size_t n_rows = to + 1, n_ready = d->n_ready + 1, n_all = d->n_rows + d->n_ready;
    for (size_t i = n_rows + n_ready; i < n_all; i++) release(d, d->rows[i].chunk);
    for (size_t i = n_rows; i < n_rows + n_ready; i++) d->rows[i].chunk->n = 0;
    d->n_rows = n_rows;
    d->n_ready = n_ready;
}

void ckv_dots_remove(ckv_dots *d, uint64_t hlc)
{
    CKV_ASSERT(d->n > 0);
    ckv_dot_chunk *chunk = d->rows[row_of(d, hlc)].chunk;
    const uint32_t i = place_in(chunk, hlc);
    CKV_ASSERT(i < chunk->n && chunk->hlc[i] == hlc);
    const uint32_t n_behind = --chunk->n - i;
    memmove(chunk->hlc + i, chunk->hlc + i + 1, n_behind * sizeof *chunk->hlc);
    memmove(ckv_dot_cells(chunk) + i, ckv_dot_cells(chunk) + i + 1, n_behind * sizeof(ckv_cell *));
    d->n--;
    if (d->n_rows > 1 && d->n * 4 < (d->n_rows - 1) * CKV_DOTS_CHUNK) pack(d); /* I2 */
}

/* ---- walks */

ckv_dot_walk ckv_dots_from(const ckv_dots *d, uint64_t hlc)
{
    ckv_dot_walk w = {.dots = d};
    if (d->n_rows) {
        w.row = row_of(d, hlc);
        w.i = place_in(d->rows[w.row].chunk, hlc);
    }
    return w;
}

/* The chunk of the next dot, NULL at the end. */
static const ckv_dot_chunk *stand(ckv_dot_walk *w)
{
    while (w->row < w->dots->n_rows) {
        const ckv_dot_chunk *chunk = w->dots->rows[w->row].chunk;
        if (w->i < chunk->n) return chunk;
        w->row++;
        w->i = 0;
    }
    return NULL;
}

bool ckv_dot_walk_next(ckv_dot_walk *w, uint64_t *hlc, ckv_cell **cell)
{
    const ckv_dot_chunk *chunk = stand(w);
    if (!chunk) return false;
    *hlc = chunk->hlc[w->i];
    *cell = ckv_dot_cells(chunk)[w->i++];
    return true;
}

bool ckv_dot_walk_run(ckv_dot_walk *w, uint64_t *start, uint64_t *end)
{
    const ckv_dot_chunk *chunk = stand(w);
    if (!chunk) return false;
    *start = *end = chunk->hlc[w->i];
    do {
        if (chunk->hlc[w->i] != *end) return true;
        const uint32_t last = chunk->n - 1;
        if (chunk->hlc[last] - chunk->hlc[w->i] == last - w->i) {
            *end = chunk->hlc[last] + 1;
            w->i = chunk->n;
        } else {
            while (chunk->hlc[w->i] == *end) ++*end, w->i++;
            return true;
        }
        chunk = stand(w);
    } while (chunk);
    return true;
}

size_t ckv_dots_count_from(const ckv_dots *d, uint64_t hlc)
{
    const ckv_dot_walk w = ckv_dots_from(d, hlc);
    if (w.row >= d->n_rows) return 0;
    size_t n = d->rows[w.row].chunk->n - w.i;
    for (size_t i = w.row + 1; i < d->n_rows; i++) n += d->rows[i].chunk->n;
    return n;
}

size_t ckv_dots_bytes(const ckv_dots *d)
{
    size_t n_bytes = d->cap * sizeof *d->rows;
    for (size_t i = 0; i < d->n_rows + d->n_ready; i++) n_bytes += size_of(d->rows[i].chunk->cap);
    return n_bytes;
}

bool ckv_dots_check(const ckv_dots *d, const char **why)
{
    *why = NULL;
    size_t n = 0;
    uint64_t last = 0;
    for (size_t i = 0; i < d->n_rows && !*why; i++) {
        const ckv_dot_chunk *chunk = d->rows[i].chunk;
        n += chunk->n;
        if (chunk->n > chunk->cap) *why = "a chunk holds too much";
        if (chunk->cap != CKV_DOTS_CHUNK && d->n_rows + d->n_ready > 1) *why = "I3: a small chunk";
        if (i > 0 && d->rows[i].from <= last) *why = "I1: from is too small";
        for (uint32_t k = 0; k < chunk->n && !*why; k++) {
            if (chunk->hlc[k] < d->rows[i].from || (last && chunk->hlc[k] <= last))
                *why = "I1: hlcs ascend";
            last = chunk->hlc[k];
        }
        if (last < d->rows[i].from) last = d->rows[i].from;
    }
    if (!*why && n != d->n) *why = "n is wrong";
    if (!*why && d->n_rows > 1 && n * 4 < (d->n_rows - 1) * CKV_DOTS_CHUNK)
        *why = "I2: too many holes";
    return !*why;
}
