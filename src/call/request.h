/*
 * request.h
 *		The arguments of the run-time calls.
 */
#ifndef GOV_REQUEST_H
#define GOV_REQUEST_H

#include "fmgr.h"
#include "utils/array.h"
#include "utils/jsonb.h"

#include "call/amounts.h"
#include "gate/resolve.h"

/* Arguments as the calls take them; NULL stands for a null argument. */
typedef struct GovArguments
{
	text	   *owner;
	text	   *capability;
	Numeric		amount;
	GovAmounts *amounts;		/* of several capabilities, in place of these
								 * two; NULL: of one */
	Jsonb	   *dimensions;
	ArrayType  *entity_ids;
	text	   *key;
	bool		has_occurred_at;
	TimestampTz occurred_at;
} GovArguments;

extern void gov_request_arguments(FunctionCallInfo fcinfo, GovArguments *arguments);
extern void gov_request_arguments_all(FunctionCallInfo fcinfo, bool may_be_negative,
									  GovArguments *arguments);
extern void gov_request_read(GovRequest *request, const GovArguments *arguments,
							 bool may_be_negative);
extern void gov_request_init(GovRequest *request, const GovArguments *arguments,
							 bool may_be_negative);
extern GovAmount gov_request_amount(Numeric amount, bool may_be_negative);
extern char *gov_request_owner(text *owner);
extern void gov_request_require_capability(const char *id, uint32 length);
extern void gov_request_check_key(const char *argument, text *key);
extern void gov_request_ignore_unknown(GovRequest *request);
extern bytea *gov_request_hash(const char *call, const GovRequest *request,
							   const GovArguments *arguments);
extern bytea *gov_request_hash_reversal(const char *call, int64 event_id,
										const GovAmount *amount);

#endif							/* GOV_REQUEST_H */
