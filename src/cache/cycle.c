/*
 * cycle.c
 *		Entities that are below themselves.
 *
 * PURPOSE
 *		The triggers refuse a cycle (hierarchy.c).  With triggers disabled, or
 *		session_replication_role = replica, whoever can write the table can make
 *		one.  No answer about those entities, or about what is below them, would
 *		be right: so whatever walks parents raises an error that names them.
 *
 * WHO ASKS
 *		Walks end where they meet an entity again, and come here: the engine's
 *		(gate.c), that of a sheet (sheet_tree.c), and those in SQL, by
 *		_gov_refuse_cycle().  The engine's nodes may be of different age and so
 *		show a cycle that never was: what the table says decides.
 *
 * FAILURE
 *		23514, as for a statement that would make a cycle: to gov_ingest_many it
 *		is the fault of the item, and the others are recorded.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/errors.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/cycle.h"

#define GOV_NAMED_MAX	5		/* entities in a message */

PG_FUNCTION_INFO_V1(gov_refuse_cycle_1_1);

/* The cycle that the chain above an entity runs into, each once; no row without one. */
static GovQuery cycle_query = {
	.sql =
	"with recursive chain (parent_id, path) as ("
	"    select e.parent_id, array[e.id]"
	"    from @gov_entities e"
	"    where e.owner_id = $1 and e.id = $2"
	"    union all"
	"    select p.parent_id, c.path || p.id"
	"    from chain c,"
	"    lateral (select e.id, e.parent_id from @gov_entities e"
	"             where e.owner_id = $1 and e.id = c.parent_id offset 0) p"
	"    where c.parent_id <> all (c.path))"
	" select c.path[array_position(c.path, c.parent_id):]"
	" from chain c"
	" where c.parent_id = any (c.path)",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

/* What is wrong with a cycle: an entity that is its own parent, a few, or many. */
static int
errdetail_cycle(const char *named, int nmore, int count)
{
	if (count == 1)
		return errdetail("It is its own parent, which was written with triggers disabled.");
	if (nmore == 0)
		return errdetail("Each of the entities %s is below the next one, and the last is below the first: written with triggers disabled.",
						 named);
	return errdetail("Each of the entities %s and %d more is below the next one, and the last is below the first: written with triggers disabled.",
					 named, nmore);
}

/* Raise: each of these entities is below the next, and the last below the first. */
void
gov_cycle_raise(const char *const *ids, int count)
{
	StringInfoData named;
	int			nnamed = Min(count, GOV_NAMED_MAX);

	initStringInfo(&named);
	for (int i = 0; i < nnamed; i++)
		appendStringInfo(&named, "%s\"%s\"", i == 0 ? "" : ", ", gov_error_shown(ids[i]));
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("entity \"%s\" is below itself", gov_error_shown(ids[0])),
			 errdetail_cycle(named.data, count - nnamed, count),
			 errhint("With session_replication_role = replica, set the parent_id of one of them to null; then run gov_refresh().")));
}

static void
raise_array(ArrayType *cycle)
{
	Datum	   *elements;
	int			count;
	const char **ids;

	deconstruct_array(cycle, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	ids = palloc(sizeof(char *) * count);
	for (int i = 0; i < count; i++)
		ids[i] = TextDatumGetCString(elements[i]);
	gov_cycle_raise(ids, count);
}

/* Raise if the chain above an entity has a cycle, as the table is now. */
void
gov_cycle_refuse(const char *owner, const char *id, uint32 id_length)
{
	Datum		args[] = {
		CStringGetTextDatum(owner),
		PointerGetDatum(cstring_to_text_with_len(id, id_length))
	};
	GovSpi		spi;
	bool		isnull;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	if (gov_spi_select(&cycle_query, args, NULL) > 0)
		raise_array(DatumGetArrayTypeP(gov_spi_value(0, 1, &isnull)));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
}

/* _gov_refuse_cycle(owner_id text, entity_id text) returns boolean: true, or it raises */
Datum
gov_refuse_cycle_1_1(PG_FUNCTION_ARGS)
{
	text	   *id = PG_GETARG_TEXT_PP(1);

	gov_owner_require_visible(PG_GETARG_TEXT_PP(0));
	gov_cycle_refuse(text_to_cstring(PG_GETARG_TEXT_PP(0)),
					 VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	PG_RETURN_BOOL(true);
}
