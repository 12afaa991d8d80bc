# A new user's path: what the README says to do first, then roles for an application, a dashboard, an administrator and two customers.
# Each does its job, and is refused the rest.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $readme = slurp_file("$FindBin::RealBin/../../README.md");
my $node = gov_node('new_user', extension => 0);

# No day may end here: the engine's clock starts at noon.
my $seconds = $node->safe_psql('postgres', q{select floor(extract(epoch from date_trunc('day', now() at time zone 'UTC') + interval '36 hours' - now() at time zone 'UTC'))});

$node->append_conf('postgresql.conf', "governance.clock_offset = '${seconds}s'");
$node->restart;

# ---------------------------------------------------------------- from nothing

my ($started) = $readme =~ /^## Getting started\n(.*?)(?=^## )/ms;
my @blocks = $started =~ /^```sql\n(.*?)^```\n/gms;

cmp_ok(scalar @blocks, '>=', 3, 'the README tells how to start');
$node->safe_psql('postgres', $_) foreach @blocks;
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id, display_name) values ('cus-globex', 'team-x', 'team', 'Secret');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('cus-globex', 'team-x', 'ai-tokens', 777)});

my %profile_of = (app => 'app', dashboards => 'reader', ops => 'admin', acme_portal => 'tenant', globex_portal => 'tenant', loose_portal => 'tenant', nobody_here => undef);
my %pin_of = (acme_portal => 'cus-acme', globex_portal => 'cus-globex');

foreach my $role (sort keys %profile_of)
{
	$node->safe_psql('postgres', "create role $role login");
	$node->safe_psql('postgres', "alter role $role set governance.owner = '$pin_of{$role}'") if defined $pin_of{$role};
	$node->safe_psql('postgres', "select gov_grant('$role', '$profile_of{$role}')") if defined $profile_of{$role};
}

my %session;

sub session
{
	my ($role) = @_;

	$session{$role} //= $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
	return $session{$role};
}

sub answer { return gov_ask(session($_[0]), $_[1]); }

# A role gets this answer.
sub gets
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($role, $sql, $wanted, $label) = @_;
	return is(answer($role, $sql), $wanted, "$role: " . ($label // $sql));
}

# A role may, whatever comes out.
sub may
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($role, @statements) = @_;
	unlike(answer($role, $_), qr/ERROR/, "$role may: $_") foreach @statements;
	return;
}

# A role is refused, with 42501 unless told.
sub refused
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($role, @statements) = @_;
	foreach (@statements)
	{
		my ($sql, $code) = ref $_ ? @$_ : ($_, '42501');
		like(answer($role, "begin; $sql; rollback"), qr/ERROR:  $code:/, "$role may not: $sql");
	}
	return;
}

my $dims = q('{"agentId": "agent-7"}');
my @checks = ("select is_granted from gov_check('cus-acme', 'ai-tokens', 1, $dims)", "select gov_allowed('cus-acme', 'ai-tokens', 1, $dims)", "select * from gov_headroom('cus-acme', 'ai-tokens', 1, $dims)");
my @uses = (
	"select event_id from gov_ingest('cus-acme', 'ai-tokens', 1, $dims)",
	q{select event_id from gov_ingest_many('cus-acme', '[{"capabilityId": "ai-tokens", "dimensions": {"agentId": "agent-7"}}]')},
	"select is_granted from gov_consume('cus-acme', 'ai-tokens', 1, $dims)",
	"select gov_require('cus-acme', 'ai-tokens', 1, $dims)",
	"select state from gov_reserve('cus-acme', 'ai-tokens', 1, $dims)",
	[ "select * from gov_settle('00000000-0000-0000-0000-000000000000')", '42704' ],
	[ "select gov_release('00000000-0000-0000-0000-000000000000')", '42704' ],
	[ "select gov_extend('00000000-0000-0000-0000-000000000000', '1 hour')", '42704' ]);
my @reports = (
	q{select gov_query('cus-acme', '{ai-tokens}')}, q{select gov_query('cus-acme')}, q{select * from gov_tree('cus-acme', '{ai-tokens}')},
	q{select gov_report('cus-acme')}, q{select * from gov_attribution('cus-acme', 'ai-tokens', '{team,feature}', '-infinity', 'infinity', '1 day')},
	q{select * from gov_backtest('cus-acme', '[{"entityId": "agent-7", "capabilityId": "ai-tokens", "usageLimit": 1, "cadence": "P1D"}]', '-infinity', 'infinity')},
	q{select gov_list_assignments('cus-acme')}, q{select gov_list_entities('cus-acme')}, q{select gov_get_entity('cus-acme', 'agent-7')}, 'select gov_list_capabilities()');
my @tables = map { "table $_" } qw(gov_entities gov_assignments gov_boosts gov_increase_requests gov_prices gov_events gov_usage gov_recounts gov_usage_by_time gov_usage_hourly gov_reservations gov_alerts gov_denials gov_alert_policies gov_changes gov_frozen_owners gov_imports gov_limit_history gov_entity_types gov_capabilities gov_holds gov_event_log gov_usage_log gov_alert_log gov_budgets);
my @catalog = (
	q{select gov_upsert_entity_types('[{"id": "robot"}]')}, q{select gov_upsert_capabilities('[{"id": "ai-minutes"}]')},
	q{select gov_upsert_entities('cus-acme', '[{"id": "agent-8", "typeId": "agent", "parentId": "team-eng"}]')},
	q{select gov_archive_entities('cus-acme', '{agent-7}')}, q{select gov_unarchive_entities('cus-acme', '{agent-7}')},
	q{insert into gov_entities (owner_id, id, type_id) values ('cus-acme', 'agent-9', 'agent')}, q{update gov_entities set display_name = 'x' where owner_id = 'cus-acme'},
	q{update gov_capabilities set unit = 'x'}, q{select gov_maintain()}, q{select gov_refresh()}, q{select gov_delete_owner('cus-initech')});
my @budgets = (
	q{select gov_upsert_assignments('cus-acme', '[{"entityId": "agent-7", "capabilityId": "ai-tokens", "usageLimit": 20000}]')},
	q{update gov_assignments set usage_limit = 20000 where owner_id = 'cus-acme' and entity_id = 'agent-7'},
	q{insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit) values ('cus-acme', 'agent-7', 'ai-tokens', 'tmp', 5)},
	q{delete from gov_assignments where owner_id = 'cus-acme' and name = 'tmp'},
	q{select gov_set_alert_policy('cus-acme', '{80,100}')});
my @never = (
	q{update gov_events set amount = 0}, q{delete from gov_events}, q{truncate gov_events}, q{insert into gov_events (owner_id, capability_id, amount) values ('cus-acme', 'ai-tokens', 1)},
	q{delete from gov_usage}, q{delete from gov_alerts}, q{update gov_reservations set state = 'released'}, q{drop table gov_alerts}, q{alter table gov_assignments disable trigger all},
	q{select gov_grant('nobody_here', 'admin')}, q{select gov_revoke('app')}, q{alter role app superuser});

sub statements { return map { ref $_ ? $_->[0] : $_ } @_; }

# ---------------------------------------------------------------- nobody, to begin with

refused('nobody_here', statements(@checks, @uses, @reports, @tables, @catalog, @budgets, @never), 'table gov_stats', q{select * from gov_verify()});

# ---------------------------------------------------------------- an application

gets('app', "select is_granted, remaining from gov_check('cus-acme', 'ai-tokens', 400, $dims)", 't|500');
gets('app', "select is_granted, denied_reason from gov_check('cus-acme', 'ai-tokens', 600, $dims)", 'f|BudgetExceeded');
may('app', @checks);
may('app', grep { !ref } @uses);
refused('app', grep { ref } @uses);
my $hold = answer('app', "select reservation_id from gov_reserve('cus-acme', 'ai-tokens', 100, $dims)");
may('app', "select gov_extend('$hold', '10 minutes')", "select * from gov_settle('$hold', 60)");
gets('app', "select gov_release('$hold')", 'f');
may('app', q{select gov_allowed('cus-globex', 'ai-tokens', 1, null, '{team-x}')}, q{select * from gov_window('P1M')});
refused('app', @reports, @tables, 'table gov_stats', @catalog, @budgets, @never, q{select * from gov_verify()});

# ---------------------------------------------------------------- a dashboard

may('dashboards', @checks, @reports, @tables, 'table gov_stats', q{select * from gov_verify()}, 'listen governance_alerts');
gets('dashboards', q{select string_agg(owner_id || '/' || entity_id, ' ' order by owner_id, entity_id) from gov_budgets}, 'cus-acme/agent-7 cus-acme/team-eng cus-globex/team-x', 'every owner');
refused('dashboards', (map { ref $_ ? $_->[0] : $_ } @uses), @catalog, @budgets, @never);

# ---------------------------------------------------------------- an administrator

may('ops', @checks, (grep { !ref } @uses), @reports, @tables, 'table gov_stats', @catalog, @budgets, q{select gov_set_alert_policy(null, '{99}')}, q{select * from gov_verify()});
refused('ops', @never);
gets('ops', q{select gov_upsert_assignments('cus-acme', '[{"entityId": "team-eng", "capabilityId": "ai-tokens", "locked": true}]') #>> '{0,locked}'}, 'true', 'locks a budget');
may('ops', q{delete from gov_entities where owner_id = 'cus-acme' and id in ('agent-8', 'agent-9')});

# ---------------------------------------------------------------- a customer

my $page = q{select gov_query('cus-acme', '{ai-tokens}')};

may('acme_portal', @reports, @tables, 'listen governance_alerts');
foreach my $sql ($page, q{select * from gov_tree('cus-acme')}, q{select * from gov_tree('cus-acme', '{ai-tokens}')}, q{select gov_report('cus-acme')},
	q{select * from gov_budgets where owner_id = 'cus-acme' order by entity_id, name}, q{select * from gov_attribution('cus-acme', 'ai-tokens', '{agent,feature}', '-infinity', 'infinity')})
{
	is(answer('acme_portal', $sql), $node->safe_psql('postgres', $sql), "acme_portal: sees what the vendor sees of it: $sql");
}
gets('acme_portal', q{select string_agg(distinct owner_id, ' ') from gov_budgets}, 'cus-acme', 'its own budgets');
foreach my $table (grep { !/types|capabilities/ } @tables)
{
	my ($name) = $table =~ /table (\w+)/;
	gets('acme_portal', "select count(*) from $name where owner_id is distinct from 'cus-acme'" . ($name eq 'gov_alert_policies' ? ' and owner_id is not null' : ''), '0', "nothing of others in $name");
}
refused('acme_portal', (map { s/'cus-acme'/'cus-globex'/r } grep { /cus-acme/ } @reports));

# its own budgets, but for those that are locked; seen at once
may('acme_portal', @budgets);
gets('acme_portal', q{update gov_assignments set usage_limit = 12000 where entity_id = 'agent-7' returning usage_limit}, '12000', 'changes a limit');
gets('acme_portal', q{select d ->> 'usageLimit' from jsonb_array_elements(gov_query('cus-acme', '{ai-tokens}', search => 'AGENT') -> 'data') d}, '12000', 'and sees it at once');
gets('app', "select usage_limit from gov_headroom('cus-acme', 'ai-tokens', 0, $dims) where entity_id = 'agent-7'", '12000', 'it is in force');
gets('acme_portal', q{update gov_assignments set usage_limit = 1 where entity_id = 'team-eng' returning usage_limit}, '', 'a locked budget is no row to change');
refused('acme_portal',
	q{select gov_upsert_assignments('cus-acme', '[{"entityId": "team-eng", "capabilityId": "ai-tokens", "usageLimit": 1}]')},
	q{select gov_upsert_assignments('cus-acme', '[{"entityId": "agent-7", "capabilityId": "ai-tokens", "usageLimit": 1, "parentId": null}]')},
	q{select gov_upsert_assignments('cus-globex', '[{"entityId": "team-x", "capabilityId": "ai-tokens", "usageLimit": 1}]')},
	q{insert into gov_assignments (owner_id, entity_id, capability_id) values ('cus-globex', 'team-x', 'ai-tokens')},
	q{select gov_set_alert_policy('cus-globex', '{50}')}, q{select gov_set_alert_policy(null, '{50}')},
	q{insert into gov_alert_policies (owner_id, thresholds) values (null, '{50}')},
	q{set governance.owner = 'cus-globex'}, q{set governance.owner = ''}, q{reset governance.owner});
gets('acme_portal', q{delete from gov_assignments where owner_id <> 'cus-acme' or locked returning entity_id}, '', 'deletes nothing of others');
gets('acme_portal', q{reset all; select gov_pinned_owner()}, 'cus-acme', 'RESET ALL does not unpin');
refused('acme_portal', @checks, (map { ref $_ ? $_->[0] : $_ } @uses), @catalog, @never, 'table gov_stats');

# It is told when its agent has used 80 %: by the identifiers of rows that it may read, and others may not.
may('globex_portal', 'listen governance_alerts');
may('app', "select event_id from gov_ingest('cus-acme', 'ai-tokens', 3000, $dims)");
foreach my $role ('acme_portal', 'globex_portal')
{
	my $ids = '';
	foreach (1 .. 500)
	{
		($ids) = answer($role, 'select 1') =~ /payload "(?:.*?)\[([\d, ]+)\]/ and last;
		select(undef, undef, undef, 0.02);
	}
	like($ids, qr/\d/, "$role: is notified");
	gets($role, "select string_agg(trim_scale(threshold) || ' % of ' || trim_scale(usage_limit), ' ' order by threshold) from gov_alerts where id in ($ids)",
		$role eq 'acme_portal' ? '80 % of 12000 100 % of 12000' : '', 'reads the alerts under its own rights');
}

# ---------------------------------------------------------------- others

gets('globex_portal', q{select jsonb_path_query_array(gov_query('cus-globex', '{ai-tokens}'), '$.data[*].entityId')}, '["team-x"]', 'another customer sees its own');
gets('globex_portal', 'select count(*) from gov_events', '0', 'and none of the first');
gets('loose_portal', "select count(*) from $_", '0', "nothing in $_") foreach grep { !/types|capabilities|policies/ } map { /table (\w+)/ } @tables;
refused('loose_portal', grep { /cus-acme/ } @reports, @budgets[ 0, 2, 4 ]);

# What was given can be taken.
$node->safe_psql('postgres', "select gov_revoke('$_')") foreach 'app', 'acme_portal', 'dashboards', 'ops';
refused('app', statements(@checks, @uses));
refused($_, @reports, @tables, @budgets) foreach 'acme_portal', 'dashboards', 'ops';

$_->quit foreach values %session;
$node->safe_psql('postgres', "drop role $_") foreach 'app', 'acme_portal', 'dashboards', 'ops', 'nobody_here';
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'the counts equal the ledger');
$node->stop;
done_testing();
