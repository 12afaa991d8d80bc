/*
 * worker.h
 *		The background worker of a database.
 */
#ifndef GOV_WORKER_H
#define GOV_WORKER_H

extern void gov_worker_wanted(void);
extern pid_t gov_worker_pid(void);

#endif							/* GOV_WORKER_H */
