/* Fully connected layer over vectors of float32.
 *
 * stream: rows | columns << 16, vectors, lowest and highest result; a bias for each row; the weights, row after row.
 */
#include "secateur_kernels.h"
#include "secateur_float.h"

void secateur_fully_connected_float(const uint32_t *stream, const secateur_float *source, secateur_float *target)
{
    const int32_t rows = (int32_t)(stream[0] & 0xFFFFu), columns = (int32_t)(stream[0] >> 16);
    const float low = secateur_real(stream[2]), high = secateur_real(stream[3]);
    const secateur_float *const bias = (const secateur_float *)(const void *)(stream + 4);
    for (uint32_t vectors = stream[1]; vectors > 0; vectors--, source += columns) {
        const secateur_float *next = bias + rows;
        for (int32_t row = 0; row < rows; row += 4) {
            const int32_t left = rows - row;
            const secateur_float *a = next, *b = left > 1 ? a + columns : a;
            const secateur_float *c = left > 2 ? b + columns : b, *d = left > 3 ? c + columns : c;
            const secateur_float *value = source;
            float first = 0.0f, second = 0.0f, third = 0.0f, fourth = 0.0f;
            next = d + columns;
            for (int32_t pairs = columns / 2; pairs > 0; pairs--, value += 2, a += 2, b += 2, c += 2, d += 2) {
                const float x = value[0], y = value[1];
                first = first + a[0] * x + a[1] * y;
                second = second + b[0] * x + b[1] * y;
                third = third + c[0] * x + c[1] * y;
                fourth = fourth + d[0] * x + d[1] * y;
            }
            if ((columns & 1) != 0) {
                const float x = *value;
                first += *a * x;
                second += *b * x;
                third += *c * x;
                fourth += *d * x;
            }
            *target++ = secateur_bounded(first + bias[row], low, high);
            if (left > 1) {
                *target++ = secateur_bounded(second + bias[row + 1], low, high);
            }
            if (left > 2) {
                *target++ = secateur_bounded(third + bias[row + 2], low, high);
            }
            if (left > 3) {
                *target++ = secateur_bounded(fourth + bias[row + 3], low, high);
            }
        }
    }
}
