/*
 * owner.c
 *		Which owners a session may see and change.
 *
 * PURPOSE
 *		A session is pinned to one owner by governance.owner, or it is not
 *		pinned.  Everything that takes, shows or changes an owner's things asks
 *		here, in one of three ways:
 *
 *		gov_owner_require() is for the run-time calls, once per call, before they
 *		use the engine's rights.  A pinned session may name only its own owner.
 *		Without a pin, whoever has EXECUTE on the call may name any.
 *
 *		gov_owner_require_visible() is for what shows or changes the catalog.
 *		There a session without a pin also needs the right to see every owner.
 *		Tenants do not have it, so a tenant whose pin was forgotten sees nothing
 *		instead of everything.
 *
 *		gov_owner_require_unpinned() is for what concerns the database or the
 *		server and not one owner.
 *
 * RIGHTS
 *		The right to see, or to change, every owner is EXECUTE on a function
 *		that does nothing: _gov_read_every_owner(), _gov_change_every_owner().
 *		So these rights are granted, inherited, dumped and shown like all others.
 *		They are the current user's, like any privilege.  The pin is the
 *		session's, whichever role it works as: no SET ROLE and no SECURITY
 *		DEFINER function gets around it.
 *
 * FAILURE
 *		42501.  Where the extension is older than the library and lacks these
 *		functions, only a superuser has the rights.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/guc.h"
#include "base/owner.h"

/* The one owner of this session; NULL when it is not pinned. */
const char *
gov_owner_pin(void)
{
	return gov_owner != NULL && gov_owner[0] != '\0' ? gov_owner : NULL;
}

/* Is this the owner that the session is pinned to?  It must be pinned. */
bool
gov_owner_is_pinned_to(const char *owner, uint32 length)
{
	const char *pin = gov_owner_pin();

	Assert(pin != NULL);
	return strlen(pin) == length && memcmp(pin, owner, length) == 0;
}

static bool
may_execute(Oid function)
{
	if (!OidIsValid(function))
		return superuser();
	return object_aclcheck(ProcedureRelationId, function, GetUserId(),
						   ACL_EXECUTE) == ACLCHECK_OK;
}

/* May the current user, without a pin, see every owner? */
bool
gov_owner_reads_every(void)
{
	return may_execute(gov_catalog()->read_every_owner);
}

/*
 * May the current user change every owner?  That is also the right to change
 * locked budgets.
 */
bool
gov_owner_changes_every(void)
{
	return may_execute(gov_catalog()->change_every_owner);
}

/*
 * Raise unless the session may act for an owner: a pinned session only for its
 * own.
 */
void
gov_owner_require(const char *owner)
{
	const char *pin = gov_owner_pin();

	if (pin != NULL && strcmp(pin, owner) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for owner \"%s\"", gov_error_shown(owner)),
				 errdetail("The session is pinned to one owner by governance.owner."),
				 errhint("Pass \"%s\".", gov_error_shown(pin))));
}

/*
 * Raise unless the session may see an owner: a pinned session its own, another
 * one any if its role may see every owner.
 */
void
gov_owner_require_visible(const text *owner)
{
	const char *name = text_to_cstring(owner);

	gov_owner_require(name);
	if (gov_owner_pin() == NULL && !gov_owner_reads_every())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for owner \"%s\"", gov_error_shown(name)),
				 errdetail("The session is not pinned to an owner, and role \"%s\" may not see every owner.",
						   GetUserNameFromId(GetUserId(), false)),
				 errhint("A tenant is pinned with ALTER ROLE ... SET governance.owner, from its next session on.")));
}

/* Raise if the session is pinned, because the call concerns every owner. */
void
gov_owner_require_unpinned(const char *call)
{
	if (gov_owner_pin() != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for %s", call),
				 errdetail("It concerns every owner, and the session is pinned to one by governance.owner."),
				 errhint("Call it in a session that is not pinned.")));
}
