/*
 * trigger.h
 *		What the trigger functions in C have in common.
 */
#ifndef GOV_TRIGGER_H
#define GOV_TRIGGER_H

#include "postgres.h"

#include "commands/trigger.h"

#include "base/compat.h"

/*
 * A way in which a trigger fires: its operation, with TRIGGER_EVENT_ROW and
 * TRIGGER_EVENT_BEFORE where they apply.  A function is for the union of some.
 */
#define GOV_FIRES(event)	((uint32) 1 << (event))

extern TriggerData *gov_trigger_data(FunctionCallInfo fcinfo, uint32 fires);
extern TriggerData *gov_trigger_data_of(FunctionCallInfo fcinfo, uint32 fires, Oid relid);
pg_noreturn extern void gov_trigger_refuse(FunctionCallInfo fcinfo);
extern Datum gov_trigger_column(const TriggerData *trigger, HeapTuple row,
								const char *name, bool *isnull);
extern Datum gov_trigger_key(const TriggerData *trigger, HeapTuple row,
							 const char *name);
extern bool gov_trigger_value_differs(Form_pg_attribute column, Datum one, bool one_is_null,
									  Datum other, bool other_is_null);

#endif							/* GOV_TRIGGER_H */
