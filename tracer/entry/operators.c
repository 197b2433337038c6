#include "operators.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>

#include "../host/linked.h"
#include "../host/objects.h"
#include "call.h"

/* An operator of the next library that has it. Arguments behind the first one (size or block) are integers or
 * pointers, at most two: those that an operator does not have may be given to it all the same. */
union operator_code {
    void *symbol; /* NULL = there is none */
    void *(*allocate)(size_t size, uintptr_t second, uintptr_t third);
    void (*release)(void *block, uintptr_t second, uintptr_t third);
};

struct operator_below {
    const char *name;
    union operator_code through; /* calls malloc or free itself */
    union operator_code own;     /* the allocator's, which does not */
};

enum {
    NEW,
    NEW_NOTHROW,
    NEW_ALIGNED,
    NEW_ALIGNED_NOTHROW,
    DELETE,
    DELETE_SIZED,
    DELETE_NOTHROW,
    DELETE_ALIGNED,
    DELETE_SIZED_ALIGNED,
    DELETE_ALIGNED_NOTHROW,
    KINDS
};

/* By kind; [1] are those of arrays. Names as on platforms whose size_t is unsigned long. */
static struct operator_below below[2][KINDS] = {
    {
        [NEW] = {.name = "_Znwm"},
        [NEW_NOTHROW] = {.name = "_ZnwmRKSt9nothrow_t"},
        [NEW_ALIGNED] = {.name = "_ZnwmSt11align_val_t"},
        [NEW_ALIGNED_NOTHROW] = {.name = "_ZnwmSt11align_val_tRKSt9nothrow_t"},
        [DELETE] = {.name = "_ZdlPv"},
        [DELETE_SIZED] = {.name = "_ZdlPvm"},
        [DELETE_NOTHROW] = {.name = "_ZdlPvRKSt9nothrow_t"},
        [DELETE_ALIGNED] = {.name = "_ZdlPvSt11align_val_t"},
        [DELETE_SIZED_ALIGNED] = {.name = "_ZdlPvmSt11align_val_t"},
        [DELETE_ALIGNED_NOTHROW] = {.name = "_ZdlPvSt11align_val_tRKSt9nothrow_t"},
    },
    {
        [NEW] = {.name = "_Znam"},
        [NEW_NOTHROW] = {.name = "_ZnamRKSt9nothrow_t"},
        [NEW_ALIGNED] = {.name = "_ZnamSt11align_val_t"},
        [NEW_ALIGNED_NOTHROW] = {.name = "_ZnamSt11align_val_tRKSt9nothrow_t"},
        [DELETE] = {.name = "_ZdaPv"},
        [DELETE_SIZED] = {.name = "_ZdaPvm"},
        [DELETE_NOTHROW] = {.name = "_ZdaPvRKSt9nothrow_t"},
        [DELETE_ALIGNED] = {.name = "_ZdaPvSt11align_val_t"},
        [DELETE_SIZED_ALIGNED] = {.name = "_ZdaPvmSt11align_val_t"},
        [DELETE_ALIGNED_NOTHROW] = {.name = "_ZdaPvSt11align_val_tRKSt9nothrow_t"},
    },
};

/* Weak: a program that has the tracer linked in may define some of them itself. */
#define OPERATOR __attribute__((visibility("default"), noinline, weak))
#define SLOWLY   static __attribute__((noinline))

OPERATOR void *_Znwm(size_t size, uintptr_t second, uintptr_t third);
OPERATOR void *_ZnwmSt11align_val_t(size_t size, uintptr_t second, uintptr_t third);
OPERATOR void _ZdlPv(void *block, uintptr_t second, uintptr_t third);
OPERATOR void _ZdlPvSt11align_val_t(void *block, uintptr_t second, uintptr_t third);

static void operator_find(struct operator_below *operator_below, const struct tm_object *allocator)
{
    struct tm_object object;
    void *symbol = tm_real_symbol(operator_below->name);
    bool is_own =
        symbol && allocator && tm_object_find((uintptr_t)symbol, &object) && object.start == allocator->start;
    tm_publish(is_own ? &operator_below->own.symbol : &operator_below->through.symbol, symbol);
}

void tm_operators_find(void)
{
    struct tm_object allocator;
    bool is_known = !tm_real_is_libc() && tm_object_find((uintptr_t)tm_real.malloc, &allocator);
    for (int array = 0; array < 2; array++) {
        for (int kind = 0; kind < KINDS; kind++) {
            operator_find(&below[array][kind], is_known ? &allocator : NULL);
        }
    }
    /* A search that succeeds makes dlerror() forget those that did not; to ask it needs libc's locale, which
     * may not be there yet. */
    if (!tm_linked_with_libc()) {
        dlsym(RTLD_NEXT, "malloc");
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * Without operators below
 */

typedef void handler(void);

/* In a fully static program they are there or they are not: nothing else in it needs them then. */
extern handler *linked_get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern void linked_throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));

/* A function of the C++ library that the code at this address is linked with. Both stay where they are while
 * it runs. */
static void *caller_library_find(uintptr_t pc, const char *name)
{
    struct tm_object object;
    void *library =
        tm_object_find(pc, &object) ? tm_object_open(object.name[0] ? object.name : NULL) : NULL;
    void *function = library ? dlsym(library, name) : NULL;
    if (library) {
        dlclose(library);
    }
    return function;
}

/* No memory: the program's handler may make room; else bad_alloc is thrown, by the library that the caller
 * has. */
static void make_room(uintptr_t pc)
{
    bool linked = tm_linked_with_libc();
    handler *(*get_handler)(void) =
        linked ? linked_get_new_handler
               : (handler * (*)(void)) caller_library_find(pc, "_ZSt15get_new_handlerv");
    handler *current = get_handler ? get_handler() : NULL;
    if (current) {
        current();
        return;
    }
    handler *throw_bad_alloc =
        linked ? linked_throw_bad_alloc : (handler *)caller_library_find(pc, "_ZSt17__throw_bad_allocv");
    if (throw_bad_alloc) {
        throw_bad_alloc();
    }
    abort();
}

INLINE void *by_malloc(struct request *request)
{
    return tm_real.malloc(least(request->size));
}

INLINE void *by_aligned_alloc(struct request *request)
{
    size_t alignment = request->arguments[0];
    size_t size = (request->size + alignment - 1) & ~(alignment - 1);
    return size < request->size || !tm_real.aligned_alloc ? NULL : tm_real.aligned_alloc(alignment, size);
}

INLINE void by_free(const struct request *request)
{
    tm_real.free(request->block);
}

INLINE void *operator_new_here(int kind, struct request *request, const struct tm_walk_start *caller)
{
    bool aligned = kind == NEW_ALIGNED || kind == NEW_ALIGNED_NOTHROW;
    bool throws = kind == NEW || kind == NEW_ALIGNED;
    for (;;) {
        void *block = allocate(aligned ? by_aligned_alloc : by_malloc, request, caller);
        if (TM_LIKELY(block) || !throws) {
            return block;
        }
        make_room(caller->pc);
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * The operators
 */

INLINE void *by_operator_new(struct request *request)
{
    return request->operator_below->own.allocate(least(request->size), request->arguments[0],
                                                 request->arguments[1]);
}

INLINE void *operator_new(int array, int kind, size_t size, uintptr_t second, uintptr_t third,
                          const struct tm_walk_start *caller)
{
    const struct operator_below *next = &below[array][kind];
    if (TM_UNLIKELY(!is_awake())) {
        return tm_early_allocate(size, 16);
    }
    struct request request = {.size = size, .operator_below = next, .arguments = {second, third}};
    return next->own.symbol ? allocate(by_operator_new, &request, caller)
                            : operator_new_here(kind, &request, caller);
}

INLINE void by_operator_delete(const struct request *request)
{
    request->operator_below->own.release(request->block, request->arguments[0], request->arguments[1]);
}

INLINE void operator_delete(int array, int kind, void *block, uintptr_t second, uintptr_t third,
                            const struct tm_walk_start *caller)
{
    const struct operator_below *next = &below[array][kind];
    if (kind == DELETE_SIZED || kind == DELETE_SIZED_ALIGNED) {
        second = least(second); /* as it was asked for */
    }
    const struct request request = {.block = block, .operator_below = next, .arguments = {second, third}};
    if (next->own.symbol) {
        release(by_operator_delete, &request, caller);
    } else {
        release(by_free, &request, caller);
    }
}

/* Where there is none below, an operator is done here (is_itself) or by an other one, which may be the
 * program's: arrays by single objects, deletes of a known size by those of any. All ways on are jumps: no
 * frame of the tracer comes between the program and its operator. */
#define NEW_OPERATOR(mangled, array, kind, is_itself, other)                                                 \
    OPERATOR void *mangled(size_t size, uintptr_t second, uintptr_t third);                                  \
    SLOWLY void *mangled##_recorded(size_t size, uintptr_t second, uintptr_t third)                          \
    {                                                                                                        \
        CALLER(caller);                                                                                      \
        return operator_new(array, kind, size, second, third, &caller);                                      \
    }                                                                                                        \
    void *mangled(size_t size, uintptr_t second, uintptr_t third)                                            \
    {                                                                                                        \
        const struct operator_below *next = &below[array][kind];                                             \
        if (TM_LIKELY(next->through.symbol)) {                                                               \
            return next->through.allocate(size, second, third);                                              \
        }                                                                                                    \
        return is_itself || next->own.symbol ? mangled##_recorded(size, second, third)                       \
                                             : other(size, second, third);                                   \
    }

#define DELETE_OPERATOR(mangled, array, kind, is_itself, other)                                              \
    OPERATOR void mangled(void *block, uintptr_t second, uintptr_t third);                                   \
    SLOWLY void mangled##_recorded(void *block, uintptr_t second, uintptr_t third)                           \
    {                                                                                                        \
        CALLER(caller);                                                                                      \
        operator_delete(array, kind, block, second, third, &caller);                                         \
    }                                                                                                        \
    void mangled(void *block, uintptr_t second, uintptr_t third)                                             \
    {                                                                                                        \
        const struct operator_below *next = &below[array][kind];                                             \
        if (TM_LIKELY(next->through.symbol && !tm_early_owns(block))) {                                      \
            next->through.release(block, second, third);                                                     \
        } else if (is_itself || next->own.symbol) {                                                          \
            mangled##_recorded(block, second, third);                                                        \
        } else {                                                                                             \
            other(block, kind == DELETE_SIZED_ALIGNED ? third : second, 0);                                  \
        }                                                                                                    \
    }

NEW_OPERATOR(_Znwm, 0, NEW, true, _Znwm)
NEW_OPERATOR(_Znam, 1, NEW, false, _Znwm)
NEW_OPERATOR(_ZnwmRKSt9nothrow_t, 0, NEW_NOTHROW, true, _Znwm)
NEW_OPERATOR(_ZnamRKSt9nothrow_t, 1, NEW_NOTHROW, true, _Znwm)
NEW_OPERATOR(_ZnwmSt11align_val_t, 0, NEW_ALIGNED, true, _ZnwmSt11align_val_t)
NEW_OPERATOR(_ZnamSt11align_val_t, 1, NEW_ALIGNED, false, _ZnwmSt11align_val_t)
NEW_OPERATOR(_ZnwmSt11align_val_tRKSt9nothrow_t, 0, NEW_ALIGNED_NOTHROW, true, _ZnwmSt11align_val_t)
NEW_OPERATOR(_ZnamSt11align_val_tRKSt9nothrow_t, 1, NEW_ALIGNED_NOTHROW, true, _ZnwmSt11align_val_t)
DELETE_OPERATOR(_ZdlPv, 0, DELETE, true, _ZdlPv)
DELETE_OPERATOR(_ZdaPv, 1, DELETE, false, _ZdlPv)
DELETE_OPERATOR(_ZdlPvm, 0, DELETE_SIZED, false, _ZdlPv)
DELETE_OPERATOR(_ZdaPvm, 1, DELETE_SIZED, false, _ZdlPv)
DELETE_OPERATOR(_ZdlPvRKSt9nothrow_t, 0, DELETE_NOTHROW, false, _ZdlPv)
DELETE_OPERATOR(_ZdaPvRKSt9nothrow_t, 1, DELETE_NOTHROW, false, _ZdlPv)
DELETE_OPERATOR(_ZdlPvSt11align_val_t, 0, DELETE_ALIGNED, true, _ZdlPvSt11align_val_t)
DELETE_OPERATOR(_ZdaPvSt11align_val_t, 1, DELETE_ALIGNED, false, _ZdlPvSt11align_val_t)
DELETE_OPERATOR(_ZdlPvmSt11align_val_t, 0, DELETE_SIZED_ALIGNED, false, _ZdlPvSt11align_val_t)
DELETE_OPERATOR(_ZdaPvmSt11align_val_t, 1, DELETE_SIZED_ALIGNED, false, _ZdlPvSt11align_val_t)
DELETE_OPERATOR(_ZdlPvSt11align_val_tRKSt9nothrow_t, 0, DELETE_ALIGNED_NOTHROW, false, _ZdlPvSt11align_val_t)
DELETE_OPERATOR(_ZdaPvSt11align_val_tRKSt9nothrow_t, 1, DELETE_ALIGNED_NOTHROW, false, _ZdlPvSt11align_val_t)
