/*
 * transaction.c
 *		What the engine does when a (sub)transaction ends.
 *
 * PURPOSE
 *		The one place with transaction callbacks, so that their order can be
 *		read here.
 *
 * ORDER
 *		Before a commit alerts are raised, while one may still write, and are sent
 *		last.  After a commit others can see our rows already: nodes are made
 *		stale first, and then what was queued is given back, which unpins the
 *		counters; then barriers open.  At an abort the claims of an unfinished load are given up, and
 *		nodes stop draining, before anything else, because others may be waiting
 *		for them.
 *
 * FAILURE
 *		What runs before a commit may raise, which fails the transaction.  What
 *		runs after a commit or at an abort may not raise, wait for anybody, or
 *		read a table.  PREPARE TRANSACTION is refused, because another session
 *		could not find what we have in memory.
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/spi.h"
#include "cache/barrier.h"
#include "cache/changes.h"
#include "cache/created.h"
#include "cache/denials.h"
#include "cache/frozen.h"
#include "cache/own_counts.h"
#include "cache/own_nodes.h"
#include "cache/pending.h"
#include "cache/prices.h"
#include "cache/private_view.h"
#include "cache/reset.h"
#include "cache/tail.h"
#include "cache/tail_learn.h"
#include "cache/types.h"
#include "rollup/alert.h"
#include "rollup/notify.h"
#include "transaction.h"

static void
forget_private(void)
{
	gov_private_drop();
	gov_own_nodes_end();
	gov_types_forget_own_changes();
	gov_prices_forget_own_changes();
	gov_frozen_forget_own_changes();
}

static void
refuse_prepare(void)
{
	if (gov_pending_has_written() || !gov_changes_is_empty() || gov_notify_is_pending() ||
		gov_denials_are_taken() || gov_barrier_is_raised())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has used governance"),
				 errdetail("It has made a writing call or changed the catalog."),
				 errhint("Use COMMIT.")));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			gov_alert_before_commit();
			gov_notify_before_commit();
			gov_own_announce();
			gov_changes_before_commit();
			break;
		case XACT_EVENT_PRE_PREPARE:
			refuse_prepare();
			break;
		case XACT_EVENT_PREPARE:
			forget_private();
			gov_tail_prepare();
			break;
		case XACT_EVENT_COMMIT:
			forget_private();
			gov_changes_commit();
			gov_created_commit();
			gov_own_end();
			gov_pending_commit();
			gov_tail_commit();
			gov_changes_drop_deleted();
			gov_barrier_end();
			gov_denials_commit();
			gov_alert_forget();
			gov_notify_abort(0);
			break;
		case XACT_EVENT_ABORT:
			gov_load_abandon();
			gov_tail_learn_abandon();
			gov_reset_abandon();
			gov_spi_abort(0);
			forget_private();
			gov_changes_abort();
			gov_created_abort(0);
			gov_own_end();
			gov_pending_abort(0);
			gov_tail_abort(0);
			gov_barrier_end();
			gov_denials_abort(0);
			gov_alert_forget();
			gov_notify_abort(0);
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			gov_pending_merge(GetCurrentTransactionNestLevel());
			gov_created_merge(GetCurrentTransactionNestLevel());
			gov_own_merge(GetCurrentTransactionNestLevel());
			gov_barrier_merge(GetCurrentTransactionNestLevel());
			gov_denials_merge(GetCurrentTransactionNestLevel());
			gov_notify_merge(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			gov_load_abandon();
			gov_tail_learn_abandon();
			gov_reset_abandon();
			gov_spi_abort(GetCurrentTransactionNestLevel());
			forget_private();
			gov_created_abort(GetCurrentTransactionNestLevel());
			gov_pending_abort(GetCurrentTransactionNestLevel());
			gov_own_abort(GetCurrentTransactionNestLevel());
			gov_tail_abort(GetCurrentTransactionNestLevel());
			gov_barrier_abort(GetCurrentTransactionNestLevel());
			gov_denials_abort(GetCurrentTransactionNestLevel());
			gov_notify_abort(GetCurrentTransactionNestLevel());
			break;
		default:
			break;
	}
}

void
gov_transaction_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
