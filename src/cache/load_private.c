/*
 * load_private.c
 *		Loads entities, budgets and their counts for one backend alone.
 *
 * PURPOSE
 *		A transaction that has changed the catalog, and a check that shared
 *		memory cannot serve, read what a load reads (load.c) into their own
 *		memory.  Nobody else sees it, so there are no claims, and one snapshot
 *		serves for all: it has the transaction's own rows too.
 *
 * OWN CHANGES
 *		Beside shared memory such a view counts only budgets that others cannot
 *		see, so it asks which those are.
 */
#include "postgres.h"

#include "cache/load_steps.h"
#include "pure/bytes.h"

/* An id of a private load, by which the same one is found again. */
typedef struct GovIdBytes
{
	const char *bytes;
	uint32		length;
} GovIdBytes;

typedef struct GovMetId
{
	GovIdBytes	id;
	char		status;
} GovMetId;

/* What a private load has met already. */
#define SH_PREFIX met
#define SH_ELEMENT_TYPE GovMetId
#define SH_KEY_TYPE GovIdBytes
#define SH_KEY id
#define SH_HASH_KEY(tb, key) gov_entity_text_hash((key).bytes, (key).length)
#define SH_EQUAL(tb, a, b) \
	gov_bytes_equal((a).bytes, (a).length, (b).bytes, (b).length)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Add an id to a private load, unless it is there or known already. */
static void
want_private(GovLoad *load, met_hash *met, GovLoadKnows knows, const char *id,
			 uint32 id_length)
{
	GovIdBytes	key = {id, id_length};
	bool		is_there;

	if (knows(id, id_length))
		return;
	met_insert(met, key, &is_there);
	if (is_there)
		return;
	gov_load_make_room(load);
	gov_load_add(load, id, id_length);
}

/* Read ids and their ancestors. */
static void
read_private(GovLoad *load, const GovLoaded *ids, int nids, GovLoadKnows knows)
{
	met_hash   *met = met_create(CurrentMemoryContext, 16, NULL);
	int			first = 0;

	for (int i = 0; i < nids; i++)
		want_private(load, met, knows,
					 gov_load_copy(load, ids[i].id, ids[i].id_length), ids[i].id_length);
	while (first < load->count)
	{
		int			end = load->count;

		gov_load_entities(load, first);
		for (; first < end; first++)
		{
			const GovEntity *entity = load->items[first].entity;

			if (entity != NULL && entity->parent_id != 0)
				want_private(load, met, knows, gov_entity_string(entity, entity->parent_id),
							 gov_entity_length(entity, entity->parent_id));
		}
	}
	met_destroy(met);
}

/*
 * Read ids and their ancestors into this backend's own memory.  With has_own
 * it is for a transaction that has changed the catalog: of the counts only
 * those of budgets that nobody else sees are read, because shared memory has
 * the others.  Without, all counts are read.
 */
void
gov_load_private(const GovOwnerKey *key, const GovLoaded *ids, int nids,
				 const GovMet *met, bool has_own, TimestampTz now, GovLoadKnows knows,
				 GovLoadedList *result)
{
	GovLoad		load;

	gov_load_begin(&load, key);
	load.now = now;
	load.met = met;
	load.counts_overdue = has_own;
	load.has_own = has_own;
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	read_private(&load, ids, nids, knows);
	if (has_own && load.count > 0)
	{
		/* what is its own is counted, in whichever rows it is by now */
		gov_spi_set_snapshot(GOV_SNAPSHOT_COMMITTED);
		gov_load_own_budgets(&load);
	}
	gov_load_counters(&load);
	gov_spi_pop_snapshot();

	result->count = load.count;
	result->items = load.items;
}

static bool
knows_none(const char *id, uint32 id_length)
{
	return false;
}

/*
 * Read ids and their ancestors, with all counts, as the active snapshot has them: for
 * functions that are a part of somebody's query.
 */
void
gov_load_as_of(const GovOwnerKey *key, const GovLoaded *ids, int nids, TimestampTz now,
			   GovLoadedList *result)
{
	GovLoad		load;

	gov_load_begin(&load, key);
	load.now = now;
	read_private(&load, ids, nids, knows_none);
	gov_load_counters(&load);
	result->count = load.count;
	result->items = load.items;
}
