/* schema.h -- the tables of a file, docs/file.md. What stands here is compared with what stands in the file, letter by letter: a change of a table is a new CKV_FILE_SCHEMA. */
#ifndef CKV_DISK_SCHEMA_H
#define CKV_DISK_SCHEMA_H

typedef struct ckv_table {
    const char *name, *sql;
} ckv_table;

static const ckv_table ckv_tables[] = {
    {"meta", "CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) STRICT"},
    {"object", "CREATE TABLE object(id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, "
               "kind TEXT NOT NULL, uid BLOB NOT NULL) STRICT"},
    {"record", "CREATE TABLE record(id INTEGER PRIMARY KEY, object INTEGER NOT NULL, "
               "kind INTEGER NOT NULL, data BLOB NOT NULL) STRICT"},
    {"dag", "CREATE TABLE dag(id INTEGER PRIMARY KEY, object INTEGER NOT NULL, name TEXT NOT NULL, "
            "state INTEGER NOT NULL, indexed INTEGER NOT NULL, root BLOB, UNIQUE(object, name)) "
            "STRICT"},
    {"lane", "CREATE TABLE lane(id INTEGER PRIMARY KEY, author BLOB NOT NULL, "
             "nonce BLOB NOT NULL) STRICT"},
    {"change", "CREATE TABLE change(id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, "
               "state INTEGER NOT NULL, time INTEGER NOT NULL, message TEXT, "
               "header BLOB NOT NULL, signature BLOB, body BLOB) STRICT"},
    {"cover", "CREATE TABLE cover(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, "
              "headers BLOB NOT NULL, signature BLOB NOT NULL) STRICT"},
    {"sheaf", "CREATE TABLE sheaf(id INTEGER PRIMARY KEY, last INTEGER NOT NULL, "
              "n INTEGER NOT NULL, data BLOB NOT NULL) STRICT"},
    {"run", "CREATE TABLE run(id INTEGER PRIMARY KEY, object INTEGER NOT NULL, "
            "space INTEGER NOT NULL, level INTEGER NOT NULL, n_keys INTEGER NOT NULL, "
            "directory BLOB NOT NULL) STRICT"},
    {"block", "CREATE TABLE block(id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT"},
};

#define CKV_N_TABLES (sizeof ckv_tables / sizeof *ckv_tables)

/* Rows of one object come in the order of their id: loading, and dropping an object. */
#define CKV_SCHEMA_INDEXES                                                                         \
    "CREATE INDEX record_object ON record(object);"                                                \
    "CREATE INDEX run_object ON run(object)"

#endif
