/* Matrix product of two activations: for every batch, target[rows, columns] = one[rows, inner] . two, the other
 * either [columns, inner] or [inner, columns].
 *
 * stream: batches, rows, columns, inner; steps of the one in bytes: a batch, a row, along inner; of the other:
 * a batch, a column, along inner; zero points of the one, the other and the target; multiplier; shift to the
 * right | to the left << 8.
 */
#include "secateur_kernels.h"
#include "secateur_requantise.h"

void secateur_batch_matmul(const uint32_t *stream, const int8_t *one, const int8_t *two, int8_t *target)
{
    const int32_t inner = (int32_t)stream[3], zero_one = (int32_t)stream[10], zero_two = (int32_t)stream[11];
    const int32_t step_one = (int32_t)stream[6], step_two = (int32_t)stream[9];
    for (uint32_t batch = stream[0]; batch > 0; batch--, one += (int32_t)stream[4], two += (int32_t)stream[7]) {
        const int8_t *row = one;
        for (uint32_t rows = stream[1]; rows > 0; rows--, row += (int32_t)stream[5]) {
            const int8_t *column = two;
            for (uint32_t columns = stream[2]; columns > 0; columns--, column += (int32_t)stream[8]) {
                const int8_t *left = row, *right = column;
                int32_t sum = 0;
                for (int32_t index = inner; index > 0; index--, left += step_one, right += step_two) {
                    sum += (*left - zero_one) * (*right - zero_two);
                }
                sum = secateur_shift_left(sum, stream[14] >> 8);
                *target++ = secateur_finish(sum, (int32_t)stream[13], stream[14], (int32_t)stream[12]);
            }
        }
    }
}
