/* ---------------------------------------------------------------------------------------------------------------- */
/* What the extension needs of what users can drop                                                                  */
/*                                                                                                                  */
/* Indexes, constraints, triggers and policies of our tables are not members of the extension: migration tools drop */
/* and disable them. The list repeats what the files before this one and 85-rows.sql make, in the form in which it  */
/* can be made again: there the definitions stand in their tables, where they are read and where the upgrade from   */
/* 1.0.0 finds them. test/t/106_setup_check.pl compares the two.                                                    */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_expected
(
    out what text,
    out relation name,
    out name name,
    out enabled "char",
    out definition text
)
returns setof record
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
values
    ('constraint', 'gov_entity_types', 'gov_entity_types_pkey', 'O', 'alter table @extschema@.gov_entity_types add constraint gov_entity_types_pkey primary key (id)'),
    ('constraint', 'gov_entity_types', 'gov_entity_types_id_check', 'O', 'alter table @extschema@.gov_entity_types add constraint gov_entity_types_id_check check (length(id) between 1 and 255 and id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_entity_types', 'gov_entity_types_name_check', 'O', 'alter table @extschema@.gov_entity_types add constraint gov_entity_types_name_check check (length(display_name) between 1 and 255 and display_name !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_entity_types', 'gov_entity_types_attribution_keys_check', 'O', 'alter table @extschema@.gov_entity_types add constraint gov_entity_types_attribution_keys_check check (not jsonb_path_exists(to_jsonb(attribution_keys), ''strict $[*] ? (@.type() != "string" || @ == "" || @ like_regex "[\\u0001-\\u001f\\u007f]" || @ like_regex "^.{255}.")''))'),
    ('constraint', 'gov_entity_types', 'gov_entity_types_on_unknown_check', 'O', 'alter table @extschema@.gov_entity_types add constraint gov_entity_types_on_unknown_check check (on_unknown in (''ignore'', ''create'', ''deny''))'),
    ('constraint', 'gov_entity_types', 'gov_entity_types_parent_key_check', 'O', 'alter table @extschema@.gov_entity_types add constraint gov_entity_types_parent_key_check check (length(parent_key) between 1 and 255 and parent_key !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_capabilities', 'gov_capabilities_pkey', 'O', 'alter table @extschema@.gov_capabilities add constraint gov_capabilities_pkey primary key (id)'),
    ('constraint', 'gov_capabilities', 'gov_capabilities_id_check', 'O', 'alter table @extschema@.gov_capabilities add constraint gov_capabilities_id_check check (length(id) between 1 and 255 and id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_capabilities', 'gov_capabilities_type_check', 'O', 'alter table @extschema@.gov_capabilities add constraint gov_capabilities_type_check check (type = ''METER'')'),
    ('constraint', 'gov_capabilities', 'gov_capabilities_kind_check', 'O', 'alter table @extschema@.gov_capabilities add constraint gov_capabilities_kind_check check (kind in (''feature'', ''credit'', ''concurrency''))'),
    ('constraint', 'gov_capabilities', 'gov_capabilities_display_name_check', 'O', 'alter table @extschema@.gov_capabilities add constraint gov_capabilities_display_name_check check (length(display_name) between 1 and 255 and display_name !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_capabilities', 'gov_capabilities_unit_check', 'O', 'alter table @extschema@.gov_capabilities add constraint gov_capabilities_unit_check check (length(unit) between 1 and 255 and unit !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_entities', 'gov_entities_pkey', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_pkey primary key (owner_id, id)'),
    ('constraint', 'gov_entities', 'gov_entities_type_id_fkey', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_type_id_fkey foreign key (type_id) references @extschema@.gov_entity_types (id)'),
    ('constraint', 'gov_entities', 'gov_entities_owner_id_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_owner_id_check check (length(owner_id) between 1 and 255 and owner_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_entities', 'gov_entities_id_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_id_check check (length(id) between 1 and 255 and id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_entities', 'gov_entities_type_id_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_type_id_check check (length(type_id) between 1 and 255 and type_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_entities', 'gov_entities_parent_id_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_parent_id_check check (length(parent_id) between 1 and 255 and parent_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_entities', 'gov_entities_display_name_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_display_name_check check (length(display_name) between 1 and 255 and display_name !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_entities', 'gov_entities_metadata_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_metadata_check check (jsonb_typeof(metadata) = ''object'' and not jsonb_path_exists(metadata, ''strict $.* ? (@.type() != "string")'') and not jsonb_path_exists(metadata, ''strict $.keyvalue() ? (@.key == "" || @.key like_regex "[\\u0001-\\u001f\\u007f]" || @.key like_regex "^.{255}.")''))'),
    ('constraint', 'gov_entities', 'gov_entities_archived_at_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_archived_at_check check (isfinite(archived_at))'),
    ('constraint', 'gov_entities', 'gov_entities_blocked_at_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_blocked_at_check check (isfinite(blocked_at))'),
    ('constraint', 'gov_entities', 'gov_entities_blocked_until_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_blocked_until_check check (blocked_until is null or isfinite(blocked_until) and blocked_at is not null)'),
    ('constraint', 'gov_entities', 'gov_entities_blocked_reason_check', 'O', 'alter table @extschema@.gov_entities add constraint gov_entities_blocked_reason_check check (blocked_reason is null or length(blocked_reason) between 1 and 1000 and blocked_at is not null)'),
    ('constraint', 'gov_assignments', 'gov_assignments_pkey', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_pkey primary key (id)'),
    ('constraint', 'gov_assignments', 'gov_assignments_key', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_key unique (owner_id, entity_id, capability_id, scope_entity_ids, name)'),
    ('constraint', 'gov_assignments', 'gov_assignments_counter_id_key', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_counter_id_key unique (counter_id)'),
    ('constraint', 'gov_assignments', 'gov_assignments_entity_id_fkey', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_entity_id_fkey foreign key (owner_id, entity_id) references @extschema@.gov_entities (owner_id, id)'),
    ('constraint', 'gov_assignments', 'gov_assignments_capability_id_fkey', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_capability_id_fkey foreign key (capability_id) references @extschema@.gov_capabilities (id)'),
    ('constraint', 'gov_assignments', 'gov_assignments_owner_id_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_owner_id_check check (length(owner_id) between 1 and 255 and owner_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_assignments', 'gov_assignments_entity_id_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_entity_id_check check (length(entity_id) between 1 and 255 and entity_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_assignments', 'gov_assignments_capability_id_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_capability_id_check check (length(capability_id) between 1 and 255 and capability_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_assignments', 'gov_assignments_scope_entity_ids_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_scope_entity_ids_check check (cardinality(scope_entity_ids) = 0 or not jsonb_path_exists(to_jsonb(scope_entity_ids), ''strict $[*] ? (@.type() != "string" || @ == "" || @ like_regex "[\\u0001-\\u001f\\u007f]" || @ like_regex "^.{255}.")''))'),
    ('constraint', 'gov_assignments', 'gov_assignments_name_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_name_check check (name = '''' or length(name) <= 255 and name !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_assignments', 'gov_assignments_usage_limit_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_usage_limit_check check (usage_limit >= 0 and usage_limit < 1000000000000000000)'),
    ('constraint', 'gov_assignments', 'gov_assignments_call_limit_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_call_limit_check check (call_limit >= 0 and call_limit < 1000000000000000000)'),
    ('constraint', 'gov_assignments', 'gov_assignments_cadence_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_cadence_check check (cadence in (''P1M'', ''P1D'') or cadence ~ ''^P([1-9][0-9]{0,3}[YMWD]|T[1-9][0-9]{0,3}[HMS])$'')'),
    ('constraint', 'gov_assignments', 'gov_assignments_window_kind_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_window_kind_check check (window_kind = ''calendar'' or window_kind = any (''{first_use,sliding}'') and cadence is not null and anchor_at is null and (window_kind = ''first_use'' or cadence ~ ''^P([1-9][0-9]*[WD]|T[1-9][0-9]*[HMS])$''))'),
    ('constraint', 'gov_assignments', 'gov_assignments_anchor_at_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_anchor_at_check check (isfinite(anchor_at))'),
    ('constraint', 'gov_assignments', 'gov_assignments_timezone_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_timezone_check check (timezone = ''UTC'' or length(timezone) between 1 and 255 and timezone !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_assignments', 'gov_assignments_enforcement_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_enforcement_check check (enforcement in (''hard'', ''soft''))'),
    ('constraint', 'gov_assignments', 'gov_assignments_strict_allocation_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_strict_allocation_check check (scope_entity_ids = ''{}'' or not strict_allocation)'),
    ('constraint', 'gov_assignments', 'gov_assignments_alert_thresholds_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_alert_thresholds_check check (cardinality(alert_thresholds) <= 10 and array_position(alert_thresholds, null) is null and 1 <= all (alert_thresholds) and 1000000000000000000 > all (alert_thresholds))'),
    ('constraint', 'gov_assignments', 'gov_assignments_is_pool_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_is_pool_check check (not is_pool or usage_limit is null and cadence is null and not strict_allocation)'),
    ('constraint', 'gov_assignments', 'gov_assignments_debt_limit_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_debt_limit_check check (debt_limit = 0 or is_pool and debt_limit > 0 and debt_limit < 1000000000000000000)'),
    ('constraint', 'gov_assignments', 'gov_assignments_carry_unused_max_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_carry_unused_max_check check (carry_unused_max is null or carry_unused_max >= 0 and carry_unused_max < 1000000000000000000 and usage_limit is not null and cadence is not null and window_kind = ''calendar'')'),
    ('constraint', 'gov_assignments', 'gov_assignments_carry_debt_check', 'O', 'alter table @extschema@.gov_assignments add constraint gov_assignments_carry_debt_check check (not carry_debt or usage_limit is not null and cadence is not null and window_kind = ''calendar'')'),
    ('constraint', 'gov_events', 'gov_events_pkey', 'O', 'alter table @extschema@.gov_events add constraint gov_events_pkey primary key (id)'),
    ('constraint', 'gov_usage', 'gov_usage_pkey', 'O', 'alter table @extschema@.gov_usage add constraint gov_usage_pkey primary key (counter_id, window_start)'),
    ('constraint', 'gov_reservations', 'gov_reservations_pkey', 'O', 'alter table @extschema@.gov_reservations add constraint gov_reservations_pkey primary key (id)'),
    ('constraint', 'gov_reservations', 'gov_reservations_state_check', 'O', 'alter table @extschema@.gov_reservations add constraint gov_reservations_state_check check (state in (''open'', ''settled'', ''released'', ''expired''))'),
    ('constraint', 'gov_alerts', 'gov_alerts_pkey', 'O', 'alter table @extschema@.gov_alerts add constraint gov_alerts_pkey primary key (id)'),
    ('constraint', 'gov_alerts', 'gov_alerts_key', 'O', 'alter table @extschema@.gov_alerts add constraint gov_alerts_key unique (assignment_id, window_start, threshold)'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_pkey', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_pkey primary key (id)'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_key', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_key unique nulls not distinct (owner_id, type_id, capability_id, scope_type_ids, name)'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_type_id_fkey', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_type_id_fkey foreign key (type_id) references @extschema@.gov_entity_types (id)'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_capability_id_fkey', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_capability_id_fkey foreign key (capability_id) references @extschema@.gov_capabilities (id)'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_owner_id_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_owner_id_check check (length(owner_id) between 1 and 255 and owner_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_type_id_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_type_id_check check (length(type_id) between 1 and 255 and type_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_capability_id_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_capability_id_check check (length(capability_id) between 1 and 255 and capability_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_scope_type_ids_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_scope_type_ids_check check (cardinality(scope_type_ids) = 0 or array_ndims(scope_type_ids) = 1 and cardinality(scope_type_ids) <= 8 and array_position(scope_type_ids, null) is null and type_id <> all (scope_type_ids))'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_name_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_name_check check (name = '''' or length(name) <= 255 and name !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_usage_limit_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_usage_limit_check check (usage_limit >= 0 and usage_limit < 1000000000000000000)'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_call_limit_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_call_limit_check check (call_limit >= 0 and call_limit < 1000000000000000000)'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_cadence_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_cadence_check check (cadence in (''P1M'', ''P1D'') or cadence ~ ''^P([1-9][0-9]{0,3}[YMWD]|T[1-9][0-9]{0,3}[HMS])$'')'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_window_kind_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_window_kind_check check (window_kind = ''calendar'' or window_kind = any (''{first_use,sliding}'') and cadence is not null and anchor_at is null and anchor_from is null and (window_kind = ''first_use'' or cadence ~ ''^P([1-9][0-9]*[WD]|T[1-9][0-9]*[HMS])$''))'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_carry_unused_max_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_carry_unused_max_check check (carry_unused_max is null or carry_unused_max >= 0 and carry_unused_max < 1000000000000000000 and usage_limit is not null and cadence is not null and window_kind = ''calendar'')'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_carry_debt_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_carry_debt_check check (not carry_debt or usage_limit is not null and cadence is not null and window_kind = ''calendar'')'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_anchor_at_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_anchor_at_check check (isfinite(anchor_at))'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_anchor_from_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_anchor_from_check check (anchor_from is null or anchor_at is null and length(anchor_from) between 1 and 255 and anchor_from !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_timezone_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_timezone_check check (timezone = ''UTC'' or length(timezone) between 1 and 255 and timezone !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_enforcement_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_enforcement_check check (enforcement in (''hard'', ''soft''))'),
    ('constraint', 'gov_default_assignments', 'gov_default_assignments_alert_thresholds_check', 'O', 'alter table @extschema@.gov_default_assignments add constraint gov_default_assignments_alert_thresholds_check check (cardinality(alert_thresholds) <= 10 and array_position(alert_thresholds, null) is null and 1 <= all (alert_thresholds) and 1000000000000000000 > all (alert_thresholds))'),
    ('constraint', 'gov_boosts', 'gov_boosts_pkey', 'O', 'alter table @extschema@.gov_boosts add constraint gov_boosts_pkey primary key (id)'),
    ('constraint', 'gov_boosts', 'gov_boosts_amount_check', 'O', 'alter table @extschema@.gov_boosts add constraint gov_boosts_amount_check check (amount <> 0 and abs(amount) < 1000000000000000000)'),
    ('constraint', 'gov_boosts', 'gov_boosts_valid_from_check', 'O', 'alter table @extschema@.gov_boosts add constraint gov_boosts_valid_from_check check (isfinite(valid_from))'),
    ('constraint', 'gov_boosts', 'gov_boosts_valid_until_check', 'O', 'alter table @extschema@.gov_boosts add constraint gov_boosts_valid_until_check check (valid_until is null or isfinite(valid_until) and valid_until > valid_from)'),
    ('constraint', 'gov_boosts', 'gov_boosts_reason_check', 'O', 'alter table @extschema@.gov_boosts add constraint gov_boosts_reason_check check (length(reason) between 1 and 1000)'),
    ('constraint', 'gov_grants', 'gov_grants_pkey', 'O', 'alter table @extschema@.gov_grants add constraint gov_grants_pkey primary key (id)'),
    ('constraint', 'gov_grants', 'gov_grants_reference_key', 'O', 'alter table @extschema@.gov_grants add constraint gov_grants_reference_key unique (owner_id, reference)'),
    ('constraint', 'gov_grants', 'gov_grants_counter_id_key', 'O', 'alter table @extschema@.gov_grants add constraint gov_grants_counter_id_key unique (counter_id)'),
    ('constraint', 'gov_grants', 'gov_grants_amount_check', 'O', 'alter table @extschema@.gov_grants add constraint gov_grants_amount_check check (amount > 0 and amount < 1000000000000000000)'),
    ('constraint', 'gov_grants', 'gov_grants_effective_at_check', 'O', 'alter table @extschema@.gov_grants add constraint gov_grants_effective_at_check check (isfinite(effective_at))'),
    ('constraint', 'gov_grants', 'gov_grants_expires_at_check', 'O', 'alter table @extschema@.gov_grants add constraint gov_grants_expires_at_check check (expires_at is null or isfinite(expires_at) and expires_at > effective_at)'),
    ('constraint', 'gov_grants', 'gov_grants_category_check', 'O', 'alter table @extschema@.gov_grants add constraint gov_grants_category_check check (length(category) between 1 and 255 and category !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_grants', 'gov_grants_reference_check', 'O', 'alter table @extschema@.gov_grants add constraint gov_grants_reference_check check (length(reference) between 1 and 255 and reference !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_grants', 'gov_grants_voided_at_check', 'O', 'alter table @extschema@.gov_grants add constraint gov_grants_voided_at_check check (isfinite(voided_at))'),
    ('constraint', 'gov_grant_usage', 'gov_grant_usage_pkey', 'O', 'alter table @extschema@.gov_grant_usage add constraint gov_grant_usage_pkey primary key (counter_id)'),
    ('constraint', 'gov_prices', 'gov_prices_pkey', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_pkey primary key (id)'),
    ('constraint', 'gov_prices', 'gov_prices_key', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_key unique nulls not distinct (owner_id, capability_id, quantity, match, valid_from)'),
    ('constraint', 'gov_prices', 'gov_prices_capability_id_fkey', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_capability_id_fkey foreign key (capability_id) references @extschema@.gov_capabilities (id)'),
    ('constraint', 'gov_prices', 'gov_prices_owner_id_check', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_owner_id_check check (length(owner_id) between 1 and 255 and owner_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_prices', 'gov_prices_capability_id_check', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_capability_id_check check (length(capability_id) between 1 and 255 and capability_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_prices', 'gov_prices_quantity_check', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_quantity_check check (length(quantity) between 1 and 255 and quantity !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_prices', 'gov_prices_match_check', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_match_check check (jsonb_typeof(match) = ''object'' and length(match::text) <= 1000 and not jsonb_path_exists(match, ''strict $.* ? (@.type() != "string")''))'),
    ('constraint', 'gov_prices', 'gov_prices_price_check', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_price_check check (price >= 0 and price < 1000000000000000000 and scale(price) <= 18)'),
    ('constraint', 'gov_prices', 'gov_prices_per_check', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_per_check check (per >= 1)'),
    ('constraint', 'gov_prices', 'gov_prices_valid_from_check', 'O', 'alter table @extschema@.gov_prices add constraint gov_prices_valid_from_check check (isfinite(valid_from))'),
    ('constraint', 'gov_increase_requests', 'gov_increase_requests_pkey', 'O', 'alter table @extschema@.gov_increase_requests add constraint gov_increase_requests_pkey primary key (id)'),
    ('constraint', 'gov_increase_requests', 'gov_increase_requests_owner_id_check', 'O', 'alter table @extschema@.gov_increase_requests add constraint gov_increase_requests_owner_id_check check (length(owner_id) between 1 and 255 and owner_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_increase_requests', 'gov_increase_requests_amount_check', 'O', 'alter table @extschema@.gov_increase_requests add constraint gov_increase_requests_amount_check check (amount > 0 and amount < 1000000000000000000)'),
    ('constraint', 'gov_increase_requests', 'gov_increase_requests_valid_until_check', 'O', 'alter table @extschema@.gov_increase_requests add constraint gov_increase_requests_valid_until_check check (isfinite(valid_until))'),
    ('constraint', 'gov_increase_requests', 'gov_increase_requests_reason_check', 'O', 'alter table @extschema@.gov_increase_requests add constraint gov_increase_requests_reason_check check (length(reason) between 1 and 1000)'),
    ('constraint', 'gov_increase_requests', 'gov_increase_requests_note_check', 'O', 'alter table @extschema@.gov_increase_requests add constraint gov_increase_requests_note_check check (length(note) between 1 and 1000)'),
    ('constraint', 'gov_increase_requests', 'gov_increase_requests_state_check', 'O', 'alter table @extschema@.gov_increase_requests add constraint gov_increase_requests_state_check check (state in (''open'', ''approved'', ''declined'', ''withdrawn''))'),
    ('constraint', 'gov_alert_policies', 'gov_alert_policies_key', 'O', 'alter table @extschema@.gov_alert_policies add constraint gov_alert_policies_key unique nulls not distinct (owner_id)'),
    ('constraint', 'gov_alert_policies', 'gov_alert_policies_owner_id_check', 'O', 'alter table @extschema@.gov_alert_policies add constraint gov_alert_policies_owner_id_check check (length(owner_id) between 1 and 255 and owner_id !~ ''[\u0001-\u001f\u007f]'')'),
    ('constraint', 'gov_alert_policies', 'gov_alert_policies_thresholds_check', 'O', 'alter table @extschema@.gov_alert_policies add constraint gov_alert_policies_thresholds_check check (cardinality(thresholds) <= 10 and array_position(thresholds, null) is null and 1 <= all (thresholds) and 1000000000000000000 > all (thresholds))'),
    ('constraint', 'gov_rollup_state', 'gov_rollup_state_pkey', 'O', 'alter table @extschema@.gov_rollup_state add constraint gov_rollup_state_pkey primary key (id)'),
    ('constraint', 'gov_rollup_state', 'gov_rollup_state_id_check', 'O', 'alter table @extschema@.gov_rollup_state add constraint gov_rollup_state_id_check check (id = 1)'),
    ('constraint', 'gov_forgotten', 'gov_forgotten_pkey', 'O', 'alter table @extschema@.gov_forgotten add constraint gov_forgotten_pkey primary key (owner_id, entity_id, forgotten_at)'),
    ('constraint', 'gov_frozen_owners', 'gov_frozen_owners_pkey', 'O', 'alter table @extschema@.gov_frozen_owners add constraint gov_frozen_owners_pkey primary key (owner_id)'),
    ('constraint', 'gov_imports', 'gov_imports_pkey', 'O', 'alter table @extschema@.gov_imports add constraint gov_imports_pkey primary key (owner_id)'),
    ('constraint', 'gov_changes', 'gov_changes_pkey', 'O', 'alter table @extschema@.gov_changes add constraint gov_changes_pkey primary key (id)'),
    ('constraint', 'gov_limit_history', 'gov_limit_history_pkey', 'O', 'alter table @extschema@.gov_limit_history add constraint gov_limit_history_pkey primary key (owner_id, assignment_id, replaced_at)'),
    ('constraint', 'gov_recounts', 'gov_recounts_pkey', 'O', 'alter table @extschema@.gov_recounts add constraint gov_recounts_pkey primary key (owner_id, assignment_id, counter_id)'),
    ('index', 'gov_entities', 'gov_entities_parent_id_idx', 'O', 'create index gov_entities_parent_id_idx on @extschema@.gov_entities (owner_id, parent_id) where parent_id is not null'),
    ('index', 'gov_entities', 'gov_entities_type_id_idx', 'O', 'create index gov_entities_type_id_idx on @extschema@.gov_entities (type_id, owner_id, id)'),
    ('index', 'gov_entities', 'gov_entities_blocked', 'O', 'create index gov_entities_blocked on @extschema@.gov_entities (owner_id, id) where blocked_at is not null'),
    ('index', 'gov_entities', 'gov_entities_created_by_use_idx', 'O', 'create index gov_entities_created_by_use_idx on @extschema@.gov_entities (owner_id) where created_by_use'),
    ('index', 'gov_assignments', 'gov_assignments_capability_id_idx', 'O', 'create index gov_assignments_capability_id_idx on @extschema@.gov_assignments (capability_id, owner_id, entity_id)'),
    ('index', 'gov_assignments', 'gov_assignments_scope_entity_ids_idx', 'O', 'create index gov_assignments_scope_entity_ids_idx on @extschema@.gov_assignments using gin ((owner_id || scope_entity_ids)) with (fastupdate = off) where scope_entity_ids <> ''{}'''),
    ('index', 'gov_assignments', 'gov_assignments_strict', 'O', 'create index gov_assignments_strict on @extschema@.gov_assignments (owner_id, entity_id) where strict_allocation'),
    ('index', 'gov_boosts', 'gov_boosts_budget_idx', 'O', 'create index gov_boosts_budget_idx on @extschema@.gov_boosts (owner_id, entity_id, valid_until)'),
    ('index', 'gov_assignments', 'gov_assignments_pools', 'O', 'create index gov_assignments_pools on @extschema@.gov_assignments (owner_id, entity_id) where is_pool'),
    ('index', 'gov_assignments', 'gov_assignments_carries', 'O', 'create index gov_assignments_carries on @extschema@.gov_assignments (owner_id, entity_id) where carry_unused_max is not null or carry_debt'),
    ('index', 'gov_assignments', 'gov_assignments_debt_counter', 'O', 'create unique index gov_assignments_debt_counter on @extschema@.gov_assignments (debt_counter_id) where debt_counter_id is not null'),
    ('index', 'gov_grants', 'gov_grants_open', 'O', 'create index gov_grants_open on @extschema@.gov_grants (assignment_id) where closed_at is null'),
    ('index', 'gov_grants', 'gov_grants_assignment_idx', 'O', 'create index gov_grants_assignment_idx on @extschema@.gov_grants (owner_id, assignment_id)'),
    ('index', 'gov_grant_usage', 'gov_grant_usage_owner_idx', 'O', 'create index gov_grant_usage_owner_idx on @extschema@.gov_grant_usage (owner_id)'),
    ('index', 'gov_increase_requests', 'gov_increase_requests_open', 'O', 'create index gov_increase_requests_open on @extschema@.gov_increase_requests (owner_id, entity_id) where state = ''open'''),
    ('index', 'gov_increase_requests', 'gov_increase_requests_decided', 'O', 'create index gov_increase_requests_decided on @extschema@.gov_increase_requests (decided_at) where state <> ''open'''),
    ('index', 'gov_events', 'gov_events_key', 'O', 'create unique index gov_events_key on @extschema@.gov_events (owner_id, idempotency_key) where idempotency_key is not null'),
    ('index', 'gov_events', 'gov_events_owner_id_idx', 'O', 'create index gov_events_owner_id_idx on @extschema@.gov_events (owner_id, id)'),
    ('index', 'gov_events', 'gov_events_reverses_idx', 'O', 'create index gov_events_reverses_idx on @extschema@.gov_events (reverses) where reverses is not null'),
    ('index', 'gov_events', 'gov_events_occurred_at_idx', 'O', 'create index gov_events_occurred_at_idx on @extschema@.gov_events using brin (occurred_at) with (autosummarize = on)'),
    ('index', 'gov_usage', 'gov_usage_assignment_id_idx', 'O', 'create index gov_usage_assignment_id_idx on @extschema@.gov_usage (owner_id, assignment_id)'),
    ('index', 'gov_usage', 'gov_usage_unmerged', 'O', 'create index gov_usage_unmerged on @extschema@.gov_usage (window_end, counter_id) where merged_windows is null'),
    ('index', 'gov_usage', 'gov_usage_merged', 'O', 'create index gov_usage_merged on @extschema@.gov_usage (window_end, counter_id) where merged_windows is not null'),
    ('index', 'gov_usage', 'gov_usage_grains', 'O', 'create index gov_usage_grains on @extschema@.gov_usage (leaves_at, counter_id) where leaves_at > ''-infinity'''),
    ('index', 'gov_usage_by_time', 'gov_usage_by_time_key', 'O', 'create unique index gov_usage_by_time_key on @extschema@.gov_usage_by_time (owner_id, hour, md5(capability_id || chr(1) || entity_id), coalesce(minute, ''0''::smallint))'),
    ('index', 'gov_default_counts', 'gov_default_counts_entity_idx', 'O', 'create index gov_default_counts_entity_idx on @extschema@.gov_default_counts (owner_id, entity_id)'),
    ('index', 'gov_default_counts', 'gov_default_counts_assignment_idx', 'O', 'create index gov_default_counts_assignment_idx on @extschema@.gov_default_counts (assignment_id)'),
    ('index', 'gov_default_counts', 'gov_default_counts_counter_idx', 'O', 'create index gov_default_counts_counter_idx on @extschema@.gov_default_counts (counter_id)'),
    ('index', 'gov_default_counts', 'gov_default_counts_scope_idx', 'O', 'create index gov_default_counts_scope_idx on @extschema@.gov_default_counts using gin ((owner_id || scope_entity_ids)) with (fastupdate = off) where scope_entity_ids <> ''{}'''),
    ('index', 'gov_default_counts', 'gov_default_counts_default_idx', 'O', 'create index gov_default_counts_default_idx on @extschema@.gov_default_counts (default_id, seed)'),
    ('index', 'gov_default_counts', 'gov_default_counts_new', 'O', 'create index gov_default_counts_new on @extschema@.gov_default_counts (counter_id) where is_new'),
    ('index', 'gov_reservations', 'gov_reservations_key', 'O', 'create unique index gov_reservations_key on @extschema@.gov_reservations (owner_id, idempotency_key) where idempotency_key is not null'),
    ('index', 'gov_reservations', 'gov_reservations_expires_at_idx', 'O', 'create index gov_reservations_expires_at_idx on @extschema@.gov_reservations (expires_at) where state = ''open'''),
    ('index', 'gov_reservations', 'gov_reservations_updated_at_idx', 'O', 'create index gov_reservations_updated_at_idx on @extschema@.gov_reservations (updated_at) where state <> ''open'''),
    ('index', 'gov_reservations', 'gov_reservations_open', 'O', 'create index gov_reservations_open on @extschema@.gov_reservations (owner_id, expires_at) where state = ''open'''),
    ('index', 'gov_reservations', 'gov_reservations_ended_idx', 'O', 'create index gov_reservations_ended_idx on @extschema@.gov_reservations (owner_id) where state <> ''open'''),
    ('index', 'gov_reservations', 'gov_reservations_assignment_ids_idx', 'O', 'create index gov_reservations_assignment_ids_idx on @extschema@.gov_reservations using gin (assignment_ids) with (fastupdate = off) where state >= ''open'' and state <= ''open'''),
    ('index', 'gov_alerts', 'gov_alerts_owner_id_idx', 'O', 'create index gov_alerts_owner_id_idx on @extschema@.gov_alerts (owner_id, id)'),
    ('index', 'gov_changes', 'gov_changes_owner_id_idx', 'O', 'create index gov_changes_owner_id_idx on @extschema@.gov_changes (owner_id, id)'),
    ('index', 'gov_denials', 'gov_denials_key', 'O', 'create unique index gov_denials_key on @extschema@.gov_denials (owner_id, window_start, md5(coalesce(assignment_id::text, entity_id, '''') || chr(1) || capability_id || chr(1) || reason || chr(1) || is_check::text || chr(1) || coalesce(''='' || dimension_key, ''''))) nulls not distinct'),
    ('index', 'gov_denials', 'gov_denials_last_at_idx', 'O', 'create index gov_denials_last_at_idx on @extschema@.gov_denials (last_at)'),
    ('trigger', 'gov_entity_types', 'gov_entity_types_keep', 'O', 'create trigger gov_entity_types_keep before insert or update on @extschema@.gov_entity_types for each row execute function @extschema@.gov_keep_entity_type()'),
    ('trigger', 'gov_entity_types', 'gov_entity_types_key', 'O', 'create trigger gov_entity_types_key before update on @extschema@.gov_entity_types for each row when (new.id is distinct from old.id) execute function @extschema@.gov_refuse_key_change(''id'')'),
    ('trigger', 'gov_capabilities', 'gov_capabilities_keep', 'O', 'create trigger gov_capabilities_keep before update on @extschema@.gov_capabilities for each row execute function @extschema@.gov_keep_row()'),
    ('trigger', 'gov_capabilities', 'gov_capabilities_key', 'O', 'create trigger gov_capabilities_key before update on @extschema@.gov_capabilities for each row when (new.id is distinct from old.id) execute function @extschema@.gov_refuse_key_change(''id'')'),
    ('trigger', 'gov_entities', 'gov_entities_keep', 'O', 'create trigger gov_entities_keep before update on @extschema@.gov_entities for each row execute function @extschema@.gov_keep_row()'),
    ('trigger', 'gov_entities', 'gov_entities_key', 'O', 'create trigger gov_entities_key before update on @extschema@.gov_entities for each row when ((new.owner_id, new.id) is distinct from (old.owner_id, old.id)) execute function @extschema@.gov_refuse_key_change(''owner_id, id'')'),
    ('trigger', 'gov_assignments', 'gov_assignments_keep', 'O', 'create trigger gov_assignments_keep before insert or update on @extschema@.gov_assignments for each row execute function @extschema@.gov_keep_assignment()'),
    ('trigger', 'gov_assignments', 'gov_assignments_key', 'O', 'create trigger gov_assignments_key before update on @extschema@.gov_assignments for each row when ((new.id, new.owner_id, new.entity_id, new.capability_id, new.scope_entity_ids, new.name) is distinct from (old.id, old.owner_id, old.entity_id, old.capability_id, old.scope_entity_ids, old.name)) execute function @extschema@.gov_refuse_key_change(''id, owner_id, entity_id, capability_id, scope_entity_ids, name'')'),
    ('trigger', 'gov_assignments', 'gov_assignments_unlimited', 'O', 'create trigger gov_assignments_unlimited after update on @extschema@.gov_assignments for each row when (new.usage_limit is null and old.usage_limit is not null) execute function @extschema@.gov_end_boosts()'),
    ('trigger', 'gov_assignments', 'gov_assignments_forget', 'A', 'create trigger gov_assignments_forget after delete on @extschema@.gov_assignments for each row execute function @extschema@.gov_forget_budget()'),
    ('trigger', 'gov_assignments', 'gov_assignments_forget_all', 'A', 'create trigger gov_assignments_forget_all after truncate on @extschema@.gov_assignments for each statement execute function @extschema@.gov_forget_budget()'),
    ('trigger', 'gov_default_assignments', 'gov_default_assignments_keep', 'O', 'create trigger gov_default_assignments_keep before insert or update on @extschema@.gov_default_assignments for each row execute function @extschema@.gov_keep_default()'),
    ('trigger', 'gov_default_assignments', 'gov_default_assignments_key', 'O', 'create trigger gov_default_assignments_key before update on @extschema@.gov_default_assignments for each row when ((new.id, new.owner_id, new.type_id, new.capability_id, new.scope_type_ids, new.name) is distinct from (old.id, old.owner_id, old.type_id, old.capability_id, old.scope_type_ids, old.name)) execute function @extschema@.gov_refuse_key_change(''id, owner_id, type_id, capability_id, scope_type_ids, name'')'),
    ('trigger', 'gov_boosts', 'gov_boosts_keep', 'O', 'create trigger gov_boosts_keep before insert or update on @extschema@.gov_boosts for each row execute function @extschema@.gov_keep_boost()'),
    ('trigger', 'gov_boosts', 'gov_boosts_key', 'O', 'create trigger gov_boosts_key before update on @extschema@.gov_boosts for each row when ((new.id, new.owner_id, new.entity_id, new.capability_id, new.scope_entity_ids, new.name) is distinct from (old.id, old.owner_id, old.entity_id, old.capability_id, old.scope_entity_ids, old.name)) execute function @extschema@.gov_refuse_key_change(''id, owner_id, entity_id, capability_id, scope_entity_ids, name'')'),
    ('trigger', 'gov_boosts', 'gov_boosts_bounded', 'O', 'create trigger gov_boosts_bounded after insert or update on @extschema@.gov_boosts for each row execute function @extschema@.gov_boost_bounded()'),
    ('trigger', 'gov_grants', 'gov_grants_keep', 'O', 'create trigger gov_grants_keep before insert or update on @extschema@.gov_grants for each row execute function @extschema@.gov_keep_grant()'),
    ('trigger', 'gov_grants', 'gov_grants_key', 'O', 'create trigger gov_grants_key before update on @extschema@.gov_grants for each row when ((new.id, new.owner_id, new.assignment_id, new.amount, new.effective_at, new.reference, new.entity_id, new.counter_id) is distinct from (old.id, old.owner_id, old.assignment_id, old.amount, old.effective_at, old.reference, old.entity_id, old.counter_id)) execute function @extschema@.gov_refuse_key_change(''id, owner_id, assignment_id, amount, effective_at, reference, entity_id, counter_id'')'),
    ('trigger', 'gov_grants', 'gov_grants_bounded', 'O', 'create trigger gov_grants_bounded after insert on @extschema@.gov_grants for each row execute function @extschema@.gov_grant_bounded()'),
    ('trigger', 'gov_prices', 'gov_prices_keep', 'O', 'create trigger gov_prices_keep before insert or update on @extschema@.gov_prices for each row execute function @extschema@.gov_keep_price()'),
    ('trigger', 'gov_prices', 'gov_prices_key', 'O', 'create trigger gov_prices_key before update on @extschema@.gov_prices for each row when ((new.id, new.owner_id, new.capability_id, new.quantity, new.match, new.valid_from) is distinct from (old.id, old.owner_id, old.capability_id, old.quantity, old.match, old.valid_from)) execute function @extschema@.gov_refuse_key_change(''id, owner_id, capability_id, quantity, match, valid_from'')'),
    ('trigger', 'gov_increase_requests', 'gov_increase_requests_keep', 'O', 'create trigger gov_increase_requests_keep before insert or update on @extschema@.gov_increase_requests for each row execute function @extschema@.gov_keep_request()'),
    ('trigger', 'gov_increase_requests', 'gov_increase_requests_key', 'O', 'create trigger gov_increase_requests_key before update on @extschema@.gov_increase_requests for each row when ((new.id, new.owner_id, new.entity_id, new.capability_id, new.scope_entity_ids, new.name, new.amount, new.valid_until, new.reason, new.requested_by) is distinct from (old.id, old.owner_id, old.entity_id, old.capability_id, old.scope_entity_ids, old.name, old.amount, old.valid_until, old.reason, old.requested_by)) execute function @extschema@.gov_refuse_key_change(''id, owner_id, entity_id, capability_id, scope_entity_ids, name, amount, valid_until, reason, requested_by'')'),
    ('trigger', 'gov_increase_requests', 'gov_increase_requests_bounded', 'O', 'create trigger gov_increase_requests_bounded after insert on @extschema@.gov_increase_requests for each row execute function @extschema@.gov_request_bounded()'),
    ('trigger', 'gov_alert_policies', 'gov_alert_policies_keep', 'O', 'create trigger gov_alert_policies_keep before insert or update on @extschema@.gov_alert_policies for each row execute function @extschema@.gov_keep_alert_policy()'),
    ('trigger', 'gov_alert_policies', 'gov_alert_policies_key', 'O', 'create trigger gov_alert_policies_key before update on @extschema@.gov_alert_policies for each row when (new.owner_id is distinct from old.owner_id) execute function @extschema@.gov_refuse_key_change(''owner_id'')'),
    ('trigger', 'gov_capabilities', 'gov_capabilities_kind', 'O', 'create trigger gov_capabilities_kind after update on @extschema@.gov_capabilities for each row when ((new.kind = ''concurrency'') <> (old.kind = ''concurrency'')) execute function @extschema@.gov_kind_kept()'),
    ('trigger', 'gov_entity_types', 'gov_entity_types_unknown_key', 'O', 'create trigger gov_entity_types_unknown_key after insert on @extschema@.gov_entity_types for each row when (new.on_unknown <> ''ignore'') execute function @extschema@.gov_unknown_key_unique()'),
    ('trigger', 'gov_entity_types', 'gov_entity_types_unknown_key_anew', 'O', 'create trigger gov_entity_types_unknown_key_anew after update on @extschema@.gov_entity_types for each row when (new.on_unknown <> ''ignore'' and (old.on_unknown = ''ignore'' or new.attribution_keys is distinct from old.attribution_keys)) execute function @extschema@.gov_unknown_key_unique()'),
    ('trigger', 'gov_entities', 'gov_entities_moves', 'O', 'create trigger gov_entities_moves before update on @extschema@.gov_entities for each row when (new.parent_id is distinct from old.parent_id) execute function @extschema@.gov_entity_moves()'),
    ('trigger', 'gov_entities', 'gov_entities_placed', 'O', 'create trigger gov_entities_placed after insert on @extschema@.gov_entities for each row when (new.parent_id is not null) execute function @extschema@.gov_entity_placed()'),
    ('trigger', 'gov_entities', 'gov_entities_placed_anew', 'O', 'create trigger gov_entities_placed_anew after update on @extschema@.gov_entities for each row when (new.parent_id is distinct from old.parent_id) execute function @extschema@.gov_entity_placed()'),
    ('trigger', 'gov_entities', 'gov_entities_removed', 'O', 'create trigger gov_entities_removed after delete on @extschema@.gov_entities for each row execute function @extschema@.gov_entity_removed()'),
    ('trigger', 'gov_assignments', 'gov_assignments_added', 'O', 'create trigger gov_assignments_added after insert on @extschema@.gov_assignments referencing new table as written for each statement execute function @extschema@.gov_assignment_placed()'),
    ('trigger', 'gov_assignments', 'gov_assignments_allocated', 'O', 'create trigger gov_assignments_allocated after insert on @extschema@.gov_assignments referencing new table as written for each statement execute function @extschema@.gov_assignment_allocated()'),
    ('trigger', 'gov_assignments', 'gov_assignments_allocated_anew', 'O', 'create trigger gov_assignments_allocated_anew after update on @extschema@.gov_assignments referencing old table as replaced new table as written for each statement execute function @extschema@.gov_assignment_allocated()'),
    ('trigger', 'gov_assignments', 'gov_assignments_bounded', 'O', 'create trigger gov_assignments_bounded after insert on @extschema@.gov_assignments referencing new table as written for each statement execute function @extschema@.gov_assignment_bounded()'),
    ('trigger', 'gov_assignments', 'gov_assignments_bounded_anew', 'O', 'create trigger gov_assignments_bounded_anew after update on @extschema@.gov_assignments referencing old table as replaced new table as written for each statement execute function @extschema@.gov_assignment_bounded()'),
    ('trigger', 'gov_alert_policies', 'gov_alert_policies_bounded', 'O', 'create trigger gov_alert_policies_bounded after insert on @extschema@.gov_alert_policies referencing new table as written for each statement execute function @extschema@.gov_alert_policy_bounded()'),
    ('trigger', 'gov_alert_policies', 'gov_alert_policies_bounded_anew', 'O', 'create trigger gov_alert_policies_bounded_anew after update on @extschema@.gov_alert_policies referencing old table as replaced new table as written for each statement execute function @extschema@.gov_alert_policy_bounded()'),
    ('trigger', 'gov_entities', 'gov_entities_allocated_anew', 'O', 'create trigger gov_entities_allocated_anew after update on @extschema@.gov_entities referencing old table as replaced new table as written for each statement execute function @extschema@.gov_entity_allocated()'),
    ('trigger', 'gov_entity_types', 'gov_entity_types_note', 'A', 'create trigger gov_entity_types_note after insert or update or delete on @extschema@.gov_entity_types for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_entity_types', 'gov_entity_types_note_truncate', 'A', 'create trigger gov_entity_types_note_truncate after truncate on @extschema@.gov_entity_types for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_capabilities', 'gov_capabilities_note', 'A', 'create trigger gov_capabilities_note after insert or update or delete on @extschema@.gov_capabilities for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_capabilities', 'gov_capabilities_note_truncate', 'A', 'create trigger gov_capabilities_note_truncate after truncate on @extschema@.gov_capabilities for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_entities', 'gov_entities_note', 'A', 'create trigger gov_entities_note after insert or update or delete on @extschema@.gov_entities for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_entities', 'gov_entities_note_truncate', 'A', 'create trigger gov_entities_note_truncate after truncate on @extschema@.gov_entities for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_assignments', 'gov_assignments_note', 'A', 'create trigger gov_assignments_note after insert or update or delete on @extschema@.gov_assignments for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_default_assignments', 'gov_default_assignments_note', 'A', 'create trigger gov_default_assignments_note after insert or update or delete on @extschema@.gov_default_assignments for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_default_assignments', 'gov_default_assignments_note_truncate', 'A', 'create trigger gov_default_assignments_note_truncate after truncate on @extschema@.gov_default_assignments for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_default_counts', 'gov_default_counts_guard', 'O', 'create trigger gov_default_counts_guard before update or delete or truncate on @extschema@.gov_default_counts for each statement execute function @extschema@.gov_ledger_guard()'),
    ('trigger', 'gov_default_counts', 'gov_default_counts_note', 'A', 'create trigger gov_default_counts_note after update on @extschema@.gov_default_counts for each row when (new.counter_id <> old.counter_id or new.retired <> old.retired) execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_boosts', 'gov_boosts_note', 'A', 'create trigger gov_boosts_note after insert or update or delete on @extschema@.gov_boosts for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_boosts', 'gov_boosts_note_truncate', 'A', 'create trigger gov_boosts_note_truncate after truncate on @extschema@.gov_boosts for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_grants', 'gov_grants_note', 'A', 'create trigger gov_grants_note after insert or update or delete on @extschema@.gov_grants for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_grants', 'gov_grants_note_truncate', 'A', 'create trigger gov_grants_note_truncate after truncate on @extschema@.gov_grants for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_grants', 'gov_grants_guard', 'O', 'create trigger gov_grants_guard before delete or truncate on @extschema@.gov_grants for each statement execute function @extschema@.gov_ledger_guard()'),
    ('trigger', 'gov_grant_usage', 'gov_grant_usage_note_truncate', 'A', 'create trigger gov_grant_usage_note_truncate after truncate on @extschema@.gov_grant_usage for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_prices', 'gov_prices_note', 'A', 'create trigger gov_prices_note after insert or update or delete on @extschema@.gov_prices for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_prices', 'gov_prices_note_truncate', 'A', 'create trigger gov_prices_note_truncate after truncate on @extschema@.gov_prices for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_frozen_owners', 'gov_frozen_owners_note', 'A', 'create trigger gov_frozen_owners_note after insert or update or delete on @extschema@.gov_frozen_owners for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_frozen_owners', 'gov_frozen_owners_note_truncate', 'A', 'create trigger gov_frozen_owners_note_truncate after truncate on @extschema@.gov_frozen_owners for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_alert_policies', 'gov_alert_policies_note', 'A', 'create trigger gov_alert_policies_note after insert or update or delete on @extschema@.gov_alert_policies for each row execute function @extschema@.gov_note_change()'),
    ('trigger', 'gov_alert_policies', 'gov_alert_policies_note_truncate', 'A', 'create trigger gov_alert_policies_note_truncate after truncate on @extschema@.gov_alert_policies for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_assignments', 'gov_assignments_note_truncate', 'A', 'create trigger gov_assignments_note_truncate after truncate on @extschema@.gov_assignments for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_events', 'gov_events_note_truncate', 'A', 'create trigger gov_events_note_truncate after truncate on @extschema@.gov_events for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_usage', 'gov_usage_note_truncate', 'A', 'create trigger gov_usage_note_truncate after truncate on @extschema@.gov_usage for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_reservations', 'gov_reservations_note_truncate', 'A', 'create trigger gov_reservations_note_truncate after truncate on @extschema@.gov_reservations for each statement execute function @extschema@.gov_note_truncate()'),
    ('trigger', 'gov_events', 'gov_events_note', 'A', 'create trigger gov_events_note before insert on @extschema@.gov_events for each statement execute function @extschema@.gov_note_ledger()'),
    ('trigger', 'gov_events', 'gov_events_note_applied', 'R', 'create trigger gov_events_note_applied before insert on @extschema@.gov_events for each row execute function @extschema@.gov_note_ledger()'),
    ('trigger', 'gov_events', 'gov_events_guard', 'O', 'create trigger gov_events_guard before update or delete or truncate on @extschema@.gov_events for each statement execute function @extschema@.gov_ledger_guard()'),
    ('trigger', 'gov_reservations', 'gov_reservations_guard', 'O', 'create trigger gov_reservations_guard before update or delete or truncate on @extschema@.gov_reservations for each statement execute function @extschema@.gov_ledger_guard()'),
    ('trigger', 'gov_assignments', 'gov_assignments_limits', 'O', 'create trigger gov_assignments_limits after update on @extschema@.gov_assignments referencing old table as replaced new table as written for each statement execute function @extschema@.gov_note_limits()'),
    ('trigger', 'gov_default_assignments', 'gov_default_assignments_limits', 'O', 'create trigger gov_default_assignments_limits after update on @extschema@.gov_default_assignments referencing old table as replaced new table as written for each statement execute function @extschema@.gov_note_limits()'),
    ('trigger', 'gov_default_assignments', 'gov_default_assignments_limits_gone', 'O', 'create trigger gov_default_assignments_limits_gone after delete on @extschema@.gov_default_assignments referencing old table as replaced for each statement execute function @extschema@.gov_note_limits()'),
    ('trigger', 'gov_default_assignments', 'gov_default_assignments_limits_gone_all', 'O', 'create trigger gov_default_assignments_limits_gone_all after truncate on @extschema@.gov_default_assignments for each statement execute function @extschema@.gov_note_limits()'),
    ('trigger', 'gov_assignments', 'gov_assignments_limits_gone', 'O', 'create trigger gov_assignments_limits_gone after delete on @extschema@.gov_assignments referencing old table as replaced for each statement execute function @extschema@.gov_note_limits()'),
    ('trigger', 'gov_assignments', 'gov_assignments_goes_on', 'O', 'create trigger gov_assignments_goes_on after insert on @extschema@.gov_assignments for each row when (new.counter_id < 0) execute function @extschema@.gov_assignment_goes_on()'),
    ('trigger', 'gov_assignments', 'gov_assignments_parts', 'O', 'create trigger gov_assignments_parts after update on @extschema@.gov_assignments for each row when (old.counter_id < 0 and new.counter_id <> old.counter_id) execute function @extschema@.gov_assignment_parts()'),
    ('trigger', 'gov_assignments', 'gov_assignments_unlocked', 'O', 'create trigger gov_assignments_unlocked after insert on @extschema@.gov_assignments referencing new table as written for each statement execute function @extschema@.gov_assignment_unlocked()'),
    ('trigger', 'gov_assignments', 'gov_assignments_unlocked_anew', 'O', 'create trigger gov_assignments_unlocked_anew after update on @extschema@.gov_assignments referencing old table as replaced new table as written for each statement execute function @extschema@.gov_assignment_unlocked()'),
    ('trigger', 'gov_assignments', 'gov_assignments_unlocked_gone', 'O', 'create trigger gov_assignments_unlocked_gone after delete on @extschema@.gov_assignments referencing old table as replaced for each statement execute function @extschema@.gov_assignment_unlocked()'),
    ('trigger', 'gov_entities', 'gov_entities_gone', 'A', 'create trigger gov_entities_gone after delete on @extschema@.gov_entities for each row execute function @extschema@.gov_entity_gone()'),
    ('trigger', 'gov_default_assignments', 'gov_default_assignments_gone', 'O', 'create trigger gov_default_assignments_gone after delete on @extschema@.gov_default_assignments for each row execute function @extschema@.gov_default_gone()'),
    ('trigger', 'gov_entities', 'gov_entities_gone_all', 'A', 'create trigger gov_entities_gone_all after truncate on @extschema@.gov_entities for each statement execute function @extschema@.gov_entity_gone()'),
    ('trigger', 'gov_default_assignments', 'gov_default_assignments_placed', 'O', 'create trigger gov_default_assignments_placed after insert on @extschema@.gov_default_assignments for each row execute function @extschema@.gov_default_placed()'),
    ('trigger', 'gov_entity_types', 'gov_entity_types_removed', 'O', 'create trigger gov_entity_types_removed after delete on @extschema@.gov_entity_types for each row execute function @extschema@.gov_entity_type_removed()'),
    ('trigger', 'gov_changes', 'gov_changes_guard', 'O', 'create trigger gov_changes_guard before update or delete or truncate on @extschema@.gov_changes for each statement execute function @extschema@.gov_ledger_guard()'),
    ('trigger', 'gov_limit_history', 'gov_limit_history_guard', 'O', 'create trigger gov_limit_history_guard before update or delete or truncate on @extschema@.gov_limit_history for each statement execute function @extschema@.gov_ledger_guard()'),
    ('policy', 'gov_changes', 'gov_changes_select', 'O', 'create policy gov_changes_select on @extschema@.gov_changes for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_limit_history', 'gov_limit_history_select', 'O', 'create policy gov_limit_history_select on @extschema@.gov_limit_history for select using (@extschema@.gov_owner_visible(nullif(owner_id, '''')) or owner_id = '''' and @extschema@.gov_pinned_owner() is not null)'),
    ('policy', 'gov_recounts', 'gov_recounts_select', 'O', 'create policy gov_recounts_select on @extschema@.gov_recounts for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_entities', 'gov_entities_select', 'O', 'create policy gov_entities_select on @extschema@.gov_entities for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_assignments', 'gov_assignments_select', 'O', 'create policy gov_assignments_select on @extschema@.gov_assignments for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_default_counts', 'gov_default_counts_select', 'O', 'create policy gov_default_counts_select on @extschema@.gov_default_counts for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_default_assignments', 'gov_default_assignments_select', 'O', 'create policy gov_default_assignments_select on @extschema@.gov_default_assignments for select using (@extschema@.gov_owner_visible(owner_id) or owner_id is null and @extschema@.gov_pinned_owner() is not null)'),
    ('policy', 'gov_default_assignments', 'gov_default_assignments_insert', 'O', 'create policy gov_default_assignments_insert on @extschema@.gov_default_assignments for insert with check (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_default_assignments', 'gov_default_assignments_update', 'O', 'create policy gov_default_assignments_update on @extschema@.gov_default_assignments for update using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_default_assignments', 'gov_default_assignments_delete', 'O', 'create policy gov_default_assignments_delete on @extschema@.gov_default_assignments for delete using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_frozen_owners', 'gov_frozen_owners_select', 'O', 'create policy gov_frozen_owners_select on @extschema@.gov_frozen_owners for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_boosts', 'gov_boosts_select', 'O', 'create policy gov_boosts_select on @extschema@.gov_boosts for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_boosts', 'gov_boosts_insert', 'O', 'create policy gov_boosts_insert on @extschema@.gov_boosts for insert with check (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_boosts', 'gov_boosts_update', 'O', 'create policy gov_boosts_update on @extschema@.gov_boosts for update using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_boosts', 'gov_boosts_delete', 'O', 'create policy gov_boosts_delete on @extschema@.gov_boosts for delete using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_grants', 'gov_grants_select', 'O', 'create policy gov_grants_select on @extschema@.gov_grants for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_grants', 'gov_grants_insert', 'O', 'create policy gov_grants_insert on @extschema@.gov_grants for insert with check (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_grants', 'gov_grants_update', 'O', 'create policy gov_grants_update on @extschema@.gov_grants for update using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_grant_usage', 'gov_grant_usage_select', 'O', 'create policy gov_grant_usage_select on @extschema@.gov_grant_usage for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_prices', 'gov_prices_select', 'O', 'create policy gov_prices_select on @extschema@.gov_prices for select using (@extschema@.gov_owner_visible(owner_id) or owner_id is null and @extschema@.gov_pinned_owner() is not null)'),
    ('policy', 'gov_prices', 'gov_prices_insert', 'O', 'create policy gov_prices_insert on @extschema@.gov_prices for insert with check (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_prices', 'gov_prices_update', 'O', 'create policy gov_prices_update on @extschema@.gov_prices for update using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_prices', 'gov_prices_delete', 'O', 'create policy gov_prices_delete on @extschema@.gov_prices for delete using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_increase_requests', 'gov_increase_requests_select', 'O', 'create policy gov_increase_requests_select on @extschema@.gov_increase_requests for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_increase_requests', 'gov_increase_requests_insert', 'O', 'create policy gov_increase_requests_insert on @extschema@.gov_increase_requests for insert with check (@extschema@.gov_owner_changeable(owner_id) and (state = ''open'' or has_function_privilege(''@extschema@._gov_change_every_owner()''::regprocedure, ''execute'')))'),
    ('policy', 'gov_increase_requests', 'gov_increase_requests_update', 'O', 'create policy gov_increase_requests_update on @extschema@.gov_increase_requests for update using (@extschema@.gov_owner_changeable(owner_id)) with check (@extschema@.gov_owner_changeable(owner_id) and (state = ''withdrawn'' or has_function_privilege(''@extschema@._gov_change_every_owner()''::regprocedure, ''execute'')))'),
    ('policy', 'gov_increase_requests', 'gov_increase_requests_delete', 'O', 'create policy gov_increase_requests_delete on @extschema@.gov_increase_requests for delete using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_forgotten', 'gov_forgotten_select', 'O', 'create policy gov_forgotten_select on @extschema@.gov_forgotten for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_imports', 'gov_imports_select', 'O', 'create policy gov_imports_select on @extschema@.gov_imports for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_events', 'gov_events_select', 'O', 'create policy gov_events_select on @extschema@.gov_events for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_usage', 'gov_usage_select', 'O', 'create policy gov_usage_select on @extschema@.gov_usage for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_usage_by_time', 'gov_usage_by_time_select', 'O', 'create policy gov_usage_by_time_select on @extschema@.gov_usage_by_time for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_reservations', 'gov_reservations_select', 'O', 'create policy gov_reservations_select on @extschema@.gov_reservations for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_alerts', 'gov_alerts_select', 'O', 'create policy gov_alerts_select on @extschema@.gov_alerts for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_denials', 'gov_denials_select', 'O', 'create policy gov_denials_select on @extschema@.gov_denials for select using (@extschema@.gov_owner_visible(owner_id))'),
    ('policy', 'gov_entities', 'gov_entities_insert', 'O', 'create policy gov_entities_insert on @extschema@.gov_entities for insert with check (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_entities', 'gov_entities_update', 'O', 'create policy gov_entities_update on @extschema@.gov_entities for update using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_entities', 'gov_entities_delete', 'O', 'create policy gov_entities_delete on @extschema@.gov_entities for delete using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_assignments', 'gov_assignments_insert', 'O', 'create policy gov_assignments_insert on @extschema@.gov_assignments for insert with check (@extschema@.gov_owner_changeable(owner_id) and (not locked or has_function_privilege(''@extschema@._gov_change_every_owner()''::regprocedure, ''execute'')))'),
    ('policy', 'gov_assignments', 'gov_assignments_update', 'O', 'create policy gov_assignments_update on @extschema@.gov_assignments for update using (@extschema@.gov_owner_changeable(owner_id) and (not locked or has_function_privilege(''@extschema@._gov_change_every_owner()''::regprocedure, ''execute'')))'),
    ('policy', 'gov_assignments', 'gov_assignments_delete', 'O', 'create policy gov_assignments_delete on @extschema@.gov_assignments for delete using (@extschema@.gov_owner_changeable(owner_id) and (not locked or has_function_privilege(''@extschema@._gov_change_every_owner()''::regprocedure, ''execute'')))'),
    ('policy', 'gov_entity_types', 'gov_entity_types_select', 'O', 'create policy gov_entity_types_select on @extschema@.gov_entity_types for select using (@extschema@.gov_pinned_owner() is not null or @extschema@.gov_owner_visible(null::text))'),
    ('policy', 'gov_entity_types', 'gov_entity_types_insert', 'O', 'create policy gov_entity_types_insert on @extschema@.gov_entity_types for insert with check (@extschema@.gov_owner_changeable(null::text))'),
    ('policy', 'gov_entity_types', 'gov_entity_types_update', 'O', 'create policy gov_entity_types_update on @extschema@.gov_entity_types for update using (@extschema@.gov_owner_changeable(null::text))'),
    ('policy', 'gov_entity_types', 'gov_entity_types_delete', 'O', 'create policy gov_entity_types_delete on @extschema@.gov_entity_types for delete using (@extschema@.gov_owner_changeable(null::text))'),
    ('policy', 'gov_capabilities', 'gov_capabilities_select', 'O', 'create policy gov_capabilities_select on @extschema@.gov_capabilities for select using (@extschema@.gov_pinned_owner() is not null or @extschema@.gov_owner_visible(null::text))'),
    ('policy', 'gov_capabilities', 'gov_capabilities_insert', 'O', 'create policy gov_capabilities_insert on @extschema@.gov_capabilities for insert with check (@extschema@.gov_owner_changeable(null::text))'),
    ('policy', 'gov_capabilities', 'gov_capabilities_update', 'O', 'create policy gov_capabilities_update on @extschema@.gov_capabilities for update using (@extschema@.gov_owner_changeable(null::text))'),
    ('policy', 'gov_capabilities', 'gov_capabilities_delete', 'O', 'create policy gov_capabilities_delete on @extschema@.gov_capabilities for delete using (@extschema@.gov_owner_changeable(null::text))'),
    ('policy', 'gov_alert_policies', 'gov_alert_policies_select', 'O', 'create policy gov_alert_policies_select on @extschema@.gov_alert_policies for select using (@extschema@.gov_owner_visible(owner_id) or owner_id is null and @extschema@.gov_pinned_owner() is not null)'),
    ('policy', 'gov_alert_policies', 'gov_alert_policies_insert', 'O', 'create policy gov_alert_policies_insert on @extschema@.gov_alert_policies for insert with check (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_alert_policies', 'gov_alert_policies_update', 'O', 'create policy gov_alert_policies_update on @extschema@.gov_alert_policies for update using (@extschema@.gov_owner_changeable(owner_id))'),
    ('policy', 'gov_alert_policies', 'gov_alert_policies_delete', 'O', 'create policy gov_alert_policies_delete on @extschema@.gov_alert_policies for delete using (@extschema@.gov_owner_changeable(owner_id))'),
    ('row-level security', 'gov_entity_types', 'gov_entity_types', 'O', 'alter table @extschema@.gov_entity_types enable row level security'),
    ('row-level security', 'gov_capabilities', 'gov_capabilities', 'O', 'alter table @extschema@.gov_capabilities enable row level security'),
    ('row-level security', 'gov_entities', 'gov_entities', 'O', 'alter table @extschema@.gov_entities enable row level security'),
    ('row-level security', 'gov_assignments', 'gov_assignments', 'O', 'alter table @extschema@.gov_assignments enable row level security'),
    ('row-level security', 'gov_default_assignments', 'gov_default_assignments', 'O', 'alter table @extschema@.gov_default_assignments enable row level security'),
    ('row-level security', 'gov_default_counts', 'gov_default_counts', 'O', 'alter table @extschema@.gov_default_counts enable row level security'),
    ('row-level security', 'gov_boosts', 'gov_boosts', 'O', 'alter table @extschema@.gov_boosts enable row level security'),
    ('row-level security', 'gov_grants', 'gov_grants', 'O', 'alter table @extschema@.gov_grants enable row level security'),
    ('row-level security', 'gov_grant_usage', 'gov_grant_usage', 'O', 'alter table @extschema@.gov_grant_usage enable row level security'),
    ('row-level security', 'gov_prices', 'gov_prices', 'O', 'alter table @extschema@.gov_prices enable row level security'),
    ('row-level security', 'gov_frozen_owners', 'gov_frozen_owners', 'O', 'alter table @extschema@.gov_frozen_owners enable row level security'),
    ('row-level security', 'gov_increase_requests', 'gov_increase_requests', 'O', 'alter table @extschema@.gov_increase_requests enable row level security'),
    ('row-level security', 'gov_forgotten', 'gov_forgotten', 'O', 'alter table @extschema@.gov_forgotten enable row level security'),
    ('row-level security', 'gov_imports', 'gov_imports', 'O', 'alter table @extschema@.gov_imports enable row level security'),
    ('row-level security', 'gov_events', 'gov_events', 'O', 'alter table @extschema@.gov_events enable row level security'),
    ('row-level security', 'gov_usage', 'gov_usage', 'O', 'alter table @extschema@.gov_usage enable row level security'),
    ('row-level security', 'gov_usage_by_time', 'gov_usage_by_time', 'O', 'alter table @extschema@.gov_usage_by_time enable row level security'),
    ('row-level security', 'gov_reservations', 'gov_reservations', 'O', 'alter table @extschema@.gov_reservations enable row level security'),
    ('row-level security', 'gov_alerts', 'gov_alerts', 'O', 'alter table @extschema@.gov_alerts enable row level security'),
    ('row-level security', 'gov_denials', 'gov_denials', 'O', 'alter table @extschema@.gov_denials enable row level security'),
    ('row-level security', 'gov_alert_policies', 'gov_alert_policies', 'O', 'alter table @extschema@.gov_alert_policies enable row level security'),
    ('row-level security', 'gov_changes', 'gov_changes', 'O', 'alter table @extschema@.gov_changes enable row level security'),
    ('row-level security', 'gov_limit_history', 'gov_limit_history', 'O', 'alter table @extschema@.gov_limit_history enable row level security'),
    ('row-level security', 'gov_recounts', 'gov_recounts', 'O', 'alter table @extschema@.gov_recounts enable row level security'),
    ('replica identity', 'gov_usage_by_time', 'gov_usage_by_time', 'O', 'alter table @extschema@.gov_usage_by_time replica identity full'),
    ('replica identity', 'gov_default_counts', 'gov_default_counts', 'O', 'alter table @extschema@.gov_default_counts replica identity full'),
    ('replica identity', 'gov_denials', 'gov_denials', 'O', 'alter table @extschema@.gov_denials replica identity full'),
    ('replica identity', 'gov_alert_policies', 'gov_alert_policies', 'O', 'alter table @extschema@.gov_alert_policies replica identity full')
union all
select 'trigger', t.relation, t.name, 'O', t.definition
from @extschema@._gov_log_triggers() t
$$;

comment on function @extschema@._gov_expected() is 'internal: what gov_setup_check expects, and the statement that makes it; enabled: as pg_trigger.tgenabled';

create function @extschema@._gov_library_version()
returns text
language c
stable
as 'MODULE_PATHNAME', 'gov_library_version_1_1';

comment on function @extschema@._gov_library_version() is 'internal: the version of the library that is loaded';

create function @extschema@._gov_broken_objects()
returns table (what text, object text, problem text, remedy text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with expected as
    (
        select x.*, c.oid, format('%s.%I', '@extschema@'::regnamespace, x.relation) as table_name
        from @extschema@._gov_expected() x
        join pg_class c on c.relnamespace = '@extschema@'::regnamespace and c.relname = x.relation
    ),
    state as
    (
        select
            x.*,
            case x.what
                when 'constraint' then
                (
                    select case
                        when not c.convalidated then 'not validated'
                        when exists (select from pg_trigger t where t.tgconstraint = c.oid and t.tgenabled not in ('O', 'A')) then 'disabled'
                        else 'good'
                    end
                    from pg_constraint c
                    where c.conrelid = x.oid
                        and c.conname = x.name
                )
                when 'index' then
                (
                    select case when i.indisvalid and i.indisready then 'good' else 'not valid' end
                    from pg_index i
                    join pg_class c on c.oid = i.indexrelid
                    where i.indrelid = x.oid
                        and c.relname = x.name
                )
                when 'trigger' then
                (
                    select case
                        when t.tgenabled = x.enabled or (x.enabled = 'O' and t.tgenabled = 'A') then 'good'
                        when t.tgenabled = 'D' then 'disabled'
                        else 'not enabled as it was made'
                    end
                    from pg_trigger t
                    where t.tgrelid = x.oid
                        and t.tgname = x.name
                        and not t.tgisinternal
                )
                when 'policy' then (select 'good' from pg_policy p where p.polrelid = x.oid and p.polname = x.name)
                when 'row-level security' then (select case when c.relrowsecurity then 'good' else 'off' end from pg_class c where c.oid = x.oid)
                else (select case when c.relreplident in ('f', 'i') then 'good' end from pg_class c where c.oid = x.oid)
            end as state
        from expected x
    )
    select
        s.what,
        case when s.name = s.relation then s.table_name else format('%I on %s', s.name, s.table_name) end,
        coalesce(s.state, 'missing'),
        case
            when s.state is null and s.enabled <> 'O' then format('%s; alter table %s enable %s trigger %I', s.definition, s.table_name, m.mode, s.name)
            when s.state is null or s.what = 'row-level security' then s.definition
            when s.what = 'index' then format('reindex index %s.%I', '@extschema@'::regnamespace, s.name)
            when s.state = 'not validated' then format('alter table %s validate constraint %I', s.table_name, s.name)
            when s.what = 'constraint' then format('alter table %s enable trigger all; select %s.gov_refresh()', s.table_name, '@extschema@'::regnamespace)
            else concat_ws(' ', 'alter table', s.table_name, 'enable', m.mode, 'trigger', quote_ident(s.name))
        end
    from state s
    cross join lateral (select case s.enabled when 'A' then 'always' when 'R' then 'replica' end) m (mode)
    where s.state is distinct from 'good'
    union all
    select 'table', format('%s.%I', '@extschema@'::regnamespace, c.relname), 'unlogged: a crash empties it', format('alter table %s.%I set logged', '@extschema@'::regnamespace, c.relname)
    from pg_extension e
    join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e' and d.classid = 'pg_class'::regclass
    join pg_class c on c.oid = d.objid
    where e.extname = 'governance'
        and c.relkind = 'r'
        and c.relpersistence <> 'p'
$$;

comment on function @extschema@._gov_broken_objects() is 'internal: what gov_setup_check says of indexes, constraints, triggers, policies and tables';

create function @extschema@._gov_broken_service()
returns table (what text, object text, problem text, remedy text)
language sql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
    with version as
    (
        select
            e.extversion as installed,
            @extschema@._gov_library_version() as loaded,
            string_to_array(e.extversion, '.') < string_to_array(@extschema@._gov_library_version(), '.') as is_older
        from pg_extension e
        where e.extname = 'governance'
    ),
    fact as materialized
    (
        select s.name, s.value
        from @extschema@.gov_stats s
        where s.name in ('worker_pid', 'rollup_lag_seconds')
    )
    select
        'library',
        'governance',
        'not in shared_preload_libraries',
        'add it there and restart the server'
    where not exists (select from @extschema@.gov_engine_facts())
    union all
    select
        'library',
        'governance',
        format('version %s is loaded, the extension is of %s', v.loaded, v.installed),
        case when v.is_older then 'alter extension governance update' else 'install that version of the library and restart the server' end
    from version v
    where v.loaded <> v.installed
    union all
    select
        'worker',
        f.step,
        format('failing: %s: %s', f.sqlstate, f.message),
        'remove what stops it: it is tried again by itself'
    from @extschema@.gov_worker_failures() f
    where f.failures > 0
    union all
    select
        'worker',
        'governance worker',
        format('does not run, and the ledger is %s seconds behind', round(l.value)),
        'raise max_worker_processes and restart the server, or run select gov_maintain() every minute'
    from fact l
    join fact w on w.name = 'worker_pid' and w.value = 0
    where l.name = 'rollup_lag_seconds'
        and l.value > 600
        and not pg_is_in_recovery()
$$;

comment on function @extschema@._gov_broken_service() is 'internal: what gov_setup_check says of the library and the worker';

create function @extschema@.gov_setup_check()
returns table (what text, object text, problem text, remedy text)
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform @extschema@._gov_require_unpinned('gov_setup_check()');

    -- Without these indexes every call of the engine fails.
    if to_regclass('@extschema@.gov_events_key') is not null
        and to_regclass('@extschema@.gov_reservations_key') is not null
        and to_regclass('@extschema@.gov_reservations_open') is not null
    then
        return query
        select s.*
        from @extschema@._gov_broken_service() s
        order by 1, 2;
    end if;

    return query
    select o.*
    from @extschema@._gov_broken_objects() o
    order by 1, 2;
end
$$;

comment on function @extschema@.gov_setup_check() is
$$What the extension expects and is missing or disabled, after migrations, restores and changes of the server: its library and
worker, and the indexes, constraints, triggers, policies and replica identities of its tables. It does not know what you have
added to them.

result: a row per problem, none when all is well; what: library, worker, table, index, constraint, trigger, policy, row-level
    security or replica identity; object: which; problem: what is wrong with it; remedy: what to do, mostly SQL for the owner
    of the tables
errors: 42501 in a session pinned to an owner
since: 1.1.0$$;
