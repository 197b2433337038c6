#include "attach.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "../atomics.h"
#include "../control.h"
#include "../host/linked.h"
#include "../host/objects.h"
#include "../host/real.h"
#include "../host/startup.h"
#include "../host/system.h"
#include "../tables/root.h"
#include "redirect.h"

/* For debuggers: enum tm_attach_error, or 0. */
__attribute__((visibility("default"))) int tm_attach(int nframe);

bool tm_attached;

bool tm_attach_is_late(void)
{
    struct tm_object own;
    if (tm_real.malloc || !tm_object_find((uintptr_t)&tm_root_beacon, &own) || own.name[0] == '\0') {
        return false;
    }
    void *program = tm_object_open(NULL);
    bool is_late = program && !dlsym(program, "tm_table") && !tm_real.malloc;
    if (program) {
        dlclose(program);
    }
    return is_late;
}

/* Field 22 of /proc/self/stat: when the process started, in clock ticks since the system did; 0 = not known.
 */
static uint64_t process_start_ticks(void)
{
    char text[1024];
    long file = tm_system_open("/proc/self/stat");
    if (tm_system_failed(file)) {
        return 0;
    }
    long length = tm_system_read(file, text, sizeof(text) - 1);
    tm_system_close(file);
    text[length > 0 ? length : 0] = '\0';
    const char *at = strrchr(text, ')'); /* behind the name, which may hold anything: field 2 */
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    uint64_t ticks = 0;
    for (at = at ? at + 1 : ""; *at >= '0' && *at <= '9'; at++) {
        ticks = ticks * 10 + (uint64_t)(*at - '0');
    }
    return ticks;
}

uint64_t tm_attach_process_age(void)
{
    static const uint64_t second = UINT64_C(1000000000), ticks_per_second = 100; /* USER_HZ */
    struct timespec now = {0, 0};
    uint64_t start = process_start_ticks() * (second / ticks_per_second);
    tm_system(SYS_clock_gettime, CLOCK_BOOTTIME, (long)&now, 0, 0, 0, 0);
    uint64_t age = (uint64_t)now.tv_sec * second + (uint64_t)now.tv_nsec - start;
    return start && (int64_t)age > 0 ? age : 0;
}

static bool program_has_allocator(void)
{
    struct tm_object allocator;
    return tm_object_find((uintptr_t)tm_real.malloc, &allocator) && allocator.name[0] == '\0';
}

int tm_attach(int nframe)
{
    if (nframe < 1 || nframe > 65535) {
        return TM_ATTACH_BAD_LIMIT;
    }
    if (!tm_wake() || !tm_real_is_late || tm_load(&tm_root->state) == TM_STATE_INITIALISING) {
        return TM_ATTACH_NOT_LATE;
    }
    if (program_has_allocator()) {
        return TM_ATTACH_OWN_MALLOC;
    }
    if (!tm_redirect_prepare()) {
        return TM_ATTACH_OLD_LIBC;
    }
    tm_control_obey(); /* a stop that no operation has come for */
    tm_attached = true;
    tm_root->features |= TM_FEATURE_ATTACHED;
    if (!tm_control_start((uint32_t)nframe)) {
        return TM_ATTACH_NO_TABLES;
    }
    tm_redirect_begin(); /* once more: a call that was being bound meanwhile has a slot again that leads past
                            us */
    return 0;
}
