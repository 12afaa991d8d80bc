/*
 * carry_over.c
 *		What budgets carry over, for who reads it without a call.
 *
 * PURPOSE
 *		Reports, alerts and gov_verify ask what is carried into a window.  The tables
 *		say it, as they do to a load (load_carry.c).  Who shows what is live takes
 *		the usage of the window before from shared memory where that has it, as a
 *		call does (gate/carried.c): with what is in flight.
 *
 *		All is read as the active snapshot has it.
 *
 * LOCKING
 *		The stripe's lock, shared, for each budget.  None is held while the tables
 *		are read.
 *
 * FAILURE
 *		That of a load.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/spi.h"
#include "cache/carry_over.h"
#include "cache/load.h"
#include "cache/pending.h"

/* The entities that have a budget which carries over; of defaults, only where it was used. */
static GovQuery entities_query = {
	.sql =
	"select array_agg(x.id) from ("
	" select a.entity_id as id from @gov_assignments a"
	"  where a.owner_id = $1 and (a.carry_unused_max is not null or a.carry_debt)"
	" union"
	" select n.entity_id from @gov_default_counts n"
	"  where n.owner_id = $1 and n.default_id in ("
	"   select d.id from @gov_default_assignments d"
	"   where (d.owner_id = $1 or d.owner_id is null) and (d.carry_unused_max is not null or d.carry_debt))) x",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

/* Those of an owner, in the caller's memory; NULL if it has none. */
static ArrayType *
find_entities(const GovOwnerKey *owner)
{
	Datum		args[1] = {PointerGetDatum(cstring_to_text_with_len(owner->owner, owner->owner_length))};
	MemoryContext caller = CurrentMemoryContext;
	ArrayType  *result = NULL;
	bool		isnull;
	GovSpi		spi;
	Datum		value;

	gov_spi_begin(&spi);
	gov_spi_select(&entities_query, args, NULL);
	value = gov_spi_value(0, 1, &isnull);
	if (!isnull)
	{
		MemoryContext inner = MemoryContextSwitchTo(caller);

		result = DatumGetArrayTypePCopy(value);
		MemoryContextSwitchTo(inner);
	}
	gov_spi_end(&spi);
	return result;
}

/* Load some entities from the tables; returns how many were asked for. */
static int
load_entities(const GovOwnerKey *owner, ArrayType *entity_ids, TimestampTz at, GovLoadedList *list)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	GovLoaded  *ids;
	int			nids = 0;

	deconstruct_array(entity_ids, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	ids = palloc0(sizeof(GovLoaded) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		text	   *id;

		if (nulls[i])
			continue;
		id = DatumGetTextPP(elements[i]);
		ids[nids].id = VARDATA_ANY(id);
		ids[nids++].id_length = VARSIZE_ANY_EXHDR(id);
	}
	list->count = 0;
	if (nids > 0)
		gov_load_as_of(owner, ids, nids, at, list);
	return Min(nids, list->count);	/* ancestors follow */
}

/* The counter that shared memory has of a budget, for everybody; or NULL. */
static const GovSharedCounter *
find_counter(const GovSharedNode *node, const pg_uuid_t *id, int64 counter_id)
{
	const GovSharedCounter *counter;
	uint32		number;

	if (!gov_node_find_budget(node, id, 0, &number))
		return NULL;
	counter = gov_node_counter(node, number);
	return counter->id == counter_id ? counter : NULL;
}

/* What is used of the window before, as shared memory has it; false if it does not. */
static bool
look_up_usage(const GovOwnerKey *owner, const GovLoaded *item, const GovCarriedOver *over,
			  GovAmount *used)
{
	GovSharedStripe *stripe = gov_stripe(owner->stripe);
	pg_uuid_t	before_id = gov_carry_before_id(&over->id);
	const GovSharedCounter *counter = NULL;
	const GovSharedNode *node;

	gov_stripe_lock(stripe, LW_SHARED);
	node = gov_node_find(owner, item->id, item->id_length);
	if (node != NULL && !node->is_absent)
	{
		const GovSharedCounter *present = find_counter(node, &over->id, over->counter_id);
		const GovSharedCounter *before = find_counter(node, &before_id, over->counter_id);

		if (present != NULL && present->window.end == over->window.start)
			counter = present;	/* it has not been turned yet */
		else if (present != NULL && present->window.start == over->window.start &&
				 before != NULL && before->window.end == over->window.start)
			counter = before;
	}
	if (counter != NULL)
		*used = counter->total + gov_pending_relief(counter).usage;
	gov_stripe_unlock(stripe);
	return counter != NULL;
}

/* What one budget carries over. */
static GovCarriedOver
find_carried(const GovOwnerKey *owner, const GovLoaded *item, uint32 b, const GovCarry *carry, bool is_live)
{
	const GovBudget *budget = &item->entity->budgets[b];
	const GovSharedCounter *before = &item->counters[carry->before];
	GovCarriedOver over = {
		.id = budget->id,
		.counter_id = budget->counter_id,
		.entity = item->entity,
		.budget = budget,
		.window = item->counters[b].window,
		.before = before->window,
		.own = before->held,
		.into = before->covered
	};
	GovAmount	used = before->total;

	if (over.own == GOV_CARRIES_NOTHING)
		return over;
	if (is_live)
		look_up_usage(owner, item, &over, &used);
	over.carried = gov_carry_next(&carry->rule, over.own, over.into, used);
	return over;
}

/*
 * What the budgets carry over of some entities, or of all that have used one (NULL), into
 * their windows of a time; returns how many there are.
 */
int
gov_carry_over_find(const GovOwnerKey *owner, ArrayType *entity_ids, TimestampTz at, bool is_live,
					GovCarriedOver **result)
{
	GovLoadedList list = {0};
	int			nitems;
	int			count = 0;

	*result = NULL;
	if (!AttributeNumberIsValid(gov_catalog()->assignments_carry_unused_max))
		return 0;
	if (entity_ids == NULL)
		entity_ids = find_entities(owner);
	if (entity_ids == NULL)
		return 0;
	nitems = load_entities(owner, entity_ids, at, &list);
	for (int i = 0; i < nitems; i++)
		count += list.items[i].entity ? list.items[i].entity->nbudgets : 0;
	*result = palloc_extended(sizeof(GovCarriedOver) * Max(count, 1), MCXT_ALLOC_HUGE);
	count = 0;
	for (int i = 0; i < nitems; i++)
	{
		const GovEntity *entity = list.items[i].entity;

		for (uint32 b = 0; b < (entity ? entity->nbudgets : 0); b++)
		{
			const GovCarry *carry = gov_budget_carry(entity, &entity->budgets[b]);

			if (carry != NULL)
				(*result)[count++] = find_carried(owner, &list.items[i], b, carry, is_live);
		}
	}
	return count;
}
