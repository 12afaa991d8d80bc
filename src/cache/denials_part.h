/*
 * denials_part.h
 *		Entries that count denials, in one part of shared memory.
 */
#ifndef GOV_DENIALS_PART_H
#define GOV_DENIALS_PART_H

#include "postgres.h"

#include "base/shmem.h"
#include "cache/denials.h"

#define GOV_DENIALS_ASK_S			2	/* between two calls for a worker */

typedef struct GovSharedDenial
{
	uint32		size;			/* with its texts */
	uint32		hash;
	uint32		next;			/* offset in the part, plus 1, of the next one
								 * in the bucket; or 0 */
	uint32		room;			/* for the texts that are not of the key */
	Oid			database;
	Oid			extension;
	int			taker;			/* process that has taken it; or 0 */
	int			taken_level;	/* of its (sub)transaction */
	uint32		take;			/* in which of the process's takes */
	bool		is_live;
	bool		is_check;
	bool		has_budget;
	uint8		reason;			/* GovDenial */
	uint16		lengths[GOV_DENIED_TEXTS];	/* plus 1; 0: null */
	pg_uuid_t	budget_id;
	GovWindow	window;
	int64		count;
	int64		taken_count;
	GovAmount	amount;
	GovAmount	taken_amount;
	TimestampTz first_at;
	TimestampTz last_at;
	TimestampTz asked_at;		/* when a worker was called for */
	uint64		last;			/* names the present caller and last entity;
								 * from 1, none twice in a part */
	char		texts[FLEXIBLE_ARRAY_MEMBER];
} GovSharedDenial;

/* The entry that begins at an offset. */
static inline GovSharedDenial *
gov_denials_part_at(GovSharedDenials *part, uint32 offset)
{
	return (GovSharedDenial *) (part->bytes + offset);
}

/* Where an entry is, as long as its part has this layout. */
typedef struct GovDeniedPlace
{
	GovSharedDenials *part;
	GovSharedDenial *entry;
	uint64		layout;
	uint64		last;			/* of the entry, if it says of this denial that
								 * it was the last; or 0 */
} GovDeniedPlace;

/* Was a worker called for lately, to write the entry? */
static inline bool
gov_denials_part_is_asked(const GovSharedDenial *entry, TimestampTz now)
{
	return entry->asked_at <= now && now < entry->asked_at + GOV_DENIALS_ASK_S * USECS_PER_SEC;
}

static inline uint32
gov_denials_part_length(const GovSharedDenial *entry, int which)
{
	return entry->lengths[which] == 0 ? 0 : entry->lengths[which] - 1;
}

extern uint32 gov_denials_part_hash(const GovDenied *denied);
extern GovSharedDenial *gov_denials_part_entry(GovSharedDenials *part, uint32 hash,
											   const GovDenied *denied);
extern bool gov_denials_part_count(GovSharedDenials *part, GovSharedDenial *entry,
								   const GovDenied *denied);
extern GovDeniedPlace gov_denials_part_place(GovSharedDenials *part, GovSharedDenial *entry,
											 const GovDenied *denied);
extern void gov_denials_part_kill(GovSharedDenials *part, GovSharedDenial *entry);
extern void gov_denials_part_squeeze(GovSharedDenials *part);

#endif							/* GOV_DENIALS_PART_H */
