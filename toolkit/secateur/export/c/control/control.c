#include "control.h"

#include <stddef.h>

/* Differences of a counter that wraps round are right as long as they stay below half its range. */
#define HALF UINT32_C(0x80000000)

static bool has_passed(uint32_t now, uint32_t when)
{
    return now - when < HALF;
}

/* By the bits, since compilers may be told that there are no infinities. */
static bool all_finite(const float *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const union {
            float value;
            uint32_t bits;
        } seen = {values[i]};
        if ((seen.bits & UINT32_C(0x7F800000)) == UINT32_C(0x7F800000)) {
            return false;
        }
    }
    return true;
}

static void write_safe(struct control *loop)
{
    loop->statistics.safe++;
    loop->settings->safe();
}

bool control_start(struct control *loop, const struct control_settings *settings)
{
    if (settings->period_ticks == 0 || settings->period_ticks >= HALF || settings->deadline_ticks >= HALF ||
        settings->watchdog_ticks >= HALF) {
        return false;
    }
    loop->statistics = (struct control_statistics){0};
    loop->settings = settings;
    loop->busy = false;
    loop->stalled = false;
    loop->due = loop->observed = loop->begun = settings->ticks();
    return true;
}

/* From an observation to what is written. */
static void decide(struct control *loop)
{
    const struct control_settings *const set = loop->settings;
    if (!all_finite(set->inputs, set->input_count)) {
        loop->statistics.not_finite++;
        write_safe(loop);
        return;
    }
    loop->stalled = false;
    loop->busy = true;
    set->infer(set->inputs, set->outputs);
    loop->busy = false; /* from here on control_guard does nothing: what it did is known */
    const uint32_t took = set->ticks() - loop->begun;
    if (loop->stalled) {
        loop->statistics.late++;
    } else if (set->deadline_ticks != 0 && took > set->deadline_ticks) {
        loop->statistics.late++;
        write_safe(loop);
    } else if (!all_finite(set->outputs, set->output_count)) {
        loop->statistics.not_finite++;
        write_safe(loop);
    } else {
        set->act(set->outputs);
    }
}

/* When the next period is due, after one that ended so late. */
static enum control_status after_overrun(struct control *loop, uint32_t late)
{
    const struct control_settings *const set = loop->settings;
    loop->statistics.missed++;
    if (set->overrun == CONTROL_STOP) {
        control_end(loop);
        return CONTROL_OVERRAN;
    }
    if (set->overrun == CONTROL_SKIP) {
        const uint32_t behind = late / set->period_ticks + 1;
        loop->statistics.skipped += behind;
        loop->due += behind * set->period_ticks;
    }
    return CONTROL_GOING;
}

enum control_status control_period(struct control *loop)
{
    const struct control_settings *const set = loop->settings;
    while (!has_passed(set->ticks(), loop->due)) {
        if (set->idle != NULL) {
            set->idle();
        }
    }
    const bool is_observed = set->observe(set->inputs);
    const uint32_t begun = set->ticks(), start = begun - loop->due;
    loop->begun = begun;
    loop->statistics.periods++;
    loop->due += set->period_ticks;
    enum control_status status = CONTROL_GOING;
    if (is_observed) {
        loop->observed = begun;
        if (start > loop->statistics.worst_start_ticks) {
            loop->statistics.worst_start_ticks = start;
        }
        decide(loop);
        const uint32_t ended = set->ticks(), took = ended - begun;
        loop->statistics.total_ticks += took;
        if (took > loop->statistics.worst_ticks) {
            loop->statistics.worst_ticks = took;
        }
        if (ended != loop->due && has_passed(ended, loop->due)) {
            status = after_overrun(loop, ended - loop->due);
        }
    } else {
        loop->statistics.without_observation++;
        if (begun - loop->observed >= set->watchdog_ticks) {
            loop->observed = begun - set->watchdog_ticks; /* so that the difference never wraps round */
            write_safe(loop);
        }
    }
    if (set->alive != NULL && status == CONTROL_GOING) {
        set->alive();
    }
    return status;
}

void control_end(struct control *loop)
{
    write_safe(loop);
}

void control_guard(struct control *loop)
{
    if (!loop->busy || loop->stalled) {
        return; /* before control_start there are no settings either */
    }
    const struct control_settings *const set = loop->settings;
    const uint32_t allowed = set->deadline_ticks != 0 ? set->deadline_ticks : set->watchdog_ticks;
    if (set->ticks() - loop->begun > allowed) {
        loop->stalled = true;
        loop->statistics.stalled++;
        write_safe(loop);
    }
}
