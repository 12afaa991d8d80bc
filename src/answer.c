/*
 * answer.c
 *		What the run-time calls return.
 *
 * PURPOSE
 *		Turns a resolution into SQL: the row of a call, its chains as JSON, or
 *		the same nodes as typed rows.  Reads nothing but the resolution.
 *
 * LAYOUT
 *		A node's facts are collected once, in GovNodeFacts; JSON and rows are
 *		two ways to print them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "answer.h"

typedef struct GovNodeFacts
{
	const GovEntity *entity;
	const GovBudget *budget;
	const GovBudgetState *state;
	const GovWindow *window;
	GovAmount	remaining;		/* meaningful when the budget has a limit */
	bool		is_granted;
	bool		is_over_limit;
} GovNodeFacts;

/* Build a row; the type of the function's result is looked up once. */
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
collect_facts(const GovResolution *resolution, int number, GovNodeFacts *facts)
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

static void
push(JsonbParseState **json, const char *key, JsonbValue *value)
{
	JsonbValue	name;

	name.type = jbvString;
	name.val.string.val = unconstify(char *, key);
	name.val.string.len = strlen(key);
	pushJsonbValue(json, WJB_KEY, &name);
	pushJsonbValue(json, WJB_VALUE, value);
}

static void
push_bool(JsonbParseState **json, const char *key, bool boolean)
{
	JsonbValue	value;

	value.type = jbvBool;
	value.val.boolean = boolean;
	push(json, key, &value);
}

static void
push_amount(JsonbParseState **json, const char *key, bool is_null, GovAmount amount)
{
	JsonbValue	value;

	value.type = jbvNull;
	if (!is_null)
	{
		value.type = jbvNumeric;
		value.val.numeric = gov_amount_to_numeric(amount);
	}
	push(json, key, &value);
}

static void
set_string(JsonbValue *value, const GovEntity *entity, GovString string)
{
	value->type = jbvNull;
	if (string.offset == 0)
		return;
	value->type = jbvString;
	value->val.string.val = unconstify(char *, gov_entity_string(entity, string));
	value->val.string.len = string.length;
}

static void
push_string(JsonbParseState **json, const char *key, const GovEntity *entity,
			GovString string)
{
	JsonbValue	value;

	set_string(&value, entity, string);
	push(json, key, &value);
}

/* ISO 8601, UTC, milliseconds; null for a window without that end. */
static void
push_time(JsonbParseState **json, const char *key, TimestampTz time)
{
	JsonbValue	value;
	struct pg_tm tm;
	fsec_t		fsec;

	value.type = jbvNull;
	if (!TIMESTAMP_NOT_FINITE(time) &&
		timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) == 0)
	{
		value.type = jbvString;
		value.val.string.val = psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
										tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour,
										tm.tm_min, tm.tm_sec, (int) (fsec / 1000));
		value.val.string.len = strlen(value.val.string.val);
	}
	push(json, key, &value);
}

static void
push_scope(JsonbParseState **json, const char *key, const GovEntity *entity,
		   const GovBudget *budget)
{
	const GovString *scope = gov_budget_scope(entity, budget);
	JsonbValue	name;

	name.type = jbvString;
	name.val.string.val = unconstify(char *, key);
	name.val.string.len = strlen(key);
	pushJsonbValue(json, WJB_KEY, &name);
	pushJsonbValue(json, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < budget->nscope; i++)
	{
		JsonbValue	value;

		set_string(&value, entity, scope[i]);
		pushJsonbValue(json, WJB_ELEM, &value);
	}
	pushJsonbValue(json, WJB_END_ARRAY, NULL);
}

static void
push_enforcement(JsonbParseState **json, const GovNodeFacts *facts)
{
	const char *enforcement = facts->state->is_soft ? "soft" : "hard";
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, enforcement);
	value.val.string.len = strlen(enforcement);
	push(json, "enforcement", &value);
}

static void
push_node(JsonbParseState **json, const GovNodeFacts *facts)
{
	const GovEntity *entity = facts->entity;
	const GovBudgetState *state = facts->state;

	/* in the order that jsonb keeps keys in, by length and bytes: sorted already */
	pushJsonbValue(json, WJB_BEGIN_OBJECT, NULL);
	push_string(json, "name", entity, facts->budget->name);
	push_string(json, "cadence", entity, facts->budget->cadence_text);
	push_string(json, "entityId", entity, entity->id);
	push_bool(json, "isGranted", facts->is_granted);
	push_amount(json, "remaining", !state->has_limit, facts->remaining);
	push_amount(json, "usageLimit", !state->has_limit, state->limit);
	push_enforcement(json, facts);
	push_bool(json, "isOverLimit", facts->is_over_limit);
	push_amount(json, "currentUsage", false, state->usage);
	push_amount(json, "reservedUsage", false, state->held);
	push_scope(json, "scopeEntityIds", entity, facts->budget);
	push_time(json, "usagePeriodEnd", facts->window->end);
	push_time(json, "usagePeriodStart", facts->window->start);
	pushJsonbValue(json, WJB_END_OBJECT, NULL);
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

static void
push_chain(JsonbParseState **json, const GovResolution *resolution, int entity)
{
	pushJsonbValue(json, WJB_BEGIN_ARRAY, NULL);
	for (; entity >= 0; entity = resolution->entities[entity].parent)
	{
		const GovResolvedEntity *resolved = &resolution->entities[entity];

		for (int i = 0; i < resolved->nbudgets; i++)
		{
			GovNodeFacts facts;

			collect_facts(resolution, resolved->first_budget + i, &facts);
			push_node(json, &facts);
		}
	}
	pushJsonbValue(json, WJB_END_ARRAY, NULL);
}

/* The chains of a resolution, as jsonb. */
Datum
gov_answer_chains(const GovResolution *resolution)
{
	JsonbParseState *json = NULL;

	pushJsonbValue(&json, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < resolution->nchains; i++)
	{
		if (chain_budgets(resolution, resolution->chains[i]) > 0)
			push_chain(&json, resolution, resolution->chains[i]);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&json, WJB_END_ARRAY, NULL)));
}

/* The nodes that deny, each once, as the text of a JSON array. */
char *
gov_answer_failing_nodes(const GovResolution *resolution)
{
	JsonbParseState *json = NULL;
	Jsonb	   *nodes;

	pushJsonbValue(&json, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		GovNodeFacts facts;

		collect_facts(resolution, i, &facts);
		if (!facts.is_granted)
			push_node(&json, &facts);
	}
	nodes = JsonbValueToJsonb(pushJsonbValue(&json, WJB_END_ARRAY, NULL));
	return JsonbToCString(NULL, &nodes->root, VARSIZE(nodes));
}

static Datum
string_datum(const GovEntity *entity, GovString string)
{
	return PointerGetDatum(cstring_to_text_with_len(gov_entity_string(entity, string),
													string.length));
}

static Datum
scope_datum(const GovEntity *entity, const GovBudget *budget)
{
	const GovString *scope = gov_budget_scope(entity, budget);
	Datum	   *ids = palloc(sizeof(Datum) * Max(budget->nscope, 1));

	for (uint32 i = 0; i < budget->nscope; i++)
		ids[i] = string_datum(entity, scope[i]);
	return PointerGetDatum(construct_array(ids, budget->nscope, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* One row: the chain's number and the columns of a node. */
static void
put_node(Tuplestorestate *store, TupleDesc tupdesc, int chain, const GovNodeFacts *facts)
{
	const GovEntity *entity = facts->entity;
	const GovBudgetState *state = facts->state;
	Datum		values[14];
	bool		nulls[14] = {false};

	values[0] = Int32GetDatum(chain);
	values[1] = string_datum(entity, entity->id);
	values[2] = scope_datum(entity, facts->budget);
	values[3] = string_datum(entity, facts->budget->name);
	nulls[4] = !state->has_limit;
	values[4] = NumericGetDatum(gov_amount_to_numeric(state->limit));
	values[5] = NumericGetDatum(gov_amount_to_numeric(state->usage));
	values[6] = NumericGetDatum(gov_amount_to_numeric(state->held));
	nulls[7] = !state->has_limit;
	values[7] = NumericGetDatum(gov_amount_to_numeric(facts->remaining));
	values[8] = BoolGetDatum(facts->is_granted);
	values[9] = BoolGetDatum(facts->is_over_limit);
	values[10] = CStringGetTextDatum(state->is_soft ? "soft" : "hard");
	nulls[11] = facts->budget->cadence_text.offset == 0;
	values[11] = string_datum(entity, facts->budget->cadence_text);
	nulls[12] = TIMESTAMP_NOT_FINITE(facts->window->start);
	values[12] = TimestampTzGetDatum(facts->window->start);
	nulls[13] = TIMESTAMP_NOT_FINITE(facts->window->end);
	values[13] = TimestampTzGetDatum(facts->window->end);
	tuplestore_putvalues(store, tupdesc, values, nulls);
}

/* The same as rows; chains are numbered from 1, as in the JSON array. */
void
gov_answer_nodes(const GovResolution *resolution, Tuplestorestate *store,
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
				GovNodeFacts facts;

				collect_facts(resolution, resolved->first_budget + b, &facts);
				put_node(store, tupdesc, number, &facts);
			}
		}
	}
}

/* The four columns that every decision has: granted, reason, remaining, retry. */
void
gov_answer_decision(const GovDecision *decision, Datum *values, bool *nulls)
{
	const char *reason = gov_denial_reason(decision->denial);

	values[0] = BoolGetDatum(decision->is_granted);
	nulls[0] = false;
	nulls[1] = reason == NULL;
	values[1] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	nulls[2] = !decision->has_remaining;
	values[2] = decision->has_remaining ?
		NumericGetDatum(gov_amount_to_numeric(decision->remaining)) : (Datum) 0;
	nulls[3] = !decision->has_retry_at;
	values[3] = TimestampTzGetDatum(decision->retry_at);
}
