/*
 * attempt.c
 *		Runs something that may fail, in a subtransaction or without one.
 *
 * PURPOSE
 *		gov_attempt() is for what has effects: an error of the body undoes what
 *		it did.  gov_attempt_or_undo() is for a body that may itself ask for that,
 *		and gov_attempt_undone() for one whose effects nobody wants.
 *		gov_attempt_to_compute() is for what has none, and costs no
 *		subtransaction.
 *
 * WITHOUT A SUBTRANSACTION
 *		An error may be caught without undoing anything if the body has done
 *		nothing that would have to be undone.  It takes no lock of any kind, runs
 *		no statement, opens no relation, looks nothing up in a system catalog,
 *		pushes no snapshot and changes no variable that outlives it: it computes
 *		from what it is given and from copies that are the backend's own, and
 *		allocates in the caller's memory.  Where it fails it leaves some memory
 *		behind, and nothing else.  So no resource is left for a resource owner to
 *		release; and because it takes no lock it processes no invalidation either,
 *		which might have made those copies anew.
 *
 * FAILURE
 *		An error of the body is returned, in the caller's memory, for the caller
 *		to judge, or to raise again with ReThrowError().
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/resowner.h"

#include "base/attempt.h"

/* Run the body in a subtransaction, which is undone if it fails or returns false. */
static ErrorData *
run(bool (*body) (void *arg), void *arg, bool *is_kept)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile bool keeps = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		keeps = body(arg);
		if (keeps)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
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
	*is_kept = keeps && error == NULL;
	return error;
}

/* A body that is kept unless it fails. */
typedef struct GovBody
{
	void		(*body) (void *arg);
	void	   *arg;
} GovBody;

static bool
run_body(void *arg)
{
	const GovBody *body = arg;

	body->body(body->arg);
	return true;
}

/*
 * Run the body in a subtransaction.  Returns NULL, or the error that ended it,
 * in the caller's memory.
 */
ErrorData *
gov_attempt(void (*body) (void *arg), void *arg)
{
	GovBody		all = {body, arg};
	bool		is_kept;

	return run(run_body, &all, &is_kept);
}

/*
 * Run the body in a subtransaction, which is undone if it returns false.  What
 * it raises is raised when the subtransaction is undone.
 */
bool
gov_attempt_or_undo(bool (*body) (void *arg), void *arg)
{
	bool		is_kept;
	ErrorData  *error = run(body, arg, &is_kept);

	if (error != NULL)
		ReThrowError(error);
	return is_kept;
}

static bool
run_body_to_undo(void *arg)
{
	(void) run_body(arg);
	return false;
}

/*
 * Run the body in a subtransaction, and undo what it did: the locks that it took on
 * rows are given back.
 */
void
gov_attempt_undone(void (*body) (void *arg), void *arg)
{
	GovBody		all = {body, arg};

	(void) gov_attempt_or_undo(run_body_to_undo, &all);
}

/*
 * Run a body that only computes; see above.  Returns NULL, or the error that
 * ended it, in the caller's memory.
 */
ErrorData *
gov_attempt_to_compute(void (*body) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources PG_USED_FOR_ASSERTS_ONLY = CurrentResourceOwner;
	int			level PG_USED_FOR_ASSERTS_ONLY = GetCurrentTransactionNestLevel();
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		body(arg);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	Assert(CurrentMemoryContext == context && CurrentResourceOwner == resources);
	Assert(GetCurrentTransactionNestLevel() == level);
	return error;
}
