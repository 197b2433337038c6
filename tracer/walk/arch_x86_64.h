/* arch_x86_64.h: see arch.h. Sources: System V ABI for AMD64, figure 3.36 (DWARF numbers); Linux
 * arch/x86/include/uapi/asm/sigcontext.h and ucontext.h (offsets); Intel SDM volume 2, CALL. */
#ifndef TM_ARCH_X86_64_H
#define TM_ARCH_X86_64_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

/* rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip */
enum { TM_ARCH_BP = 6, TM_ARCH_SP = 7, TM_ARCH_PC = 16, TM_ARCH_RETURN = TM_ARCH_PC, TM_ARCH_REGISTERS = 17 };

#define TM_ARCH_CALLEE_SAVED (UINT64_C(1) << 3 | UINT64_C(1) << 6 | UINT64_C(0xf) << 12)

#define TM_ARCH_LOST_BY_CALL UINT64_C(0)

#define TM_ARCH_CALL_PUSHES true

#define TM_ARCH_ADDRESS_BITS 47

/* The kernel leaves sp at the ucontext when it enters the restorer: uc_mcontext is 40 bytes into it. */
static const uint16_t tm_arch_signal_offset[TM_ARCH_REGISTERS] = {
    144, 136, 152, 128, 112, 104, 120, 160, 40, 48, 56, 64, 72, 80, 88, 96, 168,
};

#define tm_arch_caller_sp() ((uintptr_t)__builtin_dwarf_cfa())

#define tm_arch_capture(registers)                                                                           \
    do {                                                                                                     \
        uintptr_t *tm_value = (registers)->value;                                                            \
        (registers)->known = TM_ARCH_CALLEE_SAVED | UINT64_C(1) << TM_ARCH_SP | UINT64_C(1) << TM_ARCH_PC;   \
        __asm__ volatile("movq %%rbx, 24(%0)\n\t"                                                            \
                         "movq %%rbp, 48(%0)\n\t"                                                            \
                         "movq %%rsp, 56(%0)\n\t"                                                            \
                         "movq %%r12, 96(%0)\n\t"                                                            \
                         "movq %%r13, 104(%0)\n\t"                                                           \
                         "movq %%r14, 112(%0)\n\t"                                                           \
                         "movq %%r15, 120(%0)\n\t"                                                           \
                         "leaq 0f(%%rip), %%rcx\n"                                                           \
                         "0:\tmovq %%rcx, 128(%0)"                                                           \
                         :                                                                                   \
                         : "a"(tm_value)                                                                     \
                         : "rcx", "memory");                                                                 \
    } while (0)

static inline uintptr_t tm_arch_code_pointer(uintptr_t pc)
{
    return pc;
}

/* bits 0..14 CFA / 8, 15..22 slot of the frame pointer / 8; the return address is below the CFA. */
static inline uintptr_t tm_arch_place_cfa(uint64_t place)
{
    return (place & 0x7fff) * 8;
}

static inline uintptr_t tm_arch_place_return(uint64_t place)
{
    (void)place;
    return 8;
}

static inline uintptr_t tm_arch_place_bp(uint64_t place)
{
    return (place >> 15 & 0xff) * 8;
}

static inline bool tm_arch_place_pack(uint64_t cfa, uint64_t return_slot, uint64_t bp_slot,
                                      uint64_t *ret_place)
{
    *ret_place = cfa / 8 | bp_slot / 8 << 15;
    return return_slot == 8 && cfa % 8 == 0 && bp_slot % 8 == 0 && cfa / 8 <= 0x7fff && bp_slot / 8 <= 0xff;
}

static inline bool tm_arch_cfi_is_ignored(uint8_t operation)
{
    (void)operation;
    return false;
}

static inline uintptr_t tm_arch_above_cfa(int32_t return_offset)
{
    (void)return_offset;
    return 0;
}

static inline bool tm_arch_is_stub(uintptr_t pc, uintptr_t *ret_pushed)
{
    (void)pc;
    (void)ret_pushed;
    return false; /* the linkers write CFI for them */
}

/* bytes[0..7] are the 8 bytes before the address: call rel32, or call r/m64 of 2, 3, 4, 6, 7 or 8 bytes. */
static inline bool tm_arch_follows_call(const uint8_t *bytes)
{
    if (bytes[3] == 0xe8) {
        return true;
    }
    static const uint8_t lengths[] = {2, 3, 4, 6, 7};
    for (unsigned i = 0; i < sizeof(lengths); i++) {
        const uint8_t *call = bytes + 8 - lengths[i];
        if (call[0] != 0xff || (call[1] >> 3 & 7) != 2) {
            continue;
        }
        unsigned mode = call[1] >> 6;
        unsigned base = call[1] & 7;
        bool index = mode != 3 && base == 4;
        bool wide = mode == 2 || (mode == 0 && (index ? (call[2] & 7) == 5 : base == 5));
        unsigned length = 2 + index + (mode == 1) + wide * 4;
        if (length == lengths[i]) {
            return true;
        }
    }
    return false;
}

/* mov $15, %rax; syscall: what GDB, libgcc and libunwind look for where a trampoline has no CFI. */
static inline bool tm_arch_is_sigreturn(const uint8_t *code)
{
    static const uint8_t trampoline[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
    return __builtin_memcmp(code, trampoline, sizeof(trampoline)) == 0;
}
#define TM_ARCH_SIGRETURN_SIZE  9
#define TM_ARCH_SIGRETURN_FIRST false

/* rt_sigprocmask copies the new mask in before it refuses an unknown `how`: EFAULT or EINVAL, and nothing
 * changes. (kernel/signal.c; Abseil's AddressIsReadable does the same.) Every seccomp filter lets it through.
 */
static inline bool tm_arch_is_readable(uintptr_t address)
{
    long result;
    register long size __asm__("r10") = 8;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"((long)SYS_rt_sigprocmask), "D"(-1L), "S"(address), "d"(0L), "r"(size)
                     : "rcx", "r11", "memory");
    return address != 0 && result != -EFAULT; /* 0 would be no mask */
}

#endif
