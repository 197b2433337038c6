#include "sample_types.h"

const struct ca_sample_type ca_sample_types[CA_SAMPLE_TYPES] = {
    {"alloc_objects", "count"}, {"alloc_space", "bytes"},  {"inuse_objects", "count"},
    {"inuse_space", "bytes"},   {"peak_objects", "count"}, {"peak_space", "bytes"},
};
