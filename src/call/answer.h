/*
 * answer.h
 *		What the run-time calls return.
 */
#ifndef GOV_ANSWER_H
#define GOV_ANSWER_H

#include "fmgr.h"
#include "utils/tuplestore.h"

#include "call/amounts.h"
#include "call/record.h"
#include "gate/resolve.h"

/* A row type of one of our functions, kept by the backend. */
typedef struct GovRowType
{
	Oid			function;
	TupleDesc	tupdesc;
} GovRowType;

extern Datum gov_answer_row(FunctionCallInfo fcinfo, GovRowType *type,
							Datum *values, bool *nulls);
extern Datum gov_answer_chains(const GovResolution *resolution, bool is_of_several);
extern char *gov_answer_failing(const GovResolution *resolution, bool is_of_several);
extern char *gov_answer_unknown(const GovResolution *resolution);
extern char *gov_answer_block(const GovResolution *resolution);
extern void gov_answer_links(const GovResolution *resolution, Tuplestorestate *store,
							 TupleDesc tupdesc);
extern void gov_answer_decision(const GovDecision *decision, Datum *values, bool *nulls);

/* answer_all.c: calls of several capabilities */
extern void gov_answer_decision_all(const GovDecision *decision, const GovAmounts *amounts,
									bool wants_remaining, Datum *values, bool *nulls);
extern Jsonb *gov_answer_event_ids(const GovRecorded *recorded, const GovAmounts *amounts);

#endif							/* GOV_ANSWER_H */
