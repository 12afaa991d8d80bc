/*
 * await.c
 *		Waits for who has locked rows of the catalog, without keeping calls
 *		waiting.
 *
 * PURPOSE
 *		Whoever is about to change much that an owner has keeps the owner's calls
 *		out, or those that create entities, until its transaction ends
 *		(cache/barrier.c, hierarchy.c).  If it met a row then that somebody has
 *		changed in a transaction which stays open, all of these would wait for
 *		that.  So it waits here first, with nothing in hand.
 *
 * PROTOCOL
 *		1. Lock all rows that nobody has, without waiting, and list the others.
 *		   Give the locks back.
 *		2. Wait for each row of the list: lock it, and give that back too.
 *		3. Again from 1, until the list is empty.
 *
 *		A lock is waited for in the same way: the transactions that have it are,
 *		and nobody who wants it meanwhile stands behind us.
 *
 * RACES ACCEPTED
 *		Somebody may take a row between this and the locks that are kept.  The
 *		caller looks once more (gov_await_is_taken), or waits as anybody does.
 *
 * LOCKING
 *		While a row is waited for nothing else is locked by us; whoever wants it
 *		FOR KEY SHARE, as a foreign key does, does not wait for us.
 *
 * FAILURE
 *		Raises what locking a row does: 40P01, 55P03 after lock_timeout.
 */
#include "postgres.h"

#include "storage/itemptr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"

#include "base/attempt.h"
#include "base/fault.h"
#include "rules/await.h"

#define GOV_AWAIT_PASSES	20	/* after which it waits as anybody does */

/* What is looked for, and what was found. */
typedef struct GovAwait
{
	GovAwaited *awaited;
	Datum	   *args;
	int			nargs;
	ItemPointer taken;			/* places of rows that others have */
	uint64		ntaken;
	ItemPointer one;			/* of them */
} GovAwait;

/* Lock what is free, and list the rest. */
static void
list_taken(void *arg)
{
	GovAwait   *await = arg;
	GovQuery   *query = &await->awaited->taken;
	MemoryContext caller = CurrentMemoryContext;
	GovSpi		spi;

	query->nargs = await->nargs;
	for (int i = 0; i < await->nargs; i++)
		query->argtypes[i] = TEXTOID;
	gov_spi_begin(&spi);
	await->ntaken = gov_spi_modify(query, await->args, NULL);
	await->taken = MemoryContextAllocHuge(caller, sizeof(ItemPointerData) * (await->ntaken + 1));
	for (uint64 row = 0; row < await->ntaken; row++)
	{
		bool		isnull;

		ItemPointerCopy((ItemPointer) DatumGetPointer(gov_spi_value(row, 1, &isnull)), &await->taken[row]);
	}
	gov_spi_end(&spi);
}

/* Wait for whoever has the row. */
static void
lock_one(void *arg)
{
	GovAwait   *await = arg;
	Datum		args[1] = {PointerGetDatum(await->one)};
	GovSpi		spi;

	GOV_FAULT(GOV_FAULT_WAIT);
	gov_spi_begin(&spi);
	(void) gov_spi_modify(&await->awaited->lock, args, NULL);
	gov_spi_end(&spi);
}

/* Wait once for all who have rows of a table; false if there was nobody. */
static bool
await_table(GovAwait *await)
{
	gov_attempt_undone(list_taken, await);
	for (uint64 i = 0; i < await->ntaken; i++)
	{
		await->one = &await->taken[i];
		gov_attempt_undone(lock_one, await);
	}
	pfree(await->taken);
	return await->ntaken > 0;
}

/* Wait until nobody else has any of these rows.  The arguments are texts. */
void
gov_await_rows(GovAwaited *awaited, int nawaited, Datum *args, int nargs)
{
	bool		has_waited = true;

	for (int pass = 0; has_waited && pass < GOV_AWAIT_PASSES; pass++)
	{
		has_waited = false;
		for (int i = 0; i < nawaited; i++)
		{
			GovAwait	await = {.awaited = &awaited[i], .args = args, .nargs = nargs};

			has_waited |= await_table(&await);
		}
	}
}

/* Has somebody else any of these rows?  The others are locked. */
bool
gov_await_is_taken(GovAwaited *awaited, int nawaited, Datum *args, int nargs)
{
	bool		is_taken = false;

	for (int i = 0; i < nawaited && !is_taken; i++)
	{
		GovAwait	await = {.awaited = &awaited[i], .args = args, .nargs = nargs};

		list_taken(&await);
		pfree(await.taken);
		is_taken = await.ntaken > 0;
	}
	return is_taken;
}

/* Wait for the transactions that have a lock which conflicts with this one. */
void
gov_await_lockers(const LOCKTAG *tag, LOCKMODE mode)
{
	VirtualTransactionId *lockers = GetLockConflicts(tag, mode, NULL);

	GOV_FAULT(GOV_FAULT_WAIT);
	for (; VirtualTransactionIdIsValid(*lockers); lockers++)
		VirtualXactLock(*lockers, true);
}
