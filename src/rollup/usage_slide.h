/*
 * usage_slide.h
 *		Merges the grains of windows that slide, when they have left.
 */
#ifndef GOV_USAGE_SLIDE_H
#define GOV_USAGE_SLIDE_H

#include "postgres.h"

/* Merges a batch, and returns true when there may be more. */
extern bool gov_usage_slide(uint64 *nmerged);

#endif							/* GOV_USAGE_SLIDE_H */
