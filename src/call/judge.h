/*
 * judge.h
 *		Judges one item of a batch: what is wrong with it is said, and not raised.
 */
#ifndef GOV_JUDGE_H
#define GOV_JUDGE_H

#include "call/record.h"

extern char *gov_judge_compute(void (*body) (void *arg), void *arg);
extern char *gov_judge_use(GovPrepared *prepared, GovUse use, GovRecorded *recorded,
						   GovDecision *decision);
extern char *gov_judge_again(const GovRequest *request, GovDecision *decision);
extern void gov_judge_preload(const GovRequest **requests, int count);

#endif							/* GOV_JUDGE_H */
