/*
 * denied.h
 *		Counts denials under what denies.
 */
#ifndef GOV_DENIED_H
#define GOV_DENIED_H

#include "gate/resolve.h"

extern void gov_denied_note(const GovRequest *request, bool is_check,
							const GovResolution *resolution, const GovDecision *decision);

#endif							/* GOV_DENIED_H */
