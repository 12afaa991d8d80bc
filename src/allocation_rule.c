/*
 * allocation_rule.c
 *		The rule of strict budgets: what the children of an entity are given may
 *		not add up to more than the entity has.
 *
 * PURPOSE
 *		A node-wide budget with strict_allocation and a limit bounds the sum of
 *		the limits of the unnamed node-wide budgets of its entity's children for
 *		the same capability and cadence.  What is archived is suspended: an
 *		archived child does not count, and budgets of an archived entity bound
 *		nothing until it is taken back.
 *
 * STATEMENT
 *		It is planned once, for tables of any size, as those of read_catalog.c
 *		are: each row is looked up in a lateral subquery of its own.
 *
 * FAILURE
 *		23514, with the numbers and the name of the budget.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "allocation_rule.h"
#include "errors.h"
#include "spi.h"

/*
 * A strict budget that children have outgrown, if there is one among those
 * above the budgets of $2 and $3 where $4, and those of $2 and $3 themselves
 * where $5.  A null capability stands for all of them.
 */
static GovQuery outgrown_query = {
	.sql = "with concerned (id) as ("
	"    select s.id "
	"    from unnest($1, $2, $3, $4) w (owner_id, entity_id, capability_id, is_child), "
	"    lateral (select g.parent_id from @gov_entities g "
	"             where g.owner_id = w.owner_id and g.id = w.entity_id offset 0) e, "
	"    lateral (select b.capability_id, b.cadence from @gov_assignments b "
	"             where b.owner_id = w.owner_id and b.entity_id = w.entity_id "
	"                 and (w.capability_id is null or b.capability_id = w.capability_id) "
	"                 and b.scope_entity_ids = '{}' and b.name = '' and b.usage_limit > 0 offset 0) a, "
	"    lateral (select b.id from @gov_assignments b "
	"             where b.owner_id = w.owner_id and b.entity_id = e.parent_id and b.strict_allocation "
	"                 and b.capability_id = a.capability_id and b.cadence is not distinct from a.cadence offset 0) s "
	"    where w.is_child "
	"    union "
	"    select s.id "
	"    from unnest($1, $2, $3, $5) w (owner_id, entity_id, capability_id, is_parent), "
	"    lateral (select b.id from @gov_assignments b "
	"             where b.owner_id = w.owner_id and b.entity_id = w.entity_id and b.strict_allocation "
	"                 and (w.capability_id is null or b.capability_id = w.capability_id) offset 0) s "
	"    where w.is_parent) "
	"select p.entity_id, p.capability_id, p.name, p.cadence, "
	"    trim_scale(p.usage_limit)::text, trim_scale(t.allocated)::text "
	"from concerned c, "
	"lateral (select b.* from @gov_assignments b where b.id = c.id offset 0) p, "
	"lateral (select from @gov_entities g "
	"         where g.owner_id = p.owner_id and g.id = p.entity_id and g.archived_at is null offset 0) e, "
	"lateral (select sum(a.usage_limit) as allocated "
	"         from (select g.id from @gov_entities g "
	"               where g.owner_id = p.owner_id and g.parent_id = p.entity_id and g.archived_at is null offset 0) k, "
	"         lateral (select b.usage_limit from @gov_assignments b "
	"                  where b.owner_id = p.owner_id and b.entity_id = k.id and b.capability_id = p.capability_id "
	"                      and b.scope_entity_ids = '{}' and b.name = '' "
	"                      and b.cadence is not distinct from p.cadence offset 0) a) t "
	"where t.allocated > p.usage_limit "
	"order by p.entity_id, p.capability_id, p.name "
	"limit 1",
	.nargs = 5,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID, BOOLARRAYOID}
};

static Datum
text_array(Datum *values, bool *nulls, int count)
{
	int			lower = 1;

	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
bool_array(Datum *values, int count)
{
	return PointerGetDatum(construct_array(values, count, BOOLOID, 1, true, TYPALIGN_CHAR));
}

/*
 * Raise an error if children have outgrown one of the budgets concerned, and
 * begin anew if none has.
 */
void
gov_allocation_judge(GovAllocation *allocation, Relation written)
{
	int			count = allocation->count;
	Datum		args[] = {
		text_array(allocation->owners, NULL, count),
		text_array(allocation->entities, NULL, count),
		text_array(allocation->capabilities, allocation->every_capability, count),
		bool_array(allocation->are_children, count),
		bool_array(allocation->are_parents, count)
	};
	GovSpi		spi;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	if (gov_spi_select(&outgrown_query, args, NULL) > 0)
	{
		char	   *name = gov_spi_text(0, 3);
		char	   *cadence = gov_spi_text(0, 4);

		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("limits of the children of entity \"%s\" for \"%s\" add up to %s, past its strict limit of %s",
						gov_shown(gov_spi_text(0, 1)), gov_shown(gov_spi_text(0, 2)),
						gov_spi_text(0, 6), gov_spi_text(0, 5)),
				 errdetail("Its budget %s%s%swith %s%s has strict_allocation: it bounds the unnamed node-wide budgets with the same cadence of the children that are not archived.",
						   *name ? "\"" : "", gov_shown(name), *name ? "\" " : "",
						   cadence ? "cadence " : "no cadence", cadence ? cadence : ""),
				 errhint("Lower limits of its children first, raise its limit, or turn strict_allocation off."),
				 errtableconstraint(written, "gov_assignments_allocation")));
	}
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	allocation->count = 0;
}
