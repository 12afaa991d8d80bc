/*
 * policy.c
 *		What the row-level security policies of the tables ask.
 *
 * PURPOSE
 *		gov_owner_visible(owner_id) is the policy for reading every table with
 *		owners, and gov_owner_changeable(owner_id) that for changing it.  They
 *		read the pin where the engine keeps it.  current_setting() would believe
 *		a placeholder, which anybody may set where the library is not loaded; a
 *		call of these functions loads the library.
 *
 * WHO ASKS
 *		The policies are not forced, so they do not apply to the tables' owner, nor
 *		to superusers and roles with BYPASSRLS.  The engine's statements run as
 *		the owner (spi.c), and so do the look-ups of foreign keys.  If the
 *		policies were forced, every call of a pinned session would pay for a
 *		question that it has answered already, and a load could find less than
 *		there is.
 *
 * SPEED
 *		For each row a policy costs one comparison; whether the role has the
 *		right to every owner is looked up once per execution.  But no index can be
 *		searched for a function, and a tenant's query must not read everybody's
 *		rows.  So a support function tells the planner what the policy means: in a
 *		pinned session owner_id = the pin, for any index that begins with the
 *		owner, and in other sessions everything.
 *
 * INVARIANTS
 *		The function judges each row when it is read; the index condition is
 *		added to it, and does not replace it.  So a plan that was made for another
 *		pin would find too little, and never another owner's rows.  Such a plan is
 *		not used anyway: guc.c drops the plans when the pin changes.
 *
 *		The functions are not LEAKPROOF and need not be.  The conditions of a
 *		policy are evaluated before those of the query, except leakproof ones
 *		such as texteq.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/plancat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/errors.h"
#include "base/guc.h"
#include "base/owner.h"

PG_FUNCTION_INFO_V1(gov_owner_visible_1_0);
PG_FUNCTION_INFO_V1(gov_owner_changeable_1_0);
PG_FUNCTION_INFO_V1(gov_owner_support_1_0);
PG_FUNCTION_INFO_V1(gov_pinned_owner_1_0);
PG_FUNCTION_INFO_V1(gov_require_owner_1_0);
PG_FUNCTION_INFO_V1(gov_require_unpinned_1_0);

/* The answer for an owner; has_every is asked once per execution of a query. */
static Datum
answer_for_owner(FunctionCallInfo fcinfo, bool (*has_every) (void))
{
	bool	   *every = fcinfo->flinfo->fn_extra;

	if (gov_owner_pin() != NULL)
	{
		text	   *owner;

		if (PG_ARGISNULL(0))
			PG_RETURN_BOOL(false);
		owner = PG_GETARG_TEXT_PP(0);
		PG_RETURN_BOOL(gov_owner_is_pinned_to(VARDATA_ANY(owner),
											  VARSIZE_ANY_EXHDR(owner)));
	}
	if (every == NULL)
	{
		every = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(bool));
		*every = has_every();
		fcinfo->flinfo->fn_extra = every;
	}
	PG_RETURN_BOOL(*every);
}

/* gov_owner_visible(owner_id text) returns boolean */
Datum
gov_owner_visible_1_0(PG_FUNCTION_ARGS)
{
	return answer_for_owner(fcinfo, gov_owner_reads_every);
}

/* gov_owner_changeable(owner_id text) returns boolean */
Datum
gov_owner_changeable_1_0(PG_FUNCTION_ARGS)
{
	return answer_for_owner(fcinfo, gov_owner_changes_every);
}

/* gov_pinned_owner() returns text */
Datum
gov_pinned_owner_1_0(PG_FUNCTION_ARGS)
{
	const char *pin = gov_owner_pin();

	if (pin == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(pin));
}

/* _gov_require_owner(owner_id text) returns boolean: true, or it raises */
Datum
gov_require_owner_1_0(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	gov_owner_require_visible(PG_GETARG_TEXT_PP(0));
	PG_RETURN_BOOL(true);
}

/* _gov_require_unpinned(call text) returns boolean: true, or it raises */
Datum
gov_require_unpinned_1_0(PG_FUNCTION_ARGS)
{
	gov_owner_require_unpinned(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_BOOL(true);
}

/* ---------------------------------------------------------------- planning */

static Node *
pin_constant(const char *pin)
{
	return (Node *) makeConst(TEXTOID, -1, C_COLLATION_OID, -1,
							  CStringGetTextDatum(pin), false, false);
}

/* Estimate the share of the rows that will pass. */
static bool
estimate_selectivity(SupportRequestSelectivity *request)
{
	const char *pin = gov_owner_pin();

	if (request->is_join)
		return false;
	gov_guc_plans_know_owner();
	request->selectivity = pin == NULL ? 1.0 :
		restriction_selectivity(request->root, TextEqualOperator,
								list_make2(linitial(request->args), pin_constant(pin)),
								C_COLLATION_OID, request->varRelid);
	return true;
}

/* The condition owner_id = the pin, where the index has that operator. */
static List *
index_condition(SupportRequestIndexCondition *request)
{
	const char *pin = gov_owner_pin();
	FuncExpr   *call = (FuncExpr *) request->node;

	if (pin == NULL || request->indexarg != 0 || !IsA(call, FuncExpr) ||
		get_opfamily_member(request->opfamily, TEXTOID, TEXTOID,
							BTEqualStrategyNumber) != TextEqualOperator)
		return NIL;
	gov_guc_plans_know_owner();
	request->lossy = true;
	return list_make1(make_opclause(TextEqualOperator, BOOLOID, false,
									linitial(call->args),
									(Expr *) pin_constant(pin),
									InvalidOid, request->indexcollation));
}

/* What the planner may ask about the two functions. */
Datum
gov_owner_support_1_0(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestSelectivity))
	{
		if (estimate_selectivity((SupportRequestSelectivity *) request))
			result = request;
	}
	else if (IsA(request, SupportRequestIndexCondition))
		result = (Node *) index_condition((SupportRequestIndexCondition *) request);
	PG_RETURN_POINTER(result);
}
