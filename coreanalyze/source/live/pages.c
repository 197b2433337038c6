/* pages.c: see pages.h. */
#include "pages.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGE_SIZE 4096u
/* Bits of a word of pagemap. */
#define PRESENT (UINT64_C(1) << 63)
#define SWAPPED (UINT64_C(1) << 62)
#define WORDS   8192

struct mapping {
    uint64_t start, end;
    bool anonymous; /* private, of no file */
};

/* A line of maps; false where the process cannot read and write. */
static bool mapping_parse(const char *line, struct mapping *ret_mapping)
{
    char permissions[5];
    uint64_t inode;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64, &ret_mapping->start, &ret_mapping->end,
               permissions, &inode) != 4) {
        return false;
    }
    ret_mapping->anonymous = permissions[3] == 'p' && inode == 0;
    return permissions[0] == 'r' && permissions[1] == 'w' && ret_mapping->end > ret_mapping->start;
}

/* Runs of pages in use. */
static bool mapping_add(int pagemap, const struct mapping *mapping, struct ca_ranges *ret_pages)
{
    uint64_t words[WORDS];
    uint64_t at = mapping->start, run = at; /* [run, at) is in use and not added yet */
    while (at < mapping->end) {
        uint64_t left = (mapping->end - at) / PAGE_SIZE;
        size_t wanted = (left < WORDS ? (size_t)left : WORDS) * sizeof(*words);
        ssize_t got = pagemap < 0 ? -1 : pread(pagemap, words, wanted, (off_t)(at / PAGE_SIZE * 8));
        if (got < (ssize_t)sizeof(*words)) {
            return ca_ranges_add(ret_pages, run, mapping->end - run);
        }
        for (size_t i = 0; i < (size_t)got / sizeof(*words); i++, at += PAGE_SIZE) {
            if (words[i] & (PRESENT | SWAPPED)) {
                continue;
            }
            if (!ca_ranges_add(ret_pages, run, at - run)) {
                return false;
            }
            run = at + PAGE_SIZE;
        }
    }
    return ca_ranges_add(ret_pages, run, at - run);
}

bool ca_pages_add(uint32_t pid, const char *maps, struct ca_ranges *ret_pages, struct ca_ranges *ret_blank)
{
    char path[48];
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/pagemap", pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    bool done = true;
    for (const char *line = maps; done && line && *line;) {
        struct mapping mapping;
        if (mapping_parse(line, &mapping)) {
            done =
                mapping_add(pagemap, &mapping, ret_pages) &&
                (!mapping.anonymous || ca_ranges_add(ret_blank, mapping.start, mapping.end - mapping.start));
        }
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (pagemap >= 0) {
        close(pagemap);
    }
    ca_ranges_join(ret_blank);
    return done;
}
