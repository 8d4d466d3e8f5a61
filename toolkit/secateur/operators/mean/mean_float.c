/* Sum over the middle axis of [outer, count, inner] values of float32, divided: a mean by count, a sum by one. */
#include "secateur_kernels.h"

void secateur_mean_float(
    const secateur_float *source, secateur_float *target, int32_t outer, int32_t count, int32_t inner,
    int32_t divisor)
{
    for (; outer > 0; outer--, source += (count - 1) * inner) {
        for (int32_t place = 0; place < inner; place++, source++) {
            const secateur_float *value = source;
            float sum = 0.0f;
            for (int32_t rest = count; rest > 0; rest--, value += inner) {
                sum += *value;
            }
            *target++ = sum / (float)divisor;
        }
    }
}
