/* ---------------------------------------------------------------------------------------------------------------- */
/* Recounting                                                                                                       */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_recount
(
    assignment_id uuid,
    since timestamptz default null,
    by text default 'recorded',
    out window_start timestamptz,
    out window_end timestamptz,
    out usage numeric,
    out former_usage numeric,
    out counted_since timestamptz,
    out counted_windows bigint,
    out counted_events bigint
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_recount_1_1';

comment on function @extschema@.gov_recount(uuid, timestamptz, text) is
$$Counts a budget again from the ledger, by its present cadence, anchor and time zone: its windows from a time on, and the present one. What it
had counted in them before is replaced; earlier windows stay. Open holds stay held against the budgets that they were made on, and no
alert is raised before the next use. A budget by a default is counted again as an assignment is; where an assignment goes on with the
count of a default, what was counted again goes on under both. Calls of the owner go on while the ledger is read; then those that charge a
budget wait, for the rest of it, and to the end of the transaction. It waits itself for open transactions that have used the owner; lock_timeout applies.

assignment_id: of gov_used_assignments: an assignment, or a budget by a default that was used (an amount of 0 is a use); since: counts what occurred from then on; null: from the first event on, or where retention has deleted
    events, from the first window of which it has deleted none; by: recorded counts what was recorded for the budget's entity and
    scope, as the tree was then; tree also what any entity that is now below it, or below those of the scope, has used
result: window_start, window_end: the present window, null for a budget that never resets; usage: what is used in it; former_usage:
    what had been counted in it before; counted_since: from when on was counted, null: from the first event on; counted_windows,
    counted_events: how many windows have usage, and of how many events
errors: GV003 the owner is frozen; 42704 unknown budget; 22004 null assignment_id or by; 22023 a since that is infinite or in the future, another by;
    55000 a budget whose window_kind is not calendar, retention has deleted events that are needed, somebody of the owner is being forgotten, or the transaction has used the owner itself; 54000 a scope of more than
    63 entities; 25006 in a read-only transaction and on a standby
since: 1.1.0$$;

create function @extschema@._gov_recount_window_start(cadence text, anchor_at timestamptz, timezone text, at timestamptz)
returns timestamptz
language c
stable
parallel safe
as 'MODULE_PATHNAME', 'gov_recount_window_start_1_1';

comment on function @extschema@._gov_recount_window_start(text, timestamptz, text, timestamptz) is
    'internal: the start of the window that gov_recount counts a time in, by the rule of a row of gov_recounts (22023 for a rule that none can have)';

create function @extschema@._gov_recounted
(
    owner_id text,
    capability_id text,
    since timestamptz,
    through_id bigint,
    cadence text,
    anchor_at timestamptz,
    timezone text,
    member_ids text[],
    member_sets int[],
    sets int,
    out window_start timestamptz,
    out amount numeric,
    out event_count bigint
)
returns setof record
language c
stable
parallel unsafe
as 'MODULE_PATHNAME', 'gov_recounted_1_1';

comment on function @extschema@._gov_recounted(text, text, timestamptz, bigint, text, timestamptz, text, text[], int[], int) is
    'internal: what a row of gov_recounts comes to by the ledger, per window, for gov_verify; refuses an owner that the session may not see (42501), and a rule that no row can have (22023)';

create function @extschema@._gov_raise_barrier(owner_id text)
returns void
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_raise_barrier_1_1';

comment on function @extschema@._gov_raise_barrier(text) is
    'internal: waits for the transactions that have used this owner, and keeps all other calls of it waiting to the end of this one; refuses a transaction that has used it itself (55000)';
