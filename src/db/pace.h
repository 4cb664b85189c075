/* pace: how long statements of one text take, as a pool has seen it: which of them may travel in
 * company. Private to src/db.
 *
 * Kept for each text is about the tenth percentile of its times, each from the end of what stood
 * before it (or its sending) to its own end: what it takes without waiting for a processor. The
 * table has a fixed size; texts that fall on one place drive each other out, which costs speed and
 * nothing else. */
#ifndef PGH_DB_PACE_H
#define PGH_DB_PACE_H

#include <stdint.h>

#define PACE_UNKNOWN UINT32_MAX
#define PACE_SLOW_US 20000u /* more counts as this */

struct pace;

struct pace *pace_new(void);
void pace_free(struct pace *);

/* key: stmt_text_hash of the text. */
uint32_t pace_us(const struct pace *, uint64_t key); /* PACE_UNKNOWN: not seen yet */
void pace_note(struct pace *, uint64_t key, uint64_t us);
void pace_slow(struct pace *, uint64_t key); /* it held others up, or gave a lot */

#endif
