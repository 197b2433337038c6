/* startup.h: the first moments in a process: whichever comes first, a call of malloc or the constructor. */
#ifndef TM_STARTUP_H
#define TM_STARTUP_H

#include <stdbool.h>

/* Makes the allocator below known, then prepares the tracer. False while the allocator is not known: the
 * early buffer has to serve. */
bool tm_wake(void);

#endif
