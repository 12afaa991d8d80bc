/*
 * record.h
 *		Records one use: charge the budgets, write the ledger.
 */
#ifndef GOV_RECORD_H
#define GOV_RECORD_H

#include "call/creation.h"
#include "call/request.h"
#include "gate/gate.h"
#include "ledger/ledger.h"

typedef struct GovRecorded
{
	int64		event_id;		/* of a call of several capabilities the first */
	int64	   *event_ids;		/* of several, by meter; NULL: not recorded by
								 * this call, or of one */
	bool		is_duplicate;
	bool		is_recorded;	/* false: denied */
	GovCreation creation;
} GovRecorded;

/* A use whose arguments have been read and checked. */
typedef struct GovPrepared
{
	GovRequest	request;
	GovEvent	event;
	GovAmounts *amounts;		/* of several capabilities; NULL: of one */
} GovPrepared;

extern void gov_record_begin(const char *call);
extern void gov_record_read(GovUse use, const GovArguments *arguments, GovPrepared *prepared);
extern void gov_record_hash(const char *call, const GovArguments *arguments,
							GovPrepared *prepared);
extern void gov_record_prepare(const char *call, GovUse use, const GovArguments *arguments,
							   GovPrepared *prepared);
extern void gov_record_init_event(GovEvent *event, const GovRequest *request,
								  const GovArguments *arguments);
extern GovGateStatus gov_record_charge(GovPrepared *prepared, GovUse use, bool mends,
									   GovRecorded *recorded, GovDecision *decision);
extern GovRecorded gov_record(const char *call, GovUse use, const GovArguments *arguments,
							  GovDecision *decision, GovResolution **resolution);
extern GovRecorded gov_record_reversal(GovPrepared *prepared);
extern void gov_record_require_used_up(const GovRequest *request);
extern void gov_record_refuse_concurrency(const char *capability_id, uint32 length);
extern GovRecorded gov_record_settled(const GovRequest *request, const GovArguments *arguments);

#endif							/* GOV_RECORD_H */
