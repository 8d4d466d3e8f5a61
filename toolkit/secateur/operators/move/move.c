/* Copy bytes from a place with one order of axes to a place with another: five nested loops, the innermost a run
 * of bytes that follow each other, or that are inner bytes apart. stream: run, inner step of source, of target;
 * then from inside to outside for each of four loops: times, step of the source, of the target, in bytes.
 */
#include "secateur_kernels.h"

void secateur_move(const uint32_t *stream, const int8_t *source, int8_t *target)
{
    const int32_t run = (int32_t)stream[0], from = (int32_t)stream[1], to = (int32_t)stream[2];
    int32_t left[4];
    for (int32_t loop = 0; loop < 4; loop++) {
        left[loop] = (int32_t)stream[3 + 3 * loop];
    }
    for (;;) {
        int32_t index = 0;
        if (from == 1 && to == 1) {
            for (; index < run; index++) {
                target[index] = source[index];
            }
        }
        const int8_t *read = source;
        int8_t *write = target;
        for (; index < run; index++, read += from, write += to) {
            *write = *read;
        }
        int32_t loop = 0;
        for (; --left[loop] == 0; loop++) {
            const int32_t times = (int32_t)stream[3 + 3 * loop];
            source -= (times - 1) * (int32_t)stream[4 + 3 * loop];
            target -= (times - 1) * (int32_t)stream[5 + 3 * loop];
            left[loop] = times;
            if (loop == 3) {
                return;
            }
        }
        source += (int32_t)stream[4 + 3 * loop];
        target += (int32_t)stream[5 + 3 * loop];
    }
}
