/*
 * load_boosts.c
 *		Reads what is added to limits for a time, for a load.
 *
 * PURPOSE
 *		A boost adds to the limit of a budget from one time to another, and
 *		nothing runs when it begins or ends.  So a load makes of a budget's
 *		boosts, present and future, its limit as a function of time (bounds.h).
 *		A budget without any has nothing of this, and where no budget has any
 *		the table is not read.
 *
 * READING
 *		As in load_catalog.c.  Two look-ups in the index find those that have
 *		not ended: with an end to come, and without one.  Of those that have
 *		ended there may be many.
 *
 *		An entity may have thousands of budgets with 16 boosts each.  So its
 *		boosts are sorted by their budgets once, and each budget finds its own by
 *		a binary search.
 *
 * INVARIANTS
 *		A boost that is made or changed makes its entity's node stale, as any
 *		row of the catalog does; so the steps of a fresh node are all there are.
 *		Boosts that had ended when the load began make no step: a call is never
 *		decided as of a time that far back.
 *
 * FAILURE
 *		Where the schema's owner has dropped the index the table is read through.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/lookup.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"
#include "pure/bytes.h"

#define GOV_BOOSTS_AT_FIRST		8

/* The table of boosts, or NULL if there is none. */
Relation
gov_load_open_boosts(void)
{
	return gov_lookup_open_filled(gov_catalog()->boosts);
}

/* Has any budget a boost? */
bool
gov_load_has_boosts(void)
{
	return gov_lookup_is_filled(gov_catalog()->boosts);
}

static void
keep_boost(const GovLoad *load, Relation rel, HeapTuple tuple, GovBoosts *boosts)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	GovBoost   *boost;

	heap_deform_tuple(heap_copytuple(tuple), desc, values, nulls);
	if (!nulls[GOV_BOOST_VALID_UNTIL] &&
		DatumGetTimestampTz(values[GOV_BOOST_VALID_UNTIL]) <= load->now)
		return;
	if (boosts->count >= boosts->capacity)
	{
		boosts->capacity = Max(2 * boosts->capacity, GOV_BOOSTS_AT_FIRST);
		boosts->items = boosts->items == NULL ? palloc(sizeof(GovBoost) * boosts->capacity) :
			repalloc_huge(boosts->items, sizeof(GovBoost) * boosts->capacity);
	}
	boost = &boosts->items[boosts->count++];
	boost->capability_id = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[GOV_BOOST_CAPABILITY_ID]));
	boost->scope_entity_ids = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[GOV_BOOST_SCOPE_ENTITY_IDS]));
	boost->name = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[GOV_BOOST_NAME]));
	boost->amount = gov_load_sum(values[GOV_BOOST_AMOUNT]);
	boost->from = DatumGetTimestampTz(values[GOV_BOOST_VALID_FROM]);
	boost->until = nulls[GOV_BOOST_VALID_UNTIL] ? DT_NOEND :
		DatumGetTimestampTz(values[GOV_BOOST_VALID_UNTIL]);
}

/* Read those that an index condition on valid_until finds, or without one all. */
static void
scan_boosts(const GovLoad *load, Relation rel, Datum id, const ScanKeyData *until,
			GovBoosts *boosts)
{
	Oid			index = gov_catalog()->boosts_budget;
	ScanKeyData keys[3];		/* which the scan changes */
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyEntryInitialize(&keys[0], 0, GOV_BOOST_OWNER_ID + 1, BTEqualStrategyNumber,
						   InvalidOid, C_COLLATION_OID, F_TEXTEQ, load->owner);
	ScanKeyEntryInitialize(&keys[1], 0, GOV_BOOST_ENTITY_ID + 1, BTEqualStrategyNumber,
						   InvalidOid, C_COLLATION_OID, F_TEXTEQ, id);
	if (until != NULL)
		keys[2] = *until;
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(),
							  until != NULL ? 3 : 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		keep_boost(load, rel, tuple, boosts);
	systable_endscan(scan);
}

static int
compare_bytes(Datum left, Datum right)
{
	text	   *a = (text *) DatumGetPointer(left);
	text	   *b = (text *) DatumGetPointer(right);

	return gov_bytes_compare(VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a),
							 VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
}

/* The order of budgets, by the bytes of what tells those of an entity apart. */
static int
compare_budgets(const void *left, const void *right)
{
	const GovBoost *a = left;
	const GovBoost *b = right;
	int			difference = compare_bytes(a->capability_id, b->capability_id);

	if (difference == 0)
		difference = compare_bytes(a->name, b->name);
	if (difference == 0)
		difference = compare_bytes(a->scope_entity_ids, b->scope_entity_ids);
	return difference;
}

/*
 * Read the boosts of an entity's budgets that have not ended, those of a budget
 * one after the other.
 */
void
gov_load_boosts(const GovLoad *load, Relation rel, Datum id, GovBoosts *boosts)
{
	ScanKeyData until;

	if (!OidIsValid(gov_catalog()->boosts_budget))
		scan_boosts(load, rel, id, NULL, boosts);
	else
	{
		ScanKeyInit(&until, GOV_BOOST_VALID_UNTIL + 1, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT,
					TimestampTzGetDatum(load->now));
		scan_boosts(load, rel, id, &until, boosts);
		ScanKeyEntryInitialize(&until, SK_ISNULL | SK_SEARCHNULL, GOV_BOOST_VALID_UNTIL + 1,
							   InvalidStrategy, InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
		scan_boosts(load, rel, id, &until, boosts);
	}
	if (boosts->count > 1)
		qsort(boosts->items, boosts->count, sizeof(GovBoost), compare_budgets);
}

/* Those of one budget, whose values are of the same form: a trigger has compared them. */
static GovBoosts
find_boosts(const GovBoosts *all, const GovRow *budget)
{
	GovBoosts	found = {0};
	GovBoost	key = {
		.capability_id = PointerGetDatum(PG_DETOAST_DATUM_PACKED(budget->values[GOV_ASSIGNMENT_CAPABILITY_ID])),
		.scope_entity_ids = PointerGetDatum(PG_DETOAST_DATUM_PACKED(budget->values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS])),
		.name = PointerGetDatum(PG_DETOAST_DATUM_PACKED(budget->values[GOV_ASSIGNMENT_NAME]))
	};
	GovBoost   *end = all->items + all->count;

	found.items = bsearch(&key, all->items, all->count, sizeof(GovBoost), compare_budgets);
	if (found.items == NULL)
		return found;
	while (found.items > all->items && compare_budgets(&key, found.items - 1) == 0)
		found.items--;
	while (found.items + found.count < end &&
		   compare_budgets(&key, found.items + found.count) == 0)
		found.count++;
	return found;
}

static int
compare_times(const void *left, const void *right)
{
	TimestampTz a = *(const TimestampTz *) left;
	TimestampTz b = *(const TimestampTz *) right;

	return (a > b) - (a < b);
}

/* The moments to come at which one of a budget's boosts begins or ends, in order, each once. */
static int
find_moments(const GovLoad *load, const GovBoosts *boosts, TimestampTz *moments)
{
	int			count = 0;
	int			ndistinct = 0;

	for (int i = 0; i < boosts->count; i++)
	{
		const GovBoost *boost = &boosts->items[i];

		if (boost->from > load->now)
			moments[count++] = boost->from;
		if (!TIMESTAMP_IS_NOEND(boost->until))
			moments[count++] = boost->until;
	}
	qsort(moments, count, sizeof(TimestampTz), compare_times);
	for (int i = 0; i < count; i++)
	{
		if (ndistinct == 0 || moments[ndistinct - 1] != moments[i])
			moments[ndistinct++] = moments[i];
	}
	return ndistinct;
}

/* The limit that is in force at a time; below 0 only where something is added to it. */
static GovAmount
limit_at(const GovBoosts *boosts, GovAmount limit, TimestampTz at, bool carries)
{
	for (int i = 0; i < boosts->count; i++)
	{
		const GovBoost *boost = &boosts->items[i];

		if (boost->from <= at && at < boost->until)
			limit += boost->amount;
	}
	return carries ? limit : Max(limit, 0);
}

/* The steps of a budget's limit; returns how many, or 0 if it has no boosts, or no limit. */
uint32
gov_load_limit_steps(const GovLoad *load, const GovBoosts *all, const GovRow *budget,
					 GovLimitStep **steps)
{
	GovBoosts	boosts;
	TimestampTz *moments;
	GovAmount	limit;
	int			nmoments;
	bool		carries = budget->carry != NULL;

	if (budget->nulls[GOV_ASSIGNMENT_USAGE_LIMIT])
		return 0;
	boosts = find_boosts(all, budget);
	if (boosts.count == 0)
		return 0;
	limit = gov_load_sum(budget->values[GOV_ASSIGNMENT_USAGE_LIMIT]);
	moments = palloc(sizeof(TimestampTz) * 2 * boosts.count);
	nmoments = find_moments(load, &boosts, moments);
	if (nmoments == 0 && limit_at(&boosts, limit, load->now, carries) == limit)
		return 0;
	*steps = palloc(sizeof(GovLimitStep) * (nmoments + 1));
	(*steps)[0].from = DT_NOBEGIN;
	(*steps)[0].limit = limit_at(&boosts, limit, load->now, carries);
	for (int i = 0; i < nmoments; i++)
	{
		(*steps)[i + 1].from = moments[i];
		(*steps)[i + 1].limit = limit_at(&boosts, limit, moments[i], carries);
	}
	return nmoments + 1;
}
