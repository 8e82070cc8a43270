/* exchange.h -- what datastores tell each other: bundles of all DAGs. docs/format.md, "Bundle of a datastore". Sessions: sync/datastore_session.h.
 *
 *     bundle := "CKD" 1(u8) datastore id(32) part* check(u64le: XXH3-64, seed 0, of all before)
 *     part   := name(str, at most 255 bytes) blob(a bundle of that DAG)            names never descend; a DAG may have several parts
 *
 *     parts are parsed, all of them -> names that are not here prove on a scratch document that they bring a change -> parts are applied, one by one
 */
#ifndef CKV_DATASTORE_EXCHANGE_H
#define CKV_DATASTORE_EXCHANGE_H

#include "datastore/datastore.h"

/* The datastore that a bundle is of. CKV_ECORRUPT: it is none. */
CKV_NODISCARD ckv_status ckv_datastore_bundle_id(const uint8_t *data, size_t n_bytes, ckv_id32 *out,
                                                 ckv_err *err);
/* A bundle of what `until` (ids of any DAG, and what they build on; NULL: all) holds and `since` (likewise; unknown ones are ignored) lacks. CKV_ENOENT: an id of `until` that no
 * DAG knows. The open change must be closed, as for all below. */
CKV_NODISCARD ckv_status ckv_datastore_export(ckv_datastore *d, const ckv_id32 *since,
                                              size_t n_since, const ckv_id32 *until, size_t n_until,
                                              ckv_buf *out);
/* A bundle of what that peer, in this process, lacks of this datastore: changes, and bodies that it was told are dead and that are live here. */
CKV_NODISCARD ckv_status ckv_datastore_export_to(ckv_datastore *d, ckv_datastore *peer,
                                                 ckv_buf *out);
/* A bundle of all that waits in its DAGs, for a replica that takes its place. */
CKV_NODISCARD ckv_status ckv_datastore_export_waiting(ckv_datastore *d, ckv_buf *out);
/* What both have, for export(since) to that peer. */
CKV_NODISCARD ckv_status ckv_datastore_common(ckv_datastore *d, ckv_datastore *peer,
                                              ckv_buf *since /* of ckv_id32 */);
/* Would apply take it as a bundle of this datastore? Changes nothing. */
CKV_NODISCARD ckv_status ckv_datastore_bundle_check(ckv_datastore *d, const uint8_t *data,
                                                    size_t n_bytes, ckv_err *err);
/* Part by part; the report is of all. A DAG whose name is not here is made if the part brings a change that is signed well; beyond CKV_MAX_DAGS, or if it is purged, the part is
 * refused and reported without an id. CKV_ECORRUPT: nothing was done. An I/O error in a later part leaves the earlier ones, which are then durable and in the report. */
CKV_NODISCARD ckv_status ckv_datastore_apply(ckv_datastore *d, const uint8_t *data, size_t n_bytes,
                                             ckv_report *report, ckv_err *err);
/* All heads of all DAGs, sorted. */
CKV_NODISCARD ckv_status ckv_datastore_heads(ckv_datastore *d, ckv_buf *out /* of ckv_id32 */);
/* That of the default DAG while no other one has changes; else H("crdtkv-dags-v1", (name(str) root(32))*, names ascending, of DAGs that are not purged and have changes). */
CKV_NODISCARD ckv_status ckv_datastore_root(ckv_datastore *d, ckv_id32 *out);

/* ---- for sessions */

#define CKV_DAGS_WAITING                                                                           \
    (32u << 20) /* bytes of changes that wait, in all DAGs but the default one, which has its own */
#define CKV_DAG_WAITING (64u << 10) /* that wait in one of them even if others use up all of that */

/* Before changes come to a DAG: says how much may wait there, so that many DAGs do not hold more than one might. */
void ckv_dag_bound(ckv_datastore *d, uint32_t number);

/* The id of a DAG: the datastore's for "default", else H("crdtkv-dag-v1", datastore id || name). */
CKV_NODISCARD ckv_status ckv_dag_id(const ckv_datastore *d, const char *name, size_t n_bytes,
                                    ckv_id32 *out);
/* An empty document in place of a DAG that is not here: it takes changes, and keeps no bodies. */
CKV_NODISCARD ckv_status ckv_dag_scratch(ckv_doc **out, const ckv_datastore *d, const char *name,
                                         size_t n_bytes);
/* Has it anything to speak of? */
bool ckv_dag_speaks(const ckv_dag_info *dag);
/* A report of a part is added to that of all. */
CKV_NODISCARD ckv_status ckv_report_join(ckv_report *all, const ckv_report *part);

#endif
