/*
 * trigger.h
 *		What the trigger functions in C have in common.
 */
#ifndef GOV_TRIGGER_H
#define GOV_TRIGGER_H

#include "postgres.h"

#include "commands/trigger.h"

extern TriggerData *gov_trigger_data(FunctionCallInfo fcinfo, Oid relid);
extern Datum gov_trigger_column(const TriggerData *trigger, HeapTuple row,
								const char *name, bool *isnull);
extern Datum gov_trigger_key(const TriggerData *trigger, HeapTuple row,
							 const char *name);

#endif							/* GOV_TRIGGER_H */
