/* Which taps of a window lie in the image, along one side. */
#ifndef SECATEUR_REACH_H
#define SECATEUR_REACH_H

#include <stdint.h>

/* The first, and the one behind the last; none where the one is not before the other. */
typedef struct {
    int32_t first, end;
} secateur_reach_t;

/* Of so many taps, the first of them at a place that may be negative, the others so far apart. */
static inline secateur_reach_t secateur_reach(int32_t place, int32_t taps, int32_t apart, int32_t size)
{
    secateur_reach_t reach = {0, taps};
    for (int32_t left = place; left < 0 && reach.first < taps; left += apart) {
        reach.first++;
    }
    for (int32_t last = place + (taps - 1) * apart; last >= size && reach.end > 0; last -= apart) {
        reach.end--;
    }
    return reach;
}

#endif
