/* system.h: system calls of the tracer, made directly: errno stays untouched, no interposed function is
 * entered, and they work before libc is initialised. Each returns the kernel's answer, -errno on failure.
 */
#ifndef TM_HOST_SYSTEM_H
#define TM_HOST_SYSTEM_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

/* No page of this processor's Linux is larger. */
#if defined(__aarch64__)
#define TM_PAGE_MAX UINT64_C(65536)
#else
#define TM_PAGE_MAX UINT64_C(4096)
#endif

static inline long tm_system(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
#error "no system calls for this processor"
#endif
}

/* Is it an error number? (mmap answers addresses, which may have the top bit of 47 set but never this range.)
 */
static inline bool tm_system_failed(long result)
{
    return (unsigned long)result >= (unsigned long)-4095;
}

static inline long tm_system_mmap(uintptr_t address, size_t size, int flags)
{
    return tm_system(SYS_mmap, (long)address, (long)size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static inline long tm_system_munmap(void *address, size_t size)
{
    return tm_system(SYS_munmap, (long)address, (long)size, 0, 0, 0, 0);
}

static inline long tm_system_madvise(void *address, size_t size, int advice)
{
    return tm_system(SYS_madvise, (long)address, (long)size, advice, 0, 0, 0);
}

static inline long tm_system_open(const char *path)
{
    return tm_system(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
}

static inline long tm_system_read(long file, void *buffer, size_t size)
{
    return tm_system(SYS_read, file, (long)buffer, (long)size, 0, 0, 0);
}

static inline long tm_system_write(long file, const void *buffer, size_t size)
{
    return tm_system(SYS_write, file, (long)buffer, (long)size, 0, 0, 0);
}

static inline void tm_system_close(long file)
{
    tm_system(SYS_close, file, 0, 0, 0, 0, 0);
}

static inline long tm_system_readlink(const char *path, char *buffer, size_t size)
{
    return tm_system(SYS_readlinkat, AT_FDCWD, (long)path, (long)buffer, (long)size, 0, 0);
}

static inline uint32_t tm_system_pid(void)
{
    return (uint32_t)tm_system(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

static inline uint32_t tm_system_tid(void)
{
    return (uint32_t)tm_system(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* Blocks all signals of the calling thread; returns the mask before, for tm_system_set_signals(). */
static inline uint64_t tm_system_block_signals(void)
{
    uint64_t all = UINT64_MAX, before = 0;
    tm_system(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, sizeof(all), 0, 0);
    return before;
}

static inline void tm_system_set_signals(uint64_t mask)
{
    tm_system(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof(mask), 0, 0);
}

static inline void tm_system_yield(void)
{
    tm_system(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* CLOCK_REALTIME in ns, by system call: for rare events. */
static inline uint64_t tm_system_time(void)
{
    struct timespec now = {0, 0};
    tm_system(SYS_clock_gettime, CLOCK_REALTIME, (long)&now, 0, 0, 0, 0);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

#endif
