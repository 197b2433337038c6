#include "redirect.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "../atomics.h"
#include "../host/linked.h"
#include "../host/real.h"
#include "../host/system.h"
#include "../tables/modules.h"
#include "../tables/root.h"
#include "slots.h"

#ifdef DLFO_STRUCT_HAS_EH_DBASE /* glibc 2.35 or newer at build time */
#pragma weak _dl_find_object

/* Functions that are redirected. Those of the loader come first: its pointers get `from_loader`. */
enum { MALLOC, CALLOC, REALLOC, FREE, OF_LOADER };

static struct function {
    const char *name;
    bool is_operator; /* of C++: only those that an allocator brings itself */
    uintptr_t below;  /* where slots lead without us; 0 = nowhere, or it is not redirected */
    uintptr_t hook;
    uintptr_t from_loader;
} functions[] = {
    [MALLOC] = {.name = "malloc"},
    [CALLOC] = {.name = "calloc"},
    [REALLOC] = {.name = "realloc"},
    [FREE] = {.name = "free"},
    {.name = "reallocarray"},
    {.name = "posix_memalign"},
    {.name = "aligned_alloc"},
    {.name = "memalign"},
    {.name = "valloc"},
    {.name = "pvalloc"},
    {.name = "cfree"},
    {.name = "free_sized"},
    {.name = "free_aligned_sized"},
    {.name = "_Znwm", .is_operator = true},
    {.name = "_Znam", .is_operator = true},
    {.name = "_ZnwmRKSt9nothrow_t", .is_operator = true},
    {.name = "_ZnamRKSt9nothrow_t", .is_operator = true},
    {.name = "_ZnwmSt11align_val_t", .is_operator = true},
    {.name = "_ZnamSt11align_val_t", .is_operator = true},
    {.name = "_ZnwmSt11align_val_tRKSt9nothrow_t", .is_operator = true},
    {.name = "_ZnamSt11align_val_tRKSt9nothrow_t", .is_operator = true},
    {.name = "_ZdlPv", .is_operator = true},
    {.name = "_ZdaPv", .is_operator = true},
    {.name = "_ZdlPvm", .is_operator = true},
    {.name = "_ZdaPvm", .is_operator = true},
    {.name = "_ZdlPvRKSt9nothrow_t", .is_operator = true},
    {.name = "_ZdaPvRKSt9nothrow_t", .is_operator = true},
    {.name = "_ZdlPvSt11align_val_t", .is_operator = true},
    {.name = "_ZdaPvSt11align_val_t", .is_operator = true},
    {.name = "_ZdlPvmSt11align_val_t", .is_operator = true},
    {.name = "_ZdaPvmSt11align_val_t", .is_operator = true},
    {.name = "_ZdlPvSt11align_val_tRKSt9nothrow_t", .is_operator = true},
    {.name = "_ZdaPvSt11align_val_tRKSt9nothrow_t", .is_operator = true},
};

#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static bool is_prepared;

/* What follows is guarded by the loader's lock that dl_iterate_phdr() holds while it calls back. */
static bool is_redirected;
/* As of the last look: dlpi_adds, 0 = look at all objects again; dlpi_subs; objects in the loader's list. */
static unsigned long long seen_loads, seen_unloads;
static size_t seen_objects;

/* One look at all objects. */
struct look {
    enum { LATER_ONES, BEGIN, END } what;
    size_t redirected; /* slots */
    size_t position;   /* of the object in the loader's list */
    size_t known;      /* objects at its start that need no look */
    bool all_ready;    /* each object was relocated */
};

/* ---------------------------------------------------------------------------------------------------------------
 * Slots
 */

/* Where a slot that holds `value` is to lead; `value` itself = as it is. */
static uintptr_t slot_redirected(const struct tm_slot *slot, uintptr_t value)
{
    uintptr_t found = value;
    for (size_t i = 0; i < FUNCTIONS; i++) {
        const struct function *function = &functions[i];
        if (!function->below || (value != function->below && !slot->is_unbound)) {
            continue;
        }
        if (slot->name && strcmp(slot->name, function->name) == 0) {
            return function->hook;
        }
        if (value == function->below && found == value) { /* another name of it */
            found = function->hook;
        }
    }
    return found;
}

static uintptr_t slot_led_back(uintptr_t value)
{
    for (size_t i = 0; i < FUNCTIONS; i++) {
        const struct function *function = &functions[i];
        bool is_loaders = function->from_loader && value == function->from_loader;
        if (function->below && (value == function->hook || is_loaders)) {
            return function->below;
        }
    }
    return value;
}

static uintptr_t slot_visit(const struct tm_slot *slot, uintptr_t value, void *context)
{
    struct look *look = context;
    if (look->what == END) {
        return slot_led_back(value);
    }
    uintptr_t target = slot_redirected(slot, value);
    look->redirected += target != value;
    return target;
}

/* The loader reaches the allocator by pointers of its own (since glibc 2.31), which no relocation tells of.
 */
static uintptr_t loader_visit(const struct tm_slot *slot, uintptr_t value, void *context)
{
    struct look *look = context;
    (void)slot;
    if (look->what == END) {
        return slot_led_back(value);
    }
    for (size_t i = 0; i < OF_LOADER; i++) {
        if (value == functions[i].below) {
            look->redirected++;
            return functions[i].from_loader;
        }
    }
    return value;
}

/* ---------------------------------------------------------------------------------------------------------------
 * Objects
 */

/* Is it relocated, and not about to be unloaded? */
static bool object_is_ready(const struct dl_phdr_info *info, struct dl_find_object *found)
{
    return _dl_find_object((void *)info->dlpi_phdr, found) == 0 && found->dlfo_link_map &&
           found->dlfo_link_map->l_addr == info->dlpi_addr;
}

static bool look_begins(struct look *look, const struct dl_phdr_info *info)
{
    if (look->what == LATER_ONES) {
        if (!is_redirected || (info->dlpi_adds == seen_loads && info->dlpi_subs == seen_unloads)) {
            return false;
        }
        look->known = seen_loads && info->dlpi_subs == seen_unloads ? seen_objects : 0;
    }
    look->all_ready = true;
    return true;
}

static int object_visit(struct dl_phdr_info *info, size_t size, void *context)
{
    struct look *look = context;
    struct dl_find_object found;
    (void)size;
    if (look->position == 0 && !look_begins(look, info)) {
        return 1;
    }
    if (look->position++ < look->known) {
        return 0;
    }
    if (!object_is_ready(info, &found)) {
        look->all_ready = false;
    } else if ((uintptr_t)&functions - (uintptr_t)found.dlfo_map_start >=
               (uintptr_t)found.dlfo_map_end - (uintptr_t)found.dlfo_map_start) { /* not the tracer itself */
        struct tm_slots slots = {
            .bias = info->dlpi_addr,
            .start = (uintptr_t)found.dlfo_map_start,
            .end = (uintptr_t)found.dlfo_map_end,
            .headers = info->dlpi_phdr,
            .header_count = info->dlpi_phnum,
            .dynamic = found.dlfo_link_map->l_ld,
        };
        bool is_loader = tm_loader_start && slots.start == tm_loader_start;
        tm_slots_visit(&slots, slot_visit, look);
        if (is_loader) {
            tm_slots_visit_words(&slots, loader_visit, look);
        }
    }
    is_redirected = look->what != END;
    seen_loads = look->all_ready ? info->dlpi_adds : 0;
    seen_unloads = info->dlpi_subs;
    seen_objects = look->position;
    return 0;
}

static void objects_look(void)
{
    struct look look = {.what = LATER_ONES};
    dl_iterate_phdr(object_visit, &look);
}

/* ---------------------------------------------------------------------------------------------------------------
 * What the loader calls. The ways on are jumps: the hook's caller is the loader.
 */

static void *loader_malloc(size_t size)
{
    objects_look();
    return ((void *(*)(size_t))functions[MALLOC].hook)(size);
}

static void *loader_calloc(size_t count, size_t size)
{
    objects_look();
    return ((void *(*)(size_t, size_t))functions[CALLOC].hook)(count, size);
}

static void *loader_realloc(void *block, size_t size)
{
    objects_look();
    return ((void *(*)(void *, size_t))functions[REALLOC].hook)(block, size);
}

static void loader_free(void *block)
{
    objects_look();
    ((void (*)(void *))functions[FREE].hook)(block);
}

/* ---------------------------------------------------------------------------------------------------------------
 * Beginning and end
 */

static void function_find(struct function *function, void *own, const struct dl_find_object *allocator)
{
    uintptr_t below = (uintptr_t)tm_real_symbol(function->name);
    uintptr_t hook = (uintptr_t)dlsym(own, function->name);
    struct dl_find_object object;
    bool is_known = below && hook && below != hook && _dl_find_object((void *)below, &object) == 0;
    if (is_known && function->is_operator) {
        is_known = !tm_real_is_libc() && object.dlfo_map_start == allocator->dlfo_map_start;
    }
    function->hook = is_known ? hook : 0;
    function->below = is_known ? below : 0;
}

bool tm_redirect_prepare(void)
{
    struct dl_find_object own, allocator;
    if (is_prepared || !_dl_find_object || _dl_find_object(functions, &own) != 0 ||
        _dl_find_object((void *)tm_real.malloc, &allocator) != 0) {
        return is_prepared;
    }
    for (size_t i = 0; i < FUNCTIONS; i++) {
        function_find(&functions[i], own.dlfo_link_map,
                      &allocator); /* a link map is a handle of glibc's dlsym */
    }
    (void)dlsym(RTLD_DEFAULT, "malloc"); /* dlerror() forgets the searches that failed */
    functions[MALLOC].from_loader = (uintptr_t)loader_malloc;
    functions[CALLOC].from_loader = (uintptr_t)loader_calloc;
    functions[REALLOC].from_loader = (uintptr_t)loader_realloc;
    functions[FREE].from_loader = (uintptr_t)loader_free;
    is_prepared = functions[MALLOC].below && functions[CALLOC].below && functions[REALLOC].below &&
                  functions[FREE].below;
    return is_prepared;
}

size_t tm_redirect_begin(void)
{
    struct look look = {.what = BEGIN};
    if (is_prepared) {
        dl_iterate_phdr(object_visit, &look);
    }
    return look.redirected;
}

void tm_redirect_end(void)
{
    struct look look = {.what = END};
    if (is_prepared) {
        dl_iterate_phdr(object_visit, &look);
    }
}

#else /* glibc 2.34 and older */

bool tm_redirect_prepare(void)
{
    return false;
}

size_t tm_redirect_begin(void)
{
    return 0;
}

void tm_redirect_end(void)
{
}

#endif
