/* A loop of fixed rate that says what became of every period. C99; integers only, apart from the values it passes on.
 * Time is a counter that the board supplies: any unit, counts up, may wrap round from 2^32 - 1 to 0. */
#ifndef SECATEUR_CONTROL_H
#define SECATEUR_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

/* What happens when a period ends late: the periods it has eaten are left out, or are done at once until the loop has
 * caught up, or the loop ends. */
enum control_overrun { CONTROL_SKIP, CONTROL_CATCH_UP, CONTROL_STOP };

enum control_status { CONTROL_GOING, CONTROL_OVERRAN };

struct control_settings {
    uint32_t period_ticks;   /* at least 1; this and all others below 2^31 */
    uint32_t deadline_ticks; /* from an observation to its action; a later one is not written, the safe one is.
                                0: late actions are written */
    uint32_t watchdog_ticks; /* without an observation for so long, the safe action is written */
    enum control_overrun overrun;
    uint32_t input_count, output_count;
    float *inputs, *outputs; /* of those lengths */

    uint32_t (*ticks)(void);
    void (*idle)(void);              /* called over and over until a period is due; may sleep; NULL for nothing */
    bool (*observe)(float *inputs);  /* fills them; false where nothing came */
    void (*infer)(const float *inputs, float *outputs);
    void (*act)(const float *outputs);
    void (*safe)(void);              /* the safe action; may be called from control_guard */
    void (*alive)(void);             /* the loop has come round: feeds a hardware watchdog; NULL for none */
};

struct control_statistics {
    uint32_t periods;             /* begun, including those without an observation */
    uint32_t missed;              /* that ended after the next one was due */
    uint32_t skipped;             /* left out because of those */
    uint32_t without_observation;
    uint32_t not_finite;          /* an input or output was infinite or no number */
    uint32_t late;                /* actions not written, since they came after the deadline */
    uint32_t safe;                /* times the safe action was written */
    uint32_t stalled;             /* of these, by control_guard */
    uint32_t worst_ticks;         /* of a period, from its observation until its action is written */
    uint32_t worst_start_ticks;   /* from when a period was due to its observation */
    uint64_t total_ticks;         /* of all periods that had an observation */
};

struct control {
    const struct control_settings *settings;
    struct control_statistics statistics;
    uint32_t due, observed;
    volatile uint32_t begun;
    volatile bool busy, stalled;
};

/* Sets everything to its start; the first period is due now. False where a setting is out of its range. */
bool control_start(struct control *loop, const struct control_settings *settings);

/* Waits until the next period is due, and does it. CONTROL_OVERRAN: it ended late and the settings say stop; the safe
 * action has been written. */
enum control_status control_period(struct control *loop);

/* The last thing the robot is told: the safe action. */
void control_end(struct control *loop);

/* For a timer interrupt of one core, every few periods or more often: writes the safe action, once, while an inference
 * is not done by its deadline (or by the watchdog's time where there is no deadline). What the inference gives after
 * that is not written. */
void control_guard(struct control *loop);

#endif
