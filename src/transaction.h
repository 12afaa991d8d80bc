/*
 * transaction.h
 *		What the engine does when a (sub)transaction ends.
 */
#ifndef GOV_TRANSACTION_H
#define GOV_TRANSACTION_H

extern void gov_transaction_init(void);

#endif							/* GOV_TRANSACTION_H */
