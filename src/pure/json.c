/*
 * json.c
 *		Writes jsonb whose shape is known in advance.
 *
 * PURPOSE
 *		The server's functions (pushJsonbValue, JsonbValueToJsonb) make a tree of
 *		values, sort the keys, and turn the tree into bytes.  For the chains that
 *		every gov_consume returns, that was a third of its time.  Where the keys
 *		and the number of elements are known, the bytes can be written as the
 *		values come.
 *
 * LAYOUT
 *		That of utils/jsonb.h: a container is a header, a JEntry for each
 *		element (in an object for each key and then for each value), and the
 *		elements.  A JEntry has the element's length; every JB_OFFSET_STRIDE'th
 *		has where it ends instead.  Numbers and containers are aligned, and the
 *		padding counts as theirs.
 *
 * INVARIANTS
 *		As many elements are put into a container as it was begun with; an
 *		object's keys are all put before its values, in jsonb's order: by
 *		length, then by bytes.  The bytes are those that the server writes
 *		(test/sql/chains.sql).
 *
 * FAILURE
 *		54000 where the server's own functions raise it: past 256 MB.
 */
#include "postgres.h"

#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pure/json.h"

/* Make room at the end; what was written before may move. */
static inline char *
append_bytes(StringInfo json, int size)
{
	char	   *place;

	if (json->len + size >= json->maxlen)
		enlargeStringInfo(json, size);
	place = json->data + json->len;
	json->len += size;
	return place;
}

static inline void
pad_to_int(StringInfo json)
{
	int			size = INTALIGN(json->len) - json->len;

	memset(append_bytes(json, size), 0, size);
}

static void
check_length(uint32 length)
{
	if (length > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("chains are too large for a value of type jsonb"),
				 errdetail("Their size exceeds %u bytes.", JENTRY_OFFLENMASK),
				 errhint("Name fewer entities in one call.")));
}

/* Begin a value of about the expected size. */
void
gov_json_init(StringInfo json, Size expected)
{
	initStringInfo(json);
	enlargeStringInfo(json, Min(expected, JENTRY_OFFLENMASK));
	append_bytes(json, VARHDRSZ);
}

static void
begin_container(StringInfo json, GovJsonContainer *container, uint32 header, uint32 nentries)
{
	container->begin = json->len;
	container->nentries = nentries;
	container->nwritten = 0;
	container->length = 0;
	pad_to_int(json);
	memcpy(append_bytes(json, sizeof(header)), &header, sizeof(header));
	container->entries = json->len;
	append_bytes(json, nentries * sizeof(JEntry));
}

void
gov_json_begin_array(StringInfo json, GovJsonContainer *array, uint32 nelements)
{
	begin_container(json, array, nelements | JB_FARRAY, nelements);
}

void
gov_json_begin_object(StringInfo json, GovJsonContainer *object, uint32 npairs)
{
	begin_container(json, object, npairs | JB_FOBJECT, 2 * npairs);
}

/* An element has been written: fill in its JEntry. */
static inline void
note_element(StringInfo json, GovJsonContainer *in, uint32 type, uint32 length)
{
	JEntry	   *entry = (JEntry *) (json->data + in->entries) + in->nwritten;

	Assert(in->nwritten < in->nentries);
	in->length += length;
	check_length(in->length);
	*entry = in->nwritten % JB_OFFSET_STRIDE == 0 ?
		type | in->length | JENTRY_HAS_OFF : type | length;
	in->nwritten++;
}

void
gov_json_put_null(StringInfo json, GovJsonContainer *in)
{
	note_element(json, in, JENTRY_ISNULL, 0);
}

void
gov_json_put_bool(StringInfo json, GovJsonContainer *in, bool boolean)
{
	note_element(json, in, boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE, 0);
}

void
gov_json_put_string(StringInfo json, GovJsonContainer *in,
					const char *bytes, uint32 length)
{
	memcpy(append_bytes(json, length), bytes, length);
	note_element(json, in, JENTRY_ISSTRING, length);
}

/*
 * Write the first bytes of an object with these keys, once: its header, the
 * JEntries of keys and values, and the keys.
 */
static void
write_keys(GovJsonKeys *keys)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	GovJsonContainer object;
	StringInfoData json;

	initStringInfo(&json);
	gov_json_begin_object(&json, &object, keys->count);
	for (uint32 i = 0; i < keys->count; i++)
		gov_json_put_string(&json, &object, keys->names[i], strlen(keys->names[i]));
	keys->size = json.len;
	keys->length = object.length;
	keys->bytes = json.data;
	MemoryContextSwitchTo(caller);
}

/*
 * Begin an object whose keys are known in advance, and write them.  The values
 * follow.
 */
void
gov_json_begin_values(StringInfo json, GovJsonContainer *object, GovJsonKeys *keys)
{
	if (keys->bytes == NULL)
		write_keys(keys);
	object->begin = json->len;
	pad_to_int(json);
	object->entries = json->len + sizeof(uint32);
	object->nentries = 2 * keys->count;
	object->nwritten = keys->count;
	object->length = keys->length;
	memcpy(append_bytes(json, keys->size), keys->bytes, keys->size);
}

void
gov_json_put_numeric(StringInfo json, GovJsonContainer *in, Numeric number)
{
	int			begin = json->len;
	int			size = VARSIZE_ANY(number);

	pad_to_int(json);
	memcpy(append_bytes(json, size), number, size);
	note_element(json, in, JENTRY_ISNUMERIC, json->len - begin);
}

void
gov_json_put_amount(StringInfo json, GovJsonContainer *in, bool is_null, GovAmount amount)
{
	if (is_null)
		gov_json_put_null(json, in);
	else
		gov_json_put_numeric(json, in, gov_amount_to_numeric(amount));
}

/* Years before the first are written as PostgreSQL's printf would: -043. */
static char *
write_year(char *at, int year)
{
	if (year >= 0)
		return pg_ultostr_zeropad(at, year, 4);
	*at++ = '-';
	return pg_ultostr_zeropad(at, -year, 3);
}

static char *
write_after(char *at, char separator, int number, int width)
{
	*at++ = separator;
	return pg_ultostr_zeropad(at, number, width);
}

/* ISO 8601, UTC, milliseconds; false for a window without that end. */
static bool
write_time(GovJsonTime *written, TimestampTz time)
{
	char	   *at = written->string;
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(time) ||
		timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		return false;
	at = write_year(at, tm.tm_year);
	at = write_after(at, '-', tm.tm_mon, 2);
	at = write_after(at, '-', tm.tm_mday, 2);
	at = write_after(at, 'T', tm.tm_hour, 2);
	at = write_after(at, ':', tm.tm_min, 2);
	at = write_after(at, ':', tm.tm_sec, 2);
	at = write_after(at, '.', (int) (fsec / 1000), 3);
	*at++ = 'Z';
	written->length = at - written->string;
	written->time = time;
	return true;
}

/*
 * Write a time.  Budgets share their windows, and keep them for many calls, so
 * the text of the last time is kept.
 */
void
gov_json_put_time(StringInfo json, GovJsonContainer *in, GovJsonTime *last,
				  TimestampTz time)
{
	if ((last->length > 0 && last->time == time) || write_time(last, time))
		gov_json_put_string(json, in, last->string, last->length);
	else
		gov_json_put_null(json, in);
}

/* Write a value that is jsonb already. */
void
gov_json_put_jsonb(StringInfo json, GovJsonContainer *in, Jsonb *value)
{
	int			begin = json->len;
	int			size = VARSIZE(value) - VARHDRSZ;
	JsonbValue	scalar;

	if (JB_ROOT_IS_SCALAR(value) && JsonbExtractScalar(&value->root, &scalar))
	{
		if (scalar.type == jbvNull)
			gov_json_put_null(json, in);
		else if (scalar.type == jbvBool)
			gov_json_put_bool(json, in, scalar.val.boolean);
		else if (scalar.type == jbvNumeric)
			gov_json_put_numeric(json, in, scalar.val.numeric);
		else
			gov_json_put_string(json, in, scalar.val.string.val, scalar.val.string.len);
		return;
	}
	pad_to_int(json);
	memcpy(append_bytes(json, size), &value->root, size);
	note_element(json, in, JENTRY_ISCONTAINER, json->len - begin);
}

/*
 * End a container, which is an element of another one, or (NULL) the whole
 * value.
 */
void
gov_json_end(StringInfo json, GovJsonContainer *container, GovJsonContainer *in)
{
	uint32		length = json->len - container->begin;

	Assert(container->nwritten == container->nentries);
	check_length(length);
	if (in != NULL)
		note_element(json, in, JENTRY_ISCONTAINER, length);
}

/* The value as jsonb. */
Datum
gov_json_done(StringInfo json)
{
	SET_VARSIZE(json->data, json->len);
	return PointerGetDatum(json->data);
}
