/*
 * worker_slots.h
 *		Which databases have a background worker, and starting one.
 */
#ifndef GOV_WORKER_SLOTS_H
#define GOV_WORKER_SLOTS_H

#include "base/shmem.h"

extern void gov_worker_wanted(void);
extern pid_t gov_worker_pid(void);
extern GovSharedWorker *gov_worker_slot(void);
extern bool gov_worker_is_at_work(void);
extern bool gov_worker_sweep(void);

/* of the worker itself */
extern bool gov_worker_enter(int number, GovSharedWorker *entered);
extern bool gov_worker_enter_again(Oid extension);
extern void gov_worker_leave(void);
extern GovSharedWorker *gov_worker_own_slot(void);
extern void gov_worker_begin_sweep(void);
extern void gov_worker_end_sweep(void);

#endif							/* GOV_WORKER_SLOTS_H */
