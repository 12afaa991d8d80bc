/*
 * sheet_tree.c
 *		What follows from the entities and budgets of a sheet: who is below whom,
 *		and what has been allocated.
 *
 * INVARIANTS
 *		Those below an entity have the places from its own to its last_place,
 *		archived ones included.  An archived entity has no rows, so it neither
 *		allocates nor is allocated from.
 *
 * FAILURE
 *		23514 when an entity is reached from no root: it is below a cycle.
 */
#include "postgres.h"

#include "cache/cycle.h"
#include "query/sheet_read.h"

/* The entity of an id, or -1. */
int
gov_sheet_find_entity(const GovSheet *sheet, const char *id, uint32 length)
{
	uint32		low = 0;
	uint32		high = sheet->nentities;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		GovString	other = sheet->entities[middle].id;
		int			order = gov_bytes_compare(gov_sheet_text(sheet, other), other.length,
											  id, length);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

#define NOWHERE		PG_UINT32_MAX	/* a place that was not given */

/*
 * Raise an error for the cycle above an entity that no root is above.  The way
 * from there to the cycle is left out.
 */
static void
raise_cycle(const GovSheet *sheet)
{
	int			on_cycle = 0;
	int			at;
	int			count = 0;
	const char **ids = palloc_extended(sizeof(char *) * (Size) sheet->nentities,
									   MCXT_ALLOC_HUGE);

	while (sheet->entities[on_cycle].place != NOWHERE)
		on_cycle++;
	for (uint32 i = 0; i < sheet->nentities; i++)
		on_cycle = sheet->entities[on_cycle].parent;
	at = on_cycle;
	do
	{
		ids[count++] = gov_sheet_text(sheet, sheet->entities[at].id);
		at = sheet->entities[at].parent;
	} while (at != on_cycle);
	gov_cycle_raise(ids, count);
}

/*
 * Number the entities depth first, so that those below one are a range, and
 * find the parents that are shown.
 */
void
gov_sheet_place_entities(GovSheet *sheet)
{
	uint32		count = sheet->nentities;
	int		   *first_child = palloc_extended(sizeof(int) * (Size) (count + 1),
											  MCXT_ALLOC_HUGE);
	int		   *sibling = palloc_extended(sizeof(int) * (Size) (count + 1),
										  MCXT_ALLOC_HUGE);
	uint32		place = 0;
	int			at;

	/* the last slot stands for what the roots are below */
	for (uint32 i = 0; i <= count; i++)
		first_child[i] = -1;
	for (int i = (int) count - 1; i >= 0; i--)
	{
		int			parent = sheet->entities[i].parent;
		int			slot = parent < 0 ? (int) count : parent;

		sheet->entities[i].place = NOWHERE;
		sibling[i] = first_child[slot];
		first_child[slot] = i;
	}
	for (at = first_child[count]; at >= 0;)
	{
		GovSheetEntity *entity = &sheet->entities[at];

		entity->shown_parent = entity->parent;
		if (entity->parent >= 0 && sheet->entities[entity->parent].is_archived)
			entity->shown_parent = sheet->entities[entity->parent].shown_parent;
		entity->place = place++;
		if (first_child[at] >= 0)
		{
			at = first_child[at];
			continue;
		}
		/* up to the first that has a sibling to go on with */
		for (; at >= 0; at = sheet->entities[at].parent)
		{
			sheet->entities[at].last_place = place - 1;
			if (sibling[at] >= 0)
				break;
		}
		at = at >= 0 ? sibling[at] : -1;
	}
	if (place < count)
		raise_cycle(sheet);
	pfree(first_child);
	pfree(sibling);
}

/* Do two windows have one cadence? */
static bool
is_cadence(const GovSheet *sheet, uint32 one, uint32 other)
{
	const GovSheetWindow *windows = sheet->windows;

	return windows[one].cadence.unit == windows[other].cadence.unit &&
		windows[one].cadence.count == windows[other].cadence.count;
}

/* Is a child's limit allocated from this limit of its parent? */
static bool
shares_allocation(const GovSheet *sheet, const GovSheetRow *a, const GovSheetRow *b)
{
	return !a->is_scoped && !b->is_scoped && a->capability == b->capability &&
		is_cadence(sheet, a->window, b->window);
}

/* Add what a budget takes to the budgets of its entity's parent that were not used. */
static void
allocate_unused(GovSheet *sheet, uint32 taker, uint32 parent)
{
	const GovSheetRow *row = &sheet->rows[taker];
	uint32		type = sheet->entities[parent].type;

	if (!sheet->has_listed || row->is_scoped)
		return;
	for (uint32 i = sheet->first_default[type]; i < sheet->first_default[type + 1]; i++)
	{
		if (row->capability == sheet->defaults[i].capability &&
			is_cadence(sheet, row->window, sheet->defaults[i].window) &&
			gov_sheet_has_unused(sheet, parent, i))
			gov_sheet_add_extra(sheet, gov_sheet_unused(sheet, parent, i), 0,
								sheet->budgets[taker].base_limit);
	}
}

/* Add what the budgets of an entity take of those of its parent; a default takes nothing. */
static void
allocate_budgets(GovSheet *sheet, const GovSheetEntity *child, const GovSheetEntity *parent)
{
	for (uint32 i = 0; i < child->nrows; i++)
	{
		uint32		taker = child->first_row + i;

		if (sheet->budgets[taker].name.length > 0 || !sheet->budgets[taker].has_limit ||
			sheet->budgets[taker].by_default >= 0)
			continue;
		allocate_unused(sheet, taker, parent - sheet->entities);
		for (uint32 j = 0; j < parent->nrows; j++)
		{
			uint32		giver = parent->first_row + j;

			if (shares_allocation(sheet, &sheet->rows[taker], &sheet->rows[giver]))
				sheet->budgets[giver].allocated += sheet->budgets[taker].base_limit;
		}
	}
}

/* Compute how much of each budget the limits of children take. */
void
gov_sheet_allocate(GovSheet *sheet)
{
	for (uint32 e = 0; e < sheet->nentities; e++)
	{
		int			parent = sheet->entities[e].parent;

		if (parent >= 0)
			allocate_budgets(sheet, &sheet->entities[e], &sheet->entities[parent]);
	}
	gov_sheet_order_extras(sheet);
}
