/*
 * json.h
 *		Writes jsonb whose shape is known in advance.
 */
#ifndef GOV_JSON_H
#define GOV_JSON_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "pure/amount.h"

/* An array or object being written. */
typedef struct GovJsonContainer
{
	int			begin;			/* where it begins, padding included */
	int			entries;		/* where its JEntries begin */
	uint32		nentries;
	uint32		nwritten;
	uint32		length;			/* of the elements written */
} GovJsonContainer;

/* The keys of an object, in jsonb's order; and once written, the object's first bytes. */
typedef struct GovJsonKeys
{
	const char *const *names;
	uint32		count;
	int			size;
	uint32		length;			/* of the keys alone */
	char	   *bytes;			/* NULL: not written yet */
} GovJsonKeys;

/* A time and its text; length is 0 before the first. */
typedef struct GovJsonTime
{
	TimestampTz time;
	int			length;
	char		string[MAXDATELEN + 1];
} GovJsonTime;

extern void gov_json_init(StringInfo json, Size expected);
extern void gov_json_begin_array(StringInfo json, GovJsonContainer *array,
								 uint32 nelements);
extern void gov_json_begin_object(StringInfo json, GovJsonContainer *object,
								  uint32 npairs);
extern void gov_json_begin_values(StringInfo json, GovJsonContainer *object,
								  GovJsonKeys *keys);
extern void gov_json_put_null(StringInfo json, GovJsonContainer *in);
extern void gov_json_put_bool(StringInfo json, GovJsonContainer *in, bool boolean);
extern void gov_json_put_string(StringInfo json, GovJsonContainer *in,
								const char *bytes, uint32 length);
extern void gov_json_put_numeric(StringInfo json, GovJsonContainer *in, Numeric number);
extern void gov_json_put_amount(StringInfo json, GovJsonContainer *in, bool is_null,
								GovAmount amount);
extern void gov_json_put_time(StringInfo json, GovJsonContainer *in, GovJsonTime *last,
							  TimestampTz time);
extern void gov_json_put_jsonb(StringInfo json, GovJsonContainer *in, Jsonb *value);
extern void gov_json_end(StringInfo json, GovJsonContainer *container,
						 GovJsonContainer *in);
extern Datum gov_json_done(StringInfo json);

#endif							/* GOV_JSON_H */
