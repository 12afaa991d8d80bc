/*
 * api_check.c
 *		gov_check, gov_check_all, gov_allowed and gov_headroom: ask, and change
 *		nothing.
 *
 * FAILURE
 *		Where the engine cannot answer (the library is not preloaded, the cache
 *		is full of what may not be evicted) governance.on_unavailable decides
 *		between an error, a grant and a denial.
 */
#include "postgres.h"

#include "funcapi.h"

#include "base/errors.h"
#include "base/guc.h"
#include "base/shmem.h"
#include "call/answer.h"
#include "call/priced.h"
#include "call/request.h"
#include "call/wanted.h"
#include "gate/gate.h"

/* columns of gov_check */
#define REMAINING	3
#define CHAINS		5

/* columns of gov_check_all */
#define REMAINING_ALL	4
#define CHAINS_ALL		6

PG_FUNCTION_INFO_V1(gov_check_1_0);
PG_FUNCTION_INFO_V1(gov_check_all_1_1);
PG_FUNCTION_INFO_V1(gov_allowed_1_0);
PG_FUNCTION_INFO_V1(gov_headroom_1_0);
PG_FUNCTION_INFO_V1(gov_headroom_1_1);

/*
 * The engine cannot answer: raise an error, or decide as
 * governance.on_unavailable says.
 */
static void
decide_unavailable(void (*raise) (void), GovDecision *decision)
{
	if (gov_on_unavailable == GOV_ON_UNAVAILABLE_ERROR)
		raise();
	memset(decision, 0, sizeof(*decision));
	decision->denied = -1;
	decision->is_granted = gov_on_unavailable == GOV_ON_UNAVAILABLE_GRANT;
	decision->denial = decision->is_granted ? GOV_DENIAL_NONE : GOV_DENIAL_UNAVAILABLE;
}

/* Answer a check; NULL when the engine could not. */
static GovResolution *
answer_arguments(const GovArguments *arguments, bool want_details, GovDecision *decision)
{
	GovRequest	request;
	GovResolution *resolution;

	gov_request_init(&request, arguments, false);
	if (arguments->amounts != NULL)
		gov_priced_request(&request, arguments->amounts, arguments->dimensions, false);
	if (!gov_shmem_is_available())
	{
		decide_unavailable(gov_error_not_preloaded, decision);
		return NULL;
	}
	if (gov_gate(&request, GOV_USE_CHECK, want_details, &resolution, decision) !=
		GOV_GATE_ANSWERED)
	{
		decide_unavailable(gov_error_cache_full, decision);
		return NULL;
	}
	return resolution;
}

static GovResolution *
answer_check(FunctionCallInfo fcinfo, bool want_details, GovDecision *decision)
{
	GovArguments arguments;

	gov_request_arguments(fcinfo, &arguments);
	return answer_arguments(&arguments, want_details, decision);
}

Datum
gov_check_1_0(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovDecision decision;
	bool		want_details = gov_wanted_any(fcinfo, GOV_COLUMN(REMAINING) | GOV_COLUMN(CHAINS));
	GovResolution *resolution = answer_check(fcinfo, want_details, &decision);
	Datum		values[5];
	bool		nulls[5];

	gov_answer_decision(&decision, values, nulls);
	nulls[4] = resolution == NULL || !gov_wanted_any(fcinfo, GOV_COLUMN(CHAINS));
	values[4] = nulls[4] ? (Datum) 0 : gov_answer_chains(resolution, false);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_check_all_1_1(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	bool		want_remaining = gov_wanted_any(fcinfo, GOV_COLUMN(REMAINING_ALL));
	bool		want_chains = gov_wanted_any(fcinfo, GOV_COLUMN(CHAINS_ALL));
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	Datum		values[6];
	bool		nulls[6];

	gov_request_arguments_all(fcinfo, false, &arguments);
	resolution = answer_arguments(&arguments, want_remaining || want_chains, &decision);
	gov_answer_decision_all(&decision, arguments.amounts, want_remaining, values, nulls);
	nulls[5] = resolution == NULL || !want_chains;
	values[5] = nulls[5] ? (Datum) 0 : gov_answer_chains(resolution, true);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_allowed_1_0(PG_FUNCTION_ARGS)
{
	GovDecision decision;

	answer_check(fcinfo, false, &decision);
	PG_RETURN_BOOL(decision.is_granted);
}

static void
put_headroom(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GovDecision decision;
	GovResolution *resolution;

	InitMaterializedSRF(fcinfo, 0);
	resolution = answer_check(fcinfo, true, &decision);
	if (resolution != NULL)
		gov_answer_links(resolution, result->setResult, result->setDesc);
}

/* The columns are fewer than those of 1.1: the last ones are left out. */
Datum
gov_headroom_1_0(PG_FUNCTION_ARGS)
{
	put_headroom(fcinfo);
	return (Datum) 0;
}

Datum
gov_headroom_1_1(PG_FUNCTION_ARGS)
{
	put_headroom(fcinfo);
	return (Datum) 0;
}
