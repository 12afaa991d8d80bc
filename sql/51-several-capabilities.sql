/* ---------------------------------------------------------------------------------------------------------------- */
/* Run time: several capabilities in one call                                                                       */
/*                                                                                                                  */
/* As in 50-run-time.sql.                                                                                           */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_check_all
(
    owner_id text,
    amounts jsonb,
    dimensions jsonb default null,
    entity_ids text[] default null,
    out is_granted boolean,
    out denied_reason text,
    out denied_capability_id text,
    out remaining jsonb,
    out retry_at timestamptz,
    out chains jsonb
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_check_all_1_1';

comment on function @extschema@.gov_check_all(text, jsonb, jsonb, text[]) is
$$Whether so much of several capabilities may be used at once: of all, or of none. Changes nothing.

owner_id, dimensions, entity_ids: those of gov_check; amounts: an object with 1 to 16 capabilities and how much of each, in its
    unit: {"ai-tokens": 900, "requests": 1}; 0 or more, rounded to 9 decimals; or in place of how much an object of quantities, which
    is what they cost now: {"ai-dollars": {"input": 900, "output": 300}}, see gov_price
result: is_granted: whether all may be used, each as gov_check says; denied_reason: that of gov_check; where several hold, the first of
    Frozen, Blocked, UnknownEntity, Ungoverned, RequestedUsageExceedingLimit, BudgetExceeded; denied_capability_id: the first capability, in
    byte order, that is denied for that reason; null when granted, and for Frozen, Blocked and UnknownEntity, which deny all; remaining: by
    capability what gov_check has there, null for one without a hard budget; retry_at: when all budgets that deny may have ended to do
    so, null when granted or when one never does; chains: as of gov_check, each budget with its capabilityId, on one entity in byte
    order of those; null where the engine could not answer
errors: those of gov_check; 22023 amounts is no object or is empty, an amount is no number, or a quantity has no price; 22004 null amounts, or a null in it;
    54000 more than 16 capabilities
since: 1.1.0$$;

create function @extschema@.gov_ingest_all
(
    owner_id text,
    amounts jsonb,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null,
    occurred_at timestamptz default null,
    out event_ids jsonb,
    out is_duplicate boolean
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_ingest_all_1_1';

comment on function @extschema@.gov_ingest_all(text, jsonb, jsonb, text[], text, timestamptz) is
$$Records what was used of several capabilities, whatever the limits: an event for each, under one key. Each has the ids of all of them
in its column call_event_ids.

owner_id, dimensions, entity_ids, idempotency_key, occurred_at: those of gov_ingest; amounts: that of gov_check_all, and an amount
    may be negative, for a correction
result: event_ids: by capability the id in gov_events; is_duplicate: that of gov_ingest
errors: those of gov_ingest, and of gov_check_all about amounts
since: 1.1.0$$;

create function @extschema@.gov_consume_all
(
    owner_id text,
    amounts jsonb,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null,
    out is_granted boolean,
    out denied_reason text,
    out denied_capability_id text,
    out remaining jsonb,
    out retry_at timestamptz,
    out chains jsonb,
    out event_ids jsonb,
    out is_duplicate boolean
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_consume_all_1_1';

comment on function @extschema@.gov_consume_all(text, jsonb, jsonb, text[], text) is
$$gov_check_all and gov_ingest_all in one atomic step: either all budgets allow it and it is recorded, or nothing is.

arguments: those of gov_check_all; idempotency_key: that of gov_ingest, one for all; the order of capabilities makes no other call;
    a denied call uses no key
result: is_granted, denied_reason, denied_capability_id, remaining, retry_at, chains: as of gov_check_all, after the use if it was
    granted; event_ids: by capability the id in gov_events, null when denied; is_duplicate: that of gov_consume
errors: those of gov_consume, and of gov_check_all about amounts
since: 1.1.0$$;

create function @extschema@.gov_require_all
(
    owner_id text,
    amounts jsonb,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null
)
returns jsonb
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_require_all_1_1';

comment on function @extschema@.gov_require_all(text, jsonb, jsonb, text[], text) is
$$gov_consume_all for those who want a denial to be an error.

arguments: those of gov_consume_all
result: by capability the id in gov_events
errors: those of gov_consume_all; GV001 denied: the message has the capability and the reason, the detail the failing budgets as in
    chains of gov_check_all, the hint when it is worth trying again
since: 1.1.0$$;

create function @extschema@.gov_reserve_all
(
    owner_id text,
    amounts jsonb,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null,
    ttl interval default '5 minutes',
    out is_granted boolean,
    out denied_reason text,
    out denied_capability_id text,
    out remaining jsonb,
    out retry_at timestamptz,
    out reservation_id uuid,
    out expires_at timestamptz,
    out is_duplicate boolean,
    out state text,
    out chains jsonb,
    out amounts jsonb
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_reserve_all_1_1';

comment on function @extschema@.gov_reserve_all(text, jsonb, jsonb, text[], text, interval) is
$$Holds amounts of several capabilities on every budget of their set: of all, or of none. It is one hold, with one id. gov_settle_all,
gov_release and gov_extend take it; it expires as a whole.

arguments: those of gov_check_all; idempotency_key: that of gov_ingest, one for all; ttl: that of gov_reserve
result: is_granted, denied_reason, denied_capability_id, remaining, retry_at, chains: as of gov_check_all, after the hold if it was
    granted; reservation_id, expires_at, is_duplicate, state: those of gov_reserve; amounts: what is held of each capability, null when
    denied
errors: those of gov_reserve, and of gov_check_all about amounts
since: 1.1.0$$;

create function @extschema@.gov_settle_all
(
    reservation_id uuid,
    amounts jsonb default null,
    out event_ids jsonb,
    out is_duplicate boolean
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_settle_all_1_1';

comment on function @extschema@.gov_settle_all(uuid, jsonb) is
$$Ends a hold and records what was used, an event for each capability, as gov_ingest_all would now with the hold's entities and
dimensions. A hold of one capability, made by gov_reserve, is settled too.

reservation_id: of gov_reserve_all or gov_reserve; amounts: the true amounts, more or less than held, 0 or more; a held capability that
    is not in it is settled for 0, one that was not held is recorded all the same; null for what was held; what is given by
    quantities, now or when it was held, is what these cost now
result: event_ids: by capability the id in gov_events, null for one of kind concurrency, of which nothing is used up; is_duplicate: true when the hold had been settled before, whatever the amounts
errors: those of gov_settle, and of gov_check_all about amounts; 54000 more than 16 capabilities, counting those held;
    22023 one of kind concurrency that was not held
since: 1.1.0$$;
