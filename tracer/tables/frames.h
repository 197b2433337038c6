/* frames.h: the FRAMES region: one id per distinct code position. tm_frame_intern() is declared in unwind.h. */
#ifndef TM_TABLES_FRAMES_H
#define TM_TABLES_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

bool tm_frames_init(void);

/* Kind and address of a frame (struct tm_frame); 0 where there is no such frame. */
uint64_t tm_frame_word(uint32_t id);

/* Do two ids name one position? Threads that met it at the same moment may have given it one each. */
bool tm_frames_agree(uint32_t a, uint32_t b);

#endif
