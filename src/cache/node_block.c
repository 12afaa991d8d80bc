/*
 * node_block.c
 *		The block of shared memory that a node is.
 *
 * PURPOSE
 *		All of a node is one block, so that what a call reads of it lies side by
 *		side, and is allocated and freed at once.  When a node is loaded again a
 *		new block takes the place of the former one.
 *
 * LAYOUT
 *		GovSharedNode	state, and the part of the key that is not in the entity
 *		GovEntity		the inner part of it, with its budgets and strings
 *						(entity.h); of an id that is no entity, the id
 *		counters		a GovSharedCounter for each budget, and behind them the rings
 *						of those whose windows slide (ring.c)
 *
 *		The outer strings and the owner are names (names.c).  Where there was no
 *		room for those, the entity is there as a whole, and the owner at the end.
 *
 * ATTIC
 *		A counter moves to the new block, unless it is pinned: transactions have
 *		its address.  Then it stays where it is until the node is loaded again,
 *		the new block says where (GOV_PLACE_ELSEWHERE), and the former block
 *		hangs on the node's attic.  A former block hangs there too while it has
 *		a pinned counter whose budget is gone: an orphan, which is found again
 *		if the budget comes back.  A counter that has moved is marked, so that
 *		nobody takes it for an orphan.  A ring stays, and moves, with its counter.
 *
 * LOCKING
 *		A block is its maker's until it is in the table.  Then the stripe's lock
 *		protects it, and those in its attic.
 */
#include "postgres.h"

#include "cache/names.h"
#include "cache/node_block.h"
#include "cache/node_memory.h"
#include "cache/ring.h"
#include "cache/tail.h"
#include "cache/threshold.h"

/* Where the parts of a block are. */
typedef struct GovBlockLayout
{
	Size		counters_at;
	Size		owner_at;		/* of its string, if that is no name */
	Size		size;
} GovBlockLayout;

static GovBlockLayout
lay_out(Size entity_size, Size counters_size, Size owner_size)
{
	GovBlockLayout layout;

	layout.counters_at = MAXALIGN(sizeof(GovSharedNode)) + MAXALIGN(entity_size);
	layout.owner_at = layout.counters_at + counters_size;
	layout.size = layout.owner_at + owner_size;
	return layout;
}

/*
 * The memory that a node takes altogether, by the size of its entity's inner
 * part.
 */
Size
gov_node_block_size(Size inner_size, uint32 nbudgets)
{
	return gov_arena_block_size(lay_out(inner_size, sizeof(GovSharedCounter) * nbudgets, 0).size);
}

/* Give back the names of an entity's outer strings. */
static void
give_names(const GovEntity *entity)
{
	GovText		last = 0;

	gov_name_give(entity->type_id);
	gov_name_give(entity->parent_id);
	for (uint32 i = 0; i < entity->nbudgets; i++)
	{
		if (entity->budgets[i].capability_id != last)
			gov_name_give(last = entity->budgets[i].capability_id);
	}
}

/* Exchange a string for a name; null stays null. */
static bool
take_name(const GovEntity *entity, GovText *name)
{
	const GovChars *chars = gov_chars(entity, *name);

	if (*name == 0)
		return true;
	*name = gov_name_take(chars->bytes, chars->length);
	return *name != 0;
}

/*
 * Copy the inner part of an entity, with names for its outer strings; NULL
 * where there is no room for those.
 */
static GovEntity *
with_names(const GovEntity *entity)
{
	GovEntity  *copy = palloc(entity->inner_size);
	bool		is_whole;

	memcpy(copy, entity, entity->inner_size);
	copy->size = copy->inner_size;
	is_whole = take_name(entity, &copy->type_id);
	is_whole &= take_name(entity, &copy->parent_id);
	for (uint32 i = 0; i < entity->nbudgets; i++)
	{
		GovText    *name = &copy->budgets[i].capability_id;

		/* those of one capability are neighbours */
		if (i > 0 && *name == entity->budgets[i - 1].capability_id)
			*name = copy->budgets[i - 1].capability_id;
		else
			is_whole &= take_name(entity, name);
	}
	if (is_whole)
		return copy;
	give_names(copy);
	pfree(copy);
	return NULL;
}

/* Allocate a block, and fill in what never changes. */
static GovRef
make_block(const GovOwnerKey *key, const char *id, uint32 id_length, Size entity_size,
		   Size counters_size)
{
	GovText		owner = gov_name_take(key->owner, key->owner_length);
	GovBlockLayout layout = lay_out(entity_size, counters_size, owner != 0 ? 0 :
									offsetof(GovChars, bytes) + key->owner_length);
	GovRef		ref = gov_node_allocate(layout.size);
	GovSharedNode *node = gov_address(ref);

	if (ref == 0)
	{
		gov_name_give(owner);
		return 0;
	}
	memset(node, 0, sizeof(GovSharedNode));
	node->hash = gov_node_hash(key, id, id_length);
	node->database = key->database;
	node->extension = key->extension;
	node->owner = owner != 0 ? owner : layout.owner_at;
	node->stripe = key->stripe;
	node->slot = key->slot;
	if (owner == 0)
	{
		GovChars   *chars = (GovChars *) ((char *) node + layout.owner_at);

		chars->length = key->owner_length;
		memcpy(chars->bytes, key->owner, key->owner_length);
	}
	return ref;
}

/* A block of what was loaded, not linked anywhere yet; 0 when there is no room. */
GovRef
gov_node_block_make(const GovOwnerKey *key, const GovEntity *entity,
					const GovSharedCounter *counters)
{
	const GovChars *id = gov_entity_id(entity);
	GovEntity  *named = with_names(entity);
	const GovEntity *content = named != NULL ? named : entity;
	GovRef		ref = make_block(key, id->bytes, id->length, content->size,
								gov_ring_array_size(content));
	GovSharedNode *node = gov_address(ref);

	if (ref == 0)
	{
		if (named != NULL)
			give_names(named);
		return 0;
	}
	Assert(gov_entity_is_sound(content));
	memcpy(gov_node_content(node), content, content->size);
	gov_ring_lay_out(content, gov_node_counters(node));
	for (uint32 i = 0; i < entity->nbudgets; i++)
	{
		GovSharedCounter *counter = &gov_node_counters(node)[i];

		gov_ring_copy(counter, &counters[i]);
		counter->place = GOV_PLACE_HERE;
		counter->alert_at = gov_alert_pack(gov_threshold_above(entity,
															   &entity->budgets[i], 0));
		pg_atomic_init_u32(&counter->pins, 0);
	}
	return ref;
}

/* A block for an id of which nothing is known yet. */
GovRef
gov_node_block_make_empty(const GovOwnerKey *key, const char *id, uint32 id_length)
{
	Size		size = MAXALIGN(offsetof(GovEntity, budgets) +
								offsetof(GovChars, bytes) + id_length + 1);
	GovRef		ref = make_block(key, id, id_length, size, 0);
	GovSharedNode *node = gov_address(ref);
	GovEntity  *entity = gov_node_content(node);
	GovChars   *chars;

	if (ref == 0)
		return 0;
	node->is_absent = true;
	memset(entity, 0, size);
	entity->size = entity->inner_size = size;
	entity->id_hash = gov_entity_text_hash(id, id_length);
	chars = unconstify(GovChars *, gov_entity_id(entity));
	chars->length = id_length;
	memcpy(chars->bytes, id, id_length);
	return ref;
}

/* Give back the names of a block that is about to be freed. */
void
gov_node_block_give_names(const GovSharedNode *node)
{
	Assert(!gov_node_content_has_pins(node));
	gov_name_give(node->owner);
	give_names(gov_node_content(node));
}

/* Free a block that is in no table any more, and its attic. */
void
gov_node_block_free(GovRef block)
{
	while (block != 0)
	{
		GovSharedNode *node = gov_address(block);
		GovRef		attic = node->attic;

		gov_node_block_give_names(node);
		gov_node_free(block);
		block = attic;
	}
}

/*
 * Find the counter that a node has of a budget, in its attic too; NULL if
 * there is none.  It is an orphan's if the node's entity does not have the
 * budget.
 */
static GovSharedCounter *
find_kept(GovSharedNode *node, const pg_uuid_t *budget_id, uint32 guess,
		  GovSharedNode **block)
{
	uint32		budget;

	for (;;)
	{
		GovSharedCounter *counter = gov_node_counters(node);

		if (gov_node_content_find_budget(node, budget_id, guess, &budget) &&
			counter[budget].place == GOV_PLACE_HERE)
		{
			*block = node;
			return &counter[budget];
		}
		if (node->attic == 0)
			return NULL;
		node = gov_address(node->attic);
	}
}

/* Give a counter the ring of another; one without room for it stays without. */
static void
renew_ring(GovSharedCounter *counter, const GovSharedCounter *anew)
{
	if (anew->ring == 0)
		counter->ring = 0;
	else if (counter->ring != 0)
		*gov_ring_of(counter) = *gov_ring_of(anew);
}

/*
 * Bring a counter that stays up to date with what was loaded.
 *
 * If it has another id, it gets the loaded one: the budget's usage starts
 * afresh, and its holds go on.  The holds that were loaded are exact if nobody
 * had any in flight, because nobody can have since the claim.  The counter may
 * know less: a hold that ends while its budget is gone is taken off no counter.
 * If somebody had holds in flight, in any budget of the entity, those of the
 * counter stay.  Then such an ended hold counts until the node leaves memory,
 * which is too much and never too little.
 *
 * If the budget has another rule for its windows, the present one begins when it
 * did (keep.c), but may end at another time if it began while that rule was being
 * changed.
 *
 * A row of gov_default_counts that somebody has committed stays, and the load
 * may have been too early to see it.
 *
 * If it was loaded for a later window (gov_counter_must_load), it turns to
 * that.  Nobody has usage of that window in flight: whoever had some when the
 * counter went back to an earlier window has ended, because only a counter
 * without pins leaves memory.
 *
 * If it is void (own_nodes.c), it gets all that was loaded; so does one that was
 * pinned when its budget began to slide, and had no room for a ring.
 *
 * True if all that is counted is what was loaded.
 */
static bool
renew_counter(GovSharedCounter *counter, const GovSharedCounter *anew, const GovClaim *claim)
{
	bool		is_loaded = anew->window.start > DT_NOBEGIN;
	bool		is_other = counter->id != anew->id || (claim->is_void && is_loaded) ||
	(counter->ring == 0 && anew->ring != 0 && is_loaded && !claim->was_pinned);

	counter->alert_at = anew->alert_at;
	if (!is_other && anew->window.start == counter->window.start &&
		anew->window.end > anew->window.start)	/* it was loaded */
		counter->window.end = anew->window.end;
	counter->wants_row = anew->wants_row && (is_other || counter->wants_row);
	if (!is_other && anew->window.start <= counter->window.start)
		return false;
	if (!is_other && counter->ring != 0)
	{
		gov_ring_renew(counter, anew);
		return false;
	}
	renew_ring(counter, anew);
	counter->id = anew->id;
	counter->window = anew->window;
	counter->stays = anew->stays;
	counter->has_later = anew->has_later;
	counter->total = anew->total;
	counter->covered = 0;
	counter->booked = anew->booked;
	counter->last_event = Max(counter->last_event, anew->last_event);
	if (is_other && !claim->was_pinned)
		counter->held = anew->held;
	return true;
}

/*
 * Bring the count of a window before up to date.  What is used of it stays as it is,
 * with what is in flight; what it had of its own, and what was carried into it, are as
 * they were loaded.  True if all is.
 */
static bool
renew_before(GovSharedCounter *counter, const GovSharedCounter *anew)
{
	bool		is_other = counter->id != anew->id || counter->window.end != anew->window.end ||
	!counter->is_before;

	counter->is_before = true;
	counter->is_outdated = false;
	counter->held = anew->held;
	counter->covered = anew->covered;
	if (!is_other)
		return false;
	counter->id = anew->id;
	counter->window = anew->window;
	counter->total = anew->total;
	counter->booked = anew->booked;
	return true;
}

/*
 * Give a budget of the new block the counter that it had: moved here, or left
 * where it is if it is pinned.
 */
static void
carry_counter(GovSharedCounter *counter, GovSharedCounter *kept, GovSharedNode *block,
			  const GovClaim *claim)
{
	bool		is_anew;

	Assert(kept->place == GOV_PLACE_HERE && counter->place == GOV_PLACE_HERE);
	is_anew = unlikely(counter->is_before) ? renew_before(kept, counter) :
		renew_counter(kept, counter, claim);
	if (pg_atomic_read_u32(&kept->pins) > 0)
	{
		counter->place = GOV_PLACE_ELSEWHERE;
		counter->elsewhere = kept;
		block->is_needed = true;
		return;
	}
	gov_ring_copy(counter, kept);
	if (kept->ring == 0 && !is_anew)
		counter->ring = 0;
	kept->place = GOV_PLACE_MOVED;
}

/* Keep of the former blocks those that have pinned counters; returns the others. */
static GovRef
sort_out(GovRef former, GovSharedNode *node)
{
	GovRef		unneeded = 0;
	GovRef	   *link = &node->attic;

	while (former != 0)
	{
		GovRef		ref = former;
		GovSharedNode *block = gov_address(ref);

		former = block->attic;
		block->attic = 0;
		if (block->is_needed || gov_node_content_has_pins(block))
		{
			*link = ref;
			link = &block->attic;
		}
		else
		{
			gov_tail_lose_node(gov_stripe(node->stripe), block);
			block->attic = unneeded;
			unneeded = ref;
		}
		block->is_needed = false;
	}
	return unneeded;
}

/*
 * Carry the counters of a node over to the block that takes its place.  Returns
 * the former blocks that nobody needs any more, linked by attic.
 */
GovRef
gov_node_block_carry_over(const GovClaim *claim, GovSharedNode *node)
{
	const GovEntity *entity = gov_node_content(node);

	Assert(LWLockHeldByMeInMode(&gov_stripe(node->stripe)->lock, LW_EXCLUSIVE));
	Assert(node->attic == 0);
	for (uint32 i = 0; i < entity->nbudgets; i++)
	{
		GovSharedNode *block;
		GovSharedCounter *kept = find_kept(gov_address(claim->node), &entity->budgets[i].id, i,
										   &block);

		if (kept != NULL)
			carry_counter(&gov_node_counters(node)[i], kept, block, claim);
	}
	return sort_out(claim->node, node);
}
