/*
 * denials_again.c
 *		Counts a denial like one that this process has counted before.
 *
 * PURPOSE
 *		Who has used a budget up, or is in a loop, is denied the same again and
 *		again, and that is to cost no more than to be granted it.  So a process
 *		remembers the last denials that it has counted, and in which entries.
 *		One that is the same in all but its time and amount is added there with
 *		no search and no hash, and with no lock but the part's mutex.
 *
 * LAYOUT
 *		GOV_DENIALS_REMEMBERED places, each for what falls there; the last one
 *		stays.
 *
 * LOCKING
 *		The mutex of the part, a spinlock, for as long as it takes to add.  An
 *		entry may be touched under it if the part is open, with the layout that
 *		it had when the entry was found: whatever was remembered of it holds then.
 *		If the part is closed somebody goes over it, and the caller waits for the
 *		lock as those do who have nothing to remember.
 *
 * INVARIANTS
 *		What an entry says of the last denial is of the last one.  If another
 *		process has put down somebody else there the entry has another number
 *		(GovSharedDenial.last), and the caller puts down its own.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "cache/denials_again.h"

#define GOV_DENIALS_REMEMBERED	8
#define GOV_DENIALS_TEXT_BYTES	256 /* of one denial; more is not remembered */

typedef struct GovRemembered
{
	GovDenied	denied;			/* its texts are below */
	GovDeniedPlace place;		/* layout 0: nothing is remembered */
	char		texts[GOV_DENIALS_TEXT_BYTES];
} GovRemembered;

static GovRemembered remembered[GOV_DENIALS_REMEMBERED];

static GovRemembered *
place_for(const GovDenied *denied)
{
	uint32		number = denied->budget_id.data[UUID_LEN - 1] ^ denied->is_check;

	return &remembered[(number + denied->lengths[GOV_DENIED_ENTITY] +
						denied->lengths[GOV_DENIED_DIMENSION]) % GOV_DENIALS_REMEMBERED];
}

static bool
texts_are_same(const GovDenied *a, const GovDenied *b)
{
	for (int which = 0; which < GOV_DENIED_TEXTS; which++)
	{
		uint32		length = a->lengths[which];

		if (length != b->lengths[which] ||
			(length > 0 ? memcmp(a->texts[which], b->texts[which], length) != 0 :
			 (a->texts[which] == NULL) != (b->texts[which] == NULL)))
			return false;
	}
	return true;
}

/* Are they the same but for their times and amounts? */
static bool
is_same(const GovDenied *a, const GovDenied *b)
{
	return memcmp(&a->budget_id, &b->budget_id, UUID_LEN) == 0 &&
		a->has_budget == b->has_budget &&
		a->window.start == b->window.start && a->window.end == b->window.end &&
		a->reason == b->reason && a->is_check == b->is_check &&
		a->extension == b->extension && a->owner_hash == b->owner_hash &&
		texts_are_same(a, b);
}

/* Add a denial to an entry, whose part is open and its mutex locked. */
static bool
add_to(GovSharedDenial *entry, uint64 last, const GovDenied *denied)
{
	GovAmount	sum;

	Assert(entry->is_live && entry->database == MyDatabaseId);
	if (entry->last != last || denied->last_at < entry->last_at ||
		!gov_denials_part_is_asked(entry, denied->last_at) ||
		!gov_amount_add(entry->amount, denied->amount, &sum))
		return false;
	entry->amount = sum;
	entry->count += denied->count;
	entry->last_at = denied->last_at;
	return true;
}

/* Count a denial; false if it must be counted the long way. */
bool
gov_denials_count_again(const GovDenied *denied)
{
	GovRemembered *before = place_for(denied);
	GovDeniedPlace *place = &before->place;
	bool		is_counted;

	if (place->layout == 0 || !is_same(&before->denied, denied))
		return false;
	SpinLockAcquire(&place->part->mutex);
	is_counted = place->part->open_layout == place->layout &&
		add_to(place->entry, place->last, denied);
	SpinLockRelease(&place->part->mutex);
	return is_counted;
}

/* A denial was counted in an entry that is there. */
void
gov_denials_remember(const GovDenied *denied, const GovDeniedPlace *place)
{
	GovRemembered *before = place_for(denied);
	uint32		bytes = 0;

	before->place.layout = 0;
	for (int which = 0; which < GOV_DENIED_TEXTS; which++)
		bytes += denied->lengths[which];
	if (bytes > GOV_DENIALS_TEXT_BYTES)
		return;
	before->denied = *denied;
	bytes = 0;
	for (int which = 0; which < GOV_DENIED_TEXTS; which++)
	{
		if (denied->texts[which] == NULL)
			continue;
		before->denied.texts[which] = memcpy(before->texts + bytes, denied->texts[which], denied->lengths[which]);
		bytes += denied->lengths[which];
	}
	before->place = *place;
}
