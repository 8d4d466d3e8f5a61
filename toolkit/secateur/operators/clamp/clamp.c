/* Clamp int8 values in place: what a fused activation cuts off inside the range of int8. */
#include "secateur_kernels.h"

void secateur_clamp(int8_t *values, int32_t count, int32_t low, int32_t high)
{
    const int8_t *const end = values + count;
    while (values != end) {
        int32_t value = *values;
        if (value < low) {
            value = low;
        }
        if (value > high) {
            value = high;
        }
        *values++ = (int8_t)value;
    }
}
