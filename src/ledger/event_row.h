/*
 * event_row.h
 *		The row of an event, read to be reversed.
 */
#ifndef GOV_EVENT_ROW_H
#define GOV_EVENT_ROW_H

#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "datatype/timestamp.h"

#include "pure/amount.h"
#include "pure/window.h"

/* A budget that counts an event. */
typedef struct GovEventBudget
{
	pg_uuid_t	id;
	char	   *entity_id;
	int64		counter_id;
	GovWindow	window;
	bool		is_inherited;	/* its entity has it by a default */
	bool		is_hidden;		/* but not now, and not before the end of the
								 * transaction */
} GovEventBudget;

/* What an event has drawn from a grant, or that its pool owes. */
typedef struct GovEventDraw
{
	pg_uuid_t	pool_id;
	pg_uuid_t	id;				/* that counts it, among the budgets of the entity */
	char	   *entity_id;
	int64		counter_id;
	int64		debt_counter_id;	/* of what its pool owes */
	GovAmount	amount;
} GovEventDraw;

/* An event that there is. */
typedef struct GovEventRow
{
	int64		id;
	char	   *owner;
	text	   *capability;
	GovAmount	amount;
	GovAmount	left;			/* of the amount, by its reversals */
	ArrayType  *entity_ids;
	Jsonb	   *dimensions;
	TimestampTz occurred_at;
	bool		is_reversal;
	int			nbudgets;		/* those that count it today */
	GovEventBudget *budgets;
	int			ndraws;			/* the last first */
	GovEventDraw *draws;
} GovEventRow;

extern char *gov_event_row_owner(int64 id);
extern Jsonb *gov_event_row_call(int64 id);
extern bool gov_event_row_lock(int64 id, TimestampTz since, GovEventRow *event);

#endif							/* GOV_EVENT_ROW_H */
