/* Matrix product of two activations of float32, see secateur_batch_matmul.
 *
 * stream: batches, rows, columns, inner; steps of the one in values: a batch, a row, along inner; of the other: a batch, a
 * column, along inner.
 */
#include "secateur_kernels.h"
#include "secateur_float.h"

void secateur_batch_matmul_float(
    const uint32_t *stream, const secateur_float *one, const secateur_float *two, secateur_float *target)
{
    const int32_t step_one = (int32_t)stream[6], step_two = (int32_t)stream[9];
    for (uint32_t batch = stream[0]; batch > 0; batch--, one += (int32_t)stream[4], two += (int32_t)stream[7]) {
        const secateur_float *row = one;
        for (uint32_t rows = stream[1]; rows > 0; rows--, row += (int32_t)stream[5]) {
            const secateur_float *column = two;
            for (uint32_t columns = stream[2]; columns > 0; columns--, column += (int32_t)stream[8]) {
                const secateur_float *left = row, *right = column;
                float sum = 0.0f;
                for (uint32_t index = stream[3]; index > 0; index--, left += step_one, right += step_two) {
                    sum += *left * *right;
                }
                *target++ = sum;
            }
        }
    }
}
