/*
 * wanted.c
 *		Which columns of a call's row does the query read?
 *
 * PURPOSE
 *		The chains take most of the time of a check, and many callers ask for
 *		the verdict alone.  A function is not told which of its columns are read.
 *		But a function called in FROM is given the state of its query, and the
 *		plan in it tells: the call has a scan of its own, and what is read of it
 *		stands in the scan's target list and conditions, or in those of the
 *		nested loop above the scan.
 *
 *		From a call in a target list, as in (gov_consume(...)).is_granted, the
 *		plan cannot be found; then all columns count as read.
 *
 * INVARIANTS
 *		A column is left out only if the plan has been understood.  Whatever is
 *		not known to this file reads every column.
 *
 * FAILURE
 *		None.  The answer is kept with the call's expression, as long as the plan.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"

#include "call/wanted.h"

/* What the expression of a call remembers, in fn_extra. */
typedef struct GovWantedColumns
{
	uint32		columns;
} GovWantedColumns;

/* Is this the scan of nothing but the call? */
static bool
is_scan_of(const Plan *plan, const Node *call)
{
	const FunctionScan *scan = (const FunctionScan *) plan;

	return IsA(plan, FunctionScan) && list_length(scan->functions) == 1 &&
		linitial_node(RangeTblFunction, scan->functions)->funcexpr == call;
}

/* A scan, and what has it as a child: NULL at the top. */
typedef struct GovCallScan
{
	const FunctionScan *scan;	/* NULL where this file does not look */
	const Plan *parent;
} GovCallScan;

static void
find_scan(const Plan *plan, const Plan *parent, const Node *call, GovCallScan *found)
{
	if (plan == NULL || found->scan != NULL)
		return;
	check_stack_depth();
	if (is_scan_of(plan, call))
	{
		found->scan = (const FunctionScan *) plan;
		found->parent = parent;
		return;
	}
	if (IsA(plan, SubqueryScan))
		find_scan(((const SubqueryScan *) plan)->subplan, plan, call, found);
	find_scan(plan->lefttree, plan, call, found);
	find_scan(plan->righttree, plan, call, found);
}

/*
 * Which columns a nested loop reads of one of its children, by their places in
 * the child's target list.
 */
static Bitmapset *
read_by_loop(const NestLoop *loop, int child)
{
	Bitmapset  *read = NULL;
	ListCell   *cell;

	pull_varattnos((Node *) loop->join.plan.targetlist, child, &read);
	pull_varattnos((Node *) loop->join.plan.qual, child, &read);
	pull_varattnos((Node *) loop->join.joinqual, child, &read);
	foreach(cell, loop->nestParams)
		pull_varattnos((Node *) ((NestLoopParam *) lfirst(cell))->paramval, child, &read);
	return read;
}

/*
 * Which columns a scan reads of its rows.  Under a join it passes all its
 * columns on, because that costs nothing: so there the columns count that the
 * join reads.
 */
static Bitmapset *
read_by_scan(const GovCallScan *found)
{
	const FunctionScan *scan = found->scan;
	Bitmapset  *passed_on = NULL;
	Bitmapset  *read = NULL;
	ListCell   *cell;

	if (found->parent != NULL && IsA(found->parent, NestLoop))
		passed_on = read_by_loop((const NestLoop *) found->parent,
								 found->parent->righttree == (const Plan *) scan ?
								 INNER_VAR : OUTER_VAR);
	foreach(cell, scan->scan.plan.targetlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (found->parent == NULL || !IsA(found->parent, NestLoop) ||
			bms_is_member(entry->resno - FirstLowInvalidHeapAttributeNumber, passed_on))
			pull_varattnos((Node *) entry, scan->scan.scanrelid, &read);
	}
	pull_varattnos((Node *) scan->scan.plan.qual, scan->scan.scanrelid, &read);
	bms_free(passed_on);
	return read;
}

/*
 * Which columns of the call's row are read.  To read the row as a whole is to
 * read all.
 */
static uint32
columns_read(const GovCallScan *found)
{
	Bitmapset  *read = read_by_scan(found);
	uint32		columns = 0;
	int			member = -1;

	while ((member = bms_next_member(read, member)) >= 0)
	{
		int			column = member + FirstLowInvalidHeapAttributeNumber;

		columns |= column > 0 && column < 32 ? GOV_COLUMN(column) : PG_UINT32_MAX;
	}
	bms_free(read);
	return columns;
}

static uint32
wanted_columns(FunctionCallInfo fcinfo)
{
	const ReturnSetInfo *result = (const ReturnSetInfo *) fcinfo->resultinfo;
	const Node *call = fcinfo->flinfo->fn_expr;
	const PlannedStmt *query;
	GovCallScan found = {NULL};
	ListCell   *cell;

	if (result == NULL || !IsA(result, ReturnSetInfo) || call == NULL ||
		result->econtext == NULL || result->econtext->ecxt_estate == NULL)
		return PG_UINT32_MAX;
	query = result->econtext->ecxt_estate->es_plannedstmt;
	if (query == NULL)
		return PG_UINT32_MAX;
	find_scan(query->planTree, NULL, call, &found);
	foreach(cell, query->subplans)
		find_scan(lfirst(cell), NULL, call, &found);
	return found.scan ? columns_read(&found) : PG_UINT32_MAX;
}

/* Does the query read any of these columns of the call's row? */
bool
gov_wanted_any(FunctionCallInfo fcinfo, uint32 columns)
{
	FmgrInfo   *function = fcinfo->flinfo;
	GovWantedColumns *wanted = function->fn_extra;

	if (wanted == NULL)
	{
		wanted = MemoryContextAlloc(function->fn_mcxt, sizeof(*wanted));
		wanted->columns = wanted_columns(fcinfo);
		function->fn_extra = wanted;
	}
	return (wanted->columns & columns) != 0;
}
