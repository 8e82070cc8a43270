/* datastore_session.h -- two datastores find and exchange what the other one lacks, DAG by DAG, and stay in step: a session for each DAG (sync/session.h), many in one message.
 * docs/format.md, "Session of datastores". While only the default DAG is spoken of, a message is that of its session and nothing more.
 *
 *     ada                                          ben
 *     default: hello   notes: hello   ->           knows no "notes": a scratch document stands in for it
 *                                     <-           default: hello, compare   notes: hello, compare
 *     default: -       notes: bundle  ->           now the DAG is made, and the session moves on to it
 *
 * Where there are several DAGs the digest of all hellos goes first, in their place; they are sent if the other end's is another one.
 *
 *     I1  each name is spoken of by at most one session here; names ascend
 *     I2  a bundle that did not fit into a message goes on in the next one before another begins: so the other end holds pieces of one at most
 *     I3  after an error the session is over, and the datastore holds what was authentic
 *     cost: that of its sessions; each look at it O(DAGs)
 */
#ifndef CKV_SYNC_DATASTORE_SESSION_H
#define CKV_SYNC_DATASTORE_SESSION_H

#include "datastore/exchange.h"
#include "sync/session.h"

#define CKV_DATASTORE_SESSION_NAMES 1024u /* that the other end speaks of first */
#define CKV_DATASTORE_SESSION_WAITING                                                              \
    (8u << 20) /* bytes that it left waiting, in all DAGs together */

typedef struct ckv_datastore_session ckv_datastore_session;

/* max_bytes: the session ends when more has come (0: never). The datastore must outlive it; its DAGs may be purged meanwhile. */
CKV_NODISCARD ckv_status ckv_datastore_session_new(ckv_datastore_session **out, ckv_datastore *d,
                                                   uint64_t max_bytes);
void ckv_datastore_session_free(ckv_datastore_session *s);
/* Appends the next message; nothing if there is none now. CKV_ESYNC, once: it is over, for a DAG was made anew or admitted. The open change must be closed. */
CKV_NODISCARD ckv_status ckv_datastore_session_send(ckv_datastore_session *s, ckv_buf *out);
/* Takes a message in. CKV_ECORRUPT: it is none. CKV_ESYNC: it does not fit here. The report is of what was taken, whatever is returned. The open change must be closed. */
CKV_NODISCARD ckv_status ckv_datastore_session_take(ckv_datastore_session *s, const uint8_t *data,
                                                    size_t n_bytes, ckv_report *report,
                                                    ckv_err *err);
/* Both ends hold the same, as far as this end has heard; but for DAGs that one of them purged. When one that was purged here is admitted, the session is over: both ends have closed it. */
bool ckv_datastore_session_done(ckv_datastore_session *s);
/* As ckv_session_settled, for all DAGs. */
bool ckv_datastore_session_settled(ckv_datastore_session *s);
bool ckv_datastore_session_is_over(const ckv_datastore_session *s); /* after an error */
ckv_session_stats ckv_datastore_session_figures(const ckv_datastore_session *s);
bool ckv_datastore_session_check(const ckv_datastore_session *s, const char **why);

#endif
