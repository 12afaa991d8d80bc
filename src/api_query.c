/*
 * api_query.c
 *		gov_query: a page of an owner's entities, budgets and usage.
 *
 * PURPOSE
 *		Reads the arguments, finds the owner's sheet, picks the rows of the page
 *		and prints them.
 *
 * FAILURE
 *		Arguments are judged before anything is read.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/errors.h"
#include "base/owner.h"
#include "pure/bytes.h"
#include "query/page.h"
#include "query/sheet_read.h"

#define GOV_SEARCH_MAX_CHARS	1024	/* names have 255, in lower case
										 * perhaps more */

PG_FUNCTION_INFO_V1(gov_query_1_0);

/* the arguments, by position */
enum
{
	ARG_OWNER_ID,
	ARG_CAPABILITY_IDS,
	ARG_SORT_BY,
	ARG_SORT_ORDER,
	ARG_SCOPE,
	ARG_MIN_UTILIZATION,
	ARG_TYPE_IDS,
	ARG_SEARCH,
	ARG_UNDER_ENTITY_ID,
	ARG_PAGE_SIZE,
	ARG_AFTER
};

/* the words of an argument, in the order of the enums of page.h */
static const char *const sorts[] = {
	"utilization", "currentUsage", "usageLimit", "scopeSize", "id", "createdAt", NULL
};
static const char *const orders[] = {"asc", "desc", NULL};
static const char *const scopes[] = {"all", "nodeWide", "scoped", NULL};

/* An argument that is one of a few words; returns its place in the list. */
static int
word_argument(FunctionCallInfo fcinfo, int argno, const char *name,
			  const char *const *words)
{
	text	   *value;
	StringInfoData list;

	if (PG_ARGISNULL(argno))
		gov_error_null_argument(name);
	value = PG_GETARG_TEXT_PP(argno);
	initStringInfo(&list);
	for (int i = 0; words[i] != NULL; i++)
	{
		if (gov_bytes_are(value, words[i], strlen(words[i])))
			return i;
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : ", ", words[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"", name,
					gov_error_shown_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value))),
			 errhint("Give one of %s.", list.data)));
}

static text *
text_argument(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? NULL : PG_GETARG_TEXT_PP(argno);
}

/*
 * The string to search for, in lower case.  One that is longer than any name
 * is found in none; neither is its beginning, so no more of it is used.
 */
static text *
search_argument(FunctionCallInfo fcinfo)
{
	text	   *search = text_argument(fcinfo, ARG_SEARCH);
	int			length = search ? VARSIZE_ANY_EXHDR(search) : 0;

	if (length <= GOV_SEARCH_MAX_CHARS)
		return search;
	return cstring_to_text_with_len(VARDATA_ANY(search),
									pg_mbcharcliplen(VARDATA_ANY(search), length,
													 GOV_SEARCH_MAX_CHARS));
}

/*
 * An argument that is a list of texts; false if it is null, which filters
 * nothing.
 */
static bool
texts_argument(FunctionCallInfo fcinfo, int argno, const char *name, GovTexts *texts)
{
	Datum	   *items;
	bool	   *nulls;

	if (PG_ARGISNULL(argno))
		return false;
	gov_error_unless_list(PG_GETARG_ARRAYTYPE_P(argno), name);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), TEXTOID, -1, false, TYPALIGN_INT,
					  &items, &nulls, &texts->count);
	texts->items = palloc(sizeof(text *) * Max(texts->count, 1));
	for (int i = 0; i < texts->count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("\"%s\" must not have null elements", name),
					 errhint("Leave the element out, or pass null for all.")));
		texts->items[i] = DatumGetTextPP(items[i]);
	}
	return true;
}

static int
page_size_argument(FunctionCallInfo fcinfo)
{
	int			size;

	if (PG_ARGISNULL(ARG_PAGE_SIZE))
		gov_error_null_argument("page_size");
	size = PG_GETARG_INT32(ARG_PAGE_SIZE);
	if (size < 1 || size > GOV_PAGE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"page_size\" must be between 1 and %d", GOV_PAGE_MAX),
				 errhint("Give a number of that range, or leave it out for 20.")));
	return size;
}

static void
add_text(StringInfo bytes, const text *value)
{
	if (value == NULL)
	{
		pq_sendint32(bytes, PG_UINT32_MAX);
		return;
	}
	pq_sendint32(bytes, VARSIZE_ANY_EXHDR(value));
	appendBinaryStringInfo(bytes, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
add_texts(StringInfo bytes, const GovTexts *texts)
{
	pq_sendint32(bytes, texts->count);
	for (int i = 0; i < texts->count; i++)
		add_text(bytes, texts->items[i]);
}

/* The hash that tells the cursors of one query from those of another. */
static uint64
hash_request(const GovPageRequest *request)
{
	StringInfoData bytes;
	uint64		hash;

	initStringInfo(&bytes);
	add_text(&bytes, request->owner);
	pq_sendint8(&bytes, request->is_tree);
	add_texts(&bytes, &request->capability_ids);
	pq_sendint8(&bytes, request->sort);
	pq_sendint8(&bytes, request->is_descending);
	pq_sendint8(&bytes, request->scope);
	add_text(&bytes, request->min_utilization == NULL ? NULL :
			 cstring_to_text(numeric_normalize(request->min_utilization)));
	pq_sendint8(&bytes, request->has_types);
	add_texts(&bytes, &request->type_ids);
	add_text(&bytes, request->search);
	add_text(&bytes, request->under_entity_id);
	hash = hash_bytes_extended((unsigned char *) bytes.data, bytes.len, 0);
	pfree(bytes.data);
	return hash;
}

static void
read_arguments(FunctionCallInfo fcinfo, GovPageRequest *request)
{
	memset(request, 0, sizeof(*request));
	request->owner = text_argument(fcinfo, ARG_OWNER_ID);
	if (request->owner == NULL)
		gov_error_null_argument("owner_id");
	gov_owner_require_visible(request->owner);
	request->is_tree = !texts_argument(fcinfo, ARG_CAPABILITY_IDS, "capability_ids",
									   &request->capability_ids);
	request->sort = word_argument(fcinfo, ARG_SORT_BY, "sort_by", sorts);
	request->is_descending = word_argument(fcinfo, ARG_SORT_ORDER, "sort_order", orders) == 1;
	request->scope = word_argument(fcinfo, ARG_SCOPE, "scope", scopes);
	if (!PG_ARGISNULL(ARG_MIN_UTILIZATION))
		request->min_utilization = PG_GETARG_NUMERIC(ARG_MIN_UTILIZATION);
	request->has_types = texts_argument(fcinfo, ARG_TYPE_IDS, "type_ids",
										&request->type_ids);
	request->search = search_argument(fcinfo);
	request->under_entity_id = text_argument(fcinfo, ARG_UNDER_ENTITY_ID);
	request->size = page_size_argument(fcinfo);
	request->hash = hash_request(request);
	if (!PG_ARGISNULL(ARG_AFTER))
		request->after = gov_page_cursor_read(request, PG_GETARG_TEXT_PP(ARG_AFTER));
}

/*
 * gov_query(owner_id text, capability_ids text[], sort_by text, sort_order text,
 * scope text, min_utilization numeric, type_ids text[], search text,
 * under_entity_id text, page_size int, after text) returns jsonb
 */
Datum
gov_query_1_0(PG_FUNCTION_ARGS)
{
	GovPageRequest request;
	GovPage		page;
	GovSheet   *sheet;
	const char *part;
	Datum		result;

	read_arguments(fcinfo, &request);
	part = request.under_entity_id != NULL ? text_to_cstring(request.under_entity_id) : NULL;
	for (int attempt = 0;; attempt++)
	{
		sheet = gov_sheet_open(VARDATA_ANY(request.owner),
							   VARSIZE_ANY_EXHDR(request.owner), part, attempt);
		if (gov_page_pick(sheet, &request, &page))
			break;
		gov_sheet_close(sheet);
	}
	result = gov_page_json(sheet, &request, &page);
	gov_sheet_close(sheet);
	PG_RETURN_DATUM(result);
}
