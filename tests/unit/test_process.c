/* test_process.c: the program and the command line, read from a made-up stack as the kernel lays it out. */
#include <check.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "coreanalyze/target.h"

enum { STACK_BYTES = 1 << 16, WORDS_AT = 0x8000 };
#define STACK UINT64_C(0x7ffffff00000)

struct stack {
    uint8_t bytes[STACK_BYTES]; /* from STACK on */
    uint64_t pairs[2 * 8];      /* the auxiliary vector */
    size_t pair_count;
    size_t argc_at, argv_at, envp_at;
    uint64_t readable; /* bytes of the stack that can be read */
    bool interrupt;
};

static struct stack stack;
static const char *const plain[] = {"./program", "one", "two words", NULL};
static const char *const environment[] = {"HOME=/", "PATH=/bin:/usr/bin", NULL};

static uint64_t word(size_t at)
{
    uint64_t value;
    memcpy(&value, stack.bytes + at, sizeof value);
    return value;
}

static void set_word(size_t at, uint64_t value)
{
    memcpy(stack.bytes + at, &value, sizeof value);
}

static size_t add_string(size_t at, const char *string)
{
    memcpy(stack.bytes + at, string, strlen(string) + 1);
    return at + strlen(string) + 1;
}

/* Pointers at `at`, strings at `strings`: both move on. */
static void add_strings(size_t *at, size_t *strings, const char *const *items)
{
    for (; *items; items++, *at += 8) {
        set_word(*at, STACK + *strings);
        *strings = add_string(*strings, *items);
    }
    set_word(*at, 0);
    *at += 8;
}

static void add_pair(uint64_t type, uint64_t value)
{
    stack.pairs[stack.pair_count++] = type;
    stack.pairs[stack.pair_count++] = value;
}

static void stack_make(const char *const *arguments)
{
    memset(&stack, 0, sizeof stack);
    stack.readable = STACK_BYTES;
    size_t random = 0xa004, strings = random + 16;
    size_t at = stack.argc_at = WORDS_AT;
    size_t count = 0;
    while (arguments[count]) {
        count++;
    }
    set_word(at, count);
    at += 8;
    stack.argv_at = at;
    add_strings(&at, &strings, arguments);
    stack.envp_at = at;
    add_strings(&at, &strings, environment);
    add_pair(AT_PAGESZ, 4096);
    add_pair(AT_PHDR, 0x555555554040);
    add_pair(AT_RANDOM, STACK + random);
    add_pair(AT_EXECFN, STACK + strings);
    add_pair(AT_NULL, 0);
    memcpy(stack.bytes + at, stack.pairs, stack.pair_count * 8);
    add_string(strings, "./given");
}

/* ------------------------------------------------------------------------------------------------ the target */

static size_t read_memory(void *context, uint64_t address, void *buffer, size_t size)
{
    (void)context;
    if (stack.interrupt) {
        return CA_READ_INTERRUPTED;
    }
    if (address < STACK || address >= STACK + stack.readable) {
        return 0;
    }
    size_t room = (size_t)(STACK + stack.readable - address);
    size = size < room ? size : room;
    memcpy(buffer, stack.bytes + (address - STACK), size);
    return size;
}

static size_t describe_process(void *context, struct ca_target *target)
{
    (void)context;
    ca_target_set_process(target, 4711, EM_X86_64, 0, 0, "short", "of the notes");
    ca_target_set_auxv(target, stack.pairs, stack.pair_count * 8);
    return 0;
}

static size_t describe_mappings(void *context, struct ca_target *target)
{
    if (context) {
        ca_target_add_mapping(target, 0x555555554000, 0x555555556000, 0, 1, context);
    }
    ca_target_add_mapping(target, STACK, STACK + STACK_BYTES, 0, 3, "");
    return 0;
}

/* What the engine says of the process on the made-up stack; path: of the mapped program, NULL = not mapped. */
static void expect(const char *path, const char *program, const char *arguments)
{
    struct ca_callbacks callbacks = {
        .context = (void *)path,
        .read_memory = read_memory,
        .describe_process = describe_process,
        .describe_mappings = describe_mappings,
    };
    struct ca_error *error = NULL;
    struct ca_target *target = ca_target_create(&callbacks, NULL, &error);
    ck_assert_ptr_nonnull(target);
    const struct ca_process *process = ca_source_process(ca_target_source(target));
    ck_assert_str_eq(process->program, program);
    ck_assert_str_eq(process->arguments, arguments);
    ck_assert_uint_eq(process->pid, 4711);
    ca_target_destroy(target);
}

/* ----------------------------------------------------------------------------------------------------- tests */

START_TEST(as_the_kernel_left_it)
{
    stack_make(plain);
    expect("/bin/program", "/bin/program", "./program one two words");
}
END_TEST

START_TEST(longer_than_the_notes)
{
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const char *const arguments[] = {"p", text, "end", NULL};
    char expected[3100] = "p ";
    strcat(expected, text);
    strcat(expected, " end");
    stack_make(arguments);
    expect("/bin/program", "/bin/program", expected);
}
END_TEST

START_TEST(program_not_mapped)
{
    stack_make(plain);
    expect(NULL, "./given", "./program one two words");
}
END_TEST

START_TEST(permuted_and_replaced_pointers)
{
    stack_make(plain);
    uint64_t first = word(stack.argv_at), second = word(stack.argv_at + 8);
    set_word(stack.argv_at, second);
    set_word(stack.argv_at + 8, first);
    set_word(stack.argv_at + 16, 0x5555555592a0); /* into the heap */
    expect("/bin/program", "/bin/program", "./program one two words");
}
END_TEST

START_TEST(pointer_taken_out)
{
    stack_make(plain);
    set_word(stack.argv_at + 8, 0);
    expect("/bin/program", "/bin/program", "of the notes");
}
END_TEST

START_TEST(one_argument_more)
{
    const char *const arguments[] = {"./program", "one", "two words", "", "five", NULL};
    stack_make(arguments);
    expect("/bin/program", "/bin/program", "./program one two words  five");
    stack_make(arguments + 4);
    expect("/bin/program", "/bin/program", "five");
}
END_TEST

START_TEST(emptied_environment)
{
    stack_make(plain);
    set_word(stack.envp_at, 0);
    expect("/bin/program", "/bin/program", "./program one two words");
}
END_TEST

START_TEST(changed_title)
{
    stack_make(plain);
    size_t strings = (size_t)(word(stack.argv_at) - STACK);
    memset(stack.bytes + strings, 0, strlen("./program one two words") + 1);
    add_string(strings, "p: writer");
    expect("/bin/program", "/bin/program", "p: writer");
}
END_TEST

START_TEST(frames_below_look_like_it)
{
    stack_make(plain);
    set_word(stack.argc_at - 64, 1); /* a 1, a pointer to a string, a 0 */
    set_word(stack.argc_at - 56, word(stack.argv_at + 8));
    set_word(stack.argc_at - 48, 0);
    expect("/bin/program", "/bin/program", "./program one two words");
}
END_TEST

START_TEST(no_auxiliary_vector_on_the_stack)
{
    stack_make(plain);
    stack.pairs[1] = 8192;
    expect("/bin/program", "/bin/program", "of the notes");
}
END_TEST

START_TEST(wrong_count)
{
    static const uint64_t counts[] = {0, 2, 4, 1000, UINT64_MAX, UINT64_MAX / 8, UINT64_C(1) << 61};
    stack_make(plain);
    set_word(stack.argc_at, counts[_i]);
    expect("/bin/program", "/bin/program", "of the notes");
}
END_TEST

START_TEST(cut_stack)
{
    stack_make(plain);
    for (stack.readable = 0; stack.readable < STACK_BYTES; stack.readable += 1021) {
        struct ca_error *error = NULL;
        struct ca_callbacks callbacks = {.read_memory = read_memory,
                                         .describe_process = describe_process,
                                         .describe_mappings = describe_mappings};
        struct ca_target *target = ca_target_create(&callbacks, NULL, &error);
        const struct ca_process *process = ca_source_process(ca_target_source(target));
        ck_assert(strcmp(process->arguments, "of the notes") == 0 ||
                  strncmp(process->arguments, "./program one two words", strlen(process->arguments)) == 0);
        ca_target_destroy(target);
    }
}
END_TEST

START_TEST(hostile_addresses)
{
    static const uint64_t addresses[] = {0, 8, UINT64_MAX, UINT64_MAX - 15, STACK, STACK + STACK_BYTES, STACK - 1};
    const size_t count = sizeof addresses / sizeof *addresses;
    stack_make(plain);
    stack.pairs[5] = addresses[(size_t)_i / count];
    stack.pairs[7] = addresses[(size_t)_i % count];
    expect("/bin/program", "/bin/program", "of the notes");
}
END_TEST

START_TEST(interrupted)
{
    stack_make(plain);
    stack.interrupt = true;
    struct ca_callbacks callbacks = {.read_memory = read_memory, .describe_process = describe_process};
    struct ca_error *error = NULL;
    struct ca_target *target = ca_target_create(&callbacks, NULL, &error);
    ck_assert(!ca_source_described(ca_target_source(target), &error));
    ck_assert_str_eq(ca_error_message(error), "interrupted");
    ca_error_destroy(error);
    stack.interrupt = false;
    ck_assert_str_eq(ca_source_process(ca_target_source(target))->program, "./given");
    ca_target_destroy(target);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("process");
    TCase *tests = tcase_create("process");
    tcase_add_test(tests, as_the_kernel_left_it);
    tcase_add_test(tests, longer_than_the_notes);
    tcase_add_test(tests, program_not_mapped);
    tcase_add_test(tests, permuted_and_replaced_pointers);
    tcase_add_test(tests, pointer_taken_out);
    tcase_add_test(tests, one_argument_more);
    tcase_add_test(tests, emptied_environment);
    tcase_add_test(tests, changed_title);
    tcase_add_test(tests, frames_below_look_like_it);
    tcase_add_test(tests, no_auxiliary_vector_on_the_stack);
    tcase_add_loop_test(tests, wrong_count, 0, 7);
    tcase_add_test(tests, cut_stack);
    tcase_add_loop_test(tests, hostile_addresses, 0, 49);
    tcase_add_test(tests, interrupted);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
