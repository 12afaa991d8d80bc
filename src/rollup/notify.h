/*
 * notify.h
 *		Tells whoever listens of the alerts that a transaction has raised.
 */
#ifndef GOV_NOTIFY_H
#define GOV_NOTIFY_H

#include "postgres.h"

extern void gov_notify_alerts(const int64 *ids, int nids);
extern void gov_notify_before_commit(void);
extern bool gov_notify_is_pending(void);
extern void gov_notify_merge(int level);
extern void gov_notify_abort(int level);

#endif							/* GOV_NOTIFY_H */
