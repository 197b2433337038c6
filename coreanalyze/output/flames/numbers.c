/* numbers.c: see numbers.h. */
#include "numbers.h"

#include "../../util/grow.h"

uint32_t ca_numbers_add(struct ca_numbers *numbers, uint32_t id)
{
    size_t before = numbers->capacity;
    if (!CA_GROW(numbers->numbers, numbers->capacity, (size_t)id + 1)) {
        return CA_NO_NUMBER;
    }
    for (size_t i = before; i < numbers->capacity; i++) {
        numbers->numbers[i] = CA_NO_NUMBER;
    }
    if (numbers->numbers[id] == CA_NO_NUMBER) {
        if (!CA_GROW(numbers->ids, numbers->ids_capacity, numbers->count + 1)) {
            return CA_NO_NUMBER;
        }
        numbers->numbers[id] = (uint32_t)numbers->count;
        numbers->ids[numbers->count++] = id;
    }
    return numbers->numbers[id];
}

void ca_numbers_deinit(struct ca_numbers *numbers)
{
    free(numbers->numbers);
    free(numbers->ids);
    *numbers = (struct ca_numbers){0};
}
