/* killed.h -- what own writes superseded since the last opset, per incarnation, as runs.
 *
 * It would grow for ever where nobody asks for op sets. But all that lies between two live neighbours is dead anyway: runs with no live dot
 * between them may become one without saying anything false. That is done when they double, so there are never many more runs than live dots.
 */
#ifndef CKV_KV_KILLED_H
#define CKV_KV_KILLED_H

#include "kv/incarnations.h"

CKV_NODISCARD ckv_status ckv_killed_reserve(ckv_incarnation *p, size_t n);
void ckv_killed_note(ckv_incarnation *p, uint64_t hlc); /* room was reserved */
/* Runs that ascend and do not touch: as many as needed, not fewer. */
void ckv_killed_tidy(ckv_incarnation *p);
void ckv_killed_forget(ckv_incarnation *p);

#endif
