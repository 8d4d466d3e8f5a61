/* Values of one source where the condition is not 0, of the other where it is. stream: four loops from inside to
 * outside: times, steps of the condition, of the one source and of the other. */
#include "secateur_kernels.h"

void secateur_select(const uint32_t *stream, const int8_t *condition, const int8_t *one, const int8_t *two,
                     int8_t *target)
{
    int32_t counts[4] = {0, 0, 0, 0};
    for (;;) {
        *target++ = *condition ? *one : *two;
        int32_t depth = 0;
        const uint32_t *loop = stream;
        while (++counts[depth] == (int32_t)loop[0]) {
            const int32_t back = counts[depth] - 1;
            condition -= back * (int32_t)loop[1];
            one -= back * (int32_t)loop[2];
            two -= back * (int32_t)loop[3];
            counts[depth] = 0;
            loop += 4;
            if (++depth == 4) {
                return;
            }
        }
        condition += (int32_t)loop[1];
        one += (int32_t)loop[2];
        two += (int32_t)loop[3];
    }
}
