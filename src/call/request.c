/*
 * request.c
 *		The arguments of the run-time calls.
 *
 * PURPOSE
 *		Turns SQL arguments into a GovRequest, and refuses what is malformed,
 *		before anything is locked, loaded or charged.
 *
 * DIMENSIONS
 *		A dimension names an entity when its key is an attribution key of the
 *		entity's type.  Values under other keys are never looked up: a request
 *		id must not cost a load.  The names a request ends up with are those of
 *		entity_ids in their order, then those of the dimensions by key.
 *
 * FAILURE
 *		22004 for a null where the contract wants a value, 22023 for a value
 *		that is malformed, 22003 for an amount out of range, 42704 for an
 *		unknown capability, 42501 for another owner than the session's, 54000
 *		for dimensions or names past what one call may have.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/owner.h"
#include "cache/types.h"
#include "call/dimensions.h"
#include "call/request.h"

#define GOV_KEY_MAX_CHARS	255

/* The arguments that all run-time calls begin with. */
void
gov_request_arguments(FunctionCallInfo fcinfo, GovArguments *arguments)
{
	memset(arguments, 0, sizeof(*arguments));
	arguments->owner = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	arguments->capability = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	arguments->amount = PG_ARGISNULL(2) ? NULL : PG_GETARG_NUMERIC(2);
	arguments->dimensions = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	arguments->entity_ids = PG_ARGISNULL(4) ? NULL : PG_GETARG_ARRAYTYPE_P(4);
	gov_dimensions_check_size(arguments->dimensions);
}

/* The arguments that the calls of several capabilities begin with. */
void
gov_request_arguments_all(FunctionCallInfo fcinfo, bool may_be_negative, GovArguments *arguments)
{
	memset(arguments, 0, sizeof(*arguments));
	arguments->owner = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	arguments->amounts = gov_amounts_read(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), may_be_negative);
	arguments->dimensions = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	arguments->entity_ids = PG_ARGISNULL(3) ? NULL : PG_GETARG_ARRAYTYPE_P(3);
	gov_dimensions_check_size(arguments->dimensions);
}

/* Is this a key: 1 to 255 characters without control characters? */
static bool
is_key(const char *bytes, int length)
{
	if (length == 0 || pg_mbstrlen_with_len(bytes, length) > GOV_KEY_MAX_CHARS)
		return false;
	for (int i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) bytes[i];

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

void
gov_request_check_key(const char *argument, text *key)
{
	if (!is_key(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is empty, too long or has control characters", argument),
				 errhint("Pass 1 to %d characters without control characters.",
						 GOV_KEY_MAX_CHARS)));
}

/* Read an amount that a call takes. */
GovAmount
gov_request_amount(Numeric amount, bool may_be_negative)
{
	GovAmount	result = 0;

	if (amount == NULL)
		gov_error_null_argument("amount");
	switch (gov_amount_from_numeric(amount, &result))
	{
		case GOV_AMOUNT_OK:
			break;
		case GOV_AMOUNT_NOT_FINITE:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"amount\" must be a finite number"),
					 errhint("Pass a number with at most 18 digits before the decimal point.")));
			break;
		case GOV_AMOUNT_TOO_LARGE:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("argument \"amount\" is out of range"),
					 errhint("Pass a number with at most 18 digits before the decimal point.")));
			break;
	}
	if (result < 0 && !may_be_negative)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"amount\" must not be negative"),
				 errhint("Pass 0 or more; corrections are recorded with gov_ingest.")));
	return result;
}

/* Raise unless the session may act for an owner; returns its id. */
char *
gov_request_owner(text *owner)
{
	char	   *bytes;

	if (owner == NULL)
		gov_error_null_argument("owner_id");
	gov_request_check_key("owner_id", owner);
	bytes = text_to_cstring(owner);
	gov_owner_require(bytes);
	return bytes;
}

static void
set_owner(GovRequest *request, text *owner)
{
	char	   *bytes = gov_request_owner(owner);

	gov_node_owner_key_init(&request->owner, MyDatabaseId, gov_catalog()->extension,
							bytes, strlen(bytes));
}

pg_noreturn static void
raise_unknown_capability(const char *id, uint32 length)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("capability \"%s\" does not exist", gov_error_shown_bytes(id, length)),
			 errhint("Create it with gov_upsert_capabilities.")));
}

/* Refuse a capability that does not exist; gov_types_refresh() was called. */
void
gov_request_require_capability(const char *id, uint32 length)
{
	if (!gov_types_is_capability(id, length))
		raise_unknown_capability(id, length);
}

static inline void
set_capability(GovMeter *meter, text *capability)
{
	if (capability == NULL)
		gov_error_null_argument("capability_id");
	meter->capability_id = VARDATA_ANY(capability);
	meter->capability_length = VARSIZE_ANY_EXHDR(capability);
	if (unlikely(!gov_types_is_capability(meter->capability_id, meter->capability_length)))
		raise_unknown_capability(meter->capability_id, meter->capability_length);
	meter->is_concurrency = gov_types_is_concurrency(meter->capability_id, meter->capability_length);
	meter->capability_hash = gov_entity_text_hash(meter->capability_id, meter->capability_length);
}

static void
set_meters(GovRequest *request, const GovArguments *arguments, bool may_be_negative)
{
	const GovAmounts *amounts = arguments->amounts;

	if (amounts == NULL)
	{
		set_capability(&request->meters[0], arguments->capability);
		request->meters[0].amount = gov_request_amount(arguments->amount, may_be_negative);
		return;
	}
	for (int m = 0; m < request->nmeters; m++)
	{
		set_capability(&request->meters[m], amounts->items[m].capability);
		request->meters[m].amount = amounts->items[m].amount;
	}
}

static void
too_many_names(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("too many entities in one call"),
			 errhint("Name at most %d.", GOV_NAMES_MAX)));
}

/*
 * Add a name; what is too long to be an id names nothing, unless its key has a
 * rule for what is unknown.
 */
static GovName *
add_name(GovRequest *request, const char *id, uint32 id_length,
		 const char *key, uint32 key_length, const GovUnknownRule *rule)
{
	GovName    *name = &request->names[request->nnames];

	if (rule == NULL && (id_length == 0 || id_length > GOV_ID_MAX_BYTES))
		return NULL;
	if (request->nnames >= GOV_NAMES_MAX)
		too_many_names();
	name->id = id;
	name->key = key;
	name->rule = NULL;
	name->id_length = id_length;
	name->key_length = key_length;
	request->nnames++;
	return name;
}

static void
add_entity_ids(GovRequest *request, Datum *elements, bool *nulls, int count)
{
	for (int i = 0; i < count; i++)
	{
		text	   *id;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"entity_ids\" must not contain nulls"),
					 errhint("Leave out what you do not know.")));
		id = DatumGetTextPP(elements[i]);
		add_name(request, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), NULL, 0, NULL);
	}
}

static int
compare_keys(const void *left, const void *right)
{
	const GovName *a = left;
	const GovName *b = right;

	return gov_bytes_compare(a->key, a->key_length, b->key, b->key_length);
}

/*
 * Give a name the rule of its key.  The rule is copied: the next request of a
 * batch may have the types read again.
 */
static pg_noinline void
set_rule(GovName *name, const GovUnknownRule *rule)
{
	GovNameRule *copy = palloc0(sizeof(GovNameRule));

	copy->of_key.key = pstrdup(rule->key);
	copy->of_key.type_id = pstrdup(rule->type_id);
	copy->of_key.parent_key = rule->parent_key == NULL ? NULL : pstrdup(rule->parent_key);
	copy->of_key.creates = rule->creates;
	copy->is_no_id = !is_key(name->id, name->id_length);
	name->rule = copy;
}

/* Find the dimensions that name the parents of what is created; names are in order. */
static pg_noinline void
set_parents(GovName *names, int count)
{
	for (int i = 0; i < count; i++)
	{
		GovNameRule *rule = unconstify(GovNameRule *, names[i].rule);
		GovName		sought = {0};

		if (rule == NULL || rule->of_key.parent_key == NULL)
			continue;
		sought.key = rule->of_key.parent_key;
		sought.key_length = strlen(sought.key);
		rule->parent = bsearch(&sought, names, count, sizeof(GovName), compare_keys);
	}
}

/*
 * Add the names that dimensions have, in byte order of their keys, as chains
 * show them: JSON orders keys by length first.
 */
static void
add_dimensions(GovRequest *request, Jsonb *dimensions)
{
	int			first = request->nnames;
	JsonbIterator *iterator = JsonbIteratorInit(&dimensions->root);
	JsonbValue	key;
	JsonbValue	value;
	bool		has_rules = gov_types_have_unknown_rules();

	if (!JB_ROOT_IS_OBJECT(dimensions))
		gov_dimensions_refuse("It is not an object.");
	while (gov_dimensions_next(&iterator, &key, &value))
	{
		const char *bytes;
		uint32		length;
		const GovUnknownRule *rule = NULL;
		GovName    *name;

		if (!gov_dimensions_text(&value, &bytes, &length) ||
			!gov_types_is_attribution_key(key.val.string.val, key.val.string.len))
			continue;
		if (unlikely(has_rules))
			rule = gov_types_unknown_rule(key.val.string.val, key.val.string.len);
		name = add_name(request, bytes, length, key.val.string.val, key.val.string.len, rule);
		if (unlikely(rule != NULL))
			set_rule(name, rule);
	}
	qsort(request->names + first, request->nnames - first, sizeof(GovName), compare_keys);
	if (unlikely(has_rules))
		set_parents(request->names + first, request->nnames - first);
}

/* Make room for meters and for names, at once. */
static void
make_room(GovRequest *request, const GovArguments *arguments)
{
	int			most = 0;

	if (arguments->entity_ids != NULL)
		most = ArrayGetNItems(ARR_NDIM(arguments->entity_ids), ARR_DIMS(arguments->entity_ids));
	if (arguments->dimensions != NULL && JB_ROOT_IS_OBJECT(arguments->dimensions))
		most += JB_ROOT_COUNT(arguments->dimensions);
	request->nmeters = arguments->amounts == NULL ? 1 : arguments->amounts->count;
	request->meters = palloc(sizeof(GovMeter) * request->nmeters +
							 sizeof(GovName) * (Min(most, GOV_NAMES_MAX) + 1));
	request->names = (GovName *) (request->meters + request->nmeters);
}

/*
 * Fill in a request; the arguments must outlive it.  gov_types_refresh() was
 * called.  This only computes, as gov_attempt_to_compute() wants it.
 */
void
gov_request_read(GovRequest *request, const GovArguments *arguments, bool may_be_negative)
{
	Datum	   *elements = NULL;
	bool	   *nulls = NULL;
	int			nelements = 0;

	memset(request, 0, sizeof(*request));
	set_owner(request, arguments->owner);
	make_room(request, arguments);
	set_meters(request, arguments, may_be_negative);
	request->has_occurred_at = arguments->has_occurred_at;
	request->occurred_at = arguments->occurred_at;

	if (arguments->entity_ids != NULL)
	{
		gov_error_unless_list(arguments->entity_ids, "entity_ids");
		deconstruct_array(arguments->entity_ids, TEXTOID, -1, false, TYPALIGN_INT,
						  &elements, &nulls, &nelements);
	}
	add_entity_ids(request, elements, nulls, nelements);
	if (arguments->dimensions != NULL)
		add_dimensions(request, arguments->dimensions);
}

/* The same, with types and capabilities as they are now. */
void
gov_request_init(GovRequest *request, const GovArguments *arguments, bool may_be_negative)
{
	gov_types_refresh();
	gov_request_read(request, arguments, may_be_negative);
}

/* Names that stand for no entity are ignored, whatever their types say. */
void
gov_request_ignore_unknown(GovRequest *request)
{
	for (int i = 0; i < request->nnames; i++)
		request->names[i].rule = NULL;
}

pg_noreturn static void
raise_no_hash(pg_cryptohash_ctx *hash)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("could not compute SHA-256 of the call: %s", pg_cryptohash_error(hash)),
			 errhint("Calls with an idempotency key need SHA-256 of the server's OpenSSL.")));
}

/* Add bytes to a hash, in a form that is the same on every machine. */
static void
hash_bytes_of(pg_cryptohash_ctx *hash, const void *bytes, uint32 length)
{
	uint32		prefix = pg_hton32(length);

	if (pg_cryptohash_update(hash, (const uint8 *) &prefix, sizeof(prefix)) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) bytes, length) < 0)
		raise_no_hash(hash);
}

static void
hash_amount(pg_cryptohash_ctx *hash, GovAmount amount)
{
	uint64		halves[2] = {
		pg_hton64((uint64) (amount >> 64)),
		pg_hton64((uint64) amount)
	};

	hash_bytes_of(hash, halves, sizeof(halves));
}

static int
compare_ids(const void *left, const void *right)
{
	const GovName *a = left;
	const GovName *b = right;

	return gov_bytes_compare(a->id, a->id_length, b->id, b->id_length);
}

/* Hash the ids given as a set: in order, each once. */
static void
hash_entity_ids(pg_cryptohash_ctx *hash, const GovRequest *request)
{
	GovName    *ids = palloc(sizeof(GovName) * (request->nnames + 1));
	int			count = 0;

	for (int i = 0; i < request->nnames; i++)
	{
		if (request->names[i].key == NULL)
			ids[count++] = request->names[i];
	}
	qsort(ids, count, sizeof(GovName), compare_ids);
	for (int i = 0; i < count; i++)
	{
		if (i == 0 || compare_ids(&ids[i - 1], &ids[i]) != 0)
			hash_bytes_of(hash, ids[i].id, ids[i].id_length);
	}
	hash_bytes_of(hash, "", 0);
}

static void
hash_dimensions(pg_cryptohash_ctx *hash, Jsonb *dimensions)
{
	JsonbIterator *iterator = JsonbIteratorInit(&dimensions->root);
	JsonbValue	key;
	JsonbValue	value;

	while (gov_dimensions_next(&iterator, &key, &value))
	{
		const char *bytes;
		uint32		length;

		if (!gov_dimensions_text(&value, &bytes, &length))
			continue;
		hash_bytes_of(hash, key.val.string.val, key.val.string.len);
		hash_bytes_of(hash, value.type == jbvString ? "s" : "v", 1);
		hash_bytes_of(hash, bytes, length);
	}
}

/* Hash quantities, whatever they cost and however many zeros their numbers end with. */
static void
hash_quantities(pg_cryptohash_ctx *hash, Jsonb *quantities)
{
	JsonbIterator *iterator = JsonbIteratorInit(&quantities->root);
	JsonbValue	key;
	JsonbValue	value;

	hash_bytes_of(hash, "q", 1);
	while (gov_dimensions_next(&iterator, &key, &value))
	{
		const char *number = numeric_normalize(value.val.numeric);

		hash_bytes_of(hash, key.val.string.val, key.val.string.len);
		hash_bytes_of(hash, number, strlen(number));
	}
	hash_bytes_of(hash, "", 0);
}

static pg_cryptohash_ctx *
begin_hash(const char *call)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	if (pg_cryptohash_init(hash) < 0)
		raise_no_hash(hash);
	hash_bytes_of(hash, call, strlen(call));
	return hash;
}

static bytea *
end_hash(pg_cryptohash_ctx *hash)
{
	bytea	   *result = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	SET_VARSIZE(result, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	if (pg_cryptohash_final(hash, (uint8 *) VARDATA(result), PG_SHA256_DIGEST_LENGTH) < 0)
		raise_no_hash(hash);
	pg_cryptohash_free(hash);
	return result;
}

/*
 * The hash by which two calls under one idempotency key are told to be the
 * same.
 */
bytea *
gov_request_hash(const char *call, const GovRequest *request,
				 const GovArguments *arguments)
{
	pg_cryptohash_ctx *hash = begin_hash(call);

	for (int m = 0; m < request->nmeters; m++)
	{
		hash_bytes_of(hash, request->meters[m].capability_id, request->meters[m].capability_length);
		if (arguments->amounts != NULL && arguments->amounts->items[m].quantities != NULL)
			hash_quantities(hash, arguments->amounts->items[m].quantities);
		else
			hash_amount(hash, request->meters[m].amount);
	}
	hash_entity_ids(hash, request);
	if (arguments->dimensions != NULL)
		hash_dimensions(hash, arguments->dimensions);
	return end_hash(hash);
}

/* The same for a reversal; amount is NULL where the call leaves it out. */
bytea *
gov_request_hash_reversal(const char *call, int64 event_id, const GovAmount *amount)
{
	pg_cryptohash_ctx *hash = begin_hash(call);
	uint64		id = pg_hton64((uint64) event_id);

	hash_bytes_of(hash, &id, sizeof(id));
	if (amount != NULL)
		hash_amount(hash, *amount);
	return end_hash(hash);
}
