/* containers.cpp: every line marked HERE makes at least one block that stays, through library code only;
 * MAYBE: with some libraries. Aborts at the end. */
#include <any>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <cstdio>
#include <cstdlib>
#include <cstring>

struct Big {
    char bytes[300];
};

struct Node {
    std::string name;
    std::shared_ptr<Node> next;
};

static void *volatile kept[100];

template <typename Type> static void keep(Type *object)
{
    static int count;
    kept[count++] = object;
}

static const char *const long_text = "a text that is too long to be held in the object itself";

static void containers(const Big &big)
{
    static std::vector<int> pushed, reserved, inserted, copied;
    static std::vector<std::string> emplaced, resized, assigned;
    static std::list<Big> list;
    static std::forward_list<int> forward_list;
    static std::map<int, std::string> map;
    static std::multimap<int, int> multimap;
    static std::set<std::string> set;
    static std::unordered_map<std::string, int> unordered_map;
    static std::unordered_set<int> unordered_set;
    static std::deque<Big> deque;                    /* MAYBE */
    pushed.push_back(1);                             /* HERE */
    reserved.reserve(1000);                          /* HERE */
    inserted.insert(inserted.end(), 5000, 7);        /* HERE */
    copied = inserted;                               /* HERE */
    emplaced.emplace_back(long_text);                /* HERE */
    resized.resize(100, std::string(60, 'x'));       /* HERE */
    assigned.assign(resized.begin(), resized.end()); /* HERE */
    for (int i = 0; i < 100; i++) {
        deque.push_back(big); /* HERE */
    }
    list.push_back(big);        /* HERE */
    forward_list.push_front(3); /* HERE */
    map[3] = long_text;         /* HERE */
    map.emplace(4, long_text);  /* HERE */
    multimap.insert({1, 2});    /* HERE */
    set.insert(long_text);      /* HERE */
    unordered_map[long_text]++; /* HERE */
    unordered_set.insert(5);    /* HERE */
}

static void strings_and_pointers(const Big &big)
{
    static std::string text, sum, number, streamed;
    static std::ostringstream stream;
    static std::shared_ptr<Node> made, taken;
    static std::unique_ptr<Big> unique;
    static std::unique_ptr<int[]> array;
    static std::function<int()> function;
    static std::any any;
    static std::optional<std::string> optional;
    text.append(100, 't');                     /* HERE */
    sum = text + "and more";                   /* HERE */
    number = std::to_string(1e40);             /* HERE */
    stream << text << 5;                       /* HERE */
    streamed = stream.str();                   /* HERE */
    made = std::make_shared<Node>();           /* HERE */
    taken = std::shared_ptr<Node>(new Node);   /* HERE */
    unique = std::make_unique<Big>();          /* HERE */
    array = std::make_unique<int[]>(100);      /* HERE */
    function = [big] { return big.bytes[0]; }; /* HERE */
    any = big;                                 /* HERE */
    optional.emplace(90, 'o');                 /* HERE */
    keep(new Big);                             /* HERE */
    keep(new Big[3]);                          /* HERE */
}

static void c_library(FILE *input)
{
    char *line = nullptr, *formatted = nullptr;
    size_t size = 0;
    keep(strdup("text"));                   /* HERE */
    keep(strndup("text", 2));               /* HERE */
    keep(realpath(".", nullptr));           /* HERE */
    if (getline(&line, &size, input) < 0) { /* HERE */
        return;
    }
    keep(line);
    if (asprintf(&formatted, "%d and %s", 5, line) < 0) { /* HERE */
        return;
    }
    keep(formatted);
}

int main()
{
    Big big{};
    containers(big);
    strings_and_pointers(big);
    c_library(stdin);
    abort();
}
