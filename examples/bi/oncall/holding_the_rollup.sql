-- Transactions that the rollup has to let pass, the oldest first: an idle one delays it until it ends (pg_terminate_backend(pid)).
select
    w.pid,
    s.usename,
    s.application_name,
    s.state,
    now() - s.xact_start as transaction_age,
    now() - s.state_change as in_state_for
from gov_rollup_waits w
left join pg_stat_activity s on s.pid = w.pid
order by s.xact_start, w.pid;
