/*
 * load_inherited.c
 *		Makes the budgets that an entity has by defaults, for a load.
 *
 * PURPOSE
 *		A default gives every entity of its type a budget that nobody makes a row
 *		for.  Its columns are put together here as gov_assignments would have
 *		them, from the default's row and the entity's, so that everything behind
 *		a load treats it as any other budget.  An assignment of the entity with
 *		the same capability, name and scope takes its place.
 *
 *		The rows of gov_default_counts say which of them were used, so that who
 *		charges one need not say so again, and which were retired, whose counters
 *		must not come back.  One that was used has the names that its row says: an
 *		entity that was forgotten keeps those that its former id gave
 *		(rules/rename.c), and who has that id next gets others.
 *
 * INVARIANTS
 *		A default that is made or changed makes all nodes of its owner stale, or
 *		all there are, so the budgets of a fresh node are those of the defaults.
 *
 * FAILURE
 *		An anchor that cannot be read, or that has no present window, is none: no
 *		call fails for what somebody has written into metadata.  54000 when a call
 *		meets a combination that would be one budget too many; what others are
 *		using first at that moment is counted when it is charged (combine.c in
 *		gate).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "cache/inherited.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"
#include "pure/anchor.h"
#include "pure/bytes.h"

#define GOV_ANCHOR_CREATED_AT	"created_at"
#define GOV_EPOCH_DISTANCE_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* ---------------------------------------------------------------- what was used, and what was retired */

/* How many budgets of this kind the entity has had that were retired. */
static int32
find_salt(const GovCountRows *counts, const GovInheritedKey *key)
{
	int32		salt = 0;

	for (int i = 0; i < counts->count; i++)
	{
		const GovCountRow *row = &counts->items[i];

		if (row->is_retired && row->salt >= salt && gov_uuid_is(&row->default_id, &key->default_id) &&
			gov_load_are_same_lists(row->scope, key->scope))
			salt = row->salt + 1;
	}
	return salt;
}

static bool
has_anchor(const GovCountRow *row, const text *anchor)
{
	return row->anchor == NULL || anchor == NULL ? row->anchor == anchor :
		gov_bytes_same(row->anchor, anchor);
}

/*
 * The row of a budget that was used and not retired, that with the present seed if
 * there is one; NULL if it was not used.
 */
static const GovCountRow *
find_used(const GovCountRows *counts, const GovInheritedKey *key)
{
	const GovCountRow *found = NULL;

	for (int i = 0; i < counts->count; i++)
	{
		const GovCountRow *row = &counts->items[i];

		if (!row->is_retired && row->salt >= key->salt && has_anchor(row, key->anchor) &&
			gov_uuid_is(&row->default_id, &key->default_id) &&
			gov_load_are_same_lists(row->scope, key->scope) &&
			(found == NULL || row->seed == key->seed))
			found = row;
	}
	return found;
}

/* ---------------------------------------------------------------- anchors */

/* What an entity's metadata has under a key; NULL for nothing. */
static text *
find_metadata(const GovRow *entity, text *key)
{
	Jsonb	   *metadata = DatumGetJsonbP(entity->values[GOV_ENTITY_METADATA]);
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&metadata->root, VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

/* What a default's anchor_from finds of an entity; NULL for nothing. */
static text *
find_anchor(const GovDefault *from, const GovRow *entity)
{
	text	   *source;
	TimestampTz created_at;

	if (from->nulls[GOV_DEFAULT_ANCHOR_FROM])
		return NULL;
	source = DatumGetTextPP(from->values[GOV_DEFAULT_ANCHOR_FROM]);
	if (!gov_bytes_are(source, GOV_ANCHOR_CREATED_AT, strlen(GOV_ANCHOR_CREATED_AT)))
		return find_metadata(entity, source);
	created_at = DatumGetTimestampTz(entity->values[GOV_ENTITY_CREATED_AT]);
	return TIMESTAMP_NOT_FINITE(created_at) ? NULL :
		cstring_to_text(psprintf(INT64_FORMAT, created_at + GOV_EPOCH_DISTANCE_US));
}

/* The anchor that the text says; false if it says none. */
static bool
read_anchor(const GovDefault *from, const GovRow *entity, text *anchor, pg_tz *tz, TimestampTz *result)
{
	text	   *source = DatumGetTextPP(from->values[GOV_DEFAULT_ANCHOR_FROM]);

	if (anchor == NULL)
		return false;
	if (!gov_bytes_are(source, GOV_ANCHOR_CREATED_AT, strlen(GOV_ANCHOR_CREATED_AT)))
		return gov_anchor_read(VARDATA_ANY(anchor), VARSIZE_ANY_EXHDR(anchor), tz, result);
	*result = DatumGetTimestampTz(entity->values[GOV_ENTITY_CREATED_AT]);
	return true;
}

/* Where the windows of an inherited budget are counted from; false: the calendar. */
static bool
find_anchor_at(const GovLoad *load, const GovDefault *from, const GovRow *entity, text *anchor,
			   TimestampTz *result)
{
	pg_tz	   *tz;
	GovCadence	cadence;
	GovWindow	window;

	if (from->nulls[GOV_DEFAULT_ANCHOR_FROM])
	{
		*result = DatumGetTimestampTz(from->values[GOV_DEFAULT_ANCHOR_AT]);
		return !from->nulls[GOV_DEFAULT_ANCHOR_AT];
	}
	tz = gov_window_timezone(TextDatumGetCString(from->values[GOV_DEFAULT_TIMEZONE]));
	return tz != NULL && read_anchor(from, entity, anchor, tz, result) &&
		(from->nulls[GOV_DEFAULT_CADENCE] ||
		 (gov_cadence_parse(TextDatumGetCString(from->values[GOV_DEFAULT_CADENCE]), &cadence) &&
		  gov_window_at(&cadence, true, *result, tz, load->now, &window)));
}

/* ---------------------------------------------------------------- budgets */

/* The columns that a budget has of its default. */
static const struct
{
	int			budget;
	int			from;
}			copied[] = {
	{GOV_ASSIGNMENT_CAPABILITY_ID, GOV_DEFAULT_CAPABILITY_ID},
	{GOV_ASSIGNMENT_NAME, GOV_DEFAULT_NAME},
	{GOV_ASSIGNMENT_USAGE_LIMIT, GOV_DEFAULT_USAGE_LIMIT},
	{GOV_ASSIGNMENT_CADENCE, GOV_DEFAULT_CADENCE},
	{GOV_ASSIGNMENT_TIMEZONE, GOV_DEFAULT_TIMEZONE},
	{GOV_ASSIGNMENT_ENFORCEMENT, GOV_DEFAULT_ENFORCEMENT},
	{GOV_ASSIGNMENT_LOCKED, GOV_DEFAULT_LOCKED},
	{GOV_ASSIGNMENT_ALERT_THRESHOLDS, GOV_DEFAULT_ALERT_THRESHOLDS},
	{GOV_ASSIGNMENT_CREATED_AT, GOV_DEFAULT_CREATED_AT},
	{GOV_ASSIGNMENT_UPDATED_AT, GOV_DEFAULT_UPDATED_AT}
};

/* Name a budget that was not used.  Who was forgotten has kept the names that the former id gave. */
static void
choose_name(GovInheritedKey *key, pg_uuid_t *id, int64 *counter_id)
{
	gov_inherited_name(key, id, counter_id);
	while (gov_load_is_name_taken(id))
	{
		key->salt++;
		gov_inherited_name(key, id, counter_id);
	}
}

/* What the budget is, and is named. */
static void
name_budget(const GovLoad *load, const GovDefault *from, const GovRow *entity, const GovCountRows *counts,
			Datum id, Datum scope, GovInheritedRow *inherited, Datum *values)
{
	GovInheritedKey key = {
		.default_id = *DatumGetUUIDP(from->values[GOV_DEFAULT_ID]),
		.seed = DatumGetInt64(from->values[GOV_DEFAULT_SEED]),
		.owner = load->owner,
		.entity = id,
		.scope = scope,
		.anchor = find_anchor(from, entity)
	};
	pg_uuid_t  *budget_id = palloc(sizeof(pg_uuid_t));
	int64		counter_id;
	const GovCountRow *used;

	key.salt = find_salt(counts, &key);
	used = find_used(counts, &key);
	if (used != NULL)
	{
		key.salt = used->salt;
		*budget_id = used->assignment_id;
		counter_id = used->seed == key.seed ? used->counter_id :
			gov_inherited_counter(budget_id, key.seed);
	}
	else
		choose_name(&key, budget_id, &counter_id);
	values[GOV_ASSIGNMENT_ID] = UUIDPGetDatum(budget_id);
	values[GOV_ASSIGNMENT_COUNTER_ID] = Int64GetDatum(counter_id);
	*inherited = (GovInheritedRow) {
		.default_id = key.default_id,
		.seed = key.seed,
		.anchor = key.anchor,
		.salt = key.salt,
		.wants_row = used == NULL || used->seed != key.seed
	};
}

/* What it carries over. */
static void
copy_carry(const GovDefault *from, Datum *values, bool *nulls)
{
	AttrNumber	columns[] = {
		gov_catalog()->assignments_carry_unused_max,
		gov_catalog()->assignments_carry_debt,
		gov_catalog()->assignments_carry_from
	};

	for (int i = 0; i < lengthof(columns) && AttributeNumberIsValid(columns[i]); i++)
	{
		values[columns[i] - 1] = from->values[GOV_DEFAULT_CARRY_UNUSED_MAX + i];
		nulls[columns[i] - 1] = from->nulls[GOV_DEFAULT_CARRY_UNUSED_MAX + i];
	}
}

/* The budget that an entity has by a default, as gov_assignments would have it. */
static GovRow
make_budget(const GovLoad *load, TupleDesc desc, const GovDefault *from, const GovRow *entity,
			const GovCountRows *counts, Datum id, Datum scope)
{
	Datum	   *values = palloc0((sizeof(Datum) + sizeof(bool)) * desc->natts);
	bool	   *nulls = (bool *) (values + desc->natts);
	GovInheritedRow *inherited = palloc(sizeof(GovInheritedRow));
	AttrNumber	call_limit = gov_catalog()->assignments_call_limit;
	AttrNumber	window_kind = gov_catalog()->assignments_window_kind;
	TimestampTz anchor_at = 0;

	memset(nulls, true, sizeof(bool) * desc->natts);
	memset(nulls, false, sizeof(bool) * (GOV_ASSIGNMENT_COUNTER_ID + 1));
	for (int i = 0; i < lengthof(copied); i++)
	{
		values[copied[i].budget] = from->values[copied[i].from];
		nulls[copied[i].budget] = from->nulls[copied[i].from];
	}
	name_budget(load, from, entity, counts, id, scope, inherited, values);
	values[GOV_ASSIGNMENT_OWNER_ID] = load->owner;
	values[GOV_ASSIGNMENT_ENTITY_ID] = id;
	values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS] = scope;
	values[GOV_ASSIGNMENT_STRICT_ALLOCATION] = BoolGetDatum(false);
	nulls[GOV_ASSIGNMENT_ANCHOR_AT] = !find_anchor_at(load, from, entity, inherited->anchor, &anchor_at);
	values[GOV_ASSIGNMENT_ANCHOR_AT] = TimestampTzGetDatum(anchor_at);
	if (call_limit != InvalidAttrNumber)
	{
		values[call_limit - 1] = from->values[GOV_DEFAULT_CALL_LIMIT];
		nulls[call_limit - 1] = from->nulls[GOV_DEFAULT_CALL_LIMIT];
	}
	if (window_kind != InvalidAttrNumber)
	{
		values[window_kind - 1] = from->values[GOV_DEFAULT_WINDOW_KIND];
		nulls[window_kind - 1] = false;
	}
	copy_carry(from, values, nulls);
	return (GovRow) {.values = values, .nulls = nulls, .inherited = inherited};
}

/* Has the entity an assignment in the place of the budget? */
static bool
is_overridden(const GovEntityRows *rows, const GovDefault *from, Datum scope)
{
	for (uint32 i = 0; i < rows->nown; i++)
	{
		const Datum *own = rows->budgets[i].values;

		if (gov_load_are_same_texts(own[GOV_ASSIGNMENT_CAPABILITY_ID], from->values[GOV_DEFAULT_CAPABILITY_ID]) &&
			gov_load_are_same_texts(own[GOV_ASSIGNMENT_NAME], from->values[GOV_DEFAULT_NAME]) &&
			gov_load_are_same_lists(own[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS], scope))
			return true;
	}
	return false;
}

/* Add the budget that an entity has by a default in a scope, unless it has one of its own. */
static bool
add_budget(GovLoad *load, const GovDefaultTables *tables, GovEntityRows *rows, const GovDefault *from,
		   const GovCountRows *counts, Datum id, Datum scope)
{
	GovRow		budget;

	if (!load->is_by_name && is_overridden(rows, from, scope))
		return false;
	budget = make_budget(load, tables->budget, from, &rows->entity, counts, id, scope);
	gov_load_add_budget(load, rows, &budget);
	return budget.inherited->wants_row;
}

/* How many budgets an entity has for a capability, but for those whose scope nobody has used yet. */
static int
count_used(const GovEntityRows *rows, Datum capability)
{
	int			count = 0;

	for (uint32 i = 0; i < rows->nbudgets; i++)
	{
		const GovRow *row = &rows->budgets[i];
		ArrayType  *scope = DatumGetArrayTypeP(row->values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS]);

		if (gov_load_are_same_texts(row->values[GOV_ASSIGNMENT_CAPABILITY_ID], capability) &&
			(row->inherited == NULL || !row->inherited->wants_row || ARR_NDIM(scope) == 0))
			count++;
	}
	return count;
}

/* Raise an error: there would be more than GOV_BUDGETS_MAX. */
void
gov_load_refuse_budgets(const char *entity, const char *capability)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("entity \"%s\" has too many budgets for capability \"%s\"",
					gov_error_shown(entity), gov_error_shown(capability)),
			 errdetail("There may be at most %d, with those by defaults: one for each combination that its default with a scope has met.",
					   GOV_BUDGETS_MAX),
			 errhint("Let the default's scope_type_ids name types of which there are fewer.")));
}

static void
check_count(const GovLoad *load, const GovEntityRows *rows, const GovDefault *from, Datum id, int nadded)
{
	Datum		capability = from->values[GOV_DEFAULT_CAPABILITY_ID];

	if (nadded > 0 && !load->is_by_name && count_used(rows, capability) + nadded > GOV_BUDGETS_MAX)
		gov_load_refuse_budgets(TextDatumGetCString(id), TextDatumGetCString(capability));
}

/*
 * Add the scopes that were used.  Entities of one may have got other types since:
 * then no call meets it, and whoever looks for a budget by its name does not.
 */
static void
add_used_scopes(const GovLoad *load, const GovDefault *from, const GovCountRows *counts,
				GovScopes *scopes)
{
	for (int i = 0; i < (load->is_by_name ? 0 : counts->count); i++)
	{
		const GovCountRow *row = &counts->items[i];

		if (!row->is_retired &&
			gov_uuid_is(&row->default_id, DatumGetUUIDP(from->values[GOV_DEFAULT_ID])))
			gov_load_scopes_add(scopes, row->scope);
	}
}

/* Add the budgets that an entity has by a default with a scope. */
static void
add_scoped(GovLoad *load, const GovDefaultTables *tables, GovEntityRows *rows, const GovDefault *from,
		   const GovCountRows *counts, Datum id, const GovEntity *former, const bool *has_pins)
{
	GovScopes	scopes = {0};
	int			nadded = 0;

	rows->templates[rows->ntemplates++] = from;
	gov_load_scopes_met(load, from, &scopes);
	add_used_scopes(load, from, counts, &scopes);
	gov_load_scopes_kept(former, has_pins, from, &scopes);
	for (int i = 0; i < scopes.count; i++)
	{
		if (add_budget(load, tables, rows, from, counts, id, scopes.items[i]) && i < scopes.nmet)
			nadded++;
	}
	check_count(load, rows, from, id, nadded);
}

static bool
has_scope(const GovDefault *from)
{
	return ARR_NDIM(DatumGetArrayTypeP(from->values[GOV_DEFAULT_SCOPE_TYPE_IDS])) > 0;
}

/* Add the budgets that an entity has by defaults to its own. */
void
gov_load_inherited(GovLoad *load, const GovDefaultTables *tables, const GovLoaded *item, Datum id,
				   GovEntityRows *rows)
{
	Datum		no_scope = PointerGetDatum(construct_empty_array(TEXTOID));
	const GovEntity *former = NULL;
	const bool *has_pins = NULL;
	GovCountRows counts;

	rows->nown = rows->nbudgets;
	gov_load_read_defaults(load, tables->defaults, rows->entity.values[GOV_ENTITY_TYPE_ID]);
	if (load->defaults.count == 0)
		return;
	gov_load_read_counts(load, tables->counts, id, &counts);
	rows->templates = palloc(sizeof(GovDefault *) * load->defaults.count);
	for (int i = 0; i < load->defaults.count; i++)
	{
		const GovDefault *from = &load->defaults.items[i];

		if (from->is_shadowed)
			continue;
		if (!has_scope(from))
		{
			add_budget(load, tables, rows, from, &counts, id, no_scope);
			continue;
		}
		if (rows->ntemplates == 0)
			former = gov_load_former(load, item, &has_pins);
		add_scoped(load, tables, rows, from, &counts, id, former, has_pins);
	}
}
