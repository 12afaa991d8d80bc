/*
 * forget.h
 *		Rewrites what is recorded of somebody who is to be forgotten.
 */
#ifndef GOV_FORGET_H
#define GOV_FORGET_H

#include "postgres.h"

typedef struct GovForgetting GovForgetting;

extern bool gov_forget_rewrite(uint64 *nrewritten);
extern GovForgetting *gov_forget_list(void);
extern bool gov_forget_is_later(const GovForgetting *list, const Datum *values);

#endif							/* GOV_FORGET_H */
