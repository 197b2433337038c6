/* profile.h: snapshot files. A snapshot file is a gzip-compressed pprof profile (profile.proto), so that
 * pprof, speedscope, Parca, Pyroscope and Grafana read it too; docs/snapshot-files.md says what tm puts into
 * it. */
#ifndef CA_PROFILE_PROFILE_H
#define CA_PROFILE_PROFILE_H

#include "../snapshot/snapshot.h"
#include "../util/text.h"

/* Chooses the traces that a profile is to hold; only domain and traceback are set where a stack's totals and
 * peak are asked about. */
struct ca_profile_choice {
    void *context;
    bool (*keeps)(void *context, const struct ca_trace *trace, bool *ret_keeps, struct ca_error **ret_error);
};

/* The bytes of a snapshot file, added to *text: everything that top and diff need, symbolised, nothing
 * skipped. choice NULL = all. */
bool ca_profile_encode(struct ca_snapshot *snapshot, const struct ca_profile_choice *choice,
                       struct ca_text *text, struct ca_error **ret_error);

/* The same as they are before compression, for a snapshot that stays in memory. */
bool ca_profile_encode_plain(struct ca_snapshot *snapshot, struct ca_text *text, struct ca_error **ret_error);

/* True when the bytes begin like a snapshot file (gzip or plain protobuf of a profile) rather than like a
 * core. */
bool ca_profile_recognise(const void *bytes, size_t size);

/* Reads a snapshot file, or a heap profile in this format that another tool wrote. skip and no_skip as in
 * ca_snapshot_from_table; skip is copied. The errors name the path. */
struct ca_snapshot *ca_profile_load(const char *path, const char *const *skip, size_t skip_count,
                                    bool no_skip, struct ca_error **ret_error);

/* The two halves of it: the file's bytes as they are before compression, added to *text; and a snapshot of
 * such bytes, of which nothing is kept. name: what errors call them. */
bool ca_profile_read(const char *path, struct ca_text *text, struct ca_error **ret_error);
struct ca_snapshot *ca_profile_load_bytes(const char *name, const void *bytes, size_t size,
                                          const char *const *skip, size_t skip_count, bool no_skip,
                                          struct ca_error **ret_error);

/* True when a loaded snapshot's traces know their threads. */
bool ca_profile_has_threads(const struct ca_snapshot *snapshot);

#endif
