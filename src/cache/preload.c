/*
 * preload.c
 *		Loads at once what a batch of calls will need.
 *
 * PURPOSE
 *		A load costs its statements, whether of one entity or of a thousand.
 *		Each call of a batch would load what it names by itself.
 *
 * FAILURE
 *		Nobody relies on it: what is not loaded here each call loads, or says
 *		why it cannot.
 */
#include "postgres.h"

#include "access/xlog.h"

#include "cache/changes.h"
#include "cache/preload.h"

/* Move those of some ids that are not in memory to the front; returns how many. */
int
gov_preload_missing(const GovOwnerKey *owner, GovLoaded *ids, int nids)
{
	GovFreshness since;
	int			count = 0;

	if (!gov_shmem_is_available() || RecoveryInProgress() ||
		gov_changes_has_owner(owner->owner, owner->owner_length))
		return 0;
	since = gov_node_freshness(owner);
	for (int i = 0; i < nids; i++)
	{
		if (gov_node_look(owner, ids[i].id, ids[i].id_length, &since) == GOV_NODE_MISSING)
			ids[count++] = ids[i];
	}
	return count;
}

/* Load those of some ids that are not in memory, if there are several. */
void
gov_preload(const GovOwnerKey *owner, GovLoaded *ids, int nids)
{
	GovFreshness since = gov_node_freshness(owner);
	int			count = gov_preload_missing(owner, ids, nids);

	if (count > 1)
		gov_load_shared(owner, ids, count, NULL, &since);
}
