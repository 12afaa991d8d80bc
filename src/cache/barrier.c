/*
 * barrier.c
 *		Keeps the calls of one owner out while something is done to all it has.
 *
 * PURPOSE
 *		Recounting a budget needs a moment in which no call of the owner is in
 *		flight, because rows that others are about to commit name counters of
 *		before.  So does whatever else is done to all rows of an owner.  Whoever
 *		raises the owner's barrier waits for the transactions that have charged
 *		the owner; from then to the end of its own transaction there are no
 *		others.  What it reads under a snapshot taken after that is all there is.
 *
 * PROTOCOL
 *		A call that charges enters: with the stripe locked it looks whether a
 *		barrier is raised on the stripe, and if not, notes in shared memory that
 *		its transaction has entered this owner.  It does so when it notes how
 *		fresh the nodes must be that it uses, with the lock held throughout: so
 *		what it knows of the catalog is from after it entered.
 *
 *		To raise a barrier:
 *		1. Take the owner's heavyweight lock, ExclusiveLock.
 *		2. With the stripe locked, count the barrier there, and list the
 *		   transactions that have entered the owner.
 *		3. Wait for each of them to end.
 *
 *		A call that finds a barrier on its stripe takes the heavyweight lock of
 *		its owner, ShareLock, and enters then.  If the barrier was another
 *		owner's that lock is free.  If it is its own, the call waits until the
 *		barrier opens.  A transaction that has entered already passes: whoever
 *		raises the barrier waits for its end anyway.
 *
 * LAYOUT
 *		An owner is a slot of a stripe, which other owners may share: then their
 *		transactions are waited for too.  What a backend has entered is a bit for
 *		each slot.  No transaction is too large for that.
 *
 * LOCKING
 *		A backend sets its bits with the stripe locked, exclusive, and clears
 *		them without, when its transaction is over.  The heavyweight lock and
 *		those on transactions are waited for with nothing of ours locked, so the
 *		deadlock detector, lock_timeout and interrupts see to them.  To list
 *		transactions takes as long as to look at a cache line for each connection
 *		that there may be.
 *
 * FAILURE
 *		A barrier opens when the (sub)transaction that raised it ends, however it
 *		does, and with a crash, which takes the shared memory along.  A
 *		transaction that has itself charged the owner cannot raise its barrier:
 *		55000.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "cache/barrier.h"

#define LOCK_NUMBERS	32767	/* of the lock, by hash of the owner */
#define BITS_PER_WORD	64
#define RAISED_AT_FIRST	4

/* A barrier that this transaction has raised. */
typedef struct GovRaised
{
	int			stripe;
	uint32		owner_hash;
	int			level;			/* of the (sub)transaction */
	int			renamed_level;	/* of that which has given an entity another
								 * id; 0: none has */
} GovRaised;

static GovRaised *raised = NULL;
static int	nraised = 0;
static int	raised_capacity = 0;

/* What this transaction has entered: how many bits, and the word of the first. */
static int	nentered = 0;
static int	first_word;

/* The owner whose lock was just taken, to enter with it. */
static bool is_admitted = false;
static uint32 admitted_hash;

/* ---------------------------------------------------------------- what was entered */

static int
word_of(const GovOwnerKey *key)
{
	return (key->stripe * GOV_OWNER_SLOTS + key->slot) / BITS_PER_WORD;
}

static uint64
bit_of(const GovOwnerKey *key)
{
	return UINT64CONST(1) << ((key->stripe * GOV_OWNER_SLOTS + key->slot) % BITS_PER_WORD);
}

/* This backend's entry, which is the same as long as it lives. */
static GovSharedEntered *
own_entry(void)
{
	static GovSharedEntered *own = NULL;

	if (unlikely(own == NULL))
		own = &gov_shared_entered[MyProc - ProcGlobal->allProcs];
	return own;
}

static bool
has_entered(const GovOwnerKey *key)
{
	return (own_entry()->slots[word_of(key)] & bit_of(key)) != 0;
}

#ifdef USE_ASSERT_CHECKING
/* Has this transaction entered the owner, or one of the same slot? */
bool
gov_barrier_has_entered(const GovOwnerKey *key)
{
	return has_entered(key);
}
#endif

/* Note that this transaction enters the owner. */
static void
note_entered(const GovOwnerKey *key)
{
	GovSharedEntered *own = own_entry();

	if (nentered++ == 0)
		first_word = word_of(key);
	own->transaction = gov_local_transaction();
	own->slots[word_of(key)] |= bit_of(key);
}

/*
 * Enter an owner, to charge it; false if somebody may be keeping calls out.
 * Then gov_barrier_wait() does, and this is tried again.  The stripe is locked.
 */
bool
gov_barrier_enter(const GovOwnerKey *key)
{
	const GovSharedStripe *stripe = gov_stripe(key->stripe);

	Assert(LWLockHeldByMeInMode(unconstify(LWLock *, &stripe->lock), LW_EXCLUSIVE));
	if (has_entered(key))
		return true;
	if (unlikely(stripe->nbarriers > 0) && !(is_admitted && admitted_hash == key->hash))
		return false;
	note_entered(key);
	return true;
}

/* ---------------------------------------------------------------- the owner's lock */

/* Take the owner's lock to the end of the transaction; false if that would wait. */
static bool
lock_owner(uint32 owner_hash, LOCKMODE mode, bool waits)
{
	LOCKTAG		tag;

	/* sub-object 0 would be the table itself */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, gov_catalog()->events,
					   1 + owner_hash % LOCK_NUMBERS);
	return LockAcquire(&tag, mode, false, !waits) != LOCKACQUIRE_NOT_AVAIL;
}

static bool
be_admitted(const GovOwnerKey *key, bool waits)
{
	Assert(!gov_stripe_is_held());
	GOV_FAULT(GOV_FAULT_WAIT);
	if (!lock_owner(key->hash, ShareLock, waits))
		return false;
	is_admitted = true;
	admitted_hash = key->hash;
	return true;
}

/* Wait until nobody keeps calls of the owner out. */
void
gov_barrier_wait(const GovOwnerKey *key)
{
	(void) be_admitted(key, true);
}

/*
 * Enter an owner to change rows of holds or events that it has, without charging it;
 * false if that would have to wait and must not.
 */
bool
gov_barrier_pass(const GovOwnerKey *key, bool waits)
{
	for (;;)
	{
		bool		is_in;

		gov_stripe_lock(gov_stripe(key->stripe), LW_EXCLUSIVE);
		is_in = gov_barrier_enter(key);
		if (is_in)
			own_entry()->changes_rows = true;
		gov_stripe_unlock(gov_stripe(key->stripe));
		if (is_in)
			return true;
		if (!be_admitted(key, waits))
			return false;
	}
}

/* ---------------------------------------------------------------- barriers */

/*
 * List the other transactions of this database that have entered the owner, or of
 * these only those that change rows which there were before; returns how many.  The
 * stripe is locked.
 */
static int
list_entered(const GovOwnerKey *key, bool only_changing, VirtualTransactionId *list)
{
	int			count = 0;

	Assert(LWLockHeldByMe(&gov_stripe(key->stripe)->lock));
	for (int i = 0; i < MaxBackends; i++)
	{
		const GovSharedEntered *entered = &gov_shared_entered[i];
		const PGPROC *proc = &ProcGlobal->allProcs[i];

		if ((entered->slots[word_of(key)] & bit_of(key)) == 0 || entered == own_entry() ||
			proc->databaseId != MyDatabaseId || (only_changing && !entered->changes_rows))
			continue;
		GET_VXID_FROM_PGPROC(list[count], *proc);
		list[count++].localTransactionId = entered->transaction;
	}
	return count;
}

static void
await_all(const VirtualTransactionId *list, int count)
{
	for (int i = 0; i < count; i++)
	{
		GOV_FAULT(GOV_FAULT_WAIT);
		VirtualXactLock(list[i], true);
	}
}

static void
await_entered(const GovOwnerKey *key, bool only_changing)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	VirtualTransactionId *list = palloc(sizeof(VirtualTransactionId) * MaxBackends);
	int			count;

	gov_stripe_lock(stripe, LW_SHARED);
	count = list_entered(key, only_changing, list);
	gov_stripe_unlock(stripe);
	await_all(list, count);
	pfree(list);
}

/*
 * Wait for the transactions that have charged the owner, while others go on
 * doing so.  Before a barrier is raised this keeps short for how long it is: who
 * stays open for long is waited for here.
 */
void
gov_barrier_await_calls(const GovOwnerKey *key)
{
	await_entered(key, false);
}

/*
 * Wait for the transactions that have settled, released, extended or expired a hold
 * of the owner, or reversed an event: they have its row to their ends.
 */
void
gov_barrier_await_changes(const GovOwnerKey *key)
{
	await_entered(key, true);
}

static bool
has_raised(const GovOwnerKey *key)
{
	for (int i = 0; i < nraised; i++)
	{
		if (raised[i].owner_hash == key->hash)
			return true;
	}
	return false;
}

/*
 * Raise an error if this transaction has used the owner itself, or one of the same
 * slot.
 */
void
gov_barrier_require_unused(const GovOwnerKey *key)
{
	if (has_entered(key))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this transaction has used owner \"%s\" itself", gov_error_shown(key->owner)),
				 errdetail("What it has recorded or held is not committed yet."),
				 errhint("Commit first, or call this in a transaction of its own.")));
}

static void
make_room(void)
{
	int			wanted = nraised == 0 ? RAISED_AT_FIRST : 2 * nraised;

	if (nraised < raised_capacity)
		return;
	GOV_FAULT(GOV_FAULT_MEMORY);
	if (raised == NULL)
		raised = MemoryContextAlloc(TopMemoryContext, sizeof(GovRaised) * wanted);
	else
		raised = repalloc(raised, sizeof(GovRaised) * wanted);
	raised_capacity = wanted;
}

/*
 * Keep calls of the owner out to the end of the transaction, and wait for those
 * that are in flight.
 */
void
gov_barrier_raise(const GovOwnerKey *key)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	VirtualTransactionId *list;
	int			count;

	gov_barrier_require_unused(key);
	if (has_raised(key))
		return;
	make_room();
	list = palloc(sizeof(VirtualTransactionId) * MaxBackends);
	GOV_FAULT(GOV_FAULT_WAIT);
	(void) lock_owner(key->hash, ExclusiveLock, true);

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	stripe->nbarriers++;
	raised[nraised++] = (GovRaised) {key->stripe, key->hash, GetCurrentTransactionNestLevel(), 0};
	count = list_entered(key, false, list);
	gov_stripe_unlock(stripe);
	await_all(list, count);
	pfree(list);
}

/* This transaction, which has raised the owner's barrier, has given an entity of it another id. */
void
gov_barrier_note_renamed(const GovOwnerKey *key)
{
	for (int i = 0; i < nraised; i++)
	{
		if (raised[i].owner_hash == key->hash)
			raised[i].renamed_level = GetCurrentTransactionNestLevel();
	}
}

/* Has it, and not rolled that back? */
bool
gov_barrier_has_renamed(const GovOwnerKey *key)
{
	for (int i = 0; i < nraised; i++)
	{
		if (raised[i].owner_hash == key->hash && raised[i].renamed_level > 0)
			return true;
	}
	return false;
}

/* Has this transaction raised a barrier? */
bool
gov_barrier_is_raised(void)
{
	return nraised > 0;
}

/* ---------------------------------------------------------------- ends of transactions */

static void
open_last(void)
{
	GovSharedStripe *stripe = gov_stripe(raised[--nraised].stripe);

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	Assert(stripe->nbarriers > 0);
	stripe->nbarriers--;
	gov_stripe_unlock(stripe);
}

/*
 * The transaction is over, and what it had in flight is settled.  Those who
 * wait go on when its locks are released, which is next.
 */
void
gov_barrier_end(void)
{
	is_admitted = false;
	while (nraised > 0)
		open_last();
	if (nentered == 0)
		return;
	own_entry()->changes_rows = false;
	if (nentered == 1)
		own_entry()->slots[first_word] = 0;
	else
		memset(own_entry()->slots, 0, sizeof(gov_shared_entered->slots));
	nentered = 0;
}

/*
 * A subtransaction has aborted, and its locks are gone.  What it has entered stays
 * so: it does no harm.
 */
void
gov_barrier_abort(int level)
{
	is_admitted = false;
	while (nraised > 0 && raised[nraised - 1].level >= level)
		open_last();
	for (int i = 0; i < nraised; i++)
	{
		if (raised[i].renamed_level >= level)
			raised[i].renamed_level = 0;
	}
}

/* A subtransaction has committed: its barriers are its parent's. */
void
gov_barrier_merge(int level)
{
	for (int i = 0; i < nraised; i++)
	{
		raised[i].level = Min(raised[i].level, level - 1);
		raised[i].renamed_level = Min(raised[i].renamed_level, level - 1);
	}
}
