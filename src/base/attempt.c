/*
 * attempt.c
 *		Runs something in a subtransaction that may fail.
 *
 * FAILURE
 *		An error of the body undoes what it did and is returned, for the caller
 *		to judge, or to raise again with ReThrowError().
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
