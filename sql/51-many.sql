/* ---------------------------------------------------------------------------------------------------------------- */
/* Many calls in one                                                                                                */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_consume_many
(
    requests jsonb,
    out "position" integer,
    out is_granted boolean,
    out denied_reason text,
    out remaining numeric,
    out retry_at timestamptz,
    out event_id bigint,
    out is_duplicate boolean,
    out error text
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_consume_many_1_1';

comment on function @extschema@.gov_consume_many(jsonb) is
$$Decides on 1 to 10,000 uses in one call, each by itself and in order, and records those that are granted.

requests: an array of objects with the keys ownerId, capabilityId, amount (1 if absent), dimensions, entityIds, idempotencyKey,
    which mean what the arguments of gov_consume do; each sees what those before it have taken, and they share its keys
result: a row per request, in order; position: from 1; is_granted, denied_reason, remaining, retry_at, event_id, is_duplicate: as
    of gov_consume, and null with an error; error: null, or what is wrong with the request, which then has changed nothing
errors: 22004 null argument; 22023 requests is no array or is empty; 54000 more than 10,000 requests; 55P03 others take the keys all
    the time; what is raised while something is written, also by a trigger or a constraint of yours, and what is not a request's fault
    (25006, 55000, 53400, 55P03, 40001, 40P01, 57014) ends the call
since: 1.1.0$$;

create function @extschema@.gov_ingest_many
(
    owner_id text,
    events jsonb,
    out "position" integer,
    out event_id bigint,
    out is_duplicate boolean,
    out error text
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_ingest_many_1_0';

comment on function @extschema@.gov_ingest_many(text, jsonb) is
$$Records 1 to 10,000 events of one owner in one call; a bad one gets its error, the rest are recorded.

owner_id: one of the vendor's customers; events: an array of objects with the keys capabilityId, amount (1 if absent), dimensions,
    entityIds, idempotencyKey, occurredAt, which mean what the arguments of gov_ingest do
result: a row per event, in order; position: from 1; event_id, is_duplicate: as of gov_ingest; error: null or what is wrong
errors: 22004 null argument; 22023 events is no array or is empty, malformed owner_id; 42501 another owner than that of
    governance.owner; 54000 more than 10,000 events; 55P03 others take the keys all the time; what is raised while something is
    written, also by a trigger or a constraint of yours, and what is not an event's fault (25006, 55000, 53400, 55P03, 40001, 40P01,
    57014) ends the call$$;

create function @extschema@.gov_ingest_each
(
    events jsonb,
    out "position" integer,
    out event_id bigint,
    out is_duplicate boolean,
    out error text
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_ingest_each_1_1';

comment on function @extschema@.gov_ingest_each(jsonb) is
$$Records 1 to 10,000 events of any owners in one call, as gov_ingest_many does those of one.

events: an array of objects with the key ownerId and those of gov_ingest_many: capabilityId, amount (1 if absent), dimensions,
    entityIds, idempotencyKey, occurredAt
result: a row per event, in order; position: from 1; event_id, is_duplicate: as of gov_ingest; error: null or what is wrong
errors: 22004 null argument; 22023 events is no array or is empty; 54000 more than 10,000 events; 55P03 others take the keys all the
    time; what is raised while something is written, also by a trigger or a constraint of yours, and what is not an event's fault
    (25006, 55000, 53400, 55P03, 40001, 40P01, 57014) ends the call
since: 1.1.0$$;

create function @extschema@.gov_settle_many
(
    settlements jsonb,
    out "position" integer,
    out event_id bigint,
    out is_duplicate boolean,
    out error text
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_settle_many_1_1';

comment on function @extschema@.gov_settle_many(jsonb) is
$$Settles 1 to 10,000 holds in one call, each as gov_settle does; a bad settlement gets its error, the rest are settled.

settlements: an array of objects with the keys reservationId, and amount (what was reserved, if absent or null), which mean what the
    arguments of gov_settle do
result: a row per settlement, in order; position: from 1; event_id, is_duplicate: as of gov_settle; error: null or what is wrong
errors: 22004 null argument; 22023 settlements is no array or is empty; 54000 more than 10,000 settlements; what is raised while
    something is written, also by a trigger or a constraint of yours, and what is not a settlement's fault (25006, 55000, 53400,
    40001, 40P01, 57014) ends the call
since: 1.1.0$$;
