/*
 * answer_all.c
 *		What the calls of several capabilities return.
 *
 * PURPOSE
 *		Where a call of one capability has a value, these have an object by
 *		capability.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "call/answer.h"
#include "ledger/event_row.h"

static void
put_remaining(StringInfo json, GovJsonContainer *in, int number, const void *arg)
{
	const GovDecision *decision = arg;

	gov_json_put_amount(json, in, !gov_decide_has_remaining(decision, number),
						decision->remaining[number]);
}

/*
 * Fill in the five columns that every decision about several capabilities has:
 * granted, reason, capability, remaining, retry.
 */
void
gov_answer_decision_all(const GovDecision *decision, const GovAmounts *amounts,
						bool wants_remaining, Datum *values, bool *nulls)
{
	const char *reason = gov_decide_reason(decision->denial);

	memset(nulls, false, sizeof(bool) * 5);
	values[0] = BoolGetDatum(decision->is_granted);
	nulls[1] = reason == NULL;
	values[1] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	nulls[2] = decision->denied < 0;
	values[2] = nulls[2] ? (Datum) 0 : PointerGetDatum(amounts->items[decision->denied].capability);
	nulls[3] = !wants_remaining;
	values[3] = nulls[3] ? (Datum) 0 :
		JsonbPGetDatum(gov_amounts_object(amounts, put_remaining, decision));
	nulls[4] = !decision->has_retry_at;
	values[4] = TimestampTzGetDatum(decision->retry_at);
}

/* By capability the ids of what a call has recorded, or has found recorded. */
Jsonb *
gov_answer_event_ids(const GovRecorded *recorded, const GovAmounts *amounts)
{
	if (recorded->is_duplicate)
		return gov_event_row_call(recorded->event_id);
	return gov_amounts_ids_json(amounts, recorded->event_ids != NULL ?
								recorded->event_ids : &recorded->event_id);
}
