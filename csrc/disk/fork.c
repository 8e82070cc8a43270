#include "disk/fork.h"

#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

#include "base/check.h"

/* Global, as fork is. */
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t kin_mutex = PTHREAD_MUTEX_INITIALIZER; /* held while the process forks */
static ckv_kin *all;
static uint32_t n_forks;

static void enter(void) { CKV_MUST(pthread_mutex_lock(&kin_mutex) == 0); }
static void leave(void) { CKV_MUST(pthread_mutex_unlock(&kin_mutex) == 0); }

static void in_child(void)
{
    n_forks++;
    for (ckv_kin *k = all; k; k = k->next) {
        if (*k->lock_fd >= 0)
            (void)close(*k->lock_fd); /* not unlocked: that would unlock the parent's */
        *k->lock_fd = -1;
    }
    leave();
}

static void watch(void) { CKV_MUST(pthread_atfork(enter, leave, in_child) == 0); }

uint32_t ckv_fork_count(void)
{
    CKV_MUST(pthread_once(&watch_once, watch) == 0);
    return n_forks;
}

void ckv_fork_hold(void) { enter(); }
void ckv_fork_allow(void) { leave(); }

void ckv_kin_add(ckv_kin *kin)
{
    enter();
    kin->next = all;
    kin->prev = NULL;
    if (all) all->prev = kin;
    all = kin;
    leave();
}

void ckv_kin_drop(ckv_kin *kin)
{
    enter();
    if (kin->prev)
        kin->prev->next = kin->next;
    else
        all = kin->next;
    if (kin->next) kin->next->prev = kin->prev;
    leave();
}

ckv_status ckv_kin_each(ckv_status (*visit)(ckv_kin *kin, void *ctx), void *ctx)
{
    ckv_status st = CKV_OK;
    enter();
    for (ckv_kin *k = all; k && st == CKV_OK; k = k->next) st = visit(k, ctx);
    leave();
    return st;
}
