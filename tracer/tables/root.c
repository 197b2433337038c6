#include "root.h"

#include <elf.h>
#include <string.h>

#include "../atomics.h"
#include "../host/system.h"
#include "fields.h"
#include "memory.h"

/* The root, its field table and the directories of the small regions. */
#define ROOT_SIZE ((size_t)64 << 10)

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

_Static_assert(sizeof(TM_ROOT_MAGIC) == TM_MAGIC_SIZE, "magic");
_Static_assert(sizeof(TM_BEACON_MAGIC) == TM_MAGIC_SIZE, "magic");

__attribute__((visibility("default"))) extern struct tm_beacon tm_table;
extern struct tm_beacon tm_root_beacon __attribute__((alias("tm_table")));

struct tm_beacon tm_table __attribute__((aligned(64))) = {
    .magic = TM_BEACON_MAGIC,
    .major = TM_LAYOUT_MAJOR,
    .minor = TM_LAYOUT_MINOR,
};

/* The note: its descriptor is at a multiple of 8 and holds the distance from itself to the beacon. */
__asm__(".pushsection .note.tm,\"a\",%note\n"
        "    .balign 8\n"
        "    .long 3, 8, 0x746d0001\n"
        "    .asciz \"" TM_NOTE_NAME "\"\n"
        "    .balign 8\n"
        "    .quad tm_root_beacon - .\n"
        ".popsection\n");
_Static_assert(TM_NOTE_TYPE == 0x746d0001, "the note above");

static struct tm_root static_root;
struct tm_root *tm_root = &static_root;

static uint64_t allocated; /* bytes of the root's page run in use */

static void root_fill(struct tm_root *root, const struct tm_root_options *options)
{
    root->major = TM_LAYOUT_MAJOR;
    root->minor = TM_LAYOUT_MINOR;
    root->byte_order = TM_BYTE_ORDER_PROBE;
    root->header_size = sizeof(*root);
    root->machine = MACHINE;
    root->self = (uintptr_t)root;
    root->start_time = tm_system_time();
    root->pid = tm_system_pid();
    root->features = options->features;
    root->sample_bytes = options->sample_bytes;
    root->traceback_limit = 1;
    root->region_size = sizeof(struct tm_region);
    root->max_bytes = options->max_bytes;
    root->freed_count = options->freed_count;
    root->generation = 1;
    root->peak_epoch = 1;
}

static void root_publish(struct tm_root *root)
{
    root->check = tm_root_check(root);
    tm_barrier();
    memcpy(root->magic, TM_ROOT_MAGIC, TM_MAGIC_SIZE);
    tm_barrier();
    tm_root_beacon.root = (uintptr_t)root;
    tm_root_beacon.self = (uintptr_t)&tm_root_beacon;
}

void tm_root_create(const struct tm_root_options *options)
{
    static_root.max_bytes = options->max_bytes;
    struct tm_root *root = tm_memory_map(TM_MEMORY_TABLES, ROOT_SIZE);
    if (!root) {
        root_fill(&static_root, options);
        static_root.state = TM_STATE_FAILED;
        root_publish(&static_root);
        return;
    }
    allocated = sizeof(*root);
    root_fill(root, options);
    root->committed_bytes = static_root.committed_bytes;
    root->private_bytes = static_root.private_bytes;
    tm_publish(&tm_root, root);
    struct tm_field *fields = tm_root_allocate(sizeof(tm_fields));
    memcpy(fields, tm_fields, sizeof(tm_fields));
    root->fields = (uintptr_t)fields;
    root->field_count = sizeof(tm_fields) / sizeof(tm_fields[0]);
    root->state = TM_STATE_STOPPED;
    root_publish(root);
}

void *tm_root_allocate(size_t size)
{
    size = (size + 63) & ~(size_t)63;
    uint64_t used = tm_load(&allocated);
    while (used + size <= ROOT_SIZE) {
        if (tm_swap_if(&allocated, used, used + size)) {
            return (char *)tm_root + used;
        }
        used = tm_load(&allocated);
    }
    return tm_memory_map(TM_MEMORY_TABLES, size);
}

void tm_root_fail(void)
{
    tm_store(&tm_root->state, TM_STATE_FAILED);
}
