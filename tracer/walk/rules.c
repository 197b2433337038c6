#include "rules.h"

#include <string.h>
#include <unistd.h>

#include "../layout.h"
#include "../unwind.h"
#include "cfi.h"

#define TABLE_BITS_FIRST  10
#define TABLE_BITS_GROWTH 2
#define TABLE_BITS_MAX    26

static struct tm_rule_table *current_table;
uint64_t tm_rules_generation = 1;

/* ---------------------------------------------------------------------------------------------------------------
 * Rules
 */
static uint64_t rule_make(enum tm_rule_kind kind, uint64_t place)
{
    return (uint64_t)kind << TM_RULE_KIND_SHIFT | place << TM_RULE_PLACE_SHIFT;
}

static bool expression_is(const struct tm_cfi_row *row, int32_t value, const uint8_t *bytes, size_t size)
{
    size_t length;
    const uint8_t *expression = tm_cfi_expression(row, value, &length);
    return length == size && memcmp(expression, bytes, size) == 0;
}

/* How far below the CFA a register is saved, 0 = it is unchanged; false if neither. */
static bool row_slot(const struct tm_cfi_row *row, unsigned column, uint64_t *ret_slot)
{
    int32_t offset = row->rules.value[column];
    switch (row->rules.kind[column]) {
    case TM_CFI_SAME:
        *ret_slot = 0;
        return true;
    case TM_CFI_OFFSET:
        *ret_slot = (uint64_t) - (int64_t)offset;
        return offset < 0;
    default:
        return false;
    }
}

/* SP or BP; no saved word may lie below the frame's own stack or frame pointer, so that walks need not check
 * it. */
static uint64_t rule_constant(const struct tm_cfi_row *row)
{
    const struct tm_cfi_rules *rules = &row->rules;
    uint64_t cfa = (uint64_t)(int64_t)rules->cfa_value;
    uint64_t return_slot;
    uint64_t bp_slot;
    uint64_t place;
    bool plain = rules->cfa_value > 0 && row_slot(row, TM_ARCH_RETURN, &return_slot) &&
                 row_slot(row, TM_ARCH_BP, &bp_slot) && return_slot <= cfa && bp_slot <= cfa &&
                 tm_arch_place_pack(cfa, return_slot, bp_slot, &place);
    if (plain && rules->cfa_register == TM_ARCH_SP) {
        return rule_make(TM_RULE_SP, place);
    }
    if (plain && rules->cfa_register == TM_ARCH_BP) {
        return rule_make(TM_RULE_BP, place);
    }
    return rule_make(TM_RULE_SLOW, 0);
}

/* gcc's realigned frame: CFA by DW_OP_breg(BP) -n, DW_OP_deref with n a small multiple of 8; BP by
 * DW_OP_breg(BP) 0. */
static uint64_t rule_realigned(const struct tm_cfi_row *row)
{
    static const uint8_t saved_here[] = {0x70 + TM_ARCH_BP, 0};
    size_t size;
    const uint8_t *cfa = tm_cfi_expression(row, row->rules.cfa_value, &size);
    /* one byte of SLEB128: -64..63 */
    uint64_t return_slot;
    bool found = row_slot(row, TM_ARCH_RETURN, &return_slot) && return_slot != 0 && size == 3 &&
                 cfa[0] == 0x70 + TM_ARCH_BP && (cfa[1] & 0xc7) == 0x40 && cfa[2] == 0x06 &&
                 row->rules.kind[TM_ARCH_BP] == TM_CFI_EXPRESSION &&
                 expression_is(row, row->rules.value[TM_ARCH_BP], saved_here, sizeof(saved_here));
    uint64_t place;
    return found && tm_arch_place_pack(0x80U - cfa[1], return_slot, 0, &place)
               ? rule_make(TM_RULE_DRAP, place)
               : rule_make(TM_RULE_SLOW, 0);
}

/* Does this row say that the column is saved where the kernel saves it? */
static bool saved_by_kernel(const struct tm_cfi_row *row, unsigned column)
{
    unsigned offset = tm_arch_signal_offset[column];
    const uint8_t bytes[] = {0x70 + TM_ARCH_SP, (uint8_t)(0x80 | (offset & 0x7f)), (uint8_t)(offset >> 7)};
    const uint8_t shorter[] = {0x70 + TM_ARCH_SP, (uint8_t)offset};
    return row->rules.kind[column] == TM_CFI_EXPRESSION &&
           (expression_is(row, row->rules.value[column], bytes, sizeof(bytes)) ||
            (offset < 64 && expression_is(row, row->rules.value[column], shorter, sizeof(shorter))));
}

static uint64_t rule_signal(const struct tm_cfi_row *row)
{
    return saved_by_kernel(row, TM_ARCH_BP) && saved_by_kernel(row, TM_ARCH_SP) &&
                   saved_by_kernel(row, TM_ARCH_PC)
               ? rule_make(TM_RULE_SIGNAL, 0)
               : rule_make(TM_RULE_SLOW, 0);
}

static uint64_t rule_pack(const struct tm_cfi_row *row)
{
    const struct tm_cfi_rules *rules = &row->rules;
    if (row->signal) {
        return rule_signal(row);
    }
    if (rules->kind[row->return_register] == TM_CFI_UNDEFINED) {
        return rule_make(TM_RULE_END, 0);
    }
    if (row->return_register != TM_ARCH_RETURN || rules->kind[TM_ARCH_SP] != TM_CFI_SAME) {
        return rule_make(TM_RULE_SLOW, 0);
    }
    return rules->cfa_register == TM_CFI_CFA_EXPRESSION ? rule_realigned(row) : rule_constant(row);
}

static bool is_sigreturn(uintptr_t pc)
{
    return tm_arch_is_readable(pc) && tm_arch_is_readable(pc + TM_ARCH_SIGRETURN_SIZE - 8) &&
           tm_arch_is_sigreturn((const uint8_t *)pc);
}

/* Is this the first instruction of a function, with no call before it? Nothing has returned to it, ever:
 * somebody made it the return address of a new stack, as makecontext does with __start_context. */
static bool is_hand_made_bottom(const struct tm_eh_module *module, uintptr_t pc)
{
    struct tm_fde fde;
    return tm_fde_find(module, pc, &fde) && fde.start == pc && tm_arch_is_readable(pc - 8) &&
           tm_arch_is_readable(pc - 1) && !tm_arch_follows_call((const uint8_t *)pc - 8);
}

/* code_address: pc, or pc - 1 for a return address. */
static uint64_t rule_compute(uintptr_t pc, uintptr_t code_address)
{
    struct tm_eh_module module;
    struct tm_cfi_row row;
    bool inside = tm_eh_module_find(code_address, &module);
    if (TM_ARCH_SIGRETURN_FIRST && is_sigreturn(pc)) {
        return rule_make(TM_RULE_SIGNAL, 0);
    }
    if (inside && tm_cfi_row_find(&module, code_address, &row)) {
        return rule_pack(&row);
    }
    if (is_sigreturn(pc)) {
        return rule_make(TM_RULE_SIGNAL, 0);
    }
    if (inside && pc != code_address && is_hand_made_bottom(&module, pc)) {
        return rule_make(TM_RULE_END, 0);
    }
    return rule_make(TM_RULE_NONE, inside);
}

/* ---------------------------------------------------------------------------------------------------------------
 * The table
 */
static struct tm_rule_table *table_create(unsigned bits)
{
    struct tm_rule_table *table = tm_private_allocate(sizeof(*table) + (sizeof(struct tm_rule_slot) << bits));
    if (table) {
        table->shift = 64 - bits;
    }
    return table;
}

static size_t table_size(const struct tm_rule_table *table)
{
    return (size_t)1 << (64 - table->shift);
}

/* False if the table has no room for the key. */
static bool table_store(struct tm_rule_table *table, uint64_t key, uint64_t value)
{
    size_t mask = table_size(table) - 1;
    size_t room = table_size(table) / 8 * 7;
    for (size_t i = (key * UINT64_C(0x9e3779b97f4a7c15)) >> table->shift;; i = (i + 1) & mask) {
        uint64_t found = __atomic_load_n(&table->slots[i].key, __ATOMIC_RELAXED);
        if (found == 0) {
            if (__atomic_load_n(&table->used, __ATOMIC_RELAXED) >= room) {
                return false;
            }
            if (__atomic_compare_exchange_n(&table->slots[i].key, &found, key, false, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED)) {
                __atomic_fetch_add(&table->used, 1, __ATOMIC_RELAXED);
                found = key;
            }
        }
        if (found == key) {
            __atomic_store_n(&table->slots[i].value, value, __ATOMIC_RELAXED);
            return true;
        }
    }
}

/* One thread grows the table, the others go on with what they have. A thread that was at it when its process
 * forked is missing in the child: hence the process id. */
static bool growth_claim(struct tm_rule_table *table)
{
    int32_t self = (int32_t)getpid();
    int32_t grower = __atomic_load_n(&table->grower, __ATOMIC_RELAXED);
    return grower != self && __atomic_compare_exchange_n(&table->grower, &grower, self, false,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static struct tm_rule_table *table_grow(struct tm_rule_table *old, uint64_t generation)
{
    unsigned bits = 64 - old->shift + TABLE_BITS_GROWTH;
    if (bits > TABLE_BITS_MAX || !growth_claim(old)) {
        return old;
    }
    struct tm_rule_table *larger = table_create(bits);
    if (!larger) {
        return old; /* the claim stays: nobody asks again, the table is used until it is full */
    }
    for (size_t i = 0; i < table_size(old); i++) {
        uint64_t key = __atomic_load_n(&old->slots[i].key, __ATOMIC_RELAXED);
        uint64_t value = __atomic_load_n(&old->slots[i].value, __ATOMIC_RELAXED);
        if (value != 0 && value >> TM_RULE_GENERATION_SHIFT == generation >> TM_RULE_GENERATION_SHIFT) {
            (void)table_store(larger, key, value);
        }
    }
    __atomic_store_n(&current_table, larger, __ATOMIC_RELEASE);
    return larger;
}

bool tm_rules_init(void)
{
    current_table = table_create(TABLE_BITS_FIRST);
    return current_table != NULL;
}

struct tm_rules tm_rules_open(void)
{
    return (struct tm_rules){
        .table = __atomic_load_n(&current_table, __ATOMIC_ACQUIRE),
        .generation = __atomic_load_n(&tm_rules_generation, __ATOMIC_ACQUIRE) << TM_RULE_GENERATION_SHIFT,
    };
}

/* When the low bits of the generation begin again, values of their last use must be gone. */
static void values_clear(void)
{
    struct tm_rule_table *table = __atomic_load_n(&current_table, __ATOMIC_ACQUIRE);
    for (size_t i = 0; table && i < table_size(table); i++) {
        __atomic_store_n(&table->slots[i].value, 0, __ATOMIC_RELAXED);
    }
}

void tm_rules_forget(void)
{
    uint64_t generation = __atomic_add_fetch(&tm_rules_generation, 1, __ATOMIC_ACQ_REL);
    if ((generation & TM_RULE_GENERATION_MASK) == 0) {
        values_clear();
    }
}

uint64_t tm_rules_fill(struct tm_rules *rules, uint64_t key)
{
    uintptr_t pc = key & TM_FRAME_ADDRESS_MASK;
    uintptr_t code_address = key >> TM_FRAME_KIND_SHIFT == TM_FRAME_RETURN ? pc - 1 : pc;
    uint64_t rule = rule_compute(pc, code_address);
    uint32_t id = tm_frame_intern(key, code_address);
    if (id == 0 || id >> TM_RULE_ID_BITS != 0) {
        return 0;
    }
    uint64_t value = rules->generation | rule | id;
    struct tm_rule_table *table = __atomic_load_n(&current_table, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&table->used, __ATOMIC_RELAXED) >= table_size(table) / 2) {
        table = table_grow(table, rules->generation);
    }
    (void)table_store(table, key, value);
    rules->table = table;
    return value;
}
