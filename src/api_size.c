/*
 * api_size.c
 *		How much of the cache the parts of a catalog take, which
 *		gov_cache_needed() adds up.
 *
 * PURPOSE
 *		The sizes are those of the very structures that nodes are made of, so
 *		they cannot drift from what is used.  Padding inside a block depends on
 *		what stands before; it is counted as if each part began aligned, which is
 *		some bytes too much at most.
 *
 * FAILURE
 *		None: arguments in, answer out.
 */
#include "postgres.h"

#include "fmgr.h"

#include "cache/names.h"
#include "cache/node_block.h"
#include "cache/ring.h"
#include "pure/bounds.h"
#include "pure/pool.h"

PG_FUNCTION_INFO_V1(gov_budget_bytes_1_1);
PG_FUNCTION_INFO_V1(gov_pool_bytes_1_1);
PG_FUNCTION_INFO_V1(gov_node_bytes_1_1);
PG_FUNCTION_INFO_V1(gov_name_bytes_1_1);

static Size
string_size(Size length)
{
	return TYPEALIGN(sizeof(uint16), offsetof(GovChars, bytes) + length + 1);
}

/*
 * The bytes of a budget in its entity's block, given the length of its name,
 * the length of its scope's ids and how many they are, the length of its time
 * zone, whether it has an anchor, how many thresholds, whether a largest use,
 * how many steps its limit takes with boosts, whether it is by a default, and
 * whether its window slides.
 */
Datum
gov_budget_bytes_1_1(PG_FUNCTION_ARGS)
{
	int32		name_length = PG_GETARG_INT32(0);
	int32		scope_length = PG_GETARG_INT32(1);
	int32		nscope = PG_GETARG_INT32(2);
	int32		timezone_length = PG_GETARG_INT32(3);	/* 0: UTC */
	bool		has_anchor = PG_GETARG_BOOL(4);
	int32		nalerts = PG_GETARG_INT32(5);
	bool		has_call_limit = PG_GETARG_BOOL(6);
	int32		nsteps = PG_GETARG_INT32(7);
	bool		has_bounds = has_call_limit || nsteps > 0;
	bool		is_inherited = PG_GETARG_BOOL(8);
	Size		size = sizeof(GovBudget);

	size += name_length > 0 ? string_size(name_length) : 0;
	size += nscope * string_size(scope_length / Max(nscope, 1)) + nscope * sizeof(GovText);
	size += timezone_length > 0 ? string_size(timezone_length) : 0;
	size += nalerts * sizeof(GovAmount);
	if (has_bounds)
		size = MAXALIGN(size) + offsetof(GovBounds, steps) + nsteps * sizeof(GovLimitStep);
	if (nscope > 0 || timezone_length > 0 || has_anchor || nalerts > 0 || has_bounds || is_inherited)
		size = MAXALIGN(size) + sizeof(GovBudgetMore);
	if (is_inherited)
		size += sizeof(GovInherited);
	if (PG_GETARG_BOOL(9))
		size += sizeof(GovSharedRing);
	PG_RETURN_INT64(size);
}

/*
 * The bytes that a pool takes in its entity's block beyond a budget with bounds,
 * given how many grants it has: each of them, and what the pool owes, is counted
 * as a budget is.
 */
Datum
gov_pool_bytes_1_1(PG_FUNCTION_ARGS)
{
	int64		ngrants = PG_GETARG_INT64(0);

	PG_RETURN_INT64(MAXALIGN(offsetof(GovPool, grants) + ngrants * sizeof(GovGrant)) +
					(ngrants + 1) * sizeof(GovBudget));
}

/*
 * The bytes of a node with its place in the hash table, given the length of
 * its id, how many budgets it has, their bytes, and whether it is blocked.
 */
Datum
gov_node_bytes_1_1(PG_FUNCTION_ARGS)
{
	Size		inner_size = offsetof(GovEntity, budgets) +
	string_size(PG_GETARG_INT32(0)) + PG_GETARG_INT64(2);

	if (PG_GETARG_BOOL(3))
		inner_size = MAXALIGN(inner_size) + sizeof(TimestampTz);
	PG_RETURN_INT64(gov_node_block_size(inner_size, PG_GETARG_INT64(1)) + sizeof(GovRef));
}

/* The bytes of a string that many nodes have, given its length. */
Datum
gov_name_bytes_1_1(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(gov_name_size(PG_GETARG_INT32(0)));
}
