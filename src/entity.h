/*
 * entity.h
 *		An entity and its budgets, as one block of memory without pointers.
 */
#ifndef GOV_ENTITY_H
#define GOV_ENTITY_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "amount.h"
#include "cadence.h"
#include "window.h"

/* A string inside the block; bytes end with a NUL that length leaves out. */
typedef struct GovString
{
	uint32		offset;			/* from the start of the block; 0 = null */
	uint32		length;
} GovString;

typedef struct GovBudget
{
	pg_uuid_t	id;				/* of its row; never changes */
	int64		counter_id;		/* of its count; a new one starts it afresh */
	GovAmount	limit;
	TimestampTz anchor;
	GovCadence	cadence;
	GovString	capability_id;
	GovString	name;
	GovString	cadence_text;	/* null: never resets */
	GovString	timezone;
	uint32		scope;			/* offset of nscope GovStrings */
	uint32		nscope;
	uint32		alerts;			/* offset of nalerts GovAmounts, ascending */
	uint32		nalerts;
	uint32		capability_hash;
	bool		has_limit;
	bool		has_anchor;
	bool		is_soft;
} GovBudget;

/*
 * Budgets are sorted by capability and, within one, as chains show them:
 * node-wide first, then by scope size, scope and name.
 */
typedef struct GovEntity
{
	uint32		size;			/* of the whole block */
	uint32		nbudgets;
	uint32		id_hash;		/* gov_text_hash() of id */
	GovString	id;
	GovString	type_id;
	GovString	parent_id;		/* null: a root */
	bool		is_archived;
	GovBudget	budgets[FLEXIBLE_ARRAY_MEMBER];
} GovEntity;

static inline const char *
gov_entity_string(const GovEntity *entity, GovString string)
{
	return (const char *) entity + string.offset;
}

static inline bool
gov_string_is(const GovEntity *entity, GovString string,
			  const char *text, uint32 length)
{
	return string.length == length &&
		memcmp(gov_entity_string(entity, string), text, length) == 0;
}

static inline const GovString *
gov_budget_scope(const GovEntity *entity, const GovBudget *budget)
{
	return (const GovString *) ((const char *) entity + budget->scope);
}

static inline bool
gov_uuid_is(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a->data, b->data, UUID_LEN) == 0;
}

extern uint32 gov_text_hash(const char *text, uint32 length);
extern void gov_entity_budgets_of(const GovEntity *entity,
								  const char *capability_id, uint32 length,
								  uint32 hash, uint32 *first, uint32 *count);
extern bool gov_budget_window(const GovEntity *entity, const GovBudget *budget,
							  TimestampTz at, GovWindow *window);

#endif							/* GOV_ENTITY_H */
