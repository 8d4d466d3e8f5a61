/* Matrix product of two activations of int16, see secateur_batch_matmul.
 *
 * stream: batches, rows, columns, inner; steps of the one in values: a batch, a row, along inner; of the other: a batch, a
 * column, along inner; 15 bits of a multiplier; the shift to the right that goes with them.
 */
#include "secateur_kernels.h"
#include "secateur_requantise_16.h"

void secateur_batch_matmul_16(
    const uint32_t *stream, const secateur_int16 *one, const secateur_int16 *two, secateur_int16 *target)
{
    const uint32_t layer[3] = {1, (uint32_t)INT16_MIN, INT16_MAX};
    const int32_t step_one = (int32_t)stream[6], step_two = (int32_t)stream[9];
    for (uint32_t batch = stream[0]; batch > 0; batch--, one += (int32_t)stream[4], two += (int32_t)stream[7]) {
        const secateur_int16 *row = one;
        for (uint32_t rows = stream[1]; rows > 0; rows--, row += (int32_t)stream[5]) {
            const secateur_int16 *column = two;
            for (uint32_t columns = stream[2]; columns > 0; columns--, column += (int32_t)stream[8]) {
                const secateur_int16 *left = row, *right = column;
                int64_t sum = 0;
                for (uint32_t index = stream[3]; index > 0; index--, left += step_one, right += step_two) {
                    sum += *left * *right;
                }
                *target++ = secateur_finish_16(sum, layer, stream + 8);
            }
        }
    }
}
