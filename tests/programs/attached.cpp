// A program to attach to: threads under load that check what they hold, and a main thread that does as it is
// told.
//
// Lines on standard input: "allocate": 10 blocks of 1000 bytes (named), 5 of 200 by new[], one of before is
// made 5000 bytes, all others of before are freed. "plugin PATH": dlopen; it has a constructor and a function
// that allocate. "unload": dlclose. "wait": nothing. Each is answered by its name. The end of the input ends
// it.
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

static std::atomic<bool> stopping{false};
static std::atomic<unsigned> rounds{0};
static const int old_count = 50;
static void *old_blocks[old_count];
static void *named[10];
static char *arrays[5];
static void *plugin;

extern "C" {
void make_named()
{
    for (void *&block : named) {
        block = malloc(1000);
        memset(block, 1, 1000);
    }
}

void make_arrays()
{
    for (char *&array : arrays) {
        array = new char[200];
    }
}

void grow_old()
{
    old_blocks[0] = realloc(old_blocks[0], 5000);
}
}

static void free_old()
{
    for (int i = 1; i < old_count; i++) {
        free(old_blocks[i]);
        old_blocks[i] = nullptr;
    }
}

static void load(unsigned seed)
{
    std::map<unsigned, std::string> held;
    while (!stopping) {
        seed = seed * 1664525 + 1013904223;
        unsigned key = seed >> 16 & 255;
        auto found = held.find(key);
        if (found != held.end()) {
            if (found->second != std::string(key + 20, char('a' + key % 26))) {
                fprintf(stderr, "damaged\n");
                abort();
            }
            held.erase(found);
        } else {
            held[key] = std::string(key + 20, char('a' + key % 26));
            free(realloc(malloc(key + 1), 3 * key + 1));
        }
        rounds++;
    }
}

static void open_plugin(const char *path)
{
    plugin = dlopen(path, RTLD_NOW);
    auto make = reinterpret_cast<void (*)()>(plugin ? dlsym(plugin, "plugin_make") : nullptr);
    if (!make) {
        fprintf(stderr, "no plugin: %s\n", dlerror());
        exit(1);
    }
    make();
}

int main(int argc, char **argv)
{
    std::vector<std::thread> threads;
    for (void *&block : old_blocks) {
        block = malloc(3000);
    }
    for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 0); i++) {
        threads.emplace_back(load, i);
    }
    while (rounds < 1000 && !threads.empty()) {
    }
    char line[4096];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "allocate") == 0) {
            make_named();
            make_arrays();
            grow_old();
            free_old();
        } else if (strncmp(line, "plugin ", 7) == 0) {
            open_plugin(line + 7);
        } else if (strcmp(line, "unload") == 0) {
            dlclose(plugin);
        }
        free(malloc(1));
        puts(line);
        fflush(stdout);
    }
    stopping = true;
    for (std::thread &thread : threads) {
        thread.join();
    }
    for (char *array : arrays) {
        delete[] array;
    }
    puts("end");
}
