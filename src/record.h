/*
 * record.h
 *		Records one use: charge the budgets, write the ledger.
 */
#ifndef GOV_RECORD_H
#define GOV_RECORD_H

#include "gate.h"
#include "request.h"

typedef struct GovRecorded
{
	int64		event_id;
	bool		is_duplicate;
	bool		is_recorded;	/* false: denied */
} GovRecorded;

extern GovRecorded gov_record(const char *call, GovUse use, GovArguments *arguments,
							  GovDecision *decision, GovResolution **resolution);
extern int64 gov_record_settled(const GovRequest *request, const GovArguments *arguments);

#endif							/* GOV_RECORD_H */
