#include "kv/killed.h"

#include <stdlib.h>

#define FEW 64u /* runs that are not worth a thought */

ckv_status ckv_killed_reserve(ckv_incarnation *p, size_t n)
{
    return ckv_runs_reserve(&p->killed, n);
}

static int by_start(const void *a, const void *b)
{
    const uint64_t x = ((const ckv_run *)a)->start, y = ((const ckv_run *)b)->start;
    return x < y ? -1 : x > y;
}

/* Is there a live dot in [start, end), or one that the next opset tells of anyway? */
static bool parts(const ckv_incarnation *p, uint64_t start, uint64_t end)
{
    if (p->mine_from < p->mine_to && start <= p->mine_to && end > p->mine_from + 1) return true;
    uint64_t hlc;
    ckv_cell *cell;
    ckv_dot_walk w = ckv_dots_from(&p->live, start);
    return ckv_dot_walk_next(&w, &hlc, &cell) && hlc < end;
}

/* In order; those that touch, or with `widen` those with nothing alive in between, become one. */
static void sort(ckv_incarnation *p, bool widen)
{
    ckv_run *r = p->killed.ptr;
    const size_t n = p->killed.len;
    if (n == 0) return;
    qsort(r, n, sizeof *r, by_start);
    size_t last = 0;
    for (size_t i = 1; i < n; i++) {
        if (r[i].start <= r[last].end || (widen && !parts(p, r[last].end, r[i].start))) {
            if (r[i].end > r[last].end) r[last].end = r[i].end;
        } else {
            r[++last] = r[i];
        }
    }
    p->killed.len = p->n_tidy = last + 1;
}

void ckv_killed_note(ckv_incarnation *p, uint64_t hlc)
{
    ckv_run *last = ckv_runs_last(&p->killed);
    if (last && last->end == hlc) {
        last->end++;
        return;
    }
    ckv_runs_put(&p->killed, (ckv_run){hlc, hlc + 1});
    if (p->killed.len > 2 * p->n_tidy + FEW) sort(p, true);
}

void ckv_killed_tidy(ckv_incarnation *p) { sort(p, false); }

void ckv_killed_forget(ckv_incarnation *p)
{
    ckv_runs_fini(&p->killed);
    p->n_tidy = 0;
}
