/* ---------------------------------------------------------------------------------------------------------------- */
/* What pg_dump takes along                                                                                         */
/* ---------------------------------------------------------------------------------------------------------------- */

select pg_extension_config_dump('gov_counter_seq', '');
select pg_extension_config_dump('gov_events_id_seq', '');
select pg_extension_config_dump('gov_alerts_id_seq', '');
select pg_extension_config_dump('gov_entity_types', '');
select pg_extension_config_dump('gov_capabilities', '');
select pg_extension_config_dump('gov_entities', '');
select pg_extension_config_dump('gov_assignments', '');
select pg_extension_config_dump('gov_events', '');
select pg_extension_config_dump('gov_usage', '');
select pg_extension_config_dump('gov_usage_hourly', '');
select pg_extension_config_dump('gov_reservations', '');
select pg_extension_config_dump('gov_alerts', '');
select pg_extension_config_dump('gov_alert_policies', '');
select pg_extension_config_dump('gov_rollup_state', '');

