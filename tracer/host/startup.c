#include "startup.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>

#include "../attach/attach.h"
#include "../attach/redirect.h"
#include "../control.h"
#include "../entry/operators.h"
#include "../options.h"
#include "../record/operation.h"
#include "../record/sample.h"
#include "../record/totals.h"
#include "../tables/mappings.h"
#include "../tables/modules.h"
#include "../tables/root.h"
#include "environment.h"
#include "linked.h"
#include "objects.h"
#include "real.h"
#include "system.h"

static void complain(const struct tm_options_error *error)
{
    char line[512];
    static const char start[] = "tm: not tracing: TRACEMALLOC: ";
    memcpy(line, start, sizeof(start) - 1);
    size_t length = sizeof(start) - 1;
    length += tm_options_error_format(error, line + length, sizeof(line) - length - 1);
    line[length] = '\n';
    tm_system_write(2, line, length + 1);
}

static void options_find(struct tm_options *options)
{
    if (tm_real_is_late) { /* the debugger says how many frames */
        tm_options_init(options);
        options->nframe = 0;
        return;
    }
    struct tm_environment environment;
    struct tm_options_error error;
    tm_environment_read(&environment);
    tm_options_init(options);
    if (!environment.has_options) {
        options->nframe = environment.preloaded ? TM_OPTIONS_NFRAME_DEFAULT : 0;
    } else if (!tm_options_read(environment.options, options, &error)) {
        complain(&error);
        tm_options_init(options);
        options->nframe = 0;
    }
}

/* Order: first who may begin operations, last what they refer to. */
static void after_fork_in_child(void)
{
    struct tm_root *root = tm_root;
    tm_store(&root->pid, tm_system_pid());
    if (!tm_threads) {
        return;
    }
    root->features |= TM_FEATURE_INHERITED;
    tm_control_forked();
    tm_modules_forked();
    tm_operation_forked();
    tm_mappings_forked();
    tm_totals_forked(tm_local.thread ? tm_local.index : TM_REGION_FULL);
}

static void allocator_find(void)
{
    struct tm_object allocator;
    bool is_libc = tm_real_is_libc();
    tm_control_init(is_libc ? 5 : 4);
    if (!is_libc && tm_object_find((uintptr_t)tm_real.malloc, &allocator)) {
        tm_allocator_start = allocator.start;
        tm_allocator_size = allocator.end - allocator.start;
    }
}

static bool segment_has_our_note(const uint8_t *bytes, size_t size)
{
    static const char name[4] = TM_NOTE_NAME;
    while (size >= sizeof(ElfW(Nhdr)) + sizeof(name)) {
        const ElfW(Nhdr) *note = (const void *)bytes;
        if (note->n_type == TM_NOTE_TYPE && note->n_namesz == sizeof(TM_NOTE_NAME) &&
            memcmp(note + 1, name, sizeof(TM_NOTE_NAME)) == 0) {
            return true;
        }
        size_t length = sizeof(*note) + ((note->n_namesz + 3U) & ~3U) + ((note->n_descsz + 3U) & ~3U);
        if (length >= size) {
            break;
        }
        bytes += length;
        size -= length;
    }
    return false;
}

/* Is a tracer linked into the main program? Its hooks then come before those of any library. */
static bool program_has_tracer(void)
{
    const ElfW(Phdr) *headers = (const void *)getauxval(AT_PHDR); /* NOLINT(performance-no-int-to-ptr) */
    size_t count = headers ? getauxval(AT_PHNUM) : 0;
    uintptr_t bias = 0;
    for (size_t i = 0; i < count; i++) {
        bias = headers[i].p_type == PT_PHDR ? (uintptr_t)headers - headers[i].p_vaddr : bias;
    }
    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type == PT_NOTE &&
            segment_has_our_note((const uint8_t *)bias + headers[i].p_vaddr, headers[i].p_memsz)) {
            return true;
        }
    }
    return false;
}

/* Two tracers, one preloaded and one linked, would trace one another: the one whose hooks the program calls
 * does it, the other hands everything through. */
static bool is_second(void)
{
    struct tm_object own;
    if (!tm_object_find((uintptr_t)&tm_root_beacon, &own) || !own.name || own.name[0] == '\0') {
        return false; /* this is the main program's */
    }
    const void *first = dlsym(RTLD_DEFAULT, "tm_table");
    return (first && first != &tm_root_beacon) || program_has_tracer();
}

static void tracer_prepare(void)
{
    struct tm_options options;
    options_find(&options);
    tm_local.level = TM_LEVEL_MUTED; /* what libc allocates for us here is nobody's business */
    struct tm_root_options root_options = {
        .features = (options.detail ? TM_FEATURE_DETAIL : 0) | (options.stats ? TM_FEATURE_STATS : 0) |
                    (options.sample ? TM_FEATURE_SAMPLED : 0) | (options.freed ? TM_FEATURE_FREED : 0) |
                    (options.mmap ? TM_FEATURE_MMAP : 0) | (tm_real_is_bypassed() ? TM_FEATURE_BYPASSED : 0),
        .max_bytes = options.max,
        .sample_bytes = options.sample,
        .freed_count = options.freed,
    };
    tm_operators_find();
    if (is_second()) {
        tm_local.level = 0;
        return;
    }
    allocator_find();
    if (tm_real_is_late) {
        tm_redirect_prepare();
    }
    tm_root_create(&root_options);
    tm_sample_bytes = options.sample;
    tm_operation_init();
    pthread_atfork(NULL, NULL, after_fork_in_child);
    tm_local.level = 0;
    if (options.nframe) {
        tm_control_start(options.nframe);
    }
}

bool tm_wake(void)
{
    int saved = errno;
    static uint32_t prepared;
    bool found = tm_real_find();
    if (found && tm_swap_if(&prepared, 0, 1)) {
        tracer_prepare();
    }
    errno = saved;
    return found;
}

/* Programs refer to tm.h's functions weakly, which takes nothing out of an archive: whoever gets the hooks
 * gets them. */
extern int tm_start(int nframe);
__attribute__((used)) static int (*const functions_of_tm_h)(int) = tm_start;

__attribute__((constructor(101))) static void library_loaded(void)
{
    tm_real_is_late = tm_attach_is_late();
    tm_wake();
}
