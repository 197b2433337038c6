/* control.h: start, stop, clear and reset, by a call or by a debugger's request.
 *
 * The generation of the traces makes them take effect at once; words of older generations are swept out afterwards, under
 * a lock that nothing else takes.
 */
#ifndef TM_CONTROL_H
#define TM_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

/* key_shift of the LIVE region, fixed by the allocator below. */
void tm_control_init(uint32_t key_shift);

/* Begins to trace; makes the tables at the first call. No effect while tracing. False when they cannot be had. */
bool tm_control_start(uint32_t traceback_limit);

/* No effect while not tracing. */
void tm_control_stop(void);
void tm_control_clear(void);
void tm_control_reset_peak(void);

/* Does what the root's request word asks for. */
void tm_control_obey(void);

/* In the child of a fork: finishes what a thread that does not exist there had begun. */
void tm_control_forked(void);

#endif
