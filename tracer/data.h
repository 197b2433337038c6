/* data.h: how the files of the tracer declare data that they share.
 *
 * Hidden in the declaration, too: else compilers go through the global offset table, which costs a load, and
 * which is not filled yet when a resolver of an indirect function calls malloc before the loader has
 * relocated the tracer.
 */
#ifndef TM_DATA_H
#define TM_DATA_H

#define TM_DATA extern __attribute__((visibility("hidden")))

#endif
