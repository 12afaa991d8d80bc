/*
 * denials.h
 *		What was denied and is not in gov_denials yet.
 */
#ifndef GOV_DENIALS_H
#define GOV_DENIALS_H

#include "postgres.h"

#include "utils/uuid.h"

#include "pure/decide.h"
#include "pure/window.h"

/* The texts of a denial; those before the caller are part of what it is counted under. */
typedef enum GovDeniedText
{
	GOV_DENIED_OWNER,
	GOV_DENIED_CAPABILITY,
	GOV_DENIED_ENTITY,			/* that is blocked, or null */
	GOV_DENIED_DIMENSION,		/* that nothing governs, or null */
	GOV_DENIED_CALLER,
	GOV_DENIED_LAST_ENTITY		/* that the last call named, or null */
} GovDeniedText;

#define GOV_DENIED_KEY_TEXTS	GOV_DENIED_CALLER
#define GOV_DENIED_TEXTS		(GOV_DENIED_LAST_ENTITY + 1)

/* One denial, or all that are counted together. */
typedef struct GovDenied
{
	Oid			extension;
	uint32		owner_hash;		/* of the owner's key */
	GovDenial	reason;
	bool		is_check;		/* else a use or a hold */
	bool		has_budget;		/* else budget_id is zero */
	pg_uuid_t	budget_id;
	GovWindow	window;
	const char *texts[GOV_DENIED_TEXTS];	/* NULL: null */
	uint32		lengths[GOV_DENIED_TEXTS];	/* in bytes */
	int64		count;
	GovAmount	amount;
	TimestampTz first_at;
	TimestampTz last_at;
} GovDenied;

extern bool gov_denials_note(const GovDenied *denied);
extern void gov_denials_count_unkept(uint64 count);
extern bool gov_denials_exist(Oid extension);
extern int	gov_denials_take(int part, GovDenied **denied);
extern void gov_denials_take_owners(const char *owner);

/* of a transaction that has taken some */
extern bool gov_denials_are_taken(void);
extern void gov_denials_commit(void);
extern void gov_denials_abort(int level);
extern void gov_denials_merge(int level);

#endif							/* GOV_DENIALS_H */
