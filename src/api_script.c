/*
 * api_script.c
 *		What the scripts of CREATE and ALTER EXTENSION need of C.
 *
 * PURPOSE
 *		What a script grants, PostgreSQL takes for part of the extension:
 *		pg_dump leaves it out, and a restored database does not have it.  That
 *		is wrong for what an update gives to the roles that users had given the
 *		like of: these rights must be dumped as any that users give.
 *
 * FAILURE
 *		PostgreSQL itself forgets at the end of a script, or at an error, that
 *		one is run.
 */
#include "postgres.h"

#include "commands/extension.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(gov_keep_initial_privileges_1_1);

/* _gov_keep_initial_privileges(is_kept boolean) returns void */
Datum
gov_keep_initial_privileges_1_1(PG_FUNCTION_ARGS)
{
	if (!OidIsValid(CurrentExtensionObject))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no script of an extension is being run"),
				 errhint("It is for the scripts of extension \"governance\" alone.")));
	creating_extension = !PG_GETARG_BOOL(0);
	PG_RETURN_VOID();
}
