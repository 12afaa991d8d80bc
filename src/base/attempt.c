/*
 * attempt.c
 *		Runs something in a subtransaction that may fail.
 *
 * FAILURE
 *		An error of the body undoes what it did.  gov_attempt() returns it, for
 *		the caller to judge, or to raise again with ReThrowError().
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/resowner.h"

#include "base/attempt.h"

/*
 * Run the body in a subtransaction.  Returns NULL, or the error that ended it,
 * in the caller's memory.
 */
ErrorData *
gov_attempt(void (*body) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		body(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		/*
		 * whoever begins a subtransaction ends it, even to raise the error
		 * again
		 */
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = resources;
	return error;
}

/*
 * Run the body in a subtransaction, and undo what it did: the locks that it took on
 * rows are given back.
 */
void
gov_attempt_undone(void (*body) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		body(arg);
	}
	PG_CATCH();
	{
		RollbackAndReleaseCurrentSubTransaction();
		CurrentResourceOwner = resources;
		PG_RE_THROW();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = resources;
}
