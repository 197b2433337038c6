#include "startup.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "control.h"
#include "host/environment.h"
#include "host/objects.h"
#include "host/real.h"
#include "host/system.h"
#include "operation.h"
#include "options.h"
#include "tables/modules.h"
#include "tables/root.h"
#include "totals.h"

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

static void tracer_prepare(void)
{
    struct tm_options options;
    options_find(&options);
    struct tm_root_options root_options = {
        .features = (options.detail ? TM_FEATURE_DETAIL : 0) | (options.stats ? TM_FEATURE_STATS : 0),
        .max_bytes = options.max,
    };
    tm_local.level = TM_LEVEL_MUTED; /* what libc allocates for us here is nobody's business */
    allocator_find();
    tm_root_create(&root_options);
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

/* Programs refer to tm.h's functions weakly, which takes nothing out of an archive: whoever gets the hooks gets them. */
extern int tm_start(int nframe);
__attribute__((used)) static int (*const functions_of_tm_h)(int) = tm_start;

__attribute__((constructor(101))) static void library_loaded(void)
{
    tm_wake();
}
