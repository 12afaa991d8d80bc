/*
 * pass.c
 *		How far a step of the worker has gone through a table.
 *
 * PURPOSE
 *		What was deleted stays in the indexes until it is vacuumed, which a
 *		transaction that is open for hours prevents.  A step that began each
 *		batch at the front would walk over all that it has deleted before: its
 *		cost would grow with the square.  So it goes on where it stopped.
 *
 * PROTOCOL
 *		A pass moves forward only, and stays at its end, where another look costs
 *		a handful of blocks.  What it has passed over (rows with an old time,
 *		rows that were locked) is for the next pass, which begins when this one
 *		is GOV_PASS_S old.
 *
 *		The number of rows to look at begins small, and grows up to what makes
 *		GOV_PASS_WORK rows of work: so an idle round reads next to nothing, and a
 *		batch is short.
 *
 * FAILURE
 *		A position is this process's, and moves before its transaction commits.
 *		Whoever sees such a transaction fail calls gov_pass_forget_all().
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "rollup/pass.h"

#define GOV_PASS_S			3600
#define GOV_PASS_LIMIT_MIN	4
#define GOV_PASS_GROWTH		8
#define GOV_PASS_WORK		8192	/* rows in one transaction */

static uint64 current_generation = 1;

/* Have every pass of this process begin anew. */
void
gov_pass_forget_all(void)
{
	current_generation++;
}

/* Is a pass that began at one time still the present one at another? */
bool
gov_pass_is_recent(TimestampTz begun_at, TimestampTz now)
{
	return !TIMESTAMP_IS_NOBEGIN(begun_at) && begun_at <= now &&
		!TimestampDifferenceExceeds(begun_at, now, GOV_PASS_S * 1000);
}

/* Called before a batch.  True when a new pass begins with it. */
bool
gov_pass_continue(GovPass *pass)
{
	TimestampTz now = GetCurrentTimestamp();

	if (pass->generation == current_generation && gov_pass_is_recent(pass->begun_at, now))
		return false;
	pass->generation = current_generation;
	pass->begun_at = now;
	pass->at = DT_NOBEGIN;
	pass->id = PG_INT64_MIN;
	pass->limit = GOV_PASS_LIMIT_MIN;
	return true;
}

/*
 * Called after a batch, with how many rows it has looked at and how much work
 * they were.  False when there were no more rows.
 */
bool
gov_pass_note(GovPass *pass, int64 nread, int64 nworked)
{
	int64		most = GOV_PASS_WORK * nread / Max(nworked, 1);

	if (nread < pass->limit)
	{
		pass->limit = GOV_PASS_LIMIT_MIN;
		return false;
	}
	pass->limit = Max(Min(most, pass->limit * GOV_PASS_GROWTH), 1);
	return true;
}
