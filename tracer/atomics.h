/* atomics.h: stores that another process may look at between any two instructions, and counters that threads share.
 *
 * A stopped thread's stores are seen in program order, so compiler order is enough for readers of cores and of stopped
 * processes; the release stores are for the other threads, and for readers of a running process.
 */
#ifndef TM_ATOMICS_H
#define TM_ATOMICS_H

#include <stdbool.h>
#include <stdint.h>

#define TM_LIKELY(x)   __builtin_expect(!!(x), 1)
#define TM_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define tm_load(pointer)          __atomic_load_n((pointer), __ATOMIC_RELAXED)
#define tm_load_acquire(pointer)  __atomic_load_n((pointer), __ATOMIC_ACQUIRE)
#define tm_store(pointer, value)  __atomic_store_n((pointer), (value), __ATOMIC_RELAXED)
#define tm_publish(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELEASE)
#define tm_add(pointer, value)    __atomic_fetch_add((pointer), (value), __ATOMIC_RELAXED)

/* No store moves over it, in the compiler. */
#define tm_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Functions of the hooks' common case: what compilers would not inline for want of a measure. */
#define TM_HOT static inline __attribute__((always_inline))

/* `expected` is a value, not a pointer to one. */
#define tm_swap_if(pointer, expected, value)                                                                     \
    __extension__({                                                                                              \
        __typeof__(*(pointer)) expected_value = (expected);                                                      \
        __atomic_compare_exchange_n((pointer), &expected_value, (value), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); \
    })

/* Adds in one step, which a signal cannot split: one instruction, or a pair that begins anew after a signal. Not for words that another thread writes at the same time. */
static inline void tm_add_alone(uint64_t *counter, uint64_t value)
{
#if defined(__x86_64__)
    __asm__ volatile("addq %1, %0" : "+m"(*counter) : "er"(value) : "cc");
#else
    tm_add(counter, value);
#endif
}

#endif
