/*
 * waits.h
 *		Names who the rollup waits for.
 */
#ifndef GOV_WAITS_H
#define GOV_WAITS_H

#include "postgres.h"

/*
 * A row of gov_rollup_waits in words.  Where the extension is not updated yet,
 * the view has only the process.
 */
#define GOV_ROLLUP_WAITER(w) \
	"coalesce(to_jsonb(" w ") ->> 'who', 'process ' || " w ".pid)"

extern void gov_waits_note(bool is_blocked);

#endif							/* GOV_WAITS_H */
