#include "mappings.h"

#include <stddef.h>

#include "../atomics.h"
#include "../host/system.h"
#include "memory.h"
#include "root.h"
#include "wide.h"

#define SLAB_SIZE ((size_t)64 << 10)

/* A treap: ordered by start, a heap by priority, which is a hash of start. */
struct node {
    struct tm_mapping mapping;
    struct node *left, *right;
};

static struct node *root, *spare; /* spare: linked by right */
static uint64_t root_generation;

static uint32_t lock_owner; /* tid; 0 = nobody */

/* ---------------------------------------------------------------------------------------------------------------
 * Nodes
 */

static uint64_t priority(const struct node *node)
{
    uint64_t hash = (uint64_t)node->mapping.start * UINT64_C(0x9e3779b97f4a7c15);
    return (hash ^ hash >> 32) * UINT64_C(0xbf58476d1ce4e5b9);
}

static struct node *node_take(void)
{
    if (!spare) {
        struct node *slab = tm_memory_map(TM_MEMORY_PRIVATE, SLAB_SIZE);
        for (size_t i = 0; slab && i < SLAB_SIZE / sizeof(*slab); i++) {
            slab[i].right = spare;
            spare = &slab[i];
        }
    }
    struct node *node = spare;
    spare = node ? node->right : NULL;
    return node;
}

static void node_give(struct node *node)
{
    node->right = spare;
    spare = node;
}

/* Gives all nodes of a tree back; turns left children up, so that no stack is needed. */
static void tree_give(struct node *tree)
{
    while (tree) {
        struct node *left = tree->left;
        if (left) {
            tree->left = left->right;
            left->right = tree;
            tree = left;
        } else {
            struct node *right = tree->right;
            node_give(tree);
            tree = right;
        }
    }
}

/* The parts of a tree below `start` and from it on. */
static void tree_split(struct node *tree, uintptr_t start, struct node **ret_low, struct node **ret_high)
{
    while (tree) {
        if (tree->mapping.start < start) {
            *ret_low = tree;
            ret_low = &tree->right;
            tree = tree->right;
        } else {
            *ret_high = tree;
            ret_high = &tree->left;
            tree = tree->left;
        }
    }
    *ret_low = NULL;
    *ret_high = NULL;
}

/* One tree of two, of which the first lies below the second. */
static struct node *tree_join(struct node *low, struct node *high)
{
    struct node *joined = NULL, **at = &joined;
    while (low && high) {
        if (priority(low) > priority(high)) {
            *at = low;
            at = &low->right;
            low = low->right;
        } else {
            *at = high;
            at = &high->left;
            high = high->left;
        }
    }
    *at = low ? low : high;
    return joined;
}

/* ---------------------------------------------------------------------------------------------------------------
 * The set
 */

static void lock(void)
{
    uint32_t tid = tm_system_tid();
    while (!tm_swap_if(&lock_owner, 0, tid)) {
        tm_system_yield();
    }
}

bool tm_mappings_lock(uint64_t generation, uint64_t *ret_signals)
{
    *ret_signals = tm_system_block_signals();
    lock();
    if (tm_load(&tm_root->generation) != generation) {
        tm_mappings_unlock(*ret_signals);
        return false;
    }
    if (root_generation != generation) {
        tree_give(root);
        root = NULL;
        root_generation = generation;
    }
    return true;
}

void tm_mappings_unlock(uint64_t signals)
{
    tm_publish(&lock_owner, 0);
    tm_system_set_signals(signals);
}

bool tm_mappings_find(uintptr_t start, uintptr_t end, struct tm_mapping *ret_mapping)
{
    const struct node *found = NULL;
    for (const struct node *node = root; node;) {
        if (node->mapping.end > start) {
            found = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    if (!found || found->mapping.start >= end) {
        return false;
    }
    *ret_mapping = found->mapping;
    return true;
}

bool tm_mappings_add(uintptr_t start, uintptr_t end)
{
    struct node *node = node_take();
    if (!node) {
        return false;
    }
    *node = (struct node){.mapping = {start, end}};
    struct node **at = &root;
    while (*at && priority(*at) >= priority(node)) {
        at = (*at)->mapping.start < start ? &(*at)->right : &(*at)->left;
    }
    tree_split(*at, start, &node->left, &node->right);
    *at = node;
    return true;
}

void tm_mappings_remove(uintptr_t start)
{
    struct node **at = &root;
    while (*at && (*at)->mapping.start != start) {
        at = (*at)->mapping.start < start ? &(*at)->right : &(*at)->left;
    }
    struct node *node = *at;
    if (node) {
        *at = tree_join(node->left, node->right);
        node_give(node);
    }
}

static void wide_visit(const struct tm_wide *entry, uint64_t generation)
{
    (void)generation;
    if (entry->domain == TM_DOMAIN_MMAP) {
        tm_mappings_add(entry->address, tm_page_end(entry->address + entry->size));
    }
}

void tm_mappings_forked(void)
{
    if (lock_owner) { /* half-way through a change: nodes may be lost */
        root = NULL;
        spare = NULL;
        root_generation = tm_root->generation;
        tm_wide_each(wide_visit, root_generation);
        lock_owner = 0;
    }
}
