/* leaks.h: what these programs have in common. Each says what is leaked where it ends:
 *
 *     EXPECT direct BLOCKS BYTES indirect BLOCKS BYTES
 *     EXPECT lsan ...      by LeakSanitizer's rules, if they give something else
 *
 * They dump core there, or, built with -DLSAN -fsanitize=leak, ask LeakSanitizer. */
#ifndef LEAKS_H
#define LEAKS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif
void __lsan_do_leak_check(void);
#ifdef __cplusplus
}
#endif

#define NOINLINE __attribute__((noinline))
#define HOLDER   __attribute__((used)) /* a variable that is written although nobody reads it */

/* What is written to a block stays written. */
static inline void escape(void *block)
{
    __asm__ volatile("" : : "r"(block) : "memory");
}

static inline void *allocate(size_t size)
{
    void *memory = malloc(size);
    if (!memory) {
        perror("malloc");
        exit(1);
    }
    return memory;
}

/* Wipes what functions that have returned left in registers. */
static inline __attribute__((always_inline)) void scrub_registers(void)
{
    __asm__ volatile("xor %%eax, %%eax\n\txor %%ecx, %%ecx\n\txor %%edx, %%edx\n\txor %%esi, %%esi\n\t"
                     "xor %%edi, %%edi\n\txor %%r8d, %%r8d\n\txor %%r9d, %%r9d\n\txor %%r10d, %%r10d\n\t"
                     "xor %%r11d, %%r11d\n\txor %%ebx, %%ebx\n\txor %%r12d, %%r12d\n\txor %%r13d, %%r13d\n\t"
                     "xor %%r14d, %%r14d\n\txor %%r15d, %%r15d"
                     :
                     :
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "rbx", "r12", "r13",
                       "r14", "r15", "cc");
}

/* The same, and what they left below the caller's frame. The caller calls others, so that nothing of its own
 * lies there. */
static inline __attribute__((always_inline)) void scrub(void)
{
    __asm__ volatile("lea -16384(%%rsp), %%rdi\n\tmov $2048, %%ecx\n\txor %%eax, %%eax\n\tcld\n\trep stosq"
                     :
                     :
                     : "rax", "rcx", "rdi", "memory", "cc");
    scrub_registers();
}

static NOINLINE void finish(void)
{
#ifdef LSAN
    __lsan_do_leak_check();
    exit(0);
#else
    abort();
#endif
}

#endif
