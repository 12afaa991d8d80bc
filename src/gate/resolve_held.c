/*
 * resolve_held.c
 *		The counters that a row names: of a hold, or of an event.
 *
 * PURPOSE
 *		A hold that ends goes off the budgets it was made on, and what is given
 *		back of an event goes to those it was charged to, whatever has become of
 *		the entities since: moved, archived, given other budgets.  So they are
 *		not resolved but looked up, each on its entity.
 *
 * LOCKING
 *		As in resolve.c: the caller has the stripe's lock, nothing here
 *		allocates, raises or waits.
 *
 * INVARIANTS
 *		A budget that the node of its entity does not have is gone, and its
 *		counter with it.  Holds count whichever the counter of their budget;
 *		usage belongs to one counter, and where the budget has another one by
 *		now there is nothing to give it back to.  A budget by a default may be
 *		hidden: something else has its place, for this transaction's time at
 *		least (event_row.c), and its count is kept.  What nobody has in memory is
 *		given back by the row alone, as what a transaction charges to budgets
 *		that only it has (own_counts.c).
 */
#include "postgres.h"

#include "cache/private_view.h"
#include "gate/draw.h"
#include "gate/resolve_walk.h"

/*
 * Find the counter of a budget that this transaction has made, or given a new
 * counter, in the private view; NULL if there is none.
 */
static GovSharedCounter *
find_private(GovWalk *walk, const pg_uuid_t *budget_id)
{
	const GovName *name = walk->name;
	GovLoaded  *loaded = gov_private_find(name->id, name->id_length);
	uint32		nbudgets;

	if (loaded == NULL)
	{
		gov_resolve_note_missing(walk, name->id, name->id_length);
		return NULL;
	}
	nbudgets = loaded->entity ? loaded->entity->nbudgets : 0;
	for (uint32 i = 0; i < nbudgets; i++)
	{
		if (!gov_uuid_is(&loaded->entity->budgets[i].id, budget_id))
			continue;
		if (loaded->is_own[i])
			return &loaded->counters[i];
		/* somebody else has made it since the shared node was loaded */
		gov_resolve_note_other(walk, name->id, name->id_length);
		walk->is_outdated = true;
		return NULL;
	}
	return NULL;
}

/* Find the counters of the hold that the request ends. */
void
gov_resolve_held(GovWalk *walk)
{
	const GovRequest *request = walk->request;
	GovSharedNode *previous = NULL;
	uint32		number = 0;

	for (int i = 0; i < request->nheld; i++)
	{
		GovHeld    *held = &request->held[i];
		GovSharedNode *node;

		held->counter = NULL;
		held->is_shared = false;
		gov_resolve_begin_name(walk, &held->entity);
		node = gov_resolve_find_node(walk, held->entity.id, held->entity.id_length);
		if (node == NULL)
			continue;
		/* they are in the order of the node's own, so the next is not far */
		if (gov_node_find_budget(node, &held->budget_id, node == previous ? number + 1 : 0,
								 &number))
		{
			held->counter = gov_node_counter(node, number);
			held->is_shared = true;
			previous = node;
		}
		else if (walk->source->uses_private)
			held->counter = find_private(walk, &held->budget_id);
	}
}

/* The entity that the walk has named, as this transaction sees it; NULL: it must be loaded, or is not there. */
static const GovEntity *
seen_entity(GovWalk *walk, const GovSharedNode *node)
{
	const GovName *name = walk->name;
	const GovLoaded *loaded;

	if (likely(!walk->source->uses_private))
		return gov_node_entity(node);
	loaded = gov_private_find(name->id, name->id_length);
	if (loaded == NULL)
		gov_resolve_note_missing(walk, name->id, name->id_length);
	return loaded == NULL ? NULL : loaded->entity;
}

/*
 * Read what is left of the pool whose debt is one of the reversed; nothing where it is gone.
 */
static void
read_pool(GovWalk *walk, GovSharedNode *node, GovReversed *reversed)
{
	GovResolvedEntity resolved = {.entity = seen_entity(walk, node), .node = node};

	if (resolved.entity == NULL)
		return;
	if (walk->source->uses_private)
		resolved.loaded = gov_private_find(walk->name->id, walk->name->id_length);
	for (uint32 i = 0; i < resolved.entity->nbudgets; i++)
	{
		const GovBudget *budget = &resolved.entity->budgets[i];

		if (!gov_uuid_is(&budget->id, &reversed->pool_id) || !gov_budget_is_pool(resolved.entity, budget))
			continue;
		if (!gov_draw_read_reversed(walk, &resolved, budget, reversed))
		{
			gov_resolve_note_other(walk, walk->name->id, walk->name->id_length);
			walk->is_outdated = true;
		}
		return;
	}
}

/* May the grant be drawn from that is to be given back to? */
static bool
is_live_grant(GovWalk *walk, const GovSharedNode *node, const GovReversed *reversed)
{
	const GovEntity *entity = seen_entity(walk, node);
	TimestampTz now = walk->out->now;

	for (uint32 i = 0; i < (entity ? entity->nbudgets : 0); i++)
	{
		const GovPool *pool = gov_budget_pool(entity, &entity->budgets[i]);

		if (!gov_uuid_is(&entity->budgets[i].id, &reversed->pool_id) || !gov_budget_is_pool(entity, &entity->budgets[i]))
			continue;
		for (uint32 g = 0; g < pool->ngrants; g++)
		{
			if (pool->grants[g].counter_id == reversed->counter_id)
				return pool->grants[g].from <= now && now < pool->grants[g].until;
		}
	}
	return false;
}

/* The counter of a hidden budget: a former one, where somebody has it in flight, or none. */
static void
find_hidden(GovReversed *reversed, GovSharedNode *node)
{
	GovSharedCounter *counter = gov_node_find_kept(node, &reversed->budget_id);

	reversed->is_shared = counter != NULL && counter->id == reversed->counter_id;
	if (!reversed->is_shared)
	{
		counter = &reversed->absent;
		memset(counter, 0, sizeof(*counter));
		counter->id = reversed->counter_id;
		counter->window = reversed->window;
	}
	reversed->counter = counter;
}

/* The count of the window before a budget's, which something is carried over from; or NULL. */
static GovSharedCounter *
find_before(const GovSharedNode *node, uint32 number)
{
	const GovEntity *entity = gov_node_content(node);
	const GovCarry *carry = gov_budget_carry(entity, &entity->budgets[number]);

	return carry == NULL ? NULL : gov_node_counter(node, carry->before);
}

/* Find the counters of the event that the request reverses. */
void
gov_resolve_reversed(GovWalk *walk)
{
	const GovRequest *request = walk->request;

	for (int i = 0; i < request->nreversed; i++)
	{
		GovReversed *reversed = &request->reversed[i];
		GovSharedNode *node;
		GovSharedCounter *counter = NULL;
		uint32		number;

		gov_resolve_begin_name(walk, &reversed->entity);
		reversed->counter = NULL;
		reversed->pool = NULL;
		node = gov_resolve_find_node(walk, reversed->entity.id, reversed->entity.id_length);
		if (node == NULL)
			continue;
		if (gov_node_find_budget(node, &reversed->budget_id, 0, &number))
			counter = gov_node_counter(node, number);
		reversed->is_shared = counter != NULL && counter->id == reversed->counter_id;
		reversed->before = reversed->is_shared ? find_before(node, number) : NULL;
		if (!reversed->is_shared)
			counter = walk->source->uses_private ?
				find_private(walk, &reversed->budget_id) : NULL;
		if (counter != NULL && counter->id == reversed->counter_id)
			reversed->counter = counter;
		else if (reversed->is_hidden && !walk->is_outdated)
			find_hidden(reversed, node);
		if (reversed->is_drawn && reversed->debt == i)
			read_pool(walk, node, reversed);
		else if (reversed->is_drawn)
			reversed->is_live = reversed->is_shared && is_live_grant(walk, node, reversed);
	}
}
