/* cli_library.h: the library of cli.c. */
#ifndef CLI_LIBRARY_H
#define CLI_LIBRARY_H

void cli_library_allocate(void);
void cli_library_allocate_less(void);

#endif
