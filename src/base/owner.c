/*
 * owner.c
 *		Which owners a session may see and change.
 *
 * PURPOSE
 *		A session is pinned to one owner by governance.owner, or it is not
 *		pinned.  Everything that takes, shows or changes an owner's things asks
 *		here, in one of three ways:
 *
 *		gov_owner_require() is asked by the run-time calls, once per call, with
 *		the engine's rights ahead of it: a pinned session names its own owner.
 *		Without a pin, EXECUTE on the call is the right to name any.
 *
 *		gov_owner_require_visible() is asked by what shows or changes the
 *		catalog: without a pin the role must, besides, have the right to see
 *		every owner.  A tenant has not, so that one whose pin was forgotten
 *		sees nothing instead of everything.
 *
 *		gov_owner_require_unpinned() is asked by what is about no owner but
 *		about the database or the server.
 *
 * RIGHTS
 *		The right to see, or to change, every owner is EXECUTE on a function
 *		that does nothing: _gov_read_every_owner(), _gov_change_every_owner().
 *		So rights are given, inherited, dumped and shown as all others are.
 *		They are those of the current user, as for any privilege; the pin is
 *		the session's, whoever it works as, so no SET ROLE and no SECURITY
 *		DEFINER function gets around it.
 *
 * FAILURE
 *		42501.  Where the extension is older than the library and has no such
 *		functions, nobody but a superuser has the right.
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

/* And change them?  This also is the right to change locked budgets. */
bool
gov_owner_changes_every(void)
{
	return may_execute(gov_catalog()->change_every_owner);
}

/* A pinned session names its own owner. */
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

/* And one that is not pinned needs the right to see every owner. */
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

/* What concerns every owner is not for a session that is pinned to one. */
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
