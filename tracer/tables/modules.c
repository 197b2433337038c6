#include "modules.h"

#include <limits.h>
#include <link.h>
#include <string.h>

#include "../host/objects.h"
#include "../host/system.h"
#include "../unwind.h"
#include "region.h"
#include "strings.h"

#pragma weak _r_debug

uintptr_t tm_loader_start, tm_loader_size;

static struct tm_region *modules;

/* Held while a module is added; who cannot have it in time goes on without: then a module may be listed twice. */
static uint32_t adding;

bool tm_modules_init(void)
{
    static const struct tm_region_shape shape = {
        .kind = TM_REGION_MODULES,
        .element_size = sizeof(struct tm_module),
        .segment_shift = 9,
        .directory_bits = 7,
        .count = 1,
    };
    modules = tm_region_create(&shape);
    struct tm_object loader; /* that of a fully static program is in the program itself */
    if (&_r_debug && tm_object_find((uintptr_t)&_r_debug, &loader) && loader.name[0] != '\0') {
        tm_loader_start = loader.start;
        tm_loader_size = loader.end - loader.start;
    }
    return modules && tm_region_make(modules, 0);
}

static struct tm_module *module_at(uint64_t index)
{
    struct tm_module *module = tm_region_find(modules, index);
    return module && tm_load_acquire(&module->start) ? module : NULL;
}

static bool module_is_object(const struct tm_module *module, const struct tm_object *object)
{
    return module->start == object->start && module->end == object->end && module->bias == object->bias &&
           module->build_id_length == object->build_id_length &&
           (object->build_id_length == 0 || memcmp(module->build_id, object->build_id, object->build_id_length) == 0);
}

static void module_unload(struct tm_module *module)
{
    tm_publish(&module->unloaded_time, tm_system_time());
    tm_unwind_forget();
}

/* The known module that this object is; those that it lies over must be gone. */
static uint32_t module_known(const struct tm_object *object)
{
    uint64_t count = tm_load_acquire(&modules->count);
    for (uint64_t i = 1; i < count; i++) {
        struct tm_module *module = module_at(i);
        if (!module || module->unloaded_time || module->start >= object->end || module->end <= object->start) {
            continue;
        }
        if (module_is_object(module, object)) {
            return (uint32_t)i;
        }
        module_unload(module);
    }
    return 0;
}

static void module_name(struct tm_module *module, const struct tm_object *object)
{
    char path[PATH_MAX];
    const char *name = object->name;
    size_t length = strlen(name);
    if (length == 0) {
        long answer = tm_system_readlink("/proc/self/exe", path, sizeof(path));
        name = path;
        length = answer > 0 ? (size_t)answer : 0;
    }
    module->path = tm_string_add(name, length);
    module->path_length = module->path ? (uint32_t)length : 0;
    module->path_check = tm_text_check(name, module->path_length);
}

static uint32_t module_add(const struct tm_object *object)
{
    uint64_t index = tm_region_take(modules, 1);
    if (index == TM_REGION_FULL) {
        return 0;
    }
    struct tm_module *module = tm_region_find(modules, index);
    uint64_t start = object->start;
    module->end = object->end;
    module->bias = object->bias;
    module->loaded_time = tm_system_time();
    module_name(module, object);
    module->build_id_length = (uint32_t)object->build_id_length;
    memcpy(module->build_id, object->build_id, object->build_id_length);
    struct tm_module whole = *module;
    whole.start = start;
    module->check = tm_module_check(&whole);
    tm_publish(&module->start, start);
    return (uint32_t)index;
}

uint32_t tm_module_find(uintptr_t code_address)
{
    struct tm_object object;
    if (!tm_object_find(code_address, &object)) {
        return 0;
    }
    tm_object_read_build_id(&object);
    if (object.build_id_length > TM_BUILD_ID_MAX) {
        object.build_id_length = TM_BUILD_ID_MAX;
    }
    uint32_t index = module_known(&object);
    if (index) {
        return index;
    }
    bool alone = false;
    for (int attempt = 0; attempt < 100 && !alone; attempt++) {
        alone = tm_swap_if(&adding, 0, 1);
        if (!alone) {
            tm_system_yield();
        }
    }
    index = module_known(&object);
    if (!index) {
        index = module_add(&object);
    }
    if (alone) {
        tm_publish(&adding, 0);
    }
    return index;
}

bool tm_module_is_loaded(uint32_t module)
{
    if (module == 0) {
        return true;
    }
    const struct tm_module *known = module_at(module);
    return known && known->unloaded_time == 0;
}

void tm_modules_check(void)
{
    if (!modules) {
        return;
    }
    uint64_t count = tm_load_acquire(&modules->count);
    for (uint64_t i = 1; i < count; i++) {
        struct tm_module *module = module_at(i);
        struct tm_object object;
        if (!module || module->unloaded_time) {
            continue;
        }
        if (!tm_object_find(module->start, &object) || object.start != module->start || object.end != module->end) {
            module_unload(module);
        }
    }
}

void tm_modules_forked(void)
{
    tm_publish(&adding, 0);
}
