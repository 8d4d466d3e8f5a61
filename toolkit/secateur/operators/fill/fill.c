/* Set bytes to one value: the places that padding adds. */
#include "secateur_kernels.h"

void secateur_fill(int8_t *target, int32_t count, int32_t value)
{
    const int8_t *const end = target + count;
    while (target != end) {
        *target++ = (int8_t)value;
    }
}
