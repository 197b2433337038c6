/* options.h: TRACEMALLOC=N[,key=value]..., read by the tracer and by tm-run. Allocates nothing and needs no locale.
 *
 *   N            0..65535 frames, as strtol() reads it in base 10 over its whole text; 0 = loaded, not tracing
 *   sample=SIZE  mean bytes between samples, 0 = every block    freed=COUNT  history of freed blocks, at most 2^24
 *   detail=0|1   thread and time of every block                 max=SIZE     cap on the tracer's own memory, 0 = none
 *   stats=0|1    counters per stack                             mmap=0|1     anonymous mmap as domain 1
 * SIZE: a decimal number, K, M or G behind it multiply by 1024, 1024^2, 1024^3. A key that is given twice: the last one counts.
 */
#ifndef TM_OPTIONS_H
#define TM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TM_OPTIONS_NFRAME_DEFAULT 25
#define TM_OPTIONS_FREED_MAX      (UINT64_C(1) << 24)

struct tm_options {
    uint64_t sample;
    uint64_t freed;
    uint64_t max;
    uint32_t nframe;
    bool detail;
    bool stats;
    bool mmap;
};

/* Why a text is refused: a sentence without its end, and the part of the text that it is about. */
struct tm_options_error {
    const char *reason;
    const char *text; /* points into the text that was read */
    size_t length;
};

/* nframe 25, stats on, everything else off. */
void tm_options_init(struct tm_options *options);

/* Each reads a text over what options holds already; false with an error, options then undefined. */
bool tm_options_read(const char *text, struct tm_options *options, struct tm_options_error *ret_error);        /* N,key=value... */
bool tm_options_read_nframe(const char *text, struct tm_options *options, struct tm_options_error *ret_error); /* N */
bool tm_options_read_keys(const char *text, struct tm_options *options, struct tm_options_error *ret_error);   /* key=value,... */

/* "REASON: 'TEXT'" cut to fit, with a NUL; returns its length. */
size_t tm_options_error_format(const struct tm_options_error *error, char *buffer, size_t size);

#endif
