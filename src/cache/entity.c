/*
 * entity.c
 *		An entity and its budgets, as one block of memory without pointers.
 *
 * PURPOSE
 *		The same block serves in shared memory, in a backend's private view,
 *		and as a copy taken under a lock: it is moved with memcpy and never
 *		changed once built (load_build.c builds it).
 *
 * INVARIANTS
 *		offset + length of every string lies inside size.  The budgets of one
 *		capability are adjacent.
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "cache/entity.h"

const GovChars gov_no_chars = {0, ""};
const GovBudgetMore gov_no_more = {0};

uint32
gov_entity_text_hash(const char *string, uint32 length)
{
	return hash_bytes((const unsigned char *) string, length);
}

#ifdef USE_ASSERT_CHECKING
/* Does a string end before an offset?  A name is elsewhere. */
static bool
ends_before(const GovEntity *entity, GovText string, uint32 end)
{
	return (string & GOV_TEXT_IS_NAME) || string == 0 ||
		(string < end && string + offsetof(GovChars, bytes) +
		 gov_entity_length(entity, string) < end);
}

/* Lies what belongs to a budget inside the block, and inside its inner part if it must? */
static bool
is_inside(const GovEntity *entity, const GovBudget *budget)
{
	const GovBudgetMore *more = gov_budget_more(entity, budget);
	const GovText *scope = gov_budget_scope(entity, budget);

	for (uint32 i = 0; i < more->nscope; i++)
	{
		if (!ends_before(entity, scope[i], entity->inner_size))
			return false;
	}
	return ends_before(entity, budget->capability_id, entity->size) &&
		ends_before(entity, budget->name, entity->inner_size) &&
		ends_before(entity, more->timezone, entity->inner_size) &&
		more->alerts + more->nalerts * sizeof(GovAmount) <= entity->inner_size;
}

/* Is the block what entity.h says that it is? */
bool
gov_entity_is_sound(const GovEntity *entity)
{
	for (uint32 i = 0; i < entity->nbudgets; i++)
	{
		if (!is_inside(entity, &entity->budgets[i]) ||
			(i > 0 && entity->budgets[i].capability_hash < entity->budgets[i - 1].capability_hash))
			return false;
	}
	return entity->inner_size <= entity->size &&
		ends_before(entity, entity->type_id, entity->size) &&
		ends_before(entity, entity->parent_id, entity->size);
}
#endif

/*
 * Find the budgets for one capability, which are neighbours: the number of the
 * first, and how many there are.
 */
void
gov_entity_budgets_of(const GovEntity *entity, const char *capability_id,
					  uint32 length, uint32 hash, uint32 *first, uint32 *count)
{
	uint32		low = 0;
	uint32		high = entity->nbudgets;
	uint32		end;

	/* budgets are sorted by the hash first: find where it starts */
	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (entity->budgets[middle].capability_hash < hash)
			low = middle + 1;
		else
			high = middle;
	}

	/* capabilities with one hash are sorted by id: skip the others */
	while (low < entity->nbudgets &&
		   entity->budgets[low].capability_hash == hash &&
		   !gov_chars_are(gov_chars(entity, entity->budgets[low].capability_id),
						  capability_id, length))
		low++;
	for (end = low; end < entity->nbudgets; end++)
	{
		const GovBudget *budget = &entity->budgets[end];

		if (budget->capability_hash != hash ||
			!gov_chars_are(gov_chars(entity, budget->capability_id), capability_id, length))
			break;
	}
	*first = low;
	*count = end - low;
}

/*
 * Compute the window of a budget that a time falls into; false if there is
 * none.  It looks up a time zone, so it is not called with a stripe locked.
 */
bool
gov_entity_budget_window(const GovEntity *entity, const GovBudget *budget,
						 TimestampTz at, GovWindow *window)
{
	const GovBudgetMore *more = gov_budget_more(entity, budget);
	pg_tz	   *tz = gov_window_timezone(gov_budget_timezone(entity, budget));

	return tz != NULL &&
		gov_window_at(&budget->cadence, more->has_anchor, more->anchor, tz, at, window);
}

/*
 * Compute the window that a use opens which is the first of a budget whose windows
 * begin so.  It is not called with a stripe locked either.
 */
bool
gov_entity_opened_window(const GovEntity *entity, const GovBudget *budget,
						 TimestampTz at, GovWindow *window)
{
	pg_tz	   *tz = gov_window_timezone(gov_budget_timezone(entity, budget));

	return tz != NULL && gov_window_opened(&budget->cadence, tz, at, window);
}

/* Have two budgets the same windows, because they have the same rule for them? */
bool
gov_entity_same_windows(const GovEntity *entity, const GovBudget *budget,
						const GovEntity *other_entity, const GovBudget *other)
{
	const GovBudgetMore *more = gov_budget_more(entity, budget);
	const GovBudgetMore *other_more = gov_budget_more(other_entity, other);

	if (gov_budget_slides(budget) && gov_budget_slides(other))
		return gov_window_span(&budget->cadence) == gov_window_span(&other->cadence);
	return budget->cadence.unit == other->cadence.unit &&
		budget->cadence.kind == other->cadence.kind &&
		budget->cadence.count == other->cadence.count &&
		more->has_anchor == other_more->has_anchor && more->anchor == other_more->anchor &&
		strcmp(gov_budget_timezone(entity, budget), gov_budget_timezone(other_entity, other)) == 0;
}
