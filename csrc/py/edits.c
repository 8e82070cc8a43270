/* edits.c -- Myers' O(ND) difference in linear space: find the middle of a shortest path, halve, go on.
 *
 *        new ->        A path from the top left to the bottom right: a step right inserts, a step down deletes,
 *     o  \             a diagonal keeps. Two searches, one from either end, go one edit further per round; where they meet
 *     l    \__         is on a shortest path. Both sides of that point are solved alone.
 *     d       \
 *
 * A pair of strings with nothing in common costs N * D. So the rounds of one search are capped, far lower once BUDGET steps
 * are spent, and a capped search splits where it has come furthest: still right, only not the shortest.
 * E. Myers, An O(ND) Difference Algorithm, 1986.
 */
#include "py/edits.h"

/* Rounds of one search: 4,000 are up to 32 M steps. */
#define MAX_ROUNDS 4000
/* When 64 M steps (about 0.1 s) are spent, 32 rounds must do: from there on about 64 steps a character. */
#define BUDGET     ((ptrdiff_t)1 << 26)
#define FEW_ROUNDS 32

typedef struct job {
    const uint32_t *old, *new; /* borrowed */
    ptrdiff_t *ahead,
        *back; /* furthest x on diagonal k, at index k + MAX_ROUNDS + 1; owned by ckpy_edits */
    ptrdiff_t budget; /* steps left */
    ckv_buf *out;
} job;

typedef struct box {
    ptrdiff_t x0, x1, y0, y1; /* old[x0, x1) against new[y0, y1) */
} box;

/* old[x0, x1) becomes new[y0, y1); joins what touches the edit before. */
static void emit(job *j, box b)
{
    const size_t old_pos = (size_t)b.x0, n_del = (size_t)(b.x1 - b.x0), new_pos = (size_t)b.y0,
                 n_ins = (size_t)(b.y1 - b.y0);
    if (j->out->len >= sizeof(ckpy_edit)) {
        ckpy_edit *last = (ckpy_edit *)(void *)(j->out->ptr + j->out->len) - 1;
        if (last->old_pos + last->n_del == old_pos && last->new_pos + last->n_ins == new_pos) {
            last->n_del += n_del;
            last->n_ins += n_ins;
            return;
        }
    }
    const ckpy_edit e = {old_pos, n_del, new_pos, n_ins};
    ckv_buf_bytes(j->out, &e, sizeof e);
}

/* A point (x, y) strictly inside or on the rim of b, not one of its two ends, through which a short path goes. */
static void split(job *j, box b, ptrdiff_t *mx, ptrdiff_t *my)
{
    const ptrdiff_t n = b.x1 - b.x0, m = b.y1 - b.y0, delta = n - m;
    ptrdiff_t *const f = j->ahead + MAX_ROUNDS + 1, *const r = j->back + MAX_ROUNDS + 1;
    const uint32_t *old = j->old + b.x0, *new = j->new + b.y0;
    const ptrdiff_t cap = j->budget > 0 ? MAX_ROUNDS : FEW_ROUNDS;
    const ptrdiff_t rounds = (n + m + 1) / 2 < cap ? (n + m + 1) / 2 : cap;
    f[1] = 0;
    r[1] = 0;
    for (ptrdiff_t d = 0; d <= rounds; d++) {
        j->budget -= 2 * d;
        for (ptrdiff_t k = -d; k <= d; k += 2) { /* x counts from the start */
            ptrdiff_t x = k == -d || (k != d && f[k - 1] < f[k + 1]) ? f[k + 1] : f[k - 1] + 1;
            ptrdiff_t y = x - k;
            while (x < n && y < m && x >= 0 && y >= 0 && old[x] == new[y]) x++, y++;
            f[k] = x;
            const ptrdiff_t c = delta - k; /* the same diagonal, seen from the end */
            if ((delta & 1) && c >= -(d - 1) && c <= d - 1 && x + r[c] >= n && x <= n && y <= m &&
                y >= 0) {
                *mx = b.x0 + x;
                *my = b.y0 + y;
                return;
            }
        }
        for (ptrdiff_t k = -d; k <= d; k += 2) { /* x counts from the end */
            ptrdiff_t x = k == -d || (k != d && r[k - 1] < r[k + 1]) ? r[k + 1] : r[k - 1] + 1;
            ptrdiff_t y = x - k;
            while (x < n && y < m && x >= 0 && y >= 0 && old[n - 1 - x] == new[m - 1 - y]) x++, y++;
            r[k] = x;
            const ptrdiff_t c = delta - k;
            if (!(delta & 1) && c >= -d && c <= d && x + f[c] >= n && x <= n && y <= m && y >= 0) {
                *mx = b.x1 - x;
                *my = b.y1 - y;
                return;
            }
        }
    }
    /* Too far apart: split where the search from the start has come furthest. */
    ptrdiff_t best = -1;
    for (ptrdiff_t k = -rounds; k <= rounds; k += 2) {
        const ptrdiff_t x = f[k] < n ? f[k] : n, y = x - k;
        if (y < 0 || y > m || x + y <= best || x + y == 0 || x + y == n + m) continue;
        best = x + y;
        *mx = b.x0 + x;
        *my = b.y0 + y;
    }
    if (best < 0) {
        *mx = b.x0 + n / 2;
        *my = b.y0 + m / 2;
    }
}

static void solve(job *j, box b)
{
    for (;;) {
        while (b.x0 < b.x1 && b.y0 < b.y1 && j->old[b.x0] == j->new[b.y0]) b.x0++, b.y0++;
        while (b.x0 < b.x1 && b.y0 < b.y1 && j->old[b.x1 - 1] == j->new[b.y1 - 1]) b.x1--, b.y1--;
        if (b.x0 == b.x1 && b.y0 == b.y1) return;
        if (b.x0 == b.x1 || b.y0 == b.y1) {
            emit(j, b);
            return;
        }
        ptrdiff_t x = 0, y = 0;
        split(j, b, &x, &y);
        if ((x == b.x0 && y == b.y0) || (x == b.x1 && y == b.y1) || x < b.x0 || x > b.x1 ||
            y < b.y0 || y > b.y1) {
            emit(j, b); /* nothing in common */
            return;
        }
        solve(j, (box){b.x0, x, b.y0, y});
        b.x0 = x;
        b.y0 = y;
    }
}

ckv_status ckpy_edits(ckv_alloc a, const uint32_t *old, size_t n_old, const uint32_t *new,
                      size_t n_new, ckv_buf *out)
{
    const size_t row = (2 * MAX_ROUNDS + 4) * sizeof(ptrdiff_t);
    ptrdiff_t *rows = ckv_resize(a, NULL, 0, 2 * row);
    if (!rows) return CKV_ENOMEM;
    job j = {old, new, rows, rows + row / sizeof *rows, BUDGET, out};
    solve(&j, (box){0, (ptrdiff_t)n_old, 0, (ptrdiff_t)n_new});
    ckv_release(a, rows, 2 * row);
    return out->status;
}
