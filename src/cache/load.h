/*
 * load.h
 *		Reads entities, budgets and their counts from the tables.
 */
#ifndef GOV_LOAD_H
#define GOV_LOAD_H

#include "base/spi.h"
#include "cache/node_claim.h"

#define GOV_BUDGETS_MAX		256 /* of one entity and capability */

/* An id to load, and what the tables say about it. */
typedef struct GovLoaded
{
	const char *id;
	uint32		id_length;
	GovEntity  *entity;			/* NULL: no such entity */
	GovSharedCounter *counters; /* one per budget */
	bool	   *is_own;			/* per budget, in a private load: nobody else
								 * sees it */
} GovLoaded;

/* An entity that no table has yet, as a use would write it. */
typedef struct GovWouldBe
{
	const char *id;
	const char *type;
	const char *parent;			/* NULL: a root */
	uint32		id_length;
	uint32		parent_length;
} GovWouldBe;

/* An entity that a call has met, with its type. */
typedef struct GovMetEntity
{
	const char *id;
	uint32		id_length;
	const char *type;
	uint32		type_length;
} GovMetEntity;

/* What a call has met, for budgets whose scope it makes; NULL: nothing is known of that. */
typedef struct GovMet
{
	int			count;
	GovMetEntity *items;
} GovMet;

typedef struct GovLoadedList
{
	int			count;
	GovLoaded  *items;
} GovLoadedList;

/* Is the id known already, with all its ancestors? */
typedef bool (*GovLoadKnows) (const char *id, uint32 id_length);

extern GovNodeStatus gov_load_shared(const GovOwnerKey *key, const GovLoaded *ids,
									 int nids, const GovMet *met, const GovFreshness *since);
pg_noreturn extern void gov_load_refuse_budgets(const char *entity, const char *capability);
extern GovLoaded *gov_load_would_be(const GovOwnerKey *key, const GovWouldBe *of, const GovMet *met);
extern void gov_load_private(const GovOwnerKey *key, const GovLoaded *ids, int nids,
							 const GovMet *met, bool has_own, TimestampTz now,
							 GovLoadKnows knows, GovLoadedList *result);
extern void gov_load_as_of(const GovOwnerKey *key, const GovLoaded *ids, int nids, TimestampTz now,
						   GovLoadedList *result);
extern void gov_load_abandon(void);
#ifdef USE_ASSERT_CHECKING
extern bool gov_load_has_claims(void);
#endif

#endif							/* GOV_LOAD_H */
