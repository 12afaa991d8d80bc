/*
 * keys.h
 *		Idempotency keys: one name space over the ledger and the holds.
 */
#ifndef GOV_KEYS_H
#define GOV_KEYS_H

#include "postgres.h"

#include "utils/uuid.h"

typedef struct GovKey
{
	const char *owner;
	text	   *key;
} GovKey;

/* What has a key. */
typedef struct GovKeyHolder
{
	bool		is_hold;
	int64		event_id;
	pg_uuid_t	hold_id;
	bytea	   *request_hash;	/* of the call; NULL if that is not known */
} GovKeyHolder;

extern bool gov_key_find(const GovKey *key, GovKeyHolder *holder);

/* of GovIsTaken's type: for a new event, and for a new hold */
extern bool gov_key_has_hold(const void *key);
extern bool gov_key_has_event(const void *key);

#endif							/* GOV_KEYS_H */
