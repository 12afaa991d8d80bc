/*
 * freeze.c
 *		Keeps the catalog of a frozen owner as it is.
 *
 * PURPOSE
 *		Whoever copies a frozen owner to another server must not miss a change
 *		that somebody made before, and commits after.
 *
 * PROTOCOL
 *		A statement that has changed an owner's catalog shares a lock, to the end
 *		of its transaction, and looks then whether the owner is frozen.  Whoever
 *		freezes it takes the lock alone, and writes the row that says so: whichever
 *		of the two is first, the other one knows of it.
 *
 * LOCKING
 *		One of a fixed number of locks, chosen by a hash of the owner, so that a
 *		COPY of a million owners does not exhaust the lock table.  It is taken when
 *		the statement has written its rows.
 *
 * FAILURE
 *		GV003 fails the statement.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "cache/frozen.h"
#include "rules/await.h"
#include "rules/freeze.h"

#define LOCK_NUMBERS	64

static LOCKTAG
numbered_tag(uint32 number)
{
	LOCKTAG		tag;

	/* sub-object 0 would be the table itself */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, gov_catalog()->frozen_owners, 1 + number);
	return tag;
}

static LOCKTAG
lock_tag(const text *owner)
{
	return numbered_tag(hash_bytes((const unsigned char *) VARDATA_ANY(owner), VARSIZE_ANY_EXHDR(owner)) %
						LOCK_NUMBERS);
}

/* Of a change that is written, and not committed: may it be? */
void
gov_freeze_judge_change(const text *owner)
{
	LOCKTAG		tag;

	if (!OidIsValid(gov_catalog()->frozen_owners))
		return;
	tag = lock_tag(owner);
	GOV_FAULT(GOV_FAULT_WAIT);
	(void) LockAcquire(&tag, RowExclusiveLock, false, false);
	gov_frozen_require_open(VARDATA_ANY(owner), VARSIZE_ANY_EXHDR(owner));
}

/* Of a TRUNCATE, which concerns every owner. */
void
gov_freeze_judge_truncate(void)
{
	if (!OidIsValid(gov_catalog()->frozen_owners))
		return;
	for (int i = 0; i < LOCK_NUMBERS; i++)
	{
		LOCKTAG		tag = numbered_tag(i);

		(void) LockAcquire(&tag, RowExclusiveLock, false, false);
	}
	gov_frozen_refresh(NULL);
	if (gov_nfrozen > 0)
		ereport(ERROR,
				(errcode(GOV_ERRCODE_FROZEN),
				 errmsg("there are frozen owners"),
				 errdetail("Their catalog does not change."),
				 errhint("Delete the rows of the other owners, or thaw those that gov_frozen_owners lists.")));
}

/* Wait for those who are changing the owner's catalog, or that of one with the same lock. */
void
gov_freeze_await_changes(const text *owner)
{
	LOCKTAG		tag = lock_tag(owner);

	gov_await_lockers(&tag, ExclusiveLock);
}

/* Keep others from changing it, to the end of the transaction; false if that would wait and must not. */
bool
gov_freeze_lock(const text *owner, bool waits)
{
	LOCKTAG		tag = lock_tag(owner);

	return LockAcquire(&tag, ExclusiveLock, false, !waits) != LOCKACQUIRE_NOT_AVAIL;
}
