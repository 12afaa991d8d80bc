/*
 * frozen.c
 *		Which owners are frozen.
 *
 * PURPOSE
 *		A frozen owner is being moved to another server, or has been: its calls
 *		are refused, and its catalog stays as it is (api_freeze.c).  Frozen owners
 *		are few, so each backend keeps a list of them, and a call that concerns
 *		another owner pays for looking whether the list is current.
 *
 * PROTOCOL
 *		Whoever freezes an owner has raised its barrier (barrier.c), and tells of
 *		the change before the barrier opens.  So a call that charges looks with the
 *		stripe locked, after it has entered the owner: if the list is not outdated
 *		then, it is right until the call's transaction ends.
 *
 * INVARIANTS
 *		gov_frozen_refresh() runs with no lock held; what may be asked under a
 *		stripe's lock allocates nothing.  The generation is read before the
 *		snapshot, so a change that the snapshot missed makes the list outdated.
 *		Without shared memory, and on a standby, nobody tells this backend of
 *		changes: there the owner is looked up at every call.
 *
 * FAILURE
 *		GV003 where a frozen owner is to be changed.  An extension that is not
 *		updated yet has no frozen owners.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/shmem.h"
#include "base/spi.h"
#include "cache/changes.h"
#include "cache/frozen.h"
#include "pure/bytes.h"

typedef struct GovFrozenOwner
{
	const char *owner;
	uint32		length;
} GovFrozenOwner;

int			gov_nfrozen = 0;

static MemoryContext context = NULL;
static GovFrozenOwner *owners;	/* in byte order */
static bool is_loaded = false;
static bool has_own_changes = false;
static uint64 loaded_generation;
static uint64 loaded_catalog;
static uint64 loaded_changes;

static GovQuery frozen_query = {
	.sql = "select f.owner_id from @gov_frozen_owners f"
};

static GovQuery one_query = {
	.sql = "select f.owner_id from @gov_frozen_owners f where f.owner_id = $1",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static int
compare_owners(const void *left, const void *right)
{
	const GovFrozenOwner *a = left;
	const GovFrozenOwner *b = right;

	return gov_bytes_compare(a->owner, a->length, b->owner, b->length);
}

/* Read who is frozen, or whether one owner is. */
static void
read_owners(const char *owner)
{
	Datum		args[1];
	int			count;

	if (owner != NULL)
		args[0] = CStringGetTextDatum(owner);
	count = (int) gov_spi_select(owner != NULL ? &one_query : &frozen_query, args, NULL);

	GOV_FAULT(GOV_FAULT_MEMORY);
	owners = MemoryContextAllocHuge(context, sizeof(GovFrozenOwner) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		owners[i].owner = MemoryContextStrdup(context, gov_spi_text(i, 1));
		owners[i].length = strlen(owners[i].owner);
	}
	qsort(owners, count, sizeof(GovFrozenOwner), compare_owners);
	gov_nfrozen = count;
}

static bool
is_current(uint64 generation)
{
	return is_loaded &&
		loaded_generation == generation &&
		loaded_catalog == gov_catalog()->generation &&
		has_own_changes == gov_changes_has_frozen() &&
		(!has_own_changes || loaded_changes == gov_changes_count());
}

/*
 * Make the list current, for a call of an owner; NULL: for any.  Where nobody tells
 * this backend of changes only that owner is looked up.
 */
void
gov_frozen_refresh(const char *owner)
{
	bool		is_told = gov_shmem_is_available() && !RecoveryInProgress();
	uint64		generation = is_told ?
	pg_atomic_read_u64(gov_shmem_frozen_generation(MyDatabaseId)) : 0;
	GovSpi		spi;

	if (is_told && is_current(generation))
		return;

	is_loaded = false;
	gov_nfrozen = 0;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "governance frozen owners",
										ALLOCSET_SMALL_SIZES);
	MemoryContextReset(context);
	loaded_generation = generation;
	loaded_catalog = gov_catalog()->generation;
	loaded_changes = gov_changes_count();
	has_own_changes = gov_changes_has_frozen();
	if (OidIsValid(gov_catalog()->frozen_owners))
	{
		gov_spi_begin(&spi);
		gov_spi_push_snapshot(has_own_changes ? GOV_SNAPSHOT_LATEST : GOV_SNAPSHOT_COMMITTED);
		read_owners(is_told ? NULL : owner);
		gov_spi_pop_snapshot();
		gov_spi_end(&spi);
	}
	is_loaded = true;
}

/* Has somebody changed what the list was read from?  In shared memory's calls. */
bool
gov_frozen_is_outdated(void)
{
	return loaded_generation != pg_atomic_read_u64(gov_shmem_frozen_generation(MyDatabaseId));
}

bool
gov_frozen_find(const char *owner, uint32 length)
{
	GovFrozenOwner key = {owner, length};

	Assert(is_loaded);
	return gov_nfrozen > 0 &&
		bsearch(&key, owners, gov_nfrozen, sizeof(GovFrozenOwner), compare_owners) != NULL;
}

void
gov_frozen_raise(const char *owner)
{
	ereport(ERROR,
			(errcode(GOV_ERRCODE_FROZEN),
			 errmsg("owner \"%s\" is frozen", gov_error_shown(owner)),
			 errdetail("It takes no writing call and no change of its catalog."),
			 errhint("Call the server that it is on now, or end this with gov_thaw_owner.")));
}

/*
 * Raise if the owner is frozen.  The caller has entered the owner, or keeps whoever
 * freezes it waiting in another way (rules/freeze.c).
 */
void
gov_frozen_require_open(const char *owner, uint32 length)
{
	const char *name = pnstrdup(owner, length);

	gov_frozen_refresh(name);
	if (gov_frozen_has(owner, length))
		gov_frozen_raise(name);
}

/*
 * Drop a list that has this transaction's own changes.  Called when the
 * transaction ends, and when a part of it aborts.
 */
void
gov_frozen_forget_own_changes(void)
{
	if (has_own_changes)
		is_loaded = false;
}
