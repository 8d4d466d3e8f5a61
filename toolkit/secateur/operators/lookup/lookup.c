/* A function of one byte, computed ahead of time for all 256 of them. Source and target may be the same. */
#include "secateur_kernels.h"

void secateur_lookup(const int8_t *table, const int8_t *source, int8_t *target, int32_t count)
{
    const int8_t *const end = source + count;
    while (source != end) {
        *target++ = table[(uint8_t)*source++];
    }
}
