/* Shares of each of some rows of float32 that add up to one. */
#include "secateur_kernels.h"
#include "secateur_float.h"

void secateur_softmax_float(
    const secateur_float *source, secateur_float *target, int32_t rows, int32_t columns, uint32_t beta)
{
    for (; rows > 0; rows--, source += columns, target += columns) {
        float largest = source[0], sum = 0.0f;
        for (int32_t column = 1; column < columns; column++) {
            largest = source[column] > largest ? source[column] : largest;
        }
        for (int32_t column = 0; column < columns; column++) {
            const float share = secateur_exp(secateur_real(beta) * (source[column] - largest));
            target[column] = share;
            sum += share;
        }
        for (int32_t column = 0; column < columns; column++) {
            target[column] = target[column] / sum;
        }
    }
}
