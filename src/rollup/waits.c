/*
 * waits.c
 *		Names who the rollup waits for.
 *
 * PURPOSE
 *		Whoever can write can keep the rollup from moving, by leaving a
 *		transaction open: then the ledger's tail grows, and loads take longer.
 *		gov_stats shows that, and the log says it once, after
 *		governance.log_rollup_waits.
 *
 * INVARIANTS
 *		Only transactions are named that began before the rollup was blocked:
 *		others cannot be what blocks it.
 *
 * FAILURE
 *		A transaction that has just ended is not named.  If none is left, the next
 *		round looks again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/spi.h"
#include "rollup/waits.h"

static TimestampTz blocked_since = 0;	/* 0: it is not */
static bool is_told = false;

static GovQuery culprits_query = {
	.sql =
	"select string_agg(" GOV_ROLLUP_WAITER("w") ", ', ' order by w.pid)"
	" from @gov_rollup_waits w where coalesce((to_jsonb(w) ->> 'since')::timestamptz <= $1, true)",
	.nargs = 1,
	.argtypes = {TIMESTAMPTZOID}
};

/* Log who is in the way; false if they have just gone. */
static bool
log_waits(void)
{
	Datum		args[] = {TimestampTzGetDatum(blocked_since)};
	GovSpi		spi;
	char	   *culprits;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&culprits_query, args, NULL);
	culprits = gov_spi_text(0, 1);
	if (culprits != NULL)
		ereport(WARNING,
				(errmsg("the rollup of governance has waited for an open transaction for %ld s",
						TimestampDifferenceMilliseconds(blocked_since, GetCurrentTimestamp()) / 1000),
				 errdetail("These are in its way: %s.", culprits),
				 errhint("End it, and set idle_in_transaction_session_timeout for such roles.")));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return culprits != NULL;
}

/*
 * Note that the rollup was tried in this transaction, and whether it was
 * blocked.
 */
void
gov_waits_note(bool is_blocked)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!is_blocked)
	{
		blocked_since = 0;
		is_told = false;
		return;
	}
	if (blocked_since == 0 || blocked_since > now)	/* the clock was set back */
		blocked_since = now;
	if (!is_told && gov_log_rollup_waits_ms >= 0 &&
		TimestampDifferenceExceeds(blocked_since, now, gov_log_rollup_waits_ms))
		is_told = log_waits();
}
