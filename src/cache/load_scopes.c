/*
 * load_scopes.c
 *		The scopes of budgets by a default that has one.
 *
 * PURPOSE
 *		A default whose scope names types gives an entity a budget for each
 *		combination with entities of those types.  There may be as many as there
 *		are entities, so a load makes only some: those that were used, which have
 *		rows of gov_default_counts; those that the call has met, which asks for
 *		them (combine.c in gate); and those that the node has already, because
 *		another call has met them, and may be charging them.
 *
 * BOUNDS
 *		Of the last kind GOV_SCOPES_KEPT at most, and those that somebody is
 *		charging, which count as used (combine.c): the others are made again when
 *		a call meets them.
 *
 * INVARIANTS
 *		A scope is sorted by bytes, and stands once in the list.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/errors.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"
#include "pure/bytes.h"

#define GOV_SCOPES_AT_FIRST	8
#define GOV_SCOPES_KEPT		64

/* A combination in the making: an entity for each type. */
typedef struct GovCombination
{
	const GovMet *met;
	Datum	   *types;
	int			ntypes;
	Datum		ids[GOV_TEMPLATE_TYPES_MAX];
	GovScopes  *scopes;
} GovCombination;

bool
gov_load_are_same_texts(Datum left, Datum right)
{
	return gov_bytes_same(DatumGetTextPP(left), DatumGetTextPP(right));
}

/* Two lists of texts, each in order and without nulls. */
bool
gov_load_are_same_lists(Datum left, Datum right)
{
	ArrayType  *a = DatumGetArrayTypeP(left);
	ArrayType  *b = DatumGetArrayTypeP(right);

	if (ARR_NDIM(a) == 0 || ARR_NDIM(b) == 0)
		return ARR_NDIM(a) == ARR_NDIM(b);
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* Add a scope unless it is there; was it added? */
bool
gov_load_scopes_add(GovScopes *scopes, Datum scope)
{
	for (int i = 0; i < scopes->count; i++)
	{
		if (gov_load_are_same_lists(scopes->items[i], scope))
			return false;
	}
	if (scopes->count >= scopes->capacity)
	{
		scopes->capacity = Max(2 * scopes->capacity, GOV_SCOPES_AT_FIRST);
		scopes->items = scopes->items == NULL ? palloc(sizeof(Datum) * scopes->capacity) :
			repalloc_huge(scopes->items, sizeof(Datum) * scopes->capacity);
	}
	scopes->items[scopes->count++] = scope;
	return true;
}

static int
compare_ids(const void *left, const void *right)
{
	text	   *a = DatumGetTextPP(*(const Datum *) left);
	text	   *b = DatumGetTextPP(*(const Datum *) right);

	return gov_bytes_compare(VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
}

static Datum
make_scope(const Datum *ids, int nids)
{
	Datum		sorted[GOV_TEMPLATE_TYPES_MAX];

	memcpy(sorted, ids, sizeof(Datum) * nids);
	qsort(sorted, nids, sizeof(Datum), compare_ids);
	return PointerGetDatum(construct_array(sorted, nids, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Go through the entities of one type, and for each through those of the types behind it. */
static void
combine(GovCombination *combination, int type)
{
	if (type == combination->ntypes)
	{
		gov_load_scopes_add(combination->scopes, make_scope(combination->ids, type));
		return;
	}
	for (int i = 0; i < combination->met->count && combination->scopes->count <= GOV_BUDGETS_MAX; i++)
	{
		const GovMetEntity *entity = &combination->met->items[i];

		if (!gov_bytes_are(DatumGetTextPP(combination->types[type]), entity->type, entity->type_length))
			continue;
		combination->ids[type] = PointerGetDatum(cstring_to_text_with_len(entity->id, entity->id_length));
		combine(combination, type + 1);
	}
}

/* Add the scopes that the call has met. */
void
gov_load_scopes_met(const GovLoad *load, const GovDefault *from, GovScopes *scopes)
{
	GovCombination combination = {.met = load->met, .scopes = scopes};

	if (load->met == NULL)
		return;
	deconstruct_array(DatumGetArrayTypeP(from->values[GOV_DEFAULT_SCOPE_TYPE_IDS]), TEXTOID, -1, false,
					  TYPALIGN_INT, &combination.types, NULL, &combination.ntypes);
	combine(&combination, 0);
	scopes->nmet = scopes->count;
}

/* Add the scopes of the budgets by this default that the node has already. */
void
gov_load_scopes_kept(const GovEntity *former, const bool *has_pins, const GovDefault *from,
					 GovScopes *scopes)
{
	int			nkept = 0;

	for (uint32 b = 0; b < (former ? former->nbudgets : 0); b++)
	{
		const GovBudget *budget = &former->budgets[b];
		const GovInherited *inherited = gov_budget_inherited(former, budget);
		uint32		nscope = gov_budget_more(former, budget)->nscope;
		Datum		ids[GOV_TEMPLATE_TYPES_MAX];

		if ((nkept >= GOV_SCOPES_KEPT && !has_pins[b]) ||
			inherited == NULL || nscope == 0 || nscope > GOV_TEMPLATE_TYPES_MAX ||
			!gov_uuid_is(&inherited->default_id, DatumGetUUIDP(from->values[GOV_DEFAULT_ID])))
			continue;
		for (uint32 i = 0; i < nscope; i++)
		{
			const GovChars *id = gov_chars(former, gov_budget_scope(former, budget)[i]);

			ids[i] = PointerGetDatum(cstring_to_text_with_len(id->bytes, id->length));
		}
		nkept += gov_load_scopes_add(scopes, make_scope(ids, nscope)) && !has_pins[b];
	}
}
