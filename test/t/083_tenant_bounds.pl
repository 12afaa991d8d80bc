# What a tenant may make is bounded by settings that it cannot set, for plain SQL and for the functions alike; the vendor may make what
# it likes. And what one commit pays for alerts is bounded for everybody.

use strict;
use warnings;

use FindBin;
use IPC::Run ();
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use GovTest;

my $node = gov_node('tenant_bounds', conf => "governance.rollup_interval = '100ms'");

$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id) values ('org');
insert into gov_capabilities (id) values ('tokens'), ('calls');
insert into gov_entities (owner_id, id, type_id, parent_id)
values ('acme', 'root', 'org', null), ('acme', 'dept', 'org', 'root'), ('acme', 'leaf', 'org', 'dept'), ('globex', 'root', 'org', null);
insert into gov_entities (owner_id, id, type_id) select 'acme', 'e' || n, 'org' from generate_series(1, 100) n;
create role tenant login; alter role tenant set governance.owner = 'acme'; select gov_grant('tenant', 'tenant');
create role chief login; alter role chief set governance.owner = 'acme'; select gov_grant('chief', 'admin');
SQL
my @names = qw(tenant_budgets tenant_entity_budgets tenant_cadence tenant_thresholds);
my $insert = 'insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, enforcement, cadence, alert_thresholds)';

sub as { my ($role, $sql) = @_; return ($node->psql('postgres', $sql, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]))[2]; }

sub refused
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($sql, $setting, $label) = @_;

	like(as('tenant', $sql), qr/ERROR:  54000: .*HINT:  [^\n]*governance\.$setting /s, "$label: refused, and the hint names the setting");
	return;
}

sub done
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($role, $sql, $label) = @_;

	is(as($role, $sql), '', "$role: $label");
	return;
}

foreach my $name (@names)
{
	like(as('tenant', "set governance.$name = 200"), qr/ERROR:  42501/, "a tenant does not set $name");
	like(as('tenant', "alter role tenant set governance.$name = 200"), qr/ERROR:  42501/, 'not for its next session either');
}

# ---------------------------------------------------------------- uses that it cannot keep from being recorded

# The window before this budget's begins before time does.
done('tenant', "$insert values ('acme', 'leaf', 'calls', 'long', null, 'soft', 'P9999Y', null)", 'a budget whose windows are long');
done('tenant', "update gov_assignments set anchor_at = now() where name = 'long'", 'and that begins now');
is($node->safe_psql('postgres', q{select event_id is not null from gov_ingest('acme', 'calls', 1, null, array['leaf'], null, now() - interval '1 hour')}),
	't', 'a late use is recorded all the same');
is($node->safe_psql('postgres', q{select error is null from gov_ingest_many('acme', '[{"capabilityId": "calls", "entityIds": ["leaf"], "occurredAt": "2020-01-01T00:00:00Z"}]')}),
	't', 'and among many');
$node->poll_query_until('postgres', 'select value = 0 from gov_stats where name = $$rollup_lag_events$$');
is($node->safe_psql('postgres', q{select window_start, amount from gov_usage where owner_id = 'acme'}), '-infinity|2', 'both count before the present window');
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'as the ledger says');
$node->safe_psql('postgres', q{delete from gov_assignments where name = 'long'});

# What is recorded with them can be read and restored.
like(as('tenant', q{select set_config('governance.caller', repeat('x', 256), false)}), qr/ERROR:  22023: .*governance\.caller/, 'a caller is no longer than a name');
{
	local $ENV{PGOPTIONS} = "-c governance.caller=bad\xff";
	my ($ret, $stdout, $stderr) = $node->psql('postgres', '');

	like($stderr, qr/invalid value for parameter "governance\.caller"/, 'and is text of the database');
}

# ---------------------------------------------------------------- budgets of an entity

my $many = sub { my ($from, $to, $entity, $capability) = @_; return "$insert select 'acme', '$entity', '" . ($capability // 'tokens') . "', n::text, 10, 'soft', 'P1M', null from generate_series($from, $to) n"; };

refused($many->(1, 17, 'leaf'), 'tenant_entity_budgets', '17 of an entity and capability');
done('tenant', $many->(1, 16, 'leaf'), '16');
refused($many->(17, 17, 'leaf'), 'tenant_entity_budgets', 'the 17th');
refused(q{select gov_upsert_assignments('acme', '[{"entityId": "leaf", "capabilityId": "tokens", "name": "x", "usageLimit": 1, "cadence": "P1M"}]')}, 'tenant_entity_budgets', 'by the function');
refused("$insert select 'acme', e, 'tokens', 'n' || n, 1, 'hard', 'P1M', null from unnest('{e1,leaf}'::text[]) e, generate_series(1, 3) n", 'tenant_entity_budgets', 'among others');
done('tenant', $many->(1, 16, 'leaf', 'calls'), 'for another capability');
done('tenant', $many->(1, 16, 'leaf') . ' on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update set usage_limit = 11', 'what is there is changed');
done('tenant', "delete from gov_assignments where name = '16' and capability_id = 'tokens'", 'one is deleted');
done('tenant', $many->(17, 17, 'leaf'), 'and another one made');
done('chief', $many->(20, 120, 'leaf'), 'an administrator, also of one owner, is no tenant');
refused($many->(200, 200, 'leaf'), 'tenant_entity_budgets', 'on top of what the vendor has made');
done('tenant', q{update gov_assignments set usage_limit = 5 where name = '120'}, 'which it may change');

# ---------------------------------------------------------------- windows and thresholds

refused("$insert values ('acme', 'dept', 'tokens', 's', 10, 'soft', 'PT59S', null)", 'tenant_cadence', 'a window of 59 seconds');
done('tenant', "$insert values ('acme', 'dept', 'tokens', 's', 10, 'soft', 'PT60S', '{1,2,3,4,5}')", 'of a minute');
refused(q{update gov_assignments set cadence = 'PT1S' where name = 's'}, 'tenant_cadence', 'made shorter');
refused(q{select gov_upsert_assignments('acme', '[{"entityId": "dept", "capabilityId": "tokens", "name": "s", "cadence": "PT5S"}]')}, 'tenant_cadence', 'by the function');
refused(q{update gov_assignments set alert_thresholds = '{1,2,3,4,5,6}' where name = 's'}, 'tenant_thresholds', 'six thresholds');
refused(q{select gov_upsert_assignments('acme', '[{"entityId": "dept", "capabilityId": "tokens", "name": "s", "alertThresholds": [1,2,3,4,5,6]}]')}, 'tenant_thresholds', 'by the function');
refused("$insert values ('acme', 'dept', 'tokens', 't', 10, 'soft', 'P1M', '{1,2,3,4,5,6}')", 'tenant_thresholds', 'on a new one');
refused(q{select gov_set_alert_policy('acme', '{1,2,3,4,5,6}')}, 'tenant_thresholds', 'in the policy');
done('tenant', q{select gov_set_alert_policy('acme', '{1,2,3,4,5}')}, 'five');
refused(q{update gov_alert_policies set thresholds = '{1,2,3,4,5,6}'}, 'tenant_thresholds', 'in the policy that is there');
done('tenant', q{select gov_set_alert_policy('acme', null)}, 'none');

# What the vendor has made may stay as it is, and get better.
done('postgres', "$insert values ('acme', 'root', 'tokens', 'v', 10, 'soft', 'PT2S', '{1,2,3,4,5,6,7,8}')", 'the vendor');
done('tenant', q{update gov_assignments set usage_limit = 3, alert_thresholds = '{1,2,3,4,5,6,8,9}' where name = 'v'}, 'changes the limit');
done('tenant', q{update gov_assignments set cadence = 'PT3S' where name = 'v'}, 'makes the window longer');
refused(q{update gov_assignments set cadence = 'PT2S' where name = 'v'}, 'tenant_cadence', 'and not shorter again');

# ---------------------------------------------------------------- budgets of an owner

$node->safe_psql('postgres', q{alter role tenant set governance.tenant_budgets = 300; alter role tenant set governance.tenant_cadence = '1h'});
refused("$insert values ('acme', 'dept', 'tokens', 'w', 10, 'soft', 'PT59M', null)", 'tenant_cadence', 'set for the role');
my $there = $node->safe_psql('postgres', q{select count(*) from gov_assignments where owner_id = 'acme'});
refused("$insert select 'acme', 'e' || (1 + n % 100), 'tokens', n::text, 10, 'soft', 'P1M', null from generate_series($there, 300) n", 'tenant_budgets', 'one more than the owner may have');
done('tenant', "$insert select 'acme', 'e' || (1 + n % 100), 'tokens', n::text, 10, 'soft', 'P1M', null from generate_series(2 + $there, 300) n", 'as many but one');

# Two sessions at once do not both add the last one.
my @sessions = map { $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'tenant' ]) } 1 .. 2;
gov_ask($sessions[0], "begin; $insert values ('acme', 'e1', 'tokens', 'last', 1, 'hard', 'P1M', null)");
$sessions[1]->query_until(qr/sent/, "\\echo sent\n$insert values ('acme', 'e2', 'tokens', 'last', 1, 'hard', 'P1M', null);\n");
ok($node->poll_query_until('postgres', q{select count(*) = 1 from pg_locks where not granted}), 'the second waits for the first');
gov_ask($sessions[0], 'commit');
like(gov_ask($sessions[1], 'select 1'), qr/ERROR:  owner "acme" would have too many budgets/, 'and is refused');
is($node->safe_psql('postgres', q{select count(*) from gov_assignments where owner_id = 'acme'}), '300', 'there are as many as there may be');
$_->quit foreach @sessions;

# ---------------------------------------------------------------- the worst that a tenant may make

# The best of some rounds of calls.
sub ms_of_ingest
{
	my ($owner) = @_;
	my @ms = map {
		my $began = time;
		$node->safe_psql('postgres', "select count(gov_ingest('$owner', 'tokens', 1, null, '{leaf}')) from generate_series(1, 500)");
		(time - $began) * 1000 / 500;
	} 1 .. 5;

	return (sort { $a <=> $b } @ms)[0];
}

$node->safe_psql('postgres', q{
	select gov_delete_owner('acme');
	insert into gov_entities (owner_id, id, type_id, parent_id)
	values ('acme', 'root', 'org', null), ('acme', 'dept', 'org', 'root'), ('acme', 'leaf', 'org', 'dept'),
		('plain', 'root', 'org', null), ('plain', 'dept', 'org', 'root'), ('plain', 'leaf', 'org', 'dept');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
	select 'plain', e, 'tokens', 1e9, 'P1M' from unnest('{root,dept,leaf}'::text[]) e;
	alter role tenant reset governance.tenant_budgets; alter role tenant reset governance.tenant_cadence});
refused("$insert select 'acme', e, 'tokens', n::text, 10, 'soft', 'PT1S', '{1,2,3,4,5,6,7,8,9,10}' from unnest('{root,dept,leaf}'::text[]) e, generate_series(1, 255) n", 'tenant_\w+', 'the attack');
done('tenant', "$insert select 'acme', e, 'tokens', n::text, 100, 'soft', 'PT1M', '{1,2,3,4,5}' from unnest('{root,dept,leaf}'::text[]) e, generate_series(1, 16) n", 'the worst under the defaults');
my ($plain, $worst) = (ms_of_ingest('plain'), ms_of_ingest('acme'));
note sprintf 'a gov_ingest takes %.3f ms with three budgets, %.3f ms with the worst: %.1f times', $plain, $worst, $worst / $plain;
cmp_ok($worst / $plain, '<', 10, 'a call pays a bounded price');
my ($alerts, $windows) = split /\|/, $node->safe_psql('postgres', q{select count(*), count(distinct window_start) from gov_alerts where owner_id = 'acme'});
cmp_ok($alerts, '<=', 240 * $windows, 'at most 240 alerts in a minute');

# ---------------------------------------------------------------- what one commit pays for alerts

$node->safe_psql('postgres', q{
	select gov_delete_owner('acme');
	insert into gov_entities (owner_id, id, type_id, parent_id)
	values ('acme', 'root', 'org', null), ('acme', 'dept', 'org', 'root'), ('acme', 'leaf', 'org', 'dept');
	insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, enforcement, alert_thresholds)
	select 'acme', e, 'tokens', n::text, 10, 'soft', '{10,20,30,40,50,60,70,80,90,100}' from unnest('{root,dept,leaf}'::text[]) e, generate_series(1, 255) n});

# Meanwhile nothing is rolled up.
my $locker = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($locker, 'begin; lock table gov_rollup_state in share mode');
is($node->safe_psql('postgres', q{
		select is_duplicate from gov_ingest('acme', 'tokens', 10, null, '{leaf}');
		select count(*), count(distinct assignment_id) from gov_alerts where owner_id = 'acme'}), "f\n5000|500", 'one commit raises the alerts of 500 budgets');
is($node->safe_psql('postgres', q{
		select is_duplicate from gov_ingest('acme', 'tokens', 1, null, '{leaf}');
		select count(*) from gov_alerts where owner_id = 'acme'}), "f\n5000", 'and the next one does not go on with it');
$locker->quit;
gov_roll_up($node, 'postgres');
is($node->safe_psql('postgres', q{select count(*), count(distinct (assignment_id, threshold)), count(*) filter (where event_id is null) from gov_alerts where owner_id = 'acme'}),
	'7650|7650|0', 'the rollup raises what is left, once, with its event');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'all is counted');

# ---------------------------------------------------------------- a tenant that tries to slow others

# Reports, searches and backtests read what their own owner has, and hold nothing that a call of another owner waits for.
$node->safe_psql('postgres', q{
	select gov_delete_owner('acme');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'root', 'org');
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'e' || n, 'org', 'root' from generate_series(1, 2000) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) select 'acme', 'e' || n, 'tokens', 10, 'PT1M' from generate_series(1, 2000) n;
	select count(gov_ingest('acme', 'tokens', 1, '{"feature": "chat"}', array['e' || n], null, now() - n * interval '1 minute')) from generate_series(1, 2000) n});
my %attacks = (
	'a search for wildcards' => q{select count(*) from gov_query('acme', search => repeat('%_', 120))},
	'a search for a long text' => q{select count(*) from gov_query('acme', search => repeat('x', 1000000))},
	'a long list of types' => q{select count(*) from gov_query('acme', type_ids => array_fill('org'::text, array[100000]))},
	'a long list of capabilities' => q{select count(*) from gov_tree('acme', array_fill('tokens'::text, array[100000]))},
	'a report of everything' => q{select count(*) from gov_report('acme')},
	'a backtest of short windows' => q{select count(*) from (select jsonb_agg(jsonb_build_object('entityId', 'e' || n, 'capabilityId', 'tokens', 'usageLimit', 1, 'cadence', 'PT1S')) from generate_series(1, 2000) n) b (budgets), gov_backtest('acme', b.budgets, '-infinity', 'infinity')},
	'a backtest of too much' => q{select count(*) from (select jsonb_agg(jsonb_build_object('entityId', 'root', 'capabilityId', 'tokens', 'name', n::text, 'usageLimit', 1, 'cadence', 'PT1S')) from generate_series(1, 10001) n) b (budgets), gov_backtest('acme', b.budgets, '-infinity', 'infinity')},
	'an attribution by many names' => q{select count(*) from gov_attribution('acme', 'tokens', (select array_agg('n' || n) from generate_series(1, 32) n), '-infinity', 'infinity', '1 second')},
	'an attribution by too many' => q{select count(*) from gov_attribution('acme', 'tokens', (select array_agg('n' || n) from generate_series(1, 33) n), '-infinity', 'infinity', '1 second')},
	'sums of all time' => q{select count(*) from gov_usage_sums('-infinity', 'infinity', '1 hour', 'UTC', '{acme}')},
	'a change of all budgets' => q{update gov_assignments set usage_limit = usage_limit + 1, cadence = 'PT2M'});
foreach my $attack (sort keys %attacks)
{
	my ($sql, $err) = ("$attacks{$attack};\n" x 3 . "\\q\n", '');
	my $attacker = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-U', 'tenant', '-d', $node->connstr('postgres') ], '<', \$sql, '>', \my $out, '2>', \$err);
	my $rounds = 0;
	my $failed;

	while (!$failed && ($rounds == 0 || $attacker->pumpable))
	{
		(undef, undef, $failed) = $node->psql('postgres', q{set lock_timeout = '3s'; select gov_ingest('plain', 'tokens', 1, null, '{leaf}') from generate_series(1, 50); select gov_drop_cache(); select gov_allowed('plain', 'tokens', 1, null, '{leaf}')});
		$rounds++;
		$attacker->pump_nb;
	}
	IPC::Run::finish($attacker);
	is($failed, '', "$attack: others go on meanwhile ($rounds rounds)");
	my @states = map { $_ eq '54000' || $_ eq '22023' ? () : $_ } $err =~ /ERROR:  (\w{5}):/g;
	is("@states", '', "$attack: is done, or is too much");
	like($err, qr/54000/, "$attack: it is") if $attack =~ /too m/;
}
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'all is counted after that too');

$node->stop;
done_testing();
