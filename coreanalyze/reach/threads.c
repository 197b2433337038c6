/* threads.c: stacks and thread-local storage, those of ended threads too, as glibc lays them out:
 *
 *   stack block  guard | stack, growing down | static TLS | struct pthread
 *   struct pthread (at the thread pointer)  itself, dtv, itself, ... | next and previous in a list of threads
 * | ... | stack block, its size | ...
 *
 * libc keeps the stack of a thread that has ended for the next one, in a list whose head is a variable of the
 * loader's (of libpthread's before 2.34).
 */
#include "claims.h"

#include "../symbols/pool.h"
#include "../util/grow.h"
#include <elf.h>

enum {
    WORD = 8,
    PAGE = 4096,
    DTV_OFFSET = 8, /* in struct pthread: the dtv, by which dynamic TLS is found */
    DTV_ENTRY = 16, /* bytes per module; in the entry before the first the number of entries */
    DTV_MAX = 1 << 16,
    SELF_OFFSET = 16,
    LIST_OFFSET = 0x2c0,
    BLOCK_SEARCH = 0x2d0, /* where fields that hold the stack block may begin */
    PTHREAD_SIZE = 0x900, /* 2304 bytes in 2.36; read as far as it is there */
    TOP_MAX = 1 << 16,    /* of a stack block above the thread pointer */
    THREADS_MAX = 1 << 20,
    DATA_MAX = 1 << 20,
    PROGRAMS_MAX = 64,
};

/* A struct pthread that was found. */
struct pthread {
    uint64_t address;
    uint64_t block_start, block_end; /* 0 = not known: the first thread's stack is none of libc's */
};

struct pthreads {
    struct ca_claims *claims;
    struct ca_map met;             /* by address: &running or &seen */
    uint64_t tls_size;             /* of the static TLS below a struct pthread, at most */
    uint64_t main_start, main_end; /* mapping of the first thread's stack */
    bool failed;                   /* out of memory */
};

/* ---------------------------------------------------------------------------------------- struct pthread */

static bool is_pthread(struct ca_claims *claims, uint64_t address)
{
    uint64_t words[3];
    return address % 16 == 0 && ca_claims_read(claims, address, words, sizeof words) == sizeof words &&
           words[0] == address && words[SELF_OFFSET / 8] == address;
}

/* Finds the stack block: two numbers of pages, the first below the structure and the end of both above it. */
static void pthread_read(struct ca_claims *claims, uint64_t address, struct pthread *pthread)
{
    uint64_t words[(PTHREAD_SIZE - BLOCK_SEARCH) / 8];
    *pthread = (struct pthread){.address = address};
    size_t count = ca_claims_read(claims, address + BLOCK_SEARCH, words, sizeof words) / 8;
    for (size_t i = 0; i + 1 < count; i++) {
        uint64_t start = words[i], size = words[i + 1];
        if (start && size && start % PAGE == 0 && size % PAGE == 0 && start < address &&
            start + size > address && start + size - address <= TOP_MAX) {
            pthread->block_start = start;
            pthread->block_end = start + size;
            return;
        }
    }
}

static const char running, seen; /* values in pthreads.met: the thread runs; its list was followed */

static void meet(struct pthreads *threads, uint64_t address, const char *how)
{
    threads->failed = threads->failed || !ca_map_set(&threads->met, address, 0, how);
}

/* -------------------------------------------------------------------------------------- threads that run */

static bool claim_stack(struct ca_claims *claims, uint64_t start, uint64_t sp, uint64_t end, uint32_t tid)
{
    return ca_claim(claims, CA_AREA_UNUSED, start, sp, tid) && ca_claim(claims, CA_AREA_STACK, sp, end, tid);
}

/* A thread may have its stack pointer elsewhere: on a signal's stack, or a coroutine's. All of its own stack
 * may be in use then. */
static bool claim_own_stack(const struct pthreads *threads, const struct ca_thread_state *thread,
                            uint64_t start, uint64_t end)
{
    uint64_t sp = thread->sp >= start && thread->sp < end ? thread->sp : start;
    return claim_stack(threads->claims, start, sp, end, thread->tid);
}

/* Of the first thread it is no block of malloc. */
static bool claim_dtv(struct ca_claims *claims, const struct ca_thread_state *thread)
{
    uint64_t dtv, count;
    if (!ca_claims_word(claims, thread->tls + DTV_OFFSET, &dtv) || dtv % WORD ||
        !ca_claims_word(claims, dtv - DTV_ENTRY, &count) || count > DTV_MAX) {
        return true;
    }
    return ca_claim(claims, CA_AREA_TLS, dtv, dtv + DTV_ENTRY * (count + 1), thread->tid);
}

static bool claim_thread(const struct pthreads *threads, const struct ca_thread_state *thread, uint32_t pid)
{
    struct ca_claims *claims = threads->claims;
    struct pthread pthread = {0};
    bool is_libcs = thread->tls && is_pthread(claims, thread->tls);
    if (is_libcs) {
        pthread_read(claims, thread->tls, &pthread);
        uint64_t tls = thread->tls - threads->tls_size;
        tls = thread->sp > tls && thread->sp < thread->tls ? thread->sp : tls;
        if (!ca_claim(claims, CA_AREA_TLS, tls, thread->tls + PTHREAD_SIZE, thread->tid) ||
            !claim_dtv(claims, thread)) {
            return false;
        }
    }
    if (pthread.block_start) {
        return claim_own_stack(threads, thread, pthread.block_start, pthread.block_end);
    }
    bool on_main = thread->sp >= threads->main_start && thread->sp < threads->main_end;
    if (thread->tid == pid || on_main) {
        return claim_own_stack(threads, thread, threads->main_start, threads->main_end);
    }
    const struct ca_mapping *mapping = ca_source_mapping_at(claims->source, thread->sp);
    return !mapping || ca_claim(claims, CA_AREA_STACK, thread->sp, mapping->end, thread->tid);
}

/* What libc puts below a struct pthread: the modules' TLS, each aligned. */
static uint64_t tls_size(struct ca_claims *claims)
{
    uint64_t size = 0;
    size_t count;
    const struct ca_image *images = ca_memory_images(claims->memory, &count);
    for (size_t i = 0; i < count; i++) {
        Elf64_Phdr programs[PROGRAMS_MAX];
        size_t program_count = ca_image_programs(claims, &images[i], programs, PROGRAMS_MAX);
        for (size_t p = 0; p < program_count; p++) {
            if (programs[p].p_type == PT_TLS && programs[p].p_memsz < UINT32_MAX &&
                programs[p].p_align <= PAGE) {
                size += programs[p].p_memsz + programs[p].p_align;
            }
        }
    }
    return size;
}

/* Where the kernel has put what it tells a program at its start. */
static void main_stack_find(struct pthreads *threads)
{
    uint64_t address;
    if (!ca_source_auxv(threads->claims->source, AT_RANDOM, &address)) {
        return;
    }
    const struct ca_mapping *mapping = ca_source_mapping_at(threads->claims->source, address);
    if (mapping) {
        threads->main_start = mapping->start;
        threads->main_end = mapping->end;
    }
}

static bool claim_running(struct pthreads *threads)
{
    struct ca_claims *claims = threads->claims;
    uint32_t pid = ca_source_process(claims->source)->pid;
    size_t count;
    const struct ca_thread_state *states = ca_memory_threads(claims->memory, &count);
    bool good = true, main_runs = count == 0;
    for (size_t i = 0; good && i < count; i++) {
        main_runs = main_runs || states[i].tid == pid ||
                    (states[i].sp >= threads->main_start && states[i].sp < threads->main_end);
        meet(threads, states[i].tls, &running);
        good = !threads->failed && (!states[i].sp || claim_thread(threads, &states[i], pid));
    }
    return good && (main_runs || ca_claim(claims, CA_AREA_ENDED, threads->main_start, threads->main_end, 0));
}

/* ----------------------------------------------------------------------------------- threads that ended */

static bool word_add(struct ca_areas *areas, uint64_t word)
{
    if (!CA_GROW(areas->words, areas->word_capacity, areas->word_count + 1)) {
        return false;
    }
    areas->words[areas->word_count++] = word;
    return true;
}

/* Its dtv is kept with the stack. */
static bool claim_ended(struct ca_claims *claims, uint64_t address)
{
    struct pthread pthread;
    uint64_t dtv;
    pthread_read(claims, address, &pthread);
    return ca_claim(claims, CA_AREA_ENDED, pthread.block_start, pthread.block_end, 0) &&
           (!ca_claims_word(claims, address + DTV_OFFSET, &dtv) || word_add(claims->areas, dtv));
}

/* From a pointer into the list of a struct pthread on, as long as there are some. */
static bool claim_list(struct pthreads *threads, uint64_t link)
{
    struct ca_claims *claims = threads->claims;
    while (threads->met.count < THREADS_MAX && !threads->failed && !claims->error) {
        uint64_t address = link - LIST_OFFSET;
        const char *how = ca_map_get(&threads->met, address, 0);
        if (link % 16 || how == &seen || !is_pthread(claims, address)) {
            return true;
        }
        meet(threads, address, &seen);
        if (how != &running && !claim_ended(claims, address)) {
            return false;
        }
        if (!ca_claims_word(claims, link, &link)) {
            return true;
        }
    }
    return !threads->failed;
}

/* Lists begin in these variables. */
static bool claim_lists(struct pthreads *threads, uint64_t start, uint64_t end)
{
    struct ca_claims *claims = threads->claims;
    uint64_t words[PAGE / 8];
    for (uint64_t at = (start + 7) & ~UINT64_C(7); at < end && !claims->error;) {
        size_t wanted = PAGE - at % PAGE < end - at ? (size_t)(PAGE - at % PAGE) : (size_t)(end - at);
        size_t count = ca_claims_read(claims, at, words, wanted) / 8;
        for (size_t i = 0; i < count; i++) {
            const struct ca_mapping *mapping =
                words[i] % 16 == 0 && words[i] ? ca_source_mapping_at(claims->source, words[i]) : NULL;
            if (mapping && ca_mapping_is_anonymous(mapping) && !claim_list(threads, words[i])) {
                return false;
            }
        }
        at += wanted;
    }
    return true;
}

static bool has_lists(const struct ca_image *image)
{
    static const char *const names[] = {"ld-", "ld.so", "libc.so", "libc-", "libpthread"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (ca_image_is(image, names[i])) {
            return true;
        }
    }
    return false;
}

static bool claim_all_ended(struct pthreads *threads)
{
    struct ca_claims *claims = threads->claims;
    size_t count;
    const struct ca_image *images = ca_memory_images(claims->memory, &count);
    for (size_t i = 0; i < count; i++) {
        Elf64_Phdr programs[PROGRAMS_MAX];
        size_t program_count =
            has_lists(&images[i]) ? ca_image_programs(claims, &images[i], programs, PROGRAMS_MAX) : 0;
        for (size_t p = 0; p < program_count; p++) {
            uint64_t start = images[i].module.bias + programs[p].p_vaddr;
            uint64_t size = programs[p].p_memsz < DATA_MAX ? programs[p].p_memsz : DATA_MAX;
            if (programs[p].p_type == PT_LOAD && (programs[p].p_flags & PF_W) &&
                !claim_lists(threads, start, start + size)) {
                return false;
            }
        }
    }
    return true;
}

bool ca_claim_threads(struct ca_claims *claims)
{
    struct pthreads threads = {.claims = claims, .tls_size = tls_size(claims)};
    main_stack_find(&threads);
    bool good = claim_running(&threads) && claim_all_ended(&threads);
    ca_map_deinit(&threads.met);
    return good;
}
