/*
 * denials_again.h
 *		Counts a denial like one that this process has counted before.
 */
#ifndef GOV_DENIALS_AGAIN_H
#define GOV_DENIALS_AGAIN_H

#include "postgres.h"

#include "cache/denials_part.h"

extern bool gov_denials_count_again(const GovDenied *denied);
extern void gov_denials_remember(const GovDenied *denied, const GovDeniedPlace *place);

#endif							/* GOV_DENIALS_AGAIN_H */
