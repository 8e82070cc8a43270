/* open.h -- finding, judging, making and copying the file behind a ckv_file. Not for others.
 *
 *     resolve -> look: whose is it? -> lock -> open: (made beside it and renamed, if absent or empty) -> settings -> the tables are ours
 *
 * Nothing of SQLite's is made beside a file that is refused: its first 100 bytes are read through SQLite's own descriptor before anything is asked of SQLite.
 * (Through SQLite's, as closing one of our own would drop the locks that another connection of this process has on the file.)
 */
#ifndef CKV_DISK_OPEN_H
#define CKV_DISK_OPEN_H

#include "disk/inner.h"

/* A reader's snapshot: held from its opening on. */
#define CKV_OPEN_SNAPSHOT "BEGIN; SELECT 1 FROM sqlite_schema"

/* The absolute path without links, of free(3). CKV_ENOENT: no such directory, or file for a reader. */
CKV_NODISCARD ckv_status ckv_open_resolve(const ckv_file_options *options, char **path,
                                          char why[256]);
/* Whether what is at the path could be ours. CKV_ENOENT: nothing is, or an empty file. */
CKV_NODISCARD ckv_status ckv_open_look(const char *path, const char *vfs, char why[256]);
CKV_NODISCARD ckv_status ckv_open_lock(int *fd, const char *path, int64_t *holder_pid,
                                       char why[256]);
CKV_NODISCARD ckv_status ckv_open_file(sqlite3 **out, const char *path,
                                       const ckv_file_options *options, char why[256]);
CKV_NODISCARD ckv_status ckv_open_memory(sqlite3 **out, char why[256]);
/* The last one to close removes the WAL, but SQLite has no such duty for readers: they leave an empty one behind, and one that a writer could not empty for their sake. It goes, the latter if
 * `all`, unless somebody still has the file open. */
void ckv_open_sweep(const char *path, bool all);
/* A copy at `path`, whole or not at all. */
CKV_NODISCARD ckv_status ckv_open_copy(sqlite3 *db, const char *path, char *words, size_t n_words);

#endif
