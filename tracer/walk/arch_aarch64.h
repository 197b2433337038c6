/* arch_aarch64.h: see arch.h. Sources: DWARF for the Arm 64-bit Architecture (AADWARF64), table 4.1
 * (numbers); Linux arch/arm64/include/uapi/asm/sigcontext.h and ucontext.h (offsets); Arm ARM, C4.1
 * (instructions).
 *
 * A call leaves the return address in x30, and the callee saves it where it likes, mostly as a pair with the
 * caller's frame pointer x29. It may be signed (pointer authentication).
 */
#ifndef TM_ARCH_AARCH64_H
#define TM_ARCH_AARCH64_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

/* x0..x30 sp pc */
enum { TM_ARCH_BP = 29, TM_ARCH_RETURN = 30, TM_ARCH_SP = 31, TM_ARCH_PC = 32, TM_ARCH_REGISTERS = 33 };

/* x19..x30 */
#define TM_ARCH_CALLEE_SAVED (UINT64_C(0xfff) << 19)

/* x30: at the time of the call it was overwritten. */
#define TM_ARCH_LOST_BY_CALL (UINT64_C(1) << TM_ARCH_RETURN)

#define TM_ARCH_CALL_PUSHES false

#define TM_ARCH_ADDRESS_BITS 48

/* The kernel leaves sp at struct rt_sigframe: siginfo_t (128 bytes), then the ucontext, whose uc_mcontext is
 * at 176; in that: fault_address, regs[31], sp, pc. */
#define TM_ARCH_SIGNAL_REGISTER(n) (128 + 176 + 8 + 8 * (n))
static const uint16_t tm_arch_signal_offset[TM_ARCH_REGISTERS] = {
    TM_ARCH_SIGNAL_REGISTER(0),  TM_ARCH_SIGNAL_REGISTER(1),  TM_ARCH_SIGNAL_REGISTER(2),
    TM_ARCH_SIGNAL_REGISTER(3),  TM_ARCH_SIGNAL_REGISTER(4),  TM_ARCH_SIGNAL_REGISTER(5),
    TM_ARCH_SIGNAL_REGISTER(6),  TM_ARCH_SIGNAL_REGISTER(7),  TM_ARCH_SIGNAL_REGISTER(8),
    TM_ARCH_SIGNAL_REGISTER(9),  TM_ARCH_SIGNAL_REGISTER(10), TM_ARCH_SIGNAL_REGISTER(11),
    TM_ARCH_SIGNAL_REGISTER(12), TM_ARCH_SIGNAL_REGISTER(13), TM_ARCH_SIGNAL_REGISTER(14),
    TM_ARCH_SIGNAL_REGISTER(15), TM_ARCH_SIGNAL_REGISTER(16), TM_ARCH_SIGNAL_REGISTER(17),
    TM_ARCH_SIGNAL_REGISTER(18), TM_ARCH_SIGNAL_REGISTER(19), TM_ARCH_SIGNAL_REGISTER(20),
    TM_ARCH_SIGNAL_REGISTER(21), TM_ARCH_SIGNAL_REGISTER(22), TM_ARCH_SIGNAL_REGISTER(23),
    TM_ARCH_SIGNAL_REGISTER(24), TM_ARCH_SIGNAL_REGISTER(25), TM_ARCH_SIGNAL_REGISTER(26),
    TM_ARCH_SIGNAL_REGISTER(27), TM_ARCH_SIGNAL_REGISTER(28), TM_ARCH_SIGNAL_REGISTER(29),
    TM_ARCH_SIGNAL_REGISTER(30), TM_ARCH_SIGNAL_REGISTER(31), TM_ARCH_SIGNAL_REGISTER(32),
};

/* clang's __builtin_dwarf_cfa is the frame pointer here, which is another place. */
#if defined(__clang__)
#define tm_arch_caller_sp() ((uintptr_t)__builtin_sponentry())
#else
#define tm_arch_caller_sp() ((uintptr_t)__builtin_dwarf_cfa())
#endif

#define tm_arch_capture(registers)                                                                           \
    do {                                                                                                     \
        uintptr_t *tm_value = (registers)->value;                                                            \
        (registers)->known = TM_ARCH_CALLEE_SAVED | UINT64_C(1) << TM_ARCH_SP | UINT64_C(1) << TM_ARCH_PC;   \
        __asm__ volatile("stp x19, x20, [%0, #152]\n\t"                                                      \
                         "stp x21, x22, [%0, #168]\n\t"                                                      \
                         "stp x23, x24, [%0, #184]\n\t"                                                      \
                         "stp x25, x26, [%0, #200]\n\t"                                                      \
                         "stp x27, x28, [%0, #216]\n\t"                                                      \
                         "stp x29, x30, [%0, #232]\n\t"                                                      \
                         "mov x9, sp\n\t"                                                                    \
                         "adr x10, 0f\n"                                                                     \
                         "0:\tstp x9, x10, [%0, #248]"                                                       \
                         :                                                                                   \
                         : "r"(tm_value)                                                                     \
                         : "x9", "x10", "memory");                                                           \
    } while (0)

/* xpaclri: leaves what is not signed as it is, and does nothing on processors without authentication. */
static inline uintptr_t tm_arch_code_pointer(uintptr_t pc)
{
    register uintptr_t lr __asm__("x30") = pc;
    __asm__("hint #7" : "+r"(lr));
    return lr;
}

/* bits 0..10 CFA / 16, 11 the frame pointer is saved below the return address, else it is unchanged,
 * 12..22 slot of the return address / 8. */
static inline uintptr_t tm_arch_place_cfa(uint64_t place)
{
    return (place & 0x7ff) * 16;
}

static inline uintptr_t tm_arch_place_return(uint64_t place)
{
    return (place >> 12 & 0x7ff) * 8;
}

static inline uintptr_t tm_arch_place_bp(uint64_t place)
{
    return (place >> 11 & 1) != 0 ? tm_arch_place_return(place) + 8 : 0;
}

static inline bool tm_arch_place_pack(uint64_t cfa, uint64_t return_slot, uint64_t bp_slot,
                                      uint64_t *ret_place)
{
    *ret_place = cfa / 16 | (uint64_t)(bp_slot != 0) << 11 | return_slot / 8 << 12;
    return return_slot != 0 && (bp_slot == 0 || bp_slot == return_slot + 8) && cfa % 16 == 0 &&
           return_slot % 8 == 0 && cfa / 16 <= 0x7ff && return_slot / 8 <= 0x7ff;
}

/* DW_CFA_AARCH64_negate_ra_state, and the one that takes the pc along: whether the return address is signed,
 * which tm_arch_code_pointer need not know. */
static inline bool tm_arch_cfi_is_ignored(uint8_t operation)
{
    return operation == 0x2d || operation == 0x2c;
}

/* glibc's _dl_runtime_resolve, alone, has its return address above the CFA: it was pushed by the first entry
 * of the procedure linkage table, in 16 bytes that its CFI does not count. */
static inline uintptr_t tm_arch_above_cfa(int32_t return_offset)
{
    return return_offset == 8 ? 16 : 0;
}

static inline uint32_t tm_arch_instruction(uintptr_t address)
{
    uint32_t instruction;
    memcpy(&instruction, (const void *)address, sizeof(instruction));
    return instruction;
}

/* bytes[0..7] are the 8 bytes before the address: bl, or blr and its forms that authenticate. */
static inline bool tm_arch_follows_call(const uint8_t *bytes)
{
    uint32_t call = tm_arch_instruction((uintptr_t)bytes + 4);
    return (call & 0xfc000000) == 0x94000000 || (call & 0xfefff000) == 0xd63f0000;
}

/* mov x8, #139; svc #0. The vDSO's had CFI that names the interrupted function's return address in place of
 * its pc, and has none today: unwinders are to look for the instructions. */
static inline bool tm_arch_is_sigreturn(const uint8_t *code)
{
    static const uint8_t trampoline[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4};
    return memcmp(code, trampoline, sizeof(trampoline)) == 0;
}
#define TM_ARCH_SIGRETURN_SIZE  8
#define TM_ARCH_SIGRETURN_FIRST true

/* See arch_x86_64.h. */
static inline bool tm_arch_is_readable(uintptr_t address)
{
    register long number __asm__("x8") = SYS_rt_sigprocmask;
    register long result __asm__("x0") = -1;
    register uintptr_t set __asm__("x1") = address;
    register long before __asm__("x2") = 0;
    register long size __asm__("x3") = 8;
    __asm__ volatile("svc #0" : "+r"(result) : "r"(number), "r"(set), "r"(before), "r"(size) : "memory");
    return address != 0 && result != -EFAULT; /* 0 would be no mask */
}

/* [bti c] [stp x16, x30, [sp, #-16]!] adrp x16 [ldr x17] add x16 [autia1716] br x16 or x17 */
static inline bool tm_arch_is_stub(uintptr_t pc, uintptr_t *ret_pushed)
{
    uintptr_t at = pc;
    if (pc % 4 != 0 || pc < 4096 || !tm_arch_is_readable(pc - 24) || !tm_arch_is_readable(pc + 20)) {
        return false;
    }
    while ((tm_arch_instruction(at) & 0xffffffdf) != 0xd61f0200) {
        at += 4;
        if (at > pc + 20) {
            return false;
        }
    }
    at -= 4;
    at -= tm_arch_instruction(at) == 0xd503219f ? 4 : 0;
    bool adds = (tm_arch_instruction(at) & 0xffc003ff) == 0x91000210;
    at -= 4;
    at -= (tm_arch_instruction(at) & 0xffc003ff) == 0xf9400211 ? 4 : 0;
    if (!adds || (tm_arch_instruction(at) & 0x9f00001f) != 0x90000010) {
        return false;
    }
    bool pushes = tm_arch_instruction(at - 4) == 0xa9bf7bf0;
    *ret_pushed = pushes && pc >= at ? 16 : 0;
    at -= pushes ? 4 : 0;
    at -= tm_arch_instruction(at - 4) == 0xd503245f ? 4 : 0;
    return pc >= at;
}

#endif
