/*
 * answer.c
 *		What the run-time calls return.
 *
 * PURPOSE
 *		Turns a resolution into SQL: the row of a call, its chains as JSON, or
 *		the same links as typed rows.  Reads nothing but the resolution.
 *
 * LAYOUT
 *		A link's facts are collected once, in GovLinkFacts; JSON and rows are
 *		two ways to print them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "call/answer.h"
#include "pure/json.h"

/* What a link usually takes in jsonb; a wrong guess costs a copy. */
#define GOV_LINK_EXPECTED_BYTES	512
#define GOV_LINK_COLUMNS		16

typedef struct GovLinkFacts
{
	const GovEntity *entity;
	const GovBudget *budget;
	const GovBudgetState *state;
	const GovWindow *window;
	GovAmount	remaining;		/* meaningful when the budget has a limit */
	bool		is_granted;
	bool		is_over_limit;
} GovLinkFacts;

/* Build a row of a function's result; its type is looked up once and kept. */
Datum
gov_answer_row(FunctionCallInfo fcinfo, GovRowType *type, Datum *values, bool *nulls)
{
	Oid			function = fcinfo->flinfo->fn_oid;

	if (type->tupdesc == NULL || type->function != function)
	{
		TupleDesc	tupdesc;
		MemoryContext old;

		if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("function returning record called in context that cannot accept type record")));
		if (type->tupdesc != NULL)
			FreeTupleDesc(type->tupdesc);
		type->tupdesc = NULL;
		old = MemoryContextSwitchTo(TopMemoryContext);
		type->tupdesc = BlessTupleDesc(CreateTupleDescCopy(tupdesc));
		type->function = function;
		MemoryContextSwitchTo(old);
	}
	return HeapTupleGetDatum(heap_form_tuple(type->tupdesc, values, nulls));
}

static void
collect_facts(const GovResolution *resolution, int number, GovLinkFacts *facts)
{
	const GovResolvedBudget *budget = &resolution->budgets[number];
	const GovBudgetState *state = &resolution->states[number];

	facts->entity = resolution->entities[budget->entity].entity;
	facts->budget = budget->budget;
	facts->state = state;
	facts->window = &budget->window;
	facts->remaining = state->limit - state->usage - state->held;
	facts->is_granted = budget->allows;
	facts->is_over_limit = state->has_limit && state->usage > state->limit;
}

/*
 * A link's keys, in the order that jsonb keeps them in: by length, then by bytes.  Some
 * are only there where a budget carries something over, or where the call is of several
 * capabilities.
 */
#define LINK_KEYS(carried, capability) \
	"name", "source", "cadence", carried "entityId", \
	"isGranted", "remaining", "usageLimit", \
	"enforcement", "isOverLimit", capability "currentUsage", \
	"reservedUsage", "scopeEntityIds", \
	"usagePeriodEnd", "usagePeriodStart"
#define CARRIED		"carried",
#define CAPABILITY	"capabilityId",

static const char *const link_keys[] = {LINK_KEYS(,)};
static const char *const link_keys_of_several[] = {LINK_KEYS(, CAPABILITY)};
static const char *const carrying_keys[] = {LINK_KEYS(CARRIED,)};
static const char *const carrying_keys_of_several[] = {LINK_KEYS(CARRIED, CAPABILITY)};

#define KEYS_OF(list)	{.names = list, .count = lengthof(list)}

/* by whether something is carried over, and whether there are several capabilities */
static GovJsonKeys keys_of_links[2][2] = {
	{KEYS_OF(link_keys), KEYS_OF(link_keys_of_several)},
	{KEYS_OF(carrying_keys), KEYS_OF(carrying_keys_of_several)}
};

static void
put_text(StringInfo json, GovJsonContainer *in, const char *string)
{
	gov_json_put_string(json, in, string, strlen(string));
}

static void
put_chars(StringInfo json, GovJsonContainer *in, const GovChars *chars)
{
	gov_json_put_string(json, in, chars->bytes, chars->length);
}

static void
put_cadence(StringInfo json, GovJsonContainer *in, const GovCadence *cadence)
{
	char		string[GOV_CADENCE_TEXT_SIZE];

	if (cadence->unit == GOV_CADENCE_NONE)
		gov_json_put_null(json, in);
	else
		gov_json_put_string(json, in, string, gov_cadence_text(cadence, string));
}

static void
put_scope(StringInfo json, GovJsonContainer *in, const GovEntity *entity,
		  const GovBudget *budget)
{
	const GovText *scope = gov_budget_scope(entity, budget);
	uint32		nscope = gov_budget_more(entity, budget)->nscope;
	GovJsonContainer array;

	gov_json_begin_array(json, &array, nscope);
	for (uint32 i = 0; i < nscope; i++)
		put_chars(json, &array, gov_chars(entity, scope[i]));
	gov_json_end(json, &array, in);
}

/* Where the budget comes from. */
static const char *
source_of(const GovLinkFacts *facts)
{
	return gov_budget_inherited(facts->entity, facts->budget) != NULL ? "default" : "own";
}

static void
put_link(StringInfo json, GovJsonContainer *in, const GovLinkFacts *facts, bool is_of_several)
{
	const GovEntity *entity = facts->entity;
	const GovBudgetState *state = facts->state;
	static GovJsonTime last_start;
	static GovJsonTime last_end;
	bool		carries = unlikely(state->bounds != NULL) && state->bounds->carries;
	GovJsonContainer link;

	gov_json_begin_values(json, &link, &keys_of_links[carries][is_of_several]);
	put_chars(json, &link, gov_chars(entity, facts->budget->name));
	put_text(json, &link, source_of(facts));
	put_cadence(json, &link, &facts->budget->cadence);
	if (carries)
		gov_json_put_amount(json, &link, false, state->carried);
	put_chars(json, &link, gov_entity_id(entity));
	gov_json_put_bool(json, &link, facts->is_granted);
	gov_json_put_amount(json, &link, !state->has_limit, facts->remaining);
	gov_json_put_amount(json, &link, !state->has_limit, state->limit);
	put_text(json, &link, state->is_soft ? "soft" : "hard");
	gov_json_put_bool(json, &link, facts->is_over_limit);
	if (is_of_several)
		put_chars(json, &link, gov_chars(entity, facts->budget->capability_id));
	gov_json_put_amount(json, &link, false, state->usage);
	gov_json_put_amount(json, &link, false, state->held);
	put_scope(json, &link, entity, facts->budget);
	gov_json_put_time(json, &link, &last_end, facts->window->end);
	gov_json_put_time(json, &link, &last_start, facts->window->start);
	gov_json_end(json, &link, in);
}

/* How many budgets are on the chain that begins with an entity? */
static int
chain_budgets(const GovResolution *resolution, int entity)
{
	int			count = 0;

	for (; entity >= 0; entity = resolution->entities[entity].parent)
		count += resolution->entities[entity].nbudgets;
	return count;
}

/* How many chains are shown?  Those without a budget are left out. */
static int
shown_chains(const GovResolution *resolution)
{
	int			count = 0;

	for (int i = 0; i < resolution->nchains; i++)
		count += chain_budgets(resolution, resolution->chains[i]) > 0;
	return count;
}

static void
put_chain(StringInfo json, GovJsonContainer *in, const GovResolution *resolution,
		  int entity, bool is_of_several)
{
	GovJsonContainer chain;

	gov_json_begin_array(json, &chain, chain_budgets(resolution, entity));
	for (; entity >= 0; entity = resolution->entities[entity].parent)
	{
		const GovResolvedEntity *resolved = &resolution->entities[entity];

		for (int i = 0; i < resolved->nbudgets; i++)
		{
			GovLinkFacts facts;

			collect_facts(resolution, resolved->first_budget + i, &facts);
			put_link(json, &chain, &facts, is_of_several);
		}
	}
	gov_json_end(json, &chain, in);
}

/* The chains of a resolution, as jsonb; budgets of several capabilities say of which they are. */
Datum
gov_answer_chains(const GovResolution *resolution, bool is_of_several)
{
	StringInfoData json;
	GovJsonContainer chains;

	gov_json_init(&json, GOV_LINK_EXPECTED_BYTES * (Size) resolution->nbudgets);
	gov_json_begin_array(&json, &chains, shown_chains(resolution));
	for (int i = 0; i < resolution->nchains; i++)
	{
		if (chain_budgets(resolution, resolution->chains[i]) > 0)
			put_chain(&json, &chains, resolution, resolution->chains[i], is_of_several);
	}
	gov_json_end(&json, &chains, NULL);
	return gov_json_done(&json);
}

/* The links that deny, each once, as the text of a JSON array. */
char *
gov_answer_failing(const GovResolution *resolution, bool is_of_several)
{
	StringInfoData json;
	GovJsonContainer links;
	int			count = 0;
	Jsonb	   *array;

	for (int i = 0; i < resolution->nbudgets; i++)
		count += !resolution->budgets[i].allows;
	gov_json_init(&json, GOV_LINK_EXPECTED_BYTES * (Size) count);
	gov_json_begin_array(&json, &links, count);
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		GovLinkFacts facts;

		collect_facts(resolution, i, &facts);
		if (!facts.is_granted)
			put_link(&json, &links, &facts, is_of_several);
	}
	gov_json_end(&json, &links, NULL);
	array = DatumGetJsonbP(gov_json_done(&json));
	return JsonbToCString(NULL, &array->root, VARSIZE(array));
}

/* Which dimension has a value that is no entity, as a sentence. */
char *
gov_answer_unknown(const GovResolution *resolution)
{
	const GovUnknown *unknown = resolution->unknown;

	while (unknown->fate != GOV_UNKNOWN_DENIED)
		unknown++;
	Assert(unknown < resolution->unknown + resolution->nunknown);
	return psprintf("Dimension \"%s\" is \"%s\", which is no entity of type \"%s\"%s.",
					gov_error_shown_bytes(unknown->name->key, unknown->name->key_length),
					gov_error_shown_bytes(unknown->name->id, unknown->name->id_length),
					gov_error_shown(unknown->name->rule->of_key.type_id),
					unknown->name->rule->of_key.creates ? " and cannot become one" : "");
}

/* Which entity is blocked, as a sentence. */
char *
gov_answer_block(const GovResolution *resolution)
{
	const char *id = gov_entity_id(resolution->entities[resolution->blocked].entity)->bytes;

	if (TIMESTAMP_IS_NOEND(resolution->blocked_until))
		return psprintf("Entity \"%s\" is blocked until it is unblocked.", gov_error_shown(id));
	return psprintf("Entity \"%s\" is blocked until %s.", gov_error_shown(id),
					timestamptz_to_str(resolution->blocked_until));
}

static Datum
chars_datum(const GovChars *chars)
{
	return PointerGetDatum(cstring_to_text_with_len(chars->bytes, chars->length));
}

static Datum
scope_datum(const GovEntity *entity, const GovBudget *budget)
{
	const GovText *scope = gov_budget_scope(entity, budget);
	uint32		nscope = gov_budget_more(entity, budget)->nscope;
	Datum	   *ids = palloc(sizeof(Datum) * Max(nscope, 1));

	for (uint32 i = 0; i < nscope; i++)
		ids[i] = chars_datum(gov_chars(entity, scope[i]));
	return PointerGetDatum(construct_array(ids, nscope, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Put one row: the chain's number and the columns of a link, those that the caller's version has. */
static void
put_row(Tuplestorestate *store, TupleDesc tupdesc, int chain, const GovLinkFacts *facts)
{
	const GovEntity *entity = facts->entity;
	const GovBudgetState *state = facts->state;
	Datum		values[GOV_LINK_COLUMNS];
	bool		nulls[GOV_LINK_COLUMNS] = {false};
	char		cadence[GOV_CADENCE_TEXT_SIZE];

	values[0] = Int32GetDatum(chain);
	values[1] = chars_datum(gov_entity_id(entity));
	values[2] = scope_datum(entity, facts->budget);
	values[3] = chars_datum(gov_chars(entity, facts->budget->name));
	nulls[4] = !state->has_limit;
	values[4] = NumericGetDatum(gov_amount_to_numeric(state->limit));
	values[5] = NumericGetDatum(gov_amount_to_numeric(state->usage));
	values[6] = NumericGetDatum(gov_amount_to_numeric(state->held));
	nulls[7] = !state->has_limit;
	values[7] = NumericGetDatum(gov_amount_to_numeric(facts->remaining));
	values[8] = BoolGetDatum(facts->is_granted);
	values[9] = BoolGetDatum(facts->is_over_limit);
	values[10] = CStringGetTextDatum(state->is_soft ? "soft" : "hard");
	nulls[11] = facts->budget->cadence.unit == GOV_CADENCE_NONE;
	if (!nulls[11])
	{
		gov_cadence_text(&facts->budget->cadence, cadence);
		values[11] = CStringGetTextDatum(cadence);
	}
	nulls[12] = TIMESTAMP_NOT_FINITE(facts->window->start);
	values[12] = TimestampTzGetDatum(facts->window->start);
	nulls[13] = TIMESTAMP_NOT_FINITE(facts->window->end);
	values[13] = TimestampTzGetDatum(facts->window->end);
	nulls[14] = state->bounds == NULL || !state->bounds->carries;	/* since 1.1 */
	values[14] = nulls[14] ? (Datum) 0 : NumericGetDatum(gov_amount_to_numeric(state->carried));
	values[15] = CStringGetTextDatum(source_of(facts));
	tuplestore_putvalues(store, tupdesc, values, nulls);
}

/*
 * The links of a resolution's chains as rows.  Chains are numbered from 1, in
 * the order of gov_answer_chains().
 */
void
gov_answer_links(const GovResolution *resolution, Tuplestorestate *store,
				 TupleDesc tupdesc)
{
	int			number = 0;

	for (int i = 0; i < resolution->nchains; i++)
	{
		int			entity = resolution->chains[i];

		if (chain_budgets(resolution, entity) == 0)
			continue;
		number++;
		for (; entity >= 0; entity = resolution->entities[entity].parent)
		{
			const GovResolvedEntity *resolved = &resolution->entities[entity];

			for (int b = 0; b < resolved->nbudgets; b++)
			{
				GovLinkFacts facts;

				collect_facts(resolution, resolved->first_budget + b, &facts);
				put_row(store, tupdesc, number, &facts);
			}
		}
	}
}

/* The reason of a denial, as text that is made once and nobody frees. */
static Datum
reason_datum(GovDenial denial)
{
	static text *reasons[GOV_DENIAL_UNAVAILABLE + 1];

	if (reasons[denial] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		reasons[denial] = cstring_to_text(gov_decide_reason(denial));
		MemoryContextSwitchTo(old);
	}
	return PointerGetDatum(reasons[denial]);
}

/*
 * Fill in the four columns that every decision has: granted, reason,
 * remaining, retry.
 */
void
gov_answer_decision(const GovDecision *decision, Datum *values, bool *nulls)
{
	values[0] = BoolGetDatum(decision->is_granted);
	nulls[0] = false;
	nulls[1] = decision->denial == GOV_DENIAL_NONE;
	values[1] = nulls[1] ? (Datum) 0 : reason_datum(decision->denial);
	nulls[2] = !gov_decide_has_remaining(decision, 0);
	values[2] = nulls[2] ? (Datum) 0 :
		NumericGetDatum(gov_amount_to_numeric(decision->remaining[0]));
	nulls[3] = !decision->has_retry_at;
	values[3] = TimestampTzGetDatum(decision->retry_at);
}
