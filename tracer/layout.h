/* layout.h: the memory layout that the tracer writes and every reader reads.
 *
 * This header is the whole contract between a traced process and the tools that look at it from
 * outside (or at its core file). docs/layout.md explains it to somebody who writes a second reader.
 *
 * Conventions
 *   - All integers are little-endian and fixed-width. Every address is a virtual address of the traced process.
 *   - A zeroed element is an empty element. Elements never move while the process lives.
 *   - Multi-word elements are written first and published last by one aligned store (release order); the word that
 *     publishes is named in the comment of its structure.
 *   - What is written once bears a check (tm_check_step and what follows it): the program may have overwritten it.
 *   - Within one major version, fields are only added at the end of a structure or in reserved space: readers take
 *     element sizes from the region table and must accept larger ones. docs/layout.md, "Versions", has the whole promise.
 */
#ifndef TM_LAYOUT_H
#define TM_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define TM_LAYOUT_MAJOR 1
#define TM_LAYOUT_MINOR 0

/* 16 bytes each, no terminating NUL counted. The first byte is no ASCII so that text never matches. */
#define TM_ROOT_MAGIC   "\x89tm-root\r\n\x1a\n\0\0\0"
#define TM_BEACON_MAGIC "\x89tm-beacon\r\n\x1a\n\0"
#define TM_MAGIC_SIZE   16

#define TM_BYTE_ORDER_PROBE UINT64_C(0x0102030405060708)

/* Where the tracer asks for its tables: below the heap and the libraries of a PIE, so that they come first in a core
 * file and survive its truncation. The root page is at the start of the first of these that is free. */
#define TM_PREFERRED_ADDRESS UINT64_C(0x2000000000)
/* Tables that readers do not need (hash indexes, caches) are put from here on and marked MADV_DONTDUMP. */
#define TM_PRIVATE_ADDRESS   UINT64_C(0x3000000000)

/* ---------------------------------------------------------------------------------------------------------------
 * Beacon: a small object inside the tracer's own image, exported as the dynamic symbol `tm_table` and pointed to by
 * an ELF note, for readers that do not find the root at its preferred address.
 *
 * The note: section .note.tm, name "tm", type TM_NOTE_TYPE, descriptor = one int64_t at 8-byte alignment that holds
 * (address of tm_table) - (address of the descriptor itself), fixed at link time.
 */
#define TM_NOTE_NAME "tm"
#define TM_NOTE_TYPE 0x746d0001

struct tm_beacon {
    uint8_t magic[TM_MAGIC_SIZE]; /* TM_BEACON_MAGIC */
    uint64_t self;                /* address of this object; 0 before the tracer has initialised */
    uint64_t root;                /* address of struct tm_root; 0 = no root yet */
    uint32_t major;               /* as in the root, for readers that cannot reach the root */
    uint32_t minor;
};

/* ---------------------------------------------------------------------------------------------------------------
 * Root
 */
enum tm_state {
    TM_STATE_INITIALISING = 0,
    TM_STATE_STOPPED = 1, /* loaded, not tracing */
    TM_STATE_TRACING = 2,
    TM_STATE_FAILED = 3, /* could not initialise: never traces */
};

/* tm_root.features: what this process records */
#define TM_FEATURE_DETAIL   UINT64_C(0x01) /* LIVE and WIDE elements carry thread, time and order */
#define TM_FEATURE_STATS    UINT64_C(0x02) /* STATS region is kept */
#define TM_FEATURE_SAMPLED  UINT64_C(0x04) /* sample_bytes != 0 */
#define TM_FEATURE_MMAP     UINT64_C(0x08) /* anonymous mmap is recorded as domain 1 */
#define TM_FEATURE_FREED    UINT64_C(0x10) /* HISTORY region is kept */
#define TM_FEATURE_ATTACHED UINT64_C(0x40)  /* the tracer came into the running process: earlier blocks are unknown */
#define TM_FEATURE_BYPASSED UINT64_C(0x80)  /* the program has a malloc of its own: only what that hands on is recorded */
#define TM_FEATURE_INHERITED UINT64_C(0x20) /* this process is the child of a fork: earlier records are its parent's */

/* tm_root.request: written by a debugger, obeyed by the tracer at its next operation, then set back to 0 */
enum tm_request {
    TM_REQUEST_NONE = 0,
    TM_REQUEST_START = 1, /* request_argument = traceback limit */
    TM_REQUEST_STOP = 2,
    TM_REQUEST_CLEAR = 3,
    TM_REQUEST_RESET_PEAK = 4,
};

#define TM_REGION_MAX 32

/* One table. Element i of a region is found like this, for every kind:
 *     segment  = i >> segment_shift;  within = i & ((1 << segment_shift) - 1)
 *     middle_bits == 0:  base = u64 at directory + 8 * segment
 *     middle_bits != 0:  middle = u64 at directory + 8 * (segment >> middle_bits)
 *                        base = middle ? u64 at middle + 8 * (segment & ((1 << middle_bits) - 1)) : 0
 *     base == 0: that segment does not exist, its elements are empty; otherwise
 *     element  = base + within * element_size
 * directory has directory_length words, a middle table 1 << middle_bits. A segment is committed memory in full.
 */
struct tm_region {
    uint32_t kind;             /* enum tm_region_kind; 0 = unused descriptor. Published last */
    uint32_t shard;            /* regions of one kind with different shards are added up by readers */
    uint32_t element_size;     /* bytes, multiple of 4; STRINGS: 1 */
    uint32_t segment_shift;    /* log2 of the elements of a segment */
    uint64_t directory;        /* address of the segment directory */
    uint32_t directory_length; /* words in the directory */
    uint32_t middle_bits;      /* 0 = one level */
    uint32_t key_shift;        /* LIVE: element index = block address >> key_shift. Otherwise 0 */
    uint32_t flags;            /* 0 */
    uint64_t count;            /* elements handed out so far, an upper bound; UINT64_MAX = sparse, walk the directory */
    uint64_t committed;        /* bytes of segments and directories */
    uint32_t check;            /* tm_region_check(): of all that stays as it is, which is not count and committed */
    uint32_t reserved;
};

enum tm_region_kind {
    TM_REGION_NONE = 0,
    TM_REGION_THREADS = 1,      /* struct tm_thread */
    TM_REGION_MODULES = 2,      /* struct tm_module */
    TM_REGION_STRINGS = 3,      /* bytes; a string never crosses a segment */
    TM_REGION_FRAMES = 4,       /* struct tm_frame; index = frame id, 0 unused */
    TM_REGION_STACKS = 5,       /* struct tm_stack; index = stack id, 0 unused, 1 = unknown */
    TM_REGION_STACK_FRAMES = 6, /* uint32_t frame ids */
    TM_REGION_LIVE = 7,         /* uint64_t live words, or struct tm_live_detail with TM_FEATURE_DETAIL */
    TM_REGION_STATS = 8,        /* struct tm_stack_stats, in no order */
    TM_REGION_WIDE = 9,         /* struct tm_wide */
    TM_REGION_HISTORY = 10,     /* struct tm_freed */
};

/* Self-description: where a field lies in its structure, so that a reader need not trust its own header. */
struct tm_field {
    uint16_t structure; /* enum tm_structure */
    uint16_t field;     /* ordinal of the field in the order of this header, from 0 */
    uint16_t offset;    /* bytes from the start of the structure */
    uint16_t size;      /* bytes */
};

enum tm_structure {
    TM_STRUCTURE_ROOT = 1,
    TM_STRUCTURE_REGION = 2,
    TM_STRUCTURE_THREAD = 3,
    TM_STRUCTURE_OPERATION = 4,
    TM_STRUCTURE_MODULE = 5,
    TM_STRUCTURE_FRAME = 6,
    TM_STRUCTURE_STACK = 7,
    TM_STRUCTURE_STATS = 8,
    TM_STRUCTURE_LIVE_DETAIL = 9,
    TM_STRUCTURE_WIDE = 10,
    TM_STRUCTURE_FREED = 11,
};

struct tm_root {
    uint8_t magic[TM_MAGIC_SIZE]; /* TM_ROOT_MAGIC; written last during initialisation */
    uint32_t major;               /* a reader refuses another one than its own */
    uint32_t minor;
    uint64_t byte_order;          /* TM_BYTE_ORDER_PROBE */
    uint32_t header_size;         /* sizeof(struct tm_root) of the writer */
    uint32_t machine;             /* ELF e_machine: 62 = x86-64, 183 = aarch64 */
    uint64_t self;                /* address of this root; a copy elsewhere is not the root */
    uint64_t start_time;          /* CLOCK_REALTIME, ns, when the tracer initialised */
    uint32_t pid;                 /* the process these tables belong to; a fork's child writes its own */
    uint32_t state;               /* enum tm_state */
    uint64_t features;            /* TM_FEATURE_* */
    uint32_t traceback_limit;     /* physical frames kept per traceback, 1..65535; what start last used, first 1 */
    uint32_t region_count;        /* used descriptors in regions[] */
    uint32_t region_size;         /* sizeof(struct tm_region) of the writer */
    uint32_t field_count;
    uint64_t fields;              /* address of field_count struct tm_field */
    uint64_t sample_bytes;        /* mean bytes between samples, 0 = every block; else all counters of blocks and bytes
                                   * count each recorded block tm_sample_count() times */
    uint64_t max_bytes;           /* cap on the tracer's own memory, 0 = none */
    uint64_t freed_count;         /* blocks that each shard of the history of freed blocks keeps */
    uint64_t generation;          /* of the traces, from 1; a clear or a start adds 1: older records are void */
    uint64_t current;             /* bytes, folded, kept only when several threads allocate; the value to show is the sum over
                                   * the threads' counters */
    uint64_t peak;                /* bytes; set when memory falls after a new peak. Readers show max(peak, that sum) */
    uint64_t peak_epoch;          /* advances when memory first falls after a new peak */
    uint64_t fold_bytes;          /* peak may be short by at most this much per thread, 0 while one thread allocates */
    uint64_t committed_bytes;     /* the tracer's own memory, all tables, private ones too */
    uint64_t private_bytes;       /* thereof marked MADV_DONTDUMP */
    uint64_t dropped_count;       /* blocks not recorded for want of memory or of a thread slot, beside those in threads */
    uint64_t dropped_size;
    uint64_t anomaly_count;       /* a live word was overwritten by a second malloc of one address: a free was missed */
    uint32_t request;             /* enum tm_request */
    uint32_t request_argument;
    uint64_t untraced_time;       /* ns from the process's start to the start of tracing, with TM_FEATURE_ATTACHED; else 0 */
    uint32_t check;               /* tm_root_check(): of what stays as it is */
    uint32_t reserved;
    uint64_t reserved2[6];
    struct tm_region regions[TM_REGION_MAX];
};

/* ---------------------------------------------------------------------------------------------------------------
 * Live blocks of domain 0
 *
 * A live word is 0 = no block here, else
 *     bits  0..34  requested size in bytes; TM_LIVE_SIZE_WIDE = the block is in WIDE, this word only says so
 *     bit  35      TM_LIVE_OFFSET: the block begins 16 bytes after index << key_shift
 *     bits 36..62  stack id, never 0
 *     bit  63      generation & 1
 * A word whose bit 63 differs from the root's generation & 1 is void (left by a clear that is not swept yet).
 * The word itself publishes.
 *     address = (index << key_shift) + (word & TM_LIVE_OFFSET ? 16 : 0)
 * key_shift is 5 where blocks begin at least 32 bytes apart (glibc), else 4 (then bit 35 is never set). A block whose
 * address is no multiple of 16 is in WIDE.
 */
#define TM_LIVE_SIZE_MASK   ((UINT64_C(1) << 35) - 1)
#define TM_LIVE_SIZE_WIDE   TM_LIVE_SIZE_MASK
#define TM_LIVE_OFFSET      (UINT64_C(1) << 35)
#define TM_LIVE_STACK_SHIFT 36
#define TM_LIVE_STACK_BITS  27
#define TM_LIVE_STACK_MAX   ((UINT32_C(1) << TM_LIVE_STACK_BITS) - 1)
#define TM_LIVE_GENERATION  (UINT64_C(1) << 63)

/* LIVE element when TM_FEATURE_DETAIL is set. word is written last and cleared first. */
struct tm_live_detail {
    uint64_t word;   /* live word */
    uint64_t time;   /* CLOCK_REALTIME, ns */
    uint64_t order;  /* sequence number of the allocation in the process, from 1; within a thread strictly growing */
    uint32_t thread; /* kernel thread id */
    uint32_t reserved;
};

/* A block that has no live word: other domains, addresses or sizes that do not fit. state publishes. */
enum tm_wide_state {
    TM_WIDE_EMPTY = 0,
    TM_WIDE_BUSY = 1, /* being written: no block */
    TM_WIDE_LIVE = 2,
    TM_WIDE_DEAD = 3, /* was a block, may be used again */
};

struct tm_wide {
    uint64_t state;      /* enum tm_wide_state | generation << 8 */
    uint64_t address;
    uint64_t size;
    uint32_t domain;     /* 0 = malloc family, 1 = anonymous mmap, others = tm_track */
    uint32_t stack;      /* stack id */
    uint64_t time;       /* as in tm_live_detail; 0 without TM_FEATURE_DETAIL */
    uint64_t order;
    uint32_t thread;
    uint32_t reserved;
    uint64_t reserved2;
};

/* A freed block. Threads are dealt out to shards, each of which is a ring of root.freed_count elements from a multiple of
 * 2^24 on, its oldest overwritten. check publishes. */
struct tm_freed {
    uint64_t order;      /* sequence number of the free in its shard, from 1; of two shards, freed_time decides */
    uint64_t address;
    uint64_t size;
    uint64_t allocated_time;
    uint64_t freed_time;
    uint32_t allocated_thread;
    uint32_t freed_thread;
    uint32_t allocated_stack;
    uint32_t freed_stack;
    uint32_t domain;
    uint32_t check; /* tm_freed_check(); 0 = empty, TM_FREED_BUSY = being written */
};
#define TM_FREED_BUSY 1

/* ---------------------------------------------------------------------------------------------------------------
 * Tracebacks
 */

/* One distinct code position. Never reused, also when the code there is unloaded and other code takes its place
 * (that gets a new frame id with another module). word publishes. */
struct tm_frame {
    uint64_t word;   /* bits 56..63 enum tm_frame_kind, bits 0..55 address; 0 = empty */
    uint32_t module; /* index into MODULES, 0 = none known */
    uint32_t check;  /* tm_frame_check() */
};

enum tm_frame_kind {
    TM_FRAME_RETURN = 0,      /* return address: the call is before it, look up address - 1 */
    TM_FRAME_INTERRUPTED = 1, /* program counter that a signal interrupted: look up as it is */
    TM_FRAME_INTERPRETED = 2, /* reserved: low bits index a table of file, line and function in STRINGS */
};
#define TM_FRAME_KIND_SHIFT   56
#define TM_FRAME_ADDRESS_MASK ((UINT64_C(1) << 56) - 1)

/* tm_stack.flags */
#define TM_STACK_TRUNCATED 0x1 /* cut by the traceback limit */
#define TM_STACK_NO_DEPTH  0x2 /* total_nframe is not known */
#define TM_STACK_BROKEN    0x4 /* the walk ended before the outermost frame: no unwind information there */
#define TM_STACK_GUESSED   0x8 /* some frames come from a frame-pointer chain */

/* One distinct traceback: its own frames, most recent first, then `shared` frames of its parent's traceback: those that
 * are left, at its old end, when the oldest `omitted` ones are taken off (a traceback that was cut keeps its most recent
 * frames, and another one's begin higher up). Depth = own + shared; at most 65535. Stack 1 has depth 0 and means
 * "unknown", in every domain. A traceback has a record for each domain in which it allocated. check publishes. */
struct tm_stack {
    uint32_t check;        /* tm_stack_check(); 0 = empty */
    uint32_t frames;       /* index of the first own frame in STACK_FRAMES */
    uint32_t parent;       /* stack id, smaller than this one's; 0 = none */
    uint16_t own;          /* number of own frames */
    uint16_t shared;       /* number of frames that are the parent's */
    uint16_t total_nframe; /* physical depth of the stack when it was walked, saturating at 65535 */
    uint16_t flags;        /* TM_STACK_* */
    uint16_t omitted;      /* oldest frames of the parent's traceback that this one lacks */
    uint16_t reserved;
    uint32_t domain;       /* of its blocks, live and freed ones */
};

/* Counters of one stack in one thread's slot, kept with TM_FEATURE_STATS. A stack has a record in each slot, and for each
 * level of operations, that allocated or freed blocks of it; readers add them up, modulo 2^64, for a thread may free what
 * another allocated. Void unless generation is the low half of the root's, and while stack is 0. Each record is written by
 * one thread only, after the block's record and before the four counters of the operation: one in flight that is not DONE
 * may or may not be contained, count and size each for itself. */
struct tm_stack_stats {
    uint32_t stack;      /* stack id; 0 = unused */
    uint32_t generation; /* low 32 bits. Publishes */
    uint64_t allocated_count; /* since start: a stack's total */
    uint64_t allocated_size;
    uint64_t freed_count; /* live = allocated - freed */
    uint64_t freed_size;
    uint64_t peak_count; /* live values at the moment of the process's peak, if peak_epoch is the root's; otherwise, and */
    uint64_t peak_size;  /* while current is larger than root.peak, what is live now are those values */
    uint64_t peak_epoch;
};

/* ---------------------------------------------------------------------------------------------------------------
 * Modules: an object file mapped into the process. start publishes; unloaded_time alone changes after that.
 */
#define TM_BUILD_ID_MAX 32

struct tm_module {
    uint64_t start;         /* lowest mapped address */
    uint64_t end;           /* first address after the last mapped segment */
    uint64_t bias;          /* run-time address = bias + address in the ELF file */
    uint64_t loaded_time;   /* CLOCK_REALTIME, ns, when the tracer first saw it */
    uint64_t unloaded_time; /* 0 = still loaded as far as the tracer knows */
    uint32_t path;          /* index into STRINGS */
    uint32_t path_length;   /* bytes, without NUL */
    uint32_t build_id_length; /* bytes, 0 = it has none */
    uint32_t flags;         /* 0 */
    uint8_t build_id[TM_BUILD_ID_MAX]; /* 0 behind build_id_length */
    uint32_t check;         /* tm_module_check() */
    uint32_t path_check;    /* tm_text_check() of the path */
    uint64_t reserved[4];
};

/* ---------------------------------------------------------------------------------------------------------------
 * Threads. A slot is used by one thread at a time and its counters stay valid when another thread takes it over.
 */
enum tm_operation_code {
    TM_OPERATION_NONE = 0,
    TM_OPERATION_ALLOCATE = 1,   /* new_address is 0 until the allocator has answered */
    TM_OPERATION_FREE = 2,
    TM_OPERATION_REALLOCATE = 3, /* address = old block, new_address = 0 until the allocator has answered */
    TM_OPERATION_TRACK = 4,
    TM_OPERATION_UNTRACK = 5,
    TM_OPERATION_CONTROL = 6,    /* start, stop, clear, reset */
};

/* One operation in flight, and the counters of the operations that this level has completed. Level 0 is the thread
 * itself, level n a signal handler that interrupted the tracer n times. code is written last and cleared first.
 *
 * Reading an operation in flight, "record" meaning a live word of domain 0 or a LIVE entry of WIDE. With
 * TM_OPERATION_DONE in flags it is after: the tables and the four counters contain it and nothing is to be applied.
 * Otherwise:
 *   ALLOCATE    new_address has a record: shown as after, else as before
 *   FREE        entry != 0: address still has `entry` as its live word: before, else after
 *               entry == 0 (the block was in WIDE): address still has a record in WIDE: before, else after
 *   REALLOCATE  new_address has a record with stack `stack` and size `size`: after; else before: the old block
 *               (address, entry) is present even where its live word is already cleared; with entry == 0 the old block
 *               is the WIDE entry of address, which is in state LIVE or BUSY. A realloc of a block that has no record
 *               is an ALLOCATE. Where address has a live word other than `entry`, another thread already got the
 *               memory: the old block is gone
 *   TRACK       (domain, address) has a record with stack `stack` and size `size`: after. With TM_OPERATION_REPLACES
 *               (`entry` = size of the record before) and no record at all: after, the block is the operation's. Else before
 *   UNTRACK     (domain, address) still has a record: before, else after
 *   CONTROL     nothing to apply: the generation decides. The peak is what is live now if `address` says to reset it,
 *               or if it is more than was allocated in this generation
 * While an operation is in flight and not DONE `before` holds what the four counters were when it began; readers use
 * those and apply the operation themselves. The STATS of its stacks may or may not contain it yet. */
struct tm_operation {
    uint32_t code;        /* enum tm_operation_code. Publishes */
    uint32_t domain;
    uint64_t address;     /* without a code, while stack_pointer is on the thread's stack: what free was given, no block of
                             ours */
    uint64_t new_address;
    uint64_t size;        /* requested size of the new block; FREE, UNTRACK: size of the block that goes */
    uint64_t entry;       /* live word that address had before, 0 = the block is in WIDE */
    uint32_t stack;       /* stack id of the call; FREE, UNTRACK: 0 */
    uint32_t flags;       /* TM_OPERATION_DONE, TM_OPERATION_REPLACES. Publishes DONE */
    uint64_t stack_pointer; /* of the caller: a slot below the thread's stack pointer was left by longjmp */
    uint64_t generation;  /* the counters below belong to this generation, else they are void */
    uint64_t allocated_count;
    uint64_t allocated_size;
    uint64_t freed_count;
    uint64_t freed_size;
    uint64_t before[4];   /* allocated_count, allocated_size, freed_count, freed_size */
};

#define TM_OPERATION_LEVELS 3

/* tm_operation.flags */
#define TM_OPERATION_DONE     0x1 /* after: what is left is the real call (a free that may crash) */
#define TM_OPERATION_REPLACES 0x2 /* TRACK of a key that had a record */

enum tm_thread_state {
    TM_THREAD_FREE = 0,
    TM_THREAD_USED = 1,
    TM_THREAD_ENDED = 2, /* may be taken over */
};

struct tm_thread {
    uint32_t tid;   /* kernel thread id of the (last) owner */
    uint32_t state; /* enum tm_thread_state */
    uint64_t dropped_count; /* allocations that were not recorded */
    uint64_t dropped_size;
    uint64_t order; /* allocations that this slot has numbered */
    uint64_t reserved[4];
    struct tm_operation operations[TM_OPERATION_LEVELS];
};

/* ---------------------------------------------------------------------------------------------------------------
 * What both sides compute
 */

/* Checks. A change of one word, whatever it is, always changes the check; of others it misses one in 2^32. What 1.0 has is
 * covered, in the order of the functions below; what later minor versions add is not. */
#define TM_CHECK_START UINT32_C(2166136261)

static inline uint32_t tm_check_step(uint32_t check, uint32_t word)
{
    check = (check ^ word) * UINT32_C(0x9e3779b1);
    return check ^ check >> 15;
}

/* The lower half first. */
static inline uint32_t tm_check_step_long(uint32_t check, uint64_t word)
{
    return tm_check_step(tm_check_step(check, (uint32_t)word), (uint32_t)(word >> 32));
}

/* 0 and 1 say other things where a check publishes. */
static inline uint32_t tm_check_end(uint32_t check)
{
    return check < 2 ? check + 2 : check;
}

static inline uint32_t tm_stack_check(const struct tm_stack *stack, const uint32_t *own_frames)
{
    uint32_t check = tm_check_step(TM_CHECK_START, stack->parent);
    check = tm_check_step(check, stack->own);
    check = tm_check_step(check, stack->shared);
    check = tm_check_step(check, stack->omitted);
    check = tm_check_step(check, stack->total_nframe);
    check = tm_check_step(check, stack->flags);
    check = tm_check_step(check, stack->domain);
    for (unsigned i = 0; i < stack->own; i++) {
        check = tm_check_step(check, own_frames[i]);
    }
    return tm_check_end(check);
}

static inline uint32_t tm_frame_check(uint64_t word, uint32_t module)
{
    return tm_check_end(tm_check_step(tm_check_step_long(TM_CHECK_START, word), module));
}

static inline uint32_t tm_module_check(const struct tm_module *module)
{
    uint32_t check = tm_check_step_long(TM_CHECK_START, module->start);
    check = tm_check_step_long(check, module->end);
    check = tm_check_step_long(check, module->bias);
    check = tm_check_step_long(check, module->loaded_time);
    check = tm_check_step(check, module->path);
    check = tm_check_step(check, module->path_length);
    check = tm_check_step(check, module->build_id_length);
    check = tm_check_step(check, module->flags);
    for (unsigned i = 0; i < TM_BUILD_ID_MAX; i++) {
        check = tm_check_step(check, module->build_id[i]);
    }
    return tm_check_end(check);
}

/* Each byte is a word. */
static inline uint32_t tm_text_check(const char *text, uint32_t length)
{
    uint32_t check = TM_CHECK_START;
    for (uint32_t i = 0; i < length; i++) {
        check = tm_check_step(check, (uint8_t)text[i]);
    }
    return tm_check_end(check);
}

static inline uint32_t tm_freed_check(const struct tm_freed *freed)
{
    uint32_t check = tm_check_step_long(TM_CHECK_START, freed->order);
    check = tm_check_step_long(check, freed->address);
    check = tm_check_step_long(check, freed->size);
    check = tm_check_step_long(check, freed->allocated_time);
    check = tm_check_step_long(check, freed->freed_time);
    check = tm_check_step(check, freed->allocated_thread);
    check = tm_check_step(check, freed->freed_thread);
    check = tm_check_step(check, freed->allocated_stack);
    check = tm_check_step(check, freed->freed_stack);
    check = tm_check_step(check, freed->domain);
    return tm_check_end(check);
}

static inline uint32_t tm_region_check(const struct tm_region *region)
{
    uint32_t check = tm_check_step(TM_CHECK_START, region->kind);
    check = tm_check_step(check, region->shard);
    check = tm_check_step(check, region->element_size);
    check = tm_check_step(check, region->segment_shift);
    check = tm_check_step_long(check, region->directory);
    check = tm_check_step(check, region->directory_length);
    check = tm_check_step(check, region->middle_bits);
    check = tm_check_step(check, region->key_shift);
    check = tm_check_step(check, region->flags);
    return tm_check_end(check);
}

static inline uint32_t tm_root_check(const struct tm_root *root)
{
    uint32_t check = tm_check_step(TM_CHECK_START, root->major);
    check = tm_check_step(check, root->minor);
    check = tm_check_step_long(check, root->byte_order);
    check = tm_check_step(check, root->header_size);
    check = tm_check_step(check, root->machine);
    check = tm_check_step_long(check, root->self);
    check = tm_check_step_long(check, root->start_time);
    check = tm_check_step(check, root->region_size);
    check = tm_check_step(check, root->field_count);
    check = tm_check_step_long(check, root->fields);
    check = tm_check_step_long(check, root->sample_bytes);
    check = tm_check_step_long(check, root->max_bytes);
    check = tm_check_step_long(check, root->freed_count);
    return tm_check_end(check);
}

/* With sample_bytes in the root not every block is recorded. Samples are points of a Poisson process over the
 * bytes that are allocated: one falls on a block of `size` bytes with the chance p = 1 - exp(-size /
 * sample_bytes). With n the next whole number above 1 / p, a block that a sample fell on is recorded with the
 * chance 1 / (n p): thus 1 block in n is, and a recorded one stands for n of its size, exactly and without
 * bias. Blocks of sample_bytes or more are all recorded, n = 1; one of 0 bytes is taken for one of 1.
 *
 * 1 / p in units of 1/65536, for size < sample_bytes, so that every reader gets the n that the tracer's
 * counters hold: by integer arithmetic, with x = size / sample_bytes, 1/x + 1/2 + x/12 - x^3/720 + x^5/30240.
 */
static inline uint64_t tm_sample_inverse(uint64_t size, uint64_t sample_bytes)
{
    size += size == 0;
    uint64_t x = (uint64_t)(((unsigned __int128)size << 32) / sample_bytes);
    uint64_t square = x * x >> 32, cube = square * x >> 32, fifth = cube * square >> 32;
    uint64_t inverse = (uint64_t)(((unsigned __int128)sample_bytes << 16) / size);
    return inverse + (1 << 15) + (x / 12 >> 16) - (cube / 720 >> 16) + (fifth / 30240 >> 16);
}

/* n */
static inline uint64_t tm_sample_count(uint64_t size, uint64_t sample_bytes)
{
    size += size == 0;
    return size >= sample_bytes ? 1 : (tm_sample_inverse(size, sample_bytes) + 0xffff) >> 16;
}

/* One assertion per field: a change of the layout fails to build until the version is bumped. */
#define TM_ASSERT_FIELD(type, field, offset, size)                                                       \
    _Static_assert(offsetof(struct type, field) == (offset) && sizeof(((struct type *)0)->field) == (size), \
                   "layout of " #type "." #field " changed")

TM_ASSERT_FIELD(tm_beacon, magic, 0, 16);
TM_ASSERT_FIELD(tm_beacon, self, 16, 8);
TM_ASSERT_FIELD(tm_beacon, root, 24, 8);
TM_ASSERT_FIELD(tm_beacon, major, 32, 4);
TM_ASSERT_FIELD(tm_beacon, minor, 36, 4);

TM_ASSERT_FIELD(tm_region, kind, 0, 4);
TM_ASSERT_FIELD(tm_region, shard, 4, 4);
TM_ASSERT_FIELD(tm_region, element_size, 8, 4);
TM_ASSERT_FIELD(tm_region, segment_shift, 12, 4);
TM_ASSERT_FIELD(tm_region, directory, 16, 8);
TM_ASSERT_FIELD(tm_region, directory_length, 24, 4);
TM_ASSERT_FIELD(tm_region, middle_bits, 28, 4);
TM_ASSERT_FIELD(tm_region, key_shift, 32, 4);
TM_ASSERT_FIELD(tm_region, flags, 36, 4);
TM_ASSERT_FIELD(tm_region, count, 40, 8);
TM_ASSERT_FIELD(tm_region, committed, 48, 8);
TM_ASSERT_FIELD(tm_region, check, 56, 4);
TM_ASSERT_FIELD(tm_region, reserved, 60, 4);

TM_ASSERT_FIELD(tm_root, magic, 0, 16);
TM_ASSERT_FIELD(tm_root, major, 16, 4);
TM_ASSERT_FIELD(tm_root, minor, 20, 4);
TM_ASSERT_FIELD(tm_root, byte_order, 24, 8);
TM_ASSERT_FIELD(tm_root, header_size, 32, 4);
TM_ASSERT_FIELD(tm_root, machine, 36, 4);
TM_ASSERT_FIELD(tm_root, self, 40, 8);
TM_ASSERT_FIELD(tm_root, start_time, 48, 8);
TM_ASSERT_FIELD(tm_root, pid, 56, 4);
TM_ASSERT_FIELD(tm_root, state, 60, 4);
TM_ASSERT_FIELD(tm_root, features, 64, 8);
TM_ASSERT_FIELD(tm_root, traceback_limit, 72, 4);
TM_ASSERT_FIELD(tm_root, region_count, 76, 4);
TM_ASSERT_FIELD(tm_root, region_size, 80, 4);
TM_ASSERT_FIELD(tm_root, field_count, 84, 4);
TM_ASSERT_FIELD(tm_root, fields, 88, 8);
TM_ASSERT_FIELD(tm_root, sample_bytes, 96, 8);
TM_ASSERT_FIELD(tm_root, max_bytes, 104, 8);
TM_ASSERT_FIELD(tm_root, freed_count, 112, 8);
TM_ASSERT_FIELD(tm_root, generation, 120, 8);
TM_ASSERT_FIELD(tm_root, current, 128, 8);
TM_ASSERT_FIELD(tm_root, peak, 136, 8);
TM_ASSERT_FIELD(tm_root, peak_epoch, 144, 8);
TM_ASSERT_FIELD(tm_root, fold_bytes, 152, 8);
TM_ASSERT_FIELD(tm_root, committed_bytes, 160, 8);
TM_ASSERT_FIELD(tm_root, private_bytes, 168, 8);
TM_ASSERT_FIELD(tm_root, dropped_count, 176, 8);
TM_ASSERT_FIELD(tm_root, dropped_size, 184, 8);
TM_ASSERT_FIELD(tm_root, anomaly_count, 192, 8);
TM_ASSERT_FIELD(tm_root, request, 200, 4);
TM_ASSERT_FIELD(tm_root, request_argument, 204, 4);
TM_ASSERT_FIELD(tm_root, untraced_time, 208, 8);
TM_ASSERT_FIELD(tm_root, check, 216, 4);
TM_ASSERT_FIELD(tm_root, reserved, 220, 4);
TM_ASSERT_FIELD(tm_root, reserved2, 224, 48);
TM_ASSERT_FIELD(tm_root, regions, 272, 64 * TM_REGION_MAX);

TM_ASSERT_FIELD(tm_live_detail, word, 0, 8);
TM_ASSERT_FIELD(tm_live_detail, time, 8, 8);
TM_ASSERT_FIELD(tm_live_detail, order, 16, 8);
TM_ASSERT_FIELD(tm_live_detail, thread, 24, 4);
TM_ASSERT_FIELD(tm_live_detail, reserved, 28, 4);

TM_ASSERT_FIELD(tm_wide, state, 0, 8);
TM_ASSERT_FIELD(tm_wide, address, 8, 8);
TM_ASSERT_FIELD(tm_wide, size, 16, 8);
TM_ASSERT_FIELD(tm_wide, domain, 24, 4);
TM_ASSERT_FIELD(tm_wide, stack, 28, 4);
TM_ASSERT_FIELD(tm_wide, time, 32, 8);
TM_ASSERT_FIELD(tm_wide, order, 40, 8);
TM_ASSERT_FIELD(tm_wide, thread, 48, 4);
TM_ASSERT_FIELD(tm_wide, reserved, 52, 4);
TM_ASSERT_FIELD(tm_wide, reserved2, 56, 8);

TM_ASSERT_FIELD(tm_freed, order, 0, 8);
TM_ASSERT_FIELD(tm_freed, address, 8, 8);
TM_ASSERT_FIELD(tm_freed, size, 16, 8);
TM_ASSERT_FIELD(tm_freed, allocated_time, 24, 8);
TM_ASSERT_FIELD(tm_freed, freed_time, 32, 8);
TM_ASSERT_FIELD(tm_freed, allocated_thread, 40, 4);
TM_ASSERT_FIELD(tm_freed, freed_thread, 44, 4);
TM_ASSERT_FIELD(tm_freed, allocated_stack, 48, 4);
TM_ASSERT_FIELD(tm_freed, freed_stack, 52, 4);
TM_ASSERT_FIELD(tm_freed, domain, 56, 4);
TM_ASSERT_FIELD(tm_freed, check, 60, 4);

TM_ASSERT_FIELD(tm_frame, word, 0, 8);
TM_ASSERT_FIELD(tm_frame, module, 8, 4);
TM_ASSERT_FIELD(tm_frame, check, 12, 4);

TM_ASSERT_FIELD(tm_stack, check, 0, 4);
TM_ASSERT_FIELD(tm_stack, frames, 4, 4);
TM_ASSERT_FIELD(tm_stack, parent, 8, 4);
TM_ASSERT_FIELD(tm_stack, own, 12, 2);
TM_ASSERT_FIELD(tm_stack, shared, 14, 2);
TM_ASSERT_FIELD(tm_stack, total_nframe, 16, 2);
TM_ASSERT_FIELD(tm_stack, flags, 18, 2);
TM_ASSERT_FIELD(tm_stack, omitted, 20, 2);
TM_ASSERT_FIELD(tm_stack, reserved, 22, 2);
TM_ASSERT_FIELD(tm_stack, domain, 24, 4);

TM_ASSERT_FIELD(tm_stack_stats, stack, 0, 4);
TM_ASSERT_FIELD(tm_stack_stats, generation, 4, 4);
TM_ASSERT_FIELD(tm_stack_stats, allocated_count, 8, 8);
TM_ASSERT_FIELD(tm_stack_stats, allocated_size, 16, 8);
TM_ASSERT_FIELD(tm_stack_stats, freed_count, 24, 8);
TM_ASSERT_FIELD(tm_stack_stats, freed_size, 32, 8);
TM_ASSERT_FIELD(tm_stack_stats, peak_count, 40, 8);
TM_ASSERT_FIELD(tm_stack_stats, peak_size, 48, 8);
TM_ASSERT_FIELD(tm_stack_stats, peak_epoch, 56, 8);

TM_ASSERT_FIELD(tm_module, start, 0, 8);
TM_ASSERT_FIELD(tm_module, end, 8, 8);
TM_ASSERT_FIELD(tm_module, bias, 16, 8);
TM_ASSERT_FIELD(tm_module, loaded_time, 24, 8);
TM_ASSERT_FIELD(tm_module, unloaded_time, 32, 8);
TM_ASSERT_FIELD(tm_module, path, 40, 4);
TM_ASSERT_FIELD(tm_module, path_length, 44, 4);
TM_ASSERT_FIELD(tm_module, build_id_length, 48, 4);
TM_ASSERT_FIELD(tm_module, flags, 52, 4);
TM_ASSERT_FIELD(tm_module, build_id, 56, 32);
TM_ASSERT_FIELD(tm_module, check, 88, 4);
TM_ASSERT_FIELD(tm_module, path_check, 92, 4);
TM_ASSERT_FIELD(tm_module, reserved, 96, 32);

TM_ASSERT_FIELD(tm_operation, code, 0, 4);
TM_ASSERT_FIELD(tm_operation, domain, 4, 4);
TM_ASSERT_FIELD(tm_operation, address, 8, 8);
TM_ASSERT_FIELD(tm_operation, new_address, 16, 8);
TM_ASSERT_FIELD(tm_operation, size, 24, 8);
TM_ASSERT_FIELD(tm_operation, entry, 32, 8);
TM_ASSERT_FIELD(tm_operation, stack, 40, 4);
TM_ASSERT_FIELD(tm_operation, flags, 44, 4);
TM_ASSERT_FIELD(tm_operation, stack_pointer, 48, 8);
TM_ASSERT_FIELD(tm_operation, generation, 56, 8);
TM_ASSERT_FIELD(tm_operation, allocated_count, 64, 8);
TM_ASSERT_FIELD(tm_operation, allocated_size, 72, 8);
TM_ASSERT_FIELD(tm_operation, freed_count, 80, 8);
TM_ASSERT_FIELD(tm_operation, freed_size, 88, 8);
TM_ASSERT_FIELD(tm_operation, before, 96, 32);

TM_ASSERT_FIELD(tm_thread, tid, 0, 4);
TM_ASSERT_FIELD(tm_thread, state, 4, 4);
TM_ASSERT_FIELD(tm_thread, dropped_count, 8, 8);
TM_ASSERT_FIELD(tm_thread, dropped_size, 16, 8);
TM_ASSERT_FIELD(tm_thread, order, 24, 8);
TM_ASSERT_FIELD(tm_thread, reserved, 32, 32);
TM_ASSERT_FIELD(tm_thread, operations, 64, 128 * TM_OPERATION_LEVELS);

#endif
