/* ---------------------------------------------------------------------------------------------------------------- */
/* What pg_dump takes along                                                                                         */
/* ---------------------------------------------------------------------------------------------------------------- */

select pg_extension_config_dump('@extschema@.gov_counter_seq', '');
select pg_extension_config_dump('@extschema@.gov_events_id_seq', '');
select pg_extension_config_dump('@extschema@.gov_alerts_id_seq', '');
select pg_extension_config_dump('@extschema@.gov_changes_id_seq', '');
select pg_extension_config_dump('@extschema@.gov_entity_types', '');
select pg_extension_config_dump('@extschema@.gov_capabilities', '');
select pg_extension_config_dump('@extschema@.gov_entities', '');
select pg_extension_config_dump('@extschema@.gov_assignments', '');
select pg_extension_config_dump('@extschema@.gov_default_assignments', '');
select pg_extension_config_dump('@extschema@.gov_boosts', '');
select pg_extension_config_dump('@extschema@.gov_increase_requests', '');
select pg_extension_config_dump('@extschema@.gov_grants', '');
select pg_extension_config_dump('@extschema@.gov_grant_usage', '');
select pg_extension_config_dump('@extschema@.gov_prices', '');
select pg_extension_config_dump('@extschema@.gov_frozen_owners', '');
select pg_extension_config_dump('@extschema@.gov_events', '');
select pg_extension_config_dump('@extschema@.gov_usage', '');
select pg_extension_config_dump('@extschema@.gov_recounts', '');
select pg_extension_config_dump('@extschema@.gov_usage_by_time', '');
select pg_extension_config_dump('@extschema@.gov_default_counts', '');
select pg_extension_config_dump('@extschema@.gov_reservations', '');
select pg_extension_config_dump('@extschema@.gov_alerts', '');
select pg_extension_config_dump('@extschema@.gov_denials', '');
select pg_extension_config_dump('@extschema@.gov_alert_policies', '');
select pg_extension_config_dump('@extschema@.gov_rollup_state', '');
select pg_extension_config_dump('@extschema@.gov_changes', '');
select pg_extension_config_dump('@extschema@.gov_limit_history', '');
select pg_extension_config_dump('@extschema@.gov_forgotten', '');

