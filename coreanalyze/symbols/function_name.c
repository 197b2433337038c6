/* function_name.c: see function_name.h. */
#include "function_name.h"

#include <ctype.h>
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* libiberty refuses mangled names past a thousand characters or so unless told not to
 * (DMGL_NO_RECURSE_LIMIT); then its depth of recursion is bounded by the name's length alone, at up to ~200
 * bytes of stack a character. Template-heavy programs have names of several thousand. */
#define MANGLED_SIZE_MAX 8192
/* A short name can stand for one of any length, through back-references to back-references. */
#define DEMANGLED_SIZE_MAX 65536

struct demangled {
    char *bytes; /* DEMANGLED_SIZE_MAX + 1 */
    size_t size;
    jmp_buf too_long;
};

static void demangled_add(const char *bytes, size_t size, void *context)
{
    struct demangled *demangled = context;
    if (size > DEMANGLED_SIZE_MAX - demangled->size) {
        longjmp(demangled->too_long, 1);
    }
    memcpy(demangled->bytes + demangled->size, bytes, size);
    demangled->size += size;
}

/* The callback interfaces allocate nothing, so that nothing is lost by the jump (save a punycode buffer in a
 * Rust name). */
static bool itanium_or_rust_demangle(struct demangled *demangled, const char *mangled)
{
    int options = DMGL_ANSI | DMGL_NO_RECURSE_LIMIT;
    demangled->size = 0;
    if (setjmp(demangled->too_long) != 0) {
        return false;
    }
    if (rust_demangle_callback(mangled, options, demangled_add, demangled)) {
        return true;
    }
    demangled->size = 0;
    return cplus_demangle_v3_callback(mangled, options, demangled_add, demangled) != 0;
}

/* "module.function(int)" -> "module.function": the last parenthesised group and what follows it. */
static size_t d_size_without_parameters(const char *name, size_t size)
{
    size_t depth = 0;
    for (size_t at = size; at-- > 1;) {
        if (name[at] == ')') {
            depth++;
        } else if (name[at] == '(' && depth > 0 && --depth == 0) {
            return at;
        }
    }
    return size;
}

static bool d_demangle(struct demangled *demangled, const char *mangled)
{
    char *text = dlang_demangle(mangled, 0);
    if (!text) {
        return false;
    }
    size_t size = d_size_without_parameters(text, strlen(text));
    bool fits = size > 0 && size <= DEMANGLED_SIZE_MAX;
    if (fits) {
        memcpy(demangled->bytes, text, size);
        demangled->size = size;
    }
    free(text);
    return fits;
}

/* " [clone .part.0]", once for each suffix. */
static size_t size_without_clones(const char *name, size_t size)
{
    const char *clone = memmem(name, size, " [clone .", 9);
    return clone ? (size_t)(clone - name) : size;
}

static const char *name_demangle(struct ca_pool *pool, const char *mangled, size_t mangled_size)
{
    char *memory = malloc(mangled_size + 1 + DEMANGLED_SIZE_MAX + 1);
    if (!memory) {
        pool->failed = true;
        return NULL;
    }
    memcpy(memory, mangled, mangled_size);
    memory[mangled_size] = '\0';
    struct demangled demangled = {.bytes = memory + mangled_size + 1};
    bool done =
        memory[1] == 'D' ? d_demangle(&demangled, memory) : itanium_or_rust_demangle(&demangled, memory);
    const char *name = NULL;
    if (done && demangled.size > 0 && !memchr(demangled.bytes, '\0', demangled.size)) {
        size_t size = size_without_clones(demangled.bytes, demangled.size);
        name = ca_pool_string_bytes(pool, demangled.bytes, size);
    }
    free(memory);
    return name;
}

/* Without version: "memcpy@@GLIBC_2.14" in a .symtab. */
static size_t size_without_version(const char *symbol)
{
    const char *at = strchr(symbol, '@');
    return at && at != symbol ? (size_t)(at - symbol) : strlen(symbol);
}

static bool is_clone_word(const char *word, size_t size)
{
    static const char *const words[] = {
        "part",    "constprop", "isra",    "cold",  "lto_priv",  "localalias",  "clone",
        "llvm",    "resolver",  "default", "ifunc", "simdclone", "unlikely",    "exit",
        "startup", "nonlto",    "warm",    "hot",   "extracted", "specialized",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0) {
            return true;
        }
    }
    /* function multi-versioning: .avx2, .sse4_2, .arch_haswell */
    return (size >= 3 && memcmp(word, "avx", 3) == 0) || (size >= 3 && memcmp(word, "sse", 3) == 0) ||
           (size >= 5 && memcmp(word, "arch_", 5) == 0);
}

/* Size of `symbol` without its last ".word", ".word.N" or ".N" when that marks a clone; `size` when there is
 * none. A bare number counts only behind a name without other dots (Go's "main.f.func1.2" is a whole name).
 */
static size_t size_without_one_suffix(const char *symbol, size_t size)
{
    size_t number = size;
    while (number > 0 && isdigit((unsigned char)symbol[number - 1])) {
        number--;
    }
    bool numbered = number < size && number > 1 && symbol[number - 1] == '.';
    size_t end = numbered ? number - 1 : size;
    const char *dot = memrchr(symbol, '.', end);
    if (dot && dot != symbol && is_clone_word(dot + 1, (size_t)(symbol + end - dot - 1))) {
        return (size_t)(dot - symbol);
    }
    return numbered && !dot ? end : size;
}

static size_t size_without_suffixes(const char *symbol, size_t size)
{
    for (size_t shorter; (shorter = size_without_one_suffix(symbol, size)) != size;) {
        size = shorter;
    }
    return size;
}

const char *ca_function_name(struct ca_pool *pool, const char *symbol)
{
    size_t size = size_without_version(symbol);
    bool mangled = size > 2 && symbol[0] == '_' && (symbol[1] == 'Z' || symbol[1] == 'R' || symbol[1] == 'D');
    if (mangled && size <= MANGLED_SIZE_MAX) {
        const char *name = name_demangle(pool, symbol, size);
        if (name || pool->failed) {
            return name;
        }
        size_t bare = size_without_suffixes(symbol, size);
        name = bare == size ? NULL : name_demangle(pool, symbol, bare);
        if (name || pool->failed) {
            return name;
        }
    }
    return ca_pool_string_bytes(pool, symbol, size_without_suffixes(symbol, size));
}
