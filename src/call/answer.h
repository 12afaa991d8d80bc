/*
 * answer.h
 *		What the run-time calls return.
 */
#ifndef GOV_ANSWER_H
#define GOV_ANSWER_H

#include "fmgr.h"
#include "utils/tuplestore.h"

#include "gate/resolve.h"

/* A row type of one of our functions, kept by the backend. */
typedef struct GovRowType
{
	Oid			function;
	TupleDesc	tupdesc;
} GovRowType;

extern Datum gov_answer_row(FunctionCallInfo fcinfo, GovRowType *type,
							Datum *values, bool *nulls);
extern Datum gov_answer_chains(const GovResolution *resolution);
extern char *gov_answer_failing(const GovResolution *resolution);
extern char *gov_answer_unknown(const GovResolution *resolution);
extern char *gov_answer_block(const GovResolution *resolution);
extern void gov_answer_links(const GovResolution *resolution, Tuplestorestate *store,
							 TupleDesc tupdesc);
extern void gov_answer_decision(const GovDecision *decision, Datum *values, bool *nulls);

#endif							/* GOV_ANSWER_H */
