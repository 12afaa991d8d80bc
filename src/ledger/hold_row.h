/*
 * hold_row.h
 *		The rows of holds.
 */
#ifndef GOV_HOLD_ROW_H
#define GOV_HOLD_ROW_H

#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "datatype/timestamp.h"

#include "base/spi.h"
#include "pure/amount.h"

/*
 * A query that selects holds by a condition, with so many arguments of these types.
 * It is there twice: for an older extension, and for this one.
 */
#define GOV_HOLD_QUERY(of_several, condition, count, ...) \
	{ \
		.sql = \
		"select r.id, r.owner_id, r.capability_id, r.amount, r.entity_ids, r.dimensions," \
		" r.state, r.expires_at, r.event_id, r.assignment_ids, " of_several \
		" from @gov_reservations r" condition, \
		.nargs = count, \
		.argtypes = {__VA_ARGS__} \
	}
#define GOV_HOLD_QUERIES(condition, ...) \
	{ \
		GOV_HOLD_QUERY("null::jsonb, null::numeric[], null::jsonb, null::jsonb", condition, __VA_ARGS__), \
		GOV_HOLD_QUERY("r.amounts, r.assignment_amounts, r.event_ids, r.quantities", condition, __VA_ARGS__) \
	}

typedef enum GovHoldState
{
	GOV_HOLD_OPEN,
	GOV_HOLD_SETTLED,
	GOV_HOLD_RELEASED,
	GOV_HOLD_EXPIRED
} GovHoldState;

/* A budget that a hold is held against. */
typedef struct GovHoldBudget
{
	pg_uuid_t	id;
	GovAmount	amount;			/* that is held against it */
	char	   *entity_id;
} GovHoldBudget;

/* A hold; what is not said of both is of an existing one. */
typedef struct GovHold
{
	pg_uuid_t	id;
	char	   *owner;
	text	   *capability;		/* of several the first */
	GovAmount	amount;
	Jsonb	   *amounts;		/* of several: of each; NULL: it is of one */
	Jsonb	   *quantities;		/* by which some were given; NULL: none */
	bool		has_bad_amount; /* the row has one that we did not write */
	ArrayType  *entity_ids;		/* as the call gave them; NULL: none */
	Jsonb	   *dimensions;
	text	   *key;			/* of a new one; NULL: none */
	bytea	   *request_hash;	/* of a new one; NULL without a key */
	ArrayType  *assignment_ids; /* of a new one */
	ArrayType  *assignment_amounts; /* of a new one of several */
	GovHoldState state;
	TimestampTz expires_at;
	TimestampTz created_at;		/* of a new one */
	int64		event_id;		/* of a use that settling recorded, or 0 */
	Jsonb	   *event_ids;		/* when settled by gov_settle_all() */
	int			nbudgets;		/* those that there still are */
	GovHoldBudget *budgets;
} GovHold;

extern bool gov_hold_row_insert(GovHold *hold);
extern bool gov_hold_row_find(const pg_uuid_t *id, GovHold *hold);
extern char *gov_hold_row_owner(const pg_uuid_t *id);
extern bool gov_hold_row_lock(const pg_uuid_t *id, const char *owner, GovHold *hold);
extern int	gov_hold_row_lock_selected(GovQuery *queries, Datum *args, const char *nulls,
									   GovHold **holds);
extern int	gov_hold_row_lock_owners_overdue(const char *owner, TimestampTz now, int most,
											 GovHold **holds);
extern int	gov_hold_row_lock_overdue(TimestampTz after, TimestampTz now, int most,
									  GovHold **holds);
extern void gov_hold_row_close(const GovHold *hold, GovHoldState state,
							   GovAmount settled_amount, int64 event_id);
extern void gov_hold_row_settle_all(const GovHold *hold, GovAmount settled_amount, int64 event_id,
									Jsonb *settled_amounts, Jsonb *event_ids);
extern void gov_hold_row_extend(const GovHold *hold, TimestampTz expires_at);
extern void gov_hold_row_require_changed(uint64 nrows, uint64 wanted);
extern bool gov_hold_row_is_in_flight(void);
extern bool gov_hold_row_next_expiry(TimestampTz after, TimestampTz *expires_at);
extern const char *gov_hold_row_state_name(GovHoldState state);

#endif							/* GOV_HOLD_ROW_H */
