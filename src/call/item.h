/*
 * item.h
 *		Reads an item of a batch.
 */
#ifndef GOV_ITEM_H
#define GOV_ITEM_H

#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "call/request.h"

/* What the items of a call are. */
typedef struct GovItemKind
{
	const char *noun;			/* with its article, as messages say it */
	const char *example;
	const char *keys;
	bool		has_owner;		/* each names its owner */
	bool		has_time;		/* each may say when it was */
} GovItemKind;

extern const GovItemKind gov_item_event;
extern const GovItemKind gov_item_owners_event;
extern const GovItemKind gov_item_request;
extern const GovItemKind gov_item_settlement;

extern void gov_item_read(const GovItemKind *kind, text *owner, const JsonbValue *item,
						  GovArguments *arguments);
extern void gov_item_read_settlement(const JsonbValue *item, pg_uuid_t *hold, Numeric *amount);

#endif							/* GOV_ITEM_H */
