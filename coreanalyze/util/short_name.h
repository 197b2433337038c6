/* short_name.h: C++ names without what their writer never wrote. */
#ifndef CA_UTIL_SHORT_NAME_H
#define CA_UTIL_SHORT_NAME_H

#include "text.h"

/* Adds the name, short: the inline namespaces of the standard libraries, the defaults at the end of a std
 * template's arguments (allocators, traits, comparisons, hashes, deleters) and the blanks between closing
 * brackets are left out, and std::basic_string<char> and its like have their common names:
 *
 *   std::map<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, int,
 * std::less<...>, ...> std::map<std::string, int>
 *
 * Arguments that the program gave stay, and so does what is no such name. */
void ca_short_name(struct ca_text *text, const char *name, size_t size);

#endif
