# Every relation and every function of the extension, as the catalogs list them, tried by PUBLIC, by an application, a reader, a
# tenant and an administrator that are pinned to one owner, and by roles that are not pinned, against another owner's data.
#
# What is not in the two lists below fails this test: say who may use it, and how it is tried.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

# ---------------------------------------------------------------- who may do what

# Relation: who may read it, who may also change it, and who may change some of its columns.
my %RELATIONS = (
	gov_alert_policies => [ 'reader tenant admin', 'tenant admin' ],
	gov_alerts => ['reader tenant admin'],
	gov_denials => ['reader tenant admin'],
	gov_alerts_id_seq => [''],
	gov_allocations => ['reader tenant admin'],
	gov_assignments => [ 'reader tenant admin', 'tenant admin' ],
	gov_boosts => [ 'reader tenant admin', 'admin' ],
	gov_budgets => ['reader tenant admin'],
	gov_capabilities => [ 'reader tenant admin', 'admin' ],
	gov_changes => ['reader tenant admin'],
	gov_changes_id_seq => [''],
	gov_counter_seq => [''],
	gov_default_assignments => [ 'reader tenant admin', 'admin' ],
	gov_default_counts => ['reader tenant admin'],
	gov_entities => [ 'reader tenant admin', 'admin' ],
	gov_entity_types => [ 'reader tenant admin', 'admin' ],
	gov_exceptions => ['reader tenant admin'],
	gov_imported_counter_seq => [''],
	gov_imported_events_id_seq => [''],
	gov_imports => ['reader tenant admin'],
	gov_increase_requests => [ 'reader tenant admin', 'admin' ],
	gov_prices => [ 'reader tenant admin', 'admin' ],
	gov_grants => [ 'reader tenant admin', '', 'admin' ],
	gov_grant_usage => ['reader tenant admin'],
	gov_grant_balances => ['reader tenant admin'],
	gov_event_draws => ['reader tenant admin'],
	gov_events => ['reader tenant admin'],
	gov_events_id_seq => [''],
	gov_holds => ['reader tenant admin'],
	gov_limit_history => ['reader tenant admin'],
	gov_forgotten => ['reader tenant admin'],
	gov_frozen_owners => ['reader tenant admin'],	# of whom there is none before the end
	gov_event_log => ['reader tenant admin'],
	gov_usage_log => ['reader tenant admin'],
	gov_alert_log => ['reader tenant admin'],
	gov_recounts => ['reader tenant admin'],
	gov_reservations => ['reader tenant admin'],
	gov_rollup_state => ['reader tenant admin'],
	gov_rollup_waits => ['reader admin'],
	gov_stats => ['reader admin'],
	gov_usage => ['reader tenant admin'],
	gov_used_assignments => ['reader tenant admin'],
	gov_usage_by_time => ['reader tenant admin'],
	gov_usage_hourly => ['reader tenant admin']);

# Function: who but the administrator may call it; calls of it against owner globex from a session pinned to acme (a hold of
# globex is :hold, an event :event, a budget :budget); what they come to: an SQLSTATE; 'shared' when they are about no owner; 'each' when each item says it.
my $budget = '{"entityId": "sekrit-team", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}';
my $event = '[{"capabilityId": "tokens", "entityIds": ["sekrit-team"]}]';
my $use = q{'globex', 'tokens', 1, null, '{sekrit-team}'};
my $uses = q{'globex', '{"tokens": 1}', null, '{sekrit-team}'};
my $their_use = q{{"ownerId": "globex", "capabilityId": "tokens", "entityIds": ["sekrit-team"]}};
my %FUNCTIONS = (
	gov_allowed => [ 'app reader', '42501', "gov_allowed($use)" ],
	gov_archive_entities => [ '', '42501', q{gov_archive_entities('globex', '{sekrit-team}')} ],
	gov_attribution => [ 'reader tenant', '42501', q{gov_attribution('globex', 'tokens', '{team}', '-infinity', 'infinity')},
		q{gov_attribution('globex', 'tokens', '{team}', '-infinity', 'infinity', '1 day', 'Asia/Kolkata')} ],
	gov_block => [ '', '42501', q{gov_block('globex', 'sekrit-team')} ],
	gov_boost => [ '', '42501', q{gov_boost('globex', 'sekrit-team', 'tokens', 1)} ],
	gov_grant_credits => [ '', '42501', q{gov_grant_credits('globex', 'sekrit-team', 'pooled', 1)} ],
	gov_void_grant => [ '', '42704', q{gov_void_grant('00000000-0000-0000-0000-000000000002')} ],
	gov_request_increase => [ 'tenant', '42501', q{gov_request_increase('globex', 'sekrit-team', 'tokens', 1)} ],
	gov_withdraw_increase => [ 'tenant', '42704', q{gov_withdraw_increase('00000000-0000-0000-0000-000000000001')} ],
	gov_decide_increase => [ '', '42704', q{gov_decide_increase('00000000-0000-0000-0000-000000000001', true)} ],
	gov_forget_entity => [ '', '42501', q{gov_forget_entity('globex', 'sekrit-team')} ],
	gov_export_owner => [ '', '42501', q{gov_export_owner('globex')} ],
	gov_import_owner => [ '', '42501', q{gov_import_owner('globex', '{}')} ],
	gov_freeze_owner => [ '', '42501', q{gov_freeze_owner('globex')} ],
	gov_move_entity => [ '', '42501', q{gov_move_entity('globex', 'sekrit-team', null)} ],
	_gov_allow_move => [ '', '42501', q{_gov_allow_move('globex', 'sekrit-team', null)} ],
	gov_unblock => [ '', '42501', q{gov_unblock('globex', 'sekrit-team')} ],
	gov_backtest => [ 'reader tenant', '42501', "gov_backtest('globex', '[$budget]', '-infinity', 'infinity')" ],
	gov_cached_counters => [ 'reader', 'shared', 'gov_cached_counters()' ],
	gov_cache_needed => [ 'reader', '42501', q{gov_cache_needed('globex')} ],
	gov_check => [ 'app reader', '42501', "gov_check($use)" ],
	gov_check_all => [ 'app reader', '42501', "gov_check_all($uses)" ],
	gov_consume => [ 'app', '42501', "gov_consume($use)" ],
	gov_consume_all => [ 'app', '42501', "gov_consume_all($uses)" ],
	gov_consume_many => [ 'app', 'each', qq{gov_consume_many('[$their_use]')} ],
	gov_delete_owner => [ '', '42501', q{gov_delete_owner('globex')} ],
	gov_drop_cache => [ '', '42501', 'gov_drop_cache()' ],
	gov_engine_facts => [ 'reader', '42501', 'gov_engine_facts()' ],
	gov_worker_failures => [ 'reader', '42501', 'gov_worker_failures()' ],
	gov_extend => [ 'app', '42704', q{gov_extend(':hold', '1 hour')} ],
	gov_get_capability => [ 'reader tenant', 'shared', q{gov_get_capability('tokens')} ],
	gov_get_entity => [ 'reader tenant', '42501', q{gov_get_entity('globex', 'sekrit-team')} ],
	gov_get_entity_type => [ 'reader tenant', 'shared', q{gov_get_entity_type('team')} ],
	gov_grant => [ '', '42501', q{gov_grant('governance_accomplice', 'admin')} ],
	gov_headroom => [ 'app reader', '42501', "gov_headroom($use)" ],
	gov_ingest => [ 'app', '42501', "gov_ingest($use)", "gov_ingest($use, 'sekrit-key')" ],
	gov_ingest_all => [ 'app', '42501', "gov_ingest_all($uses)", "gov_ingest_all($uses, 'sekrit-key')" ],
	gov_ingest_each => [ 'app', 'each', qq{gov_ingest_each('[$their_use]')} ],
	gov_ingest_many => [ 'app', '42501', "gov_ingest_many('globex', '$event')" ],
	gov_is_timezone => [ 'app reader tenant', 'shared', q{gov_is_timezone('UTC')} ],
	gov_limit_at => [ 'reader tenant', '42704', q{gov_limit_at(':budget', now())} ],
	gov_list_assignments => [ 'reader tenant', '42501', q{gov_list_assignments('globex')} ],
	gov_list_default_assignments => [ 'reader tenant', '42501', q{gov_list_default_assignments('globex')} ],
	gov_list_prices => [ 'reader tenant', '42501', q{gov_list_prices('globex')} ],
	gov_list_capabilities => [ 'reader tenant', 'shared', 'gov_list_capabilities()' ],
	gov_list_entities => [ 'reader tenant', '42501', q{gov_list_entities('globex')} ],
	gov_list_entity_types => [ 'reader tenant', 'shared', 'gov_list_entity_types()' ],
	gov_maintain => [ '', '42501', 'gov_maintain()' ],
	gov_now => [ 'app reader tenant', 'shared', 'gov_now()' ],
	gov_owner_changeable => [ 'tenant', 'shared', q{gov_owner_changeable('globex')} ],
	gov_owner_visible => [ 'reader tenant', 'shared', q{gov_owner_visible('globex')} ],
	gov_price => [ 'app reader', '42501', q{gov_price('globex', 'tokens', '{"input": 1}')} ],
	gov_pinned_owner => [ 'app reader tenant', 'shared', 'gov_pinned_owner()' ],
	gov_query => [ 'reader tenant', '42501', q{gov_query('globex')} ],
	gov_refresh => [ '', '42501', 'gov_refresh()' ],
	gov_recount => [ '', '42704', q{gov_recount(':budget')} ],
	gov_release => [ 'app', '42704', q{gov_release(':hold')} ],
	gov_report => [ 'reader tenant', '42501', q{gov_report('globex')} ],
	gov_reprice => [ 'reader tenant', '42501', q{gov_reprice('globex', 'tokens', '-infinity', 'infinity')} ],
	_gov_repriced => [ 'reader tenant', '42501', q{_gov_repriced('globex', 'tokens', '{"sekrit-input": 1}', '{"model": "sekrit-model"}', now(), 1)} ],
	gov_require => [ 'app', '42501', "gov_require($use)" ],
	gov_require_all => [ 'app', '42501', "gov_require_all($uses)" ],
	gov_reset_clock => [ '', '42501', q{gov_reset_clock('globex')} ],
	gov_reserve => [ 'app', '42501', "gov_reserve($use)" ],
	gov_reserve_all => [ 'app', '42501', "gov_reserve_all($uses)" ],
	gov_reverse => [ 'app', '42704', q{gov_reverse(:event)} ],
	gov_revoke => [ '', '42501', q{gov_revoke('governance_accomplice')} ],
	gov_set_alert_policy => [ 'tenant', '42501', q{gov_set_alert_policy('globex', '{50}')}, q{gov_set_alert_policy(null, '{50}')} ],
	gov_setup_check => [ 'reader', '42501', 'gov_setup_check()' ],
	gov_settle_all => [ 'app', '42704', q{gov_settle_all(':hold')} ],
	gov_settle => [ 'app', '42704', q{gov_settle(':hold')} ],
	gov_settle_many => [ 'app', 'each', q{gov_settle_many('[{"reservationId": ":hold"}]')} ],
	gov_thaw_owner => [ '', '42501', q{gov_thaw_owner('globex')} ],
	gov_shard => [ 'app reader tenant', 'shared', q{gov_shard('globex', 3)}, q{gov_shard('00000000-0000-8000-8000-000000000000'::uuid, 3)} ],
	gov_shard_key => [ 'app reader tenant', 'shared', q{gov_shard_key('globex')}, q{gov_shard_key('00000000-0000-8000-8000-000000000000'::uuid)} ],
	gov_tree => [ 'reader tenant', '42501', q{gov_tree('globex')} ],
	gov_unarchive_entities => [ '', '42501', q{gov_unarchive_entities('globex', '{sekrit-old}')} ],
	gov_upsert_assignments => [ 'tenant', '42501', "gov_upsert_assignments('globex', '[$budget]')" ],
	gov_upsert_default_assignments => [ '', '42501', q{gov_upsert_default_assignments('globex', '[{"typeId": "team", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]')},
		q{gov_upsert_default_assignments(null, '[{"typeId": "team", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]')} ],
	gov_upsert_prices => [ '', '42501', q{gov_upsert_prices('globex', '[{"capabilityId": "tokens", "quantity": "input", "price": 1}]')},
		q{gov_upsert_prices(null, '[{"capabilityId": "tokens", "quantity": "input", "price": 1}]')} ],
	gov_upsert_capabilities => [ '', '42501', q{gov_upsert_capabilities('[{"id": "tokens", "unit": "changed"}]')} ],
	gov_upsert_entities => [ '', '42501', q{gov_upsert_entities('globex', '[{"id": "sekrit-team", "displayName": "changed"}]')} ],
	gov_upsert_entity_types => [ '', '42501', q{gov_upsert_entity_types('[{"id": "team", "displayName": "changed"}]')} ],
	gov_usage_sums => [ 'reader tenant', '42501', q{gov_usage_sums('-infinity', owner_ids => '{globex}')} ],
	gov_verify => [ 'reader', '42501', q{gov_verify('globex')} ],
	gov_window => [ 'app reader tenant', 'shared', q{gov_window('P1M')} ],

	# Internal. Those that are not listed must be in SQL, with the rights of their caller, and are for readers and tenants.
	_gov_cached_counters => [ 'reader', '42501', q{_gov_cached_counters('globex')} ],
	_gov_verify_owner => [ 'reader', '42501', q{_gov_verify_owner('globex')} ],
	_gov_carried => [ 'reader tenant', '42501', q{_gov_carried('globex', now(), null)} ],
	_gov_recount_window_start => [ '', 'shared', q{_gov_recount_window_start('P1M', null, 'UTC', now())} ],
	_gov_recounted => [ 'reader', '42501', q{_gov_recounted('globex', 'tokens', '-infinity', 1000000, null, null, 'UTC', '{sekrit-team}', '{1}', 1)} ],
	_gov_raise_barrier => [ '', '42501', q{_gov_raise_barrier('globex')} ],
	_gov_inherited_name => [ 'reader tenant', 'shared', q{_gov_inherited_name('00000000-0000-0000-0000-000000000001', 1, 'globex', 'sekrit-team', '{}', null, 0)} ],
	_gov_inherited_budgets => [ 'reader tenant', '42501', q{_gov_inherited_budgets('globex', 'sekrit-team')} ],
	_gov_keep_initial_privileges => [ '', '55000', '_gov_keep_initial_privileges(true)' ],
	_gov_library_version => [ 'reader', 'shared', '_gov_library_version()' ],
	_gov_attribution => [ 'reader tenant', '42501', q{_gov_attribution('globex', 'tokens', '{team}', '-infinity', 'infinity', null, 'UTC')} ],
	_gov_usage_sums => [ 'reader tenant', '42501', q{_gov_usage_sums('-infinity', 'infinity', null, 'UTC', '{globex}', null)} ],
	_gov_sliding_window => [ 'reader tenant', 'shared', q{_gov_sliding_window('PT1M', '2026-01-01')} ],
	_gov_anchor => [ 'reader tenant', 'shared', q{_gov_anchor('15', 'P1M', 'UTC', '2026-01-01')} ],
	_gov_budgets_of_entity => [ 'reader tenant', 'shared', q{_gov_budgets_of_entity('globex', 'sekrit-team', '2026-01-01')} ],
	_gov_budget_bytes => [ 'reader', 'shared', '_gov_budget_bytes(1, 0, 0, 0, false, 0, false, 0, false, false)' ],
	_gov_change_every_owner => [ '', 'shared', '_gov_change_every_owner()' ],
	_gov_log_right => [ '', '42501', q{_gov_log_right('GRANT', 'governance_accomplice', 'admin')} ],
	_gov_list => [ 'reader tenant', 'shared',
		q{_gov_list('entities', 'public.gov_entities r where $1 is not null', '{r.owner_id, r.id}', '{a string, a string}', 'to_jsonb(r)', 'globex', '{}', null, null, 100)} ],
	_gov_lock_hierarchy => [ '', '42501', q{_gov_lock_hierarchy('globex', true)} ],
	_gov_name_bytes => [ 'reader', 'shared', '_gov_name_bytes(36)' ],
	_gov_node_bytes => [ 'reader', 'shared', '_gov_node_bytes(36, 0, 0, false)' ],
	_gov_pool_bytes => [ 'reader', 'shared', '_gov_pool_bytes(2)' ],
	_gov_profile_rights => [ 'reader tenant', 'shared', '_gov_profile_rights()' ],
	_gov_replay => [ 'reader tenant', '42501', q{_gov_replay('globex', '{}', '{}', '-infinity', 'infinity', '{}', '{}', '{}', '{}', '{}')} ],
	_gov_refuse_cycle => [ 'reader tenant', '42501', q{_gov_refuse_cycle('globex', 'a')} ],
	_gov_read_every_owner => [ 'reader', 'shared', '_gov_read_every_owner()' ],
	_gov_require_owner => [ 'reader tenant', '42501', q{_gov_require_owner('globex')} ],
	_gov_require_unpinned => [ 'reader tenant', '42501', q{_gov_require_unpinned('x')} ],
	_gov_require_unlocked => [ 'reader tenant', 'shared', "_gov_require_unlocked('globex', '{\"x\": $budget}')" ],
	_gov_set_archived => [ 'reader tenant', '42501', q{_gov_set_archived('globex', '{sekrit-team}', true)} ]);

# ---------------------------------------------------------------- two owners

my $node = gov_node('tenants');

sub sql { return $node->safe_psql('postgres', $_[0]); }

# What globex has is called sekrit-…; whoever prints that has seen it.
sql(q{
	insert into gov_entity_types (id, attribution_keys) values ('team', '{team}');
	insert into gov_capabilities (id) values ('tokens')});

# Somebody is being forgotten, and the worker does not get on.
sql(q{
	create function stay() returns trigger language plpgsql as $$ begin raise 'not now'; end $$;
	create trigger stay before update on gov_forgotten for each row execute function stay()});
foreach my $owner (qw(acme globex))
{
	my $x = $owner eq 'globex' ? 'sekrit-' : '';

	sql(qq{
		insert into gov_entities (owner_id, id, type_id, parent_id, display_name, metadata, archived_at) values
			('$owner', '${x}team', 'team', null, '${x}name', '{"k": "${x}v"}', null),
			('$owner', '${x}old', 'team', '${x}team', null, '{}', now());
		insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, locked, alert_thresholds) values
			('$owner', '${x}team', 'tokens', '${x}open', 100, false, '{50}'), ('$owner', '${x}team', 'tokens', '${x}locked', 1000, true, '{50}');
		insert into gov_increase_requests (id, owner_id, entity_id, capability_id, name, amount, reason) values ('00000000-0000-0000-0000-000000000001', 'globex', 'sekrit-team', 'tokens', 'sekrit-open', 1, 'sekrit') on conflict do nothing;
		insert into gov_increase_requests (owner_id, entity_id, capability_id, name, amount) values ('$owner', '${x}team', 'tokens', '${x}open', 1);
		insert into gov_boosts (owner_id, entity_id, capability_id, name, amount) values ('$owner', '${x}team', 'tokens', '${x}open', 0.5);
		insert into gov_capabilities (id) values ('pooled') on conflict do nothing;
		insert into gov_assignments (owner_id, entity_id, capability_id, name, is_pool) values ('$owner', '${x}team', 'pooled', '${x}pool', true);
		insert into gov_grants (owner_id, assignment_id, amount, category) select owner_id, id, 100, '${x}bought' from gov_assignments where owner_id = '$owner' and is_pool;
		select gov_ingest('$owner', 'pooled', 1, null, '{${x}team}');
		insert into gov_alert_policies (owner_id, thresholds) values ('$owner', '{80}');
		insert into gov_default_assignments (owner_id, type_id, capability_id, name, usage_limit) values ('$owner', 'team', 'tokens', '${x}default', 5000);
		insert into gov_prices (owner_id, capability_id, quantity, match, price) values ('$owner', 'tokens', '${x}input', '{"model": "${x}model"}', 3);
		update gov_assignments set usage_limit = 1001 where owner_id = '$owner' and name = '${x}locked';
		update gov_assignments set usage_limit = 1000 where owner_id = '$owner' and name = '${x}locked';
		set governance.caller = '${x}caller';
		select gov_allowed('$owner', 'tokens', 10000, null, '{${x}team}');
		select gov_ingest('$owner', 'tokens', 60, '{"feature": "${x}chat"}', '{${x}team}', '${x}key')});
	sql(qq{select gov_reserve('$owner', 'tokens', 1, '{"feature": "${x}chat"}', '{${x}team}', '${x}hold', '1 day')});
}
sql(q{
	insert into gov_alert_policies (owner_id, thresholds) values (null, '{99}');
	insert into gov_alerts (owner_id, assignment_id, threshold, window_start, usage, usage_limit)
	select owner_id, id, 50, '-infinity', 60, usage_limit from gov_assignments where not is_pool on conflict do nothing});
gov_roll_up($node, 'postgres');
sql(q{select gov_recount(id) from gov_assignments where name like '%open'});
sql(q{
	insert into gov_forgotten (owner_id, entity_id, replacement, last_event_id, forgotten_at)
	values ('acme', 'gone', 'x', 1, now()), ('globex', 'sekrit-gone', 'x', 1, now());
	insert into gov_imports (owner_id, export_id, chunks_done, rows_done, begun_at, completed_at, first_event_id, last_event_id, event_id_shift, counter_id_shift, imported_counter_id_shift, events_deleted_until, relations)
	select o, gen_random_uuid(), 2, 0, now(), now(), -1, -1, -2, 0, 0, -1, '{}' from unnest('{acme,globex}'::text[]) o});
$node->poll_query_until('postgres', 'select count(distinct owner_id) = 2 from gov_denials') or die "the denials are not written\n";
my $hold = sql(q{select id from gov_reservations where owner_id = 'globex'});
my $their_event = sql(q{select min(id) from gov_events where owner_id = 'globex' and amount > 0});
my $their_budget = sql(q{select id from gov_assignments where owner_id = 'globex' and name = 'sekrit-open'});

# The roles: one of each profile, pinned to acme; and one of each that is not.
my @PROFILES = qw(app reader tenant admin);

sql('create role governance_public login; create role governance_accomplice');
foreach my $profile (@PROFILES)
{
	sql(qq{
		create role governance_$profile login; alter role governance_$profile set governance.owner = 'acme';
		create role governance_free_$profile login;
		select gov_grant('governance_$profile', '$profile'), gov_grant('governance_free_$profile', '$profile')});
}

my %session;

sub session
{
	my ($role) = @_;

	$session{$role} //= $node->background_psql('postgres',
		on_error_stop => 0,
		extra_params => [ '-U', "governance_$role", '-v', 'VERBOSITY=verbose' ]);
	return $session{$role};
}

# What a statement prints, all messages with it; whatever it does is taken back.
sub answer
{
	my ($role, $statement) = @_;

	return gov_ask(session($role), "begin; $statement; rollback");
}

sub error_of
{
	my ($answer) = @_;

	return $answer =~ /ERROR:  ([0-9A-Z]{5}):/ ? $1 : 'none';
}

# All that globex has, and all that is shared, as a superuser sees it.
sub everything_else
{
	my @tables = split /\n/, sql(q{
		select c.oid::regclass from pg_depend d join pg_extension e on e.oid = d.refobjid and e.extname = 'governance'
		join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind = 'r'
		where d.refclassid = 'pg_extension'::regclass and c.relname <> 'gov_rollup_state' order by 1});
	return join "\n", map {
		my $table = $_;
		sql(qq{select '$table', md5(string_agg(t::text, ' ' order by t::text)) from $table t
			where coalesce(to_jsonb(t) ->> 'owner_id', '') <> 'acme'})
	} @tables;
}

my $before = everything_else();
my @members = map { [ split /\|/ ] } split /\n/, sql(q{
	select case when d.classid = 'pg_proc'::regclass then 'function' when c.relkind = 'S' then 'sequence' else 'relation' end,
		coalesce(c.relname, p.proname), coalesce(c.oid::regclass::text, p.oid::regprocedure::text),
		p.prorettype in ('trigger'::regtype, 'internal'::regtype), l.lanname in ('sql', 'plpgsql') and not p.prosecdef,
		coalesce((select string_agg(a.attname, ' ' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0), '')
	from pg_depend d join pg_extension e on e.oid = d.refobjid and e.extname = 'governance' and d.deptype = 'e'
	left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind in ('r', 'v', 'S', 'm', 'p', 'f')
	left join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
	left join pg_language l on l.oid = p.prolang
	where d.refclassid = 'pg_extension'::regclass and (c.oid is not null or p.oid is not null) order by 3});

cmp_ok(scalar @members, '>', 60, 'the extension has members');

sub includes
{
	my ($list, $profile) = @_;

	return grep { $_ eq $profile } split / /, $list // '';
}

# ---------------------------------------------------------------- relations

foreach my $member (grep { $_->[0] ne 'function' } @members)
{
	my ($kind, $name, $relation, undef, undef, $columns) = @$member;
	my ($readers, $writers, $partly) = @{ $RELATIONS{$name} // [] };
	my ($column) = split / /, $columns // '';
	my $has_owner = $columns && $columns =~ /\bowner_id\b/;

	ok(defined $readers, "$relation: it is said who may use it") or next;
	if ($kind eq 'sequence')
	{
		foreach my $role ('public', @PROFILES, map { "free_$_" } @PROFILES)
		{
			is(error_of(answer($role, "select nextval('$relation')")), '42501', "$relation: nextval by $role");
			is(error_of(answer($role, "select last_value from $relation")), '42501', "$relation: select by $role");
		}
		next;
	}
	foreach my $role ('public', @PROFILES)
	{
		my $reads = includes($readers, $role);
		my $writes = includes($writers, $role);
		my $seen = answer($role, "table $relation");

		# gov_stats is about the whole server, and says so
		is(error_of($seen), $reads && $name ne 'gov_stats' ? 'none' : '42501', "$relation: select by $role");
		unlike($seen, qr/sekrit|globex/, "$relation: $role sees nothing of globex");
		like($seen, qr/acme/, "$relation: $role sees acme") if $reads && $has_owner && $name ne 'gov_frozen_owners';
		unlike(answer($role, "copy (select t from $relation t) to stdout"), qr/sekrit|globex/, "$relation: COPY by $role");
		unlike(answer($role, "declare c scroll cursor with hold for table $relation; fetch all c"),
			qr/sekrit|globex/, "$relation: a cursor by $role");
		is(error_of(answer($role, "truncate $relation")) eq 'none', '', "$relation: TRUNCATE by $role");

		my $mine = $has_owner ? "where owner_id = 'globex'" : '';
		my $updated = (grep { $_ eq 'usage_limit' || $_ eq 'thresholds' } split / /, $columns)[0] // $column;

		if ($writes)
		{
			like(answer($role, "delete from $relation $mine"), qr/\A(DELETE 0)?\z/, "$relation: DELETE by $role touches nothing")
			  or diag answer($role, "delete from $relation $mine");
			like(answer($role, "update $relation set $updated = $updated $mine"), qr/\A(UPDATE 0)?\z/, "$relation: UPDATE by $role touches nothing")
			  or diag answer($role, "update $relation set $updated = $updated $mine");
		}
		elsif (($reads || $role eq 'public') && !includes($partly, $role))
		{
			foreach my $change ("delete from $relation", "update $relation set $updated = $updated", "insert into $relation default values")
			{
				like(error_of(answer($role, $change)), qr/\A(42501|55000)\z/, "$relation: no change by $role: $change");
			}
			is(error_of(answer($role, "lock table $relation in access exclusive mode")), '42501', "$relation: no LOCK by $role");
		}
	}
	foreach my $role (map { "free_$_" } @PROFILES)
	{
		my ($profile) = $role =~ /free_(.*)/;
		my $seen = answer($role, "table $relation");

		next if !$has_owner;
		if ($profile eq 'tenant')
		{
			is($seen, '', "$relation: a tenant that is not pinned sees nothing");
		}
		elsif (includes($readers, $profile) && $name ne 'gov_frozen_owners')
		{
			like($seen, qr/globex/, "$relation: $profile sees every owner without a pin");
		}
	}
}

# A row of globex is not to be made, whatever else is granted.
foreach my $insert (
	q{insert into gov_entities (owner_id, id, type_id) values ('globex', 'new', 'team')},
	q{insert into gov_assignments (owner_id, entity_id, capability_id, name) values ('globex', 'sekrit-team', 'tokens', 'new')},
	q{insert into gov_assignments (owner_id, entity_id, capability_id, name) values ('globex', 'sekrit-team', 'tokens', 'sekrit-open') on conflict do nothing},
	q{insert into gov_alert_policies (owner_id, thresholds) values ('globex', '{1}') on conflict (owner_id) do update set thresholds = '{1}'},
	q{insert into gov_alert_policies (owner_id, thresholds) values (null, '{1}') on conflict (owner_id) do update set thresholds = '{1}'},
	q{update gov_alert_policies set owner_id = 'globex' where owner_id = 'acme'},
	q{update gov_assignments set owner_id = 'globex'},
	q{insert into gov_capabilities (id) values ('new')},
	q{insert into gov_entity_types (id) values ('new')})
{
	foreach my $role (qw(tenant admin))
	{
		my $answer = answer($role, $insert);

		is(error_of($answer), $insert =~ /set owner_id/ && $role eq 'admin' ? '55000' : '42501', "$role: $insert");
		unlike($answer, qr/already exists|duplicate/, "$role: and it does not tell what there is");
	}
}

# ---------------------------------------------------------------- functions

foreach my $member (grep { $_->[0] eq 'function' } @members)
{
	my (undef, $name, $signature, $is_trigger, $is_plain) = @$member;
	my ($profiles, $outcome, @calls) = @{ $FUNCTIONS{$name} // [] };

	if ($is_trigger eq 't' || (!defined $profiles && $name =~ /^_gov_/ && $is_plain eq 't'))
	{
		foreach my $profile (@PROFILES)
		{
			my $may = $is_trigger eq 't' ? 0 : $profile ne 'app';

			is(sql("select has_function_privilege('governance_$profile', '$signature', 'execute')"),
				$may ? 't' : 'f', "$signature: $profile " . ($may ? 'may' : 'may not') . ' call it');
		}
		is(sql("select has_function_privilege('governance_public', '$signature', 'execute')"), 'f', "$signature: not for PUBLIC");
		next;
	}
	ok(defined $profiles, "$signature: it is said who may call it, and what that comes to") or next;
	foreach my $role ('public', @PROFILES)
	{
		my $may = $role eq 'admin' || includes($profiles, $role);

		foreach my $call (@calls)
		{
			my $tried = $call =~ s/:hold/$hold/r =~ s/:event/$their_event/r =~ s/:budget/$their_budget/r;
			my $answer = answer($role, "select * from $tried");
			my $told = $answer;

			if (!$may)
			{
				like($answer, qr/42501: permission denied for function \Q$name\E\b/, "$role: no $tried");
				next;
			}
			is(error_of($answer), $outcome =~ /^(shared|each)$/ ? 'none' : $outcome, "$role: $tried") or diag $answer;

			like($answer, qr/permission denied for owner "globex"|hold "$hold" does not exist/, "$role: $tried is refused") if $outcome eq 'each';

			# the argument itself may be told, what is there may not
			$told =~ s/permission denied for owner "globex"//;
			$told =~ s/^LINE \d+:.*$//mg;
			unlike($told, qr/sekrit|globex/, "$role: $tried tells nothing");
		}
	}
	if ($name !~ /^_/ && $outcome eq '42501' && $calls[0] =~ /'globex'/ && includes($profiles, 'tenant'))
	{
		is(error_of(answer('free_tenant', "select * from $calls[0]")), '42501', "a tenant that is not pinned: $calls[0]");
	}
}

# A superuser that pins itself gets the same from the functions.
foreach my $name (sort keys %FUNCTIONS)
{
	my (undef, $outcome, @calls) = @{ $FUNCTIONS{$name} };

	next if $outcome =~ /^(shared|each)$/ || !grep { $_->[1] eq $name } @members;
	foreach my $call (@calls)
	{
		my $tried = $call =~ s/:hold/$hold/r =~ s/:event/$their_event/r =~ s/:budget/$their_budget/r;

		# the null of gov_set_alert_policy, and helpers that only have their caller's rights
		next if $tried =~ /^_gov_set_archived/;
		gov_raises($node, 'postgres', "begin; set local governance.owner = 'acme'; select * from $tried", $outcome, "a pinned superuser: $tried");
	}
}

is(everything_else(), $before, 'nothing of globex, and nothing shared, has changed');
is(sql(q{select count(*) from pg_roles where pg_has_role('governance_accomplice', oid, 'member') and rolname <> 'governance_accomplice'}), '0', 'no accomplice');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');

# A profile has what its functions call.
foreach my $name (grep { !/^_/ } sort keys %FUNCTIONS)
{
	my ($profiles, undef, @calls) = @{ $FUNCTIONS{$name} };

	foreach my $profile (split / /, $profiles)
	{
		foreach my $call (map { s/sekrit-//gr =~ s/globex/acme/gr } @calls)
		{
			my $tried = $call =~ s/:hold/$hold/r =~ s/:event/$their_event/r =~ s/:budget/$their_budget/r;

			unlike(answer($_, "select * from $tried"), qr/permission denied for (?!owner|gov_|session)/, "$_: what $tried calls") foreach $profile, "free_$profile";
		}
	}
}

# Each does its own work.
is(answer('app', q{select is_granted from gov_consume('acme', 'tokens', 1, null, '{team}')}), 't', 'an application consumes');
like(answer('tenant', q{select gov_set_alert_policy(null, '{50}')}), qr/concerns every owner/, 'a tenant is told why it may not set the policy of all');
is(answer('free_app', q{select is_granted from gov_consume('globex', 'tokens', 1, null, '{sekrit-team}')}), 't', 'one without a pin, for any owner');
is(answer('reader', q{select count(*) from gov_verify()}), '0', 'a reader verifies');
my $foreign = q{select count(*) > 0 from gov_cached_counters() c where not exists (select from gov_used_assignments a where a.owner_id = 'acme' and a.counter_id = c.counter_id)
	and not exists (select from gov_assignments a where a.owner_id = 'acme' and a.debt_counter_id = c.counter_id)
	and not exists (select from gov_grants g where g.owner_id = 'acme' and g.counter_id = c.counter_id)};

is(answer('free_reader', $foreign), 't', 'the cache has counters of globex');
is(answer('reader', $foreign), 'f', 'which a reader of acme is not shown');
is(answer('free_reader', q{select count(*) > 10 from gov_stats}), 't', 'one without a pin reads gov_stats');
is(answer('admin', q{select gov_upsert_entities('acme', '[{"id": "new", "typeRefId": "team", "parentId": "team"}]') is not null}), 't', 'an administrator of one owner');
is(answer('free_admin', q{select gov_upsert_capabilities('[{"id": "new"}]') is not null; select gov_delete_owner('globex')}), "t\n", 'an administrator of all');
sql('drop trigger stay on gov_forgotten');
is(answer('free_admin', q{select count(*) from gov_maintain()}), '1', 'maintains');

sql(q{select gov_freeze_owner('acme'), gov_freeze_owner('globex')});
is(answer($_, 'select string_agg(owner_id, \' \') from gov_frozen_owners'), 'acme', "$_ sees that its own is frozen") foreach qw(reader tenant admin);
is(answer("free_$_", 'select count(*) from gov_frozen_owners'), '2', "$_ sees both without a pin") foreach qw(reader admin);
is(error_of(answer('tenant', q{insert into gov_frozen_owners values ('globex', now(), 'me')})), '42501', 'a tenant freezes nobody');
sql(q{select gov_thaw_owner('acme'), gov_thaw_owner('globex')});

# ---------------------------------------------------------------- gov_grant and gov_revoke

gov_raises($node, 'postgres', "select gov_grant('nobody_here', 'app')", '42704', 'an unknown role');
gov_raises($node, 'postgres', "select gov_grant('public', 'app')", '42704', 'PUBLIC is no role');
gov_raises($node, 'postgres', "select gov_grant('governance_public', 'owner')", '22023', 'an unknown profile');
gov_raises($node, 'postgres', "select gov_grant(null, 'app')", '22004', 'a null role');
gov_raises($node, 'postgres', "select gov_grant('governance_public', null)", '22004', 'a null profile');
gov_raises($node, 'postgres', "select gov_revoke('nobody_here')", '42704', 'to revoke from an unknown role');
foreach my $attribute (qw(superuser bypassrls replication))
{
	gov_raises($node, 'postgres', "begin; alter role governance_accomplice $attribute; select gov_grant('governance_accomplice', 'tenant')", '22023', "a tenant with $attribute");
}
is(error_of(answer('free_admin', "select gov_grant('governance_accomplice', 'app')")), '42501', 'an administrator does not own what it would grant');
like(($node->psql('postgres', "select gov_grant('governance_accomplice', 'tenant')"))[2], qr/NOTICE:.*not pinned/, 'a tenant without a pin is told of');

# Nothing is left, so that the role can be dropped.
sql(q{
	create role "Odd ""role"; select gov_grant('Odd "role', p) from unnest('{app, reader, tenant, admin}'::text[]) p;
	select gov_grant('Odd "role', 'admin'); grant usage on sequence gov_counter_seq to "Odd ""role"; grant execute on function gov_note_change to "Odd ""role";
	select gov_revoke('Odd "role'); drop role "Odd ""role"});
sql(q{select gov_revoke('governance_accomplice'); drop role governance_accomplice});
is(sql("select count(*) from pg_roles where rolname in ('Odd \"role', 'governance_accomplice')"), '0', 'gov_revoke leaves nothing');

# Both at once, many times over, from two sessions.
my @grantors = map { $node->background_psql('postgres') } 1 .. 2;

sql('create role governance_both');
foreach my $grantor (@grantors)
{
	$grantor->{stdin} .= q{do $$ begin for i in 1..10 loop perform gov_grant('governance_both', 'admin'); perform gov_revoke('governance_both'); commit; end loop; end $$;} . "\n";
}
is(gov_ask($_, 'select 1'), '1', 'grants at the same time') foreach @grantors;
$_->quit foreach @grantors;
sql('drop role governance_both');

# In a schema of its own, with a name that wants quoting.
sql('create database odd; create role governance_odd login');
sql(q{alter role governance_odd set governance.owner = 'acme'});
$node->safe_psql('odd', q{create schema "Odd schema"; create extension governance schema "Odd schema"; set search_path = "Odd schema";
	insert into gov_entity_types (id) values ('team');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'team', 'team'), ('globex', 'team', 'team');
	select gov_grant('governance_odd', 'tenant')});
is( $node->safe_psql('odd', q{select string_agg(owner_id, ' ') from "Odd schema".gov_entities; select "Odd schema".gov_list_entities('acme') is not null},
		extra_params => [ '-U', 'governance_odd' ]), "acme\nt", 'a tenant in another schema');
$node->safe_psql('odd', q{select "Odd schema".gov_revoke('governance_odd'); drop role governance_odd});
sql('drop database odd');

# A dump takes the grants along.
sub grants
{
	my ($db) = @_;

	return $node->safe_psql($db, q{
		select x.relname, x.attname, x.acl from
			(select c.relname, null as attname, unnest(c.relacl)::text as acl from pg_class c where c.relname like 'gov\_%' union all
			select c.relname, a.attname, unnest(a.attacl)::text from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relname like 'gov\_%' union all
			select p.oid::regprocedure::text, null, unnest(p.proacl)::text from pg_proc p where p.proname ~ '^_?gov_') x order by 1, 2, 3});
}

my $dump = PostgreSQL::Test::Utils::tempdir() . '/tenants.sql';
my $granted = grants('postgres');

like($granted, qr/governance_tenant/, 'there are grants to dump');
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
sql('create database restored');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restore');
is(grants('restored'), $granted, 'the grants are the same');
my ($ret, $stdout, $stderr) = $node->psql('restored', 'select distinct owner_id from gov_events', extra_params => [ '-U', 'governance_tenant' ]);
is($stdout, 'acme', 'and a tenant sees its own there') or diag $stderr;

$_->quit foreach values %session;
$node->stop;
done_testing();
