/*
 * write.h
 *		What the writing calls have in common.
 */
#ifndef GOV_WRITE_H
#define GOV_WRITE_H

#include "call/request.h"
#include "gate/gate.h"
#include "ledger/keys.h"

extern void gov_write_begin(const char *call);
extern void gov_write_lock(Oid table);
extern void gov_write_require_same(text *key, bytea *hash, bool makes_hold,
								   const GovKeyHolder *holder);
extern bool gov_write_find_duplicate(const char *owner, text *key, bytea *hash,
									 bool makes_hold, GovKeyHolder *holder);
extern void gov_write_gate(const GovRequest *request, GovUse use,
						   GovResolution **resolution, GovDecision *decision);
extern GovGateStatus gov_write_try_gate(const GovRequest *request, GovUse use, bool mends,
										GovResolution **resolution, GovDecision *decision);
extern void gov_write_raise(GovGateStatus status, const GovRequest *request,
							const GovDecision *decision);
extern void gov_write_look_again(const GovArguments *arguments, GovResolution **resolution,
								 GovDecision *decision);

#endif							/* GOV_WRITE_H */
