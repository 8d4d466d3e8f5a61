/* Values of one source where the condition is not 0, of the other where it is; of two bytes or of four.
 *
 * stream: four loops from inside to outside: times, steps in bytes of the condition, of the one source and of the other;
 * then bytes of a value.
 */
#include "secateur_kernels.h"

void secateur_select_wide(const uint32_t *stream, const int8_t *condition, const void *one, const void *two, void *target)
{
    const int8_t *first = one, *second = two;
    secateur_int16 *halves = target;
    secateur_float *words = target;
    int32_t counts[4] = {0, 0, 0, 0};
    for (;;) {
        const void *const chosen = *condition ? first : second;
        if (stream[16] == 2) {
            *halves++ = *(const secateur_int16 *)chosen;
        } else {
            *words++ = *(const secateur_float *)chosen;
        }
        int32_t depth = 0;
        const uint32_t *loop = stream;
        while (++counts[depth] == (int32_t)loop[0]) {
            const int32_t back = counts[depth] - 1;
            condition -= back * (int32_t)loop[1];
            first -= back * (int32_t)loop[2];
            second -= back * (int32_t)loop[3];
            counts[depth] = 0;
            loop += 4;
            if (++depth == 4) {
                return;
            }
        }
        condition += (int32_t)loop[1];
        first += (int32_t)loop[2];
        second += (int32_t)loop[3];
    }
}
