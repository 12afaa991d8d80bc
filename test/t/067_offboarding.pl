# gov_delete_owner: nothing of the owner is left in any table, nothing stale in any session, and nothing of others is touched;
# whatever is under way at the time.
#
# Everything the owner has is called sekrit-…, in values of every kind; so a row that is left shows, in whatever table.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovSession;
use GovTest;

my $node = gov_node('offboarding', conf => "governance.event_retention = 0\nautovacuum_naptime = '1s'");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	insert into gov_entity_types (id, attribution_keys) values ('team', '{team}'), ('agent', '{agent}');
	insert into gov_capabilities (id) values ('tokens'), ('images')});

# More zeros make the limits so many times as large.
sub build_catalog
{
	my ($owner, $x, $zeros) = @_;

	$zeros //= '';

	sql(qq{
		select gov_upsert_entities('$owner', '[
			{"id": "${x}root", "typeId": "team", "displayName": "${x}name", "metadata": {"k": "${x}v"}},
			{"id": "${x}team", "typeId": "team", "parentId": "${x}root"},
			{"id": "${x}bot", "typeId": "agent", "parentId": "${x}team"},
			{"id": "${x}old", "typeId": "agent", "parentId": "${x}team"}]');
		select gov_upsert_assignments('$owner', '[
			{"entityId": "${x}root", "capabilityId": "tokens", "usageLimit": 1000$zeros, "cadence": null, "strictAllocation": true},
			{"entityId": "${x}team", "capabilityId": "tokens", "usageLimit": 500$zeros, "cadence": null, "alertThresholds": [1, 50]},
			{"entityId": "${x}team", "capabilityId": "tokens", "usageLimit": 900$zeros, "cadence": "P1Y", "name": "${x}year"},
			{"entityId": "${x}bot", "capabilityId": "tokens", "usageLimit": 100$zeros, "cadence": "P1M", "enforcement": "soft"},
			{"entityId": "${x}bot", "capabilityId": "tokens", "usageLimit": 100$zeros, "cadence": null, "scopeEntityIds": ["${x}root"]},
			{"entityId": "${x}old", "capabilityId": "images", "usageLimit": null, "cadence": "PT1H"}]');
		select gov_request_increase('$owner', '${x}bot', 'tokens', 5$zeros, reason => '${x}reason');
		select gov_boost('$owner', '${x}bot', 'tokens', 5$zeros, reason => '${x}reason');
		insert into gov_default_assignments (owner_id, type_id, capability_id, name, usage_limit) values ('$owner', 'agent', 'tokens', '${x}default', 5000$zeros);
		insert into gov_prices (owner_id, capability_id, quantity, match, price) values ('$owner', 'tokens', '${x}input', '{"model": "${x}model"}', 3$zeros);
		insert into gov_assignments (owner_id, entity_id, capability_id, name, is_pool) values ('$owner', '${x}team', 'images', '${x}pool', true);
		insert into gov_grants (owner_id, assignment_id, amount, category) select owner_id, id, 100$zeros, '${x}bought' from gov_assignments where owner_id = '$owner' and is_pool;
		insert into gov_alert_policies (owner_id, thresholds) values ('$owner', '{80}')});
	return;
}

# Rows of every kind, rolled up and not, in this window and earlier ones, of budgets that began afresh.
sub build
{
	my ($owner, $x) = @_;

	build_catalog($owner, $x);
	sql(qq{
		set governance.caller = '${x}caller';
		select gov_ingest('$owner', 'tokens', 10, '{"agent": "${x}bot", "feature": "${x}chat"}', null, '${x}key');
		select gov_ingest('$owner', 'tokens', 10, null, '{${x}team}', occurred_at => now() - interval '400 days');
		select gov_ingest('$owner', 'images', 1, null, '{${x}team}');
		select gov_ingest('$owner', 'images', 1, null, '{${x}old}');
		select gov_ingest('$owner', 'images', 1, null, '{${x}nobody}');
		select gov_archive_entities('$owner', '{${x}old}');
		update gov_assignments set cadence = 'P2Y', usage_limit = usage_limit + 1 where owner_id = '$owner' and name = '${x}year';
		update gov_assignments set usage_limit = usage_limit - 1 where owner_id = '$owner' and name = '${x}year'});
	gov_roll_up($node, 'postgres');
	sql(qq{
		set governance.caller = '${x}caller';
		select gov_recount(id, by => 'tree') from gov_assignments where owner_id = '$owner' and entity_id = '${x}bot';
		select gov_consume('$owner', 'tokens', 5, '{"agent": "${x}bot"}');
		select gov_settle(reservation_id, 3) from gov_reserve('$owner', 'tokens', 5, null, '{${x}bot}', '${x}settled');
		select gov_release(reservation_id) from gov_reserve('$owner', 'tokens', 5, null, '{${x}bot}');
		select gov_reserve('$owner', 'tokens', 5, null, '{${x}bot}', '${x}expired', '1 microsecond');
		select gov_reserve('$owner', 'tokens', 7, '{"feature": "${x}chat"}', '{${x}bot}', '${x}open', '1 day');
		select gov_allowed('$owner', 'tokens', 1000000000, null, '{${x}bot}');
		insert into gov_forgotten (owner_id, entity_id, replacement, last_event_id, forgotten_at) values ('$owner', '${x}gone', 'x', 1, now());
		insert into gov_imports (owner_id, export_id, chunks_done, rows_done, begun_at, completed_at, first_event_id, last_event_id, event_id_shift, counter_id_shift, imported_counter_id_shift, events_deleted_until, relations)
		values ('$owner', gen_random_uuid(), 2, 0, now(), now(), -1, -1, -2, 0, 0, -1, '{"${x}column": []}');
		insert into gov_alerts (owner_id, assignment_id, threshold, window_start, usage, usage_limit)
		select owner_id, id, 77, '-infinity', 60, 100 from gov_assignments where owner_id = '$owner'});
	$node->poll_query_until('postgres', "select state = 'expired' from gov_reservations where owner_id = '$owner' and idempotency_key = '${x}expired'")
	  or die "the hold does not expire\n";
	$node->poll_query_until('postgres', "select count(*) > 0 from gov_denials where owner_id = '$owner'")
	  or die "the denials are not written\n";
	return;
}

# ---------------------------------------------------------------- what there is of an owner

my @tables = split /\n/, sql(q{
	select c.oid::regclass from pg_extension e
	join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e' and d.classid = 'pg_class'::regclass
	join pg_class c on c.oid = d.objid and c.relkind in ('r', 'p', 'm', 'f') where e.extname = 'governance' order by 1});
my %has_owner = map { $_ => 1 } split /\n/, sql(q{
	select attrelid::regclass from pg_attribute where attname = 'owner_id' and attnum > 0 and not attisdropped});
# That an owner is frozen outlives it (123_frozen.pl), and these are not.
my @owned = grep { $has_owner{$_} && $_ ne 'gov_frozen_owners' } @tables;

# Rows of an owner, and rows that name something of it anywhere, per table; those without any left out. That it was deleted is said
# for good.
sub rows_of
{
	my ($owner, $name) = @_;

	return sql(join(' union all ',
		(map { "select format('%s %s', '$_', count(*)) from $_ where owner_id = '$owner' having count(*) > 0" } @owned),
		(map { "select format('%s names it %s times', '$_', count(*)) from $_ t where t::text like '%$name%' and to_jsonb(t) ->> 'action' is distinct from 'DELETE OWNER' having count(*) > 0" } @tables)) . ' order by 1');
}

# Every row of an owner, as a digest per table; what the engine moves from table to table is summed up.
sub digest_of
{
	my ($owner) = @_;

	return sql(join(' union all ',
		(map { "select '$_', count(*), md5(string_agg(t::text, '|' order by t::text)) from $_ t where owner_id = '$owner'" } grep { !/^gov_(usage|grant_usage|default_counts)/ } @owned)) . ' order by 1');
}

# Somebody is being forgotten, and the worker does not get on.
sql(q{
	create function stay() returns trigger language plpgsql as $$ begin raise 'not now'; end $$;
	create trigger stay before update on gov_forgotten for each row execute function stay()});

my %keep = map { $_ => 1 } @owned;

is(join(' ', grep { !$keep{$_} } qw(gov_entities gov_assignments gov_default_assignments gov_default_counts gov_boosts gov_increase_requests gov_prices gov_grants gov_grant_usage gov_events gov_usage gov_usage_by_time gov_reservations gov_alerts gov_denials gov_alert_policies gov_forgotten)),
	'', 'the tables with owners are known');
build('sekrit-owner', 'sekrit-');
build('other', '');
{
	my $there = rows_of('sekrit-owner', 'sekrit-');
	is(join(' ', grep { $there !~ /^\Q$_\E \d/m } @owned), '', 'every table with owners has rows of it');
}
my @counters = split /\n/, sql(q{
	select counter_id from gov_assignments where owner_id = 'sekrit-owner' union select counter_id from gov_usage where owner_id = 'sekrit-owner'});
my $others = digest_of('other');
my $cached = 'select count(*) from gov_cached_counters() where counter_id in (' . join(', ', @counters) . ')';

# ---------------------------------------------------------------- who may

sql(q{
	create role pinned_admin login; create role sekrit_tenant login; create role sekrit_app login;
	set client_min_messages = error;
	select gov_grant('pinned_admin', 'admin'), gov_grant('sekrit_tenant', 'tenant'), gov_grant('sekrit_app', 'app');
	alter role pinned_admin set governance.owner = 'other';
	alter role sekrit_tenant set governance.owner = 'sekrit-owner'});

sub raises_as
{
	my ($role, $call, $sqlstate, $label) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', $call, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);

	like($err, qr/ERROR:  $sqlstate:/, "$label: $sqlstate");
	return;
}
raises_as('sekrit_tenant', q{select gov_delete_owner('sekrit-owner')}, '42501', 'a tenant does not delete itself');
raises_as('sekrit_app', q{select gov_delete_owner('sekrit-owner')}, '42501', 'nor does an application');
raises_as('pinned_admin', q{select gov_delete_owner('sekrit-owner')}, '42501', 'nor a session that is pinned to another owner');
gov_raises($node, 'postgres', 'select gov_delete_owner(null)', '22004', 'no owner');
gov_raises($node, 'postgres', q{begin read only; select gov_delete_owner('sekrit-owner')}, '25006', 'read only');
sql(q{select gov_delete_owner('nobody'), gov_delete_owner('')});
sql(q{begin; select gov_delete_owner('sekrit-owner'); rollback; begin; savepoint s; select gov_delete_owner('sekrit-owner'); rollback to s; commit});

# ---------------------------------------------------------------- undone, and done

my %warm = map { $_ => GovSession->new($node, $_) } qw(checks reads);
my $deleter = GovSession->new($node, 'deleter');
my $check = q{select is_granted, chains from gov_check('sekrit-owner', 'tokens', 0, '{"agent": "sekrit-bot"}')};
my @reads = (
	q{select count(*) from gov_headroom('sekrit-owner', 'tokens', 0, null, '{sekrit-bot}')},
	q{select count(*) from gov_holds where owner_id = 'sekrit-owner'},
	(map { qq{select count(*) from $_ where owner_id = 'sekrit-owner'} } qw(gov_event_log gov_usage_log gov_alert_log)),
	q{select count(*) from gov_attribution('sekrit-owner', 'tokens', '{team}', '-infinity', 'infinity')},
	q{select jsonb_array_length(gov_list_entities('sekrit-owner') -> 'data') + jsonb_array_length(gov_list_assignments('sekrit-owner') -> 'data')});
push @reads, q{select count(*) from gov_budgets where owner_id = 'sekrit-owner'} if sql(q{select to_regclass('gov_budgets') is not null}) eq 't';
push @reads, q{select count(*) from gov_allocations where owner_id = 'sekrit-owner'} if sql(q{select to_regclass('gov_allocations') is not null}) eq 't';
push @reads, q{select count(*) from gov_tree('sekrit-owner')} if sql(q{select count(*) from pg_proc where proname = 'gov_tree'});
push @reads, q{select jsonb_array_length(gov_query('sekrit-owner') -> 'data')},
  q{select jsonb_array_length(gov_query('sekrit-owner', '{tokens}') -> 'data')}
  if sql(q{select count(*) from pg_proc where proname = 'gov_query'});

my $before = $warm{checks}->ask($check);
like($before, qr/sekrit-bot/, 'a session has it cached');
cmp_ok(sql($cached), '>', 0, 'so has shared memory');
cmp_ok($warm{reads}->ask($_), '>', 0, "there is something: $_") foreach @reads;
my $hold = sql(q{select id from gov_reservations where owner_id = 'sekrit-owner' and state = 'open'});

my $all = rows_of('sekrit-owner', 'sekrit-');
$deleter->ask(q{begin; select gov_delete_owner('sekrit-owner')});
is($deleter->ask($check), 't|[]', 'its own transaction is ungoverned at once');
is($deleter->ask(q{select count(*) from gov_holds where owner_id = 'sekrit-owner'}), 0, 'without holds');
is($warm{checks}->ask($check), $before, 'for others nothing has changed');
$deleter->ask('rollback');
is($deleter->ask($check), $before, 'nor, rolled back, for itself');
is(rows_of('sekrit-owner', 'sekrit-'), $all, 'every row is back');
is(sql('select * from gov_verify()'), '', 'the counts equal the ledger');

$deleter->ask(q{select gov_delete_owner('sekrit-owner')});
is($warm{checks}->ask($check), 't|[]', 'a session that had it cached finds it ungoverned at once');
is($warm{reads}->ask($_), 0, "nothing: $_") foreach @reads;
is(sql($cached), '0', 'no counter is left in shared memory');
is(rows_of('sekrit-owner', 'sekrit-'), '', 'no row is left in any table');
is(digest_of('other'), $others, 'every row of another owner is left');
foreach my $call ("gov_settle('$hold', 1)", "gov_release('$hold')", "gov_extend('$hold', '1 minute')")
{
	gov_raises($node, 'postgres', "select $call", '42704', "its hold is unknown: $call");
}
gov_roll_up($node, 'postgres');
is(rows_of('sekrit-owner', 'sekrit-'), '', 'nor does the rollup bring one back');

# ---------------------------------------------------------------- the name again

build('sekrit-owner', 'sekrit-');
is($warm{checks}->ask(q{select string_agg(entity_id || ' ' || trim_scale(current_usage) || '+' || reserved_usage, ', ' order by entity_id, current_usage) from gov_headroom('sekrit-owner', 'tokens', 0, null, '{sekrit-bot}')}),
	'sekrit-bot 18+7, sekrit-bot 18+7, sekrit-bot 18+7, sekrit-root 28+7, sekrit-team 8+7, sekrit-team 28+7', 'the name made again starts from nothing, its keys are new');
is(sql(q{select is_duplicate from gov_ingest('sekrit-owner', 'tokens', 10, '{"agent": "sekrit-bot", "feature": "sekrit-chat"}', null, 'sekrit-key')}), 't', 'and from then on known');
is(sql('select count(*) from gov_cached_counters() where counter_id in (' . join(', ', @counters) . ')'), '0', 'counters are not used again');
is(sql('select * from gov_verify()'), '', 'the counts equal the ledger');

# ---------------------------------------------------------------- what is under way

my $user = GovSession->new($node, 'user');

sub await_lock
{
	my ($name) = @_;

	$node->poll_query_until('postgres', "select exists (select from pg_stat_activity where application_name = '$name' and wait_event_type = 'Lock')")
	  or die "$name does not wait\n";
	return;
}

sub start
{
	my ($name, $statement) = @_;
	my %session = (out => '');
	local $ENV{PGAPPNAME} = $name;

	$session{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c', $statement ], '>&', \$session{out});
	return \%session;
}

# Uses and holds of an open transaction: the deletion neither waits nor takes them along, and does when it is called again.
foreach my $ending ('commit', 'rollback')
{
	build('sekrit-owner', 'sekrit-') if sql(q{select count(*) from gov_entities where owner_id = 'sekrit-owner'}) eq '0';
	$user->ask(q{begin; select gov_consume('sekrit-owner', 'tokens', 5, '{"agent": "sekrit-bot"}'); select gov_reserve('sekrit-owner', 'tokens', 5, null, '{sekrit-bot}')});
	$deleter->ask(q{select gov_delete_owner('sekrit-owner')});
	is($warm{checks}->ask($check), 't|[]', 'ungoverned while a use is in flight');
	is($user->ask($check), 't|[]', 'for its own session too');
	$user->ask($ending);
	is($warm{checks}->ask($check), 't|[]', "and after its $ending");
	# (by now it may be rolled up)
	is(rows_of('sekrit-owner', 'sekrit-') =~ s/\ngov_usage_by_time.*//gr, $ending eq 'rollback' ? '' : <<'LEFT' =~ s/\n\z//r, "what it left with its $ending");
gov_events 1
gov_events names it 1 times
gov_reservations 1
gov_reservations names it 1 times
LEFT
	is(sql('select * from gov_verify()'), '', 'the counts equal the ledger');
	gov_roll_up($node, 'postgres');
	$deleter->ask(q{select gov_delete_owner('sekrit-owner')});
	is(rows_of('sekrit-owner', 'sekrit-'), '', 'called again, nothing is left');
}

# What another transaction has changed, the deletion waits for, and takes it along.
build('sekrit-owner', 'sekrit-');
$hold = sql(q{select id from gov_reservations where owner_id = 'sekrit-owner' and state = 'open'});
foreach my $change ("gov_settle('$hold', 9)",
	q{gov_upsert_assignments('sekrit-owner', '[{"entityId": "sekrit-bot", "capabilityId": "images", "usageLimit": 1, "cadence": null}]')},
	q{gov_upsert_entities('sekrit-owner', '[{"id": "sekrit-new", "typeId": "team", "parentId": "sekrit-bot"}]')})
{
	build('sekrit-owner', 'sekrit-') if sql(q{select count(*) from gov_entities where owner_id = 'sekrit-owner'}) eq '0';
	$user->ask("begin; select $change");
	my $waiting = start('waiting', q{select gov_delete_owner('sekrit-owner')});
	await_lock('waiting');
	$user->ask('commit');
	$waiting->{run}->finish;
	is($waiting->{out} =~ s/\n//gr, '', "the deletion waits for $change");
	is(rows_of('sekrit-owner', 'sekrit-'), '', 'and takes it along');
	is($warm{checks}->ask($check), 't|[]', 'ungoverned');
}

# And what waits for the deletion finds nothing.
build('sekrit-owner', 'sekrit-');
$hold = sql(q{select id from gov_reservations where owner_id = 'sekrit-owner' and state = 'open'});
$deleter->ask(q{begin; select gov_delete_owner('sekrit-owner')});
my %waits = (
	"select gov_settle('$hold', 1)" => '42704',
	q{update gov_assignments set usage_limit = 1 where owner_id = 'sekrit-owner'} => '',
	q{select gov_upsert_entities('sekrit-owner', '[{"id": "sekrit-new", "typeId": "team", "parentId": "sekrit-bot"}]')} => '23503',
	q{select gov_upsert_assignments('sekrit-owner', '[{"entityId": "sekrit-bot", "capabilityId": "images", "usageLimit": 1, "cadence": null}]')} => '23503');
my %late;
foreach my $statement (sort keys %waits)
{
	$late{$statement} = start('late', $statement);
	$node->poll_query_until('postgres', q{select count(*) = } . keys(%late) . q{ from pg_stat_activity where application_name = 'late' and wait_event_type = 'Lock'})
	  or die "does not wait: $statement\n";
}
$deleter->ask('commit');
foreach my $statement (sort keys %waits)
{
	$late{$statement}{run}->finish;
	my ($sqlstate) = $late{$statement}{out} =~ /ERROR:  (\w+):/;

	is($sqlstate // '', $waits{$statement}, "too late: $statement") or diag $late{$statement}{out};
}
is(rows_of('sekrit-owner', 'sekrit-'), '', 'nothing has come back');

# ---------------------------------------------------------------- traffic

# Six clients use, hold, settle and read without a pause, two owners; the deletion comes again and again, and the owner with it.
my $dir = $node->basedir;
my $traffic = "$dir/traffic.sql";

append_to_file($traffic, <<'PGBENCH');
\set n random(1, 8)
\set amount random(1, 5)
select quote_literal(case :n when 1 then 'other' else 'sekrit-owner' end) as owner, quote_literal(case :n when 1 then '' else 'sekrit-' end) as x \gset
select * from gov_ingest(:owner, 'tokens', :amount, jsonb_build_object('agent', :x || 'bot', 'feature', :x || 'chat'));
select * from gov_consume(:owner, 'tokens', :amount, null, array[:x || 'team']);
select case when is_granted then (gov_settle(reservation_id, :amount - 1)).is_duplicate end from gov_reserve(:owner, 'tokens', :amount, null, array[:x || 'bot']);
select is_granted from gov_check(:owner, 'tokens', 0, null, array[:x || 'bot']);
PGBENCH

# A hold made in one statement is gone in the next if the deletion came between.
my %pgbench = (out => '');

$pgbench{run} = IPC::Run::start([ 'pgbench', '-n', '-c', '6', '-j', '2', '-T', '10', '--max-tries=1', '-f', $traffic, $node->connstr('postgres') ], '>&', \$pgbench{out});
my ($rounds, $deadlocks) = (0, 0);

while ($pgbench{run}->pumpable)
{
	$pgbench{run}->pump_nb;
	last unless $pgbench{run}->pumpable;
	build_catalog('sekrit-owner', 'sekrit-', '000000');
	foreach (1 .. 3)
	{
		my ($status, $out, $err) = $node->psql('postgres', q{select gov_delete_owner('sekrit-owner')});

		last if $status == 0;
		$deadlocks++;
		diag $err;
	}
	is($warm{checks}->ask($check), 't|[]', 'ungoverned under traffic') or last;
	$rounds++;
}
$pgbench{run}->finish;
cmp_ok($rounds, '>', 5, 'deletions under traffic');
is($deadlocks, 0, 'none of them failed');
my @errors = grep { /ERROR/ && !/hold "[^"]*" does not exist|could not load the budgets of owner/ } split /\n/, $pgbench{out};
is("@errors", '', 'nor did the traffic, but for holds that were gone and budgets that changed all the time');
like($pgbench{out}, qr/number of transactions actually processed: \d{3,}/, 'there was traffic') or diag $pgbench{out};

is(sql('select * from gov_verify()'), '', 'after it the counts equal the ledger');
sql(q{select gov_delete_owner('sekrit-owner')});
gov_roll_up($node, 'postgres');
is(rows_of('sekrit-owner', 'sekrit-'), '', 'after it, called again, nothing is left');
is(sql('select * from gov_verify()'), '', 'and the counts equal the ledger');
is(sql(q{select count(*) from gov_cached_counters() c where not exists (select from gov_assignments a where c.counter_id in (a.counter_id, a.debt_counter_id))
		and not exists (select from gov_grants g where g.counter_id = c.counter_id)
		and not exists (select from gov_entities e, _gov_inherited_budgets(e.owner_id, e.id) i where i.counter_id = c.counter_id) and not exists (select from gov_usage u where u.counter_id = c.counter_id)}),
	'0', 'no counter is left in shared memory of an owner who is gone');

# All owners, one after the other: the catalog that they share stays.
sql(q{select gov_delete_owner('other')});
is(join(' ', map { sql("select count(*) from $_ where owner_id is not null") } @owned), join(' ', map { 0 } @owned), 'without owners the tables are empty');
is(sql('select count(*) from gov_entity_types') . sql('select count(*) from gov_capabilities'), '22', 'but for what is shared');

$node->stop;
done_testing();
