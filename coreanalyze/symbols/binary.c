/* binary.c: see binary.h. */
#include "binary.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../table/table.h"
#include "../util/text.h"

#define DEFAULT_DEBUG_DIRECTORY "/usr/lib/debug"

/* ------------------------------------------------------------------------------------------------ options */

/* A directory that is not there must not be named to libdwfl, which takes ENOTDIR for the end of its search.
 */
static void path_add_directory(struct ca_text *path, const char *prefix, const char *directory, size_t size)
{
    char *name = NULL;
    if (directory[0] == '/' || *prefix != '\0') {
        if (asprintf(&name, "%s/%.*s", prefix, (int)size, directory + (directory[0] == '/')) < 0) {
            path->failed = true;
            return;
        }
    } else {
        char *current = getcwd(NULL, 0);
        if (!current || asprintf(&name, "%s/%.*s", current, (int)size, directory) < 0) {
            free(current);
            return;
        }
        free(current);
    }
    struct stat status;
    if (stat(name, &status) == 0 && S_ISDIR(status.st_mode) && !strchr(name, ':')) {
        ca_text_add(path, ":");
        ca_text_add(path, name);
    }
    free(name);
}

/* With a sysroot the default directory is the one in it, and a given one is tried in it first. */
static void path_add_directories(struct ca_text *path, const char *sysroot, const char *directories)
{
    bool given = directories != NULL;
    for (const char *next = given ? directories : DEFAULT_DEBUG_DIRECTORY; *next != '\0';) {
        size_t size = strcspn(next, ":");
        if (size > 0 && sysroot) {
            path_add_directory(path, sysroot, next, next[0] == '/' ? size - 1 : size);
        }
        if (size > 0 && (given || !sysroot)) {
            path_add_directory(path, "", next, next[0] == '/' ? size - 1 : size);
        }
        next += size + (next[size] == ':');
    }
}

bool ca_binary_options_init(struct ca_binary_options *binary_options, const struct ca_symbol_options *options)
{
    *binary_options = (struct ca_binary_options){0};
    const char *sysroot = options && options->sysroot ? options->sysroot : "";
    size_t size = strlen(sysroot);
    while (size > 0 && sysroot[size - 1] == '/') {
        size--;
    }
    if (size > 0 && !(binary_options->sysroot = strndup(sysroot, size))) {
        return false;
    }
    struct ca_text path = {0};
    ca_text_add(&path, "+:.debug");
    path_add_directories(&path, binary_options->sysroot, options ? options->debug_directory : NULL);
    if (path.failed) {
        ca_text_deinit(&path);
        ca_binary_options_deinit(binary_options);
        return false;
    }
    binary_options->debuginfo_path = path.bytes;
    return true;
}

void ca_binary_options_deinit(struct ca_binary_options *binary_options)
{
    free(binary_options->sysroot);
    free(binary_options->debuginfo_path);
    *binary_options = (struct ca_binary_options){0};
}

/* -------------------------------------------------------------------------------------------------- files */

size_t ca_module_path_size(const char *path)
{
    static const char mark[] = " (deleted)";
    size_t size = strlen(path), mark_size = sizeof(mark) - 1;
    return size > mark_size && strcmp(path + size - mark_size, mark) == 0 ? size - mark_size : size;
}

/* The kernel's names of mappings and the loader's names of objects that are in no file. */
static bool path_is_virtual(const char *path)
{
    static const char *const names[] = {"linux-vdso.so.1", "linux-gate.so.1", "linux-vdso64.so.1",
                                        "linux-vdso32.so.1"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(path, names[i]) == 0) {
            return true;
        }
    }
    return path[0] == '[';
}

/* Never waits, whatever the name stands for. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* Opens `path` below the directory `sysroot` so that no symbolic link leads out of it: absolute ones start
 * there. */
static int open_in_root(const char *sysroot, const char *path)
{
    int root = open(sysroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        return -1;
    }
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_IN_ROOT};
    int file = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
    int reason = errno;
    if (file < 0 && (reason == ENOSYS || reason == EPERM)) {
        /* Before Linux 5.6, or forbidden by a filter: links are not followed where they could lead out. */
        file = openat(root, path + strspn(path, "/"), OPEN_FLAGS | O_NOFOLLOW);
        reason = errno;
    }
    close(root);
    errno = reason;
    return file;
}

/* A regular file, or -1 with errno. */
static int regular_file_open(const char *sysroot, const char *path)
{
    int file = sysroot ? open_in_root(sysroot, path) : open(path, OPEN_FLAGS);
    struct stat status;
    if (file >= 0 && (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(file);
        errno = EINVAL;
        return -1;
    }
    return file;
}

/* libelf reads a file whose end is missing as one without sections. */
static bool elf_is_whole(Elf *elf, int file)
{
    GElf_Ehdr header;
    struct stat status;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) || fstat(file, &status) != 0) {
        return false;
    }
    uint64_t sections = (uint64_t)header.e_shentsize * (header.e_shnum ? header.e_shnum : 1);
    uint64_t size = (uint64_t)status.st_size;
    return header.e_shoff == 0 || (header.e_shoff <= size && sections <= size - header.e_shoff);
}

/* ----------------------------------------------------------------------------------------------- checking */

static void problem_set(struct ca_binary *binary, enum ca_module_symbols status, struct ca_text *text)
{
    binary->status = status;
    free(binary->problem);
    binary->problem = text->failed ? NULL : text->bytes;
    binary->failed = binary->failed || text->failed;
    if (text->failed) {
        ca_text_deinit(text);
    }
}

static void text_add_build_id(struct ca_text *text, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ca_text_printf(text, "%02x", bytes[i]);
    }
    if (size == 0) {
        ca_text_add(text, "none");
    }
}

static void problem_wrong_build_id(struct ca_binary *binary, const struct ca_module *module,
                                   const char *file_name, const uint8_t *found, size_t found_size)
{
    struct ca_text text = {0};
    ca_text_printf(&text, "%s: not used, its build-id is ", file_name);
    text_add_build_id(&text, found, found_size);
    ca_text_add(&text, " and the process had ");
    text_add_build_id(&text, module->build_id, module->build_id_length);
    ca_text_add(&text, "; try --sysroot or --debug-dir with the files of that build");
    problem_set(binary, CA_SYMBOLS_WRONG_BUILD_ID, &text);
}

static void problem_unreadable(struct ca_binary *binary, const char *file_name, const char *reason)
{
    struct ca_text text = {0};
    ca_text_printf(&text, "%s: not used, %s", file_name, reason);
    problem_set(binary, CA_SYMBOLS_UNREADABLE, &text);
}

static void problem_no_file(struct ca_binary *binary, const struct ca_module *module, const char *file_name)
{
    struct ca_text text = {0};
    ca_text_printf(&text, "%s: not found, build-id ", file_name);
    text_add_build_id(&text, module->build_id, module->build_id_length);
    ca_text_add(&text, "; try --sysroot or --debug-dir with the files of the machine that it ran on");
    problem_set(binary, CA_SYMBOLS_NO_FILE, &text);
}

static uint64_t page_after(uint64_t address)
{
    return (address + 4095) & ~UINT64_C(4095);
}

/* Whether the file's segments take the place that the module had, in pages: what tells another build where
 * there are no build-ids, and a record of the module that was overwritten. Segments with gaps for pages of
 * 64 KiB between them are loaded one by one, and the loader names the first (aarch64, glibc 2.36). */
static bool file_fits(Elf *elf, const struct ca_module *module, uint64_t *ret_start, uint64_t *ret_end)
{
    size_t count = 0;
    *ret_start = UINT64_MAX;
    *ret_end = 0;
    if (module->start == 0 || elf_getphdrnum(elf, &count) != 0) { /* not known */
        return true;
    }
    for (size_t i = 0; i < count && i <= INT_MAX; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_LOAD) {
            uint64_t start = header.p_vaddr & ~UINT64_C(4095), end = header.p_vaddr + header.p_memsz;
            *ret_start = start < *ret_start ? start : *ret_start;
            *ret_end = end > *ret_end ? end : *ret_end;
        }
    }
    GElf_Ehdr file_header;
    bool has_gaps = gelf_getehdr(elf, &file_header) && file_header.e_machine == EM_AARCH64;
    uint64_t end = page_after(module->end - module->bias);
    return *ret_end <= *ret_start || (*ret_start == module->start - module->bias &&
                                      (has_gaps ? end <= page_after(*ret_end) : end == page_after(*ret_end)));
}

static void problem_does_not_fit(struct ca_binary *binary, const struct ca_module *module,
                                 const char *file_name, uint64_t start, uint64_t end)
{
    struct ca_text text = {0};
    ca_text_printf(&text,
                   "%s: not used, it would lie at 0x%" PRIx64 "-0x%" PRIx64 " and the process had 0x%" PRIx64
                   "-0x%" PRIx64 "; try --sysroot or --debug-dir with the files of that build",
                   file_name, module->bias + start, module->bias + end, module->start, module->end);
    problem_set(binary, CA_SYMBOLS_WRONG_BUILD_ID, &text);
}

/* Whether the open file is the module's; else sets status and problem. A side without build-id is taken as it
 * is, if it fits. */
static bool file_check(struct ca_binary *binary, const struct ca_module *module, int file,
                       const char *file_name)
{
    Elf *elf = elf_begin(file, ELF_C_READ_MMAP_PRIVATE, NULL);
    bool good = false;
    if (!elf || !elf_is_whole(elf, file)) {
        problem_unreadable(binary, file_name, "it is not a whole ELF file");
    } else {
        const void *found = NULL;
        ssize_t size = dwelf_elf_gnu_build_id(elf, &found);
        size_t found_size = size > 0 ? (size_t)size : 0;
        size_t compared = found_size < TM_BUILD_ID_MAX ? found_size : TM_BUILD_ID_MAX;
        good = module->build_id_length == 0 ||
               (compared == module->build_id_length && memcmp(found, module->build_id, compared) == 0);
        uint64_t start, end;
        if (!good) {
            problem_wrong_build_id(binary, module, file_name, found, found_size);
        } else if (!file_fits(elf, module, &start, &end)) {
            problem_does_not_fit(binary, module, file_name, start, end);
            good = false;
        }
    }
    elf_end(elf);
    return good;
}

/* ------------------------------------------------------------------------------------------------ opening */

static bool dwfl_start(struct ca_binary *binary, const struct ca_binary_options *options)
{
    binary->callbacks = (Dwfl_Callbacks){
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .debuginfo_path = (char **)&options->debuginfo_path,
    };
    binary->dwfl = dwfl_begin(&binary->callbacks);
    if (!binary->dwfl) {
        binary->failed = true;
        return false;
    }
    dwfl_report_begin(binary->dwfl);
    return true;
}

static void binary_use(struct ca_binary *binary, Dwfl_Module *module)
{
    dwfl_report_end(binary->dwfl, NULL, NULL);
    binary->module = module;
    binary->status = CA_SYMBOLS_NAMES;
    free(binary->problem);
    binary->problem = NULL;
}

/* Tries one file; false: not usable, and the status says why, save that a missing file leaves an earlier
 * reason. */
static bool try_file(struct ca_binary *binary, const struct ca_module *module,
                     const struct ca_binary_options *options, const char *sysroot, const char *path)
{
    char *file_name = NULL;
    if (asprintf(&file_name, "%s%s%s", sysroot ? sysroot : "", sysroot && path[0] != '/' ? "/" : "", path) <
        0) {
        binary->failed = true;
        return false;
    }
    int file = regular_file_open(sysroot, path);
    bool opened = false;
    if (file < 0) {
        bool missing = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG;
        if (!missing) {
            problem_unreadable(binary, file_name,
                               errno == EINVAL ? "it is not a regular file" : strerror(errno));
        } else if (binary->status == CA_SYMBOLS_NOT_ASKED) {
            problem_no_file(binary, module, file_name);
        }
    } else if (file_check(binary, module, file, file_name) && dwfl_start(binary, options)) {
        Dwfl_Module *reported = dwfl_report_elf(binary->dwfl, file_name, file_name, file, 0, true);
        opened = reported != NULL;
        if (opened) {
            binary_use(binary, reported);
            file = -1;
        } else {
            problem_unreadable(binary, file_name, dwfl_errmsg(-1));
            dwfl_end(binary->dwfl);
            binary->dwfl = NULL;
        }
    }
    if (file >= 0) {
        close(file);
    }
    free(file_name);
    return opened;
}

/* The debug directories' .build-id/xx/yyyy, a link to the file itself, or yyyy.debug: it has the symbols too.
 */
static bool try_debug_directories(struct ca_binary *binary, const struct ca_module *module,
                                  const struct ca_binary_options *options)
{
    char id[TM_BUILD_ID_MAX * 2 + 2];
    int id_size = snprintf(id, sizeof(id), "%02x/", module->build_id[0]);
    for (size_t i = 1; i < module->build_id_length; i++) {
        id_size += snprintf(id + id_size, sizeof(id) - (size_t)id_size, "%02x", module->build_id[i]);
    }
    bool opened = false;
    for (const char *next = options->debuginfo_path; *next != '\0' && !opened;) {
        size_t size = strcspn(next, ":");
        for (int debug = 0; debug < 2 && next[0] == '/' && !opened; debug++) {
            char *name = NULL;
            if (asprintf(&name, "%.*s/.build-id/%s%s", (int)size, next, id, debug ? ".debug" : "") < 0) {
                binary->failed = true;
                return false;
            }
            opened = access(name, R_OK) == 0 && try_file(binary, module, options, NULL, name);
            free(name);
        }
        next += size + (next[size] == ':');
    }
    return opened;
}

/* Asks the servers in DEBUGINFOD_URLS, through libdwfl. */
static bool try_servers(struct ca_binary *binary, const struct ca_module *module,
                        const struct ca_binary_options *options)
{
    const char *servers = getenv("DEBUGINFOD_URLS");
    if (!servers || servers[0] == '\0' || module->start < module->bias || !dwfl_start(binary, options)) {
        return false;
    }
    uint64_t start = module->start - module->bias;
    Dwfl_Module *reported =
        dwfl_report_module(binary->dwfl, module->path, start, start + (module->end - module->start));
    GElf_Addr bias = 0;
    if (reported &&
        dwfl_module_report_build_id(reported, module->build_id, module->build_id_length, 0) == 0 &&
        dwfl_module_getelf(reported, &bias) && bias == 0) {
        binary_use(binary, reported);
        return true;
    }
    dwfl_end(binary->dwfl);
    binary->dwfl = NULL;
    return false;
}

bool ca_binary_open(struct ca_binary *binary, const struct ca_module *module,
                    const struct ca_binary_options *options)
{
    const char *path = module->path ? module->path : "";
    if (path_is_virtual(path)) {
        binary->status = CA_SYMBOLS_VIRTUAL;
        return true;
    }
    elf_version(EV_CURRENT);
    char *bare = strndup(path, ca_module_path_size(path));
    if (!bare) {
        return false;
    }
    bool identified = module->build_id_length > 2 && module->build_id_length <= TM_BUILD_ID_MAX;
    bool opened = path[0] != '\0' &&
                  (try_file(binary, module, options, options->sysroot, path) ||
                   (strcmp(bare, path) != 0 && try_file(binary, module, options, options->sysroot, bare)));
    free(bare);
    if (!opened && identified) {
        enum ca_module_symbols status = binary->status;
        char *problem = binary->problem;
        binary->problem = NULL;
        if (try_debug_directories(binary, module, options) || try_servers(binary, module, options)) {
            free(problem);
        } else {
            free(binary->problem);
            binary->status = status;
            binary->problem = problem;
        }
    }
    if (binary->status == CA_SYMBOLS_NOT_ASKED) {
        problem_no_file(binary, module, path[0] != '\0' ? path : "an object file without a name");
    }
    return !binary->failed;
}

void ca_binary_close(struct ca_binary *binary)
{
    dwfl_end(binary->dwfl);
    free(binary->problem);
    *binary = (struct ca_binary){0};
}
